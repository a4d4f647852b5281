//! While phones ring: pools, refusals, callers who give up, and ports that are not there.

use crate::control::harness::descriptions::*;
use crate::control::harness::house::*;
use crate::control::input::Signal;
use crate::control::policy::CallKind;
use crate::control::record::Record;
use crate::control::snapshot::Presence;
use crate::id::LegId;
use crate::media::command::Event;
use std::time::Duration;

#[test]
fn a_pool_rings_every_free_agent_and_the_first_answer_wins() {
    let mut house = House::new();
    let customer = house.customer_calls("support");
    let rung: Vec<LegId> = house.dialled().iter().map(|(leg, _)| *leg).collect();
    let [first, second] = rung[..] else {
        panic!("two agents are free");
    };
    let early = || Signal::Progressed {
        status: 183,
        sdp: Some(pcma(5_000)),
    };
    house.signal(first, early());
    house.signal(second, early());
    assert_eq!(
        house.told(customer).len(),
        1,
        "early media of two phones is nobody's"
    );

    house.answers_with(second, pcma(5_002));

    assert_eq!(
        house.last(first),
        "CANCEL [SIP 200: Call completed elsewhere]"
    );
    assert_eq!(house.last(customer), "200 sendrecv");
    house.fails(first, 487);
    let call = house.call();
    assert_eq!(call.pupil.agent.as_deref(), Some("205"));
    assert_eq!(call.kind, Some(CallKind::Pool));
    let named = house.records().into_iter().any(
        |record| matches!(record, Record::CallStarted(row) if row.agent.as_deref() == Some("205")),
    );
    assert!(named, "the row names the agent who took the call");
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up() {
    let mut house = House::new();
    house.customer_calls("support");
    let rung: Vec<LegId> = house.dialled().iter().map(|(leg, _)| *leg).collect();

    house.answers_with(rung[0], pcma(5_000));
    house.answers_with(rung[1], pcma(5_002));

    assert!(house.last(rung[1]).starts_with("BYE"));
    assert_eq!(house.call().pupil.leg, Some(rung[0]));
}

#[test]
fn a_pool_passes_over_agents_on_calls_and_is_busy_when_all_are() {
    let mut house = House::new();
    house.talking();
    house.forget();

    house.customer_calls("support");
    let second = house.only_dialled();
    house.answers_with(second, pcma(5_000));
    let third = house.customer_calls("support");

    assert_eq!(house.last(third), "486");
    let agents = house.board.snapshot().agents;
    assert_eq!(agents.len(), 2);
    assert!(
        agents
            .iter()
            .all(|agent| matches!(agent.presence, Presence::OnCall { .. }))
    );
}

#[test]
fn what_phones_say_is_told_as_one() {
    for (said, told) in [
        (vec![486], "486"),
        (vec![480], "480"),
        (vec![404], "404"),
        (vec![503], "503"),
        (vec![603], "603"),
        (vec![302], "480"),
        (vec![407], "503"),
        (vec![480, 486], "486"),
        (vec![503, 404], "404"),
    ] {
        let mut house = House::new();
        let number = match said.len() {
            1 => "204",
            _ => "support",
        };
        let customer = house.customer_calls(number);
        let rung: Vec<LegId> = house.dialled().iter().map(|(leg, _)| *leg).collect();

        for (leg, status) in rung.iter().zip(&said) {
            house.fails(*leg, *status);
        }

        assert_eq!(house.last(customer), told, "{said:?}");
        house.assert_empty();
    }
}

#[test]
fn nobody_rings_for_longer_than_a_minute() {
    let mut house = House::new();
    let customer = house.customer_calls("204");
    let agent = house.only_dialled();

    house.wait(Duration::from_secs(59));
    assert_eq!(house.last(customer), "nothing");
    house.wait(Duration::from_secs(1));

    assert_eq!(house.last(customer), "480");
    assert_eq!(house.last(agent), "CANCEL");
    house.fails(agent, 487);
    house.assert_empty();
}

#[test]
fn a_caller_who_gives_up_silences_the_phone() {
    let mut house = House::new();
    let customer = house.customer_calls("204");
    let agent = house.only_dialled();

    house.signal(customer, Signal::Cancelled);

    assert_eq!(house.last(customer), "nothing");
    assert_eq!(house.last(agent), "CANCEL");
    house.fails(agent, 487);
    house.assert_empty();
}

#[test]
fn a_cancel_that_crosses_our_answer_ends_the_call() {
    let mut house = House::new();
    let customer = house.customer_calls("204");
    let agent = house.only_dialled();
    house.answers_with(agent, pcma(5_000));

    house.signal(customer, Signal::Cancelled);
    assert!(house.last(agent).starts_with("BYE"));
    house.signal(agent, Signal::HangUpDone);

    house.assert_empty();
}

#[test]
fn a_caller_who_gives_up_before_a_port_is_open_leaves_nothing() {
    let mut house = House::new();
    house.ports = Ports::Silent;
    let customer = house.customer_calls("204");

    house.signal(customer, Signal::Cancelled);
    let local = "127.0.0.1:20002".parse().unwrap();
    house.event(Event::Opened {
        leg: customer,
        local,
    });

    assert!(house.board.calls.is_empty() && house.board.legs.is_empty());
    assert_eq!(house.board.poll_timeout(), None);
}

#[test]
fn no_port_is_503_for_the_caller_and_for_the_phone() {
    for left in [0, 1] {
        let mut house = House::new();
        house.ports = Ports::Left(left);

        let customer = house.customer_calls("204");

        assert_eq!(house.last(customer), "503", "{left}");
        house.assert_empty();
    }
}

#[test]
fn a_shard_that_says_nothing_is_503() {
    let mut house = House::new();
    house.ports = Ports::Silent;
    let customer = house.customer_calls("204");

    house.wait(Duration::from_secs(6));

    assert_eq!(house.last(customer), "503");
    house.assert_empty();
}
