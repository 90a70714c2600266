//! Measures writing: CPU per event, stalls, bytes per event, memory.
//!
//! `cargo run --release -p cairn_store --example append -- [directory] [events] [rows per batch] [checkpoint rows]`
//!
//! The traffic is made by a seeded generator: visits of five events with pauses, 3,000 pages, URLs of 60 characters and
//! more, UUID event ids, the usual skew of browsers, countries and campaigns. What the generator costs is not counted.
#![allow(clippy::print_stdout)]

use std::collections::VecDeque;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::session::Attributes;
use cairn_model::{Event, Identification, Outcome, PixelId, Session, SiteId, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::{Batch, EventStore, OutcomeCount, Row, SessionChange, Watermark};

/// Events of a visit.
const EVENTS_PER_VISIT: u32 = 5;
/// Batches per simulated second.
const BATCHES_PER_SECOND: i64 = 2;
/// Start of the simulated traffic.
const START_MS: i64 = 1_750_000_000_000;

/// SplitMix64: small, seeded, good enough for traffic.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Small numbers often, large ones rarely.
    fn skewed(&mut self, bound: usize) -> usize {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((unit * unit * unit) * bound as f64) as usize
    }
}

struct Generator {
    random: Random,
    pages: Vec<String>,
    words: Vec<&'static str>,
    /// Open visits by the batch in which their next event is due.
    due: VecDeque<Vec<Session>>,
    offset: u64,
    batch: i64,
    url_bytes: u64,
}

const SECTIONS: [&str; 8] =
    ["products", "category", "blog", "brands", "sale", "help", "guides", "collections"];

impl Generator {
    fn new() -> Self {
        let mut random = Random(42);
        let words = vec![
            "running",
            "shoes",
            "leather",
            "winter",
            "jacket",
            "cotton",
            "organic",
            "garden",
            "kitchen",
            "ceramic",
            "wireless",
            "headphones",
            "summer",
            "dress",
            "mountain",
            "bike",
        ];
        let pages = (0..3000)
            .map(|number| {
                let section = SECTIONS[random.below(8)];
                let [a, b, c] = [(); 3].map(|()| words[random.below(words.len())]);
                format!("/{section}/{a}-{b}-{c}-{number:04}")
            })
            .collect();
        Generator {
            random,
            pages,
            words,
            due: (0..256).map(|_| Vec::new()).collect(),
            offset: 0,
            batch: 0,
            url_bytes: 0,
        }
    }

    fn now_ms(&self) -> i64 {
        START_MS + self.batch * 1000 / BATCHES_PER_SECOND
    }

    fn attributes(&mut self) -> Arc<Attributes> {
        let random = &mut self.random;
        let sources = [
            ["", "Google", "organic", "Organic Search"],
            ["", "", "", "Direct"],
            ["", "Facebook", "social", "Organic Social"],
            ["", "Bing", "organic", "Organic Search"],
            ["", "newsletter", "email", "Email"],
        ];
        let [_, source, medium, channel] = sources[random.skewed(5)];
        let referrer = if channel == "Organic Search" {
            format!("www.{}.com/search", source.to_lowercase())
        } else if channel == "Organic Social" {
            format!("l.facebook.com/{}", random.skewed(500))
        } else {
            String::new()
        };
        let campaign = if random.below(5) == 0 {
            format!("campaign-{}", random.skewed(40))
        } else {
            String::new()
        };
        let utm = if campaign.is_empty() { ["", ""] } else { ["google", "cpc"] };
        let countries = ["DE", "US", "FR", "GB", "AT", "CH", "NL", "ES", "IT", "PL", "SE", "JP"];
        let country = countries[random.skewed(countries.len())];
        let region = format!("{country}-{:02}", random.skewed(16));
        let city = format!("{}", 2_800_000 + random.skewed(3000));
        let browsers = ["Chrome", "Safari", "Firefox", "Edge", "Samsung Internet"];
        let browser = browsers[random.skewed(5)];
        let version = format!("{}.0", 118 + random.skewed(12));
        let systems = ["Windows", "iOS", "Android", "macOS", "Linux"];
        let os = systems[random.skewed(5)];
        let os_version = ["10", "17.4", "14", "14.4", ""][random.skewed(5)];
        let device = ["desktop", "mobile", "tablet"][random.skewed(3)];
        Arc::new(Attributes::new([
            &referrer, source, medium, channel, utm[0], utm[1], &campaign, "", "", country,
            &region, &city, browser, &version, os, os_version, device, "",
        ]))
    }

    fn begin_visit(&mut self) -> Session {
        let now = self.now_ms();
        Session {
            site_id: SiteId(7),
            session_id: self.offset + 1,
            visitor_id: VisitorId(self.random.next()),
            identification: Identification::Identified,
            session_key: 0,
            started_at_ms: now,
            ended_at_ms: now,
            last_activity_ms: now,
            last_received_ms: now,
            pageviews: 0,
            events: 0,
            entry_hostname: "shop.example.com".into(),
            entry_page: String::new(),
            exit_hostname: "shop.example.com".into(),
            exit_page: String::new(),
            attributes: self.attributes(),
        }
    }

    fn query(&mut self) -> String {
        let word = self.words[self.random.below(16)];
        match self.random.below(10) {
            0 => format!(
                "utm_source=google&utm_medium=cpc&utm_campaign=campaign-{}",
                self.random.skewed(40)
            ),
            1 => format!(
                "gclid=Cj0KCQjw{:016x}{:016x}EALw_wcB",
                self.random.next(),
                self.random.next()
            ),
            2 | 3 => format!(
                "q={word}+{}&page={}",
                self.words[self.random.below(16)],
                self.random.skewed(9)
            ),
            4 | 5 => format!("color={word}&size={}&sort=price", 36 + self.random.skewed(12)),
            _ => String::new(),
        }
    }

    fn event(&mut self, session: &mut Session) -> Row<'static> {
        self.offset += 1;
        let now = self.now_ms() + self.random.below(500) as i64;
        let path = self.pages[self.random.skewed(3000)].clone();
        let query = self.query();
        self.url_bytes += ("shop.example.com".len() + path.len() + query.len()) as u64;
        let mut event = Event::bare(session.site_id, "page_view", now - 20);
        event.received_at_ms = now;
        event.pixel_id = PixelId(3);
        event.visitor_id = session.visitor_id;
        event.identification = session.identification;
        let id = (u128::from(self.random.next()) << 64) | u128::from(self.random.next());
        event.event_key = id.wrapping_mul(0x2545_f491_4f6c_dd1d);
        event.event_id = uuid_text(id).into();
        event.hostname = "shop.example.com".into();
        event.title = format!("{} | Example Shop", &path[1..]).into();
        event.path = path.into();
        event.query = query.into();
        event.asn = 3320 + self.random.skewed(400) as u32;
        event.organization = format!("Provider {}", event.asn).into();
        event.screen =
            ["1920x1080", "390x844", "1536x864", "412x915"][self.random.skewed(4)].into();
        event.language = ["de-DE", "en-US", "fr-FR", "en-GB"][self.random.skewed(4)].into();
        session.pageviews += 1;
        session.events += 1;
        session.ended_at_ms = now;
        session.last_activity_ms = now;
        session.last_received_ms = now;
        session.exit_page = event.path.to_string();
        if session.entry_page.is_empty() {
            session.entry_page.clone_from(&session.exit_page);
        }
        Row {
            offset: self.offset,
            session_id: session.session_id,
            attributes: Arc::clone(&session.attributes),
            event,
        }
    }

    fn batch(&mut self, rows: usize) -> Batch<'static> {
        let mut batch = Batch::default();
        let mut due = self.due.pop_front().unwrap_or_default();
        self.due.push_back(Vec::new());
        let late = due.split_off(due.len().min(rows));
        self.due[0].extend(late);
        while batch.rows.len() < rows {
            let (mut session, replaces) = match due.pop() {
                Some(session) => (session, true),
                None => (self.begin_visit(), false),
            };
            batch.rows.push(self.event(&mut session));
            batch.sessions.push(SessionChange::new(session.clone(), replaces));
            if session.events < EVENTS_PER_VISIT {
                // The next page after 5 to 60 seconds.
                let pause = 10 + self.random.skewed(110);
                self.due[pause].push(session);
            }
        }
        let hour_ms = self.now_ms() / 3_600_000 * 3_600_000;
        batch.outcomes.push(OutcomeCount {
            site_id: SiteId(7),
            hour_ms,
            outcome: Outcome::Accepted,
            count: rows as u64,
        });
        self.batch += 1;
        batch.watermark = Watermark { offset: self.offset, received_at_ms: self.now_ms() };
        batch
    }
}

fn uuid_text(value: u128) -> String {
    let hex = format!("{value:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// CPU time of the whole process, DuckDB's threads included.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory in megabytes: now, and the most there ever was.
fn memory_mb() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
            / 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted.get(((sorted.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(|| PathBuf::from("target/append"), PathBuf::from);
    let mut number =
        |default: u64| arguments.next().map_or(Ok(default), |text| text.parse::<u64>());
    let events = number(1_000_000)?;
    let rows = number(12_500)? as usize;
    let checkpoint_rows = number(250_000)?;
    let options = DuckOptions { event_key_of: Some(Arc::new(|_, _| 1)), ..DuckOptions::default() };
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let before_mb = memory_mb().0;
    let store = DuckStore::open(&directory, options)?;
    println!("open: {} MB resident, {before_mb} MB before", memory_mb().0);
    let mut generator = Generator::new();
    let (mut commit_cpu, mut checkpoint_cpu) = (Duration::ZERO, Duration::ZERO);
    let (mut walls, mut stalls, mut since_checkpoint) = (Vec::new(), Vec::new(), 0);
    while generator.offset < events {
        let mut batch = generator.batch(rows);
        if std::env::var("NOSES").is_ok() {
            batch.sessions.clear();
        }
        let (cpu, wall) = (cpu_time(), Instant::now());
        store.commit(&batch)?;
        walls.push(wall.elapsed());
        commit_cpu += cpu_time() - cpu;
        since_checkpoint += batch.rows.len() as u64;
        if since_checkpoint >= checkpoint_rows {
            let (cpu, wall) = (cpu_time(), Instant::now());
            store.checkpoint()?;
            checkpoint_cpu += cpu_time() - cpu;
            stalls.push(wall.elapsed());
            since_checkpoint = 0;
        }
        if walls.len() % 20 == 0 {
            println!(
                "{:>9} events: last commit {:?}, {} MB on disk, {:?} MB resident/peak",
                generator.offset,
                walls[walls.len() - 1],
                store.size_bytes() / 1_000_000,
                memory_mb()
            );
        }
    }
    let (cpu, wall) = (cpu_time(), Instant::now());
    store.checkpoint()?;
    stalls.push(wall.elapsed());
    let total = commit_cpu + checkpoint_cpu + (cpu_time() - cpu);
    walls.sort();
    stalls.sort();
    let count = generator.offset as f64;
    let (now_mb, peak_mb) = memory_mb();
    println!(
        "events {count}, batches of {rows}, mean URL {:.1} characters",
        generator.url_bytes as f64 / count
    );
    println!(
        "CPU per event: {:.2} µs, commits alone {:.2} µs",
        total.as_secs_f64() * 1e6 / count,
        commit_cpu.as_secs_f64() * 1e6 / count
    );
    println!(
        "commit: p50 {:?}, p99 {:?}, max {:?}; {} checkpoints of {checkpoint_rows} rows, longest {:?}",
        percentile(&walls, 0.5),
        percentile(&walls, 0.99),
        percentile(&walls, 1.0),
        stalls.len(),
        percentile(&stalls, 1.0)
    );
    println!("bytes per event after the checkpoint: {:.1}", store.size_bytes() as f64 / count);
    println!("resident: {now_mb} MB now, {peak_mb} MB at most (generator included)");
    Ok(())
}
