//! Keys heard in the audio: [`ToneDetector`] takes samples at 8 kHz and says when a key went down
//! and when it came up again. It allocates nothing once it is made.
//!
//! Every 5 ms the filter `bank` names the strongest row and column. Only if that pair holds a
//! good part of the energy, is two clean lines and lies near a key, it is fitted with two steady
//! tones over windows of 27.5 to 80 ms, the shortest first, and the first fit whose `evidence`
//! suffices is a key. So an exact key is known after 30 ms, and a doubtful one has to last. In a menu,
//! a key of which a codec has lost the middle is known by what is left on both sides of the `gap`.

mod bank;
mod complex;
mod events;
mod evidence;
mod fit;
mod gap;
mod grid;
mod history;
mod hold;
mod lines;
mod moments;
mod search;
mod sound;
mod spectrum;
mod watch;

use crate::media::dtmf::tone::bank::Survey;
pub use crate::media::dtmf::tone::events::{ToneEvent, ToneEvents};
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, Pair};
use crate::media::dtmf::tone::hold::{Hold, Presence};
use crate::media::dtmf::tone::moments::HAMMING_PIECES;
use crate::media::dtmf::tone::search::{Search, Wanted};
use crate::media::dtmf::tone::sound::Sound;
use crate::media::dtmf::tone::watch::Watch;

/// How sure the detector has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// In a menu, where one answers: keys from 40 ms on.
    Menu,
    /// In a call, where one speaks: keys from 80 ms on, and nothing that is not one.
    Role,
}

/// Listens to one signal.
#[derive(Clone, Debug)]
pub struct ToneDetector {
    profile: Profile,
    sound: Sound,
    /// Samples that do not make a block yet.
    waiting: [i16; BLOCK],
    waited: usize,
    search: Search,
    hold: Option<Hold>,
    /// The key that was held last, and the sample at which it was there last.
    last: Option<(Pair, u64)>,
    watch: Option<Watch>,
}

/// A key that comes back within this after it was there last was never let go.
const CONTINUATION: u64 = 20 * 8;

impl ToneDetector {
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            sound: Sound::new(),
            waiting: [0; BLOCK],
            waited: 0,
            search: Search::new(),
            hold: None,
            last: None,
            watch: None,
        }
    }

    /// A detector that also marks, early, what may not be let through by a clamp.
    pub(in crate::media) fn watching(profile: Profile) -> Self {
        Self {
            watch: Some(Watch::new()),
            ..Self::new(profile)
        }
    }

    /// Whether the sample that was pushed so many samples ago may not be let through.
    pub(in crate::media) fn is_shut(&self, samples_ago: usize) -> bool {
        let sample = (self.sound.now() + self.waited as u64).checked_sub(samples_ago as u64);
        match (&self.watch, sample) {
            (Some(watch), Some(sample)) => watch.is_shut(sample / PIECE as u64),
            _ => false,
        }
    }

    /// Whether anything of the last 320 ms may not be let through.
    pub(in crate::media) fn was_shut(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::was_shut)
    }

    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// Whether a key is down.
    pub fn is_key_present(&self) -> bool {
        self.hold.is_some()
    }

    /// Takes the next samples at 8 kHz, best in frames of 10 or 20 ms.
    pub fn push(&mut self, samples: &[i16]) -> ToneEvents {
        let mut events = ToneEvents::default();
        self.take(samples, &mut events);
        events
    }

    // The events are not copied about while they are gathered.
    #[inline(never)]
    fn take(&mut self, samples: &[i16], events: &mut ToneEvents) {
        let mut rest = samples;
        while !rest.is_empty() {
            let before = events.added();
            if let (0, Some((block, later))) = (self.waited, rest.split_first_chunk()) {
                rest = later;
                self.handle_block(block, events);
            } else {
                let count = rest.len().min(BLOCK - self.waited);
                let (now, later) = rest.split_at(count);
                self.waiting[self.waited..][..count].copy_from_slice(now);
                self.waited += count;
                rest = later;
                if self.waited == BLOCK {
                    self.waited = 0;
                    let block = self.waiting;
                    self.handle_block(&block, events);
                }
            }
            events.date_back(before, rest.len());
        }
    }

    fn handle_block(&mut self, block: &[i16; BLOCK], events: &mut ToneEvents) {
        let survey = self.sound.take(block);
        self.keep_watch(&survey);
        if self.is_held(events) {
            return;
        }
        let now = self.sound.now();
        let wanted = Wanted {
            profile: self.profile,
            survey: &survey,
            held: self.hold.as_ref().map(|hold| hold.pair),
            since_last: self.last.map(|(_, seen)| now.saturating_sub(seen)),
        };
        let Some(key) = self.search.find(&self.sound, &wanted) else {
            return;
        };
        let onset = now.saturating_sub(key.onset_ago as u64);
        let pair = key.pair;
        let continues = self
            .last
            .is_some_and(|(last, seen)| last == pair && onset < seen + CONTINUATION);
        if let Some(hold) = self.hold.replace(Hold::new(pair, &key.fit)) {
            events.add(ToneEvent::Released {
                digit: hold.pair.digit(),
            });
        }
        self.last = Some((pair, now));
        if let Some(watch) = &mut self.watch {
            watch.shut(onset / PIECE as u64, self.sound.present());
        }
        if !continues {
            events.add(ToneEvent::Pressed {
                digit: pair.digit(),
                onset_samples_ago: key.onset_ago,
                decided_samples_ago: 0,
            });
        }
    }

    /// Follows the key that is down; nothing else is looked for while it sounds.
    fn is_held(&mut self, events: &mut ToneEvents) -> bool {
        let recent = self.sound.newest_energy(2 * BLOCK / PIECE);
        let now = self.sound.now();
        let Some(hold) = &mut self.hold else {
            return false;
        };
        match hold.follow(self.sound.filtered.last(2 * BLOCK), recent) {
            Presence::Present => {
                self.last = Some((hold.pair, now));
                true
            }
            Presence::Doubtful => true,
            Presence::Absent => false,
            Presence::Released => {
                events.add(ToneEvent::Released {
                    digit: hold.pair.digit(),
                });
                self.hold = None;
                false
            }
        }
    }

    /// Marks what might be a key, if there is a watch.
    fn keep_watch(&mut self, survey: &Survey) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        let sound = &self.sound;
        let block = watch::Block {
            survey,
            newest: sound.filtered.last(2 * BLOCK),
            energy: sound.newest_energy(2 * BLOCK / PIECE),
            energy_20_ms: sound.newest_energy(HAMMING_PIECES),
        };
        if !watch.follow(sound.present(), &block)
            && let Some((pair, fit)) = self.search.alarm(sound, survey)
        {
            watch.alarm(pair, &fit, sound.present());
        }
    }
}

#[cfg(test)]
mod tests;
