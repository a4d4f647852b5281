//! Datagrams that wait to be sent: bytes in one arena, reused as soon as all have been taken.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::wire::rtp::{HEADER_LEN, Header};

/// A leg's place in its shard: the index by which its datagrams are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSlot(pub u32);

impl PortSlot {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which of a leg's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Rtp,
    Rtcp,
}

/// A datagram to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    pub slot: PortSlot,
    pub channel: Channel,
    pub to: SocketAddr,
    pub bytes: &'a [u8],
}

/// Between two drains a shard makes at most this many; more would mean that nobody sends, and
/// they are lost as they would be on a full link.
const MAX_QUEUED: usize = 65_536;

#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    queue: VecDeque<Queued>,
    /// RTP packets queued since this was last taken.
    pub rtp_sent: u64,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    slot: PortSlot,
    channel: Channel,
    to: SocketAddr,
    start: usize,
    length: usize,
}

impl Outbox {
    pub fn rtp(&mut self, slot: PortSlot, to: SocketAddr, header: &Header, payload: &[u8]) {
        if self.queue.len() >= MAX_QUEUED {
            return;
        }
        let start = self.bytes.len();
        self.bytes.resize(start + HEADER_LEN + payload.len(), 0);
        if let Some(length) = header.write(payload, &mut self.bytes[start..]) {
            self.rtp_sent += 1;
            self.queue.push_back(Queued {
                slot,
                channel: Channel::Rtp,
                to,
                start,
                length,
            });
        }
    }

    pub fn rtcp(&mut self, slot: PortSlot, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        if self.queue.len() >= MAX_QUEUED {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.queue.push_back(Queued {
            slot,
            channel,
            to,
            start,
            length: bytes.len(),
        });
    }

    pub fn take(&mut self) -> Option<Transmit<'_>> {
        let Some(next) = self.queue.pop_front() else {
            self.bytes.clear();
            return None;
        };
        Some(Transmit {
            slot: next.slot,
            channel: next.channel,
            to: next.to,
            bytes: &self.bytes[next.start..next.start + next.length],
        })
    }
}
