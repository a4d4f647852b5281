//! The list of calls: what it says, who sees what of it, and ending a call from it.

use serde_json::{Value, json};

use crate::client::Client;
use crate::scene::wait_until;
use crate::world::{CUSTOMER, World, list};

async fn calls(client: &Client, query: &str) -> Vec<Value> {
    let answer = client
        .get(&format!("/api/v1/calls{query}"))
        .await
        .expect(200);
    list(&answer, "calls").to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_listed_with_its_parties_its_state_and_its_supervisors() {
    let mut world = World::new("list").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;

    let listed = calls(&mia, "").await;
    assert_eq!(listed.len(), 1);
    let call = &listed[0];
    assert_eq!(call["id"], *talk.id);
    assert_eq!(call["agent"], json!({"extension": "204", "name": "Aino"}));
    assert_eq!(call["direction"], "inbound");
    // Dialled straight to an agent of one pool.
    assert_eq!(call["pool"], "support");
    assert_eq!(
        (&call["from"], &call["to"]),
        (&json!(CUSTOMER), &json!("204"))
    );
    for flag in ["on_hold", "help_wanted"] {
        assert_eq!(call[flag], false, "{flag}");
    }
    assert_eq!(call["caller_on_net"], true);
    assert_eq!(call["sessions"], json!([]));
    assert!(call["duration_s"].is_u64());
    let answered_at = call["answered_at"].as_str().unwrap();
    assert!(
        answered_at.ends_with('Z') && answered_at.len() == 24,
        "{answered_at}"
    );

    let (session, line) = world.listen(&mia, &talk.id).await;
    let of = |viewer: &Value| viewer[0]["sessions"][0].clone();
    let mine = json!({"id": session, "supervisor": "mia", "role": "monitor", "mine": true});
    assert_eq!(of(&json!(calls(&mia, "").await)), mine);
    let leo = world.client("leo").await;
    let theirs = json!({"id": session, "supervisor": "mia", "role": "monitor", "mine": false});
    assert_eq!(of(&json!(calls(&leo, "").await)), theirs);

    talk.agent.reinvite("sendonly").await.unwrap();
    wait_for_call(&mia, |call| call["on_hold"] == true).await;
    line.hang_up().await.unwrap();
    wait_for_call(&mia, |call| call["sessions"] == json!([])).await;
    talk.customer.hang_up().await.unwrap();
    wait_for_none(&mia).await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_filtered_by_agent_and_pool_and_limited_to_the_viewers_scope() {
    let mut world = World::new("filter").await;
    let first = world.talk("204").await;
    let second = world.talk("205").await;
    let sales = world.talk("251").await;
    let ids = async |user: &str, query: &str| {
        let client = world.client(user).await;
        let listed = calls(&client, query).await;
        let ids = listed
            .iter()
            .map(|call| call["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };

    assert_eq!(ids("mia", "").await, [&*first.id, &*second.id]);
    assert_eq!(ids("mia", "?agent=205").await, [&*second.id]);
    assert_eq!(ids("mia", "?agent=204&pool=support").await, [&*first.id]);
    assert_eq!(ids("mia", "?pool=support").await.len(), 2);
    for nothing in ["?agent=251", "?pool=sales", "?agent=204&pool=sales"] {
        assert!(ids("mia", nothing).await.is_empty(), "{nothing}");
    }
    assert_eq!(ids("sam", "").await, [&*sales.id]);
    assert!(ids("bob", "").await.is_empty());
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_viewers_own_call_is_left_out_and_refused_with_9006() {
    let mut world = World::new("own").await;
    let own = world.talk("205").await;
    let mia = world.client("mia").await;
    let una = world.client("una").await;
    assert_eq!(calls(&mia, "").await.len(), 1);
    assert!(calls(&una, "").await.is_empty());

    let path = |row: &str| format!("/api/v1/calls/{}/{row}", own.id);
    una.post(&path("ticket"), Value::Null)
        .await
        .expect_code(403, 9006);
    una.post(&path("sessions"), json!({}))
        .await
        .expect_code(403, 9006);
    let confirm = json!({"confirm": true});
    una.post(&path("hangup"), confirm)
        .await
        .expect_code(403, 9006);

    // A customer who is a supervisor is a party, too.
    let leo = world.client("leo").await;
    assert_eq!(calls(&leo, "").await.len(), 1);
    world.customer = world.mobile_of("+358407654321").await;
    let _leos = world.talk("204").await;
    assert_eq!(calls(&mia, "").await.len(), 2);
    assert_eq!(calls(&leo, "").await.len(), 1);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_ended_for_everyone_when_confirmed_and_permitted() {
    let mut world = World::new("hangup").await;
    let talk = world.talk("204").await;
    let path = format!("/api/v1/calls/{}/hangup", talk.id);
    let mia = world.client("mia").await;
    let confirm = || json!({"confirm": true});

    for without in [json!({}), json!({"confirm": false})] {
        mia.post(&path, without).await.expect(400);
    }
    world
        .client("kim")
        .await
        .post(&path, confirm())
        .await
        .expect_code(403, 9007);
    world
        .client("sam")
        .await
        .post(&path, confirm())
        .await
        .expect_code(404, 9004);
    let (_, line) = world.listen(&mia, &talk.id).await;
    assert_eq!(calls(&mia, "").await.len(), 1);

    mia.post(&path, confirm()).await.expect(200);
    talk.customer.ended().await;
    talk.agent.ended().await;
    wait_for_none(&mia).await;
    wait_until("the refusal is audited", || {
        crate::scene::audited(&world.service, 9007) == 1
            && crate::scene::audited(&world.service, 9004) == 1
    })
    .await;
    drop(line);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_that_does_not_supervise_answers_9003() {
    let world = World::new("off").await;
    let quinn = world.client("quinn").await;

    for path in [
        "/api/v1/calls",
        "/api/v1/sessions",
        "/api/v1/sessions/1",
        "/api/v1/watchlist",
        "/api/v1/help-requests",
    ] {
        quinn.get(path).await.expect_code(403, 9003);
    }
    for (path, body) in [
        ("/api/v1/calls/1/ticket", Value::Null),
        ("/api/v1/calls/1/sessions", json!({"device": "all"})),
        ("/api/v1/calls/1/hangup", json!({"confirm": true})),
        ("/api/v1/help-requests", json!({"agent": "204"})),
        ("/api/v1/help-requests/1/accept", Value::Null),
    ] {
        quinn.post(path, body).await.expect_code(403, 9003);
    }
    let role = json!({"role": "coach"});
    quinn
        .patch("/api/v1/sessions/1", role)
        .await
        .expect_code(403, 9003);
    quinn
        .put("/api/v1/watchlist/204", None)
        .await
        .expect_code(403, 9003);
    world.stop();
}

async fn wait_for_call(client: &Client, wanted: impl Fn(&Value) -> bool) {
    let first = |seen: &Value| list(seen, "calls").first().is_some_and(&wanted);
    client.until("/api/v1/calls", first).await;
}

async fn wait_for_none(client: &Client) {
    let none = |seen: &Value| list(seen, "calls").is_empty();
    client.until("/api/v1/calls", none).await;
}
