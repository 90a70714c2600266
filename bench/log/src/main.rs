//! Measures candidates for the durable log under the same load.
//!
//! `cargo run --release -- [--seconds N] [--candidate NAME] [--appenders N] [--rate N] [--delay-us N]
//! [--work-us N]`
//!
//! Two current-thread runtimes, as in the product. Closed loop by default: every appender sends its
//! next record (300 bytes) when the one before is acknowledged. With `--rate`, that many appends a
//! second arrive whatever the log does. With `--work-us`, every append of the closed loop is preceded by
//! so much computing, as a request's decoding would; it is subtracted again. CPU is that of the whole
//! process, the load's own included.

mod candidates;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_log::{Appender, Disk, Log, LogOptions, Offset, RealDisk};
use candidates::{Fjall, Growing, SEGMENT_SIZE_BYTES, SinkDisk, Sqlite};

const RUNTIMES: usize = 2;
const RECORD_BYTES: usize = 300;
const CANDIDATES: [&str; 4] = ["segments", "growing", "sqlite", "fjall"];

#[derive(Clone)]
struct Plan {
    seconds: u64,
    candidates: Vec<String>,
    appenders: Vec<usize>,
    rate: Option<u64>,
    delay_us: Option<u64>,
    work: Duration,
}

fn plan() -> Result<Plan, String> {
    let mut plan = Plan {
        seconds: 5,
        candidates: CANDIDATES.map(str::to_owned).to_vec(),
        appenders: vec![1, 64, 512],
        rate: None,
        delay_us: None,
        work: Duration::ZERO,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{word} {value}: {error}"));
        match word.as_str() {
            "--seconds" => plan.seconds = number()?,
            "--candidate" => plan.candidates = vec![value.clone()],
            "--appenders" => plan.appenders = vec![number()? as usize],
            "--rate" => plan.rate = Some(number()?),
            "--work-us" => plan.work = Duration::from_micros(number()?),
            "--delay-us" => plan.delay_us = Some(number()?),
            _ => return Err(format!("{word} is unknown")),
        }
    }
    Ok(plan)
}

fn disk(candidate: &str, directory: &Path) -> Result<Arc<dyn Disk>, String> {
    let failed = |error: std::io::Error| format!("{candidate}: {error}");
    Ok(match candidate {
        "segments" => Arc::new(RealDisk),
        "growing" => Arc::new(SinkDisk(Arc::new(
            Growing::open(&directory.join("growing.log")).map_err(failed)?,
        ))),
        "sqlite" => Arc::new(SinkDisk(Arc::new(
            Sqlite::open(&directory.join("log.sqlite")).map_err(failed)?,
        ))),
        "fjall" => {
            Arc::new(SinkDisk(Arc::new(Fjall::open(&directory.join("fjall")).map_err(failed)?)))
        }
        _ => return Err(format!("{candidate} is none of {CANDIDATES:?}")),
    })
}

/// CPU time of this process in clock ticks (1/100 s), and bytes that the directory's device has
/// written for anybody. (What the kernel counts for the process is whole folios, not blocks.)
fn used(directory: &Path) -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let cpu = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let device = std::fs::metadata(directory).ok()?.dev();
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    let disks = std::fs::read_to_string("/proc/diskstats").ok()?;
    let sectors = disks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let same = fields.first()?.parse() == Ok(major) && fields.get(1)?.parse() == Ok(minor);
        same.then(|| fields.get(9)?.parse::<u64>().ok()).flatten()
    });
    Some((cpu, sectors.unwrap_or(0) * 512))
}

async fn closed_loop(
    appender: Appender,
    record: Vec<u8>,
    end: Instant,
    work: Duration,
) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        while began.elapsed() < work {
            std::hint::spin_loop();
        }
        let began = Instant::now();
        if let Err(error) = appender.append([record.as_slice()]).await {
            eprintln!("append: {error}");
            break;
        }
        acknowledged.push(began.elapsed().as_micros() as u32);
    }
    acknowledged
}

/// Every millisecond as many appends as the rate asks for, each in its own task.
async fn open_loop(appender: Appender, record: Vec<u8>, end: Instant, rate: u64) -> Vec<u32> {
    let began = Instant::now();
    let mut sent = 0;
    let mut tasks = Vec::new();
    while Instant::now() < end {
        let due = (began.elapsed().as_micros() as u64) * rate / 1_000_000;
        while sent < due {
            sent += 1;
            let appender = appender.clone();
            let record = record.clone();
            tasks.push(tokio::spawn(async move {
                let began = Instant::now();
                let stored = appender.append([record.as_slice()]).await;
                stored.is_ok().then_some(began.elapsed().as_micros() as u32)
            }));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.ok().flatten());
    }
    acknowledged
}

fn load(log: &Log, plan: &Plan, appenders: usize, end: Instant) -> Vec<u32> {
    let threads: Vec<_> = (0..RUNTIMES)
        .map(|index| {
            let log = log.clone();
            let work = plan.work;
            let rate = plan.rate.map(|rate| rate / RUNTIMES as u64);
            let share = (appenders + RUNTIMES - 1 - index) / RUNTIMES;
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let appender = log.appender();
                    let record = vec![b'r'; RECORD_BYTES];
                    if let Some(rate) = rate {
                        return open_loop(appender, record, end, rate).await;
                    }
                    let tasks: Vec<_> = (0..share)
                        .map(|_| {
                            tokio::spawn(closed_loop(appender.clone(), record.clone(), end, work))
                        })
                        .collect();
                    let mut acknowledged = Vec::new();
                    for task in tasks {
                        acknowledged.extend(task.await.unwrap_or_default());
                    }
                    acknowledged
                })
            })
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
}

fn measure(plan: &Plan, candidate: &str, appenders: usize, directory: &Path) -> Result<(), String> {
    let mut options = LogOptions::new(directory.join("log"));
    options.segment_size_bytes = SEGMENT_SIZE_BYTES;
    options.size_bytes_max = 64 << 30;
    if let Some(delay_us) = plan.delay_us {
        options.group_delay_max = Duration::from_micros(delay_us);
    }
    let (log, _) =
        Log::open(options, disk(candidate, directory)?).map_err(|error| error.to_string())?;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let trimmer = {
        let (log, stop) = (log.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                log.trim(Offset(log.durable_end().0));
            }
        })
    };
    let before = used(directory).ok_or("no /proc")?;
    let began = Instant::now();
    let mut acknowledged = load(&log, plan, appenders, began + Duration::from_secs(plan.seconds));
    let elapsed = began.elapsed().as_secs_f64();
    let after = used(directory).ok_or("no /proc")?;
    let status = log.status();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    trimmer.join().map_err(|_| "the trimmer ended unexpectedly")?;
    log.close();
    acknowledged.sort_unstable();
    let count = acknowledged.len().max(1);
    let at = |share: f64| acknowledged.get((count as f64 * share) as usize).copied().unwrap_or(0);
    println!(
        "{candidate:<9} {appenders:>5} {:>9.0} {:>8.2} {:>7} {:>7} {:>8.0} {:>9.1} {:>8} {:>8}",
        count as f64 / elapsed,
        (after.0 - before.0) as f64 * 10_000.0 / count as f64
            - plan.work.as_nanos() as f64 / 1000.0,
        at(0.5),
        at(0.99),
        (after.1 - before.1) as f64 / count as f64,
        status.records as f64 / status.groups.max(1) as f64,
        status.sync_p50_us,
        status.sync_p99_us,
    );
    Ok(())
}

fn main() -> Result<(), String> {
    let plan = plan()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/log");
    println!(
        "candidate  load  append/s   cpu us  p50 us  p99 us  written  per group  sync p50  sync p99"
    );
    for appenders in &plan.appenders {
        for candidate in &plan.candidates {
            let directory = root.join(format!("{candidate}-{appenders}"));
            let _ = std::fs::remove_dir_all(&directory);
            std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
            measure(&plan, candidate, *appenders, &directory)?;
            std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
