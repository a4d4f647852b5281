//! One phone's RTP: what it says, and what came to its ear, checked packet by packet.

use std::net::SocketAddrV4;

use crate::keypad::{EVENT, EVENT_LENGTH, Event, Keypad, Turn};

/// 20 ms of G.711.
pub const SAMPLES: usize = 160;
pub const HEADER: usize = 12;
const SILENCE: u8 = 0xff;
/// A loud sample, on either side of zero; a click changes sides every ten.
const LOUD: [u8; 2] = [0x90, 0x10];
/// In every second there is one click, and nothing else is as loud.
const CLICK_EVERY: u64 = 50;
/// So many loud samples in a row are a click.
const RUN: usize = 12;
/// A click is not heard again for so long; the next of another phone comes after 320 ms at the soonest.
const DEAF_NS: u64 = 200_000_000;

/// What an ear is to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Every packet of this phone, untouched.
    Through(usize),
    /// A mix, at our own pace, in which this phone and perhaps another click.
    Mix(usize, Option<usize>),
}

pub struct Phone {
    pub index: usize,
    /// Which of the fleet's sockets it speaks and hears by.
    pub socket: usize,
    pub remote: Option<SocketAddrV4>,
    pub expected: Expected,
    sequence: u16,
    timestamp: u32,
    /// Of the next packet that is no click: those bear none.
    pub number: u32,
    pub keypad: Keypad,
    /// When it clicked last.
    pub clicked_ns: u64,
    /// Clicks said that every mix with this phone in it is to have, and whether the last was one.
    pub clicks: Clicks,
    pub ear: Ear,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Clicks {
    pub said: u64,
    pub is_last_counted: bool,
}

/// How a packet can fail to follow on the one before.
pub const FAULTS: [&str; 4] = ["left out", "disordered", "another SSRC", "out of time"];

/// What came since the call began.
#[derive(Clone, Debug, Default)]
pub struct Ear {
    last: Option<(u32, u16, u32)>,
    pub received: u64,
    /// Numbers that were left out.
    pub gaps: u64,
    /// Packets that came twice, or behind their turn.
    pub disordered: u64,
    /// Packets of another SSRC than the one before.
    pub renamed: u64,
    /// Packets whose time is not one packet after that of the one before.
    pub jumped: u64,
    heard_click_ns: u64,
    /// Clicks that came, of those that are counted.
    pub clicks: u64,
    /// The numbers that passed through and were marked by the speaker: from `first` on.
    first: u32,
    came: Vec<bool>,
}

/// What a packet in an ear says of the way that it took.
pub enum Heard {
    Nothing,
    /// It passed through, and was sent then.
    Through {
        sent_ns: u64,
    },
    /// A click began so many nanoseconds into it.
    Click {
        into_ns: u64,
    },
}

impl Phone {
    pub fn new(index: usize, socket: usize, expected: Expected) -> Self {
        Self {
            index,
            socket,
            remote: None,
            expected,
            sequence: 0,
            timestamp: 0,
            number: 0,
            keypad: Keypad::default(),
            clicked_ns: 0,
            clicks: Clicks::default(),
            ear: Ear::default(),
        }
    }

    /// What it says in the next 20 ms.
    pub fn next(&mut self) -> Turn {
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        self.keypad.next(self.timestamp)
    }

    /// How long each packet of it is.
    pub fn length_of(turn: &Turn) -> usize {
        match turn {
            Turn::Key(_) => HEADER + EVENT_LENGTH,
            Turn::Speak | Turn::Pause => HEADER + SAMPLES,
        }
    }

    /// Whether it clicks in the 20 ms of that number: parties of a call do not at the same time,
    /// nor with their supervisor.
    pub fn clicks_in(&self, frame: u64) -> bool {
        (frame + self.index as u64 * 17).is_multiple_of(CLICK_EVERY)
    }

    /// Writes one packet of it, of that length.
    pub fn speak(&mut self, now_ns: u64, turn: &Turn, clicks: bool, packet: &mut [u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        match turn {
            Turn::Key(event) => self.write_key(event, packet),
            Turn::Speak | Turn::Pause => self.write_speech(now_ns, clicks, packet),
        }
    }

    fn write_speech(&mut self, now_ns: u64, clicks: bool, packet: &mut [u8]) {
        self.write_header(packet, 0, false, self.timestamp);
        let payload = &mut packet[HEADER..];
        if clicks {
            for (place, sample) in payload.iter_mut().enumerate() {
                *sample = LOUD[place / 10 % 2];
            }
            self.clicked_ns = now_ns;
        } else {
            payload.fill(SILENCE);
            let words = [u64::from(self.number) << 32 | self.index as u64, now_ns];
            for (place, word) in words.iter().flat_map(|word| word.to_be_bytes()).enumerate() {
                // Four bits in a sample are as good as silence.
                payload[2 * place] = 0xf0 | word >> 4;
                payload[2 * place + 1] = 0xf0 | word & 0x0f;
            }
            self.number += 1;
        }
    }

    fn write_key(&self, event: &Event, packet: &mut [u8]) {
        self.write_header(packet, EVENT, event.is_first, event.timestamp);
        packet[HEADER..].copy_from_slice(&event.payload);
    }

    fn write_header(&self, packet: &mut [u8], payload_type: u8, marker: bool, timestamp: u32) {
        packet[0] = 0x80;
        packet[1] = payload_type | u8::from(marker) << 7;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&(self.index as u32 + 1).to_be_bytes());
    }

    /// Takes a packet that came at `at_ns`.
    pub fn hear(&mut self, packet: &[u8], at_ns: u64) -> Heard {
        if packet.len() < HEADER + 1 || (192..=223).contains(&packet[1]) {
            return Heard::Nothing;
        }
        if !self.ear.count(packet) {
            return Heard::Nothing;
        }
        let payload = &packet[HEADER..];
        if let Some(place) = loud_run(payload) {
            if at_ns < self.ear.heard_click_ns + DEAF_NS {
                return Heard::Nothing;
            }
            self.ear.heard_click_ns = at_ns;
            let into_ns = place as u64 * 125_000;
            return Heard::Click { into_ns };
        }
        let Expected::Through(from) = self.expected else {
            return Heard::Nothing;
        };
        match read_mark(payload) {
            Some((phone, number, sent_ns)) if phone == from => {
                let place = number.wrapping_sub(self.ear.first) as usize;
                if let Some(came) = self.ear.came.get_mut(place) {
                    *came = true;
                }
                Heard::Through { sent_ns }
            }
            _ => Heard::Nothing,
        }
    }
}

impl Ear {
    /// Forgets what it counted; what comes next follows on what came last.
    pub fn begin(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// Packets that did not follow on the one before, by [`FAULTS`].
    pub fn faults(&self) -> [u64; 4] {
        [self.gaps, self.disordered, self.renamed, self.jumped]
    }

    /// From which of the speaker's packets on every one is looked for, and for how many.
    pub fn look_for(&mut self, first: u32, packets: usize) {
        self.first = first;
        self.came = vec![false; packets];
    }

    /// Of the packets before `last`, how many did not come.
    pub fn missing(&self, last: u32) -> u64 {
        let missing = (self.first..last).zip(&self.came);
        missing.filter(|(_, came)| !**came).count() as u64
    }

    /// Whether it is news, and not something that came before.
    fn count(&mut self, packet: &[u8]) -> bool {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let word = |at: usize| {
            packet[at..at + 4]
                .iter()
                .fold(0, |all, byte| all << 8 | u32::from(*byte))
        };
        let (timestamp, ssrc) = (word(4), word(8));
        self.received += 1;
        if let Some((last_ssrc, last, last_timestamp)) = self.last {
            if ssrc != last_ssrc {
                // Another stream: its numbers have nothing to do with those before.
                self.renamed += 1;
                self.last = Some((ssrc, sequence, timestamp));
                return true;
            }
            match sequence.wrapping_sub(last) {
                1 => {
                    let step = timestamp.wrapping_sub(last_timestamp);
                    self.jumped += u64::from(step != SAMPLES as u32);
                }
                0 => {
                    self.disordered += 1;
                    return false;
                }
                ahead @ 2..0x8000 => self.gaps += u64::from(ahead - 1),
                _ => {
                    // It had been counted as left out.
                    self.disordered += 1;
                    self.gaps = self.gaps.saturating_sub(1);
                    return true;
                }
            }
        }
        self.last = Some((ssrc, sequence, timestamp));
        true
    }
}

fn loud_run(payload: &[u8]) -> Option<usize> {
    let loud = |sample: &u8| !sample & 0x70 >= 0x60;
    // Most packets have nothing of it.
    if !payload.iter().any(loud) {
        return None;
    }
    payload.windows(RUN).position(|run| run.iter().all(loud))
}

fn read_mark(payload: &[u8]) -> Option<(usize, u32, u64)> {
    let mark = payload.get(..32)?;
    if mark.iter().any(|sample| sample & 0xf0 != 0xf0) {
        return None;
    }
    let word = |samples: &[u8]| {
        let nibbles = samples.iter().map(|sample| u64::from(sample & 0x0f));
        nibbles.fold(0u64, |all, nibble| all << 4 | nibble)
    };
    let (who, sent_ns) = (word(&mark[..16]), word(&mark[16..]));
    Some(((who & 0xffff_ffff) as usize, (who >> 32) as u32, sent_ns))
}
