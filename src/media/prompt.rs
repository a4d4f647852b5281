//! Spoken prompts: one shared, immutable library of samples for all shards.
//!
//! A sentence that a language does not have is spoken in the node's own. Each sound is kept at both
//! rates of a bridge, so that playing is copying.

use std::collections::BTreeMap;
use std::sync::Arc;

use audio_codec::resampler::BoxedResampler;

use crate::id::{Language, PromptId};
use crate::media::frame::Rate;
use crate::wire::wav::Wav;

/// The language of the node, into which the others fall back.
pub const OWN_LANGUAGE: Language = Language(0);

/// All prompts of all languages.
#[derive(Clone, Debug, Default)]
pub struct PromptLibrary {
    prompts: BTreeMap<(Language, PromptId), Prompt>,
}

/// One sentence, at the rates of bridges.
#[derive(Clone, Debug)]
pub struct Prompt {
    narrow: Arc<[i16]>,
    wide: Arc<[i16]>,
}

impl PromptLibrary {
    /// A library in which nothing is found.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Takes in one file; it replaces what stood under the same name.
    pub fn add(&mut self, language: Language, id: PromptId, wav: &Wav) {
        let prompt = Prompt {
            narrow: resampled(wav, Rate::Narrow),
            wide: resampled(wav, Rate::Wide),
        };
        self.prompts.insert((language, id), prompt);
    }

    /// A sentence in this language, else in the node's own.
    pub fn find(&self, language: Language, id: PromptId) -> Option<&Prompt> {
        self.prompts
            .get(&(language, id))
            .or_else(|| self.prompts.get(&(OWN_LANGUAGE, id)))
    }

    pub fn contains(&self, language: Language, id: PromptId) -> bool {
        self.prompts.contains_key(&(language, id))
    }
}

impl Prompt {
    pub fn samples(&self, rate: Rate) -> &Arc<[i16]> {
        match rate {
            Rate::Narrow => &self.narrow,
            Rate::Wide => &self.wide,
        }
    }

    pub fn duration(&self) -> std::time::Duration {
        std::time::Duration::from_micros(self.wide.len() as u64 * 1_000_000 / 16_000)
    }
}

fn resampled(wav: &Wav, rate: Rate) -> Arc<[i16]> {
    let from = wav.rate_hz as usize;
    if from == rate.hz() {
        return wav.samples.as_slice().into();
    }
    // The filter is fed a tail of silence as long as its delay, so that the last sound of a
    // sentence comes out; a rate of zero is no sound at all.
    BoxedResampler::new(from, rate.hz())
        .map(|mut resampler| {
            let mut samples = resampler.resample(&wav.samples);
            samples.extend(resampler.resample(&[0; 24]));
            samples.into()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: Language = Language(0);
    const FINNISH: Language = Language(1);
    const LISTENING: PromptId = PromptId("listening");
    const CODE: PromptId = PromptId("9");

    #[test]
    fn a_sentence_lacking_in_a_language_is_spoken_in_the_nodes_own() {
        let mut library = PromptLibrary::empty();
        library.add(ENGLISH, LISTENING, &wav(16_000, 800));
        library.add(ENGLISH, CODE, &wav(16_000, 400));
        library.add(FINNISH, CODE, &wav(16_000, 500));

        assert!(!library.contains(FINNISH, LISTENING));
        let borrowed = library.find(FINNISH, LISTENING).unwrap();
        assert_eq!(borrowed.samples(Rate::Wide).len(), 800);
        let own = library.find(FINNISH, CODE).unwrap();
        assert_eq!(own.samples(Rate::Wide).len(), 500);
    }

    #[test]
    fn a_sentence_is_kept_at_both_rates() {
        let mut library = PromptLibrary::empty();
        library.add(ENGLISH, LISTENING, &wav(16_000, 1_600));
        library.add(ENGLISH, CODE, &wav(8_000, 800));

        let wide = library.find(ENGLISH, LISTENING).unwrap();
        let narrow = library.find(ENGLISH, CODE).unwrap();

        assert_eq!(wide.samples(Rate::Wide).len(), 1_600);
        assert!((800..830).contains(&wide.samples(Rate::Narrow).len()));
        assert_eq!(narrow.samples(Rate::Narrow).len(), 800);
        assert!((1_600..1_660).contains(&narrow.samples(Rate::Wide).len()));
        assert_eq!(wide.duration().as_millis(), 100);
    }

    fn wav(rate_hz: u32, length: usize) -> Wav {
        Wav {
            rate_hz,
            samples: vec![1_000; length],
        }
    }
}
