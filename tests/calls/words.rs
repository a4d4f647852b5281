//! Prompts, recognised in what a phone received where nobody else spoke.

use std::time::Duration;

use sottovoce::demo::errors::prompt_samples;
use sottovoce::demo::media::{Media, RATE_HZ};
use sottovoce::demo::stage::PATIENCE;
use sottovoce::edge::clock;

use crate::scene::share;

/// Correlation from which on it is that prompt: one voice says them all, and words in common make
/// two of them alike in part.
const ALIKE: f32 = 0.7;
/// So much of a prompt is looked for.
const ENOUGH: usize = RATE_HZ;
/// Louder than the silence of any codec.
const SOUND: u16 = 200;

/// Whether a prompt was said after that position in what was heard.
pub fn spoken_after(media: &Media, position: usize, stem: &str) -> bool {
    let prompt = prompt_samples(share(), stem).expect("a prompt");
    let prompt = halved(&prompt[..prompt.len().min(ENOUGH)]);
    let heard = halved(&media.heard().samples[position..]);
    let mut stretches = heard.windows(prompt.len());
    stretches.any(|stretch| correlation(stretch, &prompt) > ALIKE)
}

/// Waits until a prompt has been said.
pub async fn wait_spoken(media: &Media, position: usize, stem: &str) {
    let end = clock::now() + PATIENCE;
    while !spoken_after(media, position, stem) {
        assert!(clock::now() < end, "never said: {stem}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Whether there was no sound at all after that position.
pub fn silent_after(media: &Media, position: usize) -> bool {
    let heard = media.heard();
    let mut samples = heard.samples[position..].iter();
    samples.all(|sample| sample.unsigned_abs() <= SOUND)
}

/// At half the rate, which is enough for a voice to be known by.
fn halved(samples: &[i16]) -> Vec<f32> {
    let pairs = samples.chunks_exact(2);
    pairs
        .map(|pair| f32::from(pair[0]) + f32::from(pair[1]))
        .collect()
}

/// From −1 to 1; 0 where there is silence.
fn correlation(one: &[f32], other: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    product(one, other) / (product(one, one) * product(other, other)).sqrt().max(1.0)
}
