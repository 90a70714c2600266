//! What is held of somebody: shown to himself on his page, and to the owner who answers him.
//!
//! Guarantees: who a browser's person is, is told to the browser only where the site's server signed for him and as long
//! as that holds; whoever merely said a user id learns nothing of it. It decides nothing about what is erased.

mod export;
pub mod html;

use std::sync::Arc;

use cairn_catalog::{
    Erasure, ErasureId, ErasureState, MailChoices, MemoryHolder, NewStep, Receipt, Remembered,
    RequestState, RightsRequest, SiteEntry,
};
use cairn_engine::ingest::visitor::CookieId;
use cairn_model::Subject;
use cairn_model::subject::SUBJECT_USERS_MAX;
use cairn_store::{StoreError, StoredEvent, SubjectSummary};
use serde_json::{Map, Value};

use crate::App;
use crate::api::store;
use crate::auth::blocking;
use crate::error::ApiError;

pub use export::{Export, Format, receipts_table};

/// Receipts that are shown and taken along, the newest first.
const RECEIPTS_MAX: usize = 1_000;

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
    /// Receipts that name the visitors.
    pub receipts: Vec<Receipt>,
}

impl Held {
    /// Gathers it.
    pub async fn gather(
        app: &Arc<App>,
        site: Arc<SiteEntry>,
        subject: Subject,
        viewer: Viewer,
        now_ms: i64,
    ) -> Result<Held, ApiError> {
        let asked = subject.clone();
        let (summary, users) = store(app, move |store| {
            let summary = store.subject_summary(&asked)?;
            let mut users = asked.users.clone();
            for visitor in asked.visitors.iter().filter(|_| matches!(viewer, Viewer::Browser(_))) {
                users.extend(store.users_of_visitor(asked.site_id, *visitor, SUBJECT_USERS_MAX)?);
            }
            users.sort_unstable();
            users.dedup();
            users.truncate(SUBJECT_USERS_MAX);
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
            };
            if let Some(browser) = browser {
                let holder = MemoryHolder::Browser(browser);
                held.memory = catalog.recall(site_id, holder, now_ms)?;
            }
            for user in users {
                let Some((user_id, traits)) = catalog.person(site_id, user)? else { continue };
                let person = keys.keys().of_remembered(site_id, &user_id);
                let is_owner = matches!(viewer, Viewer::Owner);
                if !is_owner && signed != Some(person) {
                    held.hides_person = true;
                    continue;
                }
                if is_owner {
                    let holder = MemoryHolder::Person(person);
                    held.memory.extend(catalog.recall(site_id, holder, now_ms)?);
                }
                let choices = catalog.mail_recipient(site_id, user)?.choices;
                held.mail_choices.extend((choices != MailChoices::default()).then_some(choices));
                let traits = serde_json::from_str(&traits).unwrap_or_default();
                held.people.push(Person { user_id, traits });
            }
            let visitors = &held.subject.visitors;
            held.receipts = catalog.receipts_of(site_id, visitors, RECEIPTS_MAX)?;
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

/// The latest events of a subject, the newest first.
pub async fn latest(
    app: &Arc<App>,
    subject: &Subject,
    limit: usize,
) -> Result<Vec<StoredEvent>, ApiError> {
    let subject = subject.clone();
    store(app, move |store| store.subject_events(&subject, None, limit)).await
}

/// A request as it is now, with its erasure: one whose erasure is over is done.
pub async fn settled(
    app: &Arc<App>,
    request: RightsRequest,
    now_ms: i64,
) -> Result<(RightsRequest, Option<Erasure>), ApiError> {
    let Some(number) = request.erasure_id else { return Ok((request, None)) };
    blocking(app, move |catalog| {
        let Some(erasure) = catalog.erasure(ErasureId(number))? else { return Ok((request, None)) };
        if request.closed_at_ms.is_some() || erasure.state != ErasureState::Done {
            return Ok((request, Some(erasure)));
        }
        let at_ms = erasure.done_at_ms.unwrap_or(now_ms);
        let step = NewStep { user: None, step: "done", note: String::new(), at_ms };
        catalog.close_request(request.site_id, request.id, RequestState::Done, &step)?;
        let closed = catalog.request(request.site_id, request.id)?;
        Ok((closed.unwrap_or(request), Some(erasure)))
    })
    .await
}
