//! Decoded samples on their way into frames: packets may be of any length, frames are of 20 ms.

use crate::media::frame::Rate;
use crate::media::prefetch::prefetch_all;

#[derive(Debug)]
pub struct Pending {
    samples: Box<[i16]>,
    length: usize,
    frame: usize,
}

/// Frames of the longest packet: 200 ms.
const PACKET: usize = 10;

/// Frames that wait: the longest packet, and what may be left when it is decoded.
const MAX_PENDING: usize = PACKET + 2;

impl Pending {
    pub fn new(rate: Rate) -> Self {
        Self {
            samples: vec![0; MAX_PENDING * rate.frame()].into_boxed_slice(),
            length: 0,
            frame: rate.frame(),
        }
    }

    pub fn count(&self) -> usize {
        self.length
    }

    pub fn has_frame(&self) -> bool {
        self.length >= self.frame
    }

    /// Samples come next.
    pub fn prefetch(&self) {
        prefetch_all(&self.samples[..Rate::Narrow.frame()]);
    }

    /// Room for what comes next. When less than a packet is left the oldest goes.
    pub fn room(&mut self) -> &mut [i16] {
        let least = PACKET * self.frame;
        let left = self.samples.len() - self.length;
        if left < least {
            self.drop_front(least - left);
        }
        &mut self.samples[self.length..]
    }

    pub fn grow(&mut self, count: usize) {
        self.length = (self.length + count).min(self.samples.len());
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

    /// Takes what there is, up to a frame, and says how much it was.
    pub fn take_rest(&mut self, out: &mut [i16]) -> usize {
        let count = self.length.min(out.len());
        self.take(&mut out[..count]);
        count
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
