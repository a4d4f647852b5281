//! Payloads that wait. The place that was freed last is taken first: most often one packet waits, and
//! the same few lines of memory hold it every time.

use crate::media::jitter::SLOTS;
use crate::media::prefetch::prefetch_all;

#[derive(Debug)]
pub struct Payloads {
    bytes: Box<[u8]>,
    /// Bytes of a place.
    room: usize,
    /// The places that are free; the first to be taken stands last.
    free: [u8; SLOTS],
    free_count: usize,
}

/// Of G.711 or G.722 at 20 ms, and a usual one of Opus.
const USUAL: usize = 160;

impl Payloads {
    pub fn new(room: usize) -> Self {
        let mut payloads = Self {
            bytes: vec![0; SLOTS * room].into_boxed_slice(),
            room,
            free: [0; SLOTS],
            free_count: 0,
        };
        payloads.free_all();
        payloads
    }

    pub fn free_all(&mut self) {
        for (place, free) in (0..SLOTS as u8).rev().zip(&mut self.free) {
            *free = place;
        }
        self.free_count = SLOTS;
    }

    /// Keeps a payload, of which no more than the slots of the buffer wait, each no longer than a
    /// place.
    pub fn keep(&mut self, payload: &[u8]) -> u8 {
        self.free_count -= 1;
        let place = self.free[self.free_count];
        let start = usize::from(place) * self.room;
        self.bytes[start..start + payload.len()].copy_from_slice(payload);
        place
    }

    pub fn free(&mut self, place: u8) {
        self.free[self.free_count] = place;
        self.free_count += 1;
    }

    pub fn at(&self, place: u8) -> &[u8] {
        let start = usize::from(place) * self.room;
        &self.bytes[start..start + self.room]
    }

    /// The place that is taken next, and the one that was taken last.
    pub fn prefetch(&self) {
        let usual = USUAL.min(self.room);
        let both = self.free_count.saturating_sub(1)..=self.free_count.min(SLOTS - 1);
        for place in &self.free[both] {
            prefetch_all(&self.at(*place)[..usual]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_alone_lies_in_the_same_place_every_time() {
        let mut payloads = Payloads::new(160);
        let first = payloads.keep(&[1; 160]);
        payloads.free(first);

        let second = payloads.keep(&[2; 160]);

        assert_eq!(second, first);
        assert_eq!(payloads.at(second), [2; 160]);
    }

    #[test]
    fn as_many_as_there_are_slots_wait_each_in_its_own_place() {
        let mut payloads = Payloads::new(4);
        let places: Vec<u8> = (0..SLOTS as u8).map(|n| payloads.keep(&[n; 4])).collect();

        for (n, place) in (0..SLOTS as u8).zip(places) {
            assert_eq!(payloads.at(place), [n; 4]);
        }
    }
}
