//! The audit as text: `{"audit":[…]}`, or lines of RFC 4180 whose first one names the columns. The
//! command line and the API hand out the same.

use serde::Serialize;
use utoipa::ToSchema;

use crate::edge::clock;
use crate::edge::store::audit::{Row, Selection};
use crate::edge::store::{Store, StoreError, csv_lines};

/// How a list is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Csv,
    Json,
}

/// A row under the names that people and programs see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its place in the chain.
    pub seq: i64,
    /// RFC 3339 in UTC, with milliseconds.
    pub at: String,
    pub organisation: Option<String>,
    /// The supervisor's user name; for a stranger the number, as `+358401234567`, or `unknown`.
    pub actor: String,
    /// `phone`, `console`, `api` or `system`.
    pub source: String,
    pub call: Option<String>,
    pub session: Option<String>,
    /// The extension of the agent on the call.
    pub agent: Option<String>,
    pub customer: Option<String>,
    pub action: String,
    /// What was pressed or asked, as `4#`.
    pub detail: Option<String>,
    pub role_before: Option<String>,
    pub role_after: Option<String>,
    /// `requested`, `done`, `refused` or `failed`.
    pub outcome: String,
    pub code: Option<i64>,
    pub help_request: Option<String>,
    /// Over this row and the hash before it.
    pub hash: String,
}

/// The columns of the CSV, in the order of [`AuditEntry`].
const COLUMNS: [&str; 17] = [
    "seq",
    "at",
    "organisation",
    "actor",
    "source",
    "call",
    "session",
    "agent",
    "customer",
    "action",
    "detail",
    "role_before",
    "role_after",
    "outcome",
    "code",
    "help_request",
    "hash",
];

/// The chosen rows as pieces of text, a page of them in memory at a time.
#[derive(Debug)]
pub struct Export {
    store: Store,
    selection: Selection,
    form: Form,
    at: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Beginning,
    After(i64),
    End,
}

impl Export {
    pub fn new(store: Store, selection: Selection, form: Form) -> Self {
        Self {
            store,
            selection,
            form,
            at: Place::Beginning,
        }
    }

    /// The next piece; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let (after, opening) = match self.at {
            Place::Beginning => (0, true),
            Place::After(seq) => (seq, false),
            Place::End => return Ok(None),
        };
        let page = self.store.audit_page(&self.selection, after).await?;
        let last = page.last().map(|row| row.seq);
        let entries: Vec<AuditEntry> = page.into_iter().map(AuditEntry::from).collect();
        let text = match self.form {
            Form::Csv => csv_lines(opening.then_some(&COLUMNS[..]), &entries)?,
            Form::Json => json(opening, last.is_none(), &entries)?,
        };
        self.at = last.map_or(Place::End, Place::After);
        Ok(Some(text))
    }
}

/// A row a line.
fn json(opening: bool, closing: bool, entries: &[AuditEntry]) -> Result<String, StoreError> {
    let mut text = String::new();
    if opening {
        text.push_str("{\"audit\":[");
    }
    for (index, entry) in entries.iter().enumerate() {
        text.push_str(if opening && index == 0 { "\n" } else { ",\n" });
        let line = serde_json::to_string(entry);
        text.push_str(&line.map_err(|error| StoreError::Corrupt(error.to_string()))?);
    }
    if closing {
        text.push_str("\n]}\n");
    }
    Ok(text)
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        Self {
            seq: row.seq,
            at: clock::rfc3339(row.at_ms),
            organisation: row.organisation,
            actor: row.actor,
            source: row.source,
            call: row.call,
            session: row.session,
            agent: row.agent,
            customer: row.customer,
            action: row.action,
            detail: row.detail,
            role_before: row.role_before,
            role_after: row.role_after,
            outcome: row.outcome,
            code: row.code,
            help_request: row.help_request,
            hash: row.hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_csv_and_the_names_of_json_are_the_same() {
        let entry = AuditEntry::from(Row::default());
        let json = serde_json::to_string(&entry).unwrap();

        let mut at = 0;
        for column in COLUMNS {
            let found = json[at..].find(&format!("\"{column}\":"));
            at += found.unwrap_or_else(|| panic!("{column}: {json}"));
        }
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object.as_object().map(|o| o.len()), Some(COLUMNS.len()));
    }

    #[test]
    fn a_cell_is_quoted_where_it_has_to_be() {
        let entry = AuditEntry::from(Row {
            actor: "a, \"b\"\nc".into(),
            code: Some(9013),
            ..Row::default()
        });

        let text = csv_lines(Some(&COLUMNS), &[entry]).unwrap();

        let (head, line) = text.split_once("\r\n").unwrap();
        assert!(head.starts_with("seq,at,organisation,actor,"), "{head}");
        assert!(line.contains(",\"a, \"\"b\"\"\nc\","), "{line}");
        assert!(line.ends_with(",9013,,\r\n"), "{line}");
    }

    #[test]
    fn times_are_in_utc_with_milliseconds() {
        let row = Row {
            at_ms: 1_500,
            ..Row::default()
        };

        assert_eq!(AuditEntry::from(row).at, "1970-01-01T00:00:01.500Z");
    }
}
