//! Receipts: what is added stays, and whatever is done to it from outside is found.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use cairn_catalog::{
    Catalog, EntryKind, GivenHead, HEADS_FILE, Head, NewReceipt, NewSite, Problem,
    RECEIPT_AGE_DAYS_MAX, ReceiptFilter, ReceiptOrder, Verification, hex, verify_receipts,
};
use cairn_model::receipt::ChoiceMade;
use cairn_model::{Choice, Purpose, SiteId, VisitorId};
use rusqlite::Connection;
use tempfile::TempDir;

const NOW_MS: i64 = 1_795_341_600_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const YES: Option<Choice> = Some(Choice::Granted);
const NO: Option<Choice> = Some(Choice::Denied);

/// A catalog with a site, in a directory of its own.
struct Machine {
    directory: TempDir,
    catalog: Catalog,
    site: SiteId,
    offset: u64,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let site = add_site(&catalog, "shop.example");
        Machine { directory, catalog, site, offset: 0 }
    }

    /// Five choices: a yes, a no, the yes of somebody else, a change of mind, and one more yes.
    fn filled() -> Self {
        let mut machine = Machine::new();
        for (visitor, answer) in [(11, YES), (0, NO), (12, YES), (0, NO), (13, YES)] {
            machine.choose(visitor, answer);
        }
        machine
    }

    fn choice(&self, visitor: u64, answer: Option<Choice>) -> ChoiceMade<'static> {
        ChoiceMade {
            site_id: self.site,
            at_ms: NOW_MS + self.offset as i64,
            subject: VisitorId(visitor),
            answers: [answer, NO, None, None],
            version: "2026-11-a".into(),
            language: "de".into(),
            signal: "banner".into(),
            region: "eea".into(),
            policy: "regional".into(),
            gpc: false,
        }
    }

    fn choose(&mut self, visitor: u64, answer: Option<Choice>) {
        self.offset += 1;
        let receipt = NewReceipt { offset: self.offset, choice: self.choice(visitor, answer) };
        self.catalog.apply_log(&[], &[receipt], self.offset).unwrap();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn catalog_path(&self) -> std::path::PathBuf {
        self.path().join("catalog.sqlite")
    }

    fn verified(&self) -> Verification {
        verify_receipts(&self.catalog_path(), None, &[], NOW_MS).unwrap()
    }

    fn problems(&self) -> Vec<(u64, Problem)> {
        let findings = self.verified().findings;
        findings.iter().map(|finding| (finding.sequence, finding.problem)).collect()
    }

    /// What somebody with access to the file does to it.
    fn tamper(&self, sql: &str) {
        let connection = Connection::open(self.catalog_path()).unwrap();
        connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
    }

    /// The same site on another machine.
    fn forged(&self) -> Machine {
        let mut other = Machine::new();
        other.tamper(&format!("UPDATE sites SET id = {}", self.site));
        other.site = self.site;
        other.restarted()
    }

    fn head(&self) -> Head {
        self.catalog.receipt_heads().unwrap()[0].1
    }

    fn restarted(self) -> Self {
        let Machine { directory, catalog, site, offset } = self;
        drop(catalog);
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        Machine { directory, catalog, site, offset }
    }
}

fn add_site(catalog: &Catalog, domain: &str) -> SiteId {
    let site = NewSite::of(domain);
    catalog.add_site(&site, None, NOW_MS).unwrap().id
}

#[test]
fn choices_become_a_chain_once_and_in_order() {
    let mut machine = Machine::filled();
    let again = NewReceipt { offset: 3, choice: machine.choice(99, YES) };
    machine.catalog.apply_log(&[], &[again], 5).unwrap();
    let gone = ChoiceMade { site_id: SiteId(machine.site.0 ^ 1), ..machine.choice(9, YES) };
    let gone = NewReceipt { offset: 6, choice: gone };
    let kept = NewReceipt { offset: 7, choice: machine.choice(14, YES) };
    machine.catalog.apply_log(&[], &[gone, kept], 7).unwrap();
    machine.offset = 7;
    let verified = machine.verified();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!((verified.chains.len(), verified.chains[0].entries), (1, 6));
    assert_eq!(verified.chains[0].head, machine.head());
    assert_eq!(verified.chains[0].kept.unwrap().head, machine.head());
    let all = machine
        .catalog
        .receipts(machine.site, &ReceiptFilter::default(), ReceiptOrder::OldestAfter(0), 100)
        .unwrap();
    let named: Vec<u64> = all.iter().map(|entry| entry.subject.map_or(0, |who| who.0)).collect();
    assert_eq!(named, [11, 0, 12, 0, 13, 14]);
    assert!(all.iter().all(|entry| entry.commitment.is_some() == entry.subject.is_some()));
    assert!(all.windows(2).all(|two| two[1].previous_hash == two[0].hash));
    let machine = machine.restarted();
    assert!(machine.catalog.verify_receipts(machine.site, NOW_MS).unwrap().is_sound());
}

#[test]
fn any_change_of_an_entry_is_found() {
    for (change, wanted) in [
        ("at_ms = at_ms - 1", Problem::Changed),
        ("analytics = 0", Problem::Changed),
        ("ads = NULL", Problem::Changed),
        ("functional = 1", Problem::Changed),
        ("personalization = 7", Problem::Unreadable),
        ("version = '2026-11-b'", Problem::Changed),
        ("language = 'en'", Problem::Changed),
        ("signal = 'page'", Problem::Changed),
        ("region = 'uk'", Problem::Changed),
        ("policy = 'opt_out'", Problem::Changed),
        ("gpc = 1", Problem::Changed),
        ("erased = '1'", Problem::Changed),
        ("kind = 'erasure'", Problem::Changed),
        ("kind = 'nothing'", Problem::Unreadable),
        ("kind = 'expired'", Problem::ExpiredEarly),
        ("subject = 14", Problem::OtherSubject),
        ("salt = zeroblob(16)", Problem::OtherSubject),
        ("salt = NULL", Problem::OtherSubject),
        ("subject = NULL, salt = NULL", Problem::SubjectTaken),
        ("subject = NULL, salt = NULL, commitment = NULL", Problem::Changed),
        ("commitment = zeroblob(32)", Problem::Changed),
        ("content_hash = zeroblob(32)", Problem::Changed),
        ("hash = zeroblob(32)", Problem::Changed),
        ("hash = zeroblob(7)", Problem::Unreadable),
        ("previous_hash = zeroblob(32)", Problem::Unlinked),
    ] {
        let machine = Machine::filled();
        assert!(machine.verified().is_sound());
        machine.tamper(&format!("UPDATE receipts SET {change} WHERE sequence = 3"));
        let problems = machine.problems();
        assert!(problems.contains(&(3, wanted)), "{change}: {problems:?}");
        let own = machine.catalog.verify_receipts(machine.site, NOW_MS).unwrap();
        assert!(!own.is_sound(), "{change}: by the running server");
    }
}

#[test]
fn entries_removed_put_in_or_moved_are_found() {
    let copied = "INSERT INTO receipts SELECT site_id, 6, at_ms, kind, subject, salt, commitment, \
         analytics, ads, personalization, functional, version, language, signal, region, policy, \
         gpc, erased, previous_hash, content_hash, hash FROM receipts WHERE sequence = 5";
    for (what, sql, wanted) in [
        ("the first", "DELETE FROM receipts WHERE sequence = 1", (1, Problem::Missing)),
        ("one within", "DELETE FROM receipts WHERE sequence = 3", (3, Problem::Missing)),
        (
            "one within, and the rest renumbered",
            "DELETE FROM receipts WHERE sequence = 3;
             UPDATE receipts SET sequence = 3 WHERE sequence = 4;
             UPDATE receipts SET sequence = 4 WHERE sequence = 5",
            (3, Problem::Unlinked),
        ),
        (
            "two swapped",
            "UPDATE receipts SET sequence = 9 WHERE sequence = 2;
             UPDATE receipts SET sequence = 2 WHERE sequence = 3;
             UPDATE receipts SET sequence = 3 WHERE sequence = 9",
            (2, Problem::Unlinked),
        ),
        ("the last", "DELETE FROM receipts WHERE sequence = 5", (4, Problem::CutOff)),
        ("the tail", "DELETE FROM receipts WHERE sequence > 1", (1, Problem::CutOff)),
        ("all", "DELETE FROM receipts", (0, Problem::CutOff)),
        ("a copy at the end", copied, (6, Problem::Unlinked)),
        (
            "one before the first",
            "UPDATE receipts SET sequence = -1 WHERE sequence = 1",
            (0, Problem::Unreadable),
        ),
    ] {
        let machine = Machine::filled();
        machine.tamper(sql);
        let problems = machine.problems();
        assert!(problems.contains(&wanted), "{what}: {problems:?}");
    }
}

#[test]
fn a_chain_written_anew_is_found_by_a_kept_end() {
    let mut machine = Machine::filled();
    let known = GivenHead { site_id: machine.site, head: machine.head() };
    let mut other = machine.forged();
    for (visitor, answer) in [(11, YES), (0, NO), (12, YES), (0, YES), (13, YES), (14, YES)] {
        other.choose(visitor, answer);
    }
    machine.tamper(&format!(
        "ATTACH '{}' AS other; DELETE FROM receipts;
         INSERT INTO receipts SELECT * FROM other.receipts",
        other.catalog_path().display()
    ));
    assert_eq!(machine.problems(), [(5, Problem::Rewritten)]);
    // What comes later does not cover it.
    machine = machine.restarted();
    machine.choose(15, YES);
    assert_eq!(machine.problems(), [(5, Problem::Rewritten)]);
    // Who writes the file of ends as well is found by an end that was kept elsewhere, and only by it.
    std::fs::copy(other.path().join(HEADS_FILE), machine.path().join(HEADS_FILE)).unwrap();
    assert!(machine.verified().is_sound());
    let verified =
        verify_receipts(&machine.catalog_path(), Some(machine.site), &[known], NOW_MS).unwrap();
    assert_eq!(verified.findings[0].problem, Problem::Rewritten);
    let beyond = Head { sequence: 100, hash: known.head.hash };
    let given = [GivenHead { head: beyond, ..known }];
    let verified = verify_receipts(&machine.catalog_path(), None, &given, NOW_MS).unwrap();
    assert_eq!(verified.findings[0].problem, Problem::CutOff);
}

#[test]
fn a_cut_off_tail_is_found_also_after_new_entries() {
    let mut machine = Machine::filled();
    machine.tamper("DELETE FROM receipts WHERE sequence > 3");
    machine = machine.restarted();
    machine.choose(21, YES);
    assert_eq!(machine.problems(), [(4, Problem::CutOff)]);
    machine.choose(22, YES);
    machine.choose(23, YES);
    assert_eq!(machine.problems(), [(5, Problem::Rewritten)]);
}

#[test]
fn a_lost_file_of_ends_is_found() {
    let mut machine = Machine::filled();
    std::fs::remove_file(machine.path().join(HEADS_FILE)).unwrap();
    assert_eq!(machine.problems(), [(0, Problem::EndNotKept)]);
    machine = machine.restarted();
    machine.choose(21, YES);
    assert_eq!(machine.problems(), [(5, Problem::EndKeptLate)]);
    std::fs::write(machine.path().join(HEADS_FILE), "1 0 x\n").unwrap();
    assert!(machine.problems().contains(&(0, Problem::EndsUnreadable)));
    machine = machine.restarted();
    machine.choose(22, YES);
    let problems = machine.problems();
    assert!(problems.contains(&(0, Problem::EndsUnreadable)), "the line stays: {problems:?}");
}

#[test]
fn an_erased_person_is_gone_and_the_chain_holds() {
    let mut machine = Machine::filled();
    machine.choose(11, YES);
    let salts = |machine: &Machine| -> Vec<Vec<u8>> {
        let connection = Connection::open(machine.catalog_path()).unwrap();
        let mut statement =
            connection.prepare("SELECT salt FROM receipts WHERE salt IS NOT NULL").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let before = salts(&machine);
    let erased = [VisitorId(11), VisitorId(77)];
    assert_eq!(machine.catalog.erase_receipt_subjects(machine.site, &erased, NOW_MS).unwrap(), 2);
    assert!(machine.verified().is_sound(), "{:?}", machine.verified());
    let newest = machine
        .catalog
        .receipts(machine.site, &ReceiptFilter::default(), ReceiptOrder::NewestBefore(None), 1)
        .unwrap();
    assert_eq!((newest[0].kind, newest[0].erased.as_slice()), (EntryKind::Erasure, &[1, 6][..]));
    let relied = [(VisitorId(11), NOW_MS + DAY_MS), (VisitorId(12), NOW_MS + DAY_MS)];
    let relied = machine.catalog.receipts_relied_on(machine.site, &relied).unwrap();
    assert!(relied[0].is_none() && relied[1].is_some());
    // Number and salt are in no file; a salt that stays is found, so the search works.
    machine.catalog.checkpoint().unwrap();
    let bytes = std::fs::read(machine.catalog_path()).unwrap();
    let holds = |salt: &Vec<u8>| bytes.windows(16).any(|window| window == salt.as_slice());
    let after = salts(&machine);
    assert!(after.iter().all(holds) && after.len() == 2);
    assert!(!before.iter().filter(|salt| !after.contains(salt)).any(holds));
    // An erasure that nobody ordered does not explain another one.
    machine.tamper("UPDATE receipts SET subject = NULL, salt = NULL WHERE sequence = 3");
    assert_eq!(machine.problems(), [(3, Problem::SubjectTaken)]);
}

#[test]
fn entries_lose_their_content_when_their_time_is_over() {
    let mut machine = Machine::filled();
    let later_ms = NOW_MS + (RECEIPT_AGE_DAYS_MAX + 1) * DAY_MS;
    assert_eq!(machine.catalog.expire_receipts(NOW_MS).unwrap(), 0);
    assert_eq!(machine.catalog.expire_receipts(later_ms).unwrap(), 5);
    let verified = verify_receipts(&machine.catalog_path(), None, &[], later_ms).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!((verified.chains[0].entries, verified.chains[0].expired), (5, 5));
    let entries = machine
        .catalog
        .receipts(machine.site, &ReceiptFilter::default(), ReceiptOrder::OldestAfter(0), 9)
        .unwrap();
    assert!(entries.iter().all(|entry| {
        entry.subject.is_none() && entry.commitment.is_none() && entry.signal.is_empty()
    }));
    assert_eq!(machine.problems().len(), 5, "too early for a verification of today");
    machine.choose(21, YES);
    assert!(verify_receipts(&machine.catalog_path(), None, &[], later_ms).unwrap().is_sound());
}

#[test]
fn a_removed_site_takes_its_chain_with_it() {
    let machine = Machine::filled();
    let other = add_site(&machine.catalog, "other.example");
    let choice = ChoiceMade { site_id: other, ..machine.choice(5, YES) };
    machine.catalog.apply_log(&[], &[NewReceipt { offset: 9, choice }], 9).unwrap();
    assert!(machine.catalog.delete_site(machine.site, NOW_MS).unwrap());
    let verified = machine.verified();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.chains.iter().map(|chain| chain.site_id).collect::<Vec<_>>(), [other]);
    let late = NewReceipt { offset: 10, choice: machine.choice(6, YES) };
    machine.catalog.apply_log(&[], &[late], 10).unwrap();
    assert!(machine.verified().is_sound() && machine.verified().chains.len() == 1);
}

#[test]
fn lists_are_cut_and_filtered() {
    let mut machine = Machine::filled();
    machine.offset += 1;
    let mut choice = machine.choice(0, NO);
    choice.signal = "preference_centre".into();
    let receipt = NewReceipt { offset: machine.offset, choice };
    machine.catalog.apply_log(&[], &[receipt], machine.offset).unwrap();
    let list = |filter: &ReceiptFilter, order, limit| -> Vec<u64> {
        let found = machine.catalog.receipts(machine.site, filter, order, limit).unwrap();
        found.iter().map(|entry| entry.sequence).collect()
    };
    let all = ReceiptFilter::default();
    assert_eq!(list(&all, ReceiptOrder::NewestBefore(None), 2), [6, 5]);
    assert_eq!(list(&all, ReceiptOrder::NewestBefore(Some(5)), 9), [4, 3, 2, 1]);
    assert_eq!(list(&all, ReceiptOrder::OldestAfter(4), 9), [5, 6]);
    let denied =
        ReceiptFilter { answer: Some((Purpose::Analytics, Choice::Denied)), ..all.clone() };
    assert_eq!(list(&denied, ReceiptOrder::OldestAfter(0), 9), [2, 4, 6]);
    let signal = ReceiptFilter { signal: Some("preference_centre".to_owned()), ..all.clone() };
    assert_eq!(list(&signal, ReceiptOrder::OldestAfter(0), 9), [6]);
    let (from_ms, before_ms) = (Some(NOW_MS + 2), Some(NOW_MS + 4));
    let days = ReceiptFilter { from_ms, before_ms, ..all };
    assert_eq!(list(&days, ReceiptOrder::OldestAfter(0), 9), [2, 3]);
}

#[test]
fn permission_is_summed_by_time_region_and_version() {
    let mut machine = Machine::filled();
    machine.offset += 1;
    let mut choice = machine.choice(31, YES);
    (choice.region, choice.version, choice.language) = ("US".into(), "b".into(), "en".into());
    choice.at_ms = NOW_MS + DAY_MS;
    choice.answers = [YES, None, None, None];
    let receipt = NewReceipt { offset: machine.offset, choice };
    machine.catalog.apply_log(&[], &[receipt], machine.offset).unwrap();
    machine.catalog.erase_receipt_subjects(machine.site, &[VisitorId(11)], NOW_MS).unwrap();
    let range = (NOW_MS, NOW_MS + 2 * DAY_MS);
    let sums = machine.catalog.permission(machine.site, range, None, None).unwrap();
    let of = |counts: &cairn_catalog::PermissionCounts| {
        (counts.choices, counts.asked[0], counts.granted[0], counts.asked[1], counts.granted[1])
    };
    let by_time: Vec<_> = sums.by_time.iter().map(|(at, counts)| (*at, of(counts))).collect();
    assert_eq!(by_time, [(NOW_MS, (5, 5, 3, 5, 0)), (NOW_MS + DAY_MS, (1, 1, 1, 0, 0))]);
    assert_eq!(of(&sums.by_region["eea"]), (5, 5, 3, 5, 0), "an erasure is no choice");
    assert_eq!(of(&sums.by_region["US"]), (1, 1, 1, 0, 0));
    assert_eq!(sums.by_version[1].0, ("b".to_owned(), "en".to_owned()));
    let only = machine.catalog.permission(machine.site, range, Some("US"), Some("b")).unwrap();
    assert_eq!((only.by_time.len(), only.by_region.len(), only.by_version.len()), (1, 1, 1));
    let none = machine.catalog.permission(machine.site, range, Some("US"), Some("a")).unwrap();
    assert!(none.by_time.is_empty());
}

#[test]
fn the_newest_receipt_by_then_is_relied_upon() {
    let mut machine = Machine::filled();
    machine.choose(11, YES);
    let at = |visitor, at_ms| {
        let asked = [(VisitorId(visitor), at_ms)];
        let found = machine.catalog.receipts_relied_on(machine.site, &asked).unwrap();
        found[0].as_ref().map(|receipt| receipt.sequence)
    };
    assert_eq!(at(11, NOW_MS), None, "before it was given");
    assert_eq!(at(11, NOW_MS + 1), Some(1));
    assert_eq!(at(11, NOW_MS + DAY_MS), Some(6));
    assert_eq!(at(99, NOW_MS + DAY_MS), None);
    // What permits something else is not what events rest on.
    machine.offset += 1;
    let mut choice = machine.choice(11, YES);
    choice.answers = [None, YES, None, None];
    let receipt = NewReceipt { offset: machine.offset, choice };
    machine.catalog.apply_log(&[], &[receipt], machine.offset).unwrap();
    assert_eq!(at(11, NOW_MS + DAY_MS), Some(6));
    assert_eq!(hex(&machine.head().hash).len(), 64);
}
