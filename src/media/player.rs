//! A cursor over what is played to one leg: prompts, tones, pauses, music.

use crate::id::{Language, PlayId};
use crate::media::command::{Ducking, Sound};
use crate::media::frame::Rate;
use crate::media::prompt::{Prompt, PromptLibrary};
use crate::media::tone::{HoldMusic, Ringback, Tone};

#[derive(Debug)]
pub struct Player {
    pub play: PlayId,
    pub ducking: Ducking,
    rate: Rate,
    /// The last sound first.
    waiting: Vec<Piece>,
    playing: Option<Piece>,
}

#[derive(Debug)]
enum Piece {
    Prompt {
        prompt: Prompt,
        place: usize,
    },
    Tone {
        tone: Tone,
        frequency_hz: f32,
        level_dbm0: f32,
        left: usize,
    },
    Pause {
        left: usize,
    },
    Music(HoldMusic),
    Ringback(Ringback),
}

/// In the place of a sentence that cannot be found: unlike any tone of the network.
const MISSING_HZ: f32 = 620.0;
const MISSING_MS: usize = 250;
const MISSING_DBM0: f32 = -18.0;

impl Player {
    pub fn new(
        play: PlayId,
        sounds: &[Sound],
        language: Language,
        ducking: Ducking,
        prompts: &PromptLibrary,
        rate: Rate,
    ) -> Self {
        let mut waiting: Vec<Piece> = sounds
            .iter()
            .map(|sound| Piece::new(*sound, language, prompts, rate))
            .collect();
        waiting.reverse();
        Self {
            play,
            ducking,
            rate,
            playing: waiting.pop(),
            waiting,
        }
    }

    pub fn is_over(&self) -> bool {
        self.playing.is_none()
    }

    /// Adds the next stretch to what is there; false when nothing of it was left to play.
    pub fn add_to(&mut self, sum: &mut [i32]) -> bool {
        let mut buffer = [0; crate::media::frame::MAX_FRAME];
        let mut done = 0;
        while done < sum.len() {
            let Some(piece) = &mut self.playing else {
                break;
            };
            let wanted = (sum.len() - done).min(buffer.len());
            let count = piece.fill(&mut buffer[..wanted], self.rate);
            for (sum, sample) in sum[done..].iter_mut().zip(&buffer[..count]) {
                *sum += i32::from(*sample);
            }
            done += count;
            if count < wanted || piece.is_over(self.rate) {
                self.playing = self.waiting.pop();
            }
        }
        done > 0
    }

    /// Goes on at another rate, from the same place.
    pub fn set_rate(&mut self, rate: Rate) {
        let from = std::mem::replace(&mut self.rate, rate);
        if from != rate {
            for piece in self.waiting.iter_mut().chain(&mut self.playing) {
                piece.set_rate(from, rate);
            }
        }
    }
}

impl Piece {
    fn new(sound: Sound, language: Language, prompts: &PromptLibrary, rate: Rate) -> Self {
        match sound {
            Sound::Prompt(id) => match prompts.find(language, id) {
                Some(prompt) => Piece::Prompt {
                    prompt: prompt.clone(),
                    place: 0,
                },
                None => Piece::tone(MISSING_HZ, MISSING_DBM0, rate.samples_in(MISSING_MS), rate),
            },
            Sound::Tone {
                frequency_hz,
                duration,
                level_dbm0,
            } => {
                let length = rate.samples_in(duration.as_millis() as usize);
                Piece::tone(frequency_hz, level_dbm0, length, rate)
            }
            Sound::Pause(duration) => Piece::Pause {
                left: rate.samples_in(duration.as_millis() as usize),
            },
            Sound::HoldMusic => Piece::Music(HoldMusic::new(rate)),
            Sound::Ringback => Piece::Ringback(Ringback::new(rate)),
        }
    }

    fn tone(frequency_hz: f32, level_dbm0: f32, length: usize, rate: Rate) -> Self {
        Piece::Tone {
            tone: Tone::new(frequency_hz, level_dbm0, length, rate),
            frequency_hz,
            level_dbm0,
            left: length,
        }
    }

    fn fill(&mut self, out: &mut [i16], rate: Rate) -> usize {
        match self {
            Piece::Prompt { prompt, place } => {
                let samples = &prompt.samples(rate)[*place..];
                let count = samples.len().min(out.len());
                out[..count].copy_from_slice(&samples[..count]);
                *place += count;
                count
            }
            Piece::Tone { tone, left, .. } => {
                let count = tone.fill(out);
                *left -= count;
                count
            }
            Piece::Pause { left } => {
                let count = out.len().min(*left);
                out[..count].fill(0);
                *left -= count;
                count
            }
            Piece::Music(music) => {
                music.fill(out);
                out.len()
            }
            Piece::Ringback(ringback) => {
                ringback.fill(out);
                out.len()
            }
        }
    }

    fn is_over(&self, rate: Rate) -> bool {
        match self {
            Piece::Prompt { prompt, place } => *place >= prompt.samples(rate).len(),
            Piece::Tone { left, .. } | Piece::Pause { left } => *left == 0,
            Piece::Music(_) | Piece::Ringback(_) => false,
        }
    }

    fn set_rate(&mut self, from: Rate, to: Rate) {
        let scaled = |count: usize| count * to.hz() / from.hz();
        match self {
            Piece::Prompt { prompt, place } => {
                *place = scaled(*place).min(prompt.samples(to).len());
            }
            Piece::Tone {
                frequency_hz,
                level_dbm0,
                left,
                ..
            } => *self = Piece::tone(*frequency_hz, *level_dbm0, scaled(*left), to),
            Piece::Pause { left } => *left = scaled(*left),
            Piece::Music(music) => *music = HoldMusic::new(to),
            Piece::Ringback(ringback) => *ringback = Ringback::new(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PromptId;
    use crate::wire::wav::Wav;
    use std::time::Duration;

    const LISTENING: PromptId = PromptId("listening");

    #[test]
    fn sounds_follow_one_another_without_a_gap() {
        let mut player = player(&[
            Sound::Prompt(LISTENING),
            Sound::Pause(Duration::from_millis(30)),
            Sound::Prompt(LISTENING),
        ]);
        let mut heard = Vec::new();

        loop {
            let mut sum = [0; 160];
            let played = player.add_to(&mut sum);
            heard.extend_from_slice(&sum);
            if !played {
                break;
            }
            if player.is_over() {
                break;
            }
        }

        let wanted = [vec![1_000; 400], vec![0; 240], vec![1_000; 400]].concat();
        assert_eq!(heard[..1_040], wanted);
        assert!(heard[1_040..].iter().all(|sample| *sample == 0));
        assert_eq!(heard.len(), 1_120);
    }

    #[test]
    fn what_is_played_lies_over_what_is_heard() {
        let mut player = player(&[Sound::Prompt(LISTENING)]);
        let mut sum = [500; 160];

        player.add_to(&mut sum);

        assert_eq!(sum, [1_500; 160]);
    }

    #[test]
    fn a_sentence_that_is_not_there_is_a_tone() {
        let mut player = player(&[Sound::Prompt(PromptId("nothing"))]);
        let mut sum = [0; 160];

        player.add_to(&mut sum);

        assert!(sum.iter().any(|sample| sample.abs() > 1_000));
    }

    #[test]
    fn another_rate_goes_on_from_the_same_place() {
        let mut player = player(&[
            Sound::Prompt(LISTENING),
            Sound::Pause(Duration::from_millis(10)),
        ]);

        player.add_to(&mut [0; 160]);
        player.set_rate(Rate::Wide);
        let mut frames = 0;
        while player.add_to(&mut [0; 320]) {
            frames += 1;
        }

        // 60 ms in all, 20 ms of it before the change; the resampled sentence rings out a little.
        assert_eq!(frames, 3);
    }

    fn player(sounds: &[Sound]) -> Player {
        let mut prompts = PromptLibrary::empty();
        let wav = Wav {
            rate_hz: 8_000,
            samples: vec![1_000; 400],
        };
        prompts.add(Language(0), LISTENING, &wav);
        Player::new(
            PlayId(1),
            sounds,
            Language(0),
            Ducking::Duck,
            &prompts,
            Rate::Narrow,
        )
    }
}
