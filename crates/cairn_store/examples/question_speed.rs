//! Measures questions: the Overview's whole set over 30 days, beside the same questions as SQL written by hand.
//!
//! `cargo run --release -p cairn_store --example question_speed -- [directory] [events] [repetitions]`
//!
//! The events are made by statements in DuckDB, so loading them is not measured here. Both sides run on the same file,
//! alternating, with the same memory and threads. Printed: p50 and p95 of each, in milliseconds, and their ratio.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cairn_model::SiteId;
use cairn_model::question::{Asking, Question};
use cairn_store::EventStore;
use cairn_store::duckdb::{Database, DatabaseOptions, DuckError, DuckOptions, DuckStore};
use serde_json::{Value, json};

/// 1 June 2026; the events cover 60 days from there.
const START_MS: i64 = 1_780_272_000_000;
const DAYS: i64 = 60;
const EVENTS_PER_VISIT: i64 = 5;

/// The range asked for: the last 30 days.
fn range() -> Value {
    json!(["2026-07-01", "2026-07-30"])
}

fn load(directory: &Path, events: i64) -> Result<(), Box<dyn Error>> {
    drop(DuckStore::open(directory, DuckOptions::default())?);
    let options = DatabaseOptions { memory_limit_mb: 2048, ..DatabaseOptions::default() };
    let database = Database::open(&directory.join("events.duckdb"), &options)?;
    let connection = database.connect()?;
    let visits = events / EVENTS_PER_VISIT;
    let step_ms = DAYS * 86_400_000 / visits;
    let visit = format!(
        "SELECT 1 AS site_id, i * {EVENTS_PER_VISIT} + 1 AS session_id, hash(i * 7919 % ({visits} * 6 // 10)) AS visitor_id,
            i % 3 > 0 AS identified, {START_MS} + i * {step_ms} AS started_at_ms,
            ['google.com/search', '', 'news.ycombinator.com/item', 'reddit.com/r/garden', ''][1 + (hash(i, 1) % 5)::BIGINT] AS referrer,
            ['Google', '', 'Hacker News', 'Reddit', ''][1 + (hash(i, 1) % 5)::BIGINT] AS source,
            ['organic', '', 'referral', 'social', ''][1 + (hash(i, 1) % 5)::BIGINT] AS medium,
            ['Organic Search', 'Direct', 'Referral', 'Organic Social', 'Direct'][1 + (hash(i, 1) % 5)::BIGINT] AS channel,
            if(hash(i, 2) % 10 = 0, 'newsletter', '') AS utm_source, if(hash(i, 2) % 10 = 0, 'email', '') AS utm_medium,
            if(hash(i, 2) % 10 = 0, 'campaign-' || hash(i, 3) % 40, '') AS utm_campaign, '' AS utm_content, '' AS utm_term,
            ['US', 'DE', 'FR', 'GB', 'IN', 'BR', 'EE', ''][1 + (hash(i, 4) % 8)::BIGINT] AS country, 'R' || hash(i, 4) % 80 AS region,
            (2000000 + hash(i, 4) % 900)::VARCHAR AS city,
            ['Chrome', 'Safari', 'Firefox', 'Edge'][1 + (hash(i, 5) % 4)::BIGINT] AS browser, (100 + hash(i, 5) % 30)::VARCHAR AS browser_version,
            ['Windows', 'macOS', 'Android', 'iOS'][1 + (hash(i, 6) % 4)::BIGINT] AS os, (10 + hash(i, 6) % 5)::VARCHAR AS os_version,
            ['desktop', 'mobile', 'tablet'][1 + (hash(i, 6) % 3)::BIGINT] AS device, if(hash(i, 7) % 20 = 0, 'declared', '') AS bot
         FROM range({visits}) AS visits(i)"
    );
    let page = |visit: &str, step: &str| {
        // A few pages are read often, most seldom.
        format!(
            "'/' || ['products', 'blog', 'help', 'sale'][1 + (hash({visit}, {step}) % 4)::BIGINT] || '/' || (pow((hash({visit}, {step}, 9) % 10000) / 10000, 3) * 3000)::INTEGER"
        )
    };
    connection.run("BEGIN TRANSACTION")?;
    connection.run(&format!(
        "INSERT INTO sessions BY NAME SELECT *, started_at_ms + if(hash(session_id) % 2 = 0, 0, 240000) AS ended_at_ms,
            started_at_ms + 240000 AS last_activity_ms, started_at_ms + 240000 AS last_received_ms, 0 AS session_key,
            if(hash(session_id) % 2 = 0, 1, 4) AS pageviews, if(hash(session_id) % 2 = 0, 1, 5) AS events,
            'shop.example' AS entry_hostname, {} AS entry_page, 'shop.example' AS exit_hostname, {} AS exit_page FROM ({visit})",
        page("session_id", "0"),
        page("session_id", "3"),
    ))?;
    connection.run(&format!(
        "INSERT INTO events BY NAME SELECT * EXCLUDE (step, started_at_ms), session_id + step AS event_offset,
            started_at_ms + step * 60000 AS timestamp_ms, started_at_ms + step * 60000 AS received_at_ms, 0 AS user_key, 1 AS pixel_id,
            FALSE AS imported, 0 AS basis, ['page_view', 'page_view', 'page_view', 'page_view', 'add_to_cart'][step + 1] AS name,
            NULL AS event_key, NULL AS event_uuid, '' AS event_id, 'shop.example' AS hostname, {} AS path, '' AS query, '' AS title,
            '' AS click_id_kind, '' AS click_id, 0 AS asn, '' AS organization, '' AS network_marks, '' AS screen, 'en' AS language,
            NULL AS value_minor, '' AS currency, '' AS order_id, '' AS items, NULL AS engagement_ms, NULL AS scroll_percent,
            '' AS section_id, NULL AS section_visible_ms, NULL AS section_visible_percent, '' AS props, FALSE AS truncated
         FROM ({visit}), range({EVENTS_PER_VISIT}) AS steps(step) ORDER BY session_id, step",
        page("session_id", "step"),
    ))?;
    connection.run("COMMIT")?;
    connection.run("CHECKPOINT")?;
    Ok(())
}

/// The Overview: each question, and what a person would write for it.
fn overview() -> Overview {
    let (from, until) = (START_MS + 30 * 86_400_000, START_MS + 60 * 86_400_000);
    let in_range = format!(
        "site_id = 1 AND bot = '' AND timestamp_ms BETWEEN {from} AND {until} - 1 AND name <> 'engagement'"
    );
    let active =
        format!("site_id = 1 AND bot = '' AND ended_at_ms >= {from} AND started_at_ms < {until}");
    let of_visits = |column: &str| {
        format!(
            "SELECT {column}, count(DISTINCT visitor_id) AS visitors,
                round(1000.0 * visitors / (SELECT count(DISTINCT visitor_id) FROM sessions WHERE {active})) / 10
             FROM sessions WHERE {active} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 9"
        )
    };
    let panel = |dimension: &str| json!({"metrics": ["visitors", "percentage"], "dimensions": [dimension], "pagination": {"limit": 9, "offset": 0}});
    let mut set = vec![
        (
            "cards",
            json!({"metrics": ["visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration"]}),
            format!(
                "SELECT * FROM (SELECT count(DISTINCT visitor_id), count(DISTINCT session_id), count(*) FILTER (name = 'page_view') FROM events WHERE {in_range}),
                 (SELECT sum(pageviews) / count(*), round(100.0 * count(*) FILTER (events = 1) / count(*)),
                    round(avg(abs(ended_at_ms // 1000 - started_at_ms // 1000))) FROM sessions WHERE {active})"
            ),
        ),
        (
            "chart",
            json!({"metrics": ["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"], "dimensions": ["time:day"], "include": {"time_labels": true}}),
            format!(
                "SELECT * FROM (SELECT date_trunc('day', epoch_ms(timestamp_ms)) AS day, count(DISTINCT visitor_id), count(DISTINCT session_id),
                    count(*) FILTER (name = 'page_view') FROM events WHERE {in_range} GROUP BY 1)
                 LEFT JOIN (SELECT date_trunc('day', epoch_ms(ended_at_ms)) AS day, round(100.0 * count(*) FILTER (events = 1) / count(*)),
                    round(avg(abs(ended_at_ms // 1000 - started_at_ms // 1000))) FROM sessions WHERE {active} GROUP BY 1) USING (day) ORDER BY 1"
            ),
        ),
        (
            "pages",
            panel("event:page"),
            format!(
                "SELECT path, count(DISTINCT visitor_id) AS visitors,
                    round(1000.0 * visitors / (SELECT count(DISTINCT visitor_id) FROM events WHERE {in_range})) / 10
                 FROM events WHERE {in_range} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 9"
            ),
        ),
    ];
    set.push((
        "a pattern",
        json!({"metrics": ["visitors"], "filters": [["matches", "event:page", ["^/blog/[0-9]+5$"]]]}),
        format!(
            "SELECT count(DISTINCT visitor_id) FROM events WHERE {in_range} AND regexp_matches(path, '^/blog/[0-9]+5$')"
        ),
    ));
    for (name, dimension, column) in [
        ("channels", "visit:channel", "channel"),
        ("sources", "visit:source", "source"),
        ("entry pages", "visit:entry_page", "entry_page"),
        ("countries", "visit:country", "country"),
        ("devices", "visit:device", "device"),
        ("browsers", "visit:browser", "browser"),
    ] {
        set.push((name, panel(dimension), of_visits(column)));
    }
    set
}

/// Processor time of this process so far, milliseconds: steadier than the clock on a busy machine. 0 where unknown.
fn processor_ms() -> f64 {
    const TICK_MS: f64 = 10.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * TICK_MS
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .map_or_else(|| std::env::temp_dir().join("cairn-question-speed"), PathBuf::from);
    let events: i64 = arguments.next().map_or(Ok(10_000_000), |number| number.parse())?;
    let repetitions: usize = arguments.next().map_or(Ok(20), |number| number.parse())?;
    if !directory.join("events.duckdb").exists() {
        let started = Instant::now();
        std::fs::create_dir_all(&directory)?;
        load(&directory, events)?;
        println!("{events} events made in {:.1} s", started.elapsed().as_secs_f64());
    }
    let set = overview();
    let asking = Asking {
        site_id: SiteId(1),
        timezone: "Etc/UTC",
        now_ms: START_MS + DAYS * 86_400_000,
        first_event_ms: None,
        goals: &[],
    };
    let mut measured: Vec<Measured> = set.iter().map(|_| Measured::default()).collect();
    // One process cannot open the file twice: the two take turns by opening it, warming up, and running some rounds.
    for _ in 0..repetitions.div_ceil(ROUNDS) {
        ask_all(&directory, &set, &asking, &mut measured)?;
        run_all(&directory, &set, &mut measured)?;
    }
    print_table(&set, &mut measured);
    Ok(())
}

/// Rounds that one side runs before the other takes over.
const ROUNDS: usize = 5;

type Overview = Vec<(&'static str, Value, String)>;

/// What one question took, asked and by hand.
#[derive(Default)]
struct Measured {
    asked_ms: Vec<f64>,
    hand_ms: Vec<f64>,
    asked_processor_ms: f64,
    hand_processor_ms: f64,
}

/// Runs it; returns how long it took by the clock and on the processors.
fn timed(run: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(f64, f64), Box<dyn Error>> {
    let (before_ms, started) = (processor_ms(), Instant::now());
    run()?;
    Ok((started.elapsed().as_secs_f64() * 1000.0, processor_ms() - before_ms))
}

fn ask_all(
    directory: &Path,
    set: &Overview,
    asking: &Asking<'_>,
    measured: &mut [Measured],
) -> Result<(), Box<dyn Error>> {
    let store = DuckStore::open(directory, DuckOptions::default())?;
    for round in 0..=ROUNDS {
        for ((_, body, _), measured) in set.iter().zip(&mut *measured) {
            let mut body = body.clone();
            body["site_id"] = json!("s");
            body["date_range"] = range();
            let (clock_ms, spent_ms) = timed(|| {
                let answer = store.ask(&Question::parse(&body, asking)?)?;
                assert!(!answer.rows.is_empty());
                Ok(())
            })?;
            if round > 0 {
                measured.asked_ms.push(clock_ms);
                measured.asked_processor_ms += spent_ms;
            }
        }
    }
    Ok(())
}

fn run_all(
    directory: &Path,
    set: &Overview,
    measured: &mut [Measured],
) -> Result<(), Box<dyn Error>> {
    let options = DatabaseOptions {
        temp_directory: Some(directory.join("spilled")),
        ..DatabaseOptions::default()
    };
    let connection = Database::open(&directory.join("events.duckdb"), &options)?.connect()?;
    for round in 0..=ROUNDS {
        for ((_, _, sql), measured) in set.iter().zip(&mut *measured) {
            let (clock_ms, spent_ms) = timed(|| {
                let mut rows = 0;
                connection.query(sql, &[])?.for_each(|_| {
                    rows += 1;
                    Ok::<(), DuckError>(())
                })?;
                assert!(rows > 0);
                Ok(())
            })?;
            if round > 0 {
                measured.hand_ms.push(clock_ms);
                measured.hand_processor_ms += spent_ms;
            }
        }
    }
    Ok(())
}

fn print_table(set: &Overview, measured: &mut [Measured]) {
    let (mut asked, mut hand, mut asked_processor, mut hand_processor) = (0.0, 0.0, 0.0, 0.0);
    println!(
        "{:12} {:>10} {:>10} {:>10} {:>10} {:>7} {:>10}",
        "question", "p50 ms", "p95 ms", "hand p50", "hand p95", "ratio", "CPU ratio"
    );
    for ((name, _, _), measured) in set.iter().zip(&mut *measured) {
        measured.asked_ms.sort_by(f64::total_cmp);
        measured.hand_ms.sort_by(f64::total_cmp);
        let percent = |percent| {
            (percentile(&measured.asked_ms, percent), percentile(&measured.hand_ms, percent))
        };
        let ((asked_50, hand_50), (asked_95, hand_95)) = (percent(50), percent(95));
        let (asked_ms, hand_ms) = (measured.asked_processor_ms, measured.hand_processor_ms);
        println!(
            "{name:12} {asked_50:10.1} {asked_95:10.1} {hand_50:10.1} {hand_95:10.1} {:7.2} {:10.2}",
            asked_95 / hand_95,
            asked_ms / hand_ms
        );
        (asked, hand) = (asked + asked_95, hand + hand_95);
        (asked_processor, hand_processor) = (asked_processor + asked_ms, hand_processor + hand_ms);
    }
    println!(
        "whole set: p95 {asked:.1} ms, by hand {hand:.1} ms, ratio {:.2}; CPU ratio {:.2}",
        asked / hand,
        asked_processor / hand_processor
    );
}
