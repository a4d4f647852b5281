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
use crate::media::dtmf::tone::sound::LONGEST;

/// Pieces that can be looked back: 240 ms.
pub const REACH: usize = 96;

/// The ring is a power of two, so that a place in it is a mask away.
const RING: usize = 128;

/// Within a piece time is counted in tenths of its half, which keeps the moments of one size.
const UNIT: f64 = 10.0;

/// The centre of the newest piece, in samples from the present.
const CENTRE: f64 = -(PIECE as f64 + 1.0) / 2.0;

/// Four moments, each a cosine and a sine part. A vector that crosses a line of the cache costs two.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Moments([f32; 8]);

/// The factors of each sample of a piece, for each tone.
static FACTORS: LazyLock<[[Moments; PIECE]; 8]> = LazyLock::new(|| {
    TONES_HZ.map(|hz| {
        std::array::from_fn(|n| {
            let m = n as f64 - (PIECE as f64 - 1.0) / 2.0;
            let wave = Complex::turn(-angular(hz) * m);
            Moments(std::array::from_fn(|lane| {
                let moment = (m / UNIT).powi(lane as i32 / 2);
                let part = if lane % 2 == 0 { wave.re } else { wave.im };
                (moment * part) as f32
            }))
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
    turns: Turns,
}

impl PairMoments {
    pub fn new() -> Self {
        Self {
            pair: Pair { row: 0, column: 4 },
            pieces: Box::new([[Moments([0.0; 8]); 2]; RING]),
            from: 0,
            to: 0,
            turns: Turns {
                pieces: 0,
                angular: [0.0; 2],
                factors: [[[0.0; 4]; 4]; LONGEST / 2],
            },
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

    /// Sums over the pieces of a window, of row and column, each turned by its frequency `angular` to
    /// the middle of the window. The same frequencies are `offsets` from the nominal ones; both in
    /// radians per sample. Pieces before the beginning are silent.
    pub fn sums(&mut self, window: &Window, angular: [f64; 2], offsets: [f64; 2]) -> [Sums; 2] {
        let newest = self.to as i64 - 1 - window.skipped as i64;
        let heard = (newest + 1 - self.from as i64).max(0) as usize;
        let pieces = Pieces {
            ring: &self.pieces,
            newest: newest as usize,
            count: window.pieces.min(heard),
            left_out: window.left_out,
        };
        self.turns.set(window.pieces, angular);
        let mut gathered = [[Moments([0.0; 8]); 4]; 2];
        gather(&pieces, &self.turns, &mut gathered);

        let [row, column] = &gathered;
        [Sums::of(row, offsets[0]), Sums::of(column, offsets[1])]
    }

    /// Row and column of the newest pieces, from the last one back, at their nominal frequencies:
    /// each piece as if it were alone, as cosine and sine.
    pub fn levels<const PIECES: usize>(&self) -> [[[f32; 2]; PIECES]; 2] {
        let mut levels = [[[0.0; 2]; PIECES]; 2];
        let known = (self.to - self.from) as usize;
        for back in 0..PIECES.min(known) {
            let piece = &self.pieces[(self.to as usize - 1 - back) % RING];
            for tone in 0..2 {
                levels[tone][back] = [piece[tone].0[0], piece[tone].0[1]];
            }
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

impl Sums {
    /// From what was gathered, at a frequency that is `offset` from the nominal one.
    #[inline]
    fn of(gathered: &[Moments; 4], offset: f64) -> Self {
        let [re, im, timed_re, timed_im] = gathered;
        let [s0, s1, s2, s3] = turned(re, im);
        let [t0, t1, t2, t3] = turned(timed_re, timed_im);
        // The series of e^(−jdm) under the sum.
        let d = offset * UNIT;
        let shifted = |s0: Complex, s1: Complex, s2: Complex, s3: Complex| {
            s0 - s1.scale(d).times_j() - s2.scale(d * d / 2.0) + s3.scale(d * d * d / 6.0).times_j()
        };
        let within = s1 - s2.scale(d).times_j() - s3.scale(d * d / 2.0);
        Self {
            level: shifted(s0, s1, s2, s3),
            change: shifted(t0, t1, t2, t3) + within.scale(UNIT),
        }
    }
}

/// The moments that were multiplied with the cosine and with the sine of a turn, as the moments
/// turned.
#[inline]
fn turned(cos: &Moments, sin: &Moments) -> [Complex; 4] {
    let moment = |a: usize, b: usize| {
        Complex::new(
            f64::from(cos.0[a] - sin.0[b]),
            f64::from(cos.0[b] + sin.0[a]),
        )
    };
    [moment(0, 1), moment(2, 3), moment(4, 5), moment(6, 7)]
}

/// The pieces of a window, from its newest back.
struct Pieces<'a> {
    ring: &'a [[Moments; 2]; RING],
    /// The number of that piece.
    newest: usize,
    count: usize,
    left_out: u64,
}

/// What turns the pieces of a window to its middle. A window is mostly looked at again, with holes
/// or a little later, at the same frequencies.
#[derive(Clone, Debug)]
struct Turns {
    pieces: usize,
    angular: [f64; 2],
    /// Of two pieces at once, the newer first, for row and column: cosines, sines, and both times
    /// time, in samples from the middle.
    factors: [[[f32; 4]; 4]; LONGEST / 2],
}

impl Turns {
    fn set(&mut self, pieces: usize, angular: [f64; 2]) {
        if pieces == self.pieces && angular == self.angular {
            return;
        }
        (self.pieces, self.angular) = (pieces, angular);
        let newest = ((pieces - 1) * PIECE / 2) as f64;
        let (mut turns, mut steps) = ([[0.0; 4]; 2], [[0.0; 4]; 2]);
        for tone in 0..2 {
            let turn = Complex::turn(-angular[tone] * newest);
            let step = Complex::turn(angular[tone] * PIECE as f64);
            let two_steps = step * step;
            for (lane, turn) in [(tone, turn), (tone + 2, turn * step)] {
                (turns[0][lane], turns[1][lane]) = (turn.re, turn.im);
                (steps[0][lane], steps[1][lane]) = (two_steps.re, two_steps.im);
            }
        }
        let times = [0, 0, PIECE, PIECE].map(|before| (newest - before as f64) as f32);
        let twos = pieces.div_ceil(2);
        turn_on(turns, steps, times, &mut self.factors[..twos]);
    }
}

/// The factors of two pieces after the other. What turns the two newest and their times are given,
/// and what turns two from those before.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn turn_on(
    [mut cos, mut sin]: [[f64; 4]; 2],
    [step_cos, step_sin]: [[f64; 4]; 2],
    mut times: [f32; 4],
    factors: &mut [[[f32; 4]; 4]],
) {
    for factors in factors {
        for lane in 0..4 {
            let (re, im) = (cos[lane], sin[lane]);
            factors[0][lane] = re as f32;
            factors[1][lane] = im as f32;
            factors[2][lane] = times[lane] * re as f32;
            factors[3][lane] = times[lane] * im as f32;
            cos[lane] = re * step_cos[lane] - im * step_sin[lane];
            sin[lane] = re * step_sin[lane] + im * step_cos[lane];
            times[lane] -= (2 * PIECE) as f32;
        }
    }
}

/// Sums of the moments of row and column, multiplied with the factors of their turns.
// Inlined where its lanes are added up, it would lose its vectors.
#[cfg_attr(feature = "portable", inline(never))]
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn gather(pieces: &Pieces, turns: &Turns, gathered: &mut [[Moments; 4]; 2]) {
    for tone in 0..2 {
        let mut sums = [[0.0f32; 8]; 4];
        for back in 0..pieces.count {
            if pieces.left_out >> back & 1 == 0 {
                let piece = &pieces.ring[pieces.newest.wrapping_sub(back) % RING][tone];
                let factors = &turns.factors[back / 2];
                for sum in 0..4 {
                    let factor = factors[sum][2 * (back % 2) + tone];
                    for lane in 0..8 {
                        sums[sum][lane] += factor * piece.0[lane];
                    }
                }
            }
        }
        gathered[tone] = sums.map(Moments);
    }
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
                    sums[2 * half][lane] += samples[at] * row[at].0[lane];
                    sums[2 * half + 1][lane] += samples[at] * column[at].0[lane];
                }
            }
        }
        let piece = &mut pieces[(first as usize + number) % RING];
        for lane in 0..8 {
            piece[0].0[lane] = sums[0][lane] + sums[2][lane];
            piece[1].0[lane] = sums[1][lane] + sums[3][lane];
        }
    }
}

/// One value of row and column in each hop of 5 ms: the correlation of the tone, at its nominal
/// frequency, with a Hamming window of 20 ms. Its phase is that at the window's end, so the advance
/// from one hop to the next, less [`HOP_TURNS`], tells how far the frequency is off; and a value
/// stays what it is as hops go by.
pub fn hamming(moments: &PairMoments, hop: usize) -> [Complex; 2] {
    let newest = moments.to as i64 - 1 - 2 * hop as i64;
    let heard = (newest + 1 - moments.from as i64).clamp(0, HAMMING_PIECES as i64) as usize;
    let [row, column] = moments.pair().tones().map(|tone| &HAMMING_FACTORS[tone]);
    let mut sums = [[Moments([0.0; 8]); 2]; 2];
    weigh(
        &moments.pieces,
        newest as usize,
        heard,
        [row, column],
        &mut sums,
    );
    // The window is a parabola over each piece: the third moments count for nothing.
    let whole = |sums: &Moments| f64::from(sums.0[..6].iter().sum::<f32>());
    sums.map(|[re, im]| Complex::new(whole(&re), whole(&im)))
}

// Inlined where its lanes are added up, it would lose its vectors.
#[cfg_attr(feature = "portable", inline(never))]
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets("x86_64+avx2"))
)]
fn weigh(
    pieces: &[[Moments; 2]; RING],
    newest: usize,
    heard: usize,
    factors: [&[[Moments; 2]; HAMMING_PIECES]; 2],
    weighed: &mut [[Moments; 2]; 2],
) {
    for tone in 0..2 {
        let mut sums = [[0.0f32; 8]; 2];
        for back in 0..heard {
            let piece = &pieces[newest.wrapping_sub(back) % RING][tone];
            for part in 0..2 {
                for lane in 0..8 {
                    sums[part][lane] += piece.0[lane] * factors[tone][back][part].0[lane];
                }
            }
        }
        weighed[tone] = sums.map(Moments);
    }
}

/// What each moment of the pieces of a window adds to the correlation, as its two parts: its weight,
/// turned to the end of the window.
static HAMMING_FACTORS: LazyLock<[[[Moments; 2]; HAMMING_PIECES]; 8]> = LazyLock::new(|| {
    TONES_HZ.map(|hz| {
        std::array::from_fn(|back| {
            let turn = Complex::turn(-angular(hz) * centre(back));
            let weight = |lane: usize| HAMMING[back].get(lane / 2).copied().unwrap_or(0.0);
            let lane = |even: f64, odd: f64| {
                Moments(std::array::from_fn(|lane| {
                    (weight(lane) * if lane % 2 == 0 { even } else { odd }) as f32
                }))
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
