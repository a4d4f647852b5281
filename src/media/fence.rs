//! The second opinion on every frame: pairs of seats that must never meet, whatever the matrix says.

use crate::media::matrix::{MAX_SEATS, Seat};

/// For each listener the speakers that must never reach them. Closed by default: a seat that
/// nobody has spoken for hears nothing and is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Bit `speaker` of `open[listener]`: this pair may meet.
    open: [u8; MAX_SEATS],
}

impl Fence {
    pub fn closed() -> Self {
        Self {
            open: [0; MAX_SEATS],
        }
    }

    pub fn open(&mut self, listener: Seat, speaker: Seat) {
        self.open[listener.index()] |= 1 << speaker.index();
    }

    pub fn admits(&self, listener: Seat, speaker: Seat) -> bool {
        self.open[listener.index()] & (1 << speaker.index()) != 0
    }
}
