//! A batch of facts as one transaction.

use crate::control::record::{HelpRow, HelpState, Record};
use crate::edge::store::audit;
use crate::edge::store::call_rows::Calls;
use crate::edge::store::db::{Db, Tx, execute, rows};
use crate::id::RecordId;

/// A fact, when it happened, and the name under which its durability is told.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub id: RecordId,
    pub at_ms: i64,
    pub record: Record,
}

impl Fact {
    /// Whether it tells of a call's course, which nobody waits to see written.
    pub fn is_of_a_call(&self) -> bool {
        match &self.record {
            Record::CallStarted(_) | Record::CallAnswered { .. } | Record::CallEnded { .. } => true,
            Record::Audit(_)
            | Record::SessionStarted { .. }
            | Record::SessionEnded { .. }
            | Record::Help(_) => false,
        }
    }

    /// What it tells of and where it belongs, as `audit role of call 1f`: for the log when it is
    /// lost.
    pub fn name(&self) -> String {
        match &self.record {
            Record::CallStarted(row) => format!("start of call {}", row.call),
            Record::CallAnswered { call } => format!("answer of call {call}"),
            Record::CallEnded { call, .. } => format!("end of call {call}"),
            Record::SessionStarted { session, call, .. } => {
                format!("start of session {session} of call {call}")
            }
            Record::SessionEnded { session, .. } => format!("end of session {session}"),
            Record::Audit(row) => match row.call {
                Some(call) => format!("audit {} of call {call}", row.action),
                None => format!("audit {}", row.action),
            },
            Record::Help(row) => format!("help request {} of call {}", row.help, row.call),
        }
    }
}

/// Whether a batch may have been written before: a commit whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    Again,
}

/// Writes a batch; when this returns, it is on the disk.
pub(super) async fn write(
    db: &Db,
    node: &str,
    batch: &[Fact],
    attempt: Attempt,
) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    let mut calls = Calls::default();
    let mut audit_rows = Vec::new();
    for fact in batch {
        let at_ms = fact.at_ms;
        match &fact.record {
            Record::Audit(row) => {
                if attempt == Attempt::First || !is_there(&mut tx, fact).await? {
                    audit_rows.push(audit::Row::of(fact.id, at_ms, row));
                }
            }
            // Gathered: of these there are the most.
            Record::CallStarted(row) => calls.started(row, at_ms),
            Record::CallAnswered { call } => calls.answered(*call, at_ms),
            Record::CallEnded { call, cause } => calls.ended(*call, at_ms, cause),
            Record::SessionStarted {
                session,
                call,
                organisation,
                supervisor,
            } => {
                execute!(
                    &mut tx,
                    "INSERT INTO sessions (id, node, call, organisation, supervisor, started_ms) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
                    session.to_string(),
                    node,
                    call.to_string(),
                    &**organisation,
                    &**supervisor,
                    at_ms,
                )?;
            }
            Record::SessionEnded { session, cause } => {
                execute!(
                    &mut tx,
                    "UPDATE sessions SET ended_ms = $2, cause = $3 WHERE id = $1",
                    session.to_string(),
                    at_ms,
                    &**cause
                )?;
            }
            Record::Help(row) => help(&mut tx, node, at_ms, row).await?,
        }
    }
    calls.write(&mut tx, node).await?;
    audit::append(&mut tx, audit_rows).await?;
    tx.commit().await
}

async fn help(tx: &mut Tx, node: &str, at_ms: i64, row: &HelpRow) -> Result<(), sqlx::Error> {
    let accepted_ms = (row.state == HelpState::InProgress).then_some(at_ms);
    let ended_ms = match row.state {
        HelpState::Requested | HelpState::InProgress => None,
        HelpState::Closed | HelpState::Cancelled | HelpState::Expired => Some(at_ms),
    };
    execute!(
        &mut *tx,
        "INSERT INTO help_requests (id, node, organisation, call, agent, reason, comment, state, \
         provided_by, requested_ms, accepted_ms, ended_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, comment = excluded.comment, \
         state = excluded.state, provided_by = excluded.provided_by, \
         accepted_ms = COALESCE(help_requests.accepted_ms, excluded.accepted_ms), \
         ended_ms = excluded.ended_ms",
        row.help.to_string(),
        node,
        &*row.organisation,
        row.call.to_string(),
        &*row.agent,
        &*row.reason,
        &*row.comment,
        row.state.name(),
        row.provided_by.as_deref(),
        at_ms,
        accepted_ms,
        ended_ms,
    )?;
    Ok(())
}

async fn is_there(tx: &mut Tx, fact: &Fact) -> Result<bool, sqlx::Error> {
    let found = rows!(
        &mut *tx,
        (i64,),
        "SELECT seq FROM audit WHERE record = $1 AND at_ms = $2",
        fact.id.to_string(),
        fact.at_ms
    )?;
    Ok(!found.is_empty())
}
