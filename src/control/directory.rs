//! The people and places that control decides about: what people.toml says and the store keeps,
//! as one value, replaced whole when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::Language;

/// All of it. Keys are the ids people use: organisation id, extension, user name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directory {
    pub organisations: BTreeMap<Arc<str>, Organisation>,
    /// By (organisation, pool name).
    pub pools: BTreeMap<(Arc<str>, Arc<str>), Pool>,
    /// By (organisation, extension).
    pub agents: BTreeMap<(Arc<str>, Arc<str>), Agent>,
    /// By (organisation, user).
    pub supervisors: BTreeMap<(Arc<str>, Arc<str>), SupervisorEntry>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Organisation {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub supervising_numbers: Vec<Arc<str>>,
    pub supervision: bool,
    pub agent_notice: Option<AgentNotice>,
    /// Whether an agent's `*4#` and `*5#` ask for help and close the request.
    pub help_keys: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub organisation: Arc<str>,
    pub name: Arc<str>,
    pub agent_notice: Option<AgentNotice>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    pub organisation: Arc<str>,
    pub extension: Arc<str>,
    pub name: Arc<str>,
    pub pools: Vec<Arc<str>>,
    /// A fixed SIP URI; an agent without one registers.
    pub contact: Option<Arc<str>>,
    pub agent_notice: Option<AgentNotice>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorEntry {
    pub organisation: Arc<str>,
    pub user: Arc<str>,
    pub name: Arc<str>,
    /// The one registered phone, E.164 with `+`.
    pub phone: Option<Arc<str>>,
    /// For caller IDs in national form, ISO 3166 alpha-2.
    pub default_country: Option<Arc<str>>,
    /// Rung by call-me.
    pub devices: Vec<Arc<str>>,
    /// The same person as an agent.
    pub agent_extension: Option<Arc<str>>,
    pub has_pin: bool,
    pub pools: Vec<Arc<str>>,
    pub may: Permissions,
    pub language: Language,
}

/// What a supervisor may do. All false by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    pub monitor: bool,
    pub coach: bool,
    pub whisper_caller: bool,
    pub barge: bool,
    pub takeover: bool,
    pub hang_up: bool,
}

impl Permissions {
    /// All that can be granted.
    pub const ALL: Self = Self {
        monitor: true,
        coach: true,
        whisper_caller: true,
        barge: true,
        takeover: true,
        hang_up: true,
    };
}

impl Agent {
    /// The pool that a call of this agent counts for where none routed it: their pool, where they
    /// are in one alone.
    pub fn only_pool(&self) -> Option<&Arc<str>> {
        match &self.pools[..] {
            [pool] => Some(pool),
            _ => None,
        }
    }
}

impl SupervisorEntry {
    /// What call-me may ring by name: the devices, and the registered phone.
    pub fn phones(&self) -> Vec<Arc<str>> {
        let mut phones = self.devices.clone();
        if let Some(phone) = &self.phone
            && !phones.contains(phone)
        {
            phones.push(phone.clone());
        }
        phones
    }
}

impl Permissions {
    /// What is permitted, by the names of people.toml and the API.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.monitor, "monitor"),
            (self.coach, "coach"),
            (self.whisper_caller, "whisper_caller"),
            (self.barge, "barge"),
            (self.takeover, "takeover"),
            (self.hang_up, "hang_up"),
        ];
        let permitted = all.into_iter().filter(|(may, _)| *may);
        permitted.map(|(_, name)| name).collect()
    }
}

/// What the agent hears when a supervisor joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentNotice {
    Tone,
    Silent,
}

impl AgentNotice {
    pub fn name(self) -> &'static str {
        match self {
            AgentNotice::Tone => "tone",
            AgentNotice::Silent => "silent",
        }
    }
}

impl Directory {
    /// The organisation that a supervising number belongs to.
    pub fn organisation_of_number(&self, number: &str) -> Option<&Organisation> {
        self.organisations.values().find(|organisation| {
            organisation
                .supervising_numbers
                .iter()
                .any(|n| &**n == number)
        })
    }
}
