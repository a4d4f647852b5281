//! Watch lists: the agents that a supervisor wants to be told about.
//!
//! An entry goes with its supervisor and with its agent, so that whoever is given the name later
//! inherits nothing.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;

use crate::control::route::AgentKey;
use crate::edge::store::db::{Db, all_rows, execute};
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

    /// Who watches these agents.
    pub async fn watchers(
        &self,
        agents: &BTreeSet<AgentKey>,
    ) -> Result<Vec<WatchedBy>, StoreError> {
        if agents.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (1..)
            .step_by(2)
            .map(|n| format!("(${n}, ${})", n + 1))
            .take(agents.len())
            .collect();
        let sql = format!(
            "SELECT organisation, extension, user_name FROM watchlist \
             WHERE (organisation, extension) IN (VALUES {}) \
             ORDER BY organisation, extension, user_name",
            places.join(", ")
        );
        // As many texts as there are lengths of the list: none is kept prepared.
        macro_rules! asked {
            ($pool:expr) => {{
                let mut query = sqlx::query_as(AssertSqlSafe(sql));
                for agent in agents {
                    query = query.bind(&*agent.organisation).bind(&*agent.extension);
                }
                query.persistent(false).fetch_all($pool).await?
            }};
        }
        Ok(match self.db() {
            Db::Sqlite(pool) => asked!(pool),
            Db::Postgres(pool) => asked!(pool),
        })
    }
}

/// An agent, and one who watches it.
#[derive(Debug, sqlx::FromRow)]
pub struct WatchedBy {
    pub organisation: String,
    pub extension: String,
    #[sqlx(rename = "user_name")]
    pub user: String,
}
