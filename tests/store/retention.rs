//! Whole days are forgotten, and the chain of what is left is as verifiable as before.

use std::time::Duration;

use sottovoce::control::record::Record;
use sottovoce::edge::store::Store;
use sottovoce::edge::store::audit::{Selection, Verdict};
use sottovoce::edge::store::retention::Pruned;
use sottovoce::id::{CallId, RecordId};
use tokio::sync::mpsc;

use crate::cases::{audit_row, call_row};
use crate::databases::Database;

const DAY_MS: i64 = 86_400_000;
/// Some noon.
const TODAY: i64 = 20_000 * DAY_MS + DAY_MS / 2;

pub async fn whole_days_are_forgotten_and_the_chain_stays_verifiable(database: Database) {
    let store = database.store().await;
    // Four rows a day, of the last five days and today, one of them a millisecond before midnight.
    let days = (-5..=0).flat_map(|day| {
        let midnight = (20_000 + day) * DAY_MS;
        [1, 2, 3, DAY_MS - 1].map(|ms| midnight + ms)
    });
    write(&store, days.collect()).await;
    assert_eq!(verdict(&store).await, Verdict::Intact { rows: 24 });

    let pruned = store.prune(TODAY, 2).await.unwrap();

    let expected = Pruned {
        audit_rows: 12,
        others: 0,
    };
    assert_eq!(pruned, expected);
    let rows = store.audit_page(&Selection::default(), 0).await.unwrap();
    assert_eq!(rows.len(), 12 + 3, "and a row for each day that was taken");
    assert_eq!((rows[0].seq, rows[0].at_ms), (13, 19_998 * DAY_MS + 1));
    let last = rows.last().unwrap();
    assert_eq!(last.action, "audit_prune");
    let said = last.detail.as_deref().unwrap_or_default();
    assert!(said.contains("4 rows to 12 "), "{said}");
    assert_eq!(verdict(&store).await, Verdict::Intact { rows: 15 });

    let again = store.prune(TODAY, 2).await.unwrap();
    assert_eq!(again, Pruned::default());
    assert_eq!(verdict(&store).await, Verdict::Intact { rows: 15 });
}

pub async fn what_is_altered_after_forgetting_is_still_found(database: Database) {
    let store = database.store().await;
    write(&store, vec![1, 2, TODAY, TODAY + 1, TODAY + 2]).await;
    store.prune(TODAY, 30).await.unwrap();
    assert_eq!(verdict(&store).await, Verdict::Intact { rows: 4 });
    // Each is undone before the next.
    let tampering = [
        (
            "UPDATE audit SET actor = 'eve' WHERE seq = 3",
            "UPDATE audit SET actor = 'mia' WHERE seq = 3",
            3,
            "it was altered",
        ),
        (
            "UPDATE audit SET actor = 'eve' WHERE seq = 5",
            "UPDATE audit SET actor = 'mia' WHERE seq = 5",
            5,
            "it was altered",
        ),
        (
            "UPDATE audit SET seq = 1003 WHERE seq = 3",
            "UPDATE audit SET seq = 3 WHERE seq = 1003",
            3,
            "it is missing",
        ),
        (
            "UPDATE audit_head SET pruned_hash = 'ff' || pruned_hash",
            "UPDATE audit_head SET pruned_hash = substr(pruned_hash, 3)",
            3,
            "it was altered",
        ),
    ];
    for (forge, undo, seq, why) in tampering {
        database.execute(forge).await;
        let altered = Verdict::Altered { seq, why };
        assert_eq!(verdict(&store).await, altered, "{forge}");
        database.execute(undo).await;
        assert_eq!(verdict(&store).await, Verdict::Intact { rows: 4 }, "{undo}");
    }

    // Somebody cuts off one row more and moves the anchor as retention would.
    database
        .execute(
            "UPDATE audit_head SET pruned_seq = 3, \
             pruned_hash = (SELECT hash FROM audit WHERE seq = 3); \
             DELETE FROM audit WHERE seq = 3",
        )
        .await;
    let why = "it and those before it were cut off";
    assert_eq!(
        verdict(&store).await,
        Verdict::Altered { seq: 3, why },
        "the row of the taking names another beginning"
    );
}

pub async fn calls_that_ended_before_are_forgotten_with_their_days(database: Database) {
    let store = database.store().await;
    let (sender, mut answers) = mpsc::channel(64);
    let recorder = store.start_writer(sender);
    let ended = |call| Record::CallEnded {
        call: CallId(call),
        cause: "user hung up".into(),
    };
    let facts = [
        (1, Record::CallStarted(call_row(CallId(1)))),
        (2, ended(1)),
        (3, Record::CallStarted(call_row(CallId(2)))),
        (4, Record::CallStarted(call_row(CallId(3)))),
        (TODAY, ended(3)),
    ];
    for (id, (at_ms, fact)) in (0..).zip(facts) {
        recorder.record(RecordId(id), at_ms, fact).unwrap();
    }
    for _ in 0..5 {
        answers.recv().await.unwrap();
    }

    let pruned = store.prune(TODAY, 7).await.unwrap();

    assert_eq!(pruned.others, 1);
    let left = database.texts("SELECT id FROM calls ORDER BY id").await;
    assert_eq!(left, [["2"], ["3"]], "what goes on and what ended today");
    recorder.close(Duration::from_secs(60)).await.unwrap();
}

async fn verdict(store: &Store) -> Verdict {
    store.verify_audit().await.unwrap()
}

/// A row of the audit at each of these times.
async fn write(store: &Store, times: Vec<i64>) {
    let (sender, mut answers) = mpsc::channel(64);
    let recorder = store.start_writer(sender);
    let count = times.len();
    for (id, at_ms) in (0..).zip(times) {
        let row = Record::Audit(audit_row("role"));
        recorder.record(RecordId(id), at_ms, row).unwrap();
    }
    for _ in 0..count {
        answers.recv().await.unwrap();
    }
    recorder.close(Duration::from_secs(60)).await.unwrap();
}
