//! Crowds of calls by a peer that is nobody of ours: `sipp`, from Debian's sip-tester.

use std::time::Duration;

use sottovoce::control::input::Signal;
use sottovoce::control::output::{SignalCommand, Target};

use crate::common::folder::Folder;
use crate::common::sipp::{Sipp, free_port};
use crate::world::{World, answer};

const CALLS: usize = 200;

async fn assert_content(sipp: Sipp) {
    let waited = tokio::task::spawn_blocking(move || sipp.assert_content()).await;
    if let Err(error) = waited {
        std::panic::resume_unwind(error.into_panic());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_at_once_are_answered_and_hang_up() {
    let folder = Folder::new("callers");
    let mut world = World::with(Duration::from_millis(500), None, 4096).await;
    let node = world.udp.to_string();
    let calls = CALLS.to_string();
    let callers = Sipp::start(
        folder.path(),
        "callers",
        free_port("127.0.0.22"),
        &[
            "-sn", "uac", "-m", &calls, "-r", "200", "-l", "200", "-d", "1500", &node,
        ],
    );

    let (mut invited, mut hung_up) = (0, 0);
    while hung_up < CALLS {
        match world.signal().await {
            (leg, Signal::Invited(_)) => {
                invited += 1;
                world.sip.send(leg, SignalCommand::Ring);
                world.sip.send(leg, answer());
            }
            (_, Signal::HungUp { .. }) => hung_up += 1,
            (_, Signal::Acknowledged { .. }) => {}
            (_, other) => panic!("{other:?}"),
        }
    }

    assert_eq!(invited, CALLS);
    assert_content(callers).await;
    world.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_phones_at_once_are_called_and_let_go() {
    let folder = Folder::new("phones");
    let mut world = World::with(Duration::from_millis(500), None, 4096).await;
    let at = free_port("127.0.0.5");
    let calls = CALLS.to_string();
    let phones = Sipp::start(
        folder.path(),
        "phones",
        at,
        &["-sn", "uas", "-t", "t1", "-m", &calls],
    );
    let phones = tokio::task::spawn_blocking(|| phones.listening())
        .await
        .expect("sipp listens");

    for _ in 0..CALLS {
        world.dial(Target::Uri(format!("sip:agent@{at};transport=tcp").into()));
    }
    let mut done = 0;
    while done < CALLS {
        match world.signal().await {
            (leg, Signal::Answered { sdp }) => {
                assert!(sdp.is_some());
                world.sip.send(leg, SignalCommand::HangUp { reason: None });
            }
            (_, Signal::HangUpDone) => done += 1,
            (_, Signal::Progressed { status: 180, .. }) => {}
            (_, other) => panic!("{other:?}"),
        }
    }

    assert_content(phones).await;
    world.is_empty().await;
}
