//! What every agent is doing, as it was last told.
//!
//! Presence is a state, of which the latest counts: it is taken from snapshots, and a look costs
//! what has changed since the last one, not what there is. Only where people or registrations
//! changed is every agent looked at.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::control::directory::{self, Directory};
use crate::control::input::Identity;
use crate::control::snapshot::{self, AgentView};
use crate::edge::http::agents::{self, Presence};
use crate::edge::http::events::event::{AgentPresence, Concern, Data, Draft, Name};

/// Organisation and extension.
type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub struct Presences {
    /// Every agent of the directory.
    told: BTreeMap<Key, State>,
    seen: Option<Seen>,
}

/// What the last look saw.
#[derive(Debug)]
struct Seen {
    engaged: Vec<AgentView>,
    registrations: Arc<[Identity]>,
    registered: BTreeSet<Key>,
    directory: Arc<Directory>,
}

/// What an agent is doing, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    presence: Presence,
    since: Option<Instant>,
}

impl Presences {
    /// Agents whose presence is not what it was. `engaged` is in the order of a snapshot, by
    /// organisation and extension. The first look tells nothing.
    pub fn look(
        &mut self,
        directory: &Arc<Directory>,
        at_ms: i64,
        engaged: &[AgentView],
        registrations: &Arc<[Identity]>,
    ) -> Vec<Draft> {
        let same_people = |seen: &Seen| {
            Arc::ptr_eq(&seen.directory, directory)
                && Arc::ptr_eq(&seen.registrations, registrations)
        };
        match self.seen.take() {
            Some(seen) if same_people(&seen) => self.look_at_changed(seen, at_ms, engaged),
            seen => self.look_at_all(seen, directory, at_ms, engaged, registrations),
        }
    }

    fn look_at_changed(&mut self, mut seen: Seen, at_ms: i64, engaged: &[AgentView]) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for (key, engaged) in differences(&seen.engaged, engaged) {
            let Some(agent) = seen.directory.agents.get(&key) else {
                continue;
            };
            let state = state(agent, engaged, seen.registered.contains(&key));
            if self.told.insert(key, state) != Some(state) {
                drafts.push(draft(at_ms, agent, state));
            }
        }
        if seen.engaged != engaged {
            engaged.clone_into(&mut seen.engaged);
        }
        self.seen = Some(seen);
        drafts
    }

    fn look_at_all(
        &mut self,
        seen: Option<Seen>,
        directory: &Arc<Directory>,
        at_ms: i64,
        engaged: &[AgentView],
        registrations: &Arc<[Identity]>,
    ) -> Vec<Draft> {
        let registered: BTreeSet<Key> = registrations
            .iter()
            .filter_map(|identity| match identity {
                Identity::Agent {
                    organisation,
                    extension,
                } => Some((organisation.clone(), extension.clone())),
                Identity::Supervisor { .. } => None,
            })
            .collect();
        let first = seen.is_none();
        let by_key: BTreeMap<(&str, &str), snapshot::Presence> = engaged
            .iter()
            .map(|agent| ((&*agent.organisation, &*agent.extension), agent.presence))
            .collect();

        let mut now = BTreeMap::new();
        let mut drafts = Vec::new();
        for (key, agent) in &directory.agents {
            let engaged = by_key.get(&(&*key.0, &*key.1)).copied();
            let state = state(agent, engaged, registered.contains(key));
            if !first && self.told.get(key) != Some(&state) {
                drafts.push(draft(at_ms, agent, state));
            }
            now.insert(key.clone(), state);
        }
        self.told = now;
        self.seen = Some(Seen {
            engaged: engaged.to_vec(),
            registrations: registrations.clone(),
            registered,
            directory: directory.clone(),
        });
        drafts
    }
}

/// Agents who are in one of two lists alone, or in both with something else, and what they are in
/// the second one. Both are by organisation and extension.
fn differences(
    before: &[AgentView],
    after: &[AgentView],
) -> Vec<(Key, Option<snapshot::Presence>)> {
    let mut found = Vec::new();
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(b), Some(a)) => {
                (&b.organisation, &b.extension).cmp(&(&a.organisation, &a.extension))
            }
        };
        let was = before.next_if(|_| order.is_le());
        let is = after.next_if(|_| order.is_ge());
        if let Some(agent) = is.or(was)
            && was != is
        {
            let key = (agent.organisation.clone(), agent.extension.clone());
            found.push((key, is.map(|agent| agent.presence)));
        }
    }
}

fn state(agent: &directory::Agent, engaged: Option<snapshot::Presence>, registered: bool) -> State {
    let (presence, since) = agents::presence(agent, engaged, registered);
    State { presence, since }
}

fn draft(at_ms: i64, agent: &directory::Agent, state: State) -> Draft {
    Draft {
        name: Name::AgentPresence,
        organisation: agent.organisation.clone(),
        at_ms,
        concern: Concern::Agent(agent.extension.clone()),
        data: Data::Agent(AgentPresence {
            extension: agent.extension.to_string(),
            name: agent.name.to_string(),
            presence: state.presence,
            since: state.since.map(agents::since),
        }),
    }
}

#[cfg(test)]
mod tests;
