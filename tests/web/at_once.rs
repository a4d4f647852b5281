//! What many ask for at once: the same name, more checks of passwords, and more changes of people
//! than can be made in good time.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::world::{World, list, password_of};

const ACME: &str = "/api/v1/admin/organisations/acme";
/// More than may wait, and than are looked at meanwhile.
const CROWD: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_add_the_same_name_at_once_one_is_told_that_it_is_there() {
    let world = World::new("same-name").await;
    let root = world.client("root").await;
    let supervisor = |n: usize| {
        let phone = format!("+35840666{n:04}");
        json!({"name": format!("Admin {n}"), "phone": phone})
    };
    let organisation = |n: usize| json!({"name": format!("Admin {n}")});

    for (path, body) in [
        (
            format!("{ACME}/agents/777"),
            &organisation as &dyn Fn(usize) -> Value,
        ),
        (format!("{ACME}/supervisors/zoe"), &supervisor),
        (format!("{ACME}/pools/night"), &|_| json!({})),
        ("/api/v1/admin/organisations/new".to_owned(), &organisation),
    ] {
        let adding = (0..8).map(|n| tokio::spawn(only_new(root.clone(), path.clone(), body(n))));
        let mut answers = Vec::new();
        for answer in adding.collect::<Vec<_>>() {
            answers.push(answer.await.unwrap());
        }

        let (made, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1, "{path}");
        for refusal in refused {
            let text = refusal.expect(412);
            assert_eq!(text["error"], "exists", "{path}: {text}");
        }
        let made: Value = serde_json::from_str(&made[0].text).unwrap();
        let shown = root.get(&path).await.expect(200);
        assert_eq!(shown["name"], made["name"], "{path}: the first one stays");
        // Without the condition it is set anew, as ever.
        root.put(&path, Some(body(9))).await.expect(200);
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_meanwhile_is_not_changed_unseen() {
    let world = World::new("meanwhile").await;
    let root = world.client("root").await;
    let gamma = "/api/v1/admin/organisations/gamma";
    let zoe = |name: &str| json!({"name": name, "phone": "+358406660001", "pin": "1234"});

    for (path, one, other) in [
        (
            gamma.to_owned(),
            json!({"name": "Gamma"}),
            json!({"name": "G"}),
        ),
        (
            format!("{gamma}/pools/night"),
            json!({}),
            json!({"agent_notice": "silent"}),
        ),
        (
            format!("{gamma}/agents/777"),
            json!({"name": "Kaisa"}),
            json!({"name": "Kaisa", "password": "another one"}),
        ),
        (
            format!("{gamma}/supervisors/zoe"),
            zoe("Zoe"),
            zoe("Zoe Z."),
        ),
    ] {
        let if_match = async |method: Method, tag: &str, body: Option<&Value>| {
            let request = root.request(method, &path, body.cloned());
            let request = request.header("If-Match", tag).build().unwrap();
            root.execute(request).await
        };
        let tag = async || {
            let shown = root.get(&path).await;
            shown.expect(200);
            text_of_tag(&shown)
        };
        let gone = if_match(Method::PUT, "*", Some(&one)).await;
        assert_eq!(gone.expect(412)["error"], "changed", "{path}");
        root.put(&path, Some(one.clone())).await.expect(201);
        let seen = tag().await;
        assert_eq!(tag().await, seen, "{path}: nothing has changed");

        // Somebody else is faster.
        if_match(Method::PUT, &seen, Some(&other)).await.expect(200);
        let refused = if_match(Method::PUT, &seen, Some(&one)).await;
        assert_eq!(refused.expect(412)["error"], "changed", "{path}");
        let now = tag().await;
        assert_ne!(now, seen, "{path}");
        assert_eq!(text_of_tag(&refused), now, "{path}: it is told");
        if_match(Method::DELETE, &seen, None).await.expect(412);

        if_match(Method::PUT, &now, Some(&one)).await.expect(200);
    }
    // Of several who have seen the same, one is let through.
    let path = format!("{gamma}/agents/777");
    let seen = text_of_tag(&root.get(&path).await);
    let changing = (0..8).map(|n| {
        let request = root.request(Method::PUT, &path, Some(json!({"name": format!("K {n}")})));
        let request = request.header("If-Match", &seen).build().unwrap();
        let root = root.clone();
        tokio::spawn(async move { root.execute(request).await.status })
    });
    let mut statuses = Vec::new();
    for status in changing.collect::<Vec<_>>() {
        statuses.push(status.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    world.stop();
}

fn text_of_tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

async fn only_new(root: Client, path: String, body: Value) -> Answer {
    let request = root.request(Method::PUT, &path, Some(body));
    let request = request.header("If-None-Match", "*").build().unwrap();
    root.execute(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_passwords_than_can_be_checked_are_put_off_and_none_is_judged_wrongly() {
    let world = World::new("busy-passwords").await;

    // As often as it takes for a machine that is quick.
    let answers = until_some_are_put_off(|| {
        let nobody = Client::nobody(&world.service);
        async move {
            let body = json!({"user": "mia", "password": password_of("mia")});
            nobody.post("/api/v1/login", body).await
        }
    })
    .await;

    assert!(answers.contains_key(&200), "{:?}", answers.keys());
    assert_eq!(answers.len(), 2, "nothing else: {:?}", answers.keys());
    world
        .client("mia")
        .await
        .get("/api/v1/me")
        .await
        .expect(200);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_changes_of_people_than_can_be_made_are_put_off_and_none_is_half_made() {
    let world = World::new("busy-changes").await;
    let root = world.client("root").await;
    let count = std::sync::atomic::AtomicUsize::new(0);

    let answers = until_some_are_put_off(|| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root = root.clone();
        async move {
            let path = format!("{ACME}/agents/9{n:05}");
            // A password takes its time.
            let body = json!({"name": format!("Agent {n}"), "password": "desk phone"});
            root.put(&path, Some(body)).await
        }
    })
    .await;

    let made = answers.get(&201).map_or(0, Vec::len);
    assert_eq!(answers.len(), 2, "nothing else: {:?}", answers.keys());
    let shown = root.get(&format!("{ACME}/agents")).await.expect(200);
    let agents = list(&shown, "agents").iter();
    let new = agents.filter(|agent| agent["name"].as_str().unwrap().starts_with("Agent "));
    assert_eq!(new.count(), made);
    world.stop();
}

/// Asks the same of many at once, as often as it takes for some to be answered 503: with the name
/// `too-busy`, and when to come again. All answers, by their status.
async fn until_some_are_put_off<F: Future<Output = Answer> + Send + 'static>(
    ask: impl Fn() -> F,
) -> BTreeMap<u16, Vec<Answer>> {
    let mut answers: BTreeMap<u16, Vec<Answer>> = BTreeMap::new();
    while !answers.contains_key(&503) {
        let asked: Vec<_> = (0..CROWD).map(|_| tokio::spawn(ask())).collect();
        for answer in asked {
            let answer = answer.await.unwrap();
            answers.entry(answer.status).or_default().push(answer);
        }
    }
    for refusal in &answers[&503] {
        let body: Value = serde_json::from_str(&refusal.text).unwrap();
        assert_eq!(body["error"], "too-busy", "{body}");
        let wait: u32 = refusal.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(wait > 0);
    }
    answers
}
