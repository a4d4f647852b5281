//! Who is let in, and how.

use sottovoce::demo::phone::{Phone, PhoneConfig, PhoneError};
use sottovoce::demo::stage::{self, DESK, MOBILE, OFFICE};

use crate::scene::{
    AGENT_HZ, CUSTOMER_HZ, Scene, audited_with, hears, phone, press, second_agent, stop, wait_until,
};
use crate::words::{spoken_after, wait_spoken};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_told_9001_hung_up_on_and_audited() {
    let scene = Scene::new("stranger").await;
    let phone = phone(&scene.service, "+4912345678", MOBILE).await;
    let line = phone
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("answered, to be told");
    line.ended().await;

    assert!(!hears(&line.media, CUSTOMER_HZ));
    assert!(spoken_after(&line.media, 0, "unregistered"));
    wait_until("9001 is audited", || scene.audited(9001) == 1).await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_caller_is_refused_by_signalling_when_so_configured() {
    let scene = Scene::with("hidden", |setup| {
        setup.line("supervising", "answer_unregistered = false")
    })
    .await;
    let phone = phone(&scene.service, "anonymous", MOBILE).await;

    match phone.dial(stage::SUPERVISING_NUMBER).await {
        Err(PhoneError::Refused(403)) => {}
        other => panic!("{:?}", other.map(|_| "answered")),
    }
    wait_until("9001 is audited", || scene.audited(9001) == 1).await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_is_asked_for_where_the_policy_wants_it() {
    let scene = Scene::with("pin", |setup| setup.line("supervising", "pin = \"always\"")).await;
    let line = scene
        .mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");
    press(&line, "4711#").await;

    wait_until("the right PIN opens the call", || {
        hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
    })
    .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_wrong_pins_lock_the_supervisor_out() {
    let scene = Scene::with("lock", |setup| {
        setup.line("supervising", "pin = \"always\"")
    })
    .await;
    let line = scene
        .mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");
    for wrong in 1..=3 {
        press(&line, "0000#").await;
        // What is typed while a PIN is checked is dropped.
        wait_until("the wrong PIN is audited", || {
            audited_with(&scene.service, "action", "pin") == wrong
        })
        .await;
    }
    line.ended().await;
    assert!(!hears(&line.media, CUSTOMER_HZ));
    assert!(spoken_after(&line.media, 0, "pin-failed"));

    let again = scene
        .mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("answered, to be told");
    again.ended().await;
    wait_until("both refusals are audited", || scene.audited(9002) >= 2).await;

    // Whoever tried that on one trunk has locked nobody out on another.
    let office = phone(&scene.service, stage::MIA, OFFICE).await;
    let line = office
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");
    press(&line, "4711#").await;
    wait_until("the owner comes in by the other trunk", || {
        hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
    })
    .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registered_softphone_is_a_proven_caller() {
    let scene = Scene::with("softphone", |setup| {
        setup.line("supervising", "pin = \"untrusted\"")
    })
    .await;
    let mut config = PhoneConfig::new("mia", DESK, scene.service.sip);
    config.password = Some(stage::MIA_PASSWORD.to_owned());
    let phone = Phone::start(config).await.expect("a phone");
    phone.register().await.expect("mia registers");
    let line = phone
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");

    wait_until("the call is heard without a PIN", || {
        hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
    })
    .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_registers_nobody() {
    let scene = Scene::new("password").await;
    let mut config = PhoneConfig::new("mia", DESK, scene.service.sip);
    config.password = Some("not hers".to_owned());
    let phone = Phone::start(config).await.expect("a phone");

    assert!(matches!(
        phone.register().await,
        Err(PhoneError::Refused(401 | 403))
    ));
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_with_several_calls_chooses_by_extension() {
    let scene = Scene::new("menu").await;
    let mut second = second_agent(&scene.service).await;
    let other = stage::converse(&scene.customer_phone, &mut second, stage::SECOND_AGENT)
        .await
        .expect("a call");
    let line = scene
        .mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");
    for stem in ["calls-waiting", "enter-extension"] {
        wait_spoken(&line.media, 0, stem).await;
    }
    press(&line, "204#").await;

    wait_until("the chosen call is heard", || {
        hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
    })
    .await;
    drop(other);
    stop(scene.service);
}
