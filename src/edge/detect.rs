//! The command `detect`: the detectors that calls use, over a file.

mod recording;
mod replacing;

use std::io::{BufRead, BufReader, BufWriter, Write, stdout};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use audio_codec::BoxedResampler;
use serde::Deserialize;

use crate::edge::clock;
use crate::edge::detect::recording::Recording;
use crate::edge::detect::replacing::Replacing;
use crate::media::clamp::{self, KeyClamp};
use crate::media::dtmf::event::EventReceiver;
use crate::media::dtmf::tone::{Profile, ToneDetector, ToneEvent, ToneEvents};
use crate::wire::rtp::Header;

/// What the detector hears, in samples per second.
const RATE_HZ: usize = 8_000;

/// Prints the keys of a WAV file, one to a line: `<onset_ms> <digit> <decided_ms>`. With `events`,
/// those of RTP packets as JSON lines: `<rtp_timestamp> <digit>`.
/// `clamped` is written with what a party hears of such a voice: 8 kHz, without the keys, and later
/// by the clamp's look-ahead.
pub fn run(
    profile: Profile,
    path: &Path,
    events: Option<&Path>,
    clamped: Option<&Path>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    match events {
        Some(events) => hear_events(events, &mut out)?,
        None => hear_tones(profile, path, clamped, &mut out)?,
    }
    out.flush()?;
    Ok(())
}

/// Feeds the file in frames of 20 ms, as a call does.
fn hear_tones(
    profile: Profile,
    path: &Path,
    clamped: Option<&Path>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let name = path.display();
    let mut recording = Recording::open(path).with_context(|| format!("{name}"))?;
    let rate = recording.rate_hz;
    if ![8_000, 16_000, 48_000].contains(&rate) {
        bail!("{name}: {rate} samples per second; wanted 8000, 16000 or 48000");
    }
    if let Some(clamped) = clamped {
        ensure!(
            rate == RATE_HZ,
            "{name}: {rate} samples per second; the clamp takes 8000"
        );
        ensure!(
            !replacing::is_same_file(path, clamped),
            "--clamped {}: this is the recording itself; expected another file",
            clamped.display()
        );
    }

    let mut listener = Listener::new(profile, clamped)?;
    let mut resampler =
        BoxedResampler::new(rate, RATE_HZ).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
    let mut frame = Vec::with_capacity(rate / 50);
    let mut heard = 0;
    loop {
        recording
            .read(rate / 50, &mut frame)
            .with_context(|| format!("{name}"))?;
        if frame.is_empty() {
            break;
        }
        if rate != RATE_HZ {
            frame = resampler.resample(&frame);
        }
        let events = listener.push(&mut frame)?;
        heard += frame.len();
        for event in events {
            if let ToneEvent::Pressed {
                digit,
                onset_samples_ago,
                decided_samples_ago,
            } = event
            {
                let ms = |ago: usize| heard.saturating_sub(ago) as f64 / 8.0;
                let (onset, decided) = (ms(onset_samples_ago), ms(decided_samples_ago));
                writeln!(out, "{onset:.1} {} {decided:.1}", digit.as_char())?;
            }
        }
    }
    listener.finish()
}

/// The detector, alone or in the clamp.
enum Listener {
    Detector(Box<ToneDetector>),
    Clamp {
        clamp: Box<KeyClamp>,
        others_hear: hound::WavWriter<BufWriter<std::fs::File>>,
        output: Replacing,
    },
}

impl Listener {
    fn new(profile: Profile, clamped: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = clamped else {
            return Ok(Self::Detector(Box::new(ToneDetector::new(profile))));
        };
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: RATE_HZ as u32,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let named = || format!("--clamped {}", path.display());
        let (output, file) = Replacing::create(path).with_context(named)?;
        let others_hear = hound::WavWriter::new(BufWriter::new(file), spec).with_context(named)?;
        let clamp = Box::new(KeyClamp::new(profile));
        Ok(Self::Clamp {
            clamp,
            others_hear,
            output,
        })
    }

    fn push(&mut self, samples: &mut Vec<i16>) -> anyhow::Result<ToneEvents> {
        match self {
            Self::Detector(detector) => Ok(detector.push(samples)),
            Self::Clamp {
                clamp, others_hear, ..
            } => {
                let mut frame = [0; clamp::FRAME];
                // The end of the file is no whole frame.
                samples.resize(clamp::FRAME, 0);
                frame.copy_from_slice(samples);
                let events = clamp.push(&mut frame);
                for sample in frame {
                    others_hear.write_sample(sample)?;
                }
                Ok(events)
            }
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Detector(_) => Ok(()),
            Self::Clamp {
                others_hear,
                output,
                ..
            } => {
                others_hear.finalize()?;
                Ok(output.keep()?)
            }
        }
    }
}

/// One RTP packet as it arrived.
#[derive(Deserialize)]
struct Line {
    /// Milliseconds.
    at: f64,
    ssrc: u32,
    pt: u8,
    seq: u16,
    ts: u32,
    m: u8,
    /// Hexadecimal.
    payload: String,
}

/// The payload types of telephone-event in such files, at 8 and at 48 kHz.
const EVENT_TYPES: [u8; 2] = [101, 102];

fn hear_events(path: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let name = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("{name}"))?;
    let begun = clock::now();
    let mut receiver = EventReceiver::new(begun);
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("{name}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("{name}:{}", number + 1);
        let line: Line = serde_json::from_str(&line).with_context(place)?;
        if !EVENT_TYPES.contains(&line.pt) {
            continue;
        }
        let payload = hex::decode(&line.payload).with_context(place)?;
        let header = Header {
            payload_type: line.pt,
            marker: line.m != 0,
            sequence: line.seq,
            timestamp: line.ts,
            ssrc: line.ssrc,
        };
        let now = begun + Duration::from_secs_f64((line.at / 1_000.0).clamp(0.0, 1e6));
        if let Some(digit) = receiver.handle_packet(now, &header, &payload) {
            writeln!(out, "{} {}", line.ts, digit.as_char())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
