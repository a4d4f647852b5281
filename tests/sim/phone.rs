//! A simulated phone: speaks its own tone, presses keys, and measures which tones reach it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use audio_codec::{CodecType, create_decoder, create_encoder};
use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};
use sottovoce::demo::tones::{amplitude, key_sample};

pub const FRAME: usize = 160;
pub const FRAME_TIME: Duration = Duration::from_millis(20);
/// Amplitude of a phone's tone: about −16 dBm0.
pub const AMPLITUDE: f32 = 3600.0;
/// All prompts sound like this in the simulation, so that a leak of one can be measured.
pub const PROMPT_HZ: f32 = 2750.0;
/// Multiples of 50 Hz among the notes of the hold music: orthogonal to what the phones speak.
const MUSIC_HZ: [f32; 5] = [200.0, 250.0, 300.0, 350.0, 400.0];
/// Frames kept for measurement: ten seconds.
const KEPT: usize = 500;

/// Tones on multiples of 50 Hz, orthogonal over one frame, and away from all keys, from the agent's
/// notice and from the hold music.
const TONES_HZ: [f32; 10] = [
    2650.0, 500.0, 1850.0, 1950.0, 2050.0, 2150.0, 2250.0, 2350.0, 2450.0, 2550.0,
];

/// Phones that one world may hold.
pub const MAX_PHONES: usize = TONES_HZ.len();

pub fn tone_of(index: usize) -> f32 {
    TONES_HZ[index]
}

/// How a simulated phone sends its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Event,
    InBand,
    Info,
}

/// One received frame: when, and how strong each tone was in it.
#[derive(Clone, Debug)]
pub struct HeardFrame {
    pub at: Instant,
    /// By phone index, then the prompt tone.
    pub amplitudes: Vec<f32>,
    pub prompt: f32,
    /// The strongest of the frequencies between which the hold music's notes lie.
    pub music: f32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Key(u8),
    Pause,
}

pub struct SimPhone {
    pub index: usize,
    pub address: SocketAddr,
    /// Where its RTP goes.
    pub remote: Option<SocketAddr>,
    /// It speaks and listens; false when its side is on hold or the call is over.
    pub sending: bool,
    pub telephone_event: bool,
    /// Off: sends no RTP at all.
    pub alive: bool,
    pub next_tick: Instant,
    pub heard: VecDeque<HeardFrame>,
    /// Sequence and timestamp of everything that arrived, for the check of unbroken numbering.
    pub numbers: Vec<(u32, u16, u32)>,
    pub events_heard: usize,
    steps: VecDeque<(Step, How)>,
    /// What it says instead of its tone.
    sound: VecDeque<i16>,
    /// It says nothing by itself.
    pub silent: bool,
    /// What it hears, while somebody wants to have it.
    pub tape: Option<Vec<i16>>,
    event_timestamp: u32,
    event_step: u16,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    phase: usize,
}

impl SimPhone {
    pub fn new(index: usize, now: Instant, seed: u64) -> Self {
        let address =
            SocketAddr::from(([10, 1, (index / 250) as u8, (index % 250) as u8 + 1], 4000));
        Self {
            index,
            address,
            remote: None,
            sending: true,
            telephone_event: true,
            alive: true,
            // Phones are not in step with one another.
            next_tick: now + Duration::from_micros(seed % 20_000),
            heard: VecDeque::new(),
            numbers: Vec::new(),
            events_heard: 0,
            steps: VecDeque::new(),
            sound: VecDeque::new(),
            silent: false,
            tape: None,
            event_timestamp: 0,
            event_step: 0,
            sequence: (seed >> 8) as u16,
            timestamp: (seed >> 16) as u32,
            ssrc: (seed >> 24) as u32 ^ index as u32,
            phase: 0,
        }
    }

    /// Queues keys of 100 ms with 80 ms between them.
    pub fn press(&mut self, keys: &str, how: How) {
        for key in keys.chars() {
            let code = code_of(key);
            self.steps.extend([(Step::Key(code), how); 5]);
            self.steps.extend([(Step::Pause, how); 4]);
        }
    }

    /// Queues a key of 100 ms by telephone-event, after so many packets.
    pub fn press_after(&mut self, key: char, packets: usize) {
        self.steps.extend(vec![(Step::Pause, How::Event); packets]);
        self.steps
            .extend([(Step::Key(code_of(key)), How::Event); 5]);
    }

    /// Says these samples instead of its tone, from its next packet on; telephone-events go out
    /// beside them, as gateways let both through.
    pub fn say(&mut self, samples: impl IntoIterator<Item = i16>) {
        self.sound.extend(samples);
    }

    /// Its tone is on the way: not silent, not on hold, not pressing keys.
    pub fn is_speaking(&self) -> bool {
        self.alive
            && self.sending
            && self.remote.is_some()
            && self.steps.is_empty()
            && self.sound.is_empty()
            && !self.silent
    }

    /// What leaves at this 20 ms.
    pub fn tick(&mut self) -> Vec<Vec<u8>> {
        self.next_tick += FRAME_TIME;
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        let step = self.steps.pop_front();
        let sound = self.said();
        if !self.alive || !self.sending || self.remote.is_none() {
            return Vec::new();
        }
        if let Some(sound) = sound {
            let mut packets = vec![self.audio(&sound)];
            if let Some((Step::Key(code), How::Event)) = step {
                packets.extend(self.event(code));
            }
            return packets;
        }
        match step {
            Some((Step::Key(code), How::Event)) if self.telephone_event => self.event(code),
            Some((Step::Key(code), How::InBand)) => {
                let frame = self.key_frame(code);
                vec![self.audio(&frame)]
            }
            Some((Step::Pause, How::InBand)) => vec![self.audio(&[0; FRAME])],
            _ => {
                self.event_step = 0;
                let frame = self.voice();
                vec![self.audio(&frame)]
            }
        }
    }

    /// The next 20 ms of what it says.
    fn said(&mut self) -> Option<[i16; FRAME]> {
        if self.sound.is_empty() {
            return None;
        }
        let mut frame = [0; FRAME];
        for (sample, said) in frame
            .iter_mut()
            .zip(self.sound.drain(..FRAME.min(self.sound.len())))
        {
            *sample = said;
        }
        Some(frame)
    }

    fn event(&mut self, code: u8) -> Vec<Vec<u8>> {
        if self.event_step == 0 {
            self.event_timestamp = self.timestamp;
        }
        self.event_step += 1;
        let last = self.event_step == 5;
        let [high, low] = (self.event_step * FRAME as u16).to_be_bytes();
        let payload = [code, if last { 0x8a } else { 0x0a }, high, low];
        let timestamp = self.event_timestamp;
        let marker = self.event_step == 1;
        if last {
            self.event_step = 0;
        }
        (0..if last { 3 } else { 1 })
            .map(|_| self.packet(101, marker, timestamp, &payload))
            .collect()
    }

    fn key_frame(&mut self, code: u8) -> [i16; FRAME] {
        let key = b"0123456789*#ABCD"[usize::from(code)] as char;
        let mut frame = [0; FRAME];
        for sample in &mut frame {
            *sample = key_sample(key, 8000.0, self.phase);
            self.phase += 1;
        }
        frame
    }

    fn voice(&mut self) -> [i16; FRAME] {
        let hz = tone_of(self.index);
        let mut frame = [0; FRAME];
        if self.silent {
            return frame;
        }
        for sample in &mut frame {
            let angle = std::f32::consts::TAU * hz * self.phase as f32 / 8000.0;
            *sample = (AMPLITUDE * angle.sin()) as i16;
            self.phase = (self.phase + 1) % 8000;
        }
        frame
    }

    fn audio(&mut self, frame: &[i16; FRAME]) -> Vec<u8> {
        let payload = create_encoder(CodecType::PCMU).encode(frame);
        self.packet(0, false, self.timestamp, &payload)
    }

    fn packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        RtpPacketBuilder::new()
            .payload_type(payload_type)
            .marked(marker)
            .ssrc(self.ssrc)
            .sequence(Seq::from(sequence))
            .timestamp(timestamp)
            .payload(payload)
            .build()
            .expect("a packet of fixed parts")
    }

    /// Hears a packet; `phones` tells how many tones to look for.
    pub fn hear(&mut self, now: Instant, bytes: &[u8], phones: usize) {
        let Ok(packet) = RtpReader::new(bytes) else {
            return;
        };
        if (64..=95).contains(&packet.payload_type()) {
            return;
        }
        self.numbers.push((
            packet.ssrc(),
            packet.sequence_number().into(),
            packet.timestamp(),
        ));
        if packet.payload_type() != 0 {
            self.events_heard += 1;
            return;
        }
        if let Some(tape) = &mut self.tape {
            tape.extend(create_decoder(CodecType::PCMU).decode(packet.payload()));
        }
        let frame = measure(now, packet.payload(), phones);
        self.heard.push_back(frame);
        if self.heard.len() > KEPT {
            self.heard.pop_front();
        }
    }

    /// Mean amplitude of a phone's tone in the frames since then; `None` without frames.
    pub fn mean_of(&self, speaker: usize, since: Instant) -> Option<f32> {
        let frames: Vec<f32> = self
            .heard
            .iter()
            .filter(|frame| frame.at >= since)
            .map(|frame| frame.amplitudes.get(speaker).copied().unwrap_or(0.0))
            .collect();
        (!frames.is_empty()).then(|| frames.iter().sum::<f32>() / frames.len() as f32)
    }
}

fn code_of(key: char) -> u8 {
    "0123456789*#ABCD".find(key).expect("a key") as u8
}

/// Decodes a µ-law payload and measures every phone's tone in it.
pub fn measure(at: Instant, payload: &[u8], phones: usize) -> HeardFrame {
    let samples = create_decoder(CodecType::PCMU).decode(payload);
    let amplitudes = (0..phones)
        .map(|index| amplitude(&samples, tone_of(index)))
        .collect();
    HeardFrame {
        at,
        amplitudes,
        prompt: amplitude(&samples, PROMPT_HZ),
        music: MUSIC_HZ
            .into_iter()
            .map(|hz| amplitude(&samples, hz))
            .fold(0.0, f32::max),
    }
}
