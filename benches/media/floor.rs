//! The floor: a bare recv and a bare send for each packet, over as many connected sockets as the
//! calls have legs, on the service's core with warm buffers. Whoever forwards packets through
//! sockets cannot do with less.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::{ClockId, clock_gettime};

/// Where the sockets lie.
const IP: &str = "127.0.0.88";
/// Packets that wait when a sweep begins, which is where forwarding is cheapest.
const BURST: usize = 64;
const PACKETS: usize = 40_000;
const ROUNDS: usize = 5;
const PACKET: [u8; 172] = [0x55; 172];

/// Nanoseconds of the thread for each packet: the median of some rounds.
pub fn measure(legs: usize) -> anyhow::Result<f64> {
    let mut floor = Floor::open(legs.max(2) & !1)?;
    // Once for the caches.
    floor.round()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(floor.round()?);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

struct Floor {
    /// Each is connected to the peer's one socket.
    legs: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
    peer: UdpSocket,
    next: usize,
}

impl Floor {
    fn open(legs: usize) -> anyhow::Result<Self> {
        let peer = UdpSocket::bind((IP, 0)).context("a socket for the floor")?;
        let to = peer.local_addr()?;
        let open = |_| {
            let socket = UdpSocket::bind((IP, 0)).context("a socket for the floor")?;
            socket.connect(to)?;
            Ok(socket)
        };
        let legs = (0..legs).map(open).collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = legs.iter().map(UdpSocket::local_addr);
        let addresses = addresses.collect::<std::io::Result<_>>()?;
        peer.set_nonblocking(true)?;
        Ok(Self {
            legs,
            addresses,
            peer,
            next: 0,
        })
    }

    fn round(&mut self) -> anyhow::Result<f64> {
        let mut spent = Duration::ZERO;
        let mut moved = 0;
        let mut buffer = [0; 2048];
        while moved < PACKETS {
            let count = BURST.min(self.legs.len());
            let burst: Vec<usize> = (0..count)
                .map(|step| (self.next + step) % self.legs.len())
                .collect();
            self.next = (self.next + count) % self.legs.len();
            for &leg in &burst {
                self.peer.send_to(&PACKET, self.addresses[leg])?;
            }
            let before = clock_gettime(ClockId::ThreadCPUTime);
            for &leg in &burst {
                // It leaves by the other leg of the call.
                let (length, _) = recv(&self.legs[leg], &mut buffer[..], RecvFlags::DONTWAIT)?;
                let other = &self.legs[leg ^ 1];
                send(other, &buffer[..length], SendFlags::DONTWAIT)?;
            }
            let after = clock_gettime(ClockId::ThreadCPUTime);
            spent += Duration::try_from(after)
                .unwrap_or_default()
                .saturating_sub(Duration::try_from(before).unwrap_or_default());
            moved += count;
            while self.peer.recv(&mut buffer).is_ok() {}
        }
        Ok(spent.as_nanos() as f64 / moved as f64)
    }
}
