//! Which visit an event belongs to.
//!
//! Guarantees: the answer depends only on the events before it in the log, not on what happens to be in memory: visits
//! that left the memory are asked of the store (`probes_for`) whenever an event could belong to one. An event joins a visit
//! when it lies at most the timeout (whole minutes) outside the visit's span; of several, the nearest.
//! What happens in mails and with ads, away from the site, belongs to no visit.
//! A new campaign or the site's midnight does not split a visit. A visit's attributes are those of its first event.
//! It does not know the log, the clock or SQL.

use std::sync::Arc;

use cairn_model::session::{Attribute, Attributes};
use cairn_model::{Event, Identification, Session, SiteId, VisitorId, limits};
use cairn_store::{SessionChange, SessionProbe};
use foldhash::{HashMap, HashSet};

#[cfg(test)]
mod tests;

/// What a visit's end is compared with.
const MINUTE_MS: i64 = 60_000;

/// Options of the session rules.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Whole minutes of inactivity that still belong to the visit.
    pub timeout_minutes: i64,
    /// Visits kept in memory; beyond it the longest idle ones leave (they stay in the store).
    pub in_memory_max: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions { timeout_minutes: limits::SESSION_TIMEOUT_MINUTES, in_memory_max: 100_000 }
    }
}

impl SessionOptions {
    /// Furthest distance at which an event still joins, in milliseconds.
    pub fn reach_ms(&self) -> i64 {
        (self.timeout_minutes + 1) * MINUTE_MS - 1
    }
}

/// The visit that an event was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// `Session::session_id`; 0 for engagement without an open visit, and for what happened away from the site.
    pub session_id: u64,
    /// The visit's visitor: yesterday's anonymous number may live on in an open visit.
    pub visitor_id: VisitorId,
    /// What kind of number that is.
    pub identification: Identification,
    /// The visit's frozen attributes.
    pub attributes: Arc<Attributes>,
}

/// A visit in memory.
#[derive(Debug)]
struct Slot {
    session: Session,
    /// The store holds a state of it.
    in_store: bool,
    /// Changed since the last `take_changes`.
    dirty: bool,
    /// No event of it, and no state that the store holds, is of an earlier time.
    earliest_ms: i64,
}

impl Slot {
    fn new(session: Session) -> Slot {
        let earliest_ms = session.started_at_ms.min(session.ended_at_ms);
        Slot { session, in_store: false, dirty: true, earliest_ms }
    }

    /// A visit that the store held. Engagement may have joined it before its first event, as far as events reach; an event
    /// of a named one, whenever it was.
    fn of_store(session: Session, reach_ms: i64) -> Slot {
        let first_ms = session.started_at_ms.min(session.ended_at_ms);
        let earliest_ms = match session.session_key {
            0 => first_ms.saturating_sub(reach_ms),
            _ => i64::MIN,
        };
        Slot { session, in_store: true, dirty: false, earliest_ms }
    }
}

type VisitorKey = (SiteId, VisitorId);

/// The visits in memory, and what is known of those that are not.
#[derive(Debug)]
pub struct Sessions {
    options: SessionOptions,
    visitors: HashMap<VisitorKey, Vec<Slot>>,
    count: usize,
    dirty: Vec<VisitorKey>,
    /// Shared by visits that look alike.
    attributes: HashSet<Arc<Attributes>>,
    /// For each site: no visit outside the memory was active after this instant.
    stored_until_ms: HashMap<SiteId, i64>,
    /// The same for sites without an entry.
    stored_until_ms_default: i64,
}

impl Sessions {
    /// Starts from the visits that were active lately; every other visit of the store was last active
    /// at or before `others_until_ms` (`i64::MIN`: there is no other).
    pub fn new(options: SessionOptions, active: Vec<Session>, others_until_ms: i64) -> Self {
        let mut sessions = Sessions {
            options,
            visitors: HashMap::default(),
            count: 0,
            dirty: Vec::new(),
            attributes: HashSet::default(),
            stored_until_ms: HashMap::default(),
            stored_until_ms_default: others_until_ms,
        };
        sessions.load(active);
        sessions
    }

    /// What must be asked of the store (and given to [`Sessions::load`]) before `event` may be assigned.
    pub fn probes_for(&self, event: &Event<'_>, probes: &mut HashSet<SessionProbe>) {
        if event.is_off_site() {
            return;
        }
        let (site_id, timestamp_ms) = (event.site_id, event.timestamp_ms);
        if event.session_key != 0 {
            // A visit with a number of its own may have been at any time.
            let (visitor_id, session_key) = (event.visitor_id, event.session_key);
            if self.find((site_id, visitor_id), event).is_none() {
                probes.insert(SessionProbe { site_id, visitor_id, timestamp_ms, session_key });
            }
            return;
        }
        let until_ms = self
            .stored_until_ms
            .get(&event.site_id)
            .copied()
            .unwrap_or(self.stored_until_ms_default);
        if event.timestamp_ms.saturating_sub(self.options.reach_ms()) > until_ms {
            return;
        }
        for visitor_id in [event.visitor_id, event.previous_visitor_id] {
            if visitor_id != VisitorId(0) {
                probes.insert(SessionProbe { site_id, visitor_id, timestamp_ms, session_key: 0 });
            }
        }
    }

    /// Takes visits of the store into memory. One that is there already is newer there.
    pub fn load(&mut self, found: Vec<Session>) {
        for mut session in found {
            let key = (session.site_id, session.visitor_id);
            let slots = self.visitors.entry(key).or_default();
            if slots.iter().any(|slot| slot.session.session_id == session.session_id) {
                continue;
            }
            session.attributes = intern(&mut self.attributes, session.attributes);
            slots.push(Slot::of_store(session, self.options.reach_ms()));
            // The order in memory must not depend on when a visit was loaded.
            slots.sort_by_key(|slot| slot.session.session_id);
            self.count += 1;
        }
    }

    /// Gives the event at `offset` its visit, changing or starting it.
    pub fn assign(&mut self, offset: u64, event: &Event<'_>) -> Assigned {
        if event.is_off_site() {
            return self.without_visit(event);
        }
        let own = (event.site_id, event.visitor_id);
        let previous = (event.site_id, event.previous_visitor_id);
        let mut found = self.find(own, event).map(|index| (own, index));
        if found.is_none() && event.previous_visitor_id != VisitorId(0) {
            found = self.find(previous, event).map(|index| (previous, index));
        }
        match found {
            Some((key, index)) => self.join(key, index, event),
            None if event.is_engagement() => self.without_visit(event),
            None => self.start(own, offset, event),
        }
    }

    fn without_visit(&mut self, event: &Event<'_>) -> Assigned {
        Assigned {
            session_id: 0,
            visitor_id: event.visitor_id,
            identification: event.identification,
            attributes: self.attributes_of(event),
        }
    }

    /// The visits begun or changed since the last call. The caller must bring them into the store.
    pub fn take_changes(&mut self) -> Vec<SessionChange> {
        let mut changes = Vec::with_capacity(self.dirty.len());
        for key in self.dirty.drain(..) {
            for slot in self.visitors.get_mut(&key).into_iter().flatten().filter(|slot| slot.dirty)
            {
                let Slot { session, in_store: replaces, earliest_ms, .. } = slot;
                let (session, earliest_ms) = (session.clone(), *earliest_ms);
                changes.push(SessionChange { session, replaces: *replaces, earliest_ms });
                slot.dirty = false;
                slot.in_store = true;
            }
        }
        changes.sort_by_key(|change| change.session.session_id);
        changes
    }

    /// Lets go of visits that no event arriving from now on can join in the ordinary way, and of the longest idle ones
    /// beyond the bound. Call it after the changes have been committed.
    pub fn evict(&mut self, clock_ms: i64) {
        let idle_before_ms = clock_ms - self.options.reach_ms() - limits::FUTURE_MS_MAX;
        self.evict_received_before(idle_before_ms);
        if self.count > self.options.in_memory_max {
            let mut received: Vec<i64> =
                self.slots().map(|slot| slot.session.last_received_ms).collect();
            // A quarter more than needed, so that this happens seldom.
            let surplus = self.count - self.options.in_memory_max * 3 / 4;
            let (_, &mut bound, _) = received.select_nth_unstable(surplus.min(self.count - 1));
            // Equal arrival times leave together: a burst may share one.
            self.evict_received_before(bound + 1);
        }
        if self.attributes.len() > 2 * self.count + 1024 {
            self.attributes.retain(|attributes| Arc::strong_count(attributes) > 1);
        }
    }

    /// Lets go of a site that was removed. Call it after the changes have been committed.
    pub fn forget(&mut self, site_id: SiteId) {
        self.visitors.retain(|(of, _), _| *of != site_id);
        self.dirty.retain(|(of, _)| *of != site_id);
        self.stored_until_ms.remove(&site_id);
        self.count = self.visitors.values().map(Vec::len).sum();
        self.attributes.retain(|attributes| Arc::strong_count(attributes) > 1);
    }

    /// Lets go of visitors whose visits were erased from the store. Call it after the changes have been committed.
    pub fn forget_visitors(&mut self, site_id: SiteId, visitors: &[VisitorId]) {
        for visitor_id in visitors {
            let key = (site_id, *visitor_id);
            self.count -= self.visitors.remove(&key).map_or(0, |slots| slots.len());
            self.dirty.retain(|dirty| *dirty != key);
        }
        self.attributes.retain(|attributes| Arc::strong_count(attributes) > 1);
    }

    /// Distance from a visit within which an event joins it, milliseconds.
    pub fn reach_ms(&self) -> i64 {
        self.options.reach_ms()
    }

    /// Visits in memory.
    pub fn in_memory(&self) -> usize {
        self.count
    }

    /// People (no bots) active since an instant, by site.
    pub fn visitors_since(&self, since_ms: i64) -> HashMap<SiteId, u32> {
        let mut visitors = HashMap::default();
        for ((site_id, _), slots) in &self.visitors {
            let active = slots.iter().any(|slot| {
                slot.session.last_received_ms >= since_ms
                    && slot.session.last_activity_ms >= since_ms
                    && slot.session.attributes.get(Attribute::Bot).is_empty()
            });
            if active {
                *visitors.entry(*site_id).or_insert(0) += 1;
            }
        }
        visitors
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.visitors.values().flatten()
    }

    fn evict_received_before(&mut self, bound_ms: i64) {
        let stored_until_ms = &mut self.stored_until_ms;
        let default_ms = self.stored_until_ms_default;
        let mut evicted = 0;
        self.visitors.retain(|(site_id, _), slots| {
            slots.retain(|slot| {
                if slot.dirty || slot.session.last_received_ms >= bound_ms {
                    return true;
                }
                let until_ms = stored_until_ms.entry(*site_id).or_insert(default_ms);
                *until_ms = (*until_ms).max(latest_ms(&slot.session));
                evicted += 1;
                false
            });
            !slots.is_empty()
        });
        self.count -= evicted;
    }

    /// The visit of this visitor that the event belongs to.
    fn find(&self, key: VisitorKey, event: &Event<'_>) -> Option<usize> {
        let slots = self.visitors.get(&key)?;
        if event.session_key != 0 {
            return slots.iter().position(|slot| slot.session.session_key == event.session_key);
        }
        let reach_ms = self.options.reach_ms();
        slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.session.session_key == 0)
            .map(|(index, slot)| (distance_ms(&slot.session, event.timestamp_ms), index))
            .filter(|(distance_ms, _)| *distance_ms <= reach_ms)
            // Of two equally near ones the younger, as if each event had come in time.
            .min_by_key(|(distance_ms, index)| (*distance_ms, std::cmp::Reverse(*index)))
            .map(|(_, index)| index)
    }

    fn join(&mut self, key: VisitorKey, index: usize, event: &Event<'_>) -> Assigned {
        let Some(slot) = self.visitors.get_mut(&key).and_then(|slots| slots.get_mut(index)) else {
            unreachable!("find returned a visit that is in memory");
        };
        slot.earliest_ms = slot.earliest_ms.min(event.timestamp_ms);
        let session = &mut slot.session;
        session.last_activity_ms = session.last_activity_ms.max(event.timestamp_ms);
        session.last_received_ms = session.last_received_ms.max(event.received_at_ms);
        if !event.is_engagement() {
            count(session, event);
        }
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
        Assigned {
            session_id: session.session_id,
            visitor_id: session.visitor_id,
            identification: session.identification,
            attributes: Arc::clone(&session.attributes),
        }
    }

    fn start(&mut self, key: VisitorKey, offset: u64, event: &Event<'_>) -> Assigned {
        let attributes = self.attributes_of(event);
        let mut session = Session {
            site_id: event.site_id,
            session_id: offset,
            visitor_id: event.visitor_id,
            identification: event.identification,
            session_key: event.session_key,
            started_at_ms: event.timestamp_ms,
            ended_at_ms: event.timestamp_ms,
            last_activity_ms: event.timestamp_ms,
            last_received_ms: event.received_at_ms,
            pageviews: 0,
            events: 0,
            entry_hostname: String::new(),
            entry_page: String::new(),
            exit_hostname: String::new(),
            exit_page: String::new(),
            attributes: Arc::clone(&attributes),
        };
        count(&mut session, event);
        let assigned = Assigned {
            session_id: offset,
            visitor_id: session.visitor_id,
            identification: session.identification,
            attributes,
        };
        self.visitors.entry(key).or_default().push(Slot::new(session));
        self.dirty.push(key);
        self.count += 1;
        assigned
    }

    fn attributes_of(&mut self, event: &Event<'_>) -> Arc<Attributes> {
        intern(&mut self.attributes, Arc::new(Attributes::of(event)))
    }
}

fn intern(known: &mut HashSet<Arc<Attributes>>, attributes: Arc<Attributes>) -> Arc<Attributes> {
    if let Some(same) = known.get(&attributes) {
        return Arc::clone(same);
    }
    known.insert(Arc::clone(&attributes));
    attributes
}

/// Counts a page view or custom event into its visit.
fn count(session: &mut Session, event: &Event<'_>) {
    session.events += 1;
    // Arrival order decides: the latest-arrived event ends the visit, whatever its timestamp.
    session.ended_at_ms = event.timestamp_ms;
    if event.is_page_view() {
        session.pageviews += 1;
        if session.pageviews == 1 {
            session.entry_hostname.push_str(&event.hostname);
            session.entry_page.push_str(&event.path);
        }
        replace(&mut session.exit_hostname, &event.hostname);
        replace(&mut session.exit_page, &event.path);
    }
}

/// Replaces a text without giving its memory back: visits change often.
fn replace(text: &mut String, new: &str) {
    text.clear();
    text.push_str(new);
}

/// Earliest and latest instants that the visit covers.
fn latest_ms(session: &Session) -> i64 {
    session.last_activity_ms.max(session.started_at_ms)
}

/// How far an instant lies outside the visit's span; 0 inside.
fn distance_ms(session: &Session, timestamp_ms: i64) -> i64 {
    let earliest_ms = session.started_at_ms.min(session.ended_at_ms);
    if timestamp_ms < earliest_ms {
        earliest_ms - timestamp_ms
    } else {
        (timestamp_ms - latest_ms(session)).max(0)
    }
}
