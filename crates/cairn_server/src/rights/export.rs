//! What somebody takes along: everything that is held of him, as JSON for programs or as one page to read.
//!
//! Guarantees: complete, however much it is, but for what it says itself: how many visits beyond [`VISITS_MAX`] are not told
//! apart from their events, and whether there are more browsers than were looked for; read and sent a piece at a time, a few exports at once, so that one needs
//! little memory. Visitors cannot take the owners' places, nor one of them those of others. A page asks nobody for anything and holds no script. What fails half-way ends the answer early: a file
//! without its end is told by its missing end.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cairn_catalog::Receipt;
use cairn_model::notice::Language;
use cairn_model::session::Attributes;
use cairn_model::{Notice, Purpose};
use cairn_store::StoredEvent;
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::html::{day, escaped, terms, time};
use super::{Held, RECEIPTS_MAX};
use crate::App;
use crate::api::events::EventBody;
use crate::api::live::Messages;
use crate::api::receipts::{ReceiptBody, choices};
use crate::api::{show, store};
use crate::auth::blocking;
use crate::collect::network;
use crate::error::{ApiError, Code};

const STYLE: &str = include_str!("export.css");
/// Exports that owners are being sent at once.
const OWNERS_EXPORTS_MAX: usize = 8;
/// Exports that visitors are being sent at once.
const VISITORS_EXPORTS_MAX: usize = 8;
/// After which time an export may be tried again.
const RETRY_AFTER_S: u64 = 5;
/// Events that the store is asked for at once.
const EVENTS_PER_LOOK: usize = 50;
/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 2;
/// Visits that are told of one subject; the events of all are, with their visits' numbers.
const VISITS_MAX: usize = 100_000;

static OWNERS_EXPORTS: Semaphore = Semaphore::const_new(OWNERS_EXPORTS_MAX);

/// A place for an owner's export, which visitors cannot take.
pub fn owners_place() -> Result<SemaphorePermit<'static>, ApiError> {
    OWNERS_EXPORTS.try_acquire().map_err(|_| too_many(Code::Overloaded))
}

fn too_many(code: Code) -> ApiError {
    ApiError::new(code, "Too many exports are being made; try again.").retry_after(RETRY_AFTER_S)
}

/// The networks to which visitors' exports are being sent: a few, and one to each.
#[derive(Default)]
pub struct VisitorsExports(Arc<Mutex<HashSet<u128>>>);

/// A place for a visitor's export; free again when it is dropped.
pub struct VisitorsPlace {
    taken: Arc<Mutex<HashSet<u128>>>,
    network: Option<u128>,
}

impl VisitorsExports {
    /// A place for an export to this address. As with limits of calls, the machine itself is many visitors behind a proxy.
    pub fn place(&self, address: IpAddr) -> Result<VisitorsPlace, ApiError> {
        let taken = Arc::clone(&self.0);
        let mut networks = locked(&taken);
        if networks.len() >= VISITORS_EXPORTS_MAX {
            return Err(too_many(Code::Overloaded));
        }
        // Numbers of no network tell those apart that come from the machine itself.
        let own = || (1..=VISITORS_EXPORTS_MAX as u128).find(|number| !networks.contains(number));
        let network = if address.is_loopback() { own() } else { Some(network(address)) };
        if let Some(network) = network
            && !networks.insert(network)
        {
            return Err(too_many(Code::RateLimited));
        }
        drop(networks);
        Ok(VisitorsPlace { taken, network })
    }
}

impl Drop for VisitorsPlace {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            locked(&self.taken).remove(&network);
        }
    }
}

fn locked(networks: &Mutex<HashSet<u128>>) -> MutexGuard<'_, HashSet<u128>> {
    networks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For programs.
    Json,
    /// For people.
    Html,
}

impl Format {
    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Format::Json),
            "html" => Some(Format::Html),
            _ => None,
        }
    }
}

/// Everything that is held of somebody, on its way to him.
pub struct Export {
    /// What is held.
    pub held: Held,
    /// The choice on record in his browser, by purpose, where it is a browser that asks.
    pub choice: Option<BTreeMap<&'static str, &'static str>>,
    /// In which form.
    pub format: Format,
    /// In which language.
    pub language: &'static Language,
    /// When, Unix milliseconds.
    pub now_ms: i64,
}

/// What a visit came to, as its events tell.
#[derive(Clone, Serialize)]
struct Visit {
    session_id: String,
    started_at: String,
    ended_at: String,
    events: u64,
    page_views: u64,
}

#[derive(Default)]
struct Visits(BTreeMap<u64, (i64, i64, u64, u64)>);

impl Visits {
    fn add(&mut self, session_id: u64, at_ms: i64, is_page_view: bool) {
        let is_known = self.0.contains_key(&session_id);
        if session_id == 0 || (!is_known && self.0.len() == VISITS_MAX) {
            return;
        }
        let visit = self.0.entry(session_id).or_insert((at_ms, at_ms, 0, 0));
        *visit = (visit.0.min(at_ms), visit.1.max(at_ms), visit.2 + 1, visit.3);
        visit.3 += u64::from(is_page_view);
    }

    fn list(&self) -> Vec<Visit> {
        let mut visits: Vec<_> = self.0.iter().collect();
        visits.sort_by_key(|(_, (started_ms, ..))| std::cmp::Reverse(*started_ms));
        let shown =
            visits.into_iter().map(|(id, (started_ms, ended_ms, events, page_views))| Visit {
                session_id: id.to_string(),
                started_at: show::instant(*started_ms),
                ended_at: show::instant(*ended_ms),
                events: *events,
                page_views: *page_views,
            });
        shown.collect()
    }

    /// The end of a JSON file, with how many of those that were counted at its beginning are not listed.
    fn json_tail(&self, counted: u64) -> String {
        // Of those that came meanwhile nobody knows.
        let left_out = match self.0.len() == VISITS_MAX {
            true => counted.saturating_sub(VISITS_MAX as u64),
            false => 0,
        };
        let listed = serde_json::to_string(&self.list()).unwrap_or_default();
        format!("],\n\"visits\":{listed},\n\"visits_not_listed\":{left_out}}}\n")
    }
}

impl Export {
    /// The answer, which is sent as it is made; it keeps its place until then.
    pub fn answer(self, app: &Arc<App>, place: impl Send + 'static) -> Response {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let (content_type, name) = match self.format {
            Format::Json => ("application/json", "data.json"),
            Format::Html => ("text/html; charset=utf-8", "data.html"),
        };
        let app = Arc::clone(app);
        tokio::spawn(async move {
            self.feed(&app, &sender).await;
            // Whoever has read the end may ask again.
            drop(place);
            drop(sender);
        });
        let mut response = Response::new(Body::new(Messages(pieces)));
        let disposition = format!("attachment; filename=\"{name}\"");
        for (name, value) in [
            (header::CONTENT_TYPE, content_type),
            (header::CONTENT_DISPOSITION, &disposition),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    async fn feed(&self, app: &Arc<App>, sender: &mpsc::Sender<Bytes>) {
        let mut visits = Visits::default();
        let (mut before, mut is_first) = (None, true);
        if sender.send(self.head().into()).await.is_err()
            || self.feed_receipts(app, sender).await.is_none()
            || sender.send(self.head_of_events().into()).await.is_err()
        {
            return;
        }
        loop {
            let subject = self.held.subject.clone();
            let found =
                store(app, move |store| store.subject_events(&subject, before, EVENTS_PER_LOOK));
            let Ok(found) = found.await else { return };
            let mut piece = String::new();
            for stored in &found {
                let is_page_view = stored.event.name == cairn_model::event::PAGE_VIEW;
                visits.add(stored.session_id, stored.event.timestamp_ms, is_page_view);
                self.add_event(&mut piece, stored, is_first);
                is_first = false;
                before = Some(stored.offset);
            }
            let is_end = found.len() < EVENTS_PER_LOOK;
            if is_end {
                piece.push_str(&self.tail(&visits));
            }
            if sender.send(piece.into()).await.is_err() || is_end {
                return;
            }
        }
    }

    /// `None`: it cannot go on.
    async fn feed_receipts(&self, app: &Arc<App>, sender: &mpsc::Sender<Bytes>) -> Option<()> {
        let mut receipts = self.held.receipts.clone();
        let mut is_first = true;
        loop {
            let mut piece = String::new();
            for receipt in &receipts {
                match self.format {
                    Format::Json => {
                        let body = ReceiptBody::new(receipt.clone());
                        piece.push_str(if is_first { "\n" } else { ",\n" });
                        piece.push_str(&serde_json::to_string(&body).unwrap_or_default());
                    }
                    Format::Html => {
                        piece.push_str(&row_of(receipt, self.language, &self.held.site.zone));
                    }
                }
                is_first = false;
            }
            sender.send(piece.into()).await.ok()?;
            if receipts.len() < RECEIPTS_MAX {
                return Some(());
            }
            let before = receipts.last().map(|receipt| receipt.sequence);
            let subject = self.held.subject.clone();
            let more = blocking(app, move |catalog| {
                catalog.receipts_of(subject.site_id, &subject.visitors, before, RECEIPTS_MAX)
            });
            receipts = more.await.ok()?;
        }
    }

    fn head(&self) -> String {
        match self.format {
            Format::Json => self.json_head(),
            Format::Html => self.html_head(),
        }
    }

    fn add_event(&self, piece: &mut String, stored: &StoredEvent, is_first: bool) {
        let attributes = Attributes::of(&stored.event);
        let body = EventBody::new(&self.held.site, stored.session_id, &stored.event, &attributes);
        match self.format {
            Format::Json => {
                piece.push_str(if is_first { "\n" } else { ",\n" });
                piece.push_str(&serde_json::to_string(&body).unwrap_or_default());
            }
            Format::Html => {
                let details = serde_json::to_value(&body).unwrap_or_default();
                let mut rows = Vec::new();
                flatten("", &details, &mut rows);
                let rows: Vec<_> =
                    rows.iter().map(|(name, value)| (name.as_str(), escaped(value))).collect();
                // Writing to a String cannot fail.
                let _ = write!(
                    piece,
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td><details><summary>{}</summary>{}\
                     </details></td></tr>",
                    time(stored.event.timestamp_ms, &self.held.site.zone),
                    escaped(&body.event),
                    escaped(&body.url),
                    self.language.page_text("details"),
                    terms(&rows),
                );
            }
        }
    }

    fn tail(&self, visits: &Visits) -> String {
        match self.format {
            Format::Json => visits.json_tail(self.held.summary.visits),
            Format::Html => String::from("</tbody></table></main></body></html>\n"),
        }
    }

    fn json_head(&self) -> String {
        let held = &self.held;
        let memory: Vec<_> = held
            .memory
            .iter()
            .map(|row| {
                let value: Value = serde_json::from_str(&row.value).unwrap_or_default();
                let (changed, expires) = (row.changed_at_ms, row.expires_at_ms);
                json!({"name": row.name, "value": value, "changed_at": show::instant(changed),
                       "expires_at": show::instant(expires)})
            })
            .collect();
        let people: Vec<_> = held
            .people
            .iter()
            .map(|person| json!({"user_id": person.user_id, "claimed_traits": person.traits}))
            .collect();
        let mails: Vec<_> = held
            .mail_choices
            .iter()
            .map(|said| json!({"opens": said.opens, "clicks": said.clicks}))
            .collect();
        let names: Map<String, Value> = held
            .summary
            .names
            .iter()
            .map(|(name, count)| (name.clone(), (*count).into()))
            .collect();
        let visitors: Vec<_> =
            held.subject.visitors.iter().map(|visitor| format!("{:016x}", visitor.0)).collect();
        let head = json!({
            "format": "cairn-export-1",
            "made_at": show::instant(self.now_ms),
            "site": {"name": held.site.site.name, "domain": held.site.site.domain},
            "visitors": visitors,
            "summary": {
                "events": held.summary.events,
                "visits": held.summary.visits,
                "first": held.summary.first_ms.map(show::instant),
                "last": held.summary.last_ms.map(show::instant),
                "names": names,
            },
            "choice": self.choice,
            "people": people,
            "account_not_shown": held.hides_person,
            "memory": memory,
            "mail_choices": mails,
            "more_browsers_or_users": held.is_cut,
        });
        let mut text = serde_json::to_string_pretty(&head).unwrap_or_default();
        // Receipts and events follow inside the same object.
        text.truncate(text.rfind('}').unwrap_or(text.len()));
        text.truncate(text.trim_end().len());
        text.push_str(",\n\"receipts\":[");
        text
    }

    fn html_head(&self) -> String {
        let (held, zone) = (&self.held, &self.held.site.zone);
        let text = |name: &str| self.language.page_text(name);
        let title = format!("{}: {}", text("export"), escaped(&held.site.site.name));
        let summary = &held.summary;
        let at = |ms: Option<i64>| ms.map_or_else(String::new, |ms| time(ms, zone));
        let mut html = format!(
            "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main><h1>{title}</h1><p>{}</p>{}",
            self.language.tag,
            text("made_at").replace("{day}", &day(self.now_ms, zone)),
            terms(&[
                (text("since"), at(summary.first_ms)),
                (text("latest"), at(summary.last_ms)),
                (text("visits"), summary.visits.to_string()),
                (text("events"), summary.events.to_string()),
            ]),
        );
        if held.is_cut {
            let _ = write!(html, "<p><strong>{}</strong></p>", text("cut"));
        }
        self.add_people(&mut html);
        html.push_str(&section(text("remembered"), text("none"), memory(held)));
        if let Some(choice) = &self.choice {
            let rows: Vec<_> =
                choice.iter().map(|(name, said)| (*name, text(said).into())).collect();
            html.push_str(&section(text("choice"), text("silent"), terms_or_none(&rows)));
        }
        match held.receipts.is_empty() {
            true => html.push_str(&section(text("receipts"), text("no_receipts"), String::new())),
            false => {
                let _ = write!(html, "<h2>{}</h2>{}", text("receipts"), table_head(self.language));
            }
        }
        html
    }

    /// What stands between the receipts and the events.
    fn head_of_events(&self) -> String {
        if self.format == Format::Json {
            return String::from("],\n\"events\":[");
        }
        let text = |name: &str| self.language.page_text(name);
        let end = if self.held.receipts.is_empty() { "" } else { TABLE_END };
        format!(
            "{end}<h2>{}</h2><table><thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th>\
             <th scope=\"col\">{}</th><th scope=\"col\">{}</th></tr></thead><tbody>",
            text("events"),
            text("time"),
            text("what"),
            text("page"),
            text("details"),
        )
    }

    fn add_people(&self, html: &mut String) {
        let text = |name: &str| self.language.page_text(name);
        let mut people = String::new();
        for person in &self.held.people {
            let mut rows = Vec::new();
            flatten("", &Value::Object(person.traits.clone()), &mut rows);
            let mut shown = vec![("user_id", escaped(&person.user_id))];
            shown.extend(rows.iter().map(|(name, value)| (name.as_str(), escaped(value))));
            people.push_str(&terms(&shown));
        }
        if self.held.hides_person {
            let _ = write!(people, "<p>{}</p>", text("unsigned"));
        }
        html.push_str(&section(text("people"), text("none"), people));
        let said = |yes: Option<bool>| match yes {
            Some(true) => text("granted").to_owned(),
            Some(false) => text("denied").to_owned(),
            None => String::new(),
        };
        let mut mails = String::new();
        for choices in &self.held.mail_choices {
            let rows =
                [(text("opens"), said(choices.opens)), (text("clicks"), said(choices.clicks))];
            mails.push_str(&terms(&rows));
        }
        if !mails.is_empty() {
            html.push_str(&section(text("mail_choices"), "", mails));
        }
    }
}

/// Receipts as a table; `None`: there is none.
pub fn receipts_table(
    receipts: &[Receipt],
    language: &'static Language,
    zone: &jiff::tz::TimeZone,
) -> Option<String> {
    let mut html = table_head(language);
    receipts.iter().for_each(|receipt| html.push_str(&row_of(receipt, language, zone)));
    html.push_str(TABLE_END);
    (!receipts.is_empty()).then_some(html)
}

const TABLE_END: &str = "</tbody></table>";

fn table_head(language: &'static Language) -> String {
    let text = |name: &str| language.page_text(name);
    format!(
        "<table><thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th><th scope=\"col\">{}</th>\
         </tr></thead><tbody>",
        text("receipt"),
        text("time"),
        text("choice"),
    )
}

fn row_of(receipt: &Receipt, language: &'static Language, zone: &jiff::tz::TimeZone) -> String {
    let (notice, said) = (Notice::default(), choices(receipt));
    let said = Purpose::ALL.iter().filter_map(|purpose| {
        let (name, word) = (purpose.name(), said.get(purpose.name())?);
        Some(format!("{}: {}", language.text(&notice, name), language.page_text(word)))
    });
    format!(
        "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
        receipt.sequence,
        time(receipt.at_ms, zone),
        said.collect::<Vec<_>>().join(", "),
    )
}

fn memory(held: &Held) -> String {
    let rows: Vec<_> = held
        .memory
        .iter()
        .map(|row| (escaped(&row.name), format!("<code>{}</code>", escaped(&row.value))))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    terms_or_none(&rows)
}

fn terms_or_none(rows: &[(&str, String)]) -> String {
    if rows.is_empty() { String::new() } else { terms(rows) }
}

fn section(title: &str, none: &str, content: String) -> String {
    let content = if content.is_empty() { format!("<p>{none}</p>") } else { content };
    format!("<h2>{title}</h2>{content}")
}

/// What is there of a value, each with its path; nothing of what is empty.
fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, rows);
            }
        }
        Value::Null | Value::Bool(false) => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => rows.push((path.to_owned(), text.clone())),
        Value::Array(items) if items.is_empty() => {}
        value => rows.push((path.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_visitor_takes_the_places_of_others() {
        let exports = VisitorsExports::default();
        let refused = |text: &str| exports.place(text.parse().unwrap()).err().map(|it| it.code);
        let first = exports.place("203.0.113.9".parse().unwrap()).unwrap();
        assert_eq!(refused("203.0.113.9"), Some(Code::RateLimited));
        assert_eq!(refused("203.0.113.10"), None, "free again at once");
        drop(first);
        assert_eq!(refused("203.0.113.9"), None);
        let all: Vec<_> = (0..VISITORS_EXPORTS_MAX)
            .map(|number| match number % 2 {
                0 => exports.place("127.0.0.1".parse().unwrap()).unwrap(),
                _ => exports.place(IpAddr::from([203, 0, 113, number as u8])).unwrap(),
            })
            .collect();
        assert_eq!(refused("127.0.0.1"), Some(Code::Overloaded));
        assert_eq!(refused("203.0.113.200"), Some(Code::Overloaded));
        assert!(owners_place().is_ok(), "the owner's are his");
        drop(all);
        assert_eq!(refused("127.0.0.1"), None);
        assert!(locked(&exports.0).is_empty());
    }

    #[test]
    fn a_file_says_how_many_visits_it_does_not_list() {
        let end_of = |visits: u64| -> Value {
            let mut listed = Visits::default();
            for session_id in 0..=visits {
                listed.add(session_id, 1_000, true);
                listed.add(session_id, 2_000, false);
            }
            serde_json::from_str(&format!("{{\"events\":[{}", listed.json_tail(visits))).unwrap()
        };
        let max = VISITS_MAX as u64;
        for (visits, listed, left_out) in [(2, 2, 0), (max, max, 0), (max + 3, max, 3)] {
            let end = end_of(visits);
            assert_eq!(end["visits"].as_array().unwrap().len() as u64, listed, "{visits}");
            assert_eq!(end["visits_not_listed"], left_out, "{visits}");
            let one = &end["visits"][0];
            assert_eq!((&one["events"], &one["page_views"]), (&json!(2), &json!(1)), "{visits}");
        }
    }

    #[test]
    fn only_what_is_there_is_shown() {
        let value = json!({"a": "", "b": {"c": 1, "d": null}, "e": [], "f": [1], "g": false});
        let mut rows = Vec::new();
        flatten("", &value, &mut rows);
        let wanted = [("b.c", "1"), ("f", "[1]")];
        assert_eq!(rows, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
