//! People change while supervisors are on the line: every session is looked at anew.
//!
//! Who was removed, whose organisation supervises no more, or whose pools no longer have the agent,
//! hears why and is hung up; a role that is no longer permitted falls back to Monitor. The call
//! itself is never harmed: a supervisor who is the customer's only company keeps it, though who was
//! removed keeps it as a plain call, without a session.

use std::sync::Arc;
use std::time::Instant;

use crate::control::call::Call;
use crate::control::directory::{Directory, SupervisorEntry};
use crate::control::policy;
use crate::control::record::{Outcome, Record, Source};
use crate::control::refusal::ErrorCode;
use crate::control::speech::Sentence;
use crate::control::supervisor::{State, SupervisorTimer};
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, LegId, SessionId};

impl Switchboard {
    /// The directory is another now.
    pub(in crate::control) fn people_changed(&mut self, now: Instant, directory: Arc<Directory>) {
        let before = std::mem::replace(&mut self.directory, directory);
        let ringing: Vec<SessionId> = self.desk.callbacks.keys().copied().collect();
        for session in ringing {
            self.look_at_callback(now, &before, session);
        }
        let legs: Vec<LegId> = self.supervisors.keys().copied().collect();
        for leg in legs {
            self.look_at_supervisor(now, &before, leg);
        }
        self.forget_removed();
    }

    /// What was kept for those who are no longer there: a new person of the same name begins anew.
    fn forget_removed(&mut self) {
        let people = &self.directory.supervisors;
        self.desk.keep_only(|owner| people.contains_key(owner));
    }

    fn look_at_callback(&mut self, now: Instant, before: &Directory, session: SessionId) {
        let Some(callback) = self.desk.callbacks.get(&session) else {
            return;
        };
        let cause = match self.directory.supervisors.get(&callback.owner) {
            None => PERSON_REMOVED,
            Some(entry) => match self.still_may_listen(before, entry, callback.call) {
                Ok(()) => return,
                Err(code) => cause(code),
            },
        };
        self.end_callback(now, session, cause);
    }

    fn look_at_supervisor(&mut self, now: Instant, before: &Directory, leg: LegId) {
        let Some(supervisor) = self.supervisors.get(&leg) else {
            return;
        };
        let Some(owner) = supervisor.who.owner() else {
            return;
        };
        let Some(entry) = self.directory.supervisors.get(&owner).cloned() else {
            return self.remove_person(now, leg);
        };
        match &supervisor.state {
            State::Supervising(session) => {
                let call = session.call;
                // The customer has nobody else.
                if self.is_only_company(leg) {
                    return;
                }
                match self.still_may_listen(before, &entry, call) {
                    Ok(()) => self.look_at_role(now, leg, &entry),
                    Err(code) => self.dismiss(now, leg, cause(code), code),
                }
            }
            State::Joining(joining) => {
                if let Err(code) = self.still_may_listen(before, &entry, joining.call) {
                    self.dismiss(now, leg, cause(code), code);
                }
            }
            // What they choose is looked at when they choose it; phones that ring were looked at
            // with their session.
            State::Greeting { .. }
            | State::EnteringPin { .. }
            | State::ChoosingCall(_)
            | State::Leaving
            | State::Ringing(_) => {}
        }
    }

    /// 9003, 9006, 9004, 9007, as far as people decide it: whether a supervisor may go on listening.
    /// A session that had moved along with its customer out of the supervisor's pools stays.
    fn still_may_listen(
        &self,
        before: &Directory,
        entry: &SupervisorEntry,
        call: CallId,
    ) -> Result<(), ErrorCode> {
        policy::organisation_supervises(&self.directory, &entry.organisation)?;
        let Some(call) = self.calls.get(&call) else {
            return Ok(());
        };
        if self.is_own(entry, call) {
            return Err(ErrorCode::OwnCall);
        }
        if was_in_scope(before, entry, call) && !self.is_in_scope(entry, call) {
            return Err(ErrorCode::NoCall);
        }
        match entry.may.monitor {
            true => Ok(()),
            false => Err(ErrorCode::NotPermitted),
        }
    }

    /// A role, in force or on its way, that is no longer permitted falls back to Monitor.
    fn look_at_role(&mut self, now: Instant, leg: LegId, entry: &SupervisorEntry) {
        if self.pupil_is_foreign(leg) && !entry.may.barge {
            let code = ErrorCode::NotPermitted;
            return self.dismiss(now, leg, cause(code), code);
        }
        let Some(session) = self.session(leg) else {
            return;
        };
        let Some(facts) = self
            .calls
            .get(&session.call)
            .and_then(|call| self.facts(call, Some(leg)))
        else {
            return;
        };
        let coming = session.change.as_ref().map(|change| change.wanted);
        let permitted = [Some(session.supervision), coming]
            .into_iter()
            .flatten()
            .all(|role| policy::permitted(&self.settings, entry, &facts, role).is_ok());
        if !permitted {
            self.fall_silent(now, leg);
            self.say(leg, &[Sentence::Refused(ErrorCode::NotPermitted)]);
        }
    }

    /// The person on this leg is no longer among the people.
    fn remove_person(&mut self, now: Instant, leg: LegId) {
        let Some(supervisor) = self.supervisors.get(&leg) else {
            return;
        };
        match &supervisor.state {
            State::Supervising(_) if self.is_only_company(leg) => self.leave_as_company(leg),
            State::Supervising(_)
            | State::Joining(_)
            | State::EnteringPin { .. }
            | State::ChoosingCall(_) => {
                self.dismiss(now, leg, PERSON_REMOVED, ErrorCode::Unregistered);
            }
            State::Greeting { .. } | State::Ringing(_) => {
                self.hang_up_supervisor(now, leg, PERSON_REMOVED);
            }
            State::Leaving => {}
        }
    }

    /// The session ends, and the leg stays in its seat: the customer goes on talking to somebody
    /// who has no name here any more, and whose keys do nothing.
    fn leave_as_company(&mut self, leg: LegId) {
        self.drop_requests(leg);
        self.let_sleep(leg, SupervisorTimer::Change);
        self.let_sleep(leg, SupervisorTimer::Confirm);
        self.close_session(leg, PERSON_REMOVED, Source::System);
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.who.user = None;
        }
    }

    /// The call of one who was removed is over, and there is no menu for them.
    pub(in crate::control) fn forget_company(&mut self, now: Instant, leg: LegId) {
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.state = State::Leaving;
        }
        self.take_leave(now, leg, &[Sentence::CallEnded]);
    }

    /// Says why, and hangs up. What was going on ends for this cause.
    fn dismiss(&mut self, now: Instant, leg: LegId, cause: &'static str, code: ErrorCode) {
        self.notify_refused(code);
        let call = self.abandon(now, leg, cause);
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.state = State::Leaving;
        }
        self.take_leave(now, leg, &[Sentence::Refused(code)]);
        if let Some(call) = call {
            self.end_if_deserted(now, call);
        }
    }

    /// One row that a session is over, and why.
    pub(in crate::control) fn close_session(
        &mut self,
        leg: LegId,
        cause: &'static str,
        source: Source,
    ) {
        let Some(session) = self.session(leg) else {
            return;
        };
        // Whoever is nobody any more has no session: it was closed when they were removed.
        if self.owner_of(leg).is_none() {
            return;
        }
        let (id, call, supervision) = (session.id, session.call, session.supervision);
        let agent = session.agent.clone();
        self.session_ends(id);
        self.audit_of(leg, source, "leave")
            .call(Some(call))
            .agent(agent)
            .session(Some(id))
            .detail(Some(cause.into()))
            .roles(Some(supervision), None)
            .outcome(Outcome::Done)
            .record(self);
        self.record(Record::SessionEnded {
            session: id,
            cause: cause.into(),
        });
    }

    fn owner_of(&self, leg: LegId) -> Option<crate::control::desk::Owner> {
        self.supervisors.get(&leg)?.who.owner()
    }
}

/// Why a session ends, when its supervisor was removed.
const PERSON_REMOVED: &str = "person_removed";

/// Why a session ends that may not go on, in a word for the audit.
fn cause(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::SupervisionOff => "supervision_off",
        ErrorCode::OwnCall => "own_call",
        ErrorCode::NoCall => "out_of_scope",
        _ => "not_permitted",
    }
}

/// Whether the call's agent was in the supervisor's pools, whatever has become of either.
fn was_in_scope(before: &Directory, entry: &SupervisorEntry, call: &Call) -> bool {
    let (Some(organisation), Some(extension)) = (&call.organisation, &call.pupil.agent) else {
        return false;
    };
    let owner = (entry.organisation.clone(), entry.user.clone());
    let agent = (organisation.clone(), extension.clone());
    match (before.supervisors.get(&owner), before.agents.get(&agent)) {
        (Some(supervisor), Some(agent)) => policy::in_scope(supervisor, agent),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
