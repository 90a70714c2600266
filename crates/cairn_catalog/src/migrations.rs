//! The schema, as numbered steps. A step that was released is never changed; a new one is added behind it.

use rusqlite::{Connection, TransactionBehavior};

use crate::CatalogError;

/// Step `n` brings `PRAGMA user_version` from `n` to `n + 1`.
const STEPS: &[&str] = &[
    "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password_phc TEXT NOT NULL,
    instance_owner INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- Only hashes of what lets someone in: a copy of this file opens no session.
CREATE TABLE browser_sessions (
    token_hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX browser_sessions_by_expiry ON browser_sessions (expires_at_ms);

CREATE TABLE one_time_links (
    token_hash BLOB PRIMARY KEY,
    purpose TEXT NOT NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    limited INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE sites (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    domain TEXT NOT NULL UNIQUE,
    hosts TEXT NOT NULL,
    timezone TEXT NOT NULL,
    currency TEXT NOT NULL,
    privacy TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE api_token_sites (
    token_id INTEGER NOT NULL REFERENCES api_tokens (id) ON DELETE CASCADE,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    PRIMARY KEY (token_id, site_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (user_id, site_id)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number is never used again, as stored events may still carry it.
CREATE TABLE pixels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX pixels_by_site ON pixels (site_id);

CREATE TABLE goals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    event_name TEXT NOT NULL,
    page_path TEXT NOT NULL,
    display_name TEXT NOT NULL,
    currency TEXT NOT NULL,
    scroll_threshold INTEGER,
    custom_props TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (site_id, display_name)
) STRICT;

-- Keyed hashes of identifiers, never the identifiers.
CREATE TABLE opt_outs (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    identifier_hash INTEGER NOT NULL,
    recorded_at_ms INTEGER NOT NULL,
    PRIMARY KEY (site_id, identifier_hash)
) STRICT, WITHOUT ROWID;

-- The only table that may hold direct identifiers of visitors.
CREATE TABLE people (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    user_key INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    claimed_traits TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    PRIMARY KEY (site_id, user_key)
) STRICT, WITHOUT ROWID;

-- Site 0: hits that name no known site.
CREATE TABLE edge_outcomes (
    site_id INTEGER NOT NULL,
    hour_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (site_id, hour_ms, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key_hash BLOB PRIMARY KEY,
    request_hash BLOB NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at_ms);
",
    "
-- AUTOINCREMENT: number 1 stays the first start, also when its row is gone.
CREATE TABLE starts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at_ms INTEGER NOT NULL
) STRICT;
-- What has sites was started before starts were recorded.
INSERT INTO starts (started_at_ms) SELECT min(created_at_ms) FROM sites HAVING count(*) > 0;
",
    "
-- What is missing in the object has its default.
ALTER TABLE pixels ADD COLUMN tracker_settings TEXT NOT NULL DEFAULT '{}';
",
    "
-- What recipients of mails said, by keyed hash of their user id: 1 yes, 0 no, NULL nothing.
CREATE TABLE mail_choices (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    user_key INTEGER NOT NULL,
    opens INTEGER,
    clicks INTEGER,
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (site_id, user_key)
) STRICT, WITHOUT ROWID;
",
    "
-- Sites that were removed, until store and log hold nothing of them. No reference: the site is gone.
CREATE TABLE removed_sites (
    site_id INTEGER PRIMARY KEY,
    removed_at_ms INTEGER NOT NULL
) STRICT;
",
    "
-- Proof of permission: each choice, in a chain of hashes per site. Content is kept for RECEIPT_AGE_DAYS_MAX (then kind is
-- 'expired'); subject and salt until their visitor is erased. Answers: 1 granted, 0 denied, NULL nothing said.
CREATE TABLE receipts (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject INTEGER,
    salt BLOB,
    commitment BLOB,
    analytics INTEGER,
    ads INTEGER,
    personalization INTEGER,
    functional INTEGER,
    version TEXT NOT NULL,
    language TEXT NOT NULL,
    signal TEXT NOT NULL,
    region TEXT NOT NULL,
    policy TEXT NOT NULL,
    gpc INTEGER NOT NULL,
    erased TEXT NOT NULL,
    previous_hash BLOB NOT NULL,
    content_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (site_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_by_subject ON receipts (site_id, subject, sequence) WHERE subject IS NOT NULL;
CREATE INDEX receipts_by_time ON receipts (site_id, at_ms);
CREATE INDEX receipts_by_age ON receipts (at_ms) WHERE kind <> 'expired';
",
    "
-- What visitors had remembered. Purpose: functional; kept until expires_at_ms. The holder is a keyed hash of a browser's
-- cookie or of a user id; left_by is the person who left the value in the browser when signing out.
CREATE TABLE memory (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    holder BLOB NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    left_by BLOB,
    PRIMARY KEY (site_id, holder, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_by_expiry ON memory (expires_at_ms);

-- Browsers whose person was signed for. Purpose: functional; kept until expires_at_ms.
CREATE TABLE memory_ties (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    browser BLOB NOT NULL,
    person BLOB NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (site_id, browser)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_ties_by_person ON memory_ties (site_id, person);
CREATE INDEX memory_ties_by_expiry ON memory_ties (expires_at_ms);

CREATE TABLE memory_sizes (
    site_id INTEGER PRIMARY KEY REFERENCES sites (id) ON DELETE CASCADE,
    size_bytes INTEGER NOT NULL
) STRICT;
CREATE TRIGGER memory_added AFTER INSERT ON memory BEGIN
    INSERT INTO memory_sizes (site_id, size_bytes)
    VALUES (new.site_id, octet_length(new.name) + octet_length(new.value))
    ON CONFLICT DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes;
END;
CREATE TRIGGER memory_changed AFTER UPDATE ON memory BEGIN
    UPDATE memory_sizes
    SET size_bytes = size_bytes + octet_length(new.value) - octet_length(old.value)
    WHERE site_id = new.site_id;
END;
CREATE TRIGGER memory_removed AFTER DELETE ON memory BEGIN
    UPDATE memory_sizes
    SET size_bytes = size_bytes - octet_length(old.name) - octet_length(old.value)
    WHERE site_id = old.site_id;
END;

-- The random half of a site's identity secret; kept until it is renewed or removed.
CREATE TABLE identity_seeds (
    site_id INTEGER PRIMARY KEY REFERENCES sites (id) ON DELETE CASCADE,
    seed BLOB NOT NULL,
    made_at_ms INTEGER NOT NULL
) STRICT;
",
    "
-- Erasures: who is erased (keyed numbers), where that was done, how much. Purpose: to bring them to their end, and to prove
-- them; kept as the class `erasures` of the table of retention says. Watched: a hit may still be under way.
CREATE TABLE erasures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    asked_at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    request_id INTEGER,
    visitors TEXT NOT NULL,
    users TEXT NOT NULL,
    holders BLOB NOT NULL,
    state TEXT NOT NULL,
    done_at_ms INTEGER,
    is_watched INTEGER NOT NULL,
    places TEXT NOT NULL
) STRICT;
CREATE INDEX erasures_by_site ON erasures (site_id, id);
CREATE INDEX erasures_watched ON erasures (id) WHERE is_watched = 1;
-- What was removed because it had been kept long enough, last time; site 0: of the whole instance.
CREATE TABLE retention_runs (
    site_id INTEGER NOT NULL,
    class TEXT NOT NULL,
    ran_at_ms INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    PRIMARY KEY (site_id, class)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_left_by ON memory (site_id, left_by) WHERE left_by IS NOT NULL;
",
    "
-- Links that show a site's figures. Only a hash of what lets someone in; kept until its owner ends it.
CREATE TABLE shares (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash BLOB NOT NULL UNIQUE,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    group_size_min INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX shares_by_site ON shares (site_id);
",
    "
-- What people asked for about themselves. Purpose: answering in time, and proving it; kept as the class `requests` of the
-- table of retention says. identifier is what it names, while it is open, '' after that: then only keyed numbers (subject, JSON)
-- remain. AUTOINCREMENT: the log below keeps the number.
CREATE TABLE rights_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    reference TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    law TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    identifier_kind TEXT NOT NULL,
    identifier TEXT NOT NULL,
    subject TEXT NOT NULL,
    erasure_id INTEGER,
    received_at_ms INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    extended INTEGER NOT NULL,
    reason TEXT NOT NULL,
    closed_at_ms INTEGER
) STRICT;
CREATE INDEX rights_requests_by_site ON rights_requests (site_id, id);
CREATE INDEX rights_requests_open ON rights_requests (site_id, due_at_ms, id) WHERE closed_at_ms IS NULL;
CREATE INDEX rights_requests_by_end ON rights_requests (closed_at_ms) WHERE closed_at_ms IS NOT NULL;

-- What was done about them, when and by which account (NULL: the visitor, or the instance itself). Goes with the request.
CREATE TABLE rights_steps (
    request_id INTEGER NOT NULL REFERENCES rights_requests (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    user_id INTEGER,
    step TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (request_id, number)
) STRICT, WITHOUT ROWID;
",
    "
-- Which cookies a pixel uses on its owner's pages of other sites; before, one setting of the site.
ALTER TABLE pixels ADD COLUMN cross_site_cookies TEXT NOT NULL DEFAULT 'none';
UPDATE pixels SET cross_site_cookies = 'partitioned'
WHERE kind IN ('web', 'image', 'ad')
    AND site_id IN (SELECT id FROM sites WHERE privacy ->> '$.cross_site_cookies');
UPDATE sites SET privacy = json_remove(privacy, '$.cross_site_cookies');
",
    "
-- Who is whose browser counts as what is remembered: two keyed hashes and a time.
CREATE TRIGGER memory_tie_added AFTER INSERT ON memory_ties BEGIN
    INSERT INTO memory_sizes (site_id, size_bytes) VALUES (new.site_id, 72)
    ON CONFLICT DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes;
END;
CREATE TRIGGER memory_tie_removed AFTER DELETE ON memory_ties BEGIN
    UPDATE memory_sizes SET size_bytes = size_bytes - 72 WHERE site_id = old.site_id;
END;
INSERT INTO memory_sizes (site_id, size_bytes)
SELECT site_id, 72 * count(*) FROM memory_ties WHERE true GROUP BY site_id
ON CONFLICT DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes;
",
    "
-- Keyed hashes of user ids that an erased browser said, unsigned: their people's entries go, and nobody is blocked.
ALTER TABLE erasures ADD COLUMN entries TEXT NOT NULL DEFAULT '';
-- A request is closed with its erasure; before, when somebody looked.
INSERT INTO rights_steps (request_id, number, at_ms, step, note)
SELECT r.id, (SELECT count(*) FROM rights_steps WHERE request_id = r.id), e.done_at_ms, 'done', ''
FROM rights_requests r JOIN erasures e ON e.id = r.erasure_id
WHERE r.state = 'erasing' AND e.state = 'done' AND e.done_at_ms IS NOT NULL;
UPDATE rights_requests SET state = 'done',
    closed_at_ms = (SELECT done_at_ms FROM erasures WHERE id = erasure_id)
WHERE state = 'erasing' AND erasure_id IN
    (SELECT id FROM erasures WHERE state = 'done' AND done_at_ms IS NOT NULL);
",
    "
-- More kinds of goals, conditions (JSON), and what they are to reach (JSON, null = nothing).
ALTER TABLE goals ADD COLUMN section TEXT NOT NULL DEFAULT '';
ALTER TABLE goals ADD COLUMN engaged_s INTEGER;
ALTER TABLE goals ADD COLUMN conditions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE goals ADD COLUMN value_minor_min INTEGER;
ALTER TABLE goals ADD COLUMN target TEXT NOT NULL DEFAULT 'null';
",
    "
-- Saved funnels. Purpose: asking again; kept until they are removed. They name pages and events of the site, and nobody.
CREATE TABLE funnels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (site_id, name)
) STRICT;
",
    "
-- Saved filters, as their owner wrote them; kept until removed, or with the site.
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    filters TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (site_id, name)
) STRICT;
",
    "
-- What an owner notes of a day, to be seen on charts; kept until removed, or with the site.
CREATE TABLE annotations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    date TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX annotations_by_site ON annotations (site_id, id);
",
    "
-- Exchange rates that the owner provided, to bring amounts into a site's currency: units of a currency for one of the base,
-- in hundred-millionths. Kept until they are removed.
CREATE TABLE rates_base (base TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE rates (
    currency TEXT NOT NULL,
    day INTEGER NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (currency, day)
) STRICT, WITHOUT ROWID;

-- What advertising cost by day and campaign, to tell what it returned. Kept until they are removed, or their site is.
CREATE TABLE costs (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    day INTEGER NOT NULL,
    source TEXT NOT NULL,
    medium TEXT NOT NULL,
    campaign TEXT NOT NULL,
    content TEXT NOT NULL,
    term TEXT NOT NULL,
    currency TEXT NOT NULL,
    cost_micros INTEGER NOT NULL,
    impressions INTEGER NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (site_id, day, source, medium, campaign, content, term)
) STRICT, WITHOUT ROWID;
",
    "
-- The e-mail address of a person where the site's own server or import said it. Purpose: to know whom an address means; kept
-- and erased with the entry. What only a browser said is in claimed_traits alone, and means nobody.
ALTER TABLE people ADD COLUMN proven_email TEXT NOT NULL DEFAULT '' COLLATE NOCASE;
",
    "
-- The number of the visitor whose browser remembers a value, noted where both purposes are permitted; 0 = not known. Purpose:
-- so that what is asked for or erased by the visitor's number reaches it. Kept, and removed, with the value.
ALTER TABLE memory ADD COLUMN visitor INTEGER NOT NULL DEFAULT 0;
CREATE INDEX memory_by_visitor ON memory (site_id, visitor) WHERE visitor <> 0;
",
    "
-- Whose memory a no forgot: keyed hashes of cookies and user ids. Purpose: that it stays forgotten when an older copy of the
-- catalog takes the place of this one; kept as long as any of its values could have lasted.
CREATE TABLE memory_forgotten (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    holder BLOB NOT NULL,
    forgotten_at_ms INTEGER NOT NULL,
    PRIMARY KEY (site_id, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_forgotten_by_time ON memory_forgotten (forgotten_at_ms);
",
    "
-- The last no of senders that keep no record of ours, as an SDK's own id: keyed numbers. Purpose: that it holds after a
-- restart. Kept for 395 days after it was last said, or until the sender says yes, is erased, or the site is removed.
CREATE TABLE refusals (
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    sender INTEGER NOT NULL,
    said_at_ms INTEGER NOT NULL,
    said_by INTEGER NOT NULL,
    PRIMARY KEY (site_id, sender)
) STRICT, WITHOUT ROWID;
CREATE INDEX refusals_by_time ON refusals (site_id, said_at_ms);
",
    "
-- When a removed site was added: tells it from another one that draws its number. Kept with the record of its removal.
ALTER TABLE removed_sites ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0;
",
    "
-- Reports that are mailed by themselves. Purpose of the addresses, which the owner names: to send them there; kept until the
-- digest is removed, or its site. Who ended one for himself stays noted with it.
CREATE TABLE digests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    every TEXT NOT NULL,
    hour INTEGER NOT NULL,
    recipients TEXT NOT NULL,
    ended TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- What is watched for, and who is told; kept until it is removed, or its site.
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    recipients TEXT NOT NULL,
    webhook_url TEXT NOT NULL,
    since_ms INTEGER,
    began_at_ms INTEGER,
    looked_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- What digests and alerts send. Purpose: that each is sent once, and is seen to be; kept for 100 days after it was settled.
CREATE TABLE dispatches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id INTEGER NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    sender TEXT NOT NULL,
    target TEXT NOT NULL,
    occasion TEXT NOT NULL,
    content TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    settled_at_ms INTEGER,
    problem TEXT NOT NULL,
    UNIQUE (sender, target, occasion)
) STRICT;
CREATE INDEX dispatches_due ON dispatches (due_at_ms) WHERE state = 'waiting';
CREATE INDEX dispatches_settled ON dispatches (settled_at_ms);
",
    "
-- A shared report may need a password (its Argon2id hash), may end, and may be of some visits only.
ALTER TABLE shares ADD COLUMN password_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE shares ADD COLUMN expires_at_ms INTEGER;
ALTER TABLE shares ADD COLUMN filters TEXT NOT NULL DEFAULT '[]';
",
    "
-- Recipients who ended an alert for themselves, as JSON; how often its webhook's secret was renewed.
ALTER TABLE alerts ADD COLUMN ended TEXT NOT NULL DEFAULT '[]';
ALTER TABLE alerts ADD COLUMN secret_renewals INTEGER NOT NULL DEFAULT 0;
",
];

/// Newest schema version that this program knows.
pub const VERSION: u32 = STEPS.len() as u32;

/// Brings the file to [`VERSION`], each step in its own transaction.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), CatalogError> {
    let doing = CatalogError::during("brings its schema up to date");
    migrate_steps(connection).map_err(doing)?;
    let found: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(CatalogError::during("reads its schema version"))?;
    if found > VERSION {
        return Err(CatalogError::NewerSchema { found, known: VERSION });
    }
    Ok(())
}

fn migrate_steps(connection: &mut Connection) -> rusqlite::Result<()> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done: usize = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let Some(step) = STEPS.get(done) else { return Ok(()) };
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", done + 1)?;
        transaction.commit()?;
    }
}
