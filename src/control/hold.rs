//! re-INVITEs of the parties: hold and resume, from one to the other; refreshes and moves, answered
//! here.
//!
//! A change of direction is the other party's business: it is passed on, each side with its own
//! payload numbers, and answered when the other has answered. A refresh, a new address or a codec
//! that can still be relayed or transcoded concerns nobody else. One exchange at a time and leg;
//! what meets another gets 491 (RFC 3261 §14.2).

use std::time::Instant;

use crate::control::call::Side;
use crate::control::leg::{Handshake, LegState};
use crate::control::negotiation::{Exchange, NotAcceptable, Purpose, formats_of};
use crate::control::output::{Notice, SignalCommand};
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, LegId, RequestId};
use crate::wire::sdp::offer::choose;
use crate::wire::sdp::{Audio, Direction, Format, SessionDescription};

impl Switchboard {
    /// Their re-INVITE.
    pub(in crate::control) fn reinvited(
        &mut self,
        now: Instant,
        id: CallId,
        side: Side,
        request: RequestId,
        sdp: Option<SessionDescription>,
    ) {
        let Some(leg) = self.party_leg(id, side) else {
            return;
        };
        if !self
            .legs
            .get(&leg)
            .is_some_and(|leg| leg.negotiation.is_idle())
        {
            return self.refuse_reinvite(leg, request, 491);
        }
        let Some(offer) = sdp else {
            return self.offer_in_answer(leg, request);
        };
        let Some(audio) = offer.audio() else {
            return self.refuse_reinvite(leg, request, 488);
        };
        match self.passage(id, side, leg, &audio) {
            Passage::Local => {
                if self
                    .accept(
                        leg,
                        request,
                        offer,
                        self.other_codec(id, side),
                        Direction::SendRecv,
                    )
                    .is_err()
                {
                    self.refuse_reinvite(leg, request, 488);
                }
                self.entertain(id);
            }
            Passage::Through(other) => self.pass_on(now, leg, other, request, offer, &audio),
            Passage::Alone => {
                let held = self.holds_of(id);
                self.settle(id, side, leg, request, offer, &audio, None);
                self.note_holds(now, id, held);
            }
            Passage::Glare => self.refuse_reinvite(leg, request, 491),
        }
    }

    /// Whose business their offer is.
    fn passage(&self, id: CallId, side: Side, leg: LegId, audio: &Audio) -> Passage {
        let before = self
            .legs
            .get(&leg)
            .and_then(|leg| leg.negotiation.theirs.as_ref())
            .and_then(SessionDescription::audio)
            .map(|audio| audio.direction);
        let other_codec = self.other_codec(id, side);
        let ours = formats_of(&self.settings.codecs);
        let serves = choose(&audio.formats, &ours, other_codec.as_ref()).is_some();
        let same_direction = match before {
            // An answer's direction says what our offer allowed as much as what they want.
            Some(before) => before.receives() == audio.direction.receives(),
            None => audio.direction == Direction::SendRecv,
        };
        if same_direction && serves && self.flows_as_wanted(leg, audio) {
            return Passage::Local;
        }
        let Some(other) = self.party_leg(id, side.other()) else {
            return Passage::Alone;
        };
        match self.legs.get(&other) {
            Some(leg) if leg.state == LegState::Confirmed(Handshake::Complete) => {
                match leg.negotiation.is_idle() {
                    true => Passage::Through(other),
                    false => Passage::Glare,
                }
            }
            Some(leg) if leg.is_confirmed() => Passage::Glare,
            Some(_) | None => Passage::Alone,
        }
    }

    /// Whether what flows already is all that they now ask for.
    fn flows_as_wanted(&self, leg: LegId, audio: &Audio) -> bool {
        self.legs.get(&leg).is_some_and(|leg| {
            let flow = leg.negotiation.flow;
            (!audio.direction.sends() || flow.we_receive() || leg.negotiation.holds)
                && (!audio.direction.receives() || flow.we_send())
        })
    }

    /// Passes their offer on to the other party. One who holds without sending leaves the other to
    /// our music, so that what we offer on is always something to hear. A customer whom supervisors
    /// may hear on hold goes on sending.
    fn pass_on(
        &mut self,
        now: Instant,
        leg: LegId,
        other: LegId,
        request: RequestId,
        offer: SessionDescription,
        audio: &Audio,
    ) {
        let direction = match audio.direction {
            Direction::RecvOnly => Direction::RecvOnly,
            Direction::SendRecv | Direction::SendOnly | Direction::Inactive => {
                let heard = audio.direction.receives() || self.is_heard_on_hold(other);
                Direction::of(true, heard)
            }
        };
        let formats = self.formats_for(other, &audio.formats);
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.negotiation.exchange = Exchange::Theirs { request, offer };
        }
        self.reinvite(now, other, formats, direction, Purpose::Relay(leg));
    }

    /// The other party has answered (or refused) what was passed on: now the one who asked.
    pub(in crate::control) fn settle_relayed(
        &mut self,
        id: CallId,
        side: Side,
        asked: LegId,
        other: LegId,
        taken: bool,
    ) {
        let Some(leg) = self.legs.get_mut(&asked) else {
            return;
        };
        let exchange = std::mem::replace(&mut leg.negotiation.exchange, Exchange::Idle);
        let Exchange::Theirs { request, offer } = exchange else {
            leg.negotiation.exchange = exchange;
            return;
        };
        let Some(audio) = offer.audio() else {
            return self.refuse_reinvite(asked, request, 488);
        };
        // Who refuses to be held is held all the same: by our music instead of a direction.
        let agreed = taken.then(|| self.direction_of(other)).flatten();
        self.settle(id, side, asked, request, offer, &audio, agreed);
    }

    /// Answers the one who asked. `agreed` is what the other party has said it will do.
    #[allow(clippy::too_many_arguments)]
    fn settle(
        &mut self,
        id: CallId,
        side: Side,
        leg: LegId,
        request: RequestId,
        offer: SessionDescription,
        audio: &Audio,
        agreed: Option<Direction>,
    ) {
        let allowed = match agreed {
            // Seen from us, the other party's voice is what we send; a hold is never contradicted.
            Some(theirs) if audio.direction == Direction::SendRecv => theirs,
            Some(_) | None => Direction::SendRecv,
        };
        let codec = self.other_codec(id, side);
        if self.accept(leg, request, offer, codec, allowed).is_err() {
            self.refuse_reinvite(leg, request, 488);
        }
    }

    /// The party that a re-INVITE of this one waits for is gone: it is answered here.
    pub(in crate::control) fn settle_alone(&mut self, now: Instant, id: CallId, side: Side) {
        let Some(leg) = self.party_leg(id, side) else {
            return;
        };
        let Some(negotiation) = self.legs.get_mut(&leg).map(|leg| &mut leg.negotiation) else {
            return;
        };
        let exchange = std::mem::replace(&mut negotiation.exchange, Exchange::Idle);
        let Exchange::Theirs { request, offer } = exchange else {
            negotiation.exchange = exchange;
            return;
        };
        let Some(audio) = offer.audio() else {
            return self.refuse_reinvite(leg, request, 488);
        };
        let held = self.holds_of(id);
        self.settle(id, side, leg, request, offer, &audio, None);
        self.note_holds(now, id, held);
    }

    /// 200 with our answer.
    fn accept(
        &mut self,
        id: LegId,
        request: RequestId,
        offer: SessionDescription,
        other: Option<Format>,
        allowed: Direction,
    ) -> Result<(), NotAcceptable> {
        let codecs = self.settings.codecs.clone();
        let leg = self.legs.get_mut(&id).ok_or(NotAcceptable)?;
        let address = leg.local.ok_or(NotAcceptable)?;
        let sdp = leg
            .negotiation
            .answer(id, address, offer, &codecs, other.as_ref(), allowed)?;
        self.configure(id);
        self.signal(id, SignalCommand::AcceptReinvite { request, sdp });
        Ok(())
    }

    /// A re-INVITE without an offer: our 200 carries one, of all that we would speak.
    fn offer_in_answer(&mut self, id: LegId, request: RequestId) {
        let Some(leg) = self.legs.get(&id) else {
            return;
        };
        let theirs = leg.negotiation.their_formats();
        let formats = self.formats_for(id, &theirs);
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let Some(address) = leg.local else {
            return self.refuse_reinvite(id, request, 488);
        };
        let negotiation = &mut leg.negotiation;
        let sdp = negotiation.make_offer(id, address, formats, Direction::SendRecv, None);
        negotiation.exchange = Exchange::OfferedInAnswer {
            request,
            offer: sdp.clone(),
        };
        self.signal(id, SignalCommand::AcceptReinvite { request, sdp });
    }

    pub(in crate::control) fn refuse_reinvite(
        &mut self,
        leg: LegId,
        request: RequestId,
        status: u16,
    ) {
        self.signal(leg, SignalCommand::RefuseReinvite { request, status });
    }

    /// The one who asked keeps what it had.
    pub(in crate::control) fn withdraw_theirs(&mut self, leg: LegId, status: u16) {
        let Some(negotiation) = self.legs.get_mut(&leg).map(|leg| &mut leg.negotiation) else {
            return;
        };
        if let Exchange::Theirs { request, .. } = negotiation.exchange {
            negotiation.exchange = Exchange::Idle;
            self.refuse_reinvite(leg, request, status);
        }
    }

    /// Tells supervision of holds that began or ended, and sees to the music.
    pub(in crate::control) fn note_holds(&mut self, now: Instant, id: CallId, before: [bool; 2]) {
        let after = self.holds_of(id);
        for (index, side) in [Side::User, Side::Pupil].into_iter().enumerate() {
            if before[index] != after[index] {
                self.party_held(now, id, side);
            }
        }
        if before != after {
            // Who is held has a right to silence; the watchdog begins anew for both.
            self.watch(id);
            self.mix(id);
            self.notify_call(id, Notice::CallChanged);
        }
        self.entertain(id);
    }

    pub(in crate::control) fn holds_of(&self, id: CallId) -> [bool; 2] {
        [Side::User, Side::Pupil].map(|side| {
            self.calls
                .get(&id)
                .is_some_and(|call| self.holds(call, side))
        })
    }

    /// What a leg said last of its direction.
    fn direction_of(&self, leg: LegId) -> Option<Direction> {
        let theirs = self.legs.get(&leg)?.negotiation.theirs.as_ref()?;
        theirs.audio().map(|audio| audio.direction)
    }

    pub(in crate::control) fn party_leg(&self, id: CallId, side: Side) -> Option<LegId> {
        self.calls.get(&id)?.party(side).leg
    }

    fn other_codec(&self, id: CallId, side: Side) -> Option<Format> {
        self.spoken_by(self.party_leg(id, side.other())?)
    }

    pub(in crate::control) fn place_of(&self, leg: LegId) -> Option<(CallId, Side)> {
        self.calls
            .values()
            .filter(|call| call.legs.contains(&leg))
            .find_map(|call| Some((call.id, call.side_of(leg)?)))
    }
}

/// Whose business an offer in a re-INVITE is.
enum Passage {
    /// Nobody's but ours.
    Local,
    /// The other party's too.
    Through(LegId),
    /// It would be the other party's, but there is none to ask.
    Alone,
    /// The other party is in the middle of an exchange of its own.
    Glare,
}

#[cfg(test)]
mod tests;
