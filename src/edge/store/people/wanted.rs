//! What the tables are to hold for people to be as they are wanted. Hashes that still fit are kept;
//! others take long, so they are made at the same time, as many as may be.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use crate::edge::people::{Agent, Organisation, People, Secret, Supervisor};
use crate::edge::store::people::apply::Stored;
use crate::edge::store::people::{
    StoredAgent, StoredOrganisation, StoredPool, StoredSupervisor, notice_name,
};
use crate::edge::store::secrets::Ha1;
use crate::edge::store::{Store, StoreError};

/// Hashes that are checked or computed at once.
const HASHES_AT_ONCE: usize = 16;

impl Store {
    /// What the tables are to hold. Secrets that are as they were keep their hashes.
    pub(super) async fn wanted(
        &self,
        people: &People,
        stored: &Stored,
        realm: &str,
    ) -> Result<Stored, StoreError> {
        let mut wanted = Stored::new();
        let mut hashes = Hashes::default();
        let nobody = StoredOrganisation::default();
        for (id, organisation) in &people.organisations {
            let stored = stored.get(id).unwrap_or(&nobody);
            for (extension, agent) in &organisation.agents {
                let stored = stored.agents.get(extension);
                let known = stored.and_then(|agent| agent.password_hash.clone());
                let sip = stored.and_then(|agent| agent.sip.as_ref());
                let slot = Slot::agent(id, extension);
                match (&agent.password, known) {
                    // The same HA1 is the same password, and is compared a good deal faster.
                    (Some(Secret::Given(password)), Some(known))
                        if sip == Some(&Ha1::of(extension, realm, password)) =>
                    {
                        hashes.done.insert(slot, known);
                    }
                    (Some(password), known) => hashes.add(slot, password, known),
                    (None, _) => {}
                }
            }
            for (user, supervisor) in &organisation.supervisors {
                let stored = stored.supervisors.get(user);
                let pin = stored.and_then(|s| s.pin_hash.clone());
                let password = stored.and_then(|s| s.password_hash.clone());
                if let Some(secret) = &supervisor.pin {
                    hashes.add(Slot::pin(id, user), secret, pin);
                }
                if let Some(secret) = &supervisor.password {
                    hashes.add(Slot::password(id, user), secret, password);
                }
            }
        }

        let hashes = hashes.compute(self).await?;
        for (id, organisation) in &people.organisations {
            let stored = stored.get(id).unwrap_or(&nobody);
            let organisation = wanted_of(id, organisation, stored, &hashes, realm);
            wanted.insert(id.clone(), organisation);
        }
        Ok(wanted)
    }
}

fn wanted_of(
    id: &str,
    organisation: &Organisation,
    stored: &StoredOrganisation,
    hashes: &BTreeMap<Slot, String>,
    realm: &str,
) -> StoredOrganisation {
    let agent = |(extension, agent): (&String, &Agent)| {
        let known = stored.agents.get(extension);
        let known = known.and_then(|agent| agent.sip.as_ref());
        let stored = StoredAgent {
            name: agent.name.clone(),
            contact: agent.contact.clone(),
            agent_notice: notice_name(agent.agent_notice),
            pools: agent.pools.clone(),
            password_hash: hashes.get(&Slot::agent(id, extension)).cloned(),
            sip: ha1(extension, realm, agent.password.as_ref(), known),
        };
        (extension.clone(), stored)
    };
    let supervisor = |(user, supervisor): (&String, &Supervisor)| {
        let known = stored.supervisors.get(user);
        let known = known.and_then(|supervisor| supervisor.sip.as_ref());
        let stored = StoredSupervisor {
            name: supervisor.name.clone(),
            phone: Some(supervisor.phone.clone()).filter(|phone| !phone.is_empty()),
            default_country: supervisor.default_country.clone(),
            devices: supervisor.devices.clone(),
            agent: supervisor.agent.clone(),
            pools: supervisor.pools.clone(),
            may: supervisor.may.names().join(" "),
            language: supervisor.language.clone(),
            pin_hash: hashes.get(&Slot::pin(id, user)).cloned(),
            password_hash: hashes.get(&Slot::password(id, user)).cloned(),
            sip: ha1(user, realm, supervisor.sip_password.as_ref(), known),
        };
        (user.clone(), stored)
    };
    let pools = organisation.pools.iter().map(|(name, pool)| {
        let agent_notice = notice_name(pool.agent_notice);
        (name.clone(), StoredPool { agent_notice })
    });
    StoredOrganisation {
        name: organisation.name.clone(),
        supervising_numbers: organisation.supervising_numbers.clone(),
        supervision: organisation.supervision,
        agent_notice: notice_name(organisation.agent_notice),
        help_keys: organisation.help_keys,
        pools: pools.collect(),
        agents: organisation.agents.iter().map(agent).collect(),
        supervisors: organisation.supervisors.iter().map(supervisor).collect(),
    }
}

fn ha1(user: &str, realm: &str, password: Option<&Secret>, known: Option<&Ha1>) -> Option<Ha1> {
    match password? {
        Secret::Given(password) => Some(Ha1::of(user, realm, password)),
        Secret::Kept(_) => known.cloned(),
    }
}

/// A place for a hash: (kind, organisation, person).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot(&'static str, String, String);

impl Slot {
    fn agent(organisation: &str, extension: &str) -> Self {
        Self("agent", organisation.to_owned(), extension.to_owned())
    }

    fn pin(organisation: &str, user: &str) -> Self {
        Self("pin", organisation.to_owned(), user.to_owned())
    }

    fn password(organisation: &str, user: &str) -> Self {
        Self("password", organisation.to_owned(), user.to_owned())
    }
}

#[derive(Default)]
struct Hashes {
    done: BTreeMap<Slot, String>,
    /// With the hash that is already there.
    to_check: Vec<(Slot, String, Option<String>)>,
}

impl Hashes {
    fn add(&mut self, slot: Slot, secret: &Secret, known: Option<String>) {
        match (secret, known) {
            (Secret::Given(secret), known) => self.to_check.push((slot, secret.clone(), known)),
            (Secret::Kept(_), Some(known)) => {
                self.done.insert(slot, known);
            }
            (Secret::Kept(_), None) => {}
        }
    }

    /// A hash that still fits is kept; the others are made anew.
    async fn compute(self, store: &Store) -> Result<BTreeMap<Slot, String>, StoreError> {
        let Self { mut done, to_check } = self;
        let mut running = JoinSet::new();
        let mut to_check = to_check.into_iter();
        loop {
            while running.len() < HASHES_AT_ONCE
                && let Some((slot, secret, known)) = to_check.next()
            {
                let store = store.clone();
                running.spawn(async move {
                    if let Some(known) = known
                        && store.verify_hash(&secret, known.clone()).await?
                    {
                        return Ok((slot, known));
                    }
                    Ok::<_, StoreError>((slot, store.hash(&secret).await?))
                });
            }
            match running.join_next().await {
                Some(Ok(result)) => {
                    let (slot, hash) = result?;
                    done.insert(slot, hash);
                }
                Some(Err(error)) => return Err(StoreError::Hash(error.to_string())),
                None => return Ok(done),
            }
        }
    }
}
