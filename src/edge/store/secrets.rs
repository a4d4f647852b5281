//! Passwords and PINs: argon2 for those that we check ourselves, HA1 for those of digest
//! authentication.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::edge::store::db::one_row;
use crate::edge::store::{Store, StoreError};

/// How the check of a PIN ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinOutcome {
    Matches,
    Wrong,
    /// No PIN is set. No try is counted.
    NotSet,
    /// There is no such supervisor.
    Unknown,
}

/// The two HA1 of a SIP user (RFC 7616 §3.4.2): the password itself is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    pub md5: String,
    pub sha256: String,
}

impl Ha1 {
    pub fn of(user: &str, realm: &str, password: &str) -> Self {
        let text = format!("{user}:{realm}:{password}");
        Self {
            md5: hex::encode(Md5::digest(text.as_bytes())),
            sha256: hex::encode(Sha256::digest(text.as_bytes())),
        }
    }
}

impl Store {
    /// Checks a PIN. It takes some tens of milliseconds of one core, elsewhere.
    pub async fn verify_pin(
        &self,
        organisation: &str,
        user: &str,
        pin: &str,
    ) -> Result<PinOutcome, StoreError> {
        let row = one_row!(
            self.db(),
            (Option<String>,),
            "SELECT pin_hash FROM supervisors WHERE organisation = $1 AND user_name = $2",
            organisation,
            user
        )?;
        match row {
            None => Ok(PinOutcome::Unknown),
            Some((None,)) => Ok(PinOutcome::NotSet),
            Some((Some(hash),)) => match self.verify_hash(pin, hash).await? {
                true => Ok(PinOutcome::Matches),
                false => Ok(PinOutcome::Wrong),
            },
        }
    }

    /// Whether a secret is the one that was hashed. A hash that cannot be read is that of no secret.
    pub(super) async fn verify_hash(&self, secret: &str, hash: String) -> Result<bool, StoreError> {
        let secret = secret.to_owned();
        self.hashing(move || {
            let verdict = Argon2::default().verify_password(secret.as_bytes(), hash.as_str());
            Ok(verdict.is_ok())
        })
        .await
    }

    /// Hashes a secret with a salt of its own.
    pub(super) async fn hash(&self, secret: &str) -> Result<String, StoreError> {
        let secret = secret.to_owned();
        self.hashing(move || {
            Argon2::default()
                .hash_password(secret.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|error| StoreError::Hash(error.to_string()))
        })
        .await
    }

    /// Runs on a thread that may be busy for a while, a bounded number of them at a time.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let hashing = Arc::clone(&self.hashing);
        let _waiting = hashing
            .waiting
            .try_acquire()
            .map_err(|_| StoreError::Busy)?;
        let _at_once = hashing
            .at_once
            .acquire()
            .await
            .map_err(|_| StoreError::Busy)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| StoreError::Hash(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ha1_is_that_of_the_examples_of_rfc_7616() {
        let realm = "http-auth@example.org";
        let ha1 = Ha1::of("Mufasa", realm, "Circle of Life");

        assert_eq!(ha1.md5, "3d78807defe7de2157e2b0b6573a855f");
        assert_eq!(
            ha1.sha256,
            "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
        );
    }
}
