//! The engine that moves a thread's datagrams: io_uring where the kernel has it, else epoll.
//!
//! io_uring is cheaper and often forbidden, in containers above all; so it is tried
//! and not assumed. A ring that dies later on gives its sockets to epoll, and the calls go on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{error, info};

use crate::edge::config::Io;
use crate::edge::rtp::epoll::EpollIo;
use crate::edge::rtp::socket::SocketPair;
use crate::edge::rtp::uring::UringIo;
use crate::edge::rtp::wake::Wake;
use crate::edge::rtp::{Datagram, MediaIo, Wait};
use crate::media::shard::{Channel, PortSlot};

/// What the media threads run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    Epoll,
    IoUring,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
        })
    }
}

/// Tries what is wished for. An error says why io_uring, wished for by name, cannot be had.
pub fn choose(wish: Io) -> Result<EngineKind, String> {
    match (wish, probe(wish)) {
        (Io::Epoll, _) => Ok(EngineKind::Epoll),
        (Io::Auto | Io::IoUring, Ok(())) => Ok(EngineKind::IoUring),
        (Io::Auto, Err(reason)) => {
            info!(%reason, "io_uring cannot be had: epoll moves the packets");
            Ok(EngineKind::Epoll)
        }
        (Io::IoUring, Err(error)) => Err(format!(
            "io_uring cannot be had here ({error}; it needs Linux 6.1, and a container must allow it), \
             expected \"auto\" or \"epoll\""
        )),
    }
}

fn probe(wish: Io) -> io::Result<()> {
    match wish {
        Io::Epoll => Ok(()),
        Io::Auto | Io::IoUring => UringIo::probe(),
    }
}

pub struct Engine {
    io: Running,
    wake: Arc<Wake>,
}

enum Running {
    Epoll(EpollIo),
    IoUring(Box<UringIo>),
}

impl Engine {
    pub fn new(kind: EngineKind, wake: Arc<Wake>) -> io::Result<Self> {
        let io = match kind {
            EngineKind::Epoll => Running::Epoll(EpollIo::new(wake.clone())?),
            EngineKind::IoUring => Running::IoUring(Box::new(UringIo::new(wake.clone())?)),
        };
        Ok(Self { io, wake })
    }

    pub fn kind(&self) -> EngineKind {
        match &self.io {
            Running::Epoll(_) => EngineKind::Epoll,
            Running::IoUring(_) => EngineKind::IoUring,
        }
    }

    #[cfg(test)]
    pub fn ring_fd(&self) -> Option<std::os::fd::RawFd> {
        match &self.io {
            Running::Epoll(_) => None,
            Running::IoUring(uring) => Some(uring.fd()),
        }
    }

    /// Carries the sockets of a dead ring over to epoll.
    fn fall_back(&mut self) -> io::Result<()> {
        let Running::IoUring(uring) = &self.io else {
            return Ok(());
        };
        let Some(reason) = uring.broken() else {
            return Ok(());
        };
        error!(%reason, "a media thread's ring died: epoll moves its packets from now on");
        let epoll = EpollIo::new(self.wake.clone())?;
        let dead = std::mem::replace(&mut self.io, Running::Epoll(epoll));
        let Running::IoUring(uring) = dead else {
            return Ok(());
        };
        for (slot, sockets) in uring.give_up() {
            if let Err(error) = self.open(slot, sockets) {
                // The leg stays and is deaf: its silence ends the call.
                error!(?slot, %error, "sockets cannot be watched");
            }
        }
        Ok(())
    }

    fn running(&mut self) -> &mut dyn MediaIo {
        match &mut self.io {
            Running::Epoll(epoll) => epoll,
            Running::IoUring(uring) => &mut **uring,
        }
    }
}

impl MediaIo for Engine {
    fn open(&mut self, slot: PortSlot, sockets: SocketPair) -> io::Result<()> {
        self.running().open(slot, sockets)
    }

    fn pause(&mut self, slot: PortSlot) {
        self.running().pause(slot);
    }

    fn close(&mut self, slot: PortSlot) -> Option<SocketPair> {
        self.running().close(slot)
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.running().wait(wait)
    }

    fn receive(&mut self) -> Option<Datagram<'_>> {
        if let Running::IoUring(uring) = &mut self.io
            && !uring.advance()
            && uring.broken().is_some()
            && let Err(error) = self.fall_back()
        {
            // Tried again at the next tick.
            error!(%error, "epoll cannot be had either");
        }
        match &mut self.io {
            Running::Epoll(epoll) => epoll.receive(),
            Running::IoUring(uring) => uring.current(),
        }
    }

    fn upcoming(&self, after: usize) -> Option<PortSlot> {
        match &self.io {
            Running::Epoll(epoll) => epoll.upcoming(after),
            Running::IoUring(uring) => uring.upcoming(after),
        }
    }

    fn prefetch(&self, slot: PortSlot) {
        match &self.io {
            Running::Epoll(epoll) => epoll.prefetch(slot),
            Running::IoUring(uring) => uring.prefetch(slot),
        }
    }

    fn sockets(&mut self, slot: PortSlot) -> Option<&mut SocketPair> {
        self.running().sockets(slot)
    }

    fn send(&mut self, slot: PortSlot, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        match &mut self.io {
            Running::Epoll(epoll) => epoll.send(slot, channel, to, bytes),
            Running::IoUring(uring) => uring.send(slot, channel, to, bytes),
        }
    }

    fn flush(&mut self) -> u64 {
        self.running().flush()
    }
}
