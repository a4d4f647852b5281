//! people.toml: organisations, their pools, agents and supervisors, checked while they are read.
//!
//! The file is declarative: [`crate::edge::store::Store::apply`] makes the database say the same.
//! Telephone numbers leave here as E.164; what is not one is refused with file and line.

mod edit;
mod entries;
pub mod import;
#[cfg(test)]
mod tests;
mod version;

pub use crate::edge::people::edit::{EditError, SupervisorWishes, Wish};
pub use crate::edge::people::version::Version;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use phonenumber::Mode;

use crate::control::directory::{AgentNotice, Permissions};
use crate::wire::document::{self, Complaint, Item};

/// The characters of a password for console and API, at least.
pub const MIN_PASSWORD: usize = 8;

/// What the whole file says, by organisation id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    pub organisations: BTreeMap<String, Organisation>,
    /// Languages that supervisors may be spoken to in: those that there are prompts in. None named:
    /// it is not known here which there are.
    pub languages: Vec<String>,
    /// Names that administrators sign in with: nobody new gets one. Known where people are edited
    /// in a database; a file does not know them.
    pub administrators: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    pub name: String,
    pub supervising_numbers: Vec<String>,
    pub supervision: bool,
    pub agent_notice: Option<AgentNotice>,
    pub help_keys: bool,
    pub pools: BTreeMap<String, Pool>,
    /// By extension.
    pub agents: BTreeMap<String, Agent>,
    /// By user name.
    pub supervisors: BTreeMap<String, Supervisor>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub agent_notice: Option<AgentNotice>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub name: String,
    pub pools: Vec<String>,
    pub contact: Option<String>,
    pub agent_notice: Option<AgentNotice>,
    /// Of the registration, and for signing in.
    pub password: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    pub name: String,
    /// E.164.
    pub phone: String,
    pub default_country: Option<String>,
    pub devices: Vec<String>,
    pub agent: Option<String>,
    pub sip_password: Option<Secret>,
    pub pin: Option<Secret>,
    pub password: Option<Secret>,
    pub pools: Vec<String>,
    pub may: Permissions,
    pub language: Option<String>,
}

/// A password or PIN. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Given(String),
    /// The one that the store has: its hash.
    Kept(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why there are no people.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Wrong(#[from] Complaint),
}

impl People {
    pub fn pool(&self, organisation: &str, name: &str) -> Option<&Pool> {
        self.organisations.get(organisation)?.pools.get(name)
    }

    pub fn agent(&self, organisation: &str, extension: &str) -> Option<&Agent> {
        self.organisations.get(organisation)?.agents.get(extension)
    }

    pub fn supervisor(&self, organisation: &str, user: &str) -> Option<&Supervisor> {
        self.organisations.get(organisation)?.supervisors.get(user)
    }

    /// `languages` are those that there are prompts in.
    pub fn load(path: &Path, languages: &[String]) -> Result<Self, PeopleError> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let environment = |name: &str| std::env::var(name).ok();
                let file = path.display().to_string();
                let nobody = Self {
                    languages: languages.to_vec(),
                    ..Self::default()
                };
                Ok(nobody.read(&file, &text, &environment)?)
            }
            Err(source) => Err(PeopleError::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads the text of a file that is called `file` in complaints.
    pub fn parse(
        file: &str,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Complaint> {
        Self::default().read(file, text, environment)
    }

    fn read(
        mut self,
        file: &str,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Complaint> {
        let mut root = document::parse(file, text, environment)?;
        entries::organisations(&mut root, &mut self)?;
        entries::pools(&mut root, &mut self)?;
        entries::agents(&mut root, &mut self)?;
        entries::supervisors(&mut root, &mut self)?;
        root.finish()?;
        Ok(self)
    }
}

/// The characters of a name, at most.
pub const MAX_NAME: usize = 100;

/// Whether a text can be shown as a name: it is not empty, not too long, and nothing in it controls
/// a terminal, ends a line, or turns the direction of what is written beside it.
pub fn is_name(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    !text.trim().is_empty()
        && text.chars().count() <= MAX_NAME
        && !text.contains(|c: char| c.is_control() || turns(c))
}

/// Whether a text is a country of ISO 3166, as `FI`.
pub fn is_country(text: &str) -> bool {
    text.parse::<phonenumber::country::Id>().is_ok()
}

/// What is expected where a telephone number is.
pub const NUMBER: &str = "a telephone number such as \"+358401234567\", \
                          or a national one beside default_country";

/// A telephone number as E.164. A national one needs its country, and must be one that can exist
/// there: what is shorter is an extension.
pub fn number(text: &str, country: Option<&str>) -> Option<String> {
    if text.contains(char::is_control) {
        return None;
    }
    let country = country.and_then(|country| country.parse().ok());
    match phonenumber::parse(country, text) {
        Ok(number) if text.trim_start().starts_with('+') || number.is_valid() => {
            Some(number.format().mode(Mode::E164).to_string())
        }
        _ => None,
    }
}

fn e164(item: &Item, country: Option<&str>) -> Result<String, Complaint> {
    number(item.text(NUMBER)?, country).ok_or_else(|| item.expected(NUMBER))
}
