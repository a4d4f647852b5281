//! The writer: takes facts as they come, makes whatever waits durable in one transaction, and then
//! says so for each. One commit serves as many facts as arrived during the commit before it, so the
//! disk's speed bounds the delay of a fact and hardly the number of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::control::input::StoreAnswer;
use crate::control::record::Record;
use crate::edge::store::Store;
use crate::edge::store::records::{Attempt, Fact, write};
use crate::id::RecordId;

/// Facts that may wait for a database that does not answer. At two hundred bytes each, some
/// megabytes; beyond it the oldest stay and the newest are refused.
const WAITING: usize = 32_768;

/// Facts in one transaction.
const BATCH: usize = 512;

/// How long facts of which nobody waits to hear are gathered, so that one commit serves them all.
const GATHER: Duration = Duration::from_millis(20);

/// A commit that takes longer counts as a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts while the database does not answer.
const RETRY: Duration = Duration::from_millis(250);

/// How often a database that nobody writes to is asked whether it would take a fact.
const PROBE: Duration = Duration::from_secs(5);

/// Where facts are handed in. Never waits.
#[derive(Debug)]
pub struct Recorder {
    facts: mpsc::Sender<Fact>,
    give_up: oneshot::Sender<()>,
    /// What it had not written when it ended.
    task: JoinHandle<Vec<Fact>>,
}

/// A fact was not taken: too many wait, or the writer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTaken;

/// Facts that no database had taken when the writer ended. Says how many, and which.
#[derive(Debug)]
pub struct Lost {
    count: usize,
    /// How many of each name.
    names: BTreeMap<String, usize>,
}

/// Names that [`Lost`] writes out.
const NAMED: usize = 100;

/// Reasons that are logged while the database does not answer.
const REASONS: usize = 16;

impl Store {
    /// Starts the writer. `answers` is told `Recorded` of each fact, and `Down` and `Up`.
    pub fn start_writer(&self, answers: mpsc::Sender<StoreAnswer>) -> Recorder {
        let (facts, waiting) = mpsc::channel(WAITING);
        let (give_up, given_up) = oneshot::channel();
        let writer = Writer {
            store: self.clone(),
            waiting,
            answers,
            down: false,
            reasons: BTreeSet::new(),
        };
        Recorder {
            facts,
            give_up,
            task: tokio::spawn(writer.run(given_up)),
        }
    }
}

impl Recorder {
    /// Hands in a fact that happened at that time (UTC, milliseconds).
    pub fn record(&self, id: RecordId, at_ms: i64, record: Record) -> Result<(), NotTaken> {
        let fact = Fact { id, at_ms, record };
        self.facts.try_send(fact).map_err(|_| NotTaken)
    }

    /// Writes what still waits, for as long as the caller has patience, and ends the writer.
    pub async fn close(self, patience: Duration) -> Result<(), Lost> {
        let Self {
            facts,
            give_up,
            mut task,
        } = self;
        drop(facts);
        let ended = match tokio::time::timeout(patience, &mut task).await {
            Ok(ended) => ended,
            Err(_) => {
                // A writer that has ended meanwhile needs not be told.
                let _ = give_up.send(());
                task.await
            }
        };
        match ended {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => Err(Lost::of(&left)),
            Err(error) => {
                error!(%error, "the writer of the store failed");
                Err(Lost::of(&[]))
            }
        }
    }
}

impl Lost {
    fn of(facts: &[Fact]) -> Self {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for fact in facts {
            *names.entry(fact.name()).or_default() += 1;
        }
        let count = facts.len();
        Self { count, names }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("the writer of the store failed, and what it held is lost");
        }
        write!(
            f,
            "{} facts that the store did not take are lost",
            self.count
        )?;
        for (index, (name, count)) in self.names.iter().take(NAMED).enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            write!(f, "{before}{count} × {name}")?;
        }
        match self.names.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl std::error::Error for Lost {}

struct Writer {
    store: Store,
    waiting: mpsc::Receiver<Fact>,
    answers: mpsc::Sender<StoreAnswer>,
    down: bool,
    /// Why it does not answer, as far as it was logged.
    reasons: BTreeSet<String>,
}

impl Writer {
    /// Runs until nobody hands in facts any more and all are written, or until it is to give up;
    /// what is not written then.
    async fn run(mut self, give_up: oneshot::Receiver<()>) -> Vec<Fact> {
        let mut batch = Vec::with_capacity(BATCH);
        tokio::select! {
            () = self.serve(&mut batch) => {}
            Ok(()) = give_up => {}
        }
        while let Ok(fact) = self.waiting.try_recv() {
            batch.push(fact);
        }
        batch
    }

    async fn serve(&mut self, batch: &mut Vec<Fact>) {
        loop {
            let probe = if self.down { RETRY } else { PROBE };
            tokio::select! {
                taken = self.waiting.recv_many(batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    self.gather(batch).await;
                    self.write_until_done(batch).await;
                }
                () = tokio::time::sleep(probe) => {
                    let found = self.probe().await;
                    self.tell(found.is_ok(), found.err()).await;
                }
            }
        }
    }

    /// Waits a little for more, unless somebody waits for one of these.
    async fn gather(&mut self, batch: &mut Vec<Fact>) {
        let time_is_up = tokio::time::sleep(GATHER);
        tokio::pin!(time_is_up);
        let mut looked_at = 0;
        while batch.len() < BATCH && batch[looked_at..].iter().all(Fact::is_of_a_call) {
            looked_at = batch.len();
            tokio::select! {
                () = &mut time_is_up => return,
                taken = self.waiting.recv_many(batch, BATCH - looked_at) => {
                    if taken == 0 {
                        return;
                    }
                }
            }
        }
    }

    /// Keeps at it: facts are not given up because a disk is full or a lock is held.
    async fn write_until_done(&mut self, batch: &mut Vec<Fact>) {
        let mut attempt = Attempt::First;
        loop {
            match self.try_write(batch, attempt).await {
                Ok(()) => break,
                Err(error) if is_the_fact_s_own_fault(&error) => {
                    self.write_one_by_one(batch).await;
                    return;
                }
                Err(error) => {
                    self.tell(false, Some(error)).await;
                    attempt = Attempt::Again;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        self.tell(true, None).await;
        for fact in batch.drain(..) {
            self.answer(StoreAnswer::Recorded(fact.id)).await;
        }
    }

    /// One fact that the database refuses must not keep back the others. What is refused for good
    /// is an error of this product; supervision is held back while it is told.
    async fn write_one_by_one(&mut self, batch: &mut Vec<Fact>) {
        while let Some(fact) = batch.first().cloned() {
            let one = std::slice::from_ref(&fact);
            match self.try_write(one, Attempt::Again).await {
                Ok(()) => {
                    self.tell(true, None).await;
                    batch.remove(0);
                    self.answer(StoreAnswer::Recorded(fact.id)).await;
                }
                Err(error) if is_the_fact_s_own_fault(&error) => {
                    error!(record = %fact.id, %error, "a fact cannot be stored");
                    self.tell(false, Some(error)).await;
                    batch.remove(0);
                }
                Err(error) => {
                    self.tell(false, Some(error)).await;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn try_write(&self, batch: &[Fact], attempt: Attempt) -> Result<(), sqlx::Error> {
        let writing = write(&self.store.records, &self.store.node, batch, attempt);
        match tokio::time::timeout(PATIENCE, writing).await {
            Ok(result) => result,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Takes the lock that a fact would need, and lets go of it.
    async fn probe(&self) -> Result<(), sqlx::Error> {
        let probing = async { self.store.records.begin().await?.roll_back().await };
        match tokio::time::timeout(PATIENCE, probing).await {
            Ok(result) => result,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Tells a change between answering and not, and logs every reason once.
    async fn tell(&mut self, up: bool, why: Option<sqlx::Error>) {
        if let Some(why) = why.map(|error| error.to_string())
            && self.reasons.len() < REASONS
            && self.reasons.insert(why.clone())
        {
            warn!(why, "the store does not answer; nothing new is supervised");
        }
        match (self.down, up) {
            (false, false) => {
                self.down = true;
                self.answer(StoreAnswer::Down).await;
            }
            (true, true) => {
                info!("the store answers again");
                self.down = false;
                self.reasons.clear();
                self.answer(StoreAnswer::Up).await;
            }
            (false, true) | (true, false) => {}
        }
    }

    async fn answer(&self, answer: StoreAnswer) {
        // Nobody listens any more once the service goes down; the facts are still written.
        let _ = self.answers.send(answer).await;
    }
}

/// Whether the database is well and refuses the content.
fn is_the_fact_s_own_fault(error: &sqlx::Error) -> bool {
    let error = match error {
        sqlx::Error::Database(error) => error,
        sqlx::Error::Encode(_) => return true,
        _ => return false,
    };
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        // A constraint, or a value that is none of its type.
        Some(_) => code.starts_with("23") || code.starts_with("22"),
        // The low byte is the kind: SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH.
        None => {
            let code: i32 = code.parse().unwrap_or_default();
            matches!(code & 0xff, 18..=20)
        }
    }
}
