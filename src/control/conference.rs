//! The conference of a supervised call: made for the first supervisor, gone with the last, and a
//! place in it for each.

use std::time::Instant;

use crate::control::call::{Conference, ConferenceState, Member};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::supervisor::Step;
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, LegId};
use crate::media::command::Command;
use crate::media::matrix::Seat;

impl Switchboard {
    /// A place beside the parties, in a conference that stands or is asked for now.
    pub(in crate::control) fn reserve_seat(
        &mut self,
        id: CallId,
        leg: Option<LegId>,
    ) -> Result<Place, ErrorCode> {
        let conferences = self
            .calls
            .values()
            .filter(|call| call.conference.is_some())
            .count();
        let limit = self.settings.max_conferences;
        let call = self.calls.get_mut(&id).ok_or(ErrorCode::PupilGone)?;
        let in_conference = matches!(
            &call.conference,
            Some(conference) if conference.state == ConferenceState::Standing
        );
        let Some(seat) = call.free_seat() else {
            return Err(failure(in_conference));
        };
        let member = Member {
            leg,
            supervision: Supervision::Monitoring,
        };
        match &mut call.conference {
            Some(conference) => {
                conference.members.insert(seat, member);
            }
            None if limit > 0 && conferences >= limit => {
                return Err(ErrorCode::ConferenceFailed);
            }
            None => {
                call.conference = Some(Conference {
                    state: ConferenceState::Convening,
                    members: [(seat, member)].into(),
                });
                let (shard, bridge) = (call.shard, call.bridge);
                self.media(shard, Command::Convene { bridge });
            }
        }
        Ok(Place {
            seat,
            in_conference,
        })
    }

    /// Out of the seat as far as it was taken, and out of the conference.
    pub(in crate::control) fn leave_seat(
        &mut self,
        leg: LegId,
        call: CallId,
        seat: Seat,
        step: Step,
    ) {
        let Some(known) = self.calls.get_mut(&call) else {
            return;
        };
        let mixed = known.seats.remove(&seat).is_some();
        if mixed {
            self.mix(call);
            self.entertain(call);
        }
        match step {
            Step::Seating | Step::Mixing(_) => self.leg_command(leg, Command::Unseat { leg }),
            Step::Convening | Step::Moving => {}
        }
        self.give_up_place(call, seat);
    }

    /// The conference goes with its last member, and the call is a plain bridge again.
    pub(in crate::control) fn give_up_place(&mut self, call: CallId, seat: Seat) {
        let Some(call) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(conference) = &mut call.conference else {
            return;
        };
        conference.members.remove(&seat);
        if conference.members.is_empty() {
            call.conference = None;
            let (shard, bridge) = (call.shard, call.bridge);
            self.media(shard, Command::Dissolve { bridge });
        }
    }

    /// The shard made the conference.
    pub(in crate::control) fn convened(&mut self, now: Instant, call: CallId) {
        let Some(conference) = self
            .calls
            .get_mut(&call)
            .and_then(|call| call.conference.as_mut())
        else {
            return;
        };
        conference.state = ConferenceState::Standing;
        for member in self.members(call) {
            if let Some(leg) = member.leg {
                self.conference_stands(leg);
            }
        }
        self.reserved_conference_stands(now, call);
    }

    /// The shard did not make it: whoever waited hears 9011.
    pub(in crate::control) fn not_convened(&mut self, now: Instant, call: CallId) {
        let members = self.members(call);
        let Some(known) = self.calls.get_mut(&call) else {
            return;
        };
        let convening = matches!(&known.conference, Some(conference)
            if conference.state == ConferenceState::Convening);
        if !convening {
            return;
        }
        known.conference = None;
        for member in members {
            if let Some(leg) = member.leg {
                self.fail_join(now, leg, ErrorCode::ConferenceFailed);
            }
        }
        self.reserved_conference_failed(now, call);
    }

    pub(in crate::control) fn members(&self, call: CallId) -> Vec<Member> {
        self.calls
            .get(&call)
            .and_then(|call| call.conference.as_ref())
            .map(|conference| conference.members.values().copied().collect())
            .unwrap_or_default()
    }
}

/// A seat, and whether a conference stood before it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub seat: Seat,
    pub in_conference: bool,
}

/// The code of a supervisor who could not be made a member.
pub fn failure(in_conference: bool) -> ErrorCode {
    match in_conference {
        true => ErrorCode::CoachNotAdded,
        false => ErrorCode::CoachNotJoined,
    }
}
