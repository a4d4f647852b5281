//! error-codes.toml: the text, the prompts and the statuses of every refusal. It is complete, or
//! the start is refused with file and line.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::control::refusal::ErrorCode;
use crate::edge::config::Node;
use crate::id::PromptId;
use crate::wire::document::{self, Complaint, Table};

const FILE: &str = "error-codes.toml";

/// Every refusal of the product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// One for each of `ErrorCode::ALL`.
    entries: BTreeMap<ErrorCode, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The `error` of an API answer.
    pub name: String,
    pub text: String,
    /// Spoken one after another.
    pub prompt: Vec<PromptId>,
    pub sip: u16,
    pub http: u16,
    pub severity: Severity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(
        "error-codes.toml and prompts/ are in none of {}; start in the folder that \
         has them, or set [node] share in sottovoce.toml to it",
        listed(searched)
    )]
    Nowhere { searched: Vec<PathBuf> },
    #[error("{}: missing; expected it beside prompts/ in the folder of [node] share", path.display())]
    Missing { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Wrong(#[from] Complaint),
}

impl Catalogue {
    /// Reads the file in the node's share folder.
    pub fn of(node: &Node) -> Result<Self, CatalogueError> {
        if !node.share_missed.is_empty() {
            let searched = node.share_missed.clone();
            return Err(CatalogueError::Nowhere { searched });
        }
        Self::load(&node.share)
    }

    /// Reads the file in a share folder.
    pub fn load(share: &Path) -> Result<Self, CatalogueError> {
        let path = share.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&path.display().to_string(), &text)?),
            Err(source) if source.kind() == ErrorKind::NotFound => {
                Err(CatalogueError::Missing { path })
            }
            Err(source) => Err(CatalogueError::Unreadable { path, source }),
        }
    }

    fn parse(file: &str, text: &str) -> Result<Self, Complaint> {
        let mut root = document::parse(file, text, &|_| None)?;
        let mut entries = BTreeMap::new();
        let expected = "a code of the product, 9001 to 9015";
        for key in root.keys() {
            let Some(item) = root.take_named(&key) else {
                continue;
            };
            let code = key.parse().ok().and_then(ErrorCode::from_number);
            let code = code.ok_or_else(|| item.complain(format!("expected {expected}")))?;
            entries.insert(code, entry(item.into_table("a table")?)?);
        }
        let missing = |code: &&ErrorCode| !entries.contains_key(*code);
        if let Some(code) = ErrorCode::ALL.iter().find(missing) {
            return Err(Complaint {
                file: file.into(),
                line: 0,
                place: format!("[{code}]"),
                message: "is missing, expected name, text, prompt, sip, http and severity".into(),
            });
        }
        Ok(Self { entries })
    }

    pub fn entry(&self, code: ErrorCode) -> &Entry {
        let entry = self.entries.get(&code);
        assert!(entry.is_some(), "a catalogue holds every code");
        &self.entries[&code]
    }

    /// What is said for each code, as control wants it.
    pub fn spoken(&self) -> BTreeMap<ErrorCode, Vec<PromptId>> {
        let entries = self.entries.iter();
        entries
            .map(|(code, entry)| (*code, entry.prompt.clone()))
            .collect()
    }

    /// Every prompt that some code is spoken with.
    pub fn prompts(&self) -> impl Iterator<Item = PromptId> + '_ {
        let entries = self.entries.values();
        entries.flat_map(|entry| entry.prompt.iter().copied())
    }
}

fn listed(folders: &[PathBuf]) -> String {
    let names: Vec<_> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    names.join(", ")
}

fn entry(mut table: Table) -> Result<Entry, Complaint> {
    table.declare(&["name", "text", "prompt", "sip", "http", "severity"]);
    let name = table.require("name", "a name")?;
    let text = table.require("text", "a sentence")?;
    let prompts = "a list of prompt files without their ending, such as \"9\" or \"pupil-gone\"";
    let prompt = table.require("prompt", prompts)?;
    let sip = table.require("sip", "a SIP status")?;
    let http = table.require("http", "an HTTP status")?;
    let severity = table.require("severity", "a severity")?;
    let stems = prompt.texts(prompts)?;
    let is_stem = |stem: &String| {
        stem.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if stems.is_empty() || !stems.iter().all(is_stem) {
        return Err(prompt.complain(format!("expected {prompts}")));
    }

    let entry = Entry {
        name: name.filled_text("a name")?.to_owned(),
        text: text.filled_text("a sentence")?.to_owned(),
        prompt: stems.into_iter().map(prompt_id).collect(),
        sip: sip.integer(400..=699)? as u16,
        http: http.integer(400..=599)? as u16,
        severity: severity.one_of(&[
            ("info", Severity::Info),
            ("warning", Severity::Warning),
            ("error", Severity::Error),
        ])?,
    };
    table.finish()?;
    Ok(entry)
}

/// The names of a file's few prompts live as long as the process, which reads it once.
fn prompt_id(stem: String) -> PromptId {
    PromptId(Box::leak(stem.into_boxed_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = include_str!("../../error-codes.toml");

    #[test]
    fn the_catalogue_of_the_product_is_whole() {
        let catalogue = Catalogue::parse("error-codes.toml", WHOLE).unwrap();

        let gone = catalogue.entry(ErrorCode::PupilGone);
        assert_eq!((gone.sip, gone.http), (480, 409));
        let stems: Vec<_> = gone.prompt.iter().map(|prompt| prompt.0).collect();
        assert_eq!(stems, ["9", "0", "1", "3", "pupil-gone"]);
        assert_eq!(catalogue.spoken().len(), ErrorCode::ALL.len());
        assert!(catalogue.prompts().any(|p| p == PromptId("user-gone")));
    }

    #[test]
    fn a_code_that_lacks_something_stops_the_start() {
        let line = 1 + WHOLE
            .lines()
            .position(|line| line == "[9013]")
            .expect("9013");
        let without = |key: &str| {
            let (before, after) = WHOLE.split_once("[9013]").unwrap();
            let after = after.replacen(key, &format!("# {key}"), 1);
            format!("{before}[9013]{after}")
        };

        for (key, expected) in [
            ("text", "text is missing, expected a sentence"),
            (
                "prompt",
                "prompt is missing, expected a list of prompt files",
            ),
            ("sip", "sip is missing, expected a SIP status"),
            ("http", "http is missing, expected an HTTP status"),
        ] {
            let complaint = Catalogue::parse("e.toml", &without(key)).unwrap_err();
            let complaint = complaint.to_string();
            assert!(
                complaint.starts_with(&format!("e.toml:{line}: [9013]: {expected}")),
                "{complaint}"
            );
        }
    }

    #[test]
    fn a_code_that_is_missing_or_unknown_stops_the_start() {
        let missing = WHOLE.replace("[9014]", "[9013.more]");
        let unknown = format!("{WHOLE}\n[9016]\nname = \"x\"\n");

        let missing = Catalogue::parse("e.toml", &missing).unwrap_err();
        let unknown = Catalogue::parse("e.toml", &unknown).unwrap_err();

        assert!(missing.to_string().contains("[9013.more]: unknown table"));
        assert!(
            unknown
                .to_string()
                .ends_with("[9016]: expected a code of the product, 9001 to 9015")
        );
        assert_eq!(
            Catalogue::parse("e.toml", "").unwrap_err().to_string(),
            "e.toml: [9001]: is missing, expected name, text, prompt, sip, http and severity"
        );
    }
}
