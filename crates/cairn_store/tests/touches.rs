//! Paths to conversions: small histories with paths worked out by hand, asked of both stores.

#![cfg(feature = "duckdb")]

use std::sync::Arc;

use cairn_model::question::{Asking, AttributionQuestion, Goal, Trigger};
use cairn_model::session::Attributes;
use cairn_model::touches::{Touch, TouchKind, TouchPath, TouchPaths};
use cairn_model::{Event, Identification, Session, SiteId, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::reference::ReferenceStore;
use cairn_store::{Batch, EventStore, Row, SessionChange, Watermark};
use serde_json::{Value, json};

const SITE: SiteId = SiteId(1);
/// 1 June 2026, 0:00 UTC: the range asked for are the thirty days from then on.
const JUNE_MS: i64 = 1_780_272_000_000;
const DAY_MS: i64 = 86_400_000;

/// A history that is told visit by visit.
#[derive(Default)]
struct History {
    batch: Batch<'static>,
}

/// A visit or an event that was told, to be changed.
struct Told<'h> {
    batch: &'h mut Batch<'static>,
    row: usize,
}

impl Told<'_> {
    fn event(&mut self) -> &mut Event<'static> {
        &mut self.batch.rows[self.row].event
    }

    fn with(mut self, change: impl FnOnce(&mut Event<'static>)) -> Self {
        change(self.event());
        self
    }

    fn costs(self, value_minor: i64, currency: &'static str) -> Self {
        self.with(|event| {
            event.value_minor = Some(value_minor);
            event.currency = currency.into();
        })
    }

    fn by_user(self, user_key: u64) -> Self {
        self.with(|event| event.user_key = user_key)
    }
}

impl History {
    /// An event of a visit from this source (empty = direct), so many days after 1 June; no visit has the number 0.
    fn event(
        &mut self,
        name: &'static str,
        visitor: u64,
        visit: u64,
        source: &'static str,
        day: f64,
    ) -> Told<'_> {
        let offset = self.batch.rows.len() as u64 + 1;
        let mut event = Event::bare(SITE, name, JUNE_MS + (day * DAY_MS as f64) as i64);
        event.visitor_id = VisitorId(visitor);
        event.identification = Identification::Identified;
        let mut of_visit = event.clone();
        of_visit.source = source.into();
        of_visit.channel = if source.is_empty() { "Direct" } else { source }.into();
        let attributes = Arc::new(Attributes::of(&of_visit));
        self.batch.rows.push(Row { offset, session_id: visit, attributes, event });
        Told { row: self.batch.rows.len() - 1, batch: &mut self.batch }
    }

    /// A visit, its number and its page view.
    fn visit(&mut self, visitor: u64, source: &'static str, day: f64) -> u64 {
        let visit = self.batch.sessions.len() as u64 + 1;
        let row = self.event("page_view", visitor, visit, source, day).row;
        let row = &self.batch.rows[row];
        let at_ms = row.event.timestamp_ms;
        let session = Session {
            site_id: SITE,
            session_id: visit,
            visitor_id: VisitorId(visitor),
            identification: Identification::Identified,
            session_key: 0,
            started_at_ms: at_ms,
            ended_at_ms: at_ms,
            last_activity_ms: at_ms,
            last_received_ms: at_ms,
            pageviews: 1,
            events: 1,
            entry_hostname: String::new(),
            entry_page: String::new(),
            exit_hostname: String::new(),
            exit_page: String::new(),
            attributes: Arc::clone(&row.attributes),
        };
        self.batch.sessions.push(SessionChange::new(session, false));
        visit
    }

    /// A visit in which somebody signs up an hour later.
    fn converting(&mut self, visitor: u64, source: &'static str, day: f64) -> Told<'_> {
        let visit = self.visit(visitor, source, day);
        self.event("Signup", visitor, visit, source, day + 1.0 / 24.0)
    }

    /// What both stores answer.
    fn ask(mut self, more: Value) -> TouchPaths {
        let goals = [
            goal("Signup", Trigger::Event("Signup".to_owned())),
            goal("Deep", Trigger::Scroll { path: "*".to_owned(), threshold: 50 }),
        ];
        let mut body = json!({"date_range": ["2026-06-01", "2026-06-30"], "goal": "Signup"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let asking = Asking {
            site_id: SITE,
            timezone: "Etc/UTC",
            now_ms: JUNE_MS,
            first_event_ms: None,
            goals: &goals,
        };
        let asked = AttributionQuestion::parse(&body, &asking, "EUR").expect("a question");
        let directory = tempfile::tempdir().expect("a directory");
        let duck =
            DuckStore::open(directory.path(), DuckOptions::default()).expect("the store opens");
        let reference = ReferenceStore::new();
        self.batch.watermark = Watermark { offset: 1_000, received_at_ms: 0 };
        duck.commit(&self.batch).expect("the batch is stored");
        reference.commit(&self.batch).expect("the batch is stored");
        let found = duck.touch_paths(&asked).expect("an answer");
        let expected = reference.touch_paths(&asked).expect("an answer");
        assert_eq!(shown(&found), shown(&expected));
        expected
    }
}

fn goal(name: &str, trigger: Trigger) -> Goal {
    Goal::new(name.to_owned(), trigger)
}

fn words(path: &TouchPath) -> String {
    let word = |touch: &Touch| match touch.kind {
        TouchKind::Direct => "direct".to_owned(),
        TouchKind::Visit => touch.value.clone(),
        TouchKind::View => format!("{} seen", touch.value),
    };
    path.touches.iter().map(word).collect::<Vec<_>>().join(" > ")
}

/// Paths with conversions, their amount and people without conversion.
fn shown(found: &TouchPaths) -> Vec<(String, u64, i128, u64)> {
    let paths = found.paths.iter();
    paths.map(|path| (words(path), path.conversions, path.value_minor, path.without)).collect()
}

fn row(path: &str, conversions: u64, value_minor: i128, without: u64) -> (String, u64, i128, u64) {
    (path.to_owned(), conversions, value_minor, without)
}

#[test]
fn equal_paths_are_counted_together_and_look_back_so_far() {
    let mut history = History::default();
    for visitor in [1, 2] {
        history.visit(visitor, "Ads", -3.0);
        history.visit(visitor, "Google", 1.0);
        history.converting(visitor, "", 4.0).costs(1050, "EUR");
    }
    // A visit thirty days before the conversion is too old, one of a moment later is not.
    history.visit(3, "Ads", 1.0 / 24.0 - 20.0);
    history.visit(3, "Mail", 1.0 / 24.0 - 19.9);
    history.converting(3, "Mail", 10.0).costs(500, "USD");
    history.visit(4, "Google", 2.0);
    history.visit(5, "Google", -2.0);
    let found = history.ask(json!({}));
    assert_eq!(
        shown(&found),
        [
            row("Ads > Google > direct", 2, 2100, 0),
            row("Mail > Mail", 1, 0, 0),
            row("Google", 0, 0, 1)
        ]
    );
    let totals = (found.conversions, found.value_minor, found.without, found.paths_total);
    assert_eq!(totals, (3, 2100, 1, 3));
    assert_eq!((found.other_currency, found.shortened, found.anonymous), (1, 0, 0));
    let hours = found.paths[0].duration_ms / 3_600_000;
    assert_eq!(hours, 2 * (7 * 24 + 1));
    // Ages of 7, 3 and 0 days and an hour; the common hour changes no share.
    let weights = [0.5, 2_f64.powf(-3.0 / 7.0), 1.0];
    let sum: f64 = weights.iter().sum();
    for (share, weight) in found.paths[0].decay.iter().zip(weights) {
        assert!((share - 2.0 * weight / sum).abs() < 1e-12);
    }
}

#[test]
fn every_conversion_looks_back_over_the_whole_window() {
    let mut history = History::default();
    history.converting(1, "Ads", 1.0);
    history.converting(1, "Google", 5.0);
    // What comes after the last conversion is no path without one.
    history.visit(1, "Mail", 6.0);
    let found = history.ask(json!({}));
    assert_eq!(shown(&found), [row("Ads", 1, 0, 0), row("Ads > Google", 1, 0, 0)]);
}

#[test]
fn a_user_is_one_person_on_several_browsers_and_a_shared_browser_is_nobody_else() {
    let mut history = History::default();
    let on_phone = history.visit(1, "Ads", 1.0);
    history.event("page_view", 1, on_phone, "Ads", 1.0).by_user(7);
    history.converting(2, "Google", 2.0).by_user(7);
    // A browser of two users.
    let shared = history.visit(3, "Mail", 3.0);
    history.event("page_view", 3, shared, "Mail", 3.0).by_user(7);
    history.event("page_view", 3, shared, "Mail", 3.1).by_user(8);
    let found = history.ask(json!({}));
    assert_eq!(shown(&found), [row("Ads > Google", 1, 0, 0), row("Mail", 0, 0, 1)]);
}

#[test]
fn views_of_advertisements_count_apart_and_only_where_asked_for() {
    let history = || {
        let mut history = History::default();
        history.event("ad_viewable", 1, 0, "Ads", 1.5);
        history.event("ad_viewable", 1, 0, "Ads", 0.5);
        history.converting(1, "Google", 2.0);
        history.event("ad_viewable", 2, 0, "Ads", 3.0);
        // Nobody's views: the campaign stands in for the visitor.
        history.event("ad_viewable", 3, 0, "Ads", 3.0).event().identification =
            Identification::Anonymous;
        history
    };
    assert_eq!(shown(&history().ask(json!({}))), [row("Google", 1, 0, 0)]);
    assert_eq!(
        shown(&history().ask(json!({"view_through": true}))),
        [row("Ads seen > Google", 1, 0, 0), row("Ads seen", 0, 0, 1)]
    );
    assert_eq!(
        shown(&history().ask(json!({"view_through": {"window_days": 2}})))[0],
        row("Ads seen > Ads seen > Google", 1, 0, 0)
    );
}

#[test]
fn a_conversion_without_a_visit_has_the_source_that_it_came_with() {
    let mut history = History::default();
    history.event("purchase", 9, 0, "Network", 2.0).costs(100, "EUR").event().identification =
        Identification::Anonymous;
    // What is looked at has its price, and is no purchase.
    history.event("view_item", 9, 0, "Network", 1.9).costs(900, "EUR");
    let found = history.ask(json!({"revenue": true, "goal": null}));
    assert_eq!(shown(&found), [row("Network", 1, 100, 0)]);
    assert_eq!(found.anonymous, 1);
}

#[test]
fn depth_converts_once_in_a_visit() {
    let mut history = History::default();
    let visit = history.visit(1, "Ads", 1.0);
    for (day, depth) in [(1.01, 40), (1.02, 60), (1.03, 90)] {
        let mut told = history.event("engagement", 1, visit, "Ads", day);
        told.event().scroll_percent = Some(depth);
    }
    let found = history.ask(json!({"goal": "Deep"}));
    assert_eq!(shown(&found), [row("Ads", 1, 0, 0)]);
    assert_eq!(found.paths[0].duration_ms, i128::from(DAY_MS) / 50);
}

#[test]
fn an_order_is_one_conversion_and_filters_leave_paths_whole() {
    let history = || {
        let mut history = History::default();
        let mut buy = |visitor: u64, source: &'static str, day: f64, order: &'static str| {
            let visit = history.visit(visitor, source, day);
            let bought = history.event("purchase", visitor, visit, source, day + 0.1);
            bought.costs(1000, "EUR").with(|event| event.order_id = order.into());
        };
        buy(1, "Ads", 1.0, "a");
        // The thank-you page again, in a later visit; and an order that was first made before the range.
        buy(1, "Mail", 2.0, "a");
        buy(2, "Google", -1.0, "b");
        buy(2, "Google", 3.0, "b");
        buy(3, "Mail", 4.0, "");
        buy(3, "Google", 5.0, "");
        history.visit(4, "Google", 6.0);
        history.visit(5, "Ads", 6.0);
        history
    };
    let revenue = json!({"goal": null, "revenue": true});
    let all = history().ask(revenue.clone());
    assert_eq!(
        shown(&all),
        [
            row("Ads", 1, 1000, 1),
            row("Mail", 1, 1000, 0),
            row("Mail > Google", 1, 1000, 0),
            row("Google > Google", 0, 0, 1),
            row("Google", 0, 0, 1),
        ]
    );
    let mut filtered = revenue;
    filtered["filters"] = json!([["is", "visit:source", ["Google"]]]);
    let found = history().ask(filtered);
    assert_eq!((found.conversions, found.value_minor), (1, 1000));
    assert_eq!(
        shown(&found),
        [row("Mail > Google", 1, 1000, 0), row("Google > Google", 0, 0, 1), row("Google", 0, 0, 1)]
    );
}
