//! The number that a supervisor sets: it becomes the registered one when it is proven, by the code
//! that a call to it speaks.

use sqlx::FromRow;

use crate::edge::store::audit::{self, Row};
use crate::edge::store::db::{execute, one_row, rows};
use crate::edge::store::people::begin_alone;
use crate::edge::store::{Store, StoreError};

/// Proof calls to one supervisor's numbers in [`CALLS_PER_MS`].
pub const MAX_CALLS: i64 = 3;
pub const CALLS_PER_MS: i64 = 3600 * 1000;
/// Codes that may be entered before a new call is wanted.
pub const MAX_TRIES: i64 = 5;
/// How long a code holds.
pub const CODE_LASTS_MS: i64 = 10 * 60 * 1000;

/// A number that waits for its proof.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Pending {
    /// E.164.
    pub number: String,
    /// Until then the code of the last call holds; in the past where there was none.
    pub expires_ms: i64,
    pub tries: i64,
    pub calls: i64,
    pub calls_since_ms: i64,
}

/// Whether another supervisor of the organisation has the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// It waits for its proof, or it was the registered one already.
    Set,
    Taken,
}

/// Whether the number may be called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofCall {
    May {
        number: String,
    },
    /// There is no number that waits.
    NothingPending,
    /// It may be called again then.
    TooMany {
        again_ms: i64,
    },
}

/// What a code came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The number is the registered one now.
    Proven {
        number: String,
    },
    Wrong {
        tries_left: i64,
    },
    /// No call was placed, its code has expired, or it was tried too often.
    NoCode,
    /// Another supervisor registered the number meanwhile.
    Taken,
}

impl Store {
    pub async fn pending_phone(
        &self,
        organisation: &str,
        user: &str,
    ) -> Result<Option<Pending>, StoreError> {
        Ok(one_row!(
            self.db(),
            Pending,
            "SELECT number, expires_ms, tries, calls, calls_since_ms FROM phone_proofs \
             WHERE organisation = $1 AND user_name = $2",
            organisation,
            user
        )?)
    }

    /// Has a number wait for its proof. The registered one stays until then; to set that one again
    /// takes back the wish for another.
    pub async fn set_phone(
        &self,
        organisation: &str,
        user: &str,
        number: &str,
        row: Row,
    ) -> Result<Setting, StoreError> {
        let mut tx = begin_alone(self.db()).await?;
        let owner = rows!(
            &mut tx,
            (String,),
            "SELECT user_name FROM phones WHERE organisation = $1 AND number = $2",
            organisation,
            number
        )?;
        let setting = match owner.first() {
            Some((owner,)) if owner != user => Setting::Taken,
            Some(_) => {
                // Calls are counted on: to set one number and then another is no way around.
                execute!(
                    &mut tx,
                    "UPDATE phone_proofs SET number = '', code_hash = NULL, expires_ms = 0 \
                     WHERE organisation = $1 AND user_name = $2",
                    organisation,
                    user
                )?;
                Setting::Set
            }
            None => {
                execute!(
                    &mut tx,
                    "INSERT INTO phone_proofs (organisation, user_name, number, expires_ms, \
                     tries, calls, calls_since_ms) VALUES ($1, $2, $3, 0, 0, 0, 0) \
                     ON CONFLICT (organisation, user_name) DO UPDATE SET \
                     number = excluded.number, code_hash = NULL, expires_ms = 0, tries = 0",
                    organisation,
                    user,
                    number
                )?;
                Setting::Set
            }
        };
        let outcome = match setting {
            Setting::Set => row.outcome.clone(),
            Setting::Taken => "refused".to_owned(),
        };
        audit::append(&mut tx, vec![Row { outcome, ..row }]).await?;
        tx.commit().await?;
        Ok(setting)
    }

    /// Whether the number that waits may be called now.
    pub async fn proof_call(
        &self,
        organisation: &str,
        user: &str,
        at_ms: i64,
    ) -> Result<ProofCall, StoreError> {
        let pending = self.pending_phone(organisation, user).await?;
        let Some(pending) = pending.filter(|pending| !pending.number.is_empty()) else {
            return Ok(ProofCall::NothingPending);
        };
        let again_ms = pending.calls_since_ms + CALLS_PER_MS;
        Ok(match pending.calls >= MAX_CALLS && again_ms > at_ms {
            true => ProofCall::TooMany { again_ms },
            false => ProofCall::May {
                number: pending.number,
            },
        })
    }

    /// Counts a call to the number that waits, and keeps the code that it speaks. Codes of earlier
    /// calls hold no more.
    pub async fn keep_code(
        &self,
        organisation: &str,
        user: &str,
        number: &str,
        code: &str,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        let hash = self.hash(code).await?;
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "UPDATE phone_proofs SET code_hash = $4, expires_ms = $5, tries = 0, \
             calls = CASE WHEN calls_since_ms + $7 <= $6 THEN 1 ELSE calls + 1 END, \
             calls_since_ms = CASE WHEN calls_since_ms + $7 <= $6 THEN $6 ELSE calls_since_ms END \
             WHERE organisation = $1 AND user_name = $2 AND number = $3",
            organisation,
            user,
            number,
            hash,
            at_ms + CODE_LASTS_MS,
            at_ms,
            CALLS_PER_MS,
        )?;
        tx.commit().await?;
        Ok(())
    }

    /// Enters a code. The right one makes the number the registered one.
    pub async fn prove_phone(
        &self,
        organisation: &str,
        user: &str,
        code: &str,
        row: Row,
    ) -> Result<Proof, StoreError> {
        // The try is counted before it is looked at, so that many at once are no more than few.
        let mut tx = self.db().begin().await?;
        let tried = rows!(
            &mut tx,
            (String, i64, String),
            "UPDATE phone_proofs SET tries = tries + 1 \
             WHERE organisation = $1 AND user_name = $2 AND code_hash IS NOT NULL \
             AND tries < $3 AND expires_ms > $4 RETURNING number, tries, code_hash",
            organisation,
            user,
            MAX_TRIES,
            row.at_ms
        )?;
        tx.commit().await?;
        let refused = |detail: &str| Row {
            outcome: "refused".to_owned(),
            detail: Some(detail.to_owned()),
            ..row.clone()
        };
        let Some((number, tries, hash)) = tried.into_iter().next() else {
            self.audit(vec![refused("no code holds")]).await?;
            return Ok(Proof::NoCode);
        };
        if !self.verify_hash(code, hash.clone()).await? {
            self.audit(vec![refused("wrong code")]).await?;
            let tries_left = MAX_TRIES - tries;
            return Ok(Proof::Wrong { tries_left });
        }

        let mut tx = begin_alone(self.db()).await?;
        let owner = rows!(
            &mut tx,
            (String,),
            "SELECT user_name FROM phones WHERE organisation = $1 AND number = $2",
            organisation,
            &number
        )?;
        if owner.iter().any(|(owner,)| owner != user) {
            audit::append(&mut tx, vec![refused("another supervisor has it")]).await?;
            tx.commit().await?;
            return Ok(Proof::Taken);
        }
        // The code counts once, and only for the number that it was spoken to.
        let spent = execute!(
            &mut tx,
            "UPDATE phone_proofs SET number = '', code_hash = NULL, expires_ms = 0, tries = 0 \
             WHERE organisation = $1 AND user_name = $2 AND code_hash = $3",
            organisation,
            user,
            hash
        )?;
        if spent == 0 {
            tx.roll_back().await?;
            return Ok(Proof::NoCode);
        }
        execute!(
            &mut tx,
            "INSERT INTO phones (organisation, user_name, number) \
             SELECT organisation, user_name, $3 FROM supervisors \
             WHERE organisation = $1 AND user_name = $2 \
             ON CONFLICT (organisation, user_name) DO UPDATE SET number = excluded.number",
            organisation,
            user,
            &number
        )?;
        let detail = Some(number.clone());
        audit::append(&mut tx, vec![Row { detail, ..row }]).await?;
        tx.commit().await?;
        Ok(Proof::Proven { number })
    }
}
