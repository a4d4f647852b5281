//! Whether a fit is a key: hard limits, and a score that weighs how exact, how long, how sudden
//! and how alone the two tones are.
//!
//! Harmonics of a voice can be as pure as a key, but not as exact: small ratios of whole numbers
//! miss the ratios of the keys by about two percent, in opposite directions. So what is clean may
//! be off in frequency, and what is dirty must be exact. Flat noise and hum beside the tones cost
//! little, lines and periodicity much.

use std::sync::LazyLock;

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::fit::{Fit, Window};
use crate::media::dtmf::tone::grid::{PIECE, decibels};
use crate::media::dtmf::tone::sound::LONGEST;
use crate::media::dtmf::tone::spectrum::{POINTS, bin, spectra};

/// Beyond this a frequency is no key's, in percent (ITU-T Q.24 wants 1.5 to 1.8 accepted and 3.0
/// to 3.5 rejected).
const FREQUENCY_LIMIT: f64 = 2.15;

/// Column over row, in dB.
const TWIST_LIMITS: std::ops::RangeInclusive<f64> = -10.7..=6.6;

/// The least sum of squared amplitudes: −49 dBm0 for each tone.
const LEAST_POWER: f64 = 2.0 * 80.0 * 80.0;

/// Purity asked for, in dB, by length in milliseconds.
const PURITY_FLOOR: [(f64, f64); 6] = [
    (27.5, 15.0),
    (32.5, 7.5),
    (40.0, 6.2),
    (50.0, 5.5),
    (60.0, 5.2),
    (80.0, 5.0),
];

/// Whether the fit could be a key at all, if its exactness counts for so much.
pub fn is_possible(fit: &Fit, exactness: f64) -> bool {
    let [row, column] = fit.tones;
    row.error_percent.abs() <= FREQUENCY_LIMIT
        && column.error_percent.abs() <= FREQUENCY_LIMIT
        && TWIST_LIMITS.contains(&fit.twist_db())
        && fit.power() >= LEAST_POWER
        && fit.purity_db() >= purity_floor(length_ms(fit)) - leniency_db(fit, exactness)
}

/// By how much less pure a key may be that is exact, and long enough for that to be known: codecs
/// spoil the beginning of a key, but not its frequencies, and neither does a voice that talks into
/// it.
fn leniency_db(fit: &Fit, exactness: f64) -> f64 {
    match error_percent(fit) <= EXACT && length_ms(fit) >= LONG_MS {
        true => LENIENCY_DB + DB_PER_EXACTNESS * exactness,
        false => 0.0,
    }
}

/// What it tells that both tones are nearer to a key than just exact, in the measure of the score:
/// the lines of a voice may be anywhere, so the pair of them comes so near by chance in proportion
/// to the square of the distance.
pub fn exactness(fit: &Fit) -> f64 {
    match length_ms(fit) >= LONG_MS {
        true => exactness_within(error_percent(fit)),
        false => 0.0,
    }
}

fn exactness_within(percent: f64) -> f64 {
    2.0 * (EXACT / percent.max(KNOWN)).ln().max(0.0)
}

/// By how much the tone that is farther off misses its frequency.
fn error_percent(fit: &Fit) -> f64 {
    let [row, column] = fit.tones.map(|tone| tone.error_percent.abs());
    row.max(column)
}

/// In percent.
const EXACT: f64 = 0.4;
const LONG_MS: f64 = 60.0;
const LENIENCY_DB: f64 = 1.2;
const DB_PER_EXACTNESS: f64 = 0.25;

/// How well frequencies are known over so long a window that is half key, half voice, in percent.
const KNOWN: f64 = 0.05;

/// Whether there is a third tone, as loud as the two: however exact two of them are, three are no
/// key. Nearly all that the two leave is then one line; of what a voice leaves, it is a part.
fn has_third_tone(fit: &Fit, rest: &Rest) -> bool {
    let purity_db = fit.purity_db();
    length_ms(fit) >= LONG_MS
        && purity_db < purity_floor(length_ms(fit)) - LENIENCY_DB
        && rest.line > ONE_LINE_DB - purity_db
}

/// Against all that the tones leave.
const ONE_LINE_DB: f64 = -1.5;

/// The largest share of its energy that a window can leave and be a key, one whose exactness may
/// count or any.
pub fn largest_residual(window: &Window, may_be_exact: bool) -> f64 {
    LARGEST_RESIDUALS[usize::from(may_be_exact)][window.kept()]
}

/// By the pieces that count.
static LARGEST_RESIDUALS: LazyLock<[[f64; LONGEST + 1]; 2]> = LazyLock::new(|| {
    [0.0, exactness_within(0.0)].map(|exactness| {
        std::array::from_fn(|pieces| {
            let length = in_ms(pieces);
            let lenient = match length >= LONG_MS {
                true => LENIENCY_DB + DB_PER_EXACTNESS * exactness,
                false => 0.0,
            };
            1.0 / (1.0 + 10f64.powf((purity_floor(length) - lenient) / 10.0))
        })
    })
});

/// Whether a fit around a gap could be a key. Without its worst part a voice is purer than it is, so
/// the frequencies have to be exact; they are, if a codec lost the part.
pub fn is_possible_parted(fit: &Fit) -> bool {
    let is_exact = |error: f64| error.abs() <= EXACT_PARTED;
    fit.tones.iter().all(|tone| is_exact(tone.error_percent))
        && TWIST_LIMITS.contains(&fit.twist_db())
        && fit.power() >= LEAST_POWER
        && fit.residual <= largest_residual_parted(fit.window.kept()) * fit.energy
}

/// In percent.
const EXACT_PARTED: f64 = 0.35;

/// The largest share of the energy that may be left of so many pieces around a gap: a third tone
/// would leave a third.
pub fn largest_residual_parted(kept: usize) -> f64 {
    match kept {
        ..10 => 0.0,
        10..12 => 0.15,
        12..16 => 0.20,
        _ => 0.22,
    }
}

/// Whether what has this mean square came out of quiet: before it, 10 ms had so little energy. Only
/// then is a gap looked for; in a voice that goes on there are gaps everywhere.
pub fn is_out_of_quiet(quietest: f64, mean_square: f64) -> bool {
    quietest / 80.0 <= QUIET * mean_square
}

/// −25 dB.
const QUIET: f64 = 0.003;

/// How much of the window counts.
pub fn length_ms(fit: &Fit) -> f64 {
    in_ms(fit.window.kept())
}

fn in_ms(pieces: usize) -> f64 {
    (pieces * PIECE) as f64 / 8.0
}

fn purity_floor(length: f64) -> f64 {
    if length <= PURITY_FLOOR[0].0 {
        return PURITY_FLOOR[0].1;
    }
    for step in PURITY_FLOOR.windows(2) {
        let ((from, high), (to, low)) = (step[0], step[1]);
        if length <= to {
            return high + (low - high) * (length - from) / (to - from);
        }
    }
    PURITY_FLOOR[PURITY_FLOOR.len() - 1].1
}

/// What the score needs beside the fit.
pub struct Surroundings<'a> {
    /// Before and after the high-pass: the samples of the window.
    pub unfiltered: &'a [f32],
    pub filtered: &'a [f32],
    /// Whether both tones began at once and suddenly.
    pub is_sharp: bool,
    /// The least energy of 10 ms in the 100 ms before the window.
    pub quietest: f64,
}

/// Above nothing, the fit is a key.
pub fn score(fit: &Fit, around: &Surroundings) -> f64 {
    let [row, column] = fit.tones;
    let (dr, dc) = (row.error_percent, column.error_percent);
    let error = dr.abs().max(dc.abs());
    let opposed = (dr - dc).abs() / 2.0;
    let twist = fit.twist_db().abs();
    let slope = row.slope.max(column.slope).clamp(0.03, 1.0);
    let tones = fit.power() / 2.0;
    let contrast = decibels(around.quietest / 80.0 / tones).clamp(-40.0, 0.0);
    let rest = Rest::of(fit, around);
    if has_third_tone(fit, &rest) {
        return f64::NEG_INFINITY;
    }

    -26.8 + 2.8 * (length_ms(fit) / 32.5).log2()
        - 5.9 * (error - 0.4).max(0.0)
        - 4.0 * (opposed - 0.3).max(0.0)
        - 1.4 * (twist - 3.0).max(0.0)
        - 0.5 * slope.log2()
        - 0.19 * rest.low.clamp(-30.0, 3.0)
        - 0.44 * rest.high.clamp(-35.0, -8.0)
        - 0.48 * rest.line.clamp(-30.0, -5.0)
        - 0.24 * rest.harmonics.clamp(-40.0, -10.0)
        - 5.0 * rest.periodicity.clamp(0.1, 1.0)
        + if around.is_sharp { 1.8 } else { 0.0 }
        - 0.18 * contrast
}

/// What the tones leave, in dB against them.
struct Rest {
    /// Below all tones, where pitch and hum are.
    low: f64,
    /// Above all tones.
    high: f64,
    /// The strongest line.
    line: f64,
    /// At twice the frequencies of the tones.
    harmonics: f64,
    /// The largest normalised autocorrelation at the periods of voices.
    periodicity: f64,
}

impl Rest {
    fn of(fit: &Fit, around: &Surroundings) -> Self {
        let mut residual = [0.0; LONGEST * PIECE];
        let residual = &mut residual[..fit.window.samples()];
        residual.copy_from_slice(around.filtered);
        for tone in &fit.tones {
            take_out(residual, tone.amplitude, tone.angular);
        }
        for n in 0..fit.window.pieces {
            if fit.window.is_left_out(n) {
                let end = residual.len() - n * PIECE;
                residual[end - PIECE..end].fill(0.0);
            }
        }
        let periodicity = periodicity(residual);

        let spare = residual.len().saturating_sub(POINTS) / 2;
        let inner = spare..residual.len() - spare;
        let length = inner.len() as f64;
        let spectra = spectra(&residual[inner.clone()], &around.unfiltered[inner]);
        let reference = fit.power() / 4.0 * 0.375 * length * POINTS as f64;
        let against = |energy: f32| decibels(f64::from(energy) / reference);
        let band = |bins: &[f32]| against(bins.iter().sum());
        let left = &spectra.first;

        let line = left[bin(560.0)..=bin(3_400.0)]
            .windows(3)
            .map(|three| three[0] + three[1] + three[2])
            .fold(0.0, f32::max);
        let harmonics = fit.tones.iter().map(|tone| {
            let twice = bin(tone.angular * 2.0 * 8_000.0 / std::f64::consts::TAU);
            left[twice - 2..=twice + 2].iter().sum::<f32>()
        });
        Self {
            low: band(&spectra.second[bin(47.0)..=bin(550.0)]),
            high: band(&left[bin(1_900.0)..=bin(3_400.0)]),
            line: against(line),
            harmonics: against(harmonics.sum()),
            periodicity,
        }
    }
}

/// Subtracts a tone whose amplitude and phase are known in the middle of the samples.
fn take_out(samples: &mut [f32], amplitude: Complex, angular: f64) {
    let start = -(samples.len() as f64 - 1.0) / 2.0;
    let mut value = amplitude * Complex::turn(angular * start);
    let step = Complex::turn(angular);
    for sample in samples {
        *sample -= value.re as f32;
        value = value * step;
    }
}

/// The pitch of voices, as periods in samples: 73 to 400 Hz.
const SHORTEST_PERIOD: usize = 20;
const LONGEST_PERIOD: usize = 110;

/// The largest autocorrelation at a distance of 20 to 110 samples, of the geometric mean of the
/// energies that overlap.
fn periodicity(residual: &[f32]) -> f64 {
    let farthest = LONGEST_PERIOD.min(residual.len().saturating_sub(81));
    let mut best = 0.0f64;
    let total = energy(residual);
    let (mut head, mut tail) = (total, total);
    for lag in 1..=farthest {
        // What the shift takes from either end.
        let (first, last) = (residual[lag - 1], residual[residual.len() - lag]);
        head -= f64::from(last * last);
        tail -= f64::from(first * first);
        if lag >= SHORTEST_PERIOD {
            let both = (head * tail).max(1e-6).sqrt();
            best = best.max(f64::from(product(residual, lag)) / both);
        }
    }
    best
}

fn energy(samples: &[f32]) -> f64 {
    f64::from(samples.iter().map(|s| s * s).sum::<f32>())
}

#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn product(samples: &[f32], lag: usize) -> f32 {
    let (early, late) = (&samples[..samples.len() - lag], &samples[lag..]);
    let mut sums = [0.0f32; 8];
    for (a, b) in early.chunks_exact(8).zip(late.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest = early.len() / 8 * 8;
    let tail = early[rest..].iter().zip(&late[rest..]);
    sums.iter().sum::<f32>() + tail.map(|(a, b)| a * b).sum::<f32>()
}
