//! Between the two rates of bridges: a half-band filter, up by two and down by two.
//!
//! A general resampler takes a millisecond or two to be made, for its tables; seats are taken on
//! the thread that carries everyone's packets, so this one has sixteen coefficients and is made in
//! microseconds. Flat to 3.4 kHz, 60 dB down from 4.6 kHz, 2 ms late.

use crate::media::frame::Rate;

/// Coefficients on one side of the middle; every second one of the filter is zero.
const SIDE: usize = 16;

/// What a sum reaches back over: both sides, at the lower rate.
const REACH: usize = 2 * SIDE;

/// Samples at the lower rate that are worked on at once.
const BLOCK: usize = 160;

/// Stop-band attenuation against width of the transition (Kaiser).
const BETA: f64 = 6.0;

#[derive(Clone, Debug)]
pub struct Resampler {
    direction: Direction,
    taps: [f32; SIDE],
    /// At the lower rate: the samples that the taps meet, and, on the way down, those in between.
    met: [f32; REACH],
    between: [f32; REACH],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Resampler {
    /// `None` where the rates are the same.
    pub fn new(from: Rate, to: Rate) -> Option<Self> {
        let direction = match (from, to) {
            (Rate::Narrow, Rate::Wide) => Direction::Up,
            (Rate::Wide, Rate::Narrow) => Direction::Down,
            (Rate::Narrow, Rate::Narrow) | (Rate::Wide, Rate::Wide) => return None,
        };
        Some(Self {
            direction,
            taps: taps(),
            met: [0.0; REACH],
            between: [0.0; REACH],
        })
    }

    pub fn reset(&mut self) {
        self.met = [0.0; REACH];
        self.between = [0.0; REACH];
    }

    /// Resamples all of the input, or as much as `out` has room for, and says how much came out.
    pub fn resample(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let mut made = 0;
        match self.direction {
            Direction::Up => {
                let fits = input.len().min(out.len() / 2);
                for block in input[..fits].chunks(BLOCK) {
                    self.up(block, &mut out[made..made + 2 * block.len()]);
                    made += 2 * block.len();
                }
            }
            Direction::Down => {
                let fits = (input.len() / 2).min(out.len());
                for block in input[..2 * fits].chunks(2 * BLOCK) {
                    self.down(block, &mut out[made..made + block.len() / 2]);
                    made += block.len() / 2;
                }
            }
        }
        made
    }

    fn up(&mut self, input: &[i16], out: &mut [i16]) {
        let mut line = [0.0; REACH + BLOCK];
        line[..REACH].copy_from_slice(&self.met);
        for (place, sample) in line[REACH..].iter_mut().zip(input) {
            *place = f32::from(*sample);
        }
        for (n, pair) in out.chunks_exact_mut(2).enumerate() {
            let window = &line[n + 1..n + 1 + REACH];
            pair[0] = (2.0 * self.sum(window)) as i16;
            pair[1] = window[SIDE] as i16;
        }
        self.met
            .copy_from_slice(&line[input.len()..input.len() + REACH]);
    }

    fn down(&mut self, input: &[i16], out: &mut [i16]) {
        let mut met = [0.0; REACH + BLOCK];
        let mut between = [0.0; REACH + BLOCK];
        met[..REACH].copy_from_slice(&self.met);
        between[..REACH].copy_from_slice(&self.between);
        for (n, pair) in input.chunks_exact(2).enumerate() {
            between[REACH + n] = f32::from(pair[0]);
            met[REACH + n] = f32::from(pair[1]);
        }
        for (n, sample) in out.iter_mut().enumerate() {
            // Sample `between[i]` lies between `met[i − 1]` and `met[i]`.
            let middle = between[n + 1 + SIDE];
            *sample = (0.5 * middle + self.sum(&met[n + 1..n + 1 + REACH])) as i16;
        }
        let count = out.len();
        self.met.copy_from_slice(&met[count..count + REACH]);
        self.between.copy_from_slice(&between[count..count + REACH]);
    }

    /// The taps against the samples on both sides of the middle.
    fn sum(&self, window: &[f32]) -> f32 {
        let (before, after) = window.split_at(SIDE);
        let pairs = before.iter().rev().zip(after);
        pairs
            .zip(&self.taps)
            .map(|((before, after), tap)| (before + after) * tap)
            .sum()
    }
}

/// A sinc of half the band under a Kaiser window; the middle is one half, and the sides together
/// the other.
fn taps() -> [f32; SIDE] {
    let mut taps = [0.0; SIDE];
    let reach = 2.0 * SIDE as f64;
    let mut sum = 0.0;
    for (k, tap) in taps.iter_mut().enumerate() {
        let distance = (2 * k + 1) as f64;
        let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
        let sinc = sign / (std::f64::consts::PI * distance);
        let window = bessel(BETA * (1.0 - (distance / reach).powi(2)).sqrt()) / bessel(BETA);
        *tap = sinc * window;
        sum += 2.0 * *tap;
    }
    taps.map(|tap| (tap * 0.5 / sum) as f32)
}

/// The modified Bessel function of order zero.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..25 {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_keeps_its_level_both_ways() {
        for hz in [100.0, 300.0, 1_000.0, 2_000.0, 3_000.0, 3_400.0] {
            let up = level(&run(Rate::Narrow, Rate::Wide, hz), hz, 16_000.0);
            let down = level(&run(Rate::Wide, Rate::Narrow, hz), hz, 8_000.0);

            assert!(up.abs() < 0.3, "up {hz}: {up}");
            assert!(down.abs() < 0.3, "down {hz}: {down}");
        }
    }

    #[test]
    fn nothing_is_mirrored_at_the_edge_of_the_band() {
        for hz in [300.0, 1_000.0, 3_000.0, 3_400.0] {
            let image = level(&run(Rate::Narrow, Rate::Wide, hz), 8_000.0 - hz, 16_000.0);
            let alias = level(&run(Rate::Wide, Rate::Narrow, 8_000.0 - hz), hz, 8_000.0);

            assert!(image < -55.0, "image of {hz}: {image}");
            assert!(alias < -55.0, "alias of {hz}: {alias}");
        }
    }

    #[test]
    fn frames_stay_frames_however_they_are_cut() {
        let mut whole = Resampler::new(Rate::Wide, Rate::Narrow).unwrap();
        let mut cut = whole.clone();
        let input: Vec<i16> = (0..1_920).map(|n| (n * 37 % 9_000) as i16).collect();
        let (mut at_once, mut in_pieces) = (vec![0; 960], vec![0; 960]);

        assert_eq!(whole.resample(&input, &mut at_once), 960);
        let mut made = 0;
        for piece in input.chunks(160) {
            made += cut.resample(piece, &mut in_pieces[made..]);
        }

        assert_eq!(at_once, in_pieces);
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut up = Resampler::new(Rate::Narrow, Rate::Wide).unwrap();

        assert_eq!(up.resample(&[1; 160], &mut [0; 100]), 100);
        assert_eq!(up.resample(&[], &mut [0; 100]), 0);
        assert!(Resampler::new(Rate::Wide, Rate::Wide).is_none());
    }

    /// A second of a tone, resampled frame by frame.
    fn run(from: Rate, to: Rate, hz: f64) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let tone: Vec<i16> = (0..from.hz())
            .map(|n| {
                let phase = std::f64::consts::TAU * hz * n as f64 / from.hz() as f64;
                (phase.sin() * 10_000.0) as i16
            })
            .collect();
        let mut out = Vec::new();
        for frame in tone.chunks(from.frame()) {
            let mut samples = [0; 320];
            let made = resampler.resample(frame, &mut samples);
            assert_eq!(made, to.frame());
            out.extend_from_slice(&samples[..made]);
        }
        out
    }

    /// In dB against the tone that went in.
    fn level(samples: &[i16], hz: f64, rate: f64) -> f64 {
        let samples = &samples[samples.len() / 10..];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let phase = std::f64::consts::TAU * hz * n as f64 / rate;
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }
        20.0 * (2.0 * f64::hypot(re, im) / samples.len() as f64 / 10_000.0).log10()
    }
}
