//! Agents, pools and the watch list.

use serde_json::{Value, json};

use crate::client::Client;
use crate::world::{World, list};

async fn agent(client: &Client, extension: &str) -> Value {
    let agents = client.get("/api/v1/agents").await.expect(200);
    let mut agents = list(&agents, "agents").iter();
    let found = agents.find(|agent| agent["extension"] == extension);
    found.expect("the agent is in scope").clone()
}

/// Waits until 204, 205 and 206 are doing this.
async fn presence_is(client: &Client, expected: &[&str; 3]) {
    let wanted: Vec<Value> = ["204", "205", "206"]
        .iter()
        .zip(expected)
        .map(|(extension, presence)| json!([extension, presence]))
        .collect();
    let shown = |seen: &Value| {
        let agents = list(seen, "agents").iter();
        agents
            .map(|agent| json!([agent["extension"], agent["presence"]]))
            .eq(wanted.iter().cloned())
    };
    client.until("/api/v1/agents", shown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_and_pools_show_what_their_agents_are_doing() {
    let mut world = World::new("presence").await;
    let mia = world.client("mia").await;
    presence_is(&mia, &["idle", "idle", "unregistered"]).await;

    let ringing = world.customer.start_dialling("205").await.unwrap();
    presence_is(&mia, &["idle", "ringing", "unregistered"]).await;
    let talk = world.talk("204").await;
    presence_is(&mia, &["on_call", "ringing", "unregistered"]).await;
    let aino = agent(&mia, "204").await;
    assert!(aino["since"].as_str().unwrap().ends_with('Z'));
    assert_eq!(aino["call"], *talk.id);

    let pools = mia.get("/api/v1/pools").await.expect(200);
    assert_eq!(pools["pools"].as_array().unwrap().len(), 1);
    assert_eq!(pools["pools"][0]["name"], "support");
    assert_eq!(pools["pools"][0]["agents"][0]["presence"], "on_call");
    drop(ringing);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_in_scope_are_watched_and_taken_off_again() {
    let world = World::new("watch").await;
    let mia = world.client("mia").await;
    let leo = world.client("leo").await;
    let watched = async |client: &Client| {
        let list = client.get("/api/v1/watchlist").await.expect(200);
        let list = list["watchlist"].as_array().unwrap().iter();
        list.map(|agent| agent["extension"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    for extension in ["205", "204", "204"] {
        mia.put(&format!("/api/v1/watchlist/{extension}"), None)
            .await
            .expect(204);
    }
    for stranger in ["251", "401", "999"] {
        mia.put(&format!("/api/v1/watchlist/{stranger}"), None)
            .await
            .expect(404);
    }
    assert_eq!(watched(&mia).await, ["204", "205"]);
    assert!(watched(&leo).await.is_empty());
    assert_eq!(agent(&mia, "204").await["watched"], true);
    assert_eq!(agent(&leo, "204").await["watched"], false);

    mia.delete("/api/v1/watchlist/204").await.expect(204);
    mia.delete("/api/v1/watchlist/204").await.expect(404);
    assert_eq!(watched(&mia).await, ["205"]);
    world.stop();
}
