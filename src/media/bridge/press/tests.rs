//! Keys pressed by command, as the other party's phone receives them.

use crate::media::codec::Codec;
use crate::media::command::{BETWEEN_PRESSES, Command, InBand, KeyListening, KeyPassage};
use crate::media::dtmf::Digit;
use crate::media::shard::harness::{COACH, PUPIL, Speaks, USER, World};
use crate::media::tone::frequencies;
use crate::wire::telephone_event::TelephoneEvent;

const G711: [Codec; 3] = [Codec::Pcmu; 3];

#[test]
fn a_key_by_command_is_an_event_for_the_other_party_in_its_own_numbering() {
    for role in [World::monitor, World::coach] {
        let mut world = World::monitored(G711);
        role(&mut world);
        world.run(500);
        world.forget();

        for key in "47#".chars() {
            press(&mut world, USER, key);
            world.run(BETWEEN_PRESSES.as_millis() as u64);
        }

        assert_eq!(keys_heard(&world, PUPIL), "47#");
        assert_eq!(keys_heard(&world, COACH), "");
        assert_eq!(keys_heard(&world, USER), "");
        assert_numbered(&world, PUPIL);
        for (_, report) in events_of(&world, PUPIL) {
            assert_eq!(report.duration, 800);
        }
    }
}

#[test]
fn the_voice_of_who_presses_goes_on_as_it_was() {
    let mut world = World::talking(G711);
    world.forget();
    world.run(200);
    press(&mut world, USER, '1');
    world.run(400);

    assert_numbered(&world, PUPIL);
    let voice: Vec<u32> = world.phones[PUPIL]
        .received
        .iter()
        .filter(|it| it.header.payload_type == 0)
        .map(|it| it.header.timestamp)
        .collect();
    assert!(voice.len() >= 29);
    assert!(
        voice
            .windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(160))
    );
}

#[test]
fn keys_of_a_silent_phone_are_told_apart() {
    let mut world = World::talking(G711);
    world.phones[USER].speaks = Speaks::Nothing;
    world.run(100);
    world.forget();

    for key in "11".chars() {
        press(&mut world, USER, key);
        world.run(BETWEEN_PRESSES.as_millis() as u64);
    }

    assert_eq!(keys_heard(&world, PUPIL), "11");
}

#[test]
fn who_takes_no_events_hears_the_key_as_a_tone() {
    let mut world = World::talking(G711);
    world.phones[USER].speaks = Speaks::Silence;
    world.reconfigure(PUPIL, |media| media.telephone_event = None);
    world.run(200);

    press(&mut world, USER, '5');
    world.run(100);

    let (low, high) = frequencies(Digit::from_char('5').unwrap());
    for hz in [low, high] {
        assert!(world.level(PUPIL, f64::from(hz), 60) > -25.0);
    }
    world.run(300);
    assert!(world.level(PUPIL, f64::from(low), 100) < -60.0);
}

#[test]
fn a_key_goes_nowhere_where_keys_are_withheld_or_the_ears_are_parted() {
    let mut world = World::monitored(G711);
    world.barge();
    listen(&mut world, COACH, KeyPassage::Withhold);
    world.run(200);
    world.forget();

    press(&mut world, COACH, '1');
    listen(&mut world, USER, KeyPassage::Withhold);
    press(&mut world, USER, '2');
    listen(&mut world, USER, KeyPassage::ByCommand);
    world.rules_against(&[(USER, PUPIL), (PUPIL, USER)], &[(USER, PUPIL)]);
    world.run(100);
    press(&mut world, USER, '3');
    world.rules(&[]);
    world.run(100);
    press(&mut world, USER, '4');
    world.run(200);

    for phone in [USER, PUPIL, COACH] {
        assert_eq!(keys_heard(&world, phone), "");
    }
}

#[test]
fn a_phone_whose_events_pass_by_themselves_is_not_heard_twice() {
    let mut world = World::talking(G711);
    world.phones[USER].press('9', 5);
    world.run(300);
    world.forget();

    press(&mut world, USER, '9');
    world.run(200);
    assert_eq!(keys_heard(&world, PUPIL), "");

    listen(&mut world, USER, KeyPassage::ByCommand);
    world.phones[USER].press('8', 5);
    world.run(300);
    assert_eq!(keys_heard(&world, PUPIL), "", "by command alone");
    press(&mut world, USER, '8');
    world.run(200);
    assert_eq!(keys_heard(&world, PUPIL), "8");
}

fn press(world: &mut World, phone: usize, key: char) {
    let leg = world.phones[phone].leg;
    let digit = Digit::from_char(key).unwrap();
    world.command(Command::PressKey { leg, digit });
}

fn listen(world: &mut World, phone: usize, events: KeyPassage) {
    let in_band = InBand::Off;
    world.listen(phone, KeyListening { in_band, events });
}

/// Telephone-events that reached a phone, with their timestamps.
fn events_of(world: &World, phone: usize) -> Vec<(u32, TelephoneEvent)> {
    world.phones[phone]
        .received
        .iter()
        .filter(|it| it.header.payload_type == 101)
        .filter_map(|it| Some((it.header.timestamp, TelephoneEvent::parse(&it.payload)?)))
        .collect()
}

/// Presses as a phone tells them apart: by the timestamp, each with three ends.
fn keys_heard(world: &World, phone: usize) -> String {
    let mut heard = String::new();
    for press in events_of(world, phone).chunk_by(|one, other| one.0 == other.0) {
        assert_eq!(press.iter().filter(|(_, report)| report.end).count(), 3);
        heard.push(Digit::from_event(press[0].1.event).unwrap().as_char());
    }
    heard
}

/// One SSRC, numbers one apart.
fn assert_numbered(world: &World, phone: usize) {
    for pair in world.phones[phone].received.windows(2) {
        let (before, after) = (pair[0].header, pair[1].header);
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    }
}
