//! What a batch tells of calls, as few statements. A statement costs more than a row: a busy node
//! writes thousands of rows in a second, a hundred of them at a time.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use crate::control::record::{CallRow, Direction};
use crate::edge::store::db::Tx;
use crate::id::CallId;

/// Rows in one statement. Each number of rows is a text of its own that the database keeps ready,
/// so there are as many as powers of two.
const MOST_ROWS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Calls<'a> {
    started: BTreeMap<CallId, Started<'a>>,
    answered: BTreeMap<CallId, i64>,
    ended: BTreeMap<CallId, (i64, &'a str)>,
}

#[derive(Debug)]
struct Started<'a> {
    /// As it began, and as it is known now: who takes it may change.
    first: &'a CallRow,
    latest: &'a CallRow,
    at_ms: i64,
}

/// The statement for so many rows, and what is bound for each.
macro_rules! execute_rows {
    ($tx:expr, $sql:expr, $rows:expr, |$query:ident, $row:ident| $bound:expr) => {{
        let sql = AssertSqlSafe($sql);
        match $tx {
            Tx::Sqlite(tx) => {
                let mut $query = sqlx::query(sql);
                for $row in $rows {
                    $query = $bound;
                }
                $query.execute(&mut **tx).await.map(drop)
            }
            Tx::Postgres(tx) => {
                let mut $query = sqlx::query(sql);
                for $row in $rows {
                    $query = $bound;
                }
                $query.execute(&mut **tx).await.map(drop)
            }
        }
    }};
}

impl<'a> Calls<'a> {
    pub fn started(&mut self, row: &'a CallRow, at_ms: i64) {
        let known = self.started.entry(row.call).or_insert(Started {
            first: row,
            latest: row,
            at_ms,
        });
        known.latest = row;
    }

    pub fn answered(&mut self, call: CallId, at_ms: i64) {
        self.answered.insert(call, at_ms);
    }

    pub fn ended(&mut self, call: CallId, at_ms: i64, cause: &'a str) {
        self.ended.insert(call, (at_ms, cause));
    }

    /// A call begins before it is answered, and is answered before it ends; so are they written.
    pub async fn write(self, tx: &mut Tx, node: &str) -> Result<(), sqlx::Error> {
        let started: Vec<Started<'_>> = self.started.into_values().collect();
        for rows in powers_of_two(&started) {
            let sql = format!(
                "INSERT INTO calls (id, node, organisation, agent, pool, direction, from_number, \
                 to_number, started_ms) VALUES {} ON CONFLICT (id) DO UPDATE SET \
                 organisation = excluded.organisation, agent = excluded.agent, \
                 pool = excluded.pool",
                placeholders(rows.len(), 9)
            );
            execute_rows!(&mut *tx, sql, rows, |query, row| query
                .bind(row.first.call.to_string())
                .bind(node)
                .bind(row.latest.organisation.as_deref())
                .bind(row.latest.agent.as_deref())
                .bind(row.latest.pool.as_deref())
                .bind(match row.first.direction {
                    Direction::Inbound => "inbound",
                    Direction::Outbound => "outbound",
                })
                .bind(&*row.first.from)
                .bind(&*row.first.to)
                .bind(row.at_ms))?;
        }
        let answered: Vec<(CallId, i64)> = self.answered.into_iter().collect();
        for rows in powers_of_two(&answered) {
            let sql = format!(
                "UPDATE calls SET answered_ms = told.column2 FROM (VALUES {}) AS told \
                 WHERE calls.id = told.column1",
                placeholders(rows.len(), 2)
            );
            execute_rows!(&mut *tx, sql, rows, |query, row| query
                .bind(row.0.to_string())
                .bind(row.1))?;
        }
        let ended: Vec<(CallId, (i64, &str))> = self.ended.into_iter().collect();
        for rows in powers_of_two(&ended) {
            let sql = format!(
                "UPDATE calls SET ended_ms = told.column2, cause = told.column3 \
                 FROM (VALUES {}) AS told WHERE calls.id = told.column1",
                placeholders(rows.len(), 3)
            );
            execute_rows!(&mut *tx, sql, rows, |query, row| query
                .bind(row.0.to_string())
                .bind(row.1.0)
                .bind(row.1.1))?;
        }
        Ok(())
    }
}

/// All of them, in pieces as long as powers of two.
fn powers_of_two<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = 1 << rest.len().min(MOST_ROWS).checked_ilog2()?;
        let (piece, left) = rest.split_at(length);
        rest = left;
        Some(piece)
    })
}

/// `($1, $2), ($3, $4)` for two rows of two columns.
fn placeholders(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let numbers = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", numbers.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_piece_and_pieces_are_powers_of_two() {
        for count in 0..300 {
            let rows: Vec<usize> = (0..count).collect();
            let pieces: Vec<&[usize]> = powers_of_two(&rows).collect();

            assert!(pieces.iter().all(|piece| piece.len().is_power_of_two()));
            assert!(pieces.iter().all(|piece| piece.len() <= MOST_ROWS));
            assert_eq!(pieces.concat(), rows);
        }
    }

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(placeholders(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }
}
