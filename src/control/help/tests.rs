//! Requests for help on the phone: what is spoken, what `2#` means, who is told of the end.

use crate::control::call::Side;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::help::EXPIRY;
use crate::control::input::{Ask, OperatorIdentity, Reply};
use crate::control::output::{Notice, Output};
use crate::control::record::{HelpState, Outcome, Record};
use crate::control::refusal::ErrorCode;
use crate::id::{CallId, HelpId};

#[test]
fn a_supervisor_who_listens_hears_who_asks_when_nothing_else_is_spoken() {
    let (mut stage, _, mia) = Stage::listening();
    let other = stage.call("205");

    let help = raise(&mut stage, other);
    assert_eq!(stage.last_said(mia), "listening", "not over another word");
    stage.prompt_ends(mia);

    assert_eq!(stage.last_said(mia), "help-waiting-1 2 0 5 help-waiting-2");
    assert_eq!(state(&stage, help), HelpState::Requested);
    stage.press(mia, "2#");
    assert_eq!(state(&stage, help), HelpState::InProgress);
    assert_eq!(stage.board.session(mia).unwrap().call, other);
}

#[test]
fn a_supervisor_in_the_menu_hears_the_menu_again_with_who_asks() {
    let mut stage = Stage::new();
    stage.call("204");
    let second = stage.call("205");
    let mia = stage.dial_in(MIA);
    stage.prompt_ends(mia);

    raise(&mut stage, second);

    assert!(
        stage
            .last_said(mia)
            .starts_with("help-waiting-1 2 0 5 help-waiting-2")
    );
}

#[test]
fn two_means_the_request_that_was_spoken_of_last() {
    let (mut stage, call, mia) = Stage::listening();
    stage.prompt_ends(mia);
    let first = raise(&mut stage, call);
    stage.prompt_ends(mia);
    let other = stage.call("205");
    let second = raise(&mut stage, other);
    assert_eq!(stage.last_said(mia), "help-waiting-1 2 0 5 help-waiting-2");

    stage.press(mia, "2#");

    assert_eq!(state(&stage, second), HelpState::InProgress);
    assert_eq!(state(&stage, first), HelpState::Requested);
}

#[test]
fn two_for_a_request_that_somebody_else_took_takes_no_other() {
    let (mut stage, call, mia) = Stage::listening();
    let other = stage.call("205");
    let older = raise(&mut stage, other);
    stage.prompt_ends(mia);
    stage.prompt_ends(mia);
    let spoken_of = raise(&mut stage, call);
    assert_eq!(stage.last_said(mia), "help-waiting-1 2 0 4 help-waiting-2");
    stage.ask("ona", Ask::AcceptHelp { help: spoken_of });

    stage.press(mia, "2#");

    assert_eq!(stage.codes(), [ErrorCode::HelpTaken]);
    assert_eq!(state(&stage, older), HelpState::Requested);
    stage.press(mia, "2#");
    assert_eq!(state(&stage, older), HelpState::InProgress, "the next one");
}

#[test]
fn a_request_that_is_gone_before_it_is_spoken_of_is_not_spoken_of() {
    let (mut stage, call, mia) = Stage::listening();
    let help = raise(&mut stage, call);
    stage.ask_as(agent("204"), Ask::CancelHelp { help });

    stage.prompt_ends(mia);

    assert_eq!(stage.said(mia), ["listening"]);
}

#[test]
fn nobody_hears_of_requests_out_of_scope_of_their_own_or_about_their_own_call() {
    let mut stage = Stage::new();
    let call = stage.call("204");
    let other = stage.call("205");
    stage.change_mia(|mia| mia.agent_extension = Some("205".into()));
    let mia = stage.dial_in(MIA);
    stage.prompt_ends(mia);
    let before = stage.said(mia).len();

    // Her own call as an agent, one that she raised herself, and one that is not hers to see.
    raise(&mut stage, other);
    stage.ask("mia", ask_for(call));
    let elsewhere = stage.call("301");
    raise_as(&mut stage, "301", elsewhere);

    assert_eq!(stage.said(mia).len(), before);
    let own = *stage.board.desk.help.keys().next().unwrap();
    assert_eq!(
        stage.ask("mia", Ask::AcceptHelp { help: own }),
        Some(Reply::Refused(ErrorCode::OwnCall))
    );
}

#[test]
fn who_helps_is_told_when_the_agent_closes_the_request() {
    let (mut stage, call, mia) = Stage::listening();
    let help = raise(&mut stage, call);
    stage.ask("mia", Ask::AcceptHelp { help });
    let ona = stage.dial_in(ONA);
    stage.prompt_ends(mia);

    stage.ask_as(agent("204"), Ask::CloseHelp { help });

    assert_eq!(stage.last_said(mia), "help-closed");
    assert_ne!(stage.last_said(ona), "help-closed");
    assert!(stage.board.session(mia).is_some(), "the session goes on");
}

#[test]
fn every_step_of_a_request_is_told_with_its_time_and_who_helps() {
    let (mut stage, call) = Stage::talking();
    let help = raise(&mut stage, call);
    stage.advance(std::time::Duration::from_secs(3));
    stage.ask("mia", Ask::AcceptHelp { help });
    stage.advance(std::time::Duration::from_secs(4));
    stage.ask_as(agent("204"), Ask::CloseHelp { help });
    let second = raise(&mut stage, call);
    stage.advance(EXPIRY);

    let told = told(&stage);

    let states: Vec<_> = told.iter().map(|view| (view.id, view.state)).collect();
    assert_eq!(
        states,
        [
            (help, HelpState::Requested),
            (help, HelpState::InProgress),
            (help, HelpState::Closed),
            (second, HelpState::Requested),
            (second, HelpState::Expired),
        ]
    );
    assert_eq!(told[1].provided_by.as_deref(), Some("mia"));
    let closed = &told[2];
    let after = |at: Option<std::time::Instant>| (at.unwrap() - closed.raised_at).as_secs();
    assert_eq!((after(closed.accepted_at), after(closed.ended_at)), (3, 7));
    assert_eq!(told[3].accepted_at, None);
}

#[test]
fn what_is_refused_is_written_down() {
    let (mut stage, call) = Stage::talking();
    let help = raise(&mut stage, call);
    let again = stage.ask_as(agent("204"), ask_for(call));
    assert_eq!(again, Some(Reply::Conflict));
    stage.ask("mia", Ask::AcceptHelp { help });
    stage.ask("ona", Ask::AcceptHelp { help });
    stage.ask_as(agent("204"), Ask::CancelHelp { help });

    let refused: Vec<_> = stage
        .audit()
        .into_iter()
        .filter(|row| row.outcome == Outcome::Refused)
        .map(|row| {
            (
                row.actor.to_string(),
                row.action,
                row.code,
                row.help_request,
            )
        })
        .collect();

    assert_eq!(
        refused,
        [
            ("204".into(), "help_raise", None, Some(help)),
            (
                "ona".into(),
                "help_accept",
                Some(ErrorCode::HelpTaken),
                Some(help)
            ),
            ("204".into(), "help_cancel", None, Some(help)),
        ]
    );
}

#[test]
fn a_request_ends_with_its_call_whether_it_waits_or_is_being_helped_with() {
    for (accepted, last) in [(false, HelpState::Cancelled), (true, HelpState::Closed)] {
        let (mut stage, call) = Stage::talking();
        let help = raise(&mut stage, call);
        if accepted {
            stage.ask("mia", Ask::AcceptHelp { help });
        }

        stage.party_hangs_up(call, Side::User);

        assert_eq!(state(&stage, help), last);
        assert!(stage.outputs.iter().any(|(_, output)| matches!(
            output,
            Output::Record { record: Record::Help(row), .. }
                if row.help == help && row.state == last
        )));
    }
}

fn raise(stage: &mut Stage, call: CallId) -> HelpId {
    let agent = stage.board.calls[&call].pupil.agent.clone().unwrap();
    raise_as(stage, &agent, call)
}

fn raise_as(stage: &mut Stage, extension: &str, call: CallId) -> HelpId {
    match stage.ask_as(agent(extension), ask_for(call)) {
        Some(Reply::Help { help, .. }) => help,
        other => panic!("not raised: {other:?}"),
    }
}

fn ask_for(call: CallId) -> Ask {
    Ask::RaiseHelp {
        call: Some(call),
        agent: None,
        reason: "price".into(),
        comment: "".into(),
    }
}

fn agent(extension: &str) -> OperatorIdentity {
    OperatorIdentity::Agent(extension.into())
}

fn state(stage: &Stage, help: HelpId) -> HelpState {
    stage.board.desk.help[&help].state
}

fn told(stage: &Stage) -> Vec<crate::control::snapshot::HelpView> {
    stage
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Notify(Notice::HelpChanged(view)) => Some(view.clone()),
            _ => None,
        })
        .collect()
}
