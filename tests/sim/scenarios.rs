//! The promises, one by one.

use std::time::Duration;

use sottovoce::control::refusal::ErrorCode;
use sottovoce::control::role::{Ear, Supervision};

use crate::network::Impairment;
use crate::phone::How;
use crate::world::{AGENT, LEO, Line, MIA, Manner, PhoneId, World};

const WINDOW: Duration = Duration::from_millis(400);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A customer, an agent and a supervisor who monitors.
fn monitored() -> (World, PhoneId, PhoneId, PhoneId) {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    let mia = world.supervise(MIA);
    (world, user, pupil, mia)
}

fn command(world: &mut World, phone: PhoneId, keys: &str) {
    world.press(phone, keys, How::Event);
    // Keys, confirmation, and a window without either.
    world.run_for(ms(180 * keys.len() as u64 + 1500));
}

#[test]
fn two_parties_hear_each_other_and_leave_nothing_behind() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    world.run_for(ms(1000));

    assert_eq!(world.ears_of(user, WINDOW), [pupil]);
    assert_eq!(world.ears_of(pupil, WINDOW), [user]);

    world.hang_up(user);
    world.assert_clean();
    assert_eq!(world.line_of(pupil), Line::Over);
}

#[test]
fn a_monitor_hears_both_and_is_heard_by_nobody() {
    let (mut world, user, pupil, mia) = monitored();
    world.run_for(ms(500));

    assert_eq!(
        world.ears_of(mia, WINDOW),
        [pupil.min(user), pupil.max(user)]
    );
    assert_eq!(world.ears_of(user, WINDOW), [pupil]);
    assert_eq!(world.ears_of(pupil, WINDOW), [user]);
}

#[test]
fn each_key_command_opens_exactly_the_ears_of_its_role() {
    for how in [How::Event, How::InBand, How::Info] {
        let (mut world, user, pupil, mia) = monitored();
        let steps: [(&str, Supervision, bool, bool); 6] = [
            ("4#", Supervision::Coaching(Ear::Pupil), true, false),
            ("5#", Supervision::Monitoring, false, false),
            ("8#", Supervision::Coaching(Ear::User), false, true),
            ("6#", Supervision::Barged, true, true),
            ("4#", Supervision::Coaching(Ear::Pupil), true, false),
            ("0#", Supervision::Barged, true, true),
        ];
        for (keys, supervision, pupil_hears, user_hears) in steps {
            world.press(mia, keys, how);
            world.run_for(ms(2200));

            assert_eq!(world.supervision(), Some(supervision), "{keys} by {how:?}");
            let expect = |party: PhoneId, other: PhoneId, hears: bool| {
                let mut ears = vec![other];
                if hears {
                    ears.push(mia);
                }
                ears.sort();
                (party, ears)
            };
            for (party, ears) in [
                expect(user, pupil, user_hears),
                expect(pupil, user, pupil_hears),
            ] {
                assert_eq!(
                    world.ears_of(party, WINDOW),
                    ears,
                    "{party:?} after {keys} by {how:?}"
                );
            }
        }
        world.checks.assert_clean();
    }
}

#[test]
fn taking_over_lets_the_customer_hear_the_supervisor_before_the_agent_leaves() {
    let (mut world, user, pupil, mia) = monitored();
    world.press(mia, "1#", How::Event);
    world.run_until(
        |world| world.ears_of(user, ms(60)).contains(&mia),
        "the customer hears the supervisor",
    );

    assert_eq!(world.line_of(pupil), Line::Up, "the agent is still there");

    world.run_until(
        |world| world.line_of(pupil) == Line::Over,
        "the agent is released",
    );
    world.run_for(ms(2000));
    assert_eq!(world.ears_of(user, WINDOW), [mia]);
    assert_eq!(world.ears_of(mia, WINDOW), [user]);

    world.hang_up(mia);
    world.assert_clean();
    assert_eq!(world.line_of(user), Line::Over);
}

#[test]
fn the_streams_towards_both_parties_run_on_unbroken_through_everything() {
    let (mut world, user, pupil, mia) = monitored();
    for keys in ["4#", "6#", "5#", "8#", "0#", "4#"] {
        command(&mut world, mia, keys);
    }
    world.hang_up(mia);
    world.run_for(ms(1000));

    for party in [user, pupil] {
        let numbers = &world.phones[party.0].numbers;
        assert!(numbers.len() > 500, "{} packets", numbers.len());
        for pair in numbers.windows(2) {
            let ((ssrc, sequence, timestamp), (ssrc2, sequence2, timestamp2)) = (pair[0], pair[1]);
            assert_eq!(ssrc, ssrc2);
            assert_eq!(sequence2, sequence.wrapping_add(1));
            assert_eq!(timestamp2, timestamp.wrapping_add(160));
        }
    }
    let reinvites: usize = world.legs.values().map(|side| side.reinvites).sum();
    assert_eq!(reinvites, 0, "supervision sends no re-INVITE");
}

#[test]
fn fourteen_never_acts_as_four() {
    let (mut world, _, _, mia) = monitored();
    command(&mut world, mia, "14#");

    assert_eq!(world.supervision(), Some(Supervision::Monitoring));
    assert_eq!(world.audited(ErrorCode::UnknownCommand), 1);
}

#[test]
fn keys_of_a_supervisor_reach_no_party() {
    let (mut world, user, pupil, mia) = monitored();
    command(&mut world, mia, "6#");
    let before = (
        world.phones[user.0].events_heard,
        world.phones[pupil.0].events_heard,
    );
    command(&mut world, mia, "99#");
    let after = (
        world.phones[user.0].events_heard,
        world.phones[pupil.0].events_heard,
    );

    assert_eq!(before, after);
}

#[test]
fn keys_of_a_customer_reach_the_agent() {
    let (mut world, user, pupil, _) = monitored();
    let before = world.phones[pupil.0].events_heard;
    world.press(user, "12", How::Event);
    world.run_for(ms(800));

    assert!(world.phones[pupil.0].events_heard >= before + 10);
}

#[test]
fn a_command_just_after_the_agent_left_is_answered_9013() {
    let (mut world, user, pupil, mia) = monitored();
    world.hang_up(pupil);
    command(&mut world, mia, "4#");

    assert_eq!(world.audited(ErrorCode::PupilGone), 1);
    assert!(world.prompt_in(mia, ms(1200)) > 100.0, "the code is spoken");
    assert!(world.prompt_in(user, ms(2000)) < 50.0);
    world.hang_up(mia);
    world.assert_clean();
}

#[test]
fn a_command_when_the_customer_left_the_agent_alone_is_answered_9014() {
    let mut world = World::new(1, Impairment::CLEAN);
    world.manners.insert(AGENT, Manner::DeafToBye);
    let (user, _) = world.converse();
    let mia = world.supervise(MIA);
    world.hang_up(user);
    command(&mut world, mia, "6#");

    assert_eq!(world.audited(ErrorCode::UserGone), 1);
    world.hang_up(mia);
    world.assert_clean();
}

#[test]
fn a_second_coach_is_answered_9012_and_stays_a_monitor() {
    let (mut world, _, pupil, mia) = monitored();
    command(&mut world, mia, "4#");
    let leo = world.supervise(LEO);
    command(&mut world, leo, "4#");

    assert_eq!(world.audited(ErrorCode::CoachNotAdded), 1);
    assert_eq!(world.supervision(), Some(Supervision::Monitoring));
    assert!(!world.ears_of(pupil, WINDOW).contains(&leo));
    world.checks.assert_clean();
}

#[test]
fn a_conference_beyond_the_limit_is_answered_9011_and_harms_no_call() {
    let mut settings = crate::world::house::settings();
    settings.max_conferences = 1;
    let mut world = World::with_settings(1, Impairment::CLEAN, settings);
    let (user, pupil) = world.converse();
    world.supervise(MIA);
    let other_agent = world.add_home(crate::world::SECOND_AGENT);
    let other_customer = world.add_phone();
    world.invite(
        other_customer,
        "+358503334444",
        crate::world::SECOND_AGENT,
        sottovoce::control::input::Network::Internal,
    );
    world.run_for(ms(1000));
    let leo = world.dial_in(LEO);
    world.run_for(ms(1500));
    command(&mut world, leo, "205#");

    assert_eq!(world.audited(ErrorCode::ConferenceFailed), 1);
    assert_eq!(world.ears_of(other_agent, WINDOW), [other_customer]);
    assert_eq!(world.ears_of(user, WINDOW), [pupil]);
    world.checks.assert_clean();
}

#[test]
fn a_coach_who_cannot_join_is_answered_9015_and_the_call_is_restored() {
    let mut settings = crate::world::house::settings();
    settings.fault_conference_join = true;
    let mut world = World::with_settings(1, Impairment::CLEAN, settings);
    let (user, pupil) = world.converse();
    let mia = world.dial_in(MIA);
    world.run_for(ms(3000));

    assert_eq!(world.audited(ErrorCode::CoachNotJoined), 1);
    assert_eq!(world.ears_of(user, WINDOW), [pupil]);
    assert_eq!(world.ears_of(pupil, WINDOW), [user]);
    world.hang_up(mia);
    world.hang_up(user);
    world.assert_clean();
}

#[test]
fn a_stranger_is_spoken_to_and_released() {
    let mut world = World::new(1, Impairment::CLEAN);
    world.converse();
    let stranger = world.dial_in("+4912345678");
    world.run_until(
        |world| world.line_of(stranger) == Line::Over,
        "the stranger is released",
    );

    assert_eq!(world.audited(ErrorCode::Unregistered), 1);
}

#[test]
fn a_supervisor_without_a_call_hears_9004_and_may_wait_in_the_menu() {
    let mut world = World::new(1, Impairment::CLEAN);
    let mia = world.dial_in(MIA);
    world.run_for(ms(3000));

    assert_eq!(world.audited(ErrorCode::NoCall), 1);
    assert_eq!(world.line_of(mia), Line::Up);
}

#[test]
fn a_supervisor_in_barge_keeps_the_customer_when_the_agent_leaves() {
    let (mut world, user, pupil, mia) = monitored();
    command(&mut world, mia, "6#");
    world.hang_up(pupil);
    world.run_for(ms(1500));

    assert_eq!(world.line_of(user), Line::Up);
    assert_eq!(world.ears_of(user, WINDOW), [mia]);
    world.hang_up(mia);
    world.assert_clean();
    assert_eq!(world.line_of(user), Line::Over);
}

#[test]
fn hanging_up_everyone_asks_first() {
    let (mut world, user, pupil, mia) = monitored();
    command(&mut world, mia, "7#");
    assert_eq!(world.line_of(user), Line::Up);
    command(&mut world, mia, "7#");

    assert_eq!(
        (world.line_of(user), world.line_of(pupil)),
        (Line::Over, Line::Over)
    );
    world.hang_up(mia);
    world.assert_clean();
}

#[test]
fn an_unconfirmed_hang_up_is_cancelled() {
    let (mut world, user, _, mia) = monitored();
    command(&mut world, mia, "7#");
    world.run_for(ms(6000));
    command(&mut world, mia, "7#");

    assert_eq!(world.line_of(user), Line::Up);
}

#[test]
fn a_store_that_is_silent_delays_the_confirmation_and_not_the_change() {
    let (mut world, _, pupil, mia) = monitored();
    world.store_answers = false;
    world.press(mia, "4#", How::Event);
    world.run_for(ms(1200));

    assert!(
        world.ears_of(pupil, WINDOW).contains(&mia),
        "the change is in force"
    );
    assert!(world.prompt_in(mia, ms(600)) < 50.0, "and not confirmed");
}

#[test]
fn a_supervisor_who_vanishes_falls_back_to_monitor_and_is_then_released() {
    let (mut world, user, pupil, mia) = monitored();
    command(&mut world, mia, "6#");
    world.phones[mia.0].alive = false;
    world.run_for(Duration::from_secs(35));
    assert_eq!(world.supervision(), Some(Supervision::Monitoring));

    world.run_for(Duration::from_secs(40));
    assert_eq!(world.line_of(mia), Line::Over);
    assert_eq!(
        (world.line_of(user), world.line_of(pupil)),
        (Line::Up, Line::Up)
    );
}

#[test]
fn a_call_without_any_media_is_ended() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    world.phones[user.0].alive = false;
    world.phones[pupil.0].alive = false;
    world.run_for(Duration::from_secs(40));

    assert_eq!(
        (world.line_of(user), world.line_of(pupil)),
        (Line::Over, Line::Over)
    );
}

#[test]
fn a_held_call_is_not_ended_for_its_silence() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    world.reinvite(pupil, "inactive");
    world.run_for(ms(500));
    world.phones[user.0].alive = false;
    world.phones[pupil.0].alive = false;
    world.run_for(Duration::from_secs(60));

    assert_eq!(
        (world.line_of(user), world.line_of(pupil)),
        (Line::Up, Line::Up)
    );
}

#[test]
fn a_hold_is_relayed_and_taken_back() {
    let (mut world, user, pupil, mia) = monitored();
    world.reinvite(pupil, "sendonly");
    world.run_for(ms(1500));
    assert!(
        !world.ears_of(mia, WINDOW).contains(&user),
        "a held customer is not listened to"
    );

    world.reinvite(pupil, "sendrecv");
    world.run_for(ms(1500));
    assert_eq!(world.ears_of(user, WINDOW), [pupil]);
    assert_eq!(world.ears_of(pupil, WINDOW), [user]);
    world.checks.assert_clean();
}

#[test]
fn a_blind_transfer_moves_the_customer_and_releases_the_agent() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    let other = world.add_home(crate::world::SECOND_AGENT);
    world.refer(pupil, crate::world::SECOND_AGENT);
    world.run_for(ms(3000));

    assert_eq!(world.ears_of(user, WINDOW), [other]);
    assert_eq!(world.ears_of(other, WINDOW), [user]);
    assert_eq!(world.line_of(pupil), Line::Over);
    world.hang_up(user);
    world.assert_clean();
}

#[test]
fn a_failed_transfer_leaves_the_call_as_it_was() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    world.refer(pupil, "299");
    world.run_for(ms(3000));

    assert_eq!(world.ears_of(user, WINDOW), [pupil]);
    assert_eq!(world.ears_of(pupil, WINDOW), [user]);
}
