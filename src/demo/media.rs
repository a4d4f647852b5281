//! The sound of a simulated phone: speaks a voice, sends keys, records what it hears and the
//! numbers of every packet.

mod memory;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use audio_codec::CodecType;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::demo::media::memory::Memory;
use crate::demo::media::stream::{Gathered, Pressing, State};
use crate::edge::clock;

/// Samples in 20 ms of 8 kHz.
pub const FRAME: usize = 160;
pub const RATE_HZ: usize = 8000;

/// What a phone speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Pcmu,
    Pcma,
    /// 16 kHz, though its RTP clock says 8 (RFC 3551 §4.5.2).
    G722,
    /// A codec that the service can only pass on.
    G729,
    Opus,
}

impl Codec {
    const ALL: [Self; 5] = [Self::Pcmu, Self::Pcma, Self::G722, Self::G729, Self::Opus];

    pub fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::G722 => 9,
            Codec::G729 => 18,
            Codec::Opus => 111,
        }
    }

    /// As SDP names it.
    pub fn rtpmap(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU/8000",
            Codec::Pcma => "PCMA/8000",
            Codec::G722 => "G722/8000",
            Codec::G729 => "G729/8000",
            Codec::Opus => "opus/48000/2",
        }
    }

    /// Of RTP timestamps.
    pub fn clock_rate_hz(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::G729 => 8_000,
            Codec::Opus => 48_000,
        }
    }

    /// `None` for keys, and for what no phone here speaks.
    pub fn of_payload_type(payload_type: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|codec| codec.payload_type() == payload_type)
    }

    fn coding(self) -> Coding {
        match self {
            Codec::Pcmu => Coding::Coded(CodecType::PCMU),
            Codec::Pcma => Coding::Coded(CodecType::PCMA),
            Codec::G722 => Coding::Coded(CodecType::G722),
            // Two frames of ten bytes.
            Codec::G729 => Coding::Always(&[0x72; 20]),
            // 20 ms of silence.
            Codec::Opus => Coding::Always(&[0xf8, 0xff, 0xfe]),
        }
    }
}

/// How a phone makes 20 ms of its voice a payload.
enum Coding {
    Coded(CodecType),
    /// It neither codes nor decodes: each of its packets is this one.
    Always(&'static [u8]),
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
    pub codec: Codec,
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
            memory: Memory::default(),
            events_heard: 0,
            undecoded_heard: 0,
            sequence: u16::from_be_bytes([seed[0], seed[1]]),
            timestamp: u32::from_be_bytes([seed[2], seed[3], seed[4], seed[5]]),
            ssrc: u32::from_be_bytes([seed[6], seed[7], seed[8], seed[9]]),
            sent: 0,
            frames_each: 1,
            gathered: Gathered::default(),
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

    /// Sends packets of so many frames of 20 ms from now on, whatever was agreed: G.711 alone.
    pub fn gather(&self, frames: usize) {
        self.state().frames_each = frames.max(1);
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

    /// Packets received so far that are, as they came, what another phone sends in a codec that it
    /// does not code.
    pub fn undecoded_heard(&self) -> usize {
        self.state().undecoded_heard
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
