//! What is held of somebody: shown to himself on his page, and to the owner who answers him.
//!
//! Guarantees: who a browser's person is, is told to the browser only where the site's server signed for him and as long
//! as that holds; whoever merely said a user id learns nothing of it. It decides nothing about what is erased.

mod export;
pub mod html;

use std::sync::Arc;

use cairn_catalog::{
    Erasure, ErasureId, MailChoices, MemoryHolder, Receipt, Remembered, RightsRequest, SiteEntry,
};
use cairn_engine::ingest::visitor::CookieId;
use cairn_engine::rights::find::Found;
use cairn_model::Subject;
use cairn_model::subject::SUBJECT_USERS_MAX;
use cairn_store::{EventStore, StoreError, StoredEvent, SubjectSummary};
use serde_json::{Map, Value};

use crate::App;
use crate::api::store;
use crate::auth::blocking;
use crate::error::ApiError;

pub use export::{Export, Format, VisitorsExports, owners_place, receipts_table};

/// Receipts that are shown, the newest first; whoever takes them along is sent the others as well.
pub const RECEIPTS_MAX: usize = 1_000;

/// Who looks.
#[derive(Clone, Copy)]
pub enum Viewer {
    /// The owner, who answers for whom he tells.
    Owner,
    /// A browser, with its cookie of memory.
    Browser(Option<CookieId>),
}

/// Somebody with an account on the site.
pub struct Person {
    /// The user id.
    pub user_id: String,
    /// What the site said about him; claimed, not proven.
    pub traits: Map<String, Value>,
}

/// What is held of a subject, but for its events.
pub struct Held {
    /// The site.
    pub site: Arc<SiteEntry>,
    /// Whose.
    pub subject: Subject,
    /// Events and visits, counted.
    pub summary: SubjectSummary,
    /// The persons, as far as the viewer may know them.
    pub people: Vec<Person>,
    /// There is a person whom the viewer may not know.
    pub hides_person: bool,
    /// What is remembered.
    pub memory: Vec<Remembered>,
    /// What the persons said about mails.
    pub mail_choices: Vec<MailChoices>,
    /// The newest receipts that name the visitors, up to [`RECEIPTS_MAX`].
    pub receipts: Vec<Receipt>,
    /// More browsers or users belong to the subject than are in it.
    pub is_cut: bool,
}

impl Held {
    /// Gathers it. The owner is told the memory of whom he found; a browser, that of its cookie.
    pub async fn gather(
        app: &Arc<App>,
        site: Arc<SiteEntry>,
        found: Found,
        viewer: Viewer,
        now_ms: i64,
    ) -> Result<Held, ApiError> {
        let Found { subject, holders, is_cut, .. } = found;
        let asked = subject.clone();
        let (summary, users) = store(app, move |store| {
            let summary = store.subject_summary(&asked)?;
            let users = users_of(store, &asked, viewer)?;
            Ok::<_, StoreError>((summary, users))
        })
        .await?;
        let site_id = site.site.id;
        let keys = Arc::clone(&app.ingest);
        let named = subject.clone();
        let held = blocking(app, move |catalog| {
            let browser = match viewer {
                Viewer::Browser(cookie) => cookie.map(|id| keys.keys().of_memory(site_id, &id)),
                Viewer::Owner => None,
            };
            let signed = match browser {
                Some(browser) => catalog.memory_person(site_id, browser, now_ms)?,
                None => None,
            };
            let mut held = Held {
                site,
                subject: named,
                summary,
                people: Vec::new(),
                hides_person: false,
                memory: Vec::new(),
                mail_choices: Vec::new(),
                receipts: Vec::new(),
                is_cut,
            };
            let is_owner = matches!(viewer, Viewer::Owner);
            let holders = match is_owner {
                true => holders,
                false => browser.map(MemoryHolder::Browser).into_iter().collect(),
            };
            for holder in holders {
                held.memory.extend(catalog.recall(site_id, holder, now_ms)?);
            }
            if is_owner {
                let visitors = &held.subject.visitors;
                held.memory.extend(catalog.memory_of_visitors(site_id, visitors, now_ms)?);
            }
            for user in users {
                let choices = catalog.mail_recipient(site_id, user)?.choices;
                let choices = (choices != MailChoices::default()).then_some(choices);
                let person = catalog.person(site_id, user)?;
                let is_his = |(user_id, _): &(String, String)| {
                    is_owner || signed == Some(keys.keys().of_remembered(site_id, user_id))
                };
                if !person.as_ref().map_or(is_owner, is_his) {
                    held.hides_person |= person.is_some();
                    continue;
                }
                // Somebody may have a choice on record, or memory, and no entry.
                held.mail_choices.extend(choices);
                let Some((user_id, traits)) = person else { continue };
                let traits = serde_json::from_str(&traits).unwrap_or_default();
                held.people.push(Person { user_id, traits });
            }
            let visitors = &held.subject.visitors;
            held.receipts = catalog.receipts_of(site_id, visitors, None, RECEIPTS_MAX)?;
            Ok(held)
        })
        .await?;
        Ok(held)
    }

    /// Nothing at all is held.
    pub fn is_empty(&self) -> bool {
        self.summary.events == 0
            && self.people.is_empty()
            && !self.hides_person
            && self.memory.is_empty()
            && self.mail_choices.is_empty()
            && self.receipts.is_empty()
    }
}

/// The users whom a subject means, and those whom its browsers named as far as that matters to the viewer.
fn users_of(
    store: &dyn EventStore,
    subject: &Subject,
    viewer: Viewer,
) -> Result<Vec<u64>, StoreError> {
    let mut users = [&subject.users[..], &subject.entries].concat();
    if matches!(viewer, Viewer::Browser(_)) {
        for visitor in &subject.visitors {
            users.extend(store.users_of_visitor(subject.site_id, *visitor, SUBJECT_USERS_MAX)?);
        }
    }
    users.sort_unstable();
    users.dedup();
    users.truncate(2 * SUBJECT_USERS_MAX);
    Ok(users)
}

/// The latest events of a subject, the newest first.
pub async fn latest(
    app: &Arc<App>,
    subject: &Subject,
    limit: usize,
) -> Result<Vec<StoredEvent>, ApiError> {
    let subject = subject.clone();
    store(app, move |store| store.subject_events(&subject, None, limit)).await
}

/// A request as it is now, with its erasure.
pub async fn with_erasure(
    app: &Arc<App>,
    request: RightsRequest,
) -> Result<(RightsRequest, Option<Erasure>), ApiError> {
    let Some(number) = request.erasure_id else { return Ok((request, None)) };
    blocking(app, move |catalog| {
        let erasure = catalog.erasure(ErasureId(number))?;
        // It may have been done since the request was read, and closed it.
        let request = match request.closed_at_ms {
            Some(_) => request,
            None => catalog.request(request.site_id, request.id)?.unwrap_or(request),
        };
        Ok((request, erasure))
    })
    .await
}
