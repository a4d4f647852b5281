//! The delay line of the key clamp, which can be emptied.
//!
//! While a phone tells a key by telephone-events nothing of its voice is let through, so that nothing
//! has to be held back either: what is said next goes out at once. The line fills again in the first
//! pause of the voice, where what goes out twice is silence, and when the clamp shuts. So of a tone
//! that follows on such a key without any pause up to 30 ms are heard, and of those after it nothing.

use crate::media::clamp::{DELAY, FADE, FRAME};

/// Mean square of what is silence whoever speaks: −48 dBm0.
const SILENCE: f32 = 64.0 * 64.0;

/// A frame is a pause at this share of the loudest frame of late: 18 dB below it.
const PAUSE: f32 = 1.0 / 64.0;

/// A voice that begins in the middle of a word comes in over so many samples, 10 ms, for the ramp of
/// its gain is over when it has been held back.
const BEGIN: usize = 80;

/// What the loudest frame counts for after another: half as much after 1.4 s.
const FORGOTTEN: f32 = 0.99;

#[derive(Clone, Debug)]
pub struct Delay {
    /// The next frame is the first, and perhaps of the middle of a word.
    begins: bool,
    /// The newest before the frame in hand, oldest first.
    heard: [i16; DELAY],
    /// Samples by which the voice is held back now.
    by: usize,
    /// Mean square of the loudest frame of late.
    loudest: f32,
    /// Whether the frame that went out last was a pause.
    paused: bool,
}

impl Delay {
    pub fn new() -> Self {
        Self {
            begins: false,
            heard: [0; DELAY],
            by: DELAY,
            loudest: 0.0,
            paused: false,
        }
    }

    /// As new: what waits is dropped, and what comes comes in gently.
    pub fn begin(&mut self) {
        *self = Self::new();
        self.begins = true;
    }

    /// Lets nothing wait any more, if all that waits is silence.
    pub fn empty(&mut self) {
        if self.heard == [0; DELAY] {
            self.by = 0;
            self.paused = false;
        }
    }

    /// Takes a frame and leaves in its place the one that goes out. Yields how long ago, in samples,
    /// the first of it was heard.
    pub fn exchange(&mut self, frame: &mut [i16; FRAME]) -> usize {
        if std::mem::take(&mut self.begins) {
            for (n, sample) in frame.iter_mut().take(BEGIN).enumerate() {
                *sample = (i32::from(*sample) * n as i32 / BEGIN as i32) as i16;
            }
        }
        let mut line = [0; DELAY + FRAME];
        line[..DELAY].copy_from_slice(&self.heard);
        line[DELAY..].copy_from_slice(frame);
        self.heard.copy_from_slice(&line[FRAME..]);

        let before = &line[DELAY - self.by..][..FRAME];
        if self.by < DELAY && self.paused {
            self.by = DELAY.min(self.by + FRAME);
        }
        let now = &line[DELAY - self.by..][..FRAME];
        frame.copy_from_slice(now);
        for (n, (sample, before)) in frame.iter_mut().zip(before).take(FADE).enumerate() {
            let (new, old) = (i32::from(*sample), i32::from(*before));
            *sample = (old + (new - old) * n as i32 / FADE as i32) as i16;
        }

        let power = |sample: &i16| f32::from(*sample) * f32::from(*sample);
        let power = frame.iter().map(power).sum::<f32>() / FRAME as f32;
        self.loudest = power.max(self.loudest * FORGOTTEN);
        self.paused = power <= SILENCE.max(self.loudest * PAUSE);
        self.by + FRAME
    }

    /// Nothing of the frame that goes out is let through: as good as a pause.
    pub fn shut(&mut self) {
        self.paused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: [i16; FRAME] = [1_000; FRAME];
    const PAUSED: [i16; FRAME] = [10; FRAME];
    const SHUT: [i16; FRAME] = [0; FRAME];

    #[test]
    fn a_voice_is_held_back() {
        let mut delay = Delay::new();

        assert_eq!(delay.exchange(&mut VOICE.clone()), DELAY + FRAME);
        let mut frame = SHUT;
        delay.exchange(&mut frame);

        assert!(frame[..DELAY - FRAME].iter().all(|sample| *sample == 0));
        assert_eq!(frame[DELAY - FRAME..], VOICE[..2 * FRAME - DELAY]);
    }

    #[test]
    fn a_voice_that_begins_anew_comes_in_gently_and_without_what_was_before() {
        let mut delay = Delay::new();
        delay.exchange(&mut VOICE.clone());
        delay.begin();

        let mut out = Vec::new();
        for heard in [VOICE, VOICE, VOICE] {
            let mut frame = heard;
            delay.exchange(&mut frame);
            out.extend(frame);
        }

        assert!(out.is_sorted());
        assert!(out[..=DELAY].iter().all(|sample| *sample == 0));
        assert_eq!(
            out[DELAY + BEGIN..],
            VOICE[..2 * FRAME - BEGIN - DELAY + FRAME]
        );
    }

    #[test]
    fn once_emptied_it_lets_through_at_once_and_fills_in_a_pause() {
        let mut delay = emptied();

        for _ in 0..5 {
            let mut frame = VOICE;
            assert_eq!(delay.exchange(&mut frame), FRAME);
            assert_eq!(frame, VOICE);
        }
        // What goes out twice is the pause, and all of the voice goes out.
        let mut out = Vec::new();
        for heard in [PAUSED, PAUSED, VOICE, SHUT, SHUT] {
            let mut frame = heard;
            delay.exchange(&mut frame);
            out.extend(frame);
        }

        assert_eq!(out[..DELAY + 2 * FRAME], [10; DELAY + 2 * FRAME]);
        assert_eq!(out[DELAY + 2 * FRAME..][..FRAME], VOICE);
        assert!(out[DELAY + 3 * FRAME..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn it_fills_while_the_clamp_is_shut() {
        let mut delay = emptied();
        assert_eq!(delay.exchange(&mut VOICE.clone()), FRAME);

        delay.shut();
        assert_eq!(delay.exchange(&mut VOICE.clone()), 2 * FRAME);
        delay.shut();

        assert_eq!(delay.exchange(&mut VOICE.clone()), DELAY + FRAME);
    }

    #[test]
    fn nothing_that_waits_is_thrown_away() {
        let mut delay = Delay::new();
        delay.exchange(&mut VOICE.clone());

        delay.empty();

        assert_eq!(delay.exchange(&mut SHUT.clone()), DELAY + FRAME);
    }

    fn emptied() -> Delay {
        let mut delay = Delay::new();
        delay.empty();
        delay
    }
}
