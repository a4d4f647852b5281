//! The key clamp: withholds in-band keys from everything that a supervisor's voice is mixed into.
//!
//! The voice is held back by [`DELAY`], which is the supervisor's alone. Within that time the onset
//! of a key is recognised, by a look that is quick and easily alarmed; then nothing is let through
//! from before the onset until 20 ms after the release. An alarm that was false costs a fraction of
//! a syllable. The keys themselves are recognised by the [`ToneDetector`], which is not alarmed so
//! easily.
//!
//! Where keys come as telephone-events the voice need not wait after each of them: see [`delay`]. A
//! phone that was heard to send the tone as well is held back always.

mod delay;

use crate::media::clamp::delay::Delay;
use crate::media::dtmf::tone::{Profile, ToneDetector, ToneEvents};

/// Samples by which the voice is held back: 30 ms.
pub const DELAY: usize = 240;

/// Samples in a frame of 20 ms at 8 kHz.
pub const FRAME: usize = 160;

/// Shutting and opening take so many samples, so that neither clicks.
const FADE: usize = 16;

/// The clamp of one voice, with the detector of its keys. At 8 kHz.
#[derive(Clone, Debug)]
pub struct KeyClamp {
    detector: ToneDetector,
    delay: Delay,
    /// The phone sends tones beside its telephone-events.
    leaks: bool,
    /// How far the clamp is open: 0 is shut, [`FADE`] open.
    open: usize,
}

impl KeyClamp {
    pub fn new(profile: Profile) -> Self {
        Self {
            detector: ToneDetector::watching(profile),
            delay: Delay::new(),
            leaks: false,
            open: FADE,
        }
    }

    pub fn set_profile(&mut self, profile: Profile) {
        self.detector.set_profile(profile);
    }

    /// The voice begins anew: nothing of what was heard before is let through.
    pub fn begin(&mut self, profile: Profile) {
        self.detector = ToneDetector::watching(profile);
        self.delay.begin();
        self.open = FADE;
    }

    /// A key is told by telephone-events, and all of the next frame is silenced for it: what is said
    /// after it is let through at once, unless there was a tone as well.
    pub fn key_told(&mut self) {
        self.leaks |= self.detector.was_shut();
        if !self.leaks {
            self.delay.empty();
        }
    }

    /// Whether a key is withheld, or will be from what waits.
    pub fn is_shut(&self) -> bool {
        self.open < FADE || (1..=DELAY).any(|age| self.detector.is_shut(age))
    }

    /// Takes a frame as it was decoded, and leaves in its place the one that may be mixed: what was
    /// heard up to [`DELAY`] ago, without keys. Yields what became of the keys in the frame taken.
    pub fn push(&mut self, frame: &mut [i16; FRAME]) -> ToneEvents {
        let events = self.detector.push(frame);
        let first = self.delay.exchange(frame);

        let mut withheld = 0;
        for (n, sample) in frame.iter_mut().enumerate() {
            let age = first - n;
            let shut =
                self.detector.is_shut(age) || age > FADE && self.detector.is_shut(age - FADE);
            if shut {
                withheld += 1;
                self.open = self.open.saturating_sub(1);
            } else {
                self.open = (self.open + 1).min(FADE);
            }
            *sample = (i32::from(*sample) * self.open as i32 / FADE as i32) as i16;
        }
        if withheld == FRAME {
            self.delay.shut();
        }
        events
    }
}

#[cfg(test)]
mod tests;
