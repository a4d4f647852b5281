//! A supervisor sets the registered phone: it is called, hears a code, and counts when the code is
//! entered.

use serde_json::{Value, json};
use sottovoce::demo::ear::find;
use sottovoce::demo::errors::prompt_samples;
use sottovoce::demo::media::{RATE_HZ, Voice};
use sottovoce::demo::phone::Line;

use crate::scene::share;
use crate::world::{MIA, World};

const PATH: &str = "/api/v1/me/phone";
const PROVE: &str = "/api/v1/me/phone/prove";
const NEW: &str = "+358409998877";
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

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
    let audit = root.get("/api/v1/audit?supervisor=mia").await.expect(200);
    let told: Vec<String> = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["action"], row["outcome"]).replace('"', ""))
        .collect();
    for row in [
        "set_phone done",
        "prove_phone_call requested",
        "prove_phone_call done",
        "prove_phone refused",
        "prove_phone done",
    ] {
        assert!(told.iter().any(|told| told == row), "{row}: {told:?}");
    }
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

/// The digits of the code, as they were heard: each is the prompt that fits best where the one
/// before it ended.
fn heard_code(line: &Line) -> String {
    let heard = line.media.heard().samples;
    let prompt = |stem: &str| prompt_samples(share(), stem).unwrap();
    let digits = DIGITS.map(&prompt);
    let begins = prompt("code-is");
    let found = find(&heard[..heard.len().min(6 * RATE_HZ)], &begins);
    assert!(found.heard(), "the code is announced");
    let mut at = (found.delay.as_secs_f64() * RATE_HZ as f64) as usize + begins.len();

    let mut code = String::new();
    for _ in 0..6 {
        // The first frame of a prompt begins where the last of the one before it ended, and a frame
        // that is not full is filled up.
        let fits = digits.iter().map(|digit| {
            let from = at.saturating_sub(200).min(heard.len());
            let to = (at + digit.len() + 600).min(heard.len());
            (from, find(&heard[from..to], digit))
        });
        let best = fits
            .enumerate()
            .max_by(|(_, (_, one)), (_, (_, other))| one.clarity.total_cmp(&other.clarity));
        let (digit, (from, fit)) = best.unwrap();
        code.push_str(DIGITS[digit]);
        let lag = (fit.delay.as_secs_f64() * RATE_HZ as f64) as usize;
        at = from + lag + digits[digit].len();
    }
    code
}
