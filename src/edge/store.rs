//! What outlives the process: people, calls, sessions, help requests, and the audit.
//!
//! SQLite by default, PostgreSQL where one is given; the same SQL on both. [`Store`] answers
//! questions, [`Recorder`] takes the facts of call control and makes them durable many at a time.

pub mod audit;
mod call_rows;
pub mod contacts;
pub mod db;
mod lines;
pub mod people;
pub mod phones;
mod records;
pub mod reports;
pub mod retention;
pub mod secrets;
pub mod sign_ins;
pub mod users;
pub mod watchlist;
pub mod webhooks;
mod writer;

use crate::edge::store::lines::csv_lines;

pub use crate::edge::store::db::probe;
pub use crate::edge::store::people::SipCredentials;
pub use crate::edge::store::secrets::PinOutcome;
pub use crate::edge::store::writer::{Lost, Recorder};

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::edge::config::DatabaseUrl;
use crate::edge::store::db::{Db, execute, rows};

/// Connections for everything but the writer.
const CONNECTIONS: u32 = 4;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file is there, and SQLite cannot use it.
    #[error("{}: {source}", path.display())]
    Unopened { path: PathBuf, source: sqlx::Error },
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("database: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// More hashes were asked for at once than the machine can do in good time.
    #[error("too many passwords and PINs are being checked")]
    Busy,
    /// More changes of people wait than can be made in good time, or others are always faster.
    #[error("too many changes of people are being made")]
    Editing,
    #[error("{0}")]
    Hash(String),
    /// A row holds what no version of this product writes.
    #[error("database: {0}")]
    Corrupt(String),
}

/// The database of this node. Cloned freely.
#[derive(Clone, Debug)]
pub struct Store {
    /// Questions, and writes of people and sign-ins.
    db: Db,
    /// One connection of its own, so that no question keeps a record waiting.
    records: Db,
    node: Arc<str>,
    hashing: Arc<Hashing>,
    /// Whose turn it is to change people.
    editing: Arc<Turns>,
}

/// One at a time, in the order of asking.
#[derive(Debug)]
struct Turns {
    one: Semaphore,
    waiting: Semaphore,
}

/// How many hashes are computed at once, and how many may wait for it.
#[derive(Debug)]
struct Hashing {
    at_once: Semaphore,
    waiting: Semaphore,
}

/// Whose doings a reader of audit and reports may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// All organisations'.
    #[default]
    Everything,
    /// A supervisor's own, and what was done about the agents of their pools.
    Supervisor { organisation: String, user: String },
}

/// What a crash left open and [`Store::end_what_was_interrupted`] ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupted {
    pub calls: usize,
    pub sessions: usize,
}

impl Sight {
    fn organisation(&self) -> Option<&str> {
        match self {
            Self::Everything => None,
            Self::Supervisor { organisation, .. } => Some(organisation),
        }
    }

    fn user(&self) -> Option<&str> {
        match self {
            Self::Everything => None,
            Self::Supervisor { user, .. } => Some(user),
        }
    }
}

impl Store {
    /// Connects and brings the tables up to date.
    pub async fn open(url: &DatabaseUrl, node: &str) -> Result<Self, StoreError> {
        let db = Db::connect(url, CONNECTIONS).await?;
        db.migrate().await?;
        let records = Db::connect(url, 1).await?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Ok(Self {
            db,
            records,
            node: node.into(),
            hashing: Arc::new(Hashing {
                at_once: Semaphore::new(cores.div_ceil(2)),
                waiting: Semaphore::new(MAX_WAITING_FOR_HASHES),
            }),
            editing: Arc::new(Turns {
                one: Semaphore::new(1),
                waiting: Semaphore::new(MAX_WAITING_TO_EDIT),
            }),
        })
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Ends the calls, sessions and help requests that this node left open when it last died, with
    /// the cause `restart`, and says so in the audit. To be called once, before the first call.
    pub async fn end_what_was_interrupted(&self, at_ms: i64) -> Result<Interrupted, StoreError> {
        let mut tx = self.records.begin().await?;
        let node = &*self.node;

        type Open = (String, Option<String>, Option<String>, Option<String>);
        let sessions = rows!(
            &mut tx,
            Open,
            "SELECT id, organisation, supervisor, call FROM sessions \
             WHERE node = $1 AND ended_ms IS NULL ORDER BY id",
            node
        )?;
        let calls = rows!(
            &mut tx,
            Open,
            "SELECT id, organisation, agent, pool FROM calls \
             WHERE node = $1 AND ended_ms IS NULL ORDER BY id",
            node
        )?;

        let help = rows!(
            &mut tx,
            (String, String, String, String, String),
            "SELECT id, organisation, call, agent, state FROM help_requests \
             WHERE node = $1 AND ended_ms IS NULL ORDER BY id",
            node
        )?;

        let by_system = |id: &str, action: &str| audit::Row {
            at_ms,
            actor: "system".into(),
            source: "system".into(),
            action: action.into(),
            detail: Some("restart".into()),
            outcome: "done".into(),
            record: format!("{RESTART_RECORD}{id}"),
            ..audit::Row::default()
        };
        let of_sessions = sessions.iter().map(|(id, organisation, _, call)| {
            let mut row = by_system(id, "session_ended");
            row.organisation = organisation.clone();
            row.session = Some(id.clone());
            row.call = call.clone();
            row
        });
        let of_calls = calls.iter().map(|(id, organisation, agent, _)| {
            let mut row = by_system(id, "call_ended");
            row.organisation = organisation.clone();
            row.call = Some(id.clone());
            row.agent = agent.clone();
            row
        });
        // As at the end of any call: what waits is cancelled, what was taken is closed.
        let of_help = help.iter().map(|(id, organisation, call, agent, state)| {
            let action = match &**state {
                "in_progress" => "help_close",
                _ => "help_cancel",
            };
            let mut row = by_system(id, action);
            row.organisation = Some(organisation.clone());
            row.call = Some(call.clone());
            row.agent = Some(agent.clone());
            row.help_request = Some(id.clone());
            row
        });
        let rows = of_sessions.chain(of_help).chain(of_calls).collect();
        audit::append(&mut tx, rows).await?;

        for sql in [
            "UPDATE sessions SET ended_ms = $2, cause = 'restart' \
             WHERE node = $1 AND ended_ms IS NULL",
            "UPDATE calls SET ended_ms = $2, cause = 'restart' \
             WHERE node = $1 AND ended_ms IS NULL",
            "UPDATE help_requests SET ended_ms = $2, \
             state = CASE state WHEN 'in_progress' THEN 'closed' ELSE 'cancelled' END \
             WHERE node = $1 AND ended_ms IS NULL",
        ] {
            execute!(&mut tx, sql, node, at_ms)?;
        }
        tx.commit().await?;
        Ok(Interrupted {
            calls: calls.len(),
            sessions: sessions.len(),
        })
    }

    /// Closes all connections. What the recorder still holds is to be closed first.
    pub async fn close(&self) {
        self.db.close().await;
        self.records.close().await;
    }
}

/// Beyond this many that wait, a check is refused rather than queued.
const MAX_WAITING_FOR_HASHES: usize = 64;

/// Beyond this many that wait, a change of people is refused rather than queued.
const MAX_WAITING_TO_EDIT: usize = 64;

/// Stands before the id in the `record` of a row that no recorder handed over.
const RESTART_RECORD: &str = "restart-";
