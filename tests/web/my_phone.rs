//! A supervisor sets the registered phone: it is called, hears a code, and counts when the code is
//! entered.

use serde_json::{Value, json};
use sottovoce::demo::media::Voice;

use crate::code::heard_code;
use crate::world::{MIA, World, list};

const PATH: &str = "/api/v1/me/phone";
const PROVE: &str = "/api/v1/me/phone/prove";
const NEW: &str = "+358409998877";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_counts_when_the_code_that_it_heard_is_entered() {
    let mut world = World::new("my-phone").await;
    let mia = world.client("mia").await;
    let phone = mia.get(PATH).await.expect(200);
    assert_eq!(phone, json!({"phone": MIA, "pending": null}));
    mia.post(PROVE, Value::Null).await.expect(409);

    let set = mia.put(PATH, Some(json!({"phone": "040 999 8877"}))).await;
    let set = set.expect(200);
    assert_eq!(
        (&set["phone"], &set["pending"]["phone"]),
        (&json!(MIA), &json!(NEW))
    );
    mia.post(PROVE, json!({"code": "123456"})).await.expect(409);

    let called = mia.post(PROVE, Value::Null).await.expect(202);
    assert_eq!(called["pending"]["calls_left"], 2);
    let incoming = world.mobile.incoming().await.unwrap();
    assert_eq!(incoming.caller(), "800");
    let line = incoming.answer().await.unwrap();
    line.media.say(Voice::Silence);
    line.ended().await;
    let code = heard_code(&line);

    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = mia.post(PROVE, json!({"code": wrong})).await.expect(409);
    assert_eq!(refused["error"], "wrong-code");
    assert!(!refused.to_string().contains(wrong));
    mia.post(PROVE, json!({"code": "12"})).await.expect(400);
    assert_eq!(mia.get(PATH).await.expect(200)["phone"], MIA);
    let proven = mia.post(PROVE, json!({"code": code})).await.expect(200);
    assert_eq!(proven, json!({"phone": NEW, "pending": null}));
    mia.post(PROVE, json!({"code": code})).await.expect(409);

    // It is the registered one from now on: the old one is a stranger's.
    let root = world.client("root").await;
    let shown = root
        .get("/api/v1/admin/organisations/acme/supervisors/mia")
        .await;
    assert_eq!(shown.expect(200)["phone"], NEW);
    let told = |seen: &Value, action: &str, outcome: &str| {
        let mut rows = list(seen, "audit").iter();
        rows.any(|row| row["action"] == action && row["outcome"] == outcome)
    };
    let all = |seen: &Value| {
        let mut rows = [
            ("set_phone", "done"),
            ("prove_phone_call", "requested"),
            ("prove_phone_call", "done"),
            ("prove_phone", "refused"),
            ("prove_phone", "done"),
        ]
        .into_iter();
        rows.all(|(action, outcome)| told(seen, action, outcome))
    };
    let audit = root.until("/api/v1/audit?supervisor=mia", all).await;
    assert!(!audit.to_string().contains(&code));
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_of_another_and_what_is_no_number_are_refused() {
    let world = World::new("my-phone-refused").await;
    let (mia, leo) = (world.client("mia").await, world.client("leo").await);
    let leos = leo.get(PATH).await.expect(200)["phone"].clone();

    mia.put(PATH, Some(json!({"phone": leos})))
        .await
        .expect(409);
    for wrong in ["", "12", "anonymous", "\u{0}", "+358 40 \u{7}"] {
        mia.put(PATH, Some(json!({"phone": wrong})))
            .await
            .expect(400);
    }
    mia.put(PATH, Some(json!({"fax": "+358401"})))
        .await
        .expect(400);
    mia.post(PROVE, json!({"code": 5})).await.expect(400);
    world.client("204").await.get(PATH).await.expect(403);
    world.client("root").await.get(PATH).await.expect(403);
    assert_eq!(mia.get(PATH).await.expect(200)["pending"], Value::Null);
    world.stop();
}
