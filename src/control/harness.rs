//! A switchboard with a media plane that does what it is told, for the tests of call control.
//!
//! The house: two trunks, `carrier` outside and `pbx` inside; agents 204 (a fixed contact) and 205
//! (registers) of `acme`, both in the pool `support`. `800` is for supervisors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::control::call::Call;
use crate::control::directory::{Agent, Directory, Organisation, Pool};
use crate::control::input::{
    CallerIdTrust, Identity, Input, Invitation, Network, Origin, Signal, StoreAnswer,
};
use crate::control::output::{Dial, Output, Reason, SignalCommand, Target};
use crate::control::record::Record;
use crate::control::settings::{Route, RouteTarget, Settings};
use crate::control::switchboard::Switchboard;
use crate::id::{Ids, LegId, RequestId, ShardId};
use crate::media::command::{Command, Event, LegStats};
use crate::wire::sdp::SessionDescription;

/// The switchboard and everything it said.
pub(in crate::control) struct House {
    pub board: Switchboard,
    pub now: Instant,
    /// Every output since the last `forget`, in order.
    pub said: Vec<Output>,
    /// Ports that are bound at once; otherwise the shard says that it has none.
    pub ports: Ports,
    /// Ports that are bound.
    open: BTreeSet<LegId>,
    next_leg: u64,
    next_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Ports {
    Plenty,
    /// This many more.
    Left(usize),
    /// The shard says nothing.
    Silent,
}

impl House {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        Self {
            board: Switchboard::new(settings, Arc::new(directory()), Ids::starting_at(1_000)),
            now: Instant::now(),
            said: Vec::new(),
            ports: Ports::Plenty,
            open: BTreeSet::new(),
            next_leg: 1,
            next_port: 20_000,
        }
    }

    pub fn input(&mut self, input: Input) {
        self.board.handle_input(self.now, input);
        self.drain();
    }

    pub fn signal(&mut self, leg: LegId, signal: Signal) {
        self.input(Input::Signal { leg, signal });
    }

    pub fn event(&mut self, event: Event) {
        let shard = ShardId(0);
        self.input(Input::Media { shard, event });
    }

    /// Lets time pass; every deadline on the way is met when it is due.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.board.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.board.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    pub fn forget(&mut self) {
        self.said.clear();
    }

    /// Takes the outputs, and does for the media plane and the store what they would do.
    fn drain(&mut self) {
        while let Some(output) = self.board.poll_output() {
            let answers = self.answers(&output);
            self.said.push(output);
            for input in answers {
                self.board.handle_input(self.now, input);
            }
        }
    }

    fn answers(&mut self, output: &Output) -> Vec<Input> {
        match output {
            Output::Media { shard, command } => self
                .carried_out(command)
                .into_iter()
                .map(|event| Input::Media {
                    shard: *shard,
                    event,
                })
                .collect(),
            Output::Move { leg, from, to } => vec![
                Input::Media {
                    shard: *from,
                    event: Event::Detached { leg: *leg },
                },
                Input::Media {
                    shard: *to,
                    event: Event::Attached { leg: *leg },
                },
            ],
            Output::Record { id, .. } => vec![Input::Store(StoreAnswer::Recorded(*id))],
            Output::Signal { .. }
            | Output::CheckPin { .. }
            | Output::Reply { .. }
            | Output::Notify(_) => Vec::new(),
        }
    }

    fn carried_out(&mut self, command: &Command) -> Option<Event> {
        Some(match command {
            Command::Open { leg } => {
                let leg = *leg;
                match &mut self.ports {
                    Ports::Silent => return None,
                    Ports::Left(0) => return Some(Event::OpenFailed { leg }),
                    Ports::Left(left) => *left -= 1,
                    Ports::Plenty => {}
                }
                self.next_port += 2;
                self.open.insert(leg);
                Event::Opened {
                    leg,
                    local: ([127, 0, 0, 1], self.next_port).into(),
                }
            }
            Command::Seat { bridge, leg, seat } => Event::Seated {
                bridge: *bridge,
                leg: *leg,
                seat: *seat,
            },
            Command::Convene { bridge } => Event::Convened { bridge: *bridge },
            Command::SetMatrix { bridge, matrix, .. } => Event::MatrixInForce {
                bridge: *bridge,
                generation: matrix.generation,
            },
            Command::Close { leg } => {
                self.open.remove(leg);
                Event::Closed {
                    leg: *leg,
                    stats: LegStats::default(),
                }
            }
            Command::Configure { .. }
            | Command::OpenBridge { .. }
            | Command::Unseat { .. }
            | Command::Dissolve { .. }
            | Command::CloseBridge { .. }
            | Command::Play { .. }
            | Command::StopPlay { .. }
            | Command::ListenForKeys { .. }
            | Command::PressKey { .. }
            | Command::WatchMedia { .. }
            | Command::Detach { .. }
            | Command::ArmSeatFault { .. } => return None,
        })
    }

    // Callers.

    /// An INVITE from here to there; the leg that it became.
    pub fn invite(
        &mut self,
        origin: Origin,
        caller: &str,
        dialled: &str,
        sdp: Option<SessionDescription>,
    ) -> LegId {
        let leg = LegId(self.next_leg);
        self.next_leg += 1;
        let invitation = Invitation {
            dialled: dialled.into(),
            caller: (!caller.is_empty()).then(|| caller.into()),
            display_name: None,
            origin,
            sdp,
            source: [127, 0, 0, 2].into(),
            max_forwards: 70,
        };
        self.signal(leg, Signal::Invited(Box::new(invitation)));
        leg
    }

    /// The customer calls by the carrier.
    pub fn customer_calls(&mut self, dialled: &str) -> LegId {
        self.invite(carrier(), "+358401111111", dialled, Some(pcma(4_000)))
    }

    /// The customer talks with agent 204: (customer, agent).
    pub fn talking(&mut self) -> (LegId, LegId) {
        let customer = self.customer_calls("204");
        let agent = self.only_dialled();
        self.answers_with(agent, pcma(5_000));
        self.signal(customer, Signal::Acknowledged { sdp: None });
        (customer, agent)
    }

    pub fn answers_with(&mut self, leg: LegId, sdp: SessionDescription) {
        self.signal(leg, Signal::Answered { sdp: Some(sdp) });
    }

    // What was said.

    /// Legs that we dialled, with what we dialled.
    pub fn dialled(&self) -> Vec<(LegId, &Dial)> {
        self.said
            .iter()
            .filter_map(|output| match output {
                Output::Signal {
                    leg,
                    command: SignalCommand::Dial(dial),
                } => Some((*leg, &**dial)),
                _ => None,
            })
            .collect()
    }

    pub fn only_dialled(&self) -> LegId {
        match self.dialled().as_slice() {
            [(leg, _)] => *leg,
            others => panic!("{} were dialled", others.len()),
        }
    }

    /// What a leg was told since the last `forget`.
    pub fn told(&self, leg: LegId) -> Vec<&SignalCommand> {
        self.said
            .iter()
            .filter_map(|output| match output {
                Output::Signal { leg: to, command } if *to == leg => Some(command),
                _ => None,
            })
            .collect()
    }

    /// The last thing that a leg was told, in a line.
    pub fn last(&self, leg: LegId) -> String {
        self.told(leg)
            .last()
            .map(|command| describe_signal(command))
            .unwrap_or_else(|| "nothing".into())
    }

    /// The description that a leg was sent last.
    pub fn sdp_to(&self, leg: LegId) -> SessionDescription {
        self.told(leg)
            .into_iter()
            .rev()
            .find_map(|command| match command {
                SignalCommand::Answer { sdp }
                | SignalCommand::Progress { sdp, .. }
                | SignalCommand::AcceptReinvite { sdp, .. } => Some(sdp.clone()),
                SignalCommand::Dial(dial) => dial.sdp.clone(),
                SignalCommand::Reinvite { sdp, .. } => sdp.clone(),
                _ => None,
            })
            .unwrap()
    }

    /// The re-INVITE that a leg was sent last.
    pub fn reinvite_to(&self, leg: LegId) -> RequestId {
        self.told(leg)
            .into_iter()
            .rev()
            .find_map(|command| match command {
                SignalCommand::Reinvite { request, .. } => Some(*request),
                _ => None,
            })
            .unwrap()
    }

    pub fn commands(&self) -> Vec<&Command> {
        self.said
            .iter()
            .filter_map(|output| match output {
                Output::Media { command, .. } => Some(command),
                _ => None,
            })
            .collect()
    }

    pub fn records(&self) -> Vec<&Record> {
        self.said
            .iter()
            .filter_map(|output| match output {
                Output::Record { record, .. } => Some(record),
                _ => None,
            })
            .collect()
    }

    pub fn call(&self) -> &Call {
        let mut calls = self.board.calls.values();
        let call = calls.next().unwrap();
        assert!(calls.next().is_none(), "more than one call");
        call
    }

    /// Nothing is left of any call: no leg, no timer, no port.
    pub fn assert_empty(&self) {
        assert!(self.board.calls.is_empty(), "a call is left");
        assert!(self.board.legs.is_empty(), "a leg is left");
        assert!(self.board.bridges.is_empty(), "a bridge is left");
        assert_eq!(self.board.poll_timeout(), None, "a timer is left");
        assert!(self.open.is_empty(), "ports are left: {:?}", self.open);
    }
}

/// An output in a few words; nothing of what changes from run to run.
pub(in crate::control) fn describe(output: &Output) -> Option<String> {
    match output {
        Output::Signal { command, .. } => Some(describe_signal(command)),
        Output::Media { command, .. } => Some(
            match command {
                Command::Open { .. } => "Open",
                Command::Configure { .. } => "Configure",
                Command::OpenBridge { .. } => "OpenBridge",
                Command::Seat { .. } => "Seat",
                Command::Unseat { .. } => "Unseat",
                Command::CloseBridge { .. } => "CloseBridge",
                Command::SetMatrix { .. } => "SetMatrix",
                Command::Play { .. } => "Play",
                Command::StopPlay { .. } => "StopPlay",
                Command::WatchMedia { .. } => "WatchMedia",
                Command::PressKey { .. } => "PressKey",
                Command::Close { .. } => "Close",
                Command::Convene { .. }
                | Command::Dissolve { .. }
                | Command::ListenForKeys { .. }
                | Command::Detach { .. }
                | Command::ArmSeatFault { .. } => "supervision",
            }
            .into(),
        ),
        Output::Record { record, .. } => match record {
            Record::CallStarted(_) => Some("CallStarted".into()),
            Record::CallAnswered { .. } => Some("CallAnswered".into()),
            Record::CallEnded { cause, .. } => Some(format!("CallEnded({cause})")),
            _ => Some("record".into()),
        },
        Output::Move { .. }
        | Output::CheckPin { .. }
        | Output::Reply { .. }
        | Output::Notify(_) => None,
    }
}

pub(in crate::control) fn describe_signal(command: &SignalCommand) -> String {
    let reason = |reason: &Option<Reason>| match reason {
        Some(reason) => format!(" [{} {}: {}]", reason.protocol, reason.cause, reason.text),
        None => String::new(),
    };
    let way = |sdp: &SessionDescription| {
        sdp.audio()
            .map_or("?".into(), |audio| format!("{:?}", audio.direction))
            .to_lowercase()
    };
    match command {
        SignalCommand::Ring => "180".into(),
        SignalCommand::Progress { status, sdp } => format!("{status} {}", way(sdp)),
        SignalCommand::Answer { sdp } => format!("200 {}", way(sdp)),
        SignalCommand::Reject { status, reason: r } => format!("{status}{}", reason(r)),
        SignalCommand::Dial(dial) => match &dial.target {
            Target::Uri(uri) => format!("INVITE {uri}"),
            Target::Trunk { name, number } => format!("INVITE {number} by {name}"),
            Target::Registered(Identity::Agent { extension, .. }) => format!("INVITE {extension}"),
            Target::Registered(Identity::Supervisor { user, .. }) => format!("INVITE {user}"),
        },
        SignalCommand::Cancel { reason: r } => format!("CANCEL{}", reason(r)),
        SignalCommand::HangUp { reason: r } => format!("BYE{}", reason(r)),
        SignalCommand::Reinvite { sdp, .. } => {
            format!("re-INVITE {}", sdp.as_ref().map(way).unwrap_or_default())
        }
        SignalCommand::AcceptReinvite { sdp, .. } => format!("re-200 {}", way(sdp)),
        SignalCommand::RefuseReinvite { status, .. } => format!("re-{status}"),
        SignalCommand::AcceptRefer { .. } => "REFER 202".into(),
        SignalCommand::RefuseRefer { status, .. } => format!("REFER {status}"),
        SignalCommand::NotifyRefer { status, last, .. } => match last {
            true => format!("NOTIFY {status}, last"),
            false => format!("NOTIFY {status}"),
        },
    }
}

pub(in crate::control) fn carrier() -> Origin {
    Origin::Trunk {
        name: "carrier".into(),
        network: Network::External,
        caller_id: CallerIdTrust::Trusted,
    }
}

pub(in crate::control) fn pbx() -> Origin {
    Origin::Trunk {
        name: "pbx".into(),
        network: Network::Internal,
        caller_id: CallerIdTrust::Trusted,
    }
}

/// The phone of agent 205.
pub(in crate::control) fn phone_205() -> Origin {
    Origin::Registered(Identity::Agent {
        organisation: "acme".into(),
        extension: "205".into(),
    })
}

pub(in crate::control) fn pcma(port: u16) -> SessionDescription {
    sdp(port, "8 101", "a=rtpmap:101 telephone-event/8000")
}

/// A description with these formats and attributes.
pub(in crate::control) fn sdp(port: u16, formats: &str, attributes: &str) -> SessionDescription {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\n{attributes}\r\n"
    );
    SessionDescription::parse(text.as_bytes()).unwrap()
}

/// The same, in a direction.
pub(in crate::control) fn directed(port: u16, direction: &str) -> SessionDescription {
    sdp(
        port,
        "8 101",
        &format!("a=rtpmap:101 telephone-event/8000\r\na={direction}"),
    )
}

pub(in crate::control) fn settings() -> Settings {
    let route = |number: &str, to: RouteTarget| Route {
        number: Regex::new(number).unwrap(),
        from: None,
        to,
    };
    let trunk = |name: &str, external| RouteTarget::Trunk {
        name: name.into(),
        external,
    };
    Settings {
        routes: vec![
            route("^2\\d\\d$", RouteTarget::Agent),
            route("^support$", RouteTarget::Pool("support".into())),
            route("^\\+?\\d{5,}$", trunk("carrier", true)),
            route("^3\\d\\d$", trunk("pbx", false)),
        ],
        ..Settings::default()
    }
}

pub(in crate::control) fn directory() -> Directory {
    let acme: Arc<str> = "acme".into();
    let agent = |extension: &str, contact: Option<&str>| Agent {
        organisation: acme.clone(),
        extension: extension.into(),
        name: extension.into(),
        pools: vec!["support".into()],
        contact: contact.map(Into::into),
        agent_notice: None,
    };
    let agents = [agent("204", Some("sip:204@127.0.0.3")), agent("205", None)];
    Directory {
        organisations: BTreeMap::from([(
            acme.clone(),
            Organisation {
                id: acme.clone(),
                name: "Acme".into(),
                supervising_numbers: vec!["800".into()],
                supervision: true,
                agent_notice: None,
                help_keys: false,
            },
        )]),
        pools: BTreeMap::from([(
            (acme.clone(), "support".into()),
            Pool {
                organisation: acme.clone(),
                name: "support".into(),
                agent_notice: None,
            },
        )]),
        agents: agents
            .into_iter()
            .map(|agent| ((acme.clone(), agent.extension.clone()), agent))
            .collect(),
        supervisors: BTreeMap::new(),
    }
}
