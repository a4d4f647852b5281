//! What every engine promises, on loopback: the same tests for each.

use std::mem::ManuallyDrop;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::edge::clock;
use crate::edge::rtp::engine::{Engine, EngineKind};
use crate::edge::rtp::socket::SocketPair;
use crate::edge::rtp::tests::here;
use crate::edge::rtp::wake::Wake;
use crate::edge::rtp::{MediaIo, Wait};
use crate::media::shard::{Channel, PortSlot};

/// Each behaviour as a test for each engine.
macro_rules! on_each_engine {
    ($($name:ident),* $(,)?) => {
        mod on_epoll {
            $(#[test] fn $name() { super::$name(super::EngineKind::Epoll); })*
        }
        mod on_io_uring {
            $(#[test] fn $name() { super::$name(super::EngineKind::IoUring); })*
        }
    };
}

pub(super) use on_each_engine;

on_each_engine!(
    all_that_came_is_handed_out_whoever_floods,
    a_wake_from_another_thread_ends_the_wait,
    a_wait_ends_at_its_deadline,
    sockets_that_were_given_back_are_heard_of_no_more_and_keep_what_came,
    what_was_taken_before_a_leg_moves_comes_out_first,
    packets_leave_with_the_flush_at_the_latest,
    a_socket_that_is_connected_sends_and_hears_on,
    a_packet_that_is_too_long_harms_no_other,
    a_closed_port_is_free_at_once,
    more_packets_than_there_are_buffers_all_come,
);

fn all_that_came_is_handed_out_whoever_floods(kind: EngineKind) {
    let mut io = Io::new(kind, 2);
    let peer = peer();
    for _ in 0..20 {
        peer.send_to(b"flood", io.rtp[0]).unwrap();
    }
    peer.send_to(b"speech", io.rtp[1]).unwrap();
    peer.send_to(b"report", io.rtcp[1]).unwrap();

    let seen = io.take(22);

    let count = |slot, channel| {
        let ours = seen.iter().filter(|it| (it.0, it.1) == (slot, channel));
        ours.count()
    };
    assert_eq!(count(0, Channel::Rtp), 20);
    assert_eq!(count(1, Channel::Rtp), 1);
    assert_eq!(count(1, Channel::Rtcp), 1);
    let source = peer.local_addr().unwrap();
    assert!(seen.iter().all(|it| it.2 == source), "{seen:?}");
}

fn a_wake_from_another_thread_ends_the_wait(kind: EngineKind) {
    let mut io = Io::new(kind, 0);
    for _ in 0..3 {
        let wake = io.wake.clone();
        let other = std::thread::spawn(move || wake.wake());
        io.engine.wait(Wait::PacketOr(None)).unwrap();

        assert!(io.engine.receive().is_none());
        other.join().unwrap();
    }
}

fn a_wait_ends_at_its_deadline(kind: EngineKind) {
    let mut io = Io::new(kind, 1);
    // The first wait arms, and may end for it.
    io.engine.wait(Wait::Until(clock::now())).unwrap();
    assert!(io.engine.receive().is_none());

    for wait in [
        |until| Wait::Until(until),
        |until| Wait::PacketOr(Some(until)),
    ] {
        let until = clock::now() + Duration::from_millis(5);
        io.engine.wait(wait(until)).unwrap();
        assert!(clock::now() >= until);
        assert!(io.engine.receive().is_none());
    }
}

fn sockets_that_were_given_back_are_heard_of_no_more_and_keep_what_came(kind: EngineKind) {
    let mut io = Io::new(kind, 1);
    let peer = peer();
    peer.send_to(b"before", io.rtp[0]).unwrap();
    assert_eq!(io.take(1)[0].3, b"before");

    let sockets = io.engine.close(PortSlot(0)).unwrap();
    peer.send_to(b"meanwhile", io.rtp[0]).unwrap();
    io.engine.wait(Wait::PacketOr(Some(clock::now()))).unwrap();
    assert!(io.engine.receive().is_none());

    let mut other = Io::new(kind, 0);
    other.engine.open(PortSlot(0), sockets).unwrap();
    assert_eq!(other.take(1)[0].3, b"meanwhile");
}

fn what_was_taken_before_a_leg_moves_comes_out_first(kind: EngineKind) {
    let mut io = Io::new(kind, 2);
    let peer = peer();
    io.engine.wait(Wait::PacketOr(Some(clock::now()))).unwrap();
    for number in 0..10 {
        peer.send_to(&[number], io.rtp[0]).unwrap();
    }
    peer.send_to(b"other", io.rtp[1]).unwrap();
    io.engine.wait(Wait::PacketOr(None)).unwrap();

    io.engine.pause(PortSlot(0));
    let mut numbers = Vec::new();
    while let Some(datagram) = io.engine.receive() {
        if datagram.slot == PortSlot(0) {
            numbers.push(datagram.bytes[0]);
        }
    }
    let sockets = io.engine.close(PortSlot(0)).unwrap();
    let mut second = Io::new(kind, 0);
    second.engine.open(PortSlot(5), sockets).unwrap();
    let left = 10 - numbers.len();
    numbers.extend(second.take(left).iter().map(|it| it.3[0]));

    assert_eq!(numbers, (0..10).collect::<Vec<u8>>());
}

fn packets_leave_with_the_flush_at_the_latest(kind: EngineKind) {
    let mut io = Io::new(kind, 2);
    let peer = peer();
    let to = peer.local_addr().unwrap();
    io.engine.wait(Wait::PacketOr(Some(clock::now()))).unwrap();

    for number in 0..150u8 {
        let slot = PortSlot(u32::from(number % 2));
        io.engine.send(slot, Channel::Rtp, to, &[number; 180]);
    }
    io.engine.send(PortSlot(1), Channel::Rtcp, to, b"report");
    assert_eq!(io.engine.flush(), 0);

    let mut buffer = [0; 2048];
    for number in 0..150u8 {
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((length, buffer[0]), (180, number));
        assert_eq!(from, io.rtp[usize::from(number % 2)]);
    }
    assert_eq!(peer.recv_from(&mut buffer).unwrap(), (6, io.rtcp[1]));
}

fn a_socket_that_is_connected_sends_and_hears_on(kind: EngineKind) {
    let mut io = Io::new(kind, 1);
    let (peer, stranger) = (peer(), peer());
    let to = peer.local_addr().unwrap();
    peer.send_to(b"first", io.rtp[0]).unwrap();
    io.take(1);

    io.engine.sockets(PortSlot(0)).unwrap().connect(Some(to));
    stranger.send_to(b"stranger", io.rtp[0]).unwrap();
    peer.send_to(b"second", io.rtp[0]).unwrap();
    assert_eq!(io.take(1)[0].3, b"second");
    io.engine.send(PortSlot(0), Channel::Rtp, to, b"back");
    io.engine.flush();
    let mut buffer = [0; 16];
    assert_eq!(peer.recv_from(&mut buffer).unwrap(), (4, io.rtp[0]));

    io.engine.sockets(PortSlot(0)).unwrap().connect(None);
    stranger.send_to(b"stranger", io.rtp[0]).unwrap();
    assert_eq!(io.take(1)[0].3, b"stranger");
}

fn a_packet_that_is_too_long_harms_no_other(kind: EngineKind) {
    let mut io = Io::new(kind, 1);
    let peer = peer();
    peer.send_to(&[7; 9_000], io.rtp[0]).unwrap();
    peer.send_to(&[], io.rtp[0]).unwrap();
    peer.send_to(&[8; 1_472], io.rtp[0]).unwrap();

    let mut whole = Vec::new();
    while !whole.contains(&vec![8; 1_472]) {
        whole.extend(io.take(1).into_iter().map(|it| it.3));
    }
    assert!(whole.iter().all(|bytes| bytes.len() < 9_000));
}

fn a_closed_port_is_free_at_once(kind: EngineKind) {
    let mut io = Io::new(kind, 8);
    io.engine.wait(Wait::PacketOr(Some(clock::now()))).unwrap();
    for slot in 0..4 {
        drop(io.engine.close(PortSlot(slot)).unwrap());
        UdpSocket::bind(io.rtp[slot as usize]).unwrap();
        UdpSocket::bind(io.rtcp[slot as usize]).unwrap();
    }
    let last = io.rtp[7];
    drop(io);
    UdpSocket::bind(last).unwrap();
}

fn more_packets_than_there_are_buffers_all_come(kind: EngineKind) {
    let mut io = Io::new(kind, 40);
    let peer = peer();
    io.engine.wait(Wait::PacketOr(Some(clock::now()))).unwrap();
    for _ in 0..32 {
        for to in &io.rtp {
            peer.send_to(b"burst", to).unwrap();
        }
    }

    assert_eq!(io.take(40 * 32).len(), 40 * 32);
    peer.send_to(b"after", io.rtp[39]).unwrap();
    assert_eq!(io.take(1)[0].3, b"after");
}

#[test]
fn a_ring_that_dies_leaves_its_sockets_to_epoll() {
    let mut io = Io::new(EngineKind::IoUring, 3);
    let peer = peer();
    let to = peer.local_addr().unwrap();
    peer.send_to(b"before", io.rtp[2]).unwrap();
    io.take(1);
    io.engine.sockets(PortSlot(2)).unwrap().connect(Some(to));

    lose(io.engine.ring_fd().unwrap());
    peer.send_to(b"after", io.rtp[2]).unwrap();
    peer.send_to(b"report", io.rtcp[0]).unwrap();

    let mut seen: Vec<_> = io.take(2).into_iter().map(|it| it.3).collect();
    seen.sort();
    assert_eq!(seen, [b"after".to_vec(), b"report".to_vec()]);
    assert_eq!(io.engine.kind(), EngineKind::Epoll);
    io.engine.send(PortSlot(2), Channel::Rtp, to, b"back");
    assert_eq!(io.engine.flush(), 0);
    let mut buffer = [0; 16];
    assert_eq!(peer.recv_from(&mut buffer).unwrap(), (4, io.rtp[2]));
    // Others wake the thread as before.
    io.wake.wake();
    io.engine.wait(Wait::PacketOr(None)).unwrap();
    assert!(io.engine.close(PortSlot(0)).is_some());
}

/// Puts something else in the place of the ring: the kernel ends it, and entering it fails.
pub(super) fn lose(ring: RawFd) {
    let null = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: the number is the ring's, which closes it later, whatever it is then.
    let mut ring = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(ring) });
    rustix::io::dup2(&null, &mut ring).unwrap();
}

struct Io {
    engine: Engine,
    wake: Arc<Wake>,
    rtp: Vec<SocketAddr>,
    rtcp: Vec<SocketAddr>,
}

type Seen = (u32, Channel, SocketAddr, Vec<u8>);

impl Io {
    fn new(kind: EngineKind, legs: u32) -> Self {
        let wake = Arc::new(Wake::new().unwrap());
        let mut io = Self {
            engine: Engine::new(kind, wake.clone()).unwrap(),
            wake,
            rtp: Vec::new(),
            rtcp: Vec::new(),
        };
        for slot in 0..legs {
            let sockets = SocketPair::bind_anywhere(here()).unwrap();
            let mut address = sockets.address().unwrap();
            io.rtp.push(address);
            address.set_port(address.port() + 1);
            io.rtcp.push(address);
            io.engine.open(PortSlot(slot), sockets).unwrap();
        }
        io
    }

    /// Waits for so many datagrams.
    fn take(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        while seen.len() < count {
            self.engine.wait(Wait::PacketOr(None)).unwrap();
            while let Some(it) = self.engine.receive() {
                seen.push((it.slot.0, it.channel, it.source, it.bytes.to_vec()));
            }
        }
        seen
    }
}

fn peer() -> UdpSocket {
    UdpSocket::bind((here(), 0)).unwrap()
}
