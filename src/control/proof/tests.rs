//! The call that proves a number.

use std::sync::Arc;

use regex::Regex;

use crate::control::harness::descriptions::pcmu;
use crate::control::harness::stage::Stage;
use crate::control::input::{Ask, Reply, Signal};
use crate::control::output::{Output, SignalCommand, Target};
use crate::control::proof::ProofCode;
use crate::control::settings::{Route, RouteTarget, Settings};
use crate::id::LegId;

const NUMBER: &str = "+358409998877";

#[test]
fn the_number_is_called_by_the_supervising_number_and_hears_its_code() {
    let mut stage = stage_with_a_route();

    assert_eq!(prove(&mut stage), Some(Reply::Done));
    let (phone, caller) = dialled(&stage);
    assert_eq!(caller.as_deref(), Some("800"));
    let sdp = pcmu("sendrecv");
    stage.signal(phone, Signal::Answered { sdp: Some(sdp) });

    let said = stage.said(phone).join(" ");
    let code = "code-is 4 7 1 1 0 2";
    assert_eq!(
        said,
        format!("pause {code} confirm-number pause {code} pause {code}")
    );
    stage.press(phone, "1#");
    assert!(!stage.in_menu(phone) && stage.role(phone).is_none());
    stage.prompt_ends(phone);
    assert!(stage.was_hung_up(phone));
    assert_eq!(outcomes(&stage), ["requested", "done"]);
}

#[test]
fn one_call_at_a_time() {
    let mut stage = stage_with_a_route();

    assert_eq!(prove(&mut stage), Some(Reply::Done));
    assert_eq!(prove(&mut stage), Some(Reply::Conflict));
}

#[test]
fn a_number_that_no_route_leads_to_is_not_called() {
    let mut stage = Stage::new();

    assert_eq!(prove(&mut stage), Some(Reply::Conflict));
    assert_eq!(outcomes(&stage), ["refused"]);
}

#[test]
fn a_phone_that_nobody_answers_is_told_to_the_audit() {
    let mut stage = stage_with_a_route();
    prove(&mut stage);
    let (phone, _) = dialled(&stage);

    let signal = Signal::Failed {
        status: 486,
        reason: "Busy Here".into(),
    };
    stage.signal(phone, signal);

    assert_eq!(outcomes(&stage), ["requested", "failed"]);
    assert!(!stage.is_on_the_line(phone));
}

#[test]
fn a_code_is_six_digits_and_is_never_printed() {
    let code = ProofCode::of("471102").unwrap();

    assert_eq!(code.digits(), "471102");
    assert_eq!(format!("{code:?}"), "ProofCode");
    for wrong in ["", "47110", "4711022", "47110a", "４７"] {
        assert_eq!(ProofCode::of(wrong), None);
    }
}

fn stage_with_a_route() -> Stage {
    Stage::with(Settings {
        routes: vec![Route {
            number: Regex::new(r"^\+").unwrap(),
            from: None,
            to: RouteTarget::Trunk {
                name: "carrier".into(),
                external: true,
            },
        }],
        ..Settings::default()
    })
}

fn prove(stage: &mut Stage) -> Option<Reply> {
    let ask = Ask::ProveNumber {
        number: NUMBER.into(),
        code: ProofCode::of("471102").unwrap(),
    };
    stage.ask("mia", ask)
}

fn dialled(stage: &Stage) -> (LegId, Option<Arc<str>>) {
    let mut dialled = stage.outputs.iter().filter_map(|(_, output)| match output {
        Output::Signal {
            leg,
            command: SignalCommand::Dial(dial),
        } => match &dial.target {
            Target::Trunk { number, .. } if &**number == NUMBER => {
                Some((*leg, dial.caller.clone()))
            }
            _ => None,
        },
        _ => None,
    });
    dialled.next().expect("the number is dialled")
}

fn outcomes(stage: &Stage) -> Vec<&'static str> {
    let rows = stage.audit().into_iter();
    rows.filter(|row| row.action == "prove_phone_call")
        .map(|row| row.outcome.name())
        .collect()
}
