//! What the world of the stage does by itself: media plane, store and phones that answer at once,
//! each where its manner lets it.

use crate::control::harness::descriptions::pcmu;
use crate::control::harness::stage::{PIN, Stage};
use crate::control::input::{Input, Signal, StoreAnswer};
use crate::control::output::{Output, SignalCommand};
use crate::media::command::{Command, ConveneRefusal, Event, SeatRefusal};
use crate::wire::sdp::Direction;

/// What the world does by itself.
pub struct Manners {
    pub records: bool,
    pub matrices: bool,
    pub ports: bool,
    pub conferences: bool,
    pub convene: Result<(), ConveneRefusal>,
    pub seat: Result<(), SeatRefusal>,
    pub moves: bool,
    /// Keys are released as soon as they are pressed.
    pub releases: bool,
    /// BYEs of ours are answered.
    pub byes: bool,
    /// INVITEs and re-INVITEs of ours are answered.
    pub answers: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            records: true,
            matrices: true,
            ports: true,
            conferences: true,
            convene: Ok(()),
            seat: Ok(()),
            moves: true,
            releases: true,
            byes: true,
            answers: false,
        }
    }
}

impl Stage {
    /// What the world answers, and whether it does so by itself.
    pub(super) fn follows(&self, output: &Output) -> Option<(Input, bool)> {
        match output {
            Output::Media { shard, command } => {
                let (event, at_once) = self.media_follows(command)?;
                Some((
                    Input::Media {
                        shard: *shard,
                        event,
                    },
                    at_once,
                ))
            }
            Output::Move { leg, to, .. } => Some((
                Input::Media {
                    shard: *to,
                    event: Event::Attached { leg: *leg },
                },
                self.manners.moves,
            )),
            Output::Record { id, .. } => Some((
                Input::Store(StoreAnswer::Recorded(*id)),
                self.manners.records,
            )),
            Output::CheckPin { request, pin, .. } => Some((
                Input::Store(StoreAnswer::PinChecked {
                    request: *request,
                    matches: pin.0 == PIN,
                }),
                true,
            )),
            Output::Signal { leg, command } => match command {
                SignalCommand::HangUp { .. } => Some((
                    Input::Signal {
                        leg: *leg,
                        signal: Signal::HangUpDone,
                    },
                    self.manners.byes,
                )),
                SignalCommand::Dial(_) if self.manners.answers => Some((
                    Input::Signal {
                        leg: *leg,
                        signal: Signal::Answered {
                            sdp: Some(pcmu("sendrecv")),
                        },
                    },
                    true,
                )),
                SignalCommand::Reinvite {
                    request,
                    sdp: Some(offer),
                } if self.manners.answers => {
                    let answer = match offer.audio()?.direction {
                        Direction::SendRecv => "sendrecv",
                        Direction::SendOnly => "recvonly",
                        Direction::RecvOnly => "sendonly",
                        Direction::Inactive => "inactive",
                    };
                    Some((
                        Input::Signal {
                            leg: *leg,
                            signal: Signal::ReinviteAnswered {
                                request: *request,
                                result: Ok(Some(pcmu(answer))),
                            },
                        },
                        true,
                    ))
                }
                SignalCommand::Cancel { .. } => Some((
                    Input::Signal {
                        leg: *leg,
                        signal: Signal::Failed {
                            status: 487,
                            reason: "".into(),
                        },
                    },
                    true,
                )),
                _ => None,
            },
            Output::Reply { .. } | Output::Notify(_) => None,
        }
    }

    fn media_follows(&self, command: &Command) -> Option<(Event, bool)> {
        Some(match *command {
            Command::Open { leg } => (
                Event::Opened {
                    leg,
                    local: "127.0.0.1:20002".parse().unwrap(),
                },
                self.manners.ports,
            ),
            Command::Convene { bridge } => match self.manners.convene {
                Ok(()) => (Event::Convened { bridge }, self.manners.conferences),
                Err(cause) => (Event::ConveneRefused { bridge, cause }, true),
            },
            Command::Seat { bridge, leg, seat } => match self.manners.seat {
                Ok(()) => (Event::Seated { bridge, leg, seat }, true),
                Err(cause) => (Event::SeatRefused { bridge, leg, cause }, true),
            },
            Command::SetMatrix { bridge, matrix, .. } => (
                Event::MatrixInForce {
                    bridge,
                    generation: matrix.generation,
                },
                self.manners.matrices,
            ),
            _ => return None,
        })
    }
}
