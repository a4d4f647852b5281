//! What became of it: what everybody on the stage was told, heard and answered.

use crate::control::call::Side;
use crate::control::harness::stage::Stage;
use crate::control::input::Reply;
use crate::control::output::{Output, SignalCommand};
use crate::control::record::{AuditRow, Record};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::supervisor::State;
use crate::id::{CallId, LegId, PlayId, PromptId};
use crate::media::command::{Command, Event, Sound};
use crate::media::matrix::{Gain, MixMatrix, Seat};

impl Stage {
    /// The supervisor's role that is in force.
    pub fn role(&self, leg: LegId) -> Option<Supervision> {
        self.board.session(leg).map(|session| session.supervision)
    }

    pub fn in_menu(&self, leg: LegId) -> bool {
        self.board
            .supervisors
            .get(&leg)
            .is_some_and(|supervisor| matches!(supervisor.state, State::ChoosingCall(_)))
    }

    pub fn is_on_the_line(&self, leg: LegId) -> bool {
        self.board.supervisors.contains_key(&leg)
    }

    /// The last matrix of the call.
    pub fn matrix(&self, call: CallId) -> Option<MixMatrix> {
        let bridge = self.board.calls.get(&call)?.bridge;
        self.outputs
            .iter()
            .rev()
            .find_map(|(_, output)| match output {
                Output::Media {
                    command:
                        Command::SetMatrix {
                            bridge: which,
                            matrix,
                            ..
                        },
                    ..
                } if *which == bridge => Some(*matrix),
                _ => None,
            })
    }

    /// Whether one seat hears another by the last matrix.
    pub fn hears(&self, call: CallId, listener: Seat, speaker: Seat) -> bool {
        self.matrix(call)
            .is_some_and(|matrix| matrix.gain(listener, speaker) != Gain::SILENT)
    }

    /// What was said on this leg: stems joined by spaces, one entry for each `Play`.
    pub fn said(&self, leg: LegId) -> Vec<String> {
        self.outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Media {
                    command:
                        Command::Play {
                            leg: to, sounds, ..
                        },
                    ..
                } if *to == leg => Some(words(sounds)),
                _ => None,
            })
            .collect()
    }

    pub fn last_said(&self, leg: LegId) -> String {
        self.said(leg).pop().unwrap_or_default()
    }

    /// The prompt that plays has come to its end.
    pub fn prompt_ends(&mut self, leg: LegId) {
        let play = self
            .outputs
            .iter()
            .rev()
            .find_map(|(_, output)| match output {
                Output::Media {
                    command: Command::Play { leg: to, play, .. },
                    ..
                } if *to == leg => Some(*play),
                _ => None,
            })
            .unwrap_or(PlayId(0));
        self.media(Event::PlayEnded {
            leg,
            play,
            completed: true,
        });
    }

    pub fn audit(&self) -> Vec<&AuditRow> {
        self.outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Record {
                    record: Record::Audit(row),
                    ..
                } => Some(row),
                _ => None,
            })
            .collect()
    }

    /// The codes of the audit, in order.
    pub fn codes(&self) -> Vec<ErrorCode> {
        self.audit().iter().filter_map(|row| row.code).collect()
    }

    pub fn signals(&self, leg: LegId) -> Vec<&SignalCommand> {
        self.outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Signal { leg: to, command } if *to == leg => Some(command),
                _ => None,
            })
            .collect()
    }

    pub fn was_hung_up(&self, leg: LegId) -> bool {
        self.signals(leg)
            .iter()
            .any(|command| matches!(command, SignalCommand::HangUp { .. }))
    }

    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.outputs.iter().filter_map(|(_, output)| match output {
            Output::Media { command, .. } => Some(command),
            _ => None,
        })
    }

    /// Everything that operators were answered, in order.
    pub fn replies(&self) -> Vec<Reply> {
        self.outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Reply { reply, .. } => Some(reply.clone()),
                _ => None,
            })
            .collect()
    }

    /// The call is exactly as it was before anybody supervised it.
    pub fn assert_untouched(&self, call: CallId) {
        let known = &self.board.calls[&call];
        assert!(known.conference.is_none(), "a conference is left");
        assert_eq!(known.seats.len(), 2, "somebody sits beside the parties");
        for side in [Side::User, Side::Pupil] {
            let leg = self.party(call, side);
            assert!(self.board.legs[&leg].is_confirmed());
            assert!(self.signals(leg).is_empty(), "{side:?} was signalled to");
        }
        if let Some(matrix) = self.matrix(call) {
            for listener in Seat::all() {
                for speaker in Seat::all().filter(|speaker| *speaker != listener) {
                    let parties = [listener, speaker].iter().all(|seat| seat.index() < 2);
                    assert_eq!(
                        matrix.gain(listener, speaker) != Gain::SILENT,
                        parties,
                        "{listener:?} {speaker:?}"
                    );
                }
            }
        }
    }
}

fn words(sounds: &[Sound]) -> String {
    sounds
        .iter()
        .map(|sound| match sound {
            Sound::Prompt(PromptId(stem)) => *stem,
            Sound::Tone { .. } => "tone",
            Sound::Pause(_) => "pause",
            Sound::HoldMusic => "music",
            Sound::Ringback => "ringback",
        })
        .collect::<Vec<_>>()
        .join(" ")
}
