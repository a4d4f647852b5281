//! A switchboard with a talking call, a world that does at once what it is asked, and a supervisor
//! who presses keys. What each of them was told is kept for the tests to look at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::control::call::{Call, CallState, Occupant, Party, Side};
use crate::control::directory::{Agent, Directory, Organisation, Permissions, SupervisorEntry};
use crate::control::input::{
    Ask, CallerIdTrust, Identity, Input, Invitation, Network, Operator, OperatorIdentity, Origin,
    Reply, Signal, StoreAnswer,
};
use crate::control::leg::{Handshake, Leg, LegOwner, LegState, Silence, Way};
use crate::control::negotiation::Negotiation;
use crate::control::output::{Output, SignalCommand};
use crate::control::party_keys::PartyKeys;
use crate::control::policy::CallKind;
use crate::control::record::{AuditRow, Direction, Record, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::{Role, Supervision};
use crate::control::settings::{Route, RouteTarget, Settings};
use crate::control::supervisor::State;
use crate::control::switchboard::Switchboard;
use crate::id::{
    BridgeId, CallId, Generation, Ids, Language, LegId, PlayId, PromptId, RequestId, ShardId,
};
use crate::media::command::{Command, ConveneRefusal, Event, SeatRefusal, Sound};
use crate::media::dtmf::{Digit, DigitSource};
use crate::media::matrix::{Gain, MixMatrix, Seat};
use crate::wire::sdp::SessionDescription;

pub const MIA: &str = "+358401234567";
pub const ONA: &str = "+358407654321";
pub const PIN: &str = "4711";

/// What the world does by itself.
pub struct Manners {
    pub records: bool,
    pub matrices: bool,
    pub ports: bool,
    pub conferences: bool,
    pub convene: Result<(), ConveneRefusal>,
    pub seat: Result<(), SeatRefusal>,
    pub moves: bool,
    /// BYEs of ours are answered.
    pub byes: bool,
    /// INVITEs and re-INVITEs of ours are answered.
    pub answers: bool,
}

pub struct Stage {
    pub start: Instant,
    pub now: Instant,
    pub board: Switchboard,
    pub manners: Manners,
    /// Everything that came out, in order.
    pub outputs: Vec<(Duration, Output)>,
    /// Records and matrices that a manner holds back.
    pub held_back: Vec<Input>,
    next: u64,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            board: Switchboard::new(settings, Arc::new(directory()), Ids::starting_at(1000)),
            manners: Manners {
                records: true,
                matrices: true,
                ports: true,
                conferences: true,
                convene: Ok(()),
                seat: Ok(()),
                moves: true,
                byes: true,
                answers: false,
            },
            outputs: Vec::new(),
            held_back: Vec::new(),
            next: 1,
        }
    }

    /// Agent 204 talks, and nobody else.
    pub fn talking() -> (Self, CallId) {
        let mut stage = Self::new();
        let call = stage.call("204");
        (stage, call)
    }

    /// Mia listens to agent 204.
    pub fn listening() -> (Self, CallId, LegId) {
        let (mut stage, call) = Self::talking();
        let mia = stage.dial_in(MIA);
        assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
        (stage, call, mia)
    }

    pub fn change_directory(&mut self, change: impl FnOnce(&mut Directory)) {
        let mut directory = Directory::clone(&self.board.directory);
        change(&mut directory);
        self.input(Input::Directory(Arc::new(directory)));
    }

    pub fn change_mia(&mut self, change: impl FnOnce(&mut SupervisorEntry)) {
        self.change_directory(|directory| {
            let key = ("acme".into(), "mia".into());
            change(directory.supervisors.get_mut(&key).unwrap());
        });
    }

    /// A customer and this agent are connected.
    pub fn call(&mut self, extension: &str) -> CallId {
        let id = CallId(self.next_id());
        let bridge = BridgeId(self.next_id());
        let shard = ShardId(0);
        let [user, pupil] = [(); 2].map(|()| LegId(self.next_id()));
        for (leg, way) in [(user, Way::Inbound), (pupil, Way::Outbound)] {
            self.board.legs.insert(
                leg,
                Leg {
                    id: leg,
                    owner: LegOwner::Call(id),
                    way,
                    state: LegState::Confirmed(Handshake::Complete),
                    shard,
                    network: Network::Internal,
                    local: Some("127.0.0.1:20000".parse().unwrap()),
                    negotiation: Negotiation::default(),
                    silence: Silence::None,
                    waiting: None,
                    is_focus: false,
                },
            );
        }
        let seat = |leg, role| Occupant { leg, role };
        self.board.bridges.insert(bridge, id);
        self.board.calls.insert(
            id,
            Call {
                id,
                bridge,
                shard,
                state: CallState::Talking { transfer: None },
                kind: Some(CallKind::Direct),
                organisation: Some("acme".into()),
                pool: None,
                direction: Direction::Inbound,
                from: "+358501112222".into(),
                to: extension.into(),
                caller: Side::User,
                user: Party {
                    leg: Some(user),
                    agent: None,
                    number: Some("+358501112222".into()),
                },
                pupil: Party {
                    leg: Some(pupil),
                    agent: Some(extension.into()),
                    number: Some(extension.into()),
                },
                legs: [user, pupil].into(),
                started_at: self.now,
                answered_at: Some(self.now),
                generation: Generation(1),
                in_force: Some(Generation(1)),
                seats: [
                    (Seat::USER, seat(user, Role::User)),
                    (Seat::PUPIL, seat(pupil, Role::Pupil)),
                ]
                .into(),
                conference: None,
                help_wanted: false,
                party_keys: PartyKeys::default(),
            },
        );
        id
    }

    pub fn party(&self, call: CallId, side: Side) -> LegId {
        self.board.calls[&call].party(side).leg.unwrap()
    }

    /// Dials the supervising number by a trusted trunk.
    pub fn dial_in(&mut self, caller: &str) -> LegId {
        self.dial_in_by(Some(caller), CallerIdTrust::Trusted)
    }

    pub fn dial_in_by(&mut self, caller: Option<&str>, caller_id: CallerIdTrust) -> LegId {
        self.invite(
            caller,
            Origin::Trunk {
                name: "carrier".into(),
                network: Network::External,
                caller_id,
            },
        )
    }

    pub fn dial_in_registered(&mut self, user: &str) -> LegId {
        self.invite(
            Some(user),
            Origin::Registered(Identity::Supervisor {
                organisation: "acme".into(),
                user: user.into(),
            }),
        )
    }

    /// A customer outside dials agent 204, who answers: the real thing, by signals alone.
    pub fn real_call(&mut self) -> CallId {
        self.board.settings.routes = vec![Route {
            number: Regex::new("^2..$").unwrap(),
            from: None,
            to: RouteTarget::Agent,
        }];
        self.manners.answers = true;
        let carrier = Origin::Trunk {
            name: "carrier".into(),
            network: Network::External,
            caller_id: CallerIdTrust::Trusted,
        };
        let customer = self.invite_to("204", Some("+358501112222"), carrier);
        self.signal(customer, Signal::Acknowledged { sdp: None });
        let call = *self.board.calls.keys().next().unwrap();
        assert!(self.board.calls[&call].is_talking());
        call
    }

    /// A party's phone offers another direction: hold and resume, as signalled.
    pub fn reinvite(&mut self, call: CallId, side: Side, direction: &str) {
        let leg = self.party(call, side);
        let request = RequestId(self.next_id());
        self.signal(
            leg,
            Signal::Reinvited {
                request,
                sdp: Some(sdp(direction)),
            },
        );
    }

    fn invite(&mut self, caller: Option<&str>, origin: Origin) -> LegId {
        self.invite_to("800", caller, origin)
    }

    fn invite_to(&mut self, dialled: &str, caller: Option<&str>, origin: Origin) -> LegId {
        let leg = LegId(self.next_id());
        self.input(Input::Signal {
            leg,
            signal: Signal::Invited(Box::new(Invitation {
                dialled: dialled.into(),
                caller: caller.map(Into::into),
                display_name: None,
                origin,
                sdp: Some(sdp("sendrecv")),
                source: "127.0.0.2".parse().unwrap(),
                max_forwards: 70,
            })),
        });
        leg
    }

    /// Presses keys by telephone-event, far enough apart to be different presses.
    pub fn press(&mut self, leg: LegId, keys: &str) {
        self.press_by(leg, keys, DigitSource::Event);
    }

    pub fn press_by(&mut self, leg: LegId, keys: &str, source: DigitSource) {
        for key in keys.chars() {
            self.advance(Duration::from_millis(300));
            let digit = Digit::from_char(key).unwrap();
            match source {
                DigitSource::Info => self.signal(leg, Signal::KeyInfo { digit }),
                DigitSource::Event | DigitSource::InBand => {
                    self.media(Event::DigitPressed { leg, digit, source })
                }
            }
        }
    }

    pub fn signal(&mut self, leg: LegId, signal: Signal) {
        self.input(Input::Signal { leg, signal });
    }

    pub fn media(&mut self, event: Event) {
        self.input(Input::Media {
            shard: ShardId(0),
            event,
        });
    }

    pub fn hang_up(&mut self, leg: LegId) {
        self.signal(leg, Signal::HungUp { reason: None });
    }

    pub fn ask(&mut self, user: &str, ask: Ask) -> Option<Reply> {
        self.ask_as(OperatorIdentity::Supervisor(user.into()), ask)
    }

    pub fn ask_as(&mut self, identity: OperatorIdentity, ask: Ask) -> Option<Reply> {
        let request = RequestId(self.next_id());
        self.input(Input::Operator {
            request,
            who: Operator {
                organisation: "acme".into(),
                identity,
                source: Source::Console,
            },
            ask,
        });
        self.reply_to(request)
    }

    pub fn reply_to(&self, request: RequestId) -> Option<Reply> {
        self.outputs.iter().find_map(|(_, output)| match output {
            Output::Reply { request: id, reply } if *id == request => Some(reply.clone()),
            _ => None,
        })
    }

    /// A party puts the other one on hold, or resumes, as far as supervision sees it.
    pub fn hold(&mut self, call: CallId, side: Side, holds: bool) {
        let leg = self.party(call, side);
        self.board.legs.get_mut(&leg).unwrap().negotiation.holds = holds;
        self.board.mix(call);
        let now = self.now;
        self.board.party_held(now, call, side);
        self.settle();
    }

    pub fn supervisor_holds(&mut self, leg: LegId) {
        let request = RequestId(self.next_id());
        self.signal(
            leg,
            Signal::Reinvited {
                request,
                sdp: Some(sdp("sendonly")),
            },
        );
        assert!(self.signals(leg).iter().any(|command| matches!(
            command,
            SignalCommand::AcceptReinvite { request: id, .. } if *id == request
        )));
    }

    /// Nothing has come from this phone for so many seconds.
    pub fn silent(&mut self, leg: LegId, seconds: u64) {
        self.media(Event::MediaSilent {
            leg,
            lasting: Duration::from_secs(seconds),
        });
    }

    /// The customer talks to another agent now.
    pub fn transferred(&mut self, call: CallId, extension: &str) {
        self.board.calls.get_mut(&call).unwrap().pupil.agent = Some(extension.into());
        let now = self.now;
        self.board.call_transferred(now, call);
        self.settle();
    }

    /// One of the parties hangs up, and the other one is hung up where the call ends with that.
    pub fn party_hangs_up(&mut self, call: CallId, side: Side) {
        let leg = self.party(call, side);
        self.hang_up(leg);
    }

    pub fn input(&mut self, input: Input) {
        self.board.handle_input(self.now, input);
        self.settle();
    }

    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.board.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.board.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// Lets go what a manner held back.
    pub fn release(&mut self) {
        for input in std::mem::take(&mut self.held_back) {
            self.input(input);
        }
    }

    fn settle(&mut self) {
        while let Some(output) = self.board.poll_output() {
            let follows = self.follows(&output);
            self.outputs.push((self.now - self.start, output));
            if let Some((input, at_once)) = follows {
                match at_once {
                    true => self.board.handle_input(self.now, input),
                    false => self.held_back.push(input),
                }
            }
        }
    }

    /// What the world answers, and whether it does so by itself.
    fn follows(&self, output: &Output) -> Option<(Input, bool)> {
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
                            sdp: Some(sdp("sendrecv")),
                        },
                    },
                    true,
                )),
                SignalCommand::Reinvite {
                    request,
                    sdp: Some(offer),
                } if self.manners.answers => {
                    let answer = match offer.audio()?.direction {
                        crate::wire::sdp::Direction::SendRecv => "sendrecv",
                        crate::wire::sdp::Direction::SendOnly => "recvonly",
                        crate::wire::sdp::Direction::RecvOnly => "sendonly",
                        crate::wire::sdp::Direction::Inactive => "inactive",
                    };
                    Some((
                        Input::Signal {
                            leg: *leg,
                            signal: Signal::ReinviteAnswered {
                                request: *request,
                                result: Ok(Some(sdp(answer))),
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

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    // What became of it.

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

pub fn sdp(direction: &str) -> SessionDescription {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    );
    SessionDescription::parse(text.as_bytes()).unwrap()
}

/// Acme with agents 204 and 205 in support, Mia and Ona who supervise them, and a number of its own.
pub fn directory() -> Directory {
    let mut directory = Directory::default();
    let acme: Arc<str> = "acme".into();
    directory.organisations.insert(
        acme.clone(),
        Organisation {
            id: acme.clone(),
            name: "Acme".into(),
            supervising_numbers: vec!["800".into()],
            supervision: true,
            agent_notice: None,
            help_keys: true,
        },
    );
    for (extension, pool) in [("204", "support"), ("205", "support"), ("301", "sales")] {
        directory.agents.insert(
            (acme.clone(), extension.into()),
            Agent {
                organisation: acme.clone(),
                extension: extension.into(),
                name: extension.into(),
                pools: vec![pool.into()],
                contact: None,
                agent_notice: None,
            },
        );
    }
    for (user, phone) in [("mia", MIA), ("ona", ONA)] {
        directory.supervisors.insert(
            (acme.clone(), user.into()),
            SupervisorEntry {
                organisation: acme.clone(),
                user: user.into(),
                name: user.into(),
                phone: Some(phone.into()),
                default_country: Some("FI".into()),
                devices: Vec::new(),
                agent_extension: None,
                has_pin: true,
                pools: vec!["support".into()],
                may: Permissions {
                    monitor: true,
                    coach: true,
                    whisper_caller: true,
                    barge: true,
                    takeover: true,
                    hang_up: true,
                },
                language: Language::default(),
            },
        );
    }
    directory
}
