//! Who is let in: registered numbers, PINs, locks.

use std::time::Duration;

use regex::Regex;

use crate::control::desk::PIN_LOCK;
use crate::control::harness::descriptions::pcmu;
use crate::control::harness::stage::{MIA, PIN, Stage};
use crate::control::input::{CallerIdTrust, Input, Signal, StoreAnswer};
use crate::control::output::{Output, SignalCommand, Target};
use crate::control::record::Outcome;
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::settings::{PinPolicy, Route, RouteTarget, Settings};
use crate::media::command::{Command, Event};

use CallerIdTrust::{Trusted, Untrusted};

#[test]
fn a_stranger_is_answered_told_so_hung_up_and_written_down() {
    for caller in [Some("+358409999999"), None] {
        let (mut stage, call) = Stage::talking();

        let stranger = stage.dial_in_by(caller, Trusted);
        assert_eq!(stage.said(stranger), ["9 0 0 1"]);
        assert!(!stage.was_hung_up(stranger), "the sentence is spoken first");
        stage.prompt_ends(stranger);

        assert!(stage.was_hung_up(stranger));
        assert!(!stage.is_on_the_line(stranger));
        let row = stage.audit()[0];
        assert_eq!(row.code, Some(ErrorCode::Unregistered));
        assert_eq!(&*row.actor, caller.unwrap_or("unknown"));
        let shown = format!("from {}", caller.unwrap_or("anonymous"));
        assert_eq!(row.detail.as_deref(), Some(&*shown));
        stage.assert_untouched(call);
    }
}

#[test]
fn who_only_says_to_be_a_supervisor_is_not_who_acts() {
    let (mut stage, _) = Stage::talking();

    stage.dial_in_by(Some("mia"), Trusted);

    let row = stage.audit()[0];
    assert_eq!(row.code, Some(ErrorCode::Unregistered));
    assert_eq!(&*row.actor, "unknown");
    assert_eq!(row.detail.as_deref(), Some("from mia"));
}

#[test]
fn a_key_does_not_cut_short_what_a_stranger_is_told() {
    let (mut stage, _) = Stage::talking();
    let stranger = stage.dial_in_by(None, Trusted);

    stage.press(stranger, "1#");

    assert!(
        !stage
            .commands()
            .any(|command| matches!(command, Command::StopPlay { .. }))
    );
}

#[test]
fn a_stranger_is_refused_by_signalling_where_the_policy_says_so() {
    let mut stage = Stage::with(Settings {
        answer_unregistered: false,
        ..Settings::default()
    });

    let stranger = stage.dial_in_by(None, Trusted);

    assert!(matches!(
        stage.signals(stranger)[..],
        [SignalCommand::Reject { status: 403, .. }]
    ));
    assert_eq!(stage.codes(), [ErrorCode::Unregistered]);
}

#[test]
fn an_organisation_without_supervision_says_so_before_anything_else() {
    let (mut stage, _) = Stage::talking();
    stage.change_directory(|directory| {
        directory.organisations.get_mut("acme").unwrap().supervision = false;
    });

    for caller in [Some(MIA), None] {
        let leg = stage.dial_in_by(caller, Untrusted);
        assert_eq!(stage.said(leg), ["9 0 0 3"]);
    }
    assert_eq!(stage.codes(), [ErrorCode::SupervisionOff; 2]);
}

#[test]
fn a_node_that_cannot_record_or_drains_lets_nobody_in() {
    for input in [|| Input::Store(StoreAnswer::Down), || Input::Drain] {
        let (mut stage, call) = Stage::talking();
        stage.input(input());

        let mia = stage.dial_in(MIA);

        assert_eq!(stage.said(mia), ["9 0 1 0"]);
        assert_eq!(stage.codes(), [ErrorCode::Busy]);
        stage.assert_untouched(call);
    }
}

#[test]
fn the_pin_is_asked_for_where_the_policy_wants_it() {
    for (policy, trust, asked) in [
        (PinPolicy::Never, Untrusted, false),
        (PinPolicy::Untrusted, Trusted, false),
        (PinPolicy::Untrusted, Untrusted, true),
        (PinPolicy::Always, Trusted, true),
        (PinPolicy::Always, Untrusted, true),
    ] {
        let mut stage = Stage::with(Settings {
            pin: policy,
            ..Settings::default()
        });
        stage.call("204");

        let mia = stage.dial_in_by(Some(MIA), trust);

        let expected = match asked {
            true => "enter-pin",
            false => "listening",
        };
        assert_eq!(stage.said(mia), [expected], "{policy:?} {trust:?}");
    }
}

#[test]
fn a_registered_softphone_is_proven_and_asked_for_nothing() {
    let mut stage = Stage::with(Settings {
        pin: PinPolicy::Always,
        ..Settings::default()
    });
    stage.call("204");

    let mia = stage.dial_in_registered("mia");

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
}

#[test]
fn the_right_pin_leads_to_the_call() {
    let (mut stage, _) = Stage::talking();
    let mia = stage.dial_in_by(Some(MIA), Untrusted);

    stage.press(mia, &format!("{PIN}#"));

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    let pin: Vec<_> = stage
        .audit()
        .into_iter()
        .filter(|row| row.action == "pin")
        .collect();
    assert_eq!(pin[0].outcome, Outcome::Done);
    assert_eq!(pin[0].detail, None, "a PIN is never written down");
}

#[test]
fn the_third_wrong_pin_is_9002_and_locks_this_trunk_for_fifteen_minutes() {
    let (mut stage, _) = Stage::talking();
    let mia = stage.dial_in_by(Some(MIA), Untrusted);

    stage.press(mia, "0000#");
    assert_eq!(stage.last_said(mia), "wrong-pin enter-pin");
    stage.press(mia, "1111#2222#");
    assert_eq!(stage.last_said(mia), "9 0 0 2");
    stage.prompt_ends(mia);
    assert!(stage.was_hung_up(mia));
    assert_eq!(stage.codes(), [ErrorCode::PinFailed]);

    let again = stage.dial_in_by(Some(MIA), Untrusted);
    assert_eq!(stage.said(again), ["9 0 0 2"]);
    stage.prompt_ends(again);
    // Where the caller ID is believed, no PIN is wanted and no lock counts.
    let trusted = stage.dial_in(MIA);
    assert_eq!(stage.role(trusted), Some(Supervision::Monitoring));
    stage.hang_up(trusted);

    stage.advance(PIN_LOCK);
    let later = stage.dial_in_by(Some(MIA), Untrusted);
    stage.press(later, &format!("{PIN}#"));
    assert_eq!(stage.role(later), Some(Supervision::Monitoring));
}

#[test]
fn wrong_pins_add_up_over_calls() {
    let (mut stage, _) = Stage::talking();
    for wrong in ["0000#", "1111#"] {
        let mia = stage.dial_in_by(Some(MIA), Untrusted);
        stage.press(mia, wrong);
        stage.hang_up(mia);
    }

    let mia = stage.dial_in_by(Some(MIA), Untrusted);
    stage.press(mia, "2222#");

    assert_eq!(stage.last_said(mia), "9 0 0 2");
}

#[test]
fn a_pin_that_was_never_set_is_9002_and_no_try_is_counted() {
    let (mut stage, _) = Stage::talking();
    stage.change_mia(|mia| mia.has_pin = false);

    for _ in 0..4 {
        let mia = stage.dial_in_by(Some(MIA), Untrusted);
        assert_eq!(stage.said(mia), ["9 0 0 2"]);
        stage.prompt_ends(mia);
    }
    stage.change_mia(|mia| mia.has_pin = true);
    let mia = stage.dial_in_by(Some(MIA), Untrusted);

    assert_eq!(stage.said(mia), ["enter-pin"]);
}

#[test]
fn a_pin_may_be_corrected_with_star_and_typed_anew_after_a_pause() {
    let (mut stage, _) = Stage::talking();
    let mia = stage.dial_in_by(Some(MIA), Untrusted);

    stage.press(mia, "99*");
    stage.press(mia, "12");
    stage.advance(Duration::from_secs(4));
    stage.press(mia, &format!("{PIN}#"));

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
}

#[test]
fn nobody_at_the_pin_question_is_hung_up_after_a_while() {
    let (mut stage, _) = Stage::talking();
    let mia = stage.dial_in_by(Some(MIA), Untrusted);

    stage.advance(Duration::from_secs(31));
    stage.prompt_ends(mia);

    assert_eq!(stage.last_said(mia), "goodbye");
    assert!(stage.was_hung_up(mia));
}

#[test]
fn without_a_port_the_dial_in_is_refused_with_503_and_written_down_as_9011() {
    let (mut stage, call) = Stage::talking();
    stage.manners.ports = false;

    let mia = stage.dial_in(MIA);
    stage.media(Event::OpenFailed { leg: mia });

    assert!(matches!(
        stage.signals(mia)[..],
        [SignalCommand::Reject { status: 503, .. }]
    ));
    assert_eq!(stage.codes(), [ErrorCode::ConferenceFailed]);
    assert!(!stage.is_on_the_line(mia));
    stage.assert_untouched(call);
}

#[test]
fn a_caller_in_national_form_is_recognised() {
    let (mut stage, _) = Stage::talking();

    let mia = stage.dial_in("0401234567");

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
}

#[test]
fn by_policy_a_caller_id_is_proven_by_calling_the_registered_phone_back() {
    let mut stage = Stage::with(Settings {
        pin: PinPolicy::CallBack,
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
    stage.call("204");

    let dialled_in = stage.dial_in(MIA);
    stage.dial_in(MIA);
    assert!(matches!(
        stage.signals(dialled_in)[..],
        [SignalCommand::Reject { status: 480, .. }]
    ));
    let rung: Vec<_> = stage
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Signal {
                leg,
                command: SignalCommand::Dial(dial),
            } => Some((*leg, dial.target.clone())),
            _ => None,
        })
        .collect();
    let [(phone, target)] = &rung[..] else {
        panic!("the phone rings once, however often somebody dials in");
    };
    let expected = Target::Trunk {
        name: "carrier".into(),
        number: MIA.into(),
    };
    assert_eq!(*target, expected);

    let sdp = pcmu("sendrecv");
    stage.signal(*phone, Signal::Answered { sdp: Some(sdp) });
    assert_eq!(stage.said(*phone), ["press-one"]);
    stage.press(*phone, "1");
    assert_eq!(stage.role(*phone), Some(Supervision::Monitoring));
}
