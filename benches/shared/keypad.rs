//! The keys of a phone, pressed one after another, as telephone-events (RFC 4733).

use std::collections::VecDeque;

/// The payload type that the phones offer.
pub const EVENT: u8 = 101;
/// Of an event, in bytes.
pub const EVENT_LENGTH: usize = 4;
/// Samples of a packet.
const SAMPLES: u16 = 160;
/// A key lasts for so many packets; its end is sent three times at once (§2.5.1.4).
const KEY: u16 = 6;
const ENDS: usize = 3;
/// Between two keys. After the last it speaks at once.
const PAUSE: u16 = 5;
/// Of every key.
const LEVEL: u8 = 10;
const END: u8 = 0x80;

/// What the keypad has the phone do in the time of one packet.
pub enum Turn {
    Speak,
    Key(Event),
    /// Nothing: it is between two keys.
    Pause,
}

impl Turn {
    /// So many packets are sent in it.
    pub fn packets(&self) -> usize {
        match self {
            Turn::Speak => 1,
            Turn::Key(event) if event.payload[1] & END != 0 => ENDS,
            Turn::Key(_) => 1,
            Turn::Pause => 0,
        }
    }
}

pub struct Event {
    pub payload: [u8; EVENT_LENGTH],
    /// Whether the key begins with it.
    pub is_first: bool,
    /// Whether with it the last key that waits is let go.
    #[allow(dead_code, reason = "not every bench asks when a key was let go")]
    pub is_release: bool,
    /// Of the packet in which the key began.
    pub timestamp: u32,
}

#[derive(Default)]
pub struct Keypad {
    waiting: VecDeque<u8>,
    step: u16,
    timestamp: u32,
}

impl Keypad {
    /// Presses keys, after those that wait.
    pub fn press(&mut self, keys: &str) {
        let codes = keys.chars().filter_map(|key| match key {
            '0'..='9' => Some(key as u8 - b'0'),
            '*' => Some(10),
            '#' => Some(11),
            _ => None,
        });
        self.waiting.extend(codes);
    }

    /// The next 20 ms, of a stream that has come to this timestamp.
    pub fn next(&mut self, timestamp: u32) -> Turn {
        let Some(&code) = self.waiting.front() else {
            return Turn::Speak;
        };
        let step = self.step;
        let is_last = self.waiting.len() == 1;
        if step == 0 {
            self.timestamp = timestamp;
        }
        self.step += 1;
        if self.step > KEY + if is_last { 0 } else { PAUSE } {
            self.step = 0;
            self.waiting.pop_front();
        }
        if step > KEY {
            return Turn::Pause;
        }
        let end = if step == KEY { END } else { 0 };
        let [high, low] = ((step + 1).min(KEY) * SAMPLES).to_be_bytes();
        Turn::Key(Event {
            payload: [code, end | LEVEL, high, low],
            is_first: step == 0,
            is_release: step == KEY && is_last,
            timestamp: self.timestamp,
        })
    }
}
