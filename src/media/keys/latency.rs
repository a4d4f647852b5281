//! How long after the last key of a command the voice is in the ear that it opens, in virtual time:
//! packets of 20 ms, every phase of the phones against one another and against the wheel, and the
//! mix changed 2 ms after the key was recognised.

use std::time::Instant;

use crate::media::codec::Codec;
use crate::media::codec::decode::Decoder;
use crate::media::command::{Event, InBand, InBandWhen, KeyListening, KeyPassage};
use crate::media::dtmf::Digit;
use crate::media::frame::Rate;
use crate::media::shard::harness::{COACH, PUPIL, Speaks, USER, World};
use crate::media::tone::KeyTone;

/// What carrying an order from the key to the mixer takes.
const DECISION_MS: u64 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Event,
    InBand,
}

#[test]
fn after_a_telephone_event_the_voice_is_heard_within_60_ms() {
    let times = sweep(How::Event);

    println!("telephone-event: {times:?}");
    assert!(times[times.len() / 2] <= 55.0, "{times:?}");
    assert!(times[times.len() - 1] <= 80.0, "{times:?}");
    // Packetisation, and 20 ms that stay shut.
    assert!(times[0] >= 40.0, "{times:?}");
}

#[test]
fn after_a_key_in_band_the_voice_is_heard_within_120_ms() {
    let times = sweep(How::InBand);

    println!("in-band: {times:?}");
    assert!(times[times.len() / 2] <= 95.0, "{times:?}");
    assert!(times[times.len() - 1] <= 120.0, "{times:?}");
    // Packetisation, 20 ms that stay shut, and the look-ahead.
    assert!(times[0] >= 70.0, "{times:?}");
}

/// Milliseconds, the shortest first.
fn sweep(how: How) -> Vec<f64> {
    let mut times = Vec::new();
    for coach in (0..20).step_by(3) {
        for user in (0..20).step_by(3) {
            times.push(measure(how, [user, 7, coach]));
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

fn measure(how: How, phases_ms: [u64; 3]) -> f64 {
    let mut world = World::monitored_in_phase([Codec::Pcmu; 3], phases_ms);
    if how == How::InBand {
        world.reconfigure(COACH, |media| media.telephone_event = None);
    }
    world.listen(
        COACH,
        KeyListening {
            in_band: InBand::Role(InBandWhen::Auto),
            events: KeyPassage::Withhold,
        },
    );
    for party in [USER, PUPIL] {
        world.phones[party].speaks = Speaks::Silence;
    }
    world.run(1_000);

    press(&mut world, how, '4');
    world.run(80);
    world.forget();
    let ended = press(&mut world, how, '#');
    world.run(250);

    let mut decoder = Decoder::new(Codec::Pcmu, Rate::Narrow).unwrap();
    let heard = world.phones[PUPIL].received.iter().find_map(|packet| {
        let mut samples = [0; 160];
        decoder.decode(&packet.payload, &mut samples);
        let loud = samples.iter().position(|sample| sample.abs() > 200)?;
        Some((packet.at - ended).as_secs_f64() * 1_000.0 + loud as f64 / 8.0)
    });
    heard.expect("the voice is heard")
}

/// Holds a key for 100 ms, changes the mix when `#` is recognised, and says when the key ended.
fn press(world: &mut World, how: How, key: char) -> Instant {
    while world.phones[COACH].phase_ms != 1 {
        world.run(1);
    }
    match how {
        How::Event => world.phones[COACH].press(key, 5),
        How::InBand => {
            let tone = KeyTone::new(Digit::from_char(key).unwrap(), Rate::Narrow);
            world.phones[COACH].speaks = Speaks::Key(tone);
        }
    }
    let mut decided = None;
    for ms in 0..100 {
        world.run(1);
        let recognised = world
            .events
            .iter()
            .any(|event| matches!(event, Event::DigitPressed { .. }));
        if key == '#' && recognised && decided.is_none() {
            decided = Some(ms + DECISION_MS);
        }
        if decided == Some(ms) {
            world.coach();
        }
    }
    world.phones[COACH].speaks = Speaks::Tone;
    world.now
}
