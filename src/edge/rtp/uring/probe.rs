//! Whether io_uring works on this machine.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::edge::clock;
use crate::edge::rtp::socket::SocketPair;
use crate::edge::rtp::uring::UringIo;
use crate::edge::rtp::wake::Wake;
use crate::edge::rtp::{MediaIo as _, Wait};
use crate::media::shard::{Channel, PortSlot};

/// How long it waits for its own packet.
const PATIENCE: Duration = Duration::from_secs(1);

impl UringIo {
    /// Whether it works here: a packet is sent to ourselves and comes, and after it another.
    pub fn probe() -> io::Result<()> {
        let mut io = Self::new(Arc::new(Wake::new()?))?;
        let sockets = SocketPair::bind_anywhere(Ipv4Addr::LOCALHOST.into())
            .or_else(|_| SocketPair::bind_anywhere(Ipv6Addr::LOCALHOST.into()))?;
        let ours = sockets.address()?;
        io.open(PortSlot(0), sockets)?;
        let limit = clock::now() + PATIENCE;
        for word in [b"one", b"two"] {
            io.send(PortSlot(0), Channel::Rtp, ours, word);
            io.flush();
            let came = loop {
                io.wait(Wait::PacketOr(Some(limit)))?;
                if io.advance() || io.broken.is_some() || clock::now() >= limit {
                    break io.current();
                }
            };
            if !came.is_some_and(|it| it.source == ours && it.bytes == word) {
                let reason = || io::Error::other("a packet to ourselves did not come");
                return Err(io.broken.take().unwrap_or_else(reason));
            }
        }
        Ok(())
    }
}
