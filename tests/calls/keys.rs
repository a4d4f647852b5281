//! Keys on real calls: in-band, and by more than one way at once.

use std::time::Duration;

use sottovoce::demo::media::{Codec, KeySending, Voice};
use sottovoce::demo::phone::{Line, Phone, PhoneConfig};
use sottovoce::demo::stage::{self, MOBILE};
use sottovoce::demo::tones::amplitude;
use sottovoce::edge::clock;

use crate::scene::{
    AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, audit_csv, press, stop, wait_until,
};

/// A supervisor's phone that negotiates no telephone-event.
async fn old_phone(scene: &Scene) -> Phone {
    let mut config = PhoneConfig::new(stage::MIA, MOBILE, scene.service.sip);
    config.telephone_event = None;
    Phone::start(config).await.expect("a phone")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telephone_events_of_any_payload_type_and_either_clock_are_keys() {
    let scene = Scene::new("clocks").await;
    let done = |keys: &str| {
        let audit = audit_csv(&scene.service);
        let mut rows = audit.lines();
        rows.any(|row| row.contains(keys) && row.contains(",done,"))
    };
    for (codec, payload_type, keys) in [(Codec::Pcmu, 97, "4#"), (Codec::Opus, 126, "6#")] {
        let mut config = PhoneConfig::new(stage::MIA, MOBILE, scene.service.sip);
        config.codecs = vec![codec];
        config.telephone_event = Some(payload_type);
        let phone = Phone::start(config).await.expect("a phone");
        let mia = phone
            .dial(stage::SUPERVISING_NUMBER)
            .await
            .expect("800 answers");
        press(&mia, keys).await;
        wait_until("the command is carried out", || done(keys)).await;
        mia.hang_up().await.expect("the supervisor hangs up");
    }

    assert_eq!(scene.audited(9008), 0, "each key counted once");
    for line in [&scene.agent, &scene.customer] {
        assert_eq!(line.media.events_heard(), 0);
    }
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_band_keys_work_and_no_party_hears_them() {
    let scene = Scene::new("in-band").await;
    let phone = old_phone(&scene).await;
    let mia = phone
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");
    wait_until("the supervisor hears the call", || {
        crate::scene::hears(&mia.media, CUSTOMER_HZ) && crate::scene::hears(&mia.media, AGENT_HZ)
    })
    .await;
    mia.media.say(Voice::Silence);
    mia.press("6#", KeySending::InBand)
        .await
        .expect("keys are sent");
    wait_until("6# is audited", || audit_csv(&scene.service).contains("6#")).await;
    mia.media.say(Voice::Tone(SUPERVISOR_HZ));
    scene
        .expect_ears(
            &[CUSTOMER_HZ, SUPERVISOR_HZ],
            &[AGENT_HZ, SUPERVISOR_HZ],
            "barge in-band",
        )
        .await;

    // While everybody hears her: 5#, whose tones must not pass.
    mia.media.say(Voice::Silence);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let from = clock::now();
    mia.press("5#", KeySending::InBand)
        .await
        .expect("keys are sent");
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "monitor in-band")
        .await;
    for line in [&scene.agent, &scene.customer] {
        let heard = line.media.heard();
        let start = heard.index_at(from).unwrap_or(0);
        for hz in [770.0, 1336.0, 941.0, 1477.0] {
            let loud = heard.samples[start..]
                .chunks_exact(160)
                .filter(|frame| amplitude(frame, hz) > 1500.0)
                .count();
            assert_eq!(loud, 0, "frames with {hz} Hz of a key");
        }
    }
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_arrives_by_event_and_by_info_counts_once() {
    let scene = Scene::new("twice").await;
    let mia = scene.supervise().await;
    for key in ["4", "#"] {
        let (event, info) = tokio::join!(
            mia.press(key, KeySending::Event),
            mia.press(key, KeySending::Info)
        );
        event.and(info).expect("keys are sent");
        tokio::time::sleep(Duration::from_millis(350)).await;
    }

    scene
        .expect_ears(
            &[CUSTOMER_HZ, SUPERVISOR_HZ],
            &[AGENT_HZ],
            "one 4 and one #",
        )
        .await;
    assert_eq!(scene.audited(9008), 0, "44## would be an unknown command");
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_the_customer_reach_the_agent() {
    let scene = Scene::new("customer-keys").await;
    let before = scene.agent.media.events_heard();
    press(&scene.customer, "12").await;

    wait_until("the agent's phone has received them", || {
        scene.agent.media.events_heard() >= before + 10
    })
    .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_by_info_reach_the_other_party_and_a_supervisors_nobody() {
    let scene = Scene::new("info-keys").await;
    let mia = scene.supervise().await;
    let before = [&scene.agent, &scene.customer].map(|line| line.media.events_heard());
    let heard = |line: &Line, before| line.media.events_heard() - before;

    mia.press("9#", KeySending::Info)
        .await
        .expect("keys are sent");
    scene
        .customer
        .press("12", KeySending::Info)
        .await
        .expect("keys are sent");
    wait_until("the agent's phone has received them", || {
        heard(&scene.agent, before[0]) == 8
    })
    .await;
    scene
        .agent
        .press("3", KeySending::Info)
        .await
        .expect("keys are sent");
    wait_until("the customer's phone has received it", || {
        heard(&scene.customer, before[1]) == 4
    })
    .await;

    assert_eq!(heard(&scene.agent, before[0]), 8, "nothing of the 9#");
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_digits_are_never_taken_for_the_last_one() {
    let scene = Scene::new("fourteen").await;
    let mia = scene.supervise().await;
    press(&mia, "14#").await;

    wait_until("9008 is audited", || scene.audited(9008) == 1).await;
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "still a monitor")
        .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_not_completed_is_cleared_with_a_low_tone_for_that_supervisor_alone() {
    let scene = Scene::new("half-typed").await;
    let mia = scene.supervise().await;
    // 50 ms: whole periods of the low tone's 220 Hz and of everything that the phones speak.
    let low = |line: &Line| {
        let heard = line.media.heard();
        let mut stretches = heard.samples.chunks_exact(400);
        stretches.any(|stretch| amplitude(stretch, 220.0) > 1000.0)
    };
    assert!(!low(&mia));
    let began = clock::now();
    mia.press("4", KeySending::Event)
        .await
        .expect("the key is sent");

    wait_until("the low tone", || low(&mia)).await;
    let after = clock::now().duration_since(began);
    assert!(after >= Duration::from_secs(3), "it came after {after:?}");
    mia.press("#", KeySending::Event)
        .await
        .expect("the key is sent");

    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "a 4 and, too late, a #")
        .await;
    for (party, line) in [("agent", &scene.agent), ("customer", &scene.customer)] {
        assert!(!low(line), "the {party} heard the low tone");
    }
    // A whole command afterwards is none of the half one's.
    mia.press("4#", KeySending::Event)
        .await
        .expect("keys are sent");
    scene
        .expect_ears(&[CUSTOMER_HZ, SUPERVISOR_HZ], &[AGENT_HZ], "4#")
        .await;
    assert_eq!(scene.audited(9008), 0);
    stop(scene.service);
}
