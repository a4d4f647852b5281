//! A key that is down: whether it still sounds, and when it was let go.
//!
//! A pause of 40 ms ends a key and one of 20 ms does not (ITU-T Q.24, ETSI ES 201 235-3), however
//! they lie on the grid of blocks.

use std::sync::LazyLock;

use crate::media::dtmf::tone::fit::Fit;
use crate::media::dtmf::tone::grid::{BLOCK, Pair, TONES_HZ, angular};

/// The key that is down.
#[derive(Clone, Debug)]
pub struct Hold {
    pub pair: Pair,
    /// What the correlators give for the tones as they were when the key was recognised.
    powers: [f32; 2],
    /// Energy of 10 ms of it.
    energy: f32,
    /// Blocks since it was there last, and how many of those were quiet altogether.
    absent: u32,
    quiet: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Present,
    /// Not there, but too briefly to look for another.
    Doubtful,
    Absent,
    Released,
}

/// A tone is there if it has at least this of its power: 8.5 dB less.
const FAINTEST: f32 = 0.141;

/// Blocks without the key after which it was let go, if they were quiet, and if they were not:
/// under noise a key may be hard to hear.
const RELEASE_QUIET: u32 = 7;
const RELEASE: u32 = 11;

/// Blocks without the key before another is looked for.
const DOUBT: u32 = 2;

impl Hold {
    pub fn new(pair: Pair, fit: &Fit) -> Self {
        // The correlation of a tone with a Hann window is its amplitude times half the sum of the
        // window, which is a quarter of its length.
        let scale = (WINDOW as f64 / 4.0).powi(2);
        Self {
            pair,
            powers: fit
                .tones
                .map(|tone| (tone.amplitude.power() * scale) as f32),
            energy: (fit.power() / 2.0 * WINDOW as f64) as f32,
            absent: 0,
            quiet: 0,
        }
    }

    /// Takes the newest 10 ms and their energy.
    pub fn follow(&mut self, newest: &[f32], energy: f32) -> Presence {
        let tones = self.pair.tones();
        let sounds = |n: usize| correlation(newest, tones[n]) >= FAINTEST * self.powers[n];
        if sounds(0) && sounds(1) {
            (self.absent, self.quiet) = (0, 0);
            return Presence::Present;
        }
        self.absent += 1;
        if energy < 0.25 * self.energy {
            self.quiet += 1;
        }
        let is_quiet = self.quiet >= RELEASE_QUIET - 3;
        if self.absent >= RELEASE || self.absent >= RELEASE_QUIET && is_quiet {
            Presence::Released
        } else if self.absent < DOUBT {
            Presence::Doubtful
        } else {
            Presence::Absent
        }
    }
}

const WINDOW: usize = 2 * BLOCK;

/// Cosine and sine of each tone under a Hann window.
static WAVES: LazyLock<[[[f32; WINDOW]; 2]; 8]> = LazyLock::new(|| {
    TONES_HZ.map(|hz| {
        let wave = |n: usize| {
            let turn = std::f64::consts::TAU * (n as f64 + 0.5) / WINDOW as f64;
            let (sin, cos) = (angular(hz) * n as f64).sin_cos();
            [cos, sin].map(|part| ((0.5 - 0.5 * turn.cos()) * part) as f32)
        };
        [0, 1].map(|part| std::array::from_fn(|n| wave(n)[part]))
    })
});

fn correlation(samples: &[f32], tone: usize) -> f32 {
    let part = |wave: &[f32; WINDOW]| {
        let mut sums = [0.0f32; 8];
        for (samples, wave) in samples.chunks_exact(8).zip(wave.chunks_exact(8)) {
            for lane in 0..8 {
                sums[lane] += samples[lane] * wave[lane];
            }
        }
        sums.iter().sum::<f32>()
    };
    let [cos, sin] = &WAVES[tone];
    let (re, im) = (part(cos), part(sin));
    re * re + im * im
}
