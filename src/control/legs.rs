//! What calls and supervisors do to legs alike: open a port, dial, answer, end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::input::Network;
use crate::control::leg::{Departure, Handshake, Leg, LegOwner, LegState, Release, Silence, Way};
use crate::control::negotiation::{NotAcceptable, formats_of};
use crate::control::output::{Dial, Reason, SignalCommand, Target};
use crate::control::switchboard::{RELEASE_BACKSTOP, Switchboard};
use crate::control::timers::{Owner, Timer};
use crate::id::{LegId, ShardId};
use crate::media::command::{Command, Event};
use crate::wire::sdp::offer;
use crate::wire::sdp::{Direction, Format, SessionDescription};

/// A port is bound at once or not at all; a shard that says neither is not there.
const SETUP_BACKSTOP: Duration = Duration::from_secs(5);

impl Switchboard {
    /// Takes a leg in and asks for a port; `Opened` or `OpenFailed` comes to its owner.
    pub(in crate::control) fn admit(
        &mut self,
        now: Instant,
        id: LegId,
        owner: LegOwner,
        way: Way,
        shard: ShardId,
        network: Network,
    ) {
        self.legs.insert(
            id,
            Leg {
                id,
                owner,
                way,
                state: LegState::Trying,
                shard,
                network,
                trunk: None,
                local: None,
                negotiation: Box::default(),
                silence: Silence::default(),
                waiting: None,
                is_focus: false,
            },
        );
        self.load.add(shard);
        self.timers
            .set(Owner::Leg(id), Timer::Setup, now + SETUP_BACKSTOP);
        self.media(shard, Command::Open { leg: id });
    }

    /// Ends a leg, whatever it is doing: an INVITE of theirs is refused with `status`, one of ours
    /// cancelled, a dialog hung up. The owner hears of the end in `call_leg_gone` or
    /// `supervisor_gone`: at once where nothing remains to be waited for.
    pub(in crate::control) fn end_leg(
        &mut self,
        now: Instant,
        id: LegId,
        status: u16,
        reason: Option<Reason>,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let (next, command) = match (leg.state, leg.way) {
            (LegState::Trying | LegState::Early, Way::Inbound) => {
                (LegState::Released, SignalCommand::Reject { status, reason })
            }
            // The INVITE is not out: its port is still being opened.
            (LegState::Trying, Way::Outbound) if leg.negotiation.ours.is_none() => {
                leg.state = LegState::Released;
                return self.leg_gone(now, id, Departure::Released);
            }
            (LegState::Trying | LegState::Early, Way::Outbound) => (
                LegState::Releasing(Release::Cancelling),
                SignalCommand::Cancel { reason },
            ),
            (LegState::Confirmed(Handshake::Answered | Handshake::Complete), _) => (
                LegState::Releasing(Release::HangingUp),
                SignalCommand::HangUp { reason },
            ),
            (LegState::Releasing(_) | LegState::Released, _) => return,
        };
        leg.state = next;
        self.signal(id, command);
        match next {
            LegState::Released => self.leg_gone(now, id, Departure::Released),
            _ => self
                .timers
                .set(Owner::Leg(id), Timer::Release, now + RELEASE_BACKSTOP),
        }
    }

    /// 180 to an INVITE of theirs.
    pub(in crate::control) fn ring_leg(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id)
            && matches!(leg.state, LegState::Trying | LegState::Early)
        {
            leg.state = LegState::Early;
            self.signal(id, SignalCommand::Ring);
        }
    }

    /// Sends our INVITE on a leg whose port is open. `other` are the formats of the leg that it is
    /// going to be joined with: none for a supervisor's phone.
    pub(in crate::control) fn dial_leg(
        &mut self,
        id: LegId,
        dialled: Dialled,
        other: &[Format],
        ptime_ms: Option<u16>,
    ) {
        let formats = offer::formats_to_offer(other, &formats_of(&self.settings.codecs));
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let Some(address) = leg.local else {
            return;
        };
        let negotiation = &mut leg.negotiation;
        let sdp = negotiation.make_offer(id, address, formats, Direction::SendRecv, ptime_ms);
        negotiation.offered(sdp.clone());
        self.signal(
            id,
            SignalCommand::Dial(Box::new(Dial {
                target: dialled.target,
                caller: dialled.caller,
                display_name: dialled.display_name,
                sdp: Some(sdp),
                max_forwards: dialled.max_forwards,
            })),
        );
    }

    /// The answer to our INVITE (or to our offer in a 200 or a re-INVITE): configures the media.
    pub(in crate::control) fn take_answer(
        &mut self,
        id: LegId,
        answer: SessionDescription,
    ) -> Result<(), NotAcceptable> {
        let leg = self.legs.get_mut(&id).ok_or(NotAcceptable)?;
        leg.negotiation.take_answer(answer)?;
        self.configure(id);
        Ok(())
    }

    /// Makes the answer to the offer of their INVITE, and configures the media; sends nothing.
    /// `other` is what the leg speaks that it is joined with. Without an offer of theirs there is
    /// one of ours instead, whose answer the ACK brings (`take_answer`).
    pub(in crate::control) fn describe_answer(
        &mut self,
        id: LegId,
        offer: Option<SessionDescription>,
        other: Option<&Format>,
    ) -> Result<SessionDescription, NotAcceptable> {
        let codecs = self.settings.codecs.clone();
        let leg = self.legs.get_mut(&id).ok_or(NotAcceptable)?;
        let address = leg.local.ok_or(NotAcceptable)?;
        let sdp = match offer {
            Some(offer) => {
                leg.negotiation
                    .answer(id, address, offer, &codecs, other, Direction::SendRecv)?
            }
            None => {
                let other: Vec<Format> = other.cloned().into_iter().collect();
                let formats = offer::formats_to_offer(&other, &formats_of(&codecs));
                let direction = Direction::SendRecv;
                let sdp = leg
                    .negotiation
                    .make_offer(id, address, formats, direction, None);
                leg.negotiation.offered(sdp.clone());
                sdp
            }
        };
        self.configure(id);
        Ok(sdp)
    }

    /// 200 to an INVITE of theirs.
    pub(in crate::control) fn answer_leg(&mut self, id: LegId, sdp: SessionDescription) {
        if let Some(leg) = self.legs.get_mut(&id)
            && matches!(leg.state, LegState::Trying | LegState::Early)
        {
            leg.state = LegState::Confirmed(Handshake::Answered);
            self.signal(id, SignalCommand::Answer { sdp });
        }
    }

    /// Tells the shard what was negotiated.
    pub(in crate::control) fn configure(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get(&id)
            && let Some(media) = leg.negotiation.media()
        {
            let shard = leg.shard;
            self.media(shard, Command::Configure { leg: id, media });
        }
    }

    pub(in crate::control) fn leg_timeout(&mut self, now: Instant, id: LegId, timer: Timer) {
        match timer {
            Timer::Release => self.leg_gone(now, id, Departure::Released),
            Timer::Setup => {
                if self.legs.get(&id).is_some_and(|leg| leg.local.is_none()) {
                    self.leg_media(now, id, Event::OpenFailed { leg: id });
                }
            }
            Timer::Renegotiate => self.reinvite_expired(now, id),
            Timer::Retry => self.reinvite_again(now, id),
            Timer::Ring | Timer::HeldKeys | Timer::NextKey | Timer::Supervisor(_) => {}
        }
    }
}

/// Who is dialled, and as whom.
#[derive(Clone, Debug)]
pub struct Dialled {
    pub target: Target,
    pub caller: Option<Arc<str>>,
    pub display_name: Option<Arc<str>>,
    pub max_forwards: u8,
}

/// For calls that begin here (RFC 3261 §8.1.1.6).
pub const MAX_FORWARDS: u8 = 70;
