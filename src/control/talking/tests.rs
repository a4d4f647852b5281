//! Every state of a call × everything that may reach it, as a table in `fixtures/tables/call.txt`.
//! `UPDATE_TABLES=1 cargo test --lib` writes it anew; a change of behaviour is a line in the diff.

use std::fmt::Write as _;
use std::time::Duration;

use super::passed_on;
use crate::control::harness::descriptions::*;
use crate::control::harness::house::*;
use crate::control::harness::words::*;
use crate::control::input::{Consulted, Input, Signal};
use crate::control::output::Output;
use crate::id::{LegId, RequestId};
use crate::media::command::{Event, SeatRefusal};
use crate::media::dtmf::{Digit, DigitSource};
use crate::media::matrix::Seat;

#[test]
fn a_reason_is_passed_on_as_it_came() {
    let passed = passed_on(&"q.850 ;cause=16;text=\"Normal call clearing\"".into()).unwrap();

    assert_eq!(passed.protocol, "Q.850");
    assert_eq!(passed.cause, 16);
    assert_eq!(&*passed.text, "Normal call clearing");
    assert_eq!(passed_on(&"X-Mine;cause=1".into()), None);
    assert_eq!(passed_on(&"SIP;text=\"no cause\"".into()), None);
}

#[test]
fn whatever_happens_nothing_is_left_of_a_call_that_everybody_left() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut scene = match random.u8(0..4) {
            0 => dialling(),
            1 => talking(),
            2 => transferring(),
            _ => {
                let mut house = House::new();
                let caller = house.customer_calls("support");
                scene(house, caller, None)
            }
        };
        let signals = signals();

        for _ in 0..random.usize(1..40) {
            let legs: Vec<LegId> = scene.house.board.legs.keys().copied().collect();
            let Some(leg) = random.choice(&legs).copied() else {
                break;
            };
            let bridges = !scene.house.board.bridges.is_empty();
            match random.u8(0..10) {
                0 => scene
                    .house
                    .wait(Duration::from_millis(random.u64(0..20_000))),
                _ if bridges => {
                    let (_, signal) = signals[random.usize(0..signals.len())];
                    scene.house.input(signal(leg, &scene));
                }
                _ => {}
            }
        }
        for leg in scene.house.board.legs.keys().copied().collect::<Vec<_>>() {
            scene.house.signal(leg, Signal::Lost);
        }
        scene.house.wait(Duration::from_secs(120));

        scene.house.assert_empty();
    }
}

#[test]
fn every_state_answers_every_signal_as_the_table_says() {
    let mut table = String::new();
    for (state, build) in STATES {
        for (who, pick) in LEGS {
            let Some(_) = pick(&build()) else {
                continue;
            };
            writeln!(table, "{state}, {who}").unwrap();
            for (name, signal) in signals() {
                let mut scene = build();
                let leg = pick(&scene).unwrap();
                scene.house.forget();
                scene.house.input(signal(leg, &scene));
                writeln!(table, "    {name:<28} {}", outcome(&scene)).unwrap();
            }
        }
        let mut scene = build();
        scene.house.forget();
        scene.house.wait(Duration::from_secs(61));
        writeln!(table, "{state}, a minute later").unwrap();
        writeln!(table, "    {:<28} {}", "", outcome(&scene)).unwrap();
    }

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tables/call.txt");
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (line, (got, wanted)) in table.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, wanted, "line {} of call.txt", line + 1);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}

struct Scene {
    house: House,
    caller: LegId,
    callee: Option<LegId>,
    third: Option<LegId>,
}

type Build = fn() -> Scene;
type Pick = fn(&Scene) -> Option<LegId>;

const STATES: [(&str, Build); 9] = [
    ("Offered", offered),
    ("Dialling, opening", opening),
    ("Dialling", dialling),
    ("Dialling, ringing", ringing),
    ("Dialling, early media", early),
    ("Talking", talking),
    ("Talking, hold asked", hold_asked),
    ("Transferring", transferring),
    ("Clearing", clearing),
];

const LEGS: [(&str, Pick); 3] = [
    ("caller", |scene| Some(scene.caller)),
    ("callee", |scene| scene.callee),
    ("third", |scene| scene.third),
];

fn offered() -> Scene {
    let mut house = House::new();
    house.ports = Ports::Silent;
    let caller = house.customer_calls("204");
    scene(house, caller, None)
}

fn opening() -> Scene {
    let mut house = House::new();
    house.ports = Ports::Silent;
    let caller = house.customer_calls("204");
    let local = ([127, 0, 0, 1], 20_000).into();
    house.event(Event::Opened { leg: caller, local });
    let callee = house.board.legs.keys().copied().find(|leg| *leg != caller);
    scene(house, caller, callee)
}

fn dialling() -> Scene {
    let mut house = House::new();
    let caller = house.customer_calls("204");
    let callee = Some(house.only_dialled());
    scene(house, caller, callee)
}

fn ringing() -> Scene {
    progressed(None)
}

fn early() -> Scene {
    progressed(Some(pcma(5_000)))
}

fn progressed(sdp: Option<crate::wire::sdp::SessionDescription>) -> Scene {
    let mut scene = dialling();
    let status = 183;
    let leg = scene.callee.unwrap();
    scene.house.signal(leg, Signal::Progressed { status, sdp });
    scene
}

fn talking() -> Scene {
    let mut house = House::new();
    let (caller, callee) = house.talking();
    scene(house, caller, Some(callee))
}

fn hold_asked() -> Scene {
    let mut scene = talking();
    let request = RequestId(50);
    let sdp = Some(directed(5_000, "sendonly"));
    let leg = scene.callee.unwrap();
    scene.house.signal(leg, Signal::Reinvited { request, sdp });
    scene
}

fn transferring() -> Scene {
    let mut scene = talking();
    scene.house.forget();
    scene.house.signal(
        scene.callee.unwrap(),
        Signal::Referred {
            request: RequestId(51),
            target: "205".into(),
            consulted: None,
        },
    );
    scene.third = Some(scene.house.only_dialled());
    scene
}

fn clearing() -> Scene {
    let mut scene = talking();
    let reason = None;
    scene.house.signal(scene.caller, Signal::HungUp { reason });
    scene
}

fn scene(house: House, caller: LegId, callee: Option<LegId>) -> Scene {
    Scene {
        house,
        caller,
        callee,
        third: None,
    }
}

type Make = fn(LegId, &Scene) -> Input;

fn signals() -> Vec<(&'static str, Make)> {
    vec![
        ("Cancelled", |leg, _| signal(leg, Signal::Cancelled)),
        ("Acknowledged", |leg, _| {
            signal(leg, Signal::Acknowledged { sdp: None })
        }),
        ("NeverAcknowledged", |leg, _| {
            signal(leg, Signal::NeverAcknowledged)
        }),
        ("Progressed 180", |leg, _| {
            let (status, sdp) = (180, None);
            signal(leg, Signal::Progressed { status, sdp })
        }),
        ("Progressed 183 with media", |leg, _| {
            let (status, sdp) = (183, Some(pcma(6_000)));
            signal(leg, Signal::Progressed { status, sdp })
        }),
        ("Answered", |leg, _| {
            let sdp = Some(pcma(6_000));
            signal(leg, Signal::Answered { sdp })
        }),
        ("Failed 486", |leg, _| {
            let (status, reason) = (486, "Busy Here".into());
            signal(leg, Signal::Failed { status, reason })
        }),
        ("Reinvited, hold", |leg, _| {
            let (request, sdp) = (RequestId(60), Some(directed(6_000, "sendonly")));
            signal(leg, Signal::Reinvited { request, sdp })
        }),
        ("Reinvited, refresh", |leg, _| {
            let (request, sdp) = (RequestId(60), Some(pcma(6_000)));
            signal(leg, Signal::Reinvited { request, sdp })
        }),
        ("Reinvited, no offer", |leg, _| {
            let (request, sdp) = (RequestId(60), None);
            signal(leg, Signal::Reinvited { request, sdp })
        }),
        ("ReinviteAcknowledged", |leg, _| {
            let (request, sdp) = (RequestId(60), Some(pcma(6_000)));
            signal(leg, Signal::ReinviteAcknowledged { request, sdp })
        }),
        ("ReinviteAnswered 200", |leg, scene| {
            let result = Ok(Some(directed(6_000, "recvonly")));
            let request = asked(leg, scene);
            signal(leg, Signal::ReinviteAnswered { request, result })
        }),
        ("ReinviteAnswered 481", |leg, scene| {
            let result = Err(481);
            let request = asked(leg, scene);
            signal(leg, Signal::ReinviteAnswered { request, result })
        }),
        ("HungUp", |leg, _| {
            let reason = None;
            signal(leg, Signal::HungUp { reason })
        }),
        ("HangUpDone", |leg, _| signal(leg, Signal::HangUpDone)),
        ("KeyInfo", |leg, _| {
            let digit = Digit::STAR;
            signal(leg, Signal::KeyInfo { digit })
        }),
        ("Referred", |leg, _| referred(leg, None)),
        ("Referred, attended", |leg, _| {
            referred(leg, Some(Consulted::Elsewhere))
        }),
        ("Lost", |leg, _| signal(leg, Signal::Lost)),
        ("Opened", |leg, _| {
            let local = ([127, 0, 0, 1], 30_000).into();
            event(Event::Opened { leg, local })
        }),
        ("OpenFailed", |leg, _| event(Event::OpenFailed { leg })),
        ("SeatRefused", |leg, scene| {
            let bridge = *scene.house.board.bridges.keys().next().unwrap();
            let cause = SeatRefusal::NoSuchLeg;
            event(Event::SeatRefused { bridge, leg, cause })
        }),
        ("MediaSilent 30 s", |leg, _| {
            let lasting = Duration::from_secs(30);
            event(Event::MediaSilent { leg, lasting })
        }),
        ("MediaHeard", |leg, _| event(Event::MediaHeard { leg })),
        ("DigitPressed", |leg, _| {
            let (digit, source) = (Digit::STAR, DigitSource::Event);
            event(Event::DigitPressed { leg, digit, source })
        }),
        ("Seated", |leg, scene| {
            let bridge = *scene.house.board.bridges.keys().next().unwrap();
            let seat = Seat::USER;
            event(Event::Seated { bridge, leg, seat })
        }),
    ]
}

fn signal(leg: LegId, signal: Signal) -> Input {
    Input::Signal { leg, signal }
}

fn event(event: Event) -> Input {
    let shard = crate::id::ShardId(0);
    Input::Media { shard, event }
}

fn referred(leg: LegId, consulted: Option<Consulted>) -> Input {
    signal(
        leg,
        Signal::Referred {
            request: RequestId(61),
            target: "205".into(),
            consulted,
        },
    )
}

/// The request of our re-INVITE that waits on this leg, or one that nobody asked for.
fn asked(leg: LegId, scene: &Scene) -> RequestId {
    use crate::control::negotiation::Exchange;

    match scene
        .house
        .board
        .legs
        .get(&leg)
        .map(|leg| &leg.negotiation.exchange)
    {
        Some(Exchange::Ours { request, .. }) => *request,
        _ => RequestId(60),
    }
}

/// What was said, to whom, and the state that followed.
fn outcome(scene: &Scene) -> String {
    let mut line = String::new();
    for output in &scene.house.said {
        let Some(text) = describe(output) else {
            continue;
        };
        let to = match output {
            Output::Signal { leg, .. } if *leg == scene.caller => "caller ",
            Output::Signal { leg, .. } if Some(*leg) == scene.callee => "callee ",
            Output::Signal { leg, .. } if Some(*leg) == scene.third => "third ",
            Output::Signal { .. } => "new ",
            _ => "",
        };
        write!(line, "{to}{text}; ").unwrap();
    }
    let state = scene
        .house
        .board
        .calls
        .values()
        .next()
        .map_or("over", |call| call.state.name());
    format!("{line}→ {state}")
}
