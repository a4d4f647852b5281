//! What the status and the next call sound like in a supervisor's ear.

use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::{Line, Phone};
use sottovoce::demo::stage::{self, Conversation};

use crate::scene::{
    AGENT_HZ, ASIDE_HZ, COLLEAGUE_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, audited_with, position,
    press, second_agent, stop, tones, wait_until,
};
use crate::words::{silent_after, spoken_after, wait_spoken};

const STATUSES: [&str; 5] = [
    "status-monitor",
    "status-coach",
    "status-whisper-caller",
    "status-barge",
    "status-takeover",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_tells_that_supervisor_alone_the_present_role_and_the_keys() {
    let scene = Scene::new("status").await;
    let mia = scene.supervise().await;
    let parties = [("agent", &scene.agent), ("customer", &scene.customer)];
    for line in [&mia, &scene.agent, &scene.customer] {
        line.media.say(Voice::Silence);
    }
    for (_, line) in parties {
        wait_until("nobody speaks", || tones(&line.media).is_empty()).await;
    }
    let began = parties.map(|(_, line)| position(&line.media));

    for (command, confirmed, status) in [
        ("5#", "listening", "status-monitor"),
        ("4#", "coaching", "status-coach"),
        ("8#", "whispering-caller", "status-whisper-caller"),
        ("6#", "everyone-hears", "status-barge"),
    ] {
        let from = position(&mia.media);
        press(&mia, command).await;
        wait_spoken(&mia.media, from, confirmed).await;
        let from = position(&mia.media);
        press(&mia, "9#").await;
        wait_spoken(&mia.media, from, "menu-keys").await;

        let said = STATUSES
            .into_iter()
            .filter(|stem| spoken_after(&mia.media, from, stem));
        assert_eq!(said.collect::<Vec<_>>(), [status], "after {command}");
    }

    for ((party, line), began) in parties.into_iter().zip(began) {
        assert!(silent_after(&line.media, began), "the {party} heard it too");
    }
    stop(scene.service);
}

/// Another call beside the scene's: agent 205 and a customer of the same office.
struct Other {
    call: Conversation,
    /// A phone that is dropped answers nothing more.
    _phone: Phone,
}

impl Other {
    async fn beside(scene: &Scene) -> Self {
        let mut phone = second_agent(&scene.service).await;
        let call = stage::converse(&scene.customer_phone, &mut phone, stage::SECOND_AGENT)
            .await
            .expect("customer and agent talk");
        let other = Self {
            call,
            _phone: phone,
        };
        other.say(Voice::Tone(ASIDE_HZ), Voice::Tone(COLLEAGUE_HZ));
        other
    }

    fn say(&self, customer: Voice, agent: Voice) {
        self.call.customer.media.say(customer);
        self.call.agent.media.say(agent);
    }
}

async fn hears_alone(mia: &Line, expected: [f32; 2], what: &str) {
    wait_until(what, || tones(&mia.media) == expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_leads_to_the_next_call_as_a_listener_and_says_so() {
    let scene = Scene::with("next", |setup| {
        setup.line("supervising", "agent_notice = \"silent\"")
    })
    .await;
    let other = Other::beside(&scene).await;
    let mia = scene
        .mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");
    press(&mia, "204#").await;
    hears_alone(&mia, [CUSTOMER_HZ, AGENT_HZ], "the call of 204").await;
    mia.media.say(Voice::Tone(SUPERVISOR_HZ));
    press(&mia, "4#").await;
    wait_until("204 is coached", || {
        tones(&scene.agent.media) == [CUSTOMER_HZ, SUPERVISOR_HZ]
    })
    .await;
    other.say(Voice::Silence, Voice::Silence);
    let parties = [&other.call.customer.media, &other.call.agent.media];
    for media in parties {
        wait_until("nobody speaks there", || tones(media).is_empty()).await;
    }
    let began = parties.map(|media| position(media));
    let from = position(&mia.media);

    press(&mia, "3#").await;

    wait_spoken(&mia.media, from, "next-call").await;
    wait_spoken(&mia.media, from, "listening").await;
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "the call that was left")
        .await;
    // The role did not come along, and what was said was said to her alone.
    for (media, began) in parties.into_iter().zip(began) {
        assert!(silent_after(media, began));
    }
    other.say(Voice::Tone(ASIDE_HZ), Voice::Tone(COLLEAGUE_HZ));
    hears_alone(&mia, [ASIDE_HZ, COLLEAGUE_HZ], "the call of 205").await;

    // After the last comes the first; and where there is one alone, that is said.
    press(&mia, "3#").await;
    hears_alone(&mia, [CUSTOMER_HZ, AGENT_HZ], "the call of 204 again").await;
    let ended = other.call.customer.hang_up().await;
    ended.expect("the other customer hangs up");
    other.call.agent.ended().await;
    scene.customer.media.say(Voice::Silence);
    scene.agent.media.say(Voice::Silence);
    wait_until("nobody speaks", || tones(&mia.media).is_empty()).await;
    let from = position(&mia.media);
    press(&mia, "3#").await;
    wait_spoken(&mia.media, from, "no-other-call").await;
    assert_eq!(audited_with(&scene.service, "action", "next"), 3);
    assert!(mia.state().ended.is_none());
    stop(scene.service);
}
