//! Mails: addresses for the open image and the links of a mail that is about to be sent, and what recipients say about
//! being followed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use cairn_catalog::MailChoices;
use cairn_engine::ingest::mail::rewrite::{
    Additions, HTML_SIZE_BYTES_MAX, LINKS_MAX, LeftAlone, RewriteFault, rewrite,
};
use cairn_engine::token::{Claims, Link, TokenKeys, TokenKind};
use cairn_model::limits::ID_SIZE_BYTES_MAX;
use cairn_model::{PixelKind, SiteId};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, missing};
use super::signed::{Terms, check_name, not_made};
use super::{show, sites};
use crate::App;
use crate::auth::{Connection, SiteAccess, blocking};
use crate::error::{ApiError, Code};

/// Addresses that one mail leaves alone.
const UNTRACKED_MAX: usize = 100;

/// A mail to be prepared.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewEmailBody {
    /// Campaign that its opens and clicks are counted under.
    #[schema(max_length = 256, example = "spring-sale")]
    pub campaign: String,
    /// Template or variant of the mail.
    #[schema(max_length = 256)]
    pub template: Option<String>,
    /// Who gets it; left out = it may go to many: opens and clicks are counted for the campaign, for each sender once a day.
    pub recipient: Option<RecipientBody>,
    /// The mail's HTML, at most 512 KiB.
    pub html: Option<String>,
    /// Key of the pixel of kind `email` that its events belong to; default: the site's first of that kind.
    pub pixel: Option<String>,
    /// Days for which opens and clicks count, 1 to 400; default: 90. Links lead to their targets after that too.
    pub expires_days: Option<u32>,
    /// Addresses that are not rewritten, such as those to unsubscribe.
    pub untracked: Option<Vec<String>>,
    /// Puts a link into the HTML that no person sees: who follows it is a scanner. Default: false.
    pub honeypot: Option<bool>,
    /// Whether a click that lands on the site's own pages may be recognised there, by `cairn_click`; default: true.
    pub landing: Option<bool>,
}

/// A recipient, and what he says now.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct RecipientBody {
    /// User id, as `identify` sends it.
    #[schema(max_length = 256)]
    pub user_id: String,
    /// `granted` or `denied`: whether his opens may be known as his. Left out: what is on record stays.
    pub opens: Option<String>,
    /// The same for clicks.
    pub clicks: Option<String>,
}

/// A prepared mail.
#[derive(Serialize, ToSchema)]
#[schema(as = Email)]
pub struct EmailBody {
    /// Address of the open image, for mails that are put together elsewhere; null where
    /// the recipient opted out.
    #[schema(required)]
    pub open_url: Option<String>,
    /// The HTML with image and tracked links; null if none was sent.
    #[schema(required)]
    pub html: Option<String>,
    /// The links that are tracked, in the order of the HTML.
    pub links: Vec<EmailLink>,
    /// How many links were left alone, by reason.
    pub left_alone: LeftAloneCounts,
    /// How opens are counted: `individual` (as the recipient's), `aggregate` (as the campaign's) or `none` (opted out).
    pub opens: &'static str,
    /// The same for clicks.
    pub clicks: &'static str,
    /// When opens and clicks stop being counted (RFC 3339).
    pub expires_at: String,
}

/// A tracked link.
#[derive(Serialize, ToSchema)]
pub struct EmailLink {
    /// Where it leads.
    pub target: String,
    /// The address in the mail.
    pub url: String,
}

/// Links that stayed as they were.
#[derive(Serialize, ToSchema, Default)]
pub struct LeftAloneCounts {
    /// By `data-cairn-untracked` or `untracked`.
    pub as_asked: usize,
    /// `mailto:`, `tel:`, `#part`, relative and the like.
    pub not_web: usize,
    /// With a placeholder in their address.
    pub placeholder: usize,
    /// To unsubscribe.
    pub unsubscribes: usize,
    /// To this server.
    pub own: usize,
    /// With a user or password, longer than 2,048 bytes, or not readable exactly.
    pub unreadable: usize,
}

/// Choices of a recipient.
#[derive(Serialize, ToSchema)]
pub struct MailChoicesBody {
    /// `granted`, `denied`, or null: nothing was said.
    #[schema(required)]
    pub opens: Option<&'static str>,
    /// The same for clicks.
    #[schema(required)]
    pub clicks: Option<&'static str>,
}

/// Prepares a mail: an image for opens, and its links as signed links. Nothing of the mail is stored; of its recipient only
/// a choice, and with a yes his user id.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/emails", tag = "emails",
    request_body = NewEmailBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = EmailBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(fields): JsonBody,
) -> Result<(StatusCode, Json<EmailBody>), ApiError> {
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let mut new = NewEmail::read(fields, &access)?;
    let recipient = new.recipient.take();
    let modes = match &recipient {
        None => {
            Modes { shared: true, user_key: 0, opens: Mode::Aggregate, clicks: Mode::Aggregate }
        }
        Some(recipient) => modes(&app, &access, recipient, now_ms).await?,
    };
    let https = connection.is_some_and(|connection| connection.0.https);
    let origin = app.public_origin(&headers, https);
    let keys = TokenKeys::new(app.catalog.master_secret());
    let honeypot_target = format!("https://{}/", access.site().domain);
    let prepared = tokio::task::spawn_blocking(move || {
        new.prepare(&Sealing { keys, site_id, origin, now_ms, modes }, honeypot_target)
    });
    let prepared =
        prepared.await.map_err(|_| ApiError::new(Code::Internal, "Preparing was broken off."))?;
    Ok((StatusCode::CREATED, Json(prepared?)))
}

/// Records what a recipient says about being followed in mails, those that he has already too. Nothing is kept of somebody who
/// opted out or was erased: whatever is said, both are answered as denied.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/emails/choices", tag = "emails",
    request_body = RecipientBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = MailChoicesBody)))]
pub async fn choose(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(fields): JsonBody,
) -> Result<Json<MailChoicesBody>, ApiError> {
    let said = Said::read(fields)?;
    if said.choices == MailChoices::default() {
        let message = "A choice needs at least one of opens and clicks.";
        return Err(ApiError::new(Code::MissingField, message).on("opens"));
    }
    let user_key = app.ingest.keys().of_user(access.site_id(), &said.user_id);
    let choices = match access.entry().is_opted_out(user_key) {
        true => MailChoices { opens: Some(false), clicks: Some(false) },
        false => record(&app, access.site_id(), &said, app.now_ms(&headers)).await?,
    };
    let name = |choice: Option<bool>| choice.map(|yes| if yes { "granted" } else { "denied" });
    Ok(Json(MailChoicesBody { opens: name(choices.opens), clicks: name(choices.clicks) }))
}

/// A recipient as the request names him.
struct Said {
    user_id: String,
    choices: MailChoices,
}

impl Said {
    fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let path = fields.path("user_id");
        let user_id = fields.required_text("user_id")?;
        if user_id.len() > ID_SIZE_BYTES_MAX {
            let message = format!("The id must have 1 to {ID_SIZE_BYTES_MAX} bytes.");
            return Err(ApiError::invalid(path, message));
        }
        let answers = [("granted", true), ("denied", false)];
        let opens = sites::choice(&mut fields, "opens", &answers)?;
        let clicks = sites::choice(&mut fields, "clicks", &answers)?;
        fields.finish()?;
        Ok(Said { user_id, choices: MailChoices { opens, clicks } })
    }
}

async fn record(
    app: &App,
    site_id: SiteId,
    said: &Said,
    now_ms: i64,
) -> Result<MailChoices, ApiError> {
    let user_key = app.ingest.keys().of_user(site_id, &said.user_id);
    let (user_id, choices) = (said.user_id.clone(), said.choices);
    blocking(app, move |catalog| {
        catalog.record_mail_choices(site_id, user_key, &user_id, choices, now_ms)
    })
    .await
}

/// How something is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As the recipient's.
    Individual,
    /// As the campaign's.
    Aggregate,
    /// Not at all: an opt-out of the recipient is on record.
    Nothing,
}

impl Mode {
    fn of(choice: Option<bool>) -> Self {
        match choice {
            Some(true) => Mode::Individual,
            _ => Mode::Aggregate,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Mode::Individual => "individual",
            Mode::Aggregate => "aggregate",
            Mode::Nothing => "none",
        }
    }
}

#[derive(Clone, Copy)]
struct Modes {
    /// Nobody in particular gets it.
    shared: bool,
    user_key: u64,
    opens: Mode,
    clicks: Mode,
}

async fn modes(
    app: &App,
    access: &SiteAccess,
    said: &Said,
    now_ms: i64,
) -> Result<Modes, ApiError> {
    let site_id = access.site_id();
    let user_key = app.ingest.keys().of_user(site_id, &said.user_id);
    if access.entry().is_opted_out(user_key) {
        let nothing = Mode::Nothing;
        return Ok(Modes { shared: false, user_key: 0, opens: nothing, clicks: nothing });
    }
    let choices = record(app, site_id, said, now_ms).await?;
    let (opens, clicks) = (Mode::of(choices.opens), Mode::of(choices.clicks));
    Ok(Modes { shared: false, user_key, opens, clicks })
}

/// A request, read and checked.
struct NewEmail {
    campaign: String,
    template: String,
    recipient: Option<Said>,
    html: Option<String>,
    terms: Terms,
    untracked: Vec<String>,
    honeypot: bool,
}

impl NewEmail {
    fn read(mut fields: Fields, access: &SiteAccess) -> Result<Self, ApiError> {
        let campaign = fields.required_text("campaign")?;
        let template = fields.text("template")?.unwrap_or_default();
        check_name("campaign", &campaign)?;
        check_name("template", &template)?;
        let html = match fields.take("html") {
            None => None,
            Some(Value::String(html)) if html.len() <= HTML_SIZE_BYTES_MAX => Some(html),
            Some(Value::String(_)) => return Err(refused(RewriteFault::TooLarge)),
            Some(_) => return Err(ApiError::invalid("html", "The field must be a text.")),
        };
        let new = NewEmail {
            campaign,
            template,
            recipient: fields.object("recipient")?.map(Said::read).transpose()?,
            html,
            terms: Terms::read(&mut fields, access, PixelKind::Email)?,
            untracked: fields.texts("untracked", UNTRACKED_MAX)?.unwrap_or_default(),
            honeypot: fields.boolean("honeypot")?.unwrap_or(false),
        };
        fields.finish()?;
        if new.honeypot && new.html.is_none() {
            return Err(missing("html"));
        }
        Ok(new)
    }

    fn prepare(self, sealing: &Sealing, honeypot_target: String) -> Result<EmailBody, ApiError> {
        let modes = sealing.modes;
        let common = Claims {
            shared: modes.shared,
            mail: true,
            template: self.template,
            ..self.terms.claims(self.campaign, sealing.now_ms)?
        };
        let claims = |mode: Mode, link| Claims {
            recipient: if mode == Mode::Individual { modes.user_key } else { 0 }.to_le_bytes(),
            link,
            ..common.clone()
        };
        let open_url = match modes.opens {
            Mode::Nothing => None,
            mode => Some(sealing.open(&claims(mode, None))?),
        };
        let click = |target: &str, number| {
            let link = Link { target: target.to_owned(), number };
            sealing.click(&claims(modes.clicks, Some(link)))
        };
        let honeypot = match self.honeypot && modes.clicks != Mode::Nothing {
            true => Some(click(&honeypot_target, 0).ok_or_else(not_made)?),
            false => None,
        };
        let mut body = EmailBody {
            open_url,
            html: None,
            links: Vec::new(),
            left_alone: LeftAloneCounts::default(),
            opens: modes.opens.name(),
            clicks: modes.clicks.name(),
            expires_at: show::instant(common.expires_at_ms),
        };
        let Some(html) = self.html else { return Ok(body) };
        if modes.clicks == Mode::Nothing {
            body.html = Some(html);
            return Ok(body);
        }
        let additions = Additions {
            origin: &sealing.origin,
            untracked: &self.untracked,
            pixel: body.open_url.as_deref(),
            honeypot: honeypot.as_deref(),
        };
        let made = rewrite(&html, &additions, click).map_err(refused)?;
        for reason in made.left_alone {
            *body.left_alone.of(reason) += 1;
        }
        let links = made.links.into_iter();
        body.links =
            links.map(|link| EmailLink { target: link.target, url: link.address }).collect();
        body.html = Some(made.html);
        Ok(body)
    }
}

impl LeftAloneCounts {
    fn of(&mut self, reason: LeftAlone) -> &mut usize {
        match reason {
            LeftAlone::AsAsked => &mut self.as_asked,
            LeftAlone::NotWeb => &mut self.not_web,
            LeftAlone::Placeholder => &mut self.placeholder,
            LeftAlone::Unsubscribes => &mut self.unsubscribes,
            LeftAlone::Own => &mut self.own,
            LeftAlone::Unreadable => &mut self.unreadable,
        }
    }
}

/// What making tokens of one mail takes.
struct Sealing {
    keys: TokenKeys,
    site_id: SiteId,
    origin: String,
    now_ms: i64,
    modes: Modes,
}

impl Sealing {
    fn open(&self, claims: &Claims) -> Result<String, ApiError> {
        let token = self.keys.seal(TokenKind::Open, self.site_id, claims);
        let token = token.map_err(|_| not_made())?;
        Ok(format!("{}/o/{token}.gif", self.origin))
    }

    fn click(&self, claims: &Claims) -> Option<String> {
        let token = self.keys.seal(TokenKind::Click, self.site_id, claims).ok()?;
        Some(format!("{}/l/{token}", self.origin))
    }
}

fn refused(fault: RewriteFault) -> ApiError {
    match fault {
        RewriteFault::TooLarge => {
            let message = format!("The HTML is over {} KiB.", HTML_SIZE_BYTES_MAX / 1024);
            ApiError::new(Code::TooLarge, message).on("html")
        }
        RewriteFault::TooManyLinks => {
            ApiError::invalid("html", format!("The mail has more than {LINKS_MAX} links."))
        }
        RewriteFault::Unreadable => ApiError::invalid("html", "The HTML cannot be read."),
    }
}
