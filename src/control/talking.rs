//! What reaches a call, by the state it is in; and the conversation itself: who sits down, and who
//! leaves.

use std::sync::Arc;
use std::time::Instant;

use crate::control::call::{CallState, Occupant, Side};
use crate::control::input::Signal;
use crate::control::leg::{Departure, Silence};
use crate::control::output::Notice;
use crate::control::supervisor::AfterLeaving;
use crate::control::switchboard::{Switchboard, reason};
use crate::control::timers::Timer;
use crate::control::waiting::LONG_SILENCE;
use crate::id::{CallId, LegId};
use crate::media::command::{Command, Event, InBand, KeyListening, KeyPassage};
use crate::media::dtmf::DigitSource;

impl Switchboard {
    pub(in crate::control) fn call_signal(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        signal: Signal,
    ) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        match (&call.state, call.side_of(leg)) {
            (CallState::Talking { .. }, Some(side)) => {
                self.talking_signal(now, id, side, leg, signal);
            }
            // The phone that a transfer rings.
            (CallState::Talking { transfer: Some(_) }, None) => {
                self.transfer_signal(now, id, leg, signal);
            }
            (CallState::Dialling(_), None) => self.dialling_signal(now, id, leg, signal),
            // The caller has nothing to say before the answer; whoever is being sent away neither.
            (CallState::Offered { .. } | CallState::Dialling(_), Some(_))
            | (CallState::Offered { .. } | CallState::Talking { transfer: None }, None)
            | (CallState::Clearing { .. }, _) => self.refuse_stray(leg, signal),
        }
    }

    pub(in crate::control) fn call_media(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        event: Event,
    ) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        match event {
            Event::Opened { .. } => match (&call.state, call.side_of(leg)) {
                (CallState::Offered { .. }, Some(_)) => self.start_dialling(now, id),
                (CallState::Dialling(_), None) => self.dial_attempt(id, leg),
                (CallState::Talking { transfer: Some(_) }, None) => self.dial_transfer(id, leg),
                (
                    CallState::Offered { .. }
                    | CallState::Dialling(_)
                    | CallState::Talking { .. }
                    | CallState::Clearing { .. },
                    _,
                ) => {}
            },
            Event::OpenFailed { .. } => match (&call.state, call.side_of(leg)) {
                (CallState::Offered { .. }, Some(_)) => {
                    self.clear(now, id, "no port", 503, None);
                }
                (CallState::Dialling(_) | CallState::Talking { .. }, None) => {
                    self.leg_gone(now, leg, unopened());
                }
                (
                    CallState::Offered { .. }
                    | CallState::Dialling(_)
                    | CallState::Talking { .. }
                    | CallState::Clearing { .. },
                    _,
                ) => {}
            },
            Event::MediaSilent { lasting, .. } => {
                let silence = match lasting >= LONG_SILENCE {
                    true => Silence::Long,
                    false => Silence::Short,
                };
                self.silence(now, id, leg, silence);
            }
            Event::MediaHeard { .. } => self.silence(now, id, leg, Silence::None),
            Event::DigitPressed { digit, source, .. } => {
                self.party_key(now, id, leg, digit, source);
            }
            // A party is always admitted; a shard that lost its leg has lost the call.
            Event::SeatRefused { .. } => self.clear(now, id, "media lost", 503, None),
            Event::Attached { .. } => self.party_attached(now, id, leg),
            Event::Seated { .. }
            | Event::VoiceOpened { .. }
            | Event::PlayEnded { .. }
            | Event::Detached { .. }
            | Event::Closed { .. }
            | Event::Convened { .. }
            | Event::ConveneRefused { .. }
            | Event::MatrixInForce { .. }
            | Event::FenceViolated { .. } => {}
        }
    }

    pub(in crate::control) fn call_timeout(&mut self, now: Instant, id: CallId, timer: Timer) {
        match (timer, self.calls.get(&id).map(|call| &call.state)) {
            (Timer::Ring, Some(CallState::Dialling(_))) => self.rung_out(now, id),
            (Timer::Ring, Some(CallState::Talking { transfer: Some(_) })) => {
                self.fail_transfer(now, id, 408);
            }
            (Timer::HeldKeys, Some(CallState::Talking { .. })) => self.held_keys_due(now, id),
            (Timer::NextKey, Some(CallState::Talking { .. })) => self.next_key(now, id),
            (
                Timer::Ring
                | Timer::HeldKeys
                | Timer::NextKey
                | Timer::Release
                | Timer::Setup
                | Timer::Retry
                | Timer::Renegotiate
                | Timer::Supervisor(_),
                _,
            ) => {}
        }
    }

    fn talking_signal(&mut self, now: Instant, id: CallId, side: Side, leg: LegId, signal: Signal) {
        match signal {
            Signal::Acknowledged { sdp: Some(answer) } => {
                if self.take_answer(leg, answer).is_err() {
                    let cause = reason(488, "Not Acceptable Here");
                    self.end_call(now, id, "not acceptable", Some(cause));
                }
            }
            Signal::Acknowledged { sdp: None } => self.acknowledged_bare(now, id, leg),
            Signal::NeverAcknowledged => {
                self.end_call(now, id, "never acknowledged", Some(reason(408, "No ACK")));
            }
            Signal::Reinvited { request, sdp } => self.reinvited(now, id, side, request, sdp),
            Signal::ReinviteAcknowledged { request, sdp } => {
                self.reinvite_acknowledged(now, id, side, request, sdp);
            }
            Signal::ReinviteAnswered { request, result } => {
                self.reinvite_answered(now, id, side, request, result);
            }
            Signal::KeyInfo { digit } => self.party_key(now, id, leg, digit, DigitSource::Info),
            Signal::Referred {
                request,
                target,
                consulted,
            } => match consulted {
                None => self.referred(now, id, side, request, &target),
                Some(consulted) => self.referred_to_consulted(now, id, side, request, consulted),
            },
            // Settled by the leg, or told by its departure.
            Signal::Invited(_)
            | Signal::Cancelled
            | Signal::Progressed { .. }
            | Signal::Answered { .. }
            | Signal::Failed { .. }
            | Signal::HungUp { .. }
            | Signal::HangUpDone
            | Signal::Focus(_)
            | Signal::Lost => {}
        }
    }

    /// An ACK without an answer, to a 200 that carried our offer: nobody knows where to send.
    fn acknowledged_bare(&mut self, now: Instant, id: CallId, leg: LegId) {
        let unanswered = self
            .legs
            .get(&leg)
            .is_some_and(|leg| leg.negotiation.chosen.is_none());
        if unanswered {
            let cause = reason(488, "No answer in ACK");
            self.end_call(now, id, "not acceptable", Some(cause));
        }
    }

    /// A leg of the call is released.
    pub(in crate::control) fn call_leg_gone(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        how: Departure,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.legs.remove(&leg);
        match (&call.state, call.side_of(leg)) {
            (CallState::Offered { .. } | CallState::Dialling(_), Some(_)) => {
                self.unseat(id, leg);
                self.clear(now, id, abandoned(&how), 487, None);
            }
            (CallState::Dialling(_), None) => self.dialling_gone(now, id, leg, how),
            (CallState::Talking { .. }, Some(side)) => self.party_gone(now, id, side, leg, how),
            (CallState::Talking { transfer: Some(_) }, None) => {
                self.transfer_leg_gone(now, id, leg, how);
            }
            (CallState::Offered { .. } | CallState::Talking { transfer: None }, None) => {
                self.unseat(id, leg);
            }
            (CallState::Clearing { .. }, side) => {
                self.unseat(id, leg);
                if let Some(side) = side {
                    self.empty(id, side);
                    // Whether the call goes on is settled already.
                    let _ = self.party_left(now, id, side, how);
                }
            }
        }
        self.finish(now, id);
    }

    /// A party hung up, or is lost: the other follows, unless somebody keeps them company.
    fn party_gone(&mut self, now: Instant, id: CallId, side: Side, leg: LegId, how: Departure) {
        let waited = self.holder_gone(id, side);
        self.unseat(id, leg);
        self.empty(id, side);
        if self.transferor_gone(now, id, side) {
            return;
        }
        let passed = match &how {
            Departure::HungUp(Some(text)) => passed_on(text),
            Departure::HungUp(None) | Departure::Cancelled | Departure::Released => None,
            Departure::Failed { .. } => None,
            Departure::Lost => Some(reason(408, "The other end was lost")),
        };
        let cause = match (&how, side) {
            (Departure::Lost, _) => "lost",
            (Departure::HungUp(_) | Departure::Cancelled, Side::User) => "user hung up",
            (Departure::HungUp(_) | Departure::Cancelled, Side::Pupil) => "pupil hung up",
            (Departure::Released | Departure::Failed { .. }, _) => "released",
        };
        let after = self.party_left(now, id, side, how);
        let other = self
            .calls
            .get(&id)
            .filter(|call| call.is_talking())
            .and_then(|call| call.party(side.other()).leg);
        match (after, other) {
            (AfterLeaving::Stays, Some(_)) => {
                self.settle_alone(now, id, side.other());
                if waited {
                    self.resume(now, id, side.other());
                }
                self.entertain(id);
                self.notify_call(id, Notice::CallChanged);
            }
            (AfterLeaving::Ends, _) | (AfterLeaving::Stays, None) => {
                self.clear(now, id, cause, 480, passed);
            }
        }
    }

    /// Whether this party leaves the other one on hold.
    fn holder_gone(&self, id: CallId, side: Side) -> bool {
        let Some(call) = self.calls.get(&id) else {
            return false;
        };
        let other = call.party(side.other()).leg;
        other
            .and_then(|leg| self.legs.get(&leg))
            .is_some_and(|leg| !leg.negotiation.flow.we_receive())
    }

    // Seats.

    /// The party takes its own seat.
    pub(in crate::control) fn seat(&mut self, id: CallId, side: Side) {
        if let Some(leg) = self.calls.get(&id).and_then(|call| call.party(side).leg) {
            self.seat_leg(id, side, leg);
        }
    }

    /// A leg becomes this party, and takes its seat.
    pub(in crate::control) fn seat_leg(&mut self, id: CallId, side: Side, leg: LegId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let (seat, role) = (side.seat(), side.role());
        if call.seats.get(&seat) == Some(&Occupant { leg, role }) {
            return;
        }
        call.seats.insert(seat, Occupant { leg, role });
        if call.is_talking() || call.caller == side {
            call.party_mut(side).leg = Some(leg);
        }
        let (shard, bridge) = (call.shard, call.bridge);
        self.media(shard, Command::Seat { bridge, leg, seat });
        self.mix(id);
    }

    /// The leg leaves its seat, if it has one.
    pub(in crate::control) fn unseat(&mut self, id: CallId, leg: LegId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let seat = call
            .seats
            .iter()
            .find(|(_, occupant)| occupant.leg == leg)
            .map(|(seat, _)| *seat);
        if let Some(seat) = seat {
            call.seats.remove(&seat);
            let shard = call.shard;
            self.media(shard, Command::Unseat { leg });
            self.mix(id);
        }
    }

    fn empty(&mut self, id: CallId, side: Side) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.party_mut(side).leg = None;
        }
    }

    // Silence and music.

    /// An agent's keys come to us first where they may ask for help with them;
    /// what is no request goes on to the other party.
    pub(in crate::control) fn listen(&mut self, id: CallId) {
        self.forget_keys(id);
        let Some(leg) = self
            .calls
            .get(&id)
            .filter(|call| self.has_help_keys(call))
            .and_then(|call| call.pupil.leg)
        else {
            return;
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.party_keys.by_command = Some(leg);
        }
        let keys = KeyListening {
            in_band: self.in_band(InBand::Menu),
            events: KeyPassage::ByCommand,
        };
        self.leg_command(leg, Command::ListenForKeys { leg, keys });
    }
}

/// A phone for which there was no port.
fn unopened() -> Departure {
    Departure::Failed {
        status: 503,
        reason: "no port".into(),
    }
}

fn abandoned(how: &Departure) -> &'static str {
    match how {
        Departure::HungUp(_) | Departure::Cancelled => "abandoned",
        Departure::Lost => "lost",
        Departure::Failed { .. } | Departure::Released => "released",
    }
}

/// Their Reason header as one of ours: `Q.850;cause=16;text="Normal call clearing"`.
fn passed_on(header: &Arc<str>) -> Option<crate::control::output::Reason> {
    let mut parts = header.split(';').map(str::trim);
    let protocol = parts.next()?;
    let protocol = ["SIP", "Q.850"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(protocol))?;
    let (mut cause, mut text) = (None, "");
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        match name.trim() {
            "cause" => cause = value.trim().parse().ok(),
            "text" => text = value.trim().trim_matches('"'),
            _ => {}
        }
    }
    Some(crate::control::output::Reason {
        protocol,
        cause: cause?,
        text: text.into(),
    })
}

#[cfg(test)]
mod tests;
