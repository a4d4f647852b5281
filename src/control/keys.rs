//! One stream of keys out of three: telephone-event, the tone in the audio and SIP INFO.
//!
//! A phone or a gateway may send one press by more than one of them, a little apart and in any
//! order. Reports of the same key from different sources within [`SAME_PRESS`], as they arrived, are
//! one press; two reports from one source are two presses, however close, because each source has
//! already counted for itself.

use std::time::{Duration, Instant};

use crate::media::command::DOUBT;
use crate::media::dtmf::{Digit, DigitSource};

/// How far apart two sources may report one press.
pub const SAME_PRESS: Duration = Duration::from_millis(250);

/// A key in the audio is reported so much later than it arrived at most: the detector listens to it
/// for up to 75 ms, and the voice passes a jitter buffer first. The first key of a phone that might
/// send events is held back for [`DOUBT`] besides.
const RECOGNITION: Duration = Duration::from_millis(125);

/// Presses that may still be reported by another source. Nobody presses more keys than this within
/// [`SAME_PRESS`]; were it to happen, the oldest is forgotten and might count twice.
const MAX_RECENT: usize = 16;

/// The keys of one leg.
#[derive(Debug, Default)]
pub struct Keys {
    recent: Vec<Press>,
}

#[derive(Debug)]
struct Press {
    digit: Digit,
    last_report: Instant,
    by: Vec<DigitSource>,
}

/// Whether a report is a press of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    New,
    /// The press that another source reported before.
    Again,
}

impl Keys {
    pub fn handle_report(&mut self, now: Instant, digit: Digit, source: DigitSource) -> Reported {
        let waited = |press: &Press| now.saturating_duration_since(press.last_report);
        self.recent
            .retain(|press| waited(press) <= SAME_PRESS + RECOGNITION + DOUBT);

        // Sources keep their own order: of the presses after the last that this one reported, the
        // oldest of this key.
        let reported = self
            .recent
            .iter()
            .rposition(|press| press.by.contains(&source));
        let after = reported.map_or(0, |last| last + 1);
        let known = self.recent[after..]
            .iter_mut()
            .find(|press| press.digit == digit && waited(press) <= press.apart_from(source));
        if let Some(press) = known {
            press.last_report = now;
            press.by.push(source);
            return Reported::Again;
        }

        if self.recent.len() == MAX_RECENT {
            self.recent.remove(0);
        }
        self.recent.push(Press {
            digit,
            last_report: now,
            by: vec![source],
        });
        Reported::New
    }
}

impl Press {
    /// How long after its last report a report of this source is still of this press.
    fn apart_from(&self, source: DigitSource) -> Duration {
        match source {
            DigitSource::Event | DigitSource::Info => SAME_PRESS,
            // An event proves that the phone sends them: no key is held back any more.
            DigitSource::InBand if self.by.contains(&DigitSource::Event) => {
                SAME_PRESS + RECOGNITION
            }
            DigitSource::InBand => SAME_PRESS + RECOGNITION + DOUBT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DigitSource::{Event, InBand, Info};

    const SOURCES: [DigitSource; 3] = [Event, InBand, Info];

    #[test]
    fn one_press_by_two_sources_counts_once_in_any_order() {
        for first in SOURCES {
            for second in SOURCES.into_iter().filter(|source| *source != first) {
                for apart in [0, 1, 100, 250] {
                    assert_eq!(
                        counted(&[(0, '4', first), (apart, '4', second)]),
                        "4",
                        "{first:?} {second:?} {apart}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_press_by_all_three_sources_counts_once() {
        assert_eq!(
            counted(&[(0, '4', Info), (60, '4', InBand), (90, '4', Event)]),
            "4"
        );
    }

    #[test]
    fn two_presses_by_one_source_count_twice_however_close() {
        for source in SOURCES {
            assert_eq!(counted(&[(0, '4', source), (60, '4', source)]), "44");
        }
    }

    #[test]
    fn two_presses_by_two_sources_count_twice() {
        assert_eq!(
            counted(&[
                (0, '4', Event),
                (80, '4', InBand),
                (140, '4', Event),
                (220, '4', InBand),
            ]),
            "44"
        );
        assert_eq!(
            counted(&[
                (0, '4', Event),
                (120, '4', Event),
                (150, '4', InBand),
                (270, '4', InBand),
            ]),
            "44"
        );
    }

    #[test]
    fn sources_further_apart_than_the_limit_count_twice() {
        assert_eq!(counted(&[(0, '4', InBand), (251, '4', Event)]), "44");
        assert_eq!(counted(&[(0, '4', Info), (251, '4', Event)]), "44");
        assert_eq!(counted(&[(0, '4', Event), (376, '4', InBand)]), "44");
        assert_eq!(counted(&[(0, '4', Info), (626, '4', InBand)]), "44");
    }

    #[test]
    fn a_key_in_the_audio_is_reported_later_than_it_arrived() {
        assert_eq!(counted(&[(0, '4', Event), (375, '4', InBand)]), "4");
        assert_eq!(counted(&[(0, '4', Info), (375, '4', InBand)]), "4");
    }

    #[test]
    fn the_first_key_in_the_audio_of_a_phone_that_might_send_events_is_later_still() {
        assert_eq!(counted(&[(0, '4', Info), (625, '4', InBand)]), "4");
    }

    #[test]
    fn a_command_by_another_way_is_whole_although_its_last_key_is_that_of_the_one_before() {
        for (first, second) in [(Info, InBand), (InBand, Info), (Event, Info)] {
            let commands = [
                (0, '6', first),
                (160, '#', first),
                (240, '4', second),
                (400, '#', second),
            ];
            assert_eq!(counted(&commands), "6#4#", "{first:?} {second:?}");
        }
    }

    #[test]
    fn different_keys_never_hide_one_another() {
        assert_eq!(
            counted(&[(0, '4', Event), (10, '#', InBand), (20, '5', Info)]),
            "4#5"
        );
    }

    fn counted(reports: &[(u64, char, DigitSource)]) -> String {
        let start = Instant::now();
        let mut keys = Keys::default();
        reports
            .iter()
            .filter(|(at, key, source)| {
                let digit = Digit::from_char(*key).unwrap();
                let now = start + Duration::from_millis(*at);
                keys.handle_report(now, digit, *source) == Reported::New
            })
            .map(|(_, key, _)| *key)
            .collect()
    }
}
