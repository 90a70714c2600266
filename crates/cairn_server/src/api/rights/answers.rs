//! Requests and erasures as the API shows them.

use cairn_catalog::{Erasure, Place, RightsRequest, Step};
use cairn_model::rights::day_of;
use jiff::Unit;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::show;

/// A request of somebody about himself.
#[derive(Serialize, ToSchema)]
#[schema(as = RightsRequest)]
pub struct RightsRequestBody {
    /// Its number.
    pub id: String,
    /// The number that whoever asked was given; it names nobody.
    #[schema(example = "6C1E40A9B2D85F37")]
    pub reference: String,
    /// `access`, `erase`, `opt_out` or `rectification`.
    #[schema(example = "erase")]
    pub kind: &'static str,
    /// `gdpr` or `ccpa`.
    #[schema(example = "gdpr")]
    pub law: &'static str,
    /// `owner`: written down here; `visitor`: made on the visitor's page, and carried out by itself.
    #[schema(example = "owner")]
    pub source: &'static str,
    /// `open`, `erasing`, `done`, `refused` or `withdrawn`.
    #[schema(example = "open")]
    pub state: &'static str,
    /// What kind of identifier it names.
    #[schema(example = "user_id")]
    pub identifier_kind: String,
    /// The identifier; empty once nothing more is to be looked up by it.
    pub identifier: String,
    /// When it came (RFC 3339).
    pub received_at: String,
    /// The last day for the answer, in the site's time zone.
    #[schema(example = "2026-12-23")]
    pub due_on: String,
    /// Days until then; negative: days since. Null: it is closed.
    #[schema(required)]
    pub days_left: Option<i64>,
    /// It waits, and its last day is over.
    pub overdue: bool,
    /// Its time was extended.
    pub extended: bool,
    /// It waits, its time may be extended under its law, and was not yet.
    pub extendable: bool,
    /// Why it was refused, or its time extended.
    pub reason: String,
    /// When it was closed (RFC 3339). Null: it waits.
    #[schema(required)]
    pub closed_at: Option<String>,
    /// The erasure that fulfils it.
    #[schema(required)]
    pub erasure: Option<ErasureBody>,
    /// What was done about it; only where one request is asked for.
    pub log: Vec<RightsStep>,
}

/// The record of an erasure.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub struct ErasureBody {
    /// Its number.
    pub id: String,
    /// `waiting`: nothing new is kept; `held`: the same, and what is kept goes when the store's file, which is being
    /// rewritten for others, is whole again; `running`: no question finds anything any more; `in_backups`: nothing is left
    /// but in backups; `done`: nothing is left but what its places say.
    #[schema(example = "done")]
    pub state: &'static str,
    /// When it was asked for (RFC 3339).
    pub asked_at: String,
    /// Since when it is done. Null: it is not.
    #[schema(required)]
    pub done_at: Option<String>,
    /// Where it was done.
    pub places: Vec<ErasedPlace>,
}

/// One place where somebody was erased.
#[derive(Serialize, ToSchema)]
pub struct ErasedPlace {
    /// Its name.
    #[schema(example = "events")]
    pub place: String,
    /// What was erased there.
    pub what: String,
    /// How many.
    pub count: u64,
    /// Since when nothing is there. Null: it is not done yet.
    #[schema(required)]
    pub done_at: Option<String>,
    /// What stays there, and why; empty: nothing.
    pub remains: String,
}

/// Something that was done about a request.
#[derive(Serialize, ToSchema)]
pub struct RightsStep {
    /// When (RFC 3339).
    pub at: String,
    /// Address of the account that did it; empty: the visitor, a program with the instance's own token, or an account that
    /// is gone.
    pub account: String,
    /// What: `received`, `exported`, `extended`, `erasing`, `done`, `refused`, `withdrawn`.
    #[schema(example = "received")]
    pub step: String,
    /// The reason given.
    pub note: String,
}

/// How many requests wait.
#[derive(Serialize, ToSchema)]
pub struct WaitingRequests {
    /// Those that are not closed.
    pub open: u64,
    /// Those of them whose last day is over.
    pub overdue: u64,
}

impl RightsRequestBody {
    /// A request as it stands now.
    pub fn new(
        request: RightsRequest,
        erasure: Option<&Erasure>,
        steps: Vec<Step>,
        (zone, now_ms): (&TimeZone, i64),
    ) -> Self {
        let is_open = request.closed_at_ms.is_none();
        // The end of the last day is the first instant of the next.
        let due_on = day_of(request.due_at_ms - 1, zone);
        let days_left = day_of(now_ms, zone).zip(due_on).and_then(|(today, due_on)| {
            Some(i64::from(today.until((Unit::Day, due_on)).ok()?.get_days()))
        });
        let is_new = is_open && request.state.name() == "open";
        RightsRequestBody {
            id: request.id.to_string(),
            reference: request.reference,
            kind: request.kind.name(),
            law: request.law.name(),
            source: request.source.name(),
            state: request.state.name(),
            identifier_kind: request.identifier_kind,
            identifier: request.identifier,
            received_at: show::instant(request.received_at_ms),
            due_on: due_on.map_or_else(String::new, |day| day.to_string()),
            days_left: days_left.filter(|_| is_open),
            overdue: is_open && now_ms >= request.due_at_ms,
            extended: request.extended,
            extendable: is_new
                && !request.extended
                && now_ms < request.due_at_ms
                && request.law.may_extend(request.kind),
            reason: request.reason,
            closed_at: request.closed_at_ms.map(show::instant),
            erasure: erasure.map(ErasureBody::new),
            log: steps.into_iter().map(RightsStep::new).collect(),
        }
    }
}

impl ErasureBody {
    /// An erasure as it stands now.
    pub fn new(erasure: &Erasure) -> Self {
        ErasureBody {
            id: erasure.id.0.to_string(),
            state: erasure.state.name(),
            asked_at: show::instant(erasure.asked_at_ms),
            done_at: erasure.done_at_ms.map(show::instant),
            places: erasure.places.iter().map(place).collect(),
        }
    }
}

fn place(place: &Place) -> ErasedPlace {
    ErasedPlace {
        place: place.name.clone(),
        what: place.what.clone(),
        count: place.count,
        done_at: place.done_at_ms.map(show::instant),
        remains: place.remaining_reason.clone().unwrap_or_default(),
    }
}

impl RightsStep {
    fn new(step: Step) -> Self {
        RightsStep {
            at: show::instant(step.at_ms),
            account: step.account,
            step: step.step,
            note: step.note,
        }
    }
}
