//! All phones: they speak in turn, a twentieth of them each millisecond, and hear by a few sockets
//! for many phones each. What is measured is the service; the phones are to cost as little as can be.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

use crate::batch::{self, Batch};
use crate::keypad::Turn;
use crate::phone::{Clicks, Expected, Heard, Phone};

/// Sockets for each side. Reports go to the port above, where nobody reads them.
const SOCKETS: usize = 4;
const PORTS: std::ops::Range<u16> = 33_000..60_000;

/// Delays of one kind of way, in microseconds.
pub type Delays = Vec<u32>;

/// What was heard since measuring began.
#[derive(Debug, Default)]
pub struct Measured {
    /// From party to party, untouched.
    pub through: Delays,
    /// From a party into the ear of a supervisor.
    pub to_supervisor: Delays,
    /// From a supervisor into the ear of the one who is coached.
    pub from_supervisor: Delays,
    /// From the other party into the same ear, mixed.
    pub beside: Delays,
}

pub struct Fleet {
    sockets: Vec<UdpSocket>,
    reports: Vec<UdpSocket>,
    pub phones: Vec<Phone>,
    /// By the millisecond of each twenty.
    turns: Vec<Vec<usize>>,
    /// By the service's port.
    by_port: Vec<Option<usize>>,
    start: Instant,
    /// The millisecond that was last served.
    served: u64,
    /// The longest that the phones came late, while measured, in milliseconds.
    pub latest_ms: u64,
    pub unsent: usize,
    measured: Option<Measured>,
    /// Clicks that are said now are counted, and looked for in every mix.
    counts_clicks: bool,
    outgoing: Batch,
    incoming: Batch,
}

impl Fleet {
    /// A side for each address: phones name their sockets by [`Self::socket_of`].
    pub fn open(sides: &[Ipv4Addr]) -> anyhow::Result<Self> {
        let mut fleet = Self {
            sockets: Vec::new(),
            reports: Vec::new(),
            phones: Vec::new(),
            turns: vec![Vec::new(); 20],
            by_port: vec![None; 65_536],
            start: Instant::now(),
            served: 0,
            latest_ms: 0,
            unsent: 0,
            measured: None,
            counts_clicks: false,
            outgoing: Batch::new(),
            incoming: Batch::new(),
        };
        for side in sides {
            let mut ports = PORTS.step_by(2);
            for _ in 0..SOCKETS {
                let (socket, reports) = ports
                    .find_map(|port| {
                        let socket = UdpSocket::bind((*side, port)).ok()?;
                        Some((socket, UdpSocket::bind((*side, port + 1)).ok()?))
                    })
                    .with_context(|| format!("no free ports at {side}"))?;
                socket.set_nonblocking(true)?;
                batch::widen(&socket);
                fleet.sockets.push(socket);
                fleet.reports.push(reports);
            }
        }
        Ok(fleet)
    }

    pub fn socket_of(side: usize, phone: usize) -> usize {
        side * SOCKETS + phone / 3 % SOCKETS
    }

    pub fn add(&mut self, socket: usize, expected: Expected) -> usize {
        let index = self.phones.len();
        self.phones.push(Phone::new(index, socket, expected));
        let turn = &mut self.turns[index * 7 % 20];
        turn.push(index);
        // Phones of a socket one after another: they share a call into the kernel.
        let phones = &self.phones;
        turn.sort_by_key(|&phone| phones[phone].socket);
        index
    }

    pub fn address_of(&self, phone: usize) -> anyhow::Result<std::net::SocketAddr> {
        Ok(self.sockets[self.phones[phone].socket].local_addr()?)
    }

    pub fn connect(&mut self, phone: usize, remote: SocketAddrV4) {
        self.phones[phone].remote = Some(remote);
        self.by_port[usize::from(remote.port())] = Some(phone);
    }

    /// Forgets the last phones.
    pub fn truncate(&mut self, phones: usize) {
        for phone in phones..self.phones.len() {
            self.disconnect(phone);
        }
        self.phones.truncate(phones);
        for turn in &mut self.turns {
            turn.retain(|phone| *phone < phones);
        }
    }

    pub fn disconnect(&mut self, phone: usize) {
        if let Some(remote) = self.phones[phone].remote.take() {
            self.by_port[usize::from(remote.port())] = None;
        }
    }

    /// From now on clicks are counted, from none.
    pub fn begin_clicks(&mut self) {
        for phone in &mut self.phones {
            phone.clicks = Clicks::default();
            phone.ear.clicks = 0;
        }
        self.counts_clicks = true;
    }

    /// Those said from now on are not looked for; those before may still be on their way.
    pub fn end_clicks(&mut self) {
        self.counts_clicks = false;
    }

    /// Delays are told from now on. The kernel notes when each packet came, at the expense of
    /// whoever sends it: the service.
    pub fn begin_delays(&mut self) -> anyhow::Result<()> {
        for socket in &self.sockets {
            batch::stamp(socket, true)?;
        }
        self.measured = Some(Measured::default());
        Ok(())
    }

    pub fn end_delays(&mut self) -> anyhow::Result<Measured> {
        for socket in &self.sockets {
            batch::stamp(socket, false)?;
        }
        Ok(self.measured.take().unwrap_or_default())
    }

    /// Speaks for every phone whose time has come, and hears until the next millisecond.
    pub fn serve(&mut self) {
        let present = self.start.elapsed().as_millis() as u64;
        self.latest_ms = self.latest_ms.max(present.saturating_sub(self.served + 1));
        // What a stall kept from being said is said late, so that the counts stay true.
        while self.served < present {
            self.served += 1;
            self.speak(self.served);
        }
        self.hear();
        let next = self.start + Duration::from_millis(self.served + 1);
        let left = next.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }

    fn speak(&mut self, ms: u64) {
        let (frame, place) = (ms / 20, (ms % 20) as usize);
        let turn = std::mem::take(&mut self.turns[place]);
        let mut socket = 0;
        let mut now = now_ns();
        for &index in &turn {
            let phone = &mut self.phones[index];
            let Some(remote) = phone.remote else { continue };
            let said = phone.next();
            for _ in 0..said.packets() {
                if phone.socket != socket || self.outgoing.is_full() {
                    self.unsent += self.outgoing.send(&self.sockets[socket]);
                    socket = phone.socket;
                    now = now_ns();
                }
                let packet = self.outgoing.put(remote, Phone::length_of(&said));
                let clicks = matches!(said, Turn::Speak) && phone.clicks_in(frame);
                phone.speak(now, &said, clicks, packet);
                if clicks {
                    phone.clicks.said += u64::from(self.counts_clicks);
                    phone.clicks.is_last_counted = self.counts_clicks;
                }
            }
        }
        self.unsent += self.outgoing.send(&self.sockets[socket]);
        self.turns[place] = turn;
    }

    fn hear(&mut self) {
        let Self {
            sockets,
            incoming,
            phones,
            by_port,
            measured,
            ..
        } = self;
        for socket in sockets {
            loop {
                let count = incoming.receive(socket, |it| {
                    let Some(phone) = by_port[usize::from(it.from_port)] else {
                        return;
                    };
                    hear(phones, phone, it.bytes, it.at_ns, measured);
                });
                if count < batch::MOST {
                    break;
                }
            }
        }
    }
}

fn hear(
    phones: &mut [Phone],
    phone: usize,
    packet: &[u8],
    at_ns: Option<u64>,
    measured: &mut Option<Measured>,
) {
    let expected = phones[phone].expected;
    let heard = phones[phone].hear(packet, at_ns.unwrap_or_else(now_ns));
    if let (Heard::Click { .. }, Expected::Mix(first, second)) = (&heard, expected) {
        // It is of whoever clicked last.
        let latest = [Some(first), second].into_iter().flatten();
        let latest = latest.max_by_key(|&speaker| phones[speaker].clicked_ns);
        let counted = latest.is_some_and(|speaker| phones[speaker].clicks.is_last_counted);
        phones[phone].ear.clicks += u64::from(counted);
    }
    let (Some(measured), Some(at_ns)) = (measured, at_ns) else {
        return;
    };
    let late_us =
        |sent_ns: u64| (at_ns.saturating_sub(sent_ns) / 1_000).min(u64::from(u32::MAX)) as u32;
    match (heard, expected) {
        (Heard::Nothing, _) => {}
        (Heard::Through { sent_ns }, _) => measured.through.push(late_us(sent_ns)),
        (Heard::Click { into_ns }, Expected::Mix(first, second)) => {
            let first = phones[first].clicked_ns;
            let second = second.map(|second| phones[second].clicked_ns);
            let is_supervisor = phone % 3 == SUPERVISOR;
            let (sent_ns, delays) = match second {
                Some(second) if second > first => match is_supervisor {
                    true => (second, &mut measured.to_supervisor),
                    false => (second, &mut measured.from_supervisor),
                },
                _ => match is_supervisor {
                    true => (first, &mut measured.to_supervisor),
                    false => (first, &mut measured.beside),
                },
            };
            delays.push(late_us(sent_ns).saturating_add((into_ns / 1_000) as u32));
        }
        (Heard::Click { .. }, Expected::Through(_)) => {}
    }
}

/// Phones stand in threes: customer, agent, supervisor.
pub const CUSTOMER: usize = 0;
pub const AGENT: usize = 1;
pub const SUPERVISOR: usize = 2;

/// Nanoseconds since 1970, as the kernel stamps packets.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
