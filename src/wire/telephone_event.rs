//! The payload of a telephone-event (RFC 4733 §2.3): which event, whether it has ended, how loud,
//! and for how long so far.
//!
//! Arbitrary bytes never panic: what is too short is `None`, and the caller counts it. Bytes beyond
//! the fourth are left alone; some gateways pad.

/// The length of the payload on the wire.
pub const PAYLOAD_LEN: usize = 4;

/// One report about an event. The RTP timestamp beside it says when the event (or this segment of a
/// long one) began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// The event code; 0 to 15 are keys (§3.2).
    pub event: u8,
    /// Whether the event is over. Sent three times, in case of loss (§2.5.1.4).
    pub end: bool,
    /// Power as dBm0 without the sign, 0 to 63.
    pub volume: u8,
    /// How long the event has lasted, in timestamp units, from the RTP timestamp on.
    pub duration: u16,
}

impl TelephoneEvent {
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[event, flags, high, low, ..] = payload else {
            return None;
        };
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    pub fn write(self) -> [u8; PAYLOAD_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        let flags = u8::from(self.end) << 7 | self.volume.min(0x3f);
        [self.event, flags, high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back_to_the_same() {
        for event in 0..=255 {
            for flags in 0..128u8 {
                let report = TelephoneEvent {
                    event,
                    end: flags & 1 != 0,
                    volume: flags >> 1,
                    duration: u16::from(event) * 257,
                };

                assert_eq!(TelephoneEvent::parse(&report.write()), Some(report));
            }
        }
    }

    #[test]
    fn the_reserved_bit_and_padding_are_ignored() {
        let report = TelephoneEvent::parse(&[5, 0xca, 0x03, 0x20, 9, 9]);

        assert_eq!(
            report,
            Some(TelephoneEvent {
                event: 5,
                end: true,
                volume: 10,
                duration: 800,
            })
        );
    }

    #[test]
    fn fewer_than_four_bytes_are_no_event() {
        for length in 0..PAYLOAD_LEN {
            assert_eq!(TelephoneEvent::parse(&[5, 0x8a, 0, 0][..length]), None);
        }
    }
}
