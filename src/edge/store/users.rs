//! Administrators, and passwords that are set outside people.toml.

use crate::edge::store::db::{execute, one_row};
use crate::edge::store::people::forget_sign_ins;
use crate::edge::store::{Store, StoreError};

impl Store {
    /// Makes an administrator; whether the name was still free.
    pub async fn add_administrator(
        &self,
        user: &str,
        password: &str,
        at_ms: i64,
    ) -> Result<bool, StoreError> {
        let hash = self.hash(password).await?;
        let mut tx = self.db().begin().await?;
        let added = execute!(
            &mut tx,
            "INSERT INTO administrators (user_name, password_hash, created_ms) \
             VALUES ($1, $2, $3) ON CONFLICT (user_name) DO NOTHING",
            user,
            hash,
            at_ms
        )?;
        tx.commit().await?;
        Ok(added == 1)
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
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Sets a supervisor's password for console and API; whether there is such a supervisor.
    pub async fn set_supervisor_password(
        &self,
        organisation: &str,
        user: &str,
        password: &str,
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
        tx.commit().await?;
        Ok(changed == 1)
    }
}
