//! Calls without any supervisor.

use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::{Line, Phone, PhoneConfig, PhoneError};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage::{self, MOBILE, OFFICE};

use crate::scene::{
    AGENT_HZ, COLLEAGUE_HZ, CUSTOMER_HZ, Folder, Scene, agent, answer_at, hears, phone,
    second_agent, setup, start, stop, tones, wait_until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_by_either_party_ends_the_other_side() {
    let scene = Scene::new("hang-up-customer").await;
    scene
        .customer
        .hang_up()
        .await
        .expect("the customer hangs up");
    scene.agent.ended().await;
    stop(scene.service);

    let scene = Scene::new("hang-up-agent").await;
    scene.agent.hang_up().await.expect("the agent hangs up");
    scene.customer.ended().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_cancel_and_unknown_numbers_are_answered_as_a_phone_expects() {
    let folder = Folder::new("statuses");
    let service = start(&setup(&folder));
    let customer = phone(&service, "+358501112222", OFFICE).await;

    // Nobody has registered 204 yet.
    assert!(matches!(
        customer.dial("204").await,
        Err(PhoneError::Refused(480))
    ));
    assert!(matches!(
        customer.dial("nobody").await,
        Err(PhoneError::Refused(404))
    ));

    let mut agent = agent(&service).await;
    let dialling = customer.start_dialling("204").await.expect("dialling");
    agent
        .incoming()
        .await
        .expect("it rings")
        .reject(486)
        .await
        .expect("busy");
    assert!(matches!(
        dialling.answered().await,
        Err(PhoneError::Refused(486))
    ));

    let dialling = customer.start_dialling("204").await.expect("dialling");
    let mut incoming = agent.incoming().await.expect("it rings");
    incoming.ring().await.expect("180");
    let mut status = dialling.status.clone();
    status
        .wait_for(|status| *status == 180)
        .await
        .expect("180 reaches the caller");
    let (cancelled, caller) = tokio::join!(incoming.cancelled(), dialling.cancel());
    assert!(cancelled.is_some(), "CANCEL reaches the agent");
    assert!(matches!(caller, Err(PhoneError::Refused(487))));
    stop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_called_phone_plays_before_it_answers_is_heard() {
    let folder = Folder::new("early");
    let service = start(&setup(&folder));
    let customer = phone(&service, "+358501112222", OFFICE).await;
    let mut agent = agent(&service).await;
    let dialling = customer.start_dialling("204").await.expect("dialling");
    let mut incoming = agent.incoming().await.expect("it rings");

    incoming
        .progress(Voice::Tone(AGENT_HZ))
        .await
        .expect("183 with sound");
    wait_until("the caller hears it", || {
        tones(&dialling.media) == [AGENT_HZ]
    })
    .await;
    assert_eq!(*dialling.status.borrow(), 183);

    let (line, answered) = tokio::join!(incoming.answer(), dialling.answered());
    let (agent, customer) = (line.expect("answered"), answered.expect("answered"));
    customer.media.say(Voice::Tone(CUSTOMER_HZ));
    wait_until("both hear each other on the same media", || {
        tones(&customer.media) == [AGENT_HZ] && tones(&agent.media) == [CUSTOMER_HZ]
    })
    .await;
    stop_after(service, &[&customer]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_external_trunk_is_no_way_out_through_an_external_trunk() {
    let folder = Folder::new("relay");
    let service = start(&setup(&folder));
    let stranger = phone(&service, "+4912345678", MOBILE).await;

    let refused = stranger.dial("+442071234567").await;

    assert!(
        matches!(refused, Err(PhoneError::Refused(403 | 404))),
        "{:?}",
        refused.err()
    );
    stop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_hold_is_relayed_and_taken_back() {
    let scene = Scene::new("hold").await;
    scene.hold().await;
    let state = scene
        .customer
        .wait_for(|state| state.reinvites == 1)
        .await
        .expect("relayed");
    assert_eq!(state.direction.as_deref(), Some("sendonly"));
    wait_until("the agent hears nobody", || {
        !hears(&scene.agent.media, CUSTOMER_HZ)
    })
    .await;

    scene.resume().await;
    wait_until("both hear each other again", || {
        tones(&scene.agent.media) == [CUSTOMER_HZ] && tones(&scene.customer.media) == [AGENT_HZ]
    })
    .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blind_transfer_moves_the_customer_to_the_new_agent() {
    let scene = Scene::new("transfer").await;
    let mut second = second_agent(&scene.service).await;
    let target = format!("sip:205@{}", scene.service.sip);
    let (referred, line) = tokio::join!(scene.agent.refer(&target), answer_at(&mut second));
    referred.expect("202");
    line.media.say(Voice::Tone(COLLEAGUE_HZ));
    scene.agent.ended().await;

    wait_until("customer and new agent hear each other", || {
        tones(&scene.customer.media) == [COLLEAGUE_HZ] && tones(&line.media) == [CUSTOMER_HZ]
    })
    .await;
    wait_until("the agent's phone is told that it worked", || {
        scene.agent.state().transfer.contains(&200)
    })
    .await;
    let told = scene.agent.state().transfer;
    let tried = told.iter().filter(|status| **status == 100).count();
    assert_eq!(tried, 1, "100 once: {told:?}");
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_to_nowhere_leaves_the_call_as_it_was() {
    let scene = Scene::new("transfer-nowhere").await;
    let nowhere = format!("sip:299@{}", scene.service.sip);

    // Accepted and then failed, or refused at once: never half done.
    if scene.agent.refer(&nowhere).await.is_ok() {
        wait_until("the agent's phone is told that it failed", || {
            let told = scene.agent.state().transfer;
            told.iter().any(|status| *status >= 300)
        })
        .await;
    }

    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "after a transfer to nowhere")
        .await;
    assert!(scene.agent.state().ended.is_none());
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_calls_out_and_is_supervised_too() {
    let folder = Folder::new("outbound");
    let mut setup = setup(&folder);
    // The far end answers on the port that the trunk names.
    setup.trunks = setup.trunks.replace(
        &format!("uri = \"sip:{MOBILE}:5060\""),
        &format!("uri = \"sip:{MOBILE}:15062\""),
    );
    let service = start(&setup);
    let mut config = PhoneConfig::new("+442071234567", MOBILE, service.sip);
    config.port = 15_062;
    let mut far = Phone::start(config).await.expect("a phone");
    let agent = agent(&service).await;
    let (agent_line, far_line) = tokio::join!(agent.dial("+442071234567"), answer_at(&mut far));
    let agent_line = agent_line.expect("the agent's call is answered");
    agent_line.media.say(Voice::Tone(AGENT_HZ));
    far_line.media.say(Voice::Tone(CUSTOMER_HZ));
    let mia = phone(&service, stage::MIA, MOBILE).await;
    let line = mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");

    wait_until("the supervisor hears both", || {
        hears(&line.media, AGENT_HZ) && hears(&line.media, CUSTOMER_HZ)
    })
    .await;
    stop_after(service, &[&line, &agent_line]).await;
}

async fn stop_after(service: Service, lines: &[&Line]) {
    for line in lines {
        line.hang_up().await.expect("hangs up");
    }
    stop(service);
}
