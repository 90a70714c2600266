//! Questions over stretches that are summed up get the answers that the rows give, whatever changes afterwards.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cairn_model::Subject;
use cairn_store::Span;

use super::body::random_body;
use super::*;

const DAY_MS: i64 = 86_400_000;
/// Metrics that rollups know; with others, sides of a question are read from the rows.
const METRICS: [&str; 8] = [
    "visitors",
    "visits",
    "pageviews",
    "events",
    "bounce_rate",
    "visit_duration",
    "views_per_visit",
    "percentage",
];
const DIMENSIONS: [&str; 14] = [
    "time:day",
    "time:day",
    "time:week",
    "time:month",
    "event:name",
    "event:page",
    "event:hostname",
    "visit:source",
    "visit:country_name",
    "visit:entry_page",
    "visit:exit_page",
    "visit:entry_page_hostname",
    "visit:bot",
    "visit:identification",
];

/// Questions that were answered with others.
static TOGETHER: AtomicUsize = AtomicUsize::new(0);

/// Visits, some of which change again.
struct Traffic {
    dice: Dice,
    offset: u64,
    visits: Vec<(Session, i64)>,
}

impl Traffic {
    fn visit(&mut self, batch: &mut Batch<'static>, around_ms: i64) {
        self.offset += 1;
        let site_id = SiteId(if self.dice.chance(90) { 1 } else { 2 });
        let mut session = session(&mut self.dice, site_id, self.offset, around_ms);
        // Some in each segment.
        session.visitor_id.0 |= self.dice.roll(16) << 60;
        if self.dice.chance(5) {
            session.session_key = self.dice.roll(1000) + 1;
        }
        let earliest_ms = session.started_at_ms.min(session.ended_at_ms);
        self.visits.push((session.clone(), earliest_ms));
        self.events(batch, &session);
        batch.sessions.push(SessionChange::new(session, false));
    }

    fn events(&mut self, batch: &mut Batch<'static>, session: &Session) {
        for _ in 0..=self.dice.roll(5) {
            self.offset += 1;
            let mut row = row(&mut self.dice, self.offset, session);
            // Consent that is given in the middle of a visit makes another visitor; what an event says may differ as well.
            if self.dice.chance(8) {
                row.event.visitor_id = VisitorId(self.dice.roll(12) + 1);
                row.event.identification = Identification::Identified;
            }
            if self.dice.chance(5) {
                row.attributes = attributes(&mut self.dice);
            }
            if self.dice.chance(10) {
                row.event.timestamp_ms += self.dice.roll(DAY_MS as u64) as i64 - DAY_MS / 2;
            }
            batch.rows.push(row);
        }
    }

    /// An earlier visit goes on, or an event of it arrives late.
    fn change(&mut self, batch: &mut Batch<'static>) {
        let place = self.dice.roll(self.visits.len() as u64) as usize;
        let (mut session, mut earliest_ms) = self.visits[place].clone();
        if batch.sessions.iter().any(|change| change.session.session_id == session.session_id) {
            return;
        }
        session.ended_at_ms += self.dice.roll(7_200_000) as i64 - 3_000_000;
        session.last_activity_ms = session.last_activity_ms.max(session.ended_at_ms);
        session.events += 1;
        session.exit_page = self.dice.pick(&PAGES).to_owned();
        earliest_ms = earliest_ms.min(session.ended_at_ms);
        self.visits[place] = (session.clone(), earliest_ms);
        self.offset += 1;
        let mut row = row(&mut self.dice, self.offset, &session);
        row.event.timestamp_ms = session.ended_at_ms;
        batch.rows.push(row);
        batch.sessions.push(SessionChange { session, replaces: true, earliest_ms });
    }

    fn batch(&mut self, around_ms: i64) -> Batch<'static> {
        let mut batch = Batch::default();
        for _ in 0..12 {
            match self.visits.len() > 20 && self.dice.chance(30) {
                true => self.change(&mut batch),
                false => self.visit(&mut batch, around_ms),
            }
        }
        batch.watermark = Watermark { offset: self.offset, received_at_ms: 0 };
        batch
    }
}

/// Sums up stretches of days of a zone, and some that are none, with gaps between.
fn roll_up(dice: &mut Dice, duck: &DuckStore, timezone: &str, around_ms: i64) {
    let zone = TimeZone::get(timezone).expect("a zone");
    let mut from_ms = around_ms - 9 * DAY_MS;
    while from_ms < around_ms + 9 * DAY_MS {
        let days = dice.roll(2) + 1;
        let date = |at_ms: i64| zone.to_datetime(timestamp(at_ms)).date();
        let next = date(from_ms).checked_add(jiff::Span::new().days(days as i64)).expect("a day");
        let next = next.to_zoned(zone.clone()).expect("its start");
        let mut until_ms = next.timestamp().as_millisecond();
        if dice.chance(8) {
            until_ms -= dice.roll(20 * 3_600_000) as i64;
        }
        if until_ms > from_ms && dice.chance(85) {
            assert!(duck.roll_up(SiteId(1), Span { from_ms, until_ms }).expect("a rollup"));
        }
        from_ms = until_ms.max(from_ms + 1);
    }
}

fn timestamp(at_ms: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at_ms).expect("an instant")
}

fn body(dice: &mut Dice, day: &str) -> Value {
    let mut body = random_body(dice, day);
    let mut dimensions = dice.some(&DIMENSIONS, 2);
    dimensions.dedup();
    let mut metrics = dice.some(&METRICS, 3);
    metrics.push(dice.pick(&METRICS));
    metrics.sort_unstable();
    metrics.dedup();
    (body["metrics"], body["dimensions"]) = (json!(metrics), json!(dimensions));
    body["order_by"] = json!([]);
    if dice.chance(50) {
        body["filters"] = json!([]);
    }
    body
}

fn ask(
    traffic: &mut Traffic,
    (duck, reference): (&DuckStore, &ReferenceStore),
    asking: &Asking<'_>,
    day: &str,
    questions: usize,
) -> usize {
    let pricing = Arc::new(Pricing::default());
    let (mut asked, mut seen) = (0, Seen::default());
    let mut bodies = Vec::new();
    while asked < questions {
        let body = body(&mut traffic.dice, day);
        let agreed = agree(duck, reference, &body, asking, &pricing, 0, &mut seen);
        asked += usize::from(agreed.is_some());
        bodies.extend(agreed.map(|_| body));
    }
    // The same over few ranges, so that several questions are answered in one pass.
    let ranges: Vec<Value> = bodies.iter().take(2).map(|body| body["date_range"].clone()).collect();
    for body in &mut bodies {
        body["date_range"] = ranges[traffic.dice.roll(ranges.len() as u64) as usize].clone();
    }
    let parsed = bodies.iter().filter_map(|body| Question::parse(body, asking).ok());
    let parsed: Vec<Question> = parsed.collect();
    let together = duck.ask_together(&parsed).expect("answers");
    for (question, answer) in parsed.iter().zip(together) {
        if let Some(answer) = answer {
            TOGETHER.fetch_add(1, Relaxed);
            assert_eq!(answer, reference.ask(question).expect("an answer"), "{question:?}");
        }
    }
    asked
}

#[test]
fn questions_over_rollups_get_equal_answers() {
    let goals = goals();
    let (mut asked, mut answered, mut kept) = (0, 0, 0);
    for seed in 0..seeds(4) {
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut traffic = Traffic { dice, offset: 0, visits: Vec::new() };
        let day = DAYS[(seed % 6) as usize];
        let around_ms = seconds(&format!("{day}T06:00:00Z")) * 1000;
        let directory = tempfile::tempdir().expect("a directory");
        let open = || DuckStore::open(directory.path(), DuckOptions::default()).expect("it opens");
        let (mut duck, reference) = (open(), ReferenceStore::new());
        let asking = asking(&mut traffic.dice, &goals, around_ms, Some(around_ms - 6 * DAY_MS));
        for round in 0..4 {
            roll_up(&mut traffic.dice, &duck, asking.timezone, around_ms);
            asked += ask(&mut traffic, (&duck, &reference), &asking, day, 25);
            // What is committed next concerns some of them.
            let before = duck.rolled_up(SiteId(1)).len();
            let batch = traffic.batch(around_ms);
            for store in [&duck as &dyn EventStore, &reference] {
                store.commit(&batch).expect("the batch is stored");
            }
            assert!(round == 0 || duck.rolled_up(SiteId(1)).len() < before, "seed {seed}");
            asked += ask(&mut traffic, (&duck, &reference), &asking, day, 25);
            if round == 2 {
                roll_up(&mut traffic.dice, &duck, asking.timezone, around_ms);
                let visitors = vec![traffic.visits[0].0.visitor_id];
                let subject =
                    Subject { site_id: SiteId(1), visitors, users: vec![1], entries: Vec::new() };
                let erased = duck.erase_subjects(std::slice::from_ref(&subject)).expect("erased");
                assert_eq!(reference.erase_subjects(&[subject]).expect("erased"), erased);
                asked += ask(&mut traffic, (&duck, &reference), &asking, day, 25);
            }
            answered += duck.rollups_answered();
            drop(duck);
            duck = open();
            kept += duck.rolled_up(SiteId(1)).len();
        }
        duck.forget_rollups(SiteId(1)).expect("forgotten");
        assert!(duck.rolled_up(SiteId(1)).is_empty());
    }
    let together = TOGETHER.load(Relaxed);
    eprintln!(
        "{asked} questions agree, rollups answered {answered} sides of them, {together} in common"
    );
    assert!(together > asked / 4, "too few were answered together: {together}");
    assert!(answered as usize > asked / 2, "too few were answered by rollups: {answered}");
    assert!(kept > 0, "none was there after a restart");
}
