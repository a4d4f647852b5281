//! Payloads that wait. The first place that is free is taken: most often one packet waits, and the
//! same few lines of memory hold it every time. A payload that is longer than a place takes as many
//! as it needs, side by side; of such ones fewer can wait.

use crate::media::jitter::SLOTS;
use crate::media::prefetch::prefetch_all;

#[derive(Debug)]
pub struct Payloads {
    bytes: Box<[u8]>,
    /// Bytes of a place.
    room: usize,
    /// The places that are free, bit by bit.
    free: u32,
    /// The place that was taken last.
    newest: u8,
}

const _: () = assert!(SLOTS == u32::BITS as usize, "a bit for each place");

/// Of G.711 or G.722 at 20 ms, and a usual one of Opus.
const USUAL: usize = 160;

impl Payloads {
    pub fn new(room: usize) -> Self {
        Self {
            bytes: vec![0; SLOTS * room].into_boxed_slice(),
            room,
            free: u32::MAX,
            newest: 0,
        }
    }

    pub fn free_all(&mut self) {
        self.free = u32::MAX;
    }

    /// Keeps a payload; `None` where there is no room for it.
    pub fn keep(&mut self, payload: &[u8]) -> Option<u8> {
        let count = self.places(payload.len());
        let starts = (1..count).fold(self.free, |starts, next| starts & (self.free >> next));
        if starts == 0 {
            return None;
        }
        let place = starts.trailing_zeros() as u8;
        self.free &= !run(place, count);
        self.newest = place;
        let start = usize::from(place) * self.room;
        self.bytes[start..start + payload.len()].copy_from_slice(payload);
        Some(place)
    }

    /// Frees the place of a payload of that length.
    pub fn free(&mut self, place: u8, length: usize) {
        self.free |= run(place, self.places(length));
    }

    pub fn at(&self, place: u8, length: usize) -> &[u8] {
        let start = usize::from(place) * self.room;
        &self.bytes[start..start + length]
    }

    /// Places that a payload of that length takes.
    fn places(&self, length: usize) -> u32 {
        match length <= self.room {
            true => 1,
            false => length.div_ceil(self.room).min(SLOTS) as u32,
        }
    }

    /// The place that is taken next, and the one that was taken last.
    pub fn prefetch(&self) {
        let usual = USUAL.min(self.room);
        let next = (self.free.trailing_zeros() as u8).min(SLOTS as u8 - 1);
        for place in [next, self.newest] {
            prefetch_all(self.at(place, usual));
        }
    }
}

/// So many places from this one on.
fn run(place: u8, count: u32) -> u32 {
    (u32::MAX >> (u32::BITS - count)) << place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_alone_lies_in_the_same_place_every_time() {
        let mut payloads = Payloads::new(160);
        let first = payloads.keep(&[1; 160]).unwrap();
        payloads.free(first, 160);

        let second = payloads.keep(&[2; 160]).unwrap();

        assert_eq!(second, first);
        assert_eq!(payloads.at(second, 160), [2; 160]);
    }

    #[test]
    fn as_many_as_there_are_slots_wait_each_in_its_own_place() {
        let mut payloads = Payloads::new(4);
        let places: Vec<u8> = (0..SLOTS as u8)
            .map(|n| payloads.keep(&[n; 4]).unwrap())
            .collect();

        for (n, place) in (0..SLOTS as u8).zip(places) {
            assert_eq!(payloads.at(place, 4), [n; 4]);
        }
        assert_eq!(payloads.keep(&[0; 1]), None);
    }

    #[test]
    fn payloads_of_all_lengths_wait_side_by_side_and_none_is_written_over() {
        let mut random = fastrand::Rng::with_seed(9);
        let mut payloads = Payloads::new(480);
        let mut waiting = std::collections::VecDeque::new();
        let mut kept = 0;

        for n in 0..20_000u32 {
            let length = random.usize(1..=1_600);
            let filled = n as u8;
            if let Some(place) = payloads.keep(&vec![filled; length]) {
                waiting.push_back((place, length, filled));
                kept += 1;
            }
            // Beside three there is room for the longest, wherever they lie.
            while waiting.len() > 3 || random.bool() && !waiting.is_empty() {
                let (place, length, filled) = waiting.pop_front().unwrap();
                assert!(
                    payloads
                        .at(place, length)
                        .iter()
                        .all(|byte| *byte == filled)
                );
                payloads.free(place, length);
            }
        }

        assert_eq!(kept, 20_000);
        payloads.free_all();
        for place in 0..8 {
            assert_eq!(payloads.keep(&[1; 1_600]), Some(4 * place));
        }
    }
}
