//! What the detector has to say: keys that went down and came up.

use crate::media::dtmf::Digit;

/// What became of a key. Samples are counted back from the end of what was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToneEvent {
    Pressed {
        digit: Digit,
        /// When the tone began.
        onset_samples_ago: usize,
        /// When enough of it was heard.
        decided_samples_ago: usize,
    },
    Released {
        digit: Digit,
    },
}

/// The events of one push, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToneEvents {
    events: [Option<ToneEvent>; MOST_EVENTS],
    count: usize,
    taken: usize,
}

/// A block may end one key and begin another; more than 60 ms are never pushed at once. Beyond
/// that the oldest are kept.
const MOST_EVENTS: usize = 24;

impl ToneEvents {
    /// How many were added.
    #[inline]
    pub(super) fn added(&self) -> usize {
        self.count
    }

    #[inline]
    pub(super) fn add(&mut self, event: ToneEvent) {
        if let Some(place) = self.events.get_mut(self.count) {
            *place = Some(event);
            self.count += 1;
        }
    }

    /// Events are dated from the end of what is pushed, which was not over when they were added.
    #[inline]
    pub(super) fn date_back(&mut self, from: usize, later: usize) {
        for event in self.events[from..self.count].iter_mut().flatten() {
            if let ToneEvent::Pressed {
                onset_samples_ago,
                decided_samples_ago,
                ..
            } = event
            {
                *onset_samples_ago += later;
                *decided_samples_ago += later;
            }
        }
    }
}

impl Iterator for ToneEvents {
    type Item = ToneEvent;

    fn next(&mut self) -> Option<ToneEvent> {
        let event = self.events.get(self.taken).copied().flatten()?;
        self.taken += 1;
        Some(event)
    }
}
