//! A network with a seed: delay, jitter, loss, repetition, reordering.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a path does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Impairment {
    pub delay: Duration,
    /// Up to this much more, evenly spread; packets overtake one another.
    pub jitter: Duration,
    pub loss: f32,
    pub repetition: f32,
}

impl Impairment {
    pub const CLEAN: Self = Self {
        delay: Duration::from_millis(2),
        jitter: Duration::ZERO,
        loss: 0.0,
        repetition: 0.0,
    };
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Network {
    pub impairment: Impairment,
    random: fastrand::Rng,
    queue: BinaryHeap<Travelling>,
    order: u64,
}

struct Travelling {
    due: Instant,
    order: u64,
    datagram: Datagram,
}

impl Network {
    pub fn new(seed: u64, impairment: Impairment) -> Self {
        Self {
            impairment,
            random: fastrand::Rng::with_seed(seed),
            queue: BinaryHeap::new(),
            order: 0,
        }
    }

    pub fn send(&mut self, now: Instant, datagram: Datagram) {
        if self.random.f32() < self.impairment.loss {
            return;
        }
        if self.random.f32() < self.impairment.repetition {
            self.enqueue(now, datagram.clone());
        }
        self.enqueue(now, datagram);
    }

    fn enqueue(&mut self, now: Instant, datagram: Datagram) {
        let extra = self.impairment.jitter.mul_f32(self.random.f32());
        self.order += 1;
        self.queue.push(Travelling {
            due: now + self.impairment.delay + extra,
            order: self.order,
            datagram,
        });
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queue.peek().map(|travelling| travelling.due)
    }

    pub fn arrive(&mut self, now: Instant) -> Option<Datagram> {
        if self.queue.peek()?.due > now {
            return None;
        }
        self.queue.pop().map(|travelling| travelling.datagram)
    }
}

impl PartialEq for Travelling {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Travelling {}

impl PartialOrd for Travelling {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Travelling {
    /// The heap's greatest is the one that is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}
