//! The media of one leg: what arrives from its phone, and what leaves towards it.
//!
//! Two half-chains. Inwards: path, reception, then nothing more unless somebody mixes it; decoders
//! and jitter buffer ([`Hearing`], [`Direct`]) exist while a row needs them. Outwards: an RTP
//! identity for life, and a [`Voice`] while packets are made here. A plain call has neither.

use std::net::SocketAddr;
use std::time::Instant;

use crate::id::LegId;
use crate::media::codec::Codec;
use crate::media::command::{Ducking, Event, LegMedia, LegStats};
use crate::media::direct::Direct;
use crate::media::dtmf::Digit;
use crate::media::frame::{Frame, Rate};
use crate::media::hearing::Hearing;
use crate::media::identity::Identity;
use crate::media::keys::Keys;
use crate::media::matrix::Seat;
use crate::media::mixer::Sum;
use crate::media::outbox::{Outbox, PortSlot};
use crate::media::path::Path;
use crate::media::player::Player;
use crate::media::reports::Reports;
use crate::media::stats::Reception;
use crate::media::tone::KeyTone;
use crate::media::voice::{Payload, Voice, silence};
use crate::media::watch::Watch;

/// One leg's media. It moves between shards by value, and with it the RTP identity towards the
/// phone.
#[derive(Debug)]
pub struct Participant {
    pub leg: LegId,
    pub local: SocketAddr,
    pub media: Option<LegMedia>,
    pub path: Path,
    pub identity: Identity,
    pub reception: Reception,
    pub reports: Reports,
    pub watch: Watch,
    pub keys: Keys,
    /// The bridge, by its place in the shard, and the seat there.
    pub place: Option<(usize, Seat)>,
    pub rate: Rate,
    pub hearing: Option<Box<Hearing>>,
    pub direct: Option<Box<Direct>>,
    pub voice: Option<Box<Voice>>,
    pub player: Option<Box<Player>>,
    pub key_tone: Option<Box<KeySounding>>,
    /// The slot of the wheel that turns it while it has no seat.
    pub wheel_slot: Option<u8>,
    /// The instant for which its timer stands.
    pub armed: Option<Instant>,
    pub dropped: u64,
    concealed: u64,
    /// Of these, how many [`Self::take_concealed`] has told.
    concealed_told: u64,
}

/// A key of the other party that sounds in this one's ear.
#[derive(Clone, Copy, Debug)]
pub struct KeySounding {
    tone: KeyTone,
    /// The RTP timestamp that names the press.
    press: u32,
    frames: u8,
}

/// How long a key sounds at least, and how long after its last report.
const KEY_FRAMES: u8 = 5;
const KEY_FRAMES_AFTER: u8 = 3;

/// What hearing a listener needs of a speaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Frames on the wheel.
    pub hearing: bool,
    /// Frames as packets arrive.
    pub direct: bool,
    /// Packets made here.
    pub voice: bool,
}

impl Participant {
    pub fn new(leg: LegId, local: SocketAddr, identity: Identity) -> Self {
        Self {
            leg,
            local,
            media: None,
            path: Path::default(),
            identity,
            reception: Reception::default(),
            reports: Reports::default(),
            watch: Watch::default(),
            keys: Keys::default(),
            place: None,
            rate: Rate::Narrow,
            hearing: None,
            direct: None,
            voice: None,
            player: None,
            key_tone: None,
            wheel_slot: None,
            armed: None,
            dropped: 0,
            concealed: 0,
            concealed_told: 0,
        }
    }

    pub fn codec(&self) -> Option<Codec> {
        self.media.as_ref().map(|media| media.codec)
    }

    pub fn is_decodable(&self) -> bool {
        self.codec().is_some_and(Codec::is_decodable)
    }

    pub fn we_send(&self) -> bool {
        self.media
            .as_ref()
            .is_some_and(|media| media.flow.we_send())
    }

    pub fn configure(&mut self, media: LegMedia) {
        self.path.configure(&media);
        self.identity.set_clock(media.codec.clock_hz());
        self.keys.negotiated(media.telephone_event);
        if self.codec() != Some(media.codec) {
            self.drop_hearing();
            self.drop_direct();
            self.voice = None;
        }
        self.media = Some(media);
    }

    /// The rate at which it would be mixed alone.
    pub fn own_rate(&self) -> Rate {
        match self.codec() {
            Some(codec) if !codec.is_g711() => Rate::Wide,
            _ => Rate::Narrow,
        }
    }

    /// Makes what is needed at this rate and drops what is not. False when the codec allows no
    /// voice or no hearing.
    pub fn equip(&mut self, rate: Rate, needs: Needs) -> bool {
        let Some(media) = &self.media else {
            return false;
        };
        let (codec, ptime_ms) = (media.codec, media.ptime_ms);
        self.rate = rate;
        self.keys.set_rate(rate);
        if let Some(player) = &mut self.player {
            player.set_rate(rate);
        }
        if !needs.hearing || self.hearing.as_ref().is_some_and(|it| it.rate() != rate) {
            self.drop_hearing();
        }
        if needs.hearing && self.hearing.is_none() {
            self.hearing = Hearing::new(codec, rate).map(Box::new);
            self.keys.begin_voice();
        }
        if !needs.direct
            || self
                .direct
                .as_ref()
                .is_some_and(|it| !it.is_for(codec, rate))
        {
            self.drop_direct();
        }
        if needs.direct && self.direct.is_none() {
            self.direct = Direct::new(codec, rate).map(Box::new);
        }
        let fits = |voice: &Voice| voice.is_for(codec, rate, ptime_ms);
        if !needs.voice || !self.voice.as_deref().is_some_and(fits) {
            self.voice = None;
        }
        if needs.voice && self.voice.is_none() {
            self.voice = Voice::new(codec, rate, ptime_ms).map(Box::new);
        }
        (!needs.hearing || self.hearing.is_some())
            && (!needs.direct || self.direct.is_some())
            && (!needs.voice || self.voice.is_some())
    }

    fn drop_hearing(&mut self) {
        if let Some(hearing) = self.hearing.take() {
            self.concealed += hearing.counts().concealed;
        }
    }

    fn drop_direct(&mut self) {
        if let Some(direct) = self.direct.take() {
            self.concealed += direct.concealed();
        }
    }

    /// A packet of it comes soon, or it is turned soon: asks for how it is heard.
    pub fn prefetch_chain(&self) {
        if let Some(hearing) = &self.hearing {
            hearing.prefetch();
        }
        if let Some(direct) = &self.direct {
            direct.prefetch();
        }
    }

    /// A packet of it comes next.
    pub fn prefetch_packets(&self) {
        if let Some(hearing) = &self.hearing {
            hearing.prefetch_packets();
        }
        if let Some(direct) = &self.direct {
            direct.prefetch_frame();
        }
    }

    /// Whether something of its own lies over what it hears.
    pub fn has_overlay(&self) -> bool {
        self.player.is_some() || self.key_tone.is_some()
    }

    pub fn is_ducked(&self) -> bool {
        self.player
            .as_ref()
            .is_some_and(|player| player.ducking == Ducking::Duck)
    }

    /// Lays prompt and key tone over the sum. The prompt's end is an event.
    pub fn overlay(&mut self, sum: &mut Sum, event: impl FnOnce(Event)) {
        let samples = self.rate.frame();
        if let Some(player) = &mut self.player {
            player.add_to(&mut sum.samples[..samples]);
            if player.is_over() {
                let play = player.play;
                self.player = None;
                event(Event::PlayEnded {
                    leg: self.leg,
                    play,
                    completed: true,
                });
            }
        }
        if let Some(sounding) = &mut self.key_tone {
            let mut frame = Frame::silent(self.rate);
            sounding.tone.fill(frame.samples_mut());
            sum.add(&frame, 256, 256);
            sounding.frames -= 1;
            if sounding.frames == 0 {
                self.key_tone = None;
            }
        }
    }

    /// A report about a key of the other party, which this phone can only hear as a tone.
    pub fn sound_key(&mut self, event: u8, press: u32, ended: bool) {
        let Some(digit) = Digit::from_event(event) else {
            return;
        };
        match &mut self.key_tone {
            Some(sounding) if sounding.press == press => {
                if !ended {
                    sounding.frames = sounding.frames.max(KEY_FRAMES_AFTER);
                }
            }
            // The three ends of a press whose tone is over begin no new one.
            _ if ended => {}
            _ => {
                self.key_tone = Some(Box::new(KeySounding {
                    tone: KeyTone::new(digit, self.rate),
                    press,
                    frames: KEY_FRAMES,
                }));
            }
        }
    }

    /// Encodes a frame and sends what is full; false when nothing was made.
    pub fn send_frame(
        &mut self,
        now: Instant,
        slot: PortSlot,
        frame: &Frame,
        payload: &mut Payload,
        outbox: &mut Outbox,
    ) -> bool {
        let Some(media) = &self.media else {
            return false;
        };
        let Some(to) = self.path.rtp_to().filter(|_| media.flow.we_send()) else {
            return false;
        };
        let Some(voice) = &mut self.voice else {
            return false;
        };
        let identity = &mut self.identity;
        let mut made = false;
        voice.push(frame, payload, |payload| {
            let bytes = payload.bytes();
            let header = identity.stamp(now, media.payload_type, payload.units, bytes.len());
            outbox.rtp(slot, to, &header, bytes);
            made = true;
        });
        made
    }

    /// A turn of the wheel: a frame further in its voice, with the keys found in it.
    pub fn hear(&mut self, now: Instant, event: impl FnMut(Event)) {
        if self.hearing.as_mut().is_some_and(|it| it.advance(now)) {
            self.listen(now, event);
        }
    }

    /// The same before the wheel's next turn, if the voice is already there.
    pub fn hear_early(&mut self, now: Instant, event: impl FnMut(Event)) {
        if self
            .hearing
            .as_mut()
            .is_some_and(|it| it.advance_early(now))
        {
            self.listen(now, event);
        }
    }

    /// Finds the keys in the newest frame, and leaves of it what others may hear.
    fn listen(&mut self, now: Instant, mut event: impl FnMut(Event)) {
        let leg = self.leg;
        let Some(hearing) = &mut self.hearing else {
            return;
        };
        let spoken = hearing.spoken();
        self.keys
            .voice(now, hearing.newest_mut(), spoken, |digit, source| {
                event(Event::DigitPressed { leg, digit, source });
            });
        hearing.finish_newest();
        if self.keys.take_opened() {
            event(Event::VoiceOpened { leg });
        }
    }

    /// What it needs while it has no seat: packets of its own where silence is not enough.
    pub fn needs_alone(&self) -> Needs {
        let codec = self.codec();
        let speaks = self.is_decodable() && self.has_overlay();
        let silent_by_itself = codec.is_some_and(|codec| silence(codec).is_some())
            && self
                .media
                .as_ref()
                .is_some_and(|media| media.ptime_ms == 20);
        Needs {
            hearing: self.is_decodable() && self.keys.need_the_voice(),
            direct: false,
            voice: self.is_decodable() && (speaks || !silent_by_itself),
        }
    }

    /// Whether the wheel has anything to turn while it has no seat.
    pub fn turns_alone(&self) -> bool {
        self.is_decodable() && (self.we_send() || self.player.is_some() || self.hearing.is_some())
    }

    /// One turn of the wheel without a seat: prompts, else silence. True when what it needs has
    /// changed.
    pub fn turn_alone(
        &mut self,
        now: Instant,
        slot: PortSlot,
        payload: &mut Payload,
        outbox: &mut Outbox,
        mut event: impl FnMut(Event),
    ) -> bool {
        self.hear(now, &mut event);
        let overlaid = self.has_overlay();
        if !overlaid && self.send_silence(now, slot, outbox) {
            return false;
        }
        let mut sum = Sum::silent();
        self.overlay(&mut sum, event);
        let mut frame = Frame::silent(self.rate);
        sum.into_frame(&mut frame);
        self.send_frame(now, slot, &frame, payload, outbox);
        overlaid && !self.has_overlay()
    }

    /// Sends what another listener's voice made of the same mix.
    pub fn send_shared(
        &mut self,
        now: Instant,
        slot: PortSlot,
        payload: &[u8],
        units: u32,
        outbox: &mut Outbox,
    ) {
        if let Some(voice) = &mut self.voice {
            voice.note_shared();
        }
        let Some(media) = &self.media else { return };
        let Some(to) = self.path.rtp_to().filter(|_| media.flow.we_send()) else {
            return;
        };
        let header = self
            .identity
            .stamp(now, media.payload_type, units, payload.len());
        outbox.rtp(slot, to, &header, payload);
    }

    /// Keeps the stream alive with 20 ms of silence; false where that takes an encoder, or the
    /// phone asked for another packet length.
    pub fn send_silence(&mut self, now: Instant, slot: PortSlot, outbox: &mut Outbox) -> bool {
        let Some(media) = &self.media else {
            return true;
        };
        if media.ptime_ms != 20 {
            return false;
        }
        let Some((payload, units)) = silence(media.codec) else {
            return false;
        };
        self.send_shared(now, slot, payload, units, outbox);
        true
    }

    pub fn concealed(&self) -> u64 {
        let hearing = self.hearing.as_ref().map_or(0, |it| it.counts().concealed);
        let direct = self.direct.as_ref().map_or(0, |it| it.concealed());
        self.concealed + hearing + direct
    }

    /// Frames concealed since the last call.
    pub fn take_concealed(&mut self) -> u64 {
        let concealed = self.concealed();
        concealed - std::mem::replace(&mut self.concealed_told, concealed)
    }

    pub fn stats(&self) -> LegStats {
        LegStats {
            packets_received: self.reception.received,
            packets_sent: u64::from(self.identity.packets()),
            packets_lost: self.reception.lost(),
            packets_dropped: self.dropped,
            jitter_ms: self.reception.jitter_ms(),
            concealed_frames: self.concealed(),
        }
    }
}
