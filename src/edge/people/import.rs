//! Lists as CSV (RFC 4180): agents, and the contacts of an organisation.
//!
//! The first line names the columns. Each further line stands for itself: one that is wrong is
//! told with line and column, and the others are taken all the same. What the list does not name
//! stays as it is: other agents, and of those that it names, the columns that it does not have.
//! Comma, semicolon and tab are understood, as spreadsheets write them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::edge::people::{self, EditError, NUMBER, People, Wish, is_name};
use crate::wire::document::{Given, Table};

/// Agents in one list, and contacts.
pub const MAX_AGENTS: usize = 5_000;
pub const MAX_CONTACTS: usize = 200_000;

/// A line that was not taken, or what is wrong with the list as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LineError {
    /// 1 is the line that names the columns.
    pub line: usize,
    /// 1 is the first column.
    pub column: usize,
    /// The name of the column.
    pub field: String,
    pub text: String,
}

/// What a list named, and the lines that were not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken<T> {
    pub taken: Vec<T>,
    pub errors: Vec<LineError>,
}

/// The list, line by line.
struct Sheet<'t> {
    columns: Vec<&'static str>,
    delimiter: u8,
    lines: Box<dyn Iterator<Item = (usize, &'t [u8])> + 't>,
}

/// The cells of one line, by column.
struct Cells<'s> {
    line: usize,
    columns: &'s [&'static str],
    cells: Vec<String>,
}

/// Puts the agents of a list into an organisation; their extensions.
///
/// `Err`: the list cannot be read at all, or there is no such organisation (`None`).
pub fn agents(
    people: &mut People,
    organisation: &str,
    text: &[u8],
) -> Result<Taken<String>, Option<LineError>> {
    const OPTIONAL: [&str; 4] = ["pools", "contact", "agent_notice", "password"];
    let mut sheet = Sheet::open(text, &["extension", "name"], &OPTIONAL)?;
    let mut result = Taken::default();
    let mut seen = BTreeMap::new();
    while let Some(cells) = sheet.next(MAX_AGENTS) {
        let entered = cells.and_then(|cells| {
            let extension = cells.of("extension").unwrap_or_default().to_owned();
            if let Some(line) = seen.insert(extension.clone(), cells.line) {
                let text = format!("expected an extension once, found it on line {line} already");
                return Err(Some(cells.error("extension", text)));
            }
            enter_agent(people, organisation, &cells)?;
            Ok(extension)
        });
        match entered {
            Ok(extension) => result.taken.push(extension),
            Err(Some(error)) => result.errors.push(error),
            Err(None) => return Err(None),
        }
    }
    Ok(result)
}

fn enter_agent(
    people: &mut People,
    organisation: &str,
    cells: &Cells<'_>,
) -> Result<(), Option<LineError>> {
    let text = |text: &str| Given::Text(text.to_owned());
    let extension = cells.of("extension").unwrap_or_default();
    let old = people.organisations.get(organisation).ok_or(None)?;
    let old = old.agents.get(extension);
    let mut entries = vec![
        ("organisation", text(organisation)),
        ("extension", text(extension)),
        ("name", text(cells.of("name").unwrap_or_default())),
    ];
    let pools = match (cells.of("pools"), old) {
        (Some(cell), _) => {
            let pools = cell.split([' ', ',', ';', '|']);
            pools.filter(|p| !p.is_empty()).map(str::to_owned).collect()
        }
        (None, Some(old)) => old.pools.clone(),
        (None, None) => Vec::new(),
    };
    entries.push(("pools", Given::List(pools)));
    let contact = match (cells.of("contact"), old) {
        (Some(cell), _) => Some(cell.to_owned()),
        (None, old) => old.and_then(|old| old.contact.clone()),
    };
    let notice = match (cells.of("agent_notice"), old) {
        (Some(cell), _) => Some(cell.to_owned()),
        (None, old) => old
            .and_then(|old| old.agent_notice)
            .map(|notice| notice.name().to_owned()),
    };
    let password = cells.of("password").map(str::to_owned);
    let optional = [
        ("contact", contact),
        ("agent_notice", notice),
        ("password", password),
    ];
    for (key, value) in optional {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            entries.push((key, Given::Text(value)));
        }
    }
    let table = Table::of("", cells.line, entries);
    let entered = people.put_agent(organisation, extension, table, Wish::Keep);
    entered.map_err(|error| match error {
        EditError::Wrong(complaint) => Some(cells.error(&complaint.place, complaint.message)),
        error @ (EditError::InUse(_) | EditError::Exists(_) | EditError::Changed { .. }) => {
            Some(cells.error("extension", error.to_string()))
        }
        EditError::NotFound => None,
    })
}

/// The contacts of a list: numbers as E.164, and names. `country` is that of national numbers.
pub fn contacts(text: &[u8], country: Option<&str>) -> Result<Taken<(String, String)>, LineError> {
    let mut sheet = Sheet::open(text, &["number", "name"], &[])?;
    let mut result = Taken::default();
    let mut seen = BTreeMap::new();
    while let Some(cells) = sheet.next(MAX_CONTACTS) {
        let entered = cells.and_then(|cells| {
            let shown = cells.of("number").unwrap_or_default();
            let Some(number) = people::number(shown, country) else {
                let text = format!("expected {NUMBER}, found {shown:?}");
                return Err(Some(cells.error("number", text)));
            };
            let name = cells.of("name").unwrap_or_default();
            if !is_name(name) {
                let text = format!("expected a name, found {name:?}");
                return Err(Some(cells.error("name", text)));
            }
            if let Some(line) = seen.insert(number.clone(), cells.line) {
                let text = format!("expected a number once, found it on line {line} already");
                return Err(Some(cells.error("number", text)));
            }
            Ok((number, name.to_owned()))
        });
        match entered {
            Ok(contact) => result.taken.push(contact),
            Err(error) => result.errors.extend(error),
        }
    }
    Ok(result)
}

impl<'t> Sheet<'t> {
    fn open(
        text: &'t [u8],
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, LineError> {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut lines = lines.enumerate();
        let (_, head) = lines.next().unwrap_or_default();
        let head = String::from_utf8_lossy(head);
        let delimiter = [b',', b';', b'\t']
            .into_iter()
            .max_by_key(|d| head.bytes().filter(|b| b == d).count())
            .filter(|d| head.as_bytes().contains(d))
            .unwrap_or(b',');
        let error = |column: usize, field: &str, text: String| LineError {
            line: 1,
            column,
            field: field.to_owned(),
            text,
        };
        let known: Vec<_> = required.iter().chain(optional).copied().collect();
        let mut columns = Vec::new();
        for (index, cell) in cells(&head, delimiter).into_iter().enumerate() {
            let found = known.iter().find(|name| name.eq_ignore_ascii_case(&cell));
            match found {
                Some(name) if !columns.contains(name) => columns.push(*name),
                Some(_) => {
                    let text = format!("expected each column once, found {cell:?} again");
                    return Err(error(index + 1, &cell, text));
                }
                None => {
                    let text = format!("expected one of {}, found {cell:?}", known.join(", "));
                    return Err(error(index + 1, &cell, text));
                }
            }
        }
        for name in required {
            if !columns.contains(name) {
                let text = format!("the column {name} is missing");
                return Err(error(columns.len() + 1, name, text));
            }
        }
        Ok(Self {
            columns,
            delimiter,
            lines: Box::new(lines),
        })
    }

    /// The next line that is not empty.
    fn next(&mut self, most: usize) -> Option<Result<Cells<'_>, Option<LineError>>> {
        let (index, line) = self.lines.find(|(_, line)| !line.trim_ascii().is_empty())?;
        let readable = std::str::from_utf8(line);
        let line = String::from_utf8_lossy(line);
        let cells = cells(&line, self.delimiter);
        let (found, wanted) = (cells.len(), self.columns.len());
        let cells = Cells {
            line: index + 1,
            columns: &self.columns,
            cells,
        };
        let wrong = |column: usize, text: String| {
            Some(Err(Some(LineError {
                line: index + 1,
                column,
                field: self.columns.get(column - 1).copied().unwrap_or("").into(),
                text,
            })))
        };
        if index > most {
            return wrong(1, format!("a list has {most} lines at most"));
        }
        if let Err(error) = readable {
            let before = line.as_bytes().iter().take(error.valid_up_to());
            let column = before.filter(|byte| **byte == self.delimiter).count() + 1;
            return wrong(column, "expected text in UTF-8".into());
        }
        if line.bytes().filter(|b| *b == b'"').count() % 2 == 1 {
            let text = "a quotation mark is not closed on its line";
            return wrong(found.clamp(1, wanted), text.into());
        }
        if found != wanted {
            let text = format!("expected {wanted} columns, found {found}");
            return wrong(found.min(wanted).max(1), text);
        }
        Some(Ok(cells))
    }
}

impl Cells<'_> {
    fn of(&self, column: &str) -> Option<&str> {
        let index = self.columns.iter().position(|name| *name == column)?;
        self.cells.get(index).map(String::as_str)
    }

    fn error(&self, field: &str, text: String) -> LineError {
        let column = self.columns.iter().position(|name| *name == field);
        LineError {
            line: self.line,
            column: column.unwrap_or(0) + 1,
            field: field.to_owned(),
            text,
        }
    }
}

/// The cells of one line, without the space around them.
fn cells(line: &str, delimiter: u8) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => record.iter().map(|cell| cell.trim().to_owned()).collect(),
        Ok(false) | Err(_) => vec![String::new()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        let text = r#"
            [[organisation]]
            id = "acme"
            name = "Acme"
            [[pool]]
            organisation = "acme"
            name = "support"
            [[agent]]
            organisation = "acme"
            extension = "204"
            name = "Aino"
            pools = ["support"]
            contact = "sip:204@127.0.0.3"
            password = "secret"
        "#;
        People::parse("people.toml", text, &|_| None).unwrap()
    }

    #[test]
    fn agents_are_put_beside_those_that_are_there() {
        let mut people = people();

        let list = "extension,name,pools\r\n205,\"Eero, jr.\",support\r\n\r\n206,Liisa,\r\n";
        let result = agents(&mut people, "acme", list.as_bytes()).unwrap();

        assert_eq!(result.taken, ["205", "206"]);
        assert_eq!(result.errors, []);
        let agents = &people.organisations["acme"].agents;
        assert_eq!(agents["204"].name, "Aino");
        assert_eq!(agents["205"].name, "Eero, jr.");
        assert_eq!(agents["205"].pools, ["support"]);
        assert!(agents["206"].pools.is_empty());
    }

    #[test]
    fn columns_that_a_list_does_not_have_stay_as_they_are() {
        let mut people = people();
        let before = people.organisations["acme"].agents["204"].clone();

        agents(&mut people, "acme", b"extension;name\n204;Aino A.\n").unwrap();

        let after = people.organisations["acme"].agents["204"].clone();
        assert_eq!(after.name, "Aino A.");
        assert_eq!(after.pools, before.pools);
        assert_eq!(after.contact, before.contact);
        assert_eq!(after.password, before.password);
    }

    #[test]
    fn a_wrong_line_is_named_with_its_column_and_costs_no_other() {
        let mut people = people();

        let list = "extension,name,pools,contact\n\
                    205,Eero,sales,\n\
                    206,,support,\n\
                    2 7,Liisa,,\n\
                    208,\"Matti,support,\n\
                    209,Maija\n\
                    210,Pekka,support,nowhere\n\
                    211,Sanna,support,sip:211@127.0.0.3\n\
                    211,Sanna,support,\n";
        let result = agents(&mut people, "acme", list.as_bytes()).unwrap();

        assert_eq!(result.taken, ["211"]);
        let at: Vec<_> = result
            .errors
            .iter()
            .map(|error| (error.line, error.column, error.field.as_str()))
            .collect();
        assert_eq!(
            at,
            [
                (2, 3, "pools"),
                (3, 2, "name"),
                (4, 1, "extension"),
                (5, 2, "name"),
                (6, 2, "name"),
                (7, 4, "contact"),
                (9, 1, "extension"),
            ]
        );
        assert_eq!(people.organisations["acme"].agents.len(), 2);
    }

    #[test]
    fn a_column_that_is_not_known_or_missing_stops_the_list_before_the_first_line() {
        let mut people = people();

        let unknown = agents(&mut people, "acme", b"extension,name,shoe\n205,Eero,44\n");
        let error = unknown.unwrap_err().unwrap();
        assert_eq!((error.line, error.column), (1, 3));
        let missing = agents(&mut people, "acme", b"extension\n205\n");
        let error = missing.unwrap_err().unwrap();
        assert_eq!((error.line, error.field.as_str()), (1, "name"));
        assert!(agents(&mut people, "acme", b"").is_err());
        assert!(agents(&mut people, "umbrella", b"extension,name\n2,x\n") == Err(None));
    }

    #[test]
    fn contacts_are_numbers_in_any_form_and_names() {
        let list = "\u{feff}name;number\nAino;040 123 4567\nEero;+46 70 123 45 67\n\
                    Liisa;12\n;+358401111111\nAino again;+358401234567\n";
        let result = contacts(list.as_bytes(), Some("FI")).unwrap();

        let pair = |number: &str, name: &str| (number.to_owned(), name.to_owned());
        assert_eq!(
            result.taken,
            [pair("+358401234567", "Aino"), pair("+46701234567", "Eero")]
        );
        let at: Vec<_> = result.errors.iter().map(|e| (e.line, e.column)).collect();
        assert_eq!(at, [(4, 2), (5, 1), (6, 2)]);
        assert!(
            contacts(b"number,name\n0401234567,Aino\n", None)
                .unwrap()
                .taken
                .is_empty()
        );
    }

    #[test]
    fn a_line_that_is_no_utf_8_costs_no_other() {
        let list = b"number,name\n+358401234567,\xc4ij\xe4\n+358401234568,\xc3\x84ij\xc3\xa4\n";

        let result = contacts(list, None).unwrap();

        assert_eq!(result.taken.len(), 1);
        assert_eq!((result.errors[0].line, result.errors[0].column), (2, 2));
    }
}
