//! Tells when more arrives than is worked off, so that new calls are refused while those that there
//! are keep their time.
//!
//! A socket that is found empty now and then is kept up with, however much comes. Once a backlog
//! has stood for a while, each new call makes every other wait longer, until phones repeat
//! themselves and make it worse. Refusing costs a hundredth of a call, so the backlog is soon gone,
//! and new calls are taken again.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A backlog that has stood for so long, and through so many datagrams, is too much. The number
/// keeps a process that was merely left waiting for its core from refusing anybody.
const TOO_LONG: Duration = Duration::from_millis(100);
const TOO_MANY: u32 = 256;

/// INVITEs that are remembered, so that one that comes again is not taken for a new call.
const REMEMBERED: usize = 8_192;

#[derive(Debug)]
pub struct Pressure {
    backlog: Option<Backlog>,
    hasher: RandomState,
    /// Of each INVITE that went on; a later one may take its place.
    invites: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Backlog {
    since: Instant,
    datagrams: u32,
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
        let backlog = self.backlog.get_or_insert(Backlog {
            since: now,
            datagrams: 0,
        });
        backlog.datagrams = backlog.datagrams.saturating_add(1);
    }

    /// Whether new calls are to be refused.
    pub fn is_too_high(&self, now: Instant) -> bool {
        self.backlog.is_some_and(|backlog| {
            backlog.datagrams >= TOO_MANY && now.duration_since(backlog.since) >= TOO_LONG
        })
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

    #[test]
    fn a_backlog_that_stands_is_too_much_until_it_is_gone() {
        let mut pressure = Pressure::default();
        let start = Instant::now();
        let ms = Duration::from_millis;

        for n in 0..500 {
            pressure.handle_datagram(start + ms(n) / 10);
        }
        assert!(!pressure.is_too_high(start + ms(99)));
        assert!(pressure.is_too_high(start + ms(100)));
        pressure.handle_empty();
        pressure.handle_datagram(start + ms(101));

        assert!(!pressure.is_too_high(start + ms(101)));
    }

    #[test]
    fn many_datagrams_between_which_the_socket_is_empty_are_no_backlog() {
        let mut pressure = Pressure::default();
        let start = Instant::now();

        for n in 0..10_000 {
            let now = start + Duration::from_millis(n);
            pressure.handle_datagram(now);
            assert!(!pressure.is_too_high(now));
            if n % 40 == 39 {
                pressure.handle_empty();
            }
        }
    }

    #[test]
    fn a_process_that_waited_for_its_core_refuses_nobody() {
        let mut pressure = Pressure::default();
        let start = Instant::now();

        pressure.handle_datagram(start);
        for _ in 0..200 {
            pressure.handle_datagram(start + Duration::from_secs(1));
        }

        assert!(!pressure.is_too_high(start + Duration::from_secs(1)));
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
