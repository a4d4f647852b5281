//! Least squares: the two steady tones that explain a window best.
//!
//! First with tones whose amplitude may move in a straight line, which says how steady they are and
//! by how much their frequencies miss; then with steady tones at the frequencies so corrected. What
//! they explain of the energy, against what they leave, measures steadiness, length and purity in
//! one number.

// Matrices are written by their indices, as on paper.
#![allow(clippy::needless_range_loop)]

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::grid::{PIECE, decibels};
use crate::media::dtmf::tone::moments::PairMoments;

/// A stretch of pieces that ends `skipped` pieces before the present; of its pieces, those in `left
/// out` do not count.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub skipped: usize,
    pub pieces: usize,
    /// One bit for each piece, the newest lowest.
    pub left_out: u64,
}

impl Window {
    pub fn whole(skipped: usize, pieces: usize) -> Self {
        Self {
            skipped,
            pieces,
            left_out: 0,
        }
    }

    pub fn is_left_out(&self, n: usize) -> bool {
        self.left_out >> n & 1 != 0
    }

    pub fn kept(&self) -> usize {
        self.pieces - self.left_out.count_ones() as usize
    }

    /// The stretches that are left out, each as a window of its own.
    pub fn holes(&self) -> impl Iterator<Item = Window> + use<> {
        let (mut rest, skipped) = (self.left_out, self.skipped);
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let from = rest.trailing_zeros();
                let pieces = (rest >> from).trailing_ones();
                rest &= !(((1 << pieces) - 1) << from);
                Window::whole(skipped + from as usize, pieces as usize)
            })
        })
    }

    pub fn samples(&self) -> usize {
        self.pieces * PIECE
    }

    /// Samples from the present to the middle of the window.
    pub fn middle(&self) -> f64 {
        -((self.skipped * PIECE) as f64) - (self.samples() as f64 + 1.0) / 2.0
    }
}

/// Two steady tones, row first.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    pub window: Window,
    pub tones: [FittedTone; 2],
    /// Energy of the samples that count, and what of it the tones leave.
    pub energy: f64,
    pub residual: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct FittedTone {
    /// Radians per sample.
    pub angular: f64,
    /// By how much the frequency misses its nominal value, in percent.
    pub error_percent: f64,
    /// Amplitude and phase in the middle of the window.
    pub amplitude: Complex,
    /// How much the amplitude changes from the middle to the end of the window, of itself.
    pub slope: f64,
}

impl Fit {
    /// How much the tones explain against what they leave, in dB.
    pub fn purity_db(&self) -> f64 {
        decibels((self.energy - self.residual).max(0.0) / self.residual.max(1e-6))
    }

    /// The share of the energy that the tones explain.
    pub fn share(&self) -> f64 {
        1.0 - self.residual / self.energy.max(1e-6)
    }

    /// The mean square that the tones would have together, times two.
    pub fn power(&self) -> f64 {
        self.tones[0].amplitude.power() + self.tones[1].amplitude.power()
    }

    /// Column over row, in dB.
    pub fn twist_db(&self) -> f64 {
        decibels(self.tones[1].amplitude.power() / self.tones[0].amplitude.power().max(1e-9))
    }
}

/// A frequency that the first fit may find is this far at most from the one it starts with, in
/// radians per sample: beyond it a straight line is no likeness of a turning phase.
const FARTHEST: f64 = 0.012;

/// Tones that may move leave less than steady ones, unless the frequency they start with is far off.
const MOVING_IS_BETTER: f64 = 1.5;

/// A fit that is not worth finishing, and what tones that may move leave of the energy.
#[derive(Clone, Copy, Debug)]
pub struct Hopeless {
    pub residual: f64,
}

/// Fits the pair of `moments` to `window`, starting from frequencies `offsets` (radians per sample)
/// away from the nominal ones. `energy` is that of the pieces that count.
///
/// A fit that leaves more than `most` is not finished.
pub fn fit(
    moments: &mut PairMoments,
    window: Window,
    offsets: [f64; 2],
    energy: f64,
    most: f64,
) -> Result<Fit, Hopeless> {
    let nominal = moments.pair().angular();
    let half = window.samples() as f64 / 2.0;
    let start = [nominal[0] + offsets[0], nominal[1] + offsets[1]];

    let right = correlations(moments, &window, offsets, start, half);
    let residual = energy - APART_AT_LEAST * explained_apart(&window, &right, half);
    if residual > MOVING_IS_BETTER * most {
        return Err(Hopeless { residual });
    }
    let Some((moving, explained)) = moving(&window, right, start, half) else {
        return Err(Hopeless { residual: 0.0 });
    };
    let residual = energy - explained;
    if residual > MOVING_IS_BETTER * most {
        return Err(Hopeless { residual });
    }
    let mut found = start;
    let mut slopes = [0.0; 2];
    for tone in 0..2 {
        let [level, change] = moving[tone];
        let ratio = (change * level.conj()).scale(1.0 / level.power().max(1e-9));
        slopes[tone] = ratio.re.abs();
        found[tone] += (ratio.im / half).clamp(-FARTHEST, FARTHEST);
    }

    let shifts = [found[0] - nominal[0], found[1] - nominal[1]];
    let Some((amplitudes, explained)) = steady(moments, &window, shifts, found) else {
        return Err(Hopeless { residual });
    };
    let tone = |n: usize| FittedTone {
        angular: found[n],
        error_percent: (found[n] / nominal[n] - 1.0) * 100.0,
        amplitude: amplitudes[n],
        slope: slopes[n],
    };
    Ok(Fit {
        window,
        tones: [tone(0), tone(1)],
        energy,
        residual: (energy - explained).max(0.0),
    })
}

/// What the two tones explain together is less than this times what each of them explains alone: over
/// 27.5 ms and more they have little to do with each other.
const APART_AT_LEAST: f64 = 1.15;

/// Correlations of a window with cos row, sin row, cos column, sin column, and with the same times
/// time, which is counted in halves of the window.
fn correlations(
    moments: &mut PairMoments,
    window: &Window,
    offsets: [f64; 2],
    angular: [f64; 2],
    half: f64,
) -> [f64; 8] {
    let mut right = [0.0; 8];
    let sums = moments.sums(window, angular, offsets);
    for (tone, sums) in sums.iter().enumerate() {
        right[2 * tone] = sums.level.re;
        right[2 * tone + 1] = -sums.level.im;
        right[4 + 2 * tone] = sums.change.re / half;
        right[4 + 2 * tone + 1] = -sums.change.im / half;
    }
    right
}

/// The energy that tones which may move would explain, if each were there alone.
fn explained_apart(window: &Window, right: &[f64; 8], half: f64) -> f64 {
    let [count, first, second] = still_sums(window);
    let (first, second) = (first / half, second / (half * half));
    let determinant = (count * second - first * first).max(1e-6);
    let mut explained = 0.0;
    for n in 0..4 {
        let (level, change) = (right[n], right[n + 4]);
        explained +=
            level * level * second - 2.0 * level * change * first + change * change * count;
    }
    2.0 * explained / determinant
}

/// Amplitude in the middle, and its change from there to the end, of both tones; and the energy that
/// they explain.
#[inline(never)]
fn moving(
    window: &Window,
    right: [f64; 8],
    angular: [f64; 2],
    half: f64,
) -> Option<([[Complex; 2]; 2], f64)> {
    let waves = Waves::new(angular, window, half);
    let mut solved = [0.0; 8];
    if window.left_out == 0 {
        for parity in [EVEN, ODD] {
            let columns = parity.moving;
            let part = columns.map(|column| right[column]);
            let part = solve(waves.moving(parity.sign), part)?;
            columns
                .into_iter()
                .zip(part)
                .for_each(|(column, value)| solved[column] = value);
        }
    } else {
        let mut gram = [[0.0; 8]; 8];
        for a in 0..8 {
            for b in 0..=a {
                gram[a][b] = waves.product(a % 4, b % 4, a / 4 + b / 4);
            }
        }
        solved = solve(gram, right)?;
    }
    let explained = solved.iter().zip(&right).map(|(a, b)| a * b).sum();
    let tones = [0, 1].map(|tone| {
        [0, 4].map(|base| Complex::new(solved[base + 2 * tone], -solved[base + 2 * tone + 1]))
    });
    Some((tones, explained))
}

/// Amplitudes of both tones, and the energy that they explain.
fn steady(
    moments: &mut PairMoments,
    window: &Window,
    offsets: [f64; 2],
    angular: [f64; 2],
) -> Option<([Complex; 2], f64)> {
    let mut right = [0.0; 4];
    let sums = moments.sums(window, angular, offsets);
    for (tone, sums) in sums.iter().enumerate() {
        right[2 * tone] = sums.level.re;
        right[2 * tone + 1] = -sums.level.im;
    }

    let waves = Waves::new(angular, window, 1.0);
    let mut solved = [0.0; 4];
    if window.left_out == 0 {
        for parity in [EVEN, ODD] {
            let columns = parity.steady;
            let part = columns.map(|column| right[column]);
            let part = solve(waves.steady(parity.sign), part)?;
            columns
                .into_iter()
                .zip(part)
                .for_each(|(column, value)| solved[column] = value);
        }
    } else {
        let mut gram = [[0.0; 4]; 4];
        for a in 0..4 {
            for b in 0..=a {
                gram[a][b] = waves.product(a, b, 0);
            }
        }
        solved = solve(gram, right)?;
    }
    let explained = solved.iter().zip(&right).map(|(a, b)| a * b).sum();
    let amplitudes = [0, 1].map(|tone| Complex::new(solved[2 * tone], -solved[2 * tone + 1]));
    Some((amplitudes, explained))
}

/// Over a whole window, what is even in time has nothing to do with what is odd: each is a system of
/// its own, half as large.
struct Parity {
    /// Of cos row, sin row, cos column, sin column, and then the same times time, the amplitudes of
    /// row and column, and their changes.
    moving: [usize; 4],
    steady: [usize; 2],
    sign: f64,
}

const EVEN: Parity = Parity {
    moving: [0, 2, 5, 7],
    steady: [0, 2],
    sign: 1.0,
};

const ODD: Parity = Parity {
    moving: [1, 3, 4, 6],
    steady: [1, 3],
    sign: -1.0,
};

/// Inner products of the waves cos and sin of both tones over the samples that count, weighted with
/// powers of time: sums of waves at the sums and differences of their frequencies.
struct Waves {
    /// For each pair of tones, the sum of their frequencies and the difference, by power of time.
    sums: [[Complex; 3]; 3],
    differences: [[Complex; 3]; 3],
    /// What they are to be multiplied with, by power of time.
    scale: [f64; 3],
}

impl Waves {
    /// Time is counted in `unit` samples.
    fn new(angular: [f64; 2], window: &Window, unit: f64) -> Self {
        let samples = window.samples() as f64;
        let whole = Combined::new(angular, samples / 2.0);
        let sample = Combined::new(angular, 0.5);
        let mut waves = [[Complex::default(); 3]; 4];
        for n in 0..4 {
            waves[n] = centred_wave(whole.0[n], sample.0[n], samples);
        }
        for hole in window.holes() {
            let length = hole.samples() as f64;
            let ends = Combined::new(angular, length / 2.0);
            let time = hole.middle() - window.middle();
            let turns = Combined::new(angular, time);
            for n in 0..4 {
                let gap = centred_wave(ends.0[n], sample.0[n], length);
                take_away(&mut waves[n], gap, turns.0[n], time);
            }
        }
        let still = still_sums(window).map(|sum| Complex::new(sum, 0.0));
        let [twice_row, sum, twice_column, difference] = waves;
        Self {
            sums: [twice_row, sum, twice_column],
            differences: [still, difference, still],
            scale: [0.5, 0.5 / unit, 0.5 / (unit * unit)],
        }
    }

    /// The lower half of the products of the amplitudes of row and column that are even in time (sign
    /// 1) or odd (sign −1), and of their changes, over a whole window.
    fn moving(&self, sign: f64) -> [[f64; 4]; 4] {
        let level =
            |n: usize| self.scale[0] * (self.differences[n][0].re + sign * self.sums[n][0].re);
        let change =
            |n: usize| self.scale[2] * (self.differences[n][2].re - sign * self.sums[n][2].re);
        let both = |n: usize| self.scale[1] * self.sums[n][1].im;
        let apart = self.scale[1] * sign * self.differences[1][1].im;
        [
            [level(0), 0.0, 0.0, 0.0],
            [level(1), level(2), 0.0, 0.0],
            [both(0), both(1) - apart, change(0), 0.0],
            [both(1) + apart, both(2), change(1), change(2)],
        ]
    }

    /// The same of steady amplitudes.
    fn steady(&self, sign: f64) -> [[f64; 2]; 2] {
        let level =
            |n: usize| self.scale[0] * (self.differences[n][0].re + sign * self.sums[n][0].re);
        [[level(0), 0.0], [level(1), level(2)]]
    }

    /// The product of two of cos row, sin row, cos column, sin column.
    fn product(&self, a: usize, b: usize, power: usize) -> f64 {
        let (a, b) = (a.max(b), a.min(b));
        let tones = a / 2 + b / 2;
        let sum = self.sums[tones][power];
        // Of the higher frequency less the lower: a is never the lower.
        let difference = self.differences[tones][power];
        let value = match (a % 2, b % 2) {
            (0, 0) => difference.re + sum.re,
            (1, 1) => difference.re - sum.re,
            (1, 0) => sum.im + difference.im,
            _ => sum.im - difference.im,
        };
        value * self.scale[power]
    }
}

/// Turns at the frequencies in which two waves multiply: twice the row, row and column, twice the
/// column, column less row.
struct Combined([Complex; 4]);

impl Combined {
    fn new(angular: [f64; 2], time: f64) -> Self {
        let [row, column] = angular.map(|w| Complex::turn(w * time));
        Self([
            row * row,
            row * column,
            column * column,
            column * row.conj(),
        ])
    }
}

/// Takes the sums over a piece at `time` from those over a window. The `turn` is that of the piece.
fn take_away(wave: &mut [Complex; 3], piece: [Complex; 3], turn: Complex, time: f64) {
    let [e0, e1, e2] = piece;
    wave[0] = wave[0] - turn * e0;
    wave[1] = wave[1] - turn * (e0.scale(time) + e1);
    wave[2] = wave[2] - turn * (e0.scale(time * time) + e1.scale(2.0 * time) + e2);
}

/// Σ t^p · e^(jwt) over `count` samples around the origin, for p of 0, 1 and 2: the Dirichlet
/// kernel and its derivatives. Given are e^(jw·count/2) and e^(jw/2).
fn centred_wave(whole: Complex, sample: Complex, count: f64) -> [Complex; 3] {
    let (sin, cos) = (whole.im, whole.re);
    let (below, below_cos) = (sample.im, sample.re);
    let kernel = sin / below;
    let slope = (count * cos * below - sin * below_cos) / (2.0 * below * below);
    let bend = -(count * count - 1.0) / 4.0 * kernel - below_cos / below * slope;
    [
        Complex::new(kernel, 0.0),
        Complex::new(0.0, -slope),
        Complex::new(-bend, 0.0),
    ]
}

/// Sums over the samples of a window that count, of 1, of their time and of its square.
fn still_sums(window: &Window) -> [f64; 3] {
    let squares = |count: f64| count * (count * count - 1.0) / 12.0;
    let samples = window.samples() as f64;
    let mut sums = [samples, 0.0, squares(samples)];
    for hole in window.holes() {
        let count = hole.samples() as f64;
        let time = hole.middle() - window.middle();
        sums[0] -= count;
        sums[1] -= count * time;
        sums[2] -= count * time * time + squares(count);
    }
    sums
}

/// Solves a symmetric positive system, of which the lower half is given, by Cholesky.
#[inline(always)]
fn solve<const N: usize>(mut gram: [[f64; N]; N], mut right: [f64; N]) -> Option<[f64; N]> {
    let mut inverse = [0.0; N];
    for column in 0..N {
        for row in column..N {
            let mut value = gram[row][column];
            for k in 0..column {
                value -= gram[row][k] * gram[column][k];
            }
            if row == column {
                if value <= 1e-9 {
                    return None;
                }
                inverse[column] = 1.0 / value.sqrt();
            } else {
                gram[row][column] = value * inverse[column];
            }
        }
    }
    for row in 0..N {
        let mut value = right[row];
        for k in 0..row {
            value -= gram[row][k] * right[k];
        }
        right[row] = value * inverse[row];
    }
    for row in (0..N).rev() {
        let mut value = right[row];
        for k in row + 1..N {
            value -= gram[k][row] * right[k];
        }
        right[row] = value * inverse[row];
    }
    Some(right)
}
