//! More calls than the node can serve: new ones are refused at the door, and those that stand go on.

use std::time::Duration;

use sottovoce::control::input::Signal;

use crate::phone::{Call, PATIENCE, Phone, sdp};
use crate::world::World;

/// More than the room for what waits, so that it is filled again and again.
const CALLS: usize = 4_000;

#[tokio::test]
async fn past_the_limit_new_calls_are_refused_and_the_call_that_stands_goes_on() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;
    let crowd = Phone::at("127.0.0.22", world.udp).await;

    crowd.socket.writable().await.expect("a socket");
    let mut refused = None;
    let limit = tokio::time::Instant::now() + PATIENCE;
    while refused.is_none() || world.sip.guard_counts().refused == 0 {
        assert!(tokio::time::Instant::now() < limit, "nobody was refused");
        // All at once: the node, which shares this thread, reads none of them meanwhile.
        for _ in 0..CALLS {
            let invite = Call::new(&crowd, "+358402", "204").request("INVITE", "", &sdp(4_000));
            // What the kernel has no room for is one caller less.
            let _ = crowd.socket.try_send_to(invite.as_bytes(), world.udp);
        }
        while let Some(answer) = crowd.receive_within(Duration::from_millis(5)).await {
            while let Ok((_, Signal::Invited(_))) = world.inbox.try_recv() {}
            if answer.status() == 503 {
                refused = Some(answer);
                break;
            }
        }
    }
    carrier.send(&call.request("BYE", "", "")).await;
    loop {
        match carrier.receive_within(Duration::from_secs(1)).await {
            Some(answer) if answer.method() == "BYE" => {
                assert_eq!(answer.status(), 200);
                break;
            }
            Some(_) => {}
            // The datagram was lost in the crowd: a phone repeats itself.
            None => carrier.send(&call.numbered("BYE", call.cseq, "", "")).await,
        }
        while let Ok((_, Signal::Invited(_))) = world.inbox.try_recv() {}
    }

    let refused = refused.expect("a refusal");
    assert!(refused.header("To").contains(";tag="));
    assert_eq!(refused.header("Retry-After"), "5");
    assert!(matches!(world.signal_of(leg).await, Signal::HungUp { .. }));
    // And when the crowd is gone, there is room again.
    let again = Call::new(&carrier, "+358401", "204");
    loop {
        carrier
            .send(&again.clone().request("INVITE", "", &sdp(4_000)))
            .await;
        let answer = carrier.receive_within(Duration::from_millis(500)).await;
        while world.inbox.try_recv().is_ok() {}
        if answer.is_some_and(|answer| answer.status() == 100) {
            break;
        }
        assert!(
            tokio::time::Instant::now() < limit + PATIENCE,
            "nobody is let in"
        );
    }
}
