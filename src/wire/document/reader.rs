//! From TOML with its spans to tables that know their lines.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::wire::document::{Complaint, Item, Place, Table, Value, child_place};

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
        Ok(root) => lines.table(root.into_inner(), 1, ""),
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

    fn place(&self, line: usize, name: &str) -> Place {
        Place {
            file: self.file.clone(),
            line,
            name: name.to_owned(),
        }
    }

    fn table(&self, table: DeTable<'_>, line: usize, name: &str) -> Result<Table, Complaint> {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let line = self.line(&key.span());
            let key = key.into_inner().into_owned();
            let item = self.item(value, line, name, &key)?;
            entries.insert(key, item);
        }
        Ok(Table {
            place: self.place(line, name),
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
        let name = match &value {
            DeValue::Table(_) => child_place(parent, key, false),
            DeValue::Array(items) if holds_tables(items) => child_place(parent, key, true),
            _ if parent.is_empty() => key.to_owned(),
            _ => format!("{parent} {key}"),
        };
        let value = match value {
            DeValue::String(written) => Value::Text {
                meant: self.meant(&written, line, &name)?,
                written: written.into_owned(),
            },
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("a number out of range"), Value::Integer),
            DeValue::Boolean(flag) => Value::Flag(flag),
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => Value::List(self.list(items, &name)?),
            DeValue::Table(table) => Value::Table(self.table(table, line, &name)?),
        };
        Ok(Item {
            place: self.place(line, &name),
            value,
        })
    }

    fn list(&self, items: DeArray<'_>, name: &str) -> Result<Vec<Item>, Complaint> {
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let line = self.line(&item.span());
            let value = match item.get_ref() {
                DeValue::Table(_) => {
                    let DeValue::Table(table) = item.into_inner() else {
                        continue;
                    };
                    Value::Table(self.table(table, line, name)?)
                }
                _ => self.item(item, line, "", "")?.value,
            };
            list.push(Item {
                place: self.place(line, name),
                value,
            });
        }
        Ok(list)
    }

    /// The text with each `${NAME}` replaced.
    fn meant(&self, written: &str, line: usize, name: &str) -> Result<String, Complaint> {
        let mut meant = String::with_capacity(written.len());
        let mut rest = written;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            let Some((variable, tail)) = after[2..].split_once('}').filter(|(it, _)| is_name(it))
            else {
                meant.push_str(before);
                meant.push_str("${");
                rest = &after[2..];
                continue;
            };
            let value = (self.lookup)(variable).ok_or_else(|| {
                let message = format!("expected the environment variable {variable} to be set");
                self.place(line, name).complain(message)
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
