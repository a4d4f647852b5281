//! Keys of parties and supervisors, by event and by tone, as the shard treats them.

use crate::media::codec::Codec;
use crate::media::command::{
    Event, InBand, InBandWhen, KeyListening, KeyPassage, TelephoneEventFormat,
};
use crate::media::dtmf::{Digit, DigitSource};
use crate::media::shard::harness::{COACH, PUPIL, Received, Speaks, USER, World};
use crate::media::tone::frequencies;
use crate::wire::telephone_event::TelephoneEvent;

const G711: [Codec; 3] = [Codec::Pcmu; 3];

const WITHHOLD: KeyListening = KeyListening {
    in_band: InBand::Role(InBandWhen::Auto),
    events: KeyPassage::Withhold,
};

#[test]
fn a_partys_key_passes_to_the_other_party_once_and_in_the_same_numbering() {
    let mut world = World::talking(G711);
    world.forget();

    world.phones[USER].press('5', 6);
    world.run(400);

    let events = events_of(&world, PUPIL);
    assert_eq!(events.len(), 8);
    assert!(events.iter().all(|(_, report)| report.event == 5));
    let first = events[0].0.header;
    assert!(first.marker);
    assert!(
        events
            .iter()
            .all(|(it, _)| it.header.timestamp == first.timestamp)
    );
    assert_eq!(events[7].1.duration, 6 * 160);
    assert!(events[5..].iter().all(|(_, report)| report.end));
    assert_numbered(&world.phones[PUPIL].received);
    assert_eq!(world.keys_of(USER), []);
    assert!(events_of(&world, COACH).is_empty());
}

#[test]
fn a_partys_key_is_reported_where_that_is_asked_for() {
    let mut world = World::talking(G711);
    world.listen(
        PUPIL,
        KeyListening {
            in_band: InBand::Off,
            events: KeyPassage::Pass { report: true },
        },
    );

    world.phones[PUPIL].press('*', 4);
    world.run(300);

    assert_eq!(world.keys_of(PUPIL), [('*', DigitSource::Event)]);
    assert_eq!(events_of(&world, USER).len(), 6);
}

#[test]
fn a_withheld_key_reaches_nobody_and_does_not_look_like_a_loss() {
    let mut world = World::talking(G711);
    world.listen(PUPIL, WITHHOLD);
    world.forget();

    world.phones[PUPIL].press('4', 5);
    world.run(400);

    assert_eq!(world.keys_of(PUPIL), [('4', DigitSource::Event)]);
    assert!(events_of(&world, USER).is_empty());
    assert_numbered(&world.phones[USER].received);
}

#[test]
fn a_supervisors_keys_pass_to_nobody_in_any_role() {
    for role in [World::monitor, World::coach, World::barge] {
        let mut world = World::monitored(G711);
        world.listen(COACH, WITHHOLD);
        role(&mut world);
        world.run(300);

        world.phones[COACH].press('4', 5);
        world.run(200);
        world.phones[COACH].press('#', 5);
        world.run(400);

        let event = DigitSource::Event;
        assert_eq!(world.keys_of(COACH), [('4', event), ('#', event)]);
        assert!(events_of(&world, USER).is_empty());
        assert!(events_of(&world, PUPIL).is_empty());
    }
}

#[test]
fn a_key_is_told_in_the_clock_of_the_one_who_is_told() {
    let mut world = World::talking([Codec::Opus, Codec::Pcmu, Codec::Pcmu]);
    world.forget();

    world.phones[USER].press('7', 5);
    world.run(400);
    world.phones[PUPIL].press('8', 5);
    world.run(400);

    let at_pupil = events_of(&world, PUPIL);
    assert_eq!(
        at_pupil.last().map(|(_, report)| report.duration),
        Some(5 * 160)
    );
    let at_user = events_of(&world, USER);
    assert_eq!(
        at_user.last().map(|(_, report)| report.duration),
        Some(5 * 960)
    );
    for party in [USER, PUPIL] {
        assert_numbered(&world.phones[party].received);
    }
}

#[test]
fn a_key_is_numbered_as_the_one_who_is_told_asked_for() {
    let mut world = World::talking(G711);
    world.reconfigure(PUPIL, |media| {
        media.telephone_event = Some(TelephoneEventFormat {
            payload_type: 96,
            clock_rate_hz: 8_000,
        });
    });
    world.forget();

    world.phones[USER].press('1', 4);
    world.run(300);

    let received = &world.phones[PUPIL].received;
    let told = received.iter().filter(|it| it.header.payload_type == 96);
    assert_eq!(told.count(), 6);
}

#[test]
fn who_takes_no_events_hears_the_key_as_a_tone_for_as_long_as_it_is_held() {
    let mut world = World::talking(G711);
    world.reconfigure(PUPIL, |media| media.telephone_event = None);
    world.run(100);
    world.forget();

    world.phones[USER].press('3', 10);
    world.run(200);
    let (row, column) = frequencies(Digit::from_char('3').unwrap());
    assert!(world.level(PUPIL, f64::from(row), 150) > -25.0);
    assert!(world.level(PUPIL, f64::from(column), 150) > -25.0);

    world.run(400);
    assert!(world.level(PUPIL, f64::from(row), 150) < -50.0);
    assert_eq!(world.ears_of(PUPIL), [USER]);
    assert!(events_of(&world, PUPIL).is_empty());
}

#[test]
fn tones_count_at_once_where_no_events_were_negotiated_and_reach_nobody() {
    for codecs in [G711, [Codec::Opus, Codec::Opus, Codec::Pcmu]] {
        let mut world = World::monitored(codecs);
        world.reconfigure(COACH, |media| media.telephone_event = None);
        world.listen(COACH, WITHHOLD);
        world.barge();
        world.phones[COACH].speaks = Speaks::Silence;
        for party in [USER, PUPIL] {
            world.phones[party].speaks = Speaks::Silence;
        }
        world.run(1_000);
        world.forget();

        world.say_key(COACH, '4', 100);
        world.run(20);
        assert_eq!(world.keys_of(COACH), [('4', DigitSource::InBand)]);
        world.run(300);

        let (row, column) = frequencies(Digit::from_char('4').unwrap());
        for party in [USER, PUPIL] {
            for hz in [row, column] {
                let level = world.level(party, f64::from(hz), 400);
                assert!(level < -60.0, "{codecs:?} {hz}: {level}");
            }
        }
    }
}

#[test]
fn a_voice_without_keys_passes_the_clamp() {
    let mut world = World::monitored(G711);
    world.reconfigure(COACH, |media| media.telephone_event = None);
    world.listen(COACH, WITHHOLD);
    world.coach();
    world.run(1_000);

    assert_eq!(world.ears_of(PUPIL), [USER, COACH]);
    assert_eq!(world.ears_of(USER), [PUPIL]);
}

#[test]
fn a_phone_that_agreed_to_events_and_sends_tones_is_found_out_by_its_first_key() {
    let mut world = World::monitored(G711);
    world.listen(COACH, WITHHOLD);
    world.phones[COACH].speaks = Speaks::Silence;
    world.run(500);

    world.say_key(COACH, '5', 100);
    world.run(100);
    assert_eq!(world.keys_of(COACH), []);
    world.run(200);
    assert_eq!(world.keys_of(COACH), [('5', DigitSource::InBand)]);

    world.say_key(COACH, '#', 100);
    world.run(40);
    assert_eq!(world.keys_of(COACH).len(), 2);
}

#[test]
fn a_tone_beside_an_event_is_neither_counted_nor_heard() {
    let mut world = World::monitored(G711);
    world.listen(COACH, WITHHOLD);
    world.barge();
    for phone in &mut world.phones {
        phone.speaks = Speaks::Silence;
    }
    world.run(500);
    world.forget();

    // The gateway lets 60 ms of the tone through before it has recognised the key.
    world.say_key(COACH, '6', 60);
    world.phones[COACH].press('6', 5);
    world.run(600);

    assert_eq!(world.keys_of(COACH), [('6', DigitSource::Event)]);
    let (row, _) = frequencies(Digit::from_char('6').unwrap());
    for party in [USER, PUPIL] {
        let level = world.level(party, f64::from(row), 600);
        assert!(level < -50.0, "{level}");
    }
}

#[test]
fn a_tone_after_an_event_is_not_heard_either() {
    for voice in [Speaks::Silence, Speaks::Tone] {
        let mut world = World::monitored(G711);
        world.listen(COACH, WITHHOLD);
        world.phones[COACH].speaks = Speaks::Silence;
        world.phones[COACH].press('6', 5);
        world.run(200);
        world.barge();
        for party in [USER, PUPIL] {
            world.phones[party].speaks = Speaks::Silence;
        }
        world.phones[COACH].speaks = voice;
        world.run(1_000);
        world.forget();

        let mut spoken = 0;
        for (key, milliseconds) in [('1', 40), ('5', 60), ('9', 200), ('D', 500)] {
            world.say_key(COACH, key, milliseconds);
            world.phones[COACH].speaks = Speaks::Silence;
            world.run(200);
            spoken += milliseconds + 200;
        }

        assert_eq!(world.keys_of(COACH), []);
        for party in [USER, PUPIL] {
            for key in ['1', '5', '9', 'D'] {
                let (row, column) = frequencies(Digit::from_char(key).unwrap());
                for hz in [row, column] {
                    let level = world.level(party, f64::from(hz), spoken);
                    assert!(level < -60.0, "{key} {hz}: {level}");
                }
            }
        }
    }
}

#[test]
fn of_a_gateway_that_lets_the_onset_of_every_key_through_none_is_heard() {
    let mut world = World::monitored(G711);
    world.listen(COACH, WITHHOLD);
    world.barge();
    for phone in &mut world.phones {
        phone.speaks = Speaks::Silence;
    }
    world.run(500);
    world.forget();

    for key in ['4', '#', '5', '#', '6', '#'] {
        world.say_key(COACH, key, 40);
        world.phones[COACH].press(key, 5);
        world.run(160);
    }

    assert_eq!(world.keys_of(COACH).len(), 6);
    for key in ['4', '5', '6', '#'] {
        let (row, column) = frequencies(Digit::from_char(key).unwrap());
        for hz in [row, column] {
            let level = world.level(PUPIL, f64::from(hz), 1_200);
            assert!(level < -60.0, "{key} {hz}: {level}");
        }
    }
}

#[test]
fn after_the_first_event_tones_are_listened_for_no_more_unless_always() {
    for (when, counts) in [(InBandWhen::Auto, 1), (InBandWhen::Always, 2)] {
        let mut world = World::monitored(G711);
        world.listen(
            COACH,
            KeyListening {
                in_band: InBand::Menu(when),
                events: KeyPassage::Withhold,
            },
        );
        world.phones[COACH].speaks = Speaks::Silence;
        world.phones[COACH].press('1', 5);
        world.run(1_000);

        world.say_key(COACH, '2', 100);
        world.run(500);

        assert_eq!(world.keys_of(COACH).len(), counts);
    }
}

#[test]
fn keys_are_heard_in_a_menu_before_any_call() {
    let mut world = World::empty();
    let phone = world.open(Codec::Pcma);
    world.reconfigure(phone, |media| media.telephone_event = None);
    world.listen(
        phone,
        KeyListening {
            in_band: InBand::Menu(InBandWhen::Auto),
            events: KeyPassage::Withhold,
        },
    );
    world.phones[phone].speaks = Speaks::Silence;
    world.run(300);

    for key in ['2', '0', '4', '#'] {
        world.say_key(phone, key, 80);
        world.run(80);
    }

    let heard: String = world.keys_of(phone).iter().map(|(key, _)| *key).collect();
    assert_eq!(heard, "204#");
}

fn events_of(world: &World, phone: usize) -> Vec<(Received, TelephoneEvent)> {
    world.phones[phone]
        .received
        .iter()
        .filter(|packet| packet.header.payload_type == 101)
        .map(|packet| {
            let report = TelephoneEvent::parse(&packet.payload).unwrap();
            (packet.clone(), report)
        })
        .collect()
}

#[track_caller]
fn assert_numbered(received: &[Received]) {
    assert!(received.len() > 5);
    for pair in received.windows(2) {
        let (before, after) = (pair[0].header, pair[1].header);
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    }
}

#[test]
fn that_the_voice_is_let_through_again_is_told_once_and_after_the_release_of_the_key() {
    for in_band in [false, true] {
        let mut world = World::monitored(G711);
        world.listen(
            COACH,
            KeyListening {
                in_band: InBand::Role(InBandWhen::Always),
                ..WITHHOLD
            },
        );
        world.barge();
        world.phones[COACH].speaks = Speaks::Silence;
        world.run(300);
        world.forget();

        match in_band {
            true => world.say_key(COACH, '4', 600),
            false => {
                world.phones[COACH].press('4', 30);
                world.run(600);
            }
        }
        assert_eq!(world.keys_of(COACH).len(), 1, "in-band: {in_band}");
        assert_eq!(opened(&world), 0, "in-band: {in_band}");
        world.run(400);

        assert_eq!(opened(&world), 1, "in-band: {in_band}");
    }
}

fn opened(world: &World) -> usize {
    let opened = |event: &&Event| matches!(event, Event::VoiceOpened { .. });
    world.events.iter().filter(opened).count()
}
