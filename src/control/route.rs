//! Where a called number leads: the routes of the node, first match wins.

use std::sync::Arc;

use crate::control::directory::{Agent, Directory};
use crate::control::input::{Identity, Invitation, Network, Origin};
use crate::control::output::Target;
use crate::control::settings::{Route, RouteTarget, Settings};

/// The one who calls, as far as routes care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The agent who places the call: a registered phone, a fixed contact, or a caller of an
    /// internal trunk whose number is an agent's extension.
    pub agent: Option<AgentKey>,
    /// The trunk that the call came by.
    pub trunk: Option<Arc<str>>,
    pub network: Network,
}

/// An agent by the ids people use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentKey {
    pub organisation: Arc<str>,
    pub extension: Arc<str>,
}

/// Where a number leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Rung all at once; never empty.
    pub callees: Vec<Callee>,
    /// (organisation, name) where a pool was called.
    pub pool: Option<(Arc<str>, Arc<str>)>,
}

/// One phone to ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callee {
    pub target: Target,
    pub agent: Option<AgentKey>,
    pub network: Network,
}

/// Why a number leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No route, or none that this caller may take, or nobody has the number.
    NotFound,
    /// Every agent of the pool is on a call.
    AllBusy,
    /// The pool has no agents.
    NobodyThere,
}

impl NoRoute {
    pub fn status(self) -> u16 {
        match self {
            NoRoute::NotFound => 404,
            NoRoute::AllBusy => 486,
            NoRoute::NobodyThere => 480,
        }
    }
}

/// How a route's `from` names the phones of agents.
const AGENTS: &str = "agents";

impl Caller {
    pub fn of(directory: &Directory, invitation: &Invitation) -> Self {
        match &invitation.origin {
            Origin::Trunk { name, network, .. } => Self {
                agent: match (network, &invitation.caller) {
                    (Network::Internal, Some(caller)) => {
                        only_agent(directory, caller).map(AgentKey::of)
                    }
                    (Network::Internal, None) | (Network::External, _) => None,
                },
                trunk: Some(name.clone()),
                network: *network,
            },
            Origin::Registered(Identity::Agent {
                organisation,
                extension,
            })
            | Origin::Contact {
                organisation,
                extension,
            } => Self {
                agent: Some(AgentKey {
                    organisation: organisation.clone(),
                    extension: extension.clone(),
                }),
                trunk: None,
                network: Network::Internal,
            },
            Origin::Registered(Identity::Supervisor { organisation, user }) => Self {
                agent: directory
                    .supervisors
                    .get(&(organisation.clone(), user.clone()))
                    .and_then(|supervisor| supervisor.agent_extension.clone())
                    .map(|extension| AgentKey {
                        organisation: organisation.clone(),
                        extension,
                    }),
                trunk: None,
                network: Network::Internal,
            },
        }
    }

    /// The service itself, on behalf of an organisation: call-me, proof calls.
    pub fn service() -> Self {
        Self {
            agent: None,
            trunk: None,
            network: Network::Internal,
        }
    }

    /// Whoever is sent on by an agent: they go where the agent may call, as far as it does not lead
    /// outside, and where the trunk that they came by may.
    pub fn sent_on(agent: AgentKey, trunk: Option<Arc<str>>) -> Self {
        Self {
            agent: Some(agent),
            network: match trunk {
                Some(_) => Network::External,
                None => Network::Internal,
            },
            trunk,
        }
    }

    /// Whether a route lets this caller through. Without `from` it is open to all, except that a
    /// call from an external trunk never leaves by an external trunk: a route that allows it names
    /// the trunk that the call came by.
    fn may_take(&self, route: &Route) -> bool {
        let leaves = matches!(&route.to, RouteTarget::Trunk { external: true, .. });
        let relayed = leaves && self.network == Network::External;
        match &route.from {
            Some(from) => from.iter().any(|name| match &**name {
                AGENTS => !relayed && (self.trunk.is_none() || self.agent.is_some()),
                name => self.trunk.as_deref() == Some(name),
            }),
            None => !relayed,
        }
    }
}

impl AgentKey {
    pub fn of(agent: &Agent) -> Self {
        Self {
            organisation: agent.organisation.clone(),
            extension: agent.extension.clone(),
        }
    }
}

/// Where a number leads for this caller. `is_free` says whether an agent may be rung by a pool.
pub fn resolve(
    settings: &Settings,
    directory: &Directory,
    caller: &Caller,
    number: &str,
    is_free: impl Fn(&Agent) -> bool,
) -> Result<Destination, NoRoute> {
    let route = settings
        .routes
        .iter()
        .find(|route| route.number.is_match(number) && caller.may_take(route))
        .ok_or(NoRoute::NotFound)?;

    match &route.to {
        RouteTarget::Agent => {
            let agent = agent_for(directory, caller, number).ok_or(NoRoute::NotFound)?;
            Ok(Destination {
                callees: vec![Callee::agent(agent)],
                pool: None,
            })
        }
        RouteTarget::Trunk { name, external } => Ok(Destination {
            callees: vec![Callee {
                target: Target::Trunk {
                    name: name.clone(),
                    number: number.into(),
                },
                // An extension behind the house's own PBX is that agent, as when it calls.
                agent: match external {
                    true => None,
                    false => only_agent(directory, number).map(AgentKey::of),
                },
                network: match external {
                    true => Network::External,
                    false => Network::Internal,
                },
            }],
            pool: None,
        }),
        RouteTarget::Pool(name) => pool(directory, caller, name, is_free),
    }
}

impl Callee {
    pub fn agent(agent: &Agent) -> Self {
        let key = AgentKey::of(agent);
        Self {
            target: match &agent.contact {
                Some(contact) => Target::Uri(contact.clone()),
                None => Target::Registered(Identity::Agent {
                    organisation: key.organisation.clone(),
                    extension: key.extension.clone(),
                }),
            },
            agent: Some(key),
            network: Network::Internal,
        }
    }
}

/// Every free agent of the pool but the caller.
fn pool(
    directory: &Directory,
    caller: &Caller,
    name: &Arc<str>,
    is_free: impl Fn(&Agent) -> bool,
) -> Result<Destination, NoRoute> {
    let own = caller.agent.as_ref().map(|agent| &agent.organisation);
    let pool = directory
        .pools
        .values()
        .filter(|pool| pool.name == *name)
        .min_by_key(|pool| Some(&pool.organisation) != own)
        .ok_or(NoRoute::NotFound)?;
    let mut members = directory
        .agents
        .values()
        .filter(|agent| agent.organisation == pool.organisation && agent.pools.contains(name))
        .filter(|agent| caller.agent != Some(AgentKey::of(agent)))
        .peekable();
    if members.peek().is_none() {
        return Err(NoRoute::NobodyThere);
    }
    let callees: Vec<Callee> = members
        .filter(|agent| is_free(agent))
        .map(Callee::agent)
        .take(MAX_RUNG)
        .collect();
    match callees.is_empty() {
        true => Err(NoRoute::AllBusy),
        false => Ok(Destination {
            callees,
            pool: Some((pool.organisation.clone(), pool.name.clone())),
        }),
    }
}

/// Phones that one call rings at once; each needs a port. A larger pool rings its first ones.
const MAX_RUNG: usize = 32;

/// The agent with this extension: of the caller's own organisation, or else the first that has it.
fn agent_for<'a>(directory: &'a Directory, caller: &Caller, extension: &str) -> Option<&'a Agent> {
    let own = caller.agent.as_ref().map(|agent| &agent.organisation);
    agents_with(directory, extension).min_by_key(|agent| Some(&agent.organisation) != own)
}

/// The agent with this extension, where no two organisations share it.
fn only_agent<'a>(directory: &'a Directory, extension: &str) -> Option<&'a Agent> {
    let mut agents = agents_with(directory, extension);
    let first = agents.next()?;
    agents.next().is_none().then_some(first)
}

/// One look-up for each organisation, however many agents it has.
fn agents_with<'a>(directory: &'a Directory, extension: &str) -> impl Iterator<Item = &'a Agent> {
    let extension: Arc<str> = extension.into();
    directory
        .organisations
        .keys()
        .filter_map(move |organisation| {
            let key = (organisation.clone(), extension.clone());
            directory.agents.get(&key)
        })
}

#[cfg(test)]
mod tests;
