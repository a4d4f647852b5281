//! Prompt files: WAV bytes into samples.

use std::io::Cursor;

/// A mono sound of 16-bit samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    pub rate_hz: u32,
    pub samples: Vec<i16>,
}

#[derive(Debug, thiserror::Error)]
pub enum WavError {
    #[error("not a WAV file: {0}")]
    Format(#[from] hound::Error),
    #[error("{channels} channels of {bits} bits; wanted mono, 16 bits, integer")]
    Layout { channels: u16, bits: u16 },
    #[error("{0} samples per second; wanted 8000, 16000 or 48000")]
    Rate(u32),
    #[error("longer than {0} s")]
    TooLong(u32),
}

/// The longest sound that is read: beyond it a file is a mistake, not a prompt.
const MAX_SECONDS: u32 = 3600;

impl Wav {
    pub fn parse(bytes: &[u8]) -> Result<Self, WavError> {
        let mut reader = hound::WavReader::new(Cursor::new(bytes))?;
        let spec = reader.spec();
        if spec.channels != 1
            || spec.bits_per_sample != 16
            || spec.sample_format != hound::SampleFormat::Int
        {
            return Err(WavError::Layout {
                channels: spec.channels,
                bits: spec.bits_per_sample,
            });
        }
        if !matches!(spec.sample_rate, 8_000 | 16_000 | 48_000) {
            return Err(WavError::Rate(spec.sample_rate));
        }
        if reader.duration() / spec.sample_rate > MAX_SECONDS {
            return Err(WavError::TooLong(MAX_SECONDS));
        }
        let samples = reader.samples::<i16>().collect::<Result<Vec<i16>, _>>()?;
        Ok(Self {
            rate_hz: spec.sample_rate,
            samples,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_is_read_back() {
        let samples: Vec<i16> = (0..1_000).map(|n| (n * 31 % 20_000) as i16).collect();
        let bytes = file(16_000, 1, &samples);

        let wav = Wav::parse(&bytes).unwrap();

        assert_eq!(wav.rate_hz, 16_000);
        assert_eq!(wav.samples, samples);
    }

    #[test]
    fn stereo_and_odd_rates_are_refused() {
        assert!(matches!(
            Wav::parse(&file(16_000, 2, &[0; 10])),
            Err(WavError::Layout { channels: 2, .. })
        ));
        assert!(matches!(
            Wav::parse(&file(44_100, 1, &[0; 10])),
            Err(WavError::Rate(44_100))
        ));
    }

    #[test]
    fn arbitrary_and_truncated_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        let good = file(8_000, 1, &[7; 200]);
        for _ in 0..5_000 {
            let mut bytes = good[..random.usize(0..=good.len())].to_vec();
            for _ in 0..random.usize(0..6) {
                if !bytes.is_empty() {
                    let place = random.usize(0..bytes.len());
                    bytes[place] = random.u8(..);
                }
            }
            let _ = Wav::parse(&bytes);
        }
    }

    fn file(rate_hz: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }
}
