//! How late packets come (RFC 3550 §6.4.1 for the measure), and the delay that covers all but a few
//! of them.

use std::time::{Duration, Instant};

use crate::media::jitter::aim::{Aim, Recent};
use crate::wire::rtp::timestamp_distance;

/// How late packets are, against the fastest of the last seconds.
#[derive(Debug)]
pub struct Lateness {
    clock_hz: i64,
    reference: Option<(Instant, u32)>,
    /// The smallest transit in this window and in the one before it.
    fastest: [i64; 2],
    window_ends: Option<Instant>,
    /// The two longest transits of the run of packets under way, of each run before it, and of all
    /// those together.
    longest: [i64; 2],
    longest_of: [[i64; 2]; RUNS],
    longest_before: [i64; 2],
    /// Packets in the run under way, and in all of them.
    in_run: u32,
    in_all: u32,
    aim: Aim,
    /// The latest of late, slowly forgotten.
    latest_us: f32,
}

#[derive(PartialEq, Eq)]
pub enum Measured {
    Here,
    /// The timestamp has nothing to do with those before it.
    Elsewhere,
}

const FRAME_US: i64 = 20_000;
const MARGIN_US: i64 = 500;
const WINDOW: Duration = Duration::from_secs(2);
/// Of the last 25 to 32 packets one may come too late: those of these runs, and of the one under
/// way.
const RUNS: usize = 3;
const RUN: u32 = 8;
const ALL: u32 = (RUNS as u32 + 1) * RUN;
/// What one packet weighs in what is slowly forgotten.
const FORGETTING: f32 = 0.01;
/// Shorter than any transit.
const NONE: i64 = i64::MIN / 16;

impl Lateness {
    pub fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz: i64::from(clock_hz),
            reference: None,
            fastest: [0; 2],
            window_ends: None,
            longest: [NONE; 2],
            longest_of: [[NONE; 2]; RUNS],
            longest_before: [NONE; 2],
            in_run: 0,
            in_all: 0,
            aim: Aim::default(),
            latest_us: 0.0,
        }
    }

    pub fn forget(&mut self) {
        *self = Self::new(self.clock_hz as u32);
    }

    pub fn measure(&mut self, now: Instant, timestamp: u32) -> Measured {
        let Some((at, of)) = self.reference else {
            self.start(now, timestamp);
            self.count(now, 0);
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
            let before = self.base();
            self.fastest = [transit, self.fastest[0]];
            self.window_ends = Some(now + WINDOW);
            self.aim.shift(self.base() - before);
        }
        self.count(now, transit);
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
        self.longest = [NONE; 2];
        self.longest_of = [[NONE; 2]; RUNS];
        self.longest_before = [NONE; 2];
        (self.in_run, self.in_all) = (0, 0);
    }

    fn count(&mut self, now: Instant, transit: i64) {
        if self.in_run == RUN {
            self.in_run = 0;
            self.longest_of.rotate_right(1);
            self.longest_of[0] = std::mem::replace(&mut self.longest, [NONE; 2]);
            self.longest_before = self.longest_of.into_iter().fold([NONE; 2], longest);
        }
        self.in_run += 1;
        self.in_all = (self.in_all + 1).min(ALL);
        self.longest = longest(self.longest, [transit, NONE]);

        let base = self.base();
        self.latest_us = (self.latest_us * (1.0 - FORGETTING)).max((transit - base) as f32);
        let [first, second] = longest(self.longest_before, self.longest);
        let is_whole = self.in_all == ALL;
        let needed = if is_whole { second } else { first };
        let recent = Recent {
            latest_us: first - base,
            needed_us: needed - base,
            is_whole,
        };
        self.aim.follow(now, recent);
    }

    pub fn target_us(&self) -> i64 {
        self.aim.us()
    }

    /// A packet was awaited in vain, and is played at this delay.
    pub fn was_too_short(&mut self, now: Instant, delay_us: i64) {
        self.aim.was_too_short(now, delay_us);
    }

    /// Whether the target has just come down because the network is calm.
    pub fn is_coming_down(&self, now: Instant) -> bool {
        self.aim.is_coming_down(now)
    }

    /// The delay at which a stream that plays can go on: finer than the target where all is
    /// even.
    pub fn steady_us(&self) -> i64 {
        self.aim.us().min(self.latest_us as i64 + MARGIN_US)
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

/// The two longest of four, the longer one of each pair first.
fn longest(one: [i64; 2], other: [i64; 2]) -> [i64; 2] {
    let shorter = one[0].min(other[0]);
    [one[0].max(other[0]), shorter.max(one[1]).max(other[1])]
}

/// Signed: the reference may lie ahead of `now` after it moved along.
fn elapsed_us(from: Instant, to: Instant) -> i64 {
    match to.checked_duration_since(from) {
        Some(ahead) => ahead.as_micros() as i64,
        None => -(from.saturating_duration_since(to).as_micros() as i64),
    }
}
