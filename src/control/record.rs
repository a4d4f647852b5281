//! Facts for the store, in the past tense. A [`Record`] with an [`AuditRow`] is append-only and
//! durable before `Input::Recorded` comes back.

use std::sync::Arc;

use crate::control::refusal::ErrorCode;
use crate::id::{CallId, HelpId, SessionId};

/// One fact. Times are stamped by the driver when it drains the output.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    CallStarted(CallRow),
    /// Both legs are connected.
    CallAnswered {
        call: CallId,
    },
    CallEnded {
        call: CallId,
        cause: Arc<str>,
    },
    SessionStarted {
        session: SessionId,
        call: CallId,
        organisation: Arc<str>,
        supervisor: Arc<str>,
    },
    SessionEnded {
        session: SessionId,
        cause: Arc<str>,
    },
    Audit(AuditRow),
    Help(HelpRow),
}

#[derive(Clone, Debug, PartialEq)]
pub struct CallRow {
    pub call: CallId,
    pub organisation: Option<Arc<str>>,
    pub agent: Option<Arc<str>>,
    pub pool: Option<Arc<str>>,
    pub direction: Direction,
    pub from: Arc<str>,
    pub to: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// One action or refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub organisation: Option<Arc<str>>,
    /// The supervisor's user name; for a stranger the number, as `+358401234567`, or `unknown`.
    pub actor: Arc<str>,
    pub source: Source,
    pub call: Option<CallId>,
    pub session: Option<SessionId>,
    pub agent: Option<Arc<str>>,
    pub customer: Option<Arc<str>>,
    /// `dial_in`, `join`, `role`, `hang_up`, `takeover`, `leave`, `pin`, `next`, `ticket`, …
    pub action: &'static str,
    /// What was pressed or asked, as `4#` or `0#`, never a PIN; of a stranger what the caller ID
    /// shows, as `from +358401234567`.
    pub detail: Option<Arc<str>>,
    pub role_before: Option<&'static str>,
    pub role_after: Option<&'static str>,
    pub outcome: Outcome,
    pub code: Option<ErrorCode>,
    pub help_request: Option<HelpId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Phone,
    Console,
    Api,
    System,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Phone => "phone",
            Source::Console => "console",
            Source::Api => "api",
            Source::System => "system",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Requested,
    Done,
    Refused,
    Failed,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Requested => "requested",
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// A help request as it now stands.
#[derive(Clone, Debug, PartialEq)]
pub struct HelpRow {
    pub help: HelpId,
    pub organisation: Arc<str>,
    pub call: CallId,
    pub agent: Arc<str>,
    pub reason: Arc<str>,
    pub comment: Arc<str>,
    pub state: HelpState,
    pub provided_by: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelpState {
    Requested,
    InProgress,
    Closed,
    Cancelled,
    Expired,
}

impl HelpState {
    pub fn name(self) -> &'static str {
        match self {
            HelpState::Requested => "requested",
            HelpState::InProgress => "in_progress",
            HelpState::Closed => "closed",
            HelpState::Cancelled => "cancelled",
            HelpState::Expired => "expired",
        }
    }
}
