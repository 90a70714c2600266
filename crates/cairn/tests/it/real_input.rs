//! A genuine access log, imported, against an independent count of the same file.
//!
//! The count is `bench/independent/access_log.py`: Python's standard library only, no code shared with Cairn, its rules
//! and where they come from at its top. Page views here and there: rows that are no asset, asked for with GET and
//! delivered (200, 206, 304). There is no allowed difference: every figure of every page, source and country, and the
//! verdict on every single user agent, must be the same.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::server::Server;

const METRICS: [&str; 3] = ["pageviews", "visitors", "visits"];
type Figures = BTreeMap<String, Vec<i64>>;

/// The path, or `None` after saying that the test did not run for want of it.
fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    eprintln!("NOT RUN: real_input: {} is missing", path.display());
    None
}

/// Lines to import, and the user agents by the number that each event carries as a property.
fn lines(log: &Path) -> (Vec<u8>, Vec<String>) {
    let mut agents: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    let file = std::fs::File::open(log).unwrap();
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let delivered = [200, 206, 304].map(Value::from).contains(&row["status"]);
        if row["event"] != "page" || row["method"] != "GET" || !delivered {
            continue;
        }
        let agent = row["ua"].as_str().unwrap_or("");
        let number = agents.iter().position(|known| known == agent).unwrap_or_else(|| {
            agents.push(agent.to_owned());
            agents.len() - 1
        });
        let event = json!({
            "event": "page_view",
            "timestamp": row["ts"],
            "url": row["url"],
            "referrer": row["referrer"].as_str().unwrap_or(""),
            "context": {"ip": row["ip"], "user_agent": agent},
            "props": {"agent": number.to_string()},
        });
        lines.extend_from_slice(event.to_string().as_bytes());
        lines.push(b'\n');
    }
    (lines, agents)
}

fn import(server: &Server, site: &str, lines: &[u8]) -> Value {
    let bearer = format!("Bearer {}", crate::server::TOKEN);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-ndjson")];
    let path = format!("/api/v1/sites/{site}/import");
    let answer = server.client().send("POST", &path, &headers, lines).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What Cairn says: a row for each value of the dimension, or one under the empty text.
fn asked(server: &Server, site: &str, dimension: Option<&str>, bots: &[&str]) -> Figures {
    let dimensions: Vec<&str> = dimension.into_iter().collect();
    let question = json!({"site_id": site, "metrics": METRICS, "date_range": "all",
                          "dimensions": dimensions, "filters": [["is", "visit:bot", bots]]});
    let answer = server.api("POST", "/api/v2/query", &question);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let rows = answer["results"].as_array().unwrap().iter();
    rows.map(|row| {
        let value = row["dimensions"].as_array().unwrap().first();
        let value = value.map_or("", |value| value.as_str().unwrap());
        (value.to_owned(), row["metrics"].as_array().unwrap().iter().map(number).collect())
    })
    .collect()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

/// What the script says: figures by name.
fn counted(groups: &Value) -> Figures {
    let groups = groups.as_object().unwrap();
    groups.iter().map(|(value, group)| (value.clone(), figures(group))).collect()
}

fn figures(group: &Value) -> Vec<i64> {
    METRICS.iter().map(|metric| number(&group[metric])).collect()
}

/// The bot verdict on each user agent, from the stored events.
fn verdicts(server: &Server, site: &str) -> BTreeMap<usize, String> {
    let mut verdicts = BTreeMap::new();
    // The filter [["is","visit:bot",["true","false"]]]: bots are left out otherwise.
    let filters = "%5B%5B%22is%22,%22visit:bot%22,%5B%22true%22,%22false%22%5D%5D%5D";
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/sites/{site}/events?limit=1000&filters={filters}{after}");
        let page = server.api("GET", &path, &Value::Null);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for event in page["items"].as_array().unwrap() {
            let agent = event["props"]["agent"].as_str().unwrap().parse().unwrap();
            let verdict = event["bot"].as_str().unwrap().to_owned();
            let before = verdicts.insert(agent, verdict.clone());
            assert!(before.is_none_or(|before| before == verdict), "one agent, one verdict");
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return verdicts,
        }
    }
}

fn check_verdicts(server: &Server, site: &str, agents: &[String], counts: &Value) {
    let verdicts = verdicts(server, site);
    assert_eq!(verdicts.len(), agents.len());
    let mut differences = Vec::new();
    for (agent, verdict) in &verdicts {
        let agent = agents[*agent].as_str();
        let rule = counts["agents"][agent]["program"].as_str().unwrap();
        if rule.is_empty() != verdict.is_empty() {
            differences.push(format!("Cairn {verdict:?}, script {rule:?}: {agent}"));
        }
    }
    let none: [String; 0] = [];
    assert_eq!(differences, none, "user agents that are judged differently");
    let bots = verdicts.values().filter(|verdict| !verdict.is_empty()).count();
    println!("real input: {} agents, {bots} of them bots, all judged alike", agents.len());
}

#[test]
fn real_input_is_counted_as_an_independent_script_counts_it() {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_directory.join("../..");
    let shared = std::env::var_os("CAIRN_SHARED_DATA");
    let shared = shared.map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let Some(log) = present(shared.join("traffic/access_log_2015.jsonl.gz")) else { return };
    let Some(countries) = present(root.join("native/data/country.mmdb")) else { return };
    let script = root.join("bench/independent/access_log.py");
    let output = Command::new("python3").arg(script).args([&shared, &countries]).output();
    let Ok(output) = output else {
        eprintln!("NOT RUN: real_input: python3 is missing");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts["reader_disagrees"], 0, "the script cannot look up countries");

    let database = countries.to_str().unwrap();
    let server = Server::start(&[("CAIRN_ENRICH__DATABASES", database)]);
    let (site, _) = server.site("semicomplete.com", &json!({"policy": "opt_out"}));
    let (lines, agents) = lines(&log);
    let imported = import(&server, &site, &lines);
    let totals = &counts["totals"];
    assert_eq!(imported["accepted"], totals["all"]["pageviews"], "{imported}");
    assert_eq!((&imported["duplicate"], &imported["rejected_count"]), (&json!(0), &json!(0)));

    let everyone: &[&str] = &["true", "false"];
    for (who, bots) in [("all", everyone), ("people", &["false"]), ("bots", &["true"])] {
        let wanted = Figures::from([(String::new(), figures(&totals[who]))]);
        assert_eq!(asked(&server, &site, None, bots), wanted, "{who}");
        println!("real input: {who}: {METRICS:?} = {:?}", wanted[""]);
    }
    let events = server.totals(&site, &["events"])[0];
    assert_eq!(events, number(&totals["all"]["pageviews"]));
    for (dimension, name) in
        [("event:page", "page"), ("visit:source", "source"), ("visit:country", "country")]
    {
        for (who, bots) in [("all", everyone), ("people", &["false"])] {
            let mut wanted = counted(&counts[name][who]);
            if name == "source" {
                let direct = wanted.remove("").unwrap();
                wanted.insert("Direct / None".to_owned(), direct);
            }
            let answer = asked(&server, &site, Some(dimension), bots);
            assert_eq!(answer, wanted, "{dimension}, {who}");
            println!("real input: {dimension}: {} values alike ({who})", wanted.len());
        }
    }
    check_verdicts(&server, &site, &agents, &counts);
}
