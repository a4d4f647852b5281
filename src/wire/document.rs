//! A TOML file read key by key: every complaint names the file, the line, the key and what was
//! expected there.
//!
//! [`parse`] gives the root [`Table`]. Whoever knows the format takes each key that it knows out of
//! the table and calls [`Table::finish`], which complains about the first one that is left and
//! says which key was probably meant.
//! `${NAME}` inside any text is replaced by what `lookup` answers, so that secrets can stay out of
//! the file; a complaint shows the text as it was written, never what it was replaced by.

mod reader;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub file: Arc<str>,
    /// 1 is the first line; 0 where a whole file is meant.
    pub line: usize,
    /// `[rtp] ports`, or nothing where the text is not TOML at all.
    pub place: String,
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if !self.place.is_empty() {
            write!(f, " {}:", self.place)?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for Complaint {}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: Arc<str>,
    /// 0 where the file has no such table.
    line: usize,
    /// `[rtp] ports`, `[sip.tls]`, `[[trunk]]`; empty for the root.
    name: String,
}

impl Place {
    pub fn complain(&self, message: impl fmt::Display) -> Complaint {
        Complaint {
            file: self.file.clone(),
            line: self.line,
            place: self.name.clone(),
            message: message.to_string(),
        }
    }
}

/// A table whose keys have not all been read yet.
#[derive(Debug)]
pub struct Table {
    place: Place,
    entries: BTreeMap<String, Item>,
    /// What has been declared or asked for, in that order: what a complaint offers instead.
    known: Vec<&'static str>,
    /// All that there can be is among `known` already.
    declared: bool,
}

/// A value and where it stands.
#[derive(Debug)]
pub struct Item {
    place: Place,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Text { written: String, meant: String },
    Integer(i64),
    Flag(bool),
    List(Vec<Item>),
    Table(Table),
    Other(&'static str),
}

/// Reads a whole file. `lookup` answers what stands for `${NAME}`.
pub fn parse(
    file: &str,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Table, Complaint> {
    reader::read(file.into(), text, lookup)
}

/// A value that came another way than in a file: by the API, or as a line of CSV. Text means what
/// it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Text(String),
    Flag(bool),
    List(Vec<String>),
}

impl Table {
    /// A table that came another way than in a file. Complaints name `file` and `line`, and the
    /// key as it stands.
    pub fn of(
        file: &str,
        line: usize,
        entries: impl IntoIterator<Item = (&'static str, Given)>,
    ) -> Self {
        let file: Arc<str> = file.into();
        let place = |name: &str| Place {
            file: file.clone(),
            line,
            name: name.to_owned(),
        };
        let text = |written: String| Value::Text {
            meant: written.clone(),
            written,
        };
        let item = |key: &str, value| Item {
            place: place(key),
            value,
        };
        let entries = entries.into_iter().map(|(key, given)| {
            let value = match given {
                Given::Text(written) => text(written),
                Given::Flag(flag) => Value::Flag(flag),
                Given::List(texts) => {
                    let texts = texts.into_iter();
                    Value::List(texts.map(|written| item(key, text(written))).collect())
                }
            };
            (key.to_owned(), item(key, value))
        });
        Self {
            entries: entries.collect(),
            place: place(""),
            known: Vec::new(),
            declared: false,
        }
    }

    /// Declares all keys that the table can have, so that one without its required key can say
    /// which of those that it has instead is unknown.
    pub fn declare(&mut self, keys: &[&'static str]) {
        self.known = keys.to_vec();
        self.declared = true;
    }

    /// The value of a key, once.
    pub fn take(&mut self, key: &'static str) -> Option<Item> {
        if !self.known.contains(&key) {
            debug_assert!(!self.declared, "{key} is not among the declared keys");
            self.known.push(key);
        }
        self.entries.remove(key)
    }

    /// The value of a key that has no default.
    pub fn require(&mut self, key: &'static str, expected: &str) -> Result<Item, Complaint> {
        match self.take(key) {
            Some(item) => Ok(item),
            None => {
                let instead = self.instead_of(key);
                Err(self.complain(format!("{key} is missing, expected {expected}{instead}")))
            }
        }
    }

    /// What stands in the table where a required key does not: the unknown key that is most like
    /// it, or else the first.
    fn instead_of(&self, key: &str) -> String {
        let unknown = self
            .entries
            .iter()
            .filter(|(name, _)| self.declared && !self.known.contains(&name.as_str()));
        let Some((name, item)) =
            unknown.min_by_key(|(name, item)| (!is_like(name, key), item.line()))
        else {
            return String::new();
        };
        let line = match item.line() {
            0 => String::new(),
            line => format!(" in line {line}"),
        };
        match is_like(name, key) {
            true => format!("; {name}{line} is an unknown key: is {key} meant?"),
            false => format!(
                "; {name}{line} is an unknown key, expected one of {}",
                self.known.join(", ")
            ),
        }
    }

    /// A table under this one; an empty one where the file has none.
    pub fn table(&mut self, key: &'static str) -> Result<Table, Complaint> {
        let name = child_place(&self.place.name, key, false);
        match self.take(key) {
            Some(Item {
                value: Value::Table(table),
                ..
            }) => Ok(table),
            Some(item) => Err(item.complain(format!("expected the table {name}"))),
            None => Ok(Table {
                place: Place {
                    file: self.place.file.clone(),
                    line: 0,
                    name,
                },
                entries: BTreeMap::new(),
                known: Vec::new(),
                declared: false,
            }),
        }
    }

    /// All `[[key]]` tables, in their order.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table>, Complaint> {
        let Some(item) = self.take(key) else {
            return Ok(Vec::new());
        };
        let expected = format!("expected tables that begin with [[{key}]]");
        let place = item.place();
        let complain = move || place.complain(expected);

        let Value::List(items) = item.value else {
            return Err(complain());
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            match item.value {
                Value::Table(table) => tables.push(table),
                _ => return Err(complain()),
            }
        }
        Ok(tables)
    }

    /// The keys that are there, for tables whose keys are data.
    pub fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// A value by a key that is data.
    pub fn take_named(&mut self, key: &str) -> Option<Item> {
        self.entries.remove(key)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A complaint about the table as a whole.
    pub fn complain(&self, message: impl fmt::Display) -> Complaint {
        self.place.complain(message)
    }

    /// Refuses the first key that nobody asked for.
    pub fn finish(self) -> Result<(), Complaint> {
        let Some((name, first)) = self.entries.iter().min_by_key(|(_, item)| item.line()) else {
            return Ok(());
        };
        let what = match first.place.name.ends_with(']') {
            true => "table",
            false => "key",
        };
        let meant = match self.known.iter().find(|known| is_like(name, known)) {
            Some(known) => format!("; is {known} meant?"),
            None => String::new(),
        };
        Err(first.complain(format!(
            "unknown {what}, expected one of {}{meant}",
            self.known.join(", ")
        )))
    }
}

/// Whether one is the other with a slip of the hand: a third of its letters, at most, are other
/// ones, too many, missing or swapped.
fn is_like(written: &str, known: &str) -> bool {
    let slips = strsim::osa_distance(written, known);
    slips > 0 && slips * 3 <= written.len().max(known.len())
}

impl Item {
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// A complaint about this value.
    pub fn complain(&self, message: impl fmt::Display) -> Complaint {
        self.place.complain(message)
    }

    /// "expected …, found …", with what the file says.
    pub fn expected(&self, expected: impl fmt::Display) -> Complaint {
        self.complain(format!("expected {expected}, found {}", self.found()))
    }

    pub fn line(&self) -> usize {
        self.place.line
    }

    pub fn text(&self, expected: &str) -> Result<&str, Complaint> {
        match &self.value {
            Value::Text { meant, .. } => Ok(meant),
            _ => Err(self.expected(expected)),
        }
    }

    /// Text that is not empty.
    pub fn filled_text(&self, expected: &str) -> Result<&str, Complaint> {
        match self.text(expected)? {
            text if text.trim().is_empty() => Err(self.expected(expected)),
            text => Ok(text),
        }
    }

    /// Text that is not empty and is not repeated by a complaint.
    pub fn secret(&self, expected: &str) -> Result<&str, Complaint> {
        match &self.value {
            Value::Text { meant, .. } if !meant.is_empty() => Ok(meant),
            _ => Err(self.complain(format!("expected {expected}"))),
        }
    }

    pub fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, Complaint> {
        match self.value {
            Value::Integer(number) if range.contains(&number) => Ok(number),
            _ => Err(self.expected(format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    pub fn flag(&self) -> Result<bool, Complaint> {
        match self.value {
            Value::Flag(flag) => Ok(flag),
            _ => Err(self.expected("true or false")),
        }
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Complaint> {
        let found = match &self.value {
            Value::Text { meant, .. } => words.iter().find(|(word, _)| word == meant),
            _ => None,
        };
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.expected(names.join(" or "))
        })
    }

    /// The values of a list.
    pub fn list(&self, expected: &str) -> Result<&[Item], Complaint> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.expected(expected)),
        }
    }

    /// A list of texts, none of them empty.
    pub fn texts(&self, expected: &str) -> Result<Vec<String>, Complaint> {
        self.list(expected)?
            .iter()
            .map(|item| item.filled_text(expected).map(str::to_owned))
            .collect()
    }

    pub fn into_table(self, expected: &str) -> Result<Table, Complaint> {
        match self.value {
            Value::Table(table) => Ok(table),
            _ => Err(self.expected(expected)),
        }
    }

    fn found(&self) -> String {
        match &self.value {
            Value::Text { written, .. } => format!("{written:?}"),
            Value::Integer(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::List(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
            Value::Other(what) => (*what).into(),
        }
    }
}

/// `[sip]` and `tls` make `[sip.tls]`.
fn child_place(parent: &str, key: &str, repeated: bool) -> String {
    let parent = parent.trim_matches(['[', ']']);
    let name = match parent {
        "" => key.to_owned(),
        parent => format!("{parent}.{key}"),
    };
    match repeated {
        true => format!("[[{name}]]"),
        false => format!("[{name}]"),
    }
}

#[cfg(test)]
mod tests;
