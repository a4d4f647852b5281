//! A leg's two UDP sockets: RTP on the even port, RTCP on the odd one above it (RFC 3550 §11).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{RecvFlags, SendFlags, connect, connect_unspec, recvfrom, send, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use crate::media::shard::Channel;

/// The kernel doubles it and charges some 830 bytes for a G.711 packet, so it holds 0.8 s of sound:
/// a stall never replays old speech.
const RECEIVE_BUFFER: usize = 16 * 1024;
/// DSCP 46, Expedited Forwarding (RFC 3246), in the upper six bits.
const EXPEDITED: u8 = 46 << 2;

/// How often a free pair is looked for.
const TRIES: usize = 32;

/// Both sockets of a leg. They are bound once and move between threads by value.
#[derive(Debug)]
pub struct SocketPair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    port: u16,
    /// Whom the RTP socket is connected to.
    peer: Option<SocketAddr>,
}

impl SocketPair {
    /// # Panics
    /// When `port` is odd: RTP takes the even port of a pair.
    pub fn bind(ip: IpAddr, port: u16) -> io::Result<Self> {
        assert!(port.is_multiple_of(2), "RTP takes the even port of a pair");
        Ok(Self {
            rtp: bind(SocketAddr::new(ip, port))?,
            rtcp: bind(SocketAddr::new(ip, port + 1))?,
            port,
            peer: None,
        })
    }

    /// Binds a pair that the system has free, to try something out.
    pub fn bind_anywhere(ip: IpAddr) -> io::Result<Self> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for _ in 0..TRIES {
            let found = UdpSocket::bind((ip, 0))?.local_addr()?.port();
            match Self::bind(ip, found & !1) {
                Ok(pair) => return Ok(pair),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where RTP arrives.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.rtp.local_addr()
    }

    /// The even one, for RTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn fd(&self, channel: Channel) -> BorrowedFd<'_> {
        match channel {
            Channel::Rtp => self.rtp.as_fd(),
            Channel::Rtcp => self.rtcp.as_fd(),
        }
    }

    /// Connects the RTP socket: the kernel looks up the way to the peer once instead of for each
    /// packet, and keeps other sources out. `None` opens it for every source again. What had come
    /// before stays. Where the kernel refuses, the socket stays open for all.
    pub fn connect(&mut self, peer: Option<SocketAddr>) {
        if self.peer == peer {
            return;
        }
        let done = match &peer {
            Some(peer) => connect(&self.rtp, peer).is_ok(),
            None => connect_unspec(&self.rtp).is_ok(),
        };
        if done {
            self.peer = peer;
        }
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Whether a packet to there needs no address.
    pub fn leads_to(&self, channel: Channel, to: SocketAddr) -> bool {
        channel == Channel::Rtp && self.peer == Some(to)
    }

    /// The next datagram, if there is one. Errors of the network (an ICMP answer to something that
    /// we sent) are no datagram either.
    pub fn receive(&self, channel: Channel, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let (length, _, source) = recvfrom(self.fd(channel), buffer, RecvFlags::DONTWAIT).ok()?;
        Some((length, SocketAddr::try_from(source?).ok()?))
    }

    /// Whether the kernel took it. Sound is never sent later instead.
    pub fn send(&self, channel: Channel, to: SocketAddr, bytes: &[u8]) -> bool {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match self.leads_to(channel, to) {
            // An ICMP answer to an earlier packet is told once, instead of sending.
            true => match send(self.fd(channel), bytes, flags) {
                Err(Errno::CONNREFUSED) => send(self.fd(channel), bytes, flags).is_ok(),
                sent => sent.is_ok(),
            },
            false => sendto(self.fd(channel), bytes, flags, &to).is_ok(),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address.into())?;
    // Where the system does not allow it, packets travel with the rest.
    let _ = match address.ip() {
        IpAddr::V4(_) => sockopt::set_ip_tos(&socket, EXPEDITED),
        IpAddr::V6(_) => sockopt::set_ipv6_tclass(&socket, EXPEDITED.into()),
    };
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::rtp::tests::here;

    #[test]
    fn a_leg_has_its_own_two_ports_with_a_short_buffer_and_the_mark_of_speech() {
        let pair = SocketPair::bind(here(), 21_100).unwrap();

        assert_eq!(pair.rtp.local_addr().unwrap().port(), 21_100);
        assert_eq!(pair.rtcp.local_addr().unwrap().port(), 21_101);
        assert_eq!(sockopt::ip_tos(&pair.rtp).unwrap(), EXPEDITED);
        let buffer = sockopt::socket_recv_buffer_size(&pair.rtp).unwrap();
        assert!(buffer <= 2 * RECEIVE_BUFFER, "{buffer}");
    }

    #[test]
    fn datagrams_go_and_come_and_an_empty_socket_does_not_wait() {
        let pair = SocketPair::bind(here(), 21_102).unwrap();
        let peer = UdpSocket::bind((here(), 0)).unwrap();
        let peer_address = peer.local_addr().unwrap();
        let mut buffer = [0; 64];

        assert_eq!(pair.receive(Channel::Rtp, &mut buffer), None);
        assert!(pair.send(Channel::Rtcp, peer_address, b"report"));
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.port()), (&b"report"[..], 21_103));

        peer.send_to(b"speech", (here(), 21_102)).unwrap();
        assert_eq!(
            pair.receive(Channel::Rtp, &mut buffer),
            Some((6, peer_address))
        );
    }

    #[test]
    fn a_connected_socket_hears_its_peer_alone_until_it_is_opened_again() {
        let mut pair = SocketPair::bind(here(), 21_104).unwrap();
        let peer = UdpSocket::bind((here(), 0)).unwrap();
        let stranger = UdpSocket::bind((here(), 0)).unwrap();
        let peer_address = peer.local_addr().unwrap();
        let mut buffer = [0; 64];
        let mut next = |pair: &SocketPair| pair.receive(Channel::Rtp, &mut buffer);

        pair.connect(Some(peer_address));
        stranger.send_to(b"noise", (here(), 21_104)).unwrap();
        peer.send_to(b"speech", (here(), 21_104)).unwrap();
        assert_eq!(next(&pair), Some((6, peer_address)));
        assert_eq!(next(&pair), None);
        assert!(pair.send(Channel::Rtp, peer_address, b"speech"));
        assert!(pair.send(Channel::Rtp, stranger.local_addr().unwrap(), b"other"));
        let mut there = [0; 64];
        assert_eq!(peer.recv_from(&mut there).unwrap().1.port(), 21_104);
        assert_eq!(stranger.recv_from(&mut there).unwrap().0, 5);

        pair.connect(None);
        stranger.send_to(b"moved", (here(), 21_104)).unwrap();
        assert_eq!(next(&pair), Some((5, stranger.local_addr().unwrap())));
        assert_eq!(pair.rtp.local_addr().unwrap().port(), 21_104);
    }
}
