//! A sender, a network and a wheel, with the time made up.

use std::time::{Duration, Instant};

use crate::media::codec::Codec;
use crate::media::jitter::{JitterBuffer, Playout};
use crate::wire::rtp::Header;

/// A sender behind a network, and the buffer behind both.
pub struct Line {
    pub buffer: JitterBuffer,
    random: fastrand::Rng,
    start: Instant,
    pub ms: u64,
    /// When within 20 ms the wheel turns.
    pub phase_ms: u64,
    next_packet_us: i64,
    pub network: Network,
    /// The way itself, at its fastest.
    pub path_ms: i64,
    pub lost: f64,
    pub repeated: f64,
    pub ppm: i64,
    pub silent: bool,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    number: u32,
    under_way: Vec<(i64, Header, u32)>,
    /// When the last one arrives of those under way, and when the network stands still next.
    last_us: i64,
    stall_us: i64,
    sent_at: Vec<i64>,
}

/// By how much each packet is late.
#[derive(Clone, Copy, Debug)]
pub enum Network {
    /// By up to so many ms, each for itself: they overtake one another.
    Uniform(f64),
    /// By so many ms on the average, exponentially, in order.
    Exponential(f64),
    /// It stands still for `ms` every `every_s`, give or take 30 %, and is even between.
    Bursts { every_s: f64, ms: f64 },
    /// One in so many packets, on the average, is late by `ms`, and holds up those behind it.
    Lone { one_in: f64, ms: f64 },
}

impl Network {
    pub const EVEN: Network = Network::Uniform(0.0);
}

#[derive(Default)]
pub struct Run {
    pub played: Vec<u32>,
    /// When, and how long after having been sent.
    pub delays_us: Vec<(i64, i64)>,
    pub sent: u64,
    pub lost: u64,
    pub concealed: u64,
    pub given_up: u64,
}

impl Run {
    pub fn delay_ms(&self) -> f64 {
        let sum: i64 = self.delays_us.iter().map(|(_, delay)| delay).sum();
        sum as f64 / self.delays_us.len().max(1) as f64 / 1_000.0
    }

    pub fn longest_ms(&self) -> f64 {
        let longest = self.delays_us.iter().map(|(_, delay)| *delay).max();
        longest.unwrap_or(0) as f64 / 1_000.0
    }
}

impl Line {
    pub fn new(seed: u64) -> Self {
        Self {
            buffer: JitterBuffer::new(Codec::Pcmu),
            random: fastrand::Rng::with_seed(seed),
            start: Instant::now(),
            ms: 0,
            phase_ms: 7,
            next_packet_us: 0,
            network: Network::EVEN,
            path_ms: 0,
            lost: 0.0,
            repeated: 0.0,
            ppm: 0,
            silent: false,
            ssrc: 1,
            sequence: 100,
            timestamp: 5_000,
            number: 0,
            under_way: Vec::new(),
            last_us: 0,
            stall_us: 0,
            sent_at: Vec::new(),
        }
    }

    pub fn run(&mut self, milliseconds: u64) -> Run {
        let mut run = Run::default();
        let given_up = self.buffer.counts().given_up;
        for _ in 0..milliseconds {
            self.ms += 1;
            let now_us = self.ms as i64 * 1_000;
            while self.next_packet_us <= now_us {
                self.send(&mut run);
            }
            self.under_way.sort_by_key(|(at, ..)| *at);
            while self.under_way.first().is_some_and(|(at, ..)| *at <= now_us) {
                let (at, header, number) = self.under_way.remove(0);
                let mut payload = [0; 160];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                let at = self.start + Duration::from_micros(at as u64);
                self.buffer.insert(at, header, &payload);
            }
            if self.ms % 20 == self.phase_ms {
                let now = self.start + Duration::from_millis(self.ms);
                self.turn(now, now_us, &mut run);
            }
        }
        run.given_up = self.buffer.counts().given_up - given_up;
        run
    }

    fn send(&mut self, run: &mut Run) {
        let at = self.next_packet_us;
        self.next_packet_us += 20_000 + self.ppm * 20_000 / 1_000_000;
        self.timestamp = self.timestamp.wrapping_add(160);
        if self.silent {
            return;
        }
        let header = Header {
            payload_type: 0,
            marker: false,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.sent_at.push(at);
        let number = self.number;
        self.number += 1;
        run.sent += 1;
        if self.random.f64() < self.lost {
            run.lost += 1;
            return;
        }
        let copies = if self.random.f64() < self.repeated {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let arrives = self.arrival(at) + self.path_ms * 1_000;
            self.under_way.push((arrives, header, number));
        }
    }

    fn arrival(&mut self, at: i64) -> i64 {
        let us = |ms: f64| (ms * 1_000.0) as i64;
        let chance = self.random.f64();
        let arrives = match self.network {
            Network::Uniform(ms) => return at + us(chance * ms),
            Network::Exponential(ms) => at - us((1.0 - chance).ln() * ms),
            Network::Bursts { every_s, ms } => {
                let (every, stall) = (us(every_s * 1_000.0), us(ms));
                if at > self.stall_us + stall {
                    let about = us(every_s * 600.0 * (chance - 0.5));
                    self.stall_us = self.stall_us.max(at - stall) + every + about;
                }
                match at < self.stall_us {
                    true => at + us(chance),
                    false => self.stall_us + stall,
                }
            }
            Network::Lone { one_in, ms } => {
                at + if chance * one_in < 1.0 {
                    us(ms)
                } else {
                    us(chance)
                }
            }
        };
        self.last_us = self.last_us.max(arrives);
        self.last_us
    }

    fn turn(&mut self, now: Instant, now_us: i64, run: &mut Run) {
        let mut pulls = 1;
        while pulls > 0 {
            pulls -= 1;
            match self.buffer.pop(now) {
                Playout::Packet(payload) => {
                    let number = payload[..4].try_into().map(u32::from_be_bytes).unwrap();
                    run.played.push(number);
                    let delay = now_us - self.sent_at[number as usize];
                    run.delays_us.push((now_us, delay));
                }
                Playout::Lost(_) => run.concealed += 1,
                Playout::Silence => {}
            }
            // A voice without a pause: the hardest case.
            if self.buffer.gives_up_a_frame(now, || false) {
                pulls += 1;
            }
        }
    }
}
