//! `cairn rebuild`: sums up anew what is derived from events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_catalog::CATALOG_FILE;
use cairn_engine::rollup::RollingUp;

use crate::Failure;
use crate::config::Config;
use crate::wire::{self, Parts};

/// How long applying what waits in the log may take.
const TIME_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// Forgets all that is summed up, and sums it up again.
pub fn run(config: &Config) -> Result<(), Failure> {
    if !config.data.directory.join(CATALOG_FILE).is_file() {
        let directory = config.data.directory.display();
        return Err(format!("there is no catalog in {directory}").into());
    }
    let parts = wire::open(config)?;
    let rebuilt = rebuild(&parts, config.store.rollup_events_min);
    let closed = wire::close(parts);
    crate::print(rebuilt?.trim_end())?;
    closed
}

fn rebuild(parts: &Parts, events_min: u64) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let last = parts.log.durable_end().0.saturating_sub(1);
    if !runtime.block_on(parts.apply.wait_applied(last, TIME_MAX)) {
        return Err("the log could not be applied".into());
    }
    let started = Instant::now();
    let (store, catalog) = (Arc::clone(&parts.store), Arc::clone(&parts.catalog));
    let sites =
        RollingUp::new(store, catalog, events_min, Arc::default()).rebuild(wire::now_ms())?;
    let mut text = String::new();
    for (site_id, stretches) in sites {
        text.push_str(&match stretches {
            0 => format!("site {site_id}: fewer than {events_min} events, nothing to sum up\n"),
            some => format!("site {site_id}: {some} stretches summed up\n"),
        });
    }
    text.push_str(&format!("in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(text)
}
