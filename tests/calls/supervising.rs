//! Roles on real calls.

use std::time::Duration;

use sottovoce::demo::measure::breaks;
use sottovoce::demo::media::KeySending;
use sottovoce::demo::phone::Line;
use sottovoce::demo::tones::amplitude;
use sottovoce::edge::clock;

use crate::scene::{
    AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, StallWatch, hears, longest_gap, press, stop,
    tones, wait_until,
};

const AGENT_ALONE: &[f32] = &[AGENT_HZ];
const CUSTOMER_ALONE: &[f32] = &[CUSTOMER_HZ];
const AGENT_AND_SUPERVISOR: &[f32] = &[AGENT_HZ, SUPERVISOR_HZ];
const CUSTOMER_AND_SUPERVISOR: &[f32] = &[CUSTOMER_HZ, SUPERVISOR_HZ];

async fn every_role(name: &str, how: KeySending) {
    let scene = Scene::new(name).await;
    let began = clock::now();
    let watch = StallWatch::start();
    let mia = scene.supervise().await;
    scene
        .expect_ears(CUSTOMER_ALONE, AGENT_ALONE, "monitor")
        .await;

    let steps = [
        ("4#", CUSTOMER_AND_SUPERVISOR, AGENT_ALONE),
        ("5#", CUSTOMER_ALONE, AGENT_ALONE),
        ("8#", CUSTOMER_ALONE, AGENT_AND_SUPERVISOR),
        ("6#", CUSTOMER_AND_SUPERVISOR, AGENT_AND_SUPERVISOR),
        ("4#", CUSTOMER_AND_SUPERVISOR, AGENT_ALONE),
        ("0#", CUSTOMER_AND_SUPERVISOR, AGENT_AND_SUPERVISOR),
    ];
    for (keys, agent, customer) in steps {
        mia.press(keys, how).await.expect("keys are sent");
        scene.expect_ears(agent, customer, keys).await;
    }
    mia.hang_up().await.expect("the supervisor hangs up");
    scene
        .expect_ears(CUSTOMER_ALONE, AGENT_ALONE, "after the supervisor has left")
        .await;

    // A frame at a change; a phone that was kept waiting is late by itself, and the service, which
    // puts silence in the place of what is late, has been kept waiting as well.
    let allowed = 2 + 2 * watch.frames();
    for (party, line, other) in [
        ("agent", &scene.agent, CUSTOMER_HZ),
        ("customer", &scene.customer, AGENT_HZ),
    ] {
        let breaks = breaks(&line.media.packets());
        assert!(
            breaks.is_empty(),
            "the stream towards the {party}: {breaks:?}"
        );
        assert_eq!(line.state().reinvites, 0, "re-INVITEs to the {party}");
        let gap = longest_gap(&line.media.heard(), other, began);
        assert!(
            gap <= allowed,
            "{gap} frames without the other party in the {party}'s ear, where {allowed} may be"
        );
        assert_eq!(
            line.media.events_heard(),
            0,
            "keys of the supervisor at the {party}"
        );
    }
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_by_telephone_event_reaches_exactly_its_ears_on_unbroken_streams() {
    every_role("roles-event", KeySending::Event).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_by_info_reaches_exactly_its_ears_on_unbroken_streams() {
    every_role("roles-info", KeySending::Info).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_keeps_the_customer_and_releases_the_agent() {
    let scene = Scene::new("takeover").await;
    let mia = scene.supervise().await;
    press(&mia, "1#").await;
    scene.agent.ended().await;

    wait_until("only the supervisor is heard", || {
        tones(&scene.customer.media) == [SUPERVISOR_HZ] && tones(&mia.media) == [CUSTOMER_HZ]
    })
    .await;
    // The supervisor was in the customer's ear before the agent had left it.
    let heard = scene.customer.media.heard();
    let both = heard.samples.chunks_exact(160).filter(|frame| {
        amplitude(frame, AGENT_HZ) > 500.0 && amplitude(frame, SUPERVISOR_HZ) > 500.0
    });
    // 250 ms, less what the # lasts on and the way to the ear takes.
    assert!(both.count() >= 3, "they overlap");

    mia.hang_up().await.expect("the supervisor hangs up");
    scene.customer.ended().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_everyone_takes_a_second_press() {
    let scene = Scene::new("hang-up").await;
    let mia = scene.supervise().await;
    press(&mia, "7#").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(
        scene.agent.state().ended.is_none(),
        "nothing happens at the first press"
    );
    press(&mia, "7#").await;

    scene.agent.ended().await;
    scene.customer.ended().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_alone_hears_one_short_notice_when_it_is_policy() {
    let scene = Scene::with("notice", |setup| {
        setup.line("supervising", "agent_notice = \"tone\"")
    })
    .await;
    let mia = scene.supervise().await;
    // 100 ms: in that time the 440 Hz of the notice are told apart from the 500 Hz of the customer.
    let notice = |line: &Line| {
        let heard = line.media.heard();
        let stretches = heard.samples.chunks_exact(800);
        stretches
            .filter(|stretch| amplitude(stretch, 440.0) > 1000.0)
            .count()
    };

    wait_until("the agent hears the notice", || {
        hears(&mia.media, CUSTOMER_HZ) && notice(&scene.agent) > 0
    })
    .await;

    assert!(notice(&scene.agent) <= 2, "200 ms of it");
    assert_eq!(notice(&scene.customer), 0);
    assert_eq!(notice(&mia), 0);
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_stays_with_a_barged_supervisor_when_the_agent_hangs_up() {
    let scene = Scene::new("barge-stay").await;
    let mia = scene.supervise().await;
    press(&mia, "6#").await;
    scene
        .expect_ears(CUSTOMER_AND_SUPERVISOR, AGENT_AND_SUPERVISOR, "barge")
        .await;
    scene.agent.hang_up().await.expect("the agent hangs up");

    wait_until("customer and supervisor hear each other alone", || {
        tones(&scene.customer.media) == [SUPERVISOR_HZ] && tones(&mia.media) == [CUSTOMER_HZ]
    })
    .await;
    mia.hang_up().await.expect("the supervisor hangs up");
    scene.customer.ended().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_supervisor_listens_and_may_not_speak_beside_the_first() {
    let scene = Scene::new("second").await;
    let mia = scene.supervise().await;
    press(&mia, "4#").await;
    scene
        .expect_ears(CUSTOMER_AND_SUPERVISOR, AGENT_ALONE, "coach")
        .await;
    let leo = scene.supervise_too().await;
    press(&leo, "6#").await;

    wait_until("the refusal is audited", || scene.audited(9012) == 1).await;
    scene
        .expect_ears(
            CUSTOMER_AND_SUPERVISOR,
            AGENT_ALONE,
            "the second may not barge",
        )
        .await;
    assert!(
        !hears(&leo.media, SUPERVISOR_HZ),
        "supervisors do not hear one another"
    );
    stop(scene.service);
}
