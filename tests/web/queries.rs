//! Keys behind the `?` that a row does not have, for every row of the OpenAPI document.

use reqwest::Method;

use crate::authorisation::rows_of;
use crate::client::Client;
use crate::world::{World, password_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_key_is_refused_by_every_row_with_the_keys_that_it_has() {
    let world = World::new("queries").await;
    let mia = Client::sign_in(&world.service, "mia", password_of("mia")).await;
    let document = mia.get("/api/openapi.json").await.expect(200);

    for row in rows_of(&document) {
        let (method, path) = row.split_once(' ').unwrap();
        let operation = &document["paths"][path][method.to_lowercase()];
        let path = path.replace(['{', '}'], "");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = mia.send(method, &format!("{path}?poll=x"), None).await;

        let refusal = answer.expect(400);
        let text = refusal["text"].as_str().unwrap();
        assert!(text.starts_with("poll: expected"), "{row}: {text}");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for known in parameters.filter(|parameter| parameter["in"] == "query") {
            let known = known["name"].as_str().unwrap();
            assert!(text.contains(known), "{row}: {known} in {text}");
        }
        assert!(operation["responses"].get("400").is_some(), "{row}");
    }
    mia.get("/api/v1/me").await.expect(200);
    mia.get("/api/v1/calls?pool=support&agent=204")
        .await
        .expect(200);
    mia.get("/api/v1/calls?agent=204&agent=205")
        .await
        .expect(400);
    world.stop();
}
