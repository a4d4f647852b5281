//! `./run bench dtmf`: what listening for keys costs, in nanoseconds for each sample of one channel:
//! both profiles, over silence, noise and continuous speech, fed in frames of 20 ms as a call does.
//! Beside it, in the same run, the eight filters of `goertzel-nostd` alone, without any decision.
//!
//! `./run bench dtmf` runs it a second time, built with the feature `portable`: what remains on a
//! processor without AVX2.

#[path = "shared/figures.rs"]
mod figures;

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use sottovoce::demo::tones::{COLUMNS_HZ, ROWS_HZ};
use sottovoce::demo::voices;
use sottovoce::media::dtmf::tone::{Profile, ToneDetector};

const FRAME: usize = 160;
/// Each figure is the best of the runs in so long a time: what disturbs only ever adds, and a run is
/// short enough to go undisturbed on a busy machine.
const RUNNING: Duration = Duration::from_secs(1);
const SECONDS: usize = 20;

fn main() -> anyhow::Result<()> {
    let build = match cfg!(feature = "portable") {
        true => "SSE2",
        false => "as the processor allows",
    };
    println!("ns per sample per channel, built for: {build}");
    println!("{:<20} {:>8} {:>8} {:>10}", "", "menu", "role", "goertzel");
    let mut rows = serde_json::Map::new();
    for (name, sound) in sounds() {
        let menu = listening(Profile::Menu, &sound);
        let role = listening(Profile::Role, &sound);
        let goertzel = filters(&sound);
        println!("{name:<20} {menu:>8.2} {role:>8.2} {goertzel:>10.2}");
        let row = json!({ "menu": menu, "role": role, "goertzel": goertzel });
        rows.insert(name.to_owned(), row);
    }
    let name = match cfg!(feature = "portable") {
        true => "dtmf-sse2",
        false => "dtmf",
    };
    figures::keep(name, &json!({ "ns_per_sample": rows, "built_for": build }))
}

fn sounds() -> Vec<(&'static str, Vec<i16>)> {
    let samples = SECONDS * 8_000;
    let mut random = fastrand::Rng::with_seed(1);
    let mut noise = |amplitude: f32| -> Vec<i16> {
        let mut sample = || {
            // Six together are near enough to a bell.
            let sum: f32 = (0..6).map(|_| random.f32() - 0.5).sum();
            (sum * amplitude) as i16
        };
        (0..samples).map(|_| sample()).collect()
    };
    let (faint, loud) = (noise(8.0), noise(8_000.0));
    vec![
        ("silence", vec![0; samples]),
        ("line noise", faint),
        ("loud noise", loud),
        ("speech, customer", continuous(&voices::customer(), samples)),
        ("speech, agent", continuous(&voices::agent(), samples)),
        (
            "speech, supervisor",
            continuous(&voices::supervisor(), samples),
        ),
    ]
}

/// Speech without its pauses, again and again until it is long enough.
fn continuous(voice: &[i16], samples: usize) -> Vec<i16> {
    let spoken = |frame: &&[i16]| {
        let energy: i64 = frame.iter().map(|s| i64::from(*s) * i64::from(*s)).sum();
        energy > 200 * 200 * FRAME as i64
    };
    let frames = voice.chunks_exact(FRAME).filter(spoken).flatten().copied();
    let frames: Vec<i16> = frames.collect();
    frames.into_iter().cycle().take(samples).collect()
}

fn listening(profile: Profile, sound: &[i16]) -> f64 {
    let mut detector = ToneDetector::new(profile);
    best(sound.len(), || {
        for frame in sound.chunks_exact(FRAME) {
            black_box(detector.push(black_box(frame)).count());
        }
    })
}

/// The energy at the eight frequencies, once for each frame.
fn filters(sound: &[i16]) -> f64 {
    let filters = ROWS_HZ.iter().chain(&COLUMNS_HZ);
    let filters: Vec<_> = filters
        .map(|hz| goertzel_nostd::Parameters::new(*hz, 8_000, FRAME))
        .collect();
    best(sound.len(), || {
        for frame in sound.chunks_exact(FRAME) {
            let mut samples = [0.0; FRAME];
            for (exact, sample) in samples.iter_mut().zip(frame) {
                *exact = f32::from(*sample);
            }
            for filter in &filters {
                black_box(filter.mag_squared(black_box(&samples).iter()));
            }
        }
    })
}

/// Nanoseconds for each sample, in the best of the runs.
fn best(samples: usize, mut work: impl FnMut()) -> f64 {
    let (begun, mut best) = (Instant::now(), f64::INFINITY);
    while begun.elapsed() < RUNNING {
        let run = Instant::now();
        work();
        best = best.min(run.elapsed().as_secs_f64() * 1e9 / samples as f64);
    }
    best
}
