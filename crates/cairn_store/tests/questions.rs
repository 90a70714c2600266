//! Random events and random questions: DuckDB and the naive store give equal answers.
//!
//! Seeded: a failure names its seed and its question. The alphabets are small, so that values collide, and odd.

#![cfg(feature = "duckdb")]

#[path = "questions/attribution.rs"]
mod attribution;
#[path = "questions/body.rs"]
mod body;
#[path = "questions/paths.rs"]
mod paths;
#[path = "questions/rollups.rs"]
mod rollups;

use std::collections::BTreeSet;
use std::sync::Arc;

use body::{EVENT_DIMENSIONS, VISIT_DIMENSIONS, random_body, tallies};
use cairn_model::event::OFF_SITE;
use cairn_model::question::{
    Asking, ComparisonMode, Condition, Dimension, EventsQuestion, Filter, Goal, Metric, Operator,
    Question, Range, Trigger,
};
use cairn_model::rates::{self, Pricing, Rate, Rates};
use cairn_model::session::{ATTRIBUTES, Attribute, Attributes};
use cairn_model::{Event, Identification, Session, SiteId, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::reference::ReferenceStore;
use cairn_store::{Batch, EventStore, Row, SessionChange, Watermark};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// A small generator of numbers, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len() as u64) as usize]
    }

    fn some<T: Clone>(&mut self, from: &[T], most: u64) -> Vec<T> {
        let mut picked: Vec<T> = Vec::new();
        for _ in 0..self.roll(most + 1) {
            picked.push(from[self.roll(from.len() as u64) as usize].clone());
        }
        picked
    }
}

const TEXTS: [&str; 22] = [
    "",
    "",
    "a",
    "A",
    "ab",
    "Ä",
    "ä",
    "İx",
    "ix",
    "(not set)",
    "Direct / None",
    "Direct",
    "it's",
    "100%",
    "a_b",
    "\\",
    "日本",
    "ß",
    "a|b",
    "*",
    "two\nlines",
    "nul\0nul",
];
const PAGES: [&str; 9] = ["/", "/a", "/A", "/blog/1", "/blog/Ä", "/blog/*", "/b%", "/b_", ""];
const NAMES: [&str; 22] = [
    "purchase",
    "purchase",
    "purchase",
    "refund",
    "order_cancelled",
    "click_landed",
    "page_view",
    "page_view",
    "page_view",
    "Signup",
    "Signup",
    "engagement",
    "engagement",
    "Größe",
    "form_start",
    "form_submit",
    "email_open",
    "email_click",
    "link_click",
    "ad_impression",
    "ad_viewable",
    "ad_click",
];
const SECTIONS: [&str; 6] = ["", "", "pricing", "Pricing", "Ä", "it's"];
const VITALS: [&str; 8] = [
    r#"{"lcp_ms":"2500","cls":"0.1234"}"#,
    r#"{"lcp_ms":"900","inp_ms":"40","cls":"0","ttfb_ms":"12"}"#,
    r#"{"lcp_ms":"3000.9","cls":"0.05","ttfb_ms":""}"#,
    r#"{"lcp_ms":"-1","cls":".5"}"#,
    r#"{"lcp_ms":"soon","cls":"1e-3"}"#,
    r#"{"lcp_ms":"123456789","cls":"12.123456789"}"#,
    r#"{"lcp_ms":"1234567890","cls":"0.12345678901234567890"}"#,
    r#"{"inp_ms":"200","reading":"read"}"#,
];
const HOSTS: [&str; 4] = ["one.test", "two.test", "One.test", ""];
const COUNTRIES: [&str; 6] = ["EE", "DE", "ZZ", "", "de", "XX"];
const PROPS: [&str; 20] = [
    r#"{"verdict":"human","cost":"0.0025","cost_currency":"EUR"}"#,
    r#"{"verdict":"machine","cost":"1.0000000019","cost_currency":"EUR"}"#,
    r#"{"cost":"999999999.999999999","cost_currency":"USD"}"#,
    r#"{"verdict":"human","campaign":"a"}"#,
    r#"{"verdict":"machine","campaign":"a"}"#,
    r#"{"verdict":"unknown"}"#,
    r#"{"form_id":"","form_name":"news","form_destination":"/a"}"#,
    r#"{"form_id":"signup","form_destination":"/a"}"#,
    r#"{"form_destination":"/A"}"#,
    r#"{"element":"a","element_text":"Ä"}"#,
    r#"{"element":"a","link_url":"","element_id":"x"}"#,
    "",
    r#"{"plan":"pro"}"#,
    r#"{"plan":""}"#,
    r#"{"plan":"(none)"}"#,
    r#"{"plan":"Pro","a/b":"x"}"#,
    r#"{"a/b":"ä"}"#,
    r#"{"~":"1","plan":"10"}"#,
    r#"{"plan":"İ"}"#,
    r#"{"it's":"'"}"#,
];
const ZONES: [&str; 8] = [
    "Etc/UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/Sao_Paulo",
    "Pacific/Apia",
];
/// Near changes of the clock in some of these zones, and one far from any.
const DAYS: [&str; 6] =
    ["2024-03-31", "2024-11-03", "2024-04-07", "2018-11-04", "2011-12-29", "2024-06-30"];

fn seconds(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an instant").as_second()
}

fn attributes(dice: &mut Dice) -> Arc<Attributes> {
    let mut texts = [""; ATTRIBUTES];
    for text in &mut texts {
        *text = dice.pick(&TEXTS);
    }
    // Country, and whether it is a bot.
    texts[9] = dice.pick(&COUNTRIES);
    texts[17] = if dice.chance(20) { "declared" } else { "" };
    Arc::new(Attributes::new(texts))
}

fn session(dice: &mut Dice, site_id: SiteId, session_id: u64, around_ms: i64) -> Session {
    let started_at_ms = around_ms + dice.roll(10 * 86_400_000) as i64 - 5 * 86_400_000;
    let lasting_ms = if dice.chance(40) { 0 } else { dice.roll(7_200_000) as i64 };
    let ended_at_ms =
        if dice.chance(5) { started_at_ms - lasting_ms } else { started_at_ms + lasting_ms };
    Session {
        site_id,
        session_id,
        visitor_id: VisitorId(dice.roll(12) + 1),
        identification: if dice.chance(50) {
            Identification::Identified
        } else {
            Identification::Anonymous
        },
        session_key: 0,
        started_at_ms,
        ended_at_ms,
        last_activity_ms: ended_at_ms,
        last_received_ms: ended_at_ms,
        pageviews: dice.roll(4) as u32,
        events: dice.roll(4) as u32 + 1,
        entry_hostname: dice.pick(&HOSTS).to_owned(),
        entry_page: dice.pick(&PAGES).to_owned(),
        exit_hostname: dice.pick(&HOSTS).to_owned(),
        exit_page: dice.pick(&PAGES).to_owned(),
        attributes: attributes(dice),
    }
}

fn row(dice: &mut Dice, offset: u64, session: &Session) -> Row<'static> {
    let span_ms = (session.ended_at_ms - session.started_at_ms).unsigned_abs() + 600_000;
    let at_ms = session.started_at_ms.min(session.ended_at_ms) + dice.roll(span_ms) as i64;
    let mut event = Event::bare(session.site_id, dice.pick(&NAMES), at_ms);
    event.visitor_id = session.visitor_id;
    event.identification = session.identification;
    event.user_key = if dice.chance(15) { dice.roll(5) + 1 } else { 0 };
    event.path = dice.pick(&PAGES).into();
    event.hostname = dice.pick(&HOSTS).into();
    event.props = dice.pick(&PROPS).into();
    event.title = dice.pick(&TEXTS).into();
    if dice.chance(20) {
        event.value_minor = Some(dice.roll(100_000) as i64);
        event.currency = dice.pick(&["EUR", "USD"]).into();
    }
    if matches!(&*event.name, "purchase" | "refund" | "order_cancelled") {
        order(dice, &mut event);
    }
    let engagement = event.is_engagement();
    if engagement {
        event.engagement_ms = dice.chance(80).then(|| dice.roll(100_000) as u32);
        event.scroll_percent = dice.chance(80).then(|| dice.roll(120) as u8);
        if dice.chance(40) {
            event.props = dice.pick(&VITALS).into();
        }
    }
    if engagement || dice.chance(5) {
        event.section_id = dice.pick(&SECTIONS).into();
        event.section_visible_ms = dice.chance(90).then(|| dice.roll(30_000) as u32);
        if dice.chance(40) {
            event.props = dice.pick(&[r#"{"reading":"read"}"#, r#"{"reading":"skimmed"}"#]).into();
        }
    }
    let off_site = OFF_SITE.contains(&&*event.name) && dice.chance(80);
    let homeless = off_site || engagement && dice.chance(20);
    let session_id = if homeless { 0 } else { session.session_id };
    Row { offset, session_id, attributes: Arc::clone(&session.attributes), event }
}

/// What events of orders say. Few orders, so that they are repeated, given back in pieces, in part in other currencies, and
/// before they arrive.
fn order(dice: &mut Dice, event: &mut Event<'_>) {
    event.order_id = dice.pick(&["", "1", "2", "3", "4", "5", "6", "Ä", "it's"]).into();
    if event.name != "order_cancelled" && dice.chance(90) {
        event.currency = dice.pick(&CURRENCIES).into();
        let most = if event.name == "refund" { 20_000 } else { 100_000 };
        event.value_minor = Some(dice.roll(most) as i64);
        if dice.chance(2) {
            event.value_minor = Some(9_999_999_999_999_999);
        }
    } else {
        (event.currency, event.value_minor) = ("".into(), None);
    }
}

/// Rates of some days, against the dollar: none of Swiss francs, few of yen.
fn rates(dice: &mut Dice, around_ms: i64) -> Rates {
    let today = i32::try_from(around_ms.div_euclid(86_400_000)).expect("a day");
    let mut rates = Vec::new();
    for day in today - 14..today + 8 {
        for (currency, percent) in [("EUR", 60), ("KWD", 30), ("JPY", 5)] {
            if dice.chance(percent) {
                let units = dice.roll(rates::RATE_ONE as u64 * 200) as i64 + 1;
                rates.push(Rate { day, currency: currency.to_owned(), units });
            }
        }
    }
    Rates::new("USD", dice.roll(6) as u16, rates)
}

/// Visits and events of two sites, written in several commits to every store.
fn fill(dice: &mut Dice, stores: &[&dyn EventStore], around_ms: i64) {
    let mut offset = 0;
    for _ in 0..4 {
        let mut batch = Batch::default();
        for _ in 0..12 {
            offset += 1;
            let site_id = SiteId(if dice.chance(85) { 1 } else { 2 });
            let session = session(dice, site_id, offset, around_ms);
            for _ in 0..=dice.roll(5) {
                offset += 1;
                batch.rows.push(row(dice, offset, &session));
            }
            batch.sessions.push(SessionChange::new(session, false));
        }
        batch.watermark = Watermark { offset, received_at_ms: 0 };
        for store in stores {
            store.commit(&batch).expect("the batch is stored");
        }
    }
}

const CURRENCIES: [&str; 7] = ["EUR", "EUR", "USD", "JPY", "KWD", "CHF", "usd"];
const MONEY: [&str; 9] = [
    "conversions",
    "orders",
    "revenue",
    "refunds",
    "net_revenue",
    "average_order_value",
    "cost_per_conversion",
    "roas",
    "roi",
];

fn goals() -> Vec<Goal> {
    let goal = |name: &str, trigger, currency: &str, props: &[(&str, &str)]| Goal {
        currency: currency.to_owned(),
        conditions: props.iter().map(|(key, value)| Condition::equals(key, value)).collect(),
        ..Goal::new(name, trigger)
    };
    let large = Goal {
        value_minor_min: Some(50_000),
        ..goal("Large order", Trigger::Event("Signup".to_owned()), "EUR", &[])
    };
    let section = Trigger::Section { section: "*ri*".to_owned(), path: "*".to_owned() };
    let stayed = Trigger::Engaged { path: None, time_ms: 60_000 };
    let read = Trigger::Engaged { path: Some("/b*".to_owned()), time_ms: 20_000 };
    vec![
        goal("Signup", Trigger::Event("Signup".to_owned()), "", &[]),
        goal("Blog", Trigger::Page("/b*".to_owned()), "", &[]),
        goal("Deep", Trigger::Scroll { path: "/*".to_owned(), threshold: 50 }, "", &[]),
        goal("Paid", Trigger::Event("Größe".to_owned()), "EUR", &[("plan", "pro")]),
        goal("Opened", Trigger::Event("email_open".to_owned()), "", &[]),
        goal("Odd", Trigger::Page("*%*".to_owned()), "USD", &[]),
        goal("Read section", section, "", &[]),
        goal("Stayed", stayed, "", &[]),
        goal("Studied", read, "", &[]),
        large,
    ]
}

/// Asks both stores; returns whether the question was one.
fn agree(
    duck: &DuckStore,
    reference: &ReferenceStore,
    body: &Value,
    asking: &Asking<'_>,
    pricing: &Arc<Pricing>,
    seed: u64,
    seen: &mut Seen,
) -> Option<usize> {
    let question = Question::parse(body, asking).ok()?;
    seen.note(&question);
    let question = match question.sums().is_empty() {
        true => question,
        false => question.counted(Arc::clone(pricing)),
    };
    let found = duck.ask(&question).unwrap_or_else(|error| panic!("seed {seed}: {error}: {body}"));
    let expected = reference.ask(&question).expect("an answer");
    assert_eq!(found, expected, "seed {seed}: {body}");
    let groups = |keys: &[cairn_model::answer::Key]| {
        keys.iter()
            .filter(|key| !matches!(key, cairn_model::answer::Key::Bucket(_)))
            .cloned()
            .collect()
    };
    let groups = found.rows.iter().map(|row| groups(&row.keys)).collect();
    if let Some(compared) = question.compared((!question.dimensions.is_empty()).then_some(groups)) {
        assert_eq!(
            duck.ask(&compared).expect("an answer"),
            reference.ask(&compared).expect("an answer"),
            "seed {seed}, compared: {body}"
        );
    }
    let telling =
        |row: &&cairn_model::answer::Row| row.figures.iter().any(|figure| figure.raw() > Some(0));
    Some(found.rows.iter().filter(telling).count())
}

/// Both stores, filled with the same events around a day.
fn stores(dice: &mut Dice, day: &str) -> (i64, tempfile::TempDir, DuckStore, ReferenceStore) {
    let around_ms = seconds(&format!("{day}T06:00:00Z")) * 1000;
    let directory = tempfile::tempdir().expect("a directory");
    let duck = DuckStore::open(directory.path(), DuckOptions::default()).expect("the store opens");
    let reference = ReferenceStore::new();
    fill(dice, &[&duck, &reference], around_ms);
    (around_ms, directory, duck, reference)
}

fn asking<'a>(
    dice: &mut Dice,
    goals: &'a [Goal],
    around_ms: i64,
    first_event_ms: Option<i64>,
) -> Asking<'a> {
    Asking {
        site_id: SiteId(1),
        timezone: dice.pick(&ZONES),
        now_ms: around_ms + 4 * 86_400_000,
        first_event_ms,
        goals,
    }
}

/// Amounts of forty days in one currency.
fn pricing(
    dice: &mut Dice,
    rates: &Rates,
    currencies: &[String],
    asking: &Asking<'_>,
    around_ms: i64,
) -> Arc<Pricing> {
    let day_ms = 86_400_000;
    let range =
        Range { from_s: (around_ms - 20 * day_ms) / 1000, to_s: (around_ms + 20 * day_ms) / 1000 };
    let zone = TimeZone::get(asking.timezone).expect("a zone");
    let currency = dice.pick(&["EUR", "EUR", "USD", "KWD", "GBP"]);
    Arc::new(Pricing::of(rates, currency, currencies, range, &zone))
}

/// What was asked for at least once.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    fn note(&mut self, question: &Question) {
        let Seen(names) = self;
        names.extend(question.metrics.iter().map(|metric| metric.name().to_owned()));
        names.extend(question.dimensions.iter().map(Dimension::name));
        let mut test = |test: &cairn_model::question::Test| {
            names.insert(format!("filter {}", test.subject.name()));
            let operator = match test.operator {
                Operator::Is => "is",
                Operator::Contains => "contains",
                Operator::Matches(_) => "matches",
            };
            let case = if test.case_sensitive { "" } else { " any case" };
            names.insert(format!("{operator} {}{case}", if test.negated { "not" } else { "" }));
        };
        for filter in &question.filters {
            filter.for_each_test(&mut test);
        }
        names.extend(question.filters.iter().filter_map(|filter| match filter {
            Filter::Done { negated, .. } => Some(format!("done {negated}")),
            _ => None,
        }));
        let mode = question.include.comparison.as_ref().map(|one| one.mode);
        names.extend(mode.map(|mode| format!("{mode:?}")));
    }

    /// Every metric and dimension, every operator, both behavioural filters and all comparisons were asked.
    fn assert_whole(&self) {
        let mut wanted: Vec<String> =
            Metric::all().map(|metric| metric.name().to_owned()).collect();
        let dimensions = Dimension::all().into_iter().map(|(_, dimension)| dimension);
        for name in
            dimensions.filter(|one| !matches!(one, Dimension::Prop(_))).map(|one| one.name())
        {
            if !name.starts_with("time:") {
                wanted.push(format!("filter {name}"));
            }
            wanted.push(name);
        }
        for operator in ["is", "contains", "matches"] {
            wanted.extend([format!("{operator} "), format!("{operator} not")]);
        }
        for operator in ["is", "contains"] {
            wanted.extend([format!("{operator}  any case"), format!("{operator} not any case")]);
        }
        wanted.extend(["done true".to_owned(), "done false".to_owned()]);
        let modes =
            [ComparisonMode::PreviousPeriod, ComparisonMode::YearOverYear, ComparisonMode::Custom];
        wanted.extend(modes.map(|mode| format!("{mode:?}")));
        wanted.retain(|name| !self.0.contains(name));
        assert!(wanted.is_empty(), "never asked: {wanted:?}");
    }
}

fn assert_spellings(duck: &DuckStore, reference: &ReferenceStore) {
    let folded = ["a", "ä", "ix", "ß", ""].map(str::to_owned);
    for attribute in [Attribute::UtmCampaign, Attribute::Source] {
        let of = |store: &dyn EventStore| store.spellings(SiteId(1), attribute, &folded);
        let mut expected = of(reference).expect("an answer");
        // Whether the missing text is listed does not matter: it is written in one way.
        expected.retain(|text| !text.is_empty());
        let mut found = of(duck).expect("an answer");
        found.retain(|text| !text.is_empty());
        assert_eq!(found, expected);
    }
}

const TALLIES_PER_SEED: usize = 8;

fn rounds(seeds: std::ops::Range<u64>, questions: usize) {
    let goals = goals();
    let (mut asked, mut telling, mut pages) = (0, 0, 0);
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let day = DAYS[(seed % 6) as usize];
        let (around_ms, _directory, duck, reference) = stores(&mut dice, day);
        let first_event_ms = reference.first_event_ms(SiteId(1)).expect("an answer");
        assert_eq!(duck.first_event_ms(SiteId(1)).expect("an answer"), first_event_ms);
        let rates = rates(&mut dice, around_ms);
        let currencies = duck.currencies(SiteId(1)).expect("an answer");
        assert_eq!(currencies, reference.currencies(SiteId(1)).expect("an answer"));
        assert_spellings(&duck, &reference);
        for number in 0..questions {
            let asking = asking(&mut dice, &goals, around_ms, first_event_ms);
            let pricing = pricing(&mut dice, &rates, &currencies, &asking, around_ms);
            // Most random bodies break a rule of the language: take the first one that does not.
            let mut body = random_body(&mut dice, day);
            if number < TALLIES_PER_SEED {
                // Each of them is asked for alone once: there are many.
                let place = seed as usize * TALLIES_PER_SEED + number;
                let metric = tallies()[place % tallies().len()];
                let dimensions: &[&str] =
                    if metric == "ad_cost" { &["event:props:cost_currency"] } else { &[] };
                (body["metrics"], body["dimensions"]) = (json!([metric]), json!(dimensions));
                (body["order_by"], body["filters"]) = (json!([]), json!([]));
            }
            for _ in 0..40 {
                let rows = agree(&duck, &reference, &body, &asking, &pricing, seed, &mut seen);
                if let Some(rows) = rows {
                    asked += 1;
                    telling += usize::from(rows > 0);
                    break;
                }
                body = random_body(&mut dice, day);
            }
            let (before, limit) =
                (dice.chance(50).then(|| dice.roll(250)), dice.roll(30) as u32 + 1);
            let listed =
                EventsQuestion::parse(&body["filters"], &Value::Null, before, Some(limit), &asking);
            if let Ok(listed) = listed {
                let found = duck
                    .events_page(&listed)
                    .unwrap_or_else(|error| panic!("seed {seed}: {error}: {body}"));
                assert_eq!(
                    found,
                    reference.events_page(&listed).expect("an answer"),
                    "seed {seed}, events: {body}"
                );
                pages += 1;
            }
        }
    }
    let tried = seeds.count() * questions;
    eprintln!(
        "{asked} questions ({telling} with figures above 0) and {pages} lists of events agree"
    );
    seen.assert_whole();
    assert!(telling * 10 > asked * 3, "too many answers were empty");
    assert!(
        asked * 10 > tried * 9 && pages * 4 > tried,
        "too few of the random bodies were questions"
    );
}

/// `CAIRN_QUESTION_SEEDS=500` looks further than every run of the tests can afford.
fn seeds(otherwise: u64) -> u64 {
    let seeds = std::env::var("CAIRN_QUESTION_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    seeds.unwrap_or(otherwise)
}

#[test]
fn random_questions_get_equal_answers() {
    rounds(1..seeds(12) + 1, 80);
}
