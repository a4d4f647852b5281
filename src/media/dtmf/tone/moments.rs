//! The newest quarter of a second as seen from one pair of tones: for every piece of 2.5 ms, what
//! is left of the signal when each tone's nominal frequency is taken out of it, and its first three
//! moments in time.
//!
//! Every window, every mask and every small correction of a frequency is then a sum of a few dozen
//! of these, and no sample is looked at twice. With moments up to the third, a correction of 2.4 %
//! costs an error of about a thousandth.

// Lanes are counted, so that the loops read as the vectors that they become.
#![allow(clippy::needless_range_loop)]

use std::sync::LazyLock;

use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::fit::Window;
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
fn centre(back: usize) -> f64 {
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

    /// Sums over the pieces of a window, of one tone (row 0, column 1), each turned by the frequency
    /// `angular` to the middle of the window. The same frequency is `offset` from the nominal one;
    /// both in radians per sample. Pieces before the beginning are silent.
    pub fn sums(&self, window: &Window, tone: usize, angular: f64, offset: f64) -> Sums {
        let newest = self.to as i64 - 1 - window.skipped as i64;
        let heard = (newest + 1 - self.from as i64).max(0) as usize;
        let middle = window.middle();
        let time = centre(window.skipped) - middle;
        let newest_turn = Complex::turn(-angular * time);
        let step = Complex::turn(angular * PIECE as f64);
        let steps = Steps {
            newest: newest as usize,
            pieces: window.pieces.min(heard),
            left_out: window.left_out,
            time: time as f32,
            newest_two: [newest_turn, newest_turn * step],
            two_steps: step * step,
        };
        let mut gathered = [[0.0; 8]; 4];
        gather(&self.pieces, tone, &steps, &mut gathered);

        let [re, im, timed_re, timed_im] = &gathered;
        let [s0, s1, s2, s3] = turned(re, im);
        let [t0, t1, t2, t3] = turned(timed_re, timed_im);
        // The series of e^(−jdm) under the sum.
        let d = offset * UNIT;
        let shifted = |s0: Complex, s1: Complex, s2: Complex, s3: Complex| {
            s0 - s1.scale(d).times_j() - s2.scale(d * d / 2.0) + s3.scale(d * d * d / 6.0).times_j()
        };
        let within = s1 - s2.scale(d).times_j() - s3.scale(d * d / 2.0);
        Sums {
            level: shifted(s0, s1, s2, s3),
            change: shifted(t0, t1, t2, t3) + within.scale(UNIT),
        }
    }

    /// The newest pieces, from the last one back, of one tone (row 0, column 1) at its nominal
    /// frequency: turned as if all were where the last one is.
    pub fn levels<const PIECES: usize>(&self, tone: usize) -> [Complex; PIECES] {
        let step = Complex::turn(self.pair.angular()[tone] * PIECE as f64);
        let mut turn = Complex::new(1.0, 0.0);
        let mut levels = [Complex::default(); PIECES];
        let known = (self.to - self.from) as usize;
        for (back, level) in levels.iter_mut().take(known).enumerate() {
            let number = self.to as usize - 1 - back;
            let [re, im, ..] = self.pieces[number % RING][tone];
            *level = Complex::new(f64::from(re), f64::from(im)) * turn;
            turn = turn * step;
        }
        levels
    }
}

/// The signal with a tone taken out, summed; and the same weighted with time, in samples from the
/// middle of the window.
pub struct Sums {
    pub level: Complex,
    pub change: Complex,
}

/// The moments that were multiplied with the cosine and with the sine of a turn, as the moments
/// turned.
#[inline]
fn turned(cos: &Moments, sin: &Moments) -> [Complex; 4] {
    let moment =
        |a: usize, b: usize| Complex::new(f64::from(cos[a] - sin[b]), f64::from(cos[b] + sin[a]));
    [moment(0, 1), moment(2, 3), moment(4, 5), moment(6, 7)]
}

/// How a window is gone through, from its newest piece back.
struct Steps {
    /// The number of that piece, and how many there are.
    newest: usize,
    pieces: usize,
    left_out: u64,
    /// Samples from the middle of the window.
    time: f32,
    /// What turns the two newest pieces to the middle, and every second piece from the one before.
    newest_two: [Complex; 2],
    two_steps: Complex,
}

/// Sums of the moments, multiplied with cosine and sine of their turns, and with the same times
/// time.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn gather(pieces: &[[Moments; 2]; RING], tone: usize, steps: &Steps, gathered: &mut [Moments; 4]) {
    let mut sums = [[0.0f32; 8]; 4];
    // Two turns side by side, so that one need not wait for the other.
    let [mut turn, mut next] = steps.newest_two;
    for back in 0..steps.pieces {
        if steps.left_out >> back & 1 == 0 {
            let piece = &pieces[steps.newest.wrapping_sub(back) % RING][tone];
            let time = steps.time - (PIECE * back) as f32;
            let (cos, sin) = (turn.re as f32, turn.im as f32);
            let factors = [cos, sin, time * cos, time * sin];
            for sum in 0..4 {
                for lane in 0..8 {
                    sums[sum][lane] += factors[sum] * piece[lane];
                }
            }
        }
        (turn, next) = (next, turn * steps.two_steps);
    }
    *gathered = sums;
}

fn demodulate(pieces: &mut [[Moments; 2]; RING], first: u64, samples: &[f32], pair: Pair) {
    let [row, column] = pair.tones().map(|tone| &FACTORS[tone]);
    run(pieces, first, samples, row, column);
}

#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
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
    let factors = &HAMMING_FACTORS[moments.pair().tones()[tone]];
    let newest = moments.to as i64 - 1 - 2 * hop as i64;
    let mut sums = [[0.0f32; 8]; 2];
    for (back, [cos, sin]) in (0..).zip(factors) {
        let number = newest - back;
        if number < moments.from as i64 {
            break;
        }
        let piece = &moments.pieces[number as usize % RING][tone];
        for lane in 0..8 {
            sums[0][lane] += piece[lane] * cos[lane];
            sums[1][lane] += piece[lane] * sin[lane];
        }
    }
    let whole = |sums: &[f32; 8]| f64::from(sums.iter().sum::<f32>());
    Complex::new(whole(&sums[0]), whole(&sums[1]))
}

/// What each moment of the pieces of a window adds to the correlation, as its two parts: its weight,
/// turned to the end of the window.
static HAMMING_FACTORS: LazyLock<[[[Moments; 2]; HAMMING_PIECES]; 8]> = LazyLock::new(|| {
    TONES_HZ.map(|hz| {
        std::array::from_fn(|back| {
            let turn = Complex::turn(-angular(hz) * centre(back));
            let weight = |lane: usize| HAMMING[back].get(lane / 2).copied().unwrap_or(0.0);
            let lane = |even: f64, odd: f64| {
                std::array::from_fn(|lane| {
                    (weight(lane) * if lane % 2 == 0 { even } else { odd }) as f32
                })
            };
            [lane(turn.re, -turn.im), lane(turn.im, turn.re)]
        })
    })
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
