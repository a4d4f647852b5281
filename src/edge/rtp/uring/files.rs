//! The ring's own table of files: two places for each leg, RTP and RTCP.

use std::os::fd::{AsRawFd, RawFd};

use io_uring::Submitter;
use io_uring::types::Fixed;

use crate::edge::rtp::socket::SocketPair;
use crate::media::shard::{Channel, PortSlot};

/// Legs that find room. The kernel keeps eight bytes for each place; who comes beyond is served all
/// the same, at a little more cost.
const LEGS: u32 = 16_384;
/// A process that may open few files gets a smaller table, but none smaller than this.
const FEWEST: u32 = 64;

#[derive(Debug)]
pub struct Files {
    legs: u32,
}

impl Files {
    /// As large a table as the limit of open files allows.
    pub fn register(submitter: &Submitter<'_>) -> Self {
        let mut legs = LEGS;
        while legs >= FEWEST {
            if submitter.register_files_sparse(2 * legs).is_ok() {
                return Self { legs };
            }
            legs /= 2;
        }
        Self { legs: 0 }
    }

    /// Puts the sockets of a leg in; false when there is no room for them.
    pub fn put(&self, submitter: &Submitter<'_>, slot: PortSlot, sockets: &SocketPair) -> bool {
        let channels = [Channel::Rtp, Channel::Rtcp];
        let files = channels.map(|it| sockets.fd(it).as_raw_fd());
        let put = self.update(submitter, slot, files);
        if !put {
            self.clear(submitter, slot);
        }
        put
    }

    /// Takes them out: nothing of the ring holds them any more.
    pub fn clear(&self, submitter: &Submitter<'_>, slot: PortSlot) {
        self.update(submitter, slot, [-1; 2]);
    }

    fn update(&self, submitter: &Submitter<'_>, slot: PortSlot, files: [RawFd; 2]) -> bool {
        let put = || submitter.register_files_update(2 * slot.0, &files);
        slot.0 < self.legs && put().is_ok_and(|put| put == files.len())
    }
}

/// Where the socket of a leg that was put in is.
pub fn place(slot: PortSlot, channel: Channel) -> Fixed {
    Fixed(2 * slot.0 + u32::from(channel == Channel::Rtcp))
}
