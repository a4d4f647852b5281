//! What the parties hear of a supervisor's keys while she coaches or barges, and her phone sends
//! them as tones: all 16, at levels of 0 to −25 dBm0 and of 40 to 500 ms, alone, beside the
//! parties' voices and over her own.
//!
//! Each call is held three times, alike but for her: she says nothing; she says all but the keys;
//! she says all. What a party hears the third time and neither of the other times is of a key.

use std::f64::consts::TAU;
use std::time::Duration;

use sottovoce::control::role::{Ear, Supervision};
use sottovoce::control::settings::InBandDtmf;
use sottovoce::demo::tones::key_sample;

use crate::network::Impairment;
use crate::phone::{FRAME, How};
use crate::world::house::settings;
use crate::world::{MIA, World};

/// `#` is the end of a command that nobody knows.
const KEYS: &str = "ABCD*1234567890#";
const LEVELS_DBM0: [f64; 6] = [0.0, -5.0, -10.0, -15.0, -20.0, -25.0];
const LENGTHS_MS: [usize; 5] = [40, 60, 100, 200, 500];

const SAMPLES_PER_MS: usize = FRAME / 20;

/// The longest that may be heard of a key.
const MOST: usize = 10 * SAMPLES_PER_MS;

/// Of one tone at 0 dBm0, which is 3.17 dB below the loudest that µ-law carries.
const ZERO_DBM0: f64 = 22_300.0;

/// A tone below this, −50 dBm0, is not heard.
const HEARD: i32 = 70;

/// Between two keys, and some more that no two keys have alike.
const PAUSE_MS: usize = 260;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voices {
    Nobody,
    Parties,
    Supervisor,
}

/// How she takes part, and what may be known of her phone.
#[derive(Clone, Copy)]
struct Part {
    command: &'static str,
    /// How she sends the command, unlike the keys.
    by: How,
    supervision: Supervision,
    phone: How,
    in_band: InBandDtmf,
}

const COACHES: Part = Part {
    command: "4#",
    by: How::Info,
    supervision: Supervision::Coaching(Ear::Pupil),
    phone: How::InBand,
    in_band: InBandDtmf::Auto,
};

const WHISPERS: Part = Part {
    command: "8#",
    supervision: Supervision::Coaching(Ear::User),
    ..COACHES
};

const BARGES: Part = Part {
    command: "6#",
    supervision: Supervision::Barged,
    ..COACHES
};

#[test]
fn nobody_hears_the_keys_of_who_coaches_and_says_nothing() {
    assert_withheld(COACHES, Voices::Nobody);
}

#[test]
fn nobody_hears_the_keys_of_who_coaches_beside_the_parties_voices() {
    assert_withheld(COACHES, Voices::Parties);
}

#[test]
fn nobody_hears_the_keys_of_who_coaches_over_her_own_voice() {
    assert_withheld(COACHES, Voices::Supervisor);
}

#[test]
fn nobody_hears_the_keys_of_who_barges_and_says_nothing() {
    assert_withheld(BARGES, Voices::Nobody);
}

#[test]
fn nobody_hears_the_keys_of_who_barges_beside_the_parties_voices() {
    assert_withheld(BARGES, Voices::Parties);
}

#[test]
fn nobody_hears_the_keys_of_who_barges_over_her_own_voice() {
    assert_withheld(BARGES, Voices::Supervisor);
}

#[test]
fn nobody_hears_the_keys_of_who_whispers_to_the_caller() {
    assert_withheld(WHISPERS, Voices::Supervisor);
}

#[test]
fn nobody_hears_the_tones_of_a_phone_that_agreed_to_events() {
    let part = Part {
        phone: How::Event,
        ..BARGES
    };
    assert_withheld(part, Voices::Supervisor);
}

#[test]
fn nobody_hears_the_tones_of_a_phone_that_has_sent_events() {
    let part = Part {
        phone: How::Event,
        by: How::Event,
        ..BARGES
    };
    assert_withheld(part, Voices::Nobody);
    assert_withheld(part, Voices::Supervisor);
}

#[test]
fn keys_that_nothing_withholds_are_found() {
    let part = Part {
        in_band: InBandDtmf::Never,
        ..BARGES
    };
    for voices in [Voices::Nobody, Voices::Parties, Voices::Supervisor] {
        for leak in leaks(part, voices) {
            assert!(leak.samples > leak.press.length() / 2, "{voices:?}: {leak}");
        }
    }
}

#[track_caller]
fn assert_withheld(part: Part, voices: Voices) {
    let leaks = leaks(part, voices);
    let worst = leaks.iter().max_by_key(|leak| leak.samples).unwrap();
    println!("{worst}");
    assert!(worst.samples <= MOST, "{worst}");
}

/// So much a party heard of a key.
struct Leak {
    party: &'static str,
    press: Press,
    samples: usize,
}

impl std::fmt::Display for Leak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = self.samples as f64 / SAMPLES_PER_MS as f64;
        write!(
            f,
            "{} heard {milliseconds} ms of {:?}",
            self.party, self.press
        )
    }
}

/// For both parties and each key.
fn leaks(part: Part, voices: Voices) -> Vec<Leak> {
    let presses = presses();
    let end = presses.last().unwrap().begin + 1_000 * SAMPLES_PER_MS;
    let mut voice = vec![0; end];
    if voices == Voices::Supervisor {
        add_voice(&mut voice, &presses);
    }
    let mut all = voice.clone();
    for press in &presses {
        press.add_to(&mut all);
    }

    let nothing = hold(part, voices, vec![0; end]);
    let her_voice = hold(part, voices, voice);
    let with_keys = hold(part, voices, all);

    let mut leaks = Vec::new();
    for (number, party) in ["the customer", "the agent"].into_iter().enumerate() {
        let heard = Heard {
            nothing: &nothing[number],
            her_voice: &her_voice[number],
            with_keys: &with_keys[number],
        };
        for (n, press) in presses.iter().enumerate() {
            let next = presses.get(n + 1).map_or(end, |next| next.begin);
            let samples = (press.begin..next).filter(|at| heard.is_of_a_key(*at));
            leaks.push(Leak {
                party,
                press: *press,
                samples: samples.count(),
            });
        }
    }
    if voices == Voices::Supervisor {
        let differing = her_voice.iter().zip(&nothing).map(|(with, without)| {
            let pairs = with.iter().zip(without);
            pairs.filter(|(with, without)| with != without).count()
        });
        let differing = differing.max().unwrap();
        assert!(
            differing > end / 4,
            "she is heard in {differing} samples of {end}"
        );
    }
    leaks
}

/// What one party heard, each time.
struct Heard<'a> {
    nothing: &'a [i16],
    her_voice: &'a [i16],
    with_keys: &'a [i16],
}

impl Heard<'_> {
    fn is_of_a_key(&self, at: usize) -> bool {
        let heard = i32::from(self.with_keys[at]);
        let differs = |from: i16| (heard - i32::from(from)).abs() > HEARD;
        // A pause in a voice may bring what follows it a frame nearer, or farther.
        let voice = [at.checked_sub(FRAME), Some(at), Some(at + FRAME)];
        let mut voice = voice.into_iter().flatten();
        differs(self.nothing[at])
            && voice.all(|at| self.her_voice.get(at).is_none_or(|it| differs(*it)))
    }
}

/// Holds a call and yields what customer and agent heard from when she began.
fn hold(part: Part, voices: Voices, says: Vec<i16>) -> [Vec<i16>; 2] {
    let mut settings = settings();
    settings.in_band_dtmf = part.in_band;
    let mut world = World::with_settings(7, Impairment::CLEAN, settings);
    let (customer, agent) = world.converse();
    let mia = world.supervise_by(MIA, part.phone);
    world.press(mia, part.command, part.by);
    world.run_until(
        |world| world.supervision() == Some(part.supervision),
        "the supervisor's role is changed",
    );
    world.phones[mia.0].silent = true;
    for party in [customer, agent] {
        world.phones[party.0].silent = voices != Voices::Parties;
    }
    world.run_for(Duration::from_secs(2));

    for party in [customer, agent] {
        world.phones[party.0].tape = Some(Vec::new());
    }
    let milliseconds = says.len() / SAMPLES_PER_MS;
    world.phones[mia.0].say(says);
    world.run_for(Duration::from_millis(milliseconds as u64 + 200));

    assert_eq!(world.supervision(), Some(part.supervision));
    // A key at full level is cut by its coding, and what that makes of it is like anything.
    if part.in_band != InBandDtmf::Never {
        world.checks.assert_clean();
    }
    [customer, agent].map(|party| world.phones[party.0].tape.take().unwrap())
}

#[derive(Clone, Copy, Debug)]
struct Press {
    key: char,
    dbm0: f64,
    milliseconds: usize,
    /// In samples.
    begin: usize,
}

impl Press {
    fn amplitude(&self) -> f64 {
        ZERO_DBM0 * 10f64.powf(self.dbm0 / 20.0)
    }

    fn length(&self) -> usize {
        self.milliseconds * SAMPLES_PER_MS
    }

    fn add_to(&self, sound: &mut [i16]) {
        let amplitude = self.amplitude() as f32;
        for (n, sample) in sound[self.begin..][..self.length()].iter_mut().enumerate() {
            let tone = f32::from(*sample) + key_sample(self.key, amplitude, n) as f32;
            *sample = tone as i16;
        }
    }
}

/// Every key at every level and of every length.
fn presses() -> Vec<Press> {
    let mut presses = Vec::new();
    let mut begin = PAUSE_MS * SAMPLES_PER_MS;
    for dbm0 in LEVELS_DBM0 {
        for milliseconds in LENGTHS_MS {
            for key in KEYS.chars() {
                // At any place in a frame.
                begin += 41 * presses.len() % FRAME;
                presses.push(Press {
                    key,
                    dbm0,
                    milliseconds,
                    begin,
                });
                begin += (milliseconds + PAUSE_MS) * SAMPLES_PER_MS;
            }
        }
    }
    presses
}

/// A hum of 27 harmonics whose pitch moves as that of speech does; the strongest of them 10 dB below
/// each tone of the key that is pressed next.
fn add_voice(sound: &mut [i16], presses: &[Press]) {
    let mut phase = 0.0;
    for (n, sample) in sound.iter_mut().enumerate() {
        let time = n as f64 / (1_000 * SAMPLES_PER_MS) as f64;
        let pitch = 120.0 + 30.0 * (TAU * 1.3 * time).sin();
        phase += TAU * pitch / (1_000 * SAMPLES_PER_MS) as f64;
        let harmonics = (1..28).map(f64::from);
        let sum: f64 = harmonics.map(|k| (phase * k).sin() / k).sum();
        let next = presses.partition_point(|press| press.begin + press.length() <= n);
        let press = &presses[next.min(presses.len() - 1)];
        *sample = (sum * press.amplitude() * 10f64.powf(-10.0 / 20.0)) as i16;
    }
}
