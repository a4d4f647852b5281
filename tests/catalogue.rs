//! The catalogue of refusals, the prompts they are spoken with, and the enum that names them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sottovoce::control::refusal::ErrorCode;

/// What a code's digits and its sentence may last together.
const LONGEST_CODE: Duration = Duration::from_millis(4500);

/// What a player may leave between two prompts of one announcement.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    text: String,
    prompt: Vec<String>,
    sip: u16,
    http: u16,
    severity: String,
}

#[test]
fn the_catalogue_and_the_enum_name_the_same_codes() {
    let written: Vec<String> = catalogue().into_keys().collect();
    let known: Vec<String> = ErrorCode::ALL.iter().map(ErrorCode::to_string).collect();

    assert_eq!(written, known);
}

#[test]
fn every_code_bears_the_name_of_its_variant() {
    let catalogue = catalogue();

    for code in ErrorCode::ALL {
        let name = &catalogue[&code.to_string()].name;

        assert_eq!(*name, kebab(&format!("{code:?}")), "{code}");
    }
}

#[test]
fn every_code_has_text_status_and_severity() {
    for (code, entry) in catalogue() {
        assert!(entry.text.ends_with('.'), "{code}: {:?}", entry.text);
        assert!((400..700).contains(&entry.sip), "{code}: sip {}", entry.sip);
        assert!(
            (400..600).contains(&entry.http),
            "{code}: http {}",
            entry.http
        );
        assert!(
            ["info", "warning", "error"].contains(&entry.severity.as_str()),
            "{code}: severity {:?}",
            entry.severity
        );
    }
}

#[test]
fn the_statuses_of_the_interface_stand() {
    let catalogue = catalogue();

    for (codes, http) in [
        (&[9009, 9011, 9012, 9013, 9014, 9015][..], 409),
        (&[9003, 9005, 9006, 9007], 403),
        (&[9010], 503),
    ] {
        for code in codes {
            assert_eq!(catalogue[&code.to_string()].http, http, "{code}");
        }
    }
}

#[test]
fn a_code_is_spoken_digit_by_digit_before_its_sentence() {
    for (code, entry) in catalogue() {
        let digits: Vec<String> = code.chars().map(String::from).collect();

        assert_eq!(entry.prompt[..4], digits, "{code}");
        assert_eq!(entry.prompt[4..], [entry.name], "{code}");
    }
}

#[test]
fn every_code_is_spoken_within_its_time_in_every_language() {
    for language in languages() {
        for (code, entry) in catalogue() {
            let words: Duration = entry
                .prompt
                .iter()
                .map(|stem| duration(&prompts().join(&language).join(format!("{stem}.wav"))))
                .sum();
            let total = words + PAUSE * (entry.prompt.len() as u32 - 1);

            assert!(total <= LONGEST_CODE, "{language} {code}: {total:?}");
        }
    }
}

#[test]
fn every_line_of_a_list_is_a_file_of_the_right_format() {
    for language in languages() {
        for stem in stems(&language) {
            let path = prompts().join(&language).join(format!("{stem}.wav"));

            assert!(duration(&path) > Duration::ZERO, "{}", path.display());
        }
    }
}

/// A prompt is as loud as any other, does not distort, and has no more than a breath of silence at
/// either end.
#[test]
fn every_prompt_is_of_one_level_and_trimmed() {
    // −26 dBFS where there is speech, as far as short and long words can be alike.
    let level = -28.0..=-24.0;
    let (before, after) = (Duration::from_millis(150), Duration::from_millis(250));

    for language in languages() {
        for stem in stems(&language) {
            let path = prompts().join(&language).join(format!("{stem}.wav"));
            let frames = loudness(&path);
            let strongest = frames.iter().copied().fold(0.0, f64::max);
            let speech: Vec<f64> = frames
                .iter()
                .copied()
                .filter(|rms| *rms > strongest * 0.1)
                .collect();
            let mean = speech.iter().map(|rms| rms * rms).sum::<f64>() / speech.len() as f64;
            let measured = 10.0 * mean.log10();
            let silent = |rms: &&f64| **rms < 0.003;
            let [head, tail] = [
                frames.iter().take_while(silent).count(),
                frames.iter().rev().take_while(silent).count(),
            ]
            .map(|frames| FRAME * frames as u32);

            let name = path.display();
            assert!(level.contains(&measured), "{name}: {measured:.1} dBFS");
            assert!(head <= before && tail <= after, "{name}: {head:?} {tail:?}");
        }
    }
}

const FRAME: Duration = Duration::from_millis(20);

/// The root mean square of each 20 ms, full scale being 1.
fn loudness(path: &Path) -> Vec<f64> {
    let mut reader = hound::WavReader::open(path).unwrap();
    let samples: Vec<f64> = reader
        .samples::<i16>()
        .map(|sample| f64::from(sample.unwrap()) / 32_768.0)
        .collect();
    samples
        .chunks_exact(320)
        .map(|frame| (frame.iter().map(|sample| sample * sample).sum::<f64>() / 320.0).sqrt())
        .collect()
}

#[test]
fn every_language_says_the_same_things() {
    let english = stems("en");

    for language in languages() {
        assert_eq!(stems(&language), english, "{language}");
    }
}

/// The catalogue by number, in the order of the numbers.
fn catalogue() -> BTreeMap<String, Entry> {
    let text = fs::read_to_string(root().join("error-codes.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

/// `PupilGone` → `pupil-gone`.
fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for c in variant.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Every language that has a list, English among them.
fn languages() -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(prompts())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert!(found.contains(&"en".to_owned()), "{found:?}");
    found
}

/// The stems of a language's list.
fn stems(language: &str) -> Vec<String> {
    fs::read_to_string(prompts().join(format!("{language}.txt")))
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect()
}

/// How long a prompt is, once its format is right.
fn duration(path: &Path) -> Duration {
    let reader = hound::WavReader::open(path).unwrap_or_else(|error| {
        panic!("{}: {error}", path.display());
    });
    let spec = reader.spec();
    assert_eq!(
        (spec.channels, spec.bits_per_sample, spec.sample_rate),
        (1, 16, 16_000),
        "{}: channels, bits, rate",
        path.display()
    );
    Duration::from_secs_f64(f64::from(reader.duration()) / f64::from(spec.sample_rate))
}

fn prompts() -> PathBuf {
    root().join("prompts")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
