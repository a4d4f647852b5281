//! How much of a key leaks, measured over the keys, their levels and lengths.

use std::f64::consts::TAU;

use super::*;
use crate::media::dtmf::Digit;
use crate::media::dtmf::tone::ToneEvent;
use crate::media::tone::{COLUMNS_HZ, ROWS_HZ};

/// A tone below this is not heard: −50 dBm0.
const HEARD: f64 = 72.0;

/// Of a sine at full scale, in A-law (ITU-T G.711); its likeness to π is chance.
#[allow(clippy::approx_constant)]
const FULL_SCALE_DBM0: f64 = 3.14;

#[test]
fn at_most_10_ms_of_any_key_leak() {
    for key in 0..16 {
        for dbm0 in [0.0, -5.0, -10.0, -15.0, -20.0, -25.0] {
            for milliseconds in [40, 50, 65, 100, 200, 500] {
                let lead = 800 + key * 23;
                let mut sound = vec![0; lead];
                sound.extend(tone(key, milliseconds, dbm0));
                sound.extend([0; 800]);

                let (passed, _) = clamp(&sound);

                let leaked = passed
                    .iter()
                    .filter(|sample| f64::from(**sample).abs() > HEARD)
                    .count();
                assert!(
                    leaked <= 80,
                    "{key}: {dbm0} dBm0, {milliseconds} ms: {leaked}"
                );
            }
        }
    }
}

#[test]
fn at_most_10_ms_of_a_key_leak_under_the_voice_of_who_presses_it() {
    let voice = voice(6_400, 14_000.0);
    for key in 0..16 {
        for dbm0 in [0.0, -6.0, -12.0, -18.0, -25.0] {
            for milliseconds in [40, 65, 100, 250, 500] {
                // The strongest harmonics of the voice are 10 dB below each tone.
                let scale = 10f64.powf((dbm0 - 10.0) / 20.0);
                let scaled = voice.iter().map(|sample| f64::from(*sample) * scale);
                let mut sound: Vec<i16> = scaled.map(|sample| sample as i16).collect();
                let lead = 1_000 + key * 41;
                for (sample, tone) in sound[lead..].iter_mut().zip(tone(key, milliseconds, dbm0)) {
                    *sample = sample.saturating_add(tone);
                }

                let (passed, _) = clamp(&sound);

                let while_pressed = &passed[DELAY + lead..][..milliseconds * 8];
                let leaked = while_pressed.iter().filter(|sample| **sample != 0).count();
                assert!(
                    leaked <= 80,
                    "{key}: {dbm0} dBm0, {milliseconds} ms: {leaked}"
                );
            }
        }
    }
}

#[test]
fn it_stays_shut_for_20_ms_after_the_release_and_opens_soon_after() {
    let mut sound = vec![1_000; 800];
    sound.extend(tone(5, 100, -10.0));
    let released = sound.len();
    sound.extend([1_000; 1_600]);

    let (passed, _) = clamp(&sound);

    let after = &passed[DELAY + released..];
    assert!(after[..160].iter().all(|sample| *sample == 0));
    assert!(after[320..800].iter().all(|sample| *sample == 1_000));
}

#[test]
fn the_keys_are_reported() {
    let mut sound = vec![0; 800];
    for key in 0..16 {
        sound.extend(tone(key, 100, -10.0));
        sound.extend([0; 800]);
    }

    let (_, keys) = clamp(&sound);

    let keys: String = keys.into_iter().map(Digit::as_char).collect();
    assert_eq!(keys, "123A456B789C*0#D");
}

#[test]
fn a_voice_passes_unchanged_but_for_its_delay() {
    let voice = voice(8_000, 4_000.0);

    let (passed, keys) = clamp(&voice);

    assert_eq!(keys, []);
    assert_eq!(passed[DELAY..], voice[..voice.len() - DELAY]);
}

/// What comes out of the clamp, and the keys.
fn clamp(sound: &[i16]) -> (Vec<i16>, Vec<Digit>) {
    let mut clamp = KeyClamp::new(Profile::Menu);
    let mut passed = Vec::new();
    let mut keys = Vec::new();
    for chunk in sound.chunks_exact(FRAME) {
        let mut frame = [0; FRAME];
        frame.copy_from_slice(chunk);
        for event in clamp.push(&mut frame) {
            if let ToneEvent::Pressed { digit, .. } = event {
                keys.push(digit);
            }
        }
        passed.extend(frame);
    }
    (passed, keys)
}

/// A hum of 27 harmonics whose pitch moves as that of speech does.
fn voice(samples: usize, scale: f64) -> Vec<i16> {
    let mut phase = 0.0;
    (0..samples)
        .map(|n| {
            let time = n as f64 / 8_000.0;
            let pitch = 120.0 + 30.0 * (TAU * 1.3 * time).sin();
            phase += TAU * pitch / 8_000.0;
            let harmonics = (1..28).map(f64::from);
            let sum: f64 = harmonics.map(|k| (phase * k).sin() / k).sum();
            (sum * scale) as i16
        })
        .collect()
}

fn tone(key: usize, milliseconds: usize, dbm0: f64) -> Vec<i16> {
    let amplitude = 32_767.0 * 10f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0);
    (0..milliseconds * 8)
        .map(|n| {
            let time = n as f64 / 8_000.0;
            let row = (TAU * f64::from(ROWS_HZ[key / 4]) * time).sin();
            let column = (TAU * f64::from(COLUMNS_HZ[key % 4]) * time + 1.0).sin();
            ((row + column) * amplitude).clamp(-32_768.0, 32_767.0) as i16
        })
        .collect()
}
