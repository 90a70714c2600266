//! A catalog's file as an earlier version of the program left it.

/// Undoes what each version since [`EARLIEST`] added, in their order. A new migration adds its undoing here.
const UNDO: &[&str] = &[
    "ALTER TABLE pixels DROP COLUMN cross_site_cookies",
    "DROP TRIGGER memory_tie_added; DROP TRIGGER memory_tie_removed",
    "ALTER TABLE erasures DROP COLUMN entries;
    UPDATE rights_requests SET state = 'erasing', closed_at_ms = NULL WHERE state = 'done';
    DELETE FROM rights_steps WHERE step = 'done'",
    "ALTER TABLE goals DROP COLUMN section; ALTER TABLE goals DROP COLUMN engaged_s;
    ALTER TABLE goals DROP COLUMN conditions; ALTER TABLE goals DROP COLUMN value_minor_min;
    ALTER TABLE goals DROP COLUMN target",
    "DROP TABLE funnels",
    "DROP TABLE segments",
    "DROP TABLE annotations",
    "DROP TABLE rates_base; DROP TABLE rates; DROP TABLE costs",
    "ALTER TABLE people DROP COLUMN proven_email",
    "DROP INDEX memory_by_visitor; ALTER TABLE memory DROP COLUMN visitor",
    "DROP TABLE memory_forgotten",
    "DROP TABLE refusals",
    "ALTER TABLE removed_sites DROP COLUMN created_at_ms",
    "DROP TABLE dispatches; DROP TABLE alerts; DROP TABLE digests",
    "ALTER TABLE shares DROP COLUMN password_hash; ALTER TABLE shares DROP COLUMN expires_at_ms;
    ALTER TABLE shares DROP COLUMN filters",
    "ALTER TABLE alerts DROP COLUMN ended; ALTER TABLE alerts DROP COLUMN secret_renewals",
];
const EARLIEST: usize = 10;

/// Brings the file back to `version`.
pub fn back_to(file: &rusqlite::Connection, version: usize) {
    assert_eq!(EARLIEST + UNDO.len(), cairn_catalog::VERSION as usize, "every migration is undone");
    for sql in UNDO[version - EARLIEST..].iter().rev() {
        file.execute_batch(sql).unwrap();
    }
    file.pragma_update(None, "user_version", version).unwrap();
}
