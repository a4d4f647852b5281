//! Makes the database say what people.toml says, and tells what that changed.
//!
//! Whatever is absent from the file is removed, within the organisations that the file names.
//! Secrets are compared by checking them against their hashes, so that the same file twice changes
//! nothing. A supervisor's console password is the one thing that is left alone where the file has
//! none: it may have been set by `user passwd`. Each change is a row of the audit, written with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::control::record::Outcome;
use crate::edge::people::{People, Secret};
use crate::edge::store::audit::{self, Row};
use crate::edge::store::db::{Db, Tx};
use crate::edge::store::people::rows::{self, read};
use crate::edge::store::people::{StoredAgent, StoredOrganisation, StoredSupervisor};
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
    /// Somebody new would sign in as an administrator does.
    #[error("{0}: expected a name that no administrator signs in with")]
    Administrator(Subject),
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

pub(super) type Stored = BTreeMap<String, StoredOrganisation>;

impl Store {
    /// Puts the people of a file into the database, and into the audit what that changed, or that
    /// it was refused. `realm` is that of digest authentication.
    pub async fn apply(
        &self,
        people: &People,
        realm: &str,
        at_ms: i64,
    ) -> Result<Vec<Change>, ApplyError> {
        let applied = self.apply_in_turn(people, realm, at_ms).await;
        if let Err(refused @ (ApplyError::Taken { .. } | ApplyError::Administrator(_))) = &applied {
            self.audit(vec![Row {
                detail: Some(refused.to_string()),
                outcome: Outcome::Refused.name().to_owned(),
                ..Row::by_command(ACTION, at_ms)
            }])
            .await?;
        }
        applied
    }

    async fn apply_in_turn(
        &self,
        people: &People,
        realm: &str,
        at_ms: i64,
    ) -> Result<Vec<Change>, ApplyError> {
        let mut people = people.clone();
        for organisation in people.organisations.values_mut() {
            for supervisor in organisation.supervisors.values_mut() {
                // It may have been set by `user passwd`.
                let kept = Secret::Kept(String::new());
                supervisor.password.get_or_insert(kept);
            }
        }
        for _ in 0..TRIES {
            let mut tx = self.db().begin_reading().await?;
            let before = read(&mut tx).await?;
            tx.roll_back().await?;
            // Hashes take long, so they are made before the lock is taken.
            let wanted = self.wanted(&people, &before, realm).await?;

            let mut tx = begin_alone(self.db()).await?;
            if read(&mut tx).await? != before {
                // Whoever was faster may have written the same: what is left to do is found anew.
                tx.roll_back().await?;
                continue;
            }
            nothing_is_taken(&before, &wanted)?;
            no_administrator_is(&rows::administrators(&mut tx).await?, &before, &wanted)?;
            let changes = write(&mut tx, &before, &wanted).await?;
            note_changes(&mut tx, &changes, || Row::by_command(ACTION, at_ms)).await?;
            tx.commit().await?;
            return Ok(changes);
        }
        Err(StoreError::Editing.into())
    }
}

/// What `apply` is called in the audit.
const ACTION: &str = "admin_apply";

/// How often a change is tried again that another one came before.
pub(super) const TRIES: u32 = 8;

/// Tells each change to the audit, with what changed as the detail of its row.
pub(super) async fn note_changes(
    tx: &mut Tx,
    changes: &[Change],
    row: impl Fn() -> Row,
) -> Result<(), sqlx::Error> {
    let rows = changes.iter().map(|change| Row {
        organisation: Some(change.organisation().to_owned()),
        detail: Some(change.to_string()),
        ..row()
    });
    audit::append(tx, rows.collect()).await
}

/// Nobody new signs in as an administrator does. Who does already goes on as they are.
fn no_administrator_is(
    administrators: &BTreeSet<String>,
    stored: &Stored,
    wanted: &Stored,
) -> Result<(), ApplyError> {
    for (id, wanted) in wanted {
        let stored = stored.get(id);
        let user = wanted.supervisors.keys().find(|user| {
            let known = stored.is_some_and(|stored| stored.supervisors.contains_key(*user));
            !known && administrators.contains(*user)
        });
        let agent = wanted.agents.keys().find(|extension| {
            let known = stored.is_some_and(|stored| stored.agents.contains_key(*extension));
            !known && administrators.contains(*extension)
        });
        let user = user.map(|user| subject("supervisor", id, user));
        let agent = agent.map(|extension| subject("agent", id, extension));
        if let Some(subject) = user.or(agent) {
            return Err(ApplyError::Administrator(subject));
        }
    }
    Ok(())
}

/// Supervising numbers, extensions and SIP user names are unique on the node; organisations outside
/// the file keep theirs.
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
