//! Roles by PATCH: answered once the mix is in force, and refused with one code.

use serde_json::json;

use crate::client::text_of;
use crate::scene::{AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, audited, hears, tones, wait_until};
use crate::world::{Talk, World, own_session, state_is};

async fn ears(talk: &Talk, agent: &[f32], customer: &[f32], what: &str) {
    wait_until(what, || {
        tones(&talk.agent.media) == agent && tones(&talk.customer.media) == customer
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_by_click_reaches_exactly_its_ears() {
    let mut world = World::new("roles").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let (session, line) = world.listen(&mia, &talk.id).await;
    let path = format!("/api/v1/sessions/{session}");
    let alone = (&[CUSTOMER_HZ][..], &[AGENT_HZ][..]);
    let with = (
        &[CUSTOMER_HZ, SUPERVISOR_HZ][..],
        &[AGENT_HZ, SUPERVISOR_HZ][..],
    );

    for (role, agent, customer) in [
        ("coach", with.0, alone.1),
        ("whisper_caller", alone.0, with.1),
        ("barge", with.0, with.1),
        ("coach", with.0, alone.1),
        ("monitor", alone.0, alone.1),
    ] {
        let changed = mia.patch(&path, json!({"role": role})).await.expect(200);
        assert_eq!(changed["state"], role);
        assert_eq!(mia.get(&path).await.expect(200)["state"], role);
        ears(&talk, agent, customer, role).await;
    }

    mia.patch(&path, json!({"role": "takeover"}))
        .await
        .expect(200);
    talk.agent.ended().await;
    wait_until("only the supervisor is heard", || {
        tones(&talk.customer.media) == [SUPERVISOR_HZ] && tones(&line.media) == [CUSTOMER_HZ]
    })
    .await;
    // The agent is gone: there is nobody to coach.
    mia.patch(&path, json!({"role": "coach"}))
        .await
        .expect_code(409, 9013);
    let calls = mia.get("/api/v1/calls").await.expect(200);
    assert_eq!(
        calls["calls"][0]["sessions"][0]["role"], "takeover",
        "{calls}"
    );
    mia.delete(&path).await.expect(204);
    talk.customer.ended().await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_refused_by_permission_by_network_and_beside_another_speaker() {
    let mut world = World::new("no-role").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let (session, line) = world.listen(&mia, &talk.id).await;
    let path = format!("/api/v1/sessions/{session}");

    for not_a_role in [json!({"role": "shout"}), json!({}), json!({"role": 4})] {
        mia.patch(&path, not_a_role).await.expect(400);
    }
    let coach = || json!({"role": "coach"});
    world
        .client("leo")
        .await
        .patch(&path, coach())
        .await
        .expect_code(403, 9007);
    world
        .client("sam")
        .await
        .patch(&path, coach())
        .await
        .expect(404);
    world
        .client("bob")
        .await
        .patch(&path, coach())
        .await
        .expect(404);
    mia.patch("/api/v1/sessions/ffff", coach())
        .await
        .expect(404);

    mia.patch(&path, json!({"role": "barge"})).await.expect(200);
    let phone = world.mobile_of("+358407654321").await;
    let beside = phone.dial("800").await.unwrap();
    wait_until("Leo listens", || hears(&beside.media, AGENT_HZ)).await;
    let leo = world.client("leo").await;
    let own = own_session(&leo).await;
    let own = format!("/api/v1/sessions/{}", text_of(&own["id"]));
    leo.patch(&own, coach()).await.expect_code(409, 9012);
    assert_eq!(leo.get(&own).await.expect(200)["state"], "monitor");
    beside.hang_up().await.unwrap();
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_may_only_listen_is_refused_every_voice() {
    let mut world = World::new("listener").await;
    let talk = world.talk("204").await;
    let kim = world.client("kim").await;
    let phone = world.mobile_of("+358405550003").await;
    let line = phone.dial("800").await.unwrap();
    wait_until("Kim listens", || hears(&line.media, AGENT_HZ)).await;
    let session = text_of(&own_session(&kim).await["id"]);
    let path = format!("/api/v1/sessions/{session}");

    for role in ["coach", "whisper_caller", "barge", "takeover"] {
        kim.patch(&path, json!({"role": role}))
            .await
            .expect_code(403, 9007);
    }
    let hang_up = format!("/api/v1/calls/{}/hangup", talk.id);
    kim.post(&hang_up, json!({"confirm": true}))
        .await
        .expect_code(403, 9007);
    ears(&talk, &[CUSTOMER_HZ], &[AGENT_HZ], "nobody hears Kim").await;
    wait_until("refusals are audited", || {
        audited(&world.service, 9007) == 5
    })
    .await;
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_outside_the_internal_network_is_not_whispered_to() {
    let mut world = World::new("off-net").await;
    world.customer = world.mobile_of(crate::world::CUSTOMER).await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let calls = mia.get("/api/v1/calls").await.expect(200);
    assert_eq!(calls["calls"][0]["caller_on_net"], false);
    let (session, line) = world.listen(&mia, &talk.id).await;

    let path = format!("/api/v1/sessions/{session}");
    let role = json!({"role": "whisper_caller"});
    mia.patch(&path, role).await.expect_code(403, 9007);
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_for_a_call_that_has_just_ended_is_9013() {
    let mut world = World::new("late").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let (session, line) = world.listen(&mia, &talk.id).await;
    talk.customer.hang_up().await.unwrap();
    talk.agent.ended().await;
    state_is(&mia, &session, "ended").await;

    let path = format!("/api/v1/sessions/{session}");
    mia.patch(&path, json!({"role": "coach"}))
        .await
        .expect_code(409, 9013);
    assert!(
        mia.get("/api/v1/sessions").await.expect(200)["sessions"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    line.hang_up().await.unwrap();
    world.stop();
}
