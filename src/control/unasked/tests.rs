//! What a supervisor may go on doing when the call is no longer what it was.

use std::time::Duration;

use crate::control::call::Side;
use crate::control::harness::stage::Stage;
use crate::control::input::{Ask, Reply};
use crate::control::record::Outcome;
use crate::control::recording::RECORD_LIMIT;
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::control::supervisor::OVERLAP;
use crate::id::{CallId, LegId};
use crate::media::command::Event;
use crate::media::matrix::Seat;

fn second_seat() -> Seat {
    Seat::new(2).unwrap()
}

/// Mia has barged, and the customer is given to agent 301, whom she may not supervise.
fn given_away() -> (Stage, CallId, LegId) {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#");
    stage.transferred(call, "301");
    (stage, call, mia)
}

fn why_left(stage: &Stage) -> Option<&str> {
    let rows = stage.audit();
    let row = rows.into_iter().rev().find(|row| row.action == "leave")?;
    row.detail.as_deref()
}

#[track_caller]
fn assert_still_barged(stage: &Stage, call: CallId, mia: LegId) {
    assert_eq!(stage.role(mia), Some(Supervision::Barged));
    for party in [Seat::USER, Seat::PUPIL] {
        assert!(stage.hears(call, party, second_seat()));
        assert!(stage.hears(call, second_seat(), party));
    }
}

#[test]
fn who_barged_has_no_part_in_an_agent_out_of_scope() {
    for keys in ["4#", "5#", "8#", "6#", "0#", "1#", "7#", "7#7#"] {
        let (mut stage, call, mia) = given_away();
        let pupil = stage.party(call, Side::Pupil);

        stage.press(mia, keys);
        stage.advance(Duration::from_secs(1));

        assert_still_barged(&stage, call, mia);
        assert!(!stage.was_hung_up(pupil), "{keys}");
        assert!(stage.last_said(mia).starts_with("9 0 1 3"), "{keys}");
        assert!(
            stage
                .codes()
                .iter()
                .all(|code| *code == ErrorCode::PupilGone),
            "{keys}"
        );
    }
}

#[test]
fn a_page_changes_no_role_towards_an_agent_out_of_scope() {
    let (mut stage, call, mia) = given_away();
    let session = stage.board.session(mia).unwrap().id;

    for supervision in [
        Supervision::Monitoring,
        Supervision::Coaching(Ear::Pupil),
        Supervision::Coaching(Ear::User),
        Supervision::TakenOver,
    ] {
        let ask = Ask::SetRole {
            session,
            supervision,
        };
        let refused = Some(Reply::Refused(ErrorCode::PupilGone));
        assert_eq!(stage.ask("mia", ask), refused, "{supervision:?}");
    }
    let refused = Some(Reply::Refused(ErrorCode::NoCall));
    assert_eq!(stage.ask("mia", Ask::HangUp { call }), refused);
    assert_still_barged(&stage, call, mia);
}

#[test]
fn a_hang_up_that_was_asked_for_before_the_transfer_is_not_confirmed_after_it() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#7#");
    stage.transferred(call, "301");

    stage.press(mia, "7#");

    assert_eq!(stage.codes(), [ErrorCode::PupilGone]);
    assert_still_barged(&stage, call, mia);
}

#[test]
fn who_leaves_an_agent_out_of_scope_leaves_the_customer_to_them() {
    let (mut stage, call, mia) = given_away();

    stage.hang_up(mia);

    stage.assert_untouched(call);
}

#[test]
fn who_is_left_alone_with_the_customer_may_end_the_call() {
    let (mut stage, call, mia) = given_away();
    stage.party_hangs_up(call, Side::Pupil);
    assert_eq!(stage.last_said(mia), "you-have-the-call");

    stage.press(mia, "7#7#");

    assert!(stage.board.calls.is_empty());
}

#[test]
fn a_call_that_comes_back_into_scope_is_supervised_as_before() {
    let (mut stage, call, mia) = given_away();

    stage.transferred(call, "205");
    stage.press(mia, "4#");

    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    assert_eq!(stage.codes(), []);
}

#[test]
fn a_role_on_its_way_does_not_reach_an_agent_out_of_scope() {
    for keys in ["4#", "5#", "8#", "1#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, "6#");
        let pupil = stage.party(call, Side::Pupil);
        stage.manners.matrices = false;
        stage.press(mia, keys);

        stage.transferred(call, "301");
        stage.manners.matrices = true;
        stage.release();
        stage.advance(Duration::from_secs(1));

        assert_still_barged(&stage, call, mia);
        assert!(!stage.was_hung_up(pupil), "{keys}");
        assert_eq!(stage.codes(), [ErrorCode::PupilGone], "{keys}");
    }
}

#[test]
fn a_takeover_does_not_release_an_agent_out_of_scope() {
    let (mut stage, call, mia) = Stage::listening();
    let pupil = stage.party(call, Side::Pupil);
    stage.press(mia, "1#");

    stage.transferred(call, "301");
    stage.advance(OVERLAP * 4);

    assert!(!stage.was_hung_up(pupil));
    assert_still_barged(&stage, call, mia);
    assert_eq!(stage.last_said(mia), "everyone-hears");
    let row = stage.audit().pop().unwrap();
    let roles = (row.role_before, row.role_after, row.outcome);
    assert_eq!(roles, (Some("takeover"), Some("barge"), Outcome::Done));
}

#[test]
fn a_phone_that_holds_or_falls_silent_does_not_listen_to_an_agent_out_of_scope() {
    for holds in [true, false] {
        let (mut stage, call, mia) = given_away();

        match holds {
            true => stage.supervisor_holds(mia),
            false => stage.silent(mia, 30),
        }

        assert_eq!(why_left(&stage), Some("out_of_scope"));
        assert!(stage.in_menu(mia));
        stage.assert_untouched(call);
    }
}

#[test]
fn a_hold_that_is_not_in_force_yet_ends_with_the_transfer() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#");
    stage.manners.matrices = false;
    stage.supervisor_holds(mia);

    stage.transferred(call, "301");

    assert!(stage.in_menu(mia));
    stage.assert_untouched(call);
}

#[test]
fn a_role_that_is_not_recorded_does_not_fall_back_to_listening_to_an_agent_out_of_scope() {
    let (mut stage, call, mia) = Stage::listening();
    stage.manners.records = false;
    stage.press(mia, "6#");
    stage.transferred(call, "301");

    stage.advance(RECORD_LIMIT);

    assert!(stage.in_menu(mia));
    assert!(stage.last_said(mia).starts_with("9 0 1 0"));
    stage.assert_untouched(call);
}

#[test]
fn who_may_not_barge_any_more_leaves_an_agent_out_of_scope() {
    let (mut stage, call, mia) = given_away();

    stage.change_mia(|mia| mia.may.barge = false);

    assert!(stage.last_said(mia).starts_with("9 0 0 7"));
    assert_eq!(why_left(&stage), Some("not_permitted"));
    stage.assert_untouched(call);
}

#[test]
fn a_transfer_to_a_number_outside_leaves_who_barged_with_the_customer_and_nothing_more() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#");
    let known = stage.board.calls.get_mut(&call).unwrap();
    (known.pupil.agent, known.kind) = (None, None);
    let now = stage.now;
    stage.board.call_transferred(now, call);

    for keys in ["4#", "5#", "8#", "1#", "7#"] {
        stage.press(mia, keys);
        assert!(stage.last_said(mia).starts_with("9 0 1 3"), "{keys}");
    }

    assert_still_barged(&stage, call, mia);
    stage.change_mia(|mia| mia.may.barge = false);
    stage.assert_untouched(call);
}

#[test]
fn a_session_ends_under_the_agent_with_whom_it_began() {
    for (keys, extension) in [("", "205"), ("4#", "301"), ("6#", "301")] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, keys);

        stage.transferred(call, extension);
        stage.hang_up(mia);

        let rows = stage.audit();
        for action in ["join", "leave"] {
            let row = rows.iter().rev().find(|row| row.action == action).unwrap();
            assert_eq!(row.agent.as_deref(), Some("204"), "{action} {keys}");
        }
    }
}

#[test]
fn who_was_heard_before_a_hold_is_told_after_it_that_they_only_listen() {
    for keys in ["4#", "8#", "6#"] {
        let (mut stage, _, mia) = Stage::listening();
        stage.press(mia, keys);
        let said = stage.said(mia).len();

        stage.supervisor_holds(mia);
        assert_eq!(stage.said(mia).len(), said, "music plays there");
        stage.supervisor_resumes(mia);

        assert_eq!(stage.said(mia).split_off(said), ["listening"], "{keys}");
        assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
        stage.supervisor_holds(mia);
        stage.supervisor_resumes(mia);
        assert_eq!(stage.said(mia).len(), said + 1, "nothing has changed");
    }
}

#[test]
fn who_fell_silent_is_told_when_they_are_heard_again() {
    let (mut stage, _, mia) = Stage::listening();
    stage.press(mia, "4#");
    stage.silent(mia, 30);
    assert_eq!(stage.last_said(mia), "coaching");

    stage.media(Event::MediaHeard { leg: mia });

    assert_eq!(stage.last_said(mia), "listening");
}

#[test]
fn the_music_of_a_phone_on_hold_reaches_nobody() {
    let (mut stage, call, mia) = Stage::listening();
    let session = stage.board.session(mia).unwrap().id;
    stage.supervisor_holds(mia);

    let supervision = Supervision::Barged;
    let ask = Ask::SetRole {
        session,
        supervision,
    };
    let reply = stage.ask("mia", ask);

    assert_eq!(reply, Some(Reply::Refused(ErrorCode::CoachNotAdded)));
    assert!(!stage.hears(call, Seat::USER, second_seat()));
    stage.supervisor_resumes(mia);
    stage.press(mia, "6#");
    assert_eq!(stage.role(mia), Some(Supervision::Barged));
}
