//! One dialog as call control sees it, whoever is on the other end of it.
//!
//! ```text
//!            18x             2xx                BYE                answered
//! Trying ─────────▶ Early ─────────▶ Confirmed ─────▶ Releasing ──────────▶ Released
//!    │                │                  │           ▲                        ▲
//!    └────────────────┴── CANCEL ────────┼───────────┘                        │
//!    └────────────────┴── final refusal ─┴── theirs: BYE, CANCEL, lost ───────┘
//! ```
//!
//! The leg follows every signal first; then its owner, a call or a supervisor, hears of it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::control::input::{Network, Signal};
use crate::control::negotiation::Negotiation;
use crate::id::{CallId, LegId, ShardId};

/// A dialog, and what was negotiated in it.
#[derive(Debug)]
pub struct Leg {
    pub id: LegId,
    pub owner: LegOwner,
    pub way: Way,
    pub state: LegState,
    /// Where its media lives. Changes with `Output::Move` alone.
    pub shard: ShardId,
    /// The other end of this leg counts as on the internal network.
    pub network: Network,
    /// The trunk that it came by, where the other end called us.
    pub trunk: Option<Arc<str>>,
    /// Our RTP address, once the shard has opened a port.
    pub local: Option<SocketAddr>,
    /// Boxed, for it is most of a leg, and the nodes of a tree of legs are half empty.
    pub negotiation: Box<Negotiation>,
    /// Which of the two silences of the watchdog it is in.
    pub silence: Silence,
    /// What we play to it while it waits for the other party.
    pub waiting: Option<Waiting>,
    /// The other end hosts a conference of its own: who hears whom there is not ours to say.
    pub is_focus: bool,
}

/// What a party waits for, to a sound of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Hold music.
    OnHold,
    /// Ringing.
    ForTransfer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegOwner {
    Call(CallId),
    /// `self.supervisors` or the desk knows what it is for.
    Supervisor,
}

/// Who sent the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They did.
    Inbound,
    /// We did.
    Outbound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// The INVITE is there; nothing but 100 was said to it. An outbound leg begins here before its
    /// INVITE is out.
    Trying,
    /// 18x was said.
    Early,
    /// 2xx was said.
    Confirmed(Handshake),
    /// We are ending it and the other end has not agreed yet.
    Releasing(Release),
    Released,
}

/// How far the three-way handshake of a confirmed dialog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Our 200 waits for its ACK.
    Answered,
    Complete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// CANCEL is out; the answer may still have been faster.
    Cancelling,
    /// BYE is out.
    HangingUp,
}

/// How long nothing has come from the other end, by the thresholds of `WatchMedia`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// Something came, or nothing was due yet.
    #[default]
    None,
    Short,
    Long,
}

/// How a leg came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Their BYE, with its Reason.
    HungUp(Option<Arc<str>>),
    /// Their CANCEL.
    Cancelled,
    /// Their final refusal of our INVITE.
    Failed { status: u16, reason: Arc<str> },
    /// Our BYE, CANCEL or refusal.
    Released,
    /// The dialog broke.
    Lost,
}

/// What the owner has to do after the leg followed a signal.
#[derive(Debug)]
pub enum Followed {
    /// The owner looks at the signal.
    Live(Signal),
    /// The leg is released, and this is how. The owner is told once.
    Gone(Departure),
    /// Our CANCEL came too late: the dialog is there and wants a BYE.
    AnsweredTooLate,
    /// Nothing more: it repeats or crosses what is already settled.
    Settled(Signal),
}

impl Leg {
    /// Answered and not terminated: our BYE counts once it is answered or has timed out.
    pub fn is_connected(&self) -> bool {
        match self.state {
            LegState::Confirmed(_) | LegState::Releasing(Release::HangingUp) => true,
            LegState::Trying
            | LegState::Early
            | LegState::Releasing(Release::Cancelling)
            | LegState::Released => false,
        }
    }

    /// Answered, and nobody has begun to end it.
    pub fn is_confirmed(&self) -> bool {
        matches!(self.state, LegState::Confirmed(_))
    }

    /// Lets the leg's state follow a signal, and says what its owner has to do with it.
    pub fn follow(&mut self, signal: Signal) -> Followed {
        use LegState::{Confirmed, Early, Released, Releasing, Trying};

        let (next, followed) = match (self.state, self.way, signal) {
            (Released, _, signal) => (Released, Followed::Settled(signal)),

            (Trying | Early, Way::Inbound, Signal::Cancelled)
            // The 200 and the CANCEL crossed on their way through the inbox.
            | (Confirmed(Handshake::Answered), Way::Inbound, Signal::Cancelled) => {
                (Released, Followed::Gone(Departure::Cancelled))
            }
            (state, _, signal @ Signal::Cancelled) => (state, Followed::Settled(signal)),

            (Trying | Early, Way::Outbound, signal @ Signal::Progressed { .. }) => {
                (Early, Followed::Live(signal))
            }
            (state, _, signal @ Signal::Progressed { .. }) => (state, Followed::Settled(signal)),

            (Trying | Early, Way::Outbound, signal @ Signal::Answered { .. }) => {
                (Confirmed(Handshake::Complete), Followed::Live(signal))
            }
            (Releasing(Release::Cancelling), Way::Outbound, Signal::Answered { .. }) => (
                Releasing(Release::HangingUp),
                Followed::AnsweredTooLate,
            ),
            (state, _, signal @ Signal::Answered { .. }) => (state, Followed::Settled(signal)),

            (Trying | Early, Way::Outbound, Signal::Failed { status, reason }) => {
                (Released, Followed::Gone(Departure::Failed { status, reason }))
            }
            (Releasing(Release::Cancelling), Way::Outbound, Signal::Failed { .. }) => {
                (Released, Followed::Gone(Departure::Released))
            }
            (state, _, signal @ Signal::Failed { .. }) => (state, Followed::Settled(signal)),

            (Confirmed(_), Way::Inbound, signal @ Signal::Acknowledged { .. }) => {
                (Confirmed(Handshake::Complete), Followed::Live(signal))
            }
            (state, _, signal @ Signal::Acknowledged { .. }) => (state, Followed::Settled(signal)),

            (state @ Confirmed(_), _, signal @ Signal::NeverAcknowledged) => {
                (state, Followed::Live(signal))
            }
            (state, _, signal @ Signal::NeverAcknowledged) => (state, Followed::Settled(signal)),

            (
                state @ Confirmed(_),
                _,
                signal @ (Signal::Reinvited { .. }
                | Signal::ReinviteAcknowledged { .. }
                | Signal::ReinviteAnswered { .. }
                | Signal::KeyInfo { .. }
                | Signal::Referred { .. }),
            ) => (state, Followed::Live(signal)),
            (
                state,
                _,
                signal @ (Signal::Reinvited { .. }
                | Signal::ReinviteAcknowledged { .. }
                | Signal::ReinviteAnswered { .. }
                | Signal::KeyInfo { .. }
                | Signal::Referred { .. }),
            ) => (state, Followed::Settled(signal)),

            // A BYE in an early dialog (RFC 3261 §15) is as good as a CANCEL.
            (Trying | Early | Confirmed(_), _, Signal::HungUp { reason }) => {
                (Released, Followed::Gone(Departure::HungUp(reason)))
            }
            // Two BYEs crossed.
            (Releasing(_), _, Signal::HungUp { .. }) => {
                (Released, Followed::Gone(Departure::Released))
            }

            (Releasing(_), _, Signal::HangUpDone) => {
                (Released, Followed::Gone(Departure::Released))
            }
            (state @ (Trying | Early | Confirmed(_)), _, signal @ Signal::HangUpDone) => {
                (state, Followed::Settled(signal))
            }

            (Trying | Early | Confirmed(_), _, Signal::Lost) => {
                (Released, Followed::Gone(Departure::Lost))
            }
            (Releasing(_), _, Signal::Lost) => (Released, Followed::Gone(Departure::Released)),

            (state, _, signal @ (Signal::Invited(_) | Signal::Focus(_))) => (state, Followed::Settled(signal)),
        };
        self.state = next;
        followed
    }
}
