//! Which requests belong to a dialog, and which INVITE is a new one.

use sottovoce::control::input::Signal;
use sottovoce::control::output::SignalCommand;

use crate::phone::{Call, Message, Phone, sdp};
use crate::world::{World, answer};

/// Every kind of request that a dialog takes.
fn every_request(refer_to: &str) -> [(&'static str, String, String); 8] {
    let keys = "Content-Type: application/dtmf-relay\r\n".to_owned();
    let none = String::new;
    [
        ("OPTIONS", none(), none()),
        ("INFO", keys, "Signal=4\r\n".to_owned()),
        ("UPDATE", none(), none()),
        ("NOTIFY", "Event: refer\r\n".to_owned(), none()),
        (
            "REFER",
            format!("Refer-To: <sip:205@{refer_to}>\r\n"),
            none(),
        ),
        ("PRACK", "RAck: 1 1 INVITE\r\n".to_owned(), none()),
        ("INVITE", none(), sdp(4_002)),
        ("BYE", none(), none()),
    ]
}

/// The same side of a call under another tag.
fn impostor(call: &Call) -> Call {
    let (from, _) = call.from.split_once(";tag=").expect("a tag");
    Call {
        from: format!("{from};tag=somebody-else"),
        cseq: call.cseq + 1_000,
        ..call.clone()
    }
}

async fn is_refused(phone: &Phone, impostor: &mut Call, server: &str) {
    for (method, extra, body) in every_request(server) {
        phone.send(&impostor.request(method, &extra, &body)).await;
        let status = if method == "PRACK" { 405 } else { 481 };
        phone.expect_to(status, impostor.cseq).await;
        if method == "INVITE" {
            phone.send(&impostor.ack("")).await;
        }
    }
}

async fn is_served(world: &mut World, phone: &Phone, leg: sottovoce::id::LegId, call: &mut Call) {
    let keys = "Content-Type: application/dtmf-relay\r\n";
    phone
        .send(&call.request("INFO", keys, "Signal=7\r\n"))
        .await;
    phone.expect_to(200, call.cseq).await;
    let Signal::KeyInfo { digit } = world.signal_of(leg).await else {
        panic!("a key");
    };
    assert_eq!(digit.as_char(), '7', "the first that control hears of");
    phone.send(&call.request("BYE", "", "")).await;
    phone.expect_to(200, call.cseq).await;
    assert!(matches!(world.signal_of(leg).await, Signal::HungUp { .. }));
}

#[tokio::test]
async fn a_request_with_another_tag_is_of_no_call_that_stands() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let server = world.udp.ip().to_string();

    let (leg, mut call) = world.standing(&carrier).await;
    is_refused(&carrier, &mut impostor(&call), &server).await;
    is_served(&mut world, &carrier, leg, &mut call).await;

    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, mut call) = world.standing_out(&phone).await;
    is_refused(&phone, &mut impostor(&call), &server).await;
    is_served(&mut world, &phone, leg, &mut call).await;
}

#[tokio::test]
async fn a_request_with_another_tag_is_of_no_call_that_rings() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let server = world.udp.ip().to_string();
    let mut call = Call::new(&carrier, "+358401", "204");
    carrier.send(&call.request("INVITE", "", &sdp(4_000))).await;
    let (leg, _) = world.invited().await;
    world.sip.send(leg, SignalCommand::Ring);
    call.confirmed_by(&carrier.expect(180).await);

    is_refused(&carrier, &mut impostor(&call), &server).await;

    world.sip.send(leg, answer());
    carrier.expect_to(200, call.cseq).await;
    carrier.send(&call.ack("")).await;
    world.acknowledged(leg).await;
    is_served(&mut world, &carrier, leg, &mut call).await;
}

#[tokio::test]
async fn each_phone_that_rings_has_its_early_dialog_and_one_that_does_not_has_none() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, invite) = world.ring(&phone).await;
    for tag in ["one", "two"] {
        phone.answer(&invite, 180, tag, "", "").await;
    }
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Progressed { status: 180, .. }
    ));
    // The same news is told once: a progress of another kind shows that the second was heard.
    phone.answer(&invite, 183, "two", "", "").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Progressed { status: 183, .. }
    ));

    for (tag, status) in [("one", 200), ("two", 200), ("three", 481)] {
        let mut call = Call::of_invite(&phone, &invite, tag);
        phone.send(&call.request("OPTIONS", "", "")).await;
        phone.expect_to(status, call.cseq).await;
    }

    phone.answer(&invite, 200, "two", "", &sdp(5_000)).await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Answered { .. }
    ));
    phone.request("ACK").await;
    let mut lost = Call::of_invite(&phone, &invite, "one");
    phone.send(&lost.request("BYE", "", "")).await;
    phone.expect_to(481, lost.cseq).await;
    let mut call = Call::of_invite(&phone, &invite, "two");
    is_served(&mut world, &phone, leg, &mut call).await;
}

#[tokio::test]
async fn a_phone_that_gives_no_tag_is_known_by_ours_alone() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let (leg, invite) = world.ring(&phone).await;

    phone.answer(&invite, 200, "", "", &sdp(5_000)).await;

    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Answered { .. }
    ));
    phone.request("ACK").await;
    let mut call = Call::of_invite(&phone, &invite, "late");
    is_served(&mut world, &phone, leg, &mut call).await;
}

/// The same INVITE as it comes along two ways.
fn two_ways(call: &mut Call) -> [String; 2] {
    call.cseq += 1;
    ["z9hG4bKway1", "z9hG4bKway2"]
        .map(|branch| call.on_branch("INVITE", call.cseq, branch, "", &sdp(4_000)))
}

async fn expect_of(phone: &Phone, branch: &str, status: u16) -> Message {
    loop {
        let message = phone.receive().await;
        if message.status() != 100 && message.header("Via").contains(branch) {
            assert_eq!(message.status(), status, "{}", message.start);
            return message;
        }
    }
}

#[tokio::test]
async fn an_invite_that_comes_along_two_ways_rings_once() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let mut call = Call::new(&carrier, "+358401", "204");
    let [first, second] = two_ways(&mut call);

    carrier.send(&first).await;
    let (leg, _) = world.invited().await;
    carrier.send(&second).await;
    let looped = expect_of(&carrier, "way2", 482).await;
    call.to = looped.header("To").to_owned();
    carrier
        .send(&call.on_branch("ACK", call.cseq, "z9hG4bKway2", "", ""))
        .await;
    // A repeat of the first is no second one.
    carrier.send(&first).await;
    world.sip.send(leg, SignalCommand::Ring);
    expect_of(&carrier, "way1", 180).await;
    assert_eq!(world.sip.legs(), 1);

    let (status, reason) = (486, None);
    world
        .sip
        .send(leg, SignalCommand::Reject { status, reason });
    let refused = expect_of(&carrier, "way1", 486).await;
    call.to = refused.header("To").to_owned();
    carrier
        .send(&call.on_branch("ACK", call.cseq, "z9hG4bKway1", "", ""))
        .await;
    world.is_empty().await;

    // Nothing of it is kept beyond the call.
    let again = first.replace("z9hG4bKway1", "z9hG4bKway3");
    carrier.send(&again).await;
    world.invited().await;
}

#[tokio::test]
async fn an_invite_that_was_challenged_is_no_loop_when_it_comes_again() {
    let world = World::new().await;
    let phone = Phone::at("127.0.0.9", world.udp).await;
    let mut call = Call::new(&phone, "204", "205");
    let [first, second] = two_ways(&mut call);

    // Nothing of the first is left once it was challenged, whatever number the next comes under.
    phone.send(&first).await;
    expect_of(&phone, "way1", 401).await;
    phone.send(&second).await;
    expect_of(&phone, "way2", 401).await;
    phone.send(&call.request("INVITE", "", &sdp(4_000))).await;
    phone.expect_to(401, call.cseq).await;
}

#[tokio::test]
async fn a_second_reinvite_is_told_when_to_come_again() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;
    let wait = |message: &Message| {
        let seconds: u8 = message.header("Retry-After").parse().expect("seconds");
        assert!(seconds <= 10, "{seconds}");
    };

    carrier.send(&call.request("INVITE", "", &sdp(4_002))).await;
    let (request, _) = world.reinvited(leg).await;
    let pending = call.cseq;
    carrier.send(&call.request("INVITE", "", &sdp(4_004))).await;
    wait(&carrier.expect_to(500, call.cseq).await);

    // Control is busy with something that the edge does not see.
    let status = 500;
    world
        .sip
        .send(leg, SignalCommand::RefuseReinvite { request, status });
    wait(&carrier.expect_to(500, pending).await);
}
