//! Texts as numbers: codes are given out when a batch is written, and turned back where rows are read whole.
//!
//! Guarantees: within a site and field, equal texts have one code and a code one text, whatever is in memory: what is not
//! known there is looked up in the table before a new code is given. The memory is bounded; a text that is not kept
//! in it costs its batch one statement. New texts are written in the transaction of the rows that use them.

use std::mem;

use foldhash::{HashMap, HashSet};

use super::appender::ChunkWriter;
use super::connection::Connection;
use super::error::DuckError;
use crate::schema::{
    ENGAGEMENT_CODE, MISSING_CODE, OFF_SITE_CODES_FROM, OWN_CODES_FROM, PAGE_VIEW_CODE,
    SHARED_SITE, TextField,
};
use cairn_model::event::{ENGAGEMENT, OFF_SITE, PAGE_VIEW};

/// Most bytes of texts kept in memory between batches, with what keeping one costs.
const MEMORY_SIZE_BYTES_MAX: usize = 24 << 20;
/// What keeping a text costs beside its bytes.
const ENTRY_SIZE_BYTES: usize = 64;

/// Which texts a code belongs to.
type Place = (u32, TextField);

/// Texts with their codes.
#[derive(Default)]
struct Known {
    codes: HashMap<Place, HashMap<Box<str>, u32>>,
    size_bytes: usize,
}

impl Known {
    fn get(&self, place: Place, text: &str) -> Option<u32> {
        self.codes.get(&place)?.get(text).copied()
    }

    fn insert(&mut self, place: Place, text: &str, code: u32) {
        self.size_bytes += text.len() + ENTRY_SIZE_BYTES;
        self.codes.entry(place).or_default().insert(text.into(), code);
    }
}

/// A row of `texts` that the running transaction adds.
pub(super) struct NewText {
    place: Place,
    code: u32,
    text: Box<str>,
}

/// The codes that the writer knows. Forgotten and read again when a transaction fails.
pub(super) struct TextCodes {
    /// Used since the memory was last half full, and before that: the latter go first.
    recent: Known,
    older: Known,
    /// Every text of the table is in memory: what is not there is new.
    is_whole: bool,
    next: HashMap<(u32, u8), u32>,
    /// The table is empty: what all sites share goes in with the first batch.
    lacks_shared: bool,
    size_bytes_max: usize,
}

/// One batch being coded: codes in the order in which texts were given.
#[derive(Default)]
pub(super) struct Coding<'t> {
    codes: Vec<u32>,
    /// Position, place and text of those that are not in memory.
    unknown: Vec<(usize, Place, &'t str)>,
}

impl Coding<'_> {
    /// How many texts were given so far: the position of the next one.
    pub(super) fn position(&self) -> usize {
        self.codes.len()
    }
}

impl TextCodes {
    /// Reads what the table holds, as far as the memory goes.
    pub(super) fn load(connection: &Connection) -> Result<Self, DuckError> {
        Self::load_bounded(connection, MEMORY_SIZE_BYTES_MAX)
    }

    pub(super) fn load_bounded(
        connection: &Connection,
        size_bytes_max: usize,
    ) -> Result<Self, DuckError> {
        let mut next = HashMap::default();
        let greatest = "SELECT site_id, field, max(code) FROM texts GROUP BY ALL";
        connection.query(greatest, &[])?.for_each(|row| {
            let code = row.get::<u32>(2)?.saturating_add(1);
            next.insert((row.get(0)?, row.get(1)?), code);
            Ok::<(), DuckError>(())
        })?;
        let mut codes = TextCodes {
            recent: Known::default(),
            older: Known::default(),
            is_whole: true,
            lacks_shared: next.is_empty(),
            next,
            size_bytes_max,
        };
        let rows =
            connection.prepare("SELECT site_id, field, code, text FROM texts")?.stream(&[])?;
        rows.for_each(|row| {
            codes.is_whole &= codes.recent.size_bytes < size_bytes_max / 2;
            if codes.is_whole {
                let place = (row.get(0)?, field(row.get(1)?)?);
                codes.recent.insert(place, row.get(3)?, row.get(2)?);
            }
            Ok::<(), DuckError>(())
        })?;
        Ok(codes)
    }

    /// Codes one more text of the batch.
    pub(super) fn code<'t>(
        &mut self,
        coding: &mut Coding<'t>,
        site_id: u32,
        field: TextField,
        text: &'t str,
    ) {
        let code = known_beforehand(field, text).or_else(|| self.in_memory((site_id, field), text));
        if code.is_none() {
            coding.unknown.push((coding.codes.len(), (site_id, field), text));
        }
        coding.codes.push(code.unwrap_or(MISSING_CODE));
    }

    fn in_memory(&mut self, place: Place, text: &str) -> Option<u32> {
        if let Some(code) = self.recent.get(place, text) {
            return Some(code);
        }
        let code = self.older.get(place, text)?;
        self.recent.insert(place, text, code);
        Some(code)
    }

    /// Finds or gives the codes that are still missing: all codes of the batch, and the rows to add to the table.
    pub(super) fn finish(
        &mut self,
        connection: &Connection,
        coding: Coding<'_>,
    ) -> Result<(Vec<u32>, Vec<NewText>), DuckError> {
        let Coding { mut codes, unknown } = coding;
        if !self.is_whole {
            self.look_up(connection, &unknown)?;
        }
        let mut added = Vec::new();
        if mem::take(&mut self.lacks_shared) {
            added.extend(shared_texts());
        }
        for (position, place, text) in unknown {
            codes[position] = match self.in_memory(place, text) {
                Some(code) => code,
                None => self.give(place, text, &mut added)?,
            };
        }
        if self.recent.size_bytes > self.size_bytes_max / 2 {
            self.is_whole &= self.older.codes.is_empty();
            self.older = mem::take(&mut self.recent);
        }
        Ok((codes, added))
    }

    fn give(
        &mut self,
        place: Place,
        text: &str,
        added: &mut Vec<NewText>,
    ) -> Result<u32, DuckError> {
        let next = self.next.entry((place.0, place.1.number())).or_insert(OWN_CODES_FROM);
        let code = *next;
        *next = code.checked_add(1).ok_or_else(|| DuckError::misuse("no code is left"))?;
        self.recent.insert(place, text, code);
        added.push(NewText { place, code, text: text.into() });
        Ok(code)
    }

    /// Brings texts into memory that the table has.
    fn look_up(
        &mut self,
        connection: &Connection,
        unknown: &[(usize, Place, &str)],
    ) -> Result<(), DuckError> {
        if unknown.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<(Place, &str)> =
            unknown.iter().map(|(_, place, text)| (*place, *text)).collect();
        let hashes = joined(wanted.iter().map(|(_, text)| fnv1a(text)));
        let sql = "SELECT site_id, field, code, text FROM texts
            WHERE text_hash IN (SELECT unnest(string_split(?, ','))::UBIGINT)";
        connection.query(sql, &[hashes.as_str().into()])?.for_each(|row| {
            let (place, text) = ((row.get(0)?, field(row.get(1)?)?), row.get::<&str>(3)?);
            if wanted.contains(&(place, text)) {
                self.recent.insert(place, text, row.get(2)?);
            }
            Ok(())
        })
    }
}

/// The columns of `texts`, in the order of the schema.
pub(super) fn write_texts(chunk: &mut ChunkWriter<'_>, added: &[NewText]) -> Result<(), DuckError> {
    chunk.u32s(added.iter().map(|one| one.place.0))?;
    chunk.u8s(added.iter().map(|one| one.place.1.number()))?;
    chunk.u32s(added.iter().map(|one| one.code))?;
    chunk.u64s(added.iter().map(|one| fnv1a(&one.text)))?;
    chunk.texts(added.iter().map(|one| &*one.text))
}

/// The texts that all sites share.
fn shared_texts() -> impl Iterator<Item = NewText> {
    let missing = TextField::all().map(|field| (field, MISSING_CODE, ""));
    let shared = missing.chain(known_names().map(|(code, name)| (TextField::Name, code, name)));
    shared.map(|(field, code, text)| NewText {
        place: (SHARED_SITE, field),
        code,
        text: text.into(),
    })
}

/// Event names that questions ask for by their codes.
fn known_names() -> impl Iterator<Item = (u32, &'static str)> {
    let off_site = (OFF_SITE_CODES_FROM..).zip(OFF_SITE);
    [(PAGE_VIEW_CODE, PAGE_VIEW), (ENGAGEMENT_CODE, ENGAGEMENT)].into_iter().chain(off_site)
}

fn known_beforehand(field: TextField, text: &str) -> Option<u32> {
    match (field, text) {
        (_, "") => Some(MISSING_CODE),
        (TextField::Name, PAGE_VIEW) => Some(PAGE_VIEW_CODE),
        (TextField::Name, text) => {
            known_names().find(|(_, name)| *name == text).map(|(code, _)| code)
        }
        _ => None,
    }
}

fn field(number: u8) -> Result<TextField, DuckError> {
    TextField::of_number(number)
        .ok_or_else(|| DuckError::misuse(format!("text field {number} is not known")))
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): it only has to spread; equal hashes of different texts cost a comparison.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Numbers as one text parameter, which `string_split` takes apart again.
pub(super) fn joined<N: ToString>(numbers: impl Iterator<Item = N>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// Texts of rows that were read, by their codes.
#[derive(Default)]
pub(super) struct Decoded {
    texts: HashMap<(Place, u32), Box<str>>,
}

/// Codes of rows that were read, to be turned into texts all at once.
#[derive(Default)]
pub(super) struct Wanted {
    codes: HashSet<(Place, u32)>,
}

impl Wanted {
    /// One more code.
    pub(super) fn insert(&mut self, site_id: u32, field: TextField, code: u32) {
        if code >= OWN_CODES_FROM {
            self.codes.insert(((site_id, field), code));
        }
    }

    /// Reads the texts.
    pub(super) fn read(self, connection: &Connection) -> Result<Decoded, DuckError> {
        let mut decoded = Decoded::default();
        for shared in shared_texts() {
            decoded.texts.insert((shared.place, shared.code), shared.text);
        }
        if self.codes.is_empty() {
            return Ok(decoded);
        }
        let sites = joined(self.codes.iter().map(|((site_id, _), _)| site_id));
        let places = joined(self.codes.iter().map(|((_, field), code)| packed(*field, *code)));
        let sql = "WITH wanted AS (
                SELECT unnest(string_split($1, ','))::UINTEGER AS site_id,
                       unnest(string_split($2, ','))::UBIGINT AS place)
            SELECT t.site_id, t.field, t.code, t.text FROM texts t JOIN wanted w
            ON t.site_id = w.site_id AND (t.field::UBIGINT << 32) + t.code = w.place";
        let parameters = [sites.as_str().into(), places.as_str().into()];
        connection.query(sql, &parameters)?.for_each(|row| {
            let place = (row.get(0)?, field(row.get(1)?)?);
            decoded.texts.insert((place, row.get(2)?), row.get::<&str>(3)?.into());
            Ok::<(), DuckError>(())
        })?;
        Ok(decoded)
    }
}

fn packed(field: TextField, code: u32) -> u64 {
    u64::from(field.number()) << 32 | u64::from(code)
}

impl Decoded {
    /// The text of a code that was asked for.
    pub(super) fn get(&self, site_id: u32, field: TextField, code: u32) -> Result<&str, DuckError> {
        let site_id = if code < OWN_CODES_FROM { SHARED_SITE } else { site_id };
        let text = self.texts.get(&((site_id, field), code));
        text.map(|text| &**text).ok_or_else(|| DuckError::misuse("a row has a code without a text"))
    }
}

/// The condition that a column's text fulfils `condition`, which speaks of the column `text`.
pub(super) fn coded(column: &str, site_id: u32, field: TextField, condition: &str) -> String {
    format!("{column} IN (SELECT code FROM {} WHERE {condition})", texts_of(site_id, field))
}

/// The codes and texts of a field, as a sub-query.
pub(super) fn texts_of(site_id: u32, field: TextField) -> String {
    let (shared, field) = (SHARED_SITE, field.number());
    format!(
        "(SELECT code, text FROM texts WHERE site_id IN ({shared}, {site_id}) AND field = {field})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duckdb::appender::ChunkAppender;
    use crate::duckdb::{Database, DatabaseOptions};
    use crate::schema;
    use cairn_model::session::Attribute;
    use proptest::prelude::*;

    fn database(directory: &tempfile::TempDir) -> Database {
        let path = directory.path().join("texts.duckdb");
        let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
        let connection = database.connect().unwrap();
        schema::CREATE.iter().for_each(|sql| connection.run(sql).unwrap());
        database
    }

    /// Codes a batch and keeps its new texts, as the writer does.
    fn write(
        connection: &Connection,
        codes: &mut TextCodes,
        texts: &[(u32, TextField, String)],
    ) -> Vec<u32> {
        let mut coding = Coding::default();
        for (site_id, field, text) in texts {
            codes.code(&mut coding, *site_id, *field, text);
        }
        let (coded, new) = codes.finish(connection, coding).unwrap();
        if !new.is_empty() {
            let mut appender = ChunkAppender::open(connection, "texts").unwrap();
            let mut chunk = appender.chunk(new.len()).unwrap();
            write_texts(&mut chunk, &new).unwrap();
            chunk.finish().unwrap();
            appender.flush().unwrap();
        }
        coded
    }

    fn read(connection: &Connection, texts: &[(u32, TextField, String)], codes: &[u32]) {
        let mut wanted = Wanted::default();
        for ((site_id, field, _), code) in texts.iter().zip(codes) {
            wanted.insert(*site_id, *field, *code);
        }
        let decoded = wanted.read(connection).unwrap();
        for ((site_id, field, text), code) in texts.iter().zip(codes) {
            assert_eq!(decoded.get(*site_id, *field, *code).unwrap(), text);
        }
    }

    fn any_text() -> impl Strategy<Value = (u32, TextField, String)> {
        let fields = prop::sample::select(vec![
            TextField::Name,
            TextField::Path,
            TextField::Visit(Attribute::Bot),
        ]);
        let text = prop_oneof![
            Just(String::new()),
            Just(PAGE_VIEW.to_owned()),
            Just(ENGAGEMENT.to_owned()),
            "[ab\u{0}é]{0,2}",
            "[ab]{200}",
        ];
        (1..3u32, fields, text)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// However little the memory holds, a text has one code and a code one text, before and after a restart.
        #[test]
        fn equal_texts_have_equal_codes(
            batches in prop::collection::vec(prop::collection::vec(any_text(), 1..20), 1..12),
            size_bytes_max in prop::sample::select(vec![0, 400, 4000, 1 << 20]),
            restart_at in 0..12usize,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let database = database(&directory);
            let connection = database.connect().unwrap();
            let mut codes = TextCodes::load_bounded(&connection, size_bytes_max).unwrap();
            let mut seen: HashMap<(u32, TextField, String), u32> = HashMap::default();
            for (index, batch) in batches.iter().enumerate() {
                if index == restart_at {
                    codes = TextCodes::load_bounded(&connection, size_bytes_max).unwrap();
                }
                let coded = write(&connection, &mut codes, batch);
                for (text, code) in batch.iter().zip(&coded) {
                    prop_assert_eq!(*seen.entry(text.clone()).or_insert(*code), *code);
                }
                read(&connection, batch, &coded);
            }
            let mut places: Vec<_> =
                seen.iter().map(|((site_id, field, _), code)| (site_id, field.number(), code)).collect();
            places.sort();
            places.dedup();
            prop_assert_eq!(places.len(), seen.len(), "two texts share a code");
            let rows = "SELECT count(*) FROM texts";
            let rows = connection.query(rows, &[]).unwrap().first(|row| row.get::<u64>(0));
            let own = seen.values().filter(|code| **code >= OWN_CODES_FROM).count();
            prop_assert_eq!(rows.unwrap(), Some((own + shared_texts().count()) as u64));
        }
    }

    #[test]
    fn the_memory_is_bounded_and_what_left_it_keeps_its_code() {
        let directory = tempfile::tempdir().unwrap();
        let database = database(&directory);
        let connection = database.connect().unwrap();
        let mut codes = TextCodes::load_bounded(&connection, 10_000).unwrap();
        let text = |number: u32| (1, TextField::Path, format!("/page/{number}"));
        for first in (0..2000).step_by(20) {
            let batch: Vec<_> = (first..first + 20).map(text).collect();
            write(&connection, &mut codes, &batch);
            assert!(codes.recent.size_bytes + codes.older.size_bytes <= 10_000 + 20 * 80);
        }
        assert!(!codes.is_whole);
        let all: Vec<_> = (0..2000).map(text).collect();
        let coded = write(&connection, &mut codes, &all);
        assert_eq!(coded, (OWN_CODES_FROM..OWN_CODES_FROM + 2000).collect::<Vec<u32>>());
    }
}
