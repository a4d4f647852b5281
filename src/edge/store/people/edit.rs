//! People changed one by one while the service runs: read, changed by a rule, and written with the
//! rows of the audit that tell it, as one.

use crate::edge::people::{Agent, EditError, Organisation, People, Pool, Secret, Supervisor};
use crate::edge::store::audit::Row;
use crate::edge::store::people::apply::{Stored, TRIES, begin_alone, note_changes, write};
use crate::edge::store::people::rows::{self, read};
use crate::edge::store::people::{
    Change, StoredAgent, StoredOrganisation, StoredSupervisor, notice, permissions,
};
use crate::edge::store::{Store, StoreError};

/// Why an edit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum EditFailed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] EditError),
}

impl From<sqlx::Error> for EditFailed {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Everybody, as people.toml would say it. Of secrets it has the hashes.
    pub async fn people(&self) -> Result<People, StoreError> {
        let mut tx = self.db().begin_reading().await?;
        let stored = read(&mut tx).await?;
        tx.roll_back().await?;
        people_of(&stored)
    }

    /// Changes people by a rule, which is asked again where somebody else was faster. `row` is
    /// written for each change, with what changed as its detail.
    pub async fn edit_people<T>(
        &self,
        realm: &str,
        row: impl Fn() -> Row,
        mut rule: impl FnMut(&mut People) -> Result<T, EditError>,
    ) -> Result<(T, Vec<Change>), EditFailed> {
        // Changes of this node take turns; the tries are for those of other nodes.
        let busy = |_| StoreError::Editing;
        let _waiting = self
            .editing
            .waiting
            .try_acquire()
            .map_err(|_| StoreError::Editing)?;
        let _turn = self.editing.one.acquire().await.map_err(busy)?;
        for _ in 0..TRIES {
            let mut tx = self.db().begin_reading().await?;
            let before = read(&mut tx).await?;
            let administrators = rows::administrators(&mut tx).await?;
            tx.roll_back().await?;
            let mut people = people_of(&before)?;
            people.administrators = administrators.clone();
            let told = rule(&mut people)?;
            // Hashes take long, so they are made before the lock is taken.
            let wanted = self.wanted(&people, &before, realm).await?;

            let mut tx = begin_alone(self.db()).await?;
            if read(&mut tx).await? != before
                || rows::administrators(&mut tx).await? != administrators
            {
                tx.roll_back().await?;
                continue;
            }
            let mut changes = Vec::new();
            for id in before.keys().filter(|id| !wanted.contains_key(*id)) {
                rows::remove_organisation(&mut tx, id).await?;
                changes.push(Change::organisation_removed(id));
            }
            changes.extend(write(&mut tx, &before, &wanted).await?);
            note_changes(&mut tx, &changes, &row).await?;
            tx.commit().await?;
            return Ok((told, changes));
        }
        Err(StoreError::Editing.into())
    }
}

fn people_of(stored: &Stored) -> Result<People, StoreError> {
    let mut people = People::default();
    for (id, stored) in stored {
        people
            .organisations
            .insert(id.clone(), organisation_of(stored)?);
    }
    Ok(people)
}

fn organisation_of(stored: &StoredOrganisation) -> Result<Organisation, StoreError> {
    let mut organisation = Organisation {
        name: stored.name.clone(),
        supervising_numbers: stored.supervising_numbers.clone(),
        supervision: stored.supervision,
        agent_notice: notice(stored.agent_notice.as_deref())?,
        help_keys: stored.help_keys,
        pools: Default::default(),
        agents: Default::default(),
        supervisors: Default::default(),
    };
    for (name, pool) in &stored.pools {
        let agent_notice = notice(pool.agent_notice.as_deref())?;
        organisation
            .pools
            .insert(name.clone(), Pool { agent_notice });
    }
    for (extension, agent) in &stored.agents {
        let agent = agent_of(agent)?;
        organisation.agents.insert(extension.clone(), agent);
    }
    for (user, supervisor) in &stored.supervisors {
        let supervisor = supervisor_of(supervisor);
        organisation.supervisors.insert(user.clone(), supervisor);
    }
    Ok(organisation)
}

fn agent_of(stored: &StoredAgent) -> Result<Agent, StoreError> {
    Ok(Agent {
        name: stored.name.clone(),
        pools: stored.pools.clone(),
        contact: stored.contact.clone(),
        agent_notice: notice(stored.agent_notice.as_deref())?,
        password: kept(stored.sip.as_ref().map(|ha1| &ha1.sha256)),
    })
}

fn supervisor_of(stored: &StoredSupervisor) -> Supervisor {
    Supervisor {
        name: stored.name.clone(),
        phone: stored.phone.clone().unwrap_or_default(),
        default_country: stored.default_country.clone(),
        devices: stored.devices.clone(),
        agent: stored.agent.clone(),
        sip_password: kept(stored.sip.as_ref().map(|ha1| &ha1.sha256)),
        pin: kept(stored.pin_hash.as_ref()),
        password: kept(stored.password_hash.as_ref()),
        pools: stored.pools.clone(),
        may: permissions(&stored.may),
        language: stored.language.clone(),
    }
}

fn kept(hash: Option<&String>) -> Option<Secret> {
    hash.cloned().map(Secret::Kept)
}
