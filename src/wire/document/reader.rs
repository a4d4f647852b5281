//! From TOML with its spans to tables that know their lines.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::wire::document::{Complaint, Item, Table, Value, child_place};

pub(super) fn read(
    file: Arc<str>,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Table, Complaint> {
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
            file: file.clone(),
        }),
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
            declared: false,
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

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
