//! The compression and expansion laws as ITU-T G.711 words them, segment by segment: what the tests
//! hold the arithmetic to, and the bench.

pub fn compress_ulaw(sample: i16) -> u8 {
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

pub fn compress_alaw(sample: i16) -> u8 {
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

pub fn expand_ulaw(code: u8) -> i16 {
    let sign = if code < 0x80 { -1 } else { 1 };
    let exponent = i32::from(!code >> 4 & 7);
    let mantissa = i32::from(!code & 0xf);
    let step = 4 << (exponent + 1);
    (sign * ((0x80 << exponent) + step * mantissa + step / 2 - 4 * 33)) as i16
}

pub fn expand_alaw(code: u8) -> i16 {
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
