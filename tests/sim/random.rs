//! Scenarios from a seed: random roles, keys, holds, transfers and hang-ups over a random network,
//! compared with a model of a page. A failure prints its seed; a seed that once failed is kept in
//! `fixtures/seeds/sim.txt` and runs first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sottovoce::control::role::{Ear, Role, Supervision};
use sottovoce::control::snapshot::SessionState;

use crate::network::Impairment;
use crate::phone::How;
use crate::world::{LEO, Line, MIA, PhoneId, SECOND_AGENT, World};

/// Seeds of a normal run.
const SEEDS: u64 = 2000;

#[test]
fn two_thousand_random_scenarios_keep_every_promise() {
    let kept = include_str!("../../fixtures/seeds/sim.txt");
    let kept = kept
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let mut seeds: Vec<u64> = kept.chain(1..=SEEDS).collect();
    // One seed again, to look into it.
    if let Ok(only) = std::env::var("SIM_SEED") {
        seeds = vec![only.parse().expect("SIM_SEED is a number")];
    }
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());

    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(seed) = seeds.get(index).copied() else {
                        return;
                    };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
                        let text = panic
                            .downcast_ref::<String>()
                            .cloned()
                            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                            .unwrap_or_default();
                        failures
                            .lock()
                            .expect("a lock of this test")
                            .push((seed, text));
                    }
                }
            });
        }
    });

    let mut failures = failures.into_inner().expect("a lock of this test");
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed; the first: {:#?}",
        failures.len(),
        seeds.len(),
        &failures[..failures.len().min(3)]
    );
}

/// What the contract says of a call with these supervisors, while both parties stand.
struct Model {
    user: PhoneId,
    pupil: PhoneId,
    sessions: Vec<(PhoneId, Supervision)>,
    /// How each supervisor's phone sends its keys.
    ways: Vec<(PhoneId, How)>,
    held: bool,
}

impl Model {
    /// One speaking supervisor at a time; everything else is allowed.
    fn command(&mut self, who: PhoneId, wanted: Supervision) {
        let other_speaks = self
            .sessions
            .iter()
            .any(|(phone, supervision)| *phone != who && supervision.speaks());
        if wanted.speaks() && other_speaks {
            return;
        }
        if let Some((_, supervision)) = self.sessions.iter_mut().find(|(phone, _)| *phone == who) {
            *supervision = wanted;
        }
    }

    /// Who is heard by a party, sorted.
    fn ears(&self, listener: PhoneId) -> Vec<PhoneId> {
        let (role, other) = if listener == self.user {
            (Role::User, self.pupil)
        } else {
            (Role::Pupil, self.user)
        };
        let mut ears: Vec<PhoneId> = self
            .sessions
            .iter()
            .filter(|(_, supervision)| role.hears(supervision.role()))
            .map(|(phone, _)| *phone)
            .collect();
        ears.push(other);
        ears.sort();
        ears
    }
}

fn scenario(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let impairment = match seed % 4 {
        0 => Impairment::CLEAN,
        1 => Impairment {
            jitter: Duration::from_millis(15),
            ..Impairment::CLEAN
        },
        2 => Impairment {
            loss: 0.03,
            repetition: 0.01,
            ..Impairment::CLEAN
        },
        _ => Impairment {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(30),
            loss: 0.02,
            repetition: 0.02,
        },
    };
    // In-band keys through loss may be missed; the event channel is the answer to loss.
    let in_band_is_safe = impairment.loss == 0.0;
    let mut world = World::new(seed, impairment);
    let (user, pupil) = world.converse();
    let mut model = Model {
        user,
        pupil,
        sessions: Vec::new(),
        ways: Vec::new(),
        held: false,
    };

    for _ in 0..random.usize(3..8) {
        match random.u8(0..10) {
            0..=1 if model.sessions.len() < 2 => {
                let number = if model.sessions.is_empty() { MIA } else { LEO };
                let how = match random.u8(0..3) {
                    0 if in_band_is_safe => How::InBand,
                    1 => How::Info,
                    _ => How::Event,
                };
                let phone = world.supervise_by(number, how);
                model.ways.push((phone, how));
                model.sessions.push((phone, Supervision::Monitoring));
            }
            2 => {
                let direction = if model.held { "sendrecv" } else { "sendonly" };
                world.reinvite(pupil, direction);
                model.held = !model.held;
                world.run_for(Duration::from_millis(1500));
            }
            3 if !model.sessions.is_empty() && random.bool() => {
                let (phone, _) = model.sessions.remove(random.usize(..model.sessions.len()));
                world.hang_up(phone);
                // A number that has hung up may not be its own successor in this model.
                world.run_for(Duration::from_millis(800));
                break;
            }
            _ if !model.sessions.is_empty() => {
                let (phone, _) = model.sessions[random.usize(..model.sessions.len())];
                let (keys, wanted) = [
                    ("4#", Supervision::Coaching(Ear::Pupil)),
                    ("5#", Supervision::Monitoring),
                    ("6#", Supervision::Barged),
                    ("0#", Supervision::Barged),
                    ("8#", Supervision::Coaching(Ear::User)),
                ][random.usize(..5)];
                let ways = model.ways.iter().rev();
                let how = ways
                    .clone()
                    .find(|(of, _)| *of == phone)
                    .map_or(How::Event, |(_, how)| *how);
                trace(&format!("{phone:?} presses {keys} by {how:?}"));
                world.press(phone, keys, how);
                model.command(phone, wanted);
                world.run_for(Duration::from_millis(2600));
            }
            _ => world.run_for(Duration::from_millis(300)),
        }
        compare(&world, &model, seed);
    }

    finish(&mut world, &model, &mut random);
}

/// With `SIM_TRACE` in the environment.
fn trace(text: &str) {
    if std::env::var_os("SIM_TRACE").is_some() {
        eprintln!("{text}");
    }
}

fn compare(world: &World, model: &Model, seed: u64) {
    // A command during a hold is accepted, and applies on resume.
    if model.held {
        return;
    }
    let states: Vec<SessionState> = world
        .snapshot()
        .sessions
        .iter()
        .map(|session| session.state)
        .collect();
    let expected: Vec<SessionState> = model
        .sessions
        .iter()
        .map(|(_, supervision)| SessionState::Supervising(*supervision))
        .collect();
    assert_eq!(states, expected, "seed {seed}");
    let window = Duration::from_millis(500);
    for party in [model.user, model.pupil] {
        assert_eq!(
            world.ears_of(party, window),
            model.ears(party),
            "seed {seed}, {party:?}"
        );
    }
    for (supervisor, _) in &model.sessions {
        let ears = world.ears_of(*supervisor, window);
        for party in [model.user, model.pupil] {
            assert!(
                ears.contains(&party),
                "seed {seed}: {supervisor:?} hears {ears:?}"
            );
        }
    }
}

/// One way to end it all; afterwards nothing is left.
fn finish(world: &mut World, model: &Model, random: &mut fastrand::Rng) {
    let supervisor = model.sessions.first().map(|(phone, _)| *phone);
    match (random.u8(0..6), supervisor) {
        (0, Some(supervisor)) => {
            world.press(supervisor, "1#", How::Event);
            world.run_for(Duration::from_millis(2500));
        }
        (1, Some(supervisor)) => {
            world.press(supervisor, "7#7#", How::Event);
            world.run_for(Duration::from_millis(2500));
        }
        (2, _) => world.hang_up(model.pupil),
        (3, _) => {
            world.add_home(SECOND_AGENT);
            world.refer(model.pupil, SECOND_AGENT);
            world.run_for(Duration::from_millis(1500));
        }
        (4, Some(supervisor)) => {
            world.hang_up(model.pupil);
            world.press(supervisor, "4#", How::Event);
            world.run_for(Duration::from_millis(1500));
        }
        _ => world.hang_up(model.user),
    }
    world.run_for(Duration::from_millis(500));
    for index in 0..world.phones.len() {
        if world.line_of(PhoneId(index)) != Line::Over {
            world.hang_up(PhoneId(index));
            world.run_for(Duration::from_millis(random.u64(1..300)));
        }
    }
    world.assert_clean();
}
