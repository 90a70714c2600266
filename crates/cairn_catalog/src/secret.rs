//! Secrets: the instance's master secret and the tokens that let someone in.
//!
//! Guarantees: neither is printed by `Debug`; of tokens only a hash is stored.

use std::fmt;

use rusqlite::{OptionalExtension, Transaction};

use crate::CatalogError;

/// Crockford's alphabet in lower case: no letter that is mistaken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a token's random part: 200 bits.
const TOKEN_LENGTH: usize = 40;
/// Characters of a pixel key's random part.
const PIXEL_KEY_LENGTH: usize = 20;

/// 32 random bytes, made on the first start, from which every key of the instance is derived.
#[derive(Clone)]
pub struct MasterSecret([u8; 32]);

impl MasterSecret {
    /// A key for one use. `context` names the use (`cairn 2026 visitor id`) and is never reused for another.
    pub fn derive(&self, context: &'static str) -> [u8; 32] {
        blake3::derive_key(context, &self.0)
    }

    pub(crate) fn load_or_make(transaction: &Transaction<'_>) -> Result<Self, CatalogError> {
        let doing = "reads its master secret";
        let stored: Option<Vec<u8>> = transaction
            .query_row("SELECT value FROM meta WHERE name = 'master_secret'", [], |row| row.get(0))
            .optional()
            .map_err(CatalogError::during(doing))?;
        if let Some(bytes) = stored {
            let bytes =
                bytes.try_into().map_err(|_| CatalogError::Corrupt { what: "master secret" })?;
            return Ok(MasterSecret(bytes));
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| CatalogError::Random)?;
        transaction
            .execute("INSERT INTO meta (name, value) VALUES ('master_secret', ?1)", [&bytes[..]])
            .map_err(CatalogError::during(doing))?;
        Ok(MasterSecret(bytes))
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterSecret(hidden)")
    }
}

/// A secret that lets its bearer in. Shown once, stored as a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new random token, with a prefix that tells people (and secret scanners) what it is.
    pub fn generate(prefix: &str) -> Result<Self, CatalogError> {
        Ok(Token(format!("{prefix}{}", random_text(TOKEN_LENGTH)?)))
    }

    /// The text, to hand out.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored and looked up. The token has 200 random bits, so a fast hash is enough.
    pub(crate) fn hash(text: &str) -> [u8; 32] {
        *blake3::hash(text.as_bytes()).as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

/// A new pixel key.
pub(crate) fn pixel_key(secret: bool) -> Result<String, CatalogError> {
    // A server pixel's key is a secret: it gets a token's length and says so.
    if secret {
        return Ok(format!("sk_{}", random_text(TOKEN_LENGTH)?));
    }
    Ok(format!("px_{}", random_text(PIXEL_KEY_LENGTH)?))
}

/// A random number above zero, for a site.
pub(crate) fn random_number() -> Result<u32, CatalogError> {
    loop {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|_| CatalogError::Random)?;
        let number = u32::from_le_bytes(bytes);
        if number != 0 {
            return Ok(number);
        }
    }
}

fn random_text(length: usize) -> Result<String, CatalogError> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(|_| CatalogError::Random)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
}
