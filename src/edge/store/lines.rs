//! Lines of RFC 4180.

use serde::Serialize;

use crate::edge::store::StoreError;

/// A line for each row, behind one that names the columns where these are given.
pub(super) fn csv_lines<T: Serialize>(
    columns: Option<&[&str]>,
    rows: &[T],
) -> Result<String, StoreError> {
    let unwritten = |error: csv::Error| StoreError::Corrupt(error.to_string());
    let mut lines = csv::WriterBuilder::new()
        .has_headers(false)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if let Some(columns) = columns {
        lines.write_record(columns).map_err(unwritten)?;
    }
    for row in rows {
        lines.serialize(row).map_err(unwritten)?;
    }
    let bytes = lines
        .into_inner()
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))
}
