//! The three voices of the demo, 8 kHz, made by `fixtures/demo/make` and built into the binary so
//! that the demo needs no files.

use std::sync::Arc;

pub fn customer() -> Arc<[i16]> {
    samples(include_bytes!("../../fixtures/demo/customer.wav"))
}

pub fn agent() -> Arc<[i16]> {
    samples(include_bytes!("../../fixtures/demo/agent.wav"))
}

pub fn supervisor() -> Arc<[i16]> {
    samples(include_bytes!("../../fixtures/demo/supervisor.wav"))
}

fn samples(wav: &'static [u8]) -> Arc<[i16]> {
    match hound::WavReader::new(wav) {
        Ok(mut reader) => reader.samples::<i16>().filter_map(Result::ok).collect(),
        Err(error) => unreachable!("a voice built into the binary is not a WAV file: {error}"),
    }
}
