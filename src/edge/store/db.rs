//! One of two databases, spoken to with the same SQL.
//!
//! Both understand `$1`, `ON CONFLICT` and `RETURNING`. Integers are 64 bits wide, flags are 0 and
//! 1, ids are text; nothing else is needed, so that each query is written once and the macros
//! below send it to whichever database there is.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Postgres, Sqlite, Transaction};

use crate::edge::config::DatabaseUrl;
use crate::edge::store::StoreError;

#[derive(Clone, Debug)]
pub enum Db {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction. Dropped, it is rolled back.
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs a statement in a [`Tx`]; how many rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::edge::store::db::Tx::Sqlite(tx) => sqlx::query($sql)
                $(.bind($bind))*.execute(&mut **tx).await.map(|done| done.rows_affected()),
            $crate::edge::store::db::Tx::Postgres(tx) => sqlx::query($sql)
                $(.bind($bind))*.execute(&mut **tx).await.map(|done| done.rows_affected()),
        }
    };
}

/// All rows of a query in a [`Tx`], as tuples or structs.
macro_rules! rows {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::edge::store::db::Tx::Sqlite(tx) => sqlx::query_as::<_, $row>($sql)
                $(.bind($bind))*.fetch_all(&mut **tx).await,
            $crate::edge::store::db::Tx::Postgres(tx) => sqlx::query_as::<_, $row>($sql)
                $(.bind($bind))*.fetch_all(&mut **tx).await,
        }
    };
}

/// The one row of a query on a [`Db`], outside a transaction, if there is one.
macro_rules! one_row {
    ($db:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $db {
            $crate::edge::store::db::Db::Sqlite(pool) => sqlx::query_as::<_, $row>($sql)
                $(.bind($bind))*.fetch_optional(pool).await,
            $crate::edge::store::db::Db::Postgres(pool) => sqlx::query_as::<_, $row>($sql)
                $(.bind($bind))*.fetch_optional(pool).await,
        }
    };
}

/// All rows of a query on a [`Db`], outside a transaction.
macro_rules! all_rows {
    ($db:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $db {
            $crate::edge::store::db::Db::Sqlite(pool) => sqlx::query_as::<_, $row>($sql)
                $(.bind($bind))*.fetch_all(pool).await,
            $crate::edge::store::db::Db::Postgres(pool) => sqlx::query_as::<_, $row>($sql)
                $(.bind($bind))*.fetch_all(pool).await,
        }
    };
}

pub(crate) use {all_rows, execute, one_row, rows};

/// How long a statement waits for a lock that another process holds, and for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// After this long another process may have made the tables that it was making.
const AGAIN: Duration = Duration::from_millis(20);

impl Db {
    /// Connects. The file of SQLite is made where it is not there, readable by its owner alone.
    pub(super) async fn connect(url: &DatabaseUrl, connections: u32) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                create_missing(path).map_err(|source| StoreError::File {
                    path: path.clone(),
                    source,
                })?;
                // FULL: a commit is on the disk when it returns, which `Recorded` promises.
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(PATIENCE);
                let pool = SqlitePoolOptions::new()
                    .max_connections(connections)
                    .acquire_timeout(PATIENCE)
                    // There is no server that could have gone.
                    .test_before_acquire(false)
                    // SQLite itself rolls back when the disk is full or broken. The ROLLBACK after
                    // it finds no transaction and fails, and the connection takes itself for one
                    // that is inside a transaction for good: it is closed, and another is opened.
                    .before_acquire(|connection, _| {
                        let usable = !connection.is_in_transaction();
                        Box::pin(std::future::ready(Ok(usable)))
                    })
                    .connect_with(options)
                    .await
                    .map_err(|source| StoreError::Unopened {
                        path: path.clone(),
                        source,
                    })?;
                Ok(Db::Sqlite(pool))
            }
            DatabaseUrl::Postgres(url) => {
                let wait_ms = PATIENCE.as_millis().to_string();
                let options = PgConnectOptions::from_str(url)?
                    .application_name("sottovoce")
                    .options([("lock_timeout", wait_ms.as_str())]);
                let pool = PgPoolOptions::new()
                    .max_connections(connections)
                    .acquire_timeout(PATIENCE)
                    .connect_with(options)
                    .await?;
                Ok(Db::Postgres(pool))
            }
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Db::Sqlite(pool) => migrate_sqlite(pool).await?,
            Db::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await?,
        }
        Ok(())
    }

    /// Begins to write. On SQLite the lock is taken at once, so that it is found taken here and
    /// not half way through.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        Ok(match self {
            Db::Sqlite(pool) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Db::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Begins to read: every query sees the same moment.
    pub async fn begin_reading(&self) -> Result<Tx, sqlx::Error> {
        Ok(match self {
            Db::Sqlite(pool) => Tx::Sqlite(pool.begin().await?),
            Db::Postgres(pool) => Tx::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?,
            ),
        })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match self {
            Db::Sqlite(pool) => pool.close().await,
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await,
            Tx::Postgres(tx) => tx.commit().await,
        }
    }

    pub async fn roll_back(self) -> Result<(), sqlx::Error> {
        match self {
            Tx::Sqlite(tx) => tx.rollback().await,
            Tx::Postgres(tx) => tx.rollback().await,
        }
    }
}

/// There is no lock around the migrations of SQLite. Of two processes that begin with an empty file
/// at once, one finds a table there that it was about to make; looking again, it finds them all.
async fn migrate_sqlite(pool: &SqlitePool) -> Result<(), MigrateError> {
    let migrator = sqlx::migrate!("migrations/sqlite");
    let mut waited = Duration::ZERO;
    loop {
        match migrator.run(pool).await {
            Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..))
                if waited < PATIENCE =>
            {
                waited += AGAIN;
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Makes the file and its folder. A file that is there is not touched: the process holds POSIX locks
/// on what it has open through SQLite, and closing any other descriptor of that file would drop them
/// all. The next reader from outside would then take itself for the last one and delete the log that
/// is being written to (sqlite.org/howtocorrupt.html §2.2).
fn create_missing(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;

    if path.try_exists()? {
        return Ok(());
    }
    if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
        std::fs::create_dir_all(folder)?;
    }
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    drop(file);
    Ok(())
}

/// Whether a database can be written to, without making one.
pub async fn probe(url: &DatabaseUrl) -> Result<&'static str, StoreError> {
    if let DatabaseUrl::Sqlite(path) = url
        && !path.exists()
    {
        let there = path.ancestors().skip(1).find(|folder| folder.exists());
        let folder = there.unwrap_or(Path::new("."));
        let trial = folder.join(format!(".sottovoce-{}", std::process::id()));
        std::fs::File::create_new(&trial)
            .and_then(|_| std::fs::remove_file(&trial))
            .map_err(|source| StoreError::File {
                path: folder.to_owned(),
                source,
            })?;
        return Ok("will be made");
    }
    let db = Db::connect(url, 1).await?;
    let tried = match db.begin().await {
        Ok(tx) => tx.roll_back().await,
        Err(error) => Err(error),
    };
    db.close().await;
    tried?;
    Ok("answers")
}
