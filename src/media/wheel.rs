//! The wheel: ten slots of 2 ms, each turned every 20 ms, so that packets do not leave in bursts.
//!
//! Bridges with rows to mix, and legs without a seat, are each in one slot.

use std::time::{Duration, Instant};

/// Something that is turned: a bridge or a leg, by its place in the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    Bridge(usize),
    Leg(crate::media::outbox::PortSlot),
}

#[derive(Debug)]
pub struct Wheel {
    slots: [Vec<Turned>; SLOTS],
    /// When tick 0 was.
    origin: Option<Instant>,
    /// The tick that has not been turned yet.
    next: u64,
}

const SLOTS: usize = 10;
const TICK: Duration = Duration::from_millis(2);

/// A thread that stood still for longer than half a second does not make up for it: what was missed
/// is a pause, and shows as one in the timestamps.
const MOST_BEHIND: u64 = 25 * SLOTS as u64;

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: std::array::from_fn(|_| Vec::new()),
            origin: None,
            next: 0,
        }
    }
}

impl Wheel {
    /// Puts it into the emptiest slot.
    pub fn join(&mut self, now: Instant, what: Turned) -> u8 {
        let origin = *self.origin.get_or_insert(now);
        if self.is_empty() {
            self.next = ticks(origin, now) + 1;
        }
        let slot = (0..SLOTS)
            .min_by_key(|slot| self.slots[*slot].len())
            .unwrap_or(0);
        self.slots[slot].push(what);
        slot as u8
    }

    pub fn leave(&mut self, slot: u8, what: Turned) {
        let slot = &mut self.slots[usize::from(slot)];
        if let Some(place) = slot.iter().position(|other| *other == what) {
            slot.swap_remove(place);
        }
    }

    fn is_empty(&self) -> bool {
        self.slots.iter().all(Vec::is_empty)
    }

    /// The instant of the next tick that turns anything.
    pub fn due(&self) -> Option<Instant> {
        let origin = self.origin?;
        (self.next..self.next + SLOTS as u64)
            .find(|tick| !self.slots[(tick % SLOTS as u64) as usize].is_empty())
            .map(|tick| origin + Duration::from_micros(TICK.as_micros() as u64 * tick))
    }

    /// The slot of the next tick if its time has come.
    pub fn take(&mut self, now: Instant) -> Option<usize> {
        let origin = self.origin?;
        if self.is_empty() {
            return None;
        }
        let reached = ticks(origin, now);
        if self.next + MOST_BEHIND < reached {
            self.next = reached - SLOTS as u64;
        }
        if self.next > reached {
            return None;
        }
        self.next += 1;
        Some(((self.next - 1) % SLOTS as u64) as usize)
    }

    pub fn len(&self, slot: usize) -> usize {
        self.slots[slot].len()
    }

    pub fn at(&self, slot: usize, place: usize) -> Option<Turned> {
        self.slots[slot].get(place).copied()
    }
}

fn ticks(origin: Instant, now: Instant) -> u64 {
    (now.saturating_duration_since(origin).as_micros() / TICK.as_micros()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::outbox::PortSlot;

    #[test]
    fn each_is_turned_every_twenty_milliseconds_and_not_all_at_once() {
        let start = Instant::now();
        let mut wheel = Wheel::default();
        for bridge in 0..20 {
            wheel.join(start, Turned::Bridge(bridge));
        }

        let mut turned = [0; 20];
        for ms in 0..=1_000 {
            let mut at_once = 0;
            while let Some(slot) = wheel.take(start + Duration::from_millis(ms)) {
                for place in 0..wheel.len(slot) {
                    if let Some(Turned::Bridge(bridge)) = wheel.at(slot, place) {
                        turned[bridge] += 1;
                        at_once += 1;
                    }
                }
            }
            assert!(at_once <= 2);
        }

        assert!(turned.iter().all(|turns| *turns == 50));
    }

    #[test]
    fn after_a_long_stop_each_is_turned_once_and_goes_on() {
        let start = Instant::now();
        let mut wheel = Wheel::default();
        let slot = wheel.join(start, Turned::Leg(PortSlot(0)));
        let mut turns = 0;
        while let Some(taken) = wheel.take(start + Duration::from_secs(3_600)) {
            turns += wheel.len(taken);
        }

        assert!((1..=2).contains(&turns));
        wheel.leave(slot, Turned::Leg(PortSlot(0)));
        assert_eq!(wheel.due(), None);
        assert_eq!(wheel.take(start + Duration::from_secs(4_000)), None);
    }

    #[test]
    fn an_empty_wheel_wakes_nobody() {
        let start = Instant::now();
        let mut wheel = Wheel::default();
        assert_eq!(wheel.due(), None);

        wheel.join(start, Turned::Bridge(1));
        let due = wheel.due().unwrap();
        assert!(due > start && due <= start + Duration::from_millis(20));
    }
}
