//! The sound of a simulated phone: speaks a voice, sends keys, records what it hears and the
//! numbers of every packet.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use audio_codec::{CodecType, create_decoder, create_encoder};
use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::demo::tones;
use crate::edge::clock;

/// Samples in 20 ms of 8 kHz.
pub const FRAME: usize = 160;
pub const RATE_HZ: usize = 8000;

/// A key lasts this long, and the pause after it.
const KEY: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(80);

/// Longest recording kept: ten minutes.
const MAX_RECORDED: usize = 600 * RATE_HZ;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    Pcmu,
    Pcma,
}

impl Law {
    pub fn payload_type(self) -> u8 {
        match self {
            Law::Pcmu => 0,
            Law::Pcma => 8,
        }
    }

    fn codec(self) -> CodecType {
        match self {
            Law::Pcmu => CodecType::PCMU,
            Law::Pcma => CodecType::PCMA,
        }
    }
}

/// How keys leave the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySending {
    /// RFC 4733.
    Event,
    /// Two tones in the audio, −8 dBm0 each.
    InBand,
    /// SIP INFO, `application/dtmf-relay`.
    Info,
}

/// What the phone says into its microphone.
#[derive(Clone, Debug)]
pub enum Voice {
    Silence,
    /// Samples at 8 kHz, over and over.
    Loop(Arc<[i16]>),
    /// A steady sine of this frequency at about −16 dBm0.
    Tone(f32),
    /// Nothing is sent at all.
    Mute,
}

/// What the far end's SDP said of where and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    pub remote: SocketAddr,
    pub law: Law,
    pub telephone_event: Option<u8>,
    pub we_may_send: bool,
}

/// A packet as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct PacketNote {
    pub at: Instant,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub payload_type: u8,
}

/// Sound on a time line: the first sample was at `began`.
#[derive(Clone, Debug, Default)]
pub struct Track {
    pub began: Option<Instant>,
    pub samples: Vec<i16>,
}

impl Track {
    /// The sample index of this instant, if the track had begun by then.
    pub fn index_at(&self, at: Instant) -> Option<usize> {
        let began = self.began?;
        let since = at.checked_duration_since(began)?;
        Some((since.as_secs_f64() * RATE_HZ as f64) as usize)
    }

    /// The stretch between two instants, padded with silence where there is none.
    pub fn between(&self, from: Instant, to: Instant) -> Vec<i16> {
        let length =
            (to.saturating_duration_since(from).as_secs_f64() * RATE_HZ as f64).round() as usize;
        let Some(began) = self.began else {
            return vec![0; length];
        };
        let offset = if from >= began {
            (from.duration_since(began).as_secs_f64() * RATE_HZ as f64).round() as i64
        } else {
            -((began.duration_since(from).as_secs_f64() * RATE_HZ as f64).round() as i64)
        };
        (0..length as i64)
            .map(|i| usize::try_from(offset + i).ok())
            .map(|index| {
                index
                    .and_then(|i| self.samples.get(i))
                    .copied()
                    .unwrap_or(0)
            })
            .collect()
    }
}

struct Pressing {
    /// Remaining 20 ms steps of this key or pause.
    keys: Vec<char>,
    next: usize,
    step: usize,
    how: KeySending,
    done: Option<oneshot::Sender<Instant>>,
    event_timestamp: u32,
}

struct State {
    peer: Option<Peer>,
    voice: Voice,
    voice_position: usize,
    pressing: Option<Pressing>,
    heard: Track,
    heard_ssrc: Option<u32>,
    heard_base: u32,
    said: Track,
    packets: Vec<PacketNote>,
    events_heard: usize,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    sent: u64,
    raw: Vec<(u8, Vec<u8>, oneshot::Sender<()>)>,
}

/// One call's sound.
pub struct Media {
    state: Arc<Mutex<State>>,
    pub local: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Media {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Media {
    /// Binds an even port and the odd one after it, and begins to tick.
    pub async fn open(ip: IpAddr) -> std::io::Result<Self> {
        let (socket, rtcp) = bind_pair(ip).await?;
        let local = socket.local_addr()?;
        let mut seed = [0u8; 10];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        let state = Arc::new(Mutex::new(State {
            peer: None,
            voice: Voice::Silence,
            voice_position: 0,
            pressing: None,
            heard: Track::default(),
            heard_ssrc: None,
            heard_base: 0,
            said: Track::default(),
            packets: Vec::new(),
            events_heard: 0,
            sequence: u16::from_be_bytes([seed[0], seed[1]]),
            timestamp: u32::from_be_bytes([seed[2], seed[3], seed[4], seed[5]]),
            ssrc: u32::from_be_bytes([seed[6], seed[7], seed[8], seed[9]]),
            sent: 0,
            raw: Vec::new(),
        }));
        let task = tokio::spawn(run(state.clone(), socket, rtcp));
        Ok(Self { state, local, task })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_peer(&self, peer: Peer) {
        self.state().peer = Some(peer);
    }

    pub fn say(&self, voice: Voice) {
        let mut state = self.state();
        state.voice = voice;
        state.voice_position = 0;
    }

    /// Sends these keys one after another, 100 ms each, and returns when the last one ended.
    pub async fn press(&self, keys: &str, how: KeySending) -> Instant {
        let (done, ended) = oneshot::channel();
        {
            let mut state = self.state();
            let event_timestamp = state.timestamp;
            state.pressing = Some(Pressing {
                keys: keys.chars().collect(),
                next: 0,
                step: 0,
                how,
                done: Some(done),
                event_timestamp,
            });
        }
        ended.await.unwrap_or_else(|_| clock::now())
    }

    pub fn heard(&self) -> Track {
        self.state().heard.clone()
    }

    pub fn said(&self) -> Track {
        self.state().said.clone()
    }

    pub fn packets(&self) -> Vec<PacketNote> {
        self.state().packets.clone()
    }

    /// Packets received so far.
    pub fn packet_count(&self) -> usize {
        self.state().packets.len()
    }

    /// Telephone-event packets received so far.
    pub fn events_heard(&self) -> usize {
        self.state().events_heard
    }

    /// Sends one packet of this payload as it is, at the next tick: for tests of bad input.
    pub async fn send_raw(&self, payload_type: u8, payload: &[u8]) {
        let (done, sent) = oneshot::channel();
        self.state()
            .raw
            .push((payload_type, payload.to_vec(), done));
        // A call that is over sends nothing more.
        let _ = sent.await;
    }

    pub fn sent(&self) -> u64 {
        self.state().sent
    }
}

async fn bind_pair(ip: IpAddr) -> std::io::Result<(UdpSocket, UdpSocket)> {
    let mut last = None;
    for _ in 0..64 {
        let probe = UdpSocket::bind((ip, 0)).await?;
        let port = probe.local_addr()?.port() & !1;
        drop(probe);
        if port < 1024 {
            continue;
        }
        match (
            UdpSocket::bind((ip, port)).await,
            UdpSocket::bind((ip, port + 1)).await,
        ) {
            (Ok(rtp), Ok(rtcp)) => return Ok((rtp, rtcp)),
            (Err(error), _) | (_, Err(error)) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("no pair of ports is free")))
}

async fn run(state: Arc<Mutex<State>>, socket: UdpSocket, rtcp: UdpSocket) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut buffer = [0u8; 2048];
    let mut ignored = [0u8; 2048];
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let outgoing = {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.tick(clock::now())
                };
                for (remote, packet) in outgoing {
                    // A phone does not care whether the far end's port is open yet.
                    let _ = socket.send_to(&packet, remote).await;
                }
            }
            received = socket.recv_from(&mut buffer) => {
                if let Ok((length, _)) = received {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.hear(clock::now(), &buffer[..length]);
                }
            }
            _ = rtcp.recv_from(&mut ignored) => {}
        }
    }
}

impl State {
    fn tick(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
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
            let mut encoder = create_encoder(peer.law.codec());
            let payload = encoder.encode(&frame);
            packets.push(self.packet(peer.law.payload_type(), false, self.timestamp, &payload));
        }
        if !audio {
            frame.fill(0);
        }
        if self.said.samples.len() < MAX_RECORDED {
            self.said.began.get_or_insert(now);
            self.said.samples.extend_from_slice(&frame);
        }
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
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
                    let duration = ((step + 1) * FRAME) as u16;
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

    fn hear(&mut self, now: Instant, bytes: &[u8]) {
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
        let law = match payload_type {
            0 => Law::Pcmu,
            8 => Law::Pcma,
            _ => {
                self.events_heard += 1;
                return;
            }
        };
        let samples = create_decoder(law.codec()).decode(packet.payload());
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
