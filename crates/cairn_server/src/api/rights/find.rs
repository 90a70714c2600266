//! Finding somebody by any identifier, and what is held of him in figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use cairn_catalog::RightsRequest;
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_engine::rights::find as finding;
use cairn_engine::rights::find::Finder;
use cairn_model::limits::ID_SIZE_BYTES_MAX;
use cairn_model::rights::Law;
use cairn_model::{Subject, VisitorId};
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::App;
use crate::api::body::{Fields, JsonBody};
use crate::api::idempotency::Unrepeatable;
use crate::api::{show, with_store};
use crate::auth::SiteAccess;
use crate::error::{ApiError, Code};
use crate::rights::{Held, Viewer, latest};

/// How long an answer waits for what is on its way to the store.
const FRESHNESS_LIMIT: Duration = Duration::from_secs(2);
/// Kinds of identifiers, in the order in which they are described.
const KINDS: [&str; 6] = ["user_id", "email", "cairn_id", "visitor_id", "anonymous_id", "order_id"];

/// Who is looked for: exactly one of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct FindBody {
    /// User id, as `identify` sends it.
    pub user_id: Option<String>,
    /// E-mail address: his as the site's server or an import told it, or his user id.
    pub email: Option<String>,
    /// Value of the visitor's cookie `cairn_id`.
    pub cairn_id: Option<String>,
    /// The visitor's number, as events have it.
    pub visitor_id: Option<String>,
    /// Id that an SDK made for a browser or device.
    pub anonymous_id: Option<String>,
    /// An order.
    pub order_id: Option<String>,
}

/// What is held of somebody.
#[derive(Serialize, ToSchema)]
pub struct FoundBody {
    /// Anything is held of him.
    pub found: bool,
    /// Events of his.
    pub events: u64,
    /// Visits that any of them belongs to.
    pub visits: u64,
    /// When the earliest of them happened (RFC 3339). Null: there is none.
    #[schema(required)]
    pub first: Option<String>,
    /// When the latest of them happened.
    #[schema(required)]
    pub last: Option<String>,
    /// Events by name.
    #[schema(value_type = Object)]
    pub names: BTreeMap<String, u64>,
    /// Numbers of browsers and devices that are his alone.
    pub visitor_ids: Vec<String>,
    /// His accounts.
    pub people: Vec<FoundPerson>,
    /// Values remembered for him.
    pub memory: u64,
    /// Receipts of choices that name him.
    pub receipts: u64,
    /// Accounts with a word about mails on record.
    pub mail_choices: u64,
    /// An opt-out or an erasure of his is on record: nothing new of him is kept.
    pub opted_out: bool,
    /// There are more browsers or accounts than one look has. An erasure reaches all browsers of a person nevertheless; where an
    /// order or an address has more accounts, look again after it.
    pub is_cut: bool,
    /// Browsers that others use as well: of these only events that name his accounts are counted, taken along and erased.
    pub shared_visitor_ids: Vec<String>,
    /// User ids for which a browser claimed the address that is asked for. Anybody may claim that: nothing of theirs is counted,
    /// taken along or erased. Whose it is in truth is asked for by user id.
    pub candidates: Vec<String>,
    /// The law of where he was last seen: `gdpr` or `ccpa`.
    #[schema(example = "gdpr")]
    pub law: &'static str,
}

/// An account of the site.
#[derive(Serialize, ToSchema)]
pub struct FoundPerson {
    /// The user id.
    pub user_id: String,
    /// What the site's pages said about him; claimed, not proven.
    #[schema(value_type = Object)]
    pub claimed_traits: Map<String, Value>,
}

/// Finds somebody. The identifier stands in the body, and no answer is kept for repetitions.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/rights/find", tag = "rights",
    request_body = FindBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = FoundBody)))]
pub async fn find(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(Unrepeatable, Json<FoundBody>), ApiError> {
    let identifier = Identifier::read(&mut fields)?;
    fields.finish()?;
    let mut found = found(&app, &access, &identifier).await?;
    let candidates = std::mem::take(&mut found.candidates);
    let law = law_of(&app, &found.subject).await?;
    let opted_out = found.subject.identifiers().any(|it| access.entry().is_opted_out(it));
    let (shared, is_cut) = (found.shared.iter().map(number).collect(), found.is_cut);
    let now_ms = app.now_ms(&headers);
    let held = held_of(&app, &access, found, now_ms).await?;
    let found = !held.is_empty();
    let body = FoundBody {
        found,
        events: held.summary.events,
        visits: held.summary.visits,
        first: held.summary.first_ms.map(show::instant),
        last: held.summary.last_ms.map(show::instant),
        names: held.summary.names.into_iter().collect(),
        visitor_ids: held.subject.visitors.iter().map(number).collect(),
        people: held
            .people
            .into_iter()
            .map(|it| FoundPerson { user_id: it.user_id, claimed_traits: it.traits })
            .collect(),
        memory: held.memory.len() as u64,
        receipts: held.receipts.len() as u64,
        mail_choices: held.mail_choices.len() as u64,
        opted_out,
        is_cut,
        shared_visitor_ids: shared,
        candidates,
        law: law.name(),
    };
    Ok((Unrepeatable, Json(body)))
}

fn number(visitor: &VisitorId) -> String {
    format!("{:016x}", visitor.0)
}

/// What somebody is looked for by.
pub struct Identifier {
    kind: &'static str,
    value: String,
}

impl Identifier {
    /// Reads the one field that is there.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut found = None;
        for kind in KINDS {
            let Some(value) = fields.text(kind)? else { continue };
            if found.replace(Identifier { kind, value }).is_some() {
                return Err(one_of_them(Code::MalformedRequest, kind));
            }
        }
        let identifier = found.ok_or_else(|| one_of_them(Code::MissingField, KINDS[0]))?;
        if identifier.value.is_empty() || identifier.value.len() > ID_SIZE_BYTES_MAX {
            let message = format!("The identifier must have 1 to {ID_SIZE_BYTES_MAX} bytes.");
            return Err(ApiError::invalid(identifier.kind, message));
        }
        identifier.sought()?;
        Ok(identifier)
    }

    /// That of an open request.
    pub fn of(request: &RightsRequest) -> Result<Self, ApiError> {
        let kind = KINDS.into_iter().find(|kind| *kind == request.identifier_kind);
        let kind = kind.ok_or_else(ApiError::not_found)?;
        Ok(Identifier { kind, value: request.identifier.clone() })
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// As it was sent.
    pub fn value(&self) -> &str {
        &self.value
    }

    fn sought(&self) -> Result<finding::Identifier, ApiError> {
        let value = || self.value.clone();
        Ok(match self.kind {
            "user_id" => finding::Identifier::UserId(value()),
            "email" => finding::Identifier::Email(value()),
            "anonymous_id" => finding::Identifier::AnonymousId(value()),
            "order_id" => finding::Identifier::OrderId(value()),
            "cairn_id" => {
                finding::Identifier::CairnId(parse_cookie_id(&self.value).ok_or_else(|| {
                    ApiError::invalid("cairn_id", "The id must be the 32 digits of the cookie.")
                })?)
            }
            _ => finding::Identifier::Visitor(visitor(&self.value).ok_or_else(|| {
                ApiError::invalid("visitor_id", "The number must be the 16 digits of an event.")
            })?),
        })
    }
}

fn visitor(text: &str) -> Option<VisitorId> {
    let is_number = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(text, 16).ok().map(VisitorId)).flatten()
}

fn one_of_them(code: Code, field: &'static str) -> ApiError {
    ApiError::new(code, format!("Exactly one identifier is needed: {}.", KINDS.join(", ")))
        .on(field)
}

/// Looks somebody up.
pub async fn found(
    app: &Arc<App>,
    access: &SiteAccess,
    identifier: &Identifier,
) -> Result<finding::Found, ApiError> {
    let sought = identifier.sought()?;
    let site_id = access.site_id();
    app.wait_applied(FRESHNESS_LIMIT).await;
    let (ingest, catalog) = (Arc::clone(&app.ingest), Arc::clone(&app.catalog));
    let found = with_store(app, move |store| {
        let finder = Finder { store, catalog: &catalog, keys: ingest.keys(), site_id };
        finder.find(&sought)
    });
    Ok(found.await??)
}

/// What the owner may know of it.
pub async fn held_of(
    app: &Arc<App>,
    access: &SiteAccess,
    found: finding::Found,
    now_ms: i64,
) -> Result<Held, ApiError> {
    let site = access.shared_entry();
    Held::gather(app, site, found, Viewer::Owner, now_ms).await
}

/// The law of where somebody was last seen.
pub async fn law_of(app: &Arc<App>, subject: &Subject) -> Result<Law, ApiError> {
    let latest = latest(app, subject, 1).await?;
    let place = latest.first().map(|stored| (&*stored.event.country, &*stored.event.region));
    let (country, part) = place.unwrap_or(("", ""));
    Ok(Law::of_place(country, part))
}
