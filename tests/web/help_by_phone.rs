//! A request for help with telephones alone: the agent's `*4#`, the supervisor's `2#`, the agent's
//! `*5#`; what screens are told of it.

use serde_json::json;
use sottovoce::demo::media::KeySending;

use crate::stream::Stream;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_asks_by_key_a_supervisor_who_listens_accepts_by_key_and_the_agent_closes() {
    let mut world = World::with("help-by-phone", |mut setup| {
        let switch = "supervision = true\nhelp_keys = true";
        setup.people = setup.people.replace("supervision = true", switch);
        setup
    })
    .await;
    let (mia, leo) = (world.client("mia").await, world.client("leo").await);
    let mut told = Stream::open(&leo).await;
    let talk = world.talk("204").await;
    let mobile = world.dial_in().await;
    let joined = told.next_named("session.started").await;
    assert_eq!(joined.data["supervisor"], "mia");

    talk.agent.press("*4#", KeySending::Event).await.unwrap();
    let asked = told.next_named("help.requested").await;
    assert_eq!(asked.data["call"], *talk.id);
    assert_eq!(asked.data["state"], "requested");
    let calls = mia.get("/api/v1/calls").await.expect(200);
    assert_eq!(calls["calls"][0]["help_wanted"], true);

    mobile.press("2#", KeySending::Event).await.unwrap();
    let accepted = told.next_named("help.accepted").await;
    assert_eq!(accepted.data["id"], asked.data["id"]);
    assert_eq!(accepted.data["help_provided_by"], "mia");
    let id = asked.data["id"].as_str().unwrap();
    let late = format!("/api/v1/help-requests/{id}/accept");
    leo.post(&late, json!({})).await.expect_code(409, 9009);
    let calls = mia.get("/api/v1/calls").await.expect(200);
    assert_eq!(calls["calls"][0]["help_wanted"], false);

    // Leaving the call closes nothing; the agent does.
    mobile.hang_up().await.unwrap();
    told.next_named("session.ended").await;
    talk.agent.press("*5#", KeySending::Event).await.unwrap();
    let closed = told.next_named("help.closed").await;
    assert_eq!(closed.data["id"], asked.data["id"]);
    assert_eq!(closed.data["help_provided_by"], "mia");
    talk.agent.press("*4#", KeySending::Event).await.unwrap();
    let again = told.next_named("help.requested").await;
    assert_ne!(again.data["id"], asked.data["id"]);
    talk.customer.hang_up().await.unwrap();
    let over = told.next_named("help.cancelled").await;
    assert_eq!(over.data["id"], again.data["id"], "its call is over");
    world.stop();
}
