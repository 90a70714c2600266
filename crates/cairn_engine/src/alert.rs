//! Alerts: what is watched for, and whether it has come or gone.
//!
//! Guarantees: [`decide`] is a pure function, and the only one that lets an alert begin or end. What cannot be said, for want
//! of earlier weeks or of any event, changes nothing.

use cairn_catalog::AlertState;
use cairn_model::SiteId;
use cairn_store::{EventStore, StoreError};
use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, ToSpan, Unit, Zoned, ZonedRound};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::report::{QueryError, ReportSite, ask};

/// Earlier weeks that are compared with.
const WEEKS: i64 = 4;
/// As many of them there have to be.
const WEEKS_MIN: usize = 2;
/// A millisecond count of one minute.
const MINUTE_MS: i64 = 60 * 1000;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// People.
    Visitors,
    /// Page views.
    Pageviews,
    /// Events of all kinds.
    Events,
}

impl Counted {
    /// Its name as a metric.
    pub fn name(self) -> &'static str {
        match self {
            Counted::Visitors => "visitors",
            Counted::Pageviews => "pageviews",
            Counted::Events => "events",
        }
    }
}

/// What is watched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// The last full hours have `percent` more than the same hours of earlier weeks, and at least `least`.
    Spike {
        /// What is counted.
        metric: Counted,
        /// How much more.
        percent: u32,
        /// Fewer are no spike.
        least: u64,
        /// Hours looked at.
        hours: u8,
    },
    /// They have `percent` less, where earlier weeks had at least `least`.
    Drop {
        /// What is counted.
        metric: Counted,
        /// How much less, at most 100.
        percent: u32,
        /// Where earlier weeks had fewer, there is no drop.
        least: u64,
        /// Hours looked at.
        hours: u8,
    },
    /// No event has come for so long.
    Silence {
        /// How long.
        minutes: u32,
    },
}

impl Watch {
    /// What it is called in API and mails.
    pub fn kind(&self) -> &'static str {
        match self {
            Watch::Spike { .. } => "spike",
            Watch::Drop { .. } => "drop",
            Watch::Silence { .. } => "silence",
        }
    }
}

/// A watch, and how soon after it began an alert may begin again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// What is watched for.
    pub watch: Watch,
    /// Minutes from one beginning to the next.
    pub pause_minutes: u32,
}

/// What a look found: a count beside what was expected, or minutes without an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The count, or the minutes.
    pub value: u64,
    /// What the same hours of earlier weeks had in the middle; of silence the minutes allowed.
    pub expected: u64,
}

/// What changes for an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It began.
    Began,
    /// It is over.
    Ended,
}

/// The middle one of the earlier counts; of two middle ones the mean. `None`: there are too few.
pub fn expected(earlier: &[u64]) -> Option<u64> {
    if earlier.len() < WEEKS_MIN {
        return None;
    }
    let mut sorted = earlier.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    Some(if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2
    })
}

/// Whether a finding is what is watched for.
fn is_met(watch: &Watch, found: Finding) -> bool {
    let Finding { value, expected } = found;
    let part = |percent: u64| u128::from(expected) * u128::from(percent);
    let hundredfold = u128::from(value) * 100;
    match *watch {
        Watch::Spike { percent, least, .. } => {
            value >= least && hundredfold >= part(100 + u64::from(percent))
        }
        Watch::Drop { percent, least, .. } => {
            expected >= least && hundredfold <= part(100 - u64::from(percent.min(100)))
        }
        Watch::Silence { minutes } => value >= u64::from(minutes),
    }
}

/// What follows from a look. `found`: nothing, where nothing could be said.
pub fn decide(
    rule: &Rule,
    state: AlertState,
    found: Option<Finding>,
    now_ms: i64,
) -> (AlertState, Option<Change>) {
    let state = AlertState { looked_at_ms: now_ms, ..state };
    let Some(found) = found else { return (state, None) };
    let pause_ms = i64::from(rule.pause_minutes) * MINUTE_MS;
    let is_pausing = state.began_at_ms.is_some_and(|began_ms| now_ms - began_ms < pause_ms);
    match (state.since_ms, is_met(&rule.watch, found)) {
        (None, true) if !is_pausing => {
            let (since_ms, began_at_ms) = (Some(now_ms), Some(now_ms));
            (AlertState { since_ms, began_at_ms, ..state }, Some(Change::Began))
        }
        (Some(_), false) => (AlertState { since_ms: None, ..state }, Some(Change::Ended)),
        _ => (state, None),
    }
}

/// Whether there can be something new since the last look: hours are looked at when they are full.
pub fn is_due(rule: &Rule, state: AlertState, zone: &TimeZone, now_ms: i64) -> bool {
    match rule.watch {
        Watch::Silence { .. } => true,
        Watch::Spike { .. } | Watch::Drop { .. } => full_hour(zone, now_ms)
            .is_some_and(|hour| hour.timestamp().as_millisecond() > state.looked_at_ms),
    }
}

/// Looks. `None`: nothing can be said.
pub fn look(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    rule: &Rule,
    now_ms: i64,
) -> Result<Option<Finding>, QueryError> {
    let (metric, hours) = match rule.watch {
        Watch::Silence { minutes } => return Ok(silence(store, site.site_id, minutes, now_ms)?),
        Watch::Spike { metric, hours, .. } | Watch::Drop { metric, hours, .. } => (metric, hours),
    };
    let zone = TimeZone::get(site.timezone).unwrap_or(TimeZone::UTC);
    let (Some(end), Some(first_ms)) =
        (full_hour(&zone, now_ms), store.first_event_ms(site.site_id)?)
    else {
        return Ok(None);
    };
    let mut counts = Vec::new();
    for week in 0..=WEEKS {
        // The same hours by the clock on the wall, also where clocks changed in between.
        let Ok(end) = end.checked_sub(week.weeks()) else { break };
        let Ok(begin) = end.checked_sub(i64::from(hours).hours()) else { break };
        if begin.timestamp().as_millisecond() < first_ms && week > 0 {
            break;
        }
        counts.push(count(store, site, metric, &begin, &end, now_ms)?);
    }
    let Some((value, earlier)) = counts.split_first() else { return Ok(None) };
    Ok(expected(earlier).map(|expected| Finding { value: *value, expected }))
}

fn silence(
    store: &dyn EventStore,
    site_id: SiteId,
    minutes: u32,
    now_ms: i64,
) -> Result<Option<Finding>, StoreError> {
    let heard = store.pixel_activity(site_id, now_ms)?;
    let last = heard.into_iter().filter_map(|(_, activity)| activity.last_received_ms).max();
    Ok(last.map(|last_ms| Finding {
        value: u64::try_from((now_ms - last_ms) / MINUTE_MS).unwrap_or(0),
        expected: u64::from(minutes),
    }))
}

/// The beginning of the hour that is not over yet.
fn full_hour(zone: &TimeZone, now_ms: i64) -> Option<Zoned> {
    let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone());
    now.round(ZonedRound::new().smallest(Unit::Hour).mode(RoundMode::Trunc)).ok()
}

fn count(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    metric: Counted,
    begin: &Zoned,
    end: &Zoned,
    now_ms: i64,
) -> Result<u64, QueryError> {
    let last = end.timestamp() - 1.second();
    let body = json!({
        "site_id": "alert", "metrics": [metric.name()],
        "date_range": [begin.timestamp().to_string(), last.to_string()],
    });
    let answer = ask(store, site, &body, now_ms)?;
    Ok(answer["results"][0]["metrics"][0].as_u64().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIKE: Watch =
        Watch::Spike { metric: Counted::Visitors, percent: 100, least: 50, hours: 1 };
    const DROP: Watch = Watch::Drop { metric: Counted::Visitors, percent: 60, least: 50, hours: 1 };
    const SILENCE: Watch = Watch::Silence { minutes: 30 };

    #[test]
    fn what_is_met_lies_beyond_its_bounds() {
        for (watch, value, expected, met) in [
            (SPIKE, 100, 50, true),
            (SPIKE, 99, 50, false),
            (SPIKE, 49, 1, false), // too few to matter
            (SPIKE, 50, 25, true),
            (SPIKE, 50, 0, true), // there was never anything, and now there is
            (DROP, 40, 100, true),
            (DROP, 41, 100, false),
            (DROP, 0, 49, false), // too few to matter
            (DROP, 0, 50, true),
            (SILENCE, 29, 30, false),
            (SILENCE, 30, 30, true),
            (SPIKE, u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(
                is_met(&watch, Finding { value, expected }),
                met,
                "{watch:?} {value} {expected}"
            );
        }
    }

    #[test]
    fn the_middle_week_is_what_is_expected() {
        for (earlier, middle) in [
            (&[][..], None),
            (&[7], None), // one week is no habit
            (&[10, 20], Some(15)),
            (&[10, 1000, 12], Some(12)),
            (&[1000, 10, 12, 14], Some(13)),
        ] {
            assert_eq!(expected(earlier), middle, "{earlier:?}");
        }
    }

    /// Looks at these minutes find this; gives what is told, and when.
    fn told(pause_minutes: u32, looks: &[(i64, Option<u64>)]) -> Vec<(i64, Change)> {
        let rule = Rule { watch: SILENCE, pause_minutes };
        let mut state = AlertState::default();
        let mut told = Vec::new();
        for (minute, value) in looks {
            let found = value.map(|value| Finding { value, expected: 30 });
            let change;
            (state, change) = decide(&rule, state, found, minute * MINUTE_MS);
            assert_eq!(state.looked_at_ms, minute * MINUTE_MS);
            told.extend(change.map(|change| (*minute, change)));
        }
        told
    }

    #[test]
    fn beginning_and_end_are_told_once() {
        let looks =
            [(1, Some(10)), (2, Some(30)), (3, Some(31)), (4, None), (5, Some(0)), (6, Some(1))];
        assert_eq!(told(60, &looks), [(2, Change::Began), (5, Change::Ended)]);
    }

    #[test]
    fn what_comes_again_within_the_pause_is_told_after_it() {
        let looks = [
            (1, Some(30)),
            (2, Some(0)),
            (3, Some(30)),
            (4, Some(0)),
            (60, Some(30)),
            (61, Some(31)),
        ];
        assert_eq!(told(60, &looks), [(1, Change::Began), (2, Change::Ended), (61, Change::Began)]);
        let eager = told(0, &looks[..4]);
        assert_eq!(eager.len(), 4, "without a pause everything is told: {eager:?}");
    }

    #[test]
    fn nothing_is_told_where_nothing_can_be_said() {
        assert_eq!(told(60, &[(1, None), (2, None)]), []);
    }

    #[test]
    fn hours_are_looked_at_once_when_they_are_full() {
        let zone = TimeZone::get("Asia/Kathmandu").unwrap(); // 05:45 ahead
        let rule = Rule { watch: DROP, pause_minutes: 60 };
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let looked =
            AlertState { looked_at_ms: at("2026-11-23T10:20:00Z"), ..AlertState::default() };
        assert!(is_due(&rule, looked, &zone, at("2026-11-23T11:15:00Z")));
        assert!(!is_due(&rule, looked, &zone, at("2026-11-23T11:14:59Z")));
        assert!(is_due(
            &Rule { watch: SILENCE, ..rule },
            looked,
            &zone,
            at("2026-11-23T10:21:00Z")
        ));
    }
}
