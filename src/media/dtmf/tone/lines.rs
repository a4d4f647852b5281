//! The two tones of a pair as lines in time: one value every 5 ms, through a Hamming window of
//! 20 ms. From their advance comes the frequency to start a fit with, from their rise the onset.

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::fit::Fit;
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, Pair};
use crate::media::dtmf::tone::moments::{
    HAMMING, HAMMING_PIECES, HAMMING_SQUARES, HAMMING_SUM, HOP_TURNS, PairMoments, REACH, hamming,
};
use crate::media::dtmf::tone::sound::Sound;

/// Hops that can be looked back.
const HOPS: usize = (REACH - HAMMING_PIECES) / 2 + 1;

/// How far the beginning of a key is looked for before its window: 150 ms.
const FARTHEST: usize = 30;

/// The gate: the weakest amplitude of a tone, the share of the energy, twist and frequency.
const LEAST_AMPLITUDE: f64 = 40.0;
const LEAST_SHARE: f64 = 0.40;
/// From −12 to 8 dB, as a ratio.
const TWIST: std::ops::RangeInclusive<f64> = 0.063_095_734_448..=6.309_573_444_8;
const LARGEST_ERROR: f64 = 0.04;

/// No fit begins farther than this from the nominal frequency.
const LARGEST_START: f64 = 0.045;

/// The lines of one pair, worked out as far back as they were asked for.
#[derive(Clone, Debug)]
pub struct Lines {
    pair: Pair,
    /// The newest block, by its number.
    newest: u64,
    values: Box<[[Complex; 2]; RING]>,
    /// One bit for each value that is known, by its place.
    known: u64,
    /// The turns over the newest hops together, and over how many.
    turned: [Complex; 2],
    hops: usize,
    /// How far off the frequencies are by that.
    off: [f64; 2],
}

/// Values are kept while they can be asked for; each block has the place of its number.
const RING: usize = 64;
const _: () = assert!(HOPS <= RING);

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
            pair: Pair { row: 0, column: 4 },
            newest: 0,
            values: Box::new([[Complex::default(); 2]; RING]),
            known: 0,
            turned: [Complex::default(); 2],
            hops: 0,
            off: [0.0; 2],
        }
    }

    /// Looks at this pair, up to the block of that number.
    pub fn follow(&mut self, pair: Pair, block: u64) {
        let fresh = block.saturating_sub(self.newest);
        if pair != self.pair || fresh > 0 {
            (self.turned, self.hops) = ([Complex::default(); 2], 0);
            self.off = [0.0; 2];
        }
        if pair != self.pair || fresh >= RING as u64 {
            self.known = 0;
        }
        for number in self.newest + 1..=self.newest + fresh.min(RING as u64) {
            self.known &= !(1 << (number % RING as u64));
        }
        self.pair = pair;
        self.newest = block;
    }

    fn at(&mut self, moments: &PairMoments, hop: usize) -> [Complex; 2] {
        let place = (self.newest as usize).wrapping_sub(hop) % RING;
        if self.known >> place & 1 == 0 {
            self.values[place] = hamming(moments, hop);
            self.known |= 1 << place;
        }
        self.values[place]
    }

    /// Whether the newest 20 ms are two lines near a key.
    pub fn pass_the_gate(&mut self, moments: &PairMoments, sound: &Sound) -> bool {
        let energy = weighted_energy(sound, 0);
        let newest = self.at(moments, 0);
        let scale = 2.0 / HAMMING_SUM;
        let amplitudes = newest.map(|value| value.power() * scale * scale);
        let together = (amplitudes[0] + amplitudes[1]) / 2.0 * HAMMING_SQUARES;
        let twist = amplitudes[1] / amplitudes[0].max(1e-9);
        let loud = amplitudes
            .iter()
            .all(|power| *power >= LEAST_AMPLITUDE * LEAST_AMPLITUDE);
        if !loud || together < LEAST_SHARE * energy || !TWIST.contains(&twist) {
            return false;
        }
        let nominal = moments.pair().angular();
        let off = self.advance(moments, 1);
        let near = |tone: usize| off[tone].abs() <= LARGEST_ERROR * nominal[tone];
        near(0) && near(1)
    }

    /// How far both frequencies are from the nominal ones over a window that ends now, in radians
    /// per sample.
    pub fn offsets(&mut self, moments: &PairMoments, pieces: usize) -> [f64; 2] {
        let nominal = moments.pair().angular();
        let hops = (pieces - HAMMING_PIECES) / 2;
        let off = self.advance(moments, hops);
        let limited = |tone: usize| {
            let most = LARGEST_START * nominal[tone];
            off[tone].clamp(-most, most)
        };
        [limited(0), limited(1)]
    }

    /// The mean turn over the newest hops.
    fn advance(&mut self, moments: &PairMoments, hops: usize) -> [f64; 2] {
        if hops == self.hops {
            return self.off;
        }
        if hops < self.hops {
            (self.turned, self.hops) = ([Complex::default(); 2], 0);
        }
        for hop in self.hops..hops {
            let (newer, older) = (self.at(moments, hop), self.at(moments, hop + 1));
            for tone in 0..2 {
                self.turned[tone] += newer[tone] * older[tone].conj();
            }
        }
        self.hops = hops;
        const PER_SAMPLE: f64 = 1.0 / BLOCK as f64;
        let sums = self.turned;
        let tones = self.pair.tones();
        let off = |tone: usize| (sums[tone] * HOP_TURNS[tones[tone]]).phase() * PER_SAMPLE;
        self.off = [off(0), off(1)];
        self.off
    }

    /// Walks back from the start of a window to where the tones began.
    pub fn beginning(&mut self, moments: &PairMoments, fit: &Fit, sound: &Sound) -> Beginning {
        let window = &fit.window;
        let first = (window.skipped + window.pieces - HAMMING_PIECES) / 2;
        let last = (first + FARTHEST).min(HOPS - 1);
        let mut powers = [[0.0; 2]; HOPS];
        for (hop, powers) in powers[..=last].iter_mut().enumerate() {
            *powers = self.at(moments, hop).map(|value| value.power());
        }
        let power = |hop: usize, tone: usize| powers[hop][tone];
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
        // A codec may let a key begin faintly, or with one of its tones.
        let together = |hop: usize| power(hop, 0) + power(hop, 1);
        let least = FAINT * (0..=first).map(together).fold(0.0, f64::max);
        let of_all = |hop: usize| weighted_energy(sound, hop) / PAIR_OF_ENERGY;
        let from = half[0].unwrap_or(first).max(first);
        let faint = (from..=last.min(from + LONGEST_FAINT))
            .take_while(|hop| of_all(*hop) >= least)
            .filter(|hop| together(*hop) >= least.max(LEAST_OF_ALL * of_all(*hop)))
            .last()
            .filter(|hop| *hop >= from + 2);
        // A window of 20 ms has 7 ms of the tone when it has so little of it.
        let faintest = faint.map_or(0, |hop| hop * BLOCK + 66);
        Beginning {
            is_sharp,
            onset_ago: onset(half[0], fit).max(faintest),
        }
    }
}

/// The onset in samples before the present, of the hop in which the row was first 3 dB down.
fn onset(half: Option<usize>, fit: &Fit) -> usize {
    let window = &fit.window;
    let begin = (window.skipped + window.pieces) * PIECE;
    // The tones fill at least what they explain.
    let filled = (window.kept() * PIECE) as f64 * fit.share();
    // The middle of a window of 20 ms, a hop of 5 ms.
    let found = half.map(|hop| hop * BLOCK + 80);
    match found {
        Some(onset) if onset <= begin + 120 => {
            onset.max((filled as usize).saturating_sub(24)).max(1)
        }
        _ => begin,
    }
}

/// What is left of a key in a faint beginning: −16 dB, and half of what sounds there.
const FAINT: f64 = 0.025;
const LEAST_OF_ALL: f64 = 0.5;

/// A frame of a codec, in hops: no faint beginning is longer.
const LONGEST_FAINT: usize = 5;

/// The energy under the window of a tone whose correlation with it has the power 1.
const PAIR_OF_ENERGY: f64 = HAMMING_SQUARES * 2.0 / (HAMMING_SUM * HAMMING_SUM);

/// The energy of 20 ms under the square of the window, from that of its pieces.
fn weighted_energy(sound: &Sound, hop: usize) -> f64 {
    let energies = sound.energies(2 * hop, HAMMING_PIECES).iter().rev();
    energies
        .zip(HAMMING.iter())
        .map(|(energy, weights)| weights[0] * weights[0] * f64::from(*energy))
        .sum()
}
