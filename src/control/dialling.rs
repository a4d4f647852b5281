//! From the offer to the answer: phones ring, one answers, the others are told.

use std::time::{Duration, Instant};

use crate::control::call::{Attempt, CallState, Dialling, Refusals, Told};
use crate::control::input::Signal;
use crate::control::leg::{Departure, LegOwner, LegState, Way};
use crate::control::legs::Dialled;
use crate::control::negotiation::{Negotiation, NotAcceptable};
use crate::control::output::{Notice, SignalCommand};
use crate::control::record::Record;
use crate::control::route::Callee;
use crate::control::switchboard::{Switchboard, reason};
use crate::control::timers::{Owner, Timer};
use crate::id::{CallId, LegId};
use crate::wire::sdp::{Format, SessionDescription};

/// How long phones ring before the caller is told that nobody answers.
pub const RING_TIME: Duration = Duration::from_secs(60);

impl Switchboard {
    /// The caller's port is open: ports for the phones to ring.
    pub(in crate::control) fn start_dialling(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let CallState::Offered {
            invitation,
            destination,
        } = &call.state
        else {
            return;
        };
        let (invitation, callees) = (invitation.clone(), destination.callees.clone());
        call.state = CallState::Dialling(Dialling {
            attempts: Vec::new(),
            invitation,
            told: Told::Nothing,
            refusals: Refusals::default(),
        });
        let caller = call.caller;
        self.seat(id, caller);
        self.timers
            .set(Owner::Call(id), Timer::Ring, now + RING_TIME);
        let attempts = self.open_attempts(now, id, callees);
        if let Some(dialling) = self.dialling(id) {
            dialling.attempts = attempts;
        }
    }

    /// A leg and a port for each phone.
    pub(in crate::control) fn open_attempts(
        &mut self,
        now: Instant,
        id: CallId,
        callees: Vec<Callee>,
    ) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for callee in callees {
            let leg = LegId(self.ids.next_id());
            let Some(call) = self.calls.get_mut(&id) else {
                break;
            };
            call.legs.insert(leg);
            let shard = call.shard;
            let owner = LegOwner::Call(id);
            self.admit(now, leg, owner, Way::Outbound, shard, callee.network);
            attempts.push(Attempt { leg, callee });
        }
        attempts
    }

    /// A phone's port is open: our INVITE.
    pub(in crate::control) fn dial_attempt(&mut self, id: CallId, leg: LegId) {
        let Some(dialling) = self.dialling(id) else {
            return;
        };
        let Some(attempt) = dialling.attempts.iter().find(|a| a.leg == leg) else {
            return;
        };
        let invitation = &dialling.invitation;
        let dialled = Dialled {
            target: attempt.callee.target.clone(),
            caller: invitation.caller.clone(),
            display_name: invitation.display_name.clone(),
            max_forwards: invitation.max_forwards.saturating_sub(1),
        };
        let audio = invitation.sdp.as_ref().and_then(SessionDescription::audio);
        let ptime_ms = audio.as_ref().and_then(|audio| audio.ptime_ms);
        let formats = audio.map(|audio| audio.formats).unwrap_or_default();
        self.dial_leg(leg, dialled, &formats, ptime_ms);
    }

    pub(in crate::control) fn dialling_signal(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        signal: Signal,
    ) {
        match signal {
            Signal::Progressed { sdp, .. } => self.attempt_progressed(id, leg, sdp),
            Signal::Answered { sdp } => self.attempt_answered(now, id, leg, sdp),
            // A dialog begins with its answer; none of these comes before it.
            Signal::Acknowledged { .. }
            | Signal::NeverAcknowledged
            | Signal::Reinvited { .. }
            | Signal::ReinviteAcknowledged { .. }
            | Signal::ReinviteAnswered { .. }
            | Signal::KeyInfo { .. }
            | Signal::Referred { .. }
            | Signal::Invited(_)
            | Signal::Cancelled
            | Signal::Failed { .. }
            | Signal::HungUp { .. }
            | Signal::HangUpDone
            | Signal::Focus(_)
            | Signal::Lost => {}
        }
    }

    /// 18x of one phone. Its media is passed on only where it is the only phone: of several nobody
    /// knows which one will answer.
    fn attempt_progressed(&mut self, id: CallId, leg: LegId, sdp: Option<SessionDescription>) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let CallState::Dialling(dialling) = &call.state else {
            return;
        };
        let (side, told) = (call.caller, dialling.told);
        let Some(caller) = call.party(side).leg else {
            return;
        };
        let media = sdp.filter(|sdp| {
            dialling.attempts.len() == 1
                && dialling.invitation.sdp.is_some()
                && sdp.audio().is_some()
        });
        match (media, told) {
            (Some(sdp), told) => {
                if self.take_answer(leg, sdp).is_err() {
                    return;
                }
                self.seat_leg(id, side.other(), leg);
                if told < Told::EarlyMedia
                    && let Ok(answer) = self.answer_for_caller(id, leg)
                {
                    self.tell(id, Told::EarlyMedia);
                    if let Some(caller) = self.legs.get_mut(&caller) {
                        caller.state = LegState::Early;
                    }
                    self.signal(
                        caller,
                        SignalCommand::Progress {
                            status: 183,
                            sdp: answer,
                        },
                    );
                }
            }
            (None, Told::Nothing) => {
                self.tell(id, Told::Ringing);
                self.ring_leg(caller);
            }
            (None, Told::Ringing | Told::EarlyMedia) => {}
        }
    }

    /// One phone answered: the first one wins.
    fn attempt_answered(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        sdp: Option<SessionDescription>,
    ) {
        let agreed = match sdp {
            Some(sdp) => self.take_answer(leg, sdp),
            // The answer was in the 18x before it (RFC 3261 §13.2.1).
            None => match self
                .legs
                .get(&leg)
                .map(|leg| leg.negotiation.chosen.is_some())
            {
                Some(true) => Ok(()),
                Some(false) | None => Err(NotAcceptable),
            },
        };
        let answer = agreed.and_then(|()| self.answer_for_caller(id, leg));
        match answer {
            Ok(answer) => self.connect(now, id, leg, answer),
            Err(NotAcceptable) => {
                self.refuse_attempt(now, id, leg, 488);
                self.end_leg(now, leg, 488, Some(reason(488, "Not Acceptable Here")));
            }
        }
    }

    /// What the caller is answered, given what the called phone speaks; as it was told already
    /// where early media flows.
    fn answer_for_caller(
        &mut self,
        id: CallId,
        callee: LegId,
    ) -> Result<SessionDescription, NotAcceptable> {
        let call = self.calls.get(&id).ok_or(NotAcceptable)?;
        let caller = call.party(call.caller).leg.ok_or(NotAcceptable)?;
        let CallState::Dialling(dialling) = &call.state else {
            return Err(NotAcceptable);
        };
        if dialling.told == Told::EarlyMedia {
            let said = self
                .legs
                .get(&caller)
                .and_then(|leg| leg.negotiation.ours.clone());
            return said.ok_or(NotAcceptable);
        }
        let offer = dialling.invitation.sdp.clone();
        let other = self.spoken_by(callee);
        self.describe_answer(caller, offer, other.as_ref())
    }

    pub(in crate::control) fn spoken_by(&self, leg: LegId) -> Option<Format> {
        let negotiation: &Negotiation = &self.legs.get(&leg)?.negotiation;
        Some(negotiation.chosen.as_ref()?.codec.clone())
    }

    /// Both parties are there.
    fn connect(&mut self, now: Instant, id: CallId, winner: LegId, answer: SessionDescription) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let CallState::Dialling(dialling) = &call.state else {
            return;
        };
        let attempts = dialling.attempts.clone();
        let side = call.caller;
        let Some(caller) = call.party(side).leg else {
            return;
        };
        call.state = CallState::Talking { transfer: None };
        call.answered_at = Some(now);
        if let Some(attempt) = attempts.iter().find(|attempt| attempt.leg == winner) {
            let party = call.party_mut(side.other());
            party.leg = Some(winner);
            party.agent = attempt
                .callee
                .agent
                .as_ref()
                .map(|agent| agent.extension.clone());
        }
        self.timers.clear(Owner::Call(id), Timer::Ring);
        self.seat_leg(id, side.other(), winner);
        self.answer_leg(caller, answer);
        for attempt in attempts.iter().filter(|attempt| attempt.leg != winner) {
            let elsewhere = reason(200, "Call completed elsewhere");
            self.end_leg(now, attempt.leg, 480, Some(elsewhere));
        }
        if attempts.len() > 1 {
            self.record_call(id);
        }
        self.record(Record::CallAnswered { call: id });
        self.notify_call(id, Notice::CallAnswered);
        self.watch(id);
        self.listen(id);
    }

    /// A phone refused, was out of reach, or had no port. Once no phone is left, the caller is told.
    pub(in crate::control) fn refuse_attempt(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        status: u16,
    ) {
        let Some(dialling) = self.dialling(id) else {
            return;
        };
        dialling.attempts.retain(|attempt| attempt.leg != leg);
        dialling.refusals.add(status);
        if dialling.attempts.is_empty() {
            let status = dialling.refusals.status();
            let cause = match status {
                486 | 600 => "busy",
                603 => "declined",
                408 | 480 => "unavailable",
                488 | 606 => "not acceptable",
                _ => "failed",
            };
            self.clear(now, id, cause, status, None);
        }
    }

    /// Nobody answered in time.
    pub(in crate::control) fn rung_out(&mut self, now: Instant, id: CallId) {
        self.clear(now, id, "no answer", 480, None);
    }

    /// A leg went away while the phones ring.
    pub(in crate::control) fn dialling_gone(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        how: Departure,
    ) {
        let status = match how {
            Departure::Failed { status, .. } => status,
            Departure::HungUp(_) | Departure::Cancelled | Departure::Released | Departure::Lost => {
                480
            }
        };
        self.unseat(id, leg);
        self.refuse_attempt(now, id, leg, status);
    }

    fn tell(&mut self, id: CallId, told: Told) {
        if let Some(dialling) = self.dialling(id) {
            dialling.told = told;
        }
    }

    pub(in crate::control) fn dialling(&mut self, id: CallId) -> Option<&mut Dialling> {
        match &mut self.calls.get_mut(&id)?.state {
            CallState::Dialling(dialling) => Some(dialling),
            CallState::Offered { .. } | CallState::Talking { .. } | CallState::Clearing { .. } => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
