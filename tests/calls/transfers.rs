//! Transfers on real calls, where the agent asks somebody first.

use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::{Line, Phone, PhoneError};
use sottovoce::demo::stage;

use crate::scene::{
    AGENT_HZ, ASIDE_HZ, COLLEAGUE_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, answer_at, audit_csv,
    heard_after, position, press, second_agent, stop, tones, wait_until,
};

/// The agent, who has put the customer on hold, and a colleague.
struct Consultation {
    aside: Line,
    colleague: Line,
    /// A phone that is dropped answers nothing more.
    _phone: Phone,
}

/// The agent's phone holds the customer and calls 205 on a second line.
async fn consult(scene: &Scene) -> Consultation {
    let mut phone = second_agent(&scene.service).await;
    scene.hold().await;
    scene.agent.media.say(Voice::Silence);
    wait_until("the agent's first line hears nobody", || {
        tones(&scene.agent.media).is_empty()
    })
    .await;
    let (aside, colleague) = tokio::join!(
        scene.agent_phone.dial(stage::SECOND_AGENT),
        answer_at(&mut phone)
    );
    let aside = aside.expect("205 answers");
    aside.media.say(Voice::Tone(ASIDE_HZ));
    colleague.media.say(Voice::Tone(COLLEAGUE_HZ));
    wait_until("agent and colleague hear each other", || {
        tones(&aside.media) == [COLLEAGUE_HZ] && tones(&colleague.media) == [ASIDE_HZ]
    })
    .await;
    Consultation {
        aside,
        colleague,
        _phone: phone,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_consulted_colleague_is_told_stays_between_the_two() {
    let scene = Scene::new("consult").await;
    let mia = scene.supervise().await;
    let ears = [
        ("customer", &scene.customer.media),
        ("first line", &scene.agent.media),
        ("supervisor", &mia.media),
    ]
    .map(|(who, media)| (who, media, position(media)));
    let consultation = consult(&scene).await;

    // The supervisor speaks to the agent of the call that is held, and not to the other line.
    press(&mia, "4#").await;
    wait_until("4# is audited", || audit_csv(&scene.service).contains("4#")).await;
    consultation
        .aside
        .hang_up()
        .await
        .expect("the agent ends it");
    consultation.colleague.ended().await;
    for (who, media, began) in ears {
        let heard = heard_after(media, began);
        for hz in [ASIDE_HZ, COLLEAGUE_HZ] {
            assert!(!heard.contains(&hz), "the {who} heard the consultation");
        }
    }
    for line in [&consultation.aside, &consultation.colleague] {
        let heard = heard_after(&line.media, 0);
        for hz in [CUSTOMER_HZ, SUPERVISOR_HZ] {
            assert!(!heard.contains(&hz), "{hz} Hz came into the consultation");
        }
    }

    scene.resume().await;
    scene.agent.media.say(Voice::Tone(AGENT_HZ));
    scene
        .expect_ears(
            &[CUSTOMER_HZ, SUPERVISOR_HZ],
            &[AGENT_HZ],
            "back with the customer, and coached",
        )
        .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attended_transfer_puts_the_colleague_in_the_agents_place() {
    let scene = Scene::with("attended", |setup| {
        setup.line("supervising", "follow_customer = true")
    })
    .await;
    let mia = scene.supervise().await;
    press(&mia, "4#").await;
    scene
        .expect_ears(&[CUSTOMER_HZ, SUPERVISOR_HZ], &[AGENT_HZ], "coach")
        .await;
    let Consultation {
        aside,
        colleague,
        _phone,
    } = consult(&scene).await;

    scene
        .agent
        .refer_to_consulted(stage::SECOND_AGENT, &aside)
        .await
        .expect("202");

    scene.agent.ended().await;
    aside.ended().await;
    wait_until("the agent's phone is told that it worked", || {
        scene.agent.state().transfer.contains(&200)
    })
    .await;
    // The session has moved along, and begins again as a monitor's.
    wait_until("customer and colleague hear each other alone", || {
        tones(&scene.customer.media) == [COLLEAGUE_HZ] && tones(&colleague.media) == [CUSTOMER_HZ]
    })
    .await;
    wait_until("the supervisor hears both", || {
        tones(&mia.media) == [CUSTOMER_HZ, COLLEAGUE_HZ]
    })
    .await;
    press(&mia, "4#").await;
    wait_until("the colleague is coached", || {
        tones(&colleague.media) == [CUSTOMER_HZ, SUPERVISOR_HZ]
    })
    .await;
    assert_eq!(tones(&scene.customer.media), [COLLEAGUE_HZ]);
    colleague.hang_up().await.expect("hangs up");
    scene.customer.ended().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attended_transfer_that_cannot_be_leaves_both_calls_as_they_were() {
    let scene = Scene::new("attended-not").await;
    let consultation = consult(&scene).await;
    let elsewhere = format!(
        "sip:205@{}?Replaces=nobody%3Bto-tag%3D1%3Bfrom-tag%3D2",
        scene.service.sip
    );

    let unknown = scene.agent.refer(&elsewhere).await;
    let by_customer = scene
        .customer
        .refer_to_consulted(stage::SECOND_AGENT, &consultation.aside)
        .await;
    let to_itself = scene
        .agent
        .refer_to_consulted(stage::SECOND_AGENT, &scene.agent)
        .await;

    assert!(matches!(unknown, Err(PhoneError::Refused(501))));
    assert!(matches!(by_customer, Err(PhoneError::Refused(603))));
    assert!(matches!(to_itself, Err(PhoneError::Refused(603))));
    wait_until("agent and colleague still hear each other", || {
        tones(&consultation.aside.media) == [COLLEAGUE_HZ]
            && tones(&consultation.colleague.media) == [ASIDE_HZ]
    })
    .await;
    scene.resume().await;
    scene.agent.media.say(Voice::Tone(AGENT_HZ));
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "the customer is still there")
        .await;
    stop(scene.service);
}
