//! re-INVITEs of ours: what one party asked for, brought to the other, and the end of a hold whose
//! holder is gone. Supervision never causes one.

use std::time::{Duration, Instant};

use crate::control::call::Side;
use crate::control::leg::{Departure, Handshake, LegState, Way};
use crate::control::negotiation::{Exchange, NotAcceptable, Purpose, formats_of};
use crate::control::output::SignalCommand;
use crate::control::switchboard::{RELEASE_BACKSTOP, Switchboard};
use crate::control::timers::{Owner, Timer};
use crate::id::{CallId, LegId, RequestId};
use crate::media::command::Flow;
use crate::wire::sdp::offer::formats_to_offer;
use crate::wire::sdp::{Direction, Format, SessionDescription};

/// After 491, the side that owns the Call-ID waits longer than the other (RFC 3261 §14.1).
const RETRY_OF_OWNER: Duration = Duration::from_millis(3_000);
const RETRY_OF_OTHER: Duration = Duration::from_millis(1_000);

impl Switchboard {
    /// A re-INVITE of ours.
    pub(in crate::control) fn reinvite(
        &mut self,
        now: Instant,
        id: LegId,
        formats: Vec<Format>,
        direction: Direction,
        purpose: Purpose,
    ) {
        let request = RequestId(self.ids.next_id());
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let Some(address) = leg.local else {
            return;
        };
        let negotiation = &mut leg.negotiation;
        let ptime_ms = negotiation
            .ours
            .as_ref()
            .and_then(SessionDescription::audio)
            .and_then(|audio| audio.ptime_ms);
        let offer = negotiation.make_offer(id, address, formats, direction, ptime_ms);
        negotiation.exchange = Exchange::Ours {
            request,
            offer: offer.clone(),
            purpose,
        };
        self.timers
            .set(Owner::Leg(id), Timer::Renegotiate, now + RELEASE_BACKSTOP);
        self.signal(
            id,
            SignalCommand::Reinvite {
                request,
                sdp: Some(offer),
            },
        );
    }

    /// Our re-INVITE was answered.
    pub(in crate::control) fn reinvite_answered(
        &mut self,
        now: Instant,
        id: CallId,
        side: Side,
        answered: RequestId,
        result: Result<Option<SessionDescription>, u16>,
    ) {
        let Some(leg) = self.party_leg(id, side) else {
            return;
        };
        let Some(negotiation) = self.legs.get_mut(&leg).map(|leg| &mut leg.negotiation) else {
            return;
        };
        let Exchange::Ours {
            request,
            offer,
            purpose,
        } = &negotiation.exchange
        else {
            return;
        };
        if *request != answered {
            return;
        }
        let (offer, purpose) = (offer.clone(), *purpose);
        negotiation.exchange = Exchange::Idle;
        self.timers.clear(Owner::Leg(leg), Timer::Renegotiate);

        let outcome = match result {
            Ok(Some(answer)) => self.take_reinvite_answer(leg, offer, answer),
            // A 2xx without a description: as if it had refused.
            Ok(None) => Err(488),
            Err(status) => Err(status),
        };
        let held = self.holds_of(id);
        match (purpose, outcome) {
            (_, Err(408 | 481)) => {
                if let Purpose::Relay(asked) = purpose {
                    self.withdraw_theirs(asked, 500);
                }
                return self.leg_gone(now, leg, Departure::Lost);
            }
            (Purpose::Relay(asked), Err(491)) => self.withdraw_theirs(asked, 491),
            (Purpose::Relay(asked), outcome) => {
                self.settle_relayed(id, side.other(), asked, leg, outcome.is_ok());
            }
            (Purpose::Follow, Err(491)) => {
                let delay = match self.legs.get(&leg).map(|leg| leg.way) {
                    Some(Way::Outbound) => RETRY_OF_OWNER,
                    Some(Way::Inbound) | None => RETRY_OF_OTHER,
                };
                self.timers.set(Owner::Leg(leg), Timer::Retry, now + delay);
            }
            // They keep to what was agreed before; there is nothing to undo.
            (Purpose::Follow, Ok(()) | Err(_)) => {}
        }
        self.note_holds(now, id, held);
    }

    pub(in crate::control) fn take_reinvite_answer(
        &mut self,
        leg: LegId,
        offer: SessionDescription,
        answer: SessionDescription,
    ) -> Result<(), u16> {
        let Some(negotiation) = self.legs.get_mut(&leg).map(|leg| &mut leg.negotiation) else {
            return Err(481);
        };
        let before = negotiation.ours.replace(offer);
        match self.take_answer(leg, answer) {
            Ok(()) => Ok(()),
            Err(NotAcceptable) => {
                if let Some(leg) = self.legs.get_mut(&leg) {
                    leg.negotiation.ours = before;
                }
                Err(488)
            }
        }
    }

    /// The ACK brought the answer to our offer: what it changes, the other party follows.
    pub(in crate::control) fn reinvite_acknowledged(
        &mut self,
        now: Instant,
        id: CallId,
        side: Side,
        acknowledged: RequestId,
        sdp: Option<SessionDescription>,
    ) {
        let Some(leg) = self.party_leg(id, side) else {
            return;
        };
        let Some(negotiation) = self.legs.get_mut(&leg).map(|leg| &mut leg.negotiation) else {
            return;
        };
        let Exchange::OfferedInAnswer { request, offer } = &negotiation.exchange else {
            return;
        };
        if *request != acknowledged {
            return;
        }
        let offer = offer.clone();
        negotiation.exchange = Exchange::Idle;
        let held = self.holds_of(id);
        if let Some(answer) = sdp
            && self.take_reinvite_answer(leg, offer, answer).is_ok()
            && self.holds_of(id) != held
        {
            self.follow(now, id, side.other());
            self.note_holds(now, id, held);
        }
    }

    /// Brings a party to what the other one now wants.
    pub(in crate::control) fn follow(&mut self, now: Instant, id: CallId, side: Side) {
        let holder = self.party_leg(id, side.other());
        let held = holder
            .and_then(|leg| self.legs.get(&leg))
            .is_some_and(|leg| leg.negotiation.holds);
        let Some(leg) = self.party_leg(id, side) else {
            return;
        };
        let ready = self.legs.get(&leg).is_some_and(|leg| {
            leg.negotiation.is_idle() && leg.state == LegState::Confirmed(Handshake::Complete)
        });
        if !ready {
            self.timers
                .set(Owner::Leg(leg), Timer::Retry, now + RETRY_OF_OWNER);
            return;
        }
        let theirs = self
            .legs
            .get(&leg)
            .map(|leg| leg.negotiation.their_formats())
            .unwrap_or_default();
        let formats = self.formats_for(leg, &theirs);
        self.reinvite(
            now,
            leg,
            formats,
            Direction::of(true, !held || self.is_heard_on_hold(leg)),
            Purpose::Follow,
        );
    }

    /// Whether this party, when it is held, is still of interest to supervisors: the customer, by
    /// policy. The agent of a call is never held for them.
    pub(in crate::control) fn is_heard_on_hold(&self, leg: LegId) -> bool {
        self.settings.hear_held_customer
            && self
                .place_of(leg)
                .is_some_and(|(_, side)| side == Side::User)
    }

    /// Frees a party from a hold whose holder is gone.
    pub(in crate::control) fn resume(&mut self, now: Instant, id: CallId, side: Side) {
        let held = self
            .party_leg(id, side)
            .and_then(|leg| self.legs.get(&leg))
            .is_some_and(|leg| {
                matches!(leg.negotiation.flow, Flow::SendOnly | Flow::Neither)
                    && !leg.negotiation.holds
            });
        if held {
            self.follow(now, id, side);
        }
    }

    /// Nothing was heard of our re-INVITE, not even that it failed: the dialog is given up.
    pub(in crate::control) fn reinvite_expired(&mut self, now: Instant, leg: LegId) {
        let Some((id, side)) = self.place_of(leg) else {
            return;
        };
        let Some(Exchange::Ours { request, .. }) =
            self.legs.get(&leg).map(|leg| &leg.negotiation.exchange)
        else {
            return;
        };
        let request = *request;
        self.signal(leg, SignalCommand::HangUp { reason: None });
        self.reinvite_answered(now, id, side, request, Err(408));
    }

    /// Another attempt at what met a re-INVITE of theirs.
    pub(in crate::control) fn reinvite_again(&mut self, now: Instant, leg: LegId) {
        if let Some((id, side)) = self.place_of(leg) {
            self.follow(now, id, side);
        }
    }

    /// Our formats for a re-INVITE: what the leg speaks now first, in the numbers that it knows.
    pub(in crate::control) fn formats_for(&self, leg: LegId, theirs: &[Format]) -> Vec<Format> {
        let ours = formats_of(&self.settings.codecs);
        let Some(negotiation) = self.legs.get(&leg).map(|leg| &leg.negotiation) else {
            return formats_to_offer(theirs, &ours);
        };
        let current = negotiation.chosen.as_ref().map(|chosen| &chosen.codec);
        let mut wanted: Vec<Format> = theirs.to_vec();
        wanted.sort_by_key(|format| !current.is_some_and(|codec| codec.same_codec(format)));
        let known = negotiation.their_formats();
        for format in &mut wanted {
            if let Some(known) = known.iter().find(|known| known.same_codec(format)) {
                format.payload_type = known.payload_type;
            }
        }
        formats_to_offer(&wanted, &ours)
    }
}
