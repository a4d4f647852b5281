//! [`MediaIo`] on epoll: works everywhere, containers included.
//!
//! Sockets are watched level-triggered and read once for each report, so that a packet costs one
//! call, without a second one that only finds the socket empty. What is left is reported again in
//! the next round, in which every other socket has its turn first.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::nanosleep;

use crate::edge::clock;
use crate::edge::rtp::socket::SocketPair;
use crate::edge::rtp::wake::Wake;
use crate::edge::rtp::{Datagram, MediaIo, Wait};
use crate::media::prefetch::prefetch;
use crate::media::shard::{Channel, PortSlot};

/// Sockets reported by one call.
const BATCH: usize = 256;
/// Packets taken from one socket between two waits. A flood at one port delays the thread by no
/// more than this; its receive buffer holds fewer.
const MAX_ROUNDS: usize = 64;
/// Longer than any RTP or RTCP packet that we understand; the rest is cut off and does not parse.
const MAX_DATAGRAM: usize = 2048;
/// Names the eventfd among the sockets.
const WAKE: u64 = u64::MAX;

pub struct EpollIo {
    epoll: OwnedFd,
    wake: Arc<Wake>,
    sockets: Vec<Option<SocketPair>>,
    /// Keys of the sockets that have something.
    reported: Box<[u64; BATCH]>,
    ready: usize,
    next: usize,
    rounds: usize,
    buffer: Box<[u8; MAX_DATAGRAM]>,
    /// RTP that the kernel did not take.
    unsent: u64,
}

impl EpollIo {
    pub fn new(wake: Arc<Wake>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self {
            epoll,
            wake,
            sockets: Vec::new(),
            reported: Box::new([WAKE; BATCH]),
            ready: 0,
            next: 0,
            rounds: 0,
            buffer: Box::new([0; MAX_DATAGRAM]),
            unsent: 0,
        })
    }

    /// The next datagram, in the buffer.
    fn read_next(&mut self) -> Option<(PortSlot, Channel, SocketAddr, usize)> {
        loop {
            while self.next < self.ready {
                let key = self.reported[self.next];
                self.next += 1;
                if key == WAKE {
                    self.wake.reset();
                    continue;
                }
                let (slot, channel) = named_by(key);
                let sockets = self.sockets.get(slot.index()).and_then(Option::as_ref);
                let read = sockets.and_then(|s| s.receive(channel, &mut self.buffer[..]));
                if let Some((length, source)) = read {
                    return Some((slot, channel, source, length));
                }
            }
            if self.rounds == MAX_ROUNDS {
                return None;
            }
            self.rounds += 1;
            self.look();
            if self.ready == 0 {
                return None;
            }
        }
    }

    /// Asks which sockets have something now.
    fn look(&mut self) {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; BATCH];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        (self.next, self.ready) = (0, 0);
        // An error here (a signal) is a round in which nothing was there.
        if let Ok((events, _)) = epoll::wait(&self.epoll, &mut events[..], Some(&at_once)) {
            for (key, event) in self.reported.iter_mut().zip(&*events) {
                *key = event.data.u64();
                self.ready += 1;
            }
        }
    }
}

impl MediaIo for EpollIo {
    fn open(&mut self, slot: PortSlot, sockets: SocketPair) -> io::Result<()> {
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let key = EventData::new_u64(key_of(slot, channel));
            epoll::add(&self.epoll, sockets.fd(channel), key, EventFlags::IN)?;
        }
        let index = slot.index();
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        self.sockets[index] = Some(sockets);
        Ok(())
    }

    /// Nothing is taken but what is handed out.
    fn pause(&mut self, _: PortSlot) {}

    fn close(&mut self, slot: PortSlot) -> Option<SocketPair> {
        let sockets = self.sockets.get_mut(slot.index())?.take()?;
        for channel in [Channel::Rtp, Channel::Rtcp] {
            // It was added, so it is there.
            let _ = epoll::delete(&self.epoll, sockets.fd(channel));
        }
        Some(sockets)
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        (self.ready, self.next, self.rounds) = (0, 0, 0);
        let result = match wait {
            Wait::Until(deadline) => nanosleep_until(deadline),
            Wait::PacketOr(deadline) => {
                let limit = deadline.map(|deadline| timespec(until(deadline)));
                let mut fds = [PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN)];
                poll(&mut fds, limit.as_ref()).map(drop)
            }
        };
        match result {
            Ok(()) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self) -> Option<Datagram<'_>> {
        let (slot, channel, source, length) = self.read_next()?;
        Some(Datagram {
            slot,
            channel,
            source,
            bytes: &mut self.buffer[..length],
        })
    }

    fn upcoming(&self, after: usize) -> Option<PortSlot> {
        let reported = &self.reported[..self.ready];
        let key = *reported.get(self.next + after)?;
        (key != WAKE).then(|| named_by(key).0)
    }

    fn prefetch(&self, slot: PortSlot) {
        if let Some(sockets) = self.sockets.get(slot.index()) {
            prefetch(sockets);
        }
    }

    fn sockets(&mut self, slot: PortSlot) -> Option<&mut SocketPair> {
        self.sockets.get_mut(slot.index())?.as_mut()
    }

    fn send(&mut self, slot: PortSlot, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        let sockets = self.sockets.get(slot.index()).and_then(Option::as_ref);
        let sent = sockets.is_some_and(|sockets| sockets.send(channel, to, bytes));
        self.unsent += u64::from(!sent && channel == Channel::Rtp);
    }

    /// Every packet was handed to the kernel as it came.
    fn flush(&mut self) -> u64 {
        std::mem::take(&mut self.unsent)
    }
}

fn nanosleep_until(deadline: Instant) -> rustix::io::Result<()> {
    use rustix::thread::NanosleepRelativeResult as Slept;
    let left = until(deadline);
    if left.is_zero() {
        return Ok(());
    }
    match nanosleep(&timespec(left)) {
        Slept::Ok | Slept::Interrupted(_) => Ok(()),
        Slept::Err(error) => Err(error),
    }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(clock::now())
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

fn key_of(slot: PortSlot, channel: Channel) -> u64 {
    (u64::from(slot.0) << 1) | u64::from(channel == Channel::Rtcp)
}

fn named_by(key: u64) -> (PortSlot, Channel) {
    let channel = match key & 1 {
        0 => Channel::Rtp,
        _ => Channel::Rtcp,
    };
    // Made of a slot by `key_of`.
    (PortSlot((key >> 1) as u32), channel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::rtp::tests::here;
    use std::net::UdpSocket;

    #[test]
    fn every_socket_has_its_turn_before_a_flooded_one_has_its_second() {
        let mut io = EpollIo::new(Arc::new(Wake::new().unwrap())).unwrap();
        for (slot, port) in [(0, 21_200), (1, 21_202)] {
            io.open(PortSlot(slot), SocketPair::bind(here(), port).unwrap())
                .unwrap();
        }
        let peer = UdpSocket::bind((here(), 0)).unwrap();
        for _ in 0..5 {
            peer.send_to(b"flood", (here(), 21_200)).unwrap();
        }
        peer.send_to(b"speech", (here(), 21_202)).unwrap();
        peer.send_to(b"report", (here(), 21_203)).unwrap();

        io.wait(Wait::PacketOr(None)).unwrap();
        let mut seen = Vec::new();
        while let Some(datagram) = io.receive() {
            seen.push((datagram.slot.0, datagram.channel));
        }

        assert_eq!(seen.len(), 7);
        let first_round = &seen[..3];
        assert!(first_round.contains(&(1, Channel::Rtp)), "{seen:?}");
        assert!(first_round.contains(&(1, Channel::Rtcp)), "{seen:?}");
    }
}
