//! How a completion says what it is of: its kind, and the slot of the leg.

use crate::media::shard::PortSlot;

pub const RTP: u64 = 0;
pub const RTCP: u64 = 1;
pub const WAKE: u64 = 2;
pub const SENT: u64 = 3;
pub const SENT_REPORT: u64 = 4;
pub const CANCELLED: u64 = 5;

pub fn key(kind: u64, slot: PortSlot) -> u64 {
    (u64::from(slot.0) << 8) | kind
}

pub fn split(key: u64) -> (u64, PortSlot) {
    // Made of a slot by `key`.
    (key & 0xff, PortSlot((key >> 8) as u32))
}
