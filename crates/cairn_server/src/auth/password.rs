//! Passwords: Argon2id, off the async threads, a few at a time.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::error::{ApiError, Code};

/// Shortest password, in characters.
pub const PASSWORD_LENGTH_MIN: usize = 10;
/// Longest password, in bytes: hashing must not become a way to burn time.
pub const PASSWORD_SIZE_BYTES_MAX: usize = 1024;
/// Passwords hashed at once: each takes `MEMORY_KIB` and a core.
const HASHES_AT_ONCE: usize = 2;
/// Memory, passes and lanes of Argon2id: the second choice of RFC 9106 scaled to a small server (OWASP: 19 MiB, 2, 1).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes and checks passwords.
pub struct Passwords {
    permits: Semaphore,
    /// Hash that no password fits, checked where there is no account, so that both cases take equally long.
    nobody: String,
}

impl Passwords {
    /// Prepares the comparison for unknown accounts.
    pub fn new() -> Result<Self, ApiError> {
        let nobody = hash_blocking("no account has this password")?;
        Ok(Passwords { permits: Semaphore::new(HASHES_AT_ONCE), nobody })
    }

    /// Refuses passwords that are too short or too long.
    pub fn check_length(password: &str) -> Result<(), ApiError> {
        if password.chars().count() < PASSWORD_LENGTH_MIN {
            let message = format!("The password needs at least {PASSWORD_LENGTH_MIN} characters.");
            return Err(ApiError::invalid("password", message));
        }
        if password.len() > PASSWORD_SIZE_BYTES_MAX {
            let message = format!("The password is longer than {PASSWORD_SIZE_BYTES_MAX} bytes.");
            return Err(ApiError::invalid("password", message));
        }
        Ok(())
    }

    /// The hash to store, in PHC form.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let _permit = self.permits.acquire().await.map_err(|_| failed())?;
        tokio::task::spawn_blocking(move || hash_blocking(&password)).await.map_err(|_| failed())?
    }

    /// Whether the password fits the hash; without a hash the answer is no, after the same time.
    pub async fn fits(&self, password: String, phc: Option<String>) -> Result<bool, ApiError> {
        if password.len() > PASSWORD_SIZE_BYTES_MAX {
            return Ok(false);
        }
        let _permit = self.permits.acquire().await.map_err(|_| failed())?;
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.nobody.clone());
        let fits = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&phc)
                .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(fits.await.map_err(|_| failed())? && known)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_blocking(password: &str) -> Result<String, ApiError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| failed())?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| failed())?;
    let hash = argon2().hash_password(password.as_bytes(), &salt).map_err(|_| failed())?;
    Ok(hash.to_string())
}

fn failed() -> ApiError {
    ApiError::new(Code::Unavailable, "The password could not be checked.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let passwords = Passwords::new().unwrap();
        let phc = passwords.hash("correct horse battery".to_owned()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let fits = |text: &str, phc: Option<&String>| passwords.fits(text.to_owned(), phc.cloned());
        assert!(fits("correct horse battery", Some(&phc)).await.unwrap());
        assert!(!fits("correct horse batterz", Some(&phc)).await.unwrap());
        assert!(!fits("no account has this password", None).await.unwrap());
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(Passwords::check_length("ääääääääää").is_ok());
        assert!(Passwords::check_length("äääääääää").is_err());
        assert!(Passwords::check_length(&"x".repeat(1025)).is_err());
    }
}
