//! A process that is killed while it writes: what it had reported as recorded is there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use sottovoce::control::input::StoreAnswer;
use sottovoce::control::record::Record;
use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::store::Store;
use sottovoce::edge::store::audit::Verdict;
use sottovoce::id::{CallId, RecordId};
use tokio::sync::mpsc;

use crate::cases::{audit_row, call_row};
use crate::databases::Database;

/// Names the database to the process that is to be killed; without it there is nothing to do.
const VARIABLE: &str = "SOTTOVOCE_TEST_WRITE_TO";
const THE_KILLED: &str = "a_process_that_is_to_be_killed_writes_until_it_is";

/// Reported before the process is killed.
const ENOUGH: usize = 400;

pub async fn what_was_reported_survives_a_kill_in_the_middle_of_writing(database: Database) {
    let place = match &database.url {
        DatabaseUrl::Sqlite(path) => path.display().to_string(),
        DatabaseUrl::Postgres(url) => url.clone(),
    };
    // The tables are made here, so that the process only writes.
    let store = database.store().await;
    store.close().await;

    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THE_KILLED, "--nocapture"])
        .env(VARIABLE, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut reported = Vec::new();
    while reported.len() < ENOUGH {
        let line = said.next().expect("the process writes on").unwrap();
        reported.extend(record_in(&line));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    // What it had said and we had not read yet was reported as well. A last line may be cut.
    let mut rest: Vec<String> = said.map_while(Result::ok).collect();
    rest.pop();
    reported.extend(rest.iter().filter_map(|line| record_in(line)));

    let store = database.store().await;
    let verdict = store.verify_audit().await.unwrap();
    let Verdict::Intact { rows } = verdict else {
        panic!("{verdict:?}");
    };
    let there = database.texts("SELECT record FROM audit").await;
    let there: std::collections::BTreeSet<_> =
        there.into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(rows as usize, there.len(), "nothing was written twice");
    for id in reported {
        assert!(there.contains(&id), "record {id} was reported and is lost");
    }
    let ended = store.end_what_was_interrupted(1).await.unwrap();
    assert_eq!(ended.calls, 1, "the call that it was writing about");
}

/// `recorded 1f` → `1f`
fn record_in(line: &str) -> Option<String> {
    line.strip_prefix("recorded ").map(str::to_owned)
}

pub fn write_until_killed() {
    let Ok(place) = std::env::var(VARIABLE) else {
        return;
    };
    let url = match place.starts_with("postgres:") {
        true => DatabaseUrl::Postgres(place),
        false => DatabaseUrl::Sqlite(place.into()),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&url, "node-1").await.unwrap();
        let (sender, mut answers) = mpsc::channel(1_024);
        let recorder = store.start_writer(sender);
        let first = Record::CallStarted(call_row(CallId(1)));
        recorder.record(RecordId(0), 1, first).unwrap();
        for id in 1.. {
            let row = Record::Audit(audit_row("role"));
            recorder.record(RecordId(id), id as i64, row).unwrap();
            // Some in flight at every moment.
            if id > 40 {
                let answer = answers.recv().await.unwrap();
                if let StoreAnswer::Recorded(id) = answer
                    && id != RecordId(0)
                {
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "recorded {id}").unwrap();
                }
            }
        }
    });
}
