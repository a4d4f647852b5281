//! How much waits in the kernel to be read from a socket.

use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What Linux calls it (asm-generic/socket.h, the same on all but a few old architectures), and how
/// many numbers it tells (linux/sock_diag.h).
const SO_MEMINFO: libc::c_int = 55;
const VARS: usize = 9;

/// What has come and was not read, as the kernel charges it: with the room that it takes in memory.
/// What was read is charged until it is a quarter of the room, or all is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub bytes: u32,
    /// Beyond it the kernel drops what comes.
    pub room: u32,
}

impl Waiting {
    /// `None` where the system does not tell (Linux before 4.12).
    pub fn at(socket: BorrowedFd<'_>) -> Option<Self> {
        let mut told = [0_u32; VARS];
        let mut length = size_of_val(&told) as libc::socklen_t;
        // SAFETY: the buffer is as long as is said, and outlives the call.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_MEMINFO,
                told.as_mut_ptr().cast(),
                &mut length,
            )
        };
        (answer == 0).then_some(Self {
            bytes: told[libc::SK_MEMINFO_RMEM_ALLOC as usize],
            room: told[libc::SK_MEMINFO_RCVBUF as usize],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_has_come_is_told_until_it_is_read() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let empty = Waiting::at(socket.as_fd()).unwrap();

        for _ in 0..3 {
            socket
                .send_to(&[0; 700], socket.local_addr().unwrap())
                .unwrap();
        }
        let waiting = Waiting::at(socket.as_fd()).unwrap();
        for _ in 0..3 {
            socket.recv(&mut [0; 700]).unwrap();
        }

        assert_eq!(empty.bytes, 0);
        assert!(waiting.bytes >= 3 * 700, "{waiting:?}");
        assert!(waiting.room > waiting.bytes, "{waiting:?}");
        assert_eq!(Waiting::at(socket.as_fd()), Some(empty));
    }
}
