//! The whole vocabulary of the media plane: [`Command`] in, [`Event`] out.
//!
//! A command is not argued with; if it cannot be carried out, an event says so. Events name the
//! leg or bridge that they are about and never the role, which the plane does not know.

use std::net::SocketAddr;
use std::time::Duration;

use crate::id::Generation;
use crate::id::{BridgeId, Language, LegId, PlayId, PromptId};
use crate::media::codec::Codec;
use crate::media::dtmf::{Digit, DigitSource};
use crate::media::fence::Fence;
use crate::media::matrix::{MixMatrix, Seat};

/// What control asks of a shard.
#[derive(Debug)]
pub enum Command {
    /// A port for this leg. The edge binds it before the shard is told, and answers
    /// `Opened` or `OpenFailed`.
    Open {
        leg: LegId,
    },
    /// What was negotiated; again after every re-INVITE. Takes effect between two packets and
    /// keeps the RTP identity towards the leg.
    Configure {
        leg: LegId,
        media: LegMedia,
    },
    /// A bridge without seats.
    OpenBridge {
        bridge: BridgeId,
    },
    /// The leg takes this seat. A party (seat 0 or 1) is always admitted. Any other seat asks for
    /// a conference (see `Convene`) and may be refused. Answered by `Seated` or `SeatRefused`.
    Seat {
        bridge: BridgeId,
        leg: LegId,
        seat: Seat,
    },
    /// The leg leaves its seat and stays open, in nobody's bridge. The seat's row falls silent.
    Unseat {
        leg: LegId,
    },
    /// The bridge becomes a conference: admission is asked, decoders are made.
    /// Answered by `Convened` or `ConveneRefused`.
    Convene {
        bridge: BridgeId,
    },
    /// The conference becomes a plain bridge again; its place in the admission count is free.
    Dissolve {
        bridge: BridgeId,
    },
    /// A bridge with no seats left goes away.
    CloseBridge {
        bridge: BridgeId,
    },
    /// Swaps the matrix whole, between two packets. Answered by `MatrixInForce`.
    SetMatrix {
        bridge: BridgeId,
        matrix: MixMatrix,
        fence: Fence,
    },
    /// Plays to this leg alone, over whatever it hears; replaces what was playing (whose
    /// `PlayEnded` follows at once, with `completed: false`).
    Play {
        leg: LegId,
        play: PlayId,
        sounds: Vec<Sound>,
        language: Language,
        ducking: Ducking,
    },
    StopPlay {
        leg: LegId,
    },
    /// Which keys are listened for on this leg, and whether they are kept from other ears.
    ListenForKeys {
        leg: LegId,
        keys: KeyListening,
    },
    /// A key that this leg's phone pressed, told by signalling or held back until now, goes to the
    /// other party if that one may hear this leg: as a telephone-event where one was negotiated,
    /// else as a tone. It lasts 100 ms; the next should not come before [`BETWEEN_PRESSES`].
    /// Nothing follows where the leg's keys are withheld, and where its own telephone-events pass
    /// already.
    PressKey {
        leg: LegId,
        digit: Digit,
    },
    /// Says when the leg's sender falls silent: no RTP and no RTCP for this long.
    /// One `MediaSilent` for each entry, in order, until it is heard again.
    WatchMedia {
        leg: LegId,
        after: [Option<Duration>; 2],
    },
    /// The leg closes; answered by `Closed`.
    Close {
        leg: LegId,
    },
    /// The fault point `conference-join`: the next seat beside the parties is refused.
    /// Armed by `demo errors` and tests only.
    ArmSeatFault {
        bridge: BridgeId,
    },
}

/// A leg's media as its SDP agreed it.
#[derive(Clone, Debug, PartialEq)]
pub struct LegMedia {
    /// Where RTP goes until a packet from the peer shows better (symmetric latching);
    /// `None` while nothing is known or the peer gave `0.0.0.0`.
    pub remote: Option<SocketAddr>,
    /// Where RTCP goes; `None`: the port after `remote`, or the same one with `rtcp_mux`.
    pub remote_rtcp: Option<SocketAddr>,
    pub rtcp_mux: bool,
    pub codec: Codec,
    pub payload_type: u8,
    /// RFC 4733, as the peer's SDP numbered it.
    pub telephone_event: Option<TelephoneEventFormat>,
    pub flow: Flow,
    /// 20 ms unless the peer asked for another; a mix always leaves in this size.
    pub ptime_ms: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEventFormat {
    pub payload_type: u8,
    pub clock_rate_hz: u32,
}

/// Which way media may flow, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Both,
    /// We send, the peer does not: it put us on hold and listens to our music.
    SendOnly,
    /// The peer sends, we do not.
    ReceiveOnly,
    Neither,
}

impl Flow {
    pub fn we_send(self) -> bool {
        matches!(self, Flow::Both | Flow::SendOnly)
    }

    pub fn we_receive(self) -> bool {
        matches!(self, Flow::Both | Flow::ReceiveOnly)
    }
}

/// Something to play, one after another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sound {
    Prompt(PromptId),
    Tone {
        frequency_hz: f32,
        duration: Duration,
        level_dbm0: f32,
    },
    Pause(Duration),
    /// Quiet music for the one who waits; plays until stopped.
    HoldMusic,
    /// Ringing tone (425 Hz, 1 s on, 4 s off) until stopped.
    Ringback,
}

/// What happens to the call's audio under a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ducking {
    /// Lowered by 9 dB, never stopped.
    Duck,
    Leave,
}

/// How far apart keys are that a leg is to press one after another: each is a press of its own for
/// the phone that hears them.
pub const BETWEEN_PRESSES: Duration = Duration::from_millis(160);

/// How keys of a leg are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyListening {
    /// Which in-band detector profile, if any is to run.
    pub in_band: InBand,
    /// Whether telephone-events go on to the other party (parties) or stay here (supervisors).
    pub events: KeyPassage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPassage {
    /// Passed to the other party as they came, and reported only if `report`.
    Pass { report: bool },
    /// Reported, and passed on by `PressKey` alone. A tone in the audio sounds all the same.
    ByCommand,
    /// Reported and never passed; in-band keys are clamped.
    Withhold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InBand {
    Off,
    /// For PIN, extension and menu.
    Menu(InBandWhen),
    /// For role keys inside a session: stricter.
    Role(InBandWhen),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InBandWhen {
    /// Only where no telephone-event was negotiated, or the leg demonstrably sends none.
    Auto,
    Always,
}

/// How long a key in the audio is held back, lest it be the echo of an event, where events were
/// negotiated and it is not known which kind the phone sends.
pub const DOUBT: Duration = Duration::from_millis(250);

/// What a shard reports.
#[derive(Debug)]
pub enum Event {
    /// Local RTP address to put into the SDP.
    Opened {
        leg: LegId,
        local: SocketAddr,
    },
    OpenFailed {
        leg: LegId,
    },
    Seated {
        bridge: BridgeId,
        leg: LegId,
        seat: Seat,
    },
    SeatRefused {
        bridge: BridgeId,
        leg: LegId,
        cause: SeatRefusal,
    },
    Convened {
        bridge: BridgeId,
    },
    ConveneRefused {
        bridge: BridgeId,
        cause: ConveneRefusal,
    },
    MatrixInForce {
        bridge: BridgeId,
        generation: Generation,
    },
    /// A key, once, when it was recognised.
    DigitPressed {
        leg: LegId,
        digit: Digit,
        source: DigitSource,
    },
    /// The voice of a leg whose keys are withheld is let through again after a key that was
    /// reported by telephone-event or heard in the audio.
    VoiceOpened {
        leg: LegId,
    },
    PlayEnded {
        leg: LegId,
        play: PlayId,
        completed: bool,
    },
    /// No RTP and no RTCP for this long.
    MediaSilent {
        leg: LegId,
        lasting: Duration,
    },
    /// RTP or RTCP again after `MediaSilent`; also the very first packet of a leg.
    MediaHeard {
        leg: LegId,
    },
    /// The leg has left this shard. Control answers with an attach at the shard of the call.
    Detached {
        leg: LegId,
    },
    Attached {
        leg: LegId,
    },
    Closed {
        leg: LegId,
        stats: LegStats,
    },
    /// Matrix and fence differed; the frame was silenced. An alarm, for the metrics.
    FenceViolated {
        bridge: BridgeId,
        listener: Seat,
        speaker: Seat,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatRefusal {
    /// All seats are taken.
    Full,
    /// The supervisor's codec cannot be decoded, or its codec state could not be made.
    Codec,
    NotConvened,
    NoSuchLeg,
    /// The armed fault point.
    Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConveneRefusal {
    /// `max_conferences`, or the shard has no room for another mix.
    Admission,
    /// A party's codec cannot be decoded.
    Codec,
}

/// What a leg's media came to, for the call's record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegStats {
    pub packets_received: u64,
    pub packets_sent: u64,
    pub packets_lost: u64,
    pub packets_dropped: u64,
    pub jitter_ms: f32,
    pub concealed_frames: u64,
}
