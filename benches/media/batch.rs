//! Many datagrams in one system call, with the time at which the kernel saw each: recvmmsg and
//! sendmmsg. What the phones spend is not measured, but they have only one core.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;

/// Datagrams in one call.
pub const MOST: usize = 32;
/// Longer than any packet of a phone that speaks G.711.
pub const LENGTH: usize = 256;
/// Room for one time stamp.
const CONTROL: usize = 64;

pub struct Batch {
    bytes: Box<[[u8; LENGTH]; MOST]>,
    lengths: [usize; MOST],
    addresses: Box<[libc::sockaddr_in; MOST]>,
    controls: Box<[[u64; CONTROL / 8]; MOST]>,
    used: usize,
}

/// What came.
pub struct Received<'a> {
    pub bytes: &'a [u8],
    pub from_port: u16,
    /// Nanoseconds since 1970, if the socket was asked for it.
    pub at_ns: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Batch {
    pub fn new() -> Self {
        // SAFETY: zeros are an address of no family.
        let address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        Self {
            bytes: Box::new([[0; LENGTH]; MOST]),
            lengths: [0; MOST],
            addresses: Box::new([address; MOST]),
            controls: Box::new([[0; CONTROL / 8]; MOST]),
            used: 0,
        }
    }

    pub fn is_full(&self) -> bool {
        self.used == MOST
    }

    /// Puts in a datagram of this length, to be written by the caller.
    pub fn put(&mut self, to: SocketAddrV4, length: usize) -> &mut [u8] {
        let place = self.used;
        self.used += 1;
        self.lengths[place] = length;
        self.addresses[place] = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: to.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from(*to.ip()).to_be(),
            },
            sin_zero: [0; 8],
        };
        &mut self.bytes[place][..length]
    }

    /// Sends all; how many the kernel did not take.
    pub fn send(&mut self, socket: &UdpSocket) -> usize {
        let count = std::mem::take(&mut self.used);
        let mut done = 0;
        self.with_headers(Way::Out, |headers| {
            while done < count {
                let left = (count - done) as u32;
                // SAFETY: the headers point to buffers of ours.
                let sent = unsafe {
                    libc::sendmmsg(
                        socket.as_raw_fd(),
                        headers[done..].as_mut_ptr(),
                        left,
                        libc::MSG_DONTWAIT,
                    )
                };
                if sent <= 0 {
                    break;
                }
                done += sent as usize;
            }
        });
        count - done
    }

    /// Receives what is there, up to [`MOST`]; `each` is told of every one.
    pub fn receive(&mut self, socket: &UdpSocket, mut each: impl FnMut(Received<'_>)) -> usize {
        let mut found = [(0, false); MOST];
        let mut count = 0;
        self.with_headers(Way::In, |headers| {
            // SAFETY: the headers point to buffers of ours.
            let received = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    MOST as u32,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                )
            };
            count = usize::try_from(received).unwrap_or_default();
            for (found, header) in found.iter_mut().zip(&headers[..count]) {
                *found = (header.msg_len as usize, header.msg_hdr.msg_controllen > 0);
            }
        });
        for (place, (length, stamped)) in found[..count].iter().enumerate() {
            // One control message: its header of 16 bytes, seconds, nanoseconds.
            let control = &self.controls[place];
            let at_ns = stamped.then(|| control[2] * 1_000_000_000 + control[3]);
            each(Received {
                bytes: &self.bytes[place][..(*length).min(LENGTH)],
                from_port: u16::from_be(self.addresses[place].sin_port),
                at_ns,
            });
        }
        count
    }

    fn with_headers(&mut self, way: Way, work: impl FnOnce(&mut [libc::mmsghdr; MOST])) {
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: LENGTH,
        };
        let mut vectors = [vector; MOST];
        // SAFETY: zeros are a message of nothing.
        let mut headers: [libc::mmsghdr; MOST] = unsafe { std::mem::zeroed() };
        for place in 0..MOST {
            vectors[place].iov_base = self.bytes[place].as_mut_ptr().cast();
            if way == Way::Out {
                vectors[place].iov_len = self.lengths[place];
            }
            let header = &mut headers[place].msg_hdr;
            header.msg_name = (&raw mut self.addresses[place]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_iov = &raw mut vectors[place];
            header.msg_iovlen = 1;
            if way == Way::In {
                header.msg_control = self.controls[place].as_mut_ptr().cast();
                header.msg_controllen = CONTROL as _;
            }
        }
        work(&mut headers);
    }
}

/// Has the kernel note when each datagram arrived, or note it no more.
pub fn stamp(socket: &UdpSocket, wanted: bool) -> io::Result<()> {
    set(socket, libc::SO_TIMESTAMPNS, i32::from(wanted))
}

/// A buffer that holds what a busy phone takes late. Where it is refused, the usual one.
pub fn widen(socket: &UdpSocket) {
    const WIDE: i32 = 16 << 20;
    if set(socket, libc::SO_RCVBUFFORCE, WIDE).is_err() {
        let _ = set(socket, libc::SO_RCVBUF, WIDE);
    }
}

fn set(socket: &UdpSocket, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option is an int.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as u32,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
