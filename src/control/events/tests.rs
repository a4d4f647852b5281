//! Supervision across what happens to calls and phones.

use std::time::Duration;

use crate::control::call::Side;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::output::SignalCommand;
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::control::settings::Settings;
use crate::id::LegId;
use crate::media::command::{Command, Event};
use crate::media::matrix::Seat;

fn second_seat() -> Seat {
    Seat::new(2).unwrap()
}

#[test]
fn a_call_that_ends_under_a_listener_says_so_and_no_code_and_leads_to_the_menu() {
    for side in [Side::User, Side::Pupil] {
        for keys in ["", "4#", "8#"] {
            let (mut stage, call, mia) = Stage::listening();
            stage.press(mia, keys);

            stage.party_hangs_up(call, side);

            assert!(stage.board.calls.is_empty());
            assert_eq!(stage.last_said(mia), "call-ended", "{side:?} {keys}");
            assert_eq!(stage.codes(), []);
            assert!(stage.in_menu(mia));
            stage.prompt_ends(mia);
            assert_eq!(stage.last_said(mia), "enter-extension");
            stage.advance(Duration::from_secs(30));
            stage.prompt_ends(mia);
            assert!(stage.was_hung_up(mia));
        }
    }
}

#[test]
fn a_key_right_after_the_end_is_answered_and_the_menu_still_takes_an_extension() {
    let (mut stage, call, mia) = Stage::listening();
    stage.party_hangs_up(call, Side::Pupil);
    stage.press(mia, "4#");
    assert_eq!(stage.codes(), [ErrorCode::PupilGone]);

    let next = stage.call("205");
    stage.press(mia, "205#");

    assert_eq!(stage.board.session(mia).unwrap().call, next);
}

#[test]
fn an_agent_who_holds_is_told_of_by_role_and_the_held_customer_is_not_heard() {
    for (keys, spoken) in [("", "on-hold"), ("4#", "agent-on-hold"), ("6#", "on-hold")] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, keys);

        stage.hold(call, Side::Pupil, true);
        assert_eq!(stage.last_said(mia), spoken, "{keys}");
        assert!(!stage.hears(call, second_seat(), Seat::USER));
        assert!(stage.hears(call, second_seat(), Seat::PUPIL));

        stage.hold(call, Side::Pupil, false);
        assert!(stage.hears(call, second_seat(), Seat::USER));
    }
}

#[test]
fn a_held_customer_is_heard_where_the_policy_says_so() {
    let mut stage = Stage::with(Settings {
        hear_held_customer: true,
        ..Settings::default()
    });
    let call = stage.call("204");
    stage.dial_in(MIA);

    stage.hold(call, Side::Pupil, true);

    assert!(stage.hears(call, second_seat(), Seat::USER));
}

#[test]
fn commands_are_accepted_while_the_agent_holds_and_a_coach_is_warned() {
    let (mut stage, call, mia) = Stage::listening();
    stage.hold(call, Side::Pupil, true);

    stage.press(mia, "4#");

    assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    assert_eq!(stage.last_said(mia), "coaching agent-on-hold");
    assert_eq!(stage.codes(), []);
}

#[test]
fn a_silent_phone_falls_back_to_listening_and_then_loses_its_session() {
    for keys in ["4#", "8#", "6#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, keys);
        let spoken = stage.said(mia).len();

        stage.silent(mia, 30);
        assert_eq!(stage.role(mia), Some(Supervision::Monitoring), "{keys}");
        assert_eq!(stage.said(mia).len(), spoken, "nobody is there to be told");
        stage.silent(mia, 60);

        assert!(stage.was_hung_up(mia));
        stage.assert_untouched(call);
        assert!(
            stage
                .audit()
                .iter()
                .any(|row| row.action == "leave" && row.detail.as_deref() == Some("media_lost"))
        );
    }
}

#[test]
fn a_silent_listener_stays_for_a_minute() {
    let (mut stage, _, mia) = Stage::listening();

    stage.silent(mia, 30);
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    stage.silent(mia, 60);

    assert!(stage.was_hung_up(mia));
}

#[test]
fn after_a_takeover_a_silent_phone_does_not_cost_the_customer_the_call() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "1#");
    stage.advance(Duration::from_secs(1));
    let user = stage.party(call, Side::User);

    stage.silent(mia, 30);
    stage.silent(mia, 60);
    assert_eq!(stage.said(user), ["music"]);
    assert!(!stage.was_hung_up(user));
    assert_eq!(stage.role(mia), Some(Supervision::TakenOver));
    stage.media(Event::MediaHeard { leg: mia });

    assert!(
        stage
            .commands()
            .any(|command| matches!(command, Command::StopPlay { leg } if *leg == user))
    );
}

#[test]
fn a_supervisors_hold_is_answered_here_and_ends_their_speaking() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#");

    stage.supervisor_holds(mia);

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    for side in [Side::User, Side::Pupil] {
        let leg = stage.party(call, side);
        assert!(stage.signals(leg).is_empty(), "no party hears of it");
    }
}

#[test]
fn an_end_on_the_way_in_is_9013_or_9014() {
    for (side, code) in [
        (Side::Pupil, ErrorCode::PupilGone),
        (Side::User, ErrorCode::UserGone),
    ] {
        let (mut stage, call) = Stage::talking();
        stage.manners.matrices = false;
        let mia = stage.dial_in(MIA);

        stage.party_hangs_up(call, side);

        assert_eq!(stage.codes(), [code]);
        assert!(stage.in_menu(mia));
    }
}

#[test]
fn all_listeners_of_a_call_are_told_of_its_end() {
    let (mut stage, call, mia) = Stage::listening();
    let ona = stage.dial_in(ONA);

    stage.party_hangs_up(call, Side::User);

    for leg in [mia, ona] {
        assert_eq!(stage.last_said(leg), "call-ended");
        assert!(stage.in_menu(leg));
    }
    assert!(stage.board.snapshot().sessions.is_empty());
}

#[test]
fn a_listener_stays_with_a_customer_whom_a_colleague_has_taken_over() {
    let (mut stage, call, mia) = Stage::listening();
    let ona = stage.dial_in(ONA);

    stage.press(ona, "1#");
    stage.advance(Duration::from_secs(1));

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    let [mias, onas] = [2, 3].map(|seat| Seat::new(seat).unwrap());
    assert!(stage.hears(call, mias, Seat::USER));
    assert!(stage.hears(call, mias, onas));
    assert!(!stage.hears(call, onas, mias));
}

#[test]
fn a_transfer_ends_the_session_of_a_listener() {
    for keys in ["", "4#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, keys);

        stage.transferred(call, "205");

        assert!(stage.in_menu(mia), "{keys}");
        assert!(stage.last_said(mia).starts_with("call-transferred"));
    }
}

#[test]
fn by_policy_a_listener_follows_the_customer_to_an_agent_in_scope() {
    let mut stage = Stage::with(Settings {
        follow_customer: true,
        ..Settings::default()
    });
    let call = stage.call("204");
    let mia = stage.dial_in(MIA);
    stage.press(mia, "4#");

    stage.transferred(call, "205");
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    stage.transferred(call, "301");

    assert!(stage.in_menu(mia), "agent 301 is not in scope");
}

#[test]
fn who_barged_stays_with_a_customer_who_is_transferred() {
    let (mut stage, call, mia) = Stage::listening();
    stage.press(mia, "6#");

    stage.transferred(call, "301");

    assert_eq!(stage.role(mia), Some(Supervision::Barged));
}

#[test]
fn a_whole_call_is_held_barged_into_resumed_taken_over_and_ended() {
    let mut stage = Stage::new();
    let call = stage.real_call();
    let [user, pupil] = [Side::User, Side::Pupil].map(|side| stage.party(call, side));
    let mia = stage.dial_in(MIA);
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert!(!reinvited(&stage, user) && !reinvited(&stage, pupil));

    stage.reinvite(call, Side::Pupil, "sendonly");
    assert_eq!(stage.last_said(mia), "on-hold");
    assert!(!stage.hears(call, second_seat(), Seat::USER));
    stage.press(mia, "6#");
    assert_eq!(stage.role(mia), Some(Supervision::Barged));
    assert!(
        !stage.hears(call, Seat::USER, second_seat()),
        "parted by the hold"
    );

    stage.reinvite(call, Side::Pupil, "sendrecv");
    assert!(stage.hears(call, second_seat(), Seat::USER));
    assert!(stage.hears(call, Seat::USER, second_seat()));

    stage.reinvite(call, Side::Pupil, "sendonly");
    stage.press(mia, "1#");
    stage.advance(Duration::from_secs(1));
    assert!(stage.was_hung_up(pupil));
    assert!(!stage.board.legs.contains_key(&pupil));
    assert!(stage.hears(call, second_seat(), Seat::USER));
    assert!(stage.hears(call, Seat::USER, second_seat()));
    let flow = stage.board.legs[&user].negotiation.flow;
    assert!(
        flow.we_send() && flow.we_receive(),
        "the customer is off hold"
    );

    stage.hang_up(mia);
    assert!(stage.was_hung_up(user));
    assert!(stage.board.calls.is_empty());
    assert!(stage.board.legs.is_empty());
    assert!(stage.board.supervisors.is_empty());
    assert_eq!(stage.board.poll_timeout(), None);
    assert_eq!(stage.codes(), []);
}

#[test]
fn supervision_alone_never_sends_a_party_anything() {
    let mut stage = Stage::new();
    let call = stage.real_call();
    let legs = [Side::User, Side::Pupil].map(|side| stage.party(call, side));
    let told = legs.map(|leg| stage.signals(leg).len());
    let mia = stage.dial_in(MIA);

    stage.press(mia, "4#8#6#0#5#9#");
    // A caller outside may not be whispered to.
    assert_eq!(stage.codes(), [ErrorCode::NotPermitted]);
    stage.hang_up(mia);

    assert_eq!(legs.map(|leg| stage.signals(leg).len()), told);
}

#[test]
fn the_customers_hang_up_ends_a_real_call_under_a_coach() {
    let mut stage = Stage::new();
    let call = stage.real_call();
    let mia = stage.dial_in(MIA);
    stage.press(mia, "4#");

    stage.party_hangs_up(call, Side::User);

    assert!(stage.in_menu(mia));
    assert_eq!(stage.last_said(mia), "call-ended");
    assert!(stage.board.calls.is_empty());
    assert_eq!(stage.board.legs.len(), 1);
}

fn reinvited(stage: &Stage, leg: LegId) -> bool {
    stage
        .signals(leg)
        .iter()
        .any(|command| matches!(command, SignalCommand::Reinvite { .. }))
}
