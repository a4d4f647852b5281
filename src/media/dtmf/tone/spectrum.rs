//! Two real signals of at most 64 ms, in one Fourier transform of 512 points.

use std::sync::LazyLock;

use crate::media::dtmf::tone::grid::RATE_HZ;

pub const POINTS: usize = 512;

const HALF: usize = POINTS / 2;

/// Squared magnitudes at the frequencies below half the sampling rate.
pub struct Spectra {
    pub first: [f32; HALF],
    pub second: [f32; HALF],
}

static ROOTS: LazyLock<[(f32, f32); HALF]> = LazyLock::new(|| {
    std::array::from_fn(|n| {
        let (sin, cos) = (-std::f64::consts::TAU * n as f64 / POINTS as f64).sin_cos();
        (cos as f32, sin as f32)
    })
});

/// The bin nearest to a frequency.
pub fn bin(hz: f64) -> usize {
    (hz * POINTS as f64 / RATE_HZ as f64).round() as usize
}

/// Both signals are seen through a Hann window of their length.
pub fn spectra(first: &[f32], second: &[f32]) -> Spectra {
    let length = first.len().min(second.len()).min(POINTS);
    let mut re = [0.0f32; POINTS];
    let mut im = [0.0f32; POINTS];
    let step = std::f32::consts::TAU / length as f32;
    for n in 0..length {
        let weight = 0.5 - 0.5 * ((n as f32 + 0.5) * step).cos();
        let place = reversed(n);
        re[place] = first[n] * weight;
        im[place] = second[n] * weight;
    }
    transform(&mut re, &mut im);

    let mut spectra = Spectra {
        first: [0.0; HALF],
        second: [0.0; HALF],
    };
    // The spectrum of a real signal is even, that of an imaginary one odd.
    for k in 1..HALF {
        let mirror = POINTS - k;
        let even = (re[k] + re[mirror], im[k] - im[mirror]);
        let odd = (re[k] - re[mirror], im[k] + im[mirror]);
        spectra.first[k] = (even.0 * even.0 + even.1 * even.1) / 4.0;
        spectra.second[k] = (odd.0 * odd.0 + odd.1 * odd.1) / 4.0;
    }
    spectra.first[0] = re[0] * re[0];
    spectra.second[0] = im[0] * im[0];
    spectra
}

/// The order in which the transform wants its input.
fn reversed(n: usize) -> usize {
    (n as u16).reverse_bits() as usize >> (16 - POINTS.trailing_zeros())
}

fn transform(re: &mut [f32; POINTS], im: &mut [f32; POINTS]) {
    let roots = &*ROOTS;
    let mut span = 1;
    while span < POINTS {
        let stride = HALF / span;
        for start in (0..POINTS).step_by(2 * span) {
            for n in 0..span {
                let (cos, sin) = roots[n * stride];
                let (a, b) = (start + n, start + n + span);
                let turned = (re[b] * cos - im[b] * sin, re[b] * sin + im[b] * cos);
                (re[b], im[b]) = (re[a] - turned.0, im[a] - turned.1);
                (re[a], im[a]) = (re[a] + turned.0, im[a] + turned.1);
            }
        }
        span *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_signals_keep_to_their_own_spectra() {
        let wave = |hz: f32, n: usize| (std::f32::consts::TAU * hz * n as f32 / 8_000.0).sin();
        let first: Vec<f32> = (0..POINTS).map(|n| 100.0 * wave(1_000.0, n)).collect();
        let second: Vec<f32> = (0..POINTS).map(|n| 50.0 * wave(250.0, n)).collect();

        let Spectra { first, second } = spectra(&first, &second);

        // Amplitude, halved by the window and again by the two sides of the spectrum.
        let expected = |amplitude: f32| (amplitude / 4.0 * POINTS as f32).powi(2);
        assert!((first[bin(1_000.0)] / expected(100.0) - 1.0).abs() < 1e-3);
        assert!((second[bin(250.0)] / expected(50.0) - 1.0).abs() < 1e-3);
        assert!(first[bin(250.0)] < 1e-6 * first[bin(1_000.0)]);
        assert!(second[bin(1_000.0)] < 1e-6 * second[bin(250.0)]);
    }
}
