//! The agent asks a colleague in a second call, then brings both together.

use crate::control::call::CallState;
use crate::control::harness::acme::*;
use crate::control::harness::descriptions::*;
use crate::control::harness::house::*;
use crate::control::harness::words::*;
use crate::control::input::{Consulted, Origin, Signal};
use crate::control::settings::Settings;
use crate::id::{LegId, RequestId};
use crate::media::command::Command;
use crate::media::matrix::Seat;

const REFER: RequestId = RequestId(7);

#[test]
fn the_colleague_takes_the_agents_place_and_both_legs_of_the_agent_are_ended() {
    let mut scene = consulting();

    scene.refer(scene.agent, Consulted::Leg(scene.second));

    assert_eq!(
        scene.told(scene.agent)[..2],
        ["REFER 202", "NOTIFY 200, last"]
    );
    assert!(scene.house.last(scene.agent).starts_with("BYE"));
    assert!(scene.house.last(scene.second).starts_with("BYE"));
    assert_eq!(scene.house.last(scene.colleague), "nothing");
    assert_eq!(scene.house.last(scene.customer), "nothing");
    let call = scene.call_of(scene.customer);
    assert_eq!(call.pupil.leg, Some(scene.colleague));
    assert_eq!(call.pupil.agent.as_deref(), Some("205"));
    assert_eq!(call.seats[&Seat::PUPIL].leg, scene.colleague);
    assert_eq!(call.seats[&Seat::USER].leg, scene.customer);

    scene.house.signal(scene.agent, Signal::HangUpDone);
    scene.house.signal(scene.second, Signal::HangUpDone);
    assert_eq!(scene.house.call().legs.len(), 2);
    scene
        .house
        .signal(scene.customer, Signal::HungUp { reason: None });
    assert!(scene.house.last(scene.colleague).starts_with("BYE"));
    scene.house.signal(scene.colleague, Signal::HangUpDone);
    scene.house.assert_empty();
}

#[test]
fn a_leg_on_another_shard_moves_before_it_is_seated() {
    let mut scene = consulting();
    let home = scene.call_of(scene.customer).shard;
    assert_ne!(scene.call_of(scene.colleague).shard, home);

    scene.refer(scene.agent, Consulted::Leg(scene.second));

    let colleague = scene.colleague;
    assert_eq!(scene.house.board.legs[&colleague].shard, home);
    let steps: Vec<&str> = scene
        .house
        .said
        .iter()
        .filter_map(|output| match output {
            crate::control::output::Output::Move { leg, .. } if *leg == colleague => Some("move"),
            crate::control::output::Output::Media { command, .. } => match command {
                Command::Unseat { leg } if *leg == colleague => Some("unseat"),
                Command::Seat { leg, .. } if *leg == colleague => Some("seat"),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(steps, ["unseat", "move", "seat"]);
}

#[test]
fn who_was_held_for_the_question_is_held_no_more() {
    let mut scene = consulting();
    let hold = |scene: &mut Scene, by: LegId, held: LegId, port| {
        let request = RequestId(u64::from(port));
        let sdp = Some(directed(port, "sendonly"));
        scene.house.signal(by, Signal::Reinvited { request, sdp });
        let request = scene.house.reinvite_to(held);
        let result = Ok(Some(directed(port + 2, "recvonly")));
        scene
            .house
            .signal(held, Signal::ReinviteAnswered { request, result });
    };
    let (customer, colleague) = (scene.customer, scene.colleague);
    let (agent, second) = (scene.agent, scene.second);
    hold(&mut scene, agent, customer, 5_000);
    hold(&mut scene, second, colleague, 5_100);
    scene.house.forget();

    scene.refer(scene.agent, Consulted::Leg(scene.second));

    for held in [customer, colleague] {
        let freed = scene.house.sdp_to(held).audio().unwrap().direction;
        assert_eq!(freed, crate::wire::sdp::Direction::SendRecv);
    }
}

#[test]
fn what_is_not_the_agents_own_standing_call_is_refused_and_nothing_changes() {
    let mut scene = consulting();
    let stranger = scene.house.invite(pbx(), "301", "205", Some(pcma(4_600)));
    scene.house.forget();

    for (by, consulted, status) in [
        (scene.customer, Consulted::Leg(scene.second), "603"),
        (scene.agent, Consulted::Elsewhere, "501"),
        (scene.agent, Consulted::Leg(LegId(99_999)), "501"),
        (scene.agent, Consulted::Leg(scene.agent), "603"),
        (scene.agent, Consulted::Leg(scene.colleague), "603"),
        (scene.agent, Consulted::Leg(stranger), "603"),
    ] {
        scene.refer(by, consulted);
        assert_eq!(
            scene.house.last(by),
            format!("REFER {status}"),
            "{consulted:?}"
        );
    }

    for leg in [scene.customer, scene.colleague] {
        assert!(matches!(
            scene.call_of(leg).state,
            CallState::Talking { transfer: None }
        ));
    }
}

#[test]
fn who_called_from_outside_meets_somebody_outside_only_where_a_route_names_their_trunk() {
    for (from, outcome) in [
        (None, "REFER 404"),
        (Some(&["agents"][..]), "REFER 404"),
        (Some(&["agents", "carrier"][..]), "REFER 202"),
    ] {
        let mut settings = settings();
        settings.routes[2].from = from.map(|from| from.iter().map(|name| (*name).into()).collect());
        let mut scene = consulting_with(settings, "+358509999999");

        scene.refer(scene.agent, Consulted::Leg(scene.second));

        assert_eq!(scene.told(scene.agent)[0], outcome, "{from:?}");
        let joined = scene
            .call_of(scene.customer)
            .legs
            .contains(&scene.colleague);
        assert_eq!(joined, outcome == "REFER 202", "{from:?}");
        // The other way round it is the same two.
        if !joined {
            scene.refer(scene.second, Consulted::Leg(scene.agent));
            assert_eq!(scene.told(scene.second)[0], outcome, "{from:?}");
        }
    }
}

#[test]
fn a_colleague_who_has_not_answered_cannot_take_the_place() {
    let mut house = House::new();
    let (customer, agent) = house.talking();
    house.forget();
    let second = house.invite(agent_204(), "204", "205", Some(pcma(4_400)));
    let colleague = house.only_dialled();
    let mut scene = Scene {
        house,
        customer,
        agent,
        second,
        colleague,
    };

    scene.refer(agent, Consulted::Leg(second));

    assert_eq!(scene.house.last(agent), "REFER 491");
}

struct Scene {
    house: House,
    customer: LegId,
    /// The agent's leg towards the customer, and the one towards the colleague.
    agent: LegId,
    second: LegId,
    colleague: LegId,
}

impl Scene {
    fn refer(&mut self, leg: LegId, consulted: Consulted) {
        let target = "205".into();
        self.house.signal(
            leg,
            Signal::Referred {
                request: REFER,
                target,
                consulted: Some(consulted),
            },
        );
    }

    fn told(&self, leg: LegId) -> Vec<String> {
        self.house
            .told(leg)
            .into_iter()
            .map(describe_signal)
            .collect()
    }

    fn call_of(&self, leg: LegId) -> &crate::control::call::Call {
        let mut calls = self.house.board.calls.values();
        calls.find(|call| call.legs.contains(&leg)).unwrap()
    }
}

fn agent_204() -> Origin {
    Origin::Contact {
        organisation: "acme".into(),
        extension: "204".into(),
    }
}

/// A customer with agent 204, who talks with 205 in a second call.
fn consulting() -> Scene {
    consulting_with(settings(), "205")
}

/// The same, where the agent has asked whoever has this number.
fn consulting_with(mut settings: Settings, number: &str) -> Scene {
    settings.shards = 2;
    let mut house = House::with(settings);
    let (customer, agent) = house.talking();
    house.forget();
    let second = house.invite(agent_204(), "204", number, Some(pcma(4_400)));
    let colleague = house.only_dialled();
    house.answers_with(colleague, pcma(5_500));
    house.signal(second, Signal::Acknowledged { sdp: None });
    house.forget();
    Scene {
        house,
        customer,
        agent,
        second,
        colleague,
    }
}
