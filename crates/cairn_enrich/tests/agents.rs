//! Browsers, systems, devices and bots, scored by source against published user agents.
//!
//! What is scored: for browsers, device-detector's rows whose client is a browser, and uap-core's rows
//! that assert a user agent other than `Other` and do not name a robot; for systems, every row that
//! names one. Names are compared by [`same_name`]. Agents of declared robots keep the robot's name.

// Shares are what these tests print; helpers outside of test functions unwrap.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::Read;
use std::path::{Path, PathBuf};

use cairn_enrich::{AgentInfo, AgentParser, ClientHints};
use serde_json::Value;

fn rows(test: &str, path: &str) -> Option<Vec<Value>> {
    let root = std::env::var_os("CAIRN_SHARED_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let path = root.join(path);
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("NOT RUN: {test}: {} is missing", path.display());
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn text<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or("")
}

fn parse(parser: &AgentParser, row: &Value) -> AgentInfo {
    let mut hints = ClientHints::default();
    for (name, value) in row["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or("");
        match name.to_ascii_lowercase().as_str() {
            "sec-ch-ua" => hints.brands = value,
            "sec-ch-ua-full-version-list" | "sec-ch-ua-full-version" => hints.full_versions = value,
            "sec-ch-ua-mobile" => hints.mobile = value,
            "sec-ch-ua-platform" => hints.platform = value,
            "sec-ch-ua-platform-version" => hints.platform_version = value,
            "sec-ch-ua-model" => hints.model = value,
            "sec-ch-ua-form-factors" => hints.form_factors = value,
            "x-requested-with" | "http-x-requested-with" => hints.requested_with = value,
            _ => {}
        }
    }
    parser.parse_uncached(text(row, "ua"), &hints)
}

/// Names that mean one thing. The first of each line stands for all; everything else must be equal
/// but for case, punctuation and the words `Mobile`, `WebView`, `iOS`, `Browser`.
const EQUIVALENT: &[&[&str]] = &[
    // One product under the names of the two sources.
    &["internet explorer", "ie", "ie mobile", "ie large screen"],
    &["edge", "microsoft edge", "edge mobile"],
    &["samsung internet", "samsung browser"],
    &["safari", "mobile safari", "mobile safari ui/wkwebview", "webkit nightly"],
    &["opera mobile", "opera"],
    &["silk", "mobile silk", "amazon silk"],
    &["duckduckgo", "duckduckgo privacy browser"],
    &["puffin", "puffin web browser", "puffin secure browser", "puffin cloud browser"],
    &["qtwebengine", "qt web engine"],
    &["blazer", "palm blazer"],
    &["netfront", "netfront nx", "netfront life"],
    &["tesla browser", "qtcarbrowser"],
    &["hi browser", "hibrowser"],
    &["heytapbrowser", "heytap browser"],
    &["wosbrowser", "webos browser"],
    &["coast", "opera coast"],
    &["lenovo browser", "smart lenovo browser"],
    &["avg secure browser", "avg"],
    &["comodo dragon", "dragon"],
    &["openwave browser", "open wave"],
    &["mosaic", "ncsa mosaic"],
    &["gnome web", "epiphany"],
    &["openwave mobile browser", "up.browser", "openwave"],
    &["nokia browser", "nokia services (wap) browser", "nokia oss browser", "ovi browser"],
    &["blackberry browser", "blackberry webkit", "blackberry"],
    &["seznam browser", "seznam prohlížeč"],
    &["dolphin", "dolfin"],
    &["wechat", "wechat browser"],
    &["steam", "steam client"],
    &["otter browser", "otter"],
    &["slack", "slack desktop client"],
    &["google app", "google"],
    &["roblox", "roblox app"],
    &["espial tv browser", "espial"],
    &["fireweb navigator", "fireweb"],
    &["gmail", "gmailimageproxy"],
    &["android browser", "android"],
    // Code names of Firefox versions before their release.
    &["firefox", "minefield", "bon echo", "shiretoko", "firefox (shiretoko)", "firefox beta"],
    // Systems.
    &["macos", "mac", "mac os x", "mac os"],
    &["linux", "gnu/linux", "chromecast linux"],
    &["ios", "ipados"],
    &["windows phone", "windows mobile phone"],
    &["symbian", "symbian os", "symbian^3", "symbian^3 belle", "symbian os series 60"],
    // device-detector counts Fire OS among Android; uap-core calls it Android.
    &["android os", "fire os", "chromecast android"],
    &["fuchsia", "chromecast fuchsia"],
    &["google tv", "googletv"],
    &["linux mint", "mint"],
    &["roku os", "roku", "roku browser"],
    // uap-core names the maker of a television for its system.
    &["orsay", "samsung"],
    &["webos", "lg"],
];

fn plain(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let known = |name: &str| EQUIVALENT.iter().find(|group| group.contains(&name));
    if let Some(group) = known(&name) {
        return group[0].to_owned();
    }
    let kept = |word: &&str| !matches!(*word, "mobile" | "webview" | "ios" | "browser");
    let stem = name.split_whitespace().filter(kept).collect::<Vec<_>>().join(" ");
    if let Some(group) = known(&stem) {
        return group[0].to_owned();
    }
    let stem = if stem.is_empty() { name } else { stem };
    stem.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn same_name(got: &str, want: &str) -> bool {
    plain(got) == plain(want)
}

fn same_system(got: &str, want: &str) -> bool {
    let system = |name: &str| if name == "Android" { "Android OS" } else { name }.to_owned();
    same_name(&system(got), &system(want))
}

struct Score {
    of: usize,
    right: usize,
    misses: Vec<String>,
}

fn score(rows: &[&Value], is_right: impl Fn(&Value) -> Result<(), String>) -> Score {
    let mut score = Score { of: rows.len(), right: 0, misses: Vec::new() };
    for row in rows {
        match is_right(row) {
            Ok(()) => score.right += 1,
            Err(got) => score.misses.push(format!("{got} for {}", text(row, "ua"))),
        }
    }
    score
}

impl Score {
    fn report(&self, what: &str, at_least: f64) {
        let share = 100.0 * self.right as f64 / self.of.max(1) as f64;
        println!("{what}: {} of {} = {share:.2} %", self.right, self.of);
        if std::env::var_os("CAIRN_SHOW_MISSES").is_some() {
            self.misses.iter().for_each(|miss| println!("    {miss}"));
        }
        assert!(share >= at_least, "{what}: {share:.2} % < {at_least} %");
    }
}

fn check(is_right: bool, got: &str, want: &str) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

#[test]
fn browsers_and_systems_of_device_detector() {
    let test = "browsers_and_systems_of_device_detector";
    let Some(rows) = rows(test, "ua/device_detector.jsonl.gz") else { return };
    let parser = AgentParser::new();
    let browsers: Vec<_> =
        rows.iter().filter(|row| text(row, "client_type") == "browser").collect();
    score(&browsers, |row| {
        let got = parse(&parser, row).agent;
        let want = text(row, "browser");
        check(same_name(&got.browser, want), &got.browser, want)
    })
    .report("device-detector, browser by name", 97.0);
    score(&browsers, |row| {
        let got = parse(&parser, row).agent;
        let want = text(row, "browser_version");
        let major = |version: &str| version.split('.').next().unwrap_or("").to_owned();
        check(major(&got.browser_version) == major(want), &got.browser_version, want)
    })
    .report("device-detector, browser major version", 95.0);
    let systems: Vec<_> = rows
        .iter()
        .filter(|row| row["bot"] == Value::Bool(false) && !text(row, "os").is_empty())
        .collect();
    score(&systems, |row| {
        let got = parse(&parser, row).agent;
        check(same_system(&got.os, text(row, "os")), &got.os, text(row, "os"))
    })
    .report("device-detector, system by name", 97.0);
    score(&systems, |row| {
        let got = parse(&parser, row).agent;
        let names = [text(row, "os"), text(row, "os_family")];
        check(names.iter().any(|want| same_system(&got.os, want)), &got.os, names[0])
    })
    .report("device-detector, system by name or family", 98.0);
    let apps: Vec<_> = rows
        .iter()
        .filter(|row| !matches!(text(row, "client_type"), "browser" | ""))
        .filter(|row| row["bot"] == Value::Bool(false))
        .collect();
    score(&apps, |row| {
        let got = parse(&parser, row).agent;
        let want = text(row, "client_name");
        check(same_name(&got.browser, want), &got.browser, want)
    })
    .report("device-detector, apps, players, libraries by name (not part of the target)", 0.0);
}

#[test]
fn devices_of_device_detector() {
    let test = "devices_of_device_detector";
    let Some(rows) = rows(test, "ua/device_detector.jsonl.gz") else { return };
    let parser = AgentParser::new();
    let known = |row: &&Value| {
        row["bot"] == Value::Bool(false)
            && !matches!(text(row, "device_type"), "" | "peripheral" | "camera")
    };
    let rows: Vec<_> = rows.iter().filter(known).collect();
    score(&rows, |row| {
        let got = parse(&parser, row).agent;
        let want = match text(row, "device_type") {
            "smartphone" | "phablet" | "feature phone" | "portable media player" => "mobile",
            "car browser" => "car",
            "smart speaker" => "speaker",
            "smart display" => "display",
            device => device,
        };
        check(got.device.as_ref() == want, &got.device, want)
    })
    .report("device-detector, kind of device", 85.0);
}

/// Robots and tools among uap-core's names, by the words in them.
fn names_robot(name: &str) -> bool {
    let name = name.to_lowercase();
    [
        "bot", "crawl", "spider", "slurp", "nutch", "fetch", "scraper", "scan", "monitor", "curl",
        "wget", "python", "java", "perl", "http", "archive", "heritrix", "webthumb", "preview",
    ]
    .iter()
    .any(|word| name.contains(word))
}

#[test]
fn browsers_and_systems_of_uap_core() {
    let test = "browsers_and_systems_of_uap_core";
    let Some(rows) = rows(test, "ua/uap_core.jsonl.gz") else { return };
    let parser = AgentParser::new();
    let named: Vec<_> = rows
        .iter()
        .filter(|row| text(row, "asserts") == "ua" && text(row, "browser") != "Other")
        .collect();
    let browsers: Vec<_> =
        named.iter().copied().filter(|row| !names_robot(text(row, "browser"))).collect();
    let right = |row: &Value| {
        let got = parse(&parser, row).agent;
        let want = text(row, "browser");
        check(same_name(&got.browser, want), &got.browser, want)
    };
    score(&browsers, right).report("uap-core, browsers and apps by name", 97.0);
    score(&named, right).report("uap-core, all named clients, robots included", 93.0);
    let systems: Vec<_> = rows
        .iter()
        .filter(|row| text(row, "asserts") == "os" && text(row, "os") != "Other")
        .collect();
    score(&systems, |row| {
        let got = parse(&parser, row).agent;
        check(same_system(&got.os, text(row, "os")), &got.os, text(row, "os"))
    })
    .report("uap-core, system by name", 97.0);
}

/// Mail proxies that the lists call robots: a reader is behind them.
fn is_mail_proxy(user_agent: &str) -> bool {
    ["GoogleImageProxy", "YahooMailProxy", "ImageProxy/", "ukr.net proxy"]
        .iter()
        .any(|word| user_agent.contains(word))
}

#[test]
fn declared_bots_are_caught() {
    let test = "declared_bots_are_caught";
    let parser = AgentParser::new();
    let mut all = Vec::new();
    for file in
        ["bots/crawler_user_agents.jsonl.gz", "bots/isbot.jsonl.gz", "ua/device_detector.jsonl.gz"]
    {
        let Some(rows) = rows(test, file) else { return };
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|row| row["bot"] == Value::Bool(true) && !is_mail_proxy(text(row, "ua")))
            .collect();
        let refs: Vec<_> = rows.iter().collect();
        score(&refs, |row| check(parse(&parser, row).bot.is_bot(), "human", "bot"))
            .report(&format!("declared bots of {file}"), 99.0);
        all.extend(rows);
    }
    let refs: Vec<_> = all.iter().collect();
    score(&refs, |row| check(parse(&parser, row).bot.is_bot(), "human", "bot"))
        .report("declared bots, all lists", 99.0);
}

#[test]
fn people_are_not_called_bots() {
    let test = "people_are_not_called_bots";
    let parser = AgentParser::new();
    let mut declared = std::collections::HashSet::new();
    for file in ["bots/crawler_user_agents.jsonl.gz", "bots/isbot.jsonl.gz"] {
        let Some(rows) = rows(test, file) else { return };
        declared.extend(rows.iter().map(|row| text(row, "ua").to_owned()));
    }
    let mut all = Vec::new();
    for file in [
        "bots/humans_weighted.jsonl.gz",
        "bots/humans_isbot.jsonl.gz",
        "ua/device_detector.jsonl.gz",
    ] {
        let Some(rows) = rows(test, file) else { return };
        // Libraries and feed readers of device-detector are no people; what another list declares a
        // robot word for word cannot be told apart.
        let people: Vec<_> = rows
            .into_iter()
            .filter(|row| row["bot"] == Value::Bool(false))
            .filter(|row| !matches!(text(row, "client_type"), "library" | "feed reader"))
            .filter(|row| !declared.contains(text(row, "ua")))
            .collect();
        let refs: Vec<_> = people.iter().collect();
        let wrong = refs.iter().filter(|row| parse(&parser, row).bot.is_bot()).count();
        println!(
            "people called bots in {file}: {wrong} of {} = {:.2} %",
            refs.len(),
            100.0 * wrong as f64 / refs.len() as f64
        );
        all.extend(people);
    }
    let refs: Vec<_> = all.iter().collect();
    score(&refs, |row| {
        let got = parse(&parser, row).bot;
        check(!got.is_bot(), got.reason(), "human")
    })
    .report("people left alone, all lists", 99.5);
}
