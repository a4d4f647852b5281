//! Finds the supervisor's voice in an ear: when it is first heard, and when what is heard was said.
//!
//! The voice is a sweep that sounds like itself at one instant alone, so a stretch of it found in
//! the ear tells when it was spoken. An ear hears a sample when its packet has arrived and the
//! samples before it have been played; a mouth spoke it a packet's length before its packet left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sottovoce::demo::media::{FRAME, Media, RATE_HZ, Track};

/// One second that rises evenly, away from the keys' tones and the parties' own.
const LOWEST_HZ: f32 = 1_900.0;
const HIGHEST_HZ: f32 = 3_300.0;
const AMPLITUDE: f32 = 3_600.0;

/// The customer's tone, which a notch takes out of the ear.
pub const CUSTOMER_HZ: f32 = 500.0;
/// The agent's, which only the supervisor's ear is searched for.
pub const AGENT_HZ: f32 = 1_900.0;
/// Louder than the silence of any codec.
const SOUND: u16 = 200;

/// How finely the beginning is found: 2.5 ms.
const STEP: usize = 20;
/// Between a tenth and a fifth of the sweep, behind the notch.
const LOUD: f32 = 900.0;
/// How much of the sweep is recognised.
const STRETCH: usize = 160;

/// The first of the voice after a key, against the end of that key.
#[derive(Clone, Copy, Debug)]
pub struct Onset {
    /// When it was heard.
    pub heard: Duration,
    /// When it was said; before the key's end where nothing of the voice was withheld.
    pub said_ms: f64,
}

impl Onset {
    pub fn heard_ms(&self) -> f64 {
        self.heard.as_secs_f64() * 1_000.0
    }

    /// From the mouth to the ear.
    pub fn way_ms(&self) -> f64 {
        self.heard_ms() - self.said_ms
    }
}

pub fn sweep() -> Arc<[i16]> {
    let mut phase = 0.0f32;
    (0..RATE_HZ)
        .map(|n| {
            let hz = LOWEST_HZ + (HIGHEST_HZ - LOWEST_HZ) * n as f32 / RATE_HZ as f32;
            phase = (phase + hz / RATE_HZ as f32).fract();
            ((phase * std::f32::consts::TAU).sin() * AMPLITUDE) as i16
        })
        .collect()
}

/// When the call was first heard by a supervisor: the first 20 ms in which there is any sound.
/// `None` where that sound is something else than the parties' tones, or more than they.
pub fn call_heard(ear: &Media) -> Option<Instant> {
    let heard = ear.heard();
    let first = heard
        .samples
        .iter()
        .position(|sample| sample.unsigned_abs() > SOUND)?;
    let sound = floats(heard.samples.get(first..first + FRAME)?);
    let rest = without(&without(&sound, CUSTOMER_HZ), AGENT_HZ);
    // Two notches use up four samples, and make what is no tone of the parties rather louder.
    let is_call = level(&rest[4..]) < level(&sound) / 2.0;
    let after = Duration::from_secs_f64(first as f64 / RATE_HZ as f64);
    is_call.then_some(heard.began? + after)
}

/// `None` while it is not heard yet.
pub fn find(ear: &Media, mouth: &Media, ended: Instant) -> Option<Onset> {
    let heard = ear.heard();
    let voice = without(&floats(&heard.samples), CUSTOMER_HZ);
    let packets = ear.packets();
    let audio = || {
        packets
            .iter()
            .filter(|packet| matches!(packet.payload_type, 0 | 8))
    };
    let first = audio().next()?.timestamp;
    for packet in audio().filter(|packet| packet.at >= ended) {
        let start = packet.timestamp.wrapping_sub(first) as usize;
        for offset in (0..FRAME).step_by(STEP) {
            let block = voice.get(start + offset..start + offset + STEP)?;
            if level(block) < LOUD {
                continue;
            }
            let stretch = voice.get(start + offset..start + offset + STRETCH)?;
            let late = Duration::from_secs_f64(offset as f64 / RATE_HZ as f64);
            return Some(Onset {
                heard: packet.at.duration_since(ended) + late,
                said_ms: said_ms(&mouth.said(), stretch, ended)?,
            });
        }
    }
    None
}

/// Where in what was said a stretch is found.
fn said_ms(said: &Track, stretch: &[f32], ended: Instant) -> Option<f64> {
    let before = Duration::from_millis(200);
    let start = said.index_at(ended - before)?;
    let samples = said.samples.get(start..)?;
    let samples = floats(&samples[..samples.len().min(RATE_HZ / 2)]);
    let samples = without(&samples, CUSTOMER_HZ);
    let alike = |window: &[f32]| -> f32 {
        let product: f32 = window.iter().zip(stretch).map(|(a, b)| a * b).sum();
        product / level(window).max(LOUD)
    };
    let (place, _) = samples
        .windows(stretch.len())
        .map(alike)
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    // A frame is noted when it is sent; it was spoken in the time of one frame before that.
    let noted = (place as f64 - FRAME as f64) / RATE_HZ as f64 - before.as_secs_f64();
    Some(noted * 1_000.0)
}

/// Without a steady tone; the first two samples are of no use.
fn without(samples: &[f32], hz: f32) -> Vec<f32> {
    let angle = std::f32::consts::TAU * hz / RATE_HZ as f32;
    let coefficient = 2.0 * angle.cos();
    let three = samples.windows(3);
    let filtered = three.map(|w| w[2] - coefficient * w[1] + w[0]);
    [0.0; 2].into_iter().chain(filtered).collect()
}

fn floats(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|sample| f32::from(*sample)).collect()
}

/// Root of the mean square.
fn level(samples: &[f32]) -> f32 {
    (samples.iter().map(|it| it * it).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}
