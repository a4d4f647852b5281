//! Keys: [`event`] receives RFC 4733 telephone-events, [`tone`] listens for in-band keys.

pub mod event;
pub mod tone;

use std::fmt;

/// A telephone key. Its `Debug` prints nothing of it: digits are private.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(u8);

impl Digit {
    pub const STAR: Self = Self(10);
    pub const POUND: Self = Self(11);

    /// The event code of RFC 4733 §3.2: 0–9, `*` 10, `#` 11, A–D 12–15.
    pub fn from_event(code: u8) -> Option<Self> {
        (code < 16).then_some(Self(code))
    }

    pub fn from_char(key: char) -> Option<Self> {
        let code = match key.to_ascii_uppercase() {
            key @ '0'..='9' => key as u8 - b'0',
            '*' => 10,
            '#' => 11,
            key @ 'A'..='D' => key as u8 - b'A' + 12,
            _ => return None,
        };
        Some(Self(code))
    }

    pub fn event(self) -> u8 {
        self.0
    }

    pub fn as_char(self) -> char {
        b"0123456789*#ABCD"[usize::from(self.0)] as char
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit")
    }
}

/// How a key reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigitSource {
    /// RFC 4733 telephone-event.
    Event,
    /// Heard in the audio.
    InBand,
    /// SIP INFO.
    Info,
}
