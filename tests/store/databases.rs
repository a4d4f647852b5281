//! A SQLite file, or a PostgreSQL that is started for the tests and stopped after them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::store::Store;

/// A database of one test's own. Removed with it.
pub struct Database {
    pub url: DatabaseUrl,
    _folder: Option<Folder>,
    _server: Option<Arc<Server>>,
}

impl Database {
    pub async fn sqlite() -> Self {
        let folder = Folder::new("sqlite");
        Self {
            url: DatabaseUrl::Sqlite(folder.0.join("data/sottovoce.db")),
            _folder: Some(folder),
            _server: None,
        }
    }

    pub async fn postgres() -> Self {
        let server = Server::shared();
        let name = format!("t{}", unique());
        let url = server.url("postgres");
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        Self {
            url: DatabaseUrl::Postgres(server.url(&name)),
            _folder: None,
            _server: Some(server),
        }
    }

    pub async fn store(&self) -> Store {
        self.store_of("node-1").await
    }

    pub async fn store_of(&self, node: &str) -> Store {
        Store::open(&self.url, node).await.unwrap()
    }

    /// One statement or more, past the product.
    pub async fn execute(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let pool = sqlite_pool(path).await;
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                pool.close().await;
            }
            DatabaseUrl::Postgres(url) => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                pool.close().await;
            }
        }
    }

    /// All rows of a query for texts, past the product. A column that is NULL is `-`.
    pub async fn texts(&self, sql: &str) -> Vec<Vec<String>> {
        use sqlx::{Column, Row};

        fn cells<R: Row>(row: &R, text: impl Fn(&R, usize) -> Option<String>) -> Vec<String> {
            let columns = row.columns().iter();
            columns
                .map(|column| text(row, column.ordinal()).unwrap_or_else(|| "-".into()))
                .collect()
        }
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let pool = sqlite_pool(path).await;
                let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
                pool.close().await;
                rows.iter().map(|r| cells(r, |r, i| r.get(i))).collect()
            }
            DatabaseUrl::Postgres(url) => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
                pool.close().await;
                rows.iter().map(|r| cells(r, |r, i| r.get(i))).collect()
            }
        }
    }

    /// Keeps everybody else from writing until it is dropped.
    pub async fn lock(&self) -> Lock {
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let pool = sqlite_pool(path).await;
                Lock::Sqlite(pool.begin_with("BEGIN EXCLUSIVE").await.unwrap())
            }
            DatabaseUrl::Postgres(url) => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                let mut tx = pool.begin().await.unwrap();
                sqlx::raw_sql("LOCK TABLE audit_head, calls IN ACCESS EXCLUSIVE MODE")
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                Lock::Postgres(tx)
            }
        }
    }
}

pub enum Lock {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Lock {
    pub async fn release(self) {
        match self {
            Lock::Sqlite(tx) => tx.rollback().await.unwrap(),
            Lock::Postgres(tx) => tx.rollback().await.unwrap(),
        }
    }
}

async fn sqlite_pool(path: &Path) -> sqlx::SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    sqlx::SqlitePool::connect_with(options).await.unwrap()
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(what: &str) -> Self {
        let name = format!("sottovoce-{what}-{}-{}", std::process::id(), unique());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A PostgreSQL on a socket in a folder of its own, without a port. Stopped when the last test
/// that uses it is done, also by a panic.
struct Server {
    process: Child,
    folder: Folder,
}

impl Server {
    fn shared() -> Arc<Self> {
        static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn start() -> Self {
        let programs = programs();
        let folder = Folder::new("postgres");
        let user = unprivileged_user();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&folder.0, Some(uid), Some(gid)).unwrap();
        }
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(&folder.0).env("LC_ALL", "C");
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };

        let data = folder.0.join("data");
        let made = command("initdb")
            .args(["--auth=trust", "--username=postgres", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {made:?}");

        let mut process = command("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder.0)
            .args(["-c", "listen_addresses=", "-c", "fsync=on"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let line = log.next().and_then(Result::ok);
            let line = line.unwrap_or_else(|| panic!("PostgreSQL ended: {said:#?}"));
            if line.contains("ready to accept connections") {
                break;
            }
            said.push(line);
        }
        // Read on, so that it is never kept from writing.
        std::thread::spawn(move || log.for_each(drop));
        Self { process, folder }
    }

    fn url(&self, database: &str) -> String {
        let socket = self.folder.0.display();
        format!("postgres://postgres@localhost/{database}?host={socket}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: at once, and its children with it.
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}

/// Where the newest PostgreSQL has its programs.
fn programs() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(std::env::split_paths(&on_path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .expect("PostgreSQL is not installed; the tests need it. `./run test` installs it (Debian: apt-get install postgresql)")
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package made.
fn unprivileged_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            match fields.as_slice() {
                [user, _, uid, gid, ..] if *user == name => {
                    Some((uid.parse().ok()?, gid.parse().ok()?))
                }
                _ => None,
            }
        })
    };
    Some(of("postgres").or_else(|| of("nobody")).unwrap())
}
