//! Packets of every length that a phone may send (RFC 3551 §4.2: 0 to 200 ms), whatever was agreed:
//! each is heard whole, in every role, by parties and supervisor.

use std::time::Instant;

use crate::media::codec::Codec;
use crate::media::command::Command;
use crate::media::shard::harness::{BRIDGE, COACH, PUPIL, USER, World, level_db, seat};

const LENGTHS_MS: [u64; 10] = [10, 20, 30, 40, 50, 60, 80, 100, 120, 200];

const G711: [Codec; 3] = [Codec::Pcmu; 3];

#[test]
fn a_party_with_packets_of_any_length_is_heard_whole_in_every_role() {
    for length_ms in LENGTHS_MS {
        for talker in [USER, PUPIL] {
            let mut lengths_ms = [20; 3];
            lengths_ms[talker] = length_ms;
            all_roles(G711, lengths_ms, [20; 3]);
            all_roles(G711, lengths_ms, lengths_ms);
        }
    }
}

#[test]
fn parties_with_long_packets_both_hear_each_other_whole_in_every_role() {
    for length_ms in LENGTHS_MS {
        let lengths_ms = [length_ms, length_ms, 20];
        all_roles(G711, lengths_ms, [20; 3]);
        all_roles(G711, lengths_ms, lengths_ms);
    }
}

#[test]
fn a_supervisor_with_packets_of_any_length_is_heard_whole() {
    for length_ms in LENGTHS_MS {
        let lengths_ms = [20, 20, length_ms];
        all_roles(G711, lengths_ms, [20; 3]);
        all_roles(G711, lengths_ms, lengths_ms);
    }
}

#[test]
fn other_codecs_are_heard_whole_in_packets_of_any_length() {
    for codecs in [
        [Codec::G722, Codec::G722, Codec::Pcmu],
        [Codec::G722, Codec::Pcma, Codec::G722],
        [Codec::Opus, Codec::Opus, Codec::Pcmu],
        [Codec::Opus, Codec::Pcmu, Codec::Opus],
    ] {
        for length_ms in LENGTHS_MS {
            // Opus has no others (RFC 6716 §2.1.4), up to 120 ms in a packet.
            let is_of_opus = [10, 20, 40, 60, 80, 100, 120].contains(&length_ms);
            if codecs[USER] == Codec::Opus && !is_of_opus {
                continue;
            }
            all_roles(codecs, [length_ms, 20, 20], [length_ms, 20, 20]);
        }
    }
}

/// A call through all roles: who may be heard is heard whole, and nobody else; no stream breaks.
#[track_caller]
fn all_roles(codecs: [Codec; 3], lengths_ms: [u64; 3], agreed_ms: [u64; 3]) {
    let case = format!("{codecs:?} {lengths_ms:?} {agreed_ms:?}");
    let mut world = talking(codecs, lengths_ms, agreed_ms);
    let both: &[(usize, usize)] = &[(USER, PUPIL), (PUPIL, USER)];
    assert_whole(&mut world, both, &format!("{case} plain"));

    world.command(Command::Convene { bridge: BRIDGE });
    world.seat(COACH, seat(COACH));
    let listening = [both, &[(COACH, USER), (COACH, PUPIL)]].concat();
    let whispering = [&listening[..], &[(PUPIL, COACH)]].concat();
    let joined = [&whispering[..], &[(USER, COACH)]].concat();
    for (role, heard) in [
        ("monitor", &listening),
        ("coach", &whispering),
        ("barge", &joined),
        ("monitor again", &listening),
    ] {
        world.rules(heard);
        assert_whole(&mut world, heard, &format!("{case} {role}"));
    }
    for ear in [USER, PUPIL] {
        assert_runs_on(&world, ear, &case);
    }
}

/// Listens for 1.2 s: each pair hears, first the ear, then whom.
#[track_caller]
fn assert_whole(world: &mut World, pairs: &[(usize, usize)], case: &str) {
    world.run(1_500);
    let since = world.now;
    world.run(1_200);
    for ear in [USER, PUPIL, COACH] {
        let heard: Vec<usize> = pairs
            .iter()
            .filter(|(listener, _)| *listener == ear)
            .map(|(_, speaker)| *speaker)
            .collect();
        if heard.is_empty() {
            continue;
        }
        let samples = heard_since(world, ear, since);
        let missing = (8 * 1_200_i32 - samples.len() as i32) / 8;
        // A packet may have left just before.
        let longest = world.phones.iter().map(|phone| phone.ptime_ms).max();
        let longest = longest.unwrap_or(20) as i32;
        assert!(missing.abs() <= longest, "{case}: {ear} lacks {missing} ms");
        for (speaker, phone) in world.phones.iter().enumerate() {
            let level = level_db(&samples, phone.tone_hz);
            match heard.contains(&speaker) {
                // −18.3 is all of it.
                true => assert!(level > -19.5, "{case}: {ear} hears {speaker} at {level}"),
                false => assert!(level < -45.0, "{case}: {ear} hears {speaker} at {level}"),
            }
        }
        // What is no whole number of frames waits for the packet after it.
        let longest = (longest as u128).next_multiple_of(20) + 20;
        let arrivals = world.phones[ear].received.iter().map(|packet| packet.at);
        let arrivals: Vec<Instant> = arrivals.filter(|at| *at > since).collect();
        for pair in arrivals.windows(2) {
            let gap = (pair[1] - pair[0]).as_millis();
            assert!(gap <= longest, "{case}: {ear} waits for {gap} ms");
        }
    }
}

/// One SSRC, numbers one apart, and timestamps as far apart as the packets are long.
#[track_caller]
fn assert_runs_on(world: &World, ear: usize, case: &str) {
    let phone = &world.phones[ear];
    for (place, pair) in phone.received.windows(2).enumerate() {
        let (before, after) = (pair[0].header, pair[1].header);
        let units = phone.codec.payload_units(&pair[0].payload).unwrap();
        let step = after.timestamp.wrapping_sub(before.timestamp);
        assert_eq!(after.ssrc, before.ssrc, "{case}: {ear}");
        assert_eq!(
            after.sequence,
            before.sequence.wrapping_add(1),
            "{case}: {ear}"
        );
        assert_eq!(step, units, "{case}: {ear} at packet {place}");
    }
    // And it keeps the time of the wall.
    let (first, last) = (&phone.received[0], phone.received.last().unwrap());
    let media = last.header.timestamp.wrapping_sub(first.header.timestamp);
    let media_ms = i64::from(media) * 1_000 / i64::from(phone.codec.clock_hz());
    let wall_ms = (last.at - first.at).as_millis() as i64;
    let off = media_ms - wall_ms;
    assert!(off.abs() <= 60, "{case}: {ear} is {off} ms off");
}

fn heard_since(world: &World, ear: usize, since: Instant) -> Vec<i16> {
    let ms = (world.now - since).as_millis() as u64;
    world.heard(ear, ms)
}

/// A user and a pupil who talk, and a supervisor who is dialled in, with packets so long, and with
/// an agreement on packets so long.
fn talking(codecs: [Codec; 3], lengths_ms: [u64; 3], agreed_ms: [u64; 3]) -> World {
    let mut world = World::empty();
    for (number, codec) in codecs.into_iter().enumerate() {
        let phone = world.open(codec);
        world.phones[phone].ptime_ms = lengths_ms[number];
        world.reconfigure(phone, |media| media.ptime_ms = agreed_ms[number] as u16);
    }
    world.begin_talking();
    world
}
