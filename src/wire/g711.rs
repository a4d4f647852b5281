//! G.711: µ-law and A-law to linear 16 bit and back, bit exact with the ITU-T reference.
//!
//! Both ways are arithmetic without a table and without a branch, so that the loops over a frame
//! become vector instructions on every machine. A code is a small floating-point number: sign,
//! three bits of exponent, four of mantissa. So the exponent and mantissa of an `f32` are read off,
//! or put together, where the reference searches for the highest bit. The numbers are small enough
//! to be exact.

/// The code that stands for silence.
pub const ULAW_SILENCE: u8 = 0xff;
pub const ALAW_SILENCE: u8 = 0xd5;

/// Decodes as many as there are of both, and says how many that are.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets = "simd")
)]
pub fn decode_ulaw(codes: &[u8], samples: &mut [i16]) -> usize {
    for (sample, code) in samples.iter_mut().zip(codes) {
        *sample = ulaw_to_linear(*code);
    }
    codes.len().min(samples.len())
}

/// Decodes as many as there are of both, and says how many that are.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets = "simd")
)]
pub fn decode_alaw(codes: &[u8], samples: &mut [i16]) -> usize {
    for (sample, code) in samples.iter_mut().zip(codes) {
        *sample = alaw_to_linear(*code);
    }
    codes.len().min(samples.len())
}

/// Encodes as many as there are of both, and says how many that are.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets = "simd")
)]
pub fn encode_ulaw(samples: &[i16], codes: &mut [u8]) -> usize {
    for (code, sample) in codes.iter_mut().zip(samples) {
        *code = linear_to_ulaw(*sample);
    }
    codes.len().min(samples.len())
}

/// Encodes as many as there are of both, and says how many that are.
#[cfg_attr(
    not(feature = "portable"),
    multiversion::multiversion(targets = "simd")
)]
pub fn encode_alaw(samples: &[i16], codes: &mut [u8]) -> usize {
    for (code, sample) in codes.iter_mut().zip(samples) {
        *code = linear_to_alaw(*sample);
    }
    codes.len().min(samples.len())
}

/// A µ-law code as a linear sample (14 bits, left-aligned in 16).
#[inline(always)]
pub fn ulaw_to_linear(code: u8) -> i16 {
    let inverted = i32::from(!code);
    // Segment and step with the bit below the step make (2·step + 33)·2^segment, left-aligned; the
    // bias of 33 is taken off again.
    let magnitude = exact((inverted & 0x7f) << 19 | 1 << 18, 7) - (33 << 2);
    with_sign(magnitude, -(inverted >> 7))
}

/// An A-law code as a linear sample (13 bits, left-aligned in 16).
#[inline(always)]
fn alaw_to_linear(code: u8) -> i16 {
    let toggled = i32::from(code ^ 0x55);
    let low = toggled & 0x7f;
    // The lowest segment has the steps of the one above it, less the bit that leads there.
    let lowest = -i32::from(low < 0x10);
    let magnitude = exact((low + (lowest & 0x10)) << 19 | 1 << 18, 7) - (lowest & 32 << 3);
    with_sign(magnitude, (toggled >> 7) - 1)
}

/// The µ-law code of a linear sample.
#[inline(always)]
fn linear_to_ulaw(sample: i16) -> u8 {
    // Sign and magnitude in 14 bits, biased by 33 so that the segment is the place of the highest
    // bit (G.711 table 2). The negative half is the one's complement in the reference.
    let sign = i32::from(sample >> 15);
    let magnitude = (i32::from(sample) ^ sign) >> 2;
    let biased = (magnitude + 33).min(0x1fff);
    let code = segment_and_step(biased, 5);
    !(code | (sign & 0x80)) as u8
}

/// The A-law code of a linear sample.
#[inline(always)]
fn linear_to_alaw(sample: i16) -> u8 {
    // Sign and magnitude in 12 bits; the two lowest segments share a step (G.711 table 1), so that
    // there the magnitude is the code.
    let sign = i32::from(sample >> 15);
    let magnitude = (i32::from(sample) ^ sign) >> 4;
    let above = segment_and_step(magnitude, 4) + 0x10;
    let code = if magnitude < 0x10 { magnitude } else { above };
    ((code | (!sign & 0x80)) ^ 0x55) as u8
}

/// Where the highest bit stands, counted from `lowest`, and the four bits below it.
#[inline(always)]
fn segment_and_step(number: i32, lowest: i32) -> i32 {
    ((number as f32).to_bits() as i32 >> 19) - ((127 + lowest) << 4)
}

/// The whole number whose bits as an `f32` these are, its exponent counted from `lowest`. Adding
/// 2^23 moves the units to the end of the mantissa.
#[inline(always)]
fn exact(bits: i32, lowest: i32) -> i32 {
    let number = f32::from_bits((bits + ((127 + lowest) << 23)) as u32);
    (number + 8_388_608.0).to_bits() as i32 & 0x007f_ffff
}

/// Negative where `sign` is −1, as it stands where it is 0.
#[inline(always)]
fn with_sign(magnitude: i32, sign: i32) -> i16 {
    ((magnitude ^ sign) - sign) as i16
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_encodes_as_the_reference_says() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(
                linear_to_ulaw(sample),
                reference::compress_ulaw(sample),
                "{sample}"
            );
            assert_eq!(
                linear_to_alaw(sample),
                reference::compress_alaw(sample),
                "{sample}"
            );
        }
    }

    #[test]
    fn every_code_decodes_as_the_reference_says() {
        for code in 0..=255 {
            assert_eq!(ulaw_to_linear(code), reference::expand_ulaw(code), "{code}");
            assert_eq!(alaw_to_linear(code), reference::expand_alaw(code), "{code}");
        }
    }

    #[test]
    fn the_loops_say_of_every_sample_and_code_what_the_reference_says() {
        // Cut so that vectors begin and end everywhere.
        for cut in [1, 7, 160, 65_536] {
            let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
            let (mut ulaw, mut alaw) = (vec![0; 65_536], vec![0; 65_536]);
            for ((samples, ulaw), alaw) in samples
                .chunks(cut)
                .zip(ulaw.chunks_mut(cut))
                .zip(alaw.chunks_mut(cut))
            {
                assert_eq!(encode_ulaw(samples, ulaw), samples.len());
                assert_eq!(encode_alaw(samples, alaw), samples.len());
            }
            let expected = |law: fn(i16) -> u8| -> Vec<u8> {
                samples.iter().map(|sample| law(*sample)).collect()
            };
            assert!(ulaw == expected(reference::compress_ulaw), "{cut}");
            assert!(alaw == expected(reference::compress_alaw), "{cut}");

            let codes: Vec<u8> = (0..=255).collect();
            let (mut from_ulaw, mut from_alaw) = (vec![0; 256], vec![0; 256]);
            for ((codes, ulaw), alaw) in codes
                .chunks(cut)
                .zip(from_ulaw.chunks_mut(cut))
                .zip(from_alaw.chunks_mut(cut))
            {
                assert_eq!(decode_ulaw(codes, ulaw), codes.len());
                assert_eq!(decode_alaw(codes, alaw), codes.len());
            }
            let expected =
                |law: fn(u8) -> i16| -> Vec<i16> { codes.iter().map(|code| law(*code)).collect() };
            assert_eq!(from_ulaw, expected(reference::expand_ulaw), "{cut}");
            assert_eq!(from_alaw, expected(reference::expand_alaw), "{cut}");
        }
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        assert_eq!(encode_ulaw(&[0; 3], &mut [0; 2]), 2);
        assert_eq!(decode_alaw(&[0; 2], &mut [0; 3]), 2);
    }

    #[test]
    fn a_code_survives_a_round_trip() {
        for code in 0..=255 {
            // Negative zero of the µ-law decodes to zero, whose code is the positive one.
            let ulaw = if code == 0x7f { 0xff } else { code };
            assert_eq!(linear_to_ulaw(ulaw_to_linear(code)), ulaw);
            assert_eq!(linear_to_alaw(alaw_to_linear(code)), code);
        }
    }

    #[test]
    fn silence_is_the_code_of_zero() {
        assert_eq!(linear_to_ulaw(0), ULAW_SILENCE);
        assert_eq!(linear_to_alaw(0), ALAW_SILENCE);
    }
}
