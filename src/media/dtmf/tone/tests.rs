//! The detector as a whole, on signals made here.

use std::ops::Range;

use super::*;
use crate::media::dtmf::tone::complex::Complex;
use crate::media::dtmf::tone::grid::TONES_HZ;

/// Of a sine at full scale, in A-law (ITU-T G.711); its likeness to π is chance.
#[allow(clippy::approx_constant)]
const FULL_SCALE_DBM0: f64 = 3.14;

#[test]
fn every_key_is_known_within_33_ms_of_its_onset() {
    for code in 0..16 {
        for lead in [480, 497, 511] {
            let mut sound = silence(lead);
            sound.extend(key(code, 60, -10.0));
            sound.extend(silence(800));

            let heard = hear(Profile::Menu, &sound);

            let [press] = heard.as_slice() else {
                panic!("{} keys", heard.len());
            };
            assert_eq!(press.code, code);
            assert!(press.onset.abs_diff(lead) <= 40, "{lead}: {}", press.onset);
            assert!((lead + 180..=lead + 264).contains(&press.decided));
        }
    }
}

#[test]
fn tones_of_23_ms_are_no_keys() {
    for code in 0..16 {
        for milliseconds in [10, 15, 20, 23] {
            for lead in (480..520).step_by(7) {
                let mut sound = silence(lead);
                sound.extend(key(code, milliseconds, -10.0));
                sound.extend(silence(800));

                assert!(hear(Profile::Menu, &sound).is_empty());
            }
        }
    }
}

#[test]
fn a_pause_of_40_ms_ends_a_key_and_one_of_18_ms_does_not() {
    for (pause, expected) in [(5, 1), (10, 1), (18, 1), (40, 2), (50, 2)] {
        for lead in (480..520).step_by(7) {
            let mut sound = silence(lead);
            sound.extend(key(5, 70, -10.0));
            sound.extend(silence(pause * 8));
            sound.extend(key(5, 70, -10.0));
            sound.extend(silence(800));

            let keys = hear(Profile::Menu, &sound).len();

            assert_eq!(keys, expected, "{pause} ms at {lead}");
        }
    }
}

#[test]
fn neighbouring_keys_40_ms_apart_are_told_apart() {
    for (first, second) in [(5, 6), (5, 8), (1, 9), (10, 0)] {
        for lead in (480..520).step_by(7) {
            let mut sound = silence(lead);
            for code in [first, second, first] {
                sound.extend(key(code, 40, -10.0));
                sound.extend(silence(320));
            }
            sound.extend(silence(800));

            let heard: Vec<u8> = hear(Profile::Menu, &sound).iter().map(|k| k.code).collect();

            assert_eq!(heard, [first, second, first]);
        }
    }
}

#[test]
fn frequencies_1_8_percent_off_are_keys_and_3_percent_off_are_not() {
    for (percent, expected) in [(1.5, 1), (1.8, 1), (3.0, 0), (3.5, 0)] {
        for code in 0..16 {
            for (row, column) in [
                (1.0, 1.0),
                (-1.0, -1.0),
                (1.0, 0.0),
                (0.0, -1.0),
                (1.0, -1.0),
            ] {
                let mut sound = silence(500);
                let off = [row * percent / 100.0, column * percent / 100.0];
                sound.extend(tones(code, 50, [-10.0, -10.0], off));
                sound.extend(silence(800));

                let keys = hear(Profile::Menu, &sound).len();

                assert_eq!(keys, expected, "{code}: {percent} % {row} {column}");
            }
        }
    }
}

#[test]
fn the_role_profile_takes_80_ms_keys_within_75_ms_and_no_40_ms_keys() {
    for code in 0..16 {
        for lead in [480, 493, 507] {
            let mut long = silence(lead);
            long.extend(key(code, 80, -10.0));
            long.extend(silence(800));
            let mut short = silence(lead);
            short.extend(key(code, 40, -10.0));
            short.extend(silence(800));

            let heard = hear(Profile::Role, &long);

            assert_eq!(heard.len(), 1);
            assert_eq!(heard[0].code, code);
            assert!(heard[0].decided - lead <= 600);
            assert!(hear(Profile::Role, &short).is_empty());
        }
    }
}

#[test]
fn a_key_that_a_codec_begins_faintly_is_dated_from_there_and_known_in_time() {
    for code in 0..16 {
        for (lead, faint) in [
            (480, [-30.0, -18.0]),
            (493, [-18.0, -30.0]),
            (507, [-18.0; 2]),
        ] {
            let mut sound = silence(lead);
            sound.extend(tones(code, 20, faint, [0.0; 2]));
            sound.extend(key(code, 60, -10.0));
            sound.extend(silence(800));

            let heard = hear(Profile::Role, &sound);

            assert_eq!(heard.len(), 1, "{code}: {faint:?}");
            assert!(
                heard[0].onset.abs_diff(lead) <= 80,
                "{code}: {faint:?}: {heard:?}"
            );
            assert!(
                heard[0].decided - lead <= 600,
                "{code}: {faint:?}: {heard:?}"
            );
        }
    }
}

#[test]
fn a_key_that_wanders_off_for_a_lost_packet_is_known_by_what_is_left() {
    for code in 0..16 {
        for (lead, whole) in [(480, 18), (493, 20), (507, 19)] {
            let mut sound = silence(lead);
            sound.extend(wandering(code, 80, whole..whole + 40));
            sound.extend(silence(800));

            let heard = hear(Profile::Menu, &sound);

            assert_eq!(heard.len(), 1, "{code} at {lead}");
            assert_eq!(heard[0].code, code);
            assert!(heard[0].onset.abs_diff(lead) <= 240, "{lead}: {heard:?}");
        }
    }
}

#[test]
fn a_short_key_whose_middle_is_spoilt_is_known() {
    for code in 0..16 {
        for milliseconds in [50, 52, 55, 60] {
            let whole = (milliseconds - 20) / 2;
            for lead in (480..640).step_by(16) {
                let mut sound = silence(lead);
                sound.extend(wandering(code, milliseconds, whole..whole + 20));
                sound.extend(silence(800));

                let heard = hear(Profile::Menu, &sound);

                let [press] = heard.as_slice() else {
                    panic!("{code}, {milliseconds} ms at {lead}: {heard:?}");
                };
                assert_eq!(press.code, code);
            }
        }
    }
}

#[test]
fn a_gap_is_only_looked_for_in_what_comes_out_of_quiet() {
    let mut random = fastrand::Rng::with_seed(11);
    for code in 0..16 {
        let mut sound: Vec<i16> = (0..1_600).map(|_| random.i16(-4_000..4_000)).collect();
        sound.extend(wandering(code, 80, 19..59));
        sound.extend(silence(800));

        assert!(hear(Profile::Menu, &sound).is_empty(), "{code}");
    }
}

#[test]
fn harmonics_of_a_voice_are_no_keys() {
    // Sung vowels, steady and as loud as keys: each harmonic is a turning phasor.
    for pitch in (80..420).step_by(7) {
        for loudest in [2, 4, 7] {
            let mut sound = silence(400);
            let mut phasors: Vec<(Complex, Complex)> = (1..=3_400 / pitch)
                .map(|harmonic| {
                    let level = 6_000.0 / (1.0 + f64::from(i32::abs(harmonic - loudest)));
                    let turn = Complex::turn(grid::angular(f64::from(pitch * harmonic)));
                    (Complex::new(level, 0.0), turn)
                })
                .collect();
            for _ in 0..1_600 {
                let mut value = 0.0;
                for (phasor, turn) in &mut phasors {
                    value += phasor.im;
                    *phasor = *phasor * *turn;
                }
                sound.push(value.clamp(-32_000.0, 32_000.0) as i16);
            }

            let keys = hear(Profile::Menu, &sound).len();

            assert_eq!(keys, 0, "{pitch} Hz, {loudest}");
        }
    }
}

#[test]
fn a_voice_may_talk_into_a_key_that_is_exact() {
    for pitch in [105.0, 130.0, 180.0, 220.0] {
        let voice = voice(pitch, 4_000, -12.0);
        assert!(hear(Profile::Menu, &voice).is_empty(), "{pitch} Hz");
        for code in 0..16 {
            let mut sound = voice.clone();
            for (sample, key) in sound[1_600..].iter_mut().zip(key(code, 100, -10.0)) {
                *sample += key;
            }

            let heard = hear(Profile::Menu, &sound);

            assert_eq!(heard.len(), 1, "{code} under {pitch} Hz");
            assert_eq!(heard[0].code, code);
        }
    }
}

#[test]
fn two_exact_tones_of_three_are_no_key() {
    let others = [1_050.0, 1_900.0, 2_600.0];
    for code in 0..16 {
        let pair = key(code, 100, -10.0);
        let own = tones_of(code).map(|tone| TONES_HZ[tone]);
        let thirds = TONES_HZ.into_iter().filter(|hz| !own.contains(hz));
        for hz in thirds.chain(others) {
            let mut sound = silence(480);
            sound.extend(pair.iter().enumerate().map(|(n, sample)| {
                let third = amplitude(-10.0) * (grid::angular(hz) * n as f64 + 1.0).sin();
                sample + third.round() as i16
            }));
            sound.extend(silence(800));

            assert!(hear(Profile::Menu, &sound).is_empty(), "{code} and {hz} Hz");
        }
    }
}

#[test]
fn noise_is_no_key_and_hides_none_at_12_db() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = |db: f64| -> f64 {
        let uniform: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        uniform * amplitude(db) / std::f64::consts::SQRT_2
    };
    let mut sound: Vec<i16> = (0..24_000).map(|_| noise(-20.0) as i16).collect();
    assert!(hear(Profile::Menu, &sound).is_empty());

    sound.clear();
    let mut expected = Vec::new();
    for round in 0..96 {
        let code = (round % 16) as u8;
        expected.push(code);
        sound.extend(silence(400 + round));
        sound.extend(key(code, 50, -10.0));
    }
    sound.extend(silence(800));
    for sample in &mut sound {
        *sample = (f64::from(*sample) + noise(-22.0)) as i16;
    }

    let heard: Vec<u8> = hear(Profile::Menu, &sound).iter().map(|k| k.code).collect();

    assert_eq!(heard, expected);
}

#[test]
fn a_key_is_heard_the_same_however_the_sound_is_cut() {
    let mut sound = silence(500);
    for code in 0..16 {
        sound.extend(key(code, 60, -14.0));
        sound.extend(silence(480));
    }
    let whole = hear_in_pieces(Profile::Menu, &sound, 160);

    for length in [1, 33, 80, 240, 480] {
        let cut = hear_in_pieces(Profile::Menu, &sound, length);

        assert_eq!(cut, whole, "pieces of {length}");
    }
    assert_eq!(whole.len(), 16);
}

#[test]
fn a_release_follows_every_press() {
    let mut detector = ToneDetector::new(Profile::Menu);
    let mut sound = silence(500);
    for code in [1, 1, 2, 15] {
        sound.extend(key(code, 100, -10.0));
        sound.extend(silence(400));
    }
    sound.extend(silence(800));

    let mut down = None;
    let mut presses = 0;
    for frame in sound.chunks(160) {
        for event in detector.push(frame) {
            match event {
                ToneEvent::Pressed { digit, .. } => {
                    assert_eq!(down.replace(digit), None);
                    presses += 1;
                }
                ToneEvent::Released { digit } => assert_eq!(down.take(), Some(digit)),
            }
        }
        assert_eq!(detector.is_key_present(), down.is_some());
    }

    assert_eq!(presses, 4);
    assert_eq!(down, None);
}

/// A key as it was heard; samples from the beginning.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    code: u8,
    onset: usize,
    decided: usize,
}

fn hear(profile: Profile, sound: &[i16]) -> Vec<Heard> {
    hear_in_pieces(profile, sound, 160)
}

fn hear_in_pieces(profile: Profile, sound: &[i16], length: usize) -> Vec<Heard> {
    let mut detector = ToneDetector::new(profile);
    let mut heard = Vec::new();
    let mut position = 0;
    for frame in sound.chunks(length) {
        position += frame.len();
        for event in detector.push(frame) {
            if let ToneEvent::Pressed {
                digit,
                onset_samples_ago,
                decided_samples_ago,
            } = event
            {
                heard.push(Heard {
                    code: digit.event(),
                    onset: position - onset_samples_ago,
                    decided: position - decided_samples_ago,
                });
            }
        }
    }
    heard
}

fn silence(samples: usize) -> Vec<i16> {
    vec![0; samples]
}

fn key(code: u8, milliseconds: usize, dbm0: f64) -> Vec<i16> {
    tones(code, milliseconds, [dbm0; 2], [0.0; 2])
}

fn tones_of(code: u8) -> [usize; 2] {
    let mut pairs = (0..4).flat_map(|row| (4..8).map(move |column| Pair { row, column }));
    let pair = pairs.find(|pair| pair.digit().event() == code);
    pair.unwrap().tones()
}

fn tones(code: u8, milliseconds: usize, dbm0: [f64; 2], off: [f64; 2]) -> Vec<i16> {
    let [row, column] = tones_of(code);
    (0..milliseconds * 8)
        .map(|n| {
            let wave = |tone: usize, which: usize| {
                let hz = TONES_HZ[tone] * (1.0 + off[which]);
                let phase = grid::angular(hz) * n as f64 + f64::from(code) * which as f64;
                amplitude(dbm0[which]) * phase.sin()
            };
            (wave(row, 0) + wave(column, 1)).round() as i16
        })
        .collect()
}

/// A key as a decoder gives it when a packet was lost: whole, but for some milliseconds in which one
/// tone is too high and the other too low, and then as if nothing had happened.
fn wandering(code: u8, milliseconds: usize, lost: Range<usize>) -> Vec<i16> {
    let lost = lost.start * 8..lost.end * 8;
    let right = key(code, milliseconds, -10.0);
    let wrong = tones(code, milliseconds, [-10.0; 2], [0.045, -0.025]);
    (0..right.len())
        .map(|n| {
            if lost.contains(&n) {
                wrong[n]
            } else {
                right[n]
            }
        })
        .collect()
}

/// A voice whose pitch moves, of that level in all.
fn voice(pitch: f64, samples: usize, dbm0: f64) -> Vec<i16> {
    let loudness = |hz: f64| {
        let formants = [(600.0, 1.0), (1_400.0, 0.4), (2_500.0, 0.2)];
        let near =
            formants.map(|(formant, level)| level / (1.0 + ((hz - formant) / 100.0).powi(2)));
        near.iter().sum::<f64>()
    };
    let mut turned = 0.0;
    let waves: Vec<f64> = (0..samples)
        .map(|n| {
            let hz = pitch * (1.0 + 0.05 * (grid::angular(4.0) * n as f64).sin());
            turned += grid::angular(hz);
            (1..=(3_400.0 / hz) as u32)
                .map(f64::from)
                .map(|harmonic| loudness(harmonic * hz) * (harmonic * turned).cos())
                .sum()
        })
        .collect();
    let energy: f64 = waves.iter().map(|wave| wave * wave).sum();
    let scale = amplitude(dbm0) * (samples as f64 / 2.0 / energy).sqrt();
    waves
        .iter()
        .map(|wave| (scale * wave).round() as i16)
        .collect()
}

/// Of a sine.
fn amplitude(dbm0: f64) -> f64 {
    32_767.0 * 10f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}
