//! One phone's RTP: what it sends, and what it counted of what came.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// 20 ms of G.711.
const SAMPLES: usize = 160;
const HEADER: usize = 12;
const PCMU: u8 = 0;
const EVENT: u8 = 101;
/// A key lasts for so many packets; its end is sent three times at once (RFC 4733 §2.5.1.4).
const KEY_PACKETS: u16 = 6;
const KEY_ENDS: usize = 3;
/// Between two keys. After the last it speaks at once.
const KEY_PAUSE: u16 = 5;

/// Bytes of a mark.
const MARK: usize = 16;
const SILENCE: u8 = 0xff;
/// Behind its mark who speaks into a mix says this: no mark of another hides it.
const LOUD: u8 = 0x90;

/// Where a packet came from, written into its first samples. Where a row passes through, it
/// arrives as it was sent.
#[derive(Clone, Copy, Debug)]
struct Mark {
    stream: u32,
    number: u32,
    sent_us: u64,
}

/// What is expected in an ear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The packets of this stream, every one, untouched.
    Through(usize),
    /// A mix of our own pace: fifty packets a second.
    Mix,
}

/// What an ear counted while it was measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub received: u64,
    /// Numbers that were left out between the first and the last.
    pub gaps: u64,
    /// Packets that came twice, or behind their turn.
    pub disordered: u64,
}

pub struct Stream {
    pub index: usize,
    pub socket: UdpSocket,
    pub remote: Option<SocketAddr>,
    pub expected: Expected,
    /// Whether it is to be found in a mix with others.
    pub speaks_up: bool,
    /// The millisecond of each twenty in which it sends.
    pub phase: u64,
    sequence: u16,
    timestamp: u32,
    number: u32,
    keys: Keys,
    pub first_measured: u32,
    pub last_measured: u32,
    measuring: bool,
    last_sequence: Option<u16>,
    pub count: Count,
    /// When the last key that was waiting was let go, and when something else came than what the
    /// counterpart sent. Both are taken away by who looks for them.
    #[allow(dead_code, reason = "not every bench has roles change")]
    pub released: Option<Instant>,
    #[allow(dead_code, reason = "not every bench has roles change")]
    pub laid_over: Option<Instant>,
    /// Numbers of the stream heard that came, from its first measured one on.
    heard: Vec<bool>,
    pub latencies_us: Vec<u32>,
}

/// Keys that are still to be sent, and how far the present one is.
#[derive(Default)]
struct Keys {
    waiting: std::collections::VecDeque<u8>,
    packet: u16,
    timestamp: u32,
}

impl Stream {
    pub fn open(index: usize, ip: &str, expected: Expected) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((ip, 0)).with_context(|| format!("a socket at {ip}"))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            index,
            socket,
            remote: None,
            expected,
            speaks_up: false,
            phase: index as u64 * 7 % 20,
            sequence: 0,
            timestamp: 0,
            number: 0,
            keys: Keys::default(),
            first_measured: 0,
            last_measured: 0,
            measuring: false,
            last_sequence: None,
            count: Count::default(),
            released: None,
            laid_over: None,
            heard: Vec::new(),
            latencies_us: Vec::new(),
        })
    }

    /// Presses keys, one after another.
    pub fn press(&mut self, keys: &str) {
        let codes = keys.chars().filter_map(|key| match key {
            '0'..='9' => Some(key as u8 - b'0'),
            '*' => Some(10),
            '#' => Some(11),
            _ => None,
        });
        self.keys.waiting.extend(codes);
    }

    pub fn send(&mut self, start: Instant, now: Instant) {
        let Some(remote) = self.remote else {
            return;
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        if self.keys.waiting.is_empty() {
            self.send_speech(remote, now - start);
        } else {
            self.send_key(remote);
        }
    }

    fn send_speech(&mut self, to: SocketAddr, since: Duration) {
        let mut packet = [SILENCE; HEADER + SAMPLES];
        if self.speaks_up {
            // Both signs, or it would be a level and no sound.
            for (place, sample) in packet[HEADER + MARK..].iter_mut().enumerate() {
                *sample = LOUD ^ if place / 10 % 2 == 0 { 0 } else { 0x80 };
            }
        }
        self.write_header(&mut packet, PCMU, false, self.timestamp);
        let mark = Mark {
            stream: self.index as u32,
            number: self.number,
            sent_us: since.as_micros() as u64,
        };
        mark.write(&mut packet[HEADER..]);
        self.number += 1;
        // What the kernel does not take is found missing in the ear.
        let _ = self.socket.send_to(&packet, to);
    }

    fn send_key(&mut self, to: SocketAddr) {
        let Some(&code) = self.keys.waiting.front() else {
            return;
        };
        let step = self.keys.packet;
        let last = self.keys.waiting.len() == 1;
        if step == 0 {
            self.keys.timestamp = self.timestamp;
        }
        if step < KEY_PACKETS {
            self.send_event(to, code, (step + 1) * SAMPLES as u16, step == 0, false);
        } else if step == KEY_PACKETS {
            if last {
                self.released = Some(Instant::now());
            }
            for repeat in 0..KEY_ENDS {
                self.sequence = self.sequence.wrapping_add(u16::from(repeat > 0));
                self.send_event(to, code, KEY_PACKETS * SAMPLES as u16, false, true);
            }
        }
        self.keys.packet += 1;
        let pause = if last { 0 } else { KEY_PAUSE };
        if self.keys.packet > KEY_PACKETS + pause {
            self.keys.packet = 0;
            self.keys.waiting.pop_front();
        }
    }

    fn send_event(&self, to: SocketAddr, code: u8, duration: u16, begins: bool, ended: bool) {
        let mut packet = [0_u8; HEADER + 4];
        self.write_header(&mut packet, EVENT, begins, self.keys.timestamp);
        packet[HEADER] = code;
        packet[HEADER + 1] = if ended { 0x80 | 10 } else { 10 };
        packet[HEADER + 2..].copy_from_slice(&duration.to_be_bytes());
        let _ = self.socket.send_to(&packet, to);
    }

    fn write_header(&self, packet: &mut [u8], payload_type: u8, marker: bool, timestamp: u32) {
        packet[0] = 0x80;
        packet[1] = payload_type | u8::from(marker) << 7;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&(self.index as u32 + 1).to_be_bytes());
    }

    pub fn begin_measuring(&mut self) {
        self.first_measured = self.number;
        self.count = Count::default();
        self.last_sequence = None;
        self.measuring = true;
        self.latencies_us.clear();
    }

    /// Of the stream that this ear hears: from which number on it counts.
    pub fn expect_from(&mut self, first: u32, packets: usize) {
        self.first_measured = first;
        self.heard = vec![false; packets];
    }

    pub fn end_measuring(&mut self) {
        self.last_measured = self.number;
        if self.expected == Expected::Mix {
            self.measuring = false;
        }
    }

    /// Packets of a stream, from `first` to `last`, that did not come.
    pub fn missing(&self, first: u32, last: u32) -> u64 {
        let wanted = (last - first) as usize;
        let came = self.heard.iter().take(wanted).filter(|came| **came).count();
        (wanted - came) as u64
    }

    pub fn receive(&mut self, start: Instant) {
        let mut packet = [0_u8; 2048];
        while let Ok((length, _)) = self.socket.recv_from(&mut packet) {
            // The report of one phone may lie in the port of the next: RTCP goes to the port above.
            let is_rtcp = (192..=223).contains(&packet[1]);
            if length < HEADER || is_rtcp {
                continue;
            }
            if self.laid_over.is_none() && Self::is_laid_over(&packet[HEADER..length]) {
                self.laid_over = Some(Instant::now());
            }
            if self.measuring {
                let since = Instant::now() - start;
                self.count_packet(&packet[..length], since);
            }
        }
    }

    /// Whether somebody speaks into what the counterpart of this agent or customer sent, which is
    /// silence but for its mark: more loud samples than a mark has.
    fn is_laid_over(payload: &[u8]) -> bool {
        // Of µ-law, the fewer of the lower seven bits are set the louder it is.
        let loud = |byte: &&u8| **byte & 0x7f < 0x30;
        payload.len() == SAMPLES && payload.iter().filter(loud).count() > MARK
    }

    fn count_packet(&mut self, packet: &[u8], since: Duration) {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        self.count.received += 1;
        if let Some(last) = self.last_sequence {
            match sequence.wrapping_sub(last) {
                0 => self.count.disordered += 1,
                ahead @ 1..0x8000 => self.count.gaps += u64::from(ahead - 1),
                _ => {
                    // It had been counted as left out.
                    self.count.disordered += 1;
                    self.count.gaps = self.count.gaps.saturating_sub(1);
                    return;
                }
            }
        }
        self.last_sequence = Some(sequence);
        let Expected::Through(from) = self.expected else {
            return;
        };
        let Some(mark) = Mark::read(&packet[HEADER..]) else {
            return;
        };
        if mark.stream != from as u32 || mark.number < self.first_measured {
            return;
        }
        let place = (mark.number - self.first_measured) as usize;
        if let Some(came) = self.heard.get_mut(place) {
            *came = true;
            let late = (since.as_micros() as u64).saturating_sub(mark.sent_us);
            self.latencies_us.push(late.min(u64::from(u32::MAX)) as u32);
        }
    }
}

impl Mark {
    fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.stream.to_be_bytes());
        payload[4..8].copy_from_slice(&self.number.to_be_bytes());
        payload[8..16].copy_from_slice(&self.sent_us.to_be_bytes());
    }

    fn read(payload: &[u8]) -> Option<Self> {
        Some(Self {
            stream: u32::from_be_bytes(payload.get(..4)?.try_into().ok()?),
            number: u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?),
            sent_us: u64::from_be_bytes(payload.get(8..16)?.try_into().ok()?),
        })
    }
}
