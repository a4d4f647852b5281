//! Crowds of calls by a peer that is nobody of ours: `sipp`, from Debian's sip-tester.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use sottovoce::control::input::Signal;
use sottovoce::control::output::{SignalCommand, Target};

use crate::world::{World, answer};

const CALLS: usize = 200;

/// A port that is free now; sipp wants to be told one.
fn free_port(ip: &str) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).expect("a socket");
    socket.local_addr().expect("an address")
}

fn sipp(scenario: &str, at: SocketAddr, more: &[&str]) -> Child {
    Command::new("sipp")
        .args(["-sn", scenario, "-nostdin", "-timeout", "90"])
        .args(["-timeout_error", "-m", &CALLS.to_string()])
        .args(["-i", &at.ip().to_string(), "-p", &at.port().to_string()])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sipp is there: apt-get install sip-tester")
}

async fn succeeded(mut sipp: Child) -> bool {
    tokio::task::spawn_blocking(move || sipp.wait())
        .await
        .expect("waited")
        .expect("ended")
        .success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_at_once_are_answered_and_hang_up() {
    let mut world = World::with(std::time::Duration::from_millis(500), None, 4096).await;
    let node = world.udp.to_string();
    let callers = sipp(
        "uac",
        free_port("127.0.0.22"),
        &["-r", "200", "-l", "200", "-d", "1500", &node],
    );
    let callers = tokio::spawn(succeeded(callers));

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
    assert!(callers.await.expect("joined"), "sipp is content");
    world.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_phones_at_once_are_called_and_let_go() {
    let mut world = World::with(std::time::Duration::from_millis(500), None, 4096).await;
    let at = free_port("127.0.0.5");
    let phones = tokio::spawn(succeeded(sipp("uas", at, &[])));

    for _ in 0..CALLS {
        world.dial(Target::Uri(format!("sip:agent@{at}").into()));
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

    assert!(phones.await.expect("joined"), "sipp is content");
    world.is_empty().await;
}
