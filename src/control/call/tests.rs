//! How calls begin and end.

use std::time::Duration;

use crate::control::harness::acme::*;
use crate::control::harness::descriptions::*;
use crate::control::harness::house::*;
use crate::control::harness::words::*;
use crate::control::input::{Input, Network, Origin, Signal};
use crate::control::output::SignalCommand;
use crate::control::policy::CallKind;
use crate::control::record::Direction;
use crate::control::settings::{Route, RouteTarget};
use crate::id::LegId;
use crate::media::codec::Codec;
use crate::media::command::{Command, Event};
use crate::media::matrix::{Gain, Seat};

#[test]
fn a_customer_reaches_an_agent_and_both_hear_each_other() {
    let mut house = House::new();

    let customer = house.customer_calls("204");
    let agent = house.only_dialled();
    let early = Signal::Progressed {
        status: 180,
        sdp: None,
    };
    house.signal(agent, early);
    assert_eq!(house.last(customer), "180");
    house.answers_with(agent, pcma(5_000));

    assert_eq!(house.last(agent), "INVITE sip:204@127.0.0.3");
    assert_eq!(house.last(customer), "200 sendrecv");
    let matrix = house
        .commands()
        .into_iter()
        .rev()
        .find_map(|command| match command {
            Command::SetMatrix { matrix, .. } => Some(*matrix),
            _ => None,
        })
        .unwrap();
    assert_eq!(matrix.gain(Seat::USER, Seat::PUPIL), Gain::UNITY);
    assert_eq!(matrix.gain(Seat::PUPIL, Seat::USER), Gain::UNITY);
    let remotes: Vec<_> = house
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::Configure { leg, media } => Some((*leg, media.remote.unwrap().port())),
            _ => None,
        })
        .collect();
    assert_eq!(remotes, [(agent, 5_000), (customer, 4_000)]);
    let call = house.call();
    assert_eq!(call.kind, Some(CallKind::Direct));
    assert!(house.board.pupil_on_call(call) && house.board.user_on_call(call));
}

#[test]
fn a_call_leaves_its_three_rows_and_nothing_else() {
    let mut house = House::new();
    let (customer, agent) = house.talking();

    house.signal(
        customer,
        Signal::HungUp {
            reason: Some("Q.850;cause=16;text=\"Normal\"".into()),
        },
    );
    assert_eq!(house.last(agent), "BYE [Q.850 16: Normal]");
    assert!(house.board.pupil_on_call(house.call()));
    assert!(!house.board.user_on_call(house.call()));
    house.signal(agent, Signal::HangUpDone);

    let rows: Vec<_> = house.said.iter().filter_map(describe).collect();
    let rows: Vec<_> = rows.iter().filter(|row| row.starts_with("Call")).collect();
    assert_eq!(
        rows,
        ["CallStarted", "CallAnswered", "CallEnded(user hung up)"]
    );
    house.assert_empty();
}

#[test]
fn a_bye_that_is_never_answered_ends_all_the_same() {
    let mut house = House::new();
    let (customer, _) = house.talking();

    house.signal(customer, Signal::HungUp { reason: None });
    house.wait(Duration::from_secs(39));
    assert!(house.board.pupil_on_call(house.call()));
    house.wait(Duration::from_secs(2));

    house.assert_empty();
}

#[test]
fn the_codec_of_the_callee_is_relayed_and_answered_to_the_caller() {
    let mut house = House::new();
    let offer = sdp(
        4_000,
        "0 8 18 101",
        "a=rtpmap:18 G729/8000\r\na=rtpmap:101 telephone-event/8000",
    );
    let customer = house.invite(carrier(), "1", "204", Some(offer));
    let agent = house.only_dialled();
    let offered: Vec<u8> = house
        .sdp_to(agent)
        .audio()
        .unwrap()
        .formats
        .iter()
        .map(|format| format.payload_type)
        .collect();
    assert_eq!(offered, [0, 8, 111, 18, 101, 96]);

    let g729 = "a=rtpmap:18 G729/8000\r\na=rtpmap:101 telephone-event/8000";
    house.answers_with(agent, sdp(5_000, "18 101", g729));

    let answer = house.sdp_to(customer).audio().unwrap();
    assert_eq!(answer.formats[0].payload_type, 18);
    let codecs: Vec<Codec> = house
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::Configure { media, .. } => Some(media.codec),
            _ => None,
        })
        .collect();
    assert_eq!(codecs, [Codec::Opaque, Codec::Opaque]);
}

#[test]
fn an_answer_that_the_caller_cannot_speak_ends_with_488() {
    let mut house = House::new();
    let customer = house.customer_calls("204");
    let agent = house.only_dialled();

    house.answers_with(agent, sdp(5_000, "18", "a=rtpmap:18 G729/8000"));
    house.signal(agent, Signal::HangUpDone);

    assert_eq!(house.last(customer), "488");
    assert!(house.last(agent).starts_with("BYE"));
    house.assert_empty();
}

#[test]
fn early_media_is_passed_on_and_the_answer_repeats_it() {
    let mut house = House::new();
    let customer = house.customer_calls("204");
    let agent = house.only_dialled();

    house.signal(
        agent,
        Signal::Progressed {
            status: 183,
            sdp: Some(pcma(5_000)),
        },
    );
    let early = house.sdp_to(customer);
    assert_eq!(house.last(customer), "183 sendrecv");
    house.signal(agent, Signal::Answered { sdp: None });

    assert_eq!(house.last(customer), "200 sendrecv");
    assert_eq!(house.sdp_to(customer), early);
    let seats = house
        .commands()
        .into_iter()
        .filter(|command| matches!(command, Command::Seat { .. }))
        .count();
    assert_eq!(seats, 2);
    assert_eq!(house.call().pupil.leg, Some(agent));
}

#[test]
fn a_delayed_offer_is_made_in_our_answer_and_answered_in_the_ack() {
    let mut house = House::new();
    let customer = house.invite(carrier(), "1", "204", None);
    let agent = house.only_dialled();
    house.answers_with(agent, pcma(5_000));
    let offer = house.sdp_to(customer).audio().unwrap();
    assert_eq!(offer.formats[0].encoding, "PCMA");
    house.forget();

    house.signal(
        customer,
        Signal::Acknowledged {
            sdp: Some(pcma(4_000)),
        },
    );

    let configured = house.commands().into_iter().any(
        |command| matches!(command, Command::Configure { leg, media } if *leg == customer && media.remote.is_some()),
    );
    assert!(configured);
}

#[test]
fn a_delayed_offer_that_nobody_answers_ends_the_call() {
    let mut house = House::new();
    let customer = house.invite(carrier(), "1", "204", None);
    let agent = house.only_dialled();
    house.answers_with(agent, pcma(5_000));

    house.signal(customer, Signal::Acknowledged { sdp: None });

    assert!(house.last(customer).starts_with("BYE"));
    assert!(house.last(agent).starts_with("BYE"));
}

#[test]
fn an_offer_without_audio_or_codec_is_refused() {
    let mut house = House::new();
    let video = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=video 4 RTP/AVP 99\r\n";
    let video = crate::wire::sdp::SessionDescription::parse(video.as_bytes()).unwrap();
    let keys_only = sdp(4_000, "101", "a=rtpmap:101 telephone-event/8000");

    for offer in [video, keys_only] {
        let leg = house.invite(carrier(), "1", "204", Some(offer));
        assert_eq!(house.last(leg), "488");
    }
    house.assert_empty();
}

#[test]
fn a_number_that_leads_nowhere_is_not_found() {
    let mut house = House::new();

    for number in ["4", "299", "nobody"] {
        let leg = house.customer_calls(number);
        assert_eq!(house.last(leg), "404", "{number}");
    }
    house.assert_empty();
}

#[test]
fn a_loop_ends_with_too_many_hops() {
    let mut house = House::new();
    let leg = LegId(77);
    let invitation = crate::control::input::Invitation {
        dialled: "204".into(),
        caller: None,
        display_name: None,
        origin: carrier(),
        sdp: Some(pcma(4_000)),
        source: [127, 0, 0, 2].into(),
        max_forwards: 0,
    };

    house.signal(leg, Signal::Invited(Box::new(invitation)));

    assert_eq!(house.last(leg), "483");
}

#[test]
fn while_draining_no_call_begins_and_what_runs_goes_on() {
    let mut house = House::new();
    let (customer, agent) = house.talking();

    house.input(Input::Drain);
    let late = house.customer_calls("205");

    assert_eq!(house.last(late), "503");
    assert!(house.board.snapshot().draining);
    house.signal(agent, Signal::HungUp { reason: None });
    assert_eq!(house.last(customer), "BYE");
}

#[test]
fn the_outside_never_leaves_by_the_outside_unless_a_route_names_it() {
    let mut house = House::new();
    let stranger = house.customer_calls("+358501234567");
    assert_eq!(house.last(stranger), "404");

    let mut settings = settings();
    settings.routes.insert(
        0,
        Route {
            number: regex::Regex::new("^\\+358501234567$").unwrap(),
            from: Some(vec!["carrier".into()]),
            to: RouteTarget::Trunk {
                name: "carrier".into(),
                external: true,
            },
        },
    );
    let mut house = House::with(settings);
    house.customer_calls("+358501234567");

    let leg = house.only_dialled();
    assert_eq!(house.last(leg), "INVITE +358501234567 by carrier");
    assert_eq!(house.call().kind, None, "a relay that nobody supervises");
    assert!(!house.board.snapshot().calls[0].supervisable);
}

#[test]
fn an_agent_who_calls_out_is_the_pupil() {
    for origin in [
        phone_205(),
        Origin::Contact {
            organisation: "acme".into(),
            extension: "205".into(),
        },
        pbx(),
    ] {
        let mut house = House::new();
        let agent = house.invite(origin, "205", "+358501234567", Some(pcma(4_000)));
        let customer = house.only_dialled();
        house.answers_with(customer, pcma(5_000));
        house.signal(agent, Signal::Acknowledged { sdp: None });

        let call = house.call();
        assert_eq!(call.pupil.leg, Some(agent));
        assert_eq!(call.pupil.agent.as_deref(), Some("205"));
        assert_eq!(call.user.leg, Some(customer));
        assert_eq!(call.kind, Some(CallKind::Outbound));
        assert_eq!(call.direction, Direction::Outbound);
        assert_eq!(house.board.legs[&customer].network, Network::External);
        let view = &house.board.snapshot().calls[0];
        assert!(view.supervisable);
        assert_eq!(view.customer.as_deref(), Some("+358501234567"));
    }
}

#[test]
fn a_200_that_is_never_acknowledged_ends_the_call() {
    let mut house = House::new();
    let customer = house.customer_calls("204");
    let agent = house.only_dialled();
    house.answers_with(agent, pcma(5_000));

    house.signal(customer, Signal::NeverAcknowledged);

    assert!(house.last(customer).starts_with("BYE"));
    assert!(house.last(agent).starts_with("BYE"));
}

#[test]
fn a_lost_leg_takes_the_other_along() {
    let mut house = House::new();
    let (customer, agent) = house.talking();

    house.signal(agent, Signal::Lost);

    assert_eq!(
        house.last(customer),
        "BYE [SIP 408: The other end was lost]"
    );
}

#[test]
fn a_call_without_any_media_is_ended_by_the_watchdog() {
    let mut house = House::new();
    let (customer, agent) = house.talking();
    let silent = |leg| Event::MediaSilent {
        leg,
        lasting: Duration::from_secs(30),
    };

    house.event(silent(customer));
    house.event(Event::MediaHeard { leg: customer });
    house.event(silent(agent));
    assert_eq!(house.told(customer).len(), 1, "one of them is alive");
    house.event(silent(customer));

    assert_eq!(house.last(customer), "BYE [SIP 408: No media]");
    assert_eq!(house.last(agent), "BYE [SIP 408: No media]");
}

#[test]
fn stray_requests_are_answered_with_481() {
    let mut house = House::new();
    let request = crate::id::RequestId(5);

    house.signal(LegId(99), Signal::Reinvited { request, sdp: None });
    house.signal(
        LegId(99),
        Signal::Referred {
            request,
            target: "205".into(),
            consulted: None,
        },
    );

    let told: Vec<String> = house
        .told(LegId(99))
        .into_iter()
        .map(describe_signal)
        .collect();
    assert_eq!(told, ["re-481", "REFER 481"]);
}

#[test]
fn the_caller_is_named_to_the_callee_and_hops_are_counted() {
    let mut house = House::new();
    house.customer_calls("204");
    house.invite(carrier(), "", "204", Some(pcma(4_002)));

    let dialled = house.dialled();
    assert_eq!(dialled[0].1.caller.as_deref(), Some("+358401111111"));
    assert_eq!(dialled[0].1.max_forwards, 69);
    assert_eq!(dialled[1].1.caller, None, "hidden stays hidden");
}

#[test]
fn a_supervising_number_is_not_a_call() {
    let mut house = House::new();

    house.customer_calls("800");

    assert!(house.board.calls.is_empty());
    assert!(!house.said.iter().any(|output| matches!(
        output,
        crate::control::output::Output::Signal {
            command: SignalCommand::Dial(_),
            ..
        }
    )));
}
