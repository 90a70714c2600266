//! `cairn erase`: erases somebody from a data directory that no server holds, and says what was erased where.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cairn_catalog::{CATALOG_FILE, Catalog, Erasure, ErasureId, ErasureReason};
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_engine::rights::find::{Finder, Found, Identifier, Kept};
use cairn_model::{SiteId, VisitorId};

use crate::Failure;
use crate::cli::Erase;
use crate::config::Config;
use crate::wire::{self, Parts};

/// How long erasing may take: the store's file is written anew.
const TIME_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// Pause between two tries to erase in the backups, where one failed.
const BACKUPS_EVERY: Duration = Duration::from_secs(1);

/// Finds, shows, and erases unless only a preview is wanted.
pub fn run(config: &Config, asked: &Erase) -> Result<(), Failure> {
    let identifier = identifier(asked)?;
    if !config.data.directory.join(CATALOG_FILE).is_file() {
        let directory = config.data.directory.display();
        return Err(format!("there is no catalog in {directory}").into());
    }
    let parts = wire::open(config)?;
    let erased = erase(&parts, asked, &identifier);
    let closed = wire::close(parts);
    crate::print(erased?.trim_end())?;
    closed
}

fn erase(parts: &Parts, asked: &Erase, identifier: &Identifier) -> Result<String, Failure> {
    let site_id = site(&parts.catalog, &asked.site)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // What a crash left in the log belongs to it.
    let last = parts.log.durable_end().0.saturating_sub(1);
    if !runtime.block_on(parts.apply.wait_applied(last, TIME_MAX)) {
        return Err("the log could not be applied".into());
    }
    let finder = Finder {
        store: &*parts.store,
        catalog: &parts.catalog,
        keys: parts.ingest.keys(),
        site_id,
    };
    let found = finder.find(identifier)?;
    let mut text = found_text(&found, &finder.kept(&found)?);
    if asked.preview {
        return Ok(text);
    }
    let erasure = found.erasure(ErasureReason::Command, None);
    let id = parts.catalog.begin_erasure(&erasure, wire::now_ms())?;
    let deadline = Instant::now() + TIME_MAX;
    let mut obstacles = Obstacles::of(&parts.catalog, id)?;
    parts.backups.tend_at_once(wire::now_ms());
    while !runtime.block_on(parts.apply.wait_erased(id, BACKUPS_EVERY)) {
        if Instant::now() >= deadline || parts.apply.status().stopped {
            return Err("not everything is erased yet; the next start goes on with it".into());
        }
        parts.backups.tend_at_once(wire::now_ms());
        obstacles.tell(&parts.catalog, id)?;
    }
    if let Some(erasure) = parts.catalog.erasure(id)? {
        text.push_str(&erased_text(&erasure));
    }
    Ok(text)
}

/// What a record says of places that are not done.
struct Obstacles(Vec<(String, String)>);

impl Obstacles {
    /// What it says at first stays for good.
    fn of(catalog: &Catalog, id: ErasureId) -> Result<Self, Failure> {
        let places = catalog.erasure(id)?.map(|erasure| erasure.places).unwrap_or_default();
        let open = places.into_iter().filter(|place| place.done_at_ms.is_none());
        Ok(Obstacles(
            open.filter_map(|place| Some((place.name, place.remaining_reason?))).collect(),
        ))
    }

    /// Tells what came since: whoever waits may be able to mend it.
    fn tell(&mut self, catalog: &Catalog, id: ErasureId) -> Result<(), Failure> {
        let now = Obstacles::of(catalog, id)?;
        for (place, reason) in now.0.iter().filter(|one| !self.0.contains(one)) {
            crate::print(&format!("not yet: {place}: {reason}"))?;
        }
        *self = now;
        Ok(())
    }
}

fn identifier(asked: &Erase) -> Result<Identifier, Failure> {
    let Erase { user_id, email, cairn_id, visitor, anonymous_id, order_id, .. } = asked;
    let texts = [
        user_id.clone().map(Identifier::UserId),
        email.clone().map(Identifier::Email),
        anonymous_id.clone().map(Identifier::AnonymousId),
        order_id.clone().map(Identifier::OrderId),
    ];
    if let Some(found) = texts.into_iter().flatten().next() {
        return Ok(found);
    }
    if let Some(text) = cairn_id {
        let cookie = parse_cookie_id(text).ok_or("--cairn-id needs the 32 digits of the cookie")?;
        return Ok(Identifier::CairnId(cookie));
    }
    let visitor = visitor.as_deref().and_then(|text| u64::from_str_radix(text, 16).ok());
    let visitor = visitor.ok_or("--visitor needs the 16 digits that the API shows")?;
    Ok(Identifier::Visitor(VisitorId(visitor)))
}

/// By number or by domain.
pub fn site(catalog: &Catalog, text: &str) -> Result<SiteId, Failure> {
    let directory = catalog.directory().current();
    let by_number = text.parse().ok().and_then(|number| directory.by_id(SiteId(number)));
    let found = by_number.or_else(|| directory.by_domain(text));
    Ok(found.ok_or_else(|| format!("there is no site {text}"))?.site.id)
}

fn found_text(found: &Found, kept: &Kept) -> String {
    let Kept { summary, counts } = kept;
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (visitor, lead) in found.subject.visitors.iter().zip(&found.visitor_leads) {
        let _ = writeln!(text, "browser {:016x} ({})", visitor.0, lead.name());
    }
    for (user, lead) in found.subject.users.iter().zip(&found.user_leads) {
        let _ = writeln!(text, "person {user:016x} ({})", lead.name());
    }
    for user in &found.subject.entries {
        let _ =
            writeln!(text, "entry {user:016x}: no other browser named this person; not blocked");
    }
    for visitor in &found.shared {
        let _ = writeln!(text, "browser {:016x} is shared: only this person's events", visitor.0);
    }
    for user_id in &found.candidates {
        let _ = writeln!(
            text,
            "not meant: {user_id}, of whom only a browser says this address; ask by --user-id if it is true"
        );
    }
    if found.is_cut {
        text.push_str("there are more browsers than are shown: the erasure goes on until it has all of a person;\n");
        text.push_str(
            "of an order or an address with more people than are shown ask again afterwards\n",
        );
    }
    let _ = writeln!(text, "kept: {} events in {} visits", summary.events, summary.visits);
    for (name, count) in &summary.names {
        let _ = writeln!(text, "  {count} {name}");
    }
    let _ = writeln!(
        text,
        "kept: {} people, {} mail choices, {} remembered values, {} receipts with their names",
        counts.people, counts.mail_choices, counts.memory, counts.receipts
    );
    text
}

fn erased_text(erasure: &Erasure) -> String {
    let mut text = format!("erasure {}: {}\n", erasure.id.0, erasure.state.name());
    for place in &erasure.places {
        let state = match place.done_at_ms {
            Some(_) => "gone",
            None => "stays",
        };
        let _ = write!(text, "  {}: {} {} ({state})", place.name, place.count, place.what);
        if let Some(reason) = &place.remaining_reason {
            let _ = write!(text, "; {reason}");
        }
        text.push('\n');
    }
    text
}
