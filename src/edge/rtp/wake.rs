//! What ends a media thread's wait from another thread: an eventfd, whichever engine waits on it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    /// Ends the wait that goes on, or else the next.
    pub fn wake(&self) {
        // A counter that is full has woken the thread already.
        let _ = write(&self.0, &1u64.to_ne_bytes());
    }

    /// The thread is awake.
    pub fn reset(&self) {
        // It was another wake-up of the same, or none; either way we are awake.
        let _ = read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
