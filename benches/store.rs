//! How many calls a second the store can take, and how long a fact takes to be durable at a
//! thousand calls a second, every tenth of them supervised. On SQLite and on PostgreSQL.

#[path = "../tests/store/databases.rs"]
#[allow(dead_code)]
mod databases;
#[path = "shared/figures.rs"]
mod figures;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sottovoce::control::input::StoreAnswer;
use sottovoce::control::record::{AuditRow, CallRow, Direction, Outcome, Record, Source};
use sottovoce::edge::store::{Recorder, Store};
use sottovoce::id::{CallId, RecordId, SessionId};
use tokio::sync::mpsc;

use databases::Database;

const CALLS: u64 = 10_000;
const PER_SECOND: u64 = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!(
        "{:<12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "database", "calls/s", "facts/s", "median ms", "p99 ms", "max ms"
    );
    let sqlite = measure("sqlite", Database::sqlite().await).await;
    let postgres = measure("postgres", Database::postgres().await).await;
    figures::keep("store", &json!({"sqlite": sqlite, "postgres": postgres}))
}

async fn measure(name: &str, database: Database) -> Value {
    let store = database.store().await;

    let mut bench = Bench::start(&store, 0);
    let started = Instant::now();
    for call in 0..CALLS {
        bench.one_call(call).await;
    }
    bench.until_all_are_recorded().await;
    let took = started.elapsed().as_secs_f64();
    let facts = bench.next;
    let closed = bench.recorder.close(Duration::from_secs(10)).await;
    closed.expect("every fact is written");

    let mut bench = Bench::start(&store, facts);
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    for turn in 0..(5 * 100) {
        clock.tick().await;
        for call in 0..PER_SECOND / 100 {
            bench.one_call(CALLS + turn * PER_SECOND / 100 + call).await;
        }
    }
    bench.until_all_are_recorded().await;
    let mut delays = std::mem::take(&mut bench.delays);
    delays.sort_unstable();
    let ms = |share: f64| {
        let index = ((delays.len() - 1) as f64 * share) as usize;
        delays[index].as_secs_f64() * 1e3
    };
    let (calls, facts) = (CALLS as f64 / took, facts as f64 / took);
    let (median, p99, most) = (ms(0.5), ms(0.99), ms(1.0));
    println!("{name:<12} {calls:>12.0} {facts:>12.0} {median:>12.1} {p99:>12.1} {most:>12.1}");
    let closed = bench.recorder.close(Duration::from_secs(10)).await;
    closed.expect("every fact is written");
    store.close().await;
    json!({
        "calls_per_second": calls,
        "facts_per_second": facts,
        "median_ms": median,
        "p99_ms": p99,
        "max_ms": most,
    })
}

struct Bench {
    recorder: Recorder,
    answers: mpsc::Receiver<StoreAnswer>,
    next: u64,
    waiting: BTreeMap<RecordId, Instant>,
    delays: Vec<Duration>,
}

impl Bench {
    fn start(store: &Store, next: u64) -> Self {
        let (sender, answers) = mpsc::channel(1_024);
        Self {
            recorder: store.start_writer(sender),
            answers,
            next,
            waiting: BTreeMap::new(),
            delays: Vec::new(),
        }
    }

    async fn one_call(&mut self, number: u64) {
        let call = CallId(number);
        self.record(Record::CallStarted(CallRow {
            call,
            organisation: Some("acme".into()),
            agent: Some("204".into()),
            pool: Some("support".into()),
            direction: Direction::Inbound,
            from: "+358501112222".into(),
            to: "support".into(),
        }))
        .await;
        self.record(Record::CallAnswered { call }).await;
        if number.is_multiple_of(10) {
            let session = SessionId(number);
            self.record(Record::SessionStarted {
                session,
                call,
                organisation: "acme".into(),
                supervisor: "mia".into(),
            })
            .await;
            for action in ["dial_in", "join", "role", "role", "role", "leave"] {
                self.record(Record::Audit(audit_row(call, session, action)))
                    .await;
            }
            let cause = "hung up".into();
            self.record(Record::SessionEnded { session, cause }).await;
        }
        let cause = "agent".into();
        self.record(Record::CallEnded { call, cause }).await;
    }

    async fn record(&mut self, record: Record) {
        let id = RecordId(self.next);
        self.next += 1;
        self.waiting.insert(id, Instant::now());
        while self.recorder.record(id, 1, record.clone()).is_err() {
            self.answer().await;
        }
        while let Ok(answer) = self.answers.try_recv() {
            self.note(answer);
        }
    }

    async fn until_all_are_recorded(&mut self) {
        while !self.waiting.is_empty() {
            self.answer().await;
        }
    }

    async fn answer(&mut self) {
        if let Some(answer) = self.answers.recv().await {
            self.note(answer);
        }
    }

    fn note(&mut self, answer: StoreAnswer) {
        if let StoreAnswer::Recorded(id) = answer
            && let Some(since) = self.waiting.remove(&id)
        {
            self.delays.push(since.elapsed());
        }
    }
}

fn audit_row(call: CallId, session: SessionId, action: &'static str) -> AuditRow {
    AuditRow {
        organisation: Some("acme".into()),
        actor: "mia".into(),
        source: Source::Phone,
        call: Some(call),
        session: Some(session),
        agent: Some("204".into()),
        customer: Some("+358501112222".into()),
        action,
        detail: Some("4#".into()),
        role_before: Some("monitor"),
        role_after: Some("coach"),
        outcome: Outcome::Done,
        code: None,
        help_request: None,
    }
}
