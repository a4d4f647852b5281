//! RTP packets (RFC 3550 §5.1): a borrowed view to read, a header to write before a payload.
//!
//! Arbitrary bytes never panic: what is not RTP is a [`ParseError`], counted by the caller.

use rtp_rs::{RtpPacketBuilder, RtpReader, RtpReaderError, Seq};

/// The length of a header as we write it: no CSRC, no extension.
pub const HEADER_LEN: usize = 12;

/// A received packet. Padding, CSRCs and header extension are stripped from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub header: Header,
    pub payload: &'a [u8],
}

/// What a header says of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("{0} bytes is shorter than an RTP header")]
    TooShort(usize),
    #[error("RTP version {0}")]
    Version(u8),
    #[error("header, extension or padding is longer than the packet")]
    Truncated,
}

impl<'a> Packet<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let reader = RtpReader::new(bytes).map_err(|error| match error {
            RtpReaderError::BufferTooShort(length) => ParseError::TooShort(length),
            RtpReaderError::UnsupportedVersion(version) => ParseError::Version(version),
            RtpReaderError::HeadersTruncated { .. } | RtpReaderError::PaddingLengthInvalid(_) => {
                ParseError::Truncated
            }
        })?;
        Ok(Self {
            header: Header {
                payload_type: reader.payload_type(),
                marker: reader.mark(),
                sequence: reader.sequence_number().into(),
                timestamp: reader.timestamp(),
                ssrc: reader.ssrc(),
            },
            payload: reader.payload(),
        })
    }
}

impl Header {
    /// Writes header and payload; `None` when they do not fit or the payload type is above 127.
    pub fn write(&self, payload: &[u8], into: &mut [u8]) -> Option<usize> {
        RtpPacketBuilder::new()
            .payload_type(self.payload_type)
            .marked(self.marker)
            .sequence(Seq::from(self.sequence))
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(payload)
            .build_into(into)
            .ok()
    }
}

/// Tells RTCP from RTP where both share a port (RFC 5761 §4).
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && (192..=223).contains(&bytes[1])
}

/// How far `to` is ahead of `from`, across the wrap: negative when it is older.
pub fn sequence_distance(from: u16, to: u16) -> i32 {
    i32::from(to.wrapping_sub(from) as i16)
}

/// How far `to` is ahead of `from` in timestamp units, across the wrap.
pub fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back_to_the_same() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let header = Header {
                payload_type: random.u8(0..128),
                marker: random.bool(),
                sequence: random.u16(..),
                timestamp: random.u32(..),
                ssrc: random.u32(..),
            };
            let payload: Vec<u8> = (0..random.usize(0..400)).map(|_| random.u8(..)).collect();
            let mut bytes = [0; 512];

            let length = header.write(&payload, &mut bytes).unwrap();

            let packet = Packet::parse(&bytes[..length]).unwrap();
            assert_eq!(packet.header, header);
            assert_eq!(packet.payload, payload);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..50_000 {
            let mut bytes: Vec<u8> = (0..random.usize(0..80)).map(|_| random.u8(..)).collect();
            if random.bool() && !bytes.is_empty() {
                bytes[0] = 0x80 | bytes[0] & 0x3f;
            }
            if let Ok(packet) = Packet::parse(&bytes) {
                assert!(packet.payload.len() <= bytes.len() - HEADER_LEN);
            }
            is_rtcp(&bytes);
        }
    }

    #[test]
    fn padding_and_extension_are_not_payload() {
        let mut bytes = vec![0x80 | 0x20 | 0x10, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        bytes.extend([1, 2, 3, 0, 0, 3]);

        let packet = Packet::parse(&bytes).unwrap();

        assert_eq!(packet.payload, [1, 2, 3]);
    }

    #[test]
    fn a_payload_that_does_not_fit_is_not_written() {
        let header = Header {
            payload_type: 0,
            marker: false,
            sequence: 0,
            timestamp: 0,
            ssrc: 0,
        };

        assert_eq!(header.write(&[0; 160], &mut [0; 171]), None);
        assert_eq!(header.write(&[0; 160], &mut [0; 172]), Some(172));
    }

    #[test]
    fn distances_cross_the_wrap() {
        assert_eq!(sequence_distance(65_535, 1), 2);
        assert_eq!(sequence_distance(1, 65_535), -2);
        assert_eq!(timestamp_distance(u32::MAX, 159), 160);
    }
}
