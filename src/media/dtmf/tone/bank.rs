//! What is done to every sample: the high-pass, and the correlation with all eight tones.
//!
//! Both are matrix products over small blocks, written as plain loops over eight and sixteen lanes
//! so that they become vector instructions; `multiversion` compiles them for AVX2 as well and picks
//! at run time. Multiplications and additions are never fused: every machine hears the same.

// Lanes are counted, so that the loops read as the vectors that they become.
#![allow(clippy::needless_range_loop)]

use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::sync::LazyLock;

use crate::media::dtmf::tone::grid::{BLOCK, PIECE, Pair, TONES_HZ, angular};

/// Samples that the high-pass takes at once.
const STEP: usize = 8;

/// Memory of the high-pass: three sections of second order.
const ORDER: usize = 6;

/// Below this no key has a tone; dial tones, hum and the pitch of voices are.
const CORNER_HZ: f64 = 580.0;

/// Correlations are made of cosines in the first eight lanes and sines in the last.
type Lanes = [f32; 16];

/// Blocks that make up the window of the bank: 20 ms.
const WINDOW_BLOCKS: usize = 4;

// A vector that crosses a line of the cache costs two.
#[derive(Debug)]
#[repr(align(64))]
pub struct Tables {
    /// What each of eight inputs and six memories adds to eight outputs and to the next memories.
    highpass: [Lanes; STEP + ORDER],
    /// cos and −sin of the tones over a block.
    tones: [Lanes; BLOCK],
    /// The advance of the tones over a block, as cosines and sines.
    advance: Lanes,
}

pub static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    highpass: highpass_table(),
    tones: std::array::from_fn(|n| {
        lanes(|hz| {
            let phase = angular(hz) * n as f64;
            (phase.cos(), -phase.sin())
        })
    }),
    advance: lanes(|hz| {
        let phase = angular(hz) * BLOCK as f64;
        (phase.cos(), phase.sin())
    }),
});

/// High-pass and correlators of one signal.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub struct Bank {
    memory: [f32; STEP],
    /// Correlations of the last blocks, a ring; the newest is at `newest`.
    blocks: [Lanes; WINDOW_BLOCKS],
    newest: usize,
}

/// What the bank has to say of the newest block.
#[derive(Clone, Copy, Debug)]
pub struct Survey {
    /// Energy of the two pieces of the block.
    pub energy: [f32; BLOCK / PIECE],
    /// Squared correlation with each tone over the last 20 ms.
    pub power: [f32; 8],
}

impl Survey {
    /// The strongest row with the strongest column.
    pub fn strongest(&self) -> Pair {
        let strongest = |range: std::ops::Range<usize>| {
            let mut best = range.start;
            for tone in range {
                if self.power[tone] > self.power[best] {
                    best = tone;
                }
            }
            best
        };
        Pair {
            row: strongest(0..4),
            column: strongest(4..8),
        }
    }

    /// The share that a pair has of the energy of the last 20 ms.
    pub fn share(&self, pair: Pair, energy: f32) -> f32 {
        let power = self.power[pair.row] + self.power[pair.column];
        power * (2.0 / (WINDOW_BLOCKS * BLOCK) as f32) / energy.max(1.0)
    }
}

impl Bank {
    /// Filters `input` into `output` and correlates that.
    pub fn survey(
        &mut self,
        tables: &Tables,
        input: &[f32; BLOCK],
        output: &mut [f32; BLOCK],
    ) -> Survey {
        self.newest = (self.newest + 1) % WINDOW_BLOCKS;
        let mut survey = Survey {
            energy: [0.0; BLOCK / PIECE],
            power: [0.0; 8],
        };
        run(self, tables, input, output, &mut survey);
        survey
    }
}

#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn run(
    bank: &mut Bank,
    tables: &Tables,
    input: &[f32; BLOCK],
    output: &mut [f32; BLOCK],
    survey: &mut Survey,
) {
    for (input, output) in input.chunks_exact(STEP).zip(output.chunks_exact_mut(STEP)) {
        let mut fresh = [0.0f32; 16];
        for (sample, column) in input.iter().zip(&tables.highpass[..STEP]) {
            for lane in 0..16 {
                fresh[lane] += sample * column[lane];
            }
        }
        let mut held = [0.0f32; 16];
        for (value, column) in bank.memory[..ORDER].iter().zip(&tables.highpass[STEP..]) {
            for lane in 0..16 {
                held[lane] += value * column[lane];
            }
        }
        for lane in 0..STEP {
            output[lane] = fresh[lane] + held[lane];
            bank.memory[lane] = fresh[STEP + lane] + held[STEP + lane];
        }
    }

    // Four chains of sums, so that an addition need not wait for the one before it.
    let mut sums = [[0.0f32; 16]; 4];
    for (samples, rows) in output.chunks_exact(4).zip(tables.tones.chunks_exact(4)) {
        for chain in 0..4 {
            for lane in 0..16 {
                sums[chain][lane] += samples[chain] * rows[chain][lane];
            }
        }
    }
    for lane in 0..16 {
        bank.blocks[bank.newest][lane] =
            (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
    }

    for (piece, energy) in output.chunks_exact(PIECE).zip(&mut survey.energy) {
        let mut sums = [0.0f32; 4];
        for four in piece.chunks_exact(4) {
            for lane in 0..4 {
                sums[lane] += four[lane] * four[lane];
            }
        }
        *energy = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }

    // Older blocks are turned forward to the newest and added.
    let mut window = bank.blocks[(bank.newest + 1) % WINDOW_BLOCKS];
    for later in 2..=WINDOW_BLOCKS {
        let block = &bank.blocks[(bank.newest + later) % WINDOW_BLOCKS];
        let mut turned = [0.0f32; 16];
        for lane in 0..8 {
            let (re, im) = (window[lane], window[lane + 8]);
            let (cos, sin) = (tables.advance[lane], tables.advance[lane + 8]);
            turned[lane] = block[lane] + (re * cos - im * sin);
            turned[lane + 8] = block[lane + 8] + (re * sin + im * cos);
        }
        window = turned;
    }
    for lane in 0..8 {
        survey.power[lane] = window[lane] * window[lane] + window[lane + 8] * window[lane + 8];
    }
}

/// The lanes of eight tones, from a pair of values for each.
fn lanes(of: impl Fn(f64) -> (f64, f64)) -> Lanes {
    let mut lanes = [0.0; 16];
    for (tone, hz) in TONES_HZ.iter().enumerate() {
        let (first, second) = of(*hz);
        lanes[tone] = first as f32;
        lanes[tone + 8] = second as f32;
    }
    lanes
}

/// One section of second order in its transposed direct form.
struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

/// Butterworth of sixth order: three sections that differ in their quality alone.
fn sections() -> [Section; 3] {
    [0.5177, FRAC_1_SQRT_2, 1.9319].map(|quality| {
        let w = 2.0 * PI * CORNER_HZ / 8_000.0;
        let alpha = w.sin() / (2.0 * quality);
        let a0 = 1.0 + alpha;
        let b = (1.0 + w.cos()) / 2.0 / a0;
        Section {
            b: [b, -2.0 * b, b],
            a: [-2.0 * w.cos() / a0, (1.0 - alpha) / a0],
        }
    })
}

/// Runs the filter over eight samples once for each input and each memory alone; it is linear, so
/// the answers are the columns of its matrix.
fn highpass_table() -> [Lanes; STEP + ORDER] {
    let sections = sections();
    std::array::from_fn(|column| {
        let mut memory = [0.0; ORDER];
        if column >= STEP {
            memory[column - STEP] = 1.0;
        }
        let mut answer = [0.0; 16];
        for n in 0..STEP {
            let mut value = if n == column { 1.0 } else { 0.0 };
            for (section, memory) in sections.iter().zip(memory.chunks_exact_mut(2)) {
                let out = section.b[0] * value + memory[0];
                memory[0] = section.b[1] * value - section.a[0] * out + memory[1];
                memory[1] = section.b[2] * value - section.a[1] * out;
                value = out;
            }
            answer[n] = value as f32;
        }
        for (lane, value) in memory.iter().enumerate() {
            answer[STEP + lane] = *value as f32;
        }
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bank_agrees_with_goertzel() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut bank = Bank::default();
        let mut heard = Vec::new();

        for _ in 0..50 {
            let input = std::array::from_fn(|_| random.f32() * 20_000.0 - 10_000.0);
            let mut output = [0.0; BLOCK];
            let survey = bank.survey(&TABLES, &input, &mut output);
            heard.extend(output);
            if heard.len() < 160 {
                continue;
            }
            let window = &heard[heard.len() - 160..];
            for (tone, hz) in TONES_HZ.iter().enumerate() {
                let goertzel = goertzel_nostd::Parameters::new(*hz as f32, 8_000, 160);
                let expected = goertzel.mag_squared(window.iter());

                let scale = window.iter().map(|s| s * s).sum::<f32>();
                let error = (survey.power[tone] - expected).abs();
                assert!(error < 1e-3 * scale, "{hz} Hz: {error} of {scale}");
            }
        }
    }

    #[test]
    fn the_high_pass_leaves_the_keys_and_takes_the_hum() {
        for (hz, floor_db, ceiling_db) in [
            (50.0, -200.0, -90.0),
            (350.0, -40.0, -24.0),
            (440.0, -20.0, -12.0),
            (697.0, -1.5, 0.1),
            (941.0, -0.2, 0.1),
            (1_633.0, -0.1, 0.1),
        ] {
            let mut bank = Bank::default();
            let (mut before, mut after) = (0.0, 0.0);
            for block in 0..100 {
                let input = std::array::from_fn(|n| {
                    (angular(hz) * (block * BLOCK + n) as f64).sin() as f32 * 10_000.0
                });
                let mut output = [0.0; BLOCK];
                bank.survey(&TABLES, &input, &mut output);
                if block >= 20 {
                    before += input.iter().map(|s| f64::from(s * s)).sum::<f64>();
                    after += output.iter().map(|s| f64::from(s * s)).sum::<f64>();
                }
            }

            let gain_db = 10.0 * (after / before).log10();

            assert!(
                (floor_db..=ceiling_db).contains(&gain_db),
                "{hz} Hz: {gain_db} dB"
            );
        }
    }
}
