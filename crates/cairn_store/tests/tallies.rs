//! Metrics of sections, forms, Web Vitals, mails, ads and revenue: small histories with figures worked out by hand, asked of both
//! stores.

#![cfg(feature = "duckdb")]

use std::sync::Arc;

use cairn_model::event::OFF_SITE;
use cairn_model::question::{Asking, Goal, Question, Trigger};
use cairn_model::session::Attributes;
use cairn_model::{Event, Identification, Session, SiteId, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::reference::ReferenceStore;
use cairn_store::{Batch, EventStore, Row, SessionChange, Watermark};
use serde_json::{Value, json};

const SITE: SiteId = SiteId(1);
/// 1 June 2026, noon.
const NOON_MS: i64 = 1_780_315_200_000;

/// A history that is told event by event; every visit has a visitor of its number.
#[derive(Default)]
struct History {
    rows: Vec<Row<'static>>,
    goals: Vec<Goal>,
}

impl History {
    /// An event of a visit; `bot` is the reason why it is one.
    fn add(&mut self, visit: u64, name: &'static str, bot: &str) -> &mut Event<'static> {
        let offset = self.rows.len() as u64 + 1;
        let mut event = Event::bare(SITE, name, NOON_MS + offset as i64 * 1000);
        event.visitor_id = VisitorId(visit);
        event.path = "/".into();
        let mut of_visit = event.clone();
        of_visit.bot = bot.to_owned().into();
        let attributes = Arc::new(Attributes::of(&of_visit));
        let session_id = if OFF_SITE.contains(&name) { 0 } else { visit };
        self.rows.push(Row { offset, session_id, attributes, event });
        &mut self.rows.last_mut().expect("an event was added").event
    }

    fn with_props(&mut self, visit: u64, name: &'static str, bot: &str, props: Value) {
        self.add(visit, name, bot).props = props.to_string().into();
    }

    fn section(&mut self, visit: u64, path: &'static str, id: &'static str, ms: u32, read: bool) {
        let reading = if read { "read" } else { "skimmed" };
        let event = self.add(visit, "engagement", "");
        event.path = path.into();
        event.section_id = id.into();
        event.section_visible_ms = Some(ms);
        event.props = json!({ "reading": reading }).to_string().into();
    }

    /// What both stores answer: rows of labels and figures, in order.
    fn ask(
        &self,
        metrics: &[&str],
        dimensions: &[&str],
        filters: Value,
    ) -> Vec<(Vec<String>, Value)> {
        let directory = tempfile::tempdir().expect("a directory");
        let duck =
            DuckStore::open(directory.path(), DuckOptions::default()).expect("the store opens");
        let reference = ReferenceStore::new();
        let mut batch = Batch { rows: self.rows.clone(), ..Batch::default() };
        let mut visits: Vec<u64> = self.rows.iter().map(|row| row.session_id).collect();
        visits.sort_unstable();
        visits.dedup();
        for visit in visits.into_iter().filter(|visit| *visit != 0) {
            let of_visit = || self.rows.iter().filter(move |row| row.session_id == visit);
            let first = of_visit().next().expect("a visit has events");
            let times = || of_visit().map(|row| row.event.timestamp_ms);
            let session = Session {
                site_id: SITE,
                session_id: visit,
                visitor_id: VisitorId(visit),
                identification: first.event.identification,
                session_key: 0,
                started_at_ms: times().min().expect("a time"),
                ended_at_ms: times().max().expect("a time"),
                last_activity_ms: times().max().expect("a time"),
                last_received_ms: 0,
                pageviews: of_visit().filter(|row| row.event.name == "page_view").count() as u32,
                events: of_visit().filter(|row| !row.event.is_engagement()).count() as u32,
                entry_hostname: String::new(),
                entry_page: "/".to_owned(),
                exit_hostname: String::new(),
                exit_page: "/".to_owned(),
                attributes: Arc::clone(&first.attributes),
            };
            batch.sessions.push(SessionChange::new(session, false));
        }
        batch.watermark = Watermark { offset: self.rows.len() as u64, received_at_ms: 0 };
        let body = json!({
            "site_id": "s", "metrics": metrics, "dimensions": dimensions, "filters": filters,
            "date_range": ["2026-06-01", "2026-06-01"],
        });
        let asking = Asking {
            site_id: SITE,
            timezone: "Etc/UTC",
            now_ms: NOON_MS,
            first_event_ms: None,
            goals: &self.goals,
        };
        let question = Question::parse(&body, &asking).expect("a question");
        let [answer, other] = [&duck as &dyn EventStore, &reference].map(|store| {
            store.commit(&batch).expect("the history is stored");
            store.ask(&question).expect("an answer")
        });
        assert_eq!(answer, other, "{body}");
        let labels = |row: &cairn_model::answer::Row| {
            row.keys.iter().enumerate().map(|(index, key)| question.label(index, key)).collect()
        };
        let figures = |row: &cairn_model::answer::Row| {
            json!(row.figures.iter().map(|figure| figure.decimal()).collect::<Vec<_>>())
        };
        answer.rows.iter().map(|row| (labels(row), figures(row))).collect()
    }

    /// The only row of a question without dimensions.
    fn total(&self, metrics: &[&str], filters: Value) -> Value {
        self.ask(metrics, &[], filters).remove(0).1
    }
}

fn row(label: &str, figures: Value) -> (Vec<String>, Value) {
    (vec![label.to_owned()], figures)
}

fn sections() -> History {
    let mut history = History::default();
    history.add(1, "page_view", "");
    history.section(1, "/", "pricing", 1_500, false);
    // The same view, told once more.
    history.section(1, "/", "pricing", 2_600, true);
    history.section(1, "/", "footer", 400, false);
    // On another page it is another view.
    history.section(1, "/about", "pricing", 0, false);
    history.add(2, "page_view", "");
    history.section(2, "/", "pricing", 2_000, true);
    // Of no visit, and of a bot: not counted.
    history.section(0, "/", "pricing", 9_000, true);
    history.add(3, "page_view", "declared");
    history.add(3, "engagement", "declared").section_id = "pricing".into();
    // Engagement without a section.
    history.add(2, "engagement", "").engagement_ms = Some(7_000);
    history
}

#[test]
fn sections_are_counted_by_visit_page_and_section() {
    let history = sections();
    let metrics =
        ["section_views", "section_time_total_s", "section_time_mean_s", "section_read_rate"];
    assert_eq!(
        history.ask(&metrics, &["event:section"], json!([])),
        [
            // 6.1 s in three views: 2.03 s each; two of three were read.
            row("pricing", json!([3.0, 6.0, 2.0, 66.7])),
            row("footer", json!([1.0, 0.0, 0.4, 0.0])),
        ]
    );
    assert_eq!(history.total(&metrics, json!([])), json!([4.0, 7.0, 1.6, 50.0]));
    assert_eq!(
        history.total(&metrics, json!([["is", "event:page", ["/nowhere"]]])),
        json!([0.0, 0.0, null, null])
    );
}

#[test]
fn sections_group_and_filter_visits_and_stay_hidden_otherwise() {
    let history = sections();
    let ordinary = ["visitors", "visits", "pageviews", "events"];
    assert_eq!(history.total(&ordinary, json!([])), json!([2.0, 2.0, 2.0, 2.0]));
    assert_eq!(
        history.ask(&["visitors", "percentage"], &["event:section"], json!([])),
        [row("pricing", json!([2.0, 100.0])), row("footer", json!([1.0, 50.0]))]
    );
    // On the same event: a page view is no section.
    let footer = json!(["is", "event:section", ["footer"]]);
    assert_eq!(history.total(&ordinary, json!([footer])), json!([1.0, 1.0, 0.0, 0.0]));
    // Of the same visit.
    let seen = json!([["has_done", footer]]);
    assert_eq!(history.total(&ordinary, seen.clone()), json!([1.0, 1.0, 1.0, 1.0]));
    assert_eq!(
        history.total(&ordinary, json!([["has_not_done", footer]])),
        json!([1.0, 1.0, 1.0, 1.0])
    );
    assert_eq!(history.ask(&["section_views"], &["event:section"], seen).len(), 2);
    // Beside page views, both sides of a question keep to their own.
    let both = ["pageviews", "visitors", "section_views", "bounce_rate"];
    assert_eq!(history.total(&both, json!([])), json!([2.0, 2.0, 4.0, 100.0]));
}

#[test]
fn forms_are_told_by_what_names_them() {
    let mut history = History::default();
    let news = json!({"form_id": "", "form_name": "news", "form_destination": "/news"});
    let order = json!({"form_id": "order", "form_destination": "/order"});
    history.with_props(1, "form_start", "", news.clone());
    history.with_props(1, "form_leave", "", news.clone());
    // Came back, and sent it twice.
    history.with_props(1, "form_submit", "", news.clone());
    history.with_props(1, "form_submit", "", news.clone());
    history.with_props(2, "form_start", "", news.clone());
    history.with_props(3, "form_start", "", news);
    history.with_props(3, "form_submit", "", order);
    history.add(4, "page_view", "");
    let metrics = [
        "form_starts",
        "form_submits",
        "form_leaves",
        "form_completion_rate",
        "form_abandonment_rate",
    ];
    assert_eq!(
        history.ask(&metrics, &["event:form"], json!([])),
        [
            row("news", json!([3.0, 2.0, 1.0, 33.3, 66.7])),
            row("order", json!([0.0, 1.0, 0.0, 100.0, 0.0])),
        ]
    );
    let of_order = json!([["contains", "event:form", ["ORD"], {"case_sensitive": false}]]);
    assert_eq!(history.total(&["form_submits", "visitors"], of_order), json!([1.0, 1.0]));
    assert_eq!(
        history.ask(&["events"], &["event:form"], json!([])),
        [row("news", json!([6.0])), row("order", json!([1.0]))],
        "events that name no form have no row"
    );
}

#[test]
fn elements_are_called_by_their_words_first() {
    let mut history = History::default();
    let button = json!({"element": "button", "element_id": "buy", "element_text": "Buy"});
    history.with_props(1, "click", "", button);
    history.with_props(1, "click", "", json!({"element": "button", "element_id": "burger"}));
    history.with_props(2, "click", "", json!({"element": "a", "link_url": "https://a.example/"}));
    history.with_props(2, "click", "", json!({"element": "summary"}));
    history.add(2, "page_view", "");
    let labels = history.ask(&["events"], &["event:element"], json!([])).into_iter();
    let labels: Vec<String> = labels.flat_map(|(labels, _)| labels).collect();
    assert_eq!(labels, ["Buy", "burger", "https://a.example/", "summary"]);
}

#[test]
fn percentiles_of_vitals_are_nearest_ranks() {
    let mut history = History::default();
    for (visit, lcp_ms, cls) in
        [(1, "1200", "0"), (2, "2500", "0.1"), (3, "4001", "0.2501"), (4, "900", "0.05")]
    {
        let vitals = json!({"lcp_ms": lcp_ms, "cls": cls});
        history.with_props(visit, "engagement", "", vitals);
    }
    // No number, of a bot, of no visit, and no report of engagement.
    history.with_props(1, "engagement", "", json!({"inp_ms": "fast"}));
    history.with_props(5, "engagement", "headless", json!({"lcp_ms": "90000"}));
    history.with_props(0, "engagement", "", json!({"lcp_ms": "90000"}));
    history.with_props(1, "page_view", "", json!({"lcp_ms": "90000"}));
    let metrics =
        ["vitals_samples", "lcp_p50_ms", "lcp_p75_ms", "lcp_p95_ms", "cls_p75", "inp_p75_ms"];
    assert_eq!(history.total(&metrics, json!([])), json!([5.0, 1200.0, 2500.0, 4001.0, 0.1, null]));
    assert_eq!(
        history.ask(&["lcp_p75_ms"], &["event:page"], json!([])),
        [row("/", json!([2500.0]))]
    );
    assert_eq!(
        history.total(&["lcp_p75_ms", "pageviews"], json!([])),
        json!([2500.0, 1.0]),
        "beside page views"
    );
}

fn mails() -> History {
    let mut history = History::default();
    let mail = |verdict: &str, campaign: &str| json!({"verdict": verdict, "campaign": campaign});
    for (visit, name, verdict) in [
        (1, "email_open", "human"),
        (1, "email_click", "human"),
        (2, "email_open", "unknown"),
        (3, "email_open", "machine"),
        (3, "email_click", "machine"),
        (3, "email_click", "machine"),
        (4, "link_click", "human"),
        (5, "link_click", "machine"),
    ] {
        let bot = if verdict == "machine" { "mail:burst" } else { "" };
        history.with_props(visit, name, bot, mail(verdict, "autumn"));
    }
    history.with_props(6, "email_open", "mail:too_soon", mail("machine", "scanned"));
    history.with_props(1, "email_open", "", mail("human", "autumn"));
    for row in history.rows.iter_mut().filter(|row| row.event.visitor_id == VisitorId(1)) {
        row.event.identification = Identification::Identified;
    }
    history
}

#[test]
fn mails_tell_raw_machines_and_people_apart_whatever_is_said_of_bots() {
    let history = mails();
    let campaign = ["event:props:campaign"];
    let opens = ["email_opens", "email_machine_opens", "email_human_opens", "email_openers"];
    assert_eq!(
        history.ask(&opens, &campaign, json!([])),
        [row("autumn", json!([4.0, 1.0, 2.0, 1.0])), row("scanned", json!([1.0, 1.0, 0.0, 0.0]))]
    );
    let clicks = [
        "email_clicks",
        "email_machine_clicks",
        "email_human_clicks",
        "email_clickers",
        "email_click_to_open_rate",
    ];
    assert_eq!(
        history.ask(&clicks, &campaign, json!([["is", "event:props:campaign", ["autumn"]]])),
        // One click that is no machine's by three opens.
        [row("autumn", json!([3.0, 2.0, 1.0, 1.0, 33.3]))]
    );
    assert_eq!(
        history.total(&["link_clicks", "link_machine_clicks", "link_human_clicks"], json!([])),
        json!([2.0, 1.0, 1.0])
    );
    // The ordinary metrics beside them are about the site, to which nobody came; where a question names mails, they leave
    // machines out as always.
    let beside = ["events", "visitors", "email_opens"];
    assert_eq!(history.total(&beside, json!([])), json!([0.0, 0.0, 5.0]));
    let named = json!([["is", "event:name", ["email_open"]]]);
    assert_eq!(history.total(&beside, named), json!([3.0, 2.0, 5.0]));
    // Who asks about bots gets what he asks for.
    let people = json!([["is", "visit:bot", ["false"]]]);
    assert_eq!(history.total(&opens, people), json!([3.0, 0.0, 2.0, 1.0]));
}

#[test]
fn ads_count_without_machines() {
    let mut history = History::default();
    for (name, verdict, times) in [
        ("ad_impression", "human", 5),
        ("ad_impression", "unknown", 3),
        ("ad_impression", "machine", 4),
        ("ad_viewable", "human", 2),
        ("ad_click", "human", 1),
        ("ad_click", "machine", 6),
    ] {
        for _ in 0..times {
            let bot = if verdict == "machine" { "ad:hosted_program" } else { "" };
            let visit = if verdict == "machine" { 9 } else { 1 };
            let props = json!({"verdict": verdict, "creative": "film"});
            history.with_props(visit, name, bot, props);
        }
    }
    let metrics = [
        "ad_impressions",
        "ad_machine_impressions",
        "ad_viewable_impressions",
        "ad_viewable_rate",
        "ad_clicks",
        "ad_machine_clicks",
        "ad_click_through_rate",
    ];
    assert_eq!(
        history.ask(&metrics, &["event:props:creative"], json!([])),
        [row("film", json!([8.0, 4.0, 2.0, 25.0, 1.0, 6.0, 12.5]))]
    );
}

#[test]
fn without_a_verdict_what_is_marked_as_a_bots_is_a_machines() {
    let mut history = History::default();
    for name in ["ad_impression", "ad_click", "email_open", "email_click", "link_click"] {
        history.add(1, name, "");
        history.with_props(2, name, "", json!({"verdict": "", "creative": "film"}));
        history.add(3, name, "declared:Googlebot");
        history.with_props(4, name, "declared:Googlebot", json!({"verdict": ""}));
        history.with_props(5, name, "declared:Googlebot", json!({"creative": "film"}));
        // A verdict is worth more than the mark.
        history.with_props(6, name, "declared:Googlebot", json!({"verdict": "human"}));
        history.with_props(7, name, "", json!({"verdict": "machine"}));
    }
    for row in &mut history.rows {
        row.event.identification = Identification::Identified;
    }
    for (metrics, figures) in [
        (["ad_impressions", "ad_machine_impressions"], [3.0, 4.0]),
        (["ad_clicks", "ad_machine_clicks"], [3.0, 4.0]),
        (["email_opens", "email_machine_opens"], [7.0, 4.0]),
        (["email_openers", "email_human_opens"], [3.0, 1.0]),
        (["email_clicks", "email_machine_clicks"], [7.0, 4.0]),
        (["email_clickers", "email_human_clicks"], [3.0, 1.0]),
        (["link_clicks", "link_machine_clicks"], [7.0, 4.0]),
    ] {
        assert_eq!(history.total(&metrics, json!([])), json!(figures), "{metrics:?}");
    }
}

#[test]
fn what_happened_away_from_the_site_counts_where_it_is_named() {
    let mut history = History::default();
    history.add(1, "page_view", "");
    history.add(1, "Signup", "");
    // Three people who never came.
    for visitor in [11, 12, 13] {
        history.add(0, "ad_impression", "").visitor_id = VisitorId(visitor);
    }
    history.add(0, "email_open", "").visitor_id = VisitorId(14);
    let site = history.total(&["visitors", "events", "visits", "pageviews"], json!([]));
    assert_eq!(site, json!([1.0, 2.0, 1.0, 1.0]));
    let by_page = history.ask(&["visitors", "events"], &["event:page"], json!([]));
    assert_eq!(by_page, [row("/", json!([1.0, 2.0]))]);
    let names = json!([["is", "event:name", ["ad_impression"]]]);
    assert_eq!(history.total(&["visitors", "events"], names), json!([3.0, 3.0]));
    let others = json!([["is_not", "event:name", ["Signup"]]]);
    assert_eq!(history.total(&["visitors", "events"], others), json!([1.0, 1.0]));
    let by_name = history.ask(&["events"], &["event:name"], json!([]));
    assert_eq!(by_name.len(), 4);
}

#[test]
fn costs_of_ads_are_exact_and_in_one_currency() {
    let mut history = History::default();
    let cost = |cost: &str, currency: &str| json!({"cost": cost, "cost_currency": currency});
    // No float holds a thousandth.
    (0..10).for_each(|_| history.with_props(1, "ad_impression", "", cost("0.001", "EUR")));
    history.with_props(2, "ad_click", "ad:hosted_program", cost("0.250000001", "EUR"));
    history.with_props(1, "ad_click", "", cost("2", "USD"));
    history.with_props(1, "ad_click", "", cost("dear", "USD"));
    history.with_props(1, "purchase", "", cost("5", "EUR"));
    let currency = ["event:props:cost_currency"];
    assert_eq!(
        history.ask(&["ad_cost"], &currency, json!([])),
        [row("USD", json!([2.0])), row("EUR", json!([0.260000001]))]
    );
    let euros = json!([["is", "event:props:cost_currency", ["EUR"]]]);
    assert_eq!(history.total(&["ad_cost", "ad_impressions"], euros), json!([0.260000001, 10.0]));
    let none = json!([["is", "event:props:cost_currency", ["CHF"]]]);
    assert_eq!(history.total(&["ad_cost"], none), json!([null]));
}

#[test]
fn a_click_that_landed_is_confirmed_once() {
    let mut history = History::default();
    let click = |verdict: &str| json!({"verdict": verdict, "campaign": "autumn"});
    let landed = |click: &str, thought: &str| json!({"click": click, "click_verdict": thought, "verdict": "human", "campaign": "autumn"});
    history.with_props(0, "email_click", "", click("human"));
    history.with_props(0, "click_landed", "", landed("email_click", "human"));
    history.with_props(0, "email_click", "", click("unknown"));
    history.with_props(0, "click_landed", "", landed("email_click", "unknown"));
    history.with_props(0, "email_click", "", click("unknown"));
    history.with_props(0, "link_click", "", click("unknown"));
    history.with_props(0, "click_landed", "", landed("link_click", "unknown"));
    history.with_props(0, "click_landed", "", landed("ad_click", "unknown"));
    let clicks = ["email_clicks", "email_human_clicks", "link_clicks", "link_human_clicks"];
    assert_eq!(history.total(&clicks, json!([])), json!([3.0, 2.0, 1.0, 1.0]));
    assert_eq!(
        history.ask(&clicks[..2], &["event:props:campaign"], json!([])),
        [row("autumn", json!([3.0, 2.0]))]
    );
    assert_eq!(history.total(&["events", "visitors"], json!([])), json!([0.0, 0.0]));
}

#[test]
fn a_pages_own_event_of_such_a_name_is_an_ordinary_one() {
    let mut history = History::default();
    history.add(1, "page_view", "");
    history.add(1, "link_click", "");
    history.rows.last_mut().expect("it was added").session_id = 1;
    history.with_props(0, "ad_click", "", json!({"cost": "5", "cost_currency": "EUR"}));
    history.rows.last_mut().expect("it was added").session_id = 1;
    let euros = json!([["is", "event:props:cost_currency", ["EUR"]]]);
    assert_eq!(history.total(&["ad_cost"], euros), json!([null]));
    assert_eq!(
        history.total(&["events", "link_clicks", "ad_clicks"], json!([])),
        json!([3.0, 0.0, 0.0])
    );
}

#[test]
fn amounts_are_those_of_goals_with_a_currency_and_count_once() {
    let mut history = History::default();
    for (name, value_minor) in [("purchase", 2_000), ("purchase", 500), ("add_to_cart", 900)] {
        let event = history.add(1, name, "");
        (event.value_minor, event.currency) = (Some(value_minor), "EUR".into());
    }
    let goal = |name: &str, event: &str, currency: &str, least: Option<i64>| Goal {
        currency: currency.to_owned(),
        value_minor_min: least,
        ..Goal::new(name, Trigger::Event(event.to_owned()))
    };
    history.goals = vec![
        goal("Bought", "purchase", "EUR", None),
        goal("Bought much", "purchase", "EUR", Some(1_000)),
        goal("Filled the cart", "add_to_cart", "", None),
    ];
    let amounts = |names: &[&str]| {
        history.total(&["total_revenue", "average_revenue"], json!([["is", "event:goal", names]]))
    };
    assert_eq!(amounts(&["Bought", "Filled the cart"]), json!([25.0, 12.5]));
    // One event that converts two goals is one amount.
    let all = ["Bought", "Bought much", "Filled the cart"];
    assert_eq!(amounts(&all), json!([25.0, 12.5]));
    assert_eq!(amounts(&["Bought much", "Filled the cart"]), json!([20.0, 20.0]));
}
