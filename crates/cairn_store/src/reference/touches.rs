//! Paths to conversions by walking over everything: [`cairn_model::touches`] word by word.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::question::attribution::{REVENUE_EVENT, Target, Terms, VIEW_EVENT};
use cairn_model::question::{AttributionQuestion, Field};
use cairn_model::session::{Attribute, Attributes};
use cairn_model::touches::{Touch, TouchKind, TouchPath, TouchPaths, decay_shares};
use cairn_model::{Identification, VisitorId};

use super::State;
use super::walk::{Happening, Thing, Walk, attribute_of};
use crate::plan::Plan;

/// A user, or a visitor who is no single one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Person {
    Visitor(u64),
    User(u64),
}

/// A touch at its place: ordered by time, kind (visits before views) and number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    at_ms: i64,
    is_view: bool,
    id: u64,
    touch: Touch,
}

/// What a path ends with.
struct End<'a> {
    person: Person,
    at_ms: i64,
    /// The conversion; `None`: a person without one.
    conversion: Option<Happening<'a>>,
}

/// Counts of one path, and what puts it in order among equals.
struct Counted {
    path: TouchPath,
    first_conversion: u64,
    last_touch: (u64, bool),
}

/// All that a question is answered from.
struct People<'a> {
    terms: &'a Terms,
    users: BTreeMap<u64, BTreeSet<u64>>,
    touches: BTreeMap<Person, Vec<Placed>>,
}

/// All paths of a question.
pub(super) fn touch_paths(state: &State, asked: &AttributionQuestion) -> TouchPaths {
    let (question, terms) = (asked.question(), asked.terms());
    let walk = Walk::over(state, question);
    let mut people = People { terms, users: users(state, asked), touches: BTreeMap::new() };
    people.gather(state, asked);
    let mut ends: Vec<End<'_>> = Vec::new();
    let mut converted = BTreeSet::new();
    for conversion in conversions(state, &walk, &terms.target) {
        let event = &conversion.row.event;
        let person = people.person(event.visitor_id);
        converted.insert(person);
        let passes = |filter| walk.passes(filter, Thing::Event(conversion));
        if question.filters.iter().all(passes) {
            ends.push(End { person, at_ms: event.timestamp_ms, conversion: Some(conversion) });
        }
    }
    let kept = walk.kept_visits(&question.filters, Plan::of(question).engagement);
    let among: BTreeSet<Person> =
        kept.into_iter().map(|visit| people.person(visit.visitor_id)).collect();
    for (person, touches) in &people.touches {
        let last = touches.iter().map(|placed| placed.at_ms).max();
        let in_range = last.filter(|at_ms| *at_ms >= question.range.from_ms());
        let is_asked = question.filters.is_empty() || among.contains(person);
        if let (Some(at_ms), true, false) = (in_range, is_asked, converted.contains(person)) {
            ends.push(End { person: *person, at_ms, conversion: None });
        }
    }
    let mut found = TouchPaths::default();
    let mut counted: BTreeMap<Vec<Touch>, Counted> = BTreeMap::new();
    for end in &ends {
        people.count(end, &mut counted, &mut found);
    }
    finish(found, counted, terms.paths_max)
}

fn finish(
    mut found: TouchPaths,
    counted: BTreeMap<Vec<Touch>, Counted>,
    paths_max: u32,
) -> TouchPaths {
    let mut counted: Vec<Counted> = counted.into_values().collect();
    counted.sort_by_key(|one| (one.first_conversion, one.last_touch));
    counted.sort_by(|left, right| left.path.compare(&right.path));
    found.paths_total = counted.len() as u64;
    found.paths = counted.into_iter().map(|one| one.path).take(paths_max as usize).collect();
    found
}

/// Whom each visitor's events name.
fn users(state: &State, asked: &AttributionQuestion) -> BTreeMap<u64, BTreeSet<u64>> {
    let period = asked.earliest_ms()..asked.question().range.until_ms();
    let mut users: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for row in &state.rows {
        let event = &row.event;
        let is_person = row.attributes.get(Attribute::Bot).is_empty();
        let is_in =
            event.site_id == asked.question().site_id && period.contains(&event.timestamp_ms);
        if is_in && is_person && event.user_key != 0 {
            users.entry(event.visitor_id.0).or_default().insert(event.user_key);
        }
    }
    users
}

/// Conversions of the range, by offset, whatever the filters say.
fn conversions<'a>(state: &State, walk: &Walk<'a>, target: &Target) -> Vec<Happening<'a>> {
    let repeats = |happening: &Happening<'_>| {
        let (event, offset) = (&happening.row.event, happening.row.offset);
        let is_other = |row: &crate::Row<'_>| {
            row.event.name == REVENUE_EVENT
                && row.event.site_id == event.site_id
                && row.event.order_id == event.order_id
                && row.offset < offset
        };
        !event.order_id.is_empty() && state.rows.iter().any(is_other)
    };
    let is_one = |happening: &&Happening<'a>| match target {
        Target::Goal(goal) => {
            let in_visit = happening.row.session_id != 0 || !target.is_once_per_visit();
            in_visit && walk.converts(goal, **happening)
        }
        Target::Revenue => {
            let event = &happening.row.event;
            event.value_minor.is_some() && event.name == REVENUE_EVENT && !repeats(happening)
        }
    };
    let mut found: Vec<Happening<'a>> = walk.events.iter().filter(is_one).copied().collect();
    if target.is_once_per_visit() {
        found.sort_by_key(|one| (one.row.event.timestamp_ms, one.row.offset));
        let mut seen = BTreeSet::new();
        found.retain(|one| seen.insert(one.row.session_id));
    }
    found
}

/// The touch that a visit with this source is.
fn of_visit(field: Field, attributes: &Attributes) -> Touch {
    if attributes.get(Attribute::Source).is_empty() {
        return Touch { kind: TouchKind::Direct, value: String::new() };
    }
    Touch { kind: TouchKind::Visit, value: value(field, attributes) }
}

fn value(field: Field, attributes: &Attributes) -> String {
    attribute_of(field).map_or_else(String::new, |attribute| attributes.get(attribute).to_owned())
}

impl People<'_> {
    fn person(&self, visitor: VisitorId) -> Person {
        let users = self.users.get(&visitor.0);
        match users.map(|users| users.iter().collect::<Vec<_>>()).as_deref() {
            Some([user]) => Person::User(**user),
            _ => Person::Visitor(visitor.0),
        }
    }

    /// Finds every touch from the start of the windows to the end of the range.
    fn gather(&mut self, state: &State, asked: &AttributionQuestion) {
        let (question, field) = (asked.question(), self.terms.field);
        let until_ms = question.range.until_ms();
        let is_in = |at_ms: i64, window_ms: i64| {
            at_ms > question.range.from_ms().saturating_sub(window_ms) && at_ms < until_ms
        };
        let is_person = |attributes: &Attributes| attributes.get(Attribute::Bot).is_empty();
        let mut found = Vec::new();
        for visit in &state.sessions {
            let wanted = visit.site_id == question.site_id && is_person(&visit.attributes);
            if wanted && is_in(visit.started_at_ms, self.terms.lookback_ms) {
                let touch = of_visit(field, &visit.attributes);
                let (at_ms, id) = (visit.started_at_ms, visit.session_id);
                found.push((visit.visitor_id, Placed { at_ms, is_view: false, id, touch }));
            }
        }
        for row in &state.rows {
            let event = &row.event;
            let is_view = event.name == VIEW_EVENT && row.session_id == 0;
            let known = event.identification == Identification::Identified;
            let wanted = event.site_id == question.site_id && is_person(&row.attributes) && known;
            let window_ms = self.terms.view_window_ms;
            if window_ms.is_some_and(|window_ms| is_in(event.timestamp_ms, window_ms))
                && is_view
                && wanted
            {
                let touch = Touch { kind: TouchKind::View, value: value(field, &row.attributes) };
                let (at_ms, id) = (event.timestamp_ms, row.offset);
                found.push((event.visitor_id, Placed { at_ms, is_view: true, id, touch }));
            }
        }
        for (visitor, placed) in found {
            self.touches.entry(self.person(visitor)).or_default().push(placed);
        }
        self.touches.values_mut().for_each(|touches| touches.sort());
    }

    /// The touches that count for an end, earliest first.
    fn path(&self, end: &End<'_>) -> Vec<Placed> {
        let window_ms = |placed: &Placed| match placed.is_view {
            true => self.terms.view_window_ms.unwrap_or(0),
            false => self.terms.lookback_ms,
        };
        let counts = |placed: &&Placed| {
            placed.at_ms <= end.at_ms && placed.at_ms > end.at_ms - window_ms(placed)
        };
        let touches = self.touches.get(&end.person);
        touches.map_or_else(Vec::new, |all| all.iter().filter(counts).cloned().collect())
    }

    fn count(
        &self,
        end: &End<'_>,
        counted: &mut BTreeMap<Vec<Touch>, Counted>,
        found: &mut TouchPaths,
    ) {
        let mut placed = self.path(end);
        if let (Some(conversion), true) = (end.conversion, placed.is_empty()) {
            let touch = of_visit(self.terms.field, &conversion.row.attributes);
            placed.push(Placed { at_ms: end.at_ms, is_view: false, id: 0, touch });
        }
        let all = placed.len();
        placed.drain(..all.saturating_sub(self.terms.touches_max as usize));
        let touches: Vec<Touch> = placed.iter().map(|placed| placed.touch.clone()).collect();
        let one = counted.entry(touches.clone()).or_insert_with(|| Counted::of(touches));
        let Some(conversion) = end.conversion else {
            found.without += 1;
            one.path.without += 1;
            let last = placed.last().map_or((0, false), |last| (last.id, last.is_view));
            one.last_touch = one.last_touch.min(last);
            return;
        };
        let event = &conversion.row.event;
        let is_ours = event.currency == self.terms.currency.as_str();
        let value_minor = event.value_minor.filter(|_| is_ours).unwrap_or(0);
        one.add_conversion(end, conversion.row.offset, value_minor, &placed, self.terms);
        found.conversions += 1;
        found.value_minor += i128::from(value_minor);
        found.shortened += u64::from(all > placed.len());
        found.anonymous += u64::from(event.identification == Identification::Anonymous);
        found.other_currency += u64::from(event.value_minor.is_some() && !is_ours);
    }
}

impl Counted {
    fn of(touches: Vec<Touch>) -> Counted {
        let none = vec![0.0; touches.len()];
        let path = TouchPath {
            touches,
            conversions: 0,
            value_minor: 0,
            without: 0,
            duration_ms: 0,
            decay: none.clone(),
            decay_value: none,
        };
        Counted { path, first_conversion: u64::MAX, last_touch: (u64::MAX, true) }
    }

    fn add_conversion(
        &mut self,
        end: &End<'_>,
        offset: u64,
        value_minor: i64,
        placed: &[Placed],
        terms: &Terms,
    ) {
        let ages_ms: Vec<i64> = placed.iter().map(|placed| end.at_ms - placed.at_ms).collect();
        let path = &mut self.path;
        path.conversions += 1;
        path.value_minor += i128::from(value_minor);
        path.duration_ms += i128::from(ages_ms.first().copied().unwrap_or(0));
        for (place, share) in decay_shares(&ages_ms, terms.half_life_ms).into_iter().enumerate() {
            path.decay[place] += share;
            path.decay_value[place] += share * value_minor as f64;
        }
        self.first_conversion = self.first_conversion.min(offset);
    }
}
