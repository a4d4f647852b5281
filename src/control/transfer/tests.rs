//! Blind transfer by the agent.

use std::time::Duration;

use super::number_of;
use crate::control::call::Side;
use crate::control::harness::acme::*;
use crate::control::harness::descriptions::*;
use crate::control::harness::house::*;
use crate::control::harness::words::*;
use crate::control::input::{Consulted, Origin, Signal};
use crate::control::policy::CallKind;
use crate::control::settings::Route;
use crate::id::{LegId, RequestId};
use crate::media::command::{Command, Sound};

const REFER: RequestId = RequestId(9);

#[test]
fn the_number_of_a_transfer_is_the_user_part() {
    for target in [
        "205",
        "sip:205@192.0.2.1",
        "<SIP:205@pbx.example;user=phone>",
        "tel:205;phone-context=local",
    ] {
        assert_eq!(number_of(target), "205", "{target}");
    }
}

#[test]
fn a_blind_transfer_gives_the_customer_to_another_agent() {
    let (mut house, customer, agent) = talking();

    refer(&mut house, agent, "205");
    let other = house.only_dialled();
    assert_eq!(told(&house, agent), ["REFER 202", "NOTIFY 100"]);
    assert_eq!(
        house.dialled()[0].1.caller.as_deref(),
        Some("+358401111111")
    );
    assert_eq!(
        house.sdp_to(other).audio().unwrap().formats[0].encoding,
        "PCMA"
    );
    house.signal(
        other,
        Signal::Progressed {
            status: 180,
            sdp: None,
        },
    );
    assert_eq!(house.call().pupil.leg, Some(agent), "until the answer");
    house.answers_with(other, pcma(6_000));

    assert_eq!(
        told(&house, agent)[2..],
        [
            "NOTIFY 180",
            "NOTIFY 200, last",
            "BYE [SIP 200: Transferred]"
        ]
    );
    assert_eq!(house.last(customer), "nothing", "its audio needs nothing");
    let call = house.call();
    assert_eq!(call.pupil.leg, Some(other));
    assert_eq!(call.pupil.agent.as_deref(), Some("205"));
    assert_eq!(call.kind, Some(CallKind::Direct));

    house.signal(agent, Signal::HangUpDone);
    assert!(
        house.call().is_talking(),
        "the former agent takes nothing along"
    );
    house.signal(customer, Signal::HungUp { reason: None });
    house.signal(other, Signal::HangUpDone);
    assert!(house.board.calls.is_empty() && house.board.legs.is_empty());
}

#[test]
fn a_customer_on_hold_is_freed_when_the_transfer_has_worked() {
    let (mut house, customer, agent) = talking();
    let request = RequestId(7);
    let sdp = Some(directed(5_000, "sendonly"));
    house.signal(agent, Signal::Reinvited { request, sdp });
    let request = house.reinvite_to(customer);
    let result = Ok(Some(directed(4_000, "recvonly")));
    house.signal(customer, Signal::ReinviteAnswered { request, result });

    refer(&mut house, agent, "205");
    let other = house.only_dialled();
    house.answers_with(other, pcma(6_000));

    assert_eq!(house.last(customer), "re-INVITE sendrecv");
    let request = house.reinvite_to(customer);
    let result = Ok(Some(directed(4_000, "sendrecv")));
    house.signal(customer, Signal::ReinviteAnswered { request, result });
    assert!(!house.board.snapshot().calls[0].on_hold);
    assert_eq!(house.told(other).len(), 1, "the new agent notices nothing");
}

#[test]
fn a_hold_that_waits_for_an_agent_who_is_transferred_away_is_answered_all_the_same() {
    let (mut house, customer, agent) = talking();
    refer(&mut house, agent, "205");
    let other = house.only_dialled();
    let (request, sdp) = (RequestId(7), Some(directed(4_000, "sendonly")));
    house.signal(customer, Signal::Reinvited { request, sdp });
    assert_eq!(house.last(customer), "nothing");

    house.answers_with(other, pcma(6_000));

    assert_eq!(house.last(customer), "re-200 recvonly");
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let (mut house, customer, agent) = talking();

    refer(&mut house, agent, "205");
    let other = house.only_dialled();
    house.fails(other, 486);

    assert_eq!(house.last(agent), "NOTIFY 486, last");
    assert_eq!(house.last(customer), "nothing");
    assert_eq!(house.call().pupil.leg, Some(agent));
    assert!(house.call().is_talking());
    assert_eq!(house.board.poll_timeout(), None);
}

#[test]
fn an_agent_who_hangs_up_meanwhile_leaves_the_customer_with_the_ringing() {
    let (mut house, customer, agent) = talking();
    refer(&mut house, agent, "205");
    let other = house.only_dialled();

    house.signal(agent, Signal::HungUp { reason: None });
    assert_eq!(house.last(customer), "nothing");
    let ringing = house.commands().into_iter().any(|command| {
        matches!(command, Command::Play { leg, sounds, .. } if *leg == customer && *sounds == [Sound::Ringback])
    });
    assert!(ringing);
    house.answers_with(other, pcma(6_000));

    assert_eq!(house.call().pupil.leg, Some(other));
    assert_eq!(house.call().party(Side::User).leg, Some(customer));
    let stopped = house
        .commands()
        .into_iter()
        .any(|command| matches!(command, Command::StopPlay { leg } if *leg == customer));
    assert!(stopped);
}

#[test]
fn a_transfer_that_fails_after_the_agent_left_ends_the_call() {
    let (mut house, customer, agent) = talking();
    refer(&mut house, agent, "205");
    let other = house.only_dialled();

    house.signal(agent, Signal::HungUp { reason: None });
    house.fails(other, 480);

    assert_eq!(house.last(customer), "BYE [SIP 480: Transfer failed]");
    house.signal(customer, Signal::HangUpDone);
    assert!(house.board.calls.is_empty());
}

#[test]
fn a_transfer_that_nobody_answers_is_given_up_after_a_minute() {
    let (mut house, _, agent) = talking();
    refer(&mut house, agent, "205");
    let other = house.only_dialled();

    house.wait(Duration::from_secs(60));

    assert_eq!(house.last(agent), "NOTIFY 408, last");
    assert_eq!(house.last(other), "CANCEL");
    assert!(house.call().is_talking());
}

#[test]
fn a_customer_who_hangs_up_ends_the_transfer_too() {
    let (mut house, customer, agent) = talking();
    refer(&mut house, agent, "205");
    let other = house.only_dialled();

    house.signal(customer, Signal::HungUp { reason: None });

    assert_eq!(house.last(other), "CANCEL");
    assert_eq!(told(&house, agent)[2..], ["NOTIFY 487, last", "BYE"]);
    house.signal(agent, Signal::HangUpDone);
    house.fails(other, 487);
    assert!(house.board.calls.is_empty() && house.board.legs.is_empty());
}

const OUTSIDE: &str = "sip:+358509999999@192.0.2.9";

#[test]
fn a_transfer_outside_ends_supervision_of_the_call() {
    let (mut house, _, agent) = talking_by(pbx(), None);

    refer(&mut house, agent, OUTSIDE);
    let other = house.only_dialled();
    assert_eq!(house.last(other), "INVITE +358509999999 by carrier");
    house.answers_with(other, pcma(6_000));

    assert_eq!(house.call().kind, None);
    assert_eq!(house.call().pupil.agent, None);
    assert_eq!(house.call().pupil.number.as_deref(), Some("+358509999999"));
    assert!(!house.board.snapshot().calls[0].supervisable);
}

#[test]
fn who_called_from_outside_is_sent_outside_only_where_a_route_names_their_trunk() {
    for (from, sent_on) in [
        (None, false),
        (Some("agents"), false),
        (Some("pbx"), false),
        (Some("carrier"), true),
    ] {
        let (mut house, customer, agent) = talking_by(carrier(), from);

        refer(&mut house, agent, OUTSIDE);

        match sent_on {
            true => {
                let other = house.only_dialled();
                assert_eq!(house.last(other), "INVITE +358509999999 by carrier");
                house.answers_with(other, pcma(6_000));
                assert_eq!(house.call().pupil.leg, Some(other));
            }
            false => {
                assert_eq!(told(&house, agent), ["REFER 404"], "{from:?}");
                assert_eq!(house.last(customer), "nothing");
                assert!(house.call().is_talking());
                assert_eq!(house.call().pupil.leg, Some(agent));
            }
        }
    }
}

#[test]
fn a_route_for_agents_alone_still_takes_a_customer_from_outside_to_a_colleague() {
    let mut settings = settings();
    settings.routes[0].from = Some(vec!["agents".into()]);
    settings.routes.push(Route {
        from: Some(vec!["carrier".into()]),
        ..settings.routes[1].clone()
    });
    let mut house = House::with(settings);
    let customer = house.customer_calls("support");
    let agent = house.dialled()[0].0;
    house.answers_with(agent, pcma(5_000));
    house.signal(customer, Signal::Acknowledged { sdp: None });
    house.forget();

    refer(&mut house, agent, "205");

    assert_eq!(told(&house, agent), ["REFER 202", "NOTIFY 100"]);
}

#[test]
fn a_pool_may_be_transferred_to() {
    let (mut house, _, agent) = talking();

    refer(&mut house, agent, "support");
    let other = house.only_dialled();
    house.answers_with(other, pcma(6_000));

    assert_eq!(house.call().kind, Some(CallKind::Pool));
    assert_eq!(house.call().pupil.agent.as_deref(), Some("205"));
}

#[test]
fn what_cannot_be_transferred_is_refused() {
    let (mut house, customer, agent) = talking();
    let request = REFER;

    refer(&mut house, customer, "205");
    assert_eq!(house.last(customer), "REFER 603");
    let target = "205".into();
    house.signal(
        agent,
        Signal::Referred {
            request,
            target,
            consulted: Some(Consulted::Elsewhere),
        },
    );
    assert_eq!(house.last(agent), "REFER 501");
    refer(&mut house, agent, "999");
    assert_eq!(house.last(agent), "REFER 404");
    refer(&mut house, agent, "205");
    refer(&mut house, agent, "205");
    assert_eq!(house.last(agent), "REFER 491");
}

#[test]
fn a_new_phone_that_speaks_nothing_in_common_fails_the_transfer() {
    let (mut house, customer, agent) = talking();
    refer(&mut house, agent, "205");
    let other = house.only_dialled();

    house.answers_with(other, sdp(6_000, "18", "a=rtpmap:18 G729/8000"));

    assert!(house.last(other).starts_with("BYE"));
    assert_eq!(house.last(agent), "NOTIFY 488, last");
    assert_eq!(house.last(customer), "nothing");
}

fn talking() -> (House, LegId, LegId) {
    let mut house = House::new();
    let (customer, agent) = house.talking();
    house.forget();
    (house, customer, agent)
}

/// The customer came by this trunk; outside leads a route for these callers.
fn talking_by(origin: Origin, from: Option<&str>) -> (House, LegId, LegId) {
    let mut settings = settings();
    settings.routes[2].from = from.map(|name| vec![name.into()]);
    let mut house = House::with(settings);
    let customer = house.invite(origin, "+358401111111", "204", Some(pcma(4_000)));
    let agent = house.only_dialled();
    house.answers_with(agent, pcma(5_000));
    house.signal(customer, Signal::Acknowledged { sdp: None });
    house.forget();
    (house, customer, agent)
}

fn refer(house: &mut House, leg: LegId, target: &str) {
    house.signal(
        leg,
        Signal::Referred {
            request: REFER,
            target: target.into(),
            consulted: None,
        },
    );
}

fn told(house: &House, leg: LegId) -> Vec<String> {
    house.told(leg).into_iter().map(describe_signal).collect()
}
