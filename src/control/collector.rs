//! Keys into entries: what is typed up to `#`.
//!
//! `#` completes an entry, `*` clears it, and three seconds without a key clear it too, counted from
//! the last key's release where the media tells of it. The collector does not know what an entry
//! means; see `menu`.

use std::time::{Duration, Instant};

use crate::media::dtmf::Digit;

/// How long the next key of an entry may take.
pub const INTER_DIGIT: Duration = Duration::from_secs(3);

/// How long after a key the next one may come at most: of a key that is down for longer the release
/// has got lost.
const LONGEST_HOLD: Duration = Duration::from_secs(15);

/// Keys in an entry. A longer one is complete as `TooLong` and never acts as its beginning.
pub const MAX_KEYS: usize = 32;

#[derive(Default)]
pub struct DigitCollector {
    typed: String,
    too_long: bool,
    typing: Option<Typing>,
}

/// An entry that is not complete.
#[derive(Clone, Copy)]
struct Typing {
    pressed_at: Instant,
    deadline: Instant,
}

/// Prints nothing of the keys: they may be a PIN.
impl std::fmt::Debug for DigitCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigitCollector")
    }
}

/// What a key, or its absence, led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    Entry(Entry),
    /// A half-typed entry is gone, by `*` or by time.
    Cleared,
}

/// What stood before the `#`.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// `#` alone.
    Empty,
    Keys(String),
    TooLong,
}

/// Prints nothing of the keys: an entry may be a PIN.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry")
    }
}

impl DigitCollector {
    pub fn handle_digit(&mut self, now: Instant, digit: Digit) -> Option<Collected> {
        match digit {
            Digit::POUND => Some(Collected::Entry(self.complete())),
            Digit::STAR => self.clear(),
            key => {
                if self.typed.len() < MAX_KEYS {
                    self.typed.push(key.as_char());
                } else {
                    self.too_long = true;
                }
                self.typing = Some(Typing {
                    pressed_at: now,
                    deadline: now + INTER_DIGIT,
                });
                None
            }
        }
    }

    /// The last key is still down, or was released only now: the time for the next one begins anew.
    pub fn handle_hold(&mut self, now: Instant) {
        if let Some(typing) = &mut self.typing {
            typing.deadline = (now + INTER_DIGIT).min(typing.pressed_at + LONGEST_HOLD);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Collected> {
        match self.typing {
            Some(typing) if typing.deadline <= now => self.clear(),
            _ => None,
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.typing.map(|typing| typing.deadline)
    }

    /// Forgets what was typed: the question has changed.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn complete(&mut self) -> Entry {
        let typed = std::mem::take(self);
        if typed.too_long {
            Entry::TooLong
        } else if typed.typed.is_empty() {
            Entry::Empty
        } else {
            Entry::Keys(typed.typed)
        }
    }

    fn clear(&mut self) -> Option<Collected> {
        let anything = !self.typed.is_empty();
        self.reset();
        anything.then_some(Collected::Cleared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pound_completes_an_entry() {
        assert_eq!(typed("204#"), [keys("204")]);
        assert_eq!(typed("4#5#"), [keys("4"), keys("5")]);
    }

    #[test]
    fn pound_alone_is_an_empty_entry() {
        assert_eq!(typed("#"), [Collected::Entry(Entry::Empty)]);
    }

    #[test]
    fn star_clears_what_was_typed_and_is_silent_when_nothing_was() {
        assert_eq!(typed("1*4#"), [Collected::Cleared, keys("4")]);
        assert_eq!(typed("*4#"), [keys("4")]);
    }

    #[test]
    fn letters_belong_to_the_entry() {
        assert_eq!(typed("A4#"), [keys("A4")]);
    }

    #[test]
    fn an_entry_that_is_too_long_never_acts_as_its_beginning() {
        let entry = "4".repeat(MAX_KEYS) + "4#";

        assert_eq!(typed(&entry), [Collected::Entry(Entry::TooLong)]);
    }

    #[test]
    fn three_seconds_without_a_key_clear_the_entry() {
        let start = Instant::now();
        let mut collector = DigitCollector::default();
        collector.handle_digit(start, digit('1'));
        let second = start + Duration::from_secs(2);
        collector.handle_digit(second, digit('4'));

        assert_eq!(collector.poll_timeout(), Some(second + INTER_DIGIT));
        let early = second + INTER_DIGIT - Duration::from_millis(1);
        assert_eq!(collector.handle_timeout(early), None);
        assert_eq!(
            collector.handle_timeout(second + INTER_DIGIT),
            Some(Collected::Cleared)
        );
        assert_eq!(collector.poll_timeout(), None);
        assert_eq!(
            collector.handle_digit(second + INTER_DIGIT, Digit::POUND),
            Some(Collected::Entry(Entry::Empty))
        );
    }

    #[test]
    fn the_time_for_the_next_key_runs_from_the_release() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut collector = DigitCollector::default();
        collector.handle_hold(start);
        assert_eq!(collector.poll_timeout(), None, "nothing was typed");
        collector.handle_digit(start, digit('4'));

        let released = start + 4 * second;
        collector.handle_hold(released);
        assert_eq!(collector.handle_timeout(released + 2 * second), None);
        assert_eq!(
            collector.handle_digit(released + 2 * second, Digit::POUND),
            Some(keys("4"))
        );
    }

    #[test]
    fn a_key_whose_release_got_lost_does_not_stay_for_ever() {
        let start = Instant::now();
        let mut collector = DigitCollector::default();
        collector.handle_digit(start, digit('4'));

        collector.handle_hold(start + LONGEST_HOLD);

        assert_eq!(
            collector.handle_timeout(start + LONGEST_HOLD),
            Some(Collected::Cleared)
        );
    }

    #[test]
    fn debug_prints_no_keys() {
        let mut collector = DigitCollector::default();
        collector.handle_digit(Instant::now(), digit('4'));

        assert_eq!(format!("{collector:?}"), "DigitCollector");
        assert_eq!(format!("{:?}", Entry::Keys("4711".into())), "Entry");
    }

    fn typed(line: &str) -> Vec<Collected> {
        let now = Instant::now();
        let mut collector = DigitCollector::default();
        line.chars()
            .filter_map(|key| collector.handle_digit(now, digit(key)))
            .collect()
    }

    fn keys(text: &str) -> Collected {
        Collected::Entry(Entry::Keys(text.into()))
    }

    fn digit(key: char) -> Digit {
        Digit::from_char(key).unwrap()
    }
}
