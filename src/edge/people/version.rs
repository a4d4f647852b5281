//! Which state of an organisation, a pool or a person somebody has seen, so that two who change the
//! same one at once do not overwrite each other unawares.
//!
//! A version covers all that can be set of a thing, its secrets included, and nothing that others
//! set: who is in a pool is of its agents, not of the pool.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::edge::people::{Agent, Organisation, Pool, Secret, Supervisor};

/// A digest, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    fn of(fields: &Value) -> Self {
        let mut text = hex::encode(Sha256::digest(fields.to_string().as_bytes()));
        text.truncate(DIGITS);
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Of the digest: enough that no two states of one thing share them.
const DIGITS: usize = 24;

impl Organisation {
    pub fn version(&self) -> Version {
        let Self {
            name,
            supervising_numbers,
            supervision,
            agent_notice,
            help_keys,
            pools: _,
            agents: _,
            supervisors: _,
        } = self;
        let notice = agent_notice.map(|notice| notice.name());
        Version::of(&json!([
            name,
            supervising_numbers,
            supervision,
            notice,
            help_keys
        ]))
    }
}

impl Pool {
    pub fn version(&self) -> Version {
        let Self { agent_notice } = self;
        Version::of(&json!([agent_notice.map(|notice| notice.name())]))
    }
}

impl Agent {
    pub fn version(&self) -> Version {
        let Self {
            name,
            pools,
            contact,
            agent_notice,
            password,
        } = self;
        let notice = agent_notice.map(|notice| notice.name());
        Version::of(&json!([name, pools, contact, notice, mark(password)]))
    }
}

impl Supervisor {
    pub fn version(&self) -> Version {
        let Self {
            name,
            phone,
            default_country,
            devices,
            agent,
            sip_password,
            pin,
            password,
            pools,
            may,
            language,
        } = self;
        Version::of(&json!([
            name,
            phone,
            default_country,
            devices,
            agent,
            mark(sip_password),
            mark(pin),
            mark(password),
            pools,
            may.names(),
            language,
        ]))
    }
}

/// A secret that the store has is told from another by its hash.
fn mark(secret: &Option<Secret>) -> Option<&str> {
    match secret.as_ref()? {
        Secret::Kept(hash) => Some(hash),
        Secret::Given(_) => Some(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_another_one_with_every_change_and_the_same_without() {
        let agent = Agent {
            name: "Aino".into(),
            pools: vec!["support".into()],
            contact: None,
            agent_notice: None,
            password: Some(Secret::Kept("one".into())),
        };
        let mut renamed = agent.clone();
        renamed.name.push('a');
        let mut moved = agent.clone();
        moved.pools.clear();
        let mut other_password = agent.clone();
        other_password.password = Some(Secret::Kept("two".into()));
        let mut without = agent.clone();
        without.password = None;

        assert_eq!(agent.version(), agent.clone().version());
        let changed = [renamed, moved, other_password, without];
        for (index, one) in changed.iter().enumerate() {
            assert_ne!(one.version(), agent.version());
            for other in &changed[index + 1..] {
                assert_ne!(one.version(), other.version());
            }
        }
        assert_eq!(agent.version().as_str().len(), DIGITS);
    }
}
