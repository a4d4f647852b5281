//! RTCP (RFC 3550 §6): compound packets of one report, a name and perhaps a good-bye, and what we
//! read from those of others.

use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, ReportBlockBuilder, RtcpPacketWriterExt,
    Sdes, SdesChunk, SdesItem, SenderReport,
};

/// What we say about our own sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// 32.32 seconds of NTP.
    pub ntp: u64,
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// What is said about another's sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub ssrc: u32,
    pub fraction_lost: u8,
    pub lost: u32,
    pub highest: u32,
    pub jitter: u32,
    pub last_sender_report: u32,
    /// In 1/65 536 s.
    pub since_sender_report: u32,
}

/// Something that a compound packet said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Sent { ssrc: u32, sent: Sent },
    Received(Received),
    GoodBye,
}

/// Whether the sender stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staying {
    Stays,
    Leaves,
}

/// The longest that [`write()`] makes.
pub const MAX_LEN: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a compound RTCP packet")]
pub struct NotRtcp;

/// Writes a sender report, or a receiver report where nothing was sent, with the canonical name;
/// `None` when it does not fit.
pub fn write(
    ssrc: u32,
    sent: Option<Sent>,
    received: Option<Received>,
    name: &str,
    staying: Staying,
    into: &mut [u8],
) -> Option<usize> {
    let block = received.map(block);
    let compound = match sent {
        Some(sent) => {
            let mut report = SenderReport::builder(ssrc)
                .ntp_timestamp(sent.ntp)
                .rtp_timestamp(sent.timestamp)
                .packet_count(sent.packets)
                .octet_count(sent.octets);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            Compound::builder().add_packet(report)
        }
        None => {
            let mut report = ReceiverReport::builder(ssrc);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            Compound::builder().add_packet(report)
        }
    };
    let item = SdesItem::builder(SdesItem::CNAME, name);
    let chunk = SdesChunk::builder(ssrc).add_item(item);
    let mut compound = compound.add_packet(Sdes::builder().add_chunk(chunk));
    if staying == Staying::Leaves {
        compound = compound.add_packet(Bye::builder().add_source(ssrc));
    }
    compound.write_into(into).ok()
}

/// Tells what a compound packet says, one thing after another.
pub fn read(bytes: &[u8], mut tell: impl FnMut(Said)) -> Result<(), NotRtcp> {
    for packet in Compound::parse(bytes).map_err(|_| NotRtcp)? {
        match packet.map_err(|_| NotRtcp)? {
            Packet::Sr(report) => {
                tell(Said::Sent {
                    ssrc: report.ssrc(),
                    sent: Sent {
                        ntp: report.ntp_timestamp(),
                        timestamp: report.rtp_timestamp(),
                        packets: report.packet_count(),
                        octets: report.octet_count(),
                    },
                });
                report.report_blocks().for_each(|block| tell(said(&block)));
            }
            Packet::Rr(report) => report.report_blocks().for_each(|block| tell(said(&block))),
            Packet::Bye(_) => tell(Said::GoodBye),
            _ => {}
        }
    }
    Ok(())
}

fn block(received: Received) -> ReportBlockBuilder {
    ReportBlock::builder(received.ssrc)
        .fraction_lost(received.fraction_lost)
        .cumulative_lost(received.lost.min(0x7f_ffff))
        .extended_sequence_number(received.highest)
        .interarrival_jitter(received.jitter)
        .last_sender_report_timestamp(received.last_sender_report)
        .delay_since_last_sender_report_timestamp(received.since_sender_report)
}

fn said(block: &ReportBlock<'_>) -> Said {
    Said::Received(Received {
        ssrc: block.ssrc(),
        fraction_lost: block.fraction_lost(),
        lost: block.cumulative_lost(),
        highest: block.extended_sequence_number(),
        jitter: block.interarrival_jitter(),
        last_sender_report: block.last_sender_report_timestamp(),
        since_sender_report: block.delay_since_last_sender_report_timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sent = Sent {
        ntp: 0x0123_4567_89ab_cdef,
        timestamp: 160_000,
        packets: 1_000,
        octets: 160_000,
    };
    const RECEIVED: Received = Received {
        ssrc: 9,
        fraction_lost: 12,
        lost: 3,
        highest: 70_000,
        jitter: 44,
        last_sender_report: 5,
        since_sender_report: 65_536,
    };

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = [0; MAX_LEN];
        let length = write(
            7,
            Some(SENT),
            Some(RECEIVED),
            "7@[::1]",
            Staying::Leaves,
            &mut bytes,
        )
        .unwrap();

        let mut heard = Vec::new();
        read(&bytes[..length], |said| heard.push(said)).unwrap();

        let sent = Said::Sent {
            ssrc: 7,
            sent: SENT,
        };
        assert_eq!(heard, [sent, Said::Received(RECEIVED), Said::GoodBye]);
        assert!(crate::wire::rtp::is_rtcp(&bytes[..length]));
    }

    #[test]
    fn who_has_not_sent_reports_as_a_receiver() {
        let mut bytes = [0; MAX_LEN];
        let length = write(7, None, None, "7@host", Staying::Stays, &mut bytes).unwrap();

        let mut heard = Vec::new();
        read(&bytes[..length], |said| heard.push(said)).unwrap();

        assert_eq!(bytes[1], 201);
        assert_eq!(heard, []);
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut good = [0; MAX_LEN];
        let length = write(
            7,
            Some(SENT),
            Some(RECEIVED),
            "a",
            Staying::Leaves,
            &mut good,
        )
        .unwrap();
        for round in 0..60_000 {
            let mut bytes = match round % 2 {
                0 => good[..length].to_vec(),
                _ => (0..random.usize(0..120)).map(|_| random.u8(..)).collect(),
            };
            for _ in 0..random.usize(1..6) {
                if !bytes.is_empty() {
                    let place = random.usize(0..bytes.len());
                    bytes[place] = random.u8(..);
                }
            }
            if bytes.len() > 1 && random.bool() {
                bytes[0] = 0x80 | bytes[0] & 0x3f;
                bytes[1] = random.u8(200..=207);
            }
            let _ = read(&bytes, |_| {});
        }
    }
}
