//! What a supervisor is told, as prompts: one sentence, one place.
//!
//! The stems are those of `prompts/en.txt`; the sentences of the codes come from the catalogue.

use std::time::Duration;

use crate::control::proof::ProofCode;
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::control::settings::Settings;
use crate::id::PromptId;
use crate::media::command::Sound;

/// What the agent hears when a supervisor joins, by policy `tone`.
pub const AGENT_NOTICE: Sound = Sound::Tone {
    frequency_hz: 440.0,
    duration: Duration::from_millis(200),
    level_dbm0: -20.0,
};

/// A half-typed entry was cleared.
pub const CLEARED: Sound = Sound::Tone {
    frequency_hz: 220.0,
    duration: Duration::from_millis(150),
    level_dbm0: -18.0,
};

/// Agents that the menu names; the others are reached by their extension all the same.
pub const MAX_NAMED_AGENTS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sentence {
    Refused(ErrorCode),
    /// The session is now in this role: on joining and after a command.
    Now(Supervision),
    /// `9#`
    Status {
        supervision: Supervision,
        on_hold: bool,
    },
    EnterPin,
    WrongPin,
    Menu(Menu),
    CallEnded,
    CallTransferred,
    EndedForEveryone,
    HangUpConfirm,
    TakeoverConfirm,
    Cancelled,
    NextCall,
    NoOtherCall,
    OnHold,
    AgentOnHold,
    AgentConsulting,
    /// This agent asks for help.
    HelpWaiting(String),
    HelpAccepted,
    HelpRaised,
    HelpClosed,
    PressOne,
    /// The code that proves a number, digit by digit.
    ProofCode(ProofCode),
    ConfirmNumber,
    Goodbye,
}

/// What the menu offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Menu {
    /// The agent who asks for help.
    pub help: Option<String>,
    /// Agents on a call, and for how many minutes.
    pub agents: Vec<(String, u64)>,
    /// `#` repeats the attempt that failed.
    pub retry: bool,
}

/// The sounds of a sentence.
pub fn sounds(settings: &Settings, sentence: &Sentence) -> Vec<Sound> {
    stems(settings, sentence)
        .into_iter()
        .map(Sound::Prompt)
        .collect()
}

/// The prompts of a sentence, one after another.
pub fn stems(settings: &Settings, sentence: &Sentence) -> Vec<PromptId> {
    let words: &[&'static str] = match sentence {
        Sentence::Refused(code) => return refusal(settings, *code),
        Sentence::Menu(menu) => return self::menu(menu),
        Sentence::HelpWaiting(agent) => return help_waiting(agent),
        Sentence::Status {
            supervision,
            on_hold,
        } => return status(*supervision, *on_hold),
        Sentence::ProofCode(code) => return proof_code(*code),
        Sentence::Now(supervision) => &[now(*supervision)],
        Sentence::EnterPin => &["enter-pin"],
        Sentence::WrongPin => &["wrong-pin"],
        Sentence::CallEnded => &["call-ended"],
        Sentence::CallTransferred => &["call-transferred"],
        Sentence::EndedForEveryone => &["ended-for-everyone"],
        Sentence::HangUpConfirm => &["hang-up-confirm"],
        Sentence::TakeoverConfirm => &["takeover-confirm"],
        Sentence::Cancelled => &["cancelled"],
        Sentence::NextCall => &["next-call"],
        Sentence::NoOtherCall => &["no-other-call"],
        Sentence::OnHold => &["on-hold"],
        Sentence::AgentOnHold => &["agent-on-hold"],
        Sentence::AgentConsulting => &["agent-consulting"],
        Sentence::HelpAccepted => &["help-accepted"],
        Sentence::HelpRaised => &["help-raised"],
        Sentence::HelpClosed => &["help-closed"],
        Sentence::PressOne => &["press-one"],
        Sentence::ConfirmNumber => &["confirm-number"],
        Sentence::Goodbye => &["goodbye"],
    };
    words.iter().copied().map(PromptId).collect()
}

/// Digits, one by one. Other characters of an extension have no prompt and are left out.
pub fn spell(text: &str) -> impl Iterator<Item = PromptId> + '_ {
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    text.chars()
        .filter_map(|c| c.to_digit(10))
        .map(|digit| PromptId(DIGITS[digit as usize]))
}

/// The sentence of the catalogue; the bare digits where it has none, so that a refusal is never
/// silence.
fn refusal(settings: &Settings, code: ErrorCode) -> Vec<PromptId> {
    match settings.spoken.get(&code) {
        Some(stems) if !stems.is_empty() => stems.clone(),
        _ => spell(&code.to_string()).collect(),
    }
}

fn proof_code(code: ProofCode) -> Vec<PromptId> {
    let mut stems = vec![PromptId("code-is")];
    stems.extend(spell(code.digits()));
    stems
}

fn now(supervision: Supervision) -> &'static str {
    match supervision {
        Supervision::Monitoring => "listening",
        Supervision::Coaching(Ear::Pupil) => "coaching",
        Supervision::Coaching(Ear::User) => "whispering-caller",
        Supervision::Barged => "everyone-hears",
        Supervision::TakenOver => "you-have-the-call",
    }
}

fn status(supervision: Supervision, on_hold: bool) -> Vec<PromptId> {
    let role = match supervision {
        Supervision::Monitoring => "status-monitor",
        Supervision::Coaching(Ear::Pupil) => "status-coach",
        Supervision::Coaching(Ear::User) => "status-whisper-caller",
        Supervision::Barged => "status-barge",
        Supervision::TakenOver => "status-takeover",
    };
    let mut stems = vec![PromptId(role)];
    if on_hold {
        stems.push(PromptId("on-hold"));
    }
    stems.push(PromptId("menu-keys"));
    stems
}

fn help_waiting(agent: &str) -> Vec<PromptId> {
    let mut stems = vec![PromptId("help-waiting-1")];
    stems.extend(spell(agent));
    stems.push(PromptId("help-waiting-2"));
    stems
}

fn menu(menu: &Menu) -> Vec<PromptId> {
    let mut stems = Vec::new();
    if menu.retry {
        stems.push(PromptId("retry"));
    }
    if let Some(agent) = &menu.help {
        stems.extend(help_waiting(agent));
    }
    if !menu.agents.is_empty() {
        stems.push(PromptId("calls-waiting"));
        for (extension, minutes) in menu.agents.iter().take(MAX_NAMED_AGENTS) {
            stems.push(PromptId("agent"));
            stems.extend(spell(extension));
            if *minutes > 1 {
                stems.extend(spell(&minutes.to_string()));
                stems.push(PromptId("minutes"));
            }
        }
    }
    stems.push(PromptId("enter-extension"));
    stems
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Supervision; 5] = [
        Supervision::Monitoring,
        Supervision::Coaching(Ear::Pupil),
        Supervision::Coaching(Ear::User),
        Supervision::Barged,
        Supervision::TakenOver,
    ];

    #[test]
    fn every_sentence_is_made_of_prompts_that_are_recorded() {
        let recorded: Vec<&str> = include_str!("../../prompts/en.txt")
            .lines()
            .filter_map(|line| line.split_once('\t').map(|(stem, _)| stem))
            .collect();

        for sentence in every_sentence() {
            let stems = stems(&Settings::default(), &sentence);
            assert!(!stems.is_empty(), "{sentence:?}");
            for PromptId(stem) in stems {
                assert!(recorded.contains(&stem), "{sentence:?}: no prompt {stem}");
            }
        }
    }

    #[test]
    fn a_refusal_is_spoken_as_the_catalogue_says() {
        let mut settings = Settings::default();
        settings.spoken.insert(
            ErrorCode::PupilGone,
            vec![PromptId("9"), PromptId("pupil-gone")],
        );

        let spoken = stems(&settings, &Sentence::Refused(ErrorCode::PupilGone));

        assert_eq!(spoken, [PromptId("9"), PromptId("pupil-gone")]);
    }

    #[test]
    fn a_refusal_without_a_sentence_is_its_digits() {
        let spoken = stems(
            &Settings::default(),
            &Sentence::Refused(ErrorCode::UserGone),
        );

        assert_eq!(spoken, ["9", "0", "1", "4"].map(PromptId));
    }

    #[test]
    fn the_menu_names_who_asks_for_help_and_who_is_on_a_call() {
        let menu = Menu {
            help: Some("204".into()),
            agents: vec![("204".into(), 13), ("205".into(), 0)],
            retry: false,
        };

        let spoken: Vec<_> = stems(&Settings::default(), &Sentence::Menu(menu))
            .into_iter()
            .map(|PromptId(stem)| stem)
            .collect();

        assert_eq!(
            spoken.join(" "),
            "help-waiting-1 2 0 4 help-waiting-2 calls-waiting agent 2 0 4 1 3 minutes \
             agent 2 0 5 enter-extension"
        );
    }

    fn every_sentence() -> Vec<Sentence> {
        let mut all = vec![
            Sentence::EnterPin,
            Sentence::WrongPin,
            Sentence::CallEnded,
            Sentence::CallTransferred,
            Sentence::EndedForEveryone,
            Sentence::HangUpConfirm,
            Sentence::TakeoverConfirm,
            Sentence::Cancelled,
            Sentence::NextCall,
            Sentence::NoOtherCall,
            Sentence::OnHold,
            Sentence::AgentOnHold,
            Sentence::AgentConsulting,
            Sentence::HelpWaiting("204".into()),
            Sentence::HelpAccepted,
            Sentence::HelpRaised,
            Sentence::HelpClosed,
            Sentence::PressOne,
            Sentence::Goodbye,
            Sentence::ConfirmNumber,
            Sentence::Menu(Menu {
                help: Some("204".into()),
                agents: vec![("0123456789".into(), 3)],
                retry: true,
            }),
        ];
        all.extend(ErrorCode::ALL.map(Sentence::Refused));
        all.extend(ProofCode::of("012345").map(Sentence::ProofCode));
        for supervision in ROLES {
            all.push(Sentence::Now(supervision));
            all.extend([true, false].map(|on_hold| Sentence::Status {
                supervision,
                on_hold,
            }));
        }
        all
    }
}
