//! Calls in both directions, from INVITE to BYE.

use std::time::Duration;

use sottovoce::control::input::{CallerIdTrust, Network, Origin, Signal};
use sottovoce::control::output::{Reason, SignalCommand, Target};

use crate::phone::{Call, PATIENCE, Phone, sdp};
use crate::world::{World, answer, description};

#[tokio::test]
async fn a_call_from_a_trunk_is_rung_answered_and_hung_up_by_the_caller() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let mut call = Call::new(&carrier, "+358401", "204");

    carrier.send(&call.request("INVITE", "", &sdp(4000))).await;
    let (leg, invitation) = world.invited().await;
    assert_eq!(carrier.receive().await.status(), 100);
    assert_eq!(&*invitation.dialled, "204");
    assert_eq!(invitation.caller.as_deref(), Some("+358401"));
    assert_eq!(invitation.max_forwards, 69);
    assert_eq!(
        invitation.origin,
        Origin::Trunk {
            name: "carrier".into(),
            network: Network::External,
            caller_id: CallerIdTrust::Trusted,
        }
    );
    assert!(invitation.sdp.is_some());

    world.sip.send(leg, SignalCommand::Ring);
    let ringing = carrier.expect(180).await;
    assert!(ringing.header("To").contains(";tag="));
    world.sip.send(leg, answer());
    let ok = carrier.expect(200).await;
    assert!(ok.body.contains("m=audio 6000"));
    call.confirmed_by(&ok);
    carrier.send(&call.ack("")).await;
    world.acknowledged(leg).await;

    carrier
        .send(&call.request("BYE", "Reason: Q.850;cause=16\r\n", ""))
        .await;
    assert_eq!(carrier.expect(200).await.method(), "BYE");
    let Signal::HungUp { reason } = world.signal_of(leg).await else {
        panic!("hung up");
    };
    assert_eq!(reason.as_deref(), Some("Q.850;cause=16"));
    world.is_empty().await;
}

#[tokio::test]
async fn a_call_to_a_phone_is_progressed_answered_and_hung_up_by_us() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;

    let (leg, invite) = world.ring(&phone).await;
    assert!(invite.header("From").contains("+358401234567"));
    assert!(invite.header("From").starts_with("\"Matti \\\"M\\\"\""));
    assert!(
        invite
            .header("P-Asserted-Identity")
            .contains("+358401234567")
    );
    assert_eq!(invite.header("Max-Forwards"), "69");
    assert!(invite.body.contains("m=audio 4000"));
    phone.answer(&invite, 100, "", "", "").await;
    phone.answer(&invite, 180, "p", "", "").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Progressed {
            status: 180,
            sdp: None
        }
    ));
    phone.answer(&invite, 183, "p", "", &sdp(5000)).await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Progressed {
            status: 183,
            sdp: Some(_)
        }
    ));
    phone.answer(&invite, 200, "p", "", &sdp(5000)).await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Answered { sdp: Some(_) }
    ));
    let ack = phone.request("ACK").await;
    assert_eq!(ack.header("CSeq"), "1 ACK");
    assert_eq!(ack.uri(), format!("sip:{}", phone.addr()));

    let reason = Some(Reason {
        protocol: "SIP",
        cause: 200,
        text: "done".into(),
    });
    world.sip.send(leg, SignalCommand::HangUp { reason });
    let bye = phone.request("BYE").await;
    assert_eq!(bye.header("Reason"), "SIP;cause=200;text=\"done\"");
    phone.answer(&bye, 200, "", "", "").await;
    assert!(matches!(world.signal_of(leg).await, Signal::HangUpDone));
    world.is_empty().await;
}

#[tokio::test]
async fn a_caller_who_cancels_gets_487_and_control_hears_of_it() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let mut call = Call::new(&carrier, "+358401", "204");
    let branch = crate::phone::unique("z9hG4bKc");

    call.cseq = 1;
    carrier
        .send(&call.on_branch("INVITE", 1, &branch, "", &sdp(4000)))
        .await;
    let (leg, _) = world.invited().await;
    world.sip.send(leg, SignalCommand::Ring);
    carrier.expect(180).await;
    carrier
        .send(&call.on_branch("CANCEL", 1, &branch, "", ""))
        .await;

    let (first, second) = (carrier.expect_any().await, carrier.expect_any().await);
    let mut statuses = [
        (first.method().to_owned(), first.status()),
        (second.method().to_owned(), second.status()),
    ];
    statuses.sort();
    assert_eq!(
        statuses,
        [("CANCEL".to_owned(), 200), ("INVITE".to_owned(), 487)]
    );
    assert!(matches!(world.signal_of(leg).await, Signal::Cancelled));
    carrier
        .send(&call.on_branch("ACK", 1, &branch, "", ""))
        .await;
    world.is_empty().await;
}

#[tokio::test]
async fn a_dial_that_is_cancelled_sends_cancel_after_the_first_answer_only() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;

    let (leg, invite) = world.ring(&phone).await;
    world.sip.send(leg, SignalCommand::Cancel { reason: None });
    assert!(
        phone
            .receive_within(Duration::from_millis(150))
            .await
            .is_none_or(|m| m.method() == "INVITE")
    );
    phone.answer(&invite, 180, "p", "", "").await;
    let cancel = phone.request("CANCEL").await;
    assert_eq!(cancel.header("Via"), invite.header("Via"));
    assert_eq!(cancel.header("CSeq"), "1 CANCEL");
    phone.answer(&cancel, 200, "p", "", "").await;
    phone.answer(&invite, 487, "p", "", "").await;

    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Failed { status: 487, .. }
    ));
    assert_eq!(phone.request("ACK").await.header("CSeq"), "1 ACK");
    world.is_empty().await;
}

#[tokio::test]
async fn an_answer_that_crosses_with_our_cancel_is_acknowledged_and_ended() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;

    let (leg, invite) = world.ring(&phone).await;
    phone.answer(&invite, 180, "p", "", "").await;
    world.signal_of(leg).await;
    world.sip.send(leg, SignalCommand::Cancel { reason: None });
    let cancel = phone.request("CANCEL").await;
    phone.answer(&invite, 200, "p", "", &sdp(5000)).await;
    phone.answer(&cancel, 200, "p", "", "").await;

    phone.request("ACK").await;
    let bye = phone.request("BYE").await;
    phone.answer(&bye, 200, "", "", "").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Failed { status: 487, .. }
    ));
    world.is_empty().await;
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;

    let (leg, invite) = world.ring(&phone).await;
    phone.answer(&invite, 486, "p", "", "").await;

    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Failed { status: 486, .. }
    ));
    phone.request("ACK").await;
}

#[tokio::test]
async fn a_phone_that_never_answers_fails_with_408() {
    let mut world = World::with(Duration::from_millis(10), None, 64).await;
    let phone = Phone::at("127.0.0.1", world.udp).await;

    let leg = world.dial_phone(&phone);

    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Failed { status: 408, .. }
    ));
    world.is_empty().await;
}

#[tokio::test]
async fn an_unknown_trunk_and_an_unregistered_phone_fail_at_once() {
    let mut world = World::new().await;

    let nowhere = world.dial(Target::Trunk {
        name: "nowhere".into(),
        number: "1".into(),
    });
    assert!(matches!(
        world.signal_of(nowhere).await,
        Signal::Failed { status: 503, .. }
    ));
    let absent = world.dial(Target::Registered(crate::world::agent_204()));
    assert!(matches!(
        world.signal_of(absent).await,
        Signal::Failed { status: 480, .. }
    ));
}

#[tokio::test]
async fn a_rejected_caller_gets_the_status_and_its_reason() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let mut call = Call::new(&carrier, "+358401", "204");

    carrier.send(&call.request("INVITE", "", &sdp(4000))).await;
    let (leg, _) = world.invited().await;
    world.sip.send(
        leg,
        SignalCommand::Reject {
            status: 486,
            reason: Some(Reason {
                protocol: "Q.850",
                cause: 17,
                text: "busy".into(),
            }),
        },
    );

    let busy = carrier.expect(486).await;
    assert_eq!(busy.header("Reason"), "Q.850;cause=17;text=\"busy\"");
    world.is_empty().await;
}

#[tokio::test]
async fn a_caller_without_offer_is_offered_and_answers_with_the_ack() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let mut call = Call::new(&carrier, "+358401", "204");

    carrier.send(&call.request("INVITE", "", "")).await;
    let (leg, invitation) = world.invited().await;
    assert_eq!(invitation.sdp, None);
    world.sip.send(leg, answer());
    let ok = carrier.expect(200).await;
    assert!(ok.body.contains("m=audio 6000"));
    call.confirmed_by(&ok);
    carrier.send(&call.ack(&sdp(4000))).await;

    let Signal::Acknowledged { sdp: Some(answer) } = world.signal_of(leg).await else {
        panic!("an answer");
    };
    assert_eq!(answer, description(4000));
}

#[tokio::test]
async fn a_200_that_is_never_acknowledged_is_told_and_ended() {
    let mut world = World::with(Duration::from_millis(10), None, 64).await;
    let carrier = world.carrier().await;

    let (leg, _) = world.answered(&carrier).await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::NeverAcknowledged
    ));
    world.sip.send(leg, SignalCommand::HangUp { reason: None });

    let bye = carrier.request("BYE").await;
    carrier.answer(&bye, 200, "", "", "").await;
    assert!(matches!(world.signal_of(leg).await, Signal::HangUpDone));
}

#[tokio::test]
async fn a_hang_up_before_the_ack_waits_for_it() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;

    let (leg, call) = world.answered(&carrier).await;
    world.sip.send(leg, SignalCommand::HangUp { reason: None });
    assert!(
        carrier
            .receive_within(Duration::from_millis(150))
            .await
            .is_none_or(|m| m.status() == 200)
    );
    carrier.send(&call.ack("")).await;

    let bye = carrier.request("BYE").await;
    carrier.answer(&bye, 200, "", "", "").await;
    world.acknowledged(leg).await;
    assert!(matches!(world.signal_of(leg).await, Signal::HangUpDone));
}

#[tokio::test]
async fn a_call_over_ipv6_runs_from_invite_to_bye() {
    let mut world = World::at("[::1]:0", Duration::from_millis(500), None, 64).await;
    let carrier = Phone::at("::1", world.udp).await;
    let mut call = Call::new(&carrier, "+358401", "204");
    // Behind a NAT, as its Via shows.
    let elsewhere = call.local;
    call.local.set_port(9);
    call.from = call.from.replace("@::1", "@[::1]");
    call.to = format!("<sip:204@[::1]:{}>", world.udp.port());

    carrier.send(&call.request("INVITE", "", &sdp(4000))).await;
    let (leg, invitation) = world.invited().await;
    assert!(invitation.source.is_ipv6());
    world.sip.send(leg, answer());
    let ok = carrier.expect(200).await;
    assert!(ok.header("Via").contains("received=::1"));
    assert!(ok.header("Contact").contains("[::1]"));
    call.confirmed_by(&ok);
    carrier.send(&call.ack("")).await;
    world.acknowledged(leg).await;
    call.local = elsewhere;
    carrier.send(&call.request("BYE", "", "")).await;
    assert_eq!(carrier.expect(200).await.method(), "BYE");
}

#[tokio::test]
async fn calls_that_control_has_no_room_for_get_503_and_the_others_go_on() {
    let mut world = World::with(Duration::from_millis(500), None, 4).await;
    let carrier = world.carrier().await;

    let mut accepted = 0;
    let refused = loop {
        let mut call = Call::new(&carrier, "+358401", "204");
        carrier.send(&call.request("INVITE", "", &sdp(4000))).await;
        let answer = carrier.receive().await;
        match answer.status() {
            100 => accepted += 1,
            _ => break answer,
        }
        assert!(accepted < 4, "half of the inbox is for the calls that are");
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.find("Retry-After").is_some());

    for _ in 0..accepted {
        let (leg, _) = world.invited().await;
        world.sip.send(leg, SignalCommand::Ring);
        loop {
            let answer = carrier.receive().await;
            if answer.status() == 180 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_sockets_are_free_when_the_edge_has_shut_down() {
    let world = World::new().await;
    let (udp, tcp) = (world.udp, world.tcp);
    assert!(std::net::UdpSocket::bind(udp).is_err());
    assert!(std::net::TcpListener::bind(tcp).is_err());

    world.sip.shutdown().await;
    drop(world);

    let end = tokio::time::Instant::now() + PATIENCE;
    while std::net::UdpSocket::bind(udp).is_err() || std::net::TcpListener::bind(tcp).is_err() {
        assert!(tokio::time::Instant::now() < end, "a socket is still bound");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn reliable_provisionals_are_neither_offered_nor_promised() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (_, invite) = world.ring(&phone).await;
    for name in ["Supported", "Require"] {
        assert!(!invite.find(name).is_some_and(|it| it.contains("100rel")));
    }

    let demanding = world.carrier().await;
    let mut call = Call::new(&demanding, "+358401", "204");
    let demand = call.request("INVITE", "Require: 100rel\r\n", &sdp(4_000));
    demanding.send(&demand).await;
    let refused = demanding.expect(420).await;
    assert_eq!(refused.header("Unsupported"), "100rel");

    let able = world.carrier().await;
    let mut call = Call::new(&able, "+358401", "204");
    let offer = call.request("INVITE", "Supported: 100rel\r\n", &sdp(4_000));
    able.send(&offer).await;
    let (leg, _) = world.invited().await;
    world.sip.send(leg, SignalCommand::Ring);
    let ringing = able.expect(180).await;
    assert!(ringing.find("RSeq").is_none() && ringing.find("Require").is_none());
}
