//! What is played when a packet is missing: the last pitch period again, fading to silence over
//! 60 ms, and a short cross-fade back when speech returns.

use crate::media::frame::Rate;
use crate::media::prefetch::prefetch_all;

/// Three longest periods of sound are remembered: enough to find one and to repeat it.
const HISTORY_MS: usize = 40;
const HISTORY: usize = Rate::Wide.samples_in(HISTORY_MS);

/// Speech has its pitch between these: 400 Hz and 66 Hz.
const SHORTEST_TENTH_MS: usize = 25;
const LONGEST_MS: usize = 15;
const LONGEST: usize = Rate::Wide.samples_in(LONGEST_MS);

/// By then nothing is left.
pub const FADE_MS: usize = 60;
const RETURN_MS: usize = 4;

#[derive(Debug)]
pub struct Concealer {
    rate: Rate,
    /// A ring: the oldest sample lies at `oldest`.
    history: Box<[i16; HISTORY]>,
    oldest: usize,
    repeating: Option<Repeating>,
}

#[derive(Clone, Copy, Debug)]
struct Repeating {
    period: usize,
    /// Samples made up since the last good one.
    made: usize,
}

impl Concealer {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            history: Box::new([0; HISTORY]),
            oldest: 0,
            repeating: None,
        }
    }

    /// Takes note of good samples; after a gap their beginning is blended with what was made up.
    pub fn note(&mut self, good: &mut [i16]) {
        if let Some(mut repeating) = self.repeating.take() {
            let fade = self.rate.samples_in(RETURN_MS).min(good.len());
            for (step, sample) in good[..fade].iter_mut().enumerate() {
                let made_up = i32::from(self.next(&mut repeating));
                let (step, fade) = (step as i32 + 1, fade as i32 + 1);
                *sample = ((i32::from(*sample) * step + made_up * (fade - step)) / fade) as i16;
            }
        }
        let kept = self.rate.samples_in(HISTORY_MS);
        let history = &mut self.history[..kept];
        let fresh = &good[good.len().saturating_sub(kept)..];
        let (till_end, from_start) = fresh.split_at(fresh.len().min(kept - self.oldest));
        history[self.oldest..][..till_end.len()].copy_from_slice(till_end);
        history[..from_start.len()].copy_from_slice(from_start);
        self.oldest = (self.oldest + fresh.len()) % kept;
    }

    /// What the next note is written over comes soon.
    pub fn prefetch(&self) {
        let kept = self.rate.samples_in(HISTORY_MS);
        let written = self.oldest..kept.min(self.oldest + self.rate.frame());
        prefetch_all(&self.history[written]);
    }

    /// Makes up samples for a gap.
    pub fn conceal(&mut self, out: &mut [i16]) {
        let mut repeating = self.repeating.unwrap_or_else(|| Repeating {
            period: self.period(),
            made: 0,
        });
        for sample in out.iter_mut() {
            *sample = self.next(&mut repeating);
        }
        self.repeating = Some(repeating);
    }

    fn next(&self, repeating: &mut Repeating) -> i16 {
        let fade = self.rate.samples_in(FADE_MS);
        if repeating.made >= fade {
            return 0;
        }
        let kept = self.rate.samples_in(HISTORY_MS);
        let place = kept - repeating.period + repeating.made % repeating.period;
        let place = (self.oldest + place) % kept;
        let left = (fade - repeating.made) as i32;
        repeating.made += 1;
        (i32::from(self.history[place]) * left / fade as i32) as i16
    }

    /// The shift at which the last 15 ms look most like what came before them.
    fn period(&self) -> usize {
        let kept = self.rate.samples_in(HISTORY_MS);
        let longest = self.rate.samples_in(LONGEST_MS);
        let shortest = self.rate.hz() * SHORTEST_TENTH_MS / 10_000;
        let mut history = *self.history;
        history[..kept].rotate_left(self.oldest);
        let recent = &history[kept - longest..kept];
        let mut likeness = [0.0f32; LONGEST + 2];
        let shifts = likeness.iter_mut().enumerate().take(longest + 1);
        for (period, likeness) in shifts.skip(shortest) {
            let earlier = &history[kept - longest - period..kept - period];
            let mut product = 0.0f32;
            let mut energy = 1.0f32;
            for (a, b) in recent.iter().zip(earlier) {
                product += f32::from(*a) * f32::from(*b);
                energy += f32::from(*b) * f32::from(*b);
            }
            *likeness = product / energy.sqrt();
        }
        // A multiple of the period looks as alike as the period itself: the shortest peak wins.
        let best = likeness.iter().copied().fold(0.0, f32::max);
        (shortest..=longest)
            .find(|period| {
                let here = likeness[*period];
                here >= 0.95 * best && here >= likeness[period + 1]
            })
            .unwrap_or(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_a_voice_goes_on_with_its_pitch_and_fades() {
        let mut concealer = Concealer::new(Rate::Narrow);
        let mut voice = tone(200.0, 0, 800);
        concealer.note(&mut voice);

        let mut gap = [0; 480];
        concealer.conceal(&mut gap[..160]);
        concealer.conceal(&mut gap[160..320]);
        concealer.conceal(&mut gap[320..]);

        let would_be = tone(200.0, 800, 40);
        for (made, wanted) in gap.iter().zip(&would_be) {
            assert!((made - wanted).abs() < 1_500, "{made} {wanted}");
        }
        assert!(peak(&gap[..80]) > 7_000);
        assert!((2_000..5_500).contains(&peak(&gap[240..320])));
        assert!(peak(&gap[440..]) < 800);
    }

    #[test]
    fn after_the_fade_there_is_silence_until_speech_returns_without_a_jump() {
        let mut concealer = Concealer::new(Rate::Wide);
        concealer.note(&mut tone(100.0, 0, 640));
        concealer.conceal(&mut [0; 960]);
        let mut late = [1; 320];

        concealer.conceal(&mut late);
        let mut back = [8_000; 320];
        concealer.note(&mut back);

        assert_eq!(late, [0; 320]);
        assert!(back[0] < 400);
        assert!(back.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 400));
        assert_eq!(back[100], 8_000);
    }

    fn tone(hz: f64, from: usize, count: usize) -> Vec<i16> {
        (from..from + count)
            .map(|n| ((std::f64::consts::TAU * hz * n as f64 / 8_000.0).sin() * 8_000.0) as i16)
            .collect()
    }

    fn peak(samples: &[i16]) -> i16 {
        samples.iter().map(|sample| sample.abs()).max().unwrap()
    }
}
