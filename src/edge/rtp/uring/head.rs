//! What the kernel writes in front of a datagram.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// `io_uring_recvmsg_out`, in front of the address.
const OUT: usize = 16;
/// Room for an address.
pub const NAME: usize = size_of::<libc::sockaddr_in6>();
/// Where the datagram begins.
pub const HEAD: usize = OUT + NAME;

/// Where a datagram came from and how long it is: `io_uring_recvmsg_out`, then a `sockaddr`. `None`
/// for what was cut off, and for what has no address.
pub fn read_head(filled: &[u8]) -> Option<(SocketAddr, usize)> {
    let word = |at: usize| Some(u32::from_ne_bytes(filled.get(at..at + 4)?.try_into().ok()?));
    let (length, flags) = (word(8)? as usize, word(12)?);
    if flags & libc::MSG_TRUNC as u32 != 0 || filled.len() < HEAD + length {
        return None;
    }
    let name = filled.get(OUT..OUT + NAME)?;
    let family = i32::from(u16::from_ne_bytes([name[0], name[1]]));
    let port = u16::from_be_bytes([name[2], name[3]]);
    let source = match family {
        libc::AF_INET => {
            let octets: [u8; 4] = name[4..8].try_into().ok()?;
            SocketAddr::new(IpAddr::V4(octets.into()), port)
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = name[8..24].try_into().ok()?;
            let flow = u32::from_ne_bytes(name[4..8].try_into().ok()?);
            let scope = u32::from_ne_bytes(name[24..28].try_into().ok()?);
            SocketAddrV6::new(octets.into(), port, flow, scope).into()
        }
        _ => return None,
    };
    Some((source, length))
}
