//! `prompts/<language>/*.wav` into a [`PromptLibrary`]: the node's language whole, or no start.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::id::{Language, PromptId};
use crate::media::prompt::PromptLibrary;
use crate::wire::wav::{Wav, WavError};

/// What was read.
#[derive(Debug)]
pub struct Prompts {
    /// The node's language first; a [`Language`] is an index into these.
    pub languages: Vec<String>,
    /// Sentences of each language, in the same order.
    pub counts: Vec<usize>,
    pub library: PromptLibrary,
}

#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("{}: missing; expected a folder with one for each language", path.display())]
    NoFolder { path: PathBuf },
    #[error(
        "{}: missing; expected what is said as a WAV file: mono, 16 bits, 16000 or 8000 Hz",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {source}", path.display())]
    Format { path: PathBuf, source: WavError },
    #[error("{}: {rate_hz} samples per second; expected 16000 or 8000", path.display())]
    Rate { path: PathBuf, rate_hz: u32 },
    #[error("{}: no samples; expected a sentence", path.display())]
    Empty { path: PathBuf },
}

/// What the product says, one line a prompt. The English list stands for all: other languages have
/// the same stems.
const LIST: &str = include_str!("../../prompts/en.txt");

/// A [`Language`] is a byte.
const MAX_LANGUAGES: usize = 256;

impl Prompts {
    /// Reads every language of the share folder. A sentence that another language lacks is spoken
    /// in the node's. `of_codes` are the prompts of the catalogue.
    pub fn load(
        share: &Path,
        language: &str,
        of_codes: impl IntoIterator<Item = PromptId>,
    ) -> Result<Self, PromptError> {
        let wanted: BTreeSet<PromptId> = stems().chain(of_codes).collect();
        let folder = share.join("prompts");
        let languages = languages(share, language).map_err(|source| {
            let path = folder.clone();
            match source.kind() {
                ErrorKind::NotFound => PromptError::NoFolder { path },
                _ => PromptError::Unreadable { path, source },
            }
        })?;

        let mut library = PromptLibrary::empty();
        let mut counts = vec![0; languages.len()];
        for (index, name) in languages.iter().enumerate() {
            let language = Language(index as u8);
            for id in &wanted {
                let path = folder.join(name).join(format!("{}.wav", id.0));
                match read(&path) {
                    Ok(wav) => {
                        library.add(language, *id, &wav);
                        counts[index] += 1;
                    }
                    Err(PromptError::Missing { .. }) if index > 0 => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Self {
            languages,
            counts,
            library,
        })
    }
}

fn stems() -> impl Iterator<Item = PromptId> {
    LIST.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .map(|(stem, _)| PromptId(stem))
}

/// The languages of the share folder, the node's first.
pub fn languages(share: &Path, own: &str) -> std::io::Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(share.join("prompts"))? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && entry.path().is_dir()
            && name != own
        {
            names.insert(name);
        }
    }
    let languages = std::iter::once(own.to_owned()).chain(names);
    Ok(languages.take(MAX_LANGUAGES).collect())
}

fn read(path: &Path) -> Result<Wav, PromptError> {
    let bytes = std::fs::read(path).map_err(|source| {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => PromptError::Missing { path },
            _ => PromptError::Unreadable { path, source },
        }
    })?;
    let wav = Wav::parse(&bytes).map_err(|source| PromptError::Format {
        path: path.to_owned(),
        source,
    })?;
    if wav.samples.is_empty() {
        return Err(PromptError::Empty {
            path: path.to_owned(),
        });
    }
    match wav.rate_hz {
        16_000 | 8_000 => Ok(wav),
        rate_hz => Err(PromptError::Rate {
            path: path.to_owned(),
            rate_hz,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_prompts_of_the_product_are_whole() {
        let share = Path::new(env!("CARGO_MANIFEST_DIR"));
        let prompts = Prompts::load(share, "en", [PromptId("pupil-gone")]).unwrap();

        assert_eq!(prompts.languages[0], "en");
        assert_eq!(prompts.counts[0], stems().count());
        let listening = PromptId("listening");
        assert!(prompts.library.contains(Language(0), listening));
    }

    #[test]
    fn a_missing_prompt_of_the_node_s_language_is_named() {
        let share = Share::with_english("missing");
        fs::remove_file(share.file("en/coaching.wav")).unwrap();

        let error = Prompts::load(&share.0, "en", []).unwrap_err().to_string();

        assert!(
            error.ends_with("prompts/en/coaching.wav: missing; expected what is said as a WAV file: mono, 16 bits, 16000 or 8000 Hz"),
            "{error}"
        );
    }

    #[test]
    fn a_prompt_of_the_catalogue_is_wanted_too() {
        let share = Share::with_english("catalogue");

        let error = Prompts::load(&share.0, "en", [PromptId("of-our-own")]).unwrap_err();

        assert!(error.to_string().contains("en/of-our-own.wav"));
    }

    #[test]
    fn a_prompt_of_the_wrong_format_is_named_in_any_language() {
        let share = Share::with_english("format");
        share.write("fi/coaching.wav", 16_000, 2);
        let stereo = Prompts::load(&share.0, "en", []).unwrap_err().to_string();
        share.write("fi/coaching.wav", 48_000, 1);
        let fast = Prompts::load(&share.0, "en", []).unwrap_err().to_string();
        fs::write(share.file("fi/coaching.wav"), "text").unwrap();
        let text = Prompts::load(&share.0, "en", []).unwrap_err().to_string();

        assert!(stereo.contains("fi/coaching.wav: 2 channels"), "{stereo}");
        assert!(
            fast.contains("fi/coaching.wav: 48000 samples per second"),
            "{fast}"
        );
        assert!(text.contains("fi/coaching.wav: not a WAV file"), "{text}");
    }

    #[test]
    fn a_prompt_without_a_sample_is_named() {
        let share = Share::with_english("empty");
        share.write("en/coaching.wav", 16_000, 0);

        let error = Prompts::load(&share.0, "en", []).unwrap_err().to_string();

        assert!(error.contains("en/coaching.wav: no samples"), "{error}");
    }

    #[test]
    fn what_another_language_lacks_is_spoken_in_the_node_s() {
        let share = Share::with_english("other");
        share.write("fi/coaching.wav", 8_000, 1);

        let prompts = Prompts::load(&share.0, "en", []).unwrap();

        assert_eq!(prompts.languages, ["en", "fi"]);
        assert_eq!(prompts.counts[1], 1);
        let (finnish, listening) = (Language(1), PromptId("listening"));
        assert!(!prompts.library.contains(finnish, listening));
        assert!(prompts.library.find(finnish, listening).is_some());
    }

    #[test]
    fn a_folder_without_prompts_is_named() {
        let error = Prompts::load(Path::new("/nowhere"), "en", []).unwrap_err();

        assert!(error.to_string().starts_with("/nowhere/prompts: missing"));
    }

    /// A share folder that goes when it is dropped.
    struct Share(PathBuf);

    impl Share {
        fn with_english(what: &str) -> Self {
            let name = format!("sottovoce-prompts-{what}-{}", std::process::id());
            let share = Self(std::env::temp_dir().join(name));
            for stem in stems() {
                share.write(&format!("en/{}.wav", stem.0), 16_000, 1);
            }
            share
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join("prompts").join(name)
        }

        /// A hundredth of a second on each channel; on no channel: nothing, in mono.
        fn write(&self, name: &str, rate_hz: u32, channels: u16) {
            let path = self.file(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let spec = hound::WavSpec {
                channels: channels.max(1),
                sample_rate: rate_hz,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            let mut writer = hound::WavWriter::create(path, spec).unwrap();
            for _ in 0..160 * channels {
                writer.write_sample(100_i16).unwrap();
            }
            writer.finalize().unwrap();
        }
    }

    impl Drop for Share {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
