//! What a supervisor may know of: their organisation, the agents of their pools, and no call that
//! they are a party to. The rules are those of call control.

use std::sync::Arc;

use crate::control::directory::{Directory, SupervisorEntry};
use crate::control::policy::{self, Parties};
use crate::control::refusal::ErrorCode;
use crate::control::snapshot::CallView;
use crate::edge::catalogue::Catalogue;
use crate::edge::http::refusal::Refusal;
use crate::edge::http::viewer::SupervisorViewer;

/// Whether an agent of the supervisor's organisation is one of theirs.
pub fn sees_agent(directory: &Directory, supervisor: &SupervisorEntry, extension: &str) -> bool {
    let key = (supervisor.organisation.clone(), Arc::from(extension));
    let agent = directory.agents.get(&key);
    agent.is_some_and(|agent| policy::in_scope(supervisor, agent))
}

/// Whether the call is one that the supervisor may supervise: of one of their agents, of a kind
/// that may be supervised, and not their own.
pub fn sees_call(directory: &Directory, supervisor: &SupervisorEntry, call: &CallView) -> bool {
    let ours = call.organisation.as_ref() == Some(&supervisor.organisation);
    let agent = call.agent.as_deref();
    ours && call.supervisable
        && agent.is_some_and(|agent| sees_agent(directory, supervisor, agent))
        && !is_party(supervisor, call)
}

/// Whether the supervisor is the agent or the customer of a call.
pub fn is_party(supervisor: &SupervisorEntry, call: &CallView) -> bool {
    let (Some(organisation), Some(agent)) = (&call.organisation, &call.agent) else {
        return false;
    };
    let parties = Parties {
        organisation,
        agent,
        user_extension: call.user_extension.as_deref(),
        customer: call.customer.as_deref(),
    };
    policy::is_party(supervisor, parties)
}

impl SupervisorViewer {
    /// As [`sees_agent`].
    pub fn sees_agent(&self, extension: &str) -> bool {
        sees_agent(&self.directory, &self.entry, extension)
    }

    /// As [`sees_call`].
    pub fn sees_call(&self, call: &CallView) -> bool {
        sees_call(&self.directory, &self.entry, call)
    }

    /// As [`is_party`].
    pub fn is_party(&self, call: &CallView) -> bool {
        is_party(&self.entry, call)
    }

    /// 9003 where the organisation does not supervise.
    pub fn supervision_on(&self, catalogue: &Catalogue) -> Result<(), Refusal> {
        policy::organisation_supervises(&self.directory, &self.organisation)
            .map_err(|code: ErrorCode| Refusal::of(catalogue, code))
    }
}
