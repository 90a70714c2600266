//! Files and what happens to them; that answers are equal is shown by random questions (`tests/questions/rollups.rs`).

use super::block::{COLUMNS, CROSSES, Crossing, PART_COLUMNS};
use super::*;

const SITE: SiteId = SiteId(7);
const SPAN: Span = Span { from_ms: -5, until_ms: 1_000 };

/// Parts of visitors in all segments, with few and many different numbers in their columns.
fn block(parts: u32) -> Slice {
    let mut block = Slice::empty();
    for part in 0..parts {
        let visitor = u64::from(part) << 60 | u64::from(part.wrapping_mul(2_654_435_761));
        block.visitors.push(visitor);
        for place in 0..PART_COLUMNS {
            block.columns[place].push(match place {
                0 => 1,
                1 => part % 3,
                2 => part % 300,
                3 => part.wrapping_mul(7),
                _ => part % (place as u32 + 1),
            });
        }
        let entries = part % 4;
        block.columns[Column::Entries.place()][part as usize] = entries;
        for entry in 0..entries {
            for place in PART_COLUMNS..COLUMNS {
                block.columns[place].push(part * 10 + entry);
            }
        }
        if part % 5 == 0 {
            block.columns[0][part as usize] |= CROSSES;
            let session_id = u64::from(part) + 1;
            block.crossing.push(Crossing { part, session_id, started_at_ms: -1, ended_at_ms: 2 });
        }
    }
    block.sorted()
}

use super::block::Column;

fn read(path: &Path, wanted: &Wanted) -> io::Result<Slice> {
    let reader = Reader::open(path, wanted)?;
    let mut whole = Slice::empty();
    let mut slice = Slice::empty();
    for segment in 0..file::SEGMENTS {
        reader.slice(segment, &mut slice)?;
        whole.append(&Cursor::new(&slice).rest());
    }
    Ok(whole)
}

#[test]
fn a_block_comes_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    for parts in [0, 1, 2, 17, 900] {
        let path = directory.path().join(format!("{parts}.rollup"));
        let block = block(parts);
        file::write(&path, &block).unwrap();
        assert_eq!(read(&path, &Wanted::all()).unwrap(), block, "{parts} parts");
        for segment in 0..file::SEGMENTS {
            let (mut from_file, mut of_block) = (Slice::empty(), Slice::empty());
            Reader::open(&path, &Wanted::all()).unwrap().slice(segment, &mut from_file).unwrap();
            block.of_visitors(visitors_of(segment), &mut of_block);
            assert_eq!(from_file, of_block);
        }
        let mut few = Wanted::default();
        few.add(Column::Seconds);
        let some = read(&path, &few).unwrap();
        assert_eq!(some.column(Column::Seconds), block.column(Column::Seconds));
        assert!(some.column(Column::Pageviews).is_empty());
    }
}

#[test]
fn a_file_that_was_changed_or_cut_off_is_never_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.rollup");
    file::write(&path, &block(40)).unwrap();
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        assert!(read(&path, &Wanted::all()).is_err(), "byte {at} was changed");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(read(&path, &Wanted::all()).is_err(), "cut off at {at}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(read(&path, &Wanted::all()).is_ok());
}

#[test]
fn names_say_what_a_file_is_and_anything_else_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let rollups = Rollups::open(directory.path()).unwrap();
    assert!(rollups.keep_unguarded(SITE, SPAN, 42, &block(3)).unwrap());
    let known = rollups.spans(SITE);
    assert_eq!(known, [SPAN]);
    let of_store = directory.path().join(DIRECTORY);
    for name in ["half.new", "7_0_1_2.rollup", "7_0_1_2_3_4.rollup", "a_0_1_2_3.rollup"] {
        fs::write(of_store.join(name), b"x").unwrap();
    }
    let again = Rollups::open(directory.path()).unwrap();
    assert_eq!(again.spans(SITE), [SPAN]);
    assert_eq!(fs::read_dir(&of_store).unwrap().count(), 1);
    // A second file of the stretch gets another name than the first one had.
    assert!(again.state.lock().unwrap().next_serial > 0);
}

#[test]
fn what_changes_while_it_is_summed_up_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let rollups = Rollups::open(directory.path()).unwrap();
    rollups.state.lock().unwrap().making = Some((SITE, SPAN, false));
    assert!(rollups.has_any(SITE));
    assert_eq!(rollups.end_ms(SITE), SPAN.until_ms);
    rollups.forget(SiteId(8), &[(0, 0)]).unwrap();
    rollups.forget(SITE, &[(SPAN.until_ms, i64::MAX)]).unwrap();
    assert!(rollups.keep(SITE, SPAN, 1, &block(2)).unwrap(), "it did not change");
    rollups.forget(SITE, &[(-5, -5)]).unwrap();
    assert!(rollups.spans(SITE).is_empty());
    assert!(!rollups.keep(SITE, SPAN, 1, &block(2)).unwrap(), "it changed");
    assert!(rollups.spans(SITE).is_empty());
    assert_eq!(fs::read_dir(directory.path().join(DIRECTORY)).unwrap().count(), 0);
}

#[test]
fn the_whole_takes_the_place_of_its_parts() {
    let directory = tempfile::tempdir().unwrap();
    let rollups = Rollups::open(directory.path()).unwrap();
    let part = Span { from_ms: 0, until_ms: 10 };
    let other = Span { from_ms: 1_000, until_ms: 1_010 };
    for span in [part, other, SPAN] {
        assert!(rollups.keep_unguarded(SITE, span, 1, &block(2)).unwrap());
    }
    assert_eq!(rollups.spans(SITE), [SPAN, other]);
}

#[test]
fn the_bytes_of_what_is_removed_are_overwritten() {
    type Removal = fn(&Rollups, &Path);
    let removals: [(&str, Removal); 4] = [
        ("an erasure", |rollups, _| rollups.erase(SITE, &[(500, 500)]).unwrap()),
        ("a change", |rollups, _| rollups.forget(SITE, &[(500, 500)]).unwrap()),
        ("the site's removal", |rollups, _| rollups.forget_site(SITE).unwrap()),
        ("damage", |rollups, kept| rollups.forget_damaged(kept)),
    ];
    for (what, removal) in removals {
        let directory = tempfile::tempdir().unwrap();
        let rollups = Rollups::open(directory.path()).unwrap();
        assert!(rollups.keep_unguarded(SITE, SPAN, 1, &block(50)).unwrap());
        let mut kept = fs::read_dir(directory.path().join(DIRECTORY)).unwrap();
        let kept = kept.next().unwrap().unwrap().path();
        let linked = directory.path().join("linked");
        fs::hard_link(&kept, &linked).unwrap();
        removal(&rollups, &kept);
        assert!(!kept.exists(), "{what}");
        assert!(rollups.spans(SITE).is_empty(), "{what}");
        let bytes = fs::read(&linked).unwrap();
        assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0), "{what}");
    }
}

impl Rollups {
    /// As if nothing were written meanwhile.
    fn keep_unguarded(
        &self,
        site_id: SiteId,
        span: Span,
        watermark: u64,
        block: &Slice,
    ) -> io::Result<bool> {
        lock(&self.state).making = Some((site_id, span, false));
        let kept = self.keep(site_id, span, watermark, block);
        lock(&self.state).making = None;
        kept
    }
}
