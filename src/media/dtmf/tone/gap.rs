//! Where a key was lost: the stretch of a window that is least like the rest.
//!
//! What a codec puts in the place of a lost packet sounds like the key, but wanders off its
//! frequencies, and takes a while to come back. The key before it and the key after it are still of
//! one piece: their phases run on as if nothing had happened.

// Lanes are counted, so that the loops read as the vectors that they become.
#![allow(clippy::needless_range_loop)]

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::fit::{Fit, Window};
use crate::media::dtmf::tone::grid::{PIECE, RATE_HZ, TONES_HZ, angular, pieces_in};
use crate::media::dtmf::tone::moments::PairMoments;
use crate::media::dtmf::tone::sound::LONGEST;

/// How much can be left out: a packet or two, or one and what the codec needs to recover.
const SHORTEST_GAP: usize = pieces_in(10);
const LONGEST_GAP: usize = pieces_in(40);

/// What has to be there on either side.
const SHORTEST_SIDE: usize = pieces_in(10);

/// Gaps are looked for on a grid, in pieces.
const GRID: usize = 2;

/// The shortest side and the shortest gap in steps of the grid.
const SIDE: usize = SHORTEST_SIDE / GRID;
const GAP: usize = SHORTEST_GAP / GRID;

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

/// What rounding may do to a bound, against the energy of the window.
const ROUNDING: f64 = 1e-9;

/// A window with its gap, and how far from their nominal frequencies the tones were found.
pub struct Parted {
    pub window: Window,
    pub offsets: [f64; 2],
}

/// Cosines and sines, or real and imaginary parts: one of each for each of [`OFFSETS`].
type Lanes = [[f64; 4]; 2];

/// What turns pieces to where the newest is, from that one back, for each tone.
static TURNS: LazyLock<[[Lanes; LONGEST]; 8]> = LazyLock::new(|| {
    TONES_HZ.map(|hz| {
        std::array::from_fn(|back| {
            let mut lanes = [[0.0; 4]; 2];
            for (lane, offset) in OFFSETS.iter().enumerate() {
                let turn = Complex::turn((angular(hz) + offset) * (PIECE * back) as f64);
                (lanes[0][lane], lanes[1][lane]) = (turn.re, turn.im);
            }
            lanes
        })
    })
});

/// Places of the grid in the longest window.
const PLACES: usize = LONGEST / GRID + 1;

/// The newest pieces as numbers that are sums up to each place of the grid: of the tones, row first,
/// and of the energy.
pub struct Parts {
    levels: [[[f32; 2]; LONGEST]; 2],
    tones: Tones,
    energy: ByPlace,
    /// What tones explain of the newest pieces up to each place.
    newer: ByPlace,
}

type Tones = [[Lanes; 2]; PLACES];
type ByPlace = [f64; PLACES];

/// What lies between two places of the grid.
#[derive(Clone, Copy)]
struct Side {
    from: usize,
    to: usize,
}

impl Parts {
    /// `energies` are those of the newest pieces, the oldest first.
    pub fn new(moments: &PairMoments, energies: &[f32]) -> Self {
        let mut parts = Self {
            levels: moments.levels(),
            tones: [[[[0.0; 4]; 2]; 2]; PLACES],
            energy: [0.0; PLACES],
            newer: [0.0; PLACES],
        };
        let turns = moments.pair().tones().map(|tone| &TURNS[tone]);
        add_up(&parts.levels, turns, &mut parts.tones);
        explain(&parts.tones, 0, SIDE..=PLACES - 1 - SIDE, &mut parts.newer);
        let newest_first = energies.rchunks_exact(GRID).take(PLACES - 1);
        for (n, pieces) in newest_first.enumerate() {
            let energy: f64 = pieces.iter().copied().map(f64::from).sum();
            parts.energy[n + 1] = parts.energy[n] + energy;
        }
        parts
    }

    /// The gap without which the tones leave least of the newest `pieces`, against the share that
    /// is allowed for as many as are kept.
    pub fn without_gap(&self, pieces: usize, allowed: impl Fn(usize) -> f64) -> Option<Parted> {
        let most = gaps(pieces).map(|gap| allowed(pieces - gap * GRID));
        match self.is_worth_parting(pieces / GRID, most.fold(0.0, f64::max)) {
            true => self.best_gap(pieces, allowed),
            false => None,
        }
    }

    #[inline(never)]
    fn best_gap(&self, pieces: usize, allowed: impl Fn(usize) -> f64) -> Option<Parted> {
        let end = pieces / GRID;
        let mut best = None;
        let mut least = 1.0;
        for gap in gaps(pieces) {
            let most = allowed(pieces - gap * GRID);
            // What may leave nothing would still seem to leave less: over so little, two tones that
            // are each taken as if alone can explain more than there is.
            if most <= 0.0 {
                continue;
            }
            for from in SIDE..=end - SIDE - gap {
                let sides = [Side::new(0, from), Side::new(from + gap, end)];
                let energies = sides.map(|side| self.energy(side));
                let [newer, older] = [0, 1].map(|n| energies[n] / sides[n].samples());
                if newer.min(older) < FAINTEST_SIDE * newer.max(older) {
                    continue;
                }
                let sums = sides.map(|side| self.sums(side));
                let mut explained = 0.0;
                let mut at = [0; 2];
                for (tone, at) in at.iter_mut().enumerate() {
                    let both = std::array::from_fn(|part| {
                        std::array::from_fn(|n| sums[0][tone][part][n] + sums[1][tone][part][n])
                    });
                    let powers = powers(&both);
                    let mut largest = 0.0;
                    for n in 0..OFFSETS.len() {
                        if powers[n] > largest {
                            (largest, *at) = (powers[n], n);
                        }
                    }
                    explained += largest;
                }
                let explained = explained * 2.0 / (sides[0].samples() + sides[1].samples());
                let energy = energies[0] + energies[1];
                // Against what may be left.
                let left = (energy - explained) / (most * energy).max(1e-6);
                if left < least {
                    least = left;
                    best = Some((from * GRID, gap * GRID, at));
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

    /// Whether there can be a gap without which the tones leave no more than `most`. Two sides never
    /// leave less together than each for itself, so what the cleanest at either end leaves less than
    /// it might has to make up for what the other leaves too much.
    fn is_worth_parting(&self, end: usize, most: f64) -> bool {
        let mut older = [0.0; PLACES];
        explain(&self.tones, end, SIDE..=end - SIDE, &mut older);
        let spare = |explained: f64, energy: f64| explained - (1.0 - most) * energy;
        let mut largest = [f64::MIN; 2];
        for length in SIDE..=end - SIDE - GAP {
            let begin = end - length;
            let spares = [
                spare(self.newer[length], self.energy[length]),
                spare(older[begin], self.energy[end] - self.energy[begin]),
            ];
            for side in 0..2 {
                largest[side] = spares[side].max(largest[side]);
            }
        }
        largest[0] + largest[1] >= -ROUNDING * self.energy[end]
    }

    #[inline]
    fn energy(&self, side: Side) -> f64 {
        self.energy[side.to] - self.energy[side.from]
    }

    /// Of row and column.
    #[inline]
    fn sums(&self, side: Side) -> [Lanes; 2] {
        let mut sums = self.tones[side.to];
        for tone in 0..2 {
            for part in 0..2 {
                for lane in 0..4 {
                    sums[tone][part][lane] -= self.tones[side.from][tone][part][lane];
                }
            }
        }
        sums
    }

    /// Whether the tones of a fit are those of both sides. A frequency that makes a whole turn more
    /// over the distance of the sides would continue as well; but within them it would be seen.
    pub fn is_unambiguous(&self, fit: &Fit) -> bool {
        (0..2).all(|tone| {
            let found = fit.tones[tone].angular;
            let power = self.power(&fit.window, tone, found);
            OTHER_HZ.iter().all(|hz| {
                let other = angular(*hz);
                [found - other, found + other]
                    .iter()
                    .all(|angular| self.power(&fit.window, tone, *angular) < power)
            })
        })
    }

    /// The squared sum of a tone over what is kept of a window, at a frequency in radians per sample.
    fn power(&self, window: &Window, tone: usize, angular: f64) -> f64 {
        let step = Complex::turn(angular * PIECE as f64);
        let mut turn = Complex::new(1.0, 0.0);
        let mut sum = Complex::default();
        for (n, [re, im]) in self.levels[tone][..window.pieces].iter().enumerate() {
            if !window.is_left_out(n) {
                sum += Complex::new(f64::from(*re), f64::from(*im)) * turn;
            }
            turn = turn * step;
        }
        sum.power()
    }
}

/// The gaps that so many pieces have room for, in steps of the grid.
fn gaps(pieces: usize) -> RangeInclusive<usize> {
    GAP..=LONGEST_GAP.min(pieces - 2 * SHORTEST_SIDE) / GRID
}

impl Side {
    fn new(from: usize, to: usize) -> Self {
        Self { from, to }
    }

    fn samples(self) -> f64 {
        ((self.to - self.from) * GRID * PIECE) as f64
    }
}

#[inline]
fn powers(sums: &Lanes) -> [f64; 4] {
    std::array::from_fn(|n| sums[0][n] * sums[0][n] + sums[1][n] * sums[1][n])
}

/// The energy that steady tones explain, each as if it were there alone, of what lies between `end`
/// and each of some places.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn explain(tones: &Tones, end: usize, places: RangeInclusive<usize>, explained: &mut ByPlace) {
    let whole = &tones[end];
    for place in places {
        let mut largest = [0.0; 2];
        for tone in 0..2 {
            let mut powers = [0.0; 4];
            for lane in 0..4 {
                let re = whole[tone][0][lane] - tones[place][tone][0][lane];
                let im = whole[tone][1][lane] - tones[place][tone][1][lane];
                powers[lane] = re * re + im * im;
            }
            let larger = |a: f64, b: f64| if a > b { a } else { b };
            largest[tone] = larger(larger(powers[0], powers[2]), larger(powers[1], powers[3]));
        }
        let samples = (end.abs_diff(place) * GRID * PIECE) as f64;
        explained[place] = (largest[0] + largest[1]) * 2.0 / samples;
    }
}

/// Adds the pieces, turned, up to each place.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn add_up(levels: &[[[f32; 2]; LONGEST]; 2], turns: [&[Lanes; LONGEST]; 2], sums: &mut Tones) {
    for tone in 0..2 {
        let (mut re_sum, mut im_sum) = ([0.0; 4], [0.0; 4]);
        for place in 1..PLACES {
            for n in (place - 1) * GRID..place * GRID {
                let [re, im] = levels[tone][n].map(f64::from);
                let [cos, sin] = &turns[tone][n];
                for lane in 0..4 {
                    re_sum[lane] += re * cos[lane] - im * sin[lane];
                    im_sum[lane] += re * sin[lane] + im * cos[lane];
                }
            }
            sums[place][tone] = [re_sum, im_sum];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::dtmf::tone::evidence::largest_residual_parted;
    use crate::media::dtmf::tone::grid::Pair;

    const PAIR: Pair = Pair { row: 1, column: 5 };

    #[test]
    fn the_gap_is_where_the_phase_is_another() {
        for (from, gap) in [(4, 8), (6, 16), (12, 12), (20, 8)] {
            let wrong = (LONGEST - from - gap) * PIECE..(LONGEST - from) * PIECE;
            let parts = parts_of(|n| match wrong.contains(&n) {
                true => -key(n, 1.0),
                false => key(n, 1.0),
            });

            let found = parts
                .without_gap(LONGEST, |_| 0.2)
                .map(|parted| parted.window);

            let expected = ((1 << gap) - 1) << from;
            let left_out = found.map_or(0, |window| window.left_out);
            assert_eq!(left_out & expected, expected, "{from} {gap}: {left_out:b}");
        }
    }

    #[test]
    fn the_gap_of_a_short_window_leaves_enough_of_it() {
        for (pieces, from) in [(20, 6), (24, 8)] {
            let wrong = (LONGEST - from - 8) * PIECE..(LONGEST - from) * PIECE;
            for phase in (0..1_200).step_by(20) {
                let parts = parts_of(|n| match wrong.contains(&n) {
                    true => -key(n + phase, 1.0),
                    false => key(n + phase, 1.0),
                });

                let parted = parts.without_gap(pieces, largest_residual_parted);

                let window = parted.expect("a gap").window;
                let expected = 0xff << from;
                let left_out = window.left_out;
                assert_eq!(left_out & expected, expected, "{pieces}: {left_out:b}");
                assert!(largest_residual_parted(window.kept()) > 0.0, "{pieces}");
            }
        }
    }

    #[test]
    fn where_no_gap_is_looked_for_there_is_none() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut passed_over, mut found) = (0, 0);
        for _ in 0..2_000 {
            // Keys off their frequencies, with a stretch of another phase or level, in noise.
            let wrong = random.usize(..LONGEST * PIECE)..random.usize(..LONGEST * PIECE);
            let (speed, factor) = (0.99 + 0.02 * random.f64(), 3.0 * random.f64() - 1.5);
            let noise = 2.0 * random.f64();
            let parts = parts_of(|n| {
                let level = if wrong.contains(&n) { factor } else { 1.0 };
                level * key(n, speed) + noise * (random.f64() - 0.5) * 2_000.0
            });
            for pieces in [20, 24, 28, LONGEST] {
                let most = 0.3 * random.f64();

                let looked_for = parts.is_worth_parting(pieces / GRID, most);
                let there = parts.best_gap(pieces, |_| most).is_some();

                assert!(looked_for || !there, "{pieces} pieces, {most}");
                passed_over += usize::from(!looked_for);
                found += usize::from(there);
            }
        }
        assert!(passed_over > 500 && found > 500, "{passed_over} {found}");
    }

    fn key(n: usize, speed: f64) -> f64 {
        let [row, column] = PAIR.angular().map(|w| w * speed * n as f64);
        1_000.0 * (row.cos() + column.sin())
    }

    fn parts_of(mut sample: impl FnMut(usize) -> f64) -> Parts {
        let samples: Vec<f32> = (0..LONGEST * PIECE).map(|n| sample(n) as f32).collect();
        let energies: Vec<f32> = samples
            .chunks_exact(PIECE)
            .map(|piece| piece.iter().map(|s| s * s).sum())
            .collect();
        let mut moments = PairMoments::new();
        moments.reach(PAIR, 100, LONGEST, &samples);
        Parts::new(&moments, &energies)
    }
}
