//! A disk that fills up and is emptied again, and a connection that is lost, both while facts are
//! being written.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sottovoce::control::input::StoreAnswer;
use sottovoce::control::record::Record;
use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::store::Store;
use sottovoce::edge::store::audit::Verdict;

use crate::cases::{Writer, audit_row};
use crate::databases::Database;

/// Names the file to the process whose files may not grow; without it there is nothing to do.
const VARIABLE: &str = "SOTTOVOCE_TEST_FILL_UP";
const THE_FULL: &str = "a_process_whose_disk_fills_up_writes_when_there_is_room_again";

/// The limit on file sizes is the process's: a process of its own has it. A write beyond it is an
/// error to SQLite once the signal is ignored, which the child inherits.
pub async fn a_full_disk_is_recovered_from() {
    let database = Database::sqlite().await;
    let DatabaseUrl::Sqlite(path) = &database.url else {
        unreachable!("a database of SQLite")
    };
    let done = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", THE_FULL, "--nocapture"])
        .env(VARIABLE, path)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    let store = database.store().await;
    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 41 }
    );
}

pub async fn write_while_full() {
    let Ok(path) = std::env::var(VARIABLE) else {
        return;
    };
    let store = Store::open(&DatabaseUrl::Sqlite(path.into()), "node-1")
        .await
        .unwrap();
    let mut writer = Writer::start(&store);
    writer.hand_in(Record::Audit(audit_row("join")));
    writer.until_all_are_recorded().await;

    let limit = getrlimit(Resource::Fsize);
    let full = Rlimit {
        current: Some(4096),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Fsize, full).unwrap();
    for _ in 0..40 {
        writer.hand_in(Record::Audit(audit_row("role")));
    }
    assert!(matches!(writer.answer().await, StoreAnswer::Down));
    setrlimit(Resource::Fsize, limit).unwrap();

    assert!(matches!(writer.answer().await, StoreAnswer::Up));
    writer.until_all_are_recorded().await;
    writer.close().await.unwrap();
}

/// PostgreSQL ends the connection on which the writer is in the middle of a transaction.
pub async fn a_connection_lost_in_a_transaction_is_replaced() {
    let database = Database::postgres().await;
    let store = database.store().await;
    let mut writer = Writer::start(&store);
    let lock = database.lock().await;
    writer.hand_in(Record::Audit(audit_row("join")));
    let end_who_waits = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'sottovoce' \
         AND wait_event_type = 'Lock'";
    while database.texts(end_who_waits).await.is_empty() {}

    assert!(matches!(writer.answer().await, StoreAnswer::Down));
    lock.release().await;
    writer.until_all_are_recorded().await;

    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 1 }
    );
}

pub async fn what_is_not_taken_at_the_end_is_named(database: Database) {
    let store = database.store().await;
    let mut writer = Writer::start(&store);
    writer.hand_in(Record::Audit(audit_row("join")));
    writer.until_all_are_recorded().await;
    let lock = database.lock().await;
    for action in ["role", "role", "leave"] {
        writer.hand_in(Record::Audit(audit_row(action)));
    }
    assert!(matches!(writer.answer().await, StoreAnswer::Down));

    let lost = writer.close_now().await.unwrap_err().to_string();

    assert_eq!(
        lost,
        "3 facts that the store did not take are lost: \
         1 × audit leave of call abc, 2 × audit role of call abc"
    );
    lock.release().await;
}
