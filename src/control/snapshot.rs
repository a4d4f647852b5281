//! What a console, the metrics and `readyz` may see of all this: a value, published by the driver
//! after every input that changed something.

use std::sync::Arc;
use std::time::Instant;

use crate::control::record::{Direction, HelpState};
use crate::control::role::Supervision;
use crate::id::{CallId, HelpId, SessionId};

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub calls: Vec<CallView>,
    /// Agents who ring or talk, by organisation and extension; the others are idle, or not
    /// registered.
    pub agents: Vec<AgentView>,
    pub sessions: Vec<SessionView>,
    /// The last that have ended, the latest last.
    pub over: Vec<SessionView>,
    pub help: Vec<HelpView>,
    pub locks: Vec<LockView>,
    pub draining: bool,
    pub store_down: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CallView {
    pub id: CallId,
    pub organisation: Option<Arc<str>>,
    pub agent: Option<Arc<str>>,
    pub pool: Option<Arc<str>>,
    pub direction: Direction,
    pub from: Arc<str>,
    pub to: Arc<str>,
    pub customer: Option<Arc<str>>,
    /// The customer's extension, where that is an agent of the organisation too.
    pub user_extension: Option<Arc<str>>,
    /// Both legs connected; `None` while it rings.
    pub answered_at: Option<Instant>,
    pub on_hold: bool,
    pub help_wanted: bool,
    pub caller_on_net: bool,
    pub supervisable: bool,
    /// The agent's leg rings or talks.
    pub agent_ringing: bool,
    /// The agent is a party; `false` where a supervisor alone keeps the customer company.
    pub agent_on_call: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentView {
    pub organisation: Arc<str>,
    pub extension: Arc<str>,
    pub presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Ringing,
    OnCall { since: Instant },
}

#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    pub id: SessionId,
    pub call: CallId,
    pub organisation: Arc<str>,
    pub supervisor: Arc<str>,
    pub state: SessionState,
    pub coaching_enabled: bool,
    pub started_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    Ringing,
    Confirming,
    Supervising(Supervision),
    Ended,
}

/// A supervisor who entered wrong PINs from a trunk; `None` for a phone that is behind no trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    pub organisation: Arc<str>,
    pub supervisor: Arc<str>,
    pub trunk: Option<Arc<str>>,
    pub until: Instant,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HelpView {
    pub id: HelpId,
    pub organisation: Arc<str>,
    pub call: CallId,
    pub agent: Arc<str>,
    pub reason: Arc<str>,
    pub comment: Arc<str>,
    pub state: HelpState,
    pub provided_by: Option<Arc<str>>,
    pub raised_at: Instant,
    pub accepted_at: Option<Instant>,
    /// Closed, cancelled or expired.
    pub ended_at: Option<Instant>,
}
