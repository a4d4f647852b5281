//! Holds on real calls: who hears music, whom, or nobody, beside a supervisor who speaks to all.

use sottovoce::demo::media::{Media, Voice};
use sottovoce::demo::phone::Line;
use sottovoce::demo::tones::amplitude;

use crate::scene::{
    AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, audit_csv, press, stop, tones, wait_until,
};

/// Near the notes of the hold music, and with whole periods in 50 ms as all other tones have.
const NOTES_HZ: [f32; 8] = [180.0, 200.0, 220.0, 260.0, 320.0, 340.0, 400.0, 440.0];

/// Whether there was music over the newest second.
fn music(media: &Media) -> bool {
    let heard = media.heard();
    let newest = heard.samples.len().saturating_sub(8_000);
    let stretches = heard.samples[newest..].chunks_exact(400);
    let strongest = stretches.map(|stretch| {
        let notes = NOTES_HZ.into_iter().map(|hz| amplitude(stretch, hz));
        notes.fold(0.0, f32::max)
    });
    let (sum, count) = strongest.fold((0.0, 0.0), |(sum, count), note| (sum + note, count + 1.0));
    sum / count > 150.0
}

/// A scene in which the supervisor is heard by both parties.
async fn barged(name: &str, hear_held_customer: bool) -> (Scene, Line) {
    let scene = Scene::with(name, |setup| {
        setup.line(
            "supervising",
            &format!("hear_held_customer = {hear_held_customer}"),
        )
    })
    .await;
    let mia = scene.supervise().await;
    press(&mia, "6#").await;
    expect_barge(&scene).await;
    (scene, mia)
}

async fn hold(holder: &Line, direction: &'static str) {
    let held = holder.reinvite(direction).await;
    held.expect("hold is accepted");
}

/// Who held takes the other party back, and everybody hears the supervisor as before.
async fn resume(scene: &Scene, holder: &Line) {
    let resumed = holder.reinvite("sendrecv").await;
    resumed.expect("resume is accepted");
    expect_barge(scene).await;
}

async fn expect_barge(scene: &Scene) {
    scene
        .expect_ears(
            &[CUSTOMER_HZ, SUPERVISOR_HZ],
            &[AGENT_HZ, SUPERVISOR_HZ],
            "barge",
        )
        .await;
    wait_until("no music", || {
        !music(&scene.customer.media) && !music(&scene.agent.media)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_whom_the_agent_holds_hears_music_and_not_who_barged() {
    let (scene, mia) = barged("hold-barge", false).await;

    for direction in ["inactive", "sendonly"] {
        if direction == "sendonly" {
            scene.agent.media.say(Voice::Mute);
        }
        hold(&scene.agent, direction).await;
        wait_until("the customer hears music, and music alone", || {
            music(&scene.customer.media) && tones(&scene.customer.media).is_empty()
        })
        .await;
        wait_until("the supervisor does not hear who is held", || {
            tones(&mia.media).is_empty()
        })
        .await;

        // Roles may change meanwhile; the music goes on.
        for keys in ["5#", "6#"] {
            let rows = || audit_csv(&scene.service).matches(keys).count();
            let before = rows();
            press(&mia, keys).await;
            wait_until("the change is audited", || rows() > before).await;
            wait_until("the customer still hears music", || {
                music(&scene.customer.media) && tones(&scene.customer.media).is_empty()
            })
            .await;
        }

        scene.agent.media.say(Voice::Tone(AGENT_HZ));
        resume(&scene, &scene.agent).await;
    }
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_policy_lets_held_customers_be_heard_who_barged_talks_with_them() {
    let (scene, mia) = barged("hold-heard", true).await;

    hold(&scene.agent, "inactive").await;

    wait_until("customer and supervisor hear one another alone", || {
        tones(&scene.customer.media) == [SUPERVISOR_HZ] && tones(&mia.media) == [CUSTOMER_HZ]
    })
    .await;
    assert!(!music(&scene.customer.media));
    resume(&scene, &scene.agent).await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whom_the_customer_holds_hears_who_barged_or_else_music() {
    let (scene, mia) = barged("hold-customer", false).await;

    hold(&scene.customer, "inactive").await;
    wait_until("the agent hears the supervisor", || {
        tones(&scene.agent.media) == [SUPERVISOR_HZ] && !music(&scene.agent.media)
    })
    .await;
    press(&mia, "5#").await;
    wait_until("the agent hears music", || {
        music(&scene.agent.media) && tones(&scene.agent.media).is_empty()
    })
    .await;
    press(&mia, "6#").await;
    wait_until("the agent hears the supervisor again", || {
        tones(&scene.agent.media) == [SUPERVISOR_HZ] && !music(&scene.agent.media)
    })
    .await;
    resume(&scene, &scene.customer).await;
    stop(scene.service);
}
