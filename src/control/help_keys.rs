//! What an agent types of `*4#` (ask for help) and `*5#` (close the request), kept from the other
//! party until it is known to be neither.
//!
//! ```text
//!         *                          completes *4# or *5#
//! Idle ──────▶ Holding ───────────────────────────────────────▶ an order, Idle
//!                 └── any other key, or 2 s since the * ───────▶ all of them pass, Idle
//! ```

use std::time::{Duration, Instant};

use crate::media::dtmf::Digit;

/// For how long a `*`, and what follows it, is held back at most.
pub const HOLD: Duration = Duration::from_secs(2);

/// Keys of one agent that nobody else has heard yet.
#[derive(Debug, Default)]
pub struct HelpKeys {
    /// A beginning of one of [`SEQUENCES`]; bounded by them.
    held: Vec<Key>,
    /// When the first of them was pressed.
    since: Option<Instant>,
}

/// A key, and whether the other party is to be given it when it is let go. A tone in the audio has
/// been heard already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub digit: Digit,
    pub passes: bool,
}

/// What an agent asked for by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelpOrder {
    Raise,
    Close,
}

/// What becomes of a key, and of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Held,
    Order(HelpOrder),
    /// These go on, in this order.
    Pass(Vec<Key>),
}

const SEQUENCES: [(&str, HelpOrder); 2] = [("*4#", HelpOrder::Raise), ("*5#", HelpOrder::Close)];

impl HelpKeys {
    pub fn handle_key(&mut self, now: Instant, key: Key) -> Heard {
        let mut late = match self.poll_timeout() {
            Some(due) if due <= now => self.release(),
            Some(_) | None => Vec::new(),
        };
        self.held.push(key);
        let typed: String = self.held.iter().map(|key| key.digit.as_char()).collect();
        if let Some((_, order)) = SEQUENCES.iter().find(|(keys, _)| *keys == typed) {
            self.release();
            return Heard::Order(*order);
        }
        if SEQUENCES.iter().any(|(keys, _)| keys.starts_with(&typed)) {
            self.since.get_or_insert(now);
        } else if key.digit == Digit::STAR {
            // It ends what was typed before, and begins anew.
            self.held.pop();
            late.extend(self.release());
            self.held.push(key);
            self.since = Some(now);
        } else {
            late.extend(self.release());
        }
        match late.is_empty() {
            true => Heard::Held,
            false => Heard::Pass(late),
        }
    }

    /// When what is held back is let go.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.since.map(|since| since + HOLD)
    }

    /// Lets go what is held back.
    pub fn release(&mut self) -> Vec<Key> {
        self.since = None;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_four_asks_and_star_five_closes_and_nobody_else_hears_them() {
        assert_eq!(typed("*4#"), "<raise>");
        assert_eq!(typed("*5#"), "<close>");
        assert_eq!(typed("12*4#*5#3"), "12<raise><close>3");
    }

    #[test]
    fn other_keys_pass_in_the_order_in_which_they_were_pressed() {
        for keys in ["4#", "*6#", "*44#", "*45#", "*#", "#4*1", "0123456789#ABCD"] {
            assert_eq!(typed(keys), keys);
        }
        assert_eq!(typed("**1"), "**1");
        assert_eq!(typed("*4*4#"), "*4<raise>");
        assert_eq!(typed("**5#"), "*<close>");
    }

    #[test]
    fn what_is_not_finished_in_two_seconds_is_let_go() {
        let start = Instant::now();
        let mut keys = HelpKeys::default();
        assert_eq!(keys.handle_key(start, key('*')), Heard::Held);
        let later = start + Duration::from_millis(1_500);
        assert_eq!(keys.handle_key(later, key('4')), Heard::Held);

        assert_eq!(keys.poll_timeout(), Some(start + HOLD));
        assert_eq!(keys.release(), [key('*'), key('4')]);
        assert_eq!(keys.poll_timeout(), None);
        let pound = keys.handle_key(start + HOLD, key('#'));
        assert_eq!(pound, Heard::Pass(vec![key('#')]));
    }

    #[test]
    fn a_key_that_comes_when_the_time_is_over_matches_nothing() {
        let start = Instant::now();
        let mut keys = HelpKeys::default();
        keys.handle_key(start, key('*'));
        keys.handle_key(start, key('4'));

        let late = keys.handle_key(start + HOLD, key('#'));

        assert_eq!(late, Heard::Pass(vec![key('*'), key('4'), key('#')]));
    }

    fn key(digit: char) -> Key {
        Key {
            digit: Digit::from_char(digit).unwrap(),
            passes: true,
        }
    }

    /// What is heard of these keys, pressed one right after another.
    fn typed(keys: &str) -> String {
        let now = Instant::now();
        let mut help = HelpKeys::default();
        let mut heard = String::new();
        for digit in keys.chars() {
            match help.handle_key(now, key(digit)) {
                Heard::Held => {}
                Heard::Order(HelpOrder::Raise) => heard += "<raise>",
                Heard::Order(HelpOrder::Close) => heard += "<close>",
                Heard::Pass(keys) => heard.extend(keys.iter().map(|key| key.digit.as_char())),
            }
        }
        heard.extend(help.release().iter().map(|key| key.digit.as_char()));
        heard
    }
}
