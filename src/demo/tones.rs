//! The tones of the phones: those of the keys, and how much of a tone is in what was heard. Stated
//! apart from the product's own, which they judge.

use std::f32::consts::TAU;

/// The rows and columns of the keypad, in Hz (ITU-T Q.23).
pub const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub const COLUMNS_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

const RATE_HZ: f32 = 8_000.0;

/// A sample of a key, each tone of which has this amplitude; samples are counted from its beginning,
/// 8000 a second. What is no key is silent.
pub fn key_sample(key: char, amplitude: f32, sample: usize) -> i16 {
    let Some(place) = "123A456B789C*0#D".find(key) else {
        return 0;
    };
    let angle = TAU * sample as f32 / RATE_HZ;
    let (row, column) = (ROWS_HZ[place / 4], COLUMNS_HZ[place % 4]);
    (amplitude * ((angle * row).sin() + (angle * column).sin())) as i16
}

/// The amplitude of one frequency in samples at 8 kHz, by Goertzel's algorithm.
pub fn amplitude(samples: &[i16], hz: f32) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let coefficient = 2.0 * f64::from(TAU * hz / RATE_HZ).cos();
    let (mut newer, mut older) = (0.0, 0.0);
    for sample in samples {
        let newest = f64::from(*sample) + coefficient * newer - older;
        (newer, older) = (newest, newer);
    }
    let power: f64 = newer * newer + older * older - coefficient * newer * older;
    (2.0 * power.max(0.0).sqrt() / samples.len() as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tones_of_a_key_are_measured_and_no_other() {
        let samples: Vec<i16> = (0..800).map(|n| key_sample('6', 3_000.0, n)).collect();

        for hz in ROWS_HZ.into_iter().chain(COLUMNS_HZ) {
            let expected = if hz == 770.0 || hz == 1_477.0 {
                3_000.0
            } else {
                0.0
            };
            let found = amplitude(&samples, hz);
            assert!((found - expected).abs() < 150.0, "{hz} Hz: {found}");
        }
    }
}
