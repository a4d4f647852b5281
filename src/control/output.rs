//! Everything that call control asks of the world, in one order: an answer goes out before the
//! matrix that follows it.

use std::sync::Arc;

use crate::control::input::{Identity, Reply};
use crate::control::record::Record;
use crate::control::snapshot::{CallView, HelpView, SessionView};
use crate::id::{CallId, LegId, RecordId, RequestId, SessionId, ShardId};
use crate::media::command::Command;
use crate::wire::sdp::SessionDescription;

#[derive(Debug)]
pub enum Output {
    Signal {
        leg: LegId,
        command: SignalCommand,
    },
    Media {
        shard: ShardId,
        command: Command,
    },
    /// The leg moves between shards by value: `Detach` at `from`, attach at `to`, in that order.
    Move {
        leg: LegId,
        from: ShardId,
        to: ShardId,
    },
    /// `Input::Store(Recorded)` follows when it is durable.
    Record {
        id: RecordId,
        record: Record,
    },
    /// `Input::Store(PinChecked)` follows. The PIN is dropped after the check.
    CheckPin {
        request: RequestId,
        organisation: Arc<str>,
        user: Arc<str>,
        pin: Pin,
    },
    Reply {
        request: RequestId,
        reply: Reply,
    },
    /// For the event stream and the metrics.
    Notify(Notice),
}

/// Digits typed as a PIN. Its `Debug` prints nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(pub String);

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin")
    }
}

/// What a SIP leg is told.
#[derive(Debug)]
pub enum SignalCommand {
    /// 180 to an INVITE that came to us.
    Ring,
    /// 183 (or 180) with media.
    Progress {
        status: u16,
        sdp: SessionDescription,
    },
    /// 200 with our answer (or our offer, where the INVITE had none).
    Answer {
        sdp: SessionDescription,
    },
    /// A final refusal.
    Reject {
        status: u16,
        reason: Option<Reason>,
    },
    /// An INVITE of ours: the beginning of this leg.
    Dial(Box<Dial>),
    /// CANCEL of our INVITE. `Failed { 487 }`, or `Answered` when the answer was faster, follows.
    Cancel {
        reason: Option<Reason>,
    },
    /// BYE. `HangUpDone` follows.
    HangUp {
        reason: Option<Reason>,
    },
    Reinvite {
        request: RequestId,
        sdp: Option<SessionDescription>,
    },
    AcceptReinvite {
        request: RequestId,
        sdp: SessionDescription,
    },
    RefuseReinvite {
        request: RequestId,
        status: u16,
    },
    /// 202, after which `NotifyRefer` tells how it goes; `last` ends the subscription.
    AcceptRefer {
        request: RequestId,
    },
    RefuseRefer {
        request: RequestId,
        status: u16,
    },
    NotifyRefer {
        request: RequestId,
        status: u16,
        last: bool,
    },
}

/// An RFC 3326 Reason header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub protocol: &'static str,
    pub cause: u16,
    pub text: Arc<str>,
}

/// An outgoing INVITE.
#[derive(Debug)]
pub struct Dial {
    pub target: Target,
    /// User part of From and P-Asserted-Identity towards the target; `None`: anonymous.
    pub caller: Option<Arc<str>>,
    pub display_name: Option<Arc<str>>,
    pub sdp: Option<SessionDescription>,
    pub max_forwards: u8,
}

/// Where an INVITE goes. The edge resolves it; what cannot be reached fails with 480 or 503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A SIP URI, dialled as it stands.
    Uri(Arc<str>),
    /// A number behind a trunk.
    Trunk { name: Arc<str>, number: Arc<str> },
    /// A phone that registered here.
    Registered(Identity),
}

/// What changed, for the live feed. Each holds what was true at that moment, since a snapshot may
/// come later than the next change, or after the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    CallStarted(CallId),
    /// Both legs are connected.
    CallAnswered(CallView),
    /// The call goes on with another agent, or with somebody who is none.
    CallTransferred(CallView),
    /// A party has put the other one on hold, or has taken them back.
    CallChanged(CallView),
    CallEnded(CallId),
    /// A supervisor's phones ring, or a supervisor who dialled in has joined.
    SessionStarted(SessionView),
    /// A session whose phones rang is confirmed or has joined.
    SessionMoved(SessionView),
    /// With the time from the last key (or click) to the mix in force.
    RoleChanged {
        session: SessionView,
        took: std::time::Duration,
    },
    SessionEnded(SessionId),
    HelpChanged(HelpView),
    DigitCounted(crate::media::dtmf::DigitSource),
    Refused(crate::control::refusal::ErrorCode),
}
