//! An agent asks for help: from asking to closing.
//!
//! ```text
//! Requested ──accept──▶ InProgress ──close──▶ Closed
//!     ├──cancel, transfer, end of the call──▶ Cancelled
//!     └──nobody took it──▶ Expired
//! ```
//!
//! The first to accept has it, for good: there is one writer, so "first" needs no lock. At most one
//! request of a call is open. Accepting joins nobody, and closing ends no session.

mod announcing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::audit::audit;
use crate::control::desk::Desk;
use crate::control::directory::SupervisorEntry;
use crate::control::order::Order;
use crate::control::policy;
use crate::control::record::{HelpRow, HelpState, Outcome, Record, Source};
use crate::control::refusal::ErrorCode;
use crate::control::speech::{self, Sentence};
use crate::control::supervisor::{Announced, SupervisorTimer, Via};
use crate::control::switchboard::Switchboard;
use crate::control::timers::{Owner, Timer};
use crate::id::{CallId, HelpId, LegId};
use crate::media::command::Ducking;

/// For how long a request waits to be taken.
pub const EXPIRY: Duration = Duration::from_secs(10 * 60);

/// Settled requests that are still shown; the oldest goes first.
const MAX_SETTLED: usize = 256;

#[derive(Clone, Debug)]
pub struct HelpRequest {
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

impl Desk {
    /// The request that this supervisor has taken for this call.
    pub fn accepted_help(&self, call: CallId, user: &str) -> Option<HelpId> {
        self.help
            .values()
            .find(|request| {
                request.call == call
                    && request.state == HelpState::InProgress
                    && request.provided_by.as_deref() == Some(user)
            })
            .map(|request| request.id)
    }

    /// The request of this call that is not settled yet.
    pub fn open_help(&self, call: CallId) -> Option<HelpId> {
        self.help
            .values()
            .find(|request| request.call == call && !is_settled(request.state))
            .map(|request| request.id)
    }
}

impl Switchboard {
    /// `None` when the call has an open request already, or nobody's agent takes part in it.
    pub(in crate::control) fn raise_help(
        &mut self,
        now: Instant,
        call: CallId,
        actor: Arc<str>,
        source: Source,
        reason: Arc<str>,
        comment: Arc<str>,
    ) -> Option<HelpId> {
        let known = self.calls.get(&call)?;
        let (organisation, agent) = (known.organisation.clone()?, known.pupil.agent.clone()?);
        let off = policy::organisation_supervises(&self.directory, &organisation).is_err();
        if off || !known.is_talking() || self.desk.open_help(call).is_some() {
            return None;
        }
        let id = HelpId(self.ids.next_id());
        self.forget_settled_help();
        self.desk.help.insert(
            id,
            HelpRequest {
                id,
                organisation,
                call,
                agent,
                reason,
                comment,
                state: HelpState::Requested,
                provided_by: None,
                raised_at: now,
                accepted_at: None,
                ended_at: None,
            },
        );
        self.timers.set(
            Owner::Desk,
            Timer::Supervisor(SupervisorTimer::Help(id)),
            now + EXPIRY,
        );
        self.help_changed(id, actor.clone(), source, "help_raise");
        self.announce_help(now, id, &actor);
        Some(id)
    }

    /// The first to accept has it; the others are told so (9009).
    pub(in crate::control) fn take_help(
        &mut self,
        now: Instant,
        help: HelpId,
        user: &Arc<str>,
        source: Source,
    ) -> Result<(), TakeRefusal> {
        let Some(request) = self.desk.help.get_mut(&help) else {
            return Err(TakeRefusal::Settled);
        };
        match request.state {
            HelpState::Requested => {}
            HelpState::InProgress if request.provided_by.as_ref() == Some(user) => return Ok(()),
            HelpState::InProgress => return Err(TakeRefusal::Taken),
            HelpState::Closed | HelpState::Cancelled | HelpState::Expired => {
                return Err(TakeRefusal::Settled);
            }
        }
        request.state = HelpState::InProgress;
        request.provided_by = Some(user.clone());
        request.accepted_at = Some(now);
        self.help_changed(help, user.clone(), source, "help_accept");
        Ok(())
    }

    /// Moves a request on by somebody's wish; says whether its state allowed that.
    pub(in crate::control) fn settle_help(
        &mut self,
        now: Instant,
        help: HelpId,
        from: HelpState,
        to: HelpState,
        actor: Arc<str>,
        source: Source,
    ) -> bool {
        let Some(request) = self.desk.help.get_mut(&help) else {
            return false;
        };
        if request.state != from {
            return false;
        }
        request.state = to;
        request.ended_at = is_settled(to).then_some(now);
        let action = match to {
            HelpState::Closed => "help_close",
            HelpState::Cancelled => "help_cancel",
            HelpState::Expired => "help_expire",
            HelpState::Requested => "help_raise",
            HelpState::InProgress => "help_accept",
        };
        let settled = request.clone();
        self.help_changed(help, actor.clone(), source, action);
        if to == HelpState::Closed && source != Source::System {
            self.tell_provider(&settled, &actor);
        }
        true
    }

    pub(in crate::control) fn help_expired(&mut self, now: Instant, help: HelpId) {
        self.settle_help(
            now,
            help,
            HelpState::Requested,
            HelpState::Expired,
            "system".into(),
            Source::System,
        );
    }

    /// The call has ended or left its agent: what was asked for has no object any more.
    pub(in crate::control) fn help_call_over(&mut self, now: Instant, call: CallId) {
        let Some(help) = self.desk.open_help(call) else {
            return;
        };
        for (from, to) in [
            (HelpState::Requested, HelpState::Cancelled),
            (HelpState::InProgress, HelpState::Closed),
        ] {
            self.settle_help(now, help, from, to, "system".into(), Source::System);
        }
    }

    /// The request that has waited longest for this supervisor.
    pub(in crate::control) fn waiting_help(&self, supervisor: &SupervisorEntry) -> Option<HelpId> {
        self.help_in_scope(supervisor, HelpState::Requested)
    }

    fn help_in_scope(&self, supervisor: &SupervisorEntry, state: HelpState) -> Option<HelpId> {
        self.desk
            .help
            .values()
            .find(|request| {
                request.state == state
                    && self.calls.get(&request.call).is_some_and(|call| {
                        self.is_in_scope(supervisor, call)
                            && self
                                .facts(call, None)
                                .is_some_and(|facts| !policy::is_own_call(supervisor, &facts))
                    })
            })
            .map(|request| request.id)
    }

    /// `2#` in the menu: takes the waiting request and joins its call.
    pub(in crate::control) fn accept_help_by_key(&mut self, now: Instant, leg: LegId) {
        match self.take_meant_help(now, leg) {
            Ok(call) => self.join(now, leg, call, Source::Phone, Announced::HelpAccepted),
            Err(code) => self.refuse_choice(now, leg, None, code),
        }
    }

    /// `2#` in a session: takes the waiting request; that of another call brings the supervisor
    /// there, unless a customer would be left alone.
    pub(in crate::control) fn accept_help_in_session(
        &mut self,
        now: Instant,
        leg: LegId,
        via: &Via,
    ) {
        let Some(session) = self.session(leg) else {
            return;
        };
        let here = session.call;
        let action = Order::AcceptHelp.action();
        if self.is_only_company(leg) {
            return self.refuse_order(leg, action, None, via, ErrorCode::NotPermitted);
        }
        match self.take_meant_help(now, leg) {
            Ok(call) if call == here => self.say(leg, &[Sentence::HelpAccepted]),
            Ok(call) => self.step_over(now, leg, call, Announced::HelpAccepted),
            Err(code) => self.refuse_order(leg, action, None, via, code),
        }
    }

    fn take_meant_help(&mut self, now: Instant, leg: LegId) -> Result<CallId, ErrorCode> {
        policy::begins(self.service)?;
        let entry = self.entry(leg).ok_or(ErrorCode::Unregistered)?;
        let Some(help) = self.meant_help(leg) else {
            // Somebody was faster, or nobody asked.
            return match self.help_in_scope(&entry, HelpState::InProgress) {
                Some(_) => Err(ErrorCode::HelpTaken),
                None => Err(ErrorCode::NoCall),
            };
        };
        self.take_help(now, help, &entry.user, Source::Phone)
            .map_err(|refusal| match refusal {
                TakeRefusal::Taken => ErrorCode::HelpTaken,
                TakeRefusal::Settled => ErrorCode::NoCall,
            })?;
        self.desk
            .help
            .get(&help)
            .map(|request| request.call)
            .ok_or(ErrorCode::NoCall)
    }

    /// `*4#` of the call's agent.
    pub(in crate::control) fn raise_help_by_key(&mut self, now: Instant, call: CallId, leg: LegId) {
        let Some(agent) = self.agent_of(call) else {
            return;
        };
        let reason: Arc<str> = "".into();
        let raised = self.raise_help(now, call, agent, Source::Phone, reason.clone(), reason);
        if raised.is_some() {
            self.tell_agent(leg, Sentence::HelpRaised);
        }
    }

    /// `*5#` of the call's agent.
    pub(in crate::control) fn close_help_by_key(&mut self, now: Instant, call: CallId, leg: LegId) {
        let (Some(agent), Some(help)) = (self.agent_of(call), self.desk.open_help(call)) else {
            return;
        };
        let settled = [
            (HelpState::InProgress, HelpState::Closed),
            (HelpState::Requested, HelpState::Cancelled),
        ]
        .into_iter()
        .any(|(from, to)| self.settle_help(now, help, from, to, agent.clone(), Source::Phone));
        if settled {
            self.tell_agent(leg, Sentence::HelpClosed);
        }
    }

    fn agent_of(&self, call: CallId) -> Option<Arc<str>> {
        self.calls.get(&call)?.pupil.agent.clone()
    }

    /// A word to the agent alone, over the call.
    fn tell_agent(&mut self, leg: LegId, sentence: Sentence) {
        let sounds = speech::sounds(&self.settings, &sentence);
        self.play_to_party(leg, sounds, Ducking::Duck);
    }

    /// Writes down and tells what a request has become.
    fn help_changed(&mut self, id: HelpId, actor: Arc<str>, source: Source, action: &'static str) {
        let Some(request) = self.desk.help.get(&id).cloned() else {
            return;
        };
        if request.state != HelpState::Requested {
            self.timers
                .clear(Owner::Desk, Timer::Supervisor(SupervisorTimer::Help(id)));
        }
        if let Some(call) = self.calls.get_mut(&request.call) {
            call.help_wanted = request.state == HelpState::Requested;
        }
        audit(Some(request.organisation.clone()), actor, source, action)
            .call(Some(request.call))
            .help(Some(id))
            .outcome(Outcome::Done)
            .record(self);
        self.record(Record::Help(HelpRow {
            help: id,
            organisation: request.organisation,
            call: request.call,
            agent: request.agent,
            reason: request.reason,
            comment: request.comment,
            state: request.state,
            provided_by: request.provided_by,
        }));
        self.notify_help(id);
    }

    fn forget_settled_help(&mut self) {
        let settled: Vec<HelpId> = self
            .desk
            .help
            .values()
            .filter(|request| is_settled(request.state))
            .map(|request| request.id)
            .collect();
        let too_many = settled.len().saturating_sub(MAX_SETTLED - 1);
        for id in settled.into_iter().take(too_many) {
            self.desk.help.remove(&id);
        }
    }
}

/// Why a request could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeRefusal {
    /// Somebody else has it.
    Taken,
    Settled,
}

fn is_settled(state: HelpState) -> bool {
    match state {
        HelpState::Requested | HelpState::InProgress => false,
        HelpState::Closed | HelpState::Cancelled | HelpState::Expired => true,
    }
}
