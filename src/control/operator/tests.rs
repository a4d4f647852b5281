//! What screens and scripts ask for: help requests, sessions, and whose they are.

use std::time::Duration;

use crate::control::call::Side;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::help::EXPIRY;
use crate::control::input::{Ask, OperatorIdentity, Reply};
use crate::control::record::{HelpState, Outcome};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::snapshot::SessionState;
use crate::id::{CallId, HelpId, LegId};
use crate::media::command::Event;
use crate::media::dtmf::{Digit, DigitSource};

#[test]
fn a_request_is_taken_once_closed_by_its_agent_and_may_be_raised_again() {
    let (mut stage, call) = Stage::talking();
    let help = raise(&mut stage, call).unwrap();
    assert!(stage.board.snapshot().calls[0].help_wanted);
    assert_eq!(raise(&mut stage, call), None, "one open request of a call");

    assert_eq!(
        stage.ask("mia", Ask::AcceptHelp { help }),
        reply(help, HelpState::InProgress)
    );
    assert!(!stage.board.snapshot().calls[0].help_wanted);
    assert_eq!(
        stage.ask("ona", Ask::AcceptHelp { help }),
        Some(Reply::Refused(ErrorCode::HelpTaken))
    );
    let provider = &stage.board.desk.help[&help].provided_by;
    assert_eq!(provider.as_deref(), Some("mia"));
    assert_eq!(
        stage.ask_as(agent("204"), Ask::CloseHelp { help }),
        reply(help, HelpState::Closed)
    );
    assert_eq!(
        stage.ask("ona", Ask::AcceptHelp { help }),
        Some(Reply::Conflict)
    );
    assert!(raise(&mut stage, call).is_some());
}

#[test]
fn a_request_is_cancelled_by_its_agent_by_the_end_of_the_call_or_expires() {
    let (mut stage, call) = Stage::talking();
    let first = raise(&mut stage, call).unwrap();
    assert_eq!(
        stage.ask_as(agent("204"), Ask::CancelHelp { help: first }),
        reply(first, HelpState::Cancelled)
    );

    let second = raise(&mut stage, call).unwrap();
    stage.advance(EXPIRY);
    assert_eq!(stage.board.desk.help[&second].state, HelpState::Expired);

    let third = raise(&mut stage, call).unwrap();
    stage.party_hangs_up(call, Side::User);
    assert_eq!(stage.board.desk.help[&third].state, HelpState::Cancelled);
}

#[test]
fn help_is_asked_for_by_the_agent_of_the_call_or_a_supervisor_of_theirs() {
    let (mut stage, call) = Stage::talking();
    let ask = |call| Ask::RaiseHelp {
        call: Some(call),
        agent: None,
        reason: "".into(),
        comment: "".into(),
    };

    assert_eq!(stage.ask_as(agent("205"), ask(call)), Some(Reply::NotFound));
    stage.change_mia(|mia| mia.pools = vec!["sales".into()]);
    assert_eq!(stage.ask("mia", ask(call)), Some(Reply::NotFound));
    assert!(matches!(
        stage.ask("ona", ask(call)),
        Some(Reply::Help { .. })
    ));
}

#[test]
fn two_takes_the_waiting_request_and_joins_its_call() {
    let mut stage = Stage::new();
    stage.call("204");
    let second = stage.call("205");
    let help = raise(&mut stage, second).unwrap();

    let mia = stage.dial_in(MIA);
    assert!(
        stage
            .last_said(mia)
            .starts_with("help-waiting-1 2 0 5 help-waiting-2")
    );
    let state = stage.board.desk.help[&help].state;
    assert_eq!(state, HelpState::Requested, "dialling does not accept");
    stage.press(mia, "2#");

    assert_eq!(stage.board.session(mia).unwrap().call, second);
    assert_eq!(stage.last_said(mia), "help-accepted listening");
    assert_eq!(stage.board.desk.help[&help].state, HelpState::InProgress);
    stage.press(mia, "4#");
    assert_eq!(stage.audit().pop().unwrap().help_request, Some(help));

    let ona = stage.dial_in(ONA);
    stage.press(ona, "2#");
    assert_eq!(stage.codes(), [ErrorCode::HelpTaken]);
}

#[test]
fn two_in_a_session_takes_the_request_of_this_call_or_steps_over_to_another() {
    let (mut stage, call, mia) = Stage::listening();
    raise(&mut stage, call).unwrap();
    stage.press(mia, "2#");
    assert_eq!(stage.last_said(mia), "help-accepted");
    assert_eq!(stage.board.session(mia).unwrap().call, call);

    let second = stage.call("205");
    raise(&mut stage, second).unwrap();
    stage.press(mia, "2#");
    assert_eq!(stage.board.session(mia).unwrap().call, second);
    stage.assert_untouched(call);
}

#[test]
fn leaving_the_call_does_not_close_the_request() {
    let (mut stage, call) = Stage::talking();
    let help = raise(&mut stage, call).unwrap();
    let mia = stage.dial_in(MIA);
    stage.press(mia, "2#");

    stage.hang_up(mia);

    assert_eq!(stage.board.desk.help[&help].state, HelpState::InProgress);
}

#[test]
fn an_agents_keys_ask_for_help_and_close_the_request() {
    let (mut stage, call) = Stage::talking();
    let pupil = stage.party(call, Side::Pupil);

    agent_presses(&mut stage, pupil, "*4#");
    let help = *stage.board.desk.help.keys().next().unwrap();
    assert_eq!(stage.board.desk.help[&help].state, HelpState::Requested);
    assert_eq!(stage.said(pupil), ["help-raised"]);
    stage.ask("mia", Ask::AcceptHelp { help });
    agent_presses(&mut stage, pupil, "*5#");

    assert_eq!(stage.board.desk.help[&help].state, HelpState::Closed);
    assert_eq!(stage.last_said(pupil), "help-closed");
}

#[test]
fn an_agents_keys_ask_for_nothing_where_the_organisation_does_not_let_them() {
    let (mut stage, call) = Stage::talking();
    stage.change_directory(|directory| {
        directory.organisations.get_mut("acme").unwrap().help_keys = false;
    });
    let pupil = stage.party(call, Side::Pupil);

    agent_presses(&mut stage, pupil, "*4#");

    assert!(stage.board.desk.help.is_empty());
}

#[test]
fn a_session_is_ended_by_its_owner_or_an_administrator_and_the_call_goes_on() {
    for identity in [
        OperatorIdentity::Supervisor("mia".into()),
        OperatorIdentity::Administrator("root".into()),
    ] {
        let (mut stage, call, mia) = Stage::listening();
        let session = stage.board.session(mia).unwrap().id;
        assert_eq!(
            stage.ask("ona", Ask::EndSession { session }),
            Some(Reply::Refused(ErrorCode::NotPermitted))
        );

        assert_eq!(
            stage.ask_as(identity, Ask::EndSession { session }),
            Some(Reply::Done)
        );

        assert!(stage.was_hung_up(mia));
        stage.assert_untouched(call);
        let asked: Vec<Outcome> = stage
            .audit()
            .iter()
            .filter(|row| row.action == "end_session")
            .map(|row| row.outcome)
            .collect();
        assert_eq!(asked, [Outcome::Refused, Outcome::Done]);
    }
}

#[test]
fn a_ticket_is_issued_for_calls_in_scope_alone() {
    let mut stage = Stage::new();
    let other = stage.call("301");
    for call in [other, CallId(9)] {
        assert_eq!(
            stage.ask("mia", Ask::Ticket { call }),
            Some(Reply::Refused(ErrorCode::NoCall))
        );
    }

    let own = stage.call("204");
    stage.change_mia(|mia| mia.agent_extension = Some("204".into()));

    assert_eq!(
        stage.ask("mia", Ask::Ticket { call: own }),
        Some(Reply::Refused(ErrorCode::OwnCall))
    );
}

#[test]
fn ones_own_call_is_known_and_refused_wherever_it_is() {
    let mut stage = Stage::new();
    let own = stage.call("204");
    stage.change_mia(|mia| {
        mia.agent_extension = Some("204".into());
        mia.pools = vec!["sales".into()];
    });

    for ask in [
        Ask::Ticket { call: own },
        Ask::HangUp { call: own },
        Ask::CallMe {
            call: own,
            device: None,
            coaching_enabled: true,
        },
    ] {
        assert_eq!(
            stage.ask("mia", ask),
            Some(Reply::Refused(ErrorCode::OwnCall))
        );
    }
}

#[test]
fn a_session_is_shown_with_the_role_that_is_in_force() {
    let (mut stage, call, mia) = Stage::listening();
    stage.manners.matrices = false;
    stage.press(mia, "6#");
    let shown = |stage: &Stage| stage.board.snapshot().sessions[0].state;

    assert_eq!(
        shown(&stage),
        SessionState::Supervising(Supervision::Monitoring)
    );
    stage.release();

    assert_eq!(
        shown(&stage),
        SessionState::Supervising(Supervision::Barged)
    );
    assert_eq!(stage.board.snapshot().sessions[0].call, call);
}

fn raise(stage: &mut Stage, call: CallId) -> Option<HelpId> {
    let extension = stage.board.calls[&call].pupil.agent.clone().unwrap();
    let ask = Ask::RaiseHelp {
        call: Some(call),
        agent: None,
        reason: "price".into(),
        comment: "".into(),
    };
    match stage.ask_as(agent(&extension), ask) {
        Some(Reply::Help { help, .. }) => Some(help),
        _ => None,
    }
}

fn agent_presses(stage: &mut Stage, leg: LegId, keys: &str) {
    for key in keys.chars() {
        stage.advance(Duration::from_millis(200));
        stage.media(Event::DigitPressed {
            leg,
            digit: Digit::from_char(key).unwrap(),
            source: DigitSource::Event,
        });
    }
}

fn agent(extension: &str) -> OperatorIdentity {
    OperatorIdentity::Agent(extension.into())
}

fn reply(help: HelpId, state: HelpState) -> Option<Reply> {
    Some(Reply::Help { help, state })
}
