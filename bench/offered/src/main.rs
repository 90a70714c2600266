//! Offers hits at a fixed rate, whether or not the answers keep up, and prints what became of them as one line of JSON.
//!
//!   bench_offered ADDRESS KEY HOST RATE CONNECTIONS SECONDS SEED
//!
//! Guarantees: every hit has an instant at which it is due, and its latency counts from there, so that an answer which
//! makes later hits wait shows in all of them. Every hit has an id that no other run with another seed uses.
//! It is a tool of the bench and knows nothing of the product's code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A load lasts at most this long, so that a mistake ends by itself.
const SECONDS_MAX: u64 = 900;
const CONNECTIONS_MAX: u32 = 1024;
/// An answer that takes longer ends its connection.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Visitors that the hits come from.
const VISITORS: u64 = 20_000;
const PAGES: u64 = 500;
/// Microseconds of one step of the histogram, and its steps; the last one holds everything above.
const STEP_US: u64 = 100;
const STEPS: usize = 300_000;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
];

struct Load {
    address: String,
    key: String,
    host: String,
    rate: u64,
    connections: u32,
    seconds: u64,
    seed: u64,
}

/// What one connection saw.
struct Seen {
    sent: u64,
    accepted: u64,
    /// Answers that asked to come again: the log was full, or the server overloaded.
    unavailable: u64,
    other: u64,
    histogram: Vec<u32>,
}

impl Seen {
    fn new() -> Self {
        Seen { sent: 0, accepted: 0, unavailable: 0, other: 0, histogram: vec![0; STEPS] }
    }

    fn add(&mut self, other: &Seen) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.unavailable += other.unavailable;
        self.other += other.other;
        for (sum, count) in self.histogram.iter_mut().zip(&other.histogram) {
            *sum += count;
        }
    }

    /// Latency that this share of the answers did not exceed, in milliseconds.
    fn quantile_ms(&self, share: f64) -> f64 {
        let answers: u64 = self.histogram.iter().map(|count| u64::from(*count)).sum();
        let wanted = (answers as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (step, count) in self.histogram.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted && seen > 0 {
                return (step as u64 + 1) as f64 * STEP_US as f64 / 1000.0;
            }
        }
        0.0
    }
}

fn main() -> ExitCode {
    match parse().and_then(|load| run(&load)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench_offered: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Load, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, key, host, rate, connections, seconds, seed] = arguments.as_slice() else {
        return Err("wants ADDRESS KEY HOST RATE CONNECTIONS SECONDS SEED".into());
    };
    let load = Load {
        address: address.clone(),
        key: key.clone(),
        host: host.clone(),
        rate: rate.parse()?,
        connections: connections.parse()?,
        seconds: seconds.parse()?,
        seed: seed.parse()?,
    };
    let fits = load.rate > 0
        && (1..=CONNECTIONS_MAX).contains(&load.connections)
        && load.seconds <= SECONDS_MAX;
    if fits { Ok(load) } else { Err("the load has no rate, or is above its bounds".into()) }
}

fn run(load: &Load) -> Result<String, Failure> {
    let start = Instant::now() + Duration::from_millis(100);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..load.connections {
            let thread = std::thread::Builder::new().stack_size(128 * 1024);
            threads.push(thread.spawn_scoped(scope, move || one_connection(load, number, start))?);
        }
        let mut all = Seen::new();
        for thread in threads {
            let seen = thread.join().map_err(|_| "a connection panicked")??;
            all.add(&seen);
        }
        let took_s = start.elapsed().as_secs_f64();
        Ok(format!(
            "{{\"offered\":{},\"sent\":{},\"accepted\":{},\"unavailable\":{},\"other\":{},\
             \"seconds\":{took_s:.2},\"p50_ms\":{:.1},\"p99_ms\":{:.1},\"max_ms\":{:.1}}}",
            load.rate * load.seconds,
            all.sent,
            all.accepted,
            all.unavailable,
            all.other,
            all.quantile_ms(0.5),
            all.quantile_ms(0.99),
            all.quantile_ms(1.0),
        ))
    })
}

/// Sends every hit of the plan that falls to this connection, each when it is due or as soon as the one before is answered.
fn one_connection(load: &Load, number: u32, start: Instant) -> Result<Seen, Failure> {
    let mut stream = TcpStream::connect(&load.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    let mut answers = BufReader::with_capacity(8 * 1024, stream.try_clone()?);
    let mut random = Random(load.seed.wrapping_mul(4099) + u64::from(number) + 1);
    let mut seen = Seen::new();
    let mut line = String::new();
    let mut request = String::with_capacity(1024);
    let total = load.rate * load.seconds;
    let mut index = u64::from(number);
    while index < total {
        let due = start + Duration::from_nanos(index * 1_000_000_000 / load.rate);
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        write_hit(&mut request, load, &mut random, index);
        stream.write_all(request.as_bytes())?;
        seen.sent += 1;
        match read_answer(&mut answers, &mut line)? {
            Outcome::Accepted => seen.accepted += 1,
            Outcome::Unavailable => seen.unavailable += 1,
            Outcome::Other => seen.other += 1,
        }
        let step = due.elapsed().as_micros() as u64 / STEP_US;
        seen.histogram[(step as usize).min(STEPS - 1)] += 1;
        index += u64::from(load.connections);
    }
    Ok(seen)
}

fn write_hit(request: &mut String, load: &Load, random: &mut Random, index: u64) {
    use std::fmt::Write as _;
    let visitor = random.next() % VISITORS;
    let page = random.next() % PAGES;
    let agent = AGENTS[visitor as usize % AGENTS.len()];
    let (key, host) = (&load.key, &load.host);
    request.clear();
    // Writing to a string cannot fail.
    let _ = write!(
        request,
        "GET /p.gif?key={key}&url=https%3A%2F%2F{host}%2Fcatalogue%2Fcategory-{:02}%2F\
         article-number-{page:05}-in-the-list&title=Article%20{page}&screen=1440x900&language=de-DE\
         &event_id={:08x}-{:04x}-4{:03x}-8{:03x}-{:012x} HTTP/1.1\r\nHost: {host}\r\n\
         User-Agent: {agent}\r\nAccept-Language: de-DE,de;q=0.9\r\nReferer: https://{host}/\r\n\
         Sec-Fetch-Dest: image\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-site\r\n\
         Cookie: cairn_id={:016x}{:016x}\r\n\r\n",
        page % 20,
        load.seed & 0xffff_ffff,
        random.next() & 0xffff,
        random.next() & 0xfff,
        random.next() & 0xfff,
        index & 0xffff_ffff_ffff,
        visitor.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        visitor * 40_503 + 7,
    );
}

enum Outcome {
    Accepted,
    Unavailable,
    Other,
}

fn read_answer(answers: &mut BufReader<TcpStream>, line: &mut String) -> Result<Outcome, Failure> {
    let mut size_bytes = 0usize;
    let mut outcome = Outcome::Other;
    loop {
        line.clear();
        if answers.read_line(line)? == 0 {
            return Err("the server closed a connection".into());
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        let Some((name, value)) = text.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            size_bytes = value.parse()?;
        } else if name.eq_ignore_ascii_case("cairn-outcome") {
            outcome = match value {
                "accepted" => Outcome::Accepted,
                _ if value.starts_with("unavailable") => Outcome::Unavailable,
                _ => Outcome::Other,
            };
        }
    }
    let body = answers.by_ref().take(size_bytes as u64);
    std::io::copy(&mut { body }, &mut std::io::sink())?;
    Ok(outcome)
}

/// xorshift64*: even enough for a load.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
