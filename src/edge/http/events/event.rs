//! One event: what it says, and whom it concerns.
//!
//! The text is made once, whoever reads it. What differs from reader to reader is whose a session
//! is (`mine`) and that agents are not told who listens to them; for both a text of its own is made
//! beside the one for everybody else.

use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::directory::{Directory, SupervisorEntry};
use crate::control::policy;
use crate::control::snapshot::CallView;
use crate::edge::http::agents::Presence;
use crate::edge::http::calls::Call;
use crate::edge::http::help_requests::HelpRequest;
use crate::edge::http::scope;
use crate::edge::http::sessions::Session;
use crate::edge::http::time::rfc3339;

/// The names of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    CallStarted,
    CallChanged,
    CallEnded,
    SessionStarted,
    SessionRole,
    SessionEnded,
    HelpRequested,
    HelpAccepted,
    HelpClosed,
    HelpCancelled,
    AgentOnCall,
    AgentPresence,
}

impl Name {
    pub const ALL: [Self; 12] = [
        Name::CallStarted,
        Name::CallChanged,
        Name::CallEnded,
        Name::SessionStarted,
        Name::SessionRole,
        Name::SessionEnded,
        Name::HelpRequested,
        Name::HelpAccepted,
        Name::HelpClosed,
        Name::HelpCancelled,
        Name::AgentOnCall,
        Name::AgentPresence,
    ];

    pub fn text(self) -> &'static str {
        match self {
            Name::CallStarted => "call.started",
            Name::CallChanged => "call.changed",
            Name::CallEnded => "call.ended",
            Name::SessionStarted => "session.started",
            Name::SessionRole => "session.role",
            Name::SessionEnded => "session.ended",
            Name::HelpRequested => "help.requested",
            Name::HelpAccepted => "help.accepted",
            Name::HelpClosed => "help.closed",
            Name::HelpCancelled => "help.cancelled",
            Name::AgentOnCall => "agent.on_call",
            Name::AgentPresence => "agent.presence",
        }
    }
}

/// What an event says: the rows of the API.
#[derive(Clone, Debug)]
pub enum Data {
    Call(Call),
    Session(Session),
    Help(HelpRequest),
    /// A watched agent's call.
    OnCall(OnCall),
    Agent(AgentPresence),
}

/// A watched agent is on a call; `call.ended` of the same call withdraws it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OnCall {
    #[serde(flatten)]
    pub call: Call,
    /// User names of those who watch the agent and may supervise the call.
    pub watched_by: Vec<String>,
    /// Where a ticket for just this call is had.
    pub listen: String,
}

/// What an agent is doing now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgentPresence {
    pub extension: String,
    pub name: String,
    pub presence: Presence,
    /// Since when the agent is on the call.
    #[schema(format = DateTime)]
    pub since: Option<String>,
}

/// What has to be in a viewer's sight for the event to be theirs.
#[derive(Clone, Debug)]
pub enum Concern {
    Call(CallView),
    /// The call went to another agent: this is for those who see it no longer.
    CallLost {
        before: CallView,
        after: CallView,
    },
    /// A session, and its call as it was known.
    Session {
        supervisor: Arc<str>,
        call: Option<CallView>,
    },
    Help {
        agent: Arc<str>,
        call: Option<CallView>,
    },
    Watched {
        call: CallView,
        by: Vec<Arc<str>>,
    },
    Agent(Arc<str>),
}

impl Concern {
    /// Whether an organisation's webhooks are told: of calls that may be supervised, and of one that
    /// goes to another agent only once.
    pub fn is_for_webhooks(&self) -> bool {
        match self {
            Concern::Call(call) => call.supervisable,
            Concern::CallLost { before, after } => before.supervisable && !after.supervisable,
            Concern::Session { .. }
            | Concern::Help { .. }
            | Concern::Watched { .. }
            | Concern::Agent(_) => true,
        }
    }
}

/// An event that has no number yet.
#[derive(Clone, Debug)]
pub struct Draft {
    pub name: Name,
    pub organisation: Arc<str>,
    pub at_ms: i64,
    pub concern: Concern,
    pub data: Data,
}

/// An event as it is sent.
#[derive(Debug)]
pub struct Event {
    pub seq: u64,
    pub name: Name,
    pub organisation: Arc<str>,
    pub concern: Concern,
    /// What webhooks are sent.
    pub body: Arc<str>,
    /// As a block of the stream, for everybody.
    shared: Bytes,
    /// For those whose session it is about.
    own: Vec<(Arc<str>, Bytes)>,
    /// For the agent, where that is another.
    for_agent: Option<Bytes>,
}

/// What a webhook is sent.
#[derive(Serialize)]
struct Body<'a> {
    id: u64,
    event: &'static str,
    at: String,
    organisation: &'a str,
    data: &'a serde_json::Value,
}

impl Event {
    pub fn new(seq: u64, draft: Draft) -> Self {
        let Draft {
            name,
            organisation,
            at_ms,
            concern,
            data,
        } = draft;
        let own = data.supervisors().into_iter().map(|supervisor| {
            let text = block(seq, name, &data.as_seen_by(&supervisor).value());
            (supervisor.into(), text)
        });
        let own = own.collect();
        let for_agent = data
            .without_supervisors()
            .map(|data| block(seq, name, &data.value()));
        let value = data.value();
        let body = Body {
            id: seq,
            event: name.text(),
            at: rfc3339(at_ms),
            organisation: &organisation,
            data: &value,
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        Self {
            seq,
            name,
            body: body.into(),
            shared: block(seq, name, &value),
            own,
            for_agent,
            organisation,
            concern,
        }
    }

    /// The block of the stream for this supervisor; `None` where it is nothing of theirs.
    pub fn for_supervisor(
        &self,
        directory: &Directory,
        viewer: &SupervisorEntry,
    ) -> Option<&Bytes> {
        if self.organisation != viewer.organisation {
            return None;
        }
        let sees = |call: &CallView| scope::sees_call(directory, viewer, call);
        let theirs = match &self.concern {
            Concern::Call(call) => sees(call),
            Concern::CallLost { before, after } => sees(before) && !sees(after),
            Concern::Session { supervisor, call } => {
                *supervisor == viewer.user || call.as_ref().is_some_and(sees)
            }
            Concern::Help { agent, call } => {
                let on = policy::organisation_supervises(directory, &viewer.organisation).is_ok();
                let own = call
                    .as_ref()
                    .is_some_and(|call| scope::is_party(viewer, call));
                on && scope::sees_agent(directory, viewer, agent) && !own
            }
            Concern::Watched { call, by } => by.contains(&viewer.user) && sees(call),
            Concern::Agent(extension) => scope::sees_agent(directory, viewer, extension),
        };
        theirs.then(|| {
            let own = self.own.iter().find(|(user, _)| *user == viewer.user);
            own.map_or(&self.shared, |(_, text)| text)
        })
    }

    /// The block of the stream for this agent: their own calls and requests, and nothing that tells
    /// of supervisors but who took their request.
    pub fn for_agent(&self, organisation: &str, extension: &str) -> Option<&Bytes> {
        if *self.organisation != *organisation {
            return None;
        }
        let is_of = |call: &CallView| call.agent.as_deref() == Some(extension);
        let theirs = match &self.concern {
            Concern::Call(call) => is_of(call),
            Concern::CallLost { before, after } => is_of(before) && !is_of(after),
            Concern::Help { agent, .. } | Concern::Agent(agent) => **agent == *extension,
            Concern::Session { .. } | Concern::Watched { .. } => false,
        };
        theirs.then(|| self.for_agent.as_ref().unwrap_or(&self.shared))
    }
}

impl Data {
    fn value(&self) -> serde_json::Value {
        let value = match self {
            Data::Call(call) => serde_json::to_value(call),
            Data::Session(session) => serde_json::to_value(session),
            Data::Help(request) => serde_json::to_value(request),
            Data::OnCall(call) => serde_json::to_value(call),
            Data::Agent(agent) => serde_json::to_value(agent),
        };
        value.unwrap_or_default()
    }

    /// Those for whom it reads differently.
    fn supervisors(&self) -> Vec<String> {
        match self {
            Data::Call(call) | Data::OnCall(OnCall { call, .. }) => {
                let mut users: Vec<_> = call
                    .sessions
                    .iter()
                    .map(|session| session.supervisor.clone())
                    .collect();
                users.sort_unstable();
                users.dedup();
                users
            }
            Data::Session(session) => vec![session.supervisor.clone()],
            Data::Help(_) | Data::Agent(_) => Vec::new(),
        }
    }

    fn as_seen_by(&self, user: &str) -> Self {
        let mut seen = self.clone();
        match &mut seen {
            Data::Call(call) | Data::OnCall(OnCall { call, .. }) => {
                for session in &mut call.sessions {
                    session.mine = session.supervisor == user;
                }
            }
            Data::Session(session) => session.mine = session.supervisor == user,
            Data::Help(_) | Data::Agent(_) => {}
        }
        seen
    }

    fn without_supervisors(&self) -> Option<Self> {
        match self {
            Data::Call(call) if !call.sessions.is_empty() => Some(Data::Call(Call {
                sessions: Vec::new(),
                ..call.clone()
            })),
            Data::Call(_) | Data::Session(_) | Data::Help(_) => None,
            Data::OnCall(_) | Data::Agent(_) => None,
        }
    }
}

/// A block of the stream (the HTML standard, 9.2.6). JSON has no line break of its own.
fn block(seq: u64, name: Name, data: &serde_json::Value) -> Bytes {
    format!("id: {seq}\nevent: {}\ndata: {data}\n\n", name.text()).into()
}
