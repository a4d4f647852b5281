//! What was heard lately: the samples before and after the high-pass, and the energies of the
//! pieces that the filtered ones make.

// Lanes are counted, so that the loops read as the vectors that they become.
#![allow(clippy::needless_range_loop)]

use crate::media::dtmf::tone::bank::{Bank, Survey, TABLES, Tables};
use crate::media::dtmf::tone::fit::Window;
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, pieces_in};
use crate::media::dtmf::tone::history::History;
use crate::media::dtmf::tone::moments::REACH;

/// The longest window that is looked at, in pieces: 80 ms.
pub const LONGEST: usize = 32;

/// Energies that are kept: 320 ms.
const ENERGIES: usize = 128;

/// Against three quarters of a window's pieces, what is a hole in it.
const MUCH_WEAKER: f32 = 0.12;

/// The pause before a key that says how quiet it was: the least 10 ms of so much.
const BEFORE: usize = pieces_in(100);
const PAUSE: usize = pieces_in(10);

#[derive(Clone, Debug)]
pub struct Sound {
    tables: &'static Tables,
    bank: Bank,
    pub unfiltered: History,
    pub filtered: History,
    /// Energies by number, each in two places, so that the newest always lie in one piece.
    energies: [f32; 2 * ENERGIES],
    /// Pieces heard since the beginning.
    present: u64,
}

impl Sound {
    pub fn new() -> Self {
        Self {
            tables: &TABLES,
            bank: Bank::default(),
            unfiltered: History::new(LONGEST * PIECE),
            filtered: History::new(REACH * PIECE),
            energies: [0.0; 2 * ENERGIES],
            present: 0,
        }
    }

    #[inline]
    pub fn take(&mut self, block: &[i16; BLOCK]) -> Survey {
        let input = self.unfiltered.next_block();
        for (place, sample) in input.iter_mut().zip(block) {
            *place = f32::from(*sample);
        }
        let output = self.filtered.next_block();
        let survey = self.bank.survey(self.tables, input, output);
        for energy in survey.energy {
            let place = self.present as usize % ENERGIES;
            self.energies[place] = energy;
            self.energies[place + ENERGIES] = energy;
            self.present += 1;
        }
        survey
    }

    /// Pieces heard since the beginning.
    pub fn present(&self) -> u64 {
        self.present
    }

    /// Samples heard since the beginning.
    pub fn now(&self) -> u64 {
        self.present * PIECE as u64
    }

    /// Energies of so many pieces, oldest first, without the `skipped` newest.
    pub fn energies(&self, skipped: usize, pieces: usize) -> &[f32] {
        let end = self.present as usize % ENERGIES + ENERGIES - skipped;
        &self.energies[end - pieces..end]
    }

    pub fn newest_energy(&self, pieces: usize) -> f32 {
        self.energies(0, pieces).iter().rev().sum()
    }

    /// Energy of the pieces of a window that count.
    pub fn energy(&self, window: &Window) -> f64 {
        let mut all = sum(self.energies(window.skipped, window.pieces));
        for hole in window.holes() {
            all -= sum(self.energies(hole.skipped, hole.pieces));
        }
        all
    }

    /// The newest pieces that are much weaker than the rest of so many, with their neighbours: one
    /// bit for each, the newest lowest.
    pub fn holes(&self, pieces: usize) -> u64 {
        let energies = self.energies(0, pieces);
        // A piece is weaker than three quarters of them if enough are stronger than it.
        let weak = weak(energies, (pieces - pieces * 3 / 4) as u32);
        (weak | weak << 1 | weak >> 1) & ((1 << pieces) - 1)
    }

    /// The least energy of 10 ms in the 100 ms before a window.
    pub fn quietest_before(&self, window: &Window) -> f64 {
        let before = self.energies(window.skipped + window.pieces, BEFORE);
        let sums = before.windows(PAUSE).map(|four| four.iter().rev().sum());
        f64::from(sums.fold(f32::MAX, f32::min))
    }
}

/// In four chains, so that an addition need not wait for the one before it.
fn sum(energies: &[f32]) -> f64 {
    let mut sums = [0.0f64; 4];
    let fours = energies.chunks_exact(4);
    for (sum, energy) in sums.iter_mut().zip(fours.remainder()) {
        *sum = f64::from(*energy);
    }
    for four in fours {
        for lane in 0..4 {
            sums[lane] += f64::from(four[lane]);
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// The pieces against which so many others are stronger by far: one bit for each, the last lowest.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn weak(energies: &[f32], enough: u32) -> u64 {
    let mut scaled = [0.0f32; LONGEST];
    for (scaled, energy) in scaled.iter_mut().zip(energies) {
        *scaled = MUCH_WEAKER * energy;
    }
    let is_weak = |energy: f32| {
        let mut stronger = 0;
        for scaled in &scaled {
            stronger += u32::from(*scaled > energy);
        }
        stronger >= enough
    };
    // If the weakest is not, none is.
    if !is_weak(energies.iter().copied().fold(f32::MAX, f32::min)) {
        return 0;
    }
    let mut weak = 0;
    for energy in energies {
        weak = weak << 1 | u64::from(is_weak(*energy));
    }
    weak
}
