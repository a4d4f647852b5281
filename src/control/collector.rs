//! Keys into entries: what is typed up to `#`.
//!
//! `#` completes an entry, `*` clears it, and three seconds without a key clear it too. The
//! collector does not know what an entry means; see `menu`.

use std::time::{Duration, Instant};

use crate::media::dtmf::Digit;

/// How long the next key of an entry may take.
pub const INTER_DIGIT: Duration = Duration::from_secs(3);

/// Keys in an entry. A longer one is complete as `TooLong` and never acts as its beginning.
pub const MAX_KEYS: usize = 32;

#[derive(Default)]
pub struct DigitCollector {
    typed: String,
    too_long: bool,
    deadline: Option<Instant>,
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
                self.deadline = Some(now + INTER_DIGIT);
                None
            }
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Collected> {
        match self.deadline {
            Some(deadline) if deadline <= now => self.clear(),
            _ => None,
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
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
