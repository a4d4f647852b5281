//! A store that takes nothing for a while: what is undone, what stays, what is written afterwards.

use std::time::Duration;

use crate::control::call::Side;
use crate::control::harness::stage::Stage;
use crate::control::record::{Outcome, Source};
use crate::control::recording::RECORD_LIMIT;
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::media::matrix::Seat;

fn second_seat() -> Seat {
    Seat::new(2).unwrap()
}

#[test]
fn a_role_that_is_not_written_down_in_time_is_taken_back() {
    for keys in ["4#", "6#", "0#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.manners.records = false;
        stage.press(mia, keys);
        let spoken = stage.role(mia);
        assert_ne!(spoken, Some(Supervision::Monitoring), "{keys}");

        stage.advance(RECORD_LIMIT);

        assert_eq!(stage.role(mia), Some(Supervision::Monitoring), "{keys}");
        assert!(!stage.hears(call, Seat::PUPIL, second_seat()), "{keys}");
        assert!(!stage.hears(call, Seat::USER, second_seat()), "{keys}");
        assert_eq!(stage.last_said(mia), "9 0 1 0", "{keys}");
        let rows: Vec<_> = stage
            .audit()
            .into_iter()
            .filter(|row| row.action == "role")
            .map(|row| (row.source, row.outcome, row.role_after, row.code))
            .collect();
        let role = spoken.map(Supervision::name);
        assert_eq!(
            rows,
            [
                (Source::Phone, Outcome::Requested, role, None),
                (Source::Phone, Outcome::Done, role, None),
                (
                    Source::System,
                    Outcome::Failed,
                    Some("monitor"),
                    Some(ErrorCode::Busy)
                ),
            ],
            "{keys}"
        );

        // Nothing is confirmed that is no longer so, and the next change is as ever.
        stage.release();
        assert_eq!(stage.last_said(mia), "9 0 1 0", "{keys}");
        stage.manners.records = true;
        stage.press(mia, "4#");
        stage.advance(RECORD_LIMIT);
        let coaching = Supervision::Coaching(Ear::Pupil);
        assert_eq!(stage.role(mia), Some(coaching), "{keys}");
        assert_eq!(stage.last_said(mia), "coaching", "{keys}");
    }
}

#[test]
fn the_role_before_is_the_last_that_was_written_down() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "4#");
    stage.manners.records = false;

    stage.press(mia, "6#");
    stage.advance(Duration::from_secs(1));
    stage.press(mia, "0#");
    stage.advance(Duration::from_secs(1));

    let coaching = Supervision::Coaching(Ear::Pupil);
    assert_eq!(stage.role(mia), Some(coaching));
    assert!(stage.hears(call, Seat::PUPIL, second_seat()));
    assert!(!stage.hears(call, Seat::USER, second_seat()));
}

#[test]
fn no_other_voice_begins_while_rows_are_overdue_and_falling_silent_is_possible() {
    let (mut stage, _, mia) = Stage::listening();
    stage.press(mia, "4#");
    stage.manners.records = false;
    stage.press(mia, "6#");
    stage.advance(RECORD_LIMIT);

    stage.press(mia, "6#");
    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    stage.press(mia, "5#");
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    stage.advance(RECORD_LIMIT);
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));

    stage.manners.records = true;
    stage.release();
    stage.press(mia, "6#");
    assert_eq!(stage.role(mia), Some(Supervision::Barged));
}

#[test]
fn a_change_is_kept_when_the_user_would_be_left_alone() {
    let (mut stage, call, mia) = Stage::listening();
    stage.manners.records = false;
    stage.press(mia, "1#");
    stage.advance(RECORD_LIMIT);
    assert_eq!(stage.role(mia), Some(Supervision::TakenOver));
    assert!(stage.hears(call, Seat::USER, second_seat()));

    let (mut stage, call, mia) = Stage::listening();
    stage.manners.records = false;
    stage.press(mia, "6#");
    stage.party_hangs_up(call, Side::Pupil);
    stage.advance(RECORD_LIMIT);
    assert_eq!(stage.role(mia), Some(Supervision::Barged));
    assert!(stage.hears(call, Seat::USER, second_seat()));
}

#[test]
fn rows_that_come_in_time_leave_the_role_alone() {
    let (mut stage, _, mia) = Stage::listening();
    stage.manners.records = false;
    stage.press(mia, "6#");
    stage.advance(RECORD_LIMIT - Duration::from_millis(1));
    stage.release();
    stage.advance(RECORD_LIMIT);

    assert_eq!(stage.role(mia), Some(Supervision::Barged));
    assert!(stage.codes().is_empty());
}
