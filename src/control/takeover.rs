//! Taking the call, and ending it for everyone.
//!
//! In a takeover the customer hears the supervisor first and loses the agent afterwards: the
//! Pupil's BYE follows [`OVERLAP`] after the mix in which the User hears the supervisor came into
//! force and the key was released, under which nothing of the supervisor's voice is let through.
//! From then on the supervisor is the other end of the customer's call: when they leave, it ends.

use std::time::Instant;

use crate::control::call::{Call, CallState};
use crate::control::order::Order;
use crate::control::policy;
use crate::control::record::Outcome;
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::settings::OnAgentHangUp;
use crate::control::speech::Sentence;
use crate::control::supervisor::{LONGEST_KEY, OVERLAP, SupervisorTimer, Via};
use crate::control::switchboard::{Switchboard, reason};
use crate::id::{CallId, LegId};

impl Switchboard {
    /// A takeover is in force: the agent's time begins to run, or begins when the key is released.
    pub(in crate::control) fn begin_overlap(&mut self, now: Instant, leg: LegId) {
        let shut = self
            .supervisors
            .get(&leg)
            .is_some_and(|supervisor| supervisor.voice_shut);
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        session.unheard = shut;
        let overlap = if shut { LONGEST_KEY } else { OVERLAP };
        self.wake(leg, SupervisorTimer::Overlap, now + overlap);
    }

    /// What the supervisor says is let through again after a key.
    pub(in crate::control) fn voice_opened(&mut self, now: Instant, leg: LegId) {
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.voice_shut = false;
        }
        self.key_released(now, leg);
        let waited = self.session_mut(leg).is_some_and(|session| {
            std::mem::take(&mut session.unheard) && session.supervision == Supervision::TakenOver
        });
        if waited {
            self.wake(leg, SupervisorTimer::Overlap, now + OVERLAP);
        }
    }

    /// The customer has heard the supervisor for long enough: the agent is released, and nobody is
    /// rung any more to take the agent's place.
    pub(in crate::control) fn overlap_over(&mut self, now: Instant, leg: LegId) {
        let taken_over = self
            .session(leg)
            .filter(|session| session.supervision == Supervision::TakenOver);
        let Some(call) = taken_over.map(|session| session.call) else {
            return;
        };
        self.fail_transfer(now, call, 487);
        let pupil = self.calls.get(&call).and_then(|call| call.pupil.leg);
        if let Some(pupil) = pupil {
            self.end_leg(now, pupil, 480, Some(reason(200, "Call taken over")));
        }
    }

    /// Whether a supervisor in the call keeps the User company when the Pupil is gone.
    pub(in crate::control) fn company_stays(&self, call: &Call) -> bool {
        let Some(conference) = &call.conference else {
            return false;
        };
        conference
            .members
            .values()
            .filter(|member| member.leg.is_some())
            .any(|member| match member.supervision {
                Supervision::TakenOver => true,
                Supervision::Barged => {
                    self.settings.on_agent_hangup_in_barge == OnAgentHangUp::Stay
                }
                Supervision::Monitoring | Supervision::Coaching(_) => false,
            })
    }

    /// After a supervisor has left: a User whom nobody is talking to any more is hung up, unless a
    /// transfer is looking for somebody.
    pub(in crate::control) fn end_if_deserted(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let pupil_there = call
            .pupil
            .leg
            .and_then(|leg| self.legs.get(&leg))
            .is_some_and(|leg| leg.is_confirmed());
        let alone = matches!(call.state, CallState::Talking { transfer: None }) && !pupil_there;
        if alone && !self.company_stays(call) {
            self.end_call(now, id, "supervisor left", None);
        }
    }

    /// `7#`: asks first, and the same once more ends the call for everyone.
    pub(in crate::control) fn ask_or_hang_up(
        &mut self,
        now: Instant,
        leg: LegId,
        via: Via,
        confirmed: bool,
    ) {
        let Some(entry) = self.entry(leg) else {
            return;
        };
        let allowed = policy::may_hang_up(&entry).and_then(|()| match self.pupil_is_foreign(leg) {
            true => Err(ErrorCode::PupilGone),
            false => Ok(()),
        });
        if let Err(code) = allowed {
            return self.refuse_order(leg, Order::HangUp.action(), None, &via, code);
        }
        if !confirmed {
            return self.ask_again(now, leg, Order::HangUp, Sentence::HangUpConfirm);
        }
        let Some(session) = self.session(leg) else {
            return;
        };
        let call = session.call;
        self.audit_of(leg, via.source, Order::HangUp.action())
            .call(Some(call))
            .session(Some(session.id))
            .detail(via.detail)
            .roles(Some(session.supervision), None)
            .outcome(Outcome::Done)
            .record(self);
        self.hang_up_everyone(now, call);
    }

    /// Tells every supervisor of the call, and ends it.
    pub(in crate::control) fn hang_up_everyone(&mut self, now: Instant, call: CallId) {
        for leg in self.supervisors_of(call) {
            if let Some(session) = self.session_mut(leg) {
                session.told_ended = true;
                session.confirming.clear();
                self.say(leg, &[Sentence::EndedForEveryone]);
            }
        }
        self.end_call(now, call, "ended by supervisor", None);
    }
}

#[cfg(test)]
mod tests;
