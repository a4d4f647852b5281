//! Everything that reaches call control, in the past tense.

use std::net::IpAddr;
use std::sync::Arc;

use crate::control::directory::Directory;
use crate::control::proof::ProofCode;
use crate::control::record::{HelpState, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::id::{CallId, HelpId, LegId, RecordId, RequestId, SessionId, ShardId};
use crate::media::command::Event;
use crate::media::dtmf::Digit;
use crate::wire::sdp::SessionDescription;

/// One thing that happened. The driver hands over one at a time and drains every output before
/// the next.
#[derive(Debug)]
pub enum Input {
    Signal {
        leg: LegId,
        signal: Signal,
    },
    Media {
        shard: ShardId,
        event: Event,
    },
    /// A click or an API call. Answered by `Output::Reply` with the same id.
    Operator {
        request: RequestId,
        who: Operator,
        ask: Ask,
    },
    /// What the store found, or that a record is durable.
    Store(StoreAnswer),
    /// People or policy changed.
    Directory(Arc<Directory>),
    /// Begin to drain: no new calls, no new sessions; what runs goes on.
    Drain,
    /// The patience of draining is over: every call and every session is ended with BYE.
    EndCalls,
}

/// What a SIP leg reports. A leg that we did not create begins with `Invited`.
#[derive(Debug)]
pub enum Signal {
    /// A new dialog towards us. `leg` was dealt by the edge from the range reserved for it.
    Invited(Box<Invitation>),
    /// CANCEL, or the transport went, before a final answer.
    Cancelled,
    /// The ACK to our 200, with the answer where our 200 carried the offer.
    Acknowledged { sdp: Option<SessionDescription> },
    /// The ACK to our 200 never came (64·T1): the dialog is to be ended.
    NeverAcknowledged,
    /// 18x to our INVITE.
    Progressed {
        status: u16,
        sdp: Option<SessionDescription>,
    },
    /// 2xx to our INVITE. The edge has sent the ACK.
    Answered { sdp: Option<SessionDescription> },
    /// A final refusal to our INVITE, or 408 when nobody answered at all, or 487 after `Cancel`.
    Failed { status: u16, reason: Arc<str> },
    /// The peer changes the session. Answered by `AcceptReinvite` or `RefuseReinvite`.
    Reinvited {
        request: RequestId,
        sdp: Option<SessionDescription>,
    },
    /// The ACK to our 200 to a re-INVITE without offer brought the answer.
    ReinviteAcknowledged {
        request: RequestId,
        sdp: Option<SessionDescription>,
    },
    /// Our own re-INVITE was answered; `Err` holds the status.
    ReinviteAnswered {
        request: RequestId,
        result: Result<Option<SessionDescription>, u16>,
    },
    /// The peer hung up; the edge has answered.
    HungUp { reason: Option<Arc<str>> },
    /// Our BYE was answered or timed out: the dialog is gone.
    HangUpDone,
    /// A key by SIP INFO; the edge has answered it.
    KeyInfo { digit: Digit },
    /// Blind or, where the Refer-To has a Replaces, attended transfer. Answered by `AcceptRefer` or
    /// `RefuseRefer`.
    Referred {
        request: RequestId,
        target: Arc<str>,
        consulted: Option<Consulted>,
    },
    /// The other end now says that it hosts a conference (`isfocus` in its Contact, RFC 4579 §4.2),
    /// or that it no longer does.
    Focus(bool),
    /// The dialog cannot go on (481/408 to an in-dialog request, transport gone for good).
    Lost,
}

/// The dialog that an attended transfer names (RFC 3891): another call of who transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consulted {
    /// A leg of this node.
    Leg(LegId),
    /// It does not pass through here.
    Elsewhere,
}

/// An INVITE as the edge understood it, with what it knows of the sender.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// User part of the request URI: what was dialled.
    pub dialled: Arc<str>,
    /// User part of P-Asserted-Identity (from a trusted trunk) or From; `None` when hidden
    /// (`anonymous`, Privacy: id).
    pub caller: Option<Arc<str>>,
    pub display_name: Option<Arc<str>>,
    pub origin: Origin,
    /// The offer; `None` for a delayed offer.
    pub sdp: Option<SessionDescription>,
    pub source: IpAddr,
    pub max_forwards: u8,
}

/// Where a leg came from or goes to, as far as trust and routing care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configured trunk, and whether the caller ID on this very call may be believed.
    Trunk {
        name: Arc<str>,
        network: Network,
        caller_id: CallerIdTrust,
    },
    /// A phone that registered here with digest authentication.
    Registered(Identity),
    /// A fixed-contact agent, known by its source address and From.
    Contact {
        organisation: Arc<str>,
        extension: Arc<str>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Agent {
        organisation: Arc<str>,
        extension: Arc<str>,
    },
    Supervisor {
        organisation: Arc<str>,
        user: Arc<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Internal,
    External,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerIdTrust {
    Trusted,
    Untrusted,
}

/// Who asks from a screen or a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub organisation: Arc<str>,
    pub identity: OperatorIdentity,
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorIdentity {
    Supervisor(Arc<str>),
    Agent(Arc<str>),
    Administrator(Arc<str>),
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Ticket {
        call: CallId,
    },
    /// Rings one device, or all when `device` is `None`; the conference is reserved first.
    CallMe {
        call: CallId,
        device: Option<Arc<str>>,
        coaching_enabled: bool,
    },
    SetRole {
        session: SessionId,
        supervision: Supervision,
    },
    EndSession {
        session: SessionId,
    },
    HangUp {
        call: CallId,
    },
    RaiseHelp {
        call: Option<CallId>,
        agent: Option<Arc<str>>,
        reason: Arc<str>,
        comment: Arc<str>,
    },
    AcceptHelp {
        help: HelpId,
    },
    CloseHelp {
        help: HelpId,
    },
    CancelHelp {
        help: HelpId,
    },
    /// Has a supervisor's PIN looked at again on a trunk. For administrators.
    LiftLock {
        organisation: Arc<str>,
        supervisor: Arc<str>,
        trunk: Option<Arc<str>>,
    },
    /// Calls a number that the supervisor wants to be registered with, and speaks the code to it.
    ProveNumber {
        number: Arc<str>,
        code: ProofCode,
    },
}

/// How an operator's request went; sent back in `Output::Reply`.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Ticket {
        dial: Arc<str>,
        lasting: std::time::Duration,
    },
    Session {
        session: SessionId,
    },
    Role {
        session: SessionId,
        supervision: Supervision,
    },
    Help {
        help: HelpId,
        state: HelpState,
    },
    Done,
    NotFound,
    /// 409 without a code: not possible in this state (a help request that is already closed, …).
    Conflict,
    Refused(ErrorCode),
}

#[derive(Debug)]
pub enum StoreAnswer {
    /// The record is on disk.
    Recorded(RecordId),
    /// The PIN was checked.
    PinChecked {
        request: RequestId,
        matches: bool,
    },
    /// The store does not answer: what runs goes on, nothing new begins.
    Down,
    Up,
}
