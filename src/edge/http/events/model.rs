//! From what call control tells to what readers are told.
//!
//! Notices come at the moment of a change, with what was true then; snapshots come later and not
//! for every change. So that an event is never missing and can always be described, the feed has a
//! picture of its own, which only notices change: what has ended is described as it was last known.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::directory::Directory;
use crate::control::output::Notice;
use crate::control::record::HelpState;
use crate::control::snapshot::{CallView, HelpView, SessionState, SessionView, Snapshot};
use crate::edge::http::events::event::{Concern, Data, Draft, Name, OnCall};
use crate::edge::http::{calls, help_requests, scope, sessions};
use crate::id::{CallId, SessionId};

#[derive(Debug, Default)]
pub struct Model {
    /// Calls whose parties were connected. As many as there are in call control.
    calls: BTreeMap<CallId, Known>,
    sessions: BTreeMap<SessionId, SessionView>,
}

#[derive(Clone, Debug)]
struct Known {
    view: CallView,
    contact: Option<String>,
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

#[cfg(test)]
mod tests;
