//! The stream of events: what is told, to whom, and what a reader who was away gets.

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::stream::{Stream, Told};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_its_sessions_and_its_requests_are_told_to_those_in_scope_and_to_nobody_else() {
    let mut world = World::new("events").await;
    let (mia, leo) = (world.client("mia").await, world.client("leo").await);
    let (sam, bob) = (world.client("sam").await, world.client("bob").await);
    let aino = world.client("204").await;
    let (mut mias, mut leos) = (Stream::open(&mia).await, Stream::open(&leo).await);
    let (mut sams, mut bobs) = (Stream::open(&sam).await, Stream::open(&bob).await);
    let mut ainos = Stream::open(&aino).await;

    let talk = world.talk("204").await;
    let started = mias.next_named("call.started").await;
    let listed = mia.get("/api/v1/calls").await.expect(200)["calls"][0].clone();
    for field in [
        "id",
        "agent",
        "direction",
        "from",
        "to",
        "answered_at",
        "sessions",
        "help_wanted",
    ] {
        assert_eq!(started.data[field], listed[field], "{field}");
    }
    let (session, line) = world.listen(&mia, &talk.id).await;
    let path = format!("/api/v1/sessions/{session}");
    mia.patch(&path, json!({"role": "coach"})).await.expect(200);
    let help = raise(&aino).await;
    accept(&leo, &help).await;
    let close = format!("/api/v1/help-requests/{help}/close");
    aino.post(&close, json!({})).await.expect(200);
    line.hang_up().await.unwrap();
    let ended = mias.until(|told| told.name == "session.ended").await;
    talk.customer.hang_up().await.unwrap();
    let over = mias.next_named("call.ended").await;

    assert_eq!(over.data["id"], *talk.id);
    assert_eq!(over.data["sessions"], json!([]));
    let told = short(&ended, &["session.", "help."]);
    assert_eq!(
        told,
        [
            "session.started ringing",
            "session.role monitor",
            "session.role coach",
            "help.requested requested",
            "help.accepted in_progress",
            "help.closed closed",
            "session.ended ended",
        ]
    );
    let of_session = |told: &&Told| told.name.starts_with("session.");
    for told in ended.iter().filter(of_session) {
        assert_eq!(told.data["id"], *session);
        assert_eq!(told.data["call"], *talk.id);
        assert_eq!(told.data["mine"], true);
    }
    let accepted = ended.iter().find(|told| told.name == "help.accepted");
    assert_eq!(accepted.unwrap().data["help_provided_by"], "leo");

    // A colleague is told the same in the same order, and that the session is another's.
    let colleague = leos.until(|told| told.name == "session.ended").await;
    assert_eq!(short(&colleague, &["session.", "help."]), told);
    assert!(
        colleague
            .iter()
            .filter(of_session)
            .all(|told| told.data["mine"] == false)
    );
    let ids = |all: &[Told]| all.iter().map(|told| told.id).collect::<Vec<_>>();
    assert!(ids(&colleague).is_sorted_by(|a, b| a < b));
    assert!(ids(&colleague).ends_with(&ids(&ended)));

    // The agent is told of the call and the request, and of nobody who listens.
    let agent = ainos.until(|told| told.name == "call.ended").await;
    assert_eq!(
        short(&agent, &["call.", "session.", "help."]),
        [
            "call.started",
            "help.requested requested",
            "help.accepted in_progress",
            "help.closed closed",
            "call.ended"
        ]
    );
    let calls = agent.iter().filter(|told| told.name.starts_with("call."));
    assert!(
        calls.clone().count() == 2 && calls.clone().all(|told| told.data["sessions"] == json!([]))
    );

    // Whose agents these are not is told of the next call, which is of theirs, first.
    let sales = world.talk("251").await;
    let first = sams.until(|told| told.name == "call.started").await;
    assert_eq!(first.last().unwrap().data["id"], *sales.id);
    assert_eq!(
        short(&first, &["call.", "session.", "help."]),
        ["call.started"]
    );
    assert!(first.iter().all(|told| told.data["extension"] != "204"));
    sales.customer.hang_up().await.unwrap();
    sales.agent.ended().await;
    world.stop();
    assert_eq!(
        bobs.next().await,
        None,
        "nothing of it is another organisation's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_comes_back_is_sent_what_happened_meanwhile() {
    let mut world = World::new("replay").await;
    let mia = world.client("mia").await;
    let mut whole = Stream::open(&mia).await;
    let mut broken = Stream::open(&mia).await;
    let talk = world.talk("204").await;
    let first = broken.next_named("call.started").await;
    drop(broken);

    let help = raise(&world.client("204").await).await;
    accept(&mia, &help).await;
    talk.customer.hang_up().await.unwrap();
    let everything = whole.until(|told| told.name == "call.ended").await;
    let mut again = Stream::open_after(&mia, Some(&first.id.to_string())).await;
    let missed = again.until(|told| told.name == "call.ended").await;

    let later: Vec<Told> = everything
        .into_iter()
        .filter(|told| told.id > first.id)
        .collect();
    assert_eq!(missed, later, "just what was told to one who stayed");
    for wrong in ["1", "99999999999999999", "yesterday", ""] {
        let mut lost = Stream::open_after(&mia, Some(wrong)).await;
        let told = lost.next().await.unwrap();
        assert_eq!(
            (&*told.name, &told.data["reason"]),
            ("reset", &json!("unknown-id")),
            "{wrong}"
        );
        assert!(
            told.id >= missed.last().unwrap().id,
            "from there on it goes on"
        );
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_agents_call_is_told_once_with_the_way_to_listen() {
    let mut world = World::new("watched").await;
    let (mia, leo) = (world.client("mia").await, world.client("leo").await);
    mia.put("/api/v1/watchlist/204", None).await.expect(204);
    let (mut mias, mut leos) = (Stream::open(&mia).await, Stream::open(&leo).await);

    let talk = world.talk("204").await;
    let told = mias.next_named("agent.on_call").await;
    assert_eq!(told.data["id"], *talk.id);
    assert_eq!(told.data["agent"]["extension"], "204");
    assert_eq!(told.data["watched_by"], json!(["mia"]));
    let listen = text_of(&told.data["listen"]);
    assert_eq!(
        mia.post(&listen, json!({})).await.expect(201)["dial"],
        "800"
    );
    // Neither a hold nor a supervisor makes it another call.
    for (direction, on_hold) in [("sendonly", true), ("sendrecv", false)] {
        talk.customer.reinvite(direction).await.unwrap();
        let changed = mias.next_named("call.changed").await;
        assert_eq!(changed.data["on_hold"], on_hold, "{direction}");
        // Who is told and looks finds it.
        let listed = mia.get("/api/v1/calls").await.expect(200);
        assert_eq!(listed["calls"][0]["on_hold"], on_hold, "{listed}");
    }
    let (_, line) = world.listen(&mia, &talk.id).await;
    line.hang_up().await.unwrap();
    talk.customer.hang_up().await.unwrap();
    let rest = mias.until(|told| told.name == "call.ended").await;
    assert_eq!(
        rest.last().unwrap().data["id"],
        *talk.id,
        "which withdraws it"
    );
    assert_eq!(short(&rest, &["agent.on_call"]), [""; 0]);

    mia.delete("/api/v1/watchlist/204").await.expect(204);
    let second = world.talk("204").await;
    second.customer.hang_up().await.unwrap();
    let rest = mias.until(|told| told.name == "call.ended").await;
    assert_eq!(short(&rest, &["agent.on_call"]), [""; 0]);
    for _ in 0..2 {
        let of_leo = leos.until(|told| told.name == "call.ended").await;
        assert_eq!(
            short(&of_leo, &["agent.on_call"]),
            [""; 0],
            "who watches nobody"
        );
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_out_reads_no_more() {
    let world = World::new("signed-out").await;
    let nobody = Client::nobody(&world.service);
    nobody.get("/api/v1/events").await.expect(401);
    world
        .client("root")
        .await
        .get("/api/v1/events")
        .await
        .expect(403);
    let mia = world.client("mia").await;
    let mut stream = Stream::open(&mia).await;

    mia.post("/api/v1/logout", json!({})).await;

    while let Some(told) = stream.next().await {
        assert!(told.name.starts_with("agent."), "{told:?}");
    }
    world.stop();
}

async fn raise(agent: &Client) -> String {
    let raised = agent.post("/api/v1/help-requests", json!({"reason": "price"}));
    text_of(&raised.await.expect(201)["id"])
}

async fn accept(client: &Client, help: &str) {
    let path = format!("/api/v1/help-requests/{help}/accept");
    client.post(&path, json!({})).await.expect(200);
}

/// Names and states, of the events whose names begin so.
fn short(all: &[Told], names: &[&str]) -> Vec<String> {
    let wanted = |told: &&Told| names.iter().any(|name| told.name.starts_with(name));
    all.iter()
        .filter(wanted)
        .map(|told| match &told.data["state"] {
            Value::String(state) => format!("{} {state}", told.name),
            _ => told.name.clone(),
        })
        .collect()
}
