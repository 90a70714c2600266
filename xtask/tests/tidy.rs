//! The tree checks itself: layers, sizes, generated pages, forbidden words.
#![allow(clippy::unwrap_used)] // A test may fail anywhere, helpers included.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use xtask::root;

/// Layers from the bottom up. A crate may import crates of lower layers only; siblings do not know each other.
const LAYERS: &[&[&str]] = &[
    &["cairn_model"],
    &["cairn_log", "cairn_store", "cairn_catalog", "cairn_enrich", "cairn_consent"],
    &["cairn_engine", "cairn_connect"],
    &["cairn_server"],
    &["cairn"],
];

/// Files that are tables, or cases, and may be long.
const TABLES: &[&str] =
    &["crates/cairn_enrich/src/agent/names.rs", "crates/cairn_store/src/duckdb/ffi.rs"];
const FILE_LINES_MAX: usize = 700;

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

/// `(crate, imports)` for every import that goes up or sideways.
fn violations(packages: &[Value]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(own) = layer(name) else { continue };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let imported = dependency["name"].as_str().unwrap_or_default();
            if imported != name && layer(imported).is_some_and(|other| other >= own) {
                found.push((name.to_owned(), imported.to_owned()));
            }
        }
    }
    found
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn no_layer_imports_one_above_it() {
    let packages = packages();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        assert!(name == "xtask" || layer(name).is_some(), "{name} has no layer: add it to LAYERS");
    }
    assert_eq!(violations(&packages), []);
}

#[test]
fn an_import_upwards_would_be_noticed() {
    let upwards = serde_json::json!([
        {"name": "cairn_log", "dependencies": [{"name": "cairn_engine"}, {"name": "serde"}]},
        {"name": "cairn_store", "dependencies": [{"name": "cairn_catalog"}, {"name": "cairn_model"}]},
    ]);
    let found = violations(upwards.as_array().unwrap());
    let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
    assert_eq!(found, [pair("cairn_log", "cairn_engine"), pair("cairn_store", "cairn_catalog")]);
}

#[test]
fn the_log_knows_bytes_only() {
    let log = packages().into_iter().find(|package| package["name"] == "cairn_log").unwrap();
    let dependencies = log["dependencies"].as_array().unwrap().clone();
    assert!(dependencies.iter().all(|dependency| dependency["name"] != "cairn_model"));
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["node_modules", "dist", "target", "data"].contains(&name.as_str()) {
                sources(&path, found);
            }
        } else if [".rs", ".ts", ".svelte"].iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for directory in ["crates", "xtask", "tracker", "dashboard", "e2e", "demo", "bench", "fuzz"] {
        let directory = root().join(directory);
        if directory.is_dir() {
            sources(&directory, &mut found);
        }
    }
    found.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(named).collect()
}

#[test]
fn files_stay_small() {
    for (name, text) in all_sources() {
        let generated = name.ends_with("schema.ts") || TABLES.contains(&name.as_str());
        let lines = text.lines().count();
        assert!(generated || lines <= FILE_LINES_MAX, "{name} has {lines} lines");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ig", "nore")];
    for (name, text) in all_sources() {
        for word in words {
            assert!(!text.contains(word), "{name} says {word}");
        }
    }
}

#[test]
fn only_the_wrapper_of_duckdb_is_unsafe() {
    for (name, text) in all_sources() {
        let allowed = name.starts_with("crates/cairn_store/src/duckdb/");
        let word = concat!("allow(un", "safe_code)");
        assert!(allowed || !text.contains(word), "{name} allows unsafe code");
    }
}

#[test]
fn sql_is_written_in_the_two_databases_only() {
    for (name, text) in all_sources() {
        let database =
            name.starts_with("crates/cairn_store/") || name.starts_with("crates/cairn_catalog/");
        let production = name.starts_with("crates/") && name.contains("/src/");
        if production && !database {
            for word in ["\"SELECT ", "\"INSERT INTO", "\"DELETE FROM"] {
                assert!(!text.contains(word), "{name} contains SQL");
            }
        }
    }
}

#[test]
fn the_configuration_reference_is_fresh() {
    let defaults = std::fs::read_to_string(root().join("config.default.toml")).unwrap();
    let page = std::fs::read_to_string(root().join("docs/config.md")).unwrap();
    assert_eq!(page, xtask::configuration_reference(&defaults), "run `cargo xtask gen`");
}

/// Paths in backquotes in the pages that explain the tree must exist.
#[test]
fn the_pages_name_files_that_exist() {
    for page in ["ARCHITECTURE.md", "README.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let place = [
                "crates/",
                "tracker/",
                "dashboard/",
                "docs/",
                "native/",
                "bench/",
                "e2e/",
                "demo/",
            ];
            let fetched = ["native/duckdb", "native/data", "tracker/dist", "dashboard/dist"];
            let names_file = place.iter().any(|start| quoted.starts_with(start))
                && !fetched.iter().any(|start| quoted.starts_with(start))
                && !quoted.contains([' ', '*', '<']);
            assert!(!names_file || root().join(quoted).exists(), "{page} names {quoted}");
        }
    }
}
