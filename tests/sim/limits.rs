//! What must come within a time, or lasts for one, in virtual time.

use std::time::Duration;

use sottovoce::control::input::Network;
use sottovoce::control::refusal::ErrorCode;
use sottovoce::control::role::{Ear, Supervision};
use sottovoce::control::settings::Settings;

use crate::network::Impairment;
use crate::phone::{AMPLITUDE, HeardFrame, How};
use crate::world::house::settings;
use crate::world::{AGENT, LEO, Line, MIA, PhoneId, SECOND_AGENT, World};

const WINDOW: Duration = Duration::from_millis(400);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn command(world: &mut World, phone: PhoneId, keys: &str) {
    world.press(phone, keys, How::Event);
    world.run_for(ms(180 * keys.len() as u64 + 1_500));
}

#[test]
fn within_a_second_of_the_answer_the_call_is_heard_and_nothing_is_spoken_before_it() {
    for seed in 1..=20 {
        let mut world = World::new(seed, Impairment::CLEAN);
        let (user, pupil) = world.converse();
        let mia = world.dial_in(MIA);
        let answered = world.now;
        world.run_for(ms(3_000));

        let first = |heard: &dyn Fn(&HeardFrame) -> f32| {
            let mut frames = world.phones[mia.0].heard.iter();
            let frame = frames.find(|frame| heard(frame) > AMPLITUDE * 0.2);
            frame.map(|frame| frame.at.duration_since(answered))
        };
        let parties = [user, pupil]
            .map(|party| first(&|frame| frame.amplitudes[party.0]).expect("the party is heard"));
        let spoken = first(&|frame| frame.prompt).expect("\"Listening.\"");

        for party in parties {
            assert!(party <= ms(1_000), "seed {seed}: heard after {party:?}");
            // Mix and sentence come into force together; a voice is in the mix once a jitter buffer
            // has its first packets, and a sentence begins with more silence than that.
            assert!(
                party <= spoken + ms(40),
                "seed {seed}: spoken {spoken:?} after the answer, heard after {party:?}"
            );
        }
    }
}

#[test]
fn a_role_that_is_not_durable_within_two_seconds_is_taken_back() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    let mia = world.supervise(MIA);
    for (keys, ear) in [("4#", pupil), ("8#", user), ("6#", user)] {
        let refused = world.audited(ErrorCode::Busy);
        world.store_answers = false;
        world.press(mia, keys, How::Event);
        world.run_for(ms(1_500));
        assert!(
            world.ears_of(ear, WINDOW).contains(&mia),
            "{keys}: in force at once"
        );

        world.run_for(ms(2_500));

        assert_eq!(world.supervision(), Some(Supervision::Monitoring), "{keys}");
        assert_eq!(world.ears_of(user, WINDOW), [pupil], "{keys}");
        assert_eq!(world.ears_of(pupil, WINDOW), [user], "{keys}");
        assert_eq!(world.audited(ErrorCode::Busy), refused + 1, "{keys}");
        assert!(world.prompt_in(mia, ms(2_000)) > 100.0, "{keys}: 9010");

        // While it lasts nobody is to speak.
        command(&mut world, mia, "4#");
        assert_eq!(world.supervision(), Some(Supervision::Monitoring), "{keys}");
        world.store_recovers();
        world.run_for(ms(500));
    }

    command(&mut world, mia, "4#");
    assert_eq!(
        world.supervision(),
        Some(Supervision::Coaching(Ear::Pupil)),
        "the store answers again"
    );
    assert_eq!(world.ears_of(pupil, WINDOW), [user.min(mia), user.max(mia)]);
    world.checks.assert_clean();
}

#[test]
fn three_wrong_pins_lock_the_supervisor_out_of_that_trunk_for_fifteen_minutes() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    let mia = world.add_phone();
    let leg = world.dial_in_untrusted(mia, MIA, "mobile");
    for wrong in ["0000#", "1111#", "2222#"] {
        assert_eq!(world.line(leg), Line::Up, "before {wrong}");
        command(&mut world, mia, wrong);
        assert!(world.ears_of(mia, WINDOW).is_empty(), "after {wrong}");
    }
    world.run_for(ms(3_000));
    assert_eq!(world.line(leg), Line::Over);
    assert_eq!(world.audited(ErrorCode::PinFailed), 1);

    // Locked there, whatever the PIN.
    let again = world.dial_in_untrusted(mia, MIA, "mobile");
    command(&mut world, mia, "4711#");
    assert!(world.ears_of(mia, WINDOW).is_empty());
    world.run_for(ms(3_000));
    assert_eq!(world.line(again), Line::Over);
    assert_eq!(world.audited(ErrorCode::PinFailed), 2);

    // Not on another trunk, and not when the time is over.
    let joins = |world: &mut World, trunk: &str| {
        world.dial_in_untrusted(mia, MIA, trunk);
        command(world, mia, "4711#");
        let both = [pupil.min(user), pupil.max(user)];
        assert_eq!(world.ears_of(mia, WINDOW), both, "{trunk}");
        world.hang_up(mia);
        world.run_for(ms(500));
    };
    joins(&mut world, "other");
    world.hang_up(user);
    world.run_for(Duration::from_secs(15 * 60));
    world.invite(user, "+358501112222", AGENT, Network::Internal);
    world.run_for(ms(1_000));
    joins(&mut world, "mobile");
    world.checks.assert_clean();
}

#[test]
fn a_call_ends_after_thirty_seconds_without_rtp_and_rtcp_and_not_without_rtp_alone() {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    let lines = |world: &World| [user, pupil].map(|party| world.line_of(party));
    for party in [user, pupil] {
        world.phones[party.0].alive = false;
    }
    for _ in 0..12 {
        world.run_for(ms(5_000));
        world.report(user);
    }
    assert_eq!(lines(&world), [Line::Up, Line::Up], "one still reports");

    world.run_for(ms(29_000));
    assert_eq!(lines(&world), [Line::Up, Line::Up], "not yet");
    world.run_for(ms(2_000));
    assert_eq!(lines(&world), [Line::Over, Line::Over]);
    world.assert_clean();
}

/// Who talks while the code comes about, and who asks for it.
struct Refused {
    world: World,
    parties: [PhoneId; 2],
    code: ErrorCode,
}

/// The conversation has no gap of more than 20 ms by any of them.
#[test]
fn no_code_leaves_a_gap_between_the_parties() {
    let cases: [fn() -> Refused; 3] = [one_too_many, a_second_coach, a_failing_join];
    for case in cases {
        let Refused {
            world,
            parties: [user, pupil],
            code,
        } = case();

        assert_eq!(world.audited(code), 1, "{code:?}");
        for (listener, speaker) in [(user, pupil), (pupil, user)] {
            let heard = &world.phones[listener.0].heard;
            let began = heard
                .iter()
                .position(|frame| frame.amplitudes[speaker.0] > AMPLITUDE * 0.5)
                .expect("they have heard each other");
            let mut gap = 0;
            let mut last = heard[began].at;
            for frame in heard.iter().skip(began) {
                let pause = frame.at.duration_since(last);
                assert!(pause <= ms(40), "{code:?}: {pause:?} without a packet");
                last = frame.at;
                match frame.amplitudes[speaker.0] > AMPLITUDE * 0.5 {
                    true => gap = 0,
                    false => gap += 1,
                }
                assert!(gap <= 1, "{code:?}: {gap} frames without the other party");
            }
            assert!(world.prompt_in(listener, ms(10_000)) < 50.0, "{code:?}");
        }
    }
}

/// 9011.
fn one_too_many() -> Refused {
    let settings = Settings {
        max_conferences: 1,
        ..settings()
    };
    let mut world = World::with_settings(1, Impairment::CLEAN, settings);
    world.converse();
    world.supervise(MIA);
    let pupil = world.add_home(SECOND_AGENT);
    let user = world.add_phone();
    world.invite(user, "+358503334444", SECOND_AGENT, Network::Internal);
    world.run_for(ms(1_000));
    let leo = world.dial_in(LEO);
    world.run_for(ms(1_500));
    command(&mut world, leo, "205#");
    world.run_for(ms(1_500));
    Refused {
        world,
        parties: [user, pupil],
        code: ErrorCode::ConferenceFailed,
    }
}

/// 9012.
fn a_second_coach() -> Refused {
    let mut world = World::new(1, Impairment::CLEAN);
    let (user, pupil) = world.converse();
    let mia = world.supervise(MIA);
    command(&mut world, mia, "4#");
    let leo = world.supervise(LEO);
    command(&mut world, leo, "4#");
    world.run_for(ms(1_500));
    Refused {
        world,
        parties: [user, pupil],
        code: ErrorCode::CoachNotAdded,
    }
}

/// 9015.
fn a_failing_join() -> Refused {
    let settings = Settings {
        fault_conference_join: true,
        ..settings()
    };
    let mut world = World::with_settings(1, Impairment::CLEAN, settings);
    let (user, pupil) = world.converse();
    world.dial_in(MIA);
    world.run_for(ms(3_000));
    Refused {
        world,
        parties: [user, pupil],
        code: ErrorCode::CoachNotJoined,
    }
}
