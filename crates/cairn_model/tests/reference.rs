//! The tables of docs/queries.md are those that the code makes; `CAIRN_UPDATE=1` writes them.

#![allow(clippy::unwrap_used)]

use cairn_model::question::reference::{dimensions_table, metrics_table};
use cairn_model::question::tallies::Scope;
use cairn_model::question::{Dimension, Metric, Tally};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/queries.md");
const END: &str = "<!-- end -->";

fn with_table(page: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- made from the code: {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no place for {name}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("no end of {name}"));
    format!("{before}{begin}{table}{END}{after}")
}

#[test]
fn the_page_has_the_definitions_of_the_code() {
    let scope = |metric: Metric| metric.as_tally().map(Tally::scope);
    let is_money = |metric: Metric| matches!(metric, Metric::Money(_));
    let committed = std::fs::read_to_string(PAGE).unwrap();
    let visits = metrics_table(|metric| scope(metric).is_none() && !is_money(metric));
    let mut made = with_table(&committed, "visits", &visits);
    made = with_table(&made, "money", &metrics_table(is_money));
    for (name, scopes) in [
        ("sections", &[Scope::Sections][..]),
        ("forms", &[Scope::Forms]),
        ("vitals", &[Scope::Vitals]),
        ("mails, links and ads", &[Scope::Mails, Scope::Links, Scope::Ads]),
    ] {
        let is_meant = |metric| scope(metric).is_some_and(|scope| scopes.contains(&scope));
        made = with_table(&made, name, &metrics_table(is_meant));
    }
    made = with_table(&made, "dimensions", &dimensions_table());
    for metric in Metric::all() {
        assert!(made.contains(&format!("| `{}` |", metric.name())), "{}", metric.name());
    }
    if std::env::var_os("CAIRN_UPDATE").is_some() {
        std::fs::write(PAGE, &made).unwrap();
    } else {
        assert!(made == committed, "docs/queries.md is out of date: run with CAIRN_UPDATE=1");
    }
}

#[test]
fn every_dimension_is_listed_under_each_of_its_names() {
    for (names, dimension) in Dimension::all() {
        for name in &names {
            assert_eq!(Dimension::named(name).as_ref(), Some(&dimension), "{name}");
        }
        assert_eq!(Some(dimension.name().as_str()), names.first().copied());
        assert!(!dimension.meaning().is_empty());
    }
}
