//! Parties whose packets are longer than was agreed: a receiver should accept 0 to 200 ms (RFC 3551
//! §4.2).

use sottovoce::demo::media::Media;

use crate::scene::{AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, press, stop, tones, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_packets_are_heard_in_every_role_and_break_no_stream() {
    let scene = Scene::new("lengths").await;
    let mia = scene.supervise().await;

    for frames in [3, 10] {
        for (customer, agent) in [(frames, 1), (1, frames), (frames, frames)] {
            scene.customer.media.gather(customer);
            scene.agent.media.gather(agent);
            let roles: [(&str, &[f32], &[f32]); 3] = [
                ("4#", &[CUSTOMER_HZ, SUPERVISOR_HZ], &[AGENT_HZ]),
                (
                    "6#",
                    &[CUSTOMER_HZ, SUPERVISOR_HZ],
                    &[AGENT_HZ, SUPERVISOR_HZ],
                ),
                ("5#", &[CUSTOMER_HZ], &[AGENT_HZ]),
            ];
            for (keys, at_agent, at_customer) in roles {
                press(&mia, keys).await;
                let case = format!("{keys} with packets of {customer} and {agent} frames");
                scene.expect_ears(at_agent, at_customer, &case).await;
                wait_until(&format!("the supervisor hears both: {case}"), || {
                    tones(&mia.media) == [CUSTOMER_HZ, AGENT_HZ]
                })
                .await;
            }
        }
    }

    for media in [&scene.agent.media, &scene.customer.media, &mia.media] {
        assert_runs_on(media);
    }
    stop(scene.service);
}

/// One SSRC, and numbers one apart.
#[track_caller]
fn assert_runs_on(media: &Media) {
    for pair in media.packets().windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
}
