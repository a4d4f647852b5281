//! Codecs by name, and what their packets say without being decoded. Payloads become samples in
//! [`decode`], samples become payloads in [`encode`].

pub mod decode;
pub mod encode;

/// A codec as negotiated. `Opaque` is one that we relay but cannot decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Pcmu,
    Pcma,
    G722,
    Opus,
    Opaque,
}

impl Codec {
    pub fn is_g711(self) -> bool {
        matches!(self, Codec::Pcmu | Codec::Pcma)
    }

    pub fn is_decodable(self) -> bool {
        self != Codec::Opaque
    }

    /// The clock of RTP timestamps. G.722 keeps 8 kHz by an old mistake (RFC 3551 §4.5.2); of an
    /// opaque codec the common case is assumed.
    pub fn clock_hz(self) -> u32 {
        match self {
            Codec::Opus => 48_000,
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opaque => 8_000,
        }
    }

    /// How long a payload lasts, in units of the RTP clock; `None` where the payload does not say.
    pub fn payload_units(self, payload: &[u8]) -> Option<u32> {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => Some(payload.len() as u32),
            Codec::Opus => opus_units(payload),
            Codec::Opaque => None,
        }
    }

    /// What mixing it costs beside mixing G.711, the packets' own way included; coarsely.
    pub fn dearness(self) -> f32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::Opaque => 1.0,
            Codec::G722 => 3.0,
            Codec::Opus => 10.0,
        }
    }

    /// The largest payload that is kept for decoding: the 200 ms that a receiver should accept
    /// (RFC 3551 §4.2), and of Opus as much as a datagram holds on Ethernet.
    pub fn max_payload(self) -> usize {
        match self {
            Codec::Opus => 1_500,
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opaque => 1_600,
        }
    }

    /// What nearly all payloads are no longer than: 60 ms at 64 kbit/s, and 20 ms of Opus at 256.
    pub fn usual_payload(self) -> usize {
        match self {
            Codec::Opus => 640,
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opaque => 480,
        }
    }
}

/// Duration at 48 kHz from the table-of-contents byte (RFC 6716 §3.1).
fn opus_units(payload: &[u8]) -> Option<u32> {
    let toc = *payload.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*payload.get(1)? & 0x3f),
    };
    let units = frame * frames;
    (1..=5_760).contains(&units).then_some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_tell_their_length() {
        assert_eq!(Codec::Opus.payload_units(&[]), None);
        assert_eq!(Codec::Opus.payload_units(&[0xf8, 0xff, 0xfe]), Some(960));
        assert_eq!(Codec::Opus.payload_units(&[0x08]), Some(960));
        assert_eq!(Codec::Opus.payload_units(&[0x18]), Some(2_880));
        assert_eq!(Codec::Opus.payload_units(&[0x0b]), None);
        assert_eq!(Codec::Opus.payload_units(&[0x0b, 3]), Some(2_880));
        assert_eq!(Codec::Opus.payload_units(&[0x1b, 63]), None);
    }

    #[test]
    fn g711_packets_last_as_long_as_they_are() {
        assert_eq!(Codec::Pcmu.payload_units(&[0; 160]), Some(160));
        assert_eq!(Codec::G722.payload_units(&[0; 160]), Some(160));
        assert_eq!(Codec::Opaque.payload_units(&[0; 20]), None);
    }
}
