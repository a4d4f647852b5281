//! Ports for a service that is started for the occasion: free ones, and a stretch of RTP ports that no
//! other such service is dealt while this one runs.

use std::net::{TcpListener, UdpSocket};

use anyhow::bail;

use crate::demo::service::SERVICE_IP;

/// Stretches are dealt in units of so many ports, below the range from which the system deals
/// ephemeral ones.
const UNIT: u16 = 400;
const FIRST: u16 = 10_000;
const UNITS: u16 = 50;

/// RTP ports that are reserved, in this process and among all others that ask here.
///
/// A service binds a port when a call needs it, so that a range of an idle one looks free. What is
/// dealt is therefore marked: the TCP ports of the same numbers, which nothing of RTP uses, are held
/// at the head of each unit. The system gives them back however the holder ends.
pub struct Stretch {
    first: u16,
    count: u16,
    _marks: Vec<TcpListener>,
}

impl Stretch {
    pub fn reserve(count: u16) -> anyhow::Result<Self> {
        let mut seed = [0u8; 2];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        let (start, units) = (u16::from_be_bytes(seed) % UNITS, count.div_ceil(UNIT));
        let firsts = (0..UNITS)
            .map(|step| (start + step) % UNITS)
            .filter(|unit| unit + units <= UNITS)
            .map(|unit| FIRST + unit * UNIT);
        for first in firsts {
            if let Some(stretch) = Self::at(first, count) {
                return Ok(stretch);
            }
        }
        bail!("no stretch of {count} RTP ports is free between 10000 and 30000")
    }

    /// The stretch that begins here, if nobody has it.
    fn at(first: u16, count: u16) -> Option<Self> {
        let marks = (0..count.div_ceil(UNIT))
            .map(|unit| TcpListener::bind((SERVICE_IP, first + unit * UNIT)))
            .collect::<Result<Vec<_>, _>>()
            .ok()?;
        let mut ports = first..first + count;
        ports
            .all(|port| UdpSocket::bind((SERVICE_IP, port)).is_ok())
            .then_some(Self {
                first,
                count,
                _marks: marks,
            })
    }

    /// As `[rtp] ports` wants it.
    pub fn range(&self) -> String {
        format!("{}-{}", self.first, self.first + self.count - 1)
    }
}

pub fn free_tcp_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((SERVICE_IP, 0))?.local_addr()?.port())
}

/// A port that is free for UDP and TCP alike.
pub fn free_sip_port() -> anyhow::Result<u16> {
    for _ in 0..64 {
        let udp = UdpSocket::bind((SERVICE_IP, 0))?;
        let port = udp.local_addr()?.port();
        if TcpListener::bind((SERVICE_IP, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free for UDP and TCP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_dealt_to_nobody_else() {
        let one = Stretch::reserve(900).expect("a stretch");
        let other = Stretch::reserve(900).expect("another");

        for held in [&one, &other] {
            assert_eq!(held.range(), format!("{}-{}", held.first, held.first + 899));
            for unit in 0..3 {
                let first = held.first + unit * UNIT;
                assert!(Stretch::at(first, 4).is_none(), "{first}");
            }
        }
        assert!(one.first.abs_diff(other.first) >= 3 * UNIT);
    }
}
