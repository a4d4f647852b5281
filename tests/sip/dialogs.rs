//! What happens inside a call: holds, keys, transfers, and requests that have no place there.

use std::time::Duration;

use sottovoce::control::input::{Consulted, Signal};
use sottovoce::control::output::SignalCommand;
use sottovoce::id::RequestId;

use crate::phone::{Call, Phone, sdp};
use crate::world::{World, description};

#[tokio::test]
async fn a_hold_of_the_peer_is_asked_and_answered() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;

    carrier.send(&call.request("INVITE", "", &sdp(4002))).await;
    let (request, offer) = world.reinvited(leg).await;
    assert_eq!(offer, Some(description(4002)));
    world.accept_reinvite(leg, request, 6002);
    let ok = carrier.expect(200).await;
    assert!(ok.body.contains("m=audio 6002"));
    carrier.send(&call.ack("")).await;

    carrier.send(&call.request("INVITE", "", &sdp(4004))).await;
    let (request, _) = world.reinvited(leg).await;
    world.sip.send(
        leg,
        SignalCommand::RefuseReinvite {
            request,
            status: 488,
        },
    );
    carrier.expect(488).await;
}

#[tokio::test]
async fn a_reinvite_without_offer_is_answered_in_its_ack() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;

    carrier.send(&call.request("INVITE", "", "")).await;
    let (request, offer) = world.reinvited(leg).await;
    assert_eq!(offer, None);
    world.accept_reinvite(leg, request, 6002);
    carrier.expect(200).await;
    carrier.send(&call.ack(&sdp(4002))).await;

    let Signal::ReinviteAcknowledged { request: of, sdp } = world.signal_of(leg).await else {
        panic!("an answer");
    };
    assert_eq!((of, sdp), (request, Some(description(4002))));
}

#[tokio::test]
async fn a_request_that_overtakes_the_ack_of_our_200_shows_that_it_came() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.answered(&carrier).await;
    let acks = [call.ack("")];

    // Twice: before the ACK of the call's own answer, and before that of a hold's.
    for port in [4002, 4004] {
        carrier.send(&call.request("INVITE", "", &sdp(port))).await;
        if port == 4002 {
            world.acknowledged(leg).await;
        }
        let (request, offer) = world.reinvited(leg).await;
        assert_eq!(offer, Some(description(port)));
        world.accept_reinvite(leg, request, 6000);
        carrier.expect_to(200, call.cseq).await;
    }
    // The ACK that was overtaken finds nothing to say; the call is ended as any other.
    carrier.send(&acks[0]).await;
    carrier.send(&call.request("BYE", "", "")).await;
    carrier.expect_to(200, call.cseq).await;
    assert!(matches!(world.signal_of(leg).await, Signal::HungUp { .. }));
}

#[tokio::test]
async fn a_hang_up_of_ours_waits_for_no_ack_once_the_peer_shows_that_it_has_our_200() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.answered(&carrier).await;

    world.sip.send(leg, SignalCommand::HangUp { reason: None });
    carrier.send(&call.request("INVITE", "", &sdp(4002))).await;

    world.acknowledged(leg).await;
    let bye = carrier.request("BYE").await;
    carrier.answer(&bye, 200, "", "", "").await;
    assert!(matches!(world.signal_of(leg).await, Signal::HangUpDone));
}

#[tokio::test]
async fn a_reinvite_that_overtakes_the_answer_to_our_offer_is_asked_to_come_again() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;
    carrier.send(&call.request("INVITE", "", "")).await;
    let (request, _) = world.reinvited(leg).await;
    world.accept_reinvite(leg, request, 6002);
    carrier.expect(200).await;
    let ack = call.ack(&sdp(4002));

    carrier.send(&call.request("INVITE", "", &sdp(4004))).await;
    let refused = carrier.expect_to(500, call.cseq).await;
    assert!(refused.header("Retry-After").parse::<u8>().is_ok());
    carrier.send(&ack).await;

    let Signal::ReinviteAcknowledged { sdp, .. } = world.signal_of(leg).await else {
        panic!("the answer to our offer");
    };
    assert_eq!(sdp, Some(description(4002)));
}

#[tokio::test]
async fn our_reinvite_is_acknowledged_and_told_also_when_refused() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, _) = world.standing_out(&phone).await;
    let reinvite = |number| SignalCommand::Reinvite {
        request: RequestId(number),
        sdp: Some(description(4002)),
    };

    world.sip.send(leg, reinvite(1));
    let invite = phone.request("INVITE").await;
    assert_eq!(invite.header("CSeq"), "2 INVITE");
    assert!(invite.body.contains("m=audio 4002"));
    phone.answer(&invite, 200, "p", "", &sdp(5002)).await;
    assert_eq!(phone.request("ACK").await.header("CSeq"), "2 ACK");
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::ReinviteAnswered { request: RequestId(1), result: Ok(Some(sdp)) }
            if sdp == description(5002)
    ));

    world.sip.send(leg, reinvite(2));
    let invite = phone.request("INVITE").await;
    phone.answer(&invite, 488, "p", "", "").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::ReinviteAnswered {
            request: RequestId(2),
            result: Err(488)
        }
    ));

    world.sip.send(leg, reinvite(3));
    let mut invite = phone.request("INVITE").await;
    while invite.header("CSeq") != "4 INVITE" {
        invite = phone.request("INVITE").await;
    }
    phone.answer(&invite, 481, "p", "", "").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::ReinviteAnswered {
            request: RequestId(3),
            result: Err(481)
        }
    ));
    assert!(matches!(world.signal_of(leg).await, Signal::Lost));
}

#[tokio::test]
async fn reinvites_that_cross_get_491_both_ways() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, mut call) = world.standing_out(&phone).await;

    world.sip.send(
        leg,
        SignalCommand::Reinvite {
            request: RequestId(1),
            sdp: Some(description(4002)),
        },
    );
    let ours = phone.request("INVITE").await;
    phone.send(&call.request("INVITE", "", &sdp(5004))).await;
    phone.expect(491).await;
    phone.answer(&ours, 491, "p", "", "").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::ReinviteAnswered {
            result: Err(491),
            ..
        }
    ));

    phone.request("ACK").await;
    phone.send(&call.request("INVITE", "", &sdp(5004))).await;
    world.reinvited(leg).await;
    world.sip.send(
        leg,
        SignalCommand::Reinvite {
            request: RequestId(2),
            sdp: Some(description(4002)),
        },
    );
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::ReinviteAnswered {
            request: RequestId(2),
            result: Err(491)
        }
    ));
}

#[tokio::test]
async fn keys_by_info_are_answered_and_told() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;

    for (kind, body, key) in [
        ("dtmf-relay", "Signal=4\r\nDuration=160\r\n", '4'),
        ("dtmf", "#", '#'),
    ] {
        let kind = format!("Content-Type: application/{kind}\r\n");
        carrier.send(&call.request("INFO", &kind, body)).await;
        assert_eq!(carrier.receive().await.status(), 200);
        let Signal::KeyInfo { digit } = world.signal_of(leg).await else {
            panic!("a key");
        };
        assert_eq!(digit.as_char(), key);
    }
    carrier
        .send(&call.request("INFO", "Content-Type: text/plain\r\n", "hello"))
        .await;
    assert_eq!(carrier.receive().await.status(), 415);
    carrier.send(&call.request("INFO", "", "")).await;
    assert_eq!(carrier.receive().await.status(), 200);
}

#[tokio::test]
async fn a_transfer_is_asked_accepted_and_told_about() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;

    let refer_to = format!("Refer-To: <sip:205@{}>\r\n", world.udp.ip());
    carrier.send(&call.request("REFER", &refer_to, "")).await;
    let (request, target, consulted) = world.referred(leg).await;
    assert_eq!((&*target, consulted), ("205", None));
    world.sip.send(leg, SignalCommand::AcceptRefer { request });
    let (status, last) = (100, false);
    world.sip.send(
        leg,
        SignalCommand::NotifyRefer {
            request,
            status,
            last,
        },
    );
    assert_eq!(carrier.receive().await.status(), 202);
    let first = carrier.request("NOTIFY").await;
    assert!(first.body.starts_with("SIP/2.0 100"));
    assert!(first.header("Subscription-State").starts_with("active"));
    carrier.answer(&first, 200, "", "", "").await;
    world.sip.send(
        leg,
        SignalCommand::NotifyRefer {
            request,
            status: 200,
            last: true,
        },
    );
    let last = carrier.request("NOTIFY").await;
    assert!(last.body.starts_with("SIP/2.0 200"));
    assert!(last.header("Subscription-State").starts_with("terminated"));
    carrier.answer(&last, 200, "", "", "").await;

    let refer_to = "Refer-To: <sip:9@192.0.2.1?Replaces=a%40b>\r\n";
    carrier.send(&call.request("REFER", refer_to, "")).await;
    let (request, target, consulted) = world.referred(leg).await;
    let elsewhere = Some(Consulted::Elsewhere);
    assert_eq!((&*target, consulted), ("sip:9@192.0.2.1", elsewhere));
    world.sip.send(
        leg,
        SignalCommand::RefuseRefer {
            request,
            status: 603,
        },
    );
    carrier.expect(603).await;
}

#[tokio::test]
async fn requests_without_a_place_are_refused_cleanly_and_the_call_stands() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;

    for (method, extra, body, status) in [
        ("OPTIONS", "", "", 200),
        ("UPDATE", "", "", 200),
        ("UPDATE", "", "v=0\r\n", 488),
        ("PRACK", "RAck: 1 1 INVITE\r\n", "", 405),
        ("MESSAGE", "Content-Type: text/plain\r\n", "hello", 405),
        ("SUBSCRIBE", "Event: dialog\r\n", "", 405),
        ("NOTIFY", "Event: refer\r\n", "", 481),
        ("REFER", "", "", 400),
        ("DANCE", "", "", 501),
        ("INFO", "Require: rocket\r\n", "", 420),
    ] {
        carrier.send(&call.request(method, extra, body)).await;
        let answer = carrier.receive().await;
        assert_eq!(answer.status(), status, "{method}");
        if matches!(status, 405 | 501) {
            assert!(answer.header("Allow").contains("INVITE"));
        }
    }
    carrier.send(&call.numbered("INFO", 1, "", "")).await;
    assert_eq!(carrier.receive().await.status(), 500, "an old number");
    carrier.send(&call.request("BYE", "", "")).await;
    assert_eq!(carrier.receive().await.status(), 200);
    assert!(matches!(world.signal_of(leg).await, Signal::HungUp { .. }));
    carrier.send(&call.request("BYE", "", "")).await;
    assert_eq!(carrier.receive().await.status(), 481);
}

#[tokio::test]
async fn a_repeated_200_is_acknowledged_again_and_a_foreign_one_ended() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, invite) = world.ring(&phone).await;
    phone.answer(&invite, 200, "p", "", &sdp(5000)).await;
    world.signal_of(leg).await;
    let ack = phone.request("ACK").await;

    phone.answer(&invite, 200, "p", "", &sdp(5000)).await;
    let again = phone.request("ACK").await;
    assert!(again.header("To").ends_with("tag=p"));
    assert_eq!(again.header("Via"), ack.header("Via"), "the same ACK");
    phone.answer(&invite, 200, "other", "", &sdp(5000)).await;
    assert!(
        phone
            .request("ACK")
            .await
            .header("To")
            .ends_with("tag=other")
    );
    let bye = phone.request("BYE").await;
    assert!(bye.header("To").ends_with("tag=other"));
    phone.answer(&bye, 200, "", "", "").await;

    world.sip.send(leg, SignalCommand::HangUp { reason: None });
    assert!(phone.request("BYE").await.header("To").ends_with("tag=p"));
}

#[tokio::test]
async fn a_bye_that_nobody_answers_is_done_all_the_same() {
    let mut world = World::with(Duration::from_millis(10), None, 64).await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, _) = world.standing_out(&phone).await;

    world.sip.send(leg, SignalCommand::HangUp { reason: None });

    assert!(matches!(world.signal_of(leg).await, Signal::HangUpDone));
    world.sip.send(leg, SignalCommand::HangUp { reason: None });
    assert!(matches!(world.signal_of(leg).await, Signal::HangUpDone));
}

#[tokio::test]
async fn routes_that_a_proxy_recorded_are_followed() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let proxy = Phone::at("127.0.0.1", world.udp).await;
    let (leg, invite) = world.ring(&phone).await;

    let record = format!(
        "Record-Route: <sip:{};lr>, <sip:192.0.2.9;lr>\r\n",
        phone.addr()
    );
    let record = record
        .replace(", <", &format!(", <sip:{};lr>, <", proxy.addr()))
        .replace(", <sip:192.0.2.9;lr>", "");
    phone.answer(&invite, 200, "p", &record, &sdp(5000)).await;

    world.signal_of(leg).await;
    let ack = proxy.request("ACK").await;
    assert_eq!(ack.uri(), format!("sip:{}", phone.addr()));
    assert_eq!(
        ack.all("Route"),
        [
            format!("<sip:{};lr>", proxy.addr()),
            format!("<sip:{};lr>", phone.addr())
        ]
    );
}

#[tokio::test]
async fn an_attended_transfer_names_the_leg_that_was_consulted() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;
    let (consulted, other) = world.standing(&carrier).await;
    let tag = |value: &str| value.split(";tag=").nth(1).unwrap_or("").to_owned();
    let (ours, theirs) = (tag(&other.to), tag(&other.from));
    let replaces = |to_tag: &str, from_tag: &str| {
        format!(
            "Refer-To: <sip:205@{}?Replaces={}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{from_tag}>\r\n",
            world.udp.ip(),
            other.call_id,
        )
    };
    let cases = [
        (replaces(&ours, &theirs), Consulted::Leg(consulted)),
        (replaces(&theirs, &ours), Consulted::Leg(consulted)),
        (replaces("nobody", "knows"), Consulted::Elsewhere),
    ];

    for (refer_to, expected) in cases {
        carrier.send(&call.request("REFER", &refer_to, "")).await;
        let (request, _, consulted) = world.referred(leg).await;
        assert_eq!(consulted, Some(expected));
        let status = 501;
        world
            .sip
            .send(leg, SignalCommand::RefuseRefer { request, status });
        assert_eq!(carrier.receive().await.status(), 501);
    }
}

#[tokio::test]
async fn an_invite_that_would_replace_a_dialog_gets_a_definite_answer() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (_, standing) = world.standing(&carrier).await;
    let tag = |value: &str| value.split(";tag=").nth(1).unwrap_or("").to_owned();
    let (ours, theirs) = (tag(&standing.to), tag(&standing.from));

    for (call_id, to_tag, status) in [
        (standing.call_id.as_str(), ours.as_str(), 603),
        (standing.call_id.as_str(), "nobody", 481),
        ("no-such-call", ours.as_str(), 481),
    ] {
        let from_tag = if status == 603 { &theirs } else { "else" };
        let replaces = format!("Replaces: {call_id};to-tag={to_tag};from-tag={from_tag}\r\n");
        // One phone for each, so that a repeat of an answer meets no other question.
        let phone = world.carrier().await;
        let mut call = Call::new(&phone, "+358401", "204");
        let invite = call.request("INVITE", &replaces, &sdp(4_000));
        phone.send(&invite).await;
        phone.expect(status).await;
    }
}

#[tokio::test]
async fn a_peer_that_hosts_a_conference_is_told_of_as_it_says_so() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, invite) = world.ring(&phone).await;
    let focus = format!("Contact: <sip:{}>;isfocus\r\n", phone.addr());
    // Its own Contact comes first in what this phone writes; another says nothing of a focus.
    phone.answer(&invite, 200, "p", "", &sdp(5_000)).await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Answered { .. }
    ));
    phone.request("ACK").await;
    let mut call = Call::of_invite(&phone, &invite, "p");

    for is_focus in [true, false] {
        let text = call.request("INVITE", "", &sdp(5_000));
        let text = match is_focus {
            true => text.replace(&format!("Contact: <sip:{}>\r\n", phone.addr()), &focus),
            false => text,
        };
        phone.send(&text).await;
        assert!(matches!(world.signal_of(leg).await, Signal::Focus(it) if it == is_focus));
        let (request, _) = world.reinvited(leg).await;
        world.accept_reinvite(leg, request, 6_000);
        phone.expect(200).await;
        phone.send(&call.ack("")).await;
    }
}
