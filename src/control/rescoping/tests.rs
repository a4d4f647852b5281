use std::time::Duration;

use super::*;
use crate::control::call::Side;
use crate::control::harness::stage::Stage;
use crate::control::input::{Ask, Reply};
use crate::control::output::{Notice, Output};
use crate::control::role::{Ear, Supervision};
use crate::control::supervisor::OVERLAP;
use crate::media::matrix::Seat;

fn second_seat() -> Seat {
    Seat::new(2).unwrap()
}

fn remove_mia(stage: &mut Stage) -> SupervisorEntry {
    let mut removed = None;
    stage.change_directory(|directory| {
        removed = directory.supervisors.remove(&("acme".into(), "mia".into()));
    });
    removed.unwrap()
}

fn put_back(stage: &mut Stage, entry: SupervisorEntry) {
    stage.change_directory(|directory| {
        let key = ("acme".into(), "mia".into());
        directory.supervisors.insert(key, entry);
    });
}

/// Why the last session ended, by the audit.
fn why_left(stage: &Stage) -> Option<String> {
    let rows = stage.audit();
    let row = rows.iter().rev().find(|row| row.action == "leave")?;
    row.detail.as_deref().map(str::to_owned)
}

fn sessions_ended(stage: &Stage) -> usize {
    let ended = |output: &Output| matches!(output, Output::Notify(Notice::SessionEnded(_)));
    let outputs = stage.outputs.iter();
    outputs.filter(|(_, output)| ended(output)).count()
}

#[track_caller]
fn assert_dismissed(stage: &mut Stage, call: CallId, mia: LegId, why: &str) {
    assert_eq!(why_left(stage).as_deref(), Some(why));
    assert_eq!(sessions_ended(stage), 1);
    for listener in [Seat::USER, Seat::PUPIL] {
        assert!(!stage.hears(call, listener, second_seat()));
        assert!(!stage.hears(call, second_seat(), listener));
    }
    assert!(stage.board.snapshot().sessions.is_empty());
    stage.prompt_ends(mia);
    assert!(stage.was_hung_up(mia));
    stage.assert_untouched(call);
}

#[test]
fn a_supervisor_who_is_removed_hears_why_and_nothing_of_the_call() {
    for keys in ["", "4#", "8#", "6#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, keys);

        remove_mia(&mut stage);

        assert!(stage.last_said(mia).starts_with("9 0 0 1"), "{keys}");
        assert_dismissed(&mut stage, call, mia, "person_removed");
    }
}

#[test]
fn a_new_person_of_the_same_name_has_nothing_of_the_former() {
    let (mut stage, call, mia) = Stage::listening();
    let session = stage.board.session(mia).unwrap().id;
    stage.ask("mia", Ask::Ticket { call });

    let entry = remove_mia(&mut stage);
    put_back(&mut stage, entry);

    assert!(stage.board.snapshot().sessions.is_empty());
    assert!(stage.board.snapshot().over.is_empty());
    let asked = stage.ask("mia", Ask::EndSession { session });
    assert_eq!(asked, Some(Reply::NotFound));
    let owner = ("acme".into(), "mia".into());
    let now = stage.now;
    assert_eq!(stage.board.desk.live_ticket(now, &owner), None);
}

#[test]
fn after_a_takeover_one_who_is_removed_keeps_a_plain_call_that_nobody_inherits() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "1#");
    stage.advance(OVERLAP);
    let user = stage.party(call, Side::User);

    let entry = remove_mia(&mut stage);
    put_back(&mut stage, entry);

    assert_eq!(why_left(&stage).as_deref(), Some("person_removed"));
    assert_eq!(sessions_ended(&stage), 1);
    assert!(stage.board.snapshot().sessions.is_empty());
    assert!(stage.hears(call, Seat::USER, second_seat()));
    assert!(stage.hears(call, second_seat(), Seat::USER));
    stage.press(mia, "7#");
    stage.press(mia, "7#");
    stage.advance(Duration::from_secs(60));
    assert!(!stage.was_hung_up(user) && !stage.was_hung_up(mia));

    // Either end ends it, as any call.
    stage.hang_up(user);
    assert!(!stage.in_menu(mia));
    stage.prompt_ends(mia);
    assert!(stage.was_hung_up(mia));
    assert_eq!(sessions_ended(&stage), 1);
}

#[test]
fn one_who_is_removed_in_the_moment_of_a_takeover_is_left_with_the_customer() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "1#");
    let pupil = stage.party(call, Side::Pupil);

    remove_mia(&mut stage);
    stage.advance(OVERLAP);

    assert!(stage.was_hung_up(pupil));
    assert!(stage.hears(call, Seat::USER, second_seat()));
    stage.hang_up(mia);
    assert!(stage.board.calls.is_empty() || stage.was_hung_up(stage.party(call, Side::User)));
}

#[test]
fn a_session_ends_when_its_agent_is_in_none_of_the_pools_any_more() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "4#");

    stage.change_mia(|mia| mia.pools = vec!["sales".into()]);

    assert_dismissed(&mut stage, call, mia, "out_of_scope");
}

#[test]
fn a_session_ends_when_its_agent_is_taken_out_of_the_pool() {
    let (mut stage, call, mia) = Stage::listening();

    stage.change_directory(|directory| {
        let agent = directory.agents.get_mut(&("acme".into(), "204".into()));
        agent.unwrap().pools.clear();
    });

    assert_dismissed(&mut stage, call, mia, "out_of_scope");
}

#[test]
fn sessions_end_with_the_supervision_of_their_organisation() {
    let (mut stage, call, mia) = Stage::listening();

    stage.change_directory(|directory| {
        directory.organisations.get_mut("acme").unwrap().supervision = false;
    });

    assert_dismissed(&mut stage, call, mia, "supervision_off");
    assert!(stage.last_said(mia).starts_with("9 0 0 3"));
}

#[test]
fn who_may_not_even_listen_any_more_is_hung_up() {
    let (mut stage, call, mia) = Stage::listening();

    stage.change_mia(|mia| mia.may.monitor = false);

    assert_dismissed(&mut stage, call, mia, "not_permitted");
}

#[test]
fn a_role_that_is_no_longer_permitted_falls_back_to_monitor() {
    for keys in ["4#", "8#", "6#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, keys);

        stage.change_mia(|mia| {
            mia.may.coach = false;
            mia.may.whisper_caller = false;
            mia.may.barge = false;
        });

        assert_eq!(stage.role(mia), Some(Supervision::Monitoring), "{keys}");
        assert!(!stage.hears(call, Seat::PUPIL, second_seat()));
        assert!(!stage.hears(call, Seat::USER, second_seat()));
        assert!(stage.last_said(mia).starts_with("9 0 0 7"));
        assert!(!stage.was_hung_up(mia));
    }
}

#[test]
fn a_role_on_its_way_that_is_no_longer_permitted_does_not_stay() {
    let (mut stage, call, mia) = Stage::listening();
    stage.manners.matrices = false;
    stage.press(mia, "4#");

    stage.change_mia(|mia| mia.may.coach = false);
    stage.manners.matrices = true;
    stage.release();

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert!(!stage.hears(call, Seat::PUPIL, second_seat()));
}

#[test]
fn a_takeover_stays_with_whom_has_lost_the_pool_and_the_permission() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "1#");
    stage.advance(OVERLAP);

    stage.change_mia(|mia| {
        mia.pools.clear();
        mia.may = Default::default();
    });

    assert_eq!(stage.role(mia), Some(Supervision::TakenOver));
    assert!(stage.hears(call, Seat::USER, second_seat()));
    assert!(!stage.was_hung_up(mia));
}

#[test]
fn what_does_not_concern_a_session_leaves_it_alone() {
    let (mut stage, _, mia) = Stage::listening();
    stage.press(mia, "4#");

    stage.change_directory(|directory| {
        directory.agents.remove(&("acme".into(), "205".into()));
        directory.supervisors.remove(&("acme".into(), "ona".into()));
    });
    stage.change_mia(|mia| mia.name = "Mia M.".into());

    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    assert_eq!(sessions_ended(&stage), 0);
}

#[test]
fn phones_stop_ringing_for_one_who_is_removed() {
    let (mut stage, call) = Stage::talking();
    let ask = Ask::CallMe {
        call,
        device: None,
        coaching_enabled: true,
    };
    assert!(matches!(stage.ask("mia", ask), Some(Reply::Session { .. })));

    remove_mia(&mut stage);

    assert!(stage.board.snapshot().sessions.is_empty());
    assert_eq!(sessions_ended(&stage), 1);
    stage.assert_untouched(call);
}
