//! Tells when more arrives than is worked off, so that new calls are refused while those that there
//! are keep their time.
//!
//! A socket that is found empty now and then is kept up with, however much comes. Once a backlog
//! has stood for a while and is deep, each new call makes every other wait longer, until phones
//! repeat themselves and make it worse. Refusing costs a hundredth of a call, so the backlog is soon
//! gone, and new calls are taken again. What piled up while the process did not run for a moment
//! stands for a while too, but is not deep, and refuses nobody.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::edge::sip::waiting::Waiting;

/// A backlog that has stood for so long may be too much.
const TOO_LONG: Duration = Duration::from_millis(100);

/// INVITEs that are remembered, so that one that comes again is not taken for a new call.
const REMEMBERED: usize = 8_192;

#[derive(Debug)]
pub struct Pressure {
    /// When the socket was first found with something, since it was last found empty.
    backlog: Option<Instant>,
    hasher: RandomState,
    /// Of each INVITE that went on; a later one may take its place.
    invites: Vec<u64>,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            backlog: None,
            hasher: RandomState::new(),
            invites: vec![0; REMEMBERED],
        }
    }
}

impl Pressure {
    /// The socket was found empty.
    pub fn handle_empty(&mut self) {
        self.backlog = None;
    }

    /// A datagram was read.
    pub fn handle_datagram(&mut self, now: Instant) {
        self.backlog.get_or_insert(now);
    }

    /// Whether new calls are to be refused. A backlog is deep where half of the room is charged: up to
    /// a quarter may be charged for what was read already (`udp_rmem_release` of Linux), so that a
    /// quarter of the room waits at least. A message is charged 1280 or 2304 bytes; of the 4 MiB that
    /// the service gets where it may, these are 450 messages or more, 60 ms of work for a core that
    /// takes 1000 calls a second. `waiting` is asked for only where it matters; a socket that does
    /// not tell counts as full.
    pub fn is_too_high(&self, now: Instant, waiting: impl FnOnce() -> Option<Waiting>) -> bool {
        let has_stood = |since| now.duration_since(since) >= TOO_LONG;
        self.backlog.is_some_and(has_stood) && waiting().is_none_or(|it| it.bytes > it.room / 2)
    }

    /// Whether these bytes came before, and went on. What is repeated is repeated unchanged
    /// (RFC 3261 §17.1.1.2).
    pub fn knows(&self, invite: &[u8], source: SocketAddr) -> bool {
        let hash = self.hasher.hash_one((invite, source));
        self.invites[place(hash)] == hash
    }

    /// An INVITE goes on.
    pub fn remember(&mut self, invite: &[u8], source: SocketAddr) {
        let hash = self.hasher.hash_one((invite, source));
        self.invites[place(hash)] = hash;
    }
}

fn place(hash: u64) -> usize {
    usize::try_from(hash % REMEMBERED as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u32 = 4 << 20;
    const DEEP: u32 = ROOM / 2;

    fn waiting(bytes: u32) -> impl Fn() -> Option<Waiting> {
        move || Some(Waiting { bytes, room: ROOM })
    }

    #[test]
    fn a_deep_backlog_that_stands_is_too_much_until_it_is_gone() {
        let mut pressure = Pressure::default();
        let start = Instant::now();
        let ms = Duration::from_millis;
        let deep = waiting(DEEP + 1);

        for n in 0..500 {
            pressure.handle_datagram(start + ms(n) / 10);
        }
        assert!(!pressure.is_too_high(start + ms(99), &deep));
        assert!(pressure.is_too_high(start + ms(100), &deep));
        assert!(!pressure.is_too_high(start + ms(100), waiting(DEEP)));
        pressure.handle_empty();
        pressure.handle_datagram(start + ms(101));

        assert!(!pressure.is_too_high(start + ms(101), &deep));
    }

    #[test]
    fn many_datagrams_between_which_the_socket_is_empty_are_no_backlog() {
        let mut pressure = Pressure::default();
        let start = Instant::now();

        for n in 0..10_000 {
            let now = start + Duration::from_millis(n);
            pressure.handle_datagram(now);
            assert!(!pressure.is_too_high(now, waiting(ROOM)));
            if n % 40 == 39 {
                pressure.handle_empty();
            }
        }
    }

    #[test]
    fn a_socket_that_does_not_tell_counts_as_full() {
        let mut pressure = Pressure::default();
        let start = Instant::now();

        pressure.handle_datagram(start);

        assert!(pressure.is_too_high(start + TOO_LONG, || None));
    }

    #[test]
    fn an_invite_that_comes_again_is_known_and_another_is_not() {
        let mut pressure = Pressure::default();
        let carrier: SocketAddr = "127.0.0.2:5060".parse().unwrap();
        let other: SocketAddr = "127.0.0.3:5060".parse().unwrap();

        pressure.remember(b"INVITE sip:204@127.0.0.1 SIP/2.0", carrier);

        assert!(pressure.knows(b"INVITE sip:204@127.0.0.1 SIP/2.0", carrier));
        assert!(!pressure.knows(b"INVITE sip:205@127.0.0.1 SIP/2.0", carrier));
        assert!(!pressure.knows(b"INVITE sip:204@127.0.0.1 SIP/2.0", other));
    }
}
