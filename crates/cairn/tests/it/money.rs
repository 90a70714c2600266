//! Costs and rates from the command line, beside a running server, and rates from the configuration.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::Server;

fn cairn(data: &Path, arguments: &[&str]) -> Output {
    let data = ["--data", data.to_str().unwrap()];
    Command::new(env!("CARGO_BIN_EXE_cairn")).args(arguments).args(data).output().unwrap()
}

#[track_caller]
fn says(output: &Output, text: &str) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(text), "{text:?} is not in\n{said}");
}

fn amount(server: &Server, site: &str, metric: &str) -> Value {
    let question = json!({"site_id": site, "metrics": [metric],
        "date_range": ["2026-11-01", "2026-11-30"]});
    let answer = server.api("POST", "/api/v2/query", &question);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"][0]["metrics"][0]["value"].clone()
}

#[test]
fn files_are_taken_beside_the_server_and_at_its_start() {
    let files = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let dollars = file("usd.csv", "Date,USD\n2026-11-10,1.25\n");
    let server = Server::start(&[("CAIRN_MONEY__RATES", &dollars)]);
    server.line_with("exchange rates are read");
    let (site, _) = server.site("shop.test", &json!({}));
    let costs = file(
        "costs.csv",
        "Tag;Spend;Campaign;Waehrung\n12.11.2026;1.000,50;Tents;\n\
        12.11.2026;5,00;Packs;USD\n12.11.2026;7;Packs;CHF\n",
    );
    let map = ["--column", "currency=Waehrung", "--fixed", "source=google", "--decimal-mark", ","];
    let import = ["costs", "import", &costs, "--site", "shop.test", "--day-first"];
    let import = [&import[..], &map[..]].concat();
    let refused = cairn(server.data(), &import);
    assert!(!refused.status.success());
    says(&refused, "line 4, another row about the same day and campaign is in another currency");
    assert_eq!(amount(&server, &site, "cost"), json!(0.0), "whole or not at all");
    let costs = file(
        "costs.csv",
        "Tag;Spend;Campaign;Waehrung\n12.11.2026;1.000,50;Tents;\n\
        12.11.2026;5,00;Packs;USD\n",
    );
    let import = import.iter().map(|one| if one.ends_with("costs.csv") { &costs } else { *one });
    let import: Vec<&str> = import.collect();
    let preview = cairn(server.data(), &[&import[..], &["--preview"]].concat());
    says(&preview, "2026-11-12  1000.500000 EUR  google /  / Tents");
    assert_eq!(amount(&server, &site, "cost"), json!(0.0), "a look takes nothing");
    says(&cairn(server.data(), &import), "2 rows: 2 costs are new, 0 were replaced");
    says(&cairn(server.data(), &import), "2 rows: 0 costs are new, 2 were replaced");
    assert_eq!(amount(&server, &site, "cost"), json!(1004.5));
    let history = file("history.csv", "Date,USD,CYP\n2026-11-11,2,N/A\n");
    let rates = cairn(server.data(), &["rates", "import", &history]);
    says(&rates, "1 rates are new, 0 were replaced; 1 columns are no currency of today");
    assert_eq!(amount(&server, &site, "cost"), json!(1003.0), "at the newer rate");
    let nowhere = cairn(files.path(), &["rates", "import", &history]);
    assert!(!nowhere.status.success());
    says(&nowhere, "there is no catalog in");
    assert_eq!(server.stop(), Some(0));
}
