//! What a click gives its landing page, and what becomes of it there.
//!
//! Guarantees: a click gives a target on the site's own origins one sealed parameter, and any other only what its link asks
//! for by name. A browser becomes a recipient's only with its own permission, as the first to land with his click, within
//! 30 minutes, and if it is not known as somebody else already, be it by an event of the same moment. Whoever opted out
//! lands nowhere. A restart forgets clicks, and so ties nobody.

use std::sync::Arc;
use std::time::Duration;

use cairn_catalog::SiteEntry;
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::landing::recent::{Asked, NamedUser};
use cairn_engine::ingest::landing::{LandingHit, landed, place};
use cairn_engine::ingest::page::origin_host;
use cairn_engine::ingest::{Admission, ParsedEvent, is_listed};
use cairn_engine::token::Token;
use cairn_engine::token::click::{CLICK_PARAMETER, ClickClaims, ClickKind, with_parameter};
use cairn_model::event::PAGE_VIEW;
use cairn_model::limits::TEXT_SIZE_BYTES_MAX;
use cairn_model::{Outcome, SiteId, Verdict, VisitorId};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::delivery::Waiting;
use super::handover::Handover;
use super::mail::RECORD_SIZE_BYTES;
use super::{Collector, Edge};
use crate::auth::blocking;

/// Longest wait of a request for the answer whose browser it is; after it nobody is tied.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Longest part of it until the store has everything that is known of the browser.
const APPLIED_WAIT: Duration = Duration::from_secs(2);
/// Longest part of it until the store can be asked.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Browsers that the store is asked about at once.
static ASKED: Semaphore = Semaphore::const_new(2);
/// Those that wait for it; for others nobody is tied.
static QUEUED: Semaphore = Semaphore::const_new(64);

/// What a request says of its landings beside them.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    /// Whom its events name themselves.
    pub named: NamedUser,
    /// When it waits no longer, however many landings it has.
    until: Instant,
}

impl Beside {
    pub(super) fn new(named: NamedUser) -> Self {
        Beside { named, until: Instant::now() + ANSWER_WAIT }
    }
}

/// A landing that one of our links brought about.
pub(super) struct Landing {
    claims: ClickClaims,
    /// Whose browser it is now; empty = nobody's in particular.
    user_id: String,
    /// Where it is: scheme, host and path.
    page: String,
}

impl Landing {
    /// Tells the page view whose it is, and the click's campaign where its address names none.
    pub(super) fn tell(&mut self, event: &mut ParsedEvent<'_>) {
        self.page = place(&event.page);
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
        let name = if ties { CLICK_PARAMETER } else { &claims.click_id };
        if name.is_empty() {
            return None;
        }
        let sealed = self.edge.tokens.seal_click(token.site_id, click).ok()?;
        let address = with_parameter(target, name, &sealed);
        // The landing's address would be cut, and say nothing any more.
        if is_own && address.len() > TEXT_SIZE_BYTES_MAX {
            return None;
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
            Some(token) => {
                let beside = Beside::new(admission.names(&event, NamedUser::Nobody));
                self.landing(admission, token, beside, now_ms).await
            }
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
        Beside { named, until }: Beside,
        now_ms: i64,
    ) -> Option<Box<Landing>> {
        let (edge, site) = (&*self.edge, &admission.entry().site);
        let claims = edge.tokens.open_click(site.site.id, token)?;
        if !claims.counted || !claims.may_land(now_ms) {
            return None;
        }
        let user_key = claims.user_key();
        let opted_out = |known: u64| known != 0 && site.is_opted_out(known);
        let may_keep = admission.decision().verdict != Verdict::Drop;
        if !may_keep || opted_out(user_key) || opted_out(claims.visitor_id().0) {
            return None;
        }
        let user_id = self.agreed(site.site.id, user_key).await?;
        let mut landing = Box::new(Landing { claims, user_id: String::new(), page: String::new() });
        if admission.is_program() {
            return Some(landing);
        }
        let visitor = admission.known_visitor();
        let click = &landing.claims.click;
        let clicks = edge.clicks_like(&landing.claims);
        let is_first = clicks.lands(click, admission.sender().0, visitor.unwrap_or_default().0);
        let Some(visitor) = visitor else { return Some(landing) };
        edge.recent_users.named(visitor, named, now_ms);
        let may_tie = is_first
            && !user_id.is_empty()
            && !named.is_somebody_else(user_key)
            && !edge.recent_users.is_somebody_else(visitor, user_key);
        if may_tie
            && (admission.is_new()
                || self.is_free(&landing.claims, (site.site.id, visitor), until, now_ms).await)
            && edge.recent_users.claims(visitor, user_key, now_ms)
        {
            landing.user_id = user_id;
        }
        Some(landing)
    }

    /// The recipient, if he agrees to be known by clicks; empty = nobody in particular; `None`: he took it back since the
    /// click, or that cannot be told, and nothing more is kept of it.
    async fn agreed(&self, site_id: SiteId, user_key: u64) -> Option<String> {
        if user_key == 0 {
            return Some(String::new());
        }
        let found =
            blocking(&self.edge.app, move |catalog| catalog.mail_recipient(site_id, user_key));
        let recipient = found.await.ok()?;
        match recipient.choices.clicks {
            Some(true) => Some(recipient.user_id),
            Some(false) => None,
            None => Some(String::new()),
        }
    }

    /// Whether the browser is known as nobody else; false if that cannot be told in time.
    pub(super) async fn is_free(
        &self,
        claims: &ClickClaims,
        (site_id, visitor): (SiteId, VisitorId),
        until: Instant,
        now_ms: i64,
    ) -> bool {
        match self.edge.recipients_clicks.asks(&claims.click, now_ms) {
            Asked::Free => return true,
            Asked::Taken => return false,
            Asked::Ask => {}
        }
        let question = Question {
            edge: Arc::clone(&self.edge),
            click: claims.click,
            site_id,
            visitor,
            user_key: claims.user_key(),
            now_ms,
            is_somebody_else: None,
        };
        matches!(timeout_at(until, question.ask()).await, Ok(true))
    }

    /// Keeps the proof that a click landed, once.
    pub(super) async fn confirm(&self, admission: &Admission<'_>, landing: &Landing, now_ms: i64) {
        let (app, entry) = (&self.edge.app, admission.entry());
        let hit = LandingHit {
            claims: &landing.claims,
            user_id: &landing.user_id,
            page: &landing.page,
            visitor: admission.known_visitor(),
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

/// Whether a browser is known as somebody else than the recipient. However it ends, the answer is remembered.
struct Question {
    edge: Arc<Edge>,
    click: [u8; 16],
    site_id: SiteId,
    visitor: VisitorId,
    user_key: u64,
    now_ms: i64,
    is_somebody_else: Option<bool>,
}

impl Question {
    /// Asks the store; true: the browser is nobody else's.
    async fn ask(mut self) -> bool {
        if !self.edge.app.wait_applied(APPLIED_WAIT).await {
            return false;
        }
        let Ok(queued) = QUEUED.try_acquire() else { return false };
        let Ok(Ok(asked)) = timeout(PLACE_WAIT, ASKED.acquire()).await else { return false };
        drop(queued);
        let ask = move || {
            // Kept to the end of the work, which goes on also when nobody waits for it any more.
            let _asked = asked;
            let store = &self.edge.app.store;
            let found = store.other_user_of(self.site_id, self.visitor, self.user_key);
            self.is_somebody_else = found.ok().map(|other| other.is_some());
            self.is_somebody_else == Some(false)
        };
        matches!(tokio::task::spawn_blocking(ask).await, Ok(true))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let clicks = &self.edge.recipients_clicks;
        clicks.answered(&self.click, self.is_somebody_else, self.now_ms);
    }
}
