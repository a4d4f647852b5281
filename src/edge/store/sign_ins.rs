//! Who may sign in at the console and the API, and who is signed in.
//!
//! A token is known to the database only by its SHA-256, so that a copy of the database opens
//! nothing.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::edge::store::db::{all_rows, execute, one_row};
use crate::edge::store::{Store, StoreError};

/// Accounts of one name that are tried, where organisations use the same name.
const MAX_NAMESAKES: i64 = 8;

/// One who can sign in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    Administrator {
        user: String,
    },
    Supervisor {
        organisation: String,
        user: String,
    },
    /// Signs in with the extension and the password of the registration.
    Agent {
        organisation: String,
        extension: String,
    },
}

/// The SHA-256 of a token, in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash(String);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        Self(hex::encode(Sha256::digest(token.as_bytes())))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl Store {
    /// The accounts of this name whose password it is. A name that nobody has costs as much time
    /// as one that somebody has.
    pub async fn accounts(
        &self,
        organisation: Option<&str>,
        user: &str,
        password: &str,
    ) -> Result<Vec<Account>, StoreError> {
        type Found = (String, String, Option<String>);
        let found = all_rows!(
            self.db(),
            Found,
            "SELECT '' AS organisation, 'administrator' AS kind, password_hash \
             FROM administrators WHERE user_name = $1 AND $2 = '' \
             UNION ALL SELECT organisation, 'supervisor', password_hash FROM supervisors \
             WHERE user_name = $1 AND ($2 = '' OR organisation = $2) \
             UNION ALL SELECT organisation, 'agent', password_hash FROM agents \
             WHERE extension = $1 AND ($2 = '' OR organisation = $2) \
             ORDER BY 2, 1 LIMIT $3",
            user,
            organisation.unwrap_or_default(),
            MAX_NAMESAKES
        )?;
        let mut accounts = Vec::new();
        let mut checked = false;
        for (organisation, kind, hash) in found {
            let Some(hash) = hash else {
                continue;
            };
            checked = true;
            if !self.verify_hash(password, hash).await? {
                continue;
            }
            let name = user.to_owned();
            accounts.push(account(&kind, Some(organisation), name)?);
        }
        if !checked {
            self.hash(password).await?;
        }
        Ok(accounts)
    }

    /// Remembers a sign-in until `expires_ms`, and forgets those that have expired.
    pub async fn sign_in(
        &self,
        token: &TokenHash,
        account: &Account,
        at_ms: i64,
        expires_ms: i64,
    ) -> Result<(), StoreError> {
        let (organisation, kind, user) = match account {
            Account::Administrator { user } => (None, "administrator", user),
            Account::Supervisor { organisation, user } => (Some(organisation), "supervisor", user),
            Account::Agent {
                organisation,
                extension,
            } => (Some(organisation), "agent", extension),
        };
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "DELETE FROM http_sessions WHERE expires_ms <= $1",
            at_ms
        )?;
        execute!(
            &mut tx,
            "INSERT INTO http_sessions \
             (token_hash, organisation, kind, user_name, created_ms, expires_ms) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            &token.0,
            organisation.map(String::as_str),
            kind,
            user,
            at_ms,
            expires_ms,
        )?;
        tx.commit().await?;
        Ok(())
    }

    /// Whose token it is, as long as it has not expired.
    pub async fn signed_in(
        &self,
        token: &TokenHash,
        at_ms: i64,
    ) -> Result<Option<Account>, StoreError> {
        let row = one_row!(
            self.db(),
            (Option<String>, String, String),
            "SELECT organisation, kind, user_name FROM http_sessions \
             WHERE token_hash = $1 AND expires_ms > $2",
            &token.0,
            at_ms
        )?;
        row.map(|(organisation, kind, user)| account(&kind, organisation, user))
            .transpose()
    }

    /// Forgets a sign-in.
    pub async fn sign_out(&self, token: &TokenHash) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "DELETE FROM http_sessions WHERE token_hash = $1",
            &token.0
        )?;
        tx.commit().await?;
        Ok(())
    }
}

fn account(kind: &str, organisation: Option<String>, name: String) -> Result<Account, StoreError> {
    match (kind, organisation) {
        ("administrator", _) => Ok(Account::Administrator { user: name }),
        ("supervisor", Some(organisation)) => Ok(Account::Supervisor {
            organisation,
            user: name,
        }),
        ("agent", Some(organisation)) => Ok(Account::Agent {
            organisation,
            extension: name,
        }),
        (other, _) => Err(StoreError::Corrupt(format!("an account is a {other:?}"))),
    }
}
