//! Packets on their way into the kernel: their bytes and addresses, until the ring was entered.

use std::net::SocketAddr;

use socket2::SockAddr;

/// Packets between two entries into the ring.
pub const PACKETS: usize = 64;
/// What they may be long together. A packet that finds no room makes the ring be entered first.
const ROOM: usize = PACKETS * 512;

#[derive(Debug)]
pub struct Outgoing {
    bytes: Box<[u8; ROOM]>,
    used: usize,
    addresses: Vec<SockAddr>,
}

impl Outgoing {
    pub fn new() -> Self {
        Self {
            bytes: Box::new([0; ROOM]),
            used: 0,
            addresses: Vec::with_capacity(PACKETS),
        }
    }

    pub fn has_room_for(&self, bytes: &[u8]) -> bool {
        self.used + bytes.len() <= ROOM && self.addresses.len() < PACKETS
    }

    /// Keeps a packet at a place that stays until [`Self::clear`].
    ///
    /// # Panics
    /// Without room for it.
    pub fn keep(&mut self, bytes: &[u8]) -> *const u8 {
        let place = &mut self.bytes[self.used..][..bytes.len()];
        place.copy_from_slice(bytes);
        self.used += bytes.len();
        place.as_ptr()
    }

    /// The same for an address.
    ///
    /// # Panics
    /// Without room for it.
    pub fn keep_address(&mut self, to: SocketAddr) -> &SockAddr {
        assert!(self.addresses.len() < PACKETS, "addresses would move");
        self.addresses.push(to.into());
        &self.addresses[self.addresses.len() - 1]
    }

    /// The kernel has copied everything.
    pub fn clear(&mut self) {
        self.used = 0;
        self.addresses.clear();
    }
}
