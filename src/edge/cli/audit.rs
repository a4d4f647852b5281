//! `audit export` and `audit verify`.

use std::io::Write;

use serde_json::{Value, json};

use crate::edge::cli::{ExportFormat, open};
use crate::edge::config::Config;
use crate::edge::store::Store;
use crate::edge::store::audit::{Row, Selection, Verdict};

/// Prints the chosen rows, a page of them in memory at a time.
pub async fn export(
    config: &Config,
    format: ExportFormat,
    selection: &Selection,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let store = open(config).await?;
    let result = match format {
        ExportFormat::Csv => csv(&store, selection, out).await,
        ExportFormat::Json => json_text(&store, selection, out).await,
    };
    store.close().await;
    result
}

/// Checks the chain; whether it is whole.
pub async fn verify(config: &Config, out: &mut impl Write) -> anyhow::Result<bool> {
    let store = open(config).await?;
    let verdict = store.verify_audit().await;
    store.close().await;
    match verdict? {
        Verdict::Intact { rows } => {
            writeln!(out, "intact: {rows} rows")?;
            Ok(true)
        }
        Verdict::Altered { seq, why } => {
            writeln!(out, "altered: row {seq}: {why}")?;
            Ok(false)
        }
    }
}

/// Lines of RFC 4180, the first one names the columns.
async fn csv(store: &Store, selection: &Selection, out: &mut impl Write) -> anyhow::Result<()> {
    let header: Vec<String> = columns(&Row::default())
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    write!(out, "{}\r\n", header.join(","))?;
    let mut after = 0;
    loop {
        let page = store.audit_page(selection, after).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.seq;
        for row in &page {
            let cells: Vec<String> = columns(row)
                .into_iter()
                .map(|(_, value)| cell(&value))
                .collect();
            write!(out, "{}\r\n", cells.join(","))?;
        }
    }
}

/// `{"audit":[…]}`, a row a line.
async fn json_text(
    store: &Store,
    selection: &Selection,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    write!(out, "{{\"audit\":[")?;
    let mut after = 0;
    let mut separator = "\n";
    loop {
        let page = store.audit_page(selection, after).await?;
        let Some(last) = page.last() else {
            write!(out, "\n]}}\n")?;
            return Ok(());
        };
        after = last.seq;
        for row in &page {
            let object: serde_json::Map<String, Value> = columns(row)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            write!(out, "{separator}{}", Value::Object(object))?;
            separator = ",\n";
        }
    }
}

/// A row under the names that the API uses.
fn columns(row: &Row) -> Vec<(&'static str, Value)> {
    let at = jiff::Timestamp::from_millisecond(row.at_ms)
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default();
    vec![
        ("seq", json!(row.seq)),
        ("at", json!(at)),
        ("organisation", json!(row.organisation)),
        ("actor", json!(row.actor)),
        ("source", json!(row.source)),
        ("call", json!(row.call)),
        ("session", json!(row.session)),
        ("agent", json!(row.agent)),
        ("customer", json!(row.customer)),
        ("action", json!(row.action)),
        ("detail", json!(row.detail)),
        ("role_before", json!(row.role_before)),
        ("role_after", json!(row.role_after)),
        ("outcome", json!(row.outcome)),
        ("code", json!(row.code)),
        ("help_request", json!(row.help_request)),
        ("hash", json!(row.hash)),
    ]
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_has_to_be() {
        assert_eq!(cell(&json!("mia")), "mia");
        assert_eq!(cell(&json!("a, \"b\"\nc")), "\"a, \"\"b\"\"\nc\"");
        assert_eq!(cell(&json!(9013)), "9013");
        assert_eq!(cell(&Value::Null), "");
    }

    #[test]
    fn times_are_in_utc_with_milliseconds() {
        let row = Row {
            at_ms: 1_500,
            ..Row::default()
        };

        assert_eq!(columns(&row)[1].1, json!("1970-01-01T00:00:01.500Z"));
    }
}
