//! Walking over everything: which events and visits a question is about, and which groups they belong to.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::answer::Key;
use cairn_model::event::{OFF_SITE, PAGE_VIEW};
use cairn_model::question::tallies::{READ, READING};
use cairn_model::question::{
    Dimension, Engagement, EventsQuestion, Field, Filter, FirstProp, Goal, Question, Test,
    TimeUnit, Trigger,
};
use cairn_model::session::{Attribute, Attributes};
use cairn_model::{Event, Identification, Session};

use super::State;
use crate::{Row, StoredEvent};

/// An event together with its visit.
#[derive(Clone, Copy)]
pub(super) struct Happening<'a> {
    /// The stored event.
    pub(super) row: &'a Row<'static>,
    /// Its visit; engagement may have none.
    pub(super) visit: Option<&'a Session>,
}

/// What a filter looks at.
#[derive(Clone, Copy)]
pub(super) enum Thing<'a> {
    Event(Happening<'a>),
    Visit(&'a Session),
}

/// The data of one question's site and range.
pub(super) struct Walk<'a> {
    /// Events in the range, engagement included.
    pub(super) events: Vec<Happening<'a>>,
    /// The same and those of bots.
    pub(super) everything: Vec<Happening<'a>>,
    visits: Vec<&'a Session>,
    pub(super) question: &'a Question,
}

pub(super) fn names_engagement(event: &Event<'_>) -> bool {
    event.is_engagement()
}

pub(super) fn attribute_of(field: Field) -> Option<Attribute> {
    Some(match field {
        Field::Source => Attribute::Source,
        Field::Referrer => Attribute::Referrer,
        Field::Channel => Attribute::Channel,
        Field::UtmSource => Attribute::UtmSource,
        Field::UtmMedium => Attribute::UtmMedium,
        Field::UtmCampaign => Attribute::UtmCampaign,
        Field::UtmContent => Attribute::UtmContent,
        Field::UtmTerm => Attribute::UtmTerm,
        Field::Country | Field::CountryName => Attribute::Country,
        Field::Region | Field::RegionName => Attribute::Region,
        Field::City | Field::CityName => Attribute::City,
        Field::Device => Attribute::Device,
        Field::Browser => Attribute::Browser,
        Field::BrowserVersion => Attribute::BrowserVersion,
        Field::Os => Attribute::Os,
        Field::OsVersion => Attribute::OsVersion,
        _ => return None,
    })
}

/// The whole text matches a pattern in which `*` stands for any run of characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Value of the first of some properties that is not empty.
fn first_prop(first: FirstProp, event: &Event<'_>) -> String {
    let props = props_of(event);
    let given = first.props().iter().filter_map(|name| props.get(*name));
    given.into_iter().find(|value| !value.is_empty()).cloned().unwrap_or_default()
}

/// Whether the event is one of those that take part, as far as engagement and what happened away from the site go.
pub(super) fn takes_part(engagement: Engagement, off_site: bool, row: &Row<'_>) -> bool {
    let of_section = !row.event.section_id.is_empty();
    match names_engagement(&row.event) {
        // Events of these names that belong to a visit are a page's own.
        false => off_site || row.session_id != 0 || !OFF_SITE.contains(&&*row.event.name),
        true => match engagement {
            Engagement::Hidden => false,
            Engagement::Sections => of_section && row.session_id != 0,
            Engagement::All => row.session_id != 0,
        },
    }
}

pub(super) fn props_of(event: &Event<'_>) -> BTreeMap<String, String> {
    serde_json::from_str(&event.props).unwrap_or_default()
}

impl<'a> Walk<'a> {
    /// Events and visits that the question covers, before its filters.
    pub(super) fn over(state: &'a State, question: &'a Question) -> Walk<'a> {
        let wants_bots = question.names_bots;
        let visit_of: BTreeMap<u64, &Session> = state
            .sessions
            .iter()
            .filter(|session| session.site_id == question.site_id)
            .map(|session| (session.session_id, session))
            .collect();
        let shown =
            |attributes: &Attributes| wants_bots || attributes.get(Attribute::Bot).is_empty();
        let everything: Vec<Happening<'_>> = state
            .rows
            .iter()
            .filter(|row| row.event.site_id == question.site_id)
            .filter(|row| question.range.covers_ms(row.event.timestamp_ms))
            .map(|row| Happening { row, visit: visit_of.get(&row.session_id).copied() })
            .collect();
        let events = everything
            .iter()
            .copied()
            .filter(|happening| shown(&happening.row.attributes))
            .collect();
        let active = |session: &&Session| {
            session.ended_at_ms.div_euclid(1000) >= question.range.from_s
                && session.started_at_ms.div_euclid(1000) <= question.range.to_s
        };
        let visits = visit_of
            .into_values()
            .filter(|session| shown(&session.attributes))
            .filter(active)
            .collect();
        Walk { events, everything, visits, question }
    }

    /// Whether an event converts a goal.
    pub(super) fn converts(&self, goal: &Goal, happening: Happening<'_>) -> bool {
        let event = &happening.row.event;
        let triggered = match &goal.trigger {
            Trigger::Event(name) => event.name == name.as_str() && !names_engagement(event),
            Trigger::Page(path) => event.name == PAGE_VIEW && fits(path, &event.path),
            Trigger::Scroll { path, threshold } => {
                let deep =
                    event.scroll_percent.is_some_and(|depth| (*threshold..=100).contains(&depth));
                names_engagement(event) && deep && fits(path, &event.path)
            }
            Trigger::Section { section, path } => {
                let read = props_of(event).get(READING).is_some_and(|reading| reading == READ);
                let seen = !event.section_id.is_empty() && fits(section, &event.section_id);
                names_engagement(event) && seen && read && fits(path, &event.path)
            }
            Trigger::Engaged { path, time_ms } => {
                self.reaches(path.as_deref(), u64::from(*time_ms), happening)
            }
        };
        let props = props_of(event);
        let value = |key: &str| props.get(key).map(String::as_str);
        let is_enough = |least| {
            event.value_minor.is_some_and(|value| value >= least)
                && event.currency == goal.currency.as_str()
        };
        triggered
            && goal.conditions.iter().all(|condition| condition.accepts(value))
            && goal.value_minor_min.is_none_or(is_enough)
    }

    /// Whether the visit's time reaches a bound with this report: on its page, or on all of them.
    fn reaches(&self, path: Option<&str>, time_ms: u64, happening: Happening<'_>) -> bool {
        let event = &happening.row.event;
        let own_ms = u64::from(event.engagement_ms.unwrap_or_default());
        if !names_engagement(event) || happening.row.session_id == 0 || own_ms == 0 {
            return false;
        }
        let place = |row: &Row<'_>| (row.event.timestamp_ms, row.offset);
        let earlier = self.events.iter().map(|happening| happening.row).filter(|row| {
            row.session_id == happening.row.session_id
                && names_engagement(&row.event)
                && (path.is_none() || row.event.path == event.path)
                && place(row) < place(happening.row)
        });
        let before_ms: u64 =
            earlier.map(|row| u64::from(row.event.engagement_ms.unwrap_or_default())).sum();
        path.is_none_or(|path| fits(path, &event.path))
            && before_ms < time_ms
            && before_ms + own_ms >= time_ms
    }

    fn field(&self, thing: Thing<'a>, field: Field) -> Option<String> {
        let visit = match thing {
            Thing::Event(happening) => happening.visit,
            Thing::Visit(visit) => Some(visit),
        };
        let attributes: &Attributes = match thing {
            Thing::Event(happening) => &happening.row.attributes,
            Thing::Visit(visit) => &visit.attributes,
        };
        let identification = match thing {
            Thing::Event(happening) => happening.row.event.identification,
            Thing::Visit(visit) => visit.identification,
        };
        Some(match field {
            Field::EntryPage => visit?.entry_page.clone(),
            Field::ExitPage => visit?.exit_page.clone(),
            Field::EntryHostname => visit?.entry_hostname.clone(),
            Field::ExitHostname => visit?.exit_hostname.clone(),
            Field::Bot => (!attributes.get(Attribute::Bot).is_empty()).to_string(),
            Field::Identification => match identification {
                Identification::Identified => "identified".to_owned(),
                Identification::Anonymous => "anonymous".to_owned(),
            },
            other => attributes.get(attribute_of(other)?).to_owned(),
        })
    }

    fn test(&self, test: &Test, thing: Thing<'a>) -> bool {
        let event = match thing {
            Thing::Event(happening) => Some(&happening.row.event),
            Thing::Visit(_) => None,
        };
        match (&test.subject, event) {
            (Dimension::EventName, Some(event)) => test.accepts(&event.name),
            (Dimension::Page, Some(event)) => test.accepts(&event.path),
            (Dimension::Hostname, Some(event)) => test.accepts(&event.hostname),
            (Dimension::Prop(key), Some(event)) => {
                test.accepts_prop(props_of(event).get(key).map(String::as_str))
            }
            (Dimension::Section, Some(event)) => test.accepts(&event.section_id),
            (Dimension::FirstProp(first), Some(event)) => test.accepts(&first_prop(*first, event)),
            (Dimension::Goal, Some(_)) => self.question.goals.iter().any(|goal| match thing {
                Thing::Event(happening) => {
                    test.accepts(&goal.name) && self.converts(goal, happening)
                }
                Thing::Visit(_) => false,
            }),
            (Dimension::Visit(Field::CountryName), _) => {
                let code = self.field(thing, Field::Country).unwrap_or_default();
                test.accepts(cairn_model::question::countries::country_name(&code))
            }
            (Dimension::Visit(field), _) => {
                self.field(thing, *field).is_some_and(|value| test.accepts(&value))
            }
            _ => false,
        }
    }

    fn has_done(&self, filter: &Filter, session_id: u64) -> bool {
        let engagement = self.question.engagement_of(filter);
        session_id != 0
            && self
                .events
                .iter()
                .filter(|happening| happening.row.session_id == session_id)
                .filter(|happening| takes_part(engagement, false, happening.row))
                .any(|happening| self.passes(filter, Thing::Event(*happening)))
    }

    pub(super) fn passes(&self, filter: &Filter, thing: Thing<'a>) -> bool {
        match filter {
            Filter::Test(test) => self.test(test, thing),
            Filter::And(members) => members.iter().all(|member| self.passes(member, thing)),
            Filter::Or(members) => members.iter().any(|member| self.passes(member, thing)),
            Filter::Not(member) => !self.passes(member, thing),
            Filter::Done { negated, filter } => {
                let session_id = match thing {
                    Thing::Event(happening) => happening.row.session_id,
                    Thing::Visit(visit) => visit.session_id,
                };
                self.has_done(filter, session_id) != *negated
            }
        }
    }

    /// Events that pass all filters.
    pub(super) fn kept_events(
        &self,
        filters: &[Filter],
        engagement: Engagement,
    ) -> Vec<Happening<'a>> {
        self.kept_anywhere(filters, engagement, false)
    }

    /// The same, where asked with those that happened away from the site.
    pub(super) fn kept_anywhere(
        &self,
        filters: &[Filter],
        engagement: Engagement,
        off_site: bool,
    ) -> Vec<Happening<'a>> {
        self.events
            .iter()
            .copied()
            .filter(|happening| takes_part(engagement, off_site, happening.row))
            .filter(|happening| {
                filters.iter().all(|filter| self.passes(filter, Thing::Event(*happening)))
            })
            .collect()
    }

    /// Visits that pass the filters on visits and have an event that passes all the others at once.
    pub(super) fn kept_visits(
        &self,
        filters: &[Filter],
        engagement: Engagement,
    ) -> Vec<&'a Session> {
        let (of_events, of_visits): (Vec<Filter>, Vec<Filter>) =
            filters.iter().cloned().partition(Filter::needs_event);
        let by_event: BTreeSet<u64> = self
            .kept_events(&of_events, engagement)
            .iter()
            .map(|happening| happening.row.session_id)
            .collect();
        self.visits
            .iter()
            .copied()
            .filter(|visit| of_visits.iter().all(|filter| self.passes(filter, Thing::Visit(visit))))
            .filter(|visit| of_events.is_empty() || by_event.contains(&visit.session_id))
            .collect()
    }

    pub(super) fn key(
        &self,
        question: &Question,
        dimension: &Dimension,
        thing: Thing<'a>,
    ) -> Vec<Key> {
        let text = |text: &str| vec![Key::Text(text.to_owned())];
        let known = |value: &str| if value.is_empty() { Vec::new() } else { text(value) };
        match (dimension, thing) {
            (Dimension::Time(_), _) => buckets_of(question, thing),
            (Dimension::EventName, Thing::Event(happening)) => text(&happening.row.event.name),
            (Dimension::Page, Thing::Event(happening)) => text(&happening.row.event.path),
            (Dimension::Page, Thing::Visit(visit)) => text(&visit.entry_page),
            (Dimension::Hostname, Thing::Event(happening)) => text(&happening.row.event.hostname),
            (Dimension::Prop(name), Thing::Event(happening)) => {
                text(props_of(&happening.row.event).get(name).map_or("", String::as_str))
            }
            (Dimension::Section, Thing::Event(happening)) => known(&happening.row.event.section_id),
            (Dimension::FirstProp(first), Thing::Event(happening)) => {
                known(&first_prop(*first, &happening.row.event))
            }
            (Dimension::Goal, Thing::Event(happening)) => {
                let selected = question
                    .goals_filtered()
                    .unwrap_or_else(|| (0..question.goals.len()).collect());
                let converted = |index: &usize| {
                    self.question
                        .goals
                        .get(*index)
                        .is_some_and(|goal| self.converts(goal, happening))
                };
                selected.into_iter().filter(converted).map(Key::Goal).collect()
            }
            (Dimension::Visit(field), _) => text(&self.field(thing, *field).unwrap_or_default()),
            _ => Vec::new(),
        }
    }

    /// Every group that the thing belongs to.
    pub(super) fn keys(
        &self,
        question: &Question,
        dimensions: &[Dimension],
        thing: Thing<'a>,
    ) -> Vec<Vec<Key>> {
        let mut groups = vec![Vec::new()];
        for dimension in dimensions {
            let values = self.key(question, dimension, thing);
            groups = groups
                .iter()
                .flat_map(|group| {
                    values.iter().map(move |value| {
                        let mut group: Vec<Key> = group.clone();
                        group.push(value.clone());
                        group
                    })
                })
                .collect();
        }
        groups
    }
}

/// Buckets of an event (by its time) or of a visit (by its end, or every hour of it).
fn buckets_of(question: &Question, thing: Thing<'_>) -> Vec<Key> {
    let Some(buckets) = &question.buckets else { return Vec::new() };
    let (first_ms, last_ms) = match (thing, buckets.unit()) {
        (Thing::Event(happening), _) => {
            let at = happening.row.event.timestamp_ms;
            (at, at)
        }
        (Thing::Visit(visit), TimeUnit::Hour) => {
            let first = visit.started_at_ms.min(visit.ended_at_ms);
            let last = visit.started_at_ms.max(visit.ended_at_ms);
            (first.max(question.range.from_ms()), last.min(question.range.until_ms() - 1))
        }
        (Thing::Visit(visit), _) => (visit.ended_at_ms, visit.ended_at_ms),
    };
    (buckets.index_of(first_ms)..=buckets.index_of(last_ms))
        .filter(|index| (0..buckets.count()).contains(index))
        .map(Key::Bucket)
        .collect()
}

/// The event as it is read back: with its visit's attributes, without what is not kept.
fn read_back(row: &Row<'static>) -> Event<'static> {
    let of = |attribute: Attribute| row.attributes.get(attribute).to_owned().into();
    Event {
        referrer: of(Attribute::Referrer),
        source: of(Attribute::Source),
        medium: of(Attribute::Medium),
        channel: of(Attribute::Channel),
        utm_source: of(Attribute::UtmSource),
        utm_medium: of(Attribute::UtmMedium),
        utm_campaign: of(Attribute::UtmCampaign),
        utm_content: of(Attribute::UtmContent),
        utm_term: of(Attribute::UtmTerm),
        country: of(Attribute::Country),
        region: of(Attribute::Region),
        city: of(Attribute::City),
        browser: of(Attribute::Browser),
        browser_version: of(Attribute::BrowserVersion),
        os: of(Attribute::Os),
        os_version: of(Attribute::OsVersion),
        device: of(Attribute::Device),
        bot: of(Attribute::Bot),
        event_key: 0,
        previous_visitor_id: cairn_model::VisitorId(0),
        session_key: 0,
        user_id: "".into(),
        traits: "".into(),
        ..row.event.clone()
    }
}

/// A page of stored events, newest first.
pub(super) fn events_page(state: &State, asked: &EventsQuestion) -> Vec<StoredEvent> {
    let question = asked.question();
    let walk = Walk::over(state, question);
    let before = asked.before_offset().unwrap_or(u64::MAX);
    let mut kept: Vec<Happening<'_>> = walk
        .events
        .iter()
        .copied()
        .filter(|happening| happening.row.offset < before)
        .filter(|happening| {
            question.filters.iter().all(|filter| walk.passes(filter, Thing::Event(*happening)))
        })
        .collect();
    kept.sort_by_key(|happening| std::cmp::Reverse(happening.row.offset));
    kept.truncate(asked.limit() as usize);
    kept.into_iter().map(|Happening { row, .. }| stored(row)).collect()
}

/// A row as it is read back.
pub(super) fn stored(row: &Row<'static>) -> StoredEvent {
    StoredEvent { offset: row.offset, session_id: row.session_id, event: read_back(row) }
}
