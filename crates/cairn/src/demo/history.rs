//! Sixty days of an invented shop: visits with a known truth, written as an import.
//!
//! Guarantees: the same seed and the same end give the same lines; [`Truth`] counts while inventing, in code that shares
//! nothing with the reports, so that a test can hold the reports to it. Pauses within a visit stay below the session
//! timeout and pauses between visits of one person above it. Nobody in it exists.

use serde_json::{Map, Value, json};

use super::details;
use super::random::Random;

/// Days of history.
pub const DAYS: i64 = 60;
pub(super) const DAY_MS: i64 = 86_400_000;
pub(super) const MINUTE_MS: i64 = 60_000;
/// Visits on an ordinary day.
const VISITS_PER_DAY: f64 = 320.0;
/// Activity of each hour of the day (UTC), in relative shares.
const HOURS: [u32; 24] =
    [3, 2, 1, 1, 2, 5, 12, 22, 32, 38, 40, 42, 44, 40, 38, 38, 40, 46, 55, 62, 58, 40, 20, 8];
/// Monday to Sunday.
const WEEKDAYS: [f64; 7] = [1.0, 0.96, 0.98, 1.02, 1.05, 1.2, 1.32];

/// What was invented, counted while inventing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Truth {
    /// People (no bots).
    pub visitors: u64,
    /// Their visits.
    pub visits: u64,
    /// Their page views.
    pub pageviews: u64,
    /// Their page views and other events.
    pub events: u64,
    /// Visits with one event.
    pub bounces: u64,
    /// Purchases.
    pub purchases: u64,
    /// Revenue in cents.
    pub revenue_cents: u64,
    /// What of it was given back.
    pub refunded_cents: u64,
    /// Visits of bots.
    pub bot_visits: u64,
}

/// An article of the shop, as in `demo/site/`.
pub struct Article {
    /// `item_id`, and the page's name.
    pub id: &'static str,
    /// Name shown.
    pub name: &'static str,
    /// Price in cents.
    pub cents: u64,
    /// `item_category`.
    pub category: &'static str,
}

/// Where visits come from: referrer, query of the landing page.
type Source = (&'static str, &'static str);

const SOURCES: &[(u32, Source)] = &[
    (29, ("https://www.google.com/", "")),
    (26, ("", "")),
    (9, ("", "utm_source=newsletter&utm_medium=email&utm_campaign=autumn-sale")),
    (
        9,
        (
            "https://www.google.com/",
            "utm_source=google&utm_medium=cpc&utm_campaign=tents&utm_term=light+tent",
        ),
    ),
    (
        6,
        (
            "https://www.instagram.com/",
            "utm_source=instagram&utm_medium=paid_social&utm_campaign=ridge-film&utm_content=reel-2",
        ),
    ),
    (5, ("https://www.facebook.com/", "")),
    (4, ("https://www.bing.com/", "")),
    (3, ("https://duckduckgo.com/", "")),
    (3, ("https://chatgpt.com/", "")),
    (3, ("https://www.youtube.com/watch", "")),
    (2, ("https://hikers-notebook.example/ten-light-tents", "")),
    (1, ("https://www.reddit.com/r/ultralight", "")),
];

const PLACES: &[(u32, (&str, &str))] = &[
    (36, ("DE", "Bavaria")),
    (9, ("AT", "Tyrol")),
    (8, ("CH", "Bern")),
    (8, ("FR", "Auvergne-Rhone-Alpes")),
    (7, ("GB", "England")),
    (7, ("US", "Colorado")),
    (6, ("NL", "Utrecht")),
    (5, ("IT", "Trentino-Alto Adige")),
    (4, ("ES", "Catalonia")),
    (3, ("SE", "Jamtland")),
    (3, ("NO", "Vestland")),
    (2, ("PL", "Lesser Poland")),
    (1, ("CA", "Alberta")),
    (1, ("JP", "Nagano")),
];

const DEVICES: &[(u32, [&str; 5])] = &[
    (27, ["Safari", "26.1", "iOS", "26.1", "mobile"]),
    (24, ["Chrome", "142.0", "Android", "16", "mobile"]),
    (20, ["Chrome", "142.0", "Windows", "11", "desktop"]),
    (10, ["Safari", "26.1", "macOS", "26.1", "desktop"]),
    (7, ["Firefox", "145.0", "Windows", "11", "desktop"]),
    (5, ["Edge", "142.0", "Windows", "11", "desktop"]),
    (4, ["Firefox", "145.0", "Linux", "", "desktop"]),
    (3, ["Safari", "26.1", "iPadOS", "26.1", "tablet"]),
];

/// Someone invented.
struct Person {
    id: String,
    device: [&'static str; 5],
    place: (&'static str, &'static str),
    /// End of the last visit.
    free_from_ms: i64,
}

/// The lines of the history ending at `end_ms`, handed out in order of time, and the truth about them.
pub fn write(
    seed: u64,
    end_ms: i64,
    origin: &str,
    articles: &[Article],
) -> (Vec<(i64, String)>, Truth) {
    let mut story = Story {
        random: Random::new(seed),
        aside: Random::new(!seed),
        origin,
        articles,
        end_ms,
        people: Vec::new(),
        lines: Vec::new(),
        truth: Truth::default(),
        orders: 0,
    };
    let first_day = end_ms.div_euclid(DAY_MS) - DAYS;
    for day in first_day..=end_ms.div_euclid(DAY_MS) {
        story.day(day, day - first_day);
    }
    story.mails(first_day * DAY_MS);
    story.advertisements(first_day * DAY_MS);
    // Imports are read in order of arrival: as the events happened.
    story.lines.sort_by_key(|(at_ms, _)| *at_ms);
    (story.lines, story.truth)
}

pub(super) struct Story<'a> {
    random: Random,
    /// For what is told beside the visits, so that the visits do not depend on it.
    pub(super) aside: Random,
    origin: &'a str,
    articles: &'a [Article],
    pub(super) end_ms: i64,
    people: Vec<Person>,
    lines: Vec<(i64, String)>,
    pub(super) truth: Truth,
    orders: u64,
}

/// One visit while it is told.
pub(super) struct Visit {
    pub(super) at_ms: i64,
    pub(super) base: Map<String, Value>,
    referrer: &'static str,
    pub(super) events: u64,
    pub(super) bot: bool,
    /// Path of the page that is open.
    pub(super) path: String,
    /// What happens on its pages is told, not only which they are.
    pub(super) is_detailed: bool,
    /// The speed of the first page was told.
    pub(super) told_vitals: bool,
}

/// What all events of a visit say alike.
fn base_of(
    id: &str,
    [browser, browser_version, os, os_version, device]: [&str; 5],
    (country, region): (&str, &str),
    bot: bool,
) -> Map<String, Value> {
    let base = json!({
        "visitor_id": id,
        "geo": {"country": country, "region": region},
        "device": {"browser": browser, "browser_version": browser_version,
                   "os": os, "os_version": os_version, "type": device},
        "bot": bot,
    });
    let Value::Object(base) = base else { unreachable!("an object was written above") };
    base
}

impl Visit {
    /// A visit without pages.
    fn bare(at_ms: i64, base: Map<String, Value>, bot: bool) -> Visit {
        Visit {
            at_ms,
            base,
            referrer: "",
            events: 0,
            bot,
            path: String::new(),
            is_detailed: false,
            told_vitals: false,
        }
    }

    /// The same person a moment later, on the site.
    pub(super) fn on_site(&self) -> Visit {
        let mut base = self.base.clone();
        for told_by_the_link in ["source", "utm"] {
            base.remove(told_by_the_link);
        }
        Visit { is_detailed: true, ..Visit::bare(self.at_ms + 1_500, base, self.bot) }
    }
}

impl Story<'_> {
    /// A visit of somebody who is nowhere else in the story; of programs neither place nor device is known.
    pub(super) fn stranger(&mut self, id: &str, at_ms: i64, bot: bool) -> Visit {
        let (mut device, mut place) = ([""; 5], ("", ""));
        if !bot {
            device = *self.aside.choose(DEVICES);
            place = *self.aside.choose(PLACES);
        }
        Visit::bare(at_ms, base_of(id, device, place, bot), bot)
    }

    fn day(&mut self, day: i64, number: i64) {
        // 1 January 1970 was a Thursday.
        let weekday = (day + 3).rem_euclid(7) as usize;
        let growth = 0.75 + 0.5 * number as f64 / DAYS as f64;
        let campaign = if (38..45).contains(&number) { 1.35 } else { 1.0 };
        let noise = 0.9 + 0.2 * self.random.fraction();
        let visits = (VISITS_PER_DAY * WEEKDAYS[weekday] * growth * campaign * noise) as u64;
        let hours: Vec<(u32, i64)> =
            HOURS.iter().enumerate().map(|(hour, share)| (*share, hour as i64)).collect();
        let mut starts: Vec<i64> = (0..visits)
            .map(|_| {
                let hour = *self.random.choose(&hours);
                day * DAY_MS + hour * 60 * MINUTE_MS + self.random.below(3_600_000) as i64
            })
            .collect();
        starts.sort_unstable();
        // The last visits must have ended: the history is the past.
        starts.retain(|start_ms| start_ms + 60 * MINUTE_MS < self.end_ms);
        for start_ms in starts {
            if self.random.chance(0.04) {
                self.bot_visit(start_ms);
            } else {
                self.visit(start_ms);
            }
        }
    }

    fn visit(&mut self, start_ms: i64) {
        let person = self.person(start_ms);
        let source = *self.random.choose(SOURCES);
        let mut visit = self.begin(person, start_ms, source.0, false);
        let landing = if self.random.chance(0.55) { None } else { Some(self.article()) };
        let path = landing.map_or_else(|| "/demo/".to_owned(), article_path);
        self.page(&mut visit, &path, source.1);
        if !self.random.chance(0.38) {
            self.browse(&mut visit, landing);
        }
        self.end(&mut visit);
        self.truth.visits += 1;
        self.truth.events += visit.events;
        self.truth.bounces += u64::from(visit.events == 1);
        self.people[person].free_from_ms = visit.at_ms + 35 * MINUTE_MS;
    }

    /// Looks around, and perhaps buys.
    fn browse(&mut self, visit: &mut Visit, landing: Option<usize>) {
        let mut carted = Vec::new();
        let mut seen = landing;
        let pages = 1 + self.random.below(5);
        for _ in 0..pages {
            if let Some(article) = seen {
                self.commerce(visit, "view_item", &[article], None);
                if self.random.chance(0.24) {
                    self.commerce(visit, "add_to_cart", &[article], None);
                    carted.push(article);
                }
            }
            self.pause(visit);
            let article = self.article();
            self.page(visit, &article_path(article), "");
            seen = Some(article);
        }
        if carted.is_empty() {
            return;
        }
        self.pause(visit);
        self.page(visit, "/demo/cart.html", "");
        if !self.random.chance(0.55) {
            return;
        }
        self.pause(visit);
        self.page(visit, "/demo/checkout.html", "");
        self.commerce(visit, "begin_checkout", &carted, None);
        let buys = self.random.chance(0.62);
        self.fill_in(visit, &details::CHECKOUT, buys);
        if buys {
            self.pause(visit);
            self.page(visit, "/demo/thanks.html", "");
            self.orders += 1;
            let order = format!("H-{:06}", self.orders);
            self.commerce(visit, "purchase", &carted, Some(order.clone()));
            self.regret(visit, &carted, order);
        }
    }

    /// Some change their mind about an article right away, and get its price back.
    fn regret(&mut self, visit: &mut Visit, carted: &[usize], order: String) {
        const REGRETTED: f64 = 0.07;
        const AFTER_MS: i64 = 20_000;
        if !self.aside.chance(REGRETTED) {
            return;
        }
        let cents = carted.first().map_or(0, |index| self.articles[*index].cents);
        visit.at_ms += AFTER_MS;
        let value = decimal(cents);
        self.line(visit, "refund", json!({"order_id": order, "value": value, "currency": "EUR"}));
        self.truth.refunded_cents += cents;
    }

    fn bot_visit(&mut self, start_ms: i64) {
        let person = Person {
            id: format!("crawler-{}", self.random.below(12)),
            device: ["", "", "", "", ""],
            place: ("US", "Virginia"),
            free_from_ms: 0,
        };
        self.people.push(person);
        let person = self.people.len() - 1;
        let mut visit = self.begin(person, start_ms, "", true);
        visit.base.insert("visitor_id".to_owned(), json!(format!("crawler-{start_ms}")));
        self.page(&mut visit, "/demo/", "");
        self.people.pop();
        self.truth.bot_visits += 1;
    }

    /// Someone who comes back, or someone new.
    fn person(&mut self, start_ms: i64) -> usize {
        if !self.people.is_empty() && self.random.chance(0.34) {
            // Those who came lately come back.
            let recent = self.people.len().min(2_000) as u64;
            let index = self.people.len() - 1 - self.random.below(recent) as usize;
            if self.people[index].free_from_ms < start_ms {
                return index;
            }
        }
        self.truth.visitors += 1;
        let id = format!("visitor-{}", self.truth.visitors);
        let device = *self.random.choose(DEVICES);
        let place = *self.random.choose(PLACES);
        self.people.push(Person { id, device, place, free_from_ms: 0 });
        self.people.len() - 1
    }

    fn begin(&mut self, person: usize, at_ms: i64, referrer: &'static str, bot: bool) -> Visit {
        let person = &self.people[person];
        let base = base_of(&person.id, person.device, person.place, bot);
        let is_detailed = !bot && self.aside.chance(details::DETAILED);
        Visit { referrer, is_detailed, ..Visit::bare(at_ms, base, bot) }
    }

    pub(super) fn page(&mut self, visit: &mut Visit, path: &str, query: &str) {
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{query}", self.origin);
        let referrer = std::mem::take(&mut visit.referrer);
        self.line(visit, "page_view", json!({"url": url, "referrer": referrer}));
        visit.base.insert("url".to_owned(), json!(format!("{}{path}", self.origin)));
        path.clone_into(&mut visit.path);
        if !visit.bot {
            self.truth.pageviews += 1;
        }
    }

    fn commerce(
        &mut self,
        visit: &mut Visit,
        name: &str,
        articles: &[usize],
        order: Option<String>,
    ) {
        let cents: u64 = articles.iter().map(|index| self.articles[*index].cents).sum();
        let items: Vec<Value> = articles
            .iter()
            .map(|index| {
                let article = &self.articles[*index];
                json!({"item_id": article.id, "item_name": article.name, "quantity": 1,
                       "price": decimal(article.cents), "item_category": article.category})
            })
            .collect();
        let mut fields = json!({"value": decimal(cents), "currency": "EUR", "items": items});
        if let Some(order) = order {
            fields["order_id"] = json!(order);
            self.truth.purchases += 1;
            self.truth.revenue_cents += cents;
        }
        visit.at_ms += 1_500;
        self.line(visit, name, fields);
    }

    pub(super) fn line(&mut self, visit: &mut Visit, name: &str, fields: Value) {
        self.tell(visit, name, fields);
        visit.events += 1;
    }

    /// As a line, but no activity: how a page was read.
    pub(super) fn tell(&mut self, visit: &Visit, name: &str, fields: Value) {
        let mut line = visit.base.clone();
        line.insert("event".to_owned(), json!(name));
        line.insert("event_id".to_owned(), json!(format!("demo-{:016x}", self.aside.number())));
        line.insert("timestamp".to_owned(), json!(visit.at_ms));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        self.lines.push((visit.at_ms, Value::Object(line).to_string()));
    }

    /// Reads for a while: far below the session timeout.
    fn pause(&mut self, visit: &mut Visit) {
        let stay_ms = (self.random.wait(48.0, 4.0).min(600.0) * 1_000.0) as i64;
        self.leave(visit, stay_ms);
    }

    fn article(&mut self) -> usize {
        // The first articles are the favourites.
        let choices: Vec<(u32, usize)> =
            (0..self.articles.len()).map(|index| (12 / (index as u32 + 2) + 1, index)).collect();
        *self.random.choose(&choices)
    }
}

/// The page of an article.
fn article_path(index: usize) -> String {
    format!("/demo/{}.html", super::ARTICLES[index].id)
}

/// Cents as a number with two decimals: the text of it, since no float holds money.
fn decimal(cents: u64) -> Value {
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    // A JSON number keeps its digits only as text; these have at most two decimals, which survive the round trip.
    text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}
