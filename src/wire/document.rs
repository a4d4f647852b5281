//! A TOML file read key by key: every complaint names the file, the line, the key and what was
//! expected there.
//!
//! [`parse`] gives the root [`Table`]. Whoever knows the format takes each key that it knows out of
//! the table and calls [`Table::finish`], which complains about the first one that is left.
//! `${NAME}` inside any text is replaced by what `lookup` answers, so that secrets can stay out of
//! the file; a complaint shows the text as it was written, never what it was replaced by.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

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

/// Where a value stands, for a complaint that can only be made later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: Arc<str>,
    line: usize,
    place: String,
}

impl Place {
    pub fn complain(&self, message: impl fmt::Display) -> Complaint {
        Complaint {
            file: self.file.clone(),
            line: self.line,
            place: self.place.clone(),
            message: message.to_string(),
        }
    }
}

/// A table whose keys have not all been read yet.
#[derive(Debug)]
pub struct Table {
    file: Arc<str>,
    line: usize,
    /// `[sip.tls]`, `[[trunk]]`; empty for the root.
    place: String,
    entries: BTreeMap<String, Item>,
    /// What has been asked for, in that order: what a complaint offers instead.
    known: Vec<&'static str>,
}

/// A value and where it stands.
#[derive(Debug)]
pub struct Item {
    file: Arc<str>,
    line: usize,
    place: String,
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
    let file: Arc<str> = file.into();
    let lines = Lines {
        file: &file,
        text,
        lookup,
    };

    match DeTable::parse(text) {
        Ok(root) => lines.table(root.into_inner(), 1, String::new()),
        Err(error) => Err(Complaint {
            line: error.span().map_or(0, |span| lines.line(&span)),
            place: String::new(),
            message: error.message().replace('\n', ", "),
            file,
        }),
    }
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
        let text = |written: String| Value::Text {
            meant: written.clone(),
            written,
        };
        let item = |key: &str, value| Item {
            file: file.clone(),
            line,
            place: key.to_owned(),
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
            file: file.clone(),
            line,
            place: String::new(),
            known: Vec::new(),
        }
    }

    /// The value of a key, once.
    pub fn take(&mut self, key: &'static str) -> Option<Item> {
        self.known.push(key);
        self.entries.remove(key)
    }

    /// The value of a key that has no default.
    pub fn require(&mut self, key: &'static str, expected: &str) -> Result<Item, Complaint> {
        match self.take(key) {
            Some(item) => Ok(item),
            None => Err(self.complain(format!("{key} is missing, expected {expected}"))),
        }
    }

    /// A table under this one; an empty one where the file has none.
    pub fn table(&mut self, key: &'static str) -> Result<Table, Complaint> {
        let place = child_place(&self.place, key, false);
        match self.take(key) {
            Some(Item {
                value: Value::Table(table),
                ..
            }) => Ok(table),
            Some(item) => Err(item.complain(format!("expected the table {place}"))),
            None => Ok(Table {
                file: self.file.clone(),
                line: 0,
                place,
                entries: BTreeMap::new(),
                known: Vec::new(),
            }),
        }
    }

    /// All `[[key]]` tables, in their order.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table>, Complaint> {
        let Some(item) = self.take(key) else {
            return Ok(Vec::new());
        };
        let expected = format!("expected tables that begin with [[{key}]]");
        let (file, line, place) = (item.file.clone(), item.line, item.place.clone());
        let complain = move || Complaint {
            file,
            line,
            place,
            message: expected,
        };

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

    /// Where the table begins.
    pub fn line(&self) -> usize {
        self.line
    }

    pub fn place(&self) -> Place {
        Place {
            file: self.file.clone(),
            line: self.line,
            place: self.place.clone(),
        }
    }

    /// A complaint about the table as a whole.
    pub fn complain(&self, message: impl fmt::Display) -> Complaint {
        self.place().complain(message)
    }

    /// Refuses the first key that nobody asked for.
    pub fn finish(self) -> Result<(), Complaint> {
        let Some(first) = self.entries.values().min_by_key(|item| item.line) else {
            return Ok(());
        };
        let what = match first.place.ends_with(']') {
            true => "table",
            false => "key",
        };
        Err(first.complain(format!(
            "unknown {what}, expected one of {}",
            self.known.join(", ")
        )))
    }
}

impl Item {
    pub fn place(&self) -> Place {
        Place {
            file: self.file.clone(),
            line: self.line,
            place: self.place.clone(),
        }
    }

    /// A complaint about this value.
    pub fn complain(&self, message: impl fmt::Display) -> Complaint {
        self.place().complain(message)
    }

    /// "expected …, found …", with what the file says.
    pub fn expected(&self, expected: impl fmt::Display) -> Complaint {
        self.complain(format!("expected {expected}, found {}", self.found()))
    }

    pub fn line(&self) -> usize {
        self.line
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

/// The text behind the spans, while a file is turned into tables.
struct Lines<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Lines<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        1 + before.filter(|&&byte| byte == b'\n').count()
    }

    fn table(&self, table: DeTable<'_>, line: usize, place: String) -> Result<Table, Complaint> {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let line = self.line(&key.span());
            let key = key.into_inner().into_owned();
            let item = self.item(value, line, &place, &key)?;
            entries.insert(key, item);
        }
        Ok(Table {
            file: self.file.clone(),
            line,
            place,
            entries,
            known: Vec::new(),
        })
    }

    fn item(
        &self,
        value: Spanned<DeValue<'_>>,
        line: usize,
        parent: &str,
        key: &str,
    ) -> Result<Item, Complaint> {
        let value = value.into_inner();
        let place = match &value {
            DeValue::Table(_) => child_place(parent, key, false),
            DeValue::Array(items) if holds_tables(items) => child_place(parent, key, true),
            _ if parent.is_empty() => key.to_owned(),
            _ => format!("{parent} {key}"),
        };
        let value = match value {
            DeValue::String(written) => Value::Text {
                meant: self.meant(&written, line, &place)?,
                written: written.into_owned(),
            },
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("a number out of range"), Value::Integer),
            DeValue::Boolean(flag) => Value::Flag(flag),
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => Value::List(self.list(items, &place)?),
            DeValue::Table(table) => Value::Table(self.table(table, line, place.clone())?),
        };
        Ok(Item {
            file: self.file.clone(),
            line,
            place,
            value,
        })
    }

    fn list(&self, items: DeArray<'_>, place: &str) -> Result<Vec<Item>, Complaint> {
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let line = self.line(&item.span());
            let mut item = match item.get_ref() {
                DeValue::Table(_) => {
                    let DeValue::Table(table) = item.into_inner() else {
                        continue;
                    };
                    Item {
                        file: self.file.clone(),
                        line,
                        place: place.to_owned(),
                        value: Value::Table(self.table(table, line, place.to_owned())?),
                    }
                }
                _ => self.item(item, line, "", "")?,
            };
            item.place = place.to_owned();
            list.push(item);
        }
        Ok(list)
    }

    /// The text with each `${NAME}` replaced.
    fn meant(&self, written: &str, line: usize, place: &str) -> Result<String, Complaint> {
        let mut meant = String::with_capacity(written.len());
        let mut rest = written;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            let Some((name, tail)) = after[2..].split_once('}').filter(|(name, _)| is_name(name))
            else {
                meant.push_str(before);
                meant.push_str("${");
                rest = &after[2..];
                continue;
            };
            let value = (self.lookup)(name).ok_or_else(|| Complaint {
                file: self.file.clone(),
                line,
                place: place.to_owned(),
                message: format!("expected the environment variable {name} to be set"),
            })?;
            meant.push_str(before);
            meant.push_str(&value);
            rest = tail;
        }
        meant.push_str(rest);
        Ok(meant)
    }
}

fn holds_tables(items: &DeArray<'_>) -> bool {
    items
        .iter()
        .any(|item| matches!(item.get_ref(), DeValue::Table(_)))
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

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn read(text: &str) -> Table {
        parse("a.toml", text, &nothing).unwrap()
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_line_and_key() {
        let mut root = read("\n[rtp]\n# ports\nthreads = \"two\"\n");
        let mut rtp = root.table("rtp").unwrap();

        let complaint = rtp.take("threads").unwrap().integer(0..=64).unwrap_err();

        assert_eq!(
            complaint.to_string(),
            "a.toml:4: [rtp] threads: expected a whole number from 0 to 64, found \"two\""
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_those_that_are_known() {
        let mut root = read("[sip.tls]\ncert = \"c\"\nkee = \"k\"\n");
        let mut tls = root.table("sip").unwrap().table("tls").unwrap();
        tls.take("cert");
        tls.take("key");

        assert_eq!(
            tls.finish().unwrap_err().to_string(),
            "a.toml:3: [sip.tls] kee: unknown key, expected one of cert, key"
        );
    }

    #[test]
    fn an_unknown_table_is_refused() {
        let mut root = read("[node]\n[snip]\n");
        root.take("node");
        root.take("sip");

        assert_eq!(
            root.finish().unwrap_err().to_string(),
            "a.toml:2: [snip]: unknown table, expected one of node, sip"
        );
    }

    #[test]
    fn each_of_repeated_tables_has_its_own_line() {
        let mut root = read("[[trunk]]\nname = \"a\"\n\n[[trunk]]\nname = 3\n");
        let trunks = root.tables("trunk").unwrap();

        assert_eq!(
            trunks.iter().map(Table::line).collect::<Vec<_>>(),
            [1, 4],
            "the lines of the headers"
        );
        let complaint = trunks
            .into_iter()
            .nth(1)
            .unwrap()
            .require("name", "a name")
            .unwrap()
            .text("a name")
            .unwrap_err();
        assert_eq!(
            complaint.to_string(),
            "a.toml:5: [[trunk]] name: expected a name, found 3"
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let mut root = read("x = 1\n[[trunk]]\n");
        let trunk = &mut root.tables("trunk").unwrap()[0];

        assert_eq!(
            trunk.require("uri", "a SIP URI").unwrap_err().to_string(),
            "a.toml:2: [[trunk]]: uri is missing, expected a SIP URI"
        );
    }

    #[test]
    fn text_that_is_not_toml_is_refused_with_its_line() {
        let complaint = parse("a.toml", "[rtp]\nports = \n", &nothing).unwrap_err();

        assert!(
            complaint.to_string().starts_with("a.toml:2: "),
            "{complaint}"
        );
    }

    #[test]
    fn variables_are_replaced_and_never_shown() {
        let lookup = |name: &str| (name == "PW").then(|| "s3cret".to_owned());
        let mut root = parse("a.toml", "a = \"x${PW}y\"\nb = \"^\\\\d${\"\n", &lookup).unwrap();

        let a = root.take("a").unwrap();
        let b = root.take("b").unwrap();

        assert_eq!(a.text("").unwrap(), "xs3crety");
        assert_eq!(
            a.expected("less").to_string(),
            "a.toml:1: a: expected less, found \"x${PW}y\""
        );
        assert_eq!(b.text("").unwrap(), "^\\d${");
    }

    #[test]
    fn a_variable_that_is_not_set_is_refused() {
        let complaint = parse("a.toml", "\na = \"${PW}\"\n", &nothing).unwrap_err();

        assert_eq!(
            complaint.to_string(),
            "a.toml:2: a: expected the environment variable PW to be set"
        );
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let alphabet = b"[]{}=\"'#.\n$a1-_, \\\xc3\xa9";
        for _ in 0..5_000 {
            let bytes: Vec<u8> = (0..random.usize(0..60))
                .map(|_| alphabet[random.usize(0..alphabet.len())])
                .collect();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let _ = parse("a.toml", &text, &nothing);
        }
    }
}
