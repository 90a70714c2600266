//! Signed tokens: what the addresses of mails, links and advertisements (`/o/TOKEN.gif`, `/l/TOKEN`, `/i/TOKEN.gif`)
//! carry, what a click gives its landing page ([`click`]), and what carries a visit to another domain ([`crossing`]).
//!
//! A token is `base64url(version ‖ site ‖ nonce ‖ ciphertext ‖ tag)`, sealed with XChaCha20-Poly1305 under a key of its
//! site and kind, which is derived from the instance's master secret. Nothing is stored when one is made.
//!
//! Guarantees: without the key nobody can make one, change one, cut one, use one site's for another or an open's for a
//! click; the tag is compared in constant time. From outside only the site's number and a length can be read: two tokens
//! of mails that differ in their recipient alone look like random bytes of the same length. A token names its recipient
//! by a keyed hash, so that even whoever has the master secret learns no name from it. It expires.
//!
//! Replay: a token can be fetched again and again, as mail programs do. That is no forgery, and this module does not
//! forbid it; the ingest step counts a recipient's token once as a person and once as a machine within seven days, and a
//! shared one once a day for each sender (`ingest::mail`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cairn_catalog::MasterSecret;
use cairn_model::{PixelId, SiteId};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub mod click;
pub mod crossing;

/// The format; a token of another is refused.
const VERSION: u8 = 2;
const SITE_SIZE_BYTES: usize = 4;
const NONCE_SIZE_BYTES: usize = 24;
const HEAD_SIZE_BYTES: usize = 1 + SITE_SIZE_BYTES + NONCE_SIZE_BYTES;

/// Characters of a token: a target of 2,048 bytes and names of 768 together fit.
pub const TOKEN_SIZE_MAX: usize = 4_096;

/// What a token is good for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenKind {
    /// An image of a mail.
    Open,
    /// A link of a mail.
    Click,
    /// An image of an advertisement.
    Impression,
    /// What a click gives its landing page.
    Landing,
    /// What carries a visit to another domain of the site.
    Crossing,
}

impl TokenKind {
    fn byte(self) -> u8 {
        match self {
            TokenKind::Open => b'o',
            TokenKind::Click => b'l',
            TokenKind::Impression => b'i',
            TokenKind::Landing => b'c',
            TokenKind::Crossing => b'x',
        }
    }
}

/// A link of a mail.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Link {
    /// Where it leads: an absolute `http` or `https` address.
    pub target: String,
    /// Its place among the links of the mail, from 1; 0 = the honeypot, which no person sees.
    pub number: u16,
}

/// What an advertisement's token says besides its campaign. Texts that are missing are empty.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AdClaims {
    /// Where it runs, as `utm_source`.
    pub source: String,
    /// As `utm_medium`.
    pub medium: String,
    /// As `utm_content`.
    pub content: String,
    /// As `utm_term`.
    pub term: String,
    /// The creative.
    pub creative: String,
    /// The placement.
    pub placement: String,
    /// What one event costs, as a decimal number.
    pub cost: String,
    /// Its ISO 4217 code.
    pub cost_currency: String,
    /// Clicks cost that, and not impressions.
    pub costs_clicks: bool,
}

/// What a token says.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Claims {
    /// When the mail was prepared, Unix milliseconds.
    pub issued_at_ms: i64,
    /// From then on it counts nothing, Unix milliseconds.
    pub expires_at_ms: i64,
    /// The pixel that its events belong to; 0 = none.
    pub pixel_id: PixelId,
    /// 128 random bits: the mail or the link.
    pub message: [u8; 16],
    /// One mail or link for many people: each sender counts, and what one does says nothing about another.
    pub shared: bool,
    /// A mail's; otherwise a link that stands anywhere else.
    pub mail: bool,
    /// Keyed hash of the recipient's user id, little-endian; zeros = nobody in particular. Of fixed size, so that lengths
    /// tell nothing.
    pub recipient: [u8; 8],
    /// The campaign.
    pub campaign: String,
    /// The template; empty = none.
    pub template: String,
    /// The link; `None` in tokens of images.
    pub link: Option<Link>,
    /// A click on it gives its landing page nothing to recognise it by.
    pub untied: bool,
    /// Name of the parameter by which any target is told the click's id; empty = none.
    pub click_id: String,
    /// What an advertisement says besides; `None` in mails and links.
    pub ad: Option<Box<AdClaims>>,
}

impl Claims {
    /// Keyed hash of the recipient's user id; 0 = nobody in particular.
    pub fn user_key(&self) -> u64 {
        u64::from_le_bytes(self.recipient)
    }
}

/// Shows nothing: what a mail says about whom is nobody's business in a log.
impl std::fmt::Debug for Claims {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Claims(hidden)")
    }
}

/// A token that was made here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The site it was made for.
    pub site_id: SiteId,
    /// What it says.
    pub claims: Claims,
}

/// Why a token counts nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenFault {
    /// Not made here, changed, cut, or for something else. Deliberately not told apart.
    #[error("this is no token of this server")]
    Foreign,
    /// Made here, but its time is over. A link may still lead to where it always led.
    #[error("the token has expired")]
    Expired(Box<Token>),
}

/// The machine has no randomness to give, or the names are too long to be sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the token cannot be made")]
pub struct TokenNotMade;

/// Makes and checks tokens.
#[derive(Clone)]
pub struct TokenKeys {
    root: [u8; 32],
}

impl TokenKeys {
    /// Derives the key from which those of the sites are derived.
    pub fn new(master: &MasterSecret) -> Self {
        TokenKeys { root: master.derive("cairn 2026 signed tokens of mails") }
    }

    /// A new token. Two of the same claims differ.
    pub fn seal(
        &self,
        kind: TokenKind,
        site_id: SiteId,
        claims: &Claims,
    ) -> Result<String, TokenNotMade> {
        self.seal_any(kind, site_id, claims)
    }

    fn seal_any(
        &self,
        kind: TokenKind,
        site_id: SiteId,
        claims: &impl Serialize,
    ) -> Result<String, TokenNotMade> {
        let mut nonce = [0; NONCE_SIZE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| TokenNotMade)?;
        let plain = postcard::to_allocvec(claims).map_err(|_| TokenNotMade)?;
        let context = context(kind, site_id);
        let payload = Payload { msg: &plain, aad: &context };
        let sealed = self
            .cipher(kind, site_id)
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| TokenNotMade)?;
        let mut bytes = Vec::with_capacity(HEAD_SIZE_BYTES + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&site_id.0.to_be_bytes());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        let text = URL_SAFE_NO_PAD.encode(bytes);
        if text.len() > TOKEN_SIZE_MAX { Err(TokenNotMade) } else { Ok(text) }
    }

    /// Reads a token.
    pub fn open(&self, kind: TokenKind, text: &str, now_ms: i64) -> Result<Token, TokenFault> {
        let read = self.read::<Claims>(kind, text).filter(|(_, claims)| is_sound(kind, claims));
        let (site_id, claims) = read.ok_or(TokenFault::Foreign)?;
        let token = Token { site_id, claims };
        if now_ms >= token.claims.expires_at_ms {
            return Err(TokenFault::Expired(Box::new(token)));
        }
        Ok(token)
    }

    fn read<C: DeserializeOwned>(&self, kind: TokenKind, text: &str) -> Option<(SiteId, C)> {
        if text.len() > TOKEN_SIZE_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, sealed) = bytes.split_at_checked(HEAD_SIZE_BYTES)?;
        let (version, rest) = head.split_first()?;
        let (site, nonce) = rest.split_at_checked(SITE_SIZE_BYTES)?;
        if *version != VERSION {
            return None;
        }
        let site_id = SiteId(u32::from_be_bytes(site.try_into().ok()?));
        let context = context(kind, site_id);
        let payload = Payload { msg: sealed, aad: &context };
        let cipher = self.cipher(kind, site_id);
        let plain = cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        Some((site_id, postcard::from_bytes(&plain).ok()?))
    }

    fn cipher(&self, kind: TokenKind, site_id: SiteId) -> XChaCha20Poly1305 {
        let key = blake3::keyed_hash(&self.root, &context(kind, site_id));
        XChaCha20Poly1305::new(Key::from_slice(key.as_bytes()))
    }
}

/// A link has a target and an image has none; an impression is an advertisement's.
fn is_sound(kind: TokenKind, claims: &Claims) -> bool {
    let is_link = claims.link.is_some();
    match kind {
        TokenKind::Open => !is_link && claims.ad.is_none(),
        TokenKind::Click => is_link,
        TokenKind::Impression => !is_link && claims.ad.is_some(),
        TokenKind::Landing | TokenKind::Crossing => false,
    }
}

/// Version, kind and site: in the key and under the tag.
fn context(kind: TokenKind, site_id: SiteId) -> [u8; 2 + SITE_SIZE_BYTES] {
    let [a, b, c, d] = site_id.0.to_be_bytes();
    [VERSION, kind.byte(), a, b, c, d]
}

#[cfg(test)]
mod tests;
