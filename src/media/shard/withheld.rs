//! A supervisor's keys in the audio of calls at 16 kHz, where the clamp hears and is heard through
//! resamplers: none of the 16 reaches a party.

use crate::media::codec::Codec;
use crate::media::command::{InBand, InBandWhen, KeyListening, KeyPassage};
use crate::media::shard::harness::{COACH, PUPIL, Speaks, USER, World};

const KEYS: &str = "123A456B789C*0#D";

/// −50 dBm0.
const HEARD: u16 = 72;

/// 10 ms.
const MOST: usize = 80;

#[test]
fn nobody_hears_a_key_of_a_supervisor_whose_phone_is_narrow() {
    for party in [Codec::G722, Codec::Opus] {
        assert_withheld([party, party, Codec::Pcmu]);
    }
}

#[test]
fn nobody_hears_a_key_of_a_supervisor_whose_phone_is_wide() {
    for codec in [Codec::G722, Codec::Opus] {
        assert_withheld([codec; 3]);
    }
}

#[test]
fn nobody_hears_a_key_of_a_supervisor_whose_phone_alone_is_wide() {
    assert_withheld([Codec::Pcmu, Codec::Pcma, Codec::G722]);
}

#[test]
fn a_key_that_nothing_withholds_is_found() {
    for codecs in [[Codec::G722; 3], [Codec::Opus, Codec::Opus, Codec::Pcmu]] {
        for leak in leaks(codecs, InBand::Off) {
            assert!(leak.samples > 4 * leak.milliseconds, "{codecs:?}: {leak}");
        }
    }
}

#[track_caller]
fn assert_withheld(codecs: [Codec; 3]) {
    for leak in leaks(codecs, InBand::Role(InBandWhen::Auto)) {
        assert!(leak.samples <= MOST, "{codecs:?}: {leak}");
    }
}

/// So much a party heard of a key.
struct Leak {
    party: usize,
    key: char,
    milliseconds: usize,
    samples: usize,
}

impl std::fmt::Display for Leak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            party,
            key,
            milliseconds,
            samples,
        } = self;
        write!(
            f,
            "{party} heard {samples} samples of {key}, {milliseconds} ms"
        )
    }
}

/// While she coaches, in the pupil's ear, and while she barges, in both.
fn leaks(codecs: [Codec; 3], in_band: InBand) -> Vec<Leak> {
    type Begin = fn(&mut World);
    let roles: [(Begin, &[usize]); 2] = [(World::coach, &[PUPIL]), (World::barge, &[USER, PUPIL])];
    let mut leaks = Vec::new();
    for (begin, parties) in roles {
        let mut world = World::monitored(codecs);
        world.reconfigure(COACH, |media| media.telephone_event = None);
        world.listen(
            COACH,
            KeyListening {
                in_band,
                events: KeyPassage::Withhold,
            },
        );
        begin(&mut world);
        world.run(1_000);
        assert!(world.ears_of(PUPIL).contains(&COACH));
        for phone in &mut world.phones {
            phone.speaks = Speaks::Silence;
        }
        world.run(1_000);

        for key in KEYS.chars() {
            for milliseconds in [40, 100, 500] {
                world.forget();
                world.say_key(COACH, key, milliseconds as u64);
                world.run(300);

                for &party in parties {
                    let heard = world.heard(party, milliseconds as u64 + 300);
                    leaks.push(Leak {
                        party,
                        key,
                        milliseconds,
                        samples: heard.iter().filter(|it| it.unsigned_abs() > HEARD).count(),
                    });
                }
            }
        }
    }
    leaks
}
