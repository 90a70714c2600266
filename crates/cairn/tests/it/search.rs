//! The search for what must not be kept: every byte of every file, every cell of every table, every usual hash.

use std::collections::BTreeMap;
use std::path::Path;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cairn_store::duckdb::{Database, DatabaseOptions};
use sha2::Digest;

/// Every form in which an identifier must not be found.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.as_bytes().to_vec()];
    let digests = [
        md5::Md5::digest(text).to_vec(),
        sha1::Sha1::digest(text).to_vec(),
        sha2::Sha256::digest(text).to_vec(),
    ];
    for digest in digests {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        forms.push(hex.into_bytes());
        forms.push(BASE64_STANDARD.encode(&digest).into_bytes());
        forms.push(digest);
    }
    if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
        forms.push(address.octets().to_vec());
    }
    forms
}

/// Every byte of every file, by its path.
pub fn files(directory: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
}

/// Every cell of every table, as text: compressed columns hide it from a search of the file.
pub fn tables(data: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    let path = data.join("store").join("events.duckdb");
    let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
    let connection = database.connect().unwrap();
    for table in ["texts", "events", "sessions", "outcomes", "meta"] {
        let mut text = Vec::new();
        let sql = format!("SELECT CAST(t AS VARCHAR) FROM {table} t");
        let mut rows = connection.query(&sql, &[]).unwrap();
        while let Some(chunk) = rows.next_chunk().unwrap() {
            for row in 0..chunk.length() {
                text.extend_from_slice(chunk.get::<&str>(0, row).unwrap().as_bytes());
                text.push(b'\n');
            }
        }
        found.insert(format!("table {table} of the store"), text);
    }
}

/// Whose texts occur anywhere in the data directory, in any form, and where.
pub fn search(data: &Path, texts: &[Vec<&str>]) -> Vec<(usize, String)> {
    let mut needles = Vec::new();
    let mut whose = Vec::new();
    for (number, texts) in texts.iter().enumerate() {
        for text in texts {
            needles.extend(forms(text));
            whose.resize(needles.len(), number);
        }
    }
    let automaton = AhoCorasick::new(&needles).unwrap();
    let mut hay = BTreeMap::new();
    files(data, &mut hay);
    tables(data, &mut hay);
    let mut hits: Vec<(usize, String)> = hay
        .iter()
        .flat_map(|(name, bytes)| {
            let found = automaton.find_overlapping_iter(bytes);
            found.map(|hit| (whose[hit.pattern().as_usize()], name.clone()))
        })
        .collect();
    hits.sort();
    hits.dedup();
    hits
}
