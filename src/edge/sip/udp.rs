//! UDP listeners: the socket that the stack reads through, with the ingress guard in it.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rsipstack::platform::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use std::time::Instant;

use crate::edge::clock;
use crate::edge::sip::guard::{Framing, Guard, Verdict};
use crate::edge::sip::pressure::Pressure;
use crate::edge::sip::waiting::Waiting;

/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_535;

/// Room for a burst of set-ups while the reader is elsewhere; the kernel doubles it.
const RECEIVE_BUFFER: usize = 2 << 20;

/// What the guard has seen since the start.
#[derive(Debug, Default)]
pub struct GuardCounters {
    pub passed: AtomicU64,
    pub answered: AtomicU64,
    pub dropped: AtomicU64,
    /// Would have been answered, but its source has had enough answers.
    pub limited: AtomicU64,
    /// New calls beyond what can be served.
    pub refused: AtomicU64,
    /// Answers to challenges that were not looked at: too many before them were wrong.
    pub shut_out: AtomicU64,
}

impl GuardCounters {
    pub fn count(&self, counter: impl Fn(&Self) -> &AtomicU64) {
        counter(self).fetch_add(1, Ordering::Relaxed);
    }
}

/// The guard with what it shares among all listeners.
#[derive(Debug, Default)]
pub struct Gate {
    pub guard: Guard,
    pub counters: GuardCounters,
    pub errors: SourceLimit,
}

/// How often a source may cause something, such as an answer to a broken message: enough to find
/// one's mistake, too few to make this node a mirror for forged sources.
#[derive(Debug)]
pub struct SourceLimit {
    burst: f64,
    per_second: f64,
    hasher: RandomState,
    /// One bucket for many sources, chosen by hash: bounded whatever arrives.
    buckets: Vec<Mutex<Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Option<Instant>,
}

const BUCKETS: usize = 1024;

impl Default for SourceLimit {
    /// For answers to broken messages.
    fn default() -> Self {
        Self::new(40.0, 20.0)
    }
}

impl SourceLimit {
    pub fn new(burst: f64, per_second: f64) -> Self {
        Self {
            burst,
            per_second,
            hasher: RandomState::new(),
            buckets: (0..BUCKETS)
                .map(|_| {
                    Mutex::new(Bucket {
                        tokens: burst,
                        filled: None,
                    })
                })
                .collect(),
        }
    }

    /// Whether this source may cause one more, and counts it.
    pub fn allow(&self, source: impl Hash) -> bool {
        self.take(source, 1.0)
    }

    /// Whether this source could cause one more.
    pub fn has_room(&self, source: impl Hash) -> bool {
        self.take(source, 0.0)
    }

    fn take(&self, source: impl Hash, tokens: f64) -> bool {
        let slot = usize::try_from(self.hasher.hash_one(source)).unwrap_or(0) % BUCKETS;
        let mut bucket = self.buckets[slot]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if let Some(filled) = bucket.filled {
            let gained = now.duration_since(filled).as_secs_f64() * self.per_second;
            bucket.tokens = (bucket.tokens + gained).min(self.burst);
        }
        bucket.filled = Some(now);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= tokens;
        true
    }
}

/// Datagrams that are read before others have their turn. More at once would be handled as late as
/// the last of them.
const TURN: u32 = 16;

/// A flood begins and ends many times in a second; it is told once in a while.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A bound UDP socket whose `recv_from` yields sound SIP messages only, and no new calls while there
/// are too many.
pub struct GuardedUdp {
    socket: tokio::net::UdpSocket,
    gate: Arc<Gate>,
    reader: tokio::sync::Mutex<Reader>,
}

/// What the one who reads owns.
struct Reader {
    buffer: Vec<u8>,
    pressure: Pressure,
    /// Read since others had their turn.
    read: u32,
    warned: Option<Instant>,
}

impl Reader {
    /// The next datagram, its length and source.
    async fn read(
        &mut self,
        socket: &tokio::net::UdpSocket,
    ) -> std::io::Result<(usize, SocketAddr)> {
        if self.read >= TURN {
            self.read = 0;
            tokio::task::yield_now().await;
        }
        let received = match socket.try_recv_from(&mut self.buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.pressure.handle_empty();
                self.read = 0;
                socket.recv_from(&mut self.buffer).await
            }
            received => received,
        };
        self.read += 1;
        self.pressure.handle_datagram(clock::now());
        received
    }

    /// Whether this is a new call, and there are too many already.
    fn is_too_much(
        &mut self,
        socket: &tokio::net::UdpSocket,
        length: usize,
        source: SocketAddr,
    ) -> bool {
        let message = &self.buffer[..length];
        if !message.starts_with(b"INVITE ") {
            return false;
        }
        let now = clock::now();
        let waiting = || Waiting::at(socket.as_fd());
        if self.pressure.is_too_high(now, waiting) {
            if self
                .warned
                .is_none_or(|at| now.duration_since(at) > WARN_EVERY)
            {
                self.warned = Some(now);
                tracing::warn!("more calls come than can be served: new ones are refused");
            }
            return !self.pressure.knows(message, source);
        }
        self.pressure.remember(message, source);
        false
    }
}

impl GuardedUdp {
    pub fn bind(addr: SocketAddr, gate: Arc<Gate>) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The kernel gives what it allows; less is no reason not to start.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket
            .bind(&addr.into())
            .with_context(|| format!("udp:{addr} cannot be bound"))?;
        Ok(Self {
            socket: tokio::net::UdpSocket::from_std(socket.into())?,
            gate,
            reader: tokio::sync::Mutex::new(Reader {
                buffer: vec![0; MAX_DATAGRAM],
                pressure: Pressure::default(),
                read: 0,
                warned: None,
            }),
        })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

#[async_trait::async_trait]
impl UdpSocket for GuardedUdp {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        let counters = &self.gate.counters;
        let mut reader = self.reader.lock().await;
        loop {
            let (length, source) = match reader.read(&self.socket).await {
                Ok(received) => received,
                // An ICMP error of an earlier send is no fault of this socket.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
                Err(error) => {
                    // Whatever it is, it must not become a busy loop in the stack.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    return Err(error.into());
                }
            };
            if reader.is_too_much(&self.socket, length, source)
                && let Some(answer) = self
                    .gate
                    .guard
                    .refuse_call(&reader.buffer[..length], source)
            {
                counters.count(|c| &c.refused);
                let _ = self.socket.try_send_to(&answer, source);
                continue;
            }
            let message = reader.buffer[..length].trim_ascii_start();
            if message.is_empty() {
                // A keep-alive (RFC 5626 §4.4 has none for UDP, phones send them all the same).
                continue;
            }
            match self
                .gate
                .guard
                .judge(message, source, Framing::Datagram, buf.len())
            {
                Verdict::Pass(message) => {
                    counters.count(|c| &c.passed);
                    buf[..message.len()].copy_from_slice(&message);
                    return Ok((message.len(), source));
                }
                Verdict::Answer(answer) => {
                    if self.gate.errors.allow(source.ip()) {
                        counters.count(|c| &c.answered);
                        let _ = self.socket.try_send_to(&answer, source);
                    } else {
                        counters.count(|c| &c.limited);
                    }
                }
                Verdict::Drop(flaw) => {
                    counters.count(|c| &c.dropped);
                    tracing::trace!(%source, %flaw, "datagram dropped");
                }
            }
        }
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.socket.send_to(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}
