//! Lines of RFC 4180, which a spreadsheet may open.

use serde::Serialize;

use crate::edge::store::StoreError;

/// A line for each row, behind one that names the columns where these are given. A cell that a
/// spreadsheet would take for a formula has an apostrophe before it.
pub(super) fn csv_lines<T: Serialize>(
    columns: Option<&[&str]>,
    rows: &[T],
) -> Result<String, StoreError> {
    let unwritten = |error: csv::Error| StoreError::Corrupt(error.to_string());
    let mut given = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    for row in rows {
        given.serialize(row).map_err(unwritten)?;
    }
    let given = given
        .into_inner()
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;

    let mut lines = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if let Some(columns) = columns {
        lines.write_record(columns).map_err(unwritten)?;
    }
    let mut given = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(given.as_slice());
    let mut row = csv::StringRecord::new();
    while given.read_record(&mut row).map_err(unwritten)? {
        for cell in &row {
            let harmless = match is_formula(cell) {
                true => lines.write_field(format!("'{cell}")),
                false => lines.write_field(cell),
            };
            harmless.map_err(unwritten)?;
        }
        lines.write_record(None::<&[u8]>).map_err(unwritten)?;
    }
    let bytes = lines
        .into_inner()
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Whether a spreadsheet would calculate it (OWASP, CSV Injection). A telephone number and a
/// negative one are what they are.
fn is_formula(cell: &str) -> bool {
    let number = |rest: &str| {
        let dialled = |b: u8| b.is_ascii_digit() || b" .".contains(&b);
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.bytes().all(dialled)
    };
    match cell.strip_prefix(['+', '-']) {
        Some(rest) => !number(rest),
        None => cell.starts_with(['=', '@', '\t', '\r', '\n']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_handed_out_is_a_formula() {
        let rows = [
            ("=1+1", "+358401234567", -5),
            ("@SUM(A1)", "-cmd|x", 2),
            ("\tx", "+1+cmd|' /C calc'!A0", 0),
            ("plain, \"quoted\"", "a=b", 1),
        ];

        let text = csv_lines(Some(&["a", "b", "c"]), &rows).unwrap();

        assert_eq!(
            text,
            "a,b,c\r\n'=1+1,+358401234567,-5\r\n'@SUM(A1),'-cmd|x,2\r\n\
             '\tx,'+1+cmd|' /C calc'!A0,0\r\n\"plain, \"\"quoted\"\"\",a=b,1\r\n"
        );
    }

    #[test]
    fn a_cell_that_is_empty_stays() {
        let text = csv_lines(None, &[("", "")]).unwrap();

        assert_eq!(text, ",\r\n");
    }
}
