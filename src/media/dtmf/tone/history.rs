//! The newest samples of a signal, always in one piece.

use crate::media::dtmf::tone::grid::BLOCK;

/// Keeps at least so many samples. What is older is forgotten, a stretch at a time, so that most
/// blocks are only appended.
#[derive(Clone, Debug)]
pub struct History {
    samples: Box<[f32]>,
    end: usize,
    kept: usize,
}

/// How many samples are appended before the old ones are moved out.
const SLACK: usize = 20 * BLOCK;

impl History {
    pub fn new(kept: usize) -> Self {
        Self {
            samples: vec![0.0; kept + SLACK].into_boxed_slice(),
            end: kept,
            kept,
        }
    }

    /// The place of the next block.
    pub fn next_block(&mut self) -> &mut [f32; BLOCK] {
        if self.end + BLOCK > self.samples.len() {
            self.samples.copy_within(self.end - self.kept..self.end, 0);
            self.end = self.kept;
        }
        let start = self.end;
        self.end += BLOCK;
        let block = self.samples[start..].first_chunk_mut();
        block.unwrap_or_else(|| unreachable!("room for a block was made above"))
    }

    /// The newest samples, oldest first.
    pub fn last(&self, count: usize) -> &[f32] {
        &self.samples[self.end - count..self.end]
    }
}
