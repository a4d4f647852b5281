//! From what call control tells to what readers are told.
//!
//! Notices come at the moment of a change, with what was true then; snapshots come later and not
//! for every change. So that an event is never missing and can always be described, the feed has a
//! picture of its own, which only notices change: what has ended is described as it was last known.
//! Presence alone is taken from snapshots: it is a state, of which the latest counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::control::directory::{self, Directory};
use crate::control::input::Identity;
use crate::control::output::Notice;
use crate::control::record::HelpState;
use crate::control::snapshot::{
    self, AgentView, CallView, HelpView, SessionState, SessionView, Snapshot,
};
use crate::edge::http::agents::{self, Presence};
use crate::edge::http::events::event::{AgentPresence, Concern, Data, Draft, Name, OnCall};
use crate::edge::http::{calls, help_requests, scope, sessions};
use crate::id::{CallId, SessionId};

#[derive(Debug, Default)]
pub struct Model {
    /// Calls whose parties were connected. As many as there are in call control.
    calls: BTreeMap<CallId, Known>,
    sessions: BTreeMap<SessionId, SessionView>,
    /// Every agent of the directory.
    presence: BTreeMap<AgentKey, State>,
}

type AgentKey = (Arc<str>, Arc<str>);

#[derive(Clone, Debug)]
struct Known {
    view: CallView,
    contact: Option<String>,
}

/// What an agent is doing, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    presence: Presence,
    since: Option<Instant>,
}

impl Model {
    /// What follows from a notice. `contact` is the name of the customer of a call that is new.
    pub fn notice(
        &mut self,
        directory: &Directory,
        at_ms: i64,
        notice: Notice,
        contact: Option<String>,
    ) -> Vec<Draft> {
        let picture = Picture { directory, at_ms };
        let drafted = match notice {
            Notice::CallAnswered(view) => vec![self.started(picture, view, contact)],
            Notice::CallTransferred(view) => return self.moved(picture, view, contact),
            Notice::CallChanged(view) => vec![self.changed(picture, view)],
            Notice::CallEnded(id) => vec![self.call_ended(picture, id)],
            Notice::SessionStarted(view)
            | Notice::SessionMoved(view)
            | Notice::RoleChanged { session: view, .. } => vec![self.session(picture, view)],
            Notice::SessionEnded(id) => vec![self.session_ended(picture, id)],
            Notice::HelpChanged(view) => vec![self.help(picture, view)],
            Notice::CallStarted(_) | Notice::DigitCounted(_) | Notice::Refused(_) => Vec::new(),
        };
        drafted.into_iter().flatten().collect()
    }

    /// Whether the agent of a call was not on it before.
    pub fn is_new_to_its_agent(&self, call: &CallView) -> bool {
        let known = self.calls.get(&call.id);
        known.is_none_or(|known| known.view.agent != call.agent)
    }

    /// What a watched agent's call is told as; `None` when it is over already, or another's.
    pub fn watched(
        &self,
        directory: &Directory,
        at_ms: i64,
        id: CallId,
        agent: &Arc<str>,
        by: Vec<Arc<str>>,
    ) -> Option<Draft> {
        let known = self.calls.get(&id)?;
        if known.view.agent.as_ref() != Some(agent) {
            return None;
        }
        let organisation = known.view.organisation.clone()?;
        let may_see = |user: &Arc<str>| {
            let key = (organisation.clone(), user.clone());
            let entry = directory.supervisors.get(&key);
            entry.is_some_and(|entry| scope::sees_call(directory, entry, &known.view))
        };
        let by: Vec<Arc<str>> = by.into_iter().filter(may_see).collect();
        if by.is_empty() {
            return None;
        }
        let call = self.describe(Picture { directory, at_ms }, known)?;
        Some(Draft {
            name: Name::AgentOnCall,
            organisation: organisation.clone(),
            at_ms,
            concern: Concern::Watched {
                call: known.view.clone(),
                by: by.clone(),
            },
            data: Data::OnCall(OnCall {
                listen: format!("/api/v1/calls/{id}/ticket"),
                watched_by: by.iter().map(ToString::to_string).collect(),
                call,
            }),
        })
    }

    /// Agents whose presence is not what it was. The first look tells nothing.
    pub fn presence(
        &mut self,
        directory: &Directory,
        at_ms: i64,
        engaged: &[AgentView],
        registered: &[Identity],
    ) -> Vec<Draft> {
        let first = self.presence.is_empty();
        let engaged: BTreeMap<(&str, &str), snapshot::Presence> = engaged
            .iter()
            .map(|agent| ((&*agent.organisation, &*agent.extension), agent.presence))
            .collect();
        let mut registered: Vec<(&str, &str)> = registered
            .iter()
            .filter_map(|identity| match identity {
                Identity::Agent {
                    organisation,
                    extension,
                } => Some((&**organisation, &**extension)),
                Identity::Supervisor { .. } => None,
            })
            .collect();
        registered.sort_unstable();

        let mut now = BTreeMap::new();
        let mut drafts = Vec::new();
        for (key, agent) in &directory.agents {
            let name = (&*key.0, &*key.1);
            let is_registered = registered.binary_search(&name).is_ok();
            let (presence, since) =
                agents::presence(agent, engaged.get(&name).copied(), is_registered);
            let state = State { presence, since };
            if !first && self.presence.get(key) != Some(&state) {
                drafts.push(presence_draft(at_ms, agent, state));
            }
            now.insert(key.clone(), state);
        }
        self.presence = now;
        drafts
    }

    /// Notices were missed: what there is now is taken for known.
    pub fn start_over(&mut self, snapshot: &Snapshot) {
        let talking = snapshot.calls.iter();
        self.calls = talking
            .filter(|call| call.answered_at.is_some())
            .map(|view| {
                let known = Known {
                    view: view.clone(),
                    contact: None,
                };
                (view.id, known)
            })
            .collect();
        let sessions = snapshot.sessions.iter();
        self.sessions = sessions.map(|view| (view.id, view.clone())).collect();
    }

    fn started(
        &mut self,
        picture: Picture<'_>,
        view: CallView,
        contact: Option<String>,
    ) -> Option<Draft> {
        let id = view.id;
        self.calls.insert(id, Known { view, contact });
        self.call(picture, Name::CallStarted, id)
    }

    /// The call has another agent: it ends for those who see it no longer, and starts, as what it
    /// is now, for those who see it.
    fn moved(
        &mut self,
        picture: Picture<'_>,
        view: CallView,
        contact: Option<String>,
    ) -> Vec<Draft> {
        let lost = self.call(picture, Name::CallEnded, view.id).map(|draft| {
            let concern = match draft.concern {
                Concern::Call(before) => Concern::CallLost {
                    before,
                    after: view.clone(),
                },
                other => other,
            };
            Draft { concern, ..draft }
        });
        let started = self.started(picture, view, contact);
        lost.into_iter().chain(started).collect()
    }

    /// What is told of a call is not what it was. A transfer is told as one.
    fn changed(&mut self, picture: Picture<'_>, view: CallView) -> Option<Draft> {
        let id = view.id;
        let known = self.calls.get_mut(&id)?;
        if known.view == view {
            return None;
        }
        known.view = view;
        self.call(picture, Name::CallChanged, id)
    }

    fn call_ended(&mut self, picture: Picture<'_>, id: CallId) -> Option<Draft> {
        let draft = self.call(picture, Name::CallEnded, id);
        self.calls.remove(&id);
        draft
    }

    fn call(&self, picture: Picture<'_>, name: Name, id: CallId) -> Option<Draft> {
        let known = self.calls.get(&id)?;
        Some(Draft {
            name,
            organisation: known.view.organisation.clone()?,
            at_ms: picture.at_ms,
            concern: Concern::Call(known.view.clone()),
            data: Data::Call(self.describe(picture, known)?),
        })
    }

    fn describe(&self, picture: Picture<'_>, known: &Known) -> Option<calls::Call> {
        let sessions = self.sessions.values();
        let sessions = sessions.filter(|session| session.call == known.view.id);
        calls::describe_to_all(
            picture.directory,
            &known.view,
            known.contact.clone(),
            sessions,
        )
    }

    fn session(&mut self, picture: Picture<'_>, view: SessionView) -> Option<Draft> {
        let name = match self.sessions.get(&view.id) {
            None => Name::SessionStarted,
            Some(known) if known.state == view.state => return None,
            Some(_) => Name::SessionRole,
        };
        let draft = self.session_draft(picture, name, &view);
        self.sessions.insert(view.id, view);
        Some(draft)
    }

    fn session_ended(&mut self, picture: Picture<'_>, id: SessionId) -> Option<Draft> {
        let mut view = self.sessions.remove(&id)?;
        view.state = SessionState::Ended;
        Some(self.session_draft(picture, Name::SessionEnded, &view))
    }

    fn session_draft(&self, picture: Picture<'_>, name: Name, view: &SessionView) -> Draft {
        Draft {
            name,
            organisation: view.organisation.clone(),
            at_ms: picture.at_ms,
            concern: Concern::Session {
                supervisor: view.supervisor.clone(),
                call: self.calls.get(&view.call).map(|call| call.view.clone()),
            },
            data: Data::Session(sessions::describe(view, false)),
        }
    }

    fn help(&mut self, picture: Picture<'_>, view: HelpView) -> Option<Draft> {
        let name = match view.state {
            HelpState::Requested => Name::HelpRequested,
            HelpState::InProgress => Name::HelpAccepted,
            HelpState::Closed => Name::HelpClosed,
            HelpState::Cancelled | HelpState::Expired => Name::HelpCancelled,
        };
        let call = self.calls.get_mut(&view.call).map(|known| {
            known.view.help_wanted = view.state == HelpState::Requested;
            known.view.clone()
        });
        Some(Draft {
            name,
            organisation: view.organisation.clone(),
            at_ms: picture.at_ms,
            concern: Concern::Help {
                agent: view.agent.clone(),
                call,
            },
            data: Data::Help(help_requests::describe(picture.directory, &view)),
        })
    }
}

/// The people by whose names things are called, and the time.
#[derive(Clone, Copy)]
struct Picture<'a> {
    directory: &'a Directory,
    at_ms: i64,
}

fn presence_draft(at_ms: i64, agent: &directory::Agent, state: State) -> Draft {
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
