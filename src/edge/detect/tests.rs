//! What `detect` makes of files as other programs write them, and of names.

use super::*;
use std::f32::consts::TAU;
use std::fs;
use std::path::PathBuf;

#[test]
fn a_file_of_unknown_length_is_heard_to_its_end() {
    let folder = Folder::new("streamed");
    for length in [0, 0x7fff_f000, u32::MAX] {
        let file = folder.write("streamed.wav", &wav(b"", length));

        assert_eq!(keys(&file, None).unwrap(), "1", "{length:#x}");
    }
}

#[test]
fn chunks_before_the_samples_are_passed_over() {
    let folder = Folder::new("chunks");
    let length = key().len() as u32;
    for chunk in [
        &b"LIST\x04\0\0\0INFO"[..],
        b"note\x05\0\0\0hello\0",
        // Without the zero that belongs there.
        b"note\x05\0\0\0hello",
    ] {
        let file = folder.write("chunks.wav", &wav(chunk, length));

        assert_eq!(keys(&file, None).unwrap(), "1", "{chunk:?}");
    }
}

#[test]
fn what_is_no_recording_is_named() {
    let folder = Folder::new("refused");
    let whole = wav(b"", key().len() as u32);
    let cut = &whole[..whole.len() - 3];
    for (bytes, expected) in [
        (&b"this is a letter"[..], "expected a WAV file"),
        (&b""[..], "expected a WAV file"),
        (&whole[..36], "expected the chunks \"fmt \" and \"data\""),
        (cut, "shorter than its header says"),
    ] {
        let file = folder.write("x.wav", bytes);

        let error = format!("{:#}", keys(&file, None).unwrap_err());

        assert!(
            error.starts_with(&format!("{}: {expected}", file.display())),
            "{error}"
        );
    }
}

#[test]
fn a_recording_is_not_written_over_by_what_others_hear_of_it() {
    let folder = Folder::new("clamped");
    let whole = wav(b"", key().len() as u32);
    let file = folder.write("call.wav", &whole);
    let (symbolic, hard) = (folder.0.join("symbolic.wav"), folder.0.join("hard.wav"));
    std::os::unix::fs::symlink(&file, &symbolic).unwrap();
    fs::hard_link(&file, &hard).unwrap();

    for output in [&file, &symbolic, &hard] {
        let error = keys(&file, Some(output)).unwrap_err().to_string();

        assert!(error.contains("this is the recording itself"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), whole);
    }
}

#[test]
fn what_others_hear_appears_whole_or_not_at_all() {
    let folder = Folder::new("whole");
    let whole = wav(b"", key().len() as u32);
    let cut = folder.write("cut.wav", &whole[..whole.len() - 2]);
    let file = folder.write("call.wav", &whole);
    let output = folder.write("out.wav", b"of the last time");

    let failed = keys(&cut, Some(&output));
    let kept = fs::read(&output).unwrap();
    let left = fs::read_dir(&folder.0).unwrap().count();
    let made = keys(&file, Some(&output)).unwrap();

    assert!(failed.is_err());
    assert_eq!(kept, b"of the last time");
    assert_eq!(left, 3, "nothing beside it");
    assert_eq!(made, "1");
    let heard = hound::WavReader::open(&output).unwrap();
    assert_eq!(heard.len() as usize, key().len() / 2);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3);
}

/// The keys heard in a file.
fn keys(file: &Path, clamped: Option<&Path>) -> anyhow::Result<String> {
    let mut out = Vec::new();
    hear_tones(Profile::Menu, file, clamped, &mut out)?;
    let lines = String::from_utf8(out)?;
    let digits = lines.lines().filter_map(|line| line.split(' ').nth(1));
    Ok(digits.collect())
}

/// The bytes of a file at 8 kHz with one key press, `chunk` before its samples and `length` as
/// theirs.
fn wav(chunk: &[u8], length: u32) -> Vec<u8> {
    let format = b"fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0";
    let parts: [&[u8]; 7] = [
        b"RIFF\xff\xff\xff\xff",
        b"WAVE",
        format,
        chunk,
        b"data",
        &length.to_le_bytes(),
        &key(),
    ];
    parts.concat()
}

/// Half a second with the key 1 in its middle, whole frames.
fn key() -> Vec<u8> {
    (0..4_000_u16)
        .flat_map(|n| {
            let wave = |hz: f32| (TAU * hz * f32::from(n) / 8_000.0).sin() * 6_000.0;
            let on = (1_600..2_400).contains(&n);
            let sample = if on { wave(697.0) + wave(1_209.0) } else { 0.0 };
            (sample as i16).to_le_bytes()
        })
        .collect()
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(what: &str) -> Self {
        let name = format!("sottovoce-detect-{what}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
