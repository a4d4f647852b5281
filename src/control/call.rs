//! One conversation: its two parties, where its audio lives, and who sits beside them.
//!
//! ```text
//! Offered ──▶ Dialling ──▶ Talking ──▶ Clearing ──▶ over
//!    └───────────┴──────────────┴─────────▲
//! ```
//!
//! A call is a plain bridge until somebody supervises it; then it has a [`Conference`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::control::input::{Invitation, Network};
use crate::control::leg::Leg;
use crate::control::party_keys::PartyKeys;
use crate::control::policy::CallKind;
use crate::control::record::Direction;
use crate::control::role::{Role, Supervision};
use crate::control::route::{Callee, Destination};
use crate::control::routing::SeatState;
use crate::control::transfer::Transfer;
use crate::id::{BridgeId, CallId, Generation, LegId, ShardId};
use crate::media::matrix::{MAX_SEATS, Seat};

#[derive(Debug)]
pub struct Call {
    pub id: CallId,
    pub bridge: BridgeId,
    /// Where the bridge is, and every leg in it.
    pub shard: ShardId,
    pub state: CallState,
    /// Which switch of `supervisable` it falls under; `None`: no agent takes part, a plain relay.
    pub kind: Option<CallKind>,
    pub organisation: Option<Arc<str>>,
    pub pool: Option<Arc<str>>,
    pub direction: Direction,
    /// As signalled: who called, and what was dialled.
    pub from: Arc<str>,
    pub to: Arc<str>,
    /// Which of the parties called the other.
    pub caller: Side,
    pub user: Party,
    pub pupil: Party,
    /// Every leg of this call that is not released: parties, phones that ring, and whoever is
    /// being sent away. Supervisors are not among them.
    pub legs: BTreeSet<LegId>,
    pub started_at: Instant,
    /// When the later of the two answered.
    pub answered_at: Option<Instant>,
    /// The generation of the matrix last asked for, and the one that is in force.
    pub generation: Generation,
    pub in_force: Option<Generation>,
    /// Who sits where. Parties in the first two seats.
    pub seats: BTreeMap<Seat, Occupant>,
    /// While supervised.
    pub conference: Option<Conference>,
    /// A help request waits unaccepted.
    pub help_wanted: bool,
    /// Keys of the parties that pass through control.
    pub party_keys: PartyKeys,
}

/// The two ends of a conversation. In a call with an agent the agent is the Pupil and the other end
/// the User, whoever called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    User,
    Pupil,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Side::User => Side::Pupil,
            Side::Pupil => Side::User,
        }
    }

    pub fn seat(self) -> Seat {
        match self {
            Side::User => Seat::USER,
            Side::Pupil => Seat::PUPIL,
        }
    }

    pub fn role(self) -> Role {
        match self {
            Side::User => Role::User,
            Side::Pupil => Role::Pupil,
        }
    }
}

/// One end of the conversation.
#[derive(Clone, Debug, Default)]
pub struct Party {
    /// The leg that talks, or has talked last; a callee has none while several phones ring.
    pub leg: Option<LegId>,
    /// The extension, where it is an agent of the call's organisation.
    pub agent: Option<Arc<str>>,
    /// The number of this party, as signalled; `None` when hidden.
    pub number: Option<Arc<str>>,
}

#[derive(Debug)]
pub enum CallState {
    /// The caller's port is being opened.
    Offered {
        invitation: Box<Invitation>,
        destination: Destination,
    },
    /// Phones ring.
    Dialling(Dialling),
    Talking {
        transfer: Option<Transfer>,
    },
    /// One party is gone, or both are being sent away.
    Clearing {
        cause: Arc<str>,
    },
}

impl CallState {
    /// For the log and the golden table.
    pub fn name(&self) -> &'static str {
        match self {
            CallState::Offered { .. } => "Offered",
            CallState::Dialling(_) => "Dialling",
            CallState::Talking { transfer: None } => "Talking",
            CallState::Talking { transfer: Some(_) } => "Transferring",
            CallState::Clearing { .. } => "Clearing",
        }
    }
}

/// Every phone that an INVITE was sent to for this call, while nobody has answered.
#[derive(Debug)]
pub struct Dialling {
    pub attempts: Vec<Attempt>,
    pub invitation: Box<Invitation>,
    /// What the caller was told so far.
    pub told: Told,
    pub refusals: Refusals,
}

/// What the phones that were rung said, to be told as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals(Vec<u16>);

impl Refusals {
    /// Bounded by the phones that one call rings.
    pub fn add(&mut self, status: u16) {
        self.0.push(status);
    }

    /// One status for all: a busy phone says more than one that is switched off.
    pub fn status(&self) -> u16 {
        let said = |wanted: &[u16]| {
            self.0
                .iter()
                .copied()
                .find(|status| wanted.contains(status))
        };
        let status = said(&[486, 600])
            .or_else(|| said(&[603]))
            .or_else(|| said(&[488, 606]))
            .or_else(|| self.0.iter().copied().min())
            .unwrap_or(480);
        match status {
            // A redirection is not followed, a challenge not met, a dialog not found: none of the
            // caller's business.
            300..=399 | 481 | 487 => 480,
            401 | 407 => 503,
            400..=699 => status,
            _ => 500,
        }
    }
}

/// A phone that is being rung.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub leg: LegId,
    pub callee: Callee,
}

/// What the caller heard of the progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    Nothing,
    Ringing,
    /// Media flows before the answer.
    EarlyMedia,
}

/// A leg in a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupant {
    pub leg: LegId,
    pub role: Role,
}

/// The supervised call. Made by `Convene`, gone with the last supervisor.
#[derive(Debug)]
pub struct Conference {
    pub state: ConferenceState,
    /// Supervisors by seat, from the moment they are asked in until they are out.
    pub members: BTreeMap<Seat, Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConferenceState {
    /// The shard was asked and has not answered.
    Convening,
    Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The supervisor's leg; `None` while it is only reserved.
    pub leg: Option<LegId>,
    pub supervision: Supervision,
}

impl Call {
    pub fn party(&self, side: Side) -> &Party {
        match side {
            Side::User => &self.user,
            Side::Pupil => &self.pupil,
        }
    }

    pub fn party_mut(&mut self, side: Side) -> &mut Party {
        match side {
            Side::User => &mut self.user,
            Side::Pupil => &mut self.pupil,
        }
    }

    /// Which party this leg is; `None` for a phone that rings, or one that is being replaced.
    pub fn side_of(&self, leg: LegId) -> Option<Side> {
        [Side::User, Side::Pupil]
            .into_iter()
            .find(|side| self.party(*side).leg == Some(leg))
    }

    pub fn is_talking(&self) -> bool {
        matches!(self.state, CallState::Talking { .. })
    }

    /// A seat beside the parties that nobody has or has reserved.
    pub fn free_seat(&self) -> Option<Seat> {
        let reserved = |seat: &Seat| {
            self.conference
                .as_ref()
                .is_some_and(|conference| conference.members.contains_key(seat))
        };
        (2..MAX_SEATS)
            .filter_map(Seat::new)
            .find(|seat| !self.seats.contains_key(seat) && !reserved(seat))
    }

    /// The seats as the mix sees them; `held` are those that a hold parts from supervisors.
    pub fn seat_states(&self, held: &[Side]) -> Vec<SeatState> {
        self.seats
            .iter()
            .map(
                |(seat, occupant)| match held.iter().any(|side| side.seat() == *seat) {
                    true => SeatState::held(*seat, occupant.role),
                    false => SeatState::present(*seat, occupant.role),
                },
            )
            .collect()
    }
}

/// Whether a party's leg is answered and not terminated.
pub fn on_call(leg: Option<&Leg>) -> bool {
    leg.is_some_and(Leg::is_connected)
}

/// Whether a leg's other end is on-net.
pub fn on_net(leg: Option<&Leg>) -> bool {
    leg.is_some_and(|leg| leg.network == Network::Internal)
}

#[cfg(test)]
mod tests;
