//! What was negotiated on a leg, and how it becomes the media plane's [`LegMedia`].
//!
//! The SDP itself is made by `wire::sdp::offer`; here is the memory of one dialog: what we said
//! last, what they said last, what came of it, and which exchange is still open.

use std::net::SocketAddr;

use crate::id::{LegId, RequestId};
use crate::media::codec::Codec;
use crate::media::command::{Flow, LegMedia, TelephoneEventFormat};
use crate::wire::sdp::offer::{self, Chosen, Local, Stream};
use crate::wire::sdp::{Audio, Direction, Format, SessionDescription};

/// Offer and answer of one leg so far.
#[derive(Debug)]
pub struct Negotiation {
    /// The last description that we sent, by offer or answer.
    pub ours: Option<SessionDescription>,
    /// The last that they sent and we took.
    pub theirs: Option<SessionDescription>,
    /// What is spoken.
    pub chosen: Option<Chosen>,
    /// Which way media flows by agreement, seen from us.
    pub flow: Flow,
    /// They do not want to hear us: they hold.
    pub holds: bool,
    pub exchange: Exchange,
}

/// The re-INVITE that is under way. One at a time; another one meets 491 (RFC 3261 §14.2).
#[derive(Debug)]
pub enum Exchange {
    Idle,
    /// Theirs waits for our answer, which waits for the other leg's.
    Theirs {
        request: RequestId,
        offer: SessionDescription,
    },
    /// Theirs came without an offer; our 200 carried one, and the ACK brings the answer.
    OfferedInAnswer {
        request: RequestId,
        offer: SessionDescription,
    },
    /// Ours waits for their answer.
    Ours {
        request: RequestId,
        offer: SessionDescription,
        purpose: Purpose,
    },
}

/// Why we sent a re-INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The other leg's re-INVITE waits for it.
    Relay(LegId),
    /// The other leg changed, or who was on hold has no holder any more.
    Follow,
}

/// Offer and answer have nothing in common, or there is no audio: 488.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

impl Default for Negotiation {
    fn default() -> Self {
        Self {
            ours: None,
            theirs: None,
            chosen: None,
            flow: Flow::Both,
            holds: false,
            exchange: Exchange::Idle,
        }
    }
}

impl Negotiation {
    pub fn is_idle(&self) -> bool {
        matches!(self.exchange, Exchange::Idle)
    }

    /// Their formats, as far as they have described themselves.
    pub fn their_formats(&self) -> Vec<Format> {
        self.theirs
            .as_ref()
            .and_then(SessionDescription::audio)
            .map(|audio| audio.formats)
            .unwrap_or_default()
    }

    /// An offer of ours, not remembered before [`Self::offered`].
    pub fn make_offer(
        &self,
        session: LegId,
        address: SocketAddr,
        formats: Vec<Format>,
        direction: Direction,
        ptime_ms: Option<u16>,
    ) -> SessionDescription {
        offer::offer(
            self.local(session, address),
            &Stream {
                formats,
                direction,
                ptime_ms,
                rtcp_mux: false,
            },
        )
    }

    pub fn offered(&mut self, offer: SessionDescription) {
        self.ours = Some(offer);
    }

    /// Answers an offer of theirs. `other` is what the other leg speaks; `allowed` what may flow,
    /// seen from us. What was agreed is remembered.
    pub fn answer(
        &mut self,
        session: LegId,
        address: SocketAddr,
        theirs: SessionDescription,
        codecs: &[Codec],
        other: Option<&Format>,
        allowed: Direction,
    ) -> Result<SessionDescription, NotAcceptable> {
        let audio = theirs.audio().ok_or(NotAcceptable)?;
        let chosen =
            offer::choose(&audio.formats, &formats_of(codecs), other).ok_or(NotAcceptable)?;
        let direction = audio.direction.reversed().narrowed(allowed);
        let answer = offer::answer(
            self.local(session, address),
            &theirs,
            &audio,
            &Stream {
                formats: spoken(&chosen, other),
                direction,
                ptime_ms: audio.ptime_ms,
                rtcp_mux: audio.rtcp_mux,
            },
        );
        self.holds = !audio.direction.receives();
        self.flow = flow_of(direction);
        self.chosen = Some(chosen);
        self.theirs = Some(theirs);
        self.ours = Some(answer.clone());
        Ok(answer)
    }

    /// Takes their answer to our last offer.
    pub fn take_answer(&mut self, theirs: SessionDescription) -> Result<(), NotAcceptable> {
        let audio = theirs.audio().ok_or(NotAcceptable)?;
        let ours = self
            .ours
            .as_ref()
            .and_then(SessionDescription::audio)
            .ok_or(NotAcceptable)?;
        let chosen = offer::chosen_by_answer(&ours.formats, &audio.formats).ok_or(NotAcceptable)?;
        let agreed = ours.direction.narrowed(audio.direction.reversed());
        if ours.direction.sends() {
            self.holds = !audio.direction.receives();
        }
        self.flow = flow_of(agreed);
        self.chosen = Some(chosen);
        self.theirs = Some(theirs);
        Ok(())
    }

    /// What the media plane needs to know; `None` before anything was agreed.
    pub fn media(&self) -> Option<LegMedia> {
        let chosen = self.chosen.as_ref()?;
        let audio = self.theirs.as_ref()?.audio()?;
        let ours_muxes = self
            .ours
            .as_ref()
            .and_then(SessionDescription::audio)
            .is_some_and(|ours| ours.rtcp_mux);
        Some(LegMedia {
            remote: audio.remote,
            remote_rtcp: audio.remote_rtcp,
            rtcp_mux: audio.rtcp_mux && ours_muxes,
            codec: codec_of(&chosen.codec),
            payload_type: chosen.codec.payload_type,
            telephone_event: chosen
                .telephone_event
                .as_ref()
                .map(|format| TelephoneEventFormat {
                    payload_type: format.payload_type,
                    clock_rate_hz: format.clock_rate_hz,
                }),
            flow: self.flow,
            ptime_ms: ptime_of(&audio),
        })
    }

    fn local(&self, session: LegId, address: SocketAddr) -> Local<'_> {
        Local {
            address,
            session: session.0,
            previous: self.ours.as_ref(),
        }
    }
}

/// What a mix leaves in where the peer does not ask for another size.
const DEFAULT_PTIME_MS: u16 = 20;

/// Packets longer than this would make conversation hard; they are asked for by mistake.
const MAX_PTIME_MS: u16 = 120;

fn ptime_of(audio: &Audio) -> u16 {
    audio
        .ptime_ms
        .filter(|ptime_ms| (10..=MAX_PTIME_MS).contains(ptime_ms))
        .unwrap_or(DEFAULT_PTIME_MS)
}

/// The formats of an answer: parameters of a relayed codec are those of the other leg, which is
/// the one that decodes it; otherwise they are ours.
fn spoken(chosen: &Chosen, other: Option<&Format>) -> Vec<Format> {
    let mut chosen = chosen.clone();
    chosen.codec.fmtp = match other.filter(|other| other.same_codec(&chosen.codec)) {
        Some(other) => other.fmtp.clone(),
        None => formats_of(&[codec_of(&chosen.codec)])
            .pop()
            .and_then(|own| own.fmtp),
    };
    chosen.formats()
}

fn flow_of(direction: Direction) -> Flow {
    match direction {
        Direction::SendRecv => Flow::Both,
        Direction::SendOnly => Flow::SendOnly,
        Direction::RecvOnly => Flow::ReceiveOnly,
        Direction::Inactive => Flow::Neither,
    }
}

/// Codecs as SDP names and numbers them.
pub fn formats_of(codecs: &[Codec]) -> Vec<Format> {
    codecs
        .iter()
        .filter_map(|codec| match codec {
            Codec::Pcmu => Some(Format::new(0, "PCMU", 8_000, 1)),
            Codec::Pcma => Some(Format::new(8, "PCMA", 8_000, 1)),
            // 8000 by the mistake that RFC 3551 §4.5.2 keeps.
            Codec::G722 => Some(Format::new(9, "G722", 8_000, 1)),
            // RFC 7587 §7: always 48000/2.
            Codec::Opus => Some(Format::new(111, "opus", 48_000, 2).with_fmtp("useinbandfec=1")),
            Codec::Opaque => None,
        })
        .collect()
}

/// The codec of a format; `Opaque` is what we can only pass on.
pub fn codec_of(format: &Format) -> Codec {
    [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus]
        .into_iter()
        .find(|codec| {
            formats_of(&[*codec])
                .iter()
                .any(|own| own.same_codec(format))
        })
        .unwrap_or(Codec::Opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(text: &str) -> SessionDescription {
        let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n{text}");
        SessionDescription::parse(text.as_bytes()).unwrap()
    }

    const ADDRESS: &str = "127.0.0.1:20000";

    #[test]
    fn an_offer_on_hold_is_answered_with_what_they_still_send() {
        let mut leg = Negotiation::default();
        let offer = description("c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 8\r\na=sendonly\r\n");

        let answer = leg
            .answer(
                LegId(1),
                ADDRESS.parse().unwrap(),
                offer,
                &[Codec::Pcma],
                None,
                Direction::SendRecv,
            )
            .unwrap();

        assert!(leg.holds);
        assert_eq!(leg.flow, Flow::ReceiveOnly);
        assert_eq!(answer.audio().unwrap().direction, Direction::RecvOnly);
        let media = leg.media().unwrap();
        assert_eq!(media.codec, Codec::Pcma);
        assert_eq!(media.remote, Some("192.0.2.1:4000".parse().unwrap()));
        assert_eq!(media.ptime_ms, 20);
    }

    #[test]
    fn an_answer_is_taken_with_its_own_numbers() {
        let mut leg = Negotiation::default();
        let formats = offer::formats_to_offer(&[], &formats_of(&[Codec::Opus, Codec::Pcmu]));
        let offer = leg.make_offer(
            LegId(1),
            ADDRESS.parse().unwrap(),
            formats,
            Direction::SendRecv,
            None,
        );
        leg.offered(offer);

        leg.take_answer(description(
            "c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 120 110\r\na=rtpmap:120 OPUS/48000/2\r\n\
             a=rtpmap:110 telephone-event/48000\r\na=ptime:40\r\n",
        ))
        .unwrap();

        let media = leg.media().unwrap();
        assert_eq!((media.codec, media.payload_type), (Codec::Opus, 120));
        assert_eq!(media.telephone_event.unwrap().payload_type, 110);
        assert_eq!(media.ptime_ms, 40);
        assert_eq!(media.flow, Flow::Both);
        assert!(!leg.holds);
    }

    #[test]
    fn an_answer_of_a_held_party_is_no_hold_of_its_own() {
        let mut leg = Negotiation::default();
        let offer = leg.make_offer(
            LegId(1),
            ADDRESS.parse().unwrap(),
            formats_of(&[Codec::Pcmu]),
            Direction::SendOnly,
            None,
        );
        leg.offered(offer);

        let answer = description("c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\na=recvonly\r\n");
        leg.take_answer(answer).unwrap();

        assert!(!leg.holds);
        assert_eq!(leg.flow, Flow::SendOnly);
    }

    #[test]
    fn no_audio_and_no_common_codec_are_not_acceptable() {
        let answer = |text: &str| {
            Negotiation::default().answer(
                LegId(1),
                ADDRESS.parse().unwrap(),
                description(text),
                &[Codec::Pcmu],
                None,
                Direction::SendRecv,
            )
        };

        assert_eq!(answer("m=video 4000 RTP/AVP 99\r\n"), Err(NotAcceptable));
        assert_eq!(
            answer("c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 18\r\n"),
            Err(NotAcceptable)
        );
    }
}
