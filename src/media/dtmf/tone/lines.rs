//! The two tones of a pair as lines in time: one value every 5 ms, through a Hamming window of
//! 20 ms. From their advance comes the frequency to start a fit with, from their rise the onset.

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::fit::Window;
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, decibels};
use crate::media::dtmf::tone::moments::{
    HAMMING, HAMMING_PIECES, HAMMING_SQUARES, HAMMING_SUM, PairMoments, REACH, hamming,
};

/// Hops that can be looked back.
const HOPS: usize = (REACH - HAMMING_PIECES) / 2 + 1;

/// How far the beginning of a key is looked for before its window: 150 ms.
const FARTHEST: usize = 30;

/// The gate: the weakest amplitude of a tone, the share of the energy, twist and frequency.
const LEAST_AMPLITUDE: f64 = 40.0;
const LEAST_SHARE: f64 = 0.40;
const TWIST_DB: std::ops::RangeInclusive<f64> = -12.0..=8.0;
const LARGEST_ERROR: f64 = 0.04;

/// No fit begins farther than this from the nominal frequency.
const LARGEST_START: f64 = 0.045;

/// The lines of one pair at one instant, worked out as far back as they were asked for.
pub struct Lines {
    values: [[Complex; 2]; HOPS],
    known: usize,
}

/// How a key began.
pub struct Beginning {
    /// Both tones at once, and within 10 ms.
    pub is_sharp: bool,
    /// Samples.
    pub onset_ago: usize,
}

impl Lines {
    pub fn new() -> Self {
        Self {
            values: [[Complex::default(); 2]; HOPS],
            known: 0,
        }
    }

    fn at(&mut self, moments: &PairMoments, hop: usize) -> [Complex; 2] {
        while self.known <= hop {
            self.values[self.known] = [0, 1].map(|tone| hamming(moments, self.known, tone));
            self.known += 1;
        }
        self.values[hop]
    }

    /// Whether the newest 20 ms are two lines near a key. `energy` is that of the samples under the
    /// same window.
    pub fn pass_the_gate(mut self, moments: &PairMoments, energy: f64) -> Option<Self> {
        let newest = self.at(moments, 0);
        let scale = 2.0 / HAMMING_SUM;
        let amplitudes = newest.map(|value| value.power() * scale * scale);
        let together = (amplitudes[0] + amplitudes[1]) / 2.0 * HAMMING_SQUARES;
        let twist = decibels(amplitudes[1] / amplitudes[0].max(1e-9));
        let loud = amplitudes
            .iter()
            .all(|power| *power >= LEAST_AMPLITUDE * LEAST_AMPLITUDE);
        if !loud || together < LEAST_SHARE * energy || !TWIST_DB.contains(&twist) {
            return None;
        }
        let nominal = moments.pair().angular();
        let off = self.advance(moments, 1);
        let near = |tone: usize| off[tone].abs() <= LARGEST_ERROR * nominal[tone];
        (near(0) && near(1)).then_some(self)
    }

    /// How far both frequencies are from the nominal ones over a window that ends now, in radians
    /// per sample.
    pub fn offsets(&mut self, moments: &PairMoments, pieces: usize) -> [f64; 2] {
        let nominal = moments.pair().angular();
        let hops = (pieces - HAMMING_PIECES) / 2;
        let off = self.advance(moments, hops);
        [0, 1].map(|tone| {
            let most = LARGEST_START * nominal[tone];
            off[tone].clamp(-most, most)
        })
    }

    /// The mean turn over the newest hops.
    fn advance(&mut self, moments: &PairMoments, hops: usize) -> [f64; 2] {
        let mut sums = [Complex::default(); 2];
        for hop in 0..hops {
            let (newer, older) = (self.at(moments, hop), self.at(moments, hop + 1));
            for tone in 0..2 {
                sums[tone] += newer[tone] * older[tone].conj();
            }
        }
        sums.map(|sum| sum.phase() / BLOCK as f64)
    }

    /// Walks back from the start of a window to where the tones began.
    pub fn beginning(&mut self, moments: &PairMoments, window: &Window) -> Beginning {
        let first = (window.skipped + window.pieces - HAMMING_PIECES) / 2;
        let last = (first + FARTHEST).min(HOPS - 1);
        self.at(moments, last);
        let power = |hop: usize, tone: usize| self.values[hop][tone].power();
        let fallen = |tone: usize, by: f64| {
            let strongest = (0..=first).map(|hop| power(hop, tone));
            let least = strongest.fold(0.0, f64::max) / by;
            (first..=last).find(|hop| power(*hop, tone) < least)
        };
        let half = [fallen(0, 2.0), fallen(1, 2.0)];
        let gone = [fallen(0, 15.85), fallen(1, 15.85)];

        let is_sharp = match (half, gone) {
            ([Some(row), Some(column)], [Some(row_gone), Some(column_gone)]) => {
                row_gone - row <= 2 && column_gone - column <= 2 && row.abs_diff(column) <= 1
            }
            _ => false,
        };
        Beginning {
            is_sharp,
            onset_ago: onset(half[0], window),
        }
    }
}

/// The onset in samples before the present, of the hop in which the row was first 3 dB down.
fn onset(half: Option<usize>, window: &Window) -> usize {
    let begin = (window.skipped + window.pieces) * PIECE;
    let kept = window.kept() * PIECE;
    // The middle of a window of 20 ms, a hop of 5 ms.
    let found = half.map(|hop| hop * BLOCK + 80);
    match found {
        Some(onset) if onset <= begin + 120 => onset.max(kept.saturating_sub(24)).max(1),
        _ => begin,
    }
}

/// The energy of the newest 20 ms under the square of the window, from that of its pieces.
pub fn weighted_energy(energy: impl Fn(usize) -> f32) -> f64 {
    HAMMING
        .iter()
        .enumerate()
        .map(|(n, weights)| weights[0] * weights[0] * f64::from(energy(n)))
        .sum()
}
