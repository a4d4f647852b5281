//! Blind transfer (REFER, RFC 3515) by an agent: the other party is given to somebody else.
//!
//! The call goes on as it was until the new phone answers; if none does, nothing has happened. An
//! agent who hangs up meanwhile leaves the other party with the ringing.

use std::time::Instant;

use crate::control::call::{Attempt, CallState, Refusals, Side};
use crate::control::dialling::RING_TIME;
use crate::control::input::Signal;
use crate::control::leg::Departure;
use crate::control::legs::{Dialled, MAX_FORWARDS};
use crate::control::output::{Notice, SignalCommand, Target};
use crate::control::policy::CallKind;
use crate::control::route::NoRoute;
use crate::control::switchboard::{Switchboard, reason};
use crate::control::timers::{Owner, Timer};
use crate::id::{CallId, LegId, RequestId};
use crate::wire::sdp::{Format, SessionDescription};

/// A transfer under way.
#[derive(Debug)]
pub struct Transfer {
    pub request: RequestId,
    /// Who transfers, and leaves when it has worked.
    pub side: Side,
    /// Their leg, which is told how it goes; `None` once they hung up.
    pub by: Option<LegId>,
    pub attempts: Vec<Attempt>,
    pub refusals: Refusals,
    pub pool: bool,
    /// The agent was told that it rings.
    pub told_ringing: bool,
}

impl Switchboard {
    pub(in crate::control) fn referred(
        &mut self,
        now: Instant,
        id: CallId,
        side: Side,
        request: RequestId,
        target: &str,
    ) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Some(leg) = call.party(side).leg else {
            return;
        };
        let destination = match (&call.state, self.sent_on(call, side)) {
            (CallState::Talking { transfer: Some(_) }, _) => Err(491),
            (CallState::Talking { transfer: None }, Some(caller)) => self
                .resolve(&caller, number_of(target))
                .map_err(NoRoute::status),
            // Customers do not send our agents away.
            (CallState::Talking { transfer: None }, None) => Err(603),
            (
                CallState::Offered { .. } | CallState::Dialling(_) | CallState::Clearing { .. },
                _,
            ) => Err(481),
        };
        let destination = match destination {
            Ok(destination) => destination,
            Err(status) => {
                return self.signal(leg, SignalCommand::RefuseRefer { request, status });
            }
        };
        self.signal(leg, SignalCommand::AcceptRefer { request });
        self.signal(
            leg,
            SignalCommand::NotifyRefer {
                request,
                status: 100,
                last: false,
            },
        );
        let pool = destination.pool.is_some();
        let attempts = self.open_attempts(now, id, destination.callees);
        if let Some(call) = self.calls.get_mut(&id) {
            call.state = CallState::Talking {
                transfer: Some(Transfer {
                    request,
                    side,
                    by: Some(leg),
                    attempts,
                    refusals: Refusals::default(),
                    pool,
                    told_ringing: false,
                }),
            };
        }
        self.timers
            .set(Owner::Call(id), Timer::Ring, now + RING_TIME);
    }

    /// A phone's port is open: our INVITE, with the codec of the party that is given away first.
    pub(in crate::control) fn dial_transfer(&mut self, id: CallId, leg: LegId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Some(transfer) = transfer_of(&call.state) else {
            return;
        };
        let Some(attempt) = transfer.attempts.iter().find(|a| a.leg == leg) else {
            return;
        };
        let given = call.party(transfer.side.other());
        let dialled = Dialled {
            target: attempt.callee.target.clone(),
            caller: given.number.clone(),
            display_name: None,
            max_forwards: MAX_FORWARDS,
        };
        let formats: Vec<Format> = given
            .leg
            .and_then(|leg| self.legs.get(&leg))
            .and_then(|leg| leg.negotiation.chosen.as_ref())
            .map(|chosen| chosen.formats())
            .unwrap_or_default();
        self.dial_leg(leg, dialled, &formats, None);
    }

    pub(in crate::control) fn transfer_signal(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        signal: Signal,
    ) {
        match signal {
            Signal::Progressed { .. } => self.transfer_rings(id),
            Signal::Answered { sdp } => self.transfer_answered(now, id, leg, sdp),
            Signal::Invited(_)
            | Signal::Cancelled
            | Signal::Acknowledged { .. }
            | Signal::NeverAcknowledged
            | Signal::Failed { .. }
            | Signal::Reinvited { .. }
            | Signal::ReinviteAcknowledged { .. }
            | Signal::ReinviteAnswered { .. }
            | Signal::HungUp { .. }
            | Signal::HangUpDone
            | Signal::KeyInfo { .. }
            | Signal::Referred { .. }
            | Signal::Focus(_)
            | Signal::Lost => self.refuse_stray(leg, signal),
        }
    }

    fn transfer_rings(&mut self, id: CallId) {
        let Some(transfer) = self.transfer(id) else {
            return;
        };
        if !transfer.told_ringing {
            transfer.told_ringing = true;
            self.tell_transferor(id, 180, Last::No);
        }
    }

    fn transfer_answered(
        &mut self,
        now: Instant,
        id: CallId,
        winner: LegId,
        sdp: Option<SessionDescription>,
    ) {
        let agreed = sdp.is_some_and(|sdp| self.take_answer(winner, sdp).is_ok());
        if !agreed {
            self.refuse_transfer_attempt(now, id, winner, 488);
            return self.end_leg(now, winner, 488, Some(reason(488, "Not Acceptable Here")));
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let CallState::Talking { transfer } = &mut call.state else {
            return;
        };
        let Some(transfer) = transfer.take() else {
            return;
        };
        let side = transfer.side;
        let former = call.party(side).leg;
        if let Some(attempt) = transfer.attempts.iter().find(|a| a.leg == winner) {
            let agent = attempt.callee.agent.as_ref();
            let same_house =
                agent.is_none_or(|agent| call.organisation.as_ref() == Some(&agent.organisation));
            let party = call.party_mut(side);
            party.agent = agent
                .filter(|_| same_house)
                .map(|agent| agent.extension.clone());
            party.number = match (agent, &attempt.callee.target) {
                (Some(agent), _) => Some(agent.extension.clone()),
                (None, Target::Trunk { number, .. }) => Some(number.clone()),
                (None, Target::Uri(_) | Target::Registered(_)) => None,
            };
        }
        call.kind = match (&call.pupil.agent, transfer.pool) {
            (Some(_), true) => Some(CallKind::Pool),
            (Some(_), false) => Some(CallKind::Direct),
            (None, _) => None,
        };
        call.party_mut(side).leg = None;
        self.timers.clear(Owner::Call(id), Timer::Ring);
        if let Some(former) = former {
            self.unseat(id, former);
        }
        self.seat_leg(id, side, winner);
        for attempt in transfer.attempts.iter().filter(|a| a.leg != winner) {
            let elsewhere = reason(200, "Call completed elsewhere");
            self.end_leg(now, attempt.leg, 480, Some(elsewhere));
        }
        if let Some(former) = former {
            self.signal(
                former,
                SignalCommand::NotifyRefer {
                    request: transfer.request,
                    status: 200,
                    last: true,
                },
            );
            self.end_leg(now, former, 480, Some(reason(200, "Transferred")));
        }
        self.transferred(now, id, side);
    }

    /// Somebody else has the place of the party that transferred.
    pub(in crate::control) fn transferred(&mut self, now: Instant, id: CallId, side: Side) {
        self.record_call(id);
        self.watch(id);
        self.listen(id);
        self.entertain(id);
        self.settle_alone(now, id, side.other());
        for side in [side.other(), side] {
            self.resume(now, id, side);
        }
        self.call_transferred(now, id);
        self.notify_call(id, Notice::CallTransferred);
    }

    /// A phone that the transfer rang is gone.
    pub(in crate::control) fn transfer_leg_gone(
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
        self.refuse_transfer_attempt(now, id, leg, status);
    }

    fn refuse_transfer_attempt(&mut self, now: Instant, id: CallId, leg: LegId, status: u16) {
        let Some(transfer) = self.transfer(id) else {
            return;
        };
        let rung = transfer.attempts.len();
        transfer.attempts.retain(|attempt| attempt.leg != leg);
        if transfer.attempts.len() == rung {
            return;
        }
        transfer.refusals.add(status);
        if transfer.attempts.is_empty() {
            let status = transfer.refusals.status();
            self.fail_transfer(now, id, status);
        }
    }

    /// Nobody took the call: it goes back to what it was. Where the agent has left it ends, unless a
    /// supervisor keeps the customer company.
    pub(in crate::control) fn fail_transfer(&mut self, now: Instant, id: CallId, status: u16) {
        self.tell_transferor(id, status, Last::Yes);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let CallState::Talking { transfer } = &mut call.state else {
            return;
        };
        let Some(transfer) = transfer.take() else {
            return;
        };
        self.timers.clear(Owner::Call(id), Timer::Ring);
        for attempt in transfer.attempts {
            self.end_leg(now, attempt.leg, 480, None);
        }
        let call = self.calls.get(&id);
        let company = call.is_some_and(|call| self.company_stays(call));
        match transfer.by {
            Some(_) => self.entertain(id),
            None if company => {
                self.entertain(id);
                self.keep_company(id);
            }
            None => {
                let cause = reason(status, "Transfer failed");
                self.end_call(now, id, "transfer failed", Some(cause));
            }
        }
    }

    /// A party left while a transfer is under way: the agent's leaving is part of it. Whether the
    /// call has been seen to.
    pub(in crate::control) fn transferor_gone(
        &mut self,
        now: Instant,
        id: CallId,
        side: Side,
    ) -> bool {
        match self.transfer(id) {
            Some(transfer) if transfer.side == side => {
                transfer.by = None;
                self.settle_alone(now, id, side.other());
                self.entertain(id);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The call is being cleared, and the transfer with it.
    pub(in crate::control) fn drop_transfer(&mut self, id: CallId) {
        if self.transfer(id).is_some() {
            self.tell_transferor(id, 487, Last::Yes);
        }
    }

    fn tell_transferor(&mut self, id: CallId, status: u16, last: Last) {
        let Some(transfer) = self.transfer(id) else {
            return;
        };
        let request = transfer.request;
        if let Some(leg) = transfer.by {
            self.signal(
                leg,
                SignalCommand::NotifyRefer {
                    request,
                    status,
                    last: last == Last::Yes,
                },
            );
        }
    }

    fn transfer(&mut self, id: CallId) -> Option<&mut Transfer> {
        match &mut self.calls.get_mut(&id)?.state {
            CallState::Talking { transfer } => transfer.as_mut(),
            CallState::Offered { .. } | CallState::Dialling(_) | CallState::Clearing { .. } => None,
        }
    }
}

/// Whether a notice ends the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

fn transfer_of(state: &CallState) -> Option<&Transfer> {
    match state {
        CallState::Talking { transfer } => transfer.as_ref(),
        CallState::Offered { .. } | CallState::Dialling(_) | CallState::Clearing { .. } => None,
    }
}

/// The number in a Refer-To: the user part, whoever the phone takes for its proxy.
fn number_of(target: &str) -> &str {
    let target = target.trim().trim_start_matches('<').trim_end_matches('>');
    let target = ["sip:", "sips:", "tel:"]
        .iter()
        .find_map(|scheme| {
            let (start, rest) = target.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .unwrap_or(target);
    target.split(['@', ';', '?']).next().unwrap_or(target)
}

#[cfg(test)]
mod tests;
