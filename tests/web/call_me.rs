//! Call-me: the conference first, then the phones, then a person.

use serde_json::{Value, json};
use sottovoce::demo::media::KeySending;
use sottovoce::demo::phone::Phone;

use crate::client::{Client, text_of};
use crate::scene::{AGENT_HZ, CUSTOMER_HZ, audited, hears, wait_until};
use crate::world::{MIA, World, audited_as, list, state_is};

async fn call_me(client: &Client, call: &str, body: Value) -> String {
    let path = format!("/api/v1/calls/{call}/sessions");
    let called = client.post(&path, body).await.expect(202);
    assert_eq!(called["state"], "ringing");
    text_of(&called["id"])
}

/// The number for which a phone is rung next.
async fn rung_for(phone: &mut Phone) -> String {
    let incoming = phone.incoming().await.expect("the phone lives");
    incoming
        .header("To")
        .expect("a request names whom it is for")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_phones_ring_the_first_answer_wins_and_the_others_learn_why() {
    let mut world = World::new("ring-all").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;

    let session = call_me(&mia, &talk.id, json!({"device": "all"})).await;
    state_is(&mia, &session, "ringing").await;
    let mut mobile = world.mobile.incoming().await.unwrap();
    let desk = world.desk.incoming().await.unwrap();
    let mut softphone = world.softphone.incoming().await.unwrap();
    assert_eq!(desk.caller(), "800");
    for ringing in [&mobile, &desk, &softphone] {
        ringing.ring().await.unwrap();
    }
    let line = desk.answer().await.unwrap();

    let reason = Some(Some(
        "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned(),
    ));
    assert_eq!(mobile.cancelled().await, reason);
    assert_eq!(softphone.cancelled().await, reason);
    state_is(&mia, &session, "monitor").await;
    wait_until("the call is heard", || {
        hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
    })
    .await;
    mia.delete(&format!("/api/v1/sessions/{session}"))
        .await
        .expect(204);
    line.ended().await;
    state_is(&mia, &session, "ended").await;
    assert!(talk.customer.state().ended.is_none(), "the call goes on");
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_outside_hears_nothing_before_its_one() {
    let mut world = World::new("press-one").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;

    // As it is typed in Finland.
    let session = call_me(&mia, &talk.id, json!({"device": "040 123 4567"})).await;
    let line = world
        .mobile
        .incoming()
        .await
        .unwrap()
        .answer()
        .await
        .unwrap();
    state_is(&mia, &session, "confirming").await;
    wait_until("the question is spoken", || line.media.packet_count() > 50).await;
    assert!(!hears(&line.media, CUSTOMER_HZ) && !hears(&line.media, AGENT_HZ));
    line.press("1", KeySending::Event).await.unwrap();

    state_is(&mia, &session, "monitor").await;
    wait_until("the call is heard", || hears(&line.media, CUSTOMER_HZ)).await;
    // An impatient 1# right after it would have been a takeover.
    assert!(talk.agent.state().ended.is_none());
    line.hang_up().await.unwrap();
    state_is(&mia, &session, "ended").await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_number_is_rung_by_policy_alone_and_gives_the_pin() {
    let unlisted = "+358409998877";
    let mut world = World::new("unlisted").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let path = format!("/api/v1/calls/{}/sessions", talk.id);
    mia.post(&path, json!({"device": unlisted}))
        .await
        .expect_code(403, 9007);
    // The first for which the mobile network is rung is one that may be.
    mia.post(&path, json!({"device": MIA})).await.expect(202);
    let to = rung_for(&mut world.mobile).await;
    assert!(to.contains(MIA), "{to}");
    world.stop();

    let mut world = World::with("unlisted-allowed", |setup| {
        setup.line("supervising", "allow_unlisted_callout = true")
    })
    .await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let session = call_me(&mia, &talk.id, json!({"device": unlisted})).await;
    let line = world
        .mobile
        .incoming()
        .await
        .unwrap()
        .answer()
        .await
        .unwrap();
    state_is(&mia, &session, "confirming").await;
    line.press("1", KeySending::Event).await.unwrap();
    // Keys are ignored for a second after the 1, by the clock that sends fifty packets in it.
    let sent = line.media.packet_count();
    wait_until("a second and more has passed", || {
        line.media.packet_count() > sent + 75
    })
    .await;
    assert!(!hears(&line.media, CUSTOMER_HZ));
    line.press("0000#", KeySending::Event).await.unwrap();
    wait_until("the wrong PIN is audited", || {
        audited_as(&world.service, "pin", "refused") == 1
    })
    .await;
    state_is(&mia, &session, "confirming").await;
    line.press("4711#", KeySending::Event).await.unwrap();

    state_is(&mia, &session, "monitor").await;
    wait_until("the call is heard", || hears(&line.media, CUSTOMER_HZ)).await;
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_conference_nothing_rings_and_9011_is_answered() {
    let mut world = World::with("no-conference", |setup| {
        setup.line("media", "max_conferences = 1")
    })
    .await;
    let first = world.talk("204").await;
    let second = world.talk("205").await;
    let mia = world.client("mia").await;
    let (_session, line) = world.listen(&mia, &first.id).await;
    let leo = world.client("leo").await;

    let path = format!("/api/v1/calls/{}/sessions", second.id);
    leo.post(&path, json!({})).await.expect_code(409, 9011);

    let sessions = leo.get("/api/v1/sessions").await.expect(200);
    assert_eq!(list(&sessions, "sessions").len(), 1, "{sessions}");
    line.hang_up().await.unwrap();
    let none = |seen: &Value| list(seen, "sessions").is_empty();
    leo.until("/api/v1/sessions", none).await;
    // What rings first is what was ordered when there was a conference again: Leo's one phone.
    let session = call_me(&leo, &second.id, json!({})).await;
    let mut first = world.mobile.incoming().await.unwrap();
    first.ring().await.unwrap();
    leo.delete(&format!("/api/v1/sessions/{session}"))
        .await
        .expect(204);
    first.cancelled().await.expect("it was rung for that");
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_coaching_only_listens() {
    let mut world = World::new("listen-only").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let body = json!({"device": world.desk_uri(), "coaching_enabled": false});
    let session = call_me(&mia, &talk.id, body).await;
    let line = world.desk.incoming().await.unwrap().answer().await.unwrap();
    state_is(&mia, &session, "monitor").await;

    let path = format!("/api/v1/sessions/{session}");
    for role in ["coach", "whisper_caller", "barge", "takeover"] {
        mia.patch(&path, json!({"role": role}))
            .await
            .expect_code(403, 9005);
    }
    let shown = mia
        .patch(&path, json!({"role": "monitor"}))
        .await
        .expect(200);
    assert_eq!(shown["coaching_enabled"], false);
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_has_one_session_and_ends_it_while_it_rings() {
    let mut world = World::new("one-session").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let session = call_me(&mia, &talk.id, json!({"device": MIA})).await;
    let mut ringing = world.mobile.incoming().await.unwrap();
    ringing.ring().await.unwrap();

    let path = format!("/api/v1/calls/{}/sessions", talk.id);
    let refused = mia.post(&path, json!({})).await.expect(409);
    assert_eq!(refused["code"], Value::Null);
    let path = format!("/api/v1/sessions/{session}");
    let refused = mia.patch(&path, json!({"role": "coach"})).await.expect(409);
    assert_eq!(refused["code"], Value::Null);
    world
        .client("leo")
        .await
        .delete(&path)
        .await
        .expect_code(403, 9007);
    world.client("sam").await.delete(&path).await.expect(404);
    mia.delete(&path).await.expect(204);

    ringing.cancelled().await.expect("the phone stops ringing");
    state_is(&mia, &session, "ended").await;
    mia.delete(&path).await.expect(204);
    // What has no code is written down as well.
    let root = world.client("root").await;
    let path = format!("/api/v1/audit?call={}&supervisor=mia", talk.id);
    let refused = |seen: &Value| -> Vec<String> {
        let rows = list(seen, "audit").iter();
        let refused = rows.filter(|row| row["outcome"] == "refused");
        refused.map(|row| text_of(&row["action"])).collect()
    };
    root.until(&path, |seen| refused(seen) == ["call_me", "role"])
        .await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_who_leaves_while_the_phone_rings_is_9013_for_whoever_answers() {
    let mut world = World::new("left").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let session = call_me(&mia, &talk.id, json!({"device": world.desk_uri()})).await;
    let ringing = world.desk.incoming().await.unwrap();
    talk.agent.hang_up().await.unwrap();
    talk.customer.ended().await;
    let line = ringing.answer().await.unwrap();

    wait_until("9013 is audited", || audited(&world.service, 9013) == 1).await;
    state_is(&mia, &session, "ended").await;
    assert!(!hears(&line.media, CUSTOMER_HZ));
    line.hang_up().await.unwrap();
    world.stop();
}
