//! One phone's RTP: what it sends, and what it counted of what came.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::keypad::{EVENT, EVENT_LENGTH, Event, Keypad, Turn};

/// 20 ms of G.711.
const SAMPLES: usize = 160;
const HEADER: usize = 12;
const PCMU: u8 = 0;

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
    pub keypad: Keypad,
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

impl Stream {
    pub fn open(index: usize, ip: Ipv4Addr, expected: Expected) -> anyhow::Result<Self> {
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
            keypad: Keypad::default(),
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

    pub fn send(&mut self, start: Instant, now: Instant) {
        let Some(remote) = self.remote else {
            return;
        };
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        let turn = self.keypad.next(self.timestamp);
        let packets = turn.packets();
        match turn {
            Turn::Speak => self.send_speech(remote, now - start),
            Turn::Key(event) => self.send_key(remote, &event, packets),
            Turn::Pause => {}
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

    fn send_key(&mut self, to: SocketAddr, event: &Event, packets: usize) {
        if event.is_release {
            self.released = Some(Instant::now());
        }
        for _ in 0..packets {
            let mut packet = [0_u8; HEADER + EVENT_LENGTH];
            self.write_header(&mut packet, EVENT, event.is_first, event.timestamp);
            packet[HEADER..].copy_from_slice(&event.payload);
            let _ = self.socket.send_to(&packet, to);
        }
    }

    fn write_header(&mut self, packet: &mut [u8], payload_type: u8, marker: bool, timestamp: u32) {
        self.sequence = self.sequence.wrapping_add(1);
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
