//! Who may supervise whom, how far, and when not at all: facts in, one [`ErrorCode`] or none out.
//!
//! The order is fixed. First who may at all, 9010, 9003, 9001, 9002, 9008, 9006, 9007, 9005, as far
//! as it is asked here; then who is still there and who speaks, 9013, 9014, 9012. What only the
//! media plane can refuse (9011, 9015, and 9012 for its seats) comes after that, as events.

use crate::control::directory::{Agent, AgentNotice, Directory, SupervisorEntry};
use crate::control::number;
use crate::control::order::Order;
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::control::settings::{Settings, Supervisable, WhisperCaller};

/// Whether this node begins anything new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceState {
    pub draining: bool,
    pub store_down: bool,
}

/// What kind of call it is, for the three switches of `supervisable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Routed by a pool.
    Pool,
    /// Placed by an agent.
    Outbound,
    /// To an agent's own extension.
    Direct,
}

/// A call as policy sees it at the moment a request is processed.
#[derive(Clone, Debug)]
pub struct CallFacts<'a> {
    pub organisation: &'a str,
    /// The Pupil's extension.
    pub agent: &'a str,
    pub kind: CallKind,
    /// The User's number, as signalled.
    pub customer: Option<&'a str>,
    /// The User's extension, where that is an agent of the organisation too.
    pub user_extension: Option<&'a str>,
    /// The User's leg came from a registered phone or an internal trunk.
    pub caller_on_net: bool,
    pub pupil_on_call: bool,
    pub user_on_call: bool,
    /// A party's phone hosts a conference of its own, in which nobody can be seated from here.
    pub hosted_elsewhere: bool,
    /// Other supervisors in the call.
    pub others: Vec<Supervision>,
}

/// Whether a request that begins something may be processed at all (9010).
pub fn begins(service: ServiceState) -> Result<(), ErrorCode> {
    match service.draining || service.store_down {
        true => Err(ErrorCode::Busy),
        false => Ok(()),
    }
}

/// Whether a session's own request may be processed: one that runs goes on while the node drains,
/// but what cannot be recorded does not happen. Falling silent is always possible.
pub fn goes_on(service: ServiceState, order: Order) -> Result<(), ErrorCode> {
    let harmless = matches!(order, Order::Role(Supervision::Monitoring) | Order::Status);
    match service.store_down && !harmless {
        true => Err(ErrorCode::Busy),
        false => Ok(()),
    }
}

/// Whether the organisation has supervision (9003).
pub fn organisation_supervises(directory: &Directory, organisation: &str) -> Result<(), ErrorCode> {
    match directory.organisations.get(organisation) {
        Some(entry) if entry.supervision => Ok(()),
        _ => Err(ErrorCode::SupervisionOff),
    }
}

/// Whether these are an agent's calls that the supervisor may know of.
pub fn in_scope(supervisor: &SupervisorEntry, agent: &Agent) -> bool {
    supervisor.organisation == agent.organisation
        && agent
            .pools
            .iter()
            .any(|pool| supervisor.pools.contains(pool))
}

/// Whether the switches let this kind of call be supervised.
pub fn supervisable(switches: Supervisable, kind: CallKind) -> bool {
    match kind {
        CallKind::Pool => switches.pool,
        CallKind::Outbound => switches.outbound,
        CallKind::Direct => switches.direct,
    }
}

/// Whether the supervisor is a party to the call (9006).
pub fn is_own_call(supervisor: &SupervisorEntry, call: &CallFacts<'_>) -> bool {
    let parties = Parties {
        organisation: call.organisation,
        agent: call.agent,
        user_extension: call.user_extension,
        customer: call.customer,
    };
    is_party(supervisor, parties)
}

/// Who talks to whom, as far as it tells a supervisor's own call.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    pub organisation: &'a str,
    /// The Pupil's extension.
    pub agent: &'a str,
    /// The User's extension, where that is an agent of the organisation too.
    pub user_extension: Option<&'a str>,
    /// The User's number, as signalled.
    pub customer: Option<&'a str>,
}

/// Whether one of the parties is the supervisor.
pub fn is_party(supervisor: &SupervisorEntry, call: Parties<'_>) -> bool {
    if *supervisor.organisation != *call.organisation {
        return false;
    }
    let own_extension = supervisor.agent_extension.as_deref();
    let own_phone = supervisor.phone.as_deref();
    let country = supervisor.default_country.as_deref();
    own_extension.is_some_and(|own| own == call.agent || Some(own) == call.user_extension)
        // A softphone that registered with the supervisor's name shows it as its number.
        || call.customer == Some(&*supervisor.user)
        || matches!((own_phone, call.customer), (Some(phone), Some(customer))
            if number::is_phone(customer, phone, country))
}

/// Whether the supervisor may come to this call as a listener: 9006, 9007, 9013, 9014, 9012.
/// The call is known to be in scope.
pub fn may_join(
    settings: &Settings,
    supervisor: &SupervisorEntry,
    call: &CallFacts<'_>,
) -> Result<(), ErrorCode> {
    if is_own_call(supervisor, call) {
        return Err(ErrorCode::OwnCall);
    }
    if !supervisor.may.monitor {
        return Err(ErrorCode::NotPermitted);
    }
    both_there(call)?;
    match call.others.len() < settings.max_per_call && !call.hosted_elsewhere {
        true => Ok(()),
        false => Err(ErrorCode::CoachNotAdded),
    }
}

/// Whether a session may take on this role: 9007, 9005, 9013, 9014, 9012.
pub fn may_change(
    settings: &Settings,
    supervisor: &SupervisorEntry,
    coaching: Coaching,
    call: &CallFacts<'_>,
    before: Supervision,
    wanted: Supervision,
) -> Result<(), ErrorCode> {
    permitted(settings, supervisor, call, wanted)?;
    if coaching == Coaching::Off && wanted.speaks() {
        return Err(ErrorCode::CoachingOff);
    }
    // After a takeover the supervisor is the second User already; everything else asks for the
    // Pupil whom that takeover removed.
    if before == Supervision::TakenOver {
        return match wanted {
            Supervision::Barged => Ok(()),
            Supervision::Monitoring | Supervision::Coaching(_) | Supervision::TakenOver => {
                Err(ErrorCode::PupilGone)
            }
        };
    }
    both_there(call)?;
    one_speaks(settings, call, wanted)
}

/// Whether the supervisor may end the call for everyone (9007).
pub fn may_hang_up(supervisor: &SupervisorEntry) -> Result<(), ErrorCode> {
    match supervisor.may.hang_up {
        true => Ok(()),
        false => Err(ErrorCode::NotPermitted),
    }
}

/// What the agent hears when a supervisor joins: the agent's own setting, else that of one of the
/// agent's pools, else the organisation's, else the node's. Between pools the tone wins.
pub fn agent_notice(settings: &Settings, directory: &Directory, agent: &Agent) -> AgentNotice {
    let of_pools = agent
        .pools
        .iter()
        .filter_map(|pool| {
            directory
                .pools
                .get(&(agent.organisation.clone(), pool.clone()))
        })
        .filter_map(|pool| pool.agent_notice)
        .reduce(|one, other| match (one, other) {
            (AgentNotice::Silent, AgentNotice::Silent) => AgentNotice::Silent,
            (AgentNotice::Tone, _) | (_, AgentNotice::Tone) => AgentNotice::Tone,
        });
    let of_organisation = directory
        .organisations
        .get(&agent.organisation)
        .and_then(|organisation| organisation.agent_notice);

    agent
        .agent_notice
        .or(of_pools)
        .or(of_organisation)
        .unwrap_or(settings.agent_notice)
}

/// Whether a session may speak at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coaching {
    On,
    Off,
}

/// Whether the supervisor may take on this role in this call, whoever is there (9007).
pub fn permitted(
    settings: &Settings,
    supervisor: &SupervisorEntry,
    call: &CallFacts<'_>,
    wanted: Supervision,
) -> Result<(), ErrorCode> {
    let may = supervisor.may;
    let allowed = match wanted {
        Supervision::Monitoring => may.monitor,
        Supervision::Coaching(Ear::Pupil) => may.coach,
        Supervision::Coaching(Ear::User) => {
            may.whisper_caller
                && match settings.whisper_caller {
                    WhisperCaller::Always => true,
                    WhisperCaller::OnNet => call.caller_on_net,
                    WhisperCaller::Never => false,
                }
        }
        Supervision::Barged => may.barge,
        Supervision::TakenOver => may.takeover,
    };
    match allowed {
        true => Ok(()),
        false => Err(ErrorCode::NotPermitted),
    }
}

/// 9013 before 9014: with both gone it is the Pupil who is missed.
pub fn both_there(call: &CallFacts<'_>) -> Result<(), ErrorCode> {
    match (call.pupil_on_call, call.user_on_call) {
        (false, _) => Err(ErrorCode::PupilGone),
        (true, false) => Err(ErrorCode::UserGone),
        (true, true) => Ok(()),
    }
}

fn one_speaks(
    settings: &Settings,
    call: &CallFacts<'_>,
    wanted: Supervision,
) -> Result<(), ErrorCode> {
    let taken = call.others.iter().any(|other| other.speaks()) && !settings.many_speakers;
    match wanted.speaks() && (taken || call.hosted_elsewhere) {
        true => Err(ErrorCode::CoachNotAdded),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
