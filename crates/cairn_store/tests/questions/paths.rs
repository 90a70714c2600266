//! The same for funnels, journeys and retention, and what they answer about a few events that can be counted by hand.

use cairn_model::event::PAGE_VIEW;
use cairn_model::question::funnel::{Funnel, StepOrder, Waypoint, Window};
use cairn_model::question::journey::JourneyDirection;
use cairn_model::question::lists::Whose;
use cairn_model::question::{
    Condition, FunnelQuestion, JourneyQuestion, ListQuestion, RetentionQuestion, TimeUnit,
};

use super::*;

fn condition(dice: &mut Dice) -> Goal {
    let trigger = match dice.roll(11) {
        0 => Trigger::Event("Signup".to_owned()),
        1 => Trigger::Event(dice.pick(&["Größe", "form_submit", "email_click"]).to_owned()),
        2 | 9 => Trigger::Page("*".to_owned()),
        3 => Trigger::Page(dice.pick(&["/", "/a", "/b*", "*b*", "*Ä"]).to_owned()),
        4 => Trigger::Scroll { path: "/*".to_owned(), threshold: 40 },
        5 => Trigger::Section {
            section: dice.pick(&["*", "pricing", "*i*"]).to_owned(),
            path: dice.pick(&["*", "/b*"]).to_owned(),
        },
        6 => Trigger::Engaged { path: None, time_ms: dice.roll(80_000) as u32 + 1 },
        7 => Trigger::Engaged { path: Some("/*".to_owned()), time_ms: 20_000 },
        _ => Trigger::Event(PAGE_VIEW.to_owned()),
    };
    let mut goal = Goal::new(String::new(), trigger);
    if dice.chance(15) {
        let (operator, value) = [
            ("is", "pro"),
            ("is_not", "10"),
            ("contains_not", "o"),
            ("matches", "^p"),
            ("greater", "9.99"),
            ("less", "11"),
        ][dice.roll(6) as usize];
        goal.conditions.extend(Condition::parse("plan", operator, &[value.to_owned()]));
    }
    if dice.chance(5) {
        goal.currency = "EUR".to_owned();
        goal.value_minor_min = Some(30_000);
    }
    goal
}

/// Range and filters of a random query.
fn base(dice: &mut Dice, day: &str) -> (Value, Value) {
    let body = random_body(dice, day);
    let filters = if dice.chance(75) { Value::Null } else { body["filters"].clone() };
    // Often everything: paths are longer than most random ranges.
    let range = if dice.chance(60) { json!("all") } else { body["date_range"].clone() };
    (range, filters)
}

fn random_funnel(dice: &mut Dice, day: &str, asking: &Asking<'_>) -> Option<FunnelQuestion> {
    let steps = 2 + dice.roll(3);
    let funnel = Funnel {
        steps: (0..steps).map(|_| condition(dice)).collect(),
        order: StepOrder::ALL[dice.roll(3) as usize],
        window: match dice.roll(3) {
            0 => Window::Visit,
            1 => Window::Within(60_000 * (1 + dice.roll(200) as i64)),
            _ => Window::Within(90 * 86_400_000),
        },
    };
    let (range, filters) = base(dice, day);
    let dimension = match dice.roll(4) {
        0 => Some(dice.pick(&EVENT_DIMENSIONS)),
        1 => Some(dice.pick(&VISIT_DIMENSIONS)),
        _ => None,
    };
    let instead = dice.roll(4) as u32;
    FunnelQuestion::parse(&range, &filters, dimension, instead, funnel, asking).ok()
}

fn random_journey(dice: &mut Dice, day: &str, asking: &Asking<'_>) -> Option<JourneyQuestion> {
    let direction =
        if dice.chance(50) { JourneyDirection::After } else { JourneyDirection::Before };
    let shape = (1 + dice.roll(6) as u32, 1 + dice.roll(4) as u32);
    let (range, filters) = base(dice, day);
    let anchor = (condition(dice), direction);
    JourneyQuestion::parse(&range, &filters, anchor, shape, dice.chance(60), asking).ok()
}

fn random_retention(dice: &mut Dice, day: &str, asking: &Asking<'_>) -> Option<RetentionQuestion> {
    let unit = [TimeUnit::Day, TimeUnit::Week, TimeUnit::Month][dice.roll(3) as usize];
    let (range, filters) = base(dice, day);
    let goals =
        (dice.chance(30).then(|| condition(dice)), dice.chance(30).then(|| condition(dice)));
    RetentionQuestion::parse(&range, &filters, unit, goals, asking).ok()
}

/// Walks through all pages of what an entry of a list did; whether it did anything.
fn timelines_agree(whose: Whose, (duck, reference): (&DuckStore, &ReferenceStore)) -> bool {
    let mut before = None;
    loop {
        let events = |store: &dyn EventStore| {
            store.timeline(SiteId(1), whose, before, 3).expect("an answer")
        };
        let found = events(duck);
        assert_eq!(found, events(reference), "{whose:?}");
        let Some(last) = found.last() else { break };
        before = Some(last.offset);
    }
    before.is_some()
}

/// Walks through all pages of the lists, and looks at what visits brought and what the last one did.
fn lists_agree(
    dice: &mut Dice,
    day: &str,
    asking: &Asking<'_>,
    (duck, reference): (&DuckStore, &ReferenceStore),
) -> Option<bool> {
    let (range, filters) = base(dice, day);
    let limit = 2 + dice.roll(12) as u32;
    let page = |before| ListQuestion::parse(&range, &filters, before, limit, asking).ok();
    let (mut before, mut telling) = (None, 0);
    loop {
        let question = page(before)?;
        let found = duck.visits_page(&question).expect("an answer");
        assert_eq!(found, reference.visits_page(&question).expect("an answer"), "{question:?}");
        let Some(last) = found.last() else { break };
        before = Some((last.started_at_ms, last.session_id));
        let visit = Whose::Visit(last.session_id);
        telling += usize::from(timelines_agree(visit, (duck, reference)));
        let listed: Vec<u64> = found.iter().map(|visit| visit.session_id).collect();
        let expected = reference.visit_conversions(&question, &listed).expect("an answer");
        let brought = duck.visit_conversions(&question, &listed).expect("an answer");
        assert_eq!(brought, expected, "{question:?}");
    }
    before = None;
    loop {
        let question = page(before)?;
        let found = duck.visitors_page(&question).expect("an answer");
        assert_eq!(found, reference.visitors_page(&question).expect("an answer"), "{question:?}");
        let Some(last) = found.last() else { break };
        before = Some((last.last_ms, last.last_visit.visitor_id.0));
        let visitor = Whose::Visitor(last.last_visit.visitor_id);
        telling += usize::from(timelines_agree(visitor, (duck, reference)));
    }
    before = None;
    loop {
        let question = page(before)?;
        let found = duck.people_page(&question).expect("an answer");
        assert_eq!(found, reference.people_page(&question).expect("an answer"), "{question:?}");
        let Some(last) = found.last() else { return Some(telling > 0) };
        let did = timelines_agree(Whose::Person(last.user_key), (duck, reference));
        assert!(did, "events name who is listed");
        before = Some((last.last_ms, last.user_key));
    }
}

#[derive(Default)]
struct Seen {
    asked: usize,
    telling: usize,
}

impl Seen {
    fn note(&mut self, tells: bool) {
        self.asked += 1;
        self.telling += usize::from(tells);
    }

    fn check(&self, what: &str, tried: usize) {
        eprintln!("{} {what} ({} with figures above 0) agree", self.asked, self.telling);
        assert!(self.asked * 3 > tried, "too few random {what}");
        assert!(self.telling * 5 > self.asked, "too many answers about {what} were empty");
    }
}

#[test]
fn random_paths_get_equal_answers() {
    let goals = goals();
    let seeds = std::env::var("CAIRN_PATH_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let seeds: u64 = seeds.unwrap_or(6);
    let each = 30;
    let (mut funnels, mut journeys) = (Seen::default(), Seen::default());
    let (mut retentions, mut lists) = (Seen::default(), Seen::default());
    for seed in 1..=seeds {
        let mut dice = Dice(seed.wrapping_mul(0xd134_2543_de82_ef95) | 1);
        let day = DAYS[(seed % 6) as usize];
        let (around_ms, _directory, duck, reference) = stores(&mut dice, day);
        let first_event_ms = reference.first_event_ms(SiteId(1)).expect("an answer");
        for _ in 0..each {
            let asking = asking(&mut dice, &goals, around_ms, first_event_ms);
            if let Some(question) = random_funnel(&mut dice, day, &asking) {
                let expected = reference.funnel(&question).expect("an answer");
                let found = duck.funnel(&question).expect("an answer");
                assert_eq!(found, expected, "seed {seed}: {question:?}");
                funnels.note(expected.steps[1].visitors > 0);
            }
            if let Some(question) = random_journey(&mut dice, day, &asking) {
                let expected = reference.journeys(&question).expect("an answer");
                let found = duck.journeys(&question).expect("an answer");
                assert_eq!(found, expected, "seed {seed}: {question:?}");
                journeys.note(!expected.branches.nodes.is_empty());
            }
            if let Some(question) = random_retention(&mut dice, day, &asking) {
                let expected = reference.retention(&question).expect("an answer");
                let found = duck.retention(&question).expect("an answer");
                assert_eq!(found, expected, "seed {seed}: {question:?}");
                retentions.note(expected.returning.iter().any(|count| *count > 0));
            }
            // Each is many pages.
            if dice.chance(25) {
                let tells = lists_agree(&mut dice, day, &asking, (&duck, &reference));
                tells.into_iter().for_each(|tells| lists.note(tells));
            }
        }
    }
    let tried = seeds as usize * each;
    funnels.check("funnels", tried);
    journeys.check("journeys", tried);
    retentions.check("retentions", tried);
    lists.check("lists", tried / 4);
}

const DAY_MS: i64 = 86_400_000;

/// Stores what visitors did: visitor, visit, day, minute, path or event.
fn told(store: &dyn EventStore, story: &[(u64, u64, i64, i64, &str)]) {
    let mut batch = Batch::default();
    for (visitor, visit, day, minute, what) in story {
        let at_ms = day * DAY_MS + minute * 60_000;
        let name = if what.starts_with('/') { PAGE_VIEW } else { what };
        let mut event = Event::bare(SiteId(1), name, at_ms);
        event.visitor_id = VisitorId(*visitor);
        event.identification = match visitor {
            0..90 => Identification::Identified,
            _ => Identification::Anonymous,
        };
        if what.starts_with('/') {
            event.path = (*what).to_owned().into();
        }
        let attributes = Arc::new(Attributes::new([""; ATTRIBUTES]));
        let offset = batch.rows.len() as u64 + 1;
        batch.rows.push(Row { offset, session_id: *visit, attributes, event });
    }
    batch.watermark = Watermark { offset: batch.rows.len() as u64, received_at_ms: 0 };
    store.commit(&batch).expect("the batch is stored");
}

fn shop_asking(goals: &[Goal]) -> Asking<'_> {
    Asking {
        site_id: SiteId(1),
        timezone: "Etc/UTC",
        now_ms: 20 * DAY_MS,
        first_event_ms: Some(0),
        goals,
    }
}

const SHOP: [(u64, u64, i64, i64, &str); 14] = [
    (1, 1, 0, 0, "/product"),
    (1, 1, 0, 1, "/about"),
    (1, 1, 0, 4, "/cart"),
    (1, 1, 0, 6, "purchase"),
    (2, 2, 0, 0, "/product"),
    (2, 2, 0, 2, "/cart"),
    (2, 2, 0, 3, "/help"),
    (3, 3, 0, 0, "/product"),
    (3, 4, 1, 0, "/cart"),
    (3, 4, 1, 1, "purchase"),
    (4, 5, 0, 0, "/cart"),
    (4, 5, 0, 1, "/product"),
    (95, 6, 0, 0, "/product"),
    (4, 7, 9, 0, "/product"),
];

fn shop(order: StepOrder, window: Window) -> FunnelQuestion {
    let page = |path: &str| Goal::new(path, Trigger::Page(path.to_owned()));
    let purchase = Goal::new("purchase", Trigger::Event("purchase".to_owned()));
    let steps = vec![page("/product"), page("/cart"), purchase];
    let funnel = Funnel { steps, order, window };
    let range = json!(["1970-01-01", "1970-01-20"]);
    FunnelQuestion::parse(&range, &Value::Null, None, 5, funnel, &shop_asking(&[]))
        .expect("a question")
}

fn counts(store: &dyn EventStore, order: StepOrder, window: Window) -> Vec<u64> {
    let answer = store.funnel(&shop(order, window)).expect("an answer");
    answer.steps.iter().map(|step| step.visitors).collect()
}

#[test]
fn funnels_count_what_a_person_would() {
    let directory = tempfile::tempdir().expect("a directory");
    let duck = DuckStore::open(directory.path(), DuckOptions::default()).expect("the store opens");
    let reference = ReferenceStore::new();
    for store in [&duck as &dyn EventStore, &reference] {
        told(store, &SHOP);
        // Visitors 1 to 4 and an anonymous one looked; 1 and 2 went on in the visit, 1 bought.
        assert_eq!(counts(store, StepOrder::Ordered, Window::Visit), [5, 2, 1]);
        // The third came back the next day.
        assert_eq!(counts(store, StepOrder::Ordered, Window::Within(2 * DAY_MS)), [5, 3, 2]);
        // The first looked elsewhere before the cart.
        assert_eq!(counts(store, StepOrder::Strict, Window::Visit), [5, 1, 0]);
        // The fourth had the cart before the product.
        assert_eq!(counts(store, StepOrder::Any, Window::Visit), [5, 3, 1]);
        let answer = store.funnel(&shop(StepOrder::Ordered, Window::Visit)).expect("an answer");
        assert_eq!(answer.steps[1].median_s, Some(120), "of 120 and 240 seconds");
        assert_eq!(answer.anonymous, 1);
        let [product, cart] = answer.instead.as_slice() else { panic!("two steps have a next") };
        assert_eq!((product.left, product.next.len()), (3, 0));
        assert_eq!(cart.next, [(Waypoint::Page("/help".to_owned()), 1)]);
    }
}

#[test]
fn who_came_back_is_counted_from_the_first_visit_ever() {
    let story = [
        (1, 1, 0, 0, "/"),
        (1, 2, 7, 0, "/"),
        (2, 3, 7, 0, "/"),
        (2, 4, 15, 0, "purchase"),
        (3, 5, 8, 0, "/"),
        (95, 6, 8, 0, "/"),
        (96, 7, 9, 0, "/"),
    ];
    let asking = shop_asking(&[]);
    let ask = |goal: Option<Goal>| {
        let range = json!(["1970-01-05", "1970-01-18"]);
        RetentionQuestion::parse(&range, &Value::Null, TimeUnit::Week, (None, goal), &asking)
            .expect("a question")
    };
    let directory = tempfile::tempdir().expect("a directory");
    let duck = DuckStore::open(directory.path(), DuckOptions::default()).expect("the store opens");
    let reference = ReferenceStore::new();
    for store in [&duck as &dyn EventStore, &reference] {
        told(store, &story);
        let answer = store.retention(&ask(None)).expect("an answer");
        // Days 4 to 10 and 11 to 17: the first visitor was there before.
        assert_eq!(answer.sizes, [2, 0]);
        assert_eq!(answer.returned, [vec![1], vec![]]);
        assert_eq!(answer.returning, [1, 1]);
        assert_eq!(answer.anonymous, 2);
        let view = Goal::new("", Trigger::Page("/".to_owned()));
        let answer = store.retention(&ask(Some(view))).expect("an answer");
        assert_eq!(answer.returned, [vec![0], vec![]], "a purchase is no page view");
    }
}

#[test]
fn journeys_follow_visits_both_ways() {
    let story = [
        (1, 1, 0, 0, "/"),
        (1, 1, 0, 1, "/a"),
        (1, 1, 0, 2, "/a"),
        (1, 1, 0, 3, "/b"),
        (2, 2, 0, 0, "/c"),
        (2, 2, 0, 1, "/a"),
        (3, 3, 0, 0, "/a"),
        (3, 3, 0, 1, "sign_up"),
        (4, 4, 0, 0, "/b"),
    ];
    let asking = shop_asking(&[]);
    let ask = |direction, is_collapsed| {
        let anchor = Goal::new("", Trigger::Page("/a".to_owned()));
        let range = json!(["1970-01-01", "1970-01-02"]);
        let shape = (2, 1);
        let at = (anchor, direction);
        JourneyQuestion::parse(&range, &Value::Null, at, shape, is_collapsed, &asking)
            .expect("a question")
    };
    let page = |path: &str| Waypoint::Page(path.to_owned());
    let directory = tempfile::tempdir().expect("a directory");
    let duck = DuckStore::open(directory.path(), DuckOptions::default()).expect("the store opens");
    let reference = ReferenceStore::new();
    for store in [&duck as &dyn EventStore, &reference] {
        told(store, &story);
        let after = store.journeys(&ask(JourneyDirection::After, true)).expect("an answer");
        let branches = &after.branches;
        assert_eq!((after.visits, branches.others, branches.ended), (3, 1, 1));
        assert_eq!(branches.nodes[0].waypoint, page("/b"));
        assert_eq!(branches.nodes[0].branches.ended, 1);
        let repeated = store.journeys(&ask(JourneyDirection::After, false)).expect("an answer");
        assert_eq!(repeated.branches.nodes[0].waypoint, page("/a"));
        assert_eq!(repeated.branches.nodes[0].branches.nodes[0].waypoint, page("/b"));
        let before = store.journeys(&ask(JourneyDirection::Before, true)).expect("an answer");
        assert_eq!(before.branches.nodes[0].waypoint, page("/"));
        assert_eq!((before.branches.others, before.branches.ended), (1, 1));
    }
}
