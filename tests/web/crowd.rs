//! Two hundred readers during a hundred calls: each is told everything once and in order, and one
//! who does not read costs nobody anything.

use std::collections::BTreeMap;

use sottovoce::demo::stage::Conversation;
use tokio::task::JoinSet;

use crate::client::{Client, text_of};
use crate::stream::{Stream, Told};
use crate::world::World;

const CALLS: usize = 100;
/// Calls that are up at the same time.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_readers_are_told_everything_once_and_in_order() {
    let mut world = World::new("crowd").await;
    let clients: BTreeMap<&str, Client> = {
        let mut clients = BTreeMap::new();
        for user in ["mia", "leo", "204"] {
            clients.insert(user, world.client(user).await);
        }
        clients
    };
    let mut readers = JoinSet::new();
    for (user, count) in [("mia", 100), ("leo", 80), ("204", 10)] {
        for _ in 0..count {
            let mut stream = Stream::open(&clients[user]).await;
            readers.spawn(async move {
                let mut ended = 0;
                let mut all = Vec::new();
                while ended < CALLS {
                    let told = stream.next().await.expect("the stream goes on");
                    ended += usize::from(told.name == "call.ended");
                    all.push(told);
                }
                (user, all)
            });
        }
    }
    // They are sent everything, and take nothing until all is over.
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(Stream::open(&clients["mia"]).await);
    }
    assert_eq!(readers.len() + idle.len(), 200);
    let metrics = world.service.get("/metrics").unwrap().1;
    assert!(
        metrics.contains("sottovoce_event_readers 200\n"),
        "{metrics}"
    );

    let mut calls = Vec::new();
    for _ in 0..CALLS {
        if calls.len() == AT_ONCE {
            let oldest: Conversation = calls.remove(0);
            oldest.customer.hang_up().await.unwrap();
            oldest.agent.ended().await;
        }
        calls.push(world.converse("204").await);
    }
    for call in calls {
        call.customer.hang_up().await.unwrap();
        call.agent.ended().await;
    }

    let mut by_user: BTreeMap<&str, Vec<Vec<Told>>> = BTreeMap::new();
    while let Some(read) = readers.join_next().await {
        let (user, all) = read.unwrap();
        by_user.entry(user).or_default().push(all);
    }
    for (user, read) in &by_user {
        let calls = calls_of(&read[0]);
        let ids: Vec<u64> = calls.iter().map(|told| told.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{user}: in order");
        let mut seen: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for told in &calls {
            let names = seen.entry(text_of(&told.data["id"])).or_default();
            names.push(&told.name);
        }
        assert_eq!(seen.len(), CALLS, "{user}");
        let whole = |names: &Vec<&str>| *names == ["call.started", "call.ended"];
        assert!(seen.values().all(whole), "{user}: {seen:?}");
        for other in read {
            assert_eq!(calls_of(other), calls, "{user}: as their other readers");
        }
    }
    let expected = calls_of(&by_user["mia"][0]);
    for mut stream in idle {
        let mut late = Vec::new();
        while calls_of(&late).len() < 2 * CALLS {
            late.push(stream.next().await.expect("the stream goes on"));
        }
        assert_eq!(calls_of(&late), expected, "who reads late misses nothing");
    }
    world.stop();
}

fn calls_of(all: &[Told]) -> Vec<Told> {
    let calls = all.iter().filter(|told| told.name.starts_with("call."));
    calls.cloned().collect()
}
