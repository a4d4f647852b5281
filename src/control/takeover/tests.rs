//! Taking the call, and ending it for everyone.

use std::time::Duration;

use crate::control::call::Side;
use crate::control::harness::descriptions::pcmu;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::input::{Ask, Reply, Signal};
use crate::control::output::{Output, SignalCommand};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::settings::{OnAgentHangUp, Settings};
use crate::control::supervisor::{LONGEST_KEY, OVERLAP};
use crate::id::{CallId, LegId, RequestId};
use crate::media::command::Event;
use crate::media::matrix::Seat;

fn taken_over() -> (Stage, CallId, LegId) {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "1#");
    stage.advance(OVERLAP);
    assert_eq!(stage.role(mia), Some(Supervision::TakenOver));
    (stage, call, mia)
}

fn second_seat() -> Seat {
    Seat::new(2).unwrap()
}

/// Since the stage began.
fn hung_up_at(stage: &Stage, leg: LegId) -> Option<Duration> {
    stage.outputs.iter().find_map(|(at, output)| match output {
        Output::Signal {
            leg: of,
            command: SignalCommand::HangUp { .. },
        } if *of == leg => Some(*at),
        _ => None,
    })
}

#[test]
fn the_agent_is_released_a_quarter_of_a_second_after_the_customer_hears_the_supervisor() {
    for from in ["", "4#", "8#", "6#"] {
        let (mut stage, call, mia) = Stage::listening();
        let [user, pupil] = [Side::User, Side::Pupil].map(|side| stage.party(call, side));
        stage.press(mia, from);

        stage.press(mia, "1#");
        let taken = stage.now - stage.start;
        assert!(stage.hears(call, Seat::USER, second_seat()));
        stage.advance(OVERLAP - Duration::from_millis(1));
        assert!(!stage.was_hung_up(pupil));
        stage.advance(Duration::from_secs(1));

        assert_eq!(hung_up_at(&stage, pupil), Some(taken + OVERLAP));
        assert!(!stage.was_hung_up(user));
        assert!(stage.hears(call, Seat::USER, second_seat()));
        assert!(stage.hears(call, second_seat(), Seat::USER));
        assert_eq!(stage.last_said(mia), "you-have-the-call");
        assert_eq!(stage.codes(), []);
    }
}

#[test]
fn the_overlap_begins_with_the_mix_in_force_and_not_with_the_request() {
    let (mut stage, call, mia) = Stage::listening();
    let pupil = stage.party(call, Side::Pupil);
    stage.manners.matrices = false;
    stage.press(mia, "1#");
    stage.advance(Duration::from_secs(1));
    assert!(!stage.was_hung_up(pupil));

    stage.release();
    stage.advance(OVERLAP);

    assert!(stage.was_hung_up(pupil));
}

#[test]
fn the_overlap_begins_with_the_release_of_the_key() {
    for held in [Duration::from_millis(600), LONGEST_KEY * 2] {
        let (mut stage, call, mia) = Stage::listening();
        let pupil = stage.party(call, Side::Pupil);
        stage.manners.releases = false;
        stage.press(mia, "1#");
        let taken = stage.now - stage.start;

        stage.advance(held);
        stage.media(Event::VoiceOpened { leg: mia });
        stage.advance(Duration::from_secs(1));

        assert_eq!(
            hung_up_at(&stage, pupil),
            Some(taken + (held + OVERLAP).min(LONGEST_KEY))
        );
    }
}

#[test]
fn after_a_takeover_only_barge_is_true_already() {
    let (mut stage, _, mia) = taken_over();

    for keys in ["6#", "0#"] {
        stage.press(mia, keys);
        assert_eq!(stage.last_said(mia), "you-have-the-call", "{keys}");
    }
    assert_eq!(stage.codes(), []);
    for keys in ["4#", "5#", "8#", "1#"] {
        stage.press(mia, keys);
        assert_eq!(stage.last_said(mia), "9 0 1 3", "{keys}");
        assert_eq!(stage.role(mia), Some(Supervision::TakenOver));
    }
    assert_eq!(stage.codes(), [ErrorCode::PupilGone; 4]);
}

#[test]
fn after_a_takeover_the_customers_call_ends_with_the_supervisor() {
    let (mut stage, call, mia) = taken_over();
    let user = stage.party(call, Side::User);

    stage.hang_up(mia);

    assert!(stage.was_hung_up(user));
    assert!(stage.board.calls.is_empty());
}

#[test]
fn after_a_takeover_the_session_ends_with_the_customer() {
    let (mut stage, call, mia) = taken_over();

    stage.party_hangs_up(call, Side::User);

    assert!(stage.in_menu(mia));
    assert!(stage.said(mia).contains(&"call-ended".to_owned()));
    assert!(stage.board.calls.is_empty());
}

#[test]
fn a_supervisor_who_leaves_during_the_overlap_leaves_the_call_to_its_agent() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "1#");

    stage.hang_up(mia);
    stage.advance(Duration::from_secs(1));

    stage.assert_untouched(call);
}

#[test]
fn a_takeover_is_asked_for_twice_where_the_policy_says_so() {
    let mut stage = Stage::with(Settings {
        takeover_confirm: true,
        ..Settings::default()
    });
    stage.call("204");
    let mia = stage.dial_in(MIA);

    stage.press(mia, "1#");
    assert_eq!(stage.last_said(mia), "takeover-confirm");
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    stage.press(mia, "4#");
    stage.press(mia, "1#");
    assert_eq!(stage.last_said(mia), "takeover-confirm");
    stage.press(mia, "1#");

    assert_eq!(stage.role(mia), Some(Supervision::TakenOver));
}

#[test]
fn seven_asks_and_a_second_seven_ends_the_call_for_everyone() {
    let (mut stage, call, mia) = Stage::listening();
    let ona = stage.dial_in(ONA);
    let legs = [Side::User, Side::Pupil].map(|side| stage.party(call, side));

    stage.press(mia, "7#");
    assert_eq!(stage.last_said(mia), "hang-up-confirm");
    assert!(legs.iter().all(|leg| !stage.was_hung_up(*leg)));
    stage.press(mia, "7#");

    assert!(legs.iter().all(|leg| stage.was_hung_up(*leg)));
    for leg in [mia, ona] {
        assert_eq!(stage.last_said(leg), "ended-for-everyone");
        assert!(stage.in_menu(leg));
    }
    assert!(stage.board.calls.is_empty());
    assert!(
        stage
            .audit()
            .iter()
            .any(|row| row.action == "hang_up" && &*row.actor == "mia" && row.call == Some(call))
    );
}

#[test]
fn a_hang_up_that_is_not_confirmed_in_time_is_cancelled() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "7#");

    stage.advance(Duration::from_secs(5));
    assert_eq!(stage.last_said(mia), "cancelled");
    stage.press(mia, "7#");

    assert_eq!(stage.last_said(mia), "hang-up-confirm");
    let user = stage.party(call, Side::User);
    assert!(!stage.was_hung_up(user));
}

#[test]
fn anything_else_cancels_a_hang_up() {
    for keys in ["4#", "12#", "*", "9#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, "7#");
        stage.press(mia, keys);
        stage.press(mia, "7#");

        assert_eq!(stage.last_said(mia), "hang-up-confirm", "{keys}");
        assert!(stage.board.calls.contains_key(&call));
    }
}

#[test]
fn hanging_up_everyone_needs_its_own_permission() {
    let (mut stage, call, mia) = Stage::listening();
    stage.change_mia(|mia| mia.may.hang_up = false);

    stage.press(mia, "7#7#");

    assert_eq!(stage.codes(), [ErrorCode::NotPermitted; 2]);
    assert!(stage.board.calls.contains_key(&call));
    assert_eq!(
        stage.ask("mia", Ask::HangUp { call }),
        Some(Reply::Refused(ErrorCode::NotPermitted))
    );
}

#[test]
fn a_click_ends_the_call_for_everyone_at_once() {
    let (mut stage, call, mia) = Stage::listening();

    assert_eq!(stage.ask("mia", Ask::HangUp { call }), Some(Reply::Done));

    assert!(stage.board.calls.is_empty());
    assert!(stage.in_menu(mia));
}

/// Mia listens, and has pressed these keys; the agent gives the customer to 205, whose phone rings.
fn transferring(keys: &str) -> (Stage, CallId, LegId, LegId) {
    let mut stage = Stage::new();
    let call = stage.real_call();
    let mia = stage.dial_in(MIA);
    stage.press(mia, keys);
    stage.manners.answers = false;
    let agent = stage.party(call, Side::Pupil);
    stage.signal(
        agent,
        Signal::Referred {
            request: RequestId(7_000),
            target: "sip:205@192.0.2.1".into(),
            consulted: None,
        },
    );
    let rung = stage
        .outputs
        .iter()
        .rev()
        .find_map(|(_, output)| match output {
            Output::Signal {
                leg,
                command: SignalCommand::Dial(_),
            } => Some(*leg),
            _ => None,
        });
    let colleague = rung.expect("205 is rung");
    assert_ne!(colleague, agent);
    (stage, call, mia, colleague)
}

fn is_busy(stage: &mut Stage, leg: LegId) {
    let (status, reason) = (486, "".into());
    stage.signal(leg, Signal::Failed { status, reason });
}

#[test]
fn a_listener_who_leaves_while_a_transfer_rings_leaves_the_customer_to_it() {
    for keys in ["", "4#", "6#"] {
        let (mut stage, call, mia, colleague) = transferring(keys);
        let user = stage.party(call, Side::User);
        stage.party_hangs_up(call, Side::Pupil);

        stage.hang_up(mia);

        assert!(!stage.was_hung_up(user), "{keys}");
        let sdp = Some(pcmu("sendrecv"));
        stage.signal(colleague, Signal::Answered { sdp });
        assert_eq!(stage.party(call, Side::Pupil), colleague);
        assert!(stage.hears(call, Seat::USER, Seat::PUPIL));
    }
}

#[test]
fn a_transfer_that_fails_leaves_the_customer_with_who_barged() {
    let (mut stage, call, mia, colleague) = transferring("6#");
    let user = stage.party(call, Side::User);
    stage.party_hangs_up(call, Side::Pupil);

    is_busy(&mut stage, colleague);

    assert!(!stage.was_hung_up(user));
    assert_eq!(stage.last_said(mia), "you-have-the-call");
    assert!(stage.hears(call, Seat::USER, second_seat()));
    stage.hang_up(mia);
    assert!(stage.was_hung_up(user));
}

#[test]
fn a_transfer_that_fails_after_the_agent_left_is_the_end_for_who_only_listens() {
    let (mut stage, call, mia, colleague) = transferring("4#");
    let user = stage.party(call, Side::User);
    stage.party_hangs_up(call, Side::Pupil);

    is_busy(&mut stage, colleague);

    assert!(stage.was_hung_up(user));
    assert!(stage.in_menu(mia));
}

#[test]
fn a_takeover_ends_a_transfer_that_rings() {
    let (mut stage, call, mia, colleague) = transferring("");
    let [user, agent] = [Side::User, Side::Pupil].map(|side| stage.party(call, side));

    stage.press(mia, "1#");
    stage.advance(OVERLAP);

    let cancelled = stage.outputs.iter().any(|(_, output)| {
        matches!(output, Output::Signal { leg, command: SignalCommand::Cancel { .. } }
            if *leg == colleague)
    });
    assert!(cancelled, "205 rings no more");
    assert!(stage.was_hung_up(agent));
    assert!(!stage.was_hung_up(user));
    assert!(stage.hears(call, Seat::USER, second_seat()));
}

#[test]
fn an_agent_who_hangs_up_in_barge_leaves_the_customer_with_the_supervisor() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#");

    stage.party_hangs_up(call, Side::Pupil);

    let user = stage.party(call, Side::User);
    assert!(!stage.was_hung_up(user));
    assert_eq!(stage.role(mia), Some(Supervision::Barged));
    assert!(stage.hears(call, Seat::USER, second_seat()));
    stage.press(mia, "3#");
    assert_eq!(
        stage.codes(),
        [ErrorCode::NotPermitted],
        "the customer has nobody else"
    );
    stage.hang_up(mia);
    assert!(stage.was_hung_up(user));
}

#[test]
fn by_policy_the_customers_call_ends_with_the_agent_even_in_barge() {
    let mut stage = Stage::with(Settings {
        on_agent_hangup_in_barge: OnAgentHangUp::End,
        ..Settings::default()
    });
    let call = stage.call("204");
    let mia = stage.dial_in(MIA);
    stage.press(mia, "6#");

    stage.party_hangs_up(call, Side::Pupil);

    assert!(stage.board.calls.is_empty());
    assert!(stage.in_menu(mia));
}
