//! The RTP ports of this node: even and odd pairs from one range, each resting after use so that
//! late packets of one call never reach the next.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::edge::rtp::socket::SocketPair;

/// How long a port rests after use.
pub const QUARANTINE: Duration = Duration::from_secs(5);
/// How many ports that somebody else holds are passed over for one leg.
const MAX_TRIES: usize = 64;

/// Why a leg got no port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("all {0} port pairs of [rtp] ports are in use or rest after use")]
    Exhausted(usize),
    #[error("[rtp] bind {address}: {source}")]
    Bind { address: IpAddr, source: io::Error },
}

/// Which pairs are free. Holds one entry for each pair of the range and never more.
#[derive(Debug)]
pub struct Ports {
    ip: IpAddr,
    pairs: usize,
    /// Handed out from the front and put back at the end, so that a port comes round as late as can be.
    free: VecDeque<u16>,
    /// In the order in which they become free.
    resting: VecDeque<(Instant, u16)>,
}

impl Ports {
    /// `turn` says with which pair to begin, so that a restart does not hand out again what was in
    /// use a moment ago.
    pub fn new(ip: IpAddr, range: RangeInclusive<u16>, turn: usize) -> Self {
        let (first, last) = range.into_inner();
        let mut free: VecDeque<u16> = (first..last).filter(|port| port % 2 == 0).collect();
        if !free.is_empty() {
            let turn = turn % free.len();
            free.rotate_left(turn);
        }
        Self {
            ip,
            pairs: free.len(),
            free,
            resting: VecDeque::new(),
        }
    }

    /// Binds the next pair that is free.
    pub fn bind(&mut self, now: Instant) -> Result<SocketPair, PortError> {
        while let Some((_, port)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.free.push_back(port);
        }
        for _ in 0..MAX_TRIES {
            let Some(port) = self.free.pop_front() else {
                return Err(PortError::Exhausted(self.pairs));
            };
            match SocketPair::bind(self.ip, port) {
                Ok(pair) => return Ok(pair),
                // Another program has it. It may give it back.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => self.release(now, port),
                Err(source) => {
                    self.free.push_front(port);
                    return Err(PortError::Bind {
                        address: self.ip,
                        source,
                    });
                }
            }
        }
        Err(PortError::Exhausted(self.pairs))
    }

    /// The sockets of this port are closed.
    pub fn release(&mut self, now: Instant, port: u16) {
        self.resting.push_back((now + QUARANTINE, port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::rtp::tests::here;
    use std::net::{Ipv4Addr, UdpSocket};

    #[test]
    fn pairs_are_even_and_odd_and_within_the_range() {
        let mut ports = Ports::new(here(), 21_001..=21_006, 0);

        let first = ports.bind(now()).unwrap();
        let second = ports.bind(now()).unwrap();

        assert_eq!((first.port(), second.port()), (21_002, 21_004));
        assert!(matches!(ports.bind(now()), Err(PortError::Exhausted(2))));
    }

    #[test]
    fn a_port_rests_before_it_is_used_again() {
        let start = now();
        let mut ports = Ports::new(here(), 21_010..=21_011, 0);
        let pair = ports.bind(start).unwrap();
        let port = pair.port();
        drop(pair);

        ports.release(start, port);

        let early = start + QUARANTINE - Duration::from_millis(1);
        assert!(matches!(ports.bind(early), Err(PortError::Exhausted(1))));
        assert_eq!(ports.bind(start + QUARANTINE).unwrap().port(), port);
    }

    #[test]
    fn a_port_that_another_program_holds_is_passed_over() {
        let _other = UdpSocket::bind((here(), 21_021)).unwrap();
        let mut ports = Ports::new(here(), 21_020..=21_023, 0);

        assert_eq!(ports.bind(now()).unwrap().port(), 21_022);
    }

    #[test]
    fn an_address_that_is_not_ours_is_named() {
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let mut ports = Ports::new(elsewhere, 21_030..=21_031, 0);

        let error = ports.bind(now()).unwrap_err().to_string();

        assert!(error.contains("192.0.2.1"), "{error}");
    }

    fn now() -> Instant {
        Instant::now()
    }
}
