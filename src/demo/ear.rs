//! Who was heard, as measured from the samples an ear received.
//!
//! Each speaker's own signal is known, so the ear's signal is searched for it: both are whitened by
//! a short linear predictor, so that neither pitch nor loudness decides, and correlated over all lags up to
//! [`MAX_LAG`]. A speaker who is mixed in stands out as one sharp peak at one lag; one who is not leaves
//! only noise, whose own spread is the yardstick.

use std::time::{Duration, Instant};

use crate::demo::media::{RATE_HZ, Track};

/// The longest way from a mouth to an ear that is searched.
pub const MAX_LAG: Duration = Duration::from_millis(400);
/// A peak this many times the spread of all other lags is a voice. Noise alone reaches about 5
/// in some thousand lags.
pub const HEARD: f32 = 8.0;

/// Samples of a known sound that are searched for.
const ENOUGH: usize = 3200;

/// How clearly one speaker was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hearing {
    /// Peak of the correlation in units of its spread.
    pub clarity: f32,
    pub delay: Duration,
}

impl Hearing {
    pub fn heard(self) -> bool {
        self.clarity >= HEARD
    }
}

/// Searches what an ear heard from `from` to `to` for what a speaker said.
pub fn hearing(ear: &Track, mouth: &Track, from: Instant, to: Instant) -> Hearing {
    let heard = whitened(&ear.between(from, to));
    let lags = (MAX_LAG.as_secs_f64() * RATE_HZ as f64) as usize;
    let said = whitened(&mouth.between(from - MAX_LAG, to));
    correlate(&heard, &said, lags)
}

/// Searches `heard` for a known sound anywhere inside it, such as a prompt in a recording.
pub fn find(heard: &[i16], sound: &[i16]) -> Hearing {
    // Its beginning is as good as the whole, and sooner searched for.
    let sound = &sound[..sound.len().min(ENOUGH)];
    if heard.len() < sound.len() || sound.is_empty() {
        return Hearing {
            clarity: 0.0,
            delay: Duration::ZERO,
        };
    }
    let lags = heard.len() - sound.len();
    let heard = whitened(heard);
    let sound = whitened(sound);
    let mut scores: Vec<f32> = Vec::with_capacity(lags + 1);
    for lag in 0..=lags {
        let stretch = &heard[lag..lag + sound.len()];
        let product: f32 = stretch.iter().zip(&sound).map(|(a, b)| a * b).sum();
        let energy: f32 = stretch.iter().map(|a| a * a).sum();
        scores.push(product / (energy + 1.0).sqrt());
    }
    peak(&scores, |index| index)
}

fn correlate(heard: &[f32], said: &[f32], lags: usize) -> Hearing {
    let scores: Vec<f32> = (0..=lags)
        .map(|lag| heard.iter().zip(&said[lag..]).map(|(a, b)| a * b).sum())
        .collect();
    // said[lags] is said at the moment that heard[0] arrives.
    peak(&scores, |index| lags - index)
}

fn peak(scores: &[f32], lag_of: impl Fn(usize) -> usize) -> Hearing {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if score.abs() > scores[best].abs() {
            best = index;
        }
    }
    let beside = 16;
    let others = scores
        .iter()
        .enumerate()
        .filter(|(index, _)| index.abs_diff(best) > beside);
    let (count, power) = others.fold((0usize, 0f32), |(count, power), (_, score)| {
        (count + 1, power + score * score)
    });
    let spread = (power / count.max(1) as f32).sqrt();
    let clarity = if spread > 0.0 {
        scores[best].abs() / spread
    } else {
        0.0
    };
    let delay = Duration::from_secs_f64(lag_of(best) as f64 / RATE_HZ as f64);
    Hearing { clarity, delay }
}

/// Residual of an eighth-order linear predictor fitted to each 50 ms, every block levelled,
/// so that loud vowels do not drown the rest.
fn whitened(samples: &[i16]) -> Vec<f32> {
    const BLOCK: usize = 400;
    const ORDER: usize = 8;
    let input: Vec<f32> = samples.iter().map(|sample| f32::from(*sample)).collect();
    let mut output = vec![0f32; input.len()];
    for start in (0..input.len()).step_by(BLOCK) {
        let end = (start + BLOCK).min(input.len());
        let block = &input[start..end];
        let energy: f32 = block.iter().map(|s| s * s).sum();
        // Quieter than about −60 dBm0 is nobody.
        if energy < block.len() as f32 * 400.0 {
            continue;
        }
        let coefficients = predictor::<ORDER>(block);
        let mut residual_energy = 0f32;
        for n in start..end {
            let mut value = input[n];
            for (k, coefficient) in coefficients.iter().enumerate() {
                if n > k {
                    value -= coefficient * input[n - k - 1];
                }
            }
            output[n] = value;
            residual_energy += value * value;
        }
        let scale = ((end - start) as f32 / (residual_energy + 1.0)).sqrt();
        for value in &mut output[start..end] {
            *value = (*value * scale).clamp(-4.0, 4.0);
        }
    }
    output
}

/// Levinson–Durbin on the autocorrelation of one block.
fn predictor<const ORDER: usize>(block: &[f32]) -> [f32; ORDER] {
    let mut correlation = vec![0f32; ORDER + 1];
    for (lag, value) in correlation.iter_mut().enumerate() {
        if lag < block.len() {
            *value = block[lag..].iter().zip(block).map(|(a, b)| a * b).sum();
        }
    }
    let mut coefficients = [0f32; ORDER];
    // White noise correction keeps pure tones from blowing up the recursion.
    let mut error = correlation[0] * 1.001 + 1.0;
    for order in 0..ORDER {
        let mut reflection = correlation[order + 1];
        for k in 0..order {
            reflection -= coefficients[k] * correlation[order - k];
        }
        reflection /= error;
        let previous = coefficients;
        coefficients[order] = reflection;
        for k in 0..order {
            coefficients[k] = previous[k] - reflection * previous[order - 1 - k];
        }
        error *= 1.0 - reflection * reflection;
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::voices;

    fn track(began: Instant, samples: Vec<i16>) -> Track {
        Track {
            began: Some(began),
            samples,
        }
    }

    fn mix(parts: &[(&[i16], usize, f32)], length: usize) -> Vec<i16> {
        (0..length)
            .map(|n| {
                parts
                    .iter()
                    .filter(|(_, delay, _)| n >= *delay)
                    .map(|(voice, delay, gain)| f32::from(voice[(n - delay) % voice.len()]) * gain)
                    .sum::<f32>() as i16
            })
            .collect()
    }

    #[test]
    fn each_voice_in_a_mix_is_found_and_no_other() {
        let began = crate::edge::clock::now();
        let agent = voices::agent();
        let customer = voices::customer();
        let supervisor = voices::supervisor();
        let length = RATE_HZ * 6;
        let ear = track(
            began,
            mix(&[(&customer, 300, 1.0), (&supervisor, 700, 0.5)], length),
        );
        let (from, to) = (
            began + Duration::from_secs(2),
            began + Duration::from_secs(5),
        );

        let of = |voice: &[i16]| {
            hearing(
                &ear,
                &track(began, mix(&[(voice, 0, 1.0)], length)),
                from,
                to,
            )
        };

        let (customer, supervisor, agent) = (of(&customer), of(&supervisor), of(&agent));
        assert!(customer.heard(), "{customer:?}");
        assert!(supervisor.heard(), "{supervisor:?}");
        assert!(!agent.heard(), "{agent:?}");
        assert_eq!(customer.delay.as_millis(), 37);
        assert_eq!(supervisor.delay.as_millis(), 87);
    }

    #[test]
    fn nobody_is_found_in_silence() {
        let began = crate::edge::clock::now();
        let ear = track(began, vec![0; RATE_HZ * 4]);
        let mouth = track(began, mix(&[(&voices::agent(), 0, 1.0)], RATE_HZ * 4));

        let hearing = hearing(
            &ear,
            &mouth,
            began + Duration::from_secs(1),
            began + Duration::from_secs(3),
        );

        assert!(!hearing.heard(), "{hearing:?}");
    }

    #[test]
    fn a_known_sound_is_found_under_speech() {
        let speech = voices::customer();
        let sound = &voices::supervisor()[8000..16_000];
        let mut heard: Vec<i16> = speech[..40_000].iter().map(|s| s / 3).collect();
        for (sample, add) in heard[20_000..].iter_mut().zip(sound) {
            *sample = sample.saturating_add(*add);
        }

        let found = find(&heard, sound);
        let absent = find(&heard, &voices::agent()[8000..16_000]);

        assert!(found.heard(), "{found:?}");
        assert_eq!(found.delay.as_millis(), 2500);
        assert!(!absent.heard(), "{absent:?}");
    }
}
