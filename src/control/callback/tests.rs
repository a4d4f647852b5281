//! Call-me: the conference first, then the phones, then a person.

use std::time::Duration;

use regex::Regex;

use crate::control::call::Side;
use crate::control::harness::descriptions::pcmu;
use crate::control::harness::stage::{PIN, Stage};
use crate::control::input::{Ask, Reply, Signal};
use crate::control::output::{Output, SignalCommand, Target};
use crate::control::record::Outcome;
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::settings::{Route, RouteTarget, Settings};
use crate::control::snapshot::SessionState;
use crate::id::{CallId, LegId};
use crate::media::command::ConveneRefusal;

const SOFTPHONE: &str = "sip:mia@127.0.0.3:5060";
const MOBILE: &str = "+358401234567";

#[test]
fn the_conference_is_reserved_before_anything_rings() {
    let (mut stage, call) = stage_with_devices();
    stage.manners.convene = Err(ConveneRefusal::Admission);

    call_me(&mut stage, call, None);

    assert_eq!(
        stage.replies(),
        [Reply::Refused(ErrorCode::ConferenceFailed)]
    );
    assert!(dialled(&stage).is_empty());
    stage.assert_untouched(call);
    assert!(stage.board.snapshot().sessions.is_empty());
}

#[test]
fn all_phones_ring_the_first_answer_wins_and_the_others_are_told() {
    let (mut stage, call) = stage_with_devices();

    call_me(&mut stage, call, None);
    assert!(matches!(stage.replies()[..], [Reply::Session { .. }]));
    let rung = dialled(&stage);
    assert_eq!(
        rung.len(),
        3,
        "two devices and the softphone that may be registered"
    );
    let sessions = stage.board.snapshot().sessions;
    assert_eq!(sessions[0].state, SessionState::Ringing);
    answer(&mut stage, rung[0]);

    assert_eq!(stage.role(rung[0]), Some(Supervision::Monitoring));
    for other in &rung[1..] {
        assert!(stage.signals(*other).iter().any(|command| matches!(
            command,
            SignalCommand::Cancel { reason: Some(reason) }
                if reason.cause == 200 && &*reason.text == "Call completed elsewhere"
        )));
        assert!(!stage.is_on_the_line(*other));
    }
    assert_eq!(stage.board.snapshot().sessions.len(), 1);
}

#[test]
fn who_has_no_devices_is_rung_at_the_registered_phone() {
    let (mut stage, call) = stage_with_devices();
    stage.change_mia(|mia| mia.devices.clear());

    call_me(&mut stage, call, None);

    let rung = stage.outputs.iter().filter_map(|(_, output)| match output {
        Output::Signal {
            command: SignalCommand::Dial(dial),
            ..
        } => Some(dial.target.clone()),
        _ => None,
    });
    let mobile = Target::Trunk {
        name: "carrier".into(),
        number: MOBILE.into(),
    };
    assert!(rung.into_iter().any(|target| target == mobile));
}

#[test]
fn a_phone_outside_has_to_press_one_and_keys_are_ignored_for_a_second_after_it() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, Some(MOBILE));
    let mobile = dialled(&stage)[0];

    answer(&mut stage, mobile);
    assert_eq!(stage.said(mobile), ["press-one"]);
    assert_eq!(stage.role(mobile), None);
    let sessions = stage.board.snapshot().sessions;
    assert_eq!(sessions[0].state, SessionState::Confirming);
    stage.press(mobile, "2#");
    assert_eq!(stage.role(mobile), None);
    stage.press(mobile, "1");
    assert_eq!(stage.role(mobile), Some(Supervision::Monitoring));
    stage.press(mobile, "1#");
    assert_eq!(stage.role(mobile), Some(Supervision::Monitoring));

    stage.advance(Duration::from_secs(1));
    stage.press(mobile, "4#");
    assert!(stage.role(mobile).is_some_and(Supervision::speaks));
}

#[test]
fn a_voicemail_box_hears_nothing_of_the_call_and_is_hung_up() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, Some(MOBILE));
    let mobile = dialled(&stage)[0];
    answer(&mut stage, mobile);

    stage.advance(Duration::from_secs(31));

    assert!(stage.was_hung_up(mobile));
    assert_eq!(stage.said(mobile), ["press-one"]);
    stage.assert_untouched(call);
}

#[test]
fn a_number_that_is_not_listed_is_rung_by_policy_alone_and_wants_the_pin() {
    let (mut stage, call) = stage_with_devices();
    let other = "+358409998877";
    call_me(&mut stage, call, Some(other));
    assert_eq!(stage.replies(), [Reply::Refused(ErrorCode::NotPermitted)]);

    stage.board.settings.allow_unlisted_callout = true;
    call_me(&mut stage, call, Some(other));
    let phone = dialled(&stage)[0];
    answer(&mut stage, phone);
    stage.press(phone, "1");
    assert_eq!(stage.last_said(phone), "enter-pin");
    stage.advance(Duration::from_secs(1));
    stage.press(phone, &format!("{PIN}#"));

    assert_eq!(stage.role(phone), Some(Supervision::Monitoring));
}

#[test]
fn an_agent_who_hangs_up_while_the_phone_rings_is_9013_for_the_one_who_answers() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, Some(SOFTPHONE));
    let phone = dialled(&stage)[0];
    stage.party_hangs_up(call, Side::Pupil);

    answer(&mut stage, phone);

    assert_eq!(stage.codes(), [ErrorCode::PupilGone]);
    assert!(stage.last_said(phone).starts_with("9 0 1 3"));
    assert!(stage.in_menu(phone));
}

#[test]
fn phones_that_nobody_answers_give_the_conference_back() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, None);

    stage.advance(Duration::from_secs(61));

    stage.assert_untouched(call);
    assert!(stage.board.snapshot().sessions.is_empty());
    assert!(stage.board.supervisors.is_empty());
}

#[test]
fn a_callback_may_be_cancelled_while_it_rings() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, None);
    let session = stage.board.snapshot().sessions[0].id;

    assert_eq!(
        stage.ask("mia", Ask::EndSession { session }),
        Some(Reply::Done)
    );

    stage.assert_untouched(call);
    assert!(stage.board.supervisors.is_empty());
}

#[test]
fn one_session_at_a_time() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, None);

    call_me(&mut stage, call, None);

    assert_eq!(stage.replies().pop(), Some(Reply::Conflict));
    assert_eq!(refused(&stage), [("call_me", None)]);
}

#[test]
fn a_role_for_a_session_whose_phone_rings_is_refused_and_written_down() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, None);
    let session = stage.board.snapshot().sessions[0].id;

    let asked = stage.ask(
        "mia",
        Ask::SetRole {
            session,
            supervision: Supervision::Barged,
        },
    );

    assert_eq!(asked, Some(Reply::Conflict));
    assert_eq!(refused(&stage), [("role", Some("barge".to_owned()))]);
}

#[test]
fn a_listen_only_session_refuses_to_speak_with_9005() {
    let (mut stage, call) = stage_with_devices();
    stage.ask(
        "mia",
        Ask::CallMe {
            call,
            device: Some(SOFTPHONE.into()),
            coaching_enabled: false,
        },
    );
    let phone = dialled(&stage)[0];
    answer(&mut stage, phone);
    assert_eq!(stage.role(phone), Some(Supervision::Monitoring));

    for keys in ["4#", "8#", "6#", "0#", "1#"] {
        stage.press(phone, keys);
        assert_eq!(stage.last_said(phone), "9 0 0 5", "{keys}");
    }
    assert_eq!(stage.codes(), [ErrorCode::CoachingOff; 5]);
}

fn stage_with_devices() -> (Stage, CallId) {
    let mut stage = Stage::with(Settings {
        routes: vec![Route {
            number: Regex::new(r"^\+").unwrap(),
            from: None,
            to: RouteTarget::Trunk {
                name: "carrier".into(),
                external: true,
            },
        }],
        ..Settings::default()
    });
    stage.change_mia(|mia| mia.devices = vec![SOFTPHONE.into(), MOBILE.into()]);
    let call = stage.call("204");
    (stage, call)
}

fn call_me(stage: &mut Stage, call: CallId, device: Option<&str>) {
    stage.ask(
        "mia",
        Ask::CallMe {
            call,
            device: device.map(Into::into),
            coaching_enabled: true,
        },
    );
}

fn dialled(stage: &Stage) -> Vec<LegId> {
    stage
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Signal {
                leg,
                command: SignalCommand::Dial(_),
            } => Some(*leg),
            _ => None,
        })
        .collect()
}

fn answer(stage: &mut Stage, leg: LegId) {
    let sdp = pcmu("sendrecv");
    stage.signal(leg, Signal::Answered { sdp: Some(sdp) });
}

#[test]
fn a_wrong_pin_too_many_on_a_phone_that_was_rung_gives_the_conference_back() {
    let (mut stage, call) = stage_with_devices();
    stage.board.settings.allow_unlisted_callout = true;
    call_me(&mut stage, call, Some("+358409998877"));
    let phone = dialled(&stage)[0];
    answer(&mut stage, phone);
    stage.press(phone, "1");
    stage.advance(Duration::from_secs(1));

    stage.press(phone, "0000#1111#2222#");

    assert_eq!(stage.last_said(phone), "9 0 0 2");
    stage.assert_untouched(call);
    assert!(stage.board.snapshot().sessions.is_empty());
}

#[test]
fn a_phone_whose_pin_nobody_types_gives_the_conference_back() {
    let (mut stage, call) = stage_with_devices();
    stage.board.settings.allow_unlisted_callout = true;
    call_me(&mut stage, call, Some("+358409998877"));
    let phone = dialled(&stage)[0];
    answer(&mut stage, phone);
    stage.press(phone, "1");

    stage.advance(Duration::from_secs(31));

    assert_eq!(stage.last_said(phone), "goodbye");
    stage.assert_untouched(call);
}

#[test]
fn a_session_is_seen_from_the_first_ring_to_its_end_and_remembered_after_it() {
    let (mut stage, call) = stage_with_devices();
    stage.manners.matrices = false;
    call_me(&mut stage, call, Some(SOFTPHONE));
    let phone = dialled(&stage)[0];
    let seen = |stage: &Stage| {
        let snapshot = stage.board.snapshot();
        let states: Vec<_> = snapshot
            .sessions
            .iter()
            .map(|session| session.state)
            .collect();
        (states, snapshot.over.len())
    };
    assert_eq!(seen(&stage), (vec![SessionState::Ringing], 0));

    answer(&mut stage, phone);
    assert_eq!(seen(&stage), (vec![SessionState::Confirming], 0));
    stage.release();
    let monitoring = SessionState::Supervising(Supervision::Monitoring);
    assert_eq!(seen(&stage), (vec![monitoring], 0));
    let session = stage.board.snapshot().sessions[0].id;
    stage.hang_up(phone);

    assert_eq!(seen(&stage), (vec![], 1));
    let over = stage.board.snapshot().over[0].clone();
    assert_eq!((over.id, over.state), (session, SessionState::Ended));
}

#[test]
fn a_session_that_nobody_came_to_is_remembered_as_ended() {
    let (mut stage, call) = stage_with_devices();
    call_me(&mut stage, call, Some(SOFTPHONE));
    let phone = dialled(&stage)[0];
    stage.party_hangs_up(call, Side::Pupil);
    answer(&mut stage, phone);

    assert_eq!(stage.board.snapshot().over.len(), 1);
    assert!(stage.board.snapshot().sessions.is_empty());
}

#[test]
fn a_listed_number_is_known_in_its_national_form() {
    let (mut stage, call) = stage_with_devices();
    stage.change_mia(|mia| mia.default_country = Some("FI".into()));

    call_me(&mut stage, call, Some("040 123 4567"));

    assert!(matches!(stage.replies()[..], [Reply::Session { .. }]));
    assert_eq!(dialled(&stage).len(), 1);
}

/// What was refused, with what was asked for.
fn refused(stage: &Stage) -> Vec<(&'static str, Option<String>)> {
    let rows = stage.audit();
    let refused = rows.iter().filter(|row| row.outcome == Outcome::Refused);
    refused
        .map(|row| (row.action, row.detail.as_deref().map(str::to_owned)))
        .collect()
}
