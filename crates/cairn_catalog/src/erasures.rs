//! Erasures: who is erased, where that was done, and what could not be.
//!
//! Purpose: to bring an erasure to its end over restarts, and to prove it. Keyed numbers and counts only; kept as long as
//! the class `erasures` of [`cairn_model::retention`] says. Guarantees: once [`Catalog::begin_erasure`] has answered, the
//! subject's numbers are on record as opted out, so that nothing new of it is kept. The catalog does not know store and
//! log: who cleans them reports what was done.

use cairn_model::{SiteId, Subject, VisitorId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::rights::close_erased_request;
use crate::sites::{insert_opt_outs, read_json, require_room};
use crate::{
    Catalog, CatalogError, ERASURES_OPEN_MAX, ERASURES_PER_SITE_MAX, ERASURES_WATCHED_MAX,
    MemoryHolder, OPT_OUTS_PER_SITE_MAX, OWNERS_PART, SITES_PART, idempotency, memory, refusals,
    rights,
};

/// Number of an erasure; 0 is before all of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ErasureId(pub i64);

/// How far an erasure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErasureState {
    /// Nothing new is kept; what is kept was not looked at yet.
    Waiting,
    /// The same, and what is kept goes when the store's file, which is being rewritten for others, is whole again.
    Held,
    /// No question finds anything any more; files may still hold bytes.
    Running,
    /// Nothing is left but in backups.
    InBackups,
    /// Nothing is left but what its places say.
    Done,
}

impl ErasureState {
    const ALL: [ErasureState; 5] = [
        ErasureState::Waiting,
        ErasureState::Held,
        ErasureState::Running,
        ErasureState::InBackups,
        ErasureState::Done,
    ];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            ErasureState::Waiting => "waiting",
            ErasureState::Held => "held",
            ErasureState::Running => "running",
            ErasureState::InBackups => "in_backups",
            ErasureState::Done => "done",
        }
    }
}

/// Who asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErasureReason {
    /// The visitor, for his browser, on his own page.
    Visitor,
    /// The owner, for somebody who asked.
    Owner,
    /// The command line.
    Command,
}

impl ErasureReason {
    const ALL: [ErasureReason; 3] =
        [ErasureReason::Visitor, ErasureReason::Owner, ErasureReason::Command];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            ErasureReason::Visitor => "visitor",
            ErasureReason::Owner => "owner",
            ErasureReason::Command => "command",
        }
    }
}

/// An erasure to begin.
#[derive(Clone, PartialEq, Debug)]
pub struct NewErasure {
    /// Whose events, visits, people and mail choices.
    pub subject: Subject,
    /// Whose memory.
    pub holders: Vec<MemoryHolder>,
    /// Who asked.
    pub reason: ErasureReason,
    /// Number of the request that it answers, if there is one.
    pub request_id: Option<i64>,
    /// Direct identifiers by which kept answers of the API are found. They are not kept.
    pub names: Vec<String>,
}

/// One place where a subject was looked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Its name, as `events`.
    pub name: String,
    /// What was erased there.
    pub what: String,
    /// How many.
    pub count: u64,
    /// Since when nothing is there, Unix milliseconds.
    pub done_at_ms: Option<i64>,
    /// What stays there, and why.
    pub remaining_reason: Option<String>,
}

/// Places in the order in which they are cleaned: name, what is erased, what stays and why.
const PLACES: [(&str, &str, Option<&str>); 16] = [
    ("people", "user ids and traits", None),
    (
        "requests",
        "what requests of people about themselves named them by",
        Some("the requests themselves stay with keyed numbers, as proof that they were answered"),
    ),
    ("mail_choices", "choices about mails, and the last no of senders without a cookie", None),
    (
        "memory",
        "remembered values, and which browsers are whose",
        Some(
            "values of a browser of which it was never permitted to know whose it is stay until they expire, where no name of the erased stands in them",
        ),
    ),
    (
        "answers",
        "texts of the API's answers kept for repetitions",
        Some(
            "hashes of requests stay for a day, so that no repetition is done twice; they hold no text",
        ),
    ),
    (
        "receipts",
        "names in receipts",
        Some("the choices themselves stay without a name, as proof of permission"),
    ),
    ("process", "visits in memory, and who visitors were lately known as", None),
    ("events", "events", None),
    ("visits", "visits without any event left", None),
    (
        "visit_attributes",
        "nothing",
        Some(
            "a visit in which somebody else did something, too, keeps where it came from: source, referrer and campaign",
        ),
    ),
    ("store_file", "bytes of erased rows in the store's files", None),
    ("log", "records in the log's files", None),
    ("catalog_file", "bytes in the catalog's file and its journal", None),
    (
        "backups",
        "the same in every backup; counted in backups",
        Some(
            "copies of backups that were carried elsewhere are out of reach; restoring one erases there",
        ),
    ),
    (
        "event_ids",
        "nothing",
        Some("keyed hashes of event ids recognise repetitions for seven days; they name nobody"),
    ),
    (
        "opt_outs",
        "nothing",
        Some(
            "keyed numbers of the erased browsers and users stay, so that nothing new of them is kept",
        ),
    ),
];

/// An erasure on record.
#[derive(Clone, PartialEq, Debug)]
pub struct Erasure {
    /// Its number.
    pub id: ErasureId,
    /// Whose.
    pub subject: Subject,
    /// Whose memory.
    pub holders: Vec<MemoryHolder>,
    /// Who asked.
    pub reason: ErasureReason,
    /// The request that it answers.
    pub request_id: Option<i64>,
    /// How far it is.
    pub state: ErasureState,
    /// Since when, Unix milliseconds.
    pub asked_at_ms: i64,
    /// Since when it is done.
    pub done_at_ms: Option<i64>,
    /// Where it was done.
    pub places: Vec<Place>,
}

impl Erasure {
    /// The place of this name.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.name == name)
    }
}

/// What the catalog holds of a subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubjectCounts {
    /// Entries of people.
    pub people: u64,
    /// Choices about mails.
    pub mail_choices: u64,
    /// Remembered values.
    pub memory: u64,
    /// Receipts that name it.
    pub receipts: u64,
}

/// How many of what were found, or erased, in some places for an erasure.
pub type Counted = (ErasureId, Vec<(&'static str, u64)>);

impl Catalog {
    /// Records an erasure and keeps its subject's numbers as opted out, in one transaction; blanks answers that name it.
    pub fn begin_erasure(&self, new: &NewErasure, now_ms: i64) -> Result<ErasureId, CatalogError> {
        let doing = "begins an erasure";
        let id = self.connections.write(doing, |transaction| begin(transaction, new, now_ms))?;
        self.note_begun(id, &new.subject);
        Ok(id)
    }

    /// What is held of a subject.
    pub fn subject_counts(
        &self,
        subject: &Subject,
        holders: &[MemoryHolder],
    ) -> Result<SubjectCounts, CatalogError> {
        let receipts = self.receipts_naming(subject.site_id, &subject.visitors)?;
        self.connections.read("counts what it holds of somebody", |connection| {
            let mut counts = SubjectCounts { receipts, ..SubjectCounts::default() };
            let count = |table: &str, user: u64| {
                let sql =
                    format!("SELECT count(*) FROM {table} WHERE site_id = ?1 AND user_key = ?2");
                let asked = params![subject.site_id.0, user.cast_signed()];
                connection.prepare_cached(&sql)?.query_row(asked, |row| row.get::<_, i64>(0))
            };
            for user in subject.users.iter().chain(&subject.entries) {
                counts.people += count("people", *user)?.cast_unsigned();
            }
            for user in &subject.users {
                counts.mail_choices += count("mail_choices", *user)?.cast_unsigned();
            }
            for holder in holders {
                let held = memory::count(connection, subject.site_id, *holder)?;
                counts.memory += held.cast_unsigned();
            }
            for visitor in &subject.visitors {
                let held = memory::count_of_visitor(connection, subject.site_id, *visitor)?;
                counts.memory += held.cast_unsigned();
            }
            Ok(counts)
        })
    }

    /// The erasure with this number.
    pub fn erasure(&self, id: ErasureId) -> Result<Option<Erasure>, CatalogError> {
        self.connections.read("reads an erasure", |connection| find(connection, id))
    }

    /// Erasures of a site, the newest first; those before the given one.
    pub fn erasures(
        &self,
        site_id: SiteId,
        before: Option<ErasureId>,
        limit: usize,
    ) -> Result<Vec<Erasure>, CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM erasures WHERE site_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
        );
        self.connections.read("lists erasures", |connection| {
            let before = before.map_or(i64::MAX, |before| before.0);
            connection
                .prepare_cached(&sql)?
                .query_map(params![site_id.0, before, limit], read)?
                .collect()
        })
    }

    /// Erasures of all sites with numbers above the given one, in their order.
    pub fn erasures_after(&self, after: ErasureId) -> Result<Vec<Erasure>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM erasures WHERE id > ?1 ORDER BY id");
        self.connections.read("lists erasures", |connection| {
            connection.prepare_cached(&sql)?.query_map([after.0], read)?.collect()
        })
    }

    /// Erasures with numbers above the given one that are not done, or whose place of this name is not, in the order of their
    /// numbers; and the highest number that was given.
    pub fn erasures_unsettled(
        &self,
        after: ErasureId,
        place: &str,
    ) -> Result<(Vec<Erasure>, ErasureId), CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM erasures WHERE id > ?1 AND (state <> ?2 OR EXISTS (
                SELECT 1 FROM json_each(places) WHERE json_extract(value, '$.name') = ?3
                AND json_extract(value, '$.done_at_ms') IS NULL)) ORDER BY id"
        );
        self.connections.read("lists erasures that are not settled", |connection| {
            let last = "SELECT coalesce(max(id), 0) FROM erasures";
            // Read first: what comes meanwhile is looked at with the next call.
            let last: i64 = connection.prepare_cached(last)?.query_row([], |row| row.get(0))?;
            let asked = params![after.0, ErasureState::Done.name(), place];
            let mut statement = connection.prepare_cached(&sql)?;
            let unsettled: Result<_, _> = statement.query_map(asked, read)?.collect();
            Ok((unsettled?, ErasureId(last.max(after.0))))
        })
    }

    /// Removes people, mail choices and memory of the erasures' subjects, blanks what requests from before them name the subjects
    /// by, and notes how many, in one transaction. Doing it again removes what came since.
    pub fn erase_people(&self, ids: &[ErasureId], now_ms: i64) -> Result<(), CatalogError> {
        let doing = "erases people";
        self.connections.write(doing, |transaction| {
            let mut each = ids.iter().map(|id| erase_people_of(transaction, *id, now_ms));
            each.try_for_each(|erased| erased.map_err(CatalogError::during(doing)))
        })
    }

    /// Notes what was erased in some places, in one transaction: the counts add up.
    pub fn note_erased(&self, erased: &[Counted], now_ms: i64) -> Result<(), CatalogError> {
        self.change_places(erased, |known, name, count| add(known, name, count, now_ms))
    }

    /// Notes how many there are to be erased, before it is done: a crash between the two loses no count.
    pub fn note_erasing(&self, found: &[Counted]) -> Result<(), CatalogError> {
        self.change_places(found, |known, name, count| {
            if let Some(place) = known.iter_mut().find(|place| place.name == name) {
                place.count = place.count.max(count);
            }
        })
    }

    /// Adds what stays in a place for now, and why, in one transaction.
    pub fn note_remaining(
        &self,
        ids: &[ErasureId],
        name: &'static str,
        reason: &str,
    ) -> Result<(), CatalogError> {
        let noted: Vec<Counted> = ids.iter().map(|id| (*id, vec![(name, 0)])).collect();
        self.change_places(&noted, |known, name, _| {
            if let Some(place) = known.iter_mut().find(|place| place.name == name) {
                place.remaining_reason = Some(reason.to_owned());
            }
        })
    }

    fn change_places(
        &self,
        counted: &[Counted],
        change: impl Fn(&mut [Place], &'static str, u64),
    ) -> Result<(), CatalogError> {
        let doing = "notes what was erased";
        self.connections.write(doing, |transaction| {
            let changed = |(id, counts): &Counted| {
                let Some(mut erasure) = find(transaction, *id)? else { return Ok(()) };
                for (name, count) in counts {
                    change(&mut erasure.places, name, *count);
                }
                write_places(transaction, *id, &erasure.places)
            };
            counted.iter().try_for_each(changed).map_err(CatalogError::during(doing))
        })
    }

    /// Records how far erasures are, in one transaction; with each the request that it fulfils is done.
    pub fn set_erasure_states(
        &self,
        ids: &[ErasureId],
        state: ErasureState,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let doing = "records how far an erasure is";
        let done_at_ms = (state == ErasureState::Done).then_some(now_ms);
        self.connections.write(doing, |transaction| {
            let recorded = |id: &ErasureId| {
                transaction
                    .prepare_cached(
                        "UPDATE erasures SET state = ?2, done_at_ms = coalesce(done_at_ms, ?3)
                         WHERE id = ?1",
                    )?
                    .execute(params![id.0, state.name(), done_at_ms])?;
                match done_at_ms {
                    Some(at_ms) => close_erased_request(transaction, *id, at_ms),
                    None => Ok(()),
                }
            };
            ids.iter().try_for_each(recorded).map_err(CatalogError::during(doing))
        })
    }

    /// No hit of the subjects can be under way any more: what comes is refused where it arrives.
    pub fn end_erasures(&self, ids: &[ErasureId]) -> Result<(), CatalogError> {
        let doing = "ends an erasure";
        self.connections.write(doing, |transaction| {
            let ended = |id: &ErasureId| {
                let sql = "UPDATE erasures SET is_watched = 0 WHERE id = ?1";
                transaction.prepare_cached(sql)?.execute([id.0]).map(|_| ())
            };
            ids.iter().try_for_each(ended).map_err(CatalogError::during(doing))
        })?;
        self.erasures.remove(ids);
        Ok(())
    }

    pub(crate) fn load_open_erasures(&self) -> Result<(), CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM erasures WHERE is_watched = 1 ORDER BY id");
        self.connections.read("reads its erasures", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            for erasure in statement.query_map([], read)? {
                let Erasure { id, subject, .. } = erasure?;
                self.erasures.add(id, &subject);
            }
            Ok(())
        })
    }
}

fn find(connection: &Connection, id: ErasureId) -> rusqlite::Result<Option<Erasure>> {
    let sql = format!("SELECT {COLUMNS} FROM erasures WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id.0], read).optional()
}

fn erase_people_of(
    transaction: &Transaction<'_>,
    id: ErasureId,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let Some(mut erasure) = find(transaction, id)? else { return Ok(()) };
    let (subject, asked_at_ms) = (&erasure.subject, erasure.asked_at_ms);
    let site = subject.site_id.0;
    // Before the people go, who say by which names the requests may know them.
    let names = known_names(transaction, subject)?;
    let requests = rights::blank_requests(transaction, subject, &names, asked_at_ms)?;
    let mut counts = [("people", 0), ("mail_choices", 0), ("memory", 0), ("requests", requests)];
    for user in &subject.users {
        for (table, count) in &mut counts[..2] {
            let sql = format!("DELETE FROM {table} WHERE site_id = ?1 AND user_key = ?2");
            *count +=
                transaction.prepare_cached(&sql)?.execute(params![site, user.cast_signed()])?;
        }
    }
    for user in &subject.entries {
        // The browser is blocked since: what was said later, somebody else said.
        let sql = "DELETE FROM people WHERE site_id = ?1 AND user_key = ?2 AND last_seen_ms <= ?3";
        let asked = params![site, user.cast_signed(), asked_at_ms];
        counts[0].1 += transaction.prepare_cached(sql)?.execute(asked)?;
    }
    for holder in &erasure.holders {
        counts[2].1 += memory::forget(transaction, subject.site_id, *holder)?;
    }
    for visitor in &subject.visitors {
        counts[2].1 += memory::forget_visitor(transaction, subject.site_id, *visitor)?;
        counts[1].1 += refusals::forget(transaction, subject.site_id, *visitor)?;
    }
    // In a backup, and of who is erased by number, only the people's entries say the names.
    counts[2].1 += memory::forget_naming(transaction, subject.site_id, &names)?;
    for (name, count) in counts {
        add(&mut erasure.places, name, count as u64, now_ms);
    }
    write_places(transaction, id, &erasure.places)
}

/// Of every bound a part is the owner's, and of the room that all sites share one site's visitors have a part only: many who
/// ask at once leave the rest to him, and to the other sites.
fn require_room_for(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    reason: ErasureReason,
) -> Result<(), CatalogError> {
    let of_site = format!("FROM erasures WHERE site_id = {site_id}");
    let watched = "SELECT count(*) FROM erasures WHERE is_watched = 1";
    let open = format!("{watched} AND state <> '{}'", ErasureState::Done.name());
    let opt_outs = format!("SELECT count(*) FROM opt_outs WHERE site_id = {site_id}");
    let bounds = [
        (&open[..], "erasures at once", ERASURES_OPEN_MAX),
        (watched, "erasures within an hour", ERASURES_WATCHED_MAX),
        (&format!("SELECT count(*) {of_site}"), "erasures of a site", ERASURES_PER_SITE_MAX),
        (&opt_outs, "opt-outs of a site", OPT_OUTS_PER_SITE_MAX),
    ];
    for (count, what, limit) in bounds {
        let visitors_limit = limit - limit / OWNERS_PART;
        let limit = if reason == ErasureReason::Visitor { visitors_limit } else { limit };
        require_room(transaction, count, what, limit)?;
    }
    if reason != ErasureReason::Visitor {
        return Ok(());
    }
    for (count, limit) in [(&open[..], ERASURES_OPEN_MAX), (watched, ERASURES_WATCHED_MAX)] {
        let of_visitors =
            format!("{count} AND site_id = {site_id} AND reason = '{}'", reason.name());
        require_room(transaction, &of_visitors, "erasures of a site at once", limit / SITES_PART)?;
    }
    Ok(())
}

/// Begins an erasure where there is room for it. Whoever commits it notes it in memory.
pub(crate) fn begin(
    transaction: &Transaction<'_>,
    new: &NewErasure,
    now_ms: i64,
) -> Result<ErasureId, CatalogError> {
    require_room_for(transaction, new.subject.site_id, new.reason)?;
    record(transaction, new, now_ms).map_err(CatalogError::during("begins an erasure"))
}

fn record(
    transaction: &Transaction<'_>,
    new: &NewErasure,
    now_ms: i64,
) -> rusqlite::Result<ErasureId> {
    let subject = &new.subject;
    insert_opt_outs(transaction, subject.site_id, subject.identifiers(), now_ms)?;
    let mut places: Vec<Place> = PLACES
        .into_iter()
        .map(|(name, what, remaining)| Place {
            name: name.to_owned(),
            what: what.to_owned(),
            count: 0,
            done_at_ms: None,
            remaining_reason: remaining.map(str::to_owned),
        })
        .collect();
    let answers = idempotency::blank_answers(transaction, &new.names)?;
    add(&mut places, "answers", answers as u64, now_ms);
    // The names are known now only.
    let remembered = memory::forget_naming(transaction, subject.site_id, &new.names)?;
    if remembered > 0 {
        add(&mut places, "memory", remembered as u64, now_ms);
    }
    let requests = rights::blank_requests(transaction, subject, &new.names, now_ms)?;
    add(&mut places, "requests", requests as u64, now_ms);
    let listed = |keys: &[u64]| keys.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let visitors: Vec<String> =
        subject.visitors.iter().map(|visitor| visitor.0.to_string()).collect();
    transaction.execute(
        "INSERT INTO erasures (site_id, asked_at_ms, reason, request_id, visitors, users, holders,
            state, done_at_ms, is_watched, places, entries)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, 1, ?9, ?10)",
        params![
            subject.site_id.0,
            now_ms,
            new.reason.name(),
            new.request_id,
            visitors.join(","),
            listed(&subject.users),
            holders_bytes(&new.holders),
            ErasureState::Waiting.name(),
            serde_json::to_string(&places).unwrap_or_default(),
            listed(&subject.entries),
        ],
    )?;
    Ok(ErasureId(transaction.last_insert_rowid()))
}

/// User ids, and e-mail addresses that their site told, of a subject's users: a claimed one may be somebody else's.
fn known_names(transaction: &Transaction<'_>, subject: &Subject) -> rusqlite::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut statement = transaction.prepare_cached(
        "SELECT user_id, proven_email FROM people WHERE site_id = ?1 AND user_key = ?2",
    )?;
    for user in &subject.users {
        let asked = params![subject.site_id.0, user.cast_signed()];
        let found: Option<[String; 2]> =
            statement.query_row(asked, |row| Ok([row.get(0)?, row.get(1)?])).optional()?;
        names.extend(found.into_iter().flatten().filter(|name| !name.is_empty()));
    }
    Ok(names)
}

fn add(places: &mut [Place], name: &str, count: u64, now_ms: i64) {
    if let Some(place) = places.iter_mut().find(|place| place.name == name) {
        place.count += count;
        place.done_at_ms = place.done_at_ms.max(Some(now_ms));
        // An obstacle that is overcome is none; what stays for good was said at the beginning.
        let standing = PLACES.into_iter().find(|(standing, ..)| *standing == name);
        place.remaining_reason = standing.and_then(|(.., reason)| reason).map(str::to_owned);
    }
}

fn write_places(
    transaction: &Transaction<'_>,
    id: ErasureId,
    places: &[Place],
) -> rusqlite::Result<()> {
    let places = serde_json::to_string(places).unwrap_or_default();
    transaction
        .prepare_cached("UPDATE erasures SET places = ?2 WHERE id = ?1")?
        .execute(params![id.0, places])?;
    Ok(())
}

const COLUMNS: &str = "id, site_id, asked_at_ms, reason, request_id, visitors, users, holders, \
     state, done_at_ms, places, entries";

fn read(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    let unreadable = |column: usize| {
        rusqlite::Error::InvalidColumnType(column, String::new(), rusqlite::types::Type::Text)
    };
    let reason: String = row.get(3)?;
    let state: String = row.get(8)?;
    let reasons = ErasureReason::ALL.into_iter();
    let states = ErasureState::ALL.into_iter();
    let visitors = numbers(&row.get::<_, String>(5)?).ok_or_else(|| unreadable(5))?;
    Ok(Erasure {
        id: ErasureId(row.get(0)?),
        subject: Subject {
            site_id: SiteId(row.get(1)?),
            visitors: visitors.into_iter().map(VisitorId).collect(),
            users: numbers(&row.get::<_, String>(6)?).ok_or_else(|| unreadable(6))?,
            entries: numbers(&row.get::<_, String>(11)?).ok_or_else(|| unreadable(11))?,
        },
        holders: holders(&row.get::<_, Vec<u8>>(7)?).ok_or_else(|| unreadable(7))?,
        reason: reasons
            .into_iter()
            .find(|one| one.name() == reason)
            .ok_or_else(|| unreadable(3))?,
        request_id: row.get(4)?,
        state: states.into_iter().find(|one| one.name() == state).ok_or_else(|| unreadable(8))?,
        asked_at_ms: row.get(2)?,
        done_at_ms: row.get(9)?,
        places: read_json(row, 10)?,
    })
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(|part| part.parse().ok()).collect()
}

/// One byte for the kind, 32 for the number.
fn holders_bytes(holders: &[MemoryHolder]) -> Vec<u8> {
    let bytes = holders.iter().flat_map(|holder| {
        let (kind, number) = match holder {
            MemoryHolder::Browser(number) => (b'b', number),
            MemoryHolder::Person(number) => (b'p', number),
        };
        std::iter::once(kind).chain(number.iter().copied())
    });
    bytes.collect()
}

fn holders(bytes: &[u8]) -> Option<Vec<MemoryHolder>> {
    let each = |part: &[u8]| {
        let (kind, number) = part.split_first()?;
        let number = number.try_into().ok()?;
        match kind {
            b'b' => Some(MemoryHolder::Browser(number)),
            b'p' => Some(MemoryHolder::Person(number)),
            _ => None,
        }
    };
    bytes.chunks(33).map(each).collect()
}

#[cfg(test)]
mod tests;
