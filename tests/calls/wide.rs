//! G.722 between customer and agent, and a supervisor whose phone has G.711 alone.

use sottovoce::demo::measure::breaks;
use sottovoce::demo::media::{Codec, Media};

use crate::scene::{AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, press, stop, tones, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_with_pcmu_coaches_an_agent_who_speaks_g722() {
    let scene = Scene::speaking("wide", Codec::G722).await;
    let mia = scene.supervise().await;
    wait_until("the supervisor hears both parties", || {
        tones(&mia.media) == [CUSTOMER_HZ, AGENT_HZ]
    })
    .await;

    let steps: [(&str, &[f32], &[f32]); 3] = [
        ("4#", &[CUSTOMER_HZ, SUPERVISOR_HZ], &[AGENT_HZ]),
        ("8#", &[CUSTOMER_HZ], &[AGENT_HZ, SUPERVISOR_HZ]),
        ("4#", &[CUSTOMER_HZ, SUPERVISOR_HZ], &[AGENT_HZ]),
    ];
    for (keys, agent, customer) in steps {
        press(&mia, keys).await;
        scene.expect_ears(agent, customer, keys).await;
    }
    wait_until("the supervisor still hears both parties", || {
        tones(&mia.media) == [CUSTOMER_HZ, AGENT_HZ]
    })
    .await;

    assert_eq!(codings(&mia.media), [Codec::Pcmu.payload_type()]);
    for line in [&scene.agent, &scene.customer] {
        assert_eq!(codings(&line.media), [Codec::G722.payload_type()]);
        let breaks = breaks(&line.media.packets());
        assert!(breaks.is_empty(), "{breaks:?}");
        assert_eq!(line.media.events_heard(), 0);
    }
    mia.hang_up().await.expect("the supervisor hangs up");
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "after the supervisor has left")
        .await;
    stop(scene.service);
}

/// Payload types of what came, each once.
fn codings(media: &Media) -> Vec<u8> {
    let packets = media.packets();
    let mut types: Vec<u8> = packets.iter().map(|it| it.payload_type).collect();
    types.sort_unstable();
    types.dedup();
    types
}
