//! Decoded samples on their way into frames: packets may be of any length, frames are of 20 ms.

use crate::media::frame::{MAX_FRAME, Rate};
use crate::media::prefetch::prefetch_all;

#[derive(Debug)]
pub struct Pending {
    samples: Box<[i16; MAX_PENDING]>,
    length: usize,
}

/// Samples that wait for their frame: one packet of 120 ms and the rest of another.
const MAX_PENDING: usize = 7 * MAX_FRAME;

impl Default for Pending {
    fn default() -> Self {
        Self {
            samples: Box::new([0; MAX_PENDING]),
            length: 0,
        }
    }
}

impl Pending {
    pub fn count(&self) -> usize {
        self.length
    }

    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Samples come next.
    pub fn prefetch(&self) {
        prefetch_all(&self.samples[..Rate::Narrow.frame()]);
    }

    /// Room for what comes next. When less than a packet is left the oldest goes.
    pub fn room(&mut self) -> &mut [i16] {
        const LEAST: usize = 6 * MAX_FRAME;
        if MAX_PENDING - self.length < LEAST {
            let surplus = LEAST - (MAX_PENDING - self.length);
            self.drop_front(surplus);
        }
        &mut self.samples[self.length..]
    }

    pub fn grow(&mut self, count: usize) {
        self.length = (self.length + count).min(MAX_PENDING);
    }

    /// Takes one frame from the front, if there is one.
    pub fn take(&mut self, out: &mut [i16]) -> bool {
        if self.length < out.len() {
            return false;
        }
        out.copy_from_slice(&self.samples[..out.len()]);
        self.drop_front(out.len());
        true
    }

    /// The last samples, as many as that if there are.
    pub fn newest(&self, count: usize) -> &[i16] {
        &self.samples[self.length.saturating_sub(count)..self.length]
    }

    fn drop_front(&mut self, count: usize) {
        self.samples.copy_within(count..self.length, 0);
        self.length -= count;
    }

    /// The last two frames in the time of one.
    pub fn shorten(&mut self, frame: usize) {
        let Some(start) = self.length.checked_sub(2 * frame) else {
            return;
        };
        for step in 0..frame {
            let first = i32::from(self.samples[start + step]) * (frame - step) as i32;
            let second = i32::from(self.samples[start + frame + step]) * step as i32;
            self.samples[start + step] = ((first + second) / frame as i32) as i16;
        }
        self.length -= frame;
    }
}
