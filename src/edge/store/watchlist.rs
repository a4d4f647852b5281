//! Watch lists: the agents that a supervisor wants to be told about.
//!
//! An entry goes with its supervisor and with its agent, so that whoever is given the name later
//! inherits nothing.

use std::collections::BTreeSet;

use crate::edge::store::db::{all_rows, execute};
use crate::edge::store::{Store, StoreError};

impl Store {
    /// Puts an agent on a supervisor's list. One who is on it stays there.
    pub async fn watch(
        &self,
        organisation: &str,
        user: &str,
        extension: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "INSERT INTO watchlist (organisation, user_name, extension) \
             VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            organisation,
            user,
            extension
        )?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes an agent off a supervisor's list; whether they were on it.
    pub async fn unwatch(
        &self,
        organisation: &str,
        user: &str,
        extension: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await?;
        let removed = execute!(
            &mut tx,
            "DELETE FROM watchlist \
             WHERE organisation = $1 AND user_name = $2 AND extension = $3",
            organisation,
            user,
            extension
        )?;
        tx.commit().await?;
        Ok(removed == 1)
    }

    /// The extensions that a supervisor watches.
    pub async fn watchlist(
        &self,
        organisation: &str,
        user: &str,
    ) -> Result<BTreeSet<String>, StoreError> {
        let rows = all_rows!(
            self.db(),
            (String,),
            "SELECT extension FROM watchlist WHERE organisation = $1 AND user_name = $2",
            organisation,
            user
        )?;
        Ok(rows.into_iter().map(|(extension,)| extension).collect())
    }

    /// The supervisors who watch an agent.
    pub async fn watchers(
        &self,
        organisation: &str,
        extension: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows = all_rows!(
            self.db(),
            (String,),
            "SELECT user_name FROM watchlist WHERE organisation = $1 AND extension = $2 \
             ORDER BY user_name",
            organisation,
            extension
        )?;
        Ok(rows.into_iter().map(|(user,)| user).collect())
    }
}
