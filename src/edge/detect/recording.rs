//! A WAV file, from its beginning to its end: RIFF chunks up to `data`, then samples.
//!
//! Who writes to a pipe (ffmpeg, sox) cannot go back and put the length into the header: such a file
//! goes on to its end. Reads no further ahead than asked, so that length is no matter.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// Samples of 16 bits, in mono.
pub struct Recording {
    pub rate_hz: usize,
    data: BufReader<File>,
    /// Bytes of samples that the header promises; `None`: up to the end of the file.
    left: Option<u64>,
}

/// What stands for a length that was not known: sox writes this, ffmpeg 2³² - 1, others 0.
const SHORTEST_UNKNOWN: u32 = 0x7fff_f000;
/// `WAVE_FORMAT_EXTENSIBLE`, the longest there is, has 40 bytes.
const MAX_FORMAT: u32 = 1_024;

impl Recording {
    /// # Errors
    ///
    /// What the file is instead of a WAV file in mono of 16 bits; the caller names it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut data = BufReader::new(File::open(path)?);
        let mut riff = [0; 12];
        let no_wav = "expected a WAV file";
        data.read_exact(&mut riff).context(no_wav)?;
        ensure!(riff.starts_with(b"RIFF") && riff.ends_with(b"WAVE"), no_wav);

        let mut spec = None;
        let length = loop {
            let (id, length) = chunk(&mut data)
                .context("expected the chunks \"fmt \" and \"data\" of a WAV file")?;
            match &id {
                b"fmt " if length <= MAX_FORMAT => {
                    let mut format = vec![0; length as usize];
                    data.read_exact(&mut format)?;
                    spec = Some(spec_of(&format)?);
                }
                b"data" => break length,
                _ => skip(&mut data, length.into())?,
            }
            // A chunk of odd length is followed by a zero that its length does not count; there are
            // writers that leave it out, and no chunk begins with one.
            if length % 2 == 1 && data.fill_buf()?.first() == Some(&0) {
                data.consume(1);
            }
        };
        let Some(spec) = spec else {
            bail!("expected the chunk \"fmt \" before \"data\"");
        };
        ensure!(
            spec.channels == 1
                && spec.bits_per_sample == 16
                && spec.sample_format == hound::SampleFormat::Int,
            "{} channels of {} bits; wanted mono, 16 bits, integer",
            spec.channels,
            spec.bits_per_sample,
        );
        let known = length != 0 && length < SHORTEST_UNKNOWN;
        Ok(Self {
            rate_hz: spec.sample_rate as usize,
            data,
            left: known.then_some(length.into()),
        })
    }

    /// Replaces `frame` by the next samples, `count` of them but at the end. Empty: it was the end.
    pub fn read(&mut self, count: usize, frame: &mut Vec<i16>) -> anyhow::Result<()> {
        let wanted = self.left.unwrap_or(u64::MAX).min(count as u64 * 2);
        let mut bytes = Vec::with_capacity(wanted as usize);
        self.data.by_ref().take(wanted).read_to_end(&mut bytes)?;
        if let Some(left) = &mut self.left {
            ensure!(bytes.len() as u64 == wanted, "shorter than its header says");
            *left -= wanted;
        }
        let pairs = bytes.chunks_exact(2);
        frame.clear();
        frame.extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        Ok(())
    }
}

/// Id and length of the chunk that begins here.
fn chunk(data: &mut impl Read) -> io::Result<([u8; 4], u32)> {
    let (mut id, mut length) = ([0; 4], [0; 4]);
    data.read_exact(&mut id)?;
    data.read_exact(&mut length)?;
    Ok((id, u32::from_le_bytes(length)))
}

fn skip(data: &mut impl Read, length: u64) -> io::Result<()> {
    match io::copy(&mut data.take(length), &mut io::sink())? {
        skipped if skipped == length => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// What the chunk `fmt ` says, by reading a file of nothing else.
fn spec_of(format: &[u8]) -> anyhow::Result<hound::WavSpec> {
    let length = (format.len() as u32).to_le_bytes();
    let parts: [&[u8]; 4] = [b"RIFF\0\0\0\0WAVEfmt ", &length, format, b"data\0\0\0\0"];
    let head = parts.concat();
    Ok(hound::WavReader::new(Cursor::new(head))?.spec())
}
