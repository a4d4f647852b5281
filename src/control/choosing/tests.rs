//! The menu: which call, and what is said when there is none.

use std::time::Duration;

use crate::control::call::Side;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::input::{Ask, Reply};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;

#[test]
fn with_no_call_at_all_it_is_9004_and_the_menu_stays_open() {
    let mut stage = Stage::new();

    let mia = stage.dial_in(MIA);
    assert_eq!(stage.said(mia), ["9 0 0 4 enter-extension"]);
    assert_eq!(stage.codes(), [ErrorCode::NoCall]);
    stage.call("204");
    stage.press(mia, "204#");

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
}

#[test]
fn several_calls_are_offered_and_an_extension_chooses() {
    let mut stage = Stage::new();
    stage.call("204");
    let second = stage.call("205");

    let mia = stage.dial_in(MIA);
    assert_eq!(
        stage.said(mia),
        ["calls-waiting agent 2 0 4 agent 2 0 5 enter-extension"]
    );
    stage.press(mia, "205#");

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert_eq!(stage.board.session(mia).unwrap().call, second);
    assert_eq!(stage.codes(), []);
}

#[test]
fn the_menu_says_for_how_long_a_call_has_lasted() {
    let mut stage = Stage::new();
    stage.call("204");
    stage.advance(Duration::from_secs(200));
    stage.call("205");

    let mia = stage.dial_in(MIA);

    assert_eq!(
        stage.last_said(mia),
        "calls-waiting agent 2 0 4 3 minutes agent 2 0 5 enter-extension"
    );
}

#[test]
fn an_extension_out_of_scope_and_an_idle_one_sound_the_same() {
    let mut stage = Stage::new();
    stage.call("301");
    let mia = stage.dial_in(MIA);
    assert_eq!(stage.said(mia), ["9 0 0 4 enter-extension"]);

    for extension in ["301#", "205#", "999#"] {
        stage.press(mia, extension);
        assert_eq!(stage.last_said(mia), "9 0 0 4 enter-extension");
    }
    assert_eq!(stage.codes(), [ErrorCode::NoCall; 4]);
}

#[test]
fn a_call_of_ones_own_is_not_offered_and_refused_as_9006() {
    let mut stage = Stage::new();
    stage.change_mia(|mia| mia.agent_extension = Some("204".into()));
    stage.call("204");
    let other = stage.call("205");

    let mia = stage.dial_in(MIA);
    assert_eq!(stage.board.session(mia).unwrap().call, other);
    stage.party_hangs_up(other, Side::User);
    stage.press(mia, "204#");

    assert_eq!(stage.codes(), [ErrorCode::OwnCall]);
    assert!(stage.last_said(mia).starts_with("9 0 0 6"));
    assert!(stage.in_menu(mia));
}

#[test]
fn a_command_in_the_menu_is_unknown() {
    let mut stage = Stage::new();
    let mia = stage.dial_in(MIA);

    stage.press(mia, "4#");

    assert!(stage.last_said(mia).starts_with("9 0 0 8"));
}

#[test]
fn nine_says_the_menu_again_and_three_takes_the_next_call() {
    let mut stage = Stage::new();
    let first = stage.call("204");
    stage.call("205");
    let mia = stage.dial_in(MIA);

    stage.press(mia, "9#");
    assert_eq!(stage.said(mia).len(), 2);
    assert_eq!(stage.said(mia)[0], stage.said(mia)[1]);
    stage.press(mia, "3#");

    assert_eq!(stage.board.session(mia).unwrap().call, first);
    assert_eq!(stage.last_said(mia), "next-call listening");
}

#[test]
fn a_menu_without_a_key_ends_after_thirty_seconds_and_a_key_prolongs_it() {
    let mut stage = Stage::new();
    let mia = stage.dial_in(MIA);

    stage.advance(Duration::from_secs(29));
    stage.press(mia, "9#");
    stage.advance(Duration::from_secs(29));
    assert!(stage.in_menu(mia));
    stage.advance(Duration::from_secs(2));
    assert_eq!(stage.last_said(mia), "goodbye");
    stage.prompt_ends(mia);

    assert!(stage.was_hung_up(mia));
}

#[test]
fn the_first_key_stops_the_prompt() {
    let mut stage = Stage::new();
    let mia = stage.dial_in(MIA);
    let stops = |stage: &Stage| {
        stage
            .commands()
            .filter(|command| matches!(command, crate::media::command::Command::StopPlay { .. }))
            .count()
    };
    assert_eq!(stops(&stage), 0);

    stage.press(mia, "2");
    assert_eq!(stops(&stage), 1);
    stage.press(mia, "0");
    assert_eq!(stops(&stage), 1);
}

#[test]
fn a_ticket_leads_straight_into_its_call_and_is_spent() {
    let mut stage = Stage::new();
    stage.call("204");
    let second = stage.call("205");
    let reply = stage.ask("mia", Ask::Ticket { call: second });
    assert_eq!(
        reply,
        Some(Reply::Ticket {
            dial: "800".into(),
            lasting: Duration::from_secs(120),
        })
    );

    // It is Mia's alone.
    let ona = stage.dial_in(ONA);
    assert!(stage.in_menu(ona));
    let mia = stage.dial_in(MIA);
    assert_eq!(stage.board.session(mia).unwrap().call, second);
    assert_eq!(stage.said(mia), ["listening"]);
    stage.hang_up(mia);

    let again = stage.dial_in(MIA);
    assert!(stage.in_menu(again), "a ticket counts once");
}

#[test]
fn a_ticket_for_a_call_that_is_over_is_9013_then_the_menu_and_never_another_call() {
    let mut stage = Stage::new();
    let first = stage.call("204");
    stage.ask("mia", Ask::Ticket { call: first });
    stage.party_hangs_up(first, Side::Pupil);
    stage.call("205");

    let mia = stage.dial_in(MIA);

    assert_eq!(stage.codes(), [ErrorCode::PupilGone]);
    assert!(stage.in_menu(mia));
    assert_eq!(
        stage.last_said(mia),
        "9 0 1 3 calls-waiting agent 2 0 5 enter-extension"
    );
}

#[test]
fn a_ticket_while_only_the_agents_leg_stands_is_9014() {
    let mut stage = Stage::new();
    let first = stage.call("204");
    stage.ask("mia", Ask::Ticket { call: first });
    stage.manners.byes = false;
    stage.party_hangs_up(first, Side::User);

    let mia = stage.dial_in(MIA);

    assert_eq!(stage.codes(), [ErrorCode::UserGone]);
    assert!(stage.last_said(mia).starts_with("9 0 1 4"));
}

#[test]
fn a_ticket_expires() {
    let mut stage = Stage::new();
    stage.call("204");
    let second = stage.call("205");
    stage.ask("mia", Ask::Ticket { call: second });
    stage.advance(Duration::from_secs(120));

    let mia = stage.dial_in(MIA);

    assert!(stage.in_menu(mia));
}
