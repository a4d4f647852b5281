//! G.711: µ-law and A-law to linear 16 bit and back, bit exact with the ITU-T reference.
//!
//! Tables for the way in, made when the program is compiled; arithmetic for the way out, which
//! the compiler turns into vector code because it has no branch and no table.

/// A µ-law code as a linear sample (14 bits, left-aligned in 16).
pub fn ulaw_to_linear(code: u8) -> i16 {
    ULAW[usize::from(code)]
}

/// An A-law code as a linear sample (13 bits, left-aligned in 16).
pub fn alaw_to_linear(code: u8) -> i16 {
    ALAW[usize::from(code)]
}

/// The µ-law code of a linear sample.
pub fn linear_to_ulaw(sample: i16) -> u8 {
    // Sign and magnitude in 14 bits, biased by 33 so that the segment is the place of the highest
    // bit (G.711 table 2). The negative half is the one's complement in the reference.
    let negative = sample < 0;
    let magnitude = (if negative { !sample } else { sample } >> 2) as u16;
    let biased = (magnitude + 33).min(0x1fff);
    let segment = 10 - biased.leading_zeros() as u16;
    let step = (biased >> (segment + 1)) & 0x0f;
    let code = (segment << 4 | step) as u8;
    !(code | if negative { 0x80 } else { 0 })
}

/// The A-law code of a linear sample.
pub fn linear_to_alaw(sample: i16) -> u8 {
    // Sign and magnitude in 12 bits; the two lowest segments share a step (G.711 table 1).
    let negative = sample < 0;
    let magnitude = (if negative { !sample } else { sample } >> 4) as u16;
    let segment = (15 - (magnitude | 1).leading_zeros() as u16).saturating_sub(3);
    let step = (magnitude >> segment.saturating_sub(1)) & 0x0f;
    let code = (segment << 4 | step) as u8;
    (code | if negative { 0 } else { 0x80 }) ^ 0x55
}

/// The code that stands for silence.
pub const ULAW_SILENCE: u8 = 0xff;
pub const ALAW_SILENCE: u8 = 0xd5;

const ULAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let inverted = !(code as u8);
        let step = (inverted & 0x0f) as i16;
        let segment = (inverted >> 4 & 7) as i16;
        let magnitude = (((step << 1) + 33) << segment) - 33;
        table[code] = if inverted & 0x80 == 0 {
            magnitude << 2
        } else {
            -(magnitude << 2)
        };
        code += 1;
    }
    table
};

const ALAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let inverted = code as u8 ^ 0x55;
        let step = (inverted & 0x0f) as i16;
        let segment = (inverted >> 4 & 7) as i16;
        let magnitude = if segment == 0 {
            (step << 1) + 1
        } else {
            ((step << 1) + 33) << (segment - 1)
        };
        table[code] = if inverted & 0x80 != 0 {
            magnitude << 3
        } else {
            -(magnitude << 3)
        };
        code += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_encodes_as_the_reference_says() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(linear_to_ulaw(sample), reference_ulaw(sample), "{sample}");
            assert_eq!(linear_to_alaw(sample), reference_alaw(sample), "{sample}");
        }
    }

    #[test]
    fn every_code_decodes_as_the_reference_says() {
        for code in 0..=255 {
            assert_eq!(ulaw_to_linear(code), reference_ulaw_expand(code), "{code}");
            assert_eq!(alaw_to_linear(code), reference_alaw_expand(code), "{code}");
        }
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

    // The compression and expansion laws as ITU-T G.711 words them: segment by segment.

    fn reference_ulaw(sample: i16) -> u8 {
        let magnitude = if sample < 0 { !sample } else { sample } >> 2;
        let magnitude = (i32::from(magnitude) + 33).min(0x1fff);
        let mut segment = 1;
        while magnitude >> (5 + segment) != 0 {
            segment += 1;
        }
        let low = 0xf - ((magnitude >> segment) & 0xf);
        let sign = if sample < 0 { 0 } else { 0x80 };
        (((8 - segment) << 4) | low | sign) as u8
    }

    fn reference_alaw(sample: i16) -> u8 {
        let mut magnitude = i32::from(if sample < 0 { !sample } else { sample } >> 4);
        if magnitude > 15 {
            let mut exponent = 1;
            while magnitude > 31 {
                magnitude >>= 1;
                exponent += 1;
            }
            magnitude = magnitude - 16 + (exponent << 4);
        }
        let sign = if sample < 0 { 0 } else { 0x80 };
        ((magnitude | sign) ^ 0x55) as u8
    }

    fn reference_ulaw_expand(code: u8) -> i16 {
        let sign = if code < 0x80 { -1 } else { 1 };
        let exponent = i32::from(!code >> 4 & 7);
        let mantissa = i32::from(!code & 0xf);
        let step = 4 << (exponent + 1);
        (sign * ((0x80 << exponent) + step * mantissa + step / 2 - 4 * 33)) as i16
    }

    fn reference_alaw_expand(code: u8) -> i16 {
        let toggled = i32::from(code ^ 0x55) & 0x7f;
        let exponent = toggled >> 4;
        let mut mantissa = toggled & 0xf;
        if exponent > 0 {
            mantissa += 16;
        }
        mantissa = (mantissa << 4) + 8;
        if exponent > 1 {
            mantissa <<= exponent - 1;
        }
        (if code > 127 { mantissa } else { -mantissa }) as i16
    }
}
