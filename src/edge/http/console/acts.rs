//! What a supervisor is offered to do with a call: in its row, in a request for help, and in the card
//! of a session of their own.

use crate::control::settings::WhisperCaller;
use crate::edge::http::calls::Call;
use crate::edge::http::console::cards::{Sight, icon_of, state_name};
use crate::edge::http::sessions::{Role, Session, SessionState};

/// What a row or a request offers to do.
pub struct Act {
    pub name: &'static str,
    pub label: &'static str,
    pub icon: &'static str,
    pub class: &'static str,
    pub toggle: bool,
    pub on: bool,
    pub off: bool,
    /// What is asked before it is done.
    pub sure: Option<&'static str>,
}

pub struct RoleButton {
    pub name: &'static str,
    pub label: String,
    pub icon: &'static str,
    pub current: bool,
    pub off: bool,
    /// Releases the agent.
    pub grave: bool,
}

impl Sight<'_> {
    /// Whether the viewer may whisper to the customer of a call.
    pub fn whispers_to_caller(&self, call: &Call) -> bool {
        self.viewer.entry.may.whisper_caller
            && match self.web.settings.whisper_caller {
                WhisperCaller::Always => true,
                WhisperCaller::OnNet => call.caller_on_net,
                WhisperCaller::Never => false,
            }
    }

    /// What is asked before a session is ended: after a takeover, and in Barge when the agent has
    /// left, the customer has nobody else.
    pub fn sure_to_end(&self, session: &Session) -> Option<&'static str> {
        let call = self.call(&session.call);
        let alone = match session.state {
            SessionState::Takeover => true,
            SessionState::Barge => call.is_some_and(|call| !call.agent_on_call),
            SessionState::Ringing
            | SessionState::Confirming
            | SessionState::Monitor
            | SessionState::Coach
            | SessionState::WhisperCaller
            | SessionState::Ended => false,
        };
        let others = call.into_iter().flat_map(|call| &call.sessions);
        let talks = |role| matches!(role, Some(Role::Barge | Role::Takeover));
        let company = others
            .filter(|other| other.id != session.id)
            .any(|other| talks(other.role));
        (alone && !company).then(|| self.t("monitoring.end_sure"))
    }

    /// What the viewer may do with a call.
    pub fn acts(&self, call: &Call) -> Vec<Act> {
        let may = self.viewer.entry.may;
        let session = self.session(&call.id);
        let is = |state| session.is_some_and(|session| session.state == state);
        let listens = Act {
            name: "listen",
            label: self.t(if session.is_some() {
                "action.stop"
            } else {
                "action.listen"
            }),
            icon: "listen",
            class: "go",
            toggle: true,
            on: session.is_some(),
            off: false,
            sure: session.and_then(|session| self.sure_to_end(session)),
        };
        let role = |name, key: &str, icon, state| Act {
            name,
            label: self.t(key),
            icon,
            class: "",
            toggle: true,
            on: is(state),
            off: match session {
                Some(session) => !offers(session, state),
                None => !may.monitor,
            },
            sure: None,
        };
        let all = [
            (may.monitor, listens),
            (
                may.coach,
                role("coach", "action.coach", "whisper", SessionState::Coach),
            ),
            (
                self.whispers_to_caller(call),
                role(
                    "whisper_caller",
                    "action.whisper_caller",
                    "caller",
                    SessionState::WhisperCaller,
                ),
            ),
            (
                may.barge,
                role("barge", "action.barge", "join", SessionState::Barge),
            ),
            (
                may.takeover,
                role(
                    "takeover",
                    "action.takeover",
                    "takeover",
                    SessionState::Takeover,
                ),
            ),
            (
                may.hang_up,
                Act {
                    name: "hangup",
                    label: self.t("action.hangup"),
                    icon: "hangup",
                    class: "danger",
                    toggle: false,
                    on: false,
                    off: false,
                    sure: None,
                },
            ),
        ];
        all.into_iter()
            .filter(|(may, _)| *may)
            .map(|(_, act)| act)
            .collect()
    }

    pub fn role_buttons(
        &self,
        session: &Session,
        call: Option<&Call>,
        agent: &str,
    ) -> Vec<RoleButton> {
        let may = self.viewer.entry.may;
        let all = [
            (SessionState::Monitor, may.monitor),
            (SessionState::Coach, may.coach),
            (
                SessionState::WhisperCaller,
                session.state == SessionState::WhisperCaller
                    || call.is_some_and(|call| self.whispers_to_caller(call)),
            ),
            (SessionState::Barge, may.barge),
            (SessionState::Takeover, may.takeover),
        ];
        let permitted = all.into_iter().filter(|(_, may)| *may);
        permitted
            .map(|(state, _)| {
                let name = state_name(state);
                RoleButton {
                    name,
                    label: self
                        .tongue
                        .fill(&format!("monitoring.{name}"), &[("agent", agent)]),
                    icon: icon_of(state),
                    current: session.state == state,
                    off: !offers(session, state),
                    grave: state == SessionState::Takeover,
                }
            })
            .collect()
    }
}

/// Whether a session can be brought into a role now: in the row and in the card alike.
fn offers(session: &Session, role: SessionState) -> bool {
    let speaks = role != SessionState::Monitor;
    match session.state {
        SessionState::Ringing
        | SessionState::Confirming
        | SessionState::Takeover
        | SessionState::Ended => false,
        SessionState::Monitor
        | SessionState::Coach
        | SessionState::WhisperCaller
        | SessionState::Barge => session.coaching_enabled || !speaks,
    }
}
