//! Silence on a call: a party that waits hears music or ringing of ours, and a call that nobody
//! speaks on for long is ended, unless it is held.

use std::time::{Duration, Instant};

use crate::control::call::{Call, CallState, Side};
use crate::control::leg::{Silence, Waiting};
use crate::control::role::Role;
use crate::control::switchboard::{Switchboard, reason};
use crate::id::{CallId, Language, LegId};
use crate::media::command::{Command, Ducking, Sound};

/// A holder who sends nothing for this long plays no music of their own, and ours begins.
pub const SHORT_SILENCE: Duration = Duration::from_secs(2);

/// The media watchdog.
pub const LONG_SILENCE: Duration = Duration::from_secs(30);

impl Switchboard {
    /// Both parties are watched from the answer on.
    pub(in crate::control) fn watch(&mut self, id: CallId) {
        for side in [Side::User, Side::Pupil] {
            let Some(leg) = self.calls.get(&id).and_then(|call| call.party(side).leg) else {
                continue;
            };
            if let Some(leg) = self.legs.get_mut(&leg) {
                leg.silence = Silence::None;
            }
            self.leg_command(
                leg,
                Command::WatchMedia {
                    leg,
                    after: [Some(SHORT_SILENCE), Some(LONG_SILENCE)],
                },
            );
        }
    }

    pub(in crate::control) fn silence(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        silence: Silence,
    ) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.silence = silence;
        }
        let Some(call) = self.calls.get(&id).filter(|call| call.is_talking()) else {
            return;
        };
        if silence == Silence::Long && self.is_dead(call) {
            let cause = reason(408, "No media");
            return self.end_call(now, id, "media lost", Some(cause));
        }
        self.entertain(id);
    }

    /// Nothing has come from either party for long, and neither holds the other.
    fn is_dead(&self, call: &Call) -> bool {
        [Side::User, Side::Pupil].into_iter().all(|side| {
            call.party(side)
                .leg
                .and_then(|leg| self.legs.get(&leg))
                .is_some_and(|leg| leg.silence == Silence::Long && !leg.negotiation.holds)
        })
    }

    /// Starts and stops what the one who waits hears: our music where the holder sends none, and
    /// ringing while a transfer looks for somebody.
    pub(in crate::control) fn entertain(&mut self, id: CallId) {
        for side in [Side::User, Side::Pupil] {
            let Some(call) = self.calls.get(&id) else {
                return;
            };
            let Some(leg) = call.party(side).leg else {
                continue;
            };
            let wanted = self.waits(call, side);
            let Some(party) = self.legs.get_mut(&leg) else {
                continue;
            };
            if party.waiting == wanted || !party.is_confirmed() {
                continue;
            }
            party.waiting = wanted;
            match wanted {
                Some(_) => self.play_to_party(leg, Vec::new(), Ducking::Leave),
                None => self.leg_command(leg, Command::StopPlay { leg }),
            }
        }
    }

    /// A few sounds for a party, and then whatever they wait to: what is played takes the place of
    /// what was played before.
    pub(in crate::control) fn play_to_party(
        &mut self,
        leg: LegId,
        sounds: Vec<Sound>,
        ducking: Ducking,
    ) {
        let waiting = self.legs.get(&leg).and_then(|leg| leg.waiting);
        let waiting = waiting.map(|waiting| match waiting {
            Waiting::OnHold => Sound::HoldMusic,
            Waiting::ForTransfer => Sound::Ringback,
        });
        let play = self.next_play();
        self.leg_command(
            leg,
            Command::Play {
                leg,
                play,
                sounds: sounds.into_iter().chain(waiting).collect(),
                language: Language::default(),
                ducking,
            },
        );
    }

    fn waits(&self, call: &Call, side: Side) -> Option<Waiting> {
        let CallState::Talking { transfer } = &call.state else {
            return None;
        };
        // A supervisor who speaks to all is company enough, unless a hold parts the two.
        let company = call
            .seats
            .iter()
            .any(|(seat, occupant)| seat.index() > 1 && occupant.role == Role::User);
        let parted = side == Side::User
            && self.holds(call, Side::Pupil)
            && !self.settings.hear_held_customer;
        if company && !parted {
            return None;
        }
        let other = call
            .party(side.other())
            .leg
            .and_then(|leg| self.legs.get(&leg));
        match (other, transfer) {
            (None, Some(_)) => Some(Waiting::ForTransfer),
            (None, None) => None,
            (Some(other), _) => {
                let plays = other.negotiation.flow.we_receive() && other.silence == Silence::None;
                (other.negotiation.holds && !plays).then_some(Waiting::OnHold)
            }
        }
    }
}
