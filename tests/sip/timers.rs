//! Session timers (RFC 4028): what is promised, and what is kept.

use sottovoce::control::input::Signal;
use sottovoce::control::output::SignalCommand;
use sottovoce::id::{LegId, RequestId};

use crate::phone::{Call, Message, Phone, sdp};
use crate::world::{World, answer, description};

/// A call from the carrier that stands, and our 200.
async fn standing(world: &mut World, phone: &Phone, extra: &str) -> (LegId, Call, Message) {
    let mut call = Call::new(phone, "+358401", "204");
    phone
        .send(&call.request("INVITE", extra, &sdp(4_000)))
        .await;
    let (leg, _) = world.invited().await;
    world.sip.send(leg, answer());
    let ok = phone.expect(200).await;
    call.confirmed_by(&ok);
    phone.send(&call.ack("")).await;
    world.acknowledged(leg).await;
    (leg, call, ok)
}

/// The peer hears that the call is over, and control that the peer is lost.
async fn expires(world: &mut World, phone: &Phone, leg: LegId) {
    let signal = world.signal_of(leg).await;
    assert!(matches!(signal, Signal::Lost), "{signal:?}");
    hears_why(phone).await;
}

async fn hears_why(phone: &Phone) {
    let bye = phone.request("BYE").await;
    let reason = bye.header("Reason");
    assert!(reason.starts_with("SIP;cause=408;text="), "{reason}");
    phone.answer(&bye, 200, "", "", "").await;
}

/// Whether control heard nothing of what went before.
async fn next_is_a_key(world: &mut World, phone: &Phone, leg: LegId, call: &mut Call) {
    let keys = "Content-Type: application/dtmf-relay\r\n";
    phone
        .send(&call.request("INFO", keys, "Signal=7\r\n"))
        .await;
    phone.expect_to(200, call.cseq).await;
    let signal = world.signal_of(leg).await;
    assert!(matches!(signal, Signal::KeyInfo { .. }), "{signal:?}");
}

#[tokio::test]
async fn a_caller_is_answered_with_the_timer_that_it_asks_for() {
    let mut world = World::new().await;
    for (asked, set, required) in [
        (
            "Supported: timer\r\nSession-Expires: 90\r\n",
            Some("90;refresher=uac"),
            true,
        ),
        (
            "Require: timer\r\nx: 1800;refresher=uac\r\n",
            Some("1800;refresher=uac"),
            true,
        ),
        (
            "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\n",
            Some("90;refresher=uas"),
            true,
        ),
        ("Session-Expires: 90\r\n", Some("90;refresher=uas"), false),
        ("Supported: timer\r\n", None, false),
    ] {
        let carrier = world.carrier().await;
        let (_, _, ok) = standing(&mut world, &carrier, asked).await;

        assert_eq!(ok.find("Session-Expires"), set, "{asked}");
        assert_eq!(ok.find("Require"), required.then_some("timer"), "{asked}");
        assert_eq!(ok.header("Supported"), "timer");
    }
}

#[tokio::test]
async fn a_session_shorter_than_allowed_is_refused_with_what_is() {
    let mut world = World::new().await;
    let short = "Supported: timer\r\nSession-Expires: 10\r\n";
    let carrier = world.carrier().await;
    let mut call = Call::new(&carrier, "+358401", "204");
    carrier
        .send(&call.request("INVITE", short, &sdp(4_000)))
        .await;
    let refused = carrier.expect(422).await;
    assert_eq!(refused.header("Min-SE"), "90");

    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;
    for (method, body) in [("INVITE", sdp(4_002)), ("UPDATE", String::new())] {
        carrier.send(&call.request(method, short, &body)).await;
        let refused = carrier.expect_to(422, call.cseq).await;
        assert_eq!(refused.header("Min-SE"), "90");
        if method == "INVITE" {
            carrier.send(&call.ack("")).await;
        }
    }
    next_is_a_key(&mut world, &carrier, leg, &mut call).await;
}

#[tokio::test]
async fn of_what_is_required_only_the_unknown_is_refused() {
    let world = World::new().await;
    let carrier = world.carrier().await;
    let mut call = Call::new(&carrier, "+358401", "204");

    let required = "Require: rocket, timer\r\n";
    carrier
        .send(&call.request("INVITE", required, &sdp(4_000)))
        .await;

    assert_eq!(carrier.expect(420).await.header("Unsupported"), "rocket");
}

#[tokio::test]
async fn a_peer_that_promised_to_refresh_and_does_not_is_lost() {
    let mut world = World::of_short_sessions().await;
    let timer = "Supported: timer\r\nSession-Expires: 15;refresher=uac\r\n";

    // Kept: one promise by re-INVITE, one by UPDATE, both for an hour. They began before.
    let hour = "Supported: timer\r\nSession-Expires: 3600;refresher=uac\r\n";
    let mut kept = Vec::new();
    for method in ["INVITE", "UPDATE"] {
        let carrier = world.carrier().await;
        let (leg, mut call, _) = standing(&mut world, &carrier, timer).await;
        let body = if method == "INVITE" {
            sdp(4_000)
        } else {
            String::new()
        };
        carrier.send(&call.request(method, hour, &body)).await;
        if method == "INVITE" {
            let (request, _) = world.reinvited(leg).await;
            world.accept_reinvite(leg, request, 6_000);
        }
        let ok = carrier.expect_to(200, call.cseq).await;
        assert_eq!(ok.header("Session-Expires"), "3600;refresher=uac");
        if method == "INVITE" {
            carrier.send(&call.ack("")).await;
        }
        kept.push((leg, call, carrier));
    }
    let carrier = world.carrier().await;
    let (broken, _, _) = standing(&mut world, &carrier, timer).await;

    // A promise that was not heard of would have been broken before.
    let (lost, signal) = world.signal().await;
    assert!(matches!(signal, Signal::Lost), "{signal:?}");
    assert_eq!(lost, broken);
    hears_why(&carrier).await;
    for (leg, mut call, carrier) in kept {
        next_is_a_key(&mut world, &carrier, leg, &mut call).await;
    }
}

#[tokio::test]
async fn a_phone_that_we_call_is_held_to_the_timer_of_its_answer() {
    let mut world = World::of_short_sessions().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, invite) = world.ring(&phone).await;
    assert_eq!(invite.find("Session-Expires"), None);

    let timer = "Session-Expires: 3;refresher=uas\r\n";
    phone.answer(&invite, 200, "p", timer, &sdp(5_000)).await;

    let signal = world.signal_of(leg).await;
    assert!(matches!(signal, Signal::Answered { .. }), "{signal:?}");
    expires(&mut world, &phone, leg).await;
    world.is_empty().await;
}

#[tokio::test]
async fn where_the_part_is_ours_we_refresh_by_update_if_the_peer_takes_it() {
    let mut world = World::of_short_sessions().await;
    let carrier = world.carrier().await;
    let timer =
        "Allow: INVITE, UPDATE\r\nSupported: timer\r\nSession-Expires: 20;refresher=uas\r\n";
    let (leg, mut call, _) = standing(&mut world, &carrier, timer).await;

    let mut last = 0;
    for expires in [20, 3_600] {
        let update = loop {
            let update = carrier.request("UPDATE").await;
            let seq = update.header("CSeq").split(' ').next().unwrap_or("");
            let seq: u32 = seq.parse().expect("a number");
            if seq > last {
                last = seq;
                break update;
            }
        };
        assert_eq!(update.header("Session-Expires"), "20;refresher=uac");
        assert_eq!(update.header("Supported"), "timer");
        assert!(update.body.is_empty());
        let set = format!("Require: timer\r\nSession-Expires: {expires};refresher=uac\r\n");
        carrier.answer(&update, 200, "", &set, "").await;
    }
    next_is_a_key(&mut world, &carrier, leg, &mut call).await;

    // A hold of ours carries the timer on.
    let (request, sdp) = (RequestId(1), Some(description(6_002)));
    let reinvite = SignalCommand::Reinvite { request, sdp };
    world.sip.send(leg, reinvite);
    let invite = carrier.request("INVITE").await;
    assert_eq!(invite.header("Session-Expires"), "3600;refresher=uac");
}

#[tokio::test]
async fn where_the_peer_takes_no_update_we_repeat_what_we_said() {
    let mut world = World::of_short_sessions().await;
    let carrier = world.carrier().await;
    let timer = "Supported: timer\r\nSession-Expires: 20;refresher=uas\r\n";
    let (leg, mut call, ok) = standing(&mut world, &carrier, timer).await;

    let invite = carrier.request("INVITE").await;
    assert_eq!(invite.body, ok.body, "the session stays as it is");
    assert_eq!(invite.header("Session-Expires"), "20;refresher=uac");
    let far = "Require: timer\r\nSession-Expires: 3600;refresher=uac\r\n";
    carrier.answer(&invite, 200, "", far, &sdp(4_000)).await;
    assert_eq!(carrier.request("ACK").await.header("CSeq"), "1 ACK");

    next_is_a_key(&mut world, &carrier, leg, &mut call).await;
}

#[tokio::test]
async fn a_peer_that_refuses_our_refreshes_to_the_end_is_lost() {
    let mut world = World::of_short_sessions().await;
    let carrier = world.carrier().await;
    let timer = "Allow: UPDATE\r\nSupported: timer\r\nSession-Expires: 3;refresher=uas\r\n";
    let (leg, _, _) = standing(&mut world, &carrier, timer).await;

    let bye = loop {
        let request = carrier.receive().await;
        match request.method() {
            _ if request.status() != 0 => {}
            "ACK" => {}
            "BYE" => break request,
            // Who does not take UPDATE after all is asked by re-INVITE.
            "UPDATE" => carrier.answer(&request, 405, "", "", "").await,
            _ => carrier.answer(&request, 500, "", "", "").await,
        }
    };
    assert!(bye.header("Reason").contains("408"), "{bye:?}");
    carrier.answer(&bye, 200, "", "", "").await;
    let signal = world.signal_of(leg).await;
    assert!(matches!(signal, Signal::Lost), "{signal:?}");
    world.is_empty().await;
}
