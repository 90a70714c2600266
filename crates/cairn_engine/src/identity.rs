//! Identity tokens: a site's server says that a user id is that of the visitor whose browser brings it.
//!
//! A token is `v1.EXPIRY.SIGNATURE`: `EXPIRY` in Unix seconds, `SIGNATURE` the HMAC-SHA-256 (RFC 2104) of
//! `v1.EXPIRY.USER_ID` under the site's identity secret, in 64 hexadecimal digits. The key is the secret's text, as bytes.
//!
//! Guarantees: only who has the secret can make one, for one user id and one site; it is compared in constant time; it is
//! worth nothing after its expiry, nor one that would live too long. The secret itself is stored nowhere: it follows from
//! the instance's master secret and a random number that each renewal draws anew.

use std::fmt;

use cairn_catalog::MasterSecret;
use cairn_model::SiteId;
use cairn_model::limits::{ID_SIZE_BYTES_MAX, IDENTITY_TOKEN_AGE_S_MAX};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ingest::text::hex_digit;

/// How a secret begins, so that people (and secret scanners) see what it is.
const PREFIX: &str = "ids_";
const VERSION: &str = "v1";
/// Block of SHA-256, RFC 6234.
const BLOCK_SIZE_BYTES: usize = 64;

/// What a site signs its users' ids with.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentitySecret(String);

/// Why a token says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenFault {
    /// It is no token of this form.
    #[error("The token must have the form v1.EXPIRY.SIGNATURE.")]
    Malformed,
    /// Its time is over.
    #[error("The token has expired.")]
    Expired,
    /// Its time is too long.
    #[error("The token expires more than an hour from now.")]
    TooLong,
    /// The site signed something else, or nothing.
    #[error("The token is not signed for this user id with this site's identity secret.")]
    Unsigned,
}

impl IdentitySecret {
    /// The secret that belongs to this seed.
    pub fn derive(master: &MasterSecret, site: SiteId, seed: &[u8; 32]) -> Self {
        let key = master.derive("cairn 2026 identity secret of a site");
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&site.0.to_le_bytes()).update(seed);
        IdentitySecret(format!("{PREFIX}{}", hasher.finalize().to_hex()))
    }

    /// The text, to hand out.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the token says that the user id is the visitor's.
    pub fn verify(&self, user_id: &str, token: &str, now_ms: i64) -> Result<(), TokenFault> {
        let (expiry, signature) = parts(token).ok_or(TokenFault::Malformed)?;
        if user_id.is_empty() || user_id.len() > ID_SIZE_BYTES_MAX {
            return Err(TokenFault::Unsigned);
        }
        let wanted = self.sign(user_id, expiry);
        if !bool::from(wanted.ct_eq(&signature)) {
            return Err(TokenFault::Unsigned);
        }
        let left_s = expiry - now_ms.div_euclid(1000);
        match left_s {
            ..=0 => Err(TokenFault::Expired),
            _ if left_s > IDENTITY_TOKEN_AGE_S_MAX => Err(TokenFault::TooLong),
            _ => Ok(()),
        }
    }

    fn sign(&self, user_id: &str, expires_at_s: i64) -> [u8; 32] {
        let message = format!("{VERSION}.{expires_at_s}.{user_id}");
        hmac_sha256(self.0.as_bytes(), message.as_bytes())
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IdentitySecret(hidden)")
    }
}

/// Expiry and signature. One text for one expiry: no sign, no leading zero.
fn parts(token: &str) -> Option<(i64, [u8; 32])> {
    let (version, rest) = token.split_once('.')?;
    let (expiry, digits) = rest.split_once('.')?;
    let is_plain = !expiry.starts_with('0')
        && (1..=12).contains(&expiry.len())
        && expiry.bytes().all(|byte| byte.is_ascii_digit());
    if version != VERSION || !is_plain {
        return None;
    }
    let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
    let mut signature = [0; 32];
    for (byte, pair) in signature.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some((expiry.parse().ok()?, signature))
}

/// RFC 2104 over SHA-256.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK_SIZE_BYTES];
    match key.len() {
        0..=BLOCK_SIZE_BYTES => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_341_600_000;
    const SOON_S: i64 = NOW_MS / 1000 + 600;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn token(secret: &IdentitySecret, user_id: &str, expires_at_s: i64) -> String {
        format!("v1.{expires_at_s}.{}", hex(&secret.sign(user_id, expires_at_s)))
    }

    fn secret() -> IdentitySecret {
        IdentitySecret(String::from("ids_0123"))
    }

    /// RFC 4231, test cases 1, 2 and 6 (a key that is longer than the block).
    #[test]
    fn the_signature_is_hmac_sha_256() {
        for (key, message, wanted) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&hmac_sha256(key, message)), wanted);
        }
    }

    #[test]
    fn a_token_is_for_one_user_one_secret_and_a_short_time() {
        let good = token(&secret(), "user-7", SOON_S);
        assert_eq!(secret().verify("user-7", &good, NOW_MS), Ok(()));
        assert_eq!(
            secret().verify("user-7", &good.to_uppercase().replace('V', "v"), NOW_MS),
            Ok(())
        );
        assert_eq!(secret().verify("user-8", &good, NOW_MS), Err(TokenFault::Unsigned));
        assert_eq!(
            secret().verify("", &token(&secret(), "", SOON_S), NOW_MS),
            Err(TokenFault::Unsigned)
        );
        let other = IdentitySecret(String::from("ids_0124"));
        assert_eq!(other.verify("user-7", &good, NOW_MS), Err(TokenFault::Unsigned));
        let over = |seconds: i64| secret().verify("user-7", &good, NOW_MS + seconds * 1000);
        assert_eq!((over(599), over(600)), (Ok(()), Err(TokenFault::Expired)));
        let long = token(&secret(), "user-7", NOW_MS / 1000 + IDENTITY_TOKEN_AGE_S_MAX + 1);
        assert_eq!(secret().verify("user-7", &long, NOW_MS), Err(TokenFault::TooLong));
        assert_eq!(secret().verify("user-7", &long, NOW_MS + 1000), Ok(()));
    }

    #[test]
    fn no_byte_of_a_token_may_change() {
        let good = token(&secret(), "user-7", SOON_S);
        for at in 0..good.len() {
            for wrong in [b'0', b'1', b'.', b'+', 0] {
                let mut bytes = good.clone().into_bytes();
                if bytes[at].eq_ignore_ascii_case(&wrong) {
                    continue;
                }
                bytes[at] = wrong;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(secret().verify("user-7", &changed, NOW_MS).is_err(), "{changed}");
            }
        }
        for text in
            ["", "v1", "v1..", "v2.1.a", &format!("v1.0{}", &good[3..]), &format!("{good}0")]
        {
            assert_eq!(
                secret().verify("user-7", text, NOW_MS),
                Err(TokenFault::Malformed),
                "{text}"
            );
        }
    }
}
