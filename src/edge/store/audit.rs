//! The audit: append-only, and each row's hash covers the row and the hash before it, so that a
//! row that is altered, removed or put in is found by computing the hashes again.

pub mod export;

use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use crate::control::record::{AuditRow, Outcome, Source};
use crate::edge::store::db::{Tx, all_rows, execute, one_row, rows};
use crate::edge::store::retention::Anchor;
use crate::edge::store::{Sight, Store, StoreError};
use crate::id::RecordId;

/// One row as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Row {
    pub seq: i64,
    pub at_ms: i64,
    pub organisation: Option<String>,
    pub actor: String,
    pub source: String,
    pub call: Option<String>,
    pub session: Option<String>,
    pub agent: Option<String>,
    pub customer: Option<String>,
    pub action: String,
    pub detail: Option<String>,
    pub role_before: Option<String>,
    pub role_after: Option<String>,
    pub outcome: String,
    pub code: Option<i64>,
    pub help_request: Option<String>,
    pub record: String,
    pub hash: String,
}

/// What computing the chain again came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every row is as it was written.
    Intact { rows: u64 },
    /// The first row that is not.
    Altered { seq: i64, why: &'static str },
}

/// Both ends of the chain: the last row, and the last of those that retention took.
#[derive(Debug, FromRow)]
struct Head {
    seq: i64,
    hash: String,
    pruned_seq: i64,
    pruned_hash: String,
}

/// Which rows are wanted. Times are milliseconds in UTC, `from` included and `to` not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Who acted.
    pub supervisor: Option<String>,
    /// Whose call it was: an extension.
    pub agent: Option<String>,
    /// The id of a call, in hexadecimal.
    pub call: Option<String>,
    pub sight: Sight,
}

/// Who acts where somebody runs a command.
const COMMAND_LINE: &str = "command-line";

/// Stands in the `record` of a row that no recorder handed over.
const PAGE_RECORD: &str = "page-";

/// Rows are read this many at a time, so that an audit of years needs little memory.
const PAGE: i64 = 1_000;

impl Row {
    /// What somebody did outside call control: at a page, by the API, by a command.
    pub fn by(actor: &str, source: Source, action: &str, at_ms: i64) -> Self {
        Self {
            at_ms,
            actor: actor.to_owned(),
            source: source.name().to_owned(),
            action: action.to_owned(),
            outcome: Outcome::Done.name().to_owned(),
            record: format!("{PAGE_RECORD}{}", uuid::Uuid::new_v4().simple()),
            ..Self::default()
        }
    }

    /// What was done from the command line of the node, by whoever may use it.
    pub fn by_command(action: &str, at_ms: i64) -> Self {
        Self::by(COMMAND_LINE, Source::System, action, at_ms)
    }

    pub(super) fn of(record: RecordId, at_ms: i64, row: &AuditRow) -> Self {
        let owned = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            seq: 0,
            at_ms,
            organisation: owned(&row.organisation),
            actor: row.actor.to_string(),
            source: row.source.name().to_owned(),
            call: row.call.map(|id| id.to_string()),
            session: row.session.map(|id| id.to_string()),
            agent: owned(&row.agent),
            customer: owned(&row.customer),
            action: row.action.to_owned(),
            detail: owned(&row.detail),
            role_before: row.role_before.map(str::to_owned),
            role_after: row.role_after.map(str::to_owned),
            outcome: row.outcome.name().to_owned(),
            code: row.code.map(|code| i64::from(code.number())),
            help_request: row.help_request.map(|id| id.to_string()),
            record: record.to_string(),
            hash: String::new(),
        }
    }

    /// The hash of this row after that one: over the text of the one and a JSON array of all
    /// columns of the other, which no two different rows share.
    fn hash_after(&self, previous: &str) -> String {
        let columns = json!([
            self.seq,
            self.at_ms,
            self.organisation,
            self.actor,
            self.source,
            self.call,
            self.session,
            self.agent,
            self.customer,
            self.action,
            self.detail,
            self.role_before,
            self.role_after,
            self.outcome,
            self.code,
            self.help_request,
            self.record,
        ]);
        let mut hash = Sha256::new();
        hash.update(previous.as_bytes());
        hash.update(columns.to_string().as_bytes());
        hex::encode(hash.finalize())
    }
}

/// Puts rows at the end of the chain. The head is updated first: its row lock lets one writer at a
/// time pass, whatever process it is in.
pub(super) async fn append(tx: &mut Tx, new: Vec<Row>) -> Result<(), sqlx::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let count = new.len() as i64;
    let head = rows!(
        &mut *tx,
        (i64, String),
        "UPDATE audit_head SET seq = seq + $1 WHERE id = 1 RETURNING seq, hash",
        count
    )?;
    let Some((last, mut hash)) = head.into_iter().next() else {
        return Err(sqlx::Error::RowNotFound);
    };

    for (index, mut row) in new.into_iter().enumerate() {
        row.seq = last - count + 1 + index as i64;
        hash = row.hash_after(&hash);
        execute!(
            &mut *tx,
            "INSERT INTO audit (seq, at_ms, organisation, actor, source, call, session, agent, \
             customer, action, detail, role_before, role_after, outcome, code, help_request, \
             record, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
             $15, $16, $17, $18)",
            row.seq,
            row.at_ms,
            row.organisation,
            row.actor,
            row.source,
            row.call,
            row.session,
            row.agent,
            row.customer,
            row.action,
            row.detail,
            row.role_before,
            row.role_after,
            row.outcome,
            row.code,
            row.help_request,
            row.record,
            &hash,
        )?;
    }
    execute!(
        &mut *tx,
        "UPDATE audit_head SET hash = $1 WHERE id = 1",
        hash
    )?;
    Ok(())
}

/// All columns of the rows that a [`Selection`] and a [`Sight`] leave, in a range and an order. A
/// supervisor's own are not those of others who are called the same: what administrators did, what
/// an agent asked for themself, and what the service did by itself.
macro_rules! chosen {
    ($range:literal, $order:literal) => {
        concat!(
            "SELECT seq, at_ms, organisation, actor, source, call, session, agent, customer, \
             action, detail, role_before, role_after, outcome, code, help_request, record, hash \
             FROM audit WHERE ",
            $range,
            " AND at_ms >= $2 AND at_ms < $3 \
             AND ($5 IS NULL OR actor = $5) AND ($6 IS NULL OR agent = $6) \
             AND ($7 IS NULL OR call = $7) AND ($8 IS NULL OR organisation = $8) \
             AND ($9 IS NULL OR (actor = $9 AND source <> 'system' AND action NOT LIKE 'admin%' \
             AND (agent IS NULL OR agent <> actor OR action NOT LIKE 'help%')) OR agent IN (\
             SELECT a.extension FROM agent_pools a JOIN supervisor_pools s \
             ON s.organisation = a.organisation AND s.pool = a.pool \
             WHERE s.organisation = $8 AND s.user_name = $9)) ",
            $order,
            " LIMIT $4"
        )
    };
}

impl Store {
    /// Computes every hash again, from the first row that retention has left.
    pub async fn verify_audit(&self) -> Result<Verdict, StoreError> {
        loop {
            let Some(head) = self.audit_head().await? else {
                let why = "the end of the chain is missing";
                return Ok(Verdict::Altered { seq: 1, why });
            };
            let verdict = self.verify_to(&head).await?;
            let intact = matches!(verdict, Verdict::Intact { .. });
            // Rows that retention took meanwhile are not missing.
            if intact
                || self.audit_head().await?.map(|head| head.pruned_seq) == Some(head.pruned_seq)
            {
                return Ok(verdict);
            }
        }
    }

    async fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        Ok(one_row!(
            &self.db,
            Head,
            "SELECT seq, hash, pruned_seq, pruned_hash FROM audit_head WHERE id = 1"
        )?)
    }

    /// Rows that are written meanwhile lie behind this head and are left for the next time.
    async fn verify_to(&self, head: &Head) -> Result<Verdict, StoreError> {
        let mut hash = head.pruned_hash.clone();
        let mut seq = head.pruned_seq;
        let mut taken = None;
        while seq < head.seq {
            let page = self.audit_page(&Selection::default(), seq).await?;
            let read = page.len();
            for row in page {
                if seq == head.seq {
                    break;
                }
                seq += 1;
                let why = if row.seq != seq {
                    "it is missing"
                } else if row.hash_after(&hash) != row.hash {
                    "it was altered"
                } else {
                    taken = Anchor::of(&row).or(taken);
                    hash = row.hash;
                    continue;
                };
                return Ok(Verdict::Altered { seq, why });
            }
            if read == 0 {
                let seq = seq + 1;
                let why = "it is missing";
                return Ok(Verdict::Altered { seq, why });
            }
        }
        if hash != head.hash {
            // The rows agree with one another and not with what was written last.
            let why = "the chain was computed anew";
            return Ok(Verdict::Altered { seq, why });
        }
        let begins = (head.pruned_seq > 0).then(|| Anchor {
            seq: head.pruned_seq,
            hash: head.pruned_hash.clone(),
        });
        if taken != begins {
            // The rows before the first are gone, and retention did not take them.
            let (seq, why) = (head.pruned_seq, "it and those before it were cut off");
            return Ok(Verdict::Altered { seq, why });
        }
        let rows = (seq - head.pruned_seq) as u64;
        Ok(Verdict::Intact { rows })
    }

    /// Puts rows about something that is not of call control at the end of the chain.
    pub async fn audit(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        append(&mut tx, rows).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The next rows after `seq`, oldest first; none when there are no more.
    pub async fn audit_page(
        &self,
        selection: &Selection,
        after_seq: i64,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = chosen!("seq > $1", "ORDER BY seq");
        self.audit_rows(sql, selection, after_seq, PAGE).await
    }

    /// The last rows before `seq` (or of all), newest first: what a page shows.
    pub async fn audit_before(
        &self,
        selection: &Selection,
        before_seq: Option<i64>,
        most: u16,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = chosen!("seq < $1", "ORDER BY seq DESC");
        let before = before_seq.unwrap_or(i64::MAX);
        self.audit_rows(sql, selection, before, i64::from(most))
            .await
    }

    async fn audit_rows(
        &self,
        sql: &'static str,
        selection: &Selection,
        seq: i64,
        most: i64,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(all_rows!(
            &self.db,
            Row,
            sql,
            seq,
            selection.from_ms.unwrap_or(i64::MIN),
            selection.to_ms.unwrap_or(i64::MAX),
            most,
            selection.supervisor.as_deref(),
            selection.agent.as_deref(),
            selection.call.as_deref(),
            selection.sight.organisation(),
            selection.sight.user(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_can_be_moved_into_its_neighbour_unnoticed() {
        let one = Row {
            actor: "mia".into(),
            source: "phone".into(),
            ..Row::default()
        };
        let other = Row {
            actor: "miap".into(),
            source: "hone".into(),
            ..Row::default()
        };

        assert_ne!(one.hash_after(""), other.hash_after(""));
        assert_ne!(one.hash_after(""), one.hash_after("0"));
    }

    #[test]
    fn nothing_and_empty_text_are_two_things() {
        let nothing = Row::default();
        let empty = Row {
            detail: Some(String::new()),
            ..Row::default()
        };

        assert_ne!(nothing.hash_after(""), empty.hash_after(""));
    }
}
