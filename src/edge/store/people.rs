//! The people as the database keeps them: read whole, compared, and turned into the value that
//! control decides by.

mod apply;
mod edit;
mod rows;
mod wanted;

pub(super) use crate::edge::store::people::apply::begin_alone;
pub use crate::edge::store::people::apply::{ApplyError, Change};
pub use crate::edge::store::people::edit::EditFailed;
pub(super) use crate::edge::store::people::rows::forget_sign_ins;

use std::fmt;
use std::sync::Arc;

use crate::control::directory::{
    Agent, AgentNotice, Directory, Organisation, Permissions, Pool, SupervisorEntry,
};
use crate::control::input::Identity;
use crate::edge::store::db::one_row;
use crate::edge::store::secrets::Ha1;
use crate::edge::store::{Store, StoreError};
use crate::id::Language;

/// What the registrar needs to know of a user name.
#[derive(Clone, PartialEq, Eq)]
pub struct SipCredentials {
    pub ha1_md5: String,
    pub ha1_sha256: String,
    pub who: Identity,
}

impl fmt::Debug for SipCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipCredentials")
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Who registers under a user name, and with what.
    pub async fn sip_credentials(&self, user: &str) -> Result<Option<SipCredentials>, StoreError> {
        let row = one_row!(
            self.db(),
            (String, String, String, String, String),
            "SELECT organisation, kind, who, ha1_md5, ha1_sha256 FROM sip_users \
             WHERE user_name = $1",
            user
        )?;
        let Some((organisation, kind, who, ha1_md5, ha1_sha256)) = row else {
            return Ok(None);
        };
        let (organisation, who) = (Arc::from(organisation), Arc::from(who));
        let who = match kind.as_str() {
            "agent" => Identity::Agent {
                organisation,
                extension: who,
            },
            "supervisor" => Identity::Supervisor {
                organisation,
                user: who,
            },
            other => return Err(StoreError::Corrupt(format!("a SIP user is a {other:?}"))),
        };
        Ok(Some(SipCredentials {
            ha1_md5,
            ha1_sha256,
            who,
        }))
    }

    /// Everybody, as control wants them. `languages` are those that were loaded, the node's first;
    /// a supervisor whose language is not among them is spoken to in the node's.
    pub async fn load_directory(&self, languages: &[String]) -> Result<Directory, StoreError> {
        let mut tx = self.db().begin_reading().await?;
        let stored = rows::read(&mut tx).await?;
        tx.roll_back().await?;

        let mut directory = Directory::default();
        for (id, stored) in stored {
            let id: Arc<str> = id.into();
            for (name, pool) in stored.pools {
                let name: Arc<str> = name.into();
                let entry = Pool {
                    organisation: id.clone(),
                    name: name.clone(),
                    agent_notice: notice(pool.agent_notice.as_deref())?,
                };
                directory.pools.insert((id.clone(), name), entry);
            }
            for (extension, agent) in stored.agents {
                let extension: Arc<str> = extension.into();
                let entry = Agent {
                    organisation: id.clone(),
                    extension: extension.clone(),
                    name: agent.name.into(),
                    pools: shared(agent.pools),
                    contact: agent.contact.map(Into::into),
                    agent_notice: notice(agent.agent_notice.as_deref())?,
                };
                directory.agents.insert((id.clone(), extension), entry);
            }
            for (user, supervisor) in stored.supervisors {
                let user: Arc<str> = user.into();
                let language = supervisor.language.as_deref().and_then(|language| {
                    let index = languages.iter().position(|loaded| loaded == language)?;
                    u8::try_from(index).ok()
                });
                let entry = SupervisorEntry {
                    organisation: id.clone(),
                    user: user.clone(),
                    name: supervisor.name.into(),
                    phone: supervisor.phone.map(Into::into),
                    default_country: supervisor.default_country.map(Into::into),
                    devices: shared(supervisor.devices),
                    agent_extension: supervisor.agent.map(Into::into),
                    has_pin: supervisor.pin_hash.is_some(),
                    pools: shared(supervisor.pools),
                    may: permissions(&supervisor.may),
                    language: Language(language.unwrap_or(0)),
                };
                directory.supervisors.insert((id.clone(), user), entry);
            }
            let organisation = Organisation {
                id: id.clone(),
                name: stored.name.into(),
                supervising_numbers: shared(stored.supervising_numbers),
                supervision: stored.supervision,
                agent_notice: notice(stored.agent_notice.as_deref())?,
                help_keys: stored.help_keys,
            };
            directory.organisations.insert(id, organisation);
        }
        Ok(directory)
    }
}

/// An organisation with all its people, as the database has them or is to have them. By id.
#[derive(Clone, Debug, Default, PartialEq)]
struct StoredOrganisation {
    name: String,
    supervising_numbers: Vec<String>,
    supervision: bool,
    agent_notice: Option<String>,
    help_keys: bool,
    pools: std::collections::BTreeMap<String, StoredPool>,
    agents: std::collections::BTreeMap<String, StoredAgent>,
    supervisors: std::collections::BTreeMap<String, StoredSupervisor>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct StoredPool {
    agent_notice: Option<String>,
}

#[derive(Clone, Default, PartialEq)]
struct StoredAgent {
    name: String,
    contact: Option<String>,
    agent_notice: Option<String>,
    pools: Vec<String>,
    password_hash: Option<String>,
    sip: Option<Ha1>,
}

#[derive(Clone, Default, PartialEq)]
struct StoredSupervisor {
    name: String,
    phone: Option<String>,
    default_country: Option<String>,
    devices: Vec<String>,
    agent: Option<String>,
    pools: Vec<String>,
    /// The names of what is permitted, with spaces between.
    may: String,
    language: Option<String>,
    pin_hash: Option<String>,
    password_hash: Option<String>,
    sip: Option<Ha1>,
}

impl fmt::Debug for StoredAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredAgent({})", self.name)
    }
}

impl fmt::Debug for StoredSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredSupervisor({})", self.name)
    }
}

fn shared(texts: Vec<String>) -> Vec<Arc<str>> {
    texts.into_iter().map(Into::into).collect()
}

fn notice(name: Option<&str>) -> Result<Option<AgentNotice>, StoreError> {
    match name {
        None => Ok(None),
        Some("tone") => Ok(Some(AgentNotice::Tone)),
        Some("silent") => Ok(Some(AgentNotice::Silent)),
        Some(other) => Err(StoreError::Corrupt(format!("an agent notice is {other:?}"))),
    }
}

fn notice_name(notice: Option<AgentNotice>) -> Option<String> {
    notice.map(|notice| notice.name().to_owned())
}

fn permissions(names: &str) -> Permissions {
    let mut may = Permissions::default();
    for name in names.split(' ') {
        match name {
            "monitor" => may.monitor = true,
            "coach" => may.coach = true,
            "whisper_caller" => may.whisper_caller = true,
            "barge" => may.barge = true,
            "takeover" => may.takeover = true,
            "hang_up" => may.hang_up = true,
            // What a later version permits is nothing to this one.
            _ => {}
        }
    }
    may
}
