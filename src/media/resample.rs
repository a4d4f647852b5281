//! Between the two rates of bridges, by the FIR filters of the crate `resampler`: up by two and down
//! by two, flat to 3.4 kHz, 60 dB down from the edge of the narrower band, 4 ms late.

use resampler::{Attenuation, Latency, ResamplerFir};

use crate::media::frame::Rate;

/// Samples of input that are worked on at once: a frame at 16 kHz.
const BLOCK: usize = 320;

/// 32 samples at the lower rate: half of them would already dull speech at 3 kHz.
const LATENCY: Latency = Latency::Sample32;
/// Below what 16 bits of telephone speech hold of noise.
const ATTENUATION: Attenuation = Attenuation::Db60;

#[derive(Debug)]
pub struct Resampler {
    filter: ResamplerFir,
    from: Rate,
    to: Rate,
}

impl Resampler {
    /// `None` where the rates are the same.
    pub fn new(from: Rate, to: Rate) -> Option<Self> {
        if from == to {
            return None;
        }
        let filter =
            ResamplerFir::new_from_hz(1, from.hz() as u32, to.hz() as u32, LATENCY, ATTENUATION);
        let mut resampler = Self { filter, from, to };
        resampler.fill();
        Some(resampler)
    }

    /// Computes the filters, which all that are made later share: it takes milliseconds, and seats
    /// are taken on the thread that carries everyone's packets.
    pub fn prepare() {
        Self::new(Rate::Narrow, Rate::Wide);
        Self::new(Rate::Wide, Rate::Narrow);
    }

    pub fn reset(&mut self) {
        self.filter.reset();
        self.fill();
    }

    /// Resamples all of the input, or as much as `out` has room for, and says how much came out.
    pub fn resample(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let fits = out.len() * self.from.hz() / self.to.hz();
        let mut made = 0;
        for block in input[..input.len().min(fits)].chunks(BLOCK) {
            let mut exact = [0.0f32; BLOCK];
            for (exact, sample) in exact.iter_mut().zip(block) {
                *exact = f32::from(*sample);
            }
            let mut resampled = [0.0f32; 2 * BLOCK];
            let count = self.filter(&exact[..block.len()], &mut resampled);
            for (sample, exact) in out[made..].iter_mut().zip(&resampled[..count]) {
                *sample = (exact + 0.5).floor() as i16;
            }
            made += count.min(out.len() - made);
        }
        made
    }

    /// Silence before the first sample, as long as the filter, so that each frame yields a frame.
    fn fill(&mut self) {
        let taps = 2 * self.filter.delay();
        let silence = [0.0; 2 * BLOCK];
        self.filter(&silence[..taps.saturating_sub(1)], &mut [0.0; 2 * BLOCK]);
    }

    /// The filter refuses only what is not a whole number of channels, and of one there are none.
    fn filter(&mut self, input: &[f32], out: &mut [f32]) -> usize {
        self.filter.resample(input, out).map_or(0, |(_, made)| made)
    }
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
        let mut cut = Resampler::new(Rate::Wide, Rate::Narrow).unwrap();
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
    fn after_a_reset_nothing_is_left_of_what_was() {
        let mut resampler = Resampler::new(Rate::Narrow, Rate::Wide).unwrap();
        let mut out = [0; 320];
        resampler.resample(&[20_000; 160], &mut out);

        resampler.reset();

        assert_eq!(resampler.resample(&[0; 160], &mut out), 320);
        assert_eq!(out, [0; 320]);
    }

    #[test]
    fn an_hour_of_frames_is_an_hour_of_frames() {
        for (from, to) in [(Rate::Narrow, Rate::Wide), (Rate::Wide, Rate::Narrow)] {
            let mut resampler = Resampler::new(from, to).unwrap();
            let (input, mut out) = ([100; 320], [0; 320]);
            for frame in 0..180_000 {
                let made = resampler.resample(&input[..from.frame()], &mut out);
                assert_eq!(made, to.frame(), "{frame}");
            }
        }
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
