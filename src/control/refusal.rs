//! Everything the product declines to do, by number. `error-codes.toml` is the catalogue of texts,
//! prompts and statuses; `tests/catalogue.rs` keeps the two equal.

use std::fmt;

/// A numbered refusal. 9011 to 9015 say why a role cannot be had now; the others, why not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    Unregistered = 9001,
    PinFailed = 9002,
    SupervisionOff = 9003,
    NoCall = 9004,
    CoachingOff = 9005,
    OwnCall = 9006,
    NotPermitted = 9007,
    UnknownCommand = 9008,
    HelpTaken = 9009,
    Busy = 9010,
    ConferenceFailed = 9011,
    CoachNotAdded = 9012,
    PupilGone = 9013,
    UserGone = 9014,
    CoachNotJoined = 9015,
}

impl ErrorCode {
    pub const ALL: [Self; 15] = [
        Self::Unregistered,
        Self::PinFailed,
        Self::SupervisionOff,
        Self::NoCall,
        Self::CoachingOff,
        Self::OwnCall,
        Self::NotPermitted,
        Self::UnknownCommand,
        Self::HelpTaken,
        Self::Busy,
        Self::ConferenceFailed,
        Self::CoachNotAdded,
        Self::PupilGone,
        Self::UserGone,
        Self::CoachNotJoined,
    ];

    pub fn number(self) -> u16 {
        self as u16
    }

    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}
