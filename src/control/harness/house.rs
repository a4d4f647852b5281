//! A switchboard with a media plane that does what it is told, and phones that say what they are
//! asked to say.
//!
//! The house: two trunks, `carrier` outside and `pbx` inside; agent 204 has a fixed contact, 205
//! registers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::control::call::Call;
use crate::control::directory::{Directory, Pool};
use crate::control::harness::acme::{acme, agent, carrier};
use crate::control::harness::descriptions::pcma;
use crate::control::harness::words::describe_signal;
use crate::control::input::{Input, Invitation, Origin, Signal, StoreAnswer};
use crate::control::output::{Dial, Output, SignalCommand};
use crate::control::record::Record;
use crate::control::settings::{Route, RouteTarget, Settings};
use crate::control::switchboard::Switchboard;
use crate::id::{Ids, LegId, RequestId, ShardId};
use crate::media::command::{Command, Event, LegStats};
use crate::wire::sdp::SessionDescription;

/// The switchboard and everything it said.
pub struct House {
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
pub enum Ports {
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

    /// The leg that we dialled is refused, or is over after our CANCEL.
    pub fn fails(&mut self, leg: LegId, status: u16) {
        let reason = "".into();
        self.signal(leg, Signal::Failed { status, reason });
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

pub fn settings() -> Settings {
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

pub fn directory() -> Directory {
    let pool = Pool {
        organisation: "acme".into(),
        name: "support".into(),
        agent_notice: None,
    };
    Directory {
        organisations: BTreeMap::from([("acme".into(), acme(false))]),
        pools: BTreeMap::from([(("acme".into(), "support".into()), pool)]),
        agents: BTreeMap::from([
            agent("204", "support", Some("sip:204@127.0.0.3")),
            agent("205", "support", None),
        ]),
        supervisors: BTreeMap::new(),
    }
}
