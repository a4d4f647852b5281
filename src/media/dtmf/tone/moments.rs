//! The newest quarter of a second as seen from one pair of tones: for every piece of 2.5 ms, what
//! is left of the signal when each tone's nominal frequency is taken out of it, and its first three
//! moments in time.
//!
//! Every window, every mask and every small correction of a frequency is then a sum of a few dozen
//! of these, and no sample is looked at twice. With moments up to the third, a correction of 2.4 %
//! costs an error of about a thousandth.

use std::sync::LazyLock;

use multiversion::multiversion;

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, Pair, TONES_HZ, angular};

/// Pieces that can be looked back: 240 ms.
pub const REACH: usize = 96;

/// The ring is a power of two, so that a place in it is a mask away.
const RING: usize = 128;

/// Within a piece time is counted in tenths of its half, which keeps the moments of one size.
const UNIT: f64 = 10.0;

/// The centre of the newest piece, in samples from the present.
const CENTRE: f64 = -(PIECE as f64 + 1.0) / 2.0;

/// Four moments, each a cosine and a sine part.
type Moments = [f32; 8];

/// The factors of each sample of a piece, for each tone.
static FACTORS: LazyLock<[[Moments; PIECE]; 8]> = LazyLock::new(|| {
    TONES_HZ.map(|hz| {
        std::array::from_fn(|n| {
            let m = n as f64 - (PIECE as f64 - 1.0) / 2.0;
            let wave = Complex::turn(-angular(hz) * m);
            std::array::from_fn(|lane| {
                let moment = (m / UNIT).powi(lane as i32 / 2);
                let part = if lane % 2 == 0 { wave.re } else { wave.im };
                (moment * part) as f32
            })
        })
    })
});

/// Centre of the piece that lies `back` pieces before the newest, in samples from the present.
pub fn centre(back: usize) -> f64 {
    CENTRE - (PIECE * back) as f64
}

/// The moments of a pair, worked out as far back as they were asked for.
#[derive(Clone, Debug)]
pub struct PairMoments {
    pair: Pair,
    pieces: Box<[[Moments; 2]; RING]>,
    /// The pieces worked out, by their number since the beginning.
    from: u64,
    to: u64,
}

impl PairMoments {
    pub fn new() -> Self {
        Self {
            pair: Pair { row: 0, column: 4 },
            pieces: Box::new([[[0.0; 8]; 2]; RING]),
            from: 0,
            to: 0,
        }
    }

    pub fn pair(&self) -> Pair {
        self.pair
    }

    /// Makes the newest `count` pieces available for `pair`. `present` is the number of pieces heard
    /// so far, `samples` the newest of them, at least `count` pieces long.
    pub fn reach(&mut self, pair: Pair, present: u64, count: usize, samples: &[f32]) {
        assert!(count <= REACH, "{count} pieces are more than are kept");
        let wanted = present.saturating_sub(count as u64);
        if pair != self.pair || self.to + RING as u64 / 4 < present || self.to < wanted {
            self.pair = pair;
            self.from = present;
            self.to = present;
        }
        let begun = present as i64 - (samples.len() / PIECE) as i64;
        let place = |piece: u64| (piece as i64 - begun) as usize * PIECE;
        if self.to < present {
            let fresh = &samples[place(self.to)..place(present)];
            demodulate(&mut self.pieces, self.to, fresh, pair);
            self.to = present;
            self.from = self.from.max(present.saturating_sub(RING as u64));
        }
        if wanted < self.from {
            let older = &samples[place(wanted)..place(self.from)];
            demodulate(&mut self.pieces, wanted, older, pair);
            self.from = wanted;
        }
    }

    /// The moments of one tone in a piece: row 0, column 1. Pieces before the beginning are silent.
    pub fn piece(&self, back: usize, tone: usize) -> [Complex; 4] {
        let number = self.to as i64 - 1 - back as i64;
        if number < self.from as i64 {
            return [Complex::default(); 4];
        }
        let moments = &self.pieces[number as usize % RING][tone];
        std::array::from_fn(|order| {
            Complex::new(
                f64::from(moments[2 * order]),
                f64::from(moments[2 * order + 1]),
            )
        })
    }

    /// Sum, and sum weighted with time in samples from the piece's centre, of the piece with the
    /// frequency `offset` (radians per sample) taken out as well.
    pub fn shifted(&self, back: usize, tone: usize, offset: f64) -> [Complex; 2] {
        let [s0, s1, s2, s3] = self.piece(back, tone);
        let d = offset * UNIT;
        // The series of e^(−jdm) under the sum.
        let sum = s0 - s1.scale(d).times_j() - s2.scale(d * d / 2.0)
            + s3.scale(d * d * d / 6.0).times_j();
        let weighted = s1 - s2.scale(d).times_j() - s3.scale(d * d / 2.0);
        [sum, weighted.scale(UNIT)]
    }
}

fn demodulate(pieces: &mut [[Moments; 2]; RING], first: u64, samples: &[f32], pair: Pair) {
    let [row, column] = pair.tones().map(|tone| &FACTORS[tone]);
    run(pieces, first, samples, row, column);
}

#[multiversion(targets("x86_64+avx2"))]
fn run(
    pieces: &mut [[Moments; 2]; RING],
    first: u64,
    samples: &[f32],
    row: &[Moments; PIECE],
    column: &[Moments; PIECE],
) {
    for (number, samples) in samples.chunks_exact(PIECE).enumerate() {
        let mut sums = [[0.0f32; 8]; 4];
        for n in 0..PIECE / 2 {
            for half in 0..2 {
                let at = 2 * n + half;
                for lane in 0..8 {
                    sums[2 * half][lane] += samples[at] * row[at][lane];
                    sums[2 * half + 1][lane] += samples[at] * column[at][lane];
                }
            }
        }
        let piece = &mut pieces[(first as usize + number) % RING];
        for lane in 0..8 {
            piece[0][lane] = sums[0][lane] + sums[2][lane];
            piece[1][lane] = sums[1][lane] + sums[3][lane];
        }
    }
}

/// One value in each hop of 5 ms: the correlation of the tone, at its nominal frequency, with a
/// Hamming window of 20 ms. Its phase is that at the window's end, so the advance from one hop to the
/// next, less [`HOP_TURNS`], tells how far the frequency is off; and a value stays what it is as
/// hops go by.
pub fn hamming(moments: &PairMoments, hop: usize, tone: usize) -> Complex {
    let turns = &TURNS[moments.pair().tones()[tone]];
    let mut sum = Complex::default();
    for (n, (weights, turn)) in HAMMING.iter().zip(turns).enumerate() {
        let piece = moments.piece(2 * hop + n, tone);
        let mut part = Complex::default();
        for order in 0..3 {
            part += piece[order].scale(weights[order]);
        }
        sum += *turn * part;
    }
    sum
}

/// What turns the pieces of a window to its end, for each tone.
static TURNS: LazyLock<[[Complex; HAMMING_PIECES]; 8]> = LazyLock::new(|| {
    TONES_HZ.map(|hz| std::array::from_fn(|back| Complex::turn(-angular(hz) * centre(back))))
});

/// What takes the nominal advance over a hop out again, for each tone.
pub static HOP_TURNS: LazyLock<[Complex; 8]> =
    LazyLock::new(|| TONES_HZ.map(|hz| Complex::turn(-angular(hz) * BLOCK as f64)));

/// Pieces in the window of [`hamming`].
pub const HAMMING_PIECES: usize = 8;

/// The sum of the window, and of its square.
pub const HAMMING_SUM: f64 = 0.54 * 160.0;
pub const HAMMING_SQUARES: f64 = (0.54 * 0.54 + 0.46 * 0.46 / 2.0) * 160.0;

/// The window over each piece as a parabola.
pub static HAMMING: LazyLock<[[f64; 3]; HAMMING_PIECES]> = LazyLock::new(|| {
    let speed = std::f64::consts::TAU / 160.0;
    std::array::from_fn(|n| {
        let phase = speed * (PIECE as f64 * (n as f64 + 0.5));
        [
            0.54 - 0.46 * phase.cos(),
            0.46 * phase.sin() * speed * UNIT,
            0.46 * phase.cos() * (speed * UNIT) * (speed * UNIT) / 2.0,
        ]
    })
});
