//! What a request says of every signed address, whether it is for a mail, a link or an advertisement: whose its events are,
//! how long it counts, what a landing may tell.
//!
//! Guarantees: nothing is kept; each address gets a number of its own that nobody can guess.

use cairn_engine::ingest::mail::rewrite::checked_target;
use cairn_engine::token::Claims;
use cairn_model::limits::ID_SIZE_BYTES_MAX;
use cairn_model::{PixelId, PixelKind};

use super::body::Fields;
use crate::auth::SiteAccess;
use crate::error::{ApiError, Code};

/// How long an address counts unless the request says otherwise.
const EXPIRY_DAYS: i64 = 90;
/// Longest life of an address.
const EXPIRY_DAYS_MAX: i64 = 400;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Characters of the parameter that tells a click's id.
const CLICK_ID_NAME_SIZE_MAX: usize = 64;

/// What a request says, read and checked.
pub(super) struct Terms {
    pixel_id: PixelId,
    expires_days: i64,
    landing: bool,
    click_id: String,
}

impl Terms {
    /// `pixel`, `expires_days` and `landing`.
    pub fn read(
        fields: &mut Fields,
        access: &SiteAccess,
        kind: PixelKind,
    ) -> Result<Self, ApiError> {
        Ok(Terms {
            pixel_id: pixel(fields, access, kind)?,
            expires_days: fields.whole("expires_days", 1..=EXPIRY_DAYS_MAX)?.unwrap_or(EXPIRY_DAYS),
            landing: fields.boolean("landing")?.unwrap_or(true),
            click_id: String::new(),
        })
    }

    /// The same with `click_id`, the name of the parameter by which the target is told an id of the click.
    pub fn read_with_click_id(
        fields: &mut Fields,
        access: &SiteAccess,
        kind: PixelKind,
    ) -> Result<Self, ApiError> {
        let name = fields.text("click_id")?.unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.len() > CLICK_ID_NAME_SIZE_MAX || !name.bytes().all(is_plain) {
            let message =
                "The name must have 1 to 64 letters, digits, dots, hyphens or underscores.";
            return Err(ApiError::invalid("click_id", message));
        }
        Ok(Terms { click_id: name, ..Terms::read(fields, access, kind)? })
    }

    /// What the addresses say in common; they are nobody's, and lead nowhere yet.
    pub fn claims(self, campaign: String, now_ms: i64) -> Result<Claims, ApiError> {
        let mut message = [0; 16];
        getrandom::fill(&mut message).map_err(|_| not_made())?;
        Ok(Claims {
            issued_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(self.expires_days * DAY_MS),
            pixel_id: self.pixel_id,
            message,
            shared: true,
            campaign,
            untied: !self.landing,
            click_id: self.click_id,
            ..Claims::default()
        })
    }
}

/// The pixel of this kind that the request names, or else the site's first; 0 = it has none.
fn pixel(fields: &mut Fields, access: &SiteAccess, kind: PixelKind) -> Result<PixelId, ApiError> {
    let mut of_kind = access.entry().pixels.iter().filter(|pixel| pixel.kind == kind);
    match fields.text("pixel")? {
        None => Ok(of_kind.next().map_or(PixelId(0), |pixel| pixel.id)),
        Some(key) => {
            let found = of_kind.find(|pixel| pixel.key == key).map(|pixel| pixel.id);
            found.ok_or_else(|| {
                let kind = kind.name();
                let message = format!("The site has no pixel of kind {kind} with this key.");
                ApiError::invalid("pixel", message)
            })
        }
    }
}

/// Refuses a name that could not be stored whole.
pub(super) fn check_name(field: &'static str, name: &str) -> Result<(), ApiError> {
    if name.len() > ID_SIZE_BYTES_MAX {
        let message = format!("The name is longer than {ID_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid(field, message));
    }
    Ok(())
}

/// The address in a field to which a click leads.
pub(super) fn target(fields: &mut Fields, field: &'static str) -> Result<String, ApiError> {
    let address = fields.required_text(field)?;
    checked_target(&address).map_err(|_| {
        let message =
            "The address must be an absolute http or https one without user and password.";
        ApiError::invalid(field, message)
    })
}

/// The machine gave no randomness, or the address would be too long.
pub(super) fn not_made() -> ApiError {
    ApiError::new(Code::Internal, "No token could be made.")
}
