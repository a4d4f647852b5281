//! Webhooks: signed, in order, again until they are taken, and nobody else's burden.

use serde_json::{Value, json};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage;
use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::store::Store;
use sottovoce::edge::store::webhooks::Webhook;

use crate::client::{Client, text_of};
use crate::receiver::{Arrived, Manners, Receiver};
use crate::scene::{self, Folder, wait_until};
use crate::world::{ROOT_PASSWORD, World, add_root};

const SECRET: &str = "a secret of sixteen and more";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_signed_and_in_order_whatever_the_receiver_did_before() {
    let mut world = World::with("webhooks", |setup| {
        setup
            .line("webhooks", "first_retry = \"50ms\"")
            .line("webhooks", "attempts = 100")
            .line("webhooks", "timeout = \"500ms\"")
    })
    .await;
    let root = world.client("root").await;
    let receiver = Receiver::start(Manners::Fails).await;
    let of_calls = json!(["call.started", "call.ended", "help.requested"]);
    let acme = add(&root, "acme", &receiver.url("/acme"), of_calls).await;
    add(&root, "beta", &receiver.url("/beta"), json!([])).await;
    assert_eq!(acme["secret"], SECRET);

    // A receiver that fails, sends elsewhere, and hangs, while calls go on as if it were not there.
    let first = world.talk("204").await;
    wait_until("it failed twice", || receiver.met(Manners::Fails) >= 2).await;
    receiver.behave(Manners::Redirects);
    wait_until("it sent elsewhere", || {
        receiver.met(Manners::Redirects) >= 1
    })
    .await;
    receiver.behave(Manners::Hangs);
    wait_until("it hung twice", || receiver.met(Manners::Hangs) >= 2).await;
    let aino = world.client("204").await;
    aino.post("/api/v1/help-requests", json!({"reason": "price"}))
        .await
        .expect(201);
    first.customer.hang_up().await.unwrap();
    first.agent.ended().await;
    let second = world.talk("205").await;
    second.customer.hang_up().await.unwrap();
    second.agent.ended().await;
    receiver.behave(Manners::Accepts);
    wait_until("all has arrived", || receiver.accepted().len() >= 5).await;

    let accepted = receiver.accepted();
    let told: Vec<_> = accepted.iter().map(Arrived::event).collect();
    assert_eq!(
        told,
        [
            "call.started",
            "help.requested",
            "call.ended",
            "call.started",
            "call.ended"
        ]
    );
    let ids: Vec<u64> = accepted.iter().map(Arrived::id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(accepted[0].body["data"]["id"], *first.id);
    assert_eq!(accepted[0].body["organisation"], "acme");
    assert_eq!(accepted[4].body["data"]["id"], *second.id);
    let everything = receiver.arrived();
    for attempt in &everything {
        assert_eq!(
            attempt.path, "/acme",
            "what is signed for one goes to no other"
        );
        assert!(attempt.is_signed_with(SECRET));
        assert!(!attempt.is_signed_with("another secret than that one"));
        assert_eq!(attempt.header("x-sottovoce-event"), attempt.event());
        assert_eq!(
            attempt.header("x-sottovoce-delivery"),
            attempt.id().to_string()
        );
        assert_eq!(attempt.header("content-type"), "application/json");
    }
    let tries = everything.iter().filter(|attempt| attempt.id() == ids[0]);
    let texts: Vec<&str> = tries.map(|attempt| &*attempt.text).collect();
    assert!(
        texts.len() >= 6 && texts.iter().all(|text| *text == texts[0]),
        "the same again"
    );
    let listed = root.get("/api/v1/admin/webhooks").await.expect(200);
    assert!(
        !listed.to_string().contains(SECRET),
        "the secret is told once"
    );
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_tried_too_often_is_kept_listed_and_sent_again_when_wanted() {
    let mut world = World::with("dead-letters", |setup| {
        setup
            .line("webhooks", "first_retry = \"10ms\"")
            .line("webhooks", "attempts = 2")
    })
    .await;
    let root = world.client("root").await;
    let receiver = Receiver::start(Manners::Fails).await;
    let added = add(&root, "acme", &receiver.url("/"), json!(["call.started"])).await;
    let path = format!("/api/v1/admin/webhooks/{}", text_of(&added["id"]));

    let talk = world.talk("204").await;
    let letters = format!("{path}/dead-letters");
    let listed = root.until(&letters, |seen| seen["dead_letters"] != json!([]));
    let dead = listed.await["dead_letters"].clone();
    assert_eq!(dead[0]["event"], "call.started");
    assert_eq!(dead[0]["attempts"], 2);
    assert_eq!(dead[0]["error"], "status 500");
    assert_eq!(dead[0]["body"]["data"]["id"], *talk.id);
    assert_eq!(receiver.arrived().len(), 2);
    let counts = root.get("/api/v1/admin/webhooks").await.expect(200);
    assert_eq!(counts["webhooks"][0]["dead_letters"], 1);

    let ping = format!("{path}/ping");
    let pinged = root.post(&ping, json!({})).await.expect(200);
    assert_eq!(
        (&pinged["delivered"], &pinged["status"]),
        (&json!(false), &json!(500))
    );
    receiver.behave(Manners::Accepts);
    let pinged = root.post(&ping, json!({})).await.expect(200);
    assert_eq!(pinged["delivered"], true);
    assert!(receiver.accepted()[0].is_signed_with(SECRET));
    let again = format!("{letters}/{}/resend", dead[0]["id"]);
    root.post(&again, json!({})).await.expect(202);
    wait_until("it is taken now", || receiver.accepted().len() == 2).await;
    assert_eq!(receiver.accepted()[1].body, dead[0]["body"]);
    root.post(&again, json!({})).await.expect(404);

    // Only administrators see to webhooks, and only to such as can be.
    let mia = world.client("mia").await;
    mia.get("/api/v1/admin/webhooks").await.expect(403);
    for wrong in [
        json!({"organisation": "none", "url": receiver.url("/")}),
        json!({"organisation": "acme", "url": "ftp://127.0.0.1/"}),
        json!({"organisation": "acme", "url": receiver.url("/"), "secret": "short"}),
        json!({"organisation": "acme", "url": receiver.url("/"), "events": ["call.ringing"]}),
    ] {
        root.post("/api/v1/admin/webhooks", wrong).await.expect(400);
    }
    root.delete(&path).await.expect(204);
    root.delete(&path).await.expect(404);
    root.get(&letters).await.expect(404);
    talk.customer.hang_up().await.unwrap();
    talk.agent.ended().await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_not_arrived_when_the_service_was_killed_arrives_after_it() {
    let folder = Folder::new("web-webhooks-killed");
    let setup = scene::setup(&folder)
        .line("webhooks", "first_retry = \"50ms\"")
        .line("webhooks", "attempts = 100");
    let service = scene::start(&setup);
    let root = administrator(&service).await;
    let receiver = Receiver::start(Manners::Fails).await;
    add(&root, "acme", &receiver.url("/"), json!(["agent.presence"])).await;
    let phone = stage::agent(&service, stage::AGENT, stage::AGENT_PASSWORD)
        .await
        .unwrap();
    wait_until("it was tried", || receiver.met(Manners::Fails) >= 1).await;
    tokio::task::block_in_place(|| service.kill()).unwrap();
    drop(phone);

    receiver.behave(Manners::Accepts);
    let service = scene::start(&setup);
    wait_until("it arrives", || !receiver.accepted().is_empty()).await;

    let told = receiver.accepted().remove(0);
    assert_eq!(told.event(), "agent.presence");
    assert_eq!(told.body["data"]["extension"], stage::AGENT);
    assert_eq!(told.body["data"]["presence"], "idle");
    assert_eq!(told.id(), receiver.arrived()[0].id());
    scene::stop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_another_node_adds_is_served_as_soon_as_the_database_is_looked_at() {
    let mut world = World::new("webhooks-other-node").await;
    let root = world.client("root").await;
    let receiver = Receiver::start(Manners::Accepts).await;
    let database = DatabaseUrl::Sqlite(world.service.dir.join("sottovoce.db"));
    let other = Store::open(&database, "another node").await.unwrap();
    let webhook = Webhook {
        id: "made-elsewhere".to_owned(),
        organisation: "acme".to_owned(),
        url: receiver.url("/"),
        secret: SECRET.to_owned(),
        events: "call.started".to_owned(),
        created_ms: 1,
    };

    other.add_webhook(&webhook).await.unwrap();
    other.close().await;
    root.post("/api/v1/admin/reload", json!({}))
        .await
        .expect(204);

    let listed = root.get("/api/v1/admin/webhooks").await.expect(200);
    assert_eq!(listed["webhooks"][0]["id"], webhook.id, "{listed}");
    let talk = world.talk("204").await;
    wait_until("it is told", || !receiver.accepted().is_empty()).await;
    let told = receiver.accepted().remove(0);
    assert_eq!(told.body["data"]["id"], *talk.id);
    assert!(told.is_signed_with(SECRET));
    drop(talk);
    world.stop();
}

async fn administrator(service: &Service) -> Client {
    add_root(service);
    Client::sign_in(service, "root", ROOT_PASSWORD).await
}

async fn add(root: &Client, organisation: &str, url: &str, events: Value) -> Value {
    let new = json!({
        "organisation": organisation,
        "url": url,
        "secret": SECRET,
        "events": events,
    });
    root.post("/api/v1/admin/webhooks", new).await.expect(201)
}
