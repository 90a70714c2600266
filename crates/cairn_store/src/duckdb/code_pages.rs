//! Gives memory back that holds code which only the start needed.
//!
//! Guarantees: nothing is lost and nothing is read from disk anew: pages of code are those of the file, the system keeps
//! them, and what is run again is mapped again. Opening a database runs through much of a large library once, and the
//! system maps far more than was run: of 50 MB that an idle process takes, 25 MB.
//! It does nothing on systems other than Linux, and where the list of mappings cannot be read.
#![allow(unsafe_code)]

/// Unmaps the pages of code that this process has touched so far.
pub fn release_code_pages() {
    #[cfg(target_os = "linux")]
    for (start, length) in code_mappings() {
        let start = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range is a private mapping of a file that may be read and run and never written, so that each of its
        // pages equals the file's: dropping one changes nothing that anybody reads. A range that is unmapped meanwhile is
        // refused with an error, which is as good.
        let released =
            unsafe { rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxDontNeed) };
        if let Err(error) = released {
            tracing::debug!(%error, "code pages stay in memory");
        }
    }
}

/// Start and length in bytes of each mapping of code from a file.
#[cfg(target_os = "linux")]
fn code_mappings() -> Vec<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter_map(code_mapping).collect()
}

/// A line of `/proc/self/maps` (proc(5)): range, permissions, offset, device, inode, path.
#[cfg(target_os = "linux")]
fn code_mapping(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp";
    let is_of_a_file = fields.nth(3)?.starts_with('/');
    let (start, end) =
        (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (is_code && is_of_a_file).then_some((start, end.checked_sub(start)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_a_code_mapping() {
        let code = "7f7e1a412000-7f7e1c7b8000 r-xp 00a0c000 fe:00 1442 /opt/lib duck.so";
        assert_eq!(code_mapping(code), Some((0x7f7e_1a41_2000, 0x23a_6000)));
        for other in [
            "7f7e1c7b8000-7f7e1c7c8000 rwxp 02da2000 fe:00 1442  /opt/lib.so",
            "7f7e1c7b8000-7f7e1c7c8000 r--p 02da2000 fe:00 1442  /opt/lib.so",
            "7ffd4a5fe000-7ffd4a600000 r-xp 00000000 00:00 0     [vdso]",
            "7f7e1c7b8000-7f7e1c7c8000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code_mapping(other), None, "{other}");
        }
    }

    #[test]
    fn what_was_released_still_runs() {
        let resident = || {
            let pages = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let (mut is_code, mut sum) = (false, 0);
            for line in pages.lines() {
                match line.strip_prefix("Rss:") {
                    Some(size) if is_code => {
                        sum += size.trim_end_matches("kB").trim().parse::<u64>().unwrap();
                    }
                    None if line.contains('-') => is_code = code_mapping(line).is_some(),
                    _ => {}
                }
            }
            sum
        };
        let database = super::super::Database::open(
            std::path::Path::new(":memory:"),
            &super::super::DatabaseOptions::default(),
        )
        .unwrap();
        let connection = database.connect().unwrap();
        let answer = || connection.execute("CREATE OR REPLACE TABLE t AS SELECT 41 + 1", &[]);
        answer().unwrap();
        let before = resident();
        release_code_pages();
        let after = resident();
        assert!(after < before, "{after} of {before} kB");
        answer().unwrap();
    }
}
