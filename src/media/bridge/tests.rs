//! Who hears whom, measured in every role, under the fence, and on uneven lines.

use std::time::Duration;

use crate::id::PlayId;
use crate::media::codec::Codec;
use crate::media::command::{Command, Event, Sound};
use crate::media::matrix::Seat;
use crate::media::shard::harness::{
    BRIDGE, COACH, PUPIL, Speaks, USER, World, assert_unbroken, notice, seat,
};

const G711: [Codec; 3] = [Codec::Pcmu; 3];

#[test]
fn each_role_is_heard_by_exactly_the_ears_it_may_reach() {
    for codecs in [
        G711,
        [Codec::Pcmu, Codec::Pcma, Codec::Pcmu],
        [Codec::Opus, Codec::Opus, Codec::Pcmu],
        [Codec::Pcmu, Codec::Opus, Codec::Opus],
        [Codec::G722, Codec::Pcma, Codec::Opus],
    ] {
        let mut world = World::monitored(codecs);
        assert_eq!(world.ears_of(USER), [PUPIL], "{codecs:?}");
        assert_eq!(world.ears_of(PUPIL), [USER]);
        assert_eq!(world.ears_of(COACH), [USER, PUPIL]);

        world.coach();
        world.run(1_000);
        assert_eq!(world.ears_of(USER), [PUPIL], "{codecs:?}");
        assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
        assert_eq!(world.ears_of(COACH), [USER, PUPIL]);

        world.barge();
        world.run(1_000);
        assert_eq!(world.ears_of(USER), [PUPIL, COACH], "{codecs:?}");
        assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
        assert_eq!(world.ears_of(COACH), [USER, PUPIL]);

        world.monitor();
        world.run(1_000);
        assert_eq!(world.ears_of(USER), [PUPIL], "{codecs:?}");
        assert_eq!(world.ears_of(PUPIL), [USER]);

        // Taken over: the pupil's leg leaves.
        world.barge();
        world.run(250);
        let leg = world.phones[PUPIL].leg;
        world.command(Command::Close { leg });
        world.phones[PUPIL].speaks = Speaks::Nothing;
        world.rules(&[(USER, COACH), (COACH, USER)]);
        world.run(1_000);
        assert_eq!(world.ears_of(USER), [COACH], "{codecs:?}");
        assert_eq!(world.ears_of(COACH), [USER]);
        assert_eq!(world.shard.stats().fence_violations, 0);
    }
}

#[test]
fn a_call_that_is_only_listened_to_is_passed_through_byte_by_byte() {
    let mut world = World::talking(G711);
    world.forget();
    world.run(200);
    world.command(Command::Convene { bridge: BRIDGE });
    world.seat(COACH, seat(COACH));
    world.monitor();
    world.run(1_000);

    for (ear, mouth) in [(USER, PUPIL), (PUPIL, USER)] {
        let received: Vec<_> = world.phones[ear]
            .received
            .iter()
            .map(|packet| packet.payload.clone())
            .collect();
        assert_eq!(received, world.phones[mouth].sent);
    }
}

#[test]
fn a_wrong_matrix_is_silenced_by_the_fence() {
    let mut world = World::monitored(G711);
    let right = [
        (USER, PUPIL),
        (PUPIL, USER),
        (PUPIL, COACH),
        (COACH, USER),
        (COACH, PUPIL),
    ];
    let mut wrong = right.to_vec();
    wrong.push((USER, COACH));

    world.rules_against(&wrong, &right);
    world.run(1_000);

    assert_eq!(world.ears_of(USER), [PUPIL]);
    assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
    assert!(world.shard.stats().fence_violations > 40);
    let told = world.events.iter().filter(|event| {
        matches!(event, Event::FenceViolated { listener, speaker, .. }
            if *listener == Seat::USER && *speaker == seat(COACH))
    });
    assert_eq!(told.count(), 1);
}

#[test]
fn the_fence_stands_before_what_passes_through_as_well() {
    let mut world = World::talking(G711);

    world.rules_against(&[(USER, PUPIL), (PUPIL, USER)], &[(PUPIL, USER)]);
    world.forget();
    world.run(500);

    assert!(world.ears_of(USER).is_empty());
    assert_eq!(world.ears_of(PUPIL), [USER]);
    assert!(world.shard.stats().fence_violations > 20);
}

#[test]
fn the_fence_stands_before_a_supervisors_mix() {
    let mut world = World::monitored(G711);

    world.rules_against(
        &[(USER, PUPIL), (PUPIL, USER), (COACH, USER), (COACH, PUPIL)],
        &[(USER, PUPIL), (PUPIL, USER), (COACH, USER)],
    );
    world.run(1_000);

    assert_eq!(world.ears_of(COACH), [USER]);
}

#[test]
fn a_change_is_in_force_only_when_nobody_can_be_heard_any_more_who_was_taken_away() {
    let mut world = World::monitored(G711);
    world.barge();
    world.run(500);
    assert!(world.in_force(world.generation()));
    world.forget();

    world.monitor();
    let asked = world.now;
    while !world.in_force(world.generation()) {
        world.run(1);
    }

    assert!(world.now - asked <= Duration::from_millis(60));
    for phone in &mut world.phones {
        phone.received.clear();
    }
    world.run(500);
    for party in [USER, PUPIL] {
        assert!(world.level(party, 1_150.0, 500) < -70.0);
    }
}

#[test]
fn voices_come_and_go_without_a_click() {
    let mut world = World::monitored(G711);
    world.phones[USER].speaks = Speaks::Silence;
    world.phones[PUPIL].speaks = Speaks::Silence;
    world.run(500);
    world.forget();

    for _ in 0..10 {
        world.barge();
        world.run(211);
        world.monitor();
        world.run(207);
    }

    // The tone's own steepest step is its amplitude times its turn in a sample.
    let steepest = 4_000.0 * std::f64::consts::TAU * 1_150.0 / 8_000.0 * 1.1;
    let heard = world.heard(USER, 10_000);
    assert!(heard.iter().any(|sample| sample.abs() > 3_500));
    for pair in heard.windows(2) {
        assert!(f64::from(pair[1] - pair[0]).abs() < steepest);
    }
}

#[test]
fn the_notice_is_heard_by_the_pupil_alone_over_the_user_and_once() {
    let mut world = World::monitored(G711);
    world.forget();

    world.play(PUPIL, vec![notice()]);
    world.run(300);

    assert!(world.level(PUPIL, 2_400.0, 300) > -35.0);
    assert!(world.level(USER, 2_400.0, 300) < -60.0);
    assert!(world.level(COACH, 2_400.0, 300) < -60.0);
    assert!(world.ears_of(PUPIL).contains(&USER));
    let ended = Event::PlayEnded {
        leg: world.phones[PUPIL].leg,
        play: PlayId(1),
        completed: true,
    };
    let ended = format!("{ended:?}");
    let count = world.events.iter().filter(|it| format!("{it:?}") == ended);
    assert_eq!(count.count(), 1);
    world.forget();
    world.run(300);
    assert!(world.level(PUPIL, 2_400.0, 300) < -60.0);
    assert_eq!(
        world.phones[PUPIL].received.last().map(|it| &it.payload),
        world.phones[USER].sent.last()
    );
}

#[test]
fn a_prompt_lowers_the_call_by_nine_decibels_and_never_stops_it() {
    let mut world = World::monitored(G711);
    let before = world.level(COACH, 450.0, 400);

    world.play(COACH, vec![Sound::Pause(Duration::from_secs(2))]);
    world.run(1_000);
    let under = world.level(COACH, 450.0, 400);
    world.run(2_000);
    let after = world.level(COACH, 450.0, 400);

    assert!((before - under - 9.0).abs() < 1.0, "{before} {under}");
    assert!((before - after).abs() < 0.5);
}

#[test]
fn when_the_counterpart_falls_silent_the_coach_is_still_heard_at_an_even_pace() {
    let mut world = World::monitored(G711);
    world.coach();
    world.run(500);
    world.phones[USER].speaks = Speaks::Nothing;
    world.run(100);
    world.forget();

    world.run(1_000);

    assert_eq!(world.ears_of(PUPIL), [COACH]);
    let received = &world.phones[PUPIL].received;
    assert!((49..=51).contains(&received.len()));
    assert_unbroken(received, 160);

    world.phones[USER].speaks = Speaks::Tone;
    world.run(1_000);
    assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
}

#[test]
fn over_an_uneven_and_lossy_line_the_whispered_to_party_still_hears_both_at_an_even_pace() {
    for (jitter_ms, lost) in [(10, 0.0), (25, 0.0), (0, 0.02), (25, 0.02), (60, 0.05)] {
        let mut world = World::monitored(G711);
        world.coach();
        for phone in [USER, COACH] {
            world.phones[phone].line.jitter_ms = jitter_ms;
            world.phones[phone].line.lost = lost;
        }
        world.run(3_000);
        world.forget();

        world.run(20_000);

        assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
        let received = &world.phones[PUPIL].received;
        for pair in received.windows(2) {
            let (before, after) = (pair[0].header, pair[1].header);
            assert_eq!(after.sequence, before.sequence.wrapping_add(1));
            assert_eq!(after.timestamp.wrapping_sub(before.timestamp) % 160, 0);
        }
        let (first, last) = (received[0].header, received[received.len() - 1].header);
        let units = last.timestamp.wrapping_sub(first.timestamp);
        // The stream keeps the time of the wall, and nearly every frame of it is there.
        assert!((159_000..161_000).contains(&units), "{jitter_ms} {units}");
        assert!(
            received.len() > 990,
            "{jitter_ms} {lost}: {}",
            received.len()
        );
        // What it lacks in loudness is what was lost.
        for hz in [450.0, 1_150.0] {
            let level = world.level(PUPIL, hz, 20_000);
            assert!(level > -21.5, "{jitter_ms} {lost} {hz}: {level}");
        }
    }
}

#[test]
fn two_who_hear_the_same_are_sent_the_same_until_one_of_them_hears_more() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut world = World::monitored([Codec::Pcmu, Codec::Pcmu, codec]);
        let second = world.open(codec);
        world.seat(second, seat(second));
        world.rules(&[
            (USER, PUPIL),
            (PUPIL, USER),
            (COACH, USER),
            (COACH, PUPIL),
            (second, USER),
            (second, PUPIL),
        ]);
        world.run(500);
        world.forget();
        world.run(400);

        let payloads = |world: &World, phone: usize| -> Vec<Vec<u8>> {
            let received = world.phones[phone].received.iter();
            received.map(|packet| packet.payload.clone()).collect()
        };
        assert_eq!(payloads(&world, COACH), payloads(&world, second));

        world.play(second, vec![notice()]);
        world.run(500);
        assert!(world.level(second, 2_400.0, 500) > -35.0);
        assert!(world.level(COACH, 2_400.0, 500) < -60.0);
        world.run(500);
        for ear in [COACH, second] {
            assert_eq!(world.ears_of(ear), [USER, PUPIL], "{codec:?}");
            assert_unbroken(&world.phones[ear].received, codec.clock_hz() / 50);
        }
    }
}

/// A call with three supervisors, who all speak this codec.
fn three_listen(codec: Codec) -> (World, [usize; 3]) {
    let mut world = World::monitored([Codec::Pcmu, Codec::Pcmu, codec]);
    let [second, third] = [(); 2].map(|()| {
        let ear = world.open(codec);
        world.seat(ear, seat(ear));
        ear
    });
    (world, [COACH, second, third])
}

#[test]
fn each_mix_is_encoded_once_for_all_who_hear_it() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let (mut world, ears) = three_listen(codec);
        let mut pairs = vec![(USER, PUPIL), (PUPIL, USER)];
        pairs.extend(ears.iter().flat_map(|ear| [(*ear, USER), (*ear, PUPIL)]));

        for mixes in [1, 2] {
            world.rules(&pairs);
            world.run(500);
            world.forget();
            world.shard.stats();
            world.run(1_000);

            assert_eq!(world.shard.stats().encoded, mixes * 50, "{codec:?}");
            for ear in &ears {
                assert_eq!(world.phones[*ear].received.len(), 50);
            }
            // From now on the last of them hears one party alone.
            pairs.pop();
        }
    }
}

#[test]
fn a_mix_is_shared_though_another_is_made_between_its_listeners() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        let (mut world, ears) = three_listen(codec);
        let mut pairs = vec![(USER, PUPIL), (PUPIL, USER)];
        // By turns both parties and one of them.
        for (turn, ear) in ears.iter().enumerate() {
            pairs.push((*ear, USER));
            if turn % 2 == 0 {
                pairs.push((*ear, PUPIL));
            }
        }
        world.rules(&pairs);
        world.run(500);
        world.forget();
        world.shard.stats();
        world.run(1_000);

        assert_eq!(world.shard.stats().encoded, 2 * 50, "{codec:?}");
        let payloads = |ear: usize| -> Vec<&Vec<u8>> {
            let received = world.phones[ear].received.iter();
            received.map(|packet| &packet.payload).collect()
        };
        assert_eq!(payloads(ears[0]).len(), 50);
        assert_eq!(payloads(ears[0]), payloads(ears[2]), "{codec:?}");
        assert_ne!(payloads(ears[0]), payloads(ears[1]), "{codec:?}");
        for ear in [ears[0], ears[2]] {
            assert_eq!(world.ears_of(ear), [USER, PUPIL]);
        }
        assert_eq!(world.ears_of(ears[1]), [USER]);
    }
}

#[test]
fn what_a_mix_had_to_make_up_is_counted_while_the_call_goes_on() {
    let mut world = World::monitored(G711);
    world.coach();
    world.run(1_000);
    world.shard.stats();
    world.run(1_000);
    assert_eq!(world.shard.stats().concealed_frames, 0);

    for phone in [USER, COACH] {
        world.phones[phone].line.lost = 0.1;
    }
    world.run(2_000);
    let stats = world.shard.stats();
    assert!(stats.rtp_lost > 5, "{stats:?}");
    // What the user says is missed by two mixes: the supervisor's and the pupil's.
    let made_up = stats.concealed_frames;
    assert!(
        (stats.rtp_lost..=2 * stats.rtp_lost + 20).contains(&made_up),
        "{stats:?}"
    );
}

#[test]
fn a_thread_that_stood_still_for_a_moment_breaks_no_stream() {
    for (role, stops) in [
        (World::monitor as fn(&mut World), [30, 90, 150]),
        (World::coach, [30, 90, 150]),
        (World::barge, [120, 180, 250]),
    ] {
        let mut world = World::monitored(G711);
        role(&mut world);
        world.run(500);
        world.forget();

        for stop in stops {
            world.stand_still(stop);
            world.run(500);
        }

        for ear in [USER, PUPIL, COACH] {
            assert_unbroken(&world.phones[ear].received, 160);
        }
    }
}
