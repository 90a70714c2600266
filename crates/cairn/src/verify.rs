//! `cairn verify-receipts`: says of every chain of receipts what was found.

use std::fmt::Write as _;
use std::path::Path;

use cairn_catalog::{CATALOG_FILE, ChainState, Finding, Verification, hex, verify_receipts};

use crate::Failure;
use crate::cli::VerifyReceipts;

/// Verifies the chains below a data directory, reading only; fails if anything is wrong.
pub fn run(directory: &Path, asked: &VerifyReceipts, now_ms: i64) -> Result<(), Failure> {
    let catalog = directory.join(CATALOG_FILE);
    if !catalog.is_file() {
        return Err(format!("there is no catalog in {}", directory.display()).into());
    }
    let verification = verify_receipts(&catalog, asked.site, &asked.head, now_ms)?;
    crate::print(report(&verification).trim_end())?;
    match verification.is_sound() {
        true => Ok(()),
        false => Err("the receipts are not what was written".into()),
    }
}

fn report(verification: &Verification) -> String {
    let mut text = String::new();
    for chain in &verification.chains {
        text.push_str(&chain_line(chain));
    }
    if verification.chains.is_empty() {
        text.push_str("there are no receipts\n");
    }
    for Finding { site_id, sequence, problem } in &verification.findings {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "site {site_id}, receipt {sequence}: {} ({})",
            problem.meaning(),
            problem.name()
        );
    }
    if verification.more_findings > 0 {
        let _ = writeln!(text, "and {} more", verification.more_findings);
    }
    if verification.is_sound() {
        text.push_str("sound: nothing was changed, removed, put in, moved or cut off\n");
    }
    text
}

fn chain_line(chain: &ChainState) -> String {
    let ChainState { site_id, entries, expired, head, .. } = chain;
    format!(
        "site {site_id}: {entries} receipts ({expired} expired), end {site_id}:{}:{}\n",
        head.sequence,
        hex(&head.hash)
    )
}
