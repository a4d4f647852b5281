//! Help requests: from an agent's wish to the supervisor who came first.

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::scene::{audited, wait_until};
use crate::world::{World, list};

async fn settle(client: &Client, request: &str, verb: &str) -> crate::client::Answer {
    let path = format!("/api/v1/help-requests/{request}/{verb}");
    client.post(&path, Value::Null).await
}

async fn help_wanted(client: &Client) -> Value {
    client.get("/api/v1/calls").await.expect(200)["calls"][0]["help_wanted"].clone()
}

async fn states(client: &Client) -> Vec<String> {
    states_of(&client.get("/api/v1/help-requests").await.expect(200))
}

fn states_of(answer: &Value) -> Vec<String> {
    let requests = list(answer, "help_requests").iter();
    requests.map(|request| text_of(&request["state"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_accepted_by_the_first_closed_by_its_agent_and_raised_again() {
    let mut world = World::new("help").await;
    let talk = world.talk("204").await;
    let aino = world.client("204").await;
    let (mia, leo) = (world.client("mia").await, world.client("leo").await);

    let body = json!({"call": talk.id, "reason": "price", "comment": "wants half"});
    let raised = aino
        .post("/api/v1/help-requests", body.clone())
        .await
        .expect(201);
    for (field, value) in [
        ("call", &*talk.id),
        ("agent", "204"),
        ("reason", "price"),
        ("comment", "wants half"),
        ("state", "requested"),
    ] {
        assert_eq!(raised[field], value, "{raised}");
    }
    assert_eq!(raised["help_provided_by"], Value::Null);
    aino.post("/api/v1/help-requests", body).await.expect(409);
    assert_eq!(help_wanted(&mia).await, true);
    let id = text_of(&raised["id"]);

    let (first, second) = tokio::join!(settle(&mia, &id, "accept"), settle(&leo, &id, "accept"));
    let (winner, loser, name) = match first.status {
        200 => (first, second, "mia"),
        _ => (second, first, "leo"),
    };
    let accepted = winner.expect(200);
    assert_eq!(accepted["state"], "in_progress");
    assert_eq!(accepted["help_provided_by"], name);
    loser.expect_code(409, 9009);
    assert_eq!(help_wanted(&mia).await, false);
    settle(&aino, &id, "cancel").await.expect(409);

    assert_eq!(
        settle(&aino, &id, "close").await.expect(200)["state"],
        "closed"
    );
    settle(&mia, &id, "close").await.expect(409);
    assert_eq!(states(&aino).await, ["closed"]);
    // An agent's own call is meant where none is named.
    let again = aino
        .post("/api/v1/help-requests", json!({}))
        .await
        .expect(201);
    let again = text_of(&again["id"]);
    assert_eq!(
        settle(&aino, &again, "cancel").await.expect(200)["state"],
        "cancelled"
    );
    settle(&mia, &again, "accept").await.expect(409);
    assert_eq!(states(&mia).await, ["closed", "cancelled"]);
    wait_until("9009 is audited", || audited(&world.service, 9009) == 1).await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_seen_by_their_agent_and_that_agents_supervisors() {
    let mut world = World::new("help-scope").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;

    // A supervisor asks for an agent in scope.
    for body in [json!({}), json!({"call": talk.id, "agent": "204"})] {
        mia.post("/api/v1/help-requests", body).await.expect(400);
    }
    for agent in ["205", "251", "401", "999"] {
        let nobody = json!({"agent": agent});
        mia.post("/api/v1/help-requests", nobody).await.expect(404);
    }
    let raised = mia
        .post("/api/v1/help-requests", json!({"agent": "204"}))
        .await
        .expect(201);
    assert_eq!(raised["call"], *talk.id);
    let id = text_of(&raised["id"]);

    for (user, sees) in [("204", 1), ("leo", 1), ("205", 0), ("sam", 0), ("bob", 0)] {
        let client = world.client(user).await;
        assert_eq!(states(&client).await.len(), sees, "{user}");
        if sees == 0 {
            settle(&client, &id, "cancel").await.expect(404);
        }
    }
    let aino = world.client("204").await;
    settle(&aino, &id, "accept").await.expect(403);
    let root = world.client("root").await;
    root.get("/api/v1/help-requests").await.expect(403);
    settle(&root, &id, "accept").await.expect(403);

    talk.customer.hang_up().await.unwrap();
    talk.agent.ended().await;
    // The call is over.
    let cancelled = |seen: &Value| states_of(seen) == ["cancelled"];
    mia.until("/api/v1/help-requests", cancelled).await;
    world.stop();
}
