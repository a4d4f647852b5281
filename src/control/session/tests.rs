//! Commands that are refused, each by its code, and what is left as it was.

use std::time::Duration;

use crate::control::call::Side;
use crate::control::collector::Entry;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::input::{Ask, Input, Network, Reply, StoreAnswer};
use crate::control::output::Output;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::control::settings::{Settings, WhisperCaller};
use crate::control::supervisor::{MAX_REQUESTS, Request};
use crate::media::matrix::Seat;

const SPEAKING: [&str; 5] = ["4#", "8#", "6#", "0#", "1#"];

fn second_seat() -> Seat {
    Seat::new(2).unwrap()
}

#[test]
fn the_agent_who_hung_up_a_moment_before_the_command_is_9013() {
    for keys in SPEAKING {
        let (mut stage, call, mia) = Stage::listening();
        stage.manners.byes = false;
        let (key, pound) = keys.split_at(1);
        stage.press(mia, key);
        stage.party_hangs_up(call, Side::Pupil);
        stage.press(mia, pound);

        assert_eq!(stage.codes(), [ErrorCode::PupilGone], "{keys}");
        assert!(stage.last_said(mia).starts_with("9 0 1 3"), "{keys}");
    }
}

#[test]
fn a_command_while_only_the_agents_leg_stands_is_9014_and_the_session_is_over() {
    let (mut stage, call, mia) = Stage::listening();
    stage.manners.byes = false;
    stage.party_hangs_up(call, Side::User);
    assert_eq!(stage.last_said(mia), "call-ended");
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));

    stage.press(mia, "6#");

    assert_eq!(stage.codes(), [ErrorCode::UserGone]);
    assert!(stage.last_said(mia).starts_with("9 0 1 4"));
    assert!(stage.in_menu(mia));
}

#[test]
fn both_gone_is_9013() {
    let (mut stage, call, mia) = Stage::listening();
    stage.party_hangs_up(call, Side::User);
    assert!(stage.in_menu(mia));

    stage.press(mia, "4#");

    assert_eq!(stage.codes(), [ErrorCode::PupilGone]);
    let audit = stage.audit();
    let refused = audit.iter().rev().find(|row| row.code.is_some()).unwrap();
    let before = audit.iter().find(|row| row.customer.is_some()).unwrap();
    assert_eq!(refused.agent.as_deref(), Some("204"));
    assert_eq!(refused.customer, before.customer);
    assert_eq!(stage.last_said(mia), "9 0 1 3");
}

#[test]
fn a_command_more_than_five_seconds_after_the_end_belongs_to_no_session() {
    let (mut stage, call, mia) = Stage::listening();
    stage.party_hangs_up(call, Side::User);
    stage.advance(Duration::from_millis(4500));

    stage.press(mia, "4#");

    assert_eq!(stage.codes(), [ErrorCode::UnknownCommand]);
}

#[test]
fn the_second_to_speak_is_9012_and_keeps_the_role_they_have() {
    for taken in SPEAKING {
        for wanted in SPEAKING {
            let (mut stage, call, mia) = Stage::listening();
            let ona = stage.dial_in(ONA);
            // The agent whose call is taken over has not answered our BYE yet.
            stage.manners.byes = false;
            stage.press(mia, taken);
            let before = stage.matrix(call);

            stage.press(ona, wanted);

            assert_eq!(
                stage.codes(),
                [ErrorCode::CoachNotAdded],
                "{taken} {wanted}"
            );
            assert_eq!(stage.role(ona), Some(Supervision::Monitoring));
            assert_eq!(stage.last_said(ona), "9 0 1 2");
            assert_eq!(stage.matrix(call), before);
        }
    }
}

#[test]
fn many_may_speak_where_the_policy_says_so() {
    let mut stage = Stage::with(Settings {
        many_speakers: true,
        ..Settings::default()
    });
    stage.call("204");
    let mia = stage.dial_in(MIA);
    let ona = stage.dial_in(ONA);

    stage.press(mia, "4#");
    stage.press(ona, "6#");

    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    assert_eq!(stage.role(ona), Some(Supervision::Barged));
}

#[test]
fn a_role_without_permission_is_9007() {
    for keys in SPEAKING {
        let (mut stage, call, mia) = Stage::listening();
        stage.change_mia(|mia| {
            mia.may.coach = false;
            mia.may.whisper_caller = false;
            mia.may.barge = false;
            mia.may.takeover = false;
        });

        stage.press(mia, keys);

        assert_eq!(stage.codes(), [ErrorCode::NotPermitted], "{keys}");
        assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
        assert!(!stage.hears(call, Seat::PUPIL, second_seat()));
    }
}

#[test]
fn whispering_to_a_caller_outside_is_9007_unless_the_policy_allows_it() {
    let (mut stage, call, mia) = Stage::listening();
    let user = stage.party(call, Side::User);
    stage.board.legs.get_mut(&user).unwrap().network = Network::External;

    stage.press(mia, "8#");
    assert_eq!(stage.codes(), [ErrorCode::NotPermitted]);

    stage.board.settings.whisper_caller = WhisperCaller::Always;
    stage.press(mia, "8#");
    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::User)));
}

#[test]
fn a_supervision_that_was_switched_off_meanwhile_is_9003() {
    // Who has taken the call keeps it, and nothing more.
    let (mut stage, _, mia) = Stage::listening();
    stage.press(mia, "1#");
    stage.change_directory(|directory| {
        directory.organisations.get_mut("acme").unwrap().supervision = false;
    });

    stage.press(mia, "7#");

    assert_eq!(stage.codes(), [ErrorCode::SupervisionOff]);
    assert_eq!(stage.role(mia), Some(Supervision::TakenOver));
}

#[test]
fn without_a_store_nothing_new_begins_and_what_runs_goes_on() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "4#");
    stage.input(Input::Store(StoreAnswer::Down));
    stage.manners.records = false;

    stage.press(mia, "6#");
    assert_eq!(stage.codes(), [ErrorCode::Busy]);
    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    assert!(stage.hears(call, Seat::PUPIL, second_seat()));

    // Falling silent is always possible; it is confirmed when it is written down.
    stage.press(mia, "5#");
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert_eq!(stage.last_said(mia), "9 0 1 0");
    stage.release();
    assert_eq!(stage.last_said(mia), "listening");
}

#[test]
fn a_running_session_changes_roles_while_the_node_drains() {
    let (mut stage, _, mia) = Stage::listening();
    stage.input(Input::Drain);

    stage.press(mia, "4#");

    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
}

#[test]
fn a_change_whose_mix_never_comes_is_9012_and_the_role_is_as_it_was() {
    let (mut stage, call, mia) = Stage::listening();
    stage.manners.matrices = false;
    stage.press(mia, "6#");

    stage.advance(Duration::from_secs(2));

    assert_eq!(stage.codes(), [ErrorCode::CoachNotAdded]);
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert!(!stage.hears(call, Seat::USER, second_seat()));
}

#[test]
fn a_customer_is_not_left_to_a_listener_when_a_mix_never_comes_and_the_agent_has_gone() {
    let (mut stage, call, mia) = Stage::listening();
    stage.manners.matrices = false;
    stage.press(mia, "6#");
    stage.party_hangs_up(call, Side::Pupil);
    assert!(stage.board.snapshot().calls.iter().any(|it| it.id == call));

    stage.advance(Duration::from_secs(2));

    assert_eq!(stage.codes(), [ErrorCode::CoachNotAdded]);
    assert!(stage.board.snapshot().calls.is_empty());
}

#[test]
fn an_agent_outside_the_conference_is_9015_and_the_supervisor_falls_silent() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#");
    let seats = &mut stage.board.calls.get_mut(&call).unwrap().seats;
    seats.remove(&Seat::PUPIL);

    stage.press(mia, "4#");

    assert_eq!(stage.codes(), [ErrorCode::CoachNotJoined]);
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert_eq!(stage.last_said(mia), "9 0 1 5");
}

#[test]
fn every_refusal_is_one_row_with_its_key() {
    let (mut stage, _, mia) = Stage::listening();
    stage.change_mia(|mia| mia.may.coach = false);

    stage.press(mia, "4#");

    let rows: Vec<_> = stage
        .audit()
        .into_iter()
        .filter(|row| row.code.is_some())
        .collect();
    let [row] = rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(row.outcome, Outcome::Refused);
    assert_eq!(row.detail.as_deref(), Some("4#"));
    assert_eq!(row.source, Source::Phone);
    assert_eq!(row.role_before, Some("monitor"));
    assert_eq!(row.role_after, Some("monitor"));
}

#[test]
fn a_click_takes_the_same_way_as_a_key_and_is_answered_when_the_mix_is_in_force() {
    let (mut stage, _, mia) = Stage::listening();
    let session = stage.board.session(mia).unwrap().id;
    stage.manners.matrices = false;
    let ask = Ask::SetRole {
        session,
        supervision: Supervision::Coaching(Ear::Pupil),
    };

    assert_eq!(stage.ask("mia", ask.clone()), None);
    stage.release();

    assert!(stage.outputs.iter().any(|(_, output)| matches!(
        output,
        Output::Reply {
            reply: Reply::Role {
                supervision: Supervision::Coaching(Ear::Pupil),
                ..
            },
            ..
        }
    )));
    assert_eq!(stage.last_said(mia), "coaching");
    assert_eq!(
        stage.ask("ona", ask),
        Some(Reply::Refused(ErrorCode::NotPermitted)),
        "a session is its owner's alone"
    );
}

#[test]
fn a_refused_click_is_answered_with_its_code() {
    let (mut stage, call, mia) = Stage::listening();
    let session = stage.board.session(mia).unwrap().id;
    stage.manners.byes = false;
    stage.party_hangs_up(call, Side::User);

    let reply = stage.ask(
        "mia",
        Ask::SetRole {
            session,
            supervision: Supervision::Barged,
        },
    );

    assert_eq!(reply, Some(Reply::Refused(ErrorCode::UserGone)));
}

#[test]
fn nine_says_the_role_and_the_keys() {
    let (mut stage, _, mia) = Stage::listening();

    stage.press(mia, "4#9#");

    assert_eq!(stage.last_said(mia), "status-coach menu-keys");
}

#[test]
fn three_steps_to_the_next_call_announced_and_as_a_listener() {
    let (mut stage, first, mia) = Stage::listening();
    let second = stage.call("205");

    stage.press(mia, "4#3#");
    assert_eq!(stage.board.session(mia).unwrap().call, second);
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert_eq!(stage.last_said(mia), "next-call listening");
    stage.assert_untouched(first);

    stage.press(mia, "3#");
    assert_eq!(stage.board.session(mia).unwrap().call, first);
    stage.assert_untouched(second);
}

#[test]
fn three_without_another_call_stays_where_it_is() {
    let (mut stage, call, mia) = Stage::listening();

    stage.press(mia, "3#");

    assert_eq!(stage.last_said(mia), "no-other-call");
    assert_eq!(stage.board.session(mia).unwrap().call, call);
    assert_eq!(stage.codes(), []);
}

#[test]
fn more_commands_than_anybody_types_ahead_are_turned_away() {
    let (mut stage, _, mia) = Stage::listening();
    stage.manners.matrices = false;
    stage.press(mia, "4#");

    let now = stage.now;
    for _ in 0..=MAX_REQUESTS {
        let entry = Entry::Keys("5".into());
        let request = Request::Keys { entry, at: now };
        stage.board.queue_request(now, mia, request);
    }
    stage.input(Input::Store(StoreAnswer::Up));

    assert_eq!(stage.codes(), [ErrorCode::Busy]);
}
