//! What a simulated phone sends, 20 ms by 20 ms, and what it makes of each packet that it receives.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};
use tokio::sync::oneshot;

use crate::demo::media::memory::Memory;
use crate::demo::media::{
    Codec, Coding, FRAME, KeySending, PacketNote, Peer, RATE_HZ, Track, Voice,
};
use crate::demo::tones;

/// A key lasts this long, and the pause after it.
const KEY: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(80);

/// Longest recording kept: ten minutes.
const MAX_RECORDED: usize = 600 * RATE_HZ;

/// Keys on their way.
pub struct Pressing {
    /// Remaining 20 ms steps of this key or pause.
    pub keys: Vec<char>,
    pub next: usize,
    pub step: usize,
    pub how: KeySending,
    pub done: Option<oneshot::Sender<Instant>>,
    pub event_timestamp: u32,
}

/// One stream out and one in.
pub struct State {
    pub peer: Option<Peer>,
    pub voice: Voice,
    pub voice_position: usize,
    pub pressing: Option<Pressing>,
    pub heard: Track,
    pub heard_ssrc: Option<u32>,
    pub heard_base: u32,
    pub said: Track,
    pub packets: Vec<PacketNote>,
    pub memory: Memory,
    pub events_heard: usize,
    pub undecoded_heard: usize,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub sent: u64,
    /// Frames that a packet holds.
    pub frames_each: usize,
    pub gathered: Gathered,
    pub raw: Vec<(u8, Vec<u8>, oneshot::Sender<()>)>,
}

/// Frames on their way into one packet.
#[derive(Default)]
pub struct Gathered {
    payload: Vec<u8>,
    frames: usize,
    timestamp: u32,
}

impl State {
    /// What leaves at this 20 ms.
    pub fn tick(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut frame = self.next_voice_frame();
        let Some(peer) = self.peer.clone() else {
            return Vec::new();
        };
        if matches!(self.voice, Voice::Mute) || !peer.we_may_send {
            return Vec::new();
        }

        let mut packets = Vec::new();
        for (payload_type, payload, done) in std::mem::take(&mut self.raw) {
            packets.push(self.packet(payload_type, false, self.timestamp, &payload));
            // Nobody waiting for it is no fault.
            let _ = done.send(());
        }
        let mut audio = true;
        if let Some(mut pressing) = self.pressing.take() {
            audio = self.press_step(now, &mut pressing, &peer, &mut frame, &mut packets);
            if pressing.next < pressing.keys.len() {
                self.pressing = Some(pressing);
            }
        }
        if audio {
            let payload = match peer.codec.coding() {
                Coding::Coded(codec) => self.memory.encode(codec, &frame),
                Coding::Always(payload) => payload.to_vec(),
            };
            if self.gathered.frames == 0 {
                self.gathered.timestamp = self.timestamp;
            }
            self.gathered.payload.extend_from_slice(&payload);
            self.gathered.frames += 1;
            if self.gathered.frames >= self.frames_each {
                let Gathered {
                    payload, timestamp, ..
                } = std::mem::take(&mut self.gathered);
                let payload_type = peer.codec.payload_type();
                packets.push(self.packet(payload_type, false, timestamp, &payload));
            }
        }
        if !audio {
            // A key takes the place of what is said.
            self.gathered = Gathered::default();
            frame.fill(0);
        }
        if self.said.samples.len() < MAX_RECORDED {
            self.said.began.get_or_insert(now);
            self.said.samples.extend_from_slice(&frame);
        }
        self.timestamp = self.timestamp.wrapping_add(packet_ticks(peer.codec));
        self.sent += packets.len() as u64;
        packets
            .into_iter()
            .map(|packet| (peer.remote, packet))
            .collect()
    }

    /// One 20 ms step of a key or of the pause after it; whether audio goes out too.
    fn press_step(
        &mut self,
        now: Instant,
        pressing: &mut Pressing,
        peer: &Peer,
        frame: &mut [i16; FRAME],
        packets: &mut Vec<Vec<u8>>,
    ) -> bool {
        let key_steps = (KEY.as_millis() / 20) as usize;
        let pause_steps = (PAUSE.as_millis() / 20) as usize;
        let key = pressing.keys[pressing.next];
        let step = pressing.step;
        pressing.step += 1;
        let mut audio = true;
        if step < key_steps {
            match (pressing.how, peer.telephone_event) {
                (KeySending::Event, Some(payload_type)) => {
                    if step == 0 {
                        pressing.event_timestamp = self.timestamp;
                    }
                    let last = step + 1 == key_steps;
                    let duration = (step + 1) as u16 * packet_ticks(peer.codec) as u16;
                    let payload = event_payload(key, last, duration);
                    for _ in 0..if last { 3 } else { 1 } {
                        let packet = self.packet(
                            payload_type,
                            step == 0,
                            pressing.event_timestamp,
                            &payload,
                        );
                        packets.push(packet);
                    }
                    audio = false;
                }
                _ => key_tone(key, step, frame),
            }
        } else if pressing.how == KeySending::InBand {
            // A person who presses keys is quiet while they do.
            frame.fill(0);
        }
        let is_last_key = pressing.next + 1 == pressing.keys.len();
        let over = if is_last_key {
            key_steps
        } else {
            key_steps + pause_steps
        };
        if pressing.step >= over {
            pressing.next += 1;
            pressing.step = 0;
            if is_last_key && let Some(done) = pressing.done.take() {
                // Nobody waiting for the end is no fault.
                let _ = done.send(now);
            }
        }
        audio
    }

    fn next_voice_frame(&mut self) -> [i16; FRAME] {
        let mut frame = [0; FRAME];
        match &self.voice {
            Voice::Silence | Voice::Mute => {}
            Voice::Loop(samples) => {
                for sample in &mut frame {
                    *sample = samples[self.voice_position % samples.len()];
                    self.voice_position += 1;
                }
            }
            Voice::Tone(frequency_hz) => {
                for sample in &mut frame {
                    let phase = std::f32::consts::TAU * frequency_hz * self.voice_position as f32
                        / RATE_HZ as f32;
                    *sample = (phase.sin() * 3600.0) as i16;
                    self.voice_position = (self.voice_position + 1) % (RATE_HZ * 100);
                }
            }
        }
        frame
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
            .unwrap_or_default()
    }

    /// A packet that came.
    pub fn hear(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(packet) = RtpReader::new(bytes) else {
            return;
        };
        let payload_type = packet.payload_type();
        // RTCP on a shared port (RFC 5761 §4).
        if (64..=95).contains(&payload_type) {
            return;
        }
        self.packets.push(PacketNote {
            at: now,
            ssrc: packet.ssrc(),
            sequence: packet.sequence_number().into(),
            timestamp: packet.timestamp(),
            payload_type,
        });
        let Some(codec) = Codec::of_payload_type(payload_type) else {
            self.events_heard += 1;
            return;
        };
        let codec = match codec.coding() {
            Coding::Coded(codec) => codec,
            Coding::Always(payload) => {
                self.undecoded_heard += usize::from(packet.payload() == payload);
                return;
            }
        };
        let samples = self.memory.decode(codec, packet.payload());
        if self.heard.began.is_none() {
            self.heard.began = Some(now);
        }
        if self.heard_ssrc != Some(packet.ssrc()) {
            self.heard_ssrc = Some(packet.ssrc());
            self.heard_base = packet
                .timestamp()
                .wrapping_sub(self.heard.samples.len() as u32);
        }
        let position = packet.timestamp().wrapping_sub(self.heard_base) as usize;
        if position + samples.len() > MAX_RECORDED {
            return;
        }
        if self.heard.samples.len() < position + samples.len() {
            self.heard.samples.resize(position + samples.len(), 0);
        }
        self.heard.samples[position..position + samples.len()].copy_from_slice(&samples);
    }
}

/// 20 ms by the clock of RTP timestamps.
fn packet_ticks(codec: Codec) -> u32 {
    codec.clock_rate_hz() / 50
}

fn event_payload(key: char, end: bool, duration: u16) -> [u8; 4] {
    let code = "0123456789*#ABCD".find(key).unwrap_or(0) as u8;
    let [high, low] = duration.to_be_bytes();
    [code, if end { 0x80 | 10 } else { 10 }, high, low]
}

/// Overwrites the frame with two tones of −8 dBm0 each.
fn key_tone(key: char, step: usize, frame: &mut [i16; FRAME]) {
    // −8 dBm0; 0 dBm0 is a sine 3.14 dB below the G.711 overload of 32124.
    let amplitude = 32124.0 * 10f32.powf(-11.14 / 20.0);
    for (i, sample) in frame.iter_mut().enumerate() {
        *sample = tones::key_sample(key, amplitude, step * FRAME + i);
    }
}
