//! The two keypad grammars: what an entry means in a session, and what it means in the menu.
//!
//! In a session one digit is a command and everything longer is unknown, whatever it ends in:
//! `14#` never acts as `4#`. In the menu two digits or more are an agent's extension.

use std::sync::Arc;

use crate::control::collector::Entry;
use crate::control::order::Order;
use crate::control::role::{Ear, Supervision};
use crate::control::settings::Codes;

/// What an entry asks for in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `#` alone: nothing.
    Nothing,
    Order(Order),
    Unknown,
}

/// What an entry asks for in the menu.
#[derive(Clone, PartialEq, Eq)]
pub enum Choice {
    /// `#` alone: the last attempt once more.
    Again,
    Extension(Arc<str>),
    AcceptHelp,
    /// The next call of the supervisor's agents.
    Next,
    /// Says the menu again.
    Status,
    /// A command that belongs into a session.
    OutsideSession(Order),
    Unknown,
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Choice")
    }
}

pub fn command(codes: &Codes, entry: &Entry) -> Command {
    match entry {
        Entry::Empty => Command::Nothing,
        Entry::TooLong => Command::Unknown,
        Entry::Keys(keys) => match order(codes, keys) {
            Some(order) => Command::Order(order),
            None => Command::Unknown,
        },
    }
}

pub fn choice(codes: &Codes, entry: &Entry) -> Choice {
    match entry {
        Entry::Empty => Choice::Again,
        Entry::TooLong => Choice::Unknown,
        Entry::Keys(keys) if keys.len() > 1 => Choice::Extension(keys.as_str().into()),
        Entry::Keys(keys) => match order(codes, keys) {
            Some(Order::AcceptHelp) => Choice::AcceptHelp,
            Some(Order::Next) => Choice::Next,
            Some(Order::Status) => Choice::Status,
            Some(order @ (Order::Role(_) | Order::HangUp)) => Choice::OutsideSession(order),
            None => Choice::Unknown,
        },
    }
}

/// The order of a one-digit code. The map is the administrator's; `settings` has checked that no
/// digit has two meanings.
fn order(codes: &Codes, keys: &str) -> Option<Order> {
    let mut characters = keys.chars();
    let (Some(key), None) = (characters.next(), characters.next()) else {
        return None;
    };
    if codes.barge.contains(&key) {
        return Some(Order::Role(Supervision::Barged));
    }
    [
        (codes.monitor, Order::Role(Supervision::Monitoring)),
        (codes.coach, Order::Role(Supervision::Coaching(Ear::Pupil))),
        (codes.takeover, Order::Role(Supervision::TakenOver)),
        (
            codes.whisper_caller,
            Order::Role(Supervision::Coaching(Ear::User)),
        ),
        (codes.hang_up, Order::HangUp),
        (codes.next, Order::Next),
        (codes.accept_help, Order::AcceptHelp),
        (codes.status, Order::Status),
    ]
    .into_iter()
    .find_map(|(code, order)| (code == key).then_some(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_digit_gives_its_order_in_a_session() {
        let expected = [
            ("0", Order::Role(Supervision::Barged)),
            ("1", Order::Role(Supervision::TakenOver)),
            ("2", Order::AcceptHelp),
            ("3", Order::Next),
            ("4", Order::Role(Supervision::Coaching(Ear::Pupil))),
            ("5", Order::Role(Supervision::Monitoring)),
            ("6", Order::Role(Supervision::Barged)),
            ("7", Order::HangUp),
            ("8", Order::Role(Supervision::Coaching(Ear::User))),
            ("9", Order::Status),
        ];

        for (key, order) in expected {
            assert_eq!(in_session(key), Command::Order(order), "{key}#");
        }
    }

    #[test]
    fn two_digits_never_act_as_one_of_them() {
        for first in "0123456789ABCD".chars() {
            for second in "0123456789ABCD".chars() {
                assert_eq!(in_session(&format!("{first}{second}")), Command::Unknown);
            }
        }
    }

    #[test]
    fn letters_are_no_command() {
        assert_eq!(in_session("A"), Command::Unknown);
        assert_eq!(in_menu("A"), Choice::Unknown);
    }

    #[test]
    fn two_digits_or_more_are_an_extension_in_the_menu() {
        assert!(in_menu("20") == Choice::Extension("20".into()));
        assert!(in_menu("204") == Choice::Extension("204".into()));
    }

    #[test]
    fn one_digit_in_the_menu_is_never_an_extension() {
        for key in "0145678".chars() {
            let choice = in_menu(&key.to_string());

            assert!(matches!(choice, Choice::OutsideSession(_)), "{key}");
        }
        assert!(in_menu("2") == Choice::AcceptHelp);
        assert!(in_menu("3") == Choice::Next);
        assert!(in_menu("9") == Choice::Status);
    }

    #[test]
    fn pound_alone_does_nothing_in_a_session_and_tries_again_in_the_menu() {
        assert_eq!(command(&Codes::default(), &Entry::Empty), Command::Nothing);
        assert!(choice(&Codes::default(), &Entry::Empty) == Choice::Again);
    }

    #[test]
    fn codes_are_the_administrators() {
        let codes = Codes {
            monitor: '7',
            hang_up: '5',
            ..Codes::default()
        };

        assert_eq!(
            command(&codes, &Entry::Keys("7".into())),
            Command::Order(Order::Role(Supervision::Monitoring))
        );
        assert_eq!(
            command(&codes, &Entry::Keys("5".into())),
            Command::Order(Order::HangUp)
        );
    }

    fn in_session(keys: &str) -> Command {
        command(&Codes::default(), &Entry::Keys(keys.into()))
    }

    fn in_menu(keys: &str) -> Choice {
        choice(&Codes::default(), &Entry::Keys(keys.into()))
    }
}
