//! How late packets come, and the delay that covers all but a few of them (RFC 3550 §6.4.1 for the
//! measure).

use std::time::{Duration, Instant};

use crate::wire::rtp::timestamp_distance;

/// How late packets are, against the fastest of the last seconds.
#[derive(Debug)]
pub struct Lateness {
    clock_hz: i64,
    reference: Option<(Instant, u32)>,
    /// The smallest transit in this window and in the one before it.
    fastest: [i64; 2],
    window_ends: Option<Instant>,
    bins: [f32; BINS],
    weight: f32,
    target_us: i64,
    /// The latest of late, forgotten at the same pace.
    latest_us: f32,
}

#[derive(PartialEq, Eq)]
pub enum Measured {
    Here,
    /// The timestamp has nothing to do with those before it.
    Elsewhere,
}

const FRAME_US: i64 = 20_000;
const BINS: usize = 48;
const BIN_US: i64 = 5_000;
const MARGIN_US: i64 = 500;
const WINDOW: Duration = Duration::from_secs(2);
/// The share of packets that may come too late.
const LATE_SHARE: f32 = 0.02;
/// What one packet weighs once enough have been seen: two seconds' worth are remembered.
const FORGETTING: f32 = 0.01;

impl Lateness {
    pub fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz: i64::from(clock_hz),
            reference: None,
            fastest: [0; 2],
            window_ends: None,
            bins: [0.0; BINS],
            weight: 0.0,
            target_us: BIN_US,
            latest_us: 0.0,
        }
    }

    pub fn forget(&mut self) {
        *self = Self::new(self.clock_hz as u32);
    }

    pub fn measure(&mut self, now: Instant, timestamp: u32) -> Measured {
        let Some((at, of)) = self.reference else {
            self.start(now, timestamp);
            self.count(0);
            return Measured::Here;
        };
        let media_us = self.media_us(of, timestamp);
        let transit = elapsed_us(at, now) - media_us;
        if (transit - self.base()).abs() > 1_000_000 {
            self.start(now, timestamp);
            return Measured::Elsewhere;
        }
        self.fastest[0] = self.fastest[0].min(transit);
        if self.window_ends.is_none_or(|ends| now >= ends) {
            self.fastest = [transit, self.fastest[0]];
            self.window_ends = Some(now + WINDOW);
        }
        self.count(transit - self.base());
        // The reference moves along, so that a long call never reaches half the timestamp space.
        // It moves by whole seconds, which every clock divides.
        if media_us > 60_000_000 {
            let seconds = media_us / 1_000_000;
            let units = (seconds * self.clock_hz) as u32;
            let at = at + Duration::from_secs(seconds as u64);
            self.reference = Some((at, of.wrapping_add(units)));
        }
        Measured::Here
    }

    fn start(&mut self, now: Instant, timestamp: u32) {
        self.reference = Some((now, timestamp));
        self.fastest = [0; 2];
        self.window_ends = Some(now + WINDOW);
    }

    fn count(&mut self, late_us: i64) {
        let share = (1.0 / (self.weight + 1.0)).max(FORGETTING);
        self.weight += 1.0;
        for bin in &mut self.bins {
            *bin *= 1.0 - share;
        }
        let bin = (late_us / BIN_US).clamp(0, BINS as i64 - 1) as usize;
        self.bins[bin] += share;
        self.latest_us = (self.latest_us * (1.0 - FORGETTING)).max(late_us as f32);

        let mut tail = 0.0;
        let mut covered = BINS;
        for (index, bin) in self.bins.iter().enumerate().rev() {
            tail += bin;
            if tail > LATE_SHARE {
                break;
            }
            covered = index;
        }
        self.target_us = covered as i64 * BIN_US;
    }

    pub fn target_us(&self) -> i64 {
        self.target_us
    }

    /// The delay at which a stream that plays can go on: finer than the bins where all is even.
    pub fn steady_us(&self) -> i64 {
        self.target_us.min(self.latest_us as i64 + MARGIN_US)
    }

    fn base(&self) -> i64 {
        self.fastest[0].min(self.fastest[1])
    }

    /// How long after the fastest possible arrival it is now, for a packet of this timestamp.
    pub fn delay_us(&self, now: Instant, timestamp: u32) -> i64 {
        match self.reference {
            Some((at, of)) => elapsed_us(at, now) - self.media_us(of, timestamp) - self.base(),
            None => FRAME_US,
        }
    }

    fn media_us(&self, of: u32, timestamp: u32) -> i64 {
        i64::from(timestamp_distance(of, timestamp)) * 1_000_000 / self.clock_hz
    }
}

/// Signed: the reference may lie ahead of `now` after it moved along.
fn elapsed_us(from: Instant, to: Instant) -> i64 {
    match to.checked_duration_since(from) {
        Some(ahead) => ahead.as_micros() as i64,
        None => -(from.saturating_duration_since(to).as_micros() as i64),
    }
}
