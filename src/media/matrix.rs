//! Who is mixed into whose ear, and how loud: gains, with no idea of roles.

use crate::id::Generation;

/// Seats in a bridge: two parties, and supervisors or consulted colleagues beside them.
pub const MAX_SEATS: usize = 8;

/// A place in a bridge. By convention 0 and 1 are the two parties, each other's counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(u8);

impl Seat {
    pub const USER: Self = Self(0);
    pub const PUPIL: Self = Self(1);

    pub fn new(index: usize) -> Option<Self> {
        (index < MAX_SEATS).then_some(Self(index as u8))
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..MAX_SEATS).map(|index| Self(index as u8))
    }
}

/// How loud a speaker is in a listener's ear: silent, or a factor in 1/256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gain(pub u16);

impl Gain {
    pub const SILENT: Self = Self(0);
    pub const UNITY: Self = Self(256);
}

/// Gains of all speakers for all listeners. Silent by default, replaced whole and never edited
/// once handed over, so that there is no instant between two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixMatrix {
    pub generation: Generation,
    /// `gains[listener][speaker]`
    gains: [[Gain; MAX_SEATS]; MAX_SEATS],
}

impl MixMatrix {
    pub fn silent(generation: Generation) -> Self {
        Self {
            generation,
            gains: [[Gain::SILENT; MAX_SEATS]; MAX_SEATS],
        }
    }

    /// # Panics
    /// When the listener is the speaker: nobody is mixed into their own ear.
    pub fn set(&mut self, listener: Seat, speaker: Seat, gain: Gain) {
        assert_ne!(listener, speaker, "nobody is mixed into their own ear");
        self.gains[listener.index()][speaker.index()] = gain;
    }

    pub fn gain(&self, listener: Seat, speaker: Seat) -> Gain {
        self.gains[listener.index()][speaker.index()]
    }
}
