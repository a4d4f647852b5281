//! What a supervisor types: whole commands, half ones, and keys that come twice.

use crate::control::harness::stage::Stage;
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::media::command::{Command, Event, KeyPassage};
use crate::media::dtmf::DigitSource;
use crate::media::matrix::Seat;
use std::time::Duration;

#[test]
fn fourteen_never_acts_as_four() {
    let (mut stage, call, mia) = Stage::listening();

    stage.press(mia, "14#");

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert_eq!(stage.last_said(mia), "9 0 0 8");
    assert_eq!(stage.codes(), [ErrorCode::UnknownCommand]);
    assert!(!stage.hears(call, Seat::PUPIL, Seat::new(2).unwrap()));
}

#[test]
fn a_half_typed_command_is_cleared_by_star_or_time_with_a_low_tone() {
    let (mut stage, _, mia) = Stage::listening();

    stage.press(mia, "1*4#");
    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    assert_eq!(stage.said(mia), ["listening", "tone", "coaching"]);

    stage.press(mia, "1");
    stage.advance(Duration::from_secs(3));
    assert_eq!(stage.last_said(mia), "tone");
    stage.press(mia, "5#");
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
}

#[test]
fn a_key_that_is_held_long_is_no_half_typed_command() {
    let (mut stage, _, mia) = Stage::listening();
    stage.manners.releases = false;
    stage.press(mia, "4");

    stage.advance(Duration::from_secs(5));
    stage.media(Event::VoiceOpened { leg: mia });
    stage.advance(Duration::from_secs(2));
    stage.press(mia, "#");

    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
}

#[test]
fn a_key_by_two_sources_counts_once() {
    let (mut stage, _, mia) = Stage::listening();
    for key in "4#".chars() {
        for source in [DigitSource::InBand, DigitSource::Event] {
            let digit = crate::media::dtmf::Digit::from_char(key).unwrap();
            stage.advance(Duration::from_millis(100));
            stage.media(crate::media::command::Event::DigitPressed {
                leg: mia,
                digit,
                source,
            });
        }
    }

    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    assert_eq!(stage.codes(), []);
}

#[test]
fn keys_of_a_supervisor_are_withheld_from_the_parties_in_every_state() {
    let (mut stage, _, mia) = Stage::listening();
    stage.press(mia, "6#");

    let listening: Vec<_> = stage
        .commands()
        .filter_map(|command| match command {
            Command::ListenForKeys { leg, keys } if *leg == mia => Some(keys.events),
            _ => None,
        })
        .collect();

    assert!(!listening.is_empty());
    assert!(
        listening
            .iter()
            .all(|passage| *passage == KeyPassage::Withhold)
    );
}

#[test]
fn commands_wait_for_the_one_before_them_and_keep_their_order() {
    let (mut stage, _, mia) = Stage::listening();
    stage.manners.matrices = false;

    stage.press(mia, "4#6#5#");
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));

    for expected in [
        Supervision::Coaching(Ear::Pupil),
        Supervision::Barged,
        Supervision::Monitoring,
    ] {
        stage.release();
        assert_eq!(stage.role(mia), Some(expected));
    }
}
