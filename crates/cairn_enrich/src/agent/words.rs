//! Finds every known word of a user agent in one pass and keeps the best-ranked of each kind.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::names::{BROWSERS, SYSTEMS};

/// A word found: its place in its table (lower wins) and where it ended in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub rank: usize,
    pub end: usize,
}

/// The best word of each table that occurs in the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub browser: Option<Word>,
    pub system: Option<Word>,
}

/// The automaton over both tables: browsers first, then systems.
pub(super) struct Words {
    automaton: Option<AhoCorasick>,
}

impl Words {
    pub(super) fn new() -> Self {
        let needles = BROWSERS.iter().chain(SYSTEMS).map(|(needle, _)| bare(needle));
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(needles)
            .ok();
        Self { automaton }
    }

    pub(super) fn find(&self, user_agent: &str) -> Found {
        let mut found = Found::default();
        let Some(automaton) = &self.automaton else { return found };
        for hit in automaton.find_overlapping_iter(user_agent) {
            let index = hit.pattern().as_usize();
            let (table, rank) = match index.checked_sub(BROWSERS.len()) {
                None => (&mut found.browser, index),
                Some(rank) => (&mut found.system, rank),
            };
            if table.is_some_and(|best: Word| best.rank <= rank) {
                continue;
            }
            let needle = if index < BROWSERS.len() { BROWSERS[rank].0 } else { SYSTEMS[rank].0 };
            if anywhere(needle) || starts_word(user_agent, hit.start()) {
                *table = Some(Word { rank, end: hit.end() });
            }
        }
        found
    }
}

/// A needle that begins with `~` may start inside a word.
fn anywhere(needle: &str) -> bool {
    needle.starts_with('~')
}

fn bare(needle: &str) -> &str {
    needle.strip_prefix('~').unwrap_or(needle)
}

fn starts_word(text: &str, start: usize) -> bool {
    start == 0 || !text.as_bytes()[start - 1].is_ascii_alphanumeric()
}
