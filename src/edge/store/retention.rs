//! Forgetting: whole days of the audit, and of the calls, sessions and requests for help that ended
//! before them, are taken away once they are older than they may be kept.
//!
//! The chain of the audit stays verifiable. Its end remembers the last row that was taken and its
//! hash, on which the first row that is left stands; and each taking is a row of the audit itself,
//! which names the same, so that nobody can cut off the beginning unseen.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::edge::store::audit::{self, Row};
use crate::edge::store::db::{execute, one_row, rows};
use crate::edge::store::{Store, StoreError};

/// What the row of a taking is called in the audit.
pub(super) const ACTION: &str = "audit_prune";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub audit_rows: u64,
    /// Calls, sessions and requests for help.
    pub others: u64,
}

/// The end of the rows that retention took: the last one, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub seq: i64,
    pub hash: String,
}

impl Anchor {
    /// As the row of the taking names it.
    fn detail(&self, day: &str, rows: u64) -> String {
        format!("{day}: {rows} rows to {} {}", self.seq, self.hash)
    }

    /// What such a row says.
    pub fn of(row: &Row) -> Option<Self> {
        if row.action != ACTION {
            return None;
        }
        let mut words = row.detail.as_deref()?.rsplitn(3, ' ');
        let hash = words.next()?.to_owned();
        let seq = words.next()?.parse().ok()?;
        Some(Self { seq, hash })
    }
}

impl Store {
    /// Keeps the days of the last `keep_days` and today, in UTC, and takes away what lies before.
    pub async fn prune(&self, now_ms: i64, keep_days: u16) -> Result<Pruned, StoreError> {
        let day_ms = DAY.as_millis() as i64;
        let today = now_ms.div_euclid(day_ms);
        let cutoff_ms = (today - i64::from(keep_days)) * day_ms;

        let mut pruned = Pruned::default();
        // A day at a time: no other writer waits for long.
        while let Some(first_ms) = self.oldest_audit_row().await? {
            let next_day_ms = (first_ms.div_euclid(day_ms) + 1) * day_ms;
            if next_day_ms > cutoff_ms {
                break;
            }
            let rows = self.prune_to(next_day_ms, now_ms).await?;
            if rows == 0 {
                break;
            }
            pruned.audit_rows += rows;
        }
        pruned.others = self.prune_ended(cutoff_ms).await?;
        Ok(pruned)
    }

    async fn oldest_audit_row(&self) -> Result<Option<i64>, StoreError> {
        let first = one_row!(
            self.db(),
            (i64,),
            "SELECT at_ms FROM audit ORDER BY seq LIMIT 1"
        )?;
        Ok(first.map(|(at_ms,)| at_ms))
    }

    /// Takes the rows before the first that is of `next_day_ms` or later. A clock that was set
    /// back may have put an older row behind it: that one stays until its predecessors go.
    async fn prune_to(&self, next_day_ms: i64, now_ms: i64) -> Result<u64, StoreError> {
        let mut tx = self.db().begin().await?;
        // The lock of the head first, as for every writer of the chain.
        execute!(&mut tx, "UPDATE audit_head SET seq = seq WHERE id = 1")?;
        let last = rows!(
            &mut tx,
            (i64, String),
            "SELECT seq, hash FROM audit WHERE seq < \
             COALESCE((SELECT MIN(seq) FROM audit WHERE at_ms >= $1), \
                      (SELECT MAX(seq) + 1 FROM audit)) \
             ORDER BY seq DESC LIMIT 1",
            next_day_ms
        )?;
        let Some((seq, hash)) = last.into_iter().next() else {
            return Ok(0);
        };
        let anchor = Anchor { seq, hash };
        let rows = execute!(&mut tx, "DELETE FROM audit WHERE seq <= $1", anchor.seq)?;
        execute!(
            &mut tx,
            "UPDATE audit_head SET pruned_seq = $1, pruned_hash = $2 WHERE id = 1",
            anchor.seq,
            &*anchor.hash
        )?;
        let day = day_before(next_day_ms);
        let row = Row {
            at_ms: now_ms,
            actor: "system".into(),
            source: "system".into(),
            action: ACTION.into(),
            detail: Some(anchor.detail(&day, rows)),
            outcome: "done".into(),
            record: format!("prune-{}", anchor.seq),
            ..Row::default()
        };
        audit::append(&mut tx, vec![row]).await?;
        tx.commit().await?;
        Ok(rows)
    }

    async fn prune_ended(&self, cutoff_ms: i64) -> Result<u64, StoreError> {
        let mut tx = self.db().begin().await?;
        let mut taken = 0;
        for sql in [
            "DELETE FROM help_requests WHERE ended_ms < $1",
            "DELETE FROM sessions WHERE ended_ms < $1",
            "DELETE FROM calls WHERE ended_ms < $1",
        ] {
            taken += execute!(&mut tx, sql, cutoff_ms)?;
        }
        tx.commit().await?;
        Ok(taken)
    }
}

/// The day before midnight, as `2026-11-21`.
fn day_before(midnight_ms: i64) -> String {
    Timestamp::from_millisecond(midnight_ms - 1)
        .map(|time| time.to_zoned(TimeZone::UTC).date().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_taking_names_where_the_chain_goes_on() {
        let anchor = Anchor {
            seq: 17,
            hash: "abc".into(),
        };
        let row = Row {
            action: ACTION.into(),
            detail: Some(anchor.detail("2026-11-21", 3)),
            ..Row::default()
        };

        assert_eq!(row.detail.as_deref(), Some("2026-11-21: 3 rows to 17 abc"));
        assert_eq!(Anchor::of(&row), Some(anchor));
        assert_eq!(Anchor::of(&Row::default()), None);
    }

    #[test]
    fn a_day_has_its_name_in_utc() {
        assert_eq!(day_before(86_400_000), "1970-01-01");
    }
}
