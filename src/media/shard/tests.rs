//! Legs, commands and streams of a shard; the RTP towards each phone, by its own numbers.

use std::time::Duration;

use crate::media::codec::Codec;
use crate::media::command::{Command, ConveneRefusal, Event, SeatRefusal, Sound};
use crate::media::shard::harness::{
    BRIDGE, COACH, PUPIL, Speaks, USER, World, assert_unbroken, media_of, notice, seat,
};
use crate::wire::rtp::Header;

const G711: [Codec; 3] = [Codec::Pcmu; 3];

#[test]
fn the_streams_of_the_parties_run_on_unbroken_through_every_change() {
    for codec in [Codec::Pcmu, Codec::Opus, Codec::G722] {
        let mut world = World::talking([codec; 3]);
        world.run(101);
        world.command(Command::Convene { bridge: BRIDGE });
        world.seat(COACH, seat(COACH));
        for change in [
            World::monitor,
            World::coach,
            World::barge,
            World::monitor,
            World::barge,
            World::coach,
        ] {
            change(&mut world);
            world.run(333);
        }
        world.play(PUPIL, vec![notice()]);
        world.run(400);
        world.monitor();
        world.run(200);
        let leg = world.phones[COACH].leg;
        world.command(Command::Unseat { leg });
        world.rules(&[(USER, PUPIL), (PUPIL, USER)]);
        world.command(Command::Dissolve { bridge: BRIDGE });
        world.run(300);

        for party in [USER, PUPIL] {
            let received = &world.phones[party].received;
            assert!(received.len() > 150, "{codec:?}");
            assert_unbroken(received, codec.clock_hz() / 50);
            assert!(received[1..].iter().all(|packet| !packet.header.marker));
        }
        // The supervisor's own stream is one, too, from menu to call and back.
        assert_unbroken(&world.phones[COACH].received, codec.clock_hz() / 50);
    }
}

#[test]
fn a_codec_that_nobody_here_can_decode_is_relayed() {
    let mut world = World::talking([Codec::Opaque, Codec::Opaque, Codec::Pcmu]);
    world.forget();
    world.run(200);

    let received = world.phones[USER].received.iter();
    let payloads: Vec<_> = received.map(|packet| packet.payload.clone()).collect();
    assert_eq!(payloads, world.phones[PUPIL].sent);
    assert_unbroken(&world.phones[USER].received, 160);
}

#[test]
fn a_silent_source_that_passes_through_is_a_pause_in_the_stream() {
    let mut world = World::talking(G711);
    world.phones[PUPIL].speaks = Speaks::Nothing;
    world.run(1_000);
    world.phones[PUPIL].speaks = Speaks::Tone;
    world.run(200);

    let received = &world.phones[USER].received;
    let pauses: Vec<_> = received
        .windows(2)
        .map(|pair| {
            pair[1]
                .header
                .timestamp
                .wrapping_sub(pair[0].header.timestamp)
        })
        .filter(|units| *units != 160)
        .collect();
    assert_eq!(pauses, [51 * 160]);
    for pair in received.windows(2) {
        let step = pair[1]
            .header
            .sequence
            .wrapping_sub(pair[0].header.sequence);
        assert_eq!(step, 1);
    }
}

#[test]
fn while_a_phone_is_silent_a_stranger_gets_neither_its_ear_nor_its_mouth_nor_its_keys() {
    let stranger = "203.0.113.66:4000".parse().unwrap();
    let mut world = World::monitored(G711);
    world.run(200);
    let mut elsewhere = World::talking(G711);
    elsewhere.run(40);
    let said = elsewhere.phones[USER].received.clone();
    world.barge();
    world.phones[COACH].speaks = Speaks::Nothing;
    world.run(700);
    world.forget();

    // What the harness asserts of every packet out: it goes to the phone.
    for round in 0..100_u8 {
        let mut bytes = vec![0x80, 0, 0, round, 0, 0, round, 0, 0, 0, 0, 66];
        bytes.extend_from_slice(&said[0].payload);
        world.deliver_from(stranger, COACH, &mut bytes);
        let mut key = vec![0x80, 0x80 | 101, 1, round, 0, 0, 0, 0, 0, 0, 0, 66];
        key.extend_from_slice(&[1, 0x80, 3, 0x20]);
        world.deliver_from(stranger, COACH, &mut key);
        world.run(20);
    }

    assert_eq!(world.keys_of(COACH), []);
    assert_eq!(world.ears_of(USER), [PUPIL]);
    assert!(world.phones[COACH].received.len() >= 99);
}

#[test]
fn a_supervisor_in_no_call_hears_prompts_and_else_silence_that_keeps_the_line_open() {
    let mut world = World::empty();
    let phone = world.open(Codec::Opus);
    world.run(1_000);
    let quiet = world.phones[phone].received.len();

    world.play(phone, vec![notice()]);
    world.run(300);

    assert!((48..=51).contains(&quiet));
    assert!(world.level(phone, 2_400.0, 300) > -35.0);
    assert_unbroken(&world.phones[phone].received, 960);
}

#[test]
fn a_supervisor_moves_to_the_calls_shard_and_stays_the_same_stream() {
    let mut elsewhere = World::empty();
    let other = elsewhere.open(Codec::Pcmu);
    elsewhere.play(other, vec![Sound::HoldMusic]);
    elsewhere.run(500);
    let mut world = World::talking(G711);
    let mut mover = elsewhere.phones.remove(other);
    mover.tone_hz = 1_550.0;
    mover.header.ssrc = 77;

    let participant = elsewhere
        .shard
        .detach(elsewhere.now, mover.leg)
        .expect("it is there");
    elsewhere.drain();
    assert!(
        elsewhere
            .shard
            .poll_timeout()
            .is_none_or(|due| due > elsewhere.now)
    );
    // Both shards know the phone by the same leg; the one that sat here before makes room.
    let leg = world.phones[COACH].leg;
    world.command(Command::Close { leg });
    while world.shard.poll_closed().is_some() {}
    world.phones.remove(COACH);
    mover.slot = world.shard.attach(world.now, participant);
    world.phones.push(mover);
    world.drain();
    let mover = world.phones[COACH].leg;
    assert!(matches!(world.events.last(), Some(Event::Attached { leg }) if *leg == mover));
    world.command(Command::StopPlay { leg: mover });
    world.command(Command::Convene { bridge: BRIDGE });
    world.seat(COACH, seat(COACH));
    world.coach();
    world.run(1_000);

    assert!(matches!(
        elsewhere.events.last(),
        Some(Event::Detached { leg }) if *leg == mover
    ));
    assert_eq!(world.ears_of(COACH), [USER, PUPIL]);
    assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
    assert_unbroken(&world.phones[COACH].received, 160);
}

#[test]
fn a_seat_is_refused_for_its_own_cause() {
    let mut world = World::talking(G711);
    let refusal = |world: &World| {
        world.events.iter().rev().find_map(|event| match event {
            Event::SeatRefused { cause, .. } => Some(*cause),
            _ => None,
        })
    };

    world.seat(COACH, seat(COACH));
    assert_eq!(refusal(&world), Some(SeatRefusal::NotConvened));

    world.command(Command::Convene { bridge: BRIDGE });
    world.command(Command::ArmSeatFault { bridge: BRIDGE });
    world.seat(COACH, seat(COACH));
    assert_eq!(refusal(&world), Some(SeatRefusal::Fault));

    world.forget();
    world.seat(COACH, seat(COACH));
    assert_eq!(refusal(&world), None);

    let fourth = world.open(Codec::Opaque);
    world.seat(fourth, seat(fourth));
    assert_eq!(refusal(&world), Some(SeatRefusal::Codec));
    world.seat(fourth, seat(COACH));
    assert_eq!(refusal(&world), Some(SeatRefusal::Full));
}

#[test]
fn a_conference_is_refused_when_the_thread_is_busy_or_a_party_cannot_be_decoded() {
    let refusal = |world: &mut World| {
        world.events.clear();
        world.command(Command::Convene { bridge: BRIDGE });
        world.events.iter().find_map(|event| match event {
            Event::ConveneRefused { cause, .. } => Some(*cause),
            _ => None,
        })
    };
    let mut world = World::talking(G711);
    world.shard.note_load(0.9, 200_000.0);
    assert_eq!(refusal(&mut world), Some(ConveneRefusal::Admission));
    world.shard.note_load(0.5, 100_000.0);
    assert_eq!(refusal(&mut world), None);

    let mut relayed = World::talking([Codec::Opaque, Codec::Opaque, Codec::Pcmu]);
    assert_eq!(refusal(&mut relayed), Some(ConveneRefusal::Codec));
}

#[test]
fn another_codec_in_the_middle_of_a_call_keeps_the_stream() {
    let mut world = World::monitored(G711);
    world.coach();
    world.run(300);
    let leg = world.phones[PUPIL].leg;
    let remote = Some(world.phones[PUPIL].address);
    let before = world.phones[PUPIL].received.last().unwrap().header;
    world.phones[PUPIL].received.clear();

    world.phones[PUPIL].codec = Codec::Opus;
    let media = media_of(Codec::Opus, remote);
    world.command(Command::Configure { leg, media });
    world.phones[PUPIL].speaks = Speaks::Nothing;
    world.run(1_000);

    assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
    let received = &world.phones[PUPIL].received;
    assert_eq!(received[0].header.ssrc, before.ssrc);
    assert_eq!(received[0].header.sequence, before.sequence.wrapping_add(1));
    assert_unbroken(received, 960);
}

#[test]
fn a_closed_leg_leaves_nothing_behind() {
    let mut world = World::monitored(G711);
    for phone in 0..3 {
        let leg = world.phones[phone].leg;
        world.phones[phone].speaks = Speaks::Nothing;
        world.command(Command::Close { leg });
    }
    world.command(Command::CloseBridge { bridge: BRIDGE });

    let closed: Vec<_> = std::iter::from_fn(|| world.shard.poll_closed()).collect();
    let stats: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Closed { stats, .. } => Some(*stats),
            _ => None,
        })
        .collect();

    assert_eq!(closed.len(), 3);
    assert!(stats.iter().all(|stats| stats.packets_received > 70));
    assert!(stats.iter().all(|stats| stats.packets_lost == 0));
    assert!(world.phones.iter().all(|phone| !phone.rtcp.is_empty()));
    world.run(20_000);
    assert_eq!(world.shard.poll_timeout(), None);
}

#[test]
fn silence_is_told_and_so_is_its_end() {
    let mut world = World::talking(G711);
    let leg = world.phones[USER].leg;
    let after = [Some(Duration::from_secs(1)), Some(Duration::from_secs(3))];
    world.command(Command::WatchMedia { leg, after });
    world.forget();
    world.phones[USER].speaks = Speaks::Nothing;
    world.run(5_000);
    world.phones[USER].speaks = Speaks::Tone;
    world.run(100);

    let told: Vec<String> = world
        .events
        .iter()
        .map(|event| format!("{event:?}"))
        .collect();
    let expected = [
        Event::MediaSilent {
            leg,
            lasting: Duration::from_secs(1),
        },
        Event::MediaSilent {
            leg,
            lasting: Duration::from_secs(3),
        },
        Event::MediaHeard { leg },
    ];
    assert_eq!(told, expected.map(|event| format!("{event:?}")));
}

#[test]
fn packets_that_were_not_agreed_on_do_not_look_like_losses_to_the_other_party() {
    for role in [World::monitor, World::coach] {
        let mut world = World::monitored(G711);
        role(&mut world);
        world.run(500);
        world.forget();
        for _ in 0..50 {
            world.run(20);
            // Comfort noise between the packets of speech.
            let mut bytes = [0; 13];
            let header = Header {
                payload_type: 13,
                ..world.phones[USER].header
            };
            header.write(&[40], &mut bytes).unwrap();
            let sequence = &mut world.phones[USER].header.sequence;
            *sequence = sequence.wrapping_add(1);
            world.deliver(USER, &mut bytes);
        }

        for ear in [PUPIL, COACH] {
            assert_unbroken(&world.phones[ear].received, 160);
            assert!(world.ears_of(ear).contains(&USER));
        }
        assert!(world.level(COACH, 450.0, 900) > -19.0);
    }
}

#[test]
fn arbitrary_datagrams_change_nothing_for_anybody() {
    let mut world = World::monitored(G711);
    let mut random = fastrand::Rng::with_seed(6);
    world.forget();
    for _ in 0..20 {
        world.run(20);
        for _ in 0..200 {
            let mut bytes: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | *first & 0x3f;
            }
            // Not the payload types of this call: those would be its own phone speaking.
            if let Some(second) = bytes.get_mut(1) {
                *second = 0x20 | *second & 0x9f;
            }
            world.deliver(USER, &mut bytes);
        }
    }
    world.run(300);

    assert_eq!(world.ears_of(PUPIL), [USER]);
    assert_eq!(world.ears_of(COACH), [USER, PUPIL]);
    assert_unbroken(&world.phones[PUPIL].received, 160);
}

#[test]
fn a_shard_and_a_participant_can_change_threads() {
    fn movable<T: Send>() {}

    movable::<crate::media::shard::Shard>();
    movable::<Box<crate::media::participant::Participant>>();
}
