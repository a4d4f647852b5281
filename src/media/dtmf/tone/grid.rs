//! The sixteen keys as pairs of frequencies (ITU-T Q.23), and the grid of time on which the
//! detector works.

use std::f64::consts::TAU;

use crate::media::dtmf::Digit;
use crate::media::tone::{COLUMNS_HZ, ROWS_HZ};

pub const RATE_HZ: usize = 8_000;

/// Five milliseconds: how often the detector looks.
pub const BLOCK: usize = 40;

/// Half a block: the grain of which every window is made.
pub const PIECE: usize = 20;

pub const fn pieces_in(milliseconds: usize) -> usize {
    milliseconds * RATE_HZ / 1_000 / PIECE
}

/// The eight tones: four rows, then four columns.
pub const TONES_HZ: [f64; 8] = {
    let mut tones = [0.0; 8];
    let mut n = 0;
    while n < 4 {
        tones[n] = ROWS_HZ[n] as f64;
        tones[n + 4] = COLUMNS_HZ[n] as f64;
        n += 1;
    }
    tones
};

/// Radians per sample.
pub const fn angular(hz: f64) -> f64 {
    TAU * hz / RATE_HZ as f64
}

/// The same of [`TONES_HZ`].
const TONES_ANGULAR: [f64; 8] = {
    let mut tones = TONES_HZ;
    let mut n = 0;
    while n < tones.len() {
        tones[n] = angular(tones[n]);
        n += 1;
    }
    tones
};

/// One key as the two tones it is made of, by their places in [`TONES_HZ`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub row: usize,
    pub column: usize,
}

impl Pair {
    pub fn digit(self) -> Digit {
        const KEYPAD: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];
        let code = KEYPAD[self.row][self.column - 4];
        Digit::from_event(code).unwrap_or(Digit::STAR)
    }

    pub fn tones(self) -> [usize; 2] {
        [self.row, self.column]
    }

    /// The nominal frequencies in radians per sample, row first.
    pub fn angular(self) -> [f64; 2] {
        [TONES_ANGULAR[self.row], TONES_ANGULAR[self.column]]
    }
}

/// Decibels of a ratio of powers.
pub fn decibels(ratio: f64) -> f64 {
    10.0 * ratio.max(1e-30).log10()
}
