//! A shard with simulated phones, for tests: each phone speaks its own tone and measures which
//! tones reach it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::id::{BridgeId, Generation, Language, LegId, PlayId};
use crate::media::codec::Codec;
use crate::media::codec::decode::Decoder;
use crate::media::codec::encode::Encoder;
use crate::media::command::{
    Command, Ducking, Event, Flow, KeyListening, LegMedia, Sound, TelephoneEventFormat,
};
use crate::media::dtmf::{Digit, DigitSource};
use crate::media::fence::Fence;
use crate::media::frame::Rate;
use crate::media::matrix::{Gain, MixMatrix, Seat};
use crate::media::prompt::PromptLibrary;
use crate::media::shard::{Channel, PortSlot, Shard, ShardConfig};
use crate::media::tone::KeyTone;
use crate::wire::rtp::{Header, Packet};
use crate::wire::telephone_event::TelephoneEvent;

pub const BRIDGE: BridgeId = BridgeId(1);
pub const USER: usize = 0;
pub const PUPIL: usize = 1;
pub const COACH: usize = 2;

pub struct World {
    pub shard: Shard,
    pub now: Instant,
    pub phones: Vec<Phone>,
    pub events: Vec<Event>,
    generation: u32,
}

pub struct Phone {
    pub leg: LegId,
    pub slot: PortSlot,
    pub address: SocketAddr,
    pub codec: Codec,
    pub speaks: Speaks,
    pub tone_hz: f64,
    pub header: Header,
    /// How long its packets are.
    pub ptime_ms: u64,
    /// When within each of these times its packets leave.
    pub phase_ms: u64,
    pub received: Vec<Received>,
    pub rtcp: Vec<Vec<u8>>,
    /// Payloads as they were sent.
    pub sent: Vec<Vec<u8>>,
    encoder: Option<Encoder>,
    spoken: usize,
    pressing: Option<Pressing>,
    pub line: Line,
}

/// The network between a phone and us. Packets stay in order.
pub struct Line {
    pub jitter_ms: u64,
    pub lost: f64,
    random: fastrand::Rng,
    under_way: VecDeque<(Instant, Vec<u8>)>,
}

impl Line {
    fn new(seed: u64) -> Self {
        Self {
            jitter_ms: 0,
            lost: 0.0,
            random: fastrand::Rng::with_seed(seed),
            under_way: VecDeque::new(),
        }
    }

    fn send(&mut self, now: Instant, bytes: Vec<u8>) {
        if self.random.f64() < self.lost {
            return;
        }
        let late = Duration::from_millis(self.random.u64(0..=self.jitter_ms));
        let before = self.under_way.back().map_or(now, |(due, _)| *due);
        self.under_way.push_back((before.max(now + late), bytes));
    }

    fn arrived(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let count = self
            .under_way
            .iter()
            .take_while(|(due, _)| *due <= now)
            .count();
        self.under_way
            .drain(..count)
            .map(|(_, bytes)| bytes)
            .collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Pressing {
    event: u8,
    began: u32,
    packets: u32,
    sent: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Speaks {
    Tone,
    /// A key in the audio.
    Key(KeyTone),
    /// Packets of silence.
    Silence,
    /// No packets at all.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub header: Header,
    pub payload: Vec<u8>,
}

impl World {
    pub fn empty() -> Self {
        let config = ShardConfig {
            seed: 1,
            wall_clock: None,
        };
        Self {
            shard: Shard::new(config, Arc::new(PromptLibrary::empty())),
            now: Instant::now(),
            phones: Vec::new(),
            events: Vec::new(),
            generation: 0,
        }
    }

    /// A user and a pupil who talk, and a supervisor who is dialled in and in nobody's bridge.
    pub fn talking(codecs: [Codec; 3]) -> Self {
        Self::talking_in_phase(codecs, [0, 3, 6])
    }

    /// The same, and when within each 20 ms their packets leave.
    fn talking_in_phase(codecs: [Codec; 3], phases_ms: [u64; 3]) -> Self {
        let mut world = Self::empty();
        for (codec, phase_ms) in codecs.into_iter().zip(phases_ms) {
            let phone = world.open(codec);
            world.phones[phone].phase_ms = phase_ms;
        }
        world.begin_talking();
        world
    }

    /// The user and the pupil are on the line: their bridge, and half a second of talk.
    pub fn begin_talking(&mut self) {
        self.command(Command::OpenBridge { bridge: BRIDGE });
        self.seat(USER, Seat::USER);
        self.seat(PUPIL, Seat::PUPIL);
        self.rules(&[(USER, PUPIL), (PUPIL, USER)]);
        self.run(500);
    }

    /// The same with the supervisor seated as a monitor.
    pub fn monitored(codecs: [Codec; 3]) -> Self {
        Self::monitored_in_phase(codecs, [0, 3, 6])
    }

    pub fn monitored_in_phase(codecs: [Codec; 3], phases_ms: [u64; 3]) -> Self {
        let mut world = Self::talking_in_phase(codecs, phases_ms);
        world.command(Command::Convene { bridge: BRIDGE });
        world.seat(COACH, seat(COACH));
        world.monitor();
        world.run(1_000);
        world
    }

    pub fn monitor(&mut self) {
        self.rules(&[(USER, PUPIL), (PUPIL, USER), (COACH, USER), (COACH, PUPIL)]);
    }

    pub fn coach(&mut self) {
        self.rules(&[
            (USER, PUPIL),
            (PUPIL, USER),
            (PUPIL, COACH),
            (COACH, USER),
            (COACH, PUPIL),
        ]);
    }

    pub fn barge(&mut self) {
        self.rules(&[
            (USER, PUPIL),
            (PUPIL, USER),
            (PUPIL, COACH),
            (USER, COACH),
            (COACH, USER),
            (COACH, PUPIL),
        ]);
    }

    pub fn open(&mut self, codec: Codec) -> usize {
        let number = self.phones.len();
        let leg = LegId(100 + number as u64);
        let local = SocketAddr::from(([127, 0, 0, 1], 20_000 + 2 * number as u16));
        let slot = self.shard.open(self.now, leg, local);
        let phone = Phone::new(number, leg, slot, codec);
        let media = phone.media();
        self.phones.push(phone);
        self.command(Command::Configure { leg, media });
        number
    }

    pub fn seat(&mut self, phone: usize, seat: Seat) {
        let leg = self.phones[phone].leg;
        self.command(Command::Seat {
            bridge: BRIDGE,
            leg,
            seat,
        });
    }

    /// Who (first) hears whom (second), and the fence to match.
    pub fn rules(&mut self, pairs: &[(usize, usize)]) {
        self.rules_against(pairs, pairs);
    }

    pub fn rules_against(&mut self, pairs: &[(usize, usize)], fenced: &[(usize, usize)]) {
        self.generation += 1;
        let mut matrix = MixMatrix::silent(Generation(self.generation));
        let mut fence = Fence::closed();
        for (listener, speaker) in pairs {
            matrix.set(seat(*listener), seat(*speaker), Gain::UNITY);
        }
        for (listener, speaker) in fenced {
            fence.open(seat(*listener), seat(*speaker));
        }
        self.command(Command::SetMatrix {
            bridge: BRIDGE,
            matrix,
            fence,
        });
    }

    pub fn play(&mut self, phone: usize, sounds: Vec<Sound>) {
        let leg = self.phones[phone].leg;
        self.command(Command::Play {
            leg,
            play: PlayId(1),
            sounds,
            language: Language(0),
            ducking: Ducking::Duck,
        });
    }

    pub fn command(&mut self, command: Command) {
        self.shard.handle_command(self.now, command);
        self.drain();
    }

    /// Lets so many milliseconds pass.
    pub fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now += Duration::from_millis(1);
            for number in 0..self.phones.len() {
                let now = self.now;
                let phone = &mut self.phones[number];
                for bytes in phone.speak() {
                    phone.line.send(now, bytes);
                }
                for mut bytes in phone.line.arrived(now) {
                    self.deliver(number, &mut bytes);
                }
            }
            if self.shard.poll_timeout().is_some_and(|due| due <= self.now) {
                self.shard.handle_timeout(self.now);
                self.drain();
            }
        }
    }

    /// The thread gets no turn for so long; what comes meanwhile waits and comes at once.
    pub fn stand_still(&mut self, milliseconds: u64) {
        let mut waiting = Vec::new();
        for _ in 0..milliseconds {
            self.now += Duration::from_millis(1);
            for number in 0..self.phones.len() {
                let now = self.now;
                let phone = &mut self.phones[number];
                for bytes in phone.speak() {
                    phone.line.send(now, bytes);
                }
                waiting.extend(phone.line.arrived(now).into_iter().map(|it| (number, it)));
            }
        }
        for (number, mut bytes) in waiting {
            self.deliver(number, &mut bytes);
        }
    }

    pub fn deliver(&mut self, phone: usize, bytes: &mut [u8]) {
        self.deliver_from(self.phones[phone].address, phone, bytes);
    }

    /// Something comes to the port of this phone's leg, from wherever.
    pub fn deliver_from(&mut self, source: SocketAddr, phone: usize, bytes: &mut [u8]) {
        let slot = self.phones[phone].slot;
        self.shard
            .handle_datagram(self.now, slot, Channel::Rtp, source, bytes);
        self.drain();
    }

    pub fn drain(&mut self) {
        let now = self.now;
        while let Some(transmit) = self.shard.poll_transmit() {
            let phone = self
                .phones
                .iter_mut()
                .find(|phone| phone.slot == transmit.slot)
                .unwrap();
            if transmit.channel == Channel::Rtcp {
                phone.rtcp.push(transmit.bytes.to_vec());
                continue;
            }
            assert_eq!(transmit.to, phone.address);
            let packet = Packet::parse(transmit.bytes).unwrap();
            phone.received.push(Received {
                at: now,
                header: packet.header,
                payload: packet.payload.to_vec(),
            });
        }
        while let Some(event) = self.shard.poll_event() {
            self.events.push(event);
        }
    }

    /// Whose tones are heard in what this phone received within the last half second.
    pub fn ears_of(&self, phone: usize) -> Vec<usize> {
        let samples = self.heard(phone, 500);
        (0..self.phones.len())
            .filter(|speaker| *speaker != phone)
            .filter(|speaker| level_db(&samples, self.phones[*speaker].tone_hz) > -45.0)
            .collect()
    }

    /// How loud a frequency was in the last so many milliseconds.
    pub fn level(&self, phone: usize, hz: f64, milliseconds: u64) -> f64 {
        level_db(&self.heard(phone, milliseconds), hz)
    }

    /// What the phone plays of the last so many milliseconds, at 8 kHz.
    pub fn heard(&self, phone: usize, milliseconds: u64) -> Vec<i16> {
        let phone = &self.phones[phone];
        let since = self.now - Duration::from_millis(milliseconds);
        let mut decoder = Decoder::new(phone.codec, Rate::Narrow).unwrap();
        let mut samples = Vec::new();
        for packet in &phone.received {
            if packet.header.payload_type != phone.media().payload_type {
                continue;
            }
            let mut out = [0; 1_600];
            let count = decoder.decode(&packet.payload, &mut out);
            if packet.at > since {
                samples.extend_from_slice(&out[..count]);
            }
        }
        samples
    }

    /// Keys that were reported of a phone.
    pub fn keys_of(&self, phone: usize) -> Vec<(char, DigitSource)> {
        let of = self.phones[phone].leg;
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::DigitPressed { leg, digit, source } if *leg == of => {
                    Some((digit.as_char(), *source))
                }
                _ => None,
            })
            .collect()
    }

    pub fn listen(&mut self, phone: usize, keys: KeyListening) {
        let leg = self.phones[phone].leg;
        self.command(Command::ListenForKeys { leg, keys });
    }

    /// Says a key in the audio, for so many milliseconds, and then nothing.
    pub fn say_key(&mut self, phone: usize, key: char, milliseconds: u64) {
        let digit = Digit::from_char(key).unwrap();
        self.phones[phone].speaks = Speaks::Key(KeyTone::new(digit, Rate::Narrow));
        self.run(milliseconds);
        self.phones[phone].speaks = Speaks::Silence;
    }

    pub fn reconfigure(&mut self, phone: usize, change: impl FnOnce(&mut LegMedia)) {
        let leg = self.phones[phone].leg;
        let mut media = self.phones[phone].media();
        change(&mut media);
        self.command(Command::Configure { leg, media });
    }

    pub fn forget(&mut self) {
        for phone in &mut self.phones {
            phone.received.clear();
            phone.sent.clear();
        }
        self.events.clear();
    }

    pub fn in_force(&self, generation: u32) -> bool {
        self.events.iter().any(|event| {
            matches!(event, Event::MatrixInForce { generation: it, .. } if it.0 == generation)
        })
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }
}

impl Phone {
    fn new(number: usize, leg: LegId, slot: PortSlot, codec: Codec) -> Self {
        let payload_type = media_of(codec, None).payload_type;
        Self {
            leg,
            slot,
            address: SocketAddr::from(([127, 0, 0, 1], 40_000 + number as u16)),
            codec,
            speaks: Speaks::Tone,
            tone_hz: [450.0, 750.0, 1_150.0, 1_550.0, 1_950.0][number],
            header: Header {
                payload_type,
                marker: true,
                sequence: 65_500 + number as u16,
                timestamp: u32::MAX - 4_000,
                ssrc: 1_000 + number as u32,
            },
            ptime_ms: 20,
            phase_ms: 3 * number as u64,
            received: Vec::new(),
            rtcp: Vec::new(),
            sent: Vec::new(),
            encoder: Encoder::new(codec, Rate::Narrow),
            spoken: 0,
            pressing: None,
            line: Line::new(number as u64),
        }
    }

    pub fn media(&self) -> LegMedia {
        media_of(self.codec, Some(self.address))
    }

    /// Holds a key down for so many packets, by telephone-events.
    pub fn press(&mut self, key: char, packets: u32) {
        let digit = Digit::from_char(key).unwrap();
        self.pressing = Some(Pressing {
            event: digit.event(),
            began: self.header.timestamp,
            packets,
            sent: 0,
        });
    }

    /// The packets that are due in this millisecond.
    fn speak(&mut self) -> Vec<Vec<u8>> {
        let turn = self.phase_ms;
        self.phase_ms = (turn + 1) % self.ptime_ms;
        if turn != 0 {
            return Vec::new();
        }
        let units = self.codec.clock_hz() / 1_000 * self.ptime_ms as u32;
        let count = Rate::Narrow.samples_in(self.ptime_ms as usize);
        if let Some(mut pressing) = self.pressing.take() {
            pressing.sent += 1;
            let ended = pressing.sent == pressing.packets;
            let report = TelephoneEvent {
                event: pressing.event,
                end: ended,
                volume: 10,
                duration: (pressing.sent * units) as u16,
            };
            let header = Header {
                payload_type: 101,
                marker: pressing.sent == 1,
                timestamp: pressing.began,
                ..self.header
            };
            let repeats = if ended { 3 } else { 1 };
            let packets = (0..repeats).map(|repeat| {
                let sequence = header.sequence.wrapping_add(repeat);
                let mut bytes = vec![0; 16];
                let header = Header { sequence, ..header };
                header.write(&report.write(), &mut bytes).unwrap();
                bytes
            });
            let packets = packets.collect();
            self.header.sequence = header.sequence.wrapping_add(repeats);
            self.header.timestamp = self.header.timestamp.wrapping_add(units);
            self.spoken += count;
            if !ended {
                self.pressing = Some(pressing);
            }
            return packets;
        }
        let mut samples = vec![0; count];
        match self.speaks {
            Speaks::Tone => {
                for (n, sample) in (self.spoken..).zip(&mut samples) {
                    let phase = std::f64::consts::TAU * self.tone_hz * n as f64 / 8_000.0;
                    *sample = (phase.sin() * 4_000.0) as i16;
                }
            }
            Speaks::Key(mut tone) => {
                tone.fill(&mut samples);
                self.speaks = Speaks::Key(tone);
            }
            Speaks::Silence | Speaks::Nothing => {}
        }
        self.spoken += count;
        if let Speaks::Nothing = self.speaks {
            self.header.timestamp = self.header.timestamp.wrapping_add(units);
            self.header.marker = true;
            return Vec::new();
        }
        let payload = self.encode(&samples);
        self.sent.push(payload.clone());
        let mut bytes = vec![0; 12 + payload.len()];
        self.header.write(&payload, &mut bytes).unwrap();
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(units);
        vec![bytes]
    }

    /// One payload, whatever its length. Opus is told the length; what the others make of a packet
    /// is what they make of its parts.
    fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        let Some(encoder) = &mut self.encoder else {
            return vec![0; 33];
        };
        let part = match self.codec {
            Codec::Opus => samples.len(),
            _ => Rate::Narrow.samples_in(10),
        };
        let mut payload = Vec::new();
        for part in samples.chunks(part) {
            let mut bytes = [0; 1_000];
            let length = encoder.encode(part, &mut bytes);
            payload.extend_from_slice(&bytes[..length]);
        }
        payload
    }
}

pub fn media_of(codec: Codec, remote: Option<SocketAddr>) -> LegMedia {
    let payload_type = match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::G722 => 9,
        Codec::Opus => 111,
        Codec::Opaque => 3,
    };
    LegMedia {
        remote,
        remote_rtcp: None,
        rtcp_mux: false,
        codec,
        payload_type,
        telephone_event: Some(TelephoneEventFormat {
            payload_type: 101,
            clock_rate_hz: codec.clock_hz(),
        }),
        flow: Flow::Both,
        ptime_ms: 20,
    }
}

pub fn seat(index: usize) -> Seat {
    Seat::new(index).unwrap()
}

/// Level of a frequency against full scale.
pub fn level_db(samples: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = std::f64::consts::TAU * hz * n as f64 / 8_000.0;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    let amplitude = 2.0 * (re.hypot(im)) / samples.len().max(1) as f64;
    20.0 * (amplitude / 32_768.0).max(1e-9).log10()
}

pub fn notice() -> Sound {
    Sound::Tone {
        frequency_hz: 2_400.0,
        duration: Duration::from_millis(200),
        level_dbm0: -20.0,
    }
}

/// One SSRC, numbers one apart, timestamps a frame apart.
#[track_caller]
pub fn assert_unbroken(received: &[Received], units: u32) {
    assert!(received.len() > 5, "only {} packets", received.len());
    for pair in received.windows(2) {
        let (before, after) = (pair[0].header, pair[1].header);
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        assert_eq!(after.timestamp, before.timestamp.wrapping_add(units));
    }
}
