//! Makes the database say what people.toml says, and tells what that changed.
//!
//! Whatever is absent from the file is removed, within the organisations that the file names.
//! Secrets are compared by checking them against their hashes, so that the same file twice changes
//! nothing. A supervisor's console password is the one thing that is left alone where the file has
//! none: it may have been set by `user passwd`.

use std::collections::BTreeMap;
use std::fmt;

use tokio::task::JoinSet;

use crate::edge::people::{Agent, Organisation, People, Secret, Supervisor};
use crate::edge::store::db::{Db, Tx};
use crate::edge::store::people::rows::{self, read};
use crate::edge::store::people::{
    StoredAgent, StoredOrganisation, StoredPool, StoredSupervisor, notice_name,
};
use crate::edge::store::secrets::Ha1;
use crate::edge::store::{Store, StoreError};

/// One line of what `apply` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Created(Subject),
    /// With the names of what differs.
    Changed(Subject, Vec<&'static str>),
    Removed(Subject),
}

/// Whom a change is about: `agent acme/204`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    kind: &'static str,
    name: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A number or a name is unique on the node and belongs to an organisation that the file does
    /// not name.
    #[error("{what} {name:?} already belongs to organisation {owner:?}")]
    Taken {
        what: &'static str,
        name: String,
        owner: String,
    },
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Created(subject) => write!(f, "created {subject}"),
            Change::Changed(subject, what) => write!(f, "changed {subject}: {}", what.join(", ")),
            Change::Removed(subject) => write!(f, "removed {subject}"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Hashes that are checked or computed at once.
const HASHES_AT_ONCE: usize = 16;

pub(super) type Stored = BTreeMap<String, StoredOrganisation>;

impl Store {
    /// Puts the people of a file into the database. `realm` is that of digest authentication.
    pub async fn apply(&self, people: &People, realm: &str) -> Result<Vec<Change>, ApplyError> {
        let mut people = people.clone();
        for organisation in people.organisations.values_mut() {
            for supervisor in organisation.supervisors.values_mut() {
                // It may have been set by `user passwd`.
                supervisor.password.get_or_insert(Secret::Kept);
            }
        }
        // Hashes take long, so they are made before the lock is taken; a hash that another `apply`
        // replaces meanwhile is replaced again below.
        let mut tx = self.db().begin_reading().await?;
        let before = read(&mut tx).await?;
        tx.roll_back().await?;
        let wanted = self.wanted(&people, &before, realm).await?;

        let mut tx = begin_alone(self.db()).await?;
        let stored = read(&mut tx).await?;
        nothing_is_taken(&stored, &wanted)?;
        let changes = write(&mut tx, &stored, &wanted).await?;
        tx.commit().await?;
        Ok(changes)
    }

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
        Secret::Kept => known.cloned(),
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
            (Secret::Kept, Some(known)) => {
                self.done.insert(slot, known);
            }
            (Secret::Kept, None) => {}
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

/// Supervising numbers, extensions and SIP user names are unique on the node; organisations outside the file
/// keep theirs.
fn nothing_is_taken(stored: &Stored, wanted: &Stored) -> Result<(), ApplyError> {
    let others = stored.iter().filter(|(id, _)| !wanted.contains_key(*id));
    for (owner, other) in others {
        for organisation in wanted.values() {
            let numbers = &organisation.supervising_numbers;
            if let Some(number) = numbers
                .iter()
                .find(|n| other.supervising_numbers.contains(n))
            {
                return Err(ApplyError::Taken {
                    what: "the supervising number",
                    name: number.clone(),
                    owner: owner.clone(),
                });
            }
            let extension = organisation.agents.keys().find(|extension| {
                other.agents.contains_key(*extension)
                    || other.supervising_numbers.contains(extension)
            });
            if let Some(extension) = extension {
                return Err(ApplyError::Taken {
                    what: "the extension",
                    name: extension.clone(),
                    owner: owner.clone(),
                });
            }
            if let Some(number) = numbers.iter().find(|n| other.agents.contains_key(*n)) {
                return Err(ApplyError::Taken {
                    what: "the supervising number, as an extension,",
                    name: number.clone(),
                    owner: owner.clone(),
                });
            }
            if let Some(user) = sip_users(organisation).find(|user| {
                let mut theirs = sip_users(other);
                theirs.any(|other| other == *user)
            }) {
                return Err(ApplyError::Taken {
                    what: "the name under which a phone registers,",
                    name: user.to_owned(),
                    owner: owner.clone(),
                });
            }
        }
    }
    Ok(())
}

fn sip_users(organisation: &StoredOrganisation) -> impl Iterator<Item = &str> {
    let agents = organisation.agents.iter();
    let supervisors = organisation.supervisors.iter();
    agents
        .filter_map(|(name, agent)| agent.sip.as_ref().map(|_| name.as_str()))
        .chain(supervisors.filter_map(|(name, s)| s.sip.as_ref().map(|_| name.as_str())))
}

/// Begins to write people. One at a time, so that none overwrites what it has not seen.
pub(in crate::edge::store) async fn begin_alone(db: &Db) -> Result<Tx, sqlx::Error> {
    let mut tx = db.begin().await?;
    if let Tx::Postgres(tx) = &mut tx {
        sqlx::query("LOCK TABLE organisations IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut **tx)
            .await?;
    }
    Ok(tx)
}

/// Makes the tables hold what is wanted of the organisations that it names.
pub(super) async fn write(
    tx: &mut Tx,
    stored: &Stored,
    wanted: &Stored,
) -> Result<Vec<Change>, sqlx::Error> {
    let mut changes = Vec::new();
    // Whatever gives up a name that is unique goes first.
    for (id, wanted) in wanted {
        if let Some(stored) = stored.get(id) {
            remove_the_absent(tx, id, stored, wanted, &mut changes).await?;
        }
    }
    for (id, wanted) in wanted {
        write_the_changed(tx, id, stored.get(id), wanted, &mut changes).await?;
    }
    rows::forget_watches(tx).await?;
    Ok(changes)
}

async fn remove_the_absent(
    tx: &mut Tx,
    id: &str,
    stored: &StoredOrganisation,
    wanted: &StoredOrganisation,
    changes: &mut Vec<Change>,
) -> Result<(), sqlx::Error> {
    for user in stored.supervisors.keys() {
        if !wanted.supervisors.contains_key(user) {
            rows::remove_supervisor(tx, id, user).await?;
            rows::end_sign_ins(tx, id, "supervisor", user).await?;
            changes.push(Change::Removed(subject("supervisor", id, user)));
        } else if stored.supervisors.get(user) != wanted.supervisors.get(user) {
            // Written again below. Two who swap their phones must not meet half way.
            rows::remove_supervisor(tx, id, user).await?;
            let [before, after] = [stored, wanted].map(|o| {
                let supervisor = o.supervisors.get(user);
                supervisor.and_then(|supervisor| supervisor.password_hash.as_deref())
            });
            if before != after {
                rows::forget_sign_ins(tx, id, "supervisor", user).await?;
            }
        }
    }
    for extension in stored.agents.keys() {
        if !wanted.agents.contains_key(extension) {
            rows::remove_agent(tx, id, extension).await?;
            rows::end_sign_ins(tx, id, "agent", extension).await?;
            changes.push(Change::Removed(subject("agent", id, extension)));
        } else if stored.agents.get(extension) != wanted.agents.get(extension) {
            rows::remove_agent(tx, id, extension).await?;
            let [before, after] = [stored, wanted].map(|o| {
                let agent = o.agents.get(extension);
                agent.and_then(|agent| agent.password_hash.as_deref())
            });
            if before != after {
                rows::forget_sign_ins(tx, id, "agent", extension).await?;
            }
        }
    }
    for name in stored.pools.keys() {
        if !wanted.pools.contains_key(name) {
            rows::remove_pool(tx, id, name).await?;
            changes.push(Change::Removed(subject("pool", id, name)));
        }
    }
    if stored.supervising_numbers != wanted.supervising_numbers {
        rows::remove_supervising_numbers(tx, id).await?;
    }
    Ok(())
}

async fn write_the_changed(
    tx: &mut Tx,
    id: &str,
    stored: Option<&StoredOrganisation>,
    wanted: &StoredOrganisation,
    changes: &mut Vec<Change>,
) -> Result<(), sqlx::Error> {
    let nobody = StoredOrganisation::default();
    let fields = stored.map(|stored| stored.differences(wanted));
    let before = changes.len();
    note(changes, Subject::organisation(id), fields);
    if changes.len() > before {
        rows::write_organisation(tx, id, wanted).await?;
    }

    let stored = stored.unwrap_or(&nobody);
    for (name, pool) in &wanted.pools {
        let old = stored.pools.get(name);
        if old != Some(pool) {
            let fields = old.map(|_| vec!["agent_notice"]);
            note(changes, subject("pool", id, name), fields);
            rows::write_pool(tx, id, name, pool).await?;
        }
    }
    for (extension, agent) in &wanted.agents {
        let old = stored.agents.get(extension);
        if old != Some(agent) {
            let fields = old.map(|old| old.differences(agent));
            note(changes, subject("agent", id, extension), fields);
            rows::write_agent(tx, id, extension, agent).await?;
        }
    }
    for (user, supervisor) in &wanted.supervisors {
        let old = stored.supervisors.get(user);
        if old != Some(supervisor) {
            let fields = old.map(|old| old.differences(supervisor));
            note(changes, subject("supervisor", id, user), fields);
            rows::write_supervisor(tx, id, user, supervisor).await?;
        }
    }
    Ok(())
}

/// `fields`: what differs, or `None` where there was nothing before.
fn note(changes: &mut Vec<Change>, subject: Subject, fields: Option<Vec<&'static str>>) {
    match fields {
        None => changes.push(Change::Created(subject)),
        Some(fields) if fields.is_empty() => {}
        Some(fields) => changes.push(Change::Changed(subject, fields)),
    }
}

impl Change {
    pub(super) fn organisation_removed(id: &str) -> Self {
        Self::Removed(Subject::organisation(id))
    }

    /// Whose change it is.
    pub fn organisation(&self) -> &str {
        let (Self::Created(subject) | Self::Changed(subject, _) | Self::Removed(subject)) = self;
        let name = subject.name.split_once('/');
        name.map_or(&subject.name, |(organisation, _)| organisation)
    }
}

fn subject(kind: &'static str, organisation: &str, name: &str) -> Subject {
    Subject {
        kind,
        name: format!("{organisation}/{name}"),
    }
}

impl Subject {
    fn organisation(id: &str) -> Self {
        Self {
            kind: "organisation",
            name: id.to_owned(),
        }
    }
}

/// The names of those fields that differ.
macro_rules! differing {
    ($one:expr, $other:expr; $($field:ident => $name:literal),* $(,)?) => {{
        let mut names = Vec::new();
        $(if $one.$field != $other.$field && !names.contains(&$name) {
            names.push($name);
        })*
        names
    }};
}

impl StoredOrganisation {
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        differing!(self, other;
            name => "name",
            supervising_numbers => "supervising_numbers",
            supervision => "supervision",
            agent_notice => "agent_notice",
            help_keys => "help_keys",
        )
    }
}

impl StoredAgent {
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        differing!(self, other;
            name => "name",
            pools => "pools",
            contact => "contact",
            agent_notice => "agent_notice",
            password_hash => "password",
            sip => "password",
        )
    }
}

impl StoredSupervisor {
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        differing!(self, other;
            name => "name",
            phone => "phone",
            default_country => "default_country",
            devices => "devices",
            agent => "agent",
            sip => "sip_password",
            pin_hash => "pin",
            password_hash => "password",
            pools => "pools",
            may => "may",
            language => "language",
        )
    }
}
