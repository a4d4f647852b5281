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

    /// The holes of windows that end now.
    pub fn holes(&self) -> Holes {
        let energies = self.energies(0, LONGEST).first_chunk();
        Holes {
            energies: energies.copied().unwrap_or_default(),
            stronger: [0; LONGEST],
            seen: 0,
        }
    }

    /// The least energy of 10 ms in the 100 ms before a window.
    pub fn quietest_before(&self, window: &Window) -> f64 {
        let before = self.energies(window.skipped + window.pieces, BEFORE);
        // Each begins a pause, four of them side by side.
        let begins = before.len() - PAUSE + 1;
        let mut least = [f32::MAX; 4];
        for begin in (0..=begins - 4).step_by(4).chain([begins - 4]) {
            for lane in 0..4 {
                let mut sum = 0.0;
                for piece in (0..PAUSE).rev() {
                    sum += before[begin + lane + piece];
                }
                least[lane] = if sum < least[lane] { sum } else { least[lane] };
            }
        }
        f64::from(least.into_iter().fold(f32::MAX, f32::min))
    }
}

/// Finds the pieces that are much weaker than the rest, in windows that end now, each longer than
/// the one before.
pub struct Holes {
    /// Oldest first.
    energies: [f32; LONGEST],
    /// How many of the `seen` newest are stronger by far.
    stronger: [u32; LONGEST],
    seen: usize,
}

impl Holes {
    /// The pieces that are much weaker than the rest of so many, with their neighbours: one bit for
    /// each, the newest lowest.
    pub fn among(&mut self, pieces: usize) -> u64 {
        // A piece is weaker than three quarters of them if enough are stronger than it.
        let enough = (pieces - pieces * 3 / 4) as u32;
        let mask = (1 << pieces) - 1;
        let weak = u64::from(weak(self, pieces, enough)) & mask;
        (weak | weak << 1 | weak >> 1) & mask
    }
}

/// Counts on to so many pieces; says against which of all enough are stronger, the last lowest.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn weak(holes: &mut Holes, pieces: usize, enough: u32) -> u32 {
    let fresh = &holes.energies[LONGEST - pieces..LONGEST - holes.seen];
    holes.seen = pieces;
    let mut weak = 0;
    let eights = holes.energies.chunks_exact(8);
    for (eight, kept) in eights.zip(holes.stronger.chunks_exact_mut(8)).rev() {
        let mut stronger = [0u32; 8];
        stronger.copy_from_slice(kept);
        for energy in fresh {
            let scaled = MUCH_WEAKER * energy;
            for lane in 0..8 {
                stronger[lane] += u32::from(scaled > eight[lane]);
            }
        }
        kept.copy_from_slice(&stronger);
        let mut bits = 0;
        for lane in 0..8 {
            bits |= u32::from(stronger[lane] >= enough) << (7 - lane);
        }
        weak = weak >> 8 | bits << (LONGEST - 8);
    }
    weak
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_weaker_than_three_quarters_of_its_window() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..500 {
            let energies: [f32; LONGEST] =
                std::array::from_fn(|_| random.f32().powi(6) * 1_000.0 + 1.0);
            let mut holes = Holes {
                energies,
                stronger: [0; LONGEST],
                seen: 0,
            };

            for pieces in [16, 20, 24, 28, LONGEST] {
                let among = holes.among(pieces);

                let window = &energies[LONGEST - pieces..];
                let is_weak = |back: usize| {
                    let energy = window[pieces - 1 - back];
                    let stronger = window.iter().filter(|e| MUCH_WEAKER * **e > energy);
                    stronger.count() >= pieces - pieces * 3 / 4
                };
                for back in 0..pieces {
                    let near = back.saturating_sub(1)..=(back + 1).min(pieces - 1);
                    let expected = near.into_iter().any(is_weak);
                    assert_eq!(among >> back & 1 == 1, expected, "{pieces}: {back}");
                }
                assert_eq!(among >> pieces, 0);
            }
        }
    }
}
