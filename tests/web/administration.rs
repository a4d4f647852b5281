//! People, lists, contacts and locks, by the hand of an administrator.

use reqwest::Method;
use serde_json::{Value, json};
use sottovoce::demo::media::KeySending;

use crate::client::{Answer, Client};
use crate::scene::wait_until;
use crate::world::{CUSTOMER, World, audited_as, list, own_session};

const ACME: &str = "/api/v1/admin/organisations/acme";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_made_changed_and_removed_and_it_holds_at_once() {
    let world = World::new("people").await;
    let root = world.client("root").await;

    let zoe = json!({
        "name": "Zoe", "phone": "040 5559001", "default_country": "FI", "pools": ["support"],
        "may": ["monitor"], "password": "zoe-first", "pin": "1234",
    });
    let path = format!("{ACME}/supervisors/zoe");
    let made = root.put(&path, Some(zoe.clone())).await.expect(201);
    assert_eq!(made["phone"], "+358405559001");
    assert_eq!(made["has_pin"], true);
    let signed_in = Client::sign_in(&world.service, "zoe", "zoe-first").await;
    let me = signed_in.get("/api/v1/me").await.expect(200);
    assert_eq!(me["may"], json!(["monitor"]));

    // A password that is not named stays; one that is null goes.
    let changed = json!({
        "name": "Zoe Z.", "phone": "+358405559001", "pools": ["support"], "may": ["monitor", "barge"],
        "pin": null,
    });
    let entry = root.put(&path, Some(changed)).await.expect(200);
    assert_eq!(
        (&entry["has_password"], &entry["has_pin"]),
        (&json!(true), &json!(false))
    );
    let me = signed_in.get("/api/v1/me").await.expect(200);
    assert_eq!(
        (&me["name"], &me["may"]),
        (&json!("Zoe Z."), &json!(["monitor", "barge"]))
    );
    for text in ["zoe-first", "argon2", "1234"] {
        let shown = root.get(&path).await;
        assert!(!shown.text.contains(text), "{}", shown.text);
    }

    root.delete(&path).await.expect(204);
    root.get(&path).await.expect(404);
    signed_in.get("/api/v1/me").await.expect(401);
    assert!(fails_to_sign_in(&world, "zoe", "zoe-first").await);

    let audit = root.get("/api/v1/audit?supervisor=root").await.expect(200);
    let told: Vec<&str> = rows(&audit)
        .filter_map(|row| row["detail"].as_str())
        .collect();
    assert_eq!(
        told,
        [
            "created supervisor acme/zoe",
            "changed supervisor acme/zoe: name, default_country, pin, may",
            "removed supervisor acme/zoe",
        ]
    );
    assert!(rows(&audit).all(|row| row["source"] == "api" && row["organisation"] == "acme"));
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_with_the_name_of_its_field() {
    let world = World::new("wrong").await;
    let root = world.client("root").await;
    let supervisor = |more: Value| {
        let mut body = json!({"name": "Zoe", "phone": "+358405559001"});
        let fields = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(fields);
        body
    };

    for (path, body, field) in [
        (
            "supervisors/zoe",
            supervisor(json!({"phone": "12"})),
            "phone:",
        ),
        (
            "supervisors/zoe",
            supervisor(json!({"phone": crate::world::MIA})),
            "phone:",
        ),
        (
            "supervisors/zoe",
            supervisor(json!({"pools": ["ghosts"]})),
            "pools:",
        ),
        (
            "supervisors/zoe",
            supervisor(json!({"may": ["fly"]})),
            "may:",
        ),
        ("supervisors/zoe", supervisor(json!({"pin": "12"})), "pin:"),
        (
            "supervisors/zoe",
            supervisor(json!({"password": "seven77"})),
            "password: expected at least 8 characters",
        ),
        (
            "supervisors/zoe",
            supervisor(json!({"agent": "999"})),
            "agent:",
        ),
        (
            "supervisors/zoe",
            supervisor(json!({"language": "tlh"})),
            "language: expected a language that there are prompts in (en, es, fi)",
        ),
        ("supervisors/zoe", supervisor(json!({"shoe": 44})), "shoe"),
        ("supervisors/z%20e", supervisor(json!({})), "user:"),
        (
            "supervisors/root",
            supervisor(json!({})),
            "user: expected a name that no administrator signs in with",
        ),
        (
            "agents/root",
            json!({"name": "Roope"}),
            "extension: expected a name that no administrator signs in with",
        ),
        ("agents/777", json!({"name": " "}), "name:"),
        (
            "agents/777",
            json!({"name": "x", "contact": "nowhere"}),
            "contact:",
        ),
        (
            "agents/777",
            json!({"name": "x", "agent_notice": "loud"}),
            "agent_notice:",
        ),
        ("agents/777", json!({}), "name"),
        ("pools/p%2Fq", json!({}), "name:"),
    ] {
        let answer = root.put(&format!("{ACME}/{path}"), Some(body)).await;
        let refusal = answer.expect(400);
        let text = refusal["text"].as_str().unwrap();
        assert!(text.contains(field), "{path}: {text}");
    }
    let numbers = json!({"name": "New", "supervising_numbers": ["800"]});
    let path = "/api/v1/admin/organisations/new";
    let refusal = root.put(path, Some(numbers)).await.expect(400);
    assert!(
        refusal["text"]
            .as_str()
            .unwrap()
            .starts_with("supervising_numbers:")
    );

    // What others refer to stays.
    root.delete(ACME).await.expect(409);
    root.delete(&format!("{ACME}/pools/support"))
        .await
        .expect(409);
    root.delete(&format!("{ACME}/agents/205")).await.expect(409);
    let ghosts = root
        .delete("/api/v1/admin/organisations/ghosts/pools/x")
        .await;
    ghosts.expect(404);

    // Nothing of it was told as done.
    let audit = root.get("/api/v1/audit?supervisor=root").await.expect(200);
    assert_eq!(rows(&audit).count(), 0, "{audit}");
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_is_built_from_nothing_and_taken_down_again() {
    let world = World::new("from-nothing").await;
    let root = world.client("root").await;
    let path = "/api/v1/admin/organisations/gamma";

    let body = json!({"name": "Gamma", "supervising_numbers": ["950"], "supervision": true});
    root.put(path, Some(body)).await.expect(201);
    let webhook = json!({"organisation": "gamma", "url": "http://127.0.0.1:9/"});
    root.post("/api/v1/admin/webhooks", webhook)
        .await
        .expect(201);
    root.put(&format!("{path}/pools/night"), Some(json!({})))
        .await
        .expect(201);
    let agent = json!({"name": "Gus", "pools": ["night"], "password": "gus-501"});
    root.put(&format!("{path}/agents/501"), Some(agent))
        .await
        .expect(201);
    let shown = root.get(&format!("{path}/pools/night")).await.expect(200);
    assert_eq!(shown["agents"], json!(["501"]));
    let gus = Client::sign_in(&world.service, "501", "gus-501").await;
    assert_eq!(
        gus.get("/api/v1/me").await.expect(200)["organisation"],
        "gamma"
    );
    let shown = root.get(path).await.expect(200);
    assert_eq!((&shown["agents"], &shown["pools"]), (&json!(1), &json!(1)));

    root.delete(&format!("{path}/agents/501")).await.expect(204);
    root.delete(&format!("{path}/pools/night"))
        .await
        .expect(204);
    root.delete(path).await.expect(204);
    root.get(path).await.expect(404);
    let webhooks = root.get("/api/v1/admin/webhooks").await.expect(200);
    assert_eq!(webhooks["webhooks"], json!([]), "they go with it");
    root.post("/api/v1/admin/reload", Value::Null)
        .await
        .expect(204);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_agents_is_taken_in_and_its_faults_are_named() {
    let world = World::new("agents-list").await;
    let root = world.client("root").await;

    let list = "extension,name,pools,password\n\
                600,Kati,support sales,kati-600\n\
                601,Pena,ghosts,\n\
                204,Aino A.,support,\n";
    let result = import(&root, "agents", list).await.expect(200);

    assert_eq!(
        (&result["created"], &result["changed"]),
        (&json!(1), &json!(1))
    );
    let error = &result["errors"][0];
    assert_eq!((&error["line"], &error["column"]), (&json!(3), &json!(3)));
    assert_eq!(error["field"], "pools");
    assert_eq!(result["errors"].as_array().unwrap().len(), 1);
    let kati = Client::sign_in(&world.service, "600", "kati-600").await;
    kati.get("/api/v1/me").await.expect(200);
    // The password that the list does not have is as it was.
    let aino = world.client("204").await;
    assert_eq!(aino.get("/api/v1/me").await.expect(200)["name"], "Aino A.");
    let agents = root.get(&format!("{ACME}/agents")).await.expect(200);
    let extensions = agents["agents"].as_array().unwrap().iter();
    let extensions: Vec<_> = extensions.map(|agent| agent["extension"].clone()).collect();
    assert_eq!(extensions, ["204", "205", "206", "251", "600"]);

    let wrong = import(&root, "agents", "extension,shoe\n1,2\n")
        .await
        .expect(400);
    let text = wrong["text"].as_str().unwrap();
    assert!(text.starts_with("line 1, column 2 (shoe):"), "{text}");
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_name_the_customers_of_the_list_of_calls() {
    let mut world = World::new("contacts").await;
    let talk = world.talk("204").await;
    let (mia, root) = (world.client("mia").await, world.client("root").await);
    let contact = async || {
        let calls = mia.get("/api/v1/calls").await.expect(200);
        let calls = calls["calls"].as_array().unwrap().clone();
        let call = calls.iter().find(|call| call["id"] == talk.id.as_str());
        call.expect("the call is listed")["contact"].clone()
    };
    assert_eq!(contact().await, Value::Null);

    let list = "number;name\n050 111 2222;Virtanen Oy\n12;nobody\n";
    let result = import(&root, "contacts?country=FI", list).await.expect(200);
    assert_eq!(result["created"], 1);
    assert_eq!(result["errors"][0]["line"], 3);
    assert_eq!(contact().await, "Virtanen Oy");

    let path = format!("{ACME}/contacts/{CUSTOMER}");
    let renamed = json!({"name": "Virtanen & Co"});
    root.put(&path, Some(renamed)).await.expect(200);
    assert_eq!(contact().await, "Virtanen & Co");
    let page = root
        .get(&format!("{ACME}/contacts?limit=1"))
        .await
        .expect(200);
    assert_eq!(page["contacts"][0]["number"], CUSTOMER);
    root.delete(&path).await.expect(204);
    assert_eq!(contact().await, Value::Null);
    root.delete(&path).await.expect(404);
    import(&root, "contacts?country=Narnia", list)
        .await
        .expect(400);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_sign_in_is_listed_and_lifted() {
    let world = World::new("bans").await;
    let root = world.client("root").await;
    while !is_locked(&world, "leo").await {}

    let bans = root.get("/api/v1/admin/bans").await.expect(200);
    let ban = &bans["bans"][0];
    assert_eq!(ban["user"], "leo");
    let address = ban["address"].as_str().unwrap();
    let path = format!("/api/v1/admin/bans?user=leo&address={address}");
    root.delete(&path).await.expect(204);

    world
        .client("leo")
        .await
        .get("/api/v1/me")
        .await
        .expect(200);
    root.delete(&path).await.expect(404);

    // Either alone is enough.
    for alone in ["user=leo".to_owned(), format!("address={address}")] {
        while !is_locked(&world, "leo").await {}
        let path = format!("/api/v1/admin/bans?{alone}");
        root.delete(&path).await.expect(204);
        root.delete(&path).await.expect(404);
        let bans = root.get("/api/v1/admin/bans").await.expect(200);
        assert_eq!(bans["bans"], json!([]), "{alone}");
        world.client("leo").await;
    }
    root.delete("/api/v1/admin/bans").await.expect(400);
    root.delete("/api/v1/admin/bans?address=nowhere")
        .await
        .expect(400);
    let audit = root.get("/api/v1/audit?supervisor=root").await.expect(200);
    assert_eq!(rows(&audit).next().unwrap()["action"], "admin_lift_ban");
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_is_one_agents_alone_on_the_node() {
    let world = World::new("extensions").await;
    let root = world.client("root").await;
    let agent = json!({"name": "Other", "contact": "sip:x@127.0.0.9"});

    let path = format!("{ACME}/agents/401");
    let refusal = root.put(&path, Some(agent.clone())).await.expect(400);
    let text = refusal["text"].as_str().unwrap();
    assert!(text.starts_with("extension:"), "{text}");
    assert!(!text.contains("beta") && !text.contains("Bea"), "{text}");
    // Neither a supervising number, of whichever organisation, nor the other way round.
    for number in ["800", "900"] {
        let path = format!("{ACME}/agents/{number}");
        root.put(&path, Some(agent.clone())).await.expect(400);
    }
    for (organisation, number) in [("acme", "204"), ("acme", "401"), ("new", "204")] {
        let path = format!("/api/v1/admin/organisations/{organisation}");
        let body = json!({"name": "X", "supervising_numbers": [number], "supervision": true});
        let refusal = root.put(&path, Some(body)).await.expect(400);
        let text = refusal["text"].as_str().unwrap();
        assert!(text.starts_with("supervising_numbers:"), "{text}");
    }
    let list = "extension,name\n401,Other\n402,New\n";
    let answer = import(&root, "agents", list).await;
    let result = answer.expect(200);
    assert_eq!(result["created"], 1);
    assert_eq!(result["errors"][0]["line"], 2);
    assert_eq!(result["errors"][0]["field"], "extension");
    let shown = root.get(&format!("{ACME}/agents/401")).await;
    shown.expect(404);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_at_once_take_turns() {
    let world = World::new("turns").await;
    let root = world.client("root").await;
    let puts = (0..20).map(|n| {
        let root = root.clone();
        tokio::spawn(async move {
            let path = format!("{ACME}/agents/6{n:02}");
            let body = json!({"name": format!("Agent {n}"), "pools": ["support"]});
            root.put(&path, Some(body)).await.expect(201);
        })
    });
    let puts: Vec<_> = puts.collect();
    for put in puts {
        put.await.unwrap();
    }
    let shown = root.get(&format!("{ACME}/agents")).await.expect(200);
    assert_eq!(list(&shown, "agents").len(), 4 + 20);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_ends_every_sign_in_with_the_former() {
    let world = World::new("sign-ins-end").await;
    let root = world.client("root").await;
    let path = format!("{ACME}/supervisors/zoe");
    let zoe = |password: &str| {
        Some(json!({
            "name": "Zoe", "phone": "+358405559001", "pools": ["support"], "password": password,
        }))
    };
    root.put(&path, zoe("zoe-first")).await.expect(201);
    let bearer = Client::sign_in(&world.service, "zoe", "zoe-first").await;
    let browser = Client::browser(&world.service, "zoe", "zoe-first").await;

    // The same once more, or something else, changes nothing.
    root.put(&path, zoe("zoe-first")).await.expect(200);
    bearer.get("/api/v1/me").await.expect(200);
    root.put(&path, zoe("zoe-second")).await.expect(200);

    bearer.get("/api/v1/me").await.expect(401);
    browser.get("/api/v1/me").await.expect(401);
    let again = Client::sign_in(&world.service, "zoe", "zoe-second").await;
    again.get("/api/v1/me").await.expect(200);

    // An agent's too.
    let onni = world.client("205").await;
    let agent = json!({"name": "Onni", "pools": ["support"], "password": "onni-second"});
    root.put(&format!("{ACME}/agents/205"), Some(agent))
        .await
        .expect(200);
    onni.get("/api/v1/me").await.expect(401);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_short_and_do_not_turn_what_stands_beside_them() {
    let world = World::new("names").await;
    let root = world.client("root").await;
    for name in [
        "x".repeat(101),
        "a\u{202E}b".into(),
        "a\u{2066}b".into(),
        "a\u{7}b".into(),
    ] {
        let body = Some(json!({"name": name}));
        for path in ["agents/777", "supervisors/zoe"] {
            let mut body = body.clone().unwrap();
            if path.starts_with("supervisors") {
                body["phone"] = json!("+358405559001");
            }
            let answer = root.put(&format!("{ACME}/{path}"), Some(body)).await;
            let refusal = answer.expect(400);
            let text = refusal["text"].as_str().unwrap();
            assert!(text.starts_with("name:") && text.contains("100"), "{text}");
        }
    }
    let body = json!({"name": "ä".repeat(100)});
    root.put(&format!("{ACME}/agents/777"), Some(body))
        .await
        .expect(201);
    let body = json!({"name": "X", "supervising_numbers": ["eight"]});
    root.put("/api/v1/admin/organisations/new", Some(body))
        .await
        .expect(400);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_is_removed_in_session_hears_nothing_more() {
    let mut world = World::new("removed").await;
    let root = world.client("root").await;
    let talk = world.talk("204").await;
    let line = world.dial_in().await;
    let mia = world.client("mia").await;
    let session = crate::client::text_of(&own_session(&mia).await["id"]);

    root.delete(&format!("{ACME}/supervisors/mia"))
        .await
        .expect(204);

    line.ended().await;
    mia.get("/api/v1/sessions").await.expect(401);
    wait_until("why it ended is audited", || {
        audited_as(&world.service, "leave", "done") == 1
    })
    .await;
    let again = json!({
        "name": "Mia", "phone": crate::world::MIA, "pools": ["support"], "may": ["monitor"],
        "password": "mia-again",
    });
    root.put(&format!("{ACME}/supervisors/mia"), Some(again))
        .await
        .expect(201);
    let new = Client::sign_in(&world.service, "mia", "mia-again").await;
    let sessions = new.get("/api/v1/sessions").await.expect(200);
    assert_eq!(sessions["sessions"], json!([]));
    let path = format!("/api/v1/sessions/{session}");
    new.get(&path).await.expect(404);
    // The call goes on.
    let calls = new.get("/api/v1/calls").await.expect(200);
    assert_eq!(list(&calls, "calls").len(), 1);
    drop(talk);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_taken_away_takes_its_sessions_along() {
    let mut world = World::new("rescoped").await;
    let root = world.client("root").await;
    let talk = world.talk("204").await;
    let line = world.dial_in().await;
    let mia = world.client("mia").await;
    let session = crate::client::text_of(&own_session(&mia).await["id"]);

    let elsewhere = json!({
        "name": "Mia", "phone": crate::world::MIA, "pools": ["sales"],
        "may": ["monitor", "coach", "barge"],
    });
    root.put(&format!("{ACME}/supervisors/mia"), Some(elsewhere))
        .await
        .expect(200);

    let answer = mia
        .patch(
            &format!("/api/v1/sessions/{session}"),
            json!({"role": "coach"}),
        )
        .await;
    assert_ne!(answer.status, 200, "{}", answer.text);
    line.ended().await;
    drop(talk);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_pin_is_listed_and_lifted() {
    let mut world = World::with("pin-bans", |setup| {
        setup.line("supervising", "pin = \"always\"")
    })
    .await;
    let root = world.client("root").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let line = world.dial_in().await;
    for tries in 1..=3 {
        line.press("0000#", KeySending::Event).await.unwrap();
        wait_until("the wrong PIN is audited", || {
            audited_as(&world.service, "pin", "refused") == tries
        })
        .await;
    }
    line.ended().await;

    let one = |seen: &Value| list(seen, "bans").len() == 1;
    let bans = root.until("/api/v1/admin/bans", one).await;
    let ban = &bans["bans"][0];
    for (field, value) in [
        ("kind", "pin"),
        ("user", "mia"),
        ("organisation", "acme"),
        ("trunk", "mobile"),
    ] {
        assert_eq!(ban[field], value, "{ban}");
    }
    assert!(ban["until"].as_str().unwrap().ends_with('Z'));
    let path = "/api/v1/admin/bans?user=mia&organisation=acme";
    root.delete(path).await.expect(404);
    let path = format!("{path}&trunk=mobile");
    root.delete(&path).await.expect(204);
    root.delete(&path).await.expect(404);
    root.delete("/api/v1/admin/bans?organisation=acme")
        .await
        .expect(400);

    let bans = root.get("/api/v1/admin/bans").await.expect(200);
    assert_eq!(bans["bans"], json!([]));
    let line = world.dial_in().await;
    line.press("4711#", KeySending::Event).await.unwrap();
    own_session(&mia).await;
    line.hang_up().await.unwrap();
    drop(talk);
    world.stop();
}

/// A wrong password; whether it is not even looked at any more.
async fn is_locked(world: &World, user: &str) -> bool {
    let body = json!({"user": user, "password": "wrong"});
    let answer = Client::nobody(&world.service)
        .post("/api/v1/login", body)
        .await;
    answer.status == 429
}

async fn fails_to_sign_in(world: &World, user: &str, password: &str) -> bool {
    let body = json!({"user": user, "password": password});
    let answer = Client::nobody(&world.service)
        .post("/api/v1/login", body)
        .await;
    answer.status == 401
}

async fn import(root: &Client, what: &str, list: &str) -> Answer {
    let request = root.request(Method::POST, &format!("{ACME}/import/{what}"), None);
    let response = request
        .header("Content-Type", "text/csv")
        .body(list.to_owned())
        .send()
        .await
        .unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

fn rows(audit: &Value) -> impl Iterator<Item = &Value> {
    audit["audit"].as_array().unwrap().iter()
}
