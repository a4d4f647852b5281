//! Which keys of the parties go on, and when.

use std::time::Duration;

use crate::control::harness::house::*;
use crate::control::input::{Input, Signal};
use crate::control::record::{HelpState, Record};
use crate::id::LegId;
use crate::media::command::{BETWEEN_PRESSES, Command, Event, KeyPassage};
use crate::media::dtmf::{Digit, DigitSource};

#[test]
fn keys_by_info_go_from_each_party_to_the_other() {
    let (mut house, customer, agent) = talking(HelpKeys::Off);

    for leg in [customer, agent] {
        house.forget();
        press(&mut house, leg, "1", DigitSource::Info);

        assert_eq!(pressed(&house), [(leg, '1')]);
        house.wait(BETWEEN_PRESSES);
    }
}

#[test]
fn keys_that_pass_in_the_media_are_not_pressed_again() {
    let (mut house, customer, _) = talking(HelpKeys::Off);

    press(&mut house, customer, "1", DigitSource::Event);
    press(&mut house, customer, "2", DigitSource::InBand);

    assert_eq!(pressed(&house), []);
}

#[test]
fn keys_that_come_at_once_are_pressed_one_after_another() {
    let (mut house, customer, _) = talking(HelpKeys::Off);

    press(&mut house, customer, "4711", DigitSource::Info);
    assert_eq!(keys(&house), "4");

    house.wait(Duration::from_millis(159));
    assert_eq!(keys(&house), "4");
    house.wait(Duration::from_millis(1));
    assert_eq!(keys(&house), "47");
    house.wait(Duration::from_secs(1));
    assert_eq!(keys(&house), "4711");
}

#[test]
fn a_flood_of_keys_is_bounded() {
    let (mut house, customer, _) = talking(HelpKeys::Off);

    press(&mut house, customer, &"1".repeat(1_000), DigitSource::Info);
    house.wait(Duration::from_secs(300));

    assert_eq!(pressed(&house).len(), super::MAX_WAITING + 1);
}

#[test]
fn an_agents_star_is_held_back_only_where_it_may_ask_for_help() {
    for (help, held) in [(HelpKeys::Off, false), (HelpKeys::On, true)] {
        let (mut house, _, agent) = talking(help);

        let listening = house.commands().into_iter().any(|command| {
            matches!(command, Command::ListenForKeys { leg, keys }
                if *leg == agent && keys.events == KeyPassage::ByCommand)
        });
        assert_eq!(listening, held);
        house.forget();
        press(&mut house, agent, "*", DigitSource::Info);
        assert_eq!(pressed(&house).is_empty(), held);
    }
}

#[test]
fn what_an_agent_types_to_ask_for_help_reaches_nobody() {
    let (mut house, _, agent) = talking(HelpKeys::On);

    press(&mut house, agent, "*4#", DigitSource::Event);
    house.wait(Duration::from_secs(3));
    assert_eq!(help_states(&house), [HelpState::Requested]);

    press(&mut house, agent, "*5#", DigitSource::Info);
    house.wait(Duration::from_secs(3));
    let states = [HelpState::Requested, HelpState::Cancelled];
    assert_eq!(help_states(&house), states);
    assert_eq!(pressed(&house), []);
}

#[test]
fn what_is_no_request_passes_when_that_is_known_or_after_two_seconds() {
    let (mut house, _, agent) = talking(HelpKeys::On);

    press(&mut house, agent, "12", DigitSource::Event);
    house.wait(Duration::from_millis(400));
    assert_eq!(keys(&house), "12", "other keys do not wait");

    press(&mut house, agent, "*7", DigitSource::Event);
    house.wait(Duration::from_millis(400));
    assert_eq!(keys(&house), "12*7", "no request begins like this");

    press(&mut house, agent, "*4", DigitSource::Event);
    house.wait(Duration::from_millis(1_999));
    assert_eq!(keys(&house), "12*7");
    house.wait(Duration::from_millis(400));
    assert_eq!(keys(&house), "12*7*4");
    assert_eq!(help_states(&house), []);
}

#[test]
fn one_press_of_an_agent_told_in_two_ways_passes_once() {
    let (mut house, _, agent) = talking(HelpKeys::On);

    press(&mut house, agent, "1", DigitSource::Event);
    press(&mut house, agent, "1", DigitSource::Info);
    house.wait(Duration::from_secs(1));

    assert_eq!(keys(&house), "1");
}

#[test]
fn an_agents_tones_in_the_audio_ask_for_help_and_are_not_pressed_again() {
    let (mut house, _, agent) = talking(HelpKeys::On);

    press(&mut house, agent, "*7*4#", DigitSource::InBand);
    house.wait(Duration::from_secs(3));

    assert_eq!(pressed(&house), []);
    assert_eq!(help_states(&house), [HelpState::Requested]);
}

#[test]
fn a_key_that_is_held_when_the_call_ends_is_forgotten() {
    let (mut house, customer, agent) = talking(HelpKeys::On);
    press(&mut house, agent, "*4", DigitSource::Event);

    house.signal(customer, Signal::HungUp { reason: None });
    house.signal(agent, Signal::HangUpDone);
    house.wait(Duration::from_secs(10));

    assert_eq!(pressed(&house), []);
    house.assert_empty();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HelpKeys {
    On,
    Off,
}

/// A customer and an agent in conversation.
fn talking(help: HelpKeys) -> (House, LegId, LegId) {
    let mut house = House::new();
    let mut directory = directory();
    for organisation in directory.organisations.values_mut() {
        organisation.help_keys = help == HelpKeys::On;
    }
    house.input(Input::Directory(std::sync::Arc::new(directory)));
    let (customer, agent) = house.talking();
    (house, customer, agent)
}

fn press(house: &mut House, leg: LegId, keys: &str, source: DigitSource) {
    for key in keys.chars() {
        let digit = Digit::from_char(key).unwrap();
        match source {
            DigitSource::Info => house.signal(leg, Signal::KeyInfo { digit }),
            DigitSource::Event | DigitSource::InBand => {
                house.event(Event::DigitPressed { leg, digit, source });
            }
        }
    }
}

fn pressed(house: &House) -> Vec<(LegId, char)> {
    house
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::PressKey { leg, digit } => Some((*leg, digit.as_char())),
            _ => None,
        })
        .collect()
}

fn keys(house: &House) -> String {
    pressed(house).into_iter().map(|(_, key)| key).collect()
}

fn help_states(house: &House) -> Vec<HelpState> {
    house
        .records()
        .into_iter()
        .filter_map(|record| match record {
            Record::Help(row) => Some(row.state),
            _ => None,
        })
        .collect()
}
