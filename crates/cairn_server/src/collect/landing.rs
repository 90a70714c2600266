//! What a click gives its landing page, and what becomes of it there.
//!
//! Guarantees: a click gives a target on the site's own origins one sealed parameter, and any other only what its link asks
//! for by name. A browser becomes a recipient's only with its own permission, as the first to land with his click, within
//! 30 minutes, and if it is not known as somebody else already. A restart forgets clicks, and so ties nobody.

use std::sync::Arc;
use std::time::Duration;

use cairn_catalog::SiteEntry;
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::landing::{LandingHit, landed};
use cairn_engine::ingest::page::{origin_host, without_query};
use cairn_engine::ingest::{Admission, ParsedEvent, is_listed};
use cairn_engine::token::Token;
use cairn_engine::token::click::{CLICK_PARAMETER, ClickClaims, ClickKind, with_parameter};
use cairn_model::event::PAGE_VIEW;
use cairn_model::{Outcome, VisitorId};
use tokio::sync::Semaphore;

use super::Collector;
use super::delivery::Waiting;
use super::handover::Handover;
use super::mail::RECORD_SIZE_BYTES;
use crate::auth::blocking;

/// Longest wait until what is known of a browser can be asked; after it nobody is tied.
const KNOWN_WAIT: Duration = Duration::from_secs(2);

/// Browsers that are asked for in the store at once; for others nobody is tied.
static ASKED: Semaphore = Semaphore::const_new(2);

/// A landing that one of our links brought about.
pub(super) struct Landing {
    claims: ClickClaims,
    /// Whose browser it is now; empty = nobody's in particular.
    user_id: String,
    /// Its address without the query.
    page: String,
}

impl Landing {
    /// Tells the page view whose it is, and the click's campaign where its address names none.
    pub(super) fn tell(&mut self, event: &mut ParsedEvent<'_>) {
        self.page = without_query(event.page.as_sent()).to_owned();
        if event.user_id.is_empty() {
            event.user_id = self.user_id.clone().into();
        }
        landed(event, &self.claims);
    }
}

/// What a click's landing page is to know; `None`: the machine gave no randomness, or the token has no link.
pub(super) fn click_of(token: &Token, was_human: bool, now_ms: i64) -> Option<ClickClaims> {
    let claims = &token.claims;
    let link = claims.link.as_ref()?;
    let mut click = [0; 16];
    getrandom::fill(&mut click).ok()?;
    let text = String::new;
    let campaign = claims.campaign.clone();
    let (kind, utm) = match &claims.ad {
        Some(ad) => {
            let (content, term) = (ad.content.clone(), ad.term.clone());
            (ClickKind::Ad, [ad.source.clone(), ad.medium.clone(), campaign, content, term])
        }
        None if claims.mail => {
            (ClickKind::Mail, ["email".to_owned(), "email".to_owned(), campaign, text(), text()])
        }
        None => (ClickKind::Link, [text(), text(), campaign, text(), text()]),
    };
    Some(ClickClaims {
        clicked_at_ms: now_ms,
        click,
        kind,
        counted: true,
        was_human,
        pixel_id: claims.pixel_id,
        link_number: link.number,
        utm,
        template: claims.template.clone(),
        ..ClickClaims::default()
    })
}

/// What a page view's address says of the link that led to it. Senders that name themselves are no browsers of ours.
pub(super) fn landing_token<'e>(event: &'e ParsedEvent<'_>) -> Option<&'e str> {
    let token = event.page.click_token()?;
    let is_ours = event.sender_id.is_empty() && event.consent == SentConsent::Nothing;
    (is_ours && event.name == PAGE_VIEW).then_some(token)
}

/// Whether an address that is somewhere in this text may say what link led to it: a look that costs some nanoseconds.
pub(super) fn may_land(text: &str) -> bool {
    !text.is_empty() && text.contains(CLICK_PARAMETER)
}

impl Collector {
    /// Where a counted click leads, with what its landing page is told.
    pub(super) fn landing_target(
        &self,
        site: &SiteEntry,
        token: &Token,
        click: &ClickClaims,
    ) -> Option<String> {
        let claims = &token.claims;
        let target = &claims.link.as_ref()?.target;
        let is_own = origin_host(target).is_some_and(|host| is_listed(&site.site, &host));
        let ties = is_own && !claims.untied;
        if !ties && claims.click_id.is_empty() {
            return None;
        }
        let sealed = self.edge.tokens.seal_click(token.site_id, click).ok()?;
        let mut address = target.clone();
        if ties {
            address = with_parameter(&address, CLICK_PARAMETER, &sealed);
        }
        if !claims.click_id.is_empty() {
            address = with_parameter(&address, &claims.click_id, &sealed);
        }
        if ties && click.counted {
            self.edge.clicks_like(click).clicked(click.click, click.clicked_at_ms);
        }
        Some(address)
    }

    /// The event of a page that may be a landing, with its person if that is known now.
    pub(super) async fn with_landing<'e>(
        &self,
        mut event: ParsedEvent<'e>,
        admission: &Admission<'_>,
        now_ms: i64,
    ) -> (ParsedEvent<'e>, Option<Box<Landing>>) {
        let mut landing = match landing_token(&event) {
            None => None,
            Some(token) => self.landing(admission, token, now_ms).await,
        };
        if let Some(landing) = &mut landing {
            landing.tell(&mut event);
        }
        (event, landing)
    }

    /// Reads what a landing page was told, and decides whose browser it is; `None`: there is nothing to do.
    pub(super) async fn landing(
        &self,
        admission: &Admission<'_>,
        token: &str,
        now_ms: i64,
    ) -> Option<Box<Landing>> {
        let site = &admission.entry().site;
        let claims = self.edge.tokens.open_click(site.site.id, token)?;
        if !claims.counted || !claims.may_land(now_ms) {
            return None;
        }
        let text = String::new;
        let mut landing = Box::new(Landing { claims, user_id: text(), page: text() });
        let user_key = landing.claims.user_key();
        let visitor = admission.known_visitor();
        let clicks = self.edge.clicks_like(&landing.claims);
        let (click, sender) = (&landing.claims.click, admission.sender().0);
        let is_first = clicks.lands(click, sender, visitor.unwrap_or_default().0);
        let Some(visitor) = visitor.filter(|_| is_first && user_key != 0) else {
            return Some(landing);
        };
        if site.is_opted_out(user_key) {
            return None;
        }
        if !admission.is_new() && self.is_somebody_else(admission, visitor, user_key).await {
            return Some(landing);
        }
        let site_id = site.site.id;
        let found =
            blocking(&self.edge.app, move |catalog| catalog.mail_recipient(site_id, user_key));
        let recipient = found.await.ok()?;
        match recipient.choices.clicks {
            Some(true) => landing.user_id = recipient.user_id,
            // Taken back since the click: nothing more is kept of it.
            Some(false) => return None,
            None => {}
        }
        Some(landing)
    }

    /// Whether the browser is known as another user, or that cannot be told.
    async fn is_somebody_else(
        &self,
        admission: &Admission<'_>,
        visitor: VisitorId,
        user_key: u64,
    ) -> bool {
        let (app, site_id) = (&self.edge.app, admission.entry().site.site.id);
        let Ok(place) = ASKED.try_acquire() else { return true };
        if !app.wait_applied(KNOWN_WAIT).await {
            return true;
        }
        let store = Arc::clone(&app.store);
        let asked = move || {
            // Kept to the end of the work, which goes on also when nobody waits for it any more.
            let _place = place;
            store.other_user_of(site_id, visitor, user_key)
        };
        !matches!(tokio::task::spawn_blocking(asked).await, Ok(Ok(None)))
    }

    /// Keeps the proof that a click landed, once.
    pub(super) async fn confirm(&self, admission: &Admission<'_>, landing: &Landing, now_ms: i64) {
        let (app, entry) = (&self.edge.app, admission.entry());
        let hit = LandingHit {
            claims: &landing.claims,
            user_id: &landing.user_id,
            page: &landing.page,
            decision: admission.decision(),
        };
        let buffer = Vec::with_capacity(RECORD_SIZE_BYTES);
        // One that landed already, or a program's, is no event.
        let Ok(record) = app.ingest.take_landing(admission.hit(), entry, &hit, buffer) else {
            return;
        };
        let site = entry.site.site.id;
        let mut waiting = Waiting { received: app.counters.receive(1), site, now_ms };
        let append = self.appender.append([record.as_slice()]);
        let part = waiting.received.part(1);
        if Handover::new(app, append, site, part, now_ms).await.is_err() {
            waiting.settle_rest(Outcome::UnavailableLogFull);
        }
    }
}
