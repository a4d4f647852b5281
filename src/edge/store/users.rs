//! Administrators, and passwords that are set outside people.toml: what `sottovoce user` does, and
//! the audit's rows about it.

use crate::control::record::Outcome;
use crate::edge::store::audit::{self, Row};
use crate::edge::store::db::{Tx, execute, one_row, rows};
use crate::edge::store::people::{begin_alone, forget_sign_ins};
use crate::edge::store::{Store, StoreError};

/// What came of making an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    Made,
    /// There is an administrator of that name.
    Exists,
    /// Somebody else signs in by that name: `supervisor acme/mia`.
    Namesake(String),
}

impl Store {
    /// Makes an administrator, whose name must be nobody else's: a name and a password lead to one
    /// account.
    pub async fn add_administrator(
        &self,
        user: &str,
        password: &str,
        at_ms: i64,
    ) -> Result<Added, StoreError> {
        let hash = self.hash(password).await?;
        let mut tx = begin_alone(self.db()).await?;
        let added = match namesake(&mut tx, user).await? {
            Some(somebody) => Added::Namesake(somebody),
            None => {
                let added = execute!(
                    &mut tx,
                    "INSERT INTO administrators (user_name, password_hash, created_ms) \
                     VALUES ($1, $2, $3) ON CONFLICT (user_name) DO NOTHING",
                    user,
                    hash,
                    at_ms
                )?;
                match added {
                    0 => Added::Exists,
                    _ => Added::Made,
                }
            }
        };
        let row = Row::by_command("admin_user_add", at_ms);
        let told = Told {
            whom: format!("administrator {user}"),
            done: (added == Added::Made).then(|| format!("created administrator {user}")),
        };
        note(&mut tx, row, told).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// Whether there is anybody at all who could sign in.
    pub async fn anybody_can_sign_in(&self) -> Result<bool, StoreError> {
        let found: Option<(i64,)> = one_row!(
            self.db(),
            (i64,),
            "SELECT CAST(COUNT(*) AS BIGINT) FROM (\
             SELECT 1 FROM administrators \
             UNION ALL SELECT 1 FROM supervisors WHERE password_hash IS NOT NULL \
             UNION ALL SELECT 1 FROM agents WHERE password_hash IS NOT NULL) AS people"
        )?;
        Ok(found.is_some_and(|(count,)| count > 0))
    }

    /// Sets an administrator's password; whether there is one of that name.
    pub async fn set_administrator_password(
        &self,
        user: &str,
        password: &str,
        at_ms: i64,
    ) -> Result<bool, StoreError> {
        let hash = self.hash(password).await?;
        let mut tx = self.db().begin().await?;
        let changed = execute!(
            &mut tx,
            "UPDATE administrators SET password_hash = $2 WHERE user_name = $1",
            user,
            hash
        )?;
        execute!(
            &mut tx,
            "DELETE FROM http_sessions WHERE kind = 'administrator' AND user_name = $1",
            user
        )?;
        let row = Row::by_command("admin_user_passwd", at_ms);
        let whom = format!("administrator {user}");
        note(&mut tx, row, Told::password(whom, changed == 1)).await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Sets a supervisor's password for console and API; whether there is such a supervisor.
    pub async fn set_supervisor_password(
        &self,
        organisation: &str,
        user: &str,
        password: &str,
        at_ms: i64,
    ) -> Result<bool, StoreError> {
        let hash = self.hash(password).await?;
        let mut tx = self.db().begin().await?;
        let changed = execute!(
            &mut tx,
            "UPDATE supervisors SET password_hash = $3 \
             WHERE organisation = $1 AND user_name = $2",
            organisation,
            user,
            hash
        )?;
        forget_sign_ins(&mut tx, organisation, "supervisor", user).await?;
        let row = Row {
            organisation: Some(organisation.to_owned()),
            ..Row::by_command("admin_user_passwd", at_ms)
        };
        let whom = format!("supervisor {organisation}/{user}");
        note(&mut tx, row, Told::password(whom, changed == 1)).await?;
        tx.commit().await?;
        Ok(changed == 1)
    }
}

/// What the audit is told of a command: what it did, or whom it was about where it could not.
struct Told {
    whom: String,
    done: Option<String>,
}

impl Told {
    fn password(whom: String, set: bool) -> Self {
        let done = set.then(|| format!("changed {whom}: password"));
        Self { whom, done }
    }
}

async fn note(tx: &mut Tx, row: Row, told: Told) -> Result<(), sqlx::Error> {
    let (outcome, detail) = match told.done {
        Some(done) => (Outcome::Done, done),
        None => (Outcome::Refused, told.whom),
    };
    let row = Row {
        detail: Some(detail),
        outcome: outcome.name().to_owned(),
        ..row
    };
    audit::append(tx, vec![row]).await
}

/// Who of an organisation signs in by this name.
async fn namesake(tx: &mut Tx, name: &str) -> Result<Option<String>, sqlx::Error> {
    let found = rows!(
        tx,
        (String, String),
        "SELECT 'supervisor' AS kind, organisation FROM supervisors WHERE user_name = $1 \
         UNION ALL SELECT 'agent', organisation FROM agents WHERE extension = $1 \
         ORDER BY 1, 2 LIMIT 1",
        name
    )?;
    let found = found.into_iter().next();
    Ok(found.map(|(kind, organisation)| format!("{kind} {organisation}/{name}")))
}
