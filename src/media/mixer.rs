//! One listener's row: what kind it is, how loud each speaker is in it at this moment, and the sum
//! of a frame.
//!
//! This is the last place before samples become payload, so the fence stands here: a speaker is
//! added only if the fence admits the pair, whatever the matrix says.

use crate::media::fence::Fence;
use crate::media::frame::{Frame, MAX_FRAME};
use crate::media::hearing::Lag;
use crate::media::identity::Passage;
use crate::media::matrix::{MAX_SEATS, MixMatrix, Seat};

/// How a listener's packets come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowKind {
    /// Nothing is sent.
    #[default]
    Idle,
    /// The counterpart's packets, as they came, under the listener's own header.
    Through,
    /// Clocked by the counterpart's packets, with others laid over them.
    Over,
    /// Clocked by the wheel.
    Mix,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub kind: RowKind,
    /// How loud each speaker was at the end of the last frame, in 1/256.
    pub gains: [u16; MAX_SEATS],
    pub passage: Option<Passage>,
    /// It is to pass through as soon as what waits of the counterpart's last packet has been sent.
    pub drains: bool,
    pub lags: [Lag; MAX_SEATS],
}

/// −9 dB: what happens to the call's audio under a prompt.
const DUCKED: u32 = 91;

/// +18 dB: the most that a gain can ask for, so that no sum of eight leaves its 32 bits.
const LOUDEST: u16 = 2_048;

/// What the matrix wants of a pair, and what the fence makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Silent,
    /// From the gain of the last frame to this one.
    Heard {
        from: u16,
        to: u16,
    },
    /// The matrix says more than the fence.
    Violation,
}

/// What is in force for a bridge: who may be heard by whom, and what says so a second time.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub matrix: MixMatrix,
    pub fence: Fence,
    /// The fence before the last change: under it a voice that is taken away fades for one frame.
    pub before: Fence,
}

impl Rules {
    pub fn judge(&self, listener: Seat, speaker: Seat, from: u16, ducked: bool) -> Verdict {
        let wanted = self.matrix.gain(listener, speaker).0.min(LOUDEST);
        if wanted == 0 {
            let fades = from > 0
                && (self.fence.admits(listener, speaker) || self.before.admits(listener, speaker));
            return match fades {
                true => Verdict::Heard { from, to: 0 },
                false => Verdict::Silent,
            };
        }
        if !self.fence.admits(listener, speaker) {
            return Verdict::Violation;
        }
        let to = match ducked {
            true => (u32::from(wanted) * DUCKED / 256) as u16,
            false => wanted,
        };
        Verdict::Heard { from, to }
    }
}

/// The sum of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    pub samples: [i32; MAX_FRAME],
}

impl Sum {
    pub const fn silent() -> Self {
        Self {
            samples: [0; MAX_FRAME],
        }
    }

    /// Adds a speaker, moving evenly from one gain to the other over the frame, so that no change
    /// of gain is a click.
    pub fn add(&mut self, frame: &Frame, from: u16, to: u16) {
        let samples = frame.samples();
        let (from, to) = (i32::from(from), i32::from(to));
        if from == to {
            add_level(&mut self.samples[..samples.len()], samples, to);
        } else {
            add_ramp(&mut self.samples[..samples.len()], samples, from, to);
        }
    }

    pub fn into_frame(&self, frame: &mut Frame) {
        saturate(&self.samples, frame.samples_mut());
    }
}

#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets = "simd")
)]
fn add_level(sum: &mut [i32], samples: &[i16], gain: i32) {
    for (sum, sample) in sum.iter_mut().zip(samples) {
        *sum += (i32::from(*sample) * gain) >> 8;
    }
}

/// One step for each sample; at the last one `to` is reached. Gains are told in 2^-24 here, which
/// leaves a step of the longest frame exact enough.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets = "simd")
)]
fn add_ramp(sum: &mut [i32], samples: &[i16], from: i32, to: i32) {
    let length = samples.len().max(1) as i32;
    let (from, way) = (from << 16, (to - from) << 16);
    // Rounded up, so that the end is not missed on the way up either.
    let step = (way + (length - 1) * i32::from(way > 0)) / length;
    for (count, (sum, sample)) in (1..).zip(sum.iter_mut().zip(samples)) {
        let gain = (from + step * count) >> 12;
        *sum += (i32::from(*sample) * gain) >> 12;
    }
}

#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets = "simd")
)]
fn saturate(sum: &[i32], samples: &mut [i16]) {
    for (sample, sum) in samples.iter_mut().zip(sum) {
        *sample = (*sum).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Generation;
    use crate::media::frame::Rate;
    use crate::media::matrix::Gain;

    #[test]
    fn unity_is_exact_and_a_sum_saturates() {
        let mut sum = Sum::silent();
        let mut frame = Frame::silent(Rate::Narrow);
        for (n, sample) in frame.samples_mut().iter_mut().enumerate() {
            *sample = n as i16 * 200 - 16_000;
        }

        sum.add(&frame, 256, 256);
        let mut once = Frame::silent(Rate::Narrow);
        sum.into_frame(&mut once);
        sum.add(&frame, 256, 256);
        sum.add(&frame, 256, 256);
        let mut thrice = Frame::silent(Rate::Narrow);
        sum.into_frame(&mut thrice);

        assert_eq!(once, frame);
        assert_eq!(thrice.samples()[0], i16::MIN);
        assert_eq!(thrice.samples()[81], 600);
    }

    #[test]
    fn a_change_of_gain_is_spread_over_the_frame() {
        let mut frame = Frame::silent(Rate::Wide);
        frame.samples_mut().fill(10_000);
        let mut sum = Sum::silent();

        sum.add(&frame, 256, 0);

        assert!(sum.samples[0] > 9_900);
        assert_eq!(sum.samples[319], 0);
        let steps = sum.samples.windows(2).map(|pair| pair[0] - pair[1]);
        assert!(steps.into_iter().all(|step| (0..=60).contains(&step)));
    }

    #[test]
    fn sums_of_every_length_and_gain_are_those_of_plain_arithmetic() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..2_000 {
            let length = random.usize(1..=MAX_FRAME);
            let samples: Vec<i16> = (0..length).map(|_| random.i16(..)).collect();
            let before: Vec<i32> = (0..length).map(|_| random.i32(-200_000..200_000)).collect();
            let (from, to) = (random.i32(0..=2_048), random.i32(0..=2_048));

            let (mut level, mut ramp) = (before.clone(), before.clone());
            add_level(&mut level, &samples, to);
            add_ramp(&mut ramp, &samples, from, to);
            let mut saturated = vec![0; length];
            saturate(&ramp, &mut saturated);

            for n in 0..length {
                let sample = i64::from(samples[n]);
                let plain = i64::from(before[n]) + ((sample * i64::from(to)) >> 8);
                assert_eq!(i64::from(level[n]), plain, "{round}");
                let gain = f64::from(from) + f64::from(to - from) * (n + 1) as f64 / length as f64;
                let exact = f64::from(before[n]) + sample as f64 * gain / 256.0;
                // A unit of rounding, and what a gain told in 1/4096 can be off.
                let allowed = 1.0 + (sample.abs() as f64) / 4_096.0 * 1.1;
                assert!((f64::from(ramp[n]) - exact).abs() <= allowed, "{round} {n}");
                assert_eq!(
                    i64::from(saturated[n]),
                    i64::from(ramp[n]).clamp(-32_768, 32_767),
                    "{round}"
                );
            }
            let last = length - 1;
            assert_eq!(
                ramp[last], level[last],
                "{round}: the ramp ends at its gain"
            );
        }
    }

    #[test]
    fn where_matrix_and_fence_differ_silence_wins() {
        let (user, pupil) = (Seat::USER, Seat::PUPIL);
        let coach = Seat::new(2).unwrap();
        let mut matrix = MixMatrix::silent(Generation(1));
        let mut fence = Fence::closed();
        matrix.set(user, pupil, Gain::UNITY);
        matrix.set(user, coach, Gain::UNITY);
        fence.open(user, pupil);
        let rules = Rules {
            matrix,
            fence,
            before: Fence::closed(),
        };

        let heard = Verdict::Heard { from: 256, to: 256 };
        assert_eq!(rules.judge(user, pupil, 256, false), heard);
        assert_eq!(rules.judge(user, coach, 0, false), Verdict::Violation);
        assert_eq!(rules.judge(user, coach, 256, false), Verdict::Violation);
        assert_eq!(rules.judge(pupil, user, 0, false), Verdict::Silent);
    }

    #[test]
    fn a_voice_that_is_taken_away_fades_under_the_fence_before() {
        let (pupil, coach) = (Seat::PUPIL, Seat::new(2).unwrap());
        let mut before = Fence::closed();
        before.open(pupil, coach);
        let rules = Rules {
            matrix: MixMatrix::silent(Generation(2)),
            fence: Fence::closed(),
            before,
        };

        let fades = Verdict::Heard { from: 256, to: 0 };
        assert_eq!(rules.judge(pupil, coach, 256, false), fades);
        assert_eq!(rules.judge(pupil, coach, 0, false), Verdict::Silent);
        assert_eq!(rules.judge(Seat::USER, coach, 256, false), Verdict::Silent);
    }

    #[test]
    fn a_prompt_lowers_the_call_by_nine_decibels() {
        let level = 20.0 * (f64::from(DUCKED) / 256.0).log10();

        assert!((level + 9.0).abs() < 0.05);
    }
}
