//! Where a key was lost: the stretch of a window that is least like the rest.
//!
//! What a codec puts in the place of a lost packet sounds like the key, but wanders off its
//! frequencies, and takes a while to come back. The key before it and the key after it are still of
//! one piece: their phases run on as if nothing had happened.

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::fit::{Fit, Window};
use crate::media::dtmf::tone::grid::{PIECE, RATE_HZ, angular, pieces_in};
use crate::media::dtmf::tone::moments::PairMoments;
use crate::media::dtmf::tone::sound::LONGEST;

/// How much can be left out: a packet or two, or one and what the codec needs to recover.
const SHORTEST_GAP: usize = pieces_in(10);
const LONGEST_GAP: usize = pieces_in(40);

/// What has to be there on either side.
const SHORTEST_SIDE: usize = pieces_in(10);

/// Gaps are looked for on a grid, in pieces.
const GRID: usize = 2;

/// How far from nominal a tone is looked for, in radians per sample: over 80 ms, what lies between
/// two of these is found with either.
const OFFSETS: [f64; 3] = {
    let most = std::f64::consts::TAU * 5.0 / RATE_HZ as f64;
    [-most, 0.0, most]
};

/// The power of one side, against that of the other: −7 dB. What is quiet is no side.
const FAINTEST_SIDE: f64 = 0.2;

/// How far off a tone would be that turns once more: the sides are 30 to 60 ms from each other.
const OTHER_HZ: [f64; 8] = [12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 36.0, 40.0];

/// A window with its gap, and how far from their nominal frequencies the tones were found.
pub struct Parted {
    pub window: Window,
    pub offsets: [f64; 2],
}

/// The pieces of the longest window as numbers that are sums: of the tones from the newest piece
/// on, and of the energy.
pub struct Parts {
    levels: [[Complex; LONGEST]; 2],
    tones: [[[Complex; LONGEST + 1]; OFFSETS.len()]; 2],
    energy: [f64; LONGEST + 1],
}

impl Parts {
    /// `energies` are those of the newest pieces, the oldest first.
    pub fn new(moments: &PairMoments, energies: &[f32]) -> Self {
        let levels = [moments.levels(0), moments.levels(1)];
        let mut tones = [[[Complex::default(); LONGEST + 1]; OFFSETS.len()]; 2];
        for (levels, sums) in levels.iter().zip(&mut tones) {
            for (sums, offset) in sums.iter_mut().zip(OFFSETS) {
                let step = Complex::turn(offset * PIECE as f64);
                let mut turn = Complex::new(1.0, 0.0);
                for (n, level) in levels.iter().enumerate() {
                    sums[n + 1] = sums[n] + *level * turn;
                    turn = turn * step;
                }
            }
        }
        let mut energy = [0.0; LONGEST + 1];
        for (n, piece) in energies.iter().rev().take(LONGEST).enumerate() {
            energy[n + 1] = energy[n] + f64::from(*piece);
        }
        Self {
            levels,
            tones,
            energy,
        }
    }

    /// The gap without which the tones leave least of the newest `pieces`, against the share that
    /// is allowed for as many as are kept.
    pub fn without_gap(&self, pieces: usize, allowed: impl Fn(usize) -> f64) -> Option<Parted> {
        let mut best = None;
        let mut least = 1.0;
        let longest = LONGEST_GAP.min(pieces - 2 * SHORTEST_SIDE);
        for gap in (SHORTEST_GAP..=longest).step_by(GRID) {
            let kept = pieces - gap;
            let most = allowed(kept);
            for from in (SHORTEST_SIDE..=pieces - SHORTEST_SIDE - gap).step_by(GRID) {
                let newer = self.energy[from];
                let older = self.energy[pieces] - self.energy[from + gap];
                let lengths = [from, pieces - from - gap].map(|pieces| pieces as f64);
                let per_piece = [newer / lengths[0], older / lengths[1]];
                if per_piece[0].min(per_piece[1]) < FAINTEST_SIDE * per_piece[0].max(per_piece[1]) {
                    continue;
                }
                let energy = newer + older;
                let mut explained = 0.0;
                let mut at = [0; 2];
                for (sums, at) in self.tones.iter().zip(&mut at) {
                    let mut largest = 0.0;
                    for (n, sums) in sums.iter().enumerate() {
                        let sum = sums[pieces] - (sums[from + gap] - sums[from]);
                        if sum.power() > largest {
                            (largest, *at) = (sum.power(), n);
                        }
                    }
                    explained += largest;
                }
                let explained = explained * 2.0 / (kept * PIECE) as f64;
                // Against what may be left.
                let left = (energy - explained) / (most * energy).max(1e-6);
                if left < least {
                    least = left;
                    best = Some((from, gap, at));
                }
            }
        }
        best.map(|(from, gap, at)| Parted {
            window: Window {
                left_out: ((1 << gap) - 1) << from,
                ..Window::whole(0, pieces)
            },
            offsets: at.map(|n| OFFSETS[n]),
        })
    }

    /// Whether the tones of a fit are those of both sides. A frequency that makes a whole turn more
    /// over the distance of the sides would continue as well; but within them it would be seen.
    pub fn is_unambiguous(&self, fit: &Fit) -> bool {
        let nominal = fit
            .tones
            .map(|tone| tone.angular / (1.0 + tone.error_percent / 100.0));
        (0..2).all(|tone| {
            let found = fit.tones[tone].angular - nominal[tone];
            let power = self.power(&fit.window, tone, found);
            OTHER_HZ.iter().all(|hz| {
                let other = angular(*hz);
                [found - other, found + other]
                    .iter()
                    .all(|offset| self.power(&fit.window, tone, *offset) < power)
            })
        })
    }

    /// The squared sum of a tone over what is kept of a window, so far off its nominal frequency.
    fn power(&self, window: &Window, tone: usize, offset: f64) -> f64 {
        let step = Complex::turn(offset * PIECE as f64);
        let mut turn = Complex::new(1.0, 0.0);
        let mut sum = Complex::default();
        for (n, level) in self.levels[tone][..window.pieces].iter().enumerate() {
            if !window.is_left_out(n) {
                sum += *level * turn;
            }
            turn = turn * step;
        }
        sum.power()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::dtmf::tone::grid::Pair;

    #[test]
    fn the_gap_is_where_the_phase_is_another() {
        let pair = Pair { row: 1, column: 5 };
        for (from, gap) in [(4, 8), (6, 16), (12, 12), (20, 8)] {
            let wrong = (LONGEST - from - gap) * PIECE..(LONGEST - from) * PIECE;
            let samples: Vec<f32> = (0..LONGEST * PIECE)
                .map(|n| {
                    let [row, column] = pair.angular().map(|w| w * n as f64);
                    let turned = if wrong.contains(&n) { -1.0 } else { 1.0 };
                    (turned * 1_000.0 * (row.cos() + column.sin())) as f32
                })
                .collect();
            let energies: Vec<f32> = samples
                .chunks_exact(PIECE)
                .map(|piece| piece.iter().map(|s| s * s).sum())
                .collect();
            let mut moments = PairMoments::new();
            moments.reach(pair, 100, LONGEST, &samples);

            let parts = Parts::new(&moments, &energies);
            let found = parts
                .without_gap(LONGEST, |_| 0.2)
                .map(|parted| parted.window);

            let expected = ((1 << gap) - 1) << from;
            let left_out = found.map_or(0, |window| window.left_out);
            assert_eq!(left_out & expected, expected, "{from} {gap}: {left_out:b}");
        }
    }
}
