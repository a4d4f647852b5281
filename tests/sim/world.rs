//! The whole system without a socket: the real `Switchboard`, real `Shard`s, simulated phones and a
//! seeded network, in virtual time. The world plays the edge: it opens ports, moves legs between
//! shards, makes records durable, and speaks for the SIP stack at the level of `Signal`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sottovoce::control::directory::{
    Agent, Directory, Organisation, Permissions, Pool, SupervisorEntry,
};
use sottovoce::control::input::{
    Ask, CallerIdTrust, Consulted, Input, Invitation, Network as Side, Operator, OperatorIdentity,
    Origin, Reply, Signal, StoreAnswer,
};
use sottovoce::control::output::{Notice, Output, SignalCommand, Target};
use sottovoce::control::record::{AuditRow, Record, Source};
use sottovoce::control::refusal::ErrorCode;
use sottovoce::control::role::{Role, Supervision};
use sottovoce::control::settings::{Route, RouteTarget, Settings};
use sottovoce::control::snapshot::{SessionState, Snapshot};
use sottovoce::control::switchboard::Switchboard;
use sottovoce::id::{CallId, Ids, Language, LegId, PromptId, RequestId, ShardId};
use sottovoce::media::command::{Command, Event};
use sottovoce::media::dtmf::Digit;
use sottovoce::media::prompt::PromptLibrary;
use sottovoce::media::shard::{Channel, PortSlot, Shard, ShardConfig};
use sottovoce::wire::sdp::SessionDescription;
use sottovoce::wire::wav::Wav;

use crate::checks::Checks;
use crate::network::{Datagram, Impairment, Network};
use crate::phone::{How, MAX_PHONES, SimPhone};

pub const MIA: &str = "+358401234567";
pub const LEO: &str = "+358407654321";
pub const AGENT: &str = "204";
pub const SECOND_AGENT: &str = "205";

/// A phone, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhoneId(pub usize);

/// How a phone that is rung behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Answers,
    Rings,
    Busy,
    /// Answers calls, but no BYE.
    DeafToBye,
}

/// The SIP side of a leg, as its phone sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It called us and waits.
    Calling,
    Ringing,
    Up,
    Over,
    Refused(u16),
}

pub struct LegSide {
    pub phone: PhoneId,
    pub line: Line,
    version: u32,
    direction: &'static str,
    pub reinvites: usize,
}

/// Something that happens later.
enum Later {
    Signal(LegId, Signal),
    Recorded(sottovoce::id::RecordId),
    Pin(RequestId, bool),
    Key(PhoneId, char),
}

pub struct World {
    pub now: Instant,
    pub switchboard: Switchboard,
    pub shards: Vec<Shard>,
    pub phones: Vec<SimPhone>,
    pub legs: BTreeMap<LegId, LegSide>,
    /// Legs that phones begin: dealt by the edge.
    edge_ids: u64,
    pub network: Network,
    ports: BTreeMap<SocketAddr, (ShardId, LegId, PortSlot)>,
    slots: BTreeMap<(ShardId, PortSlot), SocketAddr>,
    next_port: u16,
    later: BTreeMap<(Instant, u64), Later>,
    order: u64,
    pub audit: Vec<AuditRow>,
    pub notices: Vec<Notice>,
    pub replies: BTreeMap<RequestId, Reply>,
    next_request: u64,
    pub manners: BTreeMap<&'static str, Manner>,
    /// Which phone answers for which extension or number.
    pub homes: BTreeMap<String, PhoneId>,
    pub transfers: Vec<(LegId, u16)>,
    pub store_answers: bool,
    pub checks: Checks,
    pub violations: usize,
    /// Phones that hold the line just now: who is heard meanwhile is a matter of policy.
    holding: usize,
    random: fastrand::Rng,
}

impl World {
    pub fn new(seed: u64, impairment: Impairment) -> Self {
        Self::with_settings(seed, impairment, settings())
    }

    pub fn with_settings(seed: u64, impairment: Impairment, settings: Settings) -> Self {
        let now = sottovoce::edge::clock::now();
        let shard_count = settings.shards;
        let prompts = Arc::new(prompts());
        let shards = (0..shard_count)
            .map(|index| {
                let config = ShardConfig {
                    id: ShardId(index),
                    seed: seed ^ (u64::from(index) << 32),
                    wall_clock: None,
                };
                Shard::new(config, prompts.clone())
            })
            .collect();
        Self {
            now,
            switchboard: Switchboard::new(
                settings,
                Arc::new(directory()),
                Ids::starting_at(1 << 32),
            ),
            shards,
            phones: Vec::new(),
            legs: BTreeMap::new(),
            edge_ids: 1,
            network: Network::new(seed, impairment),
            ports: BTreeMap::new(),
            slots: BTreeMap::new(),
            next_port: 20_000,
            later: BTreeMap::new(),
            order: 0,
            audit: Vec::new(),
            notices: Vec::new(),
            replies: BTreeMap::new(),
            next_request: 1,
            manners: BTreeMap::new(),
            homes: BTreeMap::new(),
            transfers: Vec::new(),
            store_answers: true,
            checks: Checks::default(),
            violations: 0,
            holding: 0,
            random: fastrand::Rng::with_seed(seed.wrapping_mul(31)),
        }
    }

    pub fn add_phone(&mut self) -> PhoneId {
        let index = self.phones.len();
        assert!(index < MAX_PHONES, "no tone is left for another phone");
        let seed = self.random.u64(..);
        self.phones.push(SimPhone::new(index, self.now, seed));
        PhoneId(index)
    }

    /// A phone that answers when this extension or number is rung.
    pub fn add_home(&mut self, number: &str) -> PhoneId {
        let phone = self.add_phone();
        self.homes.insert(number.to_owned(), phone);
        phone
    }

    /// A customer on the internal trunk and agent 204 talk.
    pub fn converse(&mut self) -> (PhoneId, PhoneId) {
        let agent = self.add_home(AGENT);
        let customer = self.add_phone();
        let leg = self.invite(customer, "+358501112222", AGENT, Side::Internal);
        self.run_until(
            |world| world.line(leg) == Line::Up,
            "the customer's call is answered",
        );
        self.run_for(Duration::from_millis(300));
        (customer, agent)
    }

    /// A supervisor dials 800 from this number.
    pub fn dial_in(&mut self, number: &str) -> PhoneId {
        self.dial_in_by(number, How::Event)
    }

    /// A phone whose keys go this way: one that sends them in-band negotiates no telephone-event.
    fn dial_in_by(&mut self, number: &str, how: How) -> PhoneId {
        let phone = self.add_phone();
        self.phones[phone.0].telephone_event = how != How::InBand;
        let leg = self.invite(phone, number, "800", Side::External);
        self.run_until(
            |world| world.line(leg) != Line::Calling,
            "the supervisor is answered",
        );
        phone
    }

    /// As `dial_in`, and waits until the session monitors.
    pub fn supervise(&mut self, number: &str) -> PhoneId {
        self.supervise_by(number, How::Event)
    }

    pub fn supervise_by(&mut self, number: &str, how: How) -> PhoneId {
        let before = self.snapshot().sessions.len();
        let phone = self.dial_in_by(number, how);
        self.run_until(
            |world| {
                let sessions = world.snapshot().sessions;
                sessions.len() > before
                    && matches!(
                        sessions[sessions.len() - 1].state,
                        SessionState::Supervising(_)
                    )
            },
            "the session monitors",
        );
        // The confirmation has been spoken.
        self.run_for(Duration::from_millis(1200));
        phone
    }

    /// A call by one of the trunks.
    pub fn invite(&mut self, phone: PhoneId, caller: &str, number: &str, side: Side) -> LegId {
        let name = match side {
            Side::Internal => "office",
            Side::External => "mobile",
        };
        let origin = Origin::Trunk {
            name: name.into(),
            network: side,
            caller_id: CallerIdTrust::Trusted,
        };
        self.invite_from(phone, caller, number, origin)
    }

    /// Another call of agent 204, on a second line of theirs: (their leg, the line).
    pub fn agent_calls(&mut self, number: &str) -> (LegId, PhoneId) {
        let line = self.add_phone();
        let origin = Origin::Contact {
            organisation: "acme".into(),
            extension: AGENT.into(),
        };
        let leg = self.invite_from(line, AGENT, number, origin);
        self.run_until(
            |world| world.line(leg) == Line::Up,
            "the agent's second call is answered",
        );
        (leg, line)
    }

    fn invite_from(&mut self, phone: PhoneId, caller: &str, number: &str, origin: Origin) -> LegId {
        let leg = LegId(self.edge_ids);
        self.edge_ids += 1;
        self.legs.insert(
            leg,
            LegSide {
                phone,
                line: Line::Calling,
                version: 1,
                direction: "sendrecv",
                reinvites: 0,
            },
        );
        let sdp = self.phone_sdp(leg);
        let invitation = Invitation {
            dialled: number.into(),
            caller: Some(caller.into()),
            display_name: None,
            origin,
            sdp: Some(sdp),
            source: [10, 1, 0, 1].into(),
            max_forwards: 70,
        };
        self.input(Input::Signal {
            leg,
            signal: Signal::Invited(Box::new(invitation)),
        });
        leg
    }

    /// The newest leg of a phone that is not over.
    pub fn leg_of(&self, phone: PhoneId) -> Option<LegId> {
        self.legs
            .iter()
            .rev()
            .find(|(_, side)| {
                side.phone == phone && !matches!(side.line, Line::Over | Line::Refused(_))
            })
            .map(|(leg, _)| *leg)
    }

    pub fn line(&self, leg: LegId) -> Line {
        self.legs
            .get(&leg)
            .map_or(Line::Over, |side| side.line.clone())
    }

    pub fn line_of(&self, phone: PhoneId) -> Line {
        self.legs
            .values()
            .rev()
            .find(|side| side.phone == phone)
            .map_or(Line::Over, |side| side.line.clone())
    }

    pub fn press(&mut self, phone: PhoneId, keys: &str, how: How) {
        if how == How::Info {
            for (step, key) in keys.chars().enumerate() {
                self.after(
                    Duration::from_millis(100 * step as u64),
                    Later::Key(phone, key),
                );
            }
        } else {
            self.phones[phone.0].press(keys, how);
        }
    }

    /// Sends a key by SIP INFO after so long.
    pub fn press_info(&mut self, phone: PhoneId, key: char, after: Duration) {
        self.after(after, Later::Key(phone, key));
    }

    pub fn hang_up(&mut self, phone: PhoneId) {
        let Some(leg) = self.leg_of(phone) else {
            return;
        };
        let Some(side) = self.legs.get_mut(&leg) else {
            return;
        };
        let was = std::mem::replace(&mut side.line, Line::Over);
        self.phones[phone.0].remote = None;
        let signal = match was {
            Line::Calling => Signal::Cancelled,
            Line::Ringing => Signal::Failed {
                status: 486,
                reason: "Busy Here".into(),
            },
            _ => Signal::HungUp { reason: None },
        };
        self.input(Input::Signal { leg, signal });
    }

    /// The phone sends a re-INVITE with this direction.
    pub fn reinvite(&mut self, phone: PhoneId, direction: &'static str) {
        let Some(leg) = self.leg_of(phone) else {
            return;
        };
        let Some(side) = self.legs.get_mut(&leg) else {
            return;
        };
        if side.line != Line::Up {
            return;
        }
        side.version += 1;
        let held = usize::from(side.direction != "sendrecv");
        side.direction = direction;
        self.holding = self.holding + usize::from(direction != "sendrecv") - held;
        self.phones[phone.0].sending = direction != "inactive" && direction != "recvonly";
        let sdp = self.phone_sdp(leg);
        let request = self.request();
        self.input(Input::Signal {
            leg,
            signal: Signal::Reinvited {
                request,
                sdp: Some(sdp),
            },
        });
    }

    pub fn refer(&mut self, phone: PhoneId, target: &str) {
        self.refer_to(phone, target, None);
    }

    /// Attended transfer, where a leg was consulted.
    pub fn refer_to(&mut self, phone: PhoneId, target: &str, consulted: Option<LegId>) {
        let Some(leg) = self.leg_of(phone) else {
            return;
        };
        let request = self.request();
        let target = format!("sip:{target}@sottovoce.local").into();
        self.input(Input::Signal {
            leg,
            signal: Signal::Referred {
                request,
                target,
                consulted: consulted.map(Consulted::Leg),
            },
        });
    }

    /// What a supervisor or an agent asks for from a screen; the answer.
    pub fn ask(&mut self, identity: OperatorIdentity, ask: Ask) -> Reply {
        let request = self.request();
        let who = Operator {
            organisation: "acme".into(),
            identity,
            source: Source::Console,
        };
        self.input(Input::Operator { request, who, ask });
        self.run_until(
            |world| world.replies.contains_key(&request),
            "the operator is answered",
        );
        self.replies[&request].clone()
    }

    pub fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request | 1 << 62)
    }

    pub fn snapshot(&self) -> Snapshot {
        self.switchboard.snapshot()
    }

    pub fn audited(&self, code: ErrorCode) -> usize {
        self.audit
            .iter()
            .filter(|row| row.code == Some(code))
            .count()
    }

    /// Phones whose tones are in this ear now: mean amplitude over the last `window`.
    pub fn ears_of(&self, phone: PhoneId, window: Duration) -> Vec<PhoneId> {
        let since = self.now - window;
        (0..self.phones.len())
            .filter(|speaker| *speaker != phone.0)
            .filter(|speaker| {
                self.phones[phone.0].mean_of(*speaker, since).unwrap_or(0.0)
                    > crate::phone::AMPLITUDE * 0.2
            })
            .map(PhoneId)
            .collect()
    }

    /// The prompt tone's mean amplitude in this ear over the last `window`.
    pub fn prompt_in(&self, phone: PhoneId, window: Duration) -> f32 {
        let since = self.now - window;
        let frames: Vec<f32> = self.phones[phone.0]
            .heard
            .iter()
            .filter(|frame| frame.at >= since)
            .map(|frame| frame.prompt)
            .collect();
        frames.iter().sum::<f32>() / frames.len().max(1) as f32
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.step();
        }
        self.now = end;
    }

    /// Runs until something is so; panics when a minute of virtual time was not enough.
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool, what: &str) {
        let end = self.now + Duration::from_secs(60);
        while !done(self) {
            assert!(
                self.now < end,
                "never came to pass: {what}; lines {:?}",
                self.legs
                    .iter()
                    .map(|(leg, side)| (*leg, side.line.clone()))
                    .collect::<Vec<_>>()
            );
            match self.next_due() {
                Some(due) => self.now = self.now.max(due),
                None => panic!("nothing more will happen, and yet: {what}"),
            }
            self.step();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let phones = self.phones.iter().map(|phone| phone.next_tick).min();
        let shards = self.shards.iter().filter_map(Shard::poll_timeout).min();
        let later = self.later.keys().next().map(|(due, _)| *due);
        [
            phones,
            shards,
            later,
            self.network.poll_timeout(),
            self.switchboard.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything that is due now.
    fn step(&mut self) {
        let now = self.now;
        while let Some(key) = self
            .later
            .keys()
            .next()
            .copied()
            .filter(|(due, _)| *due <= now)
        {
            if let Some(later) = self.later.remove(&key) {
                self.happen(later);
            }
        }
        for index in 0..self.phones.len() {
            while self.phones[index].next_tick <= now {
                let packets = self.phones[index].tick();
                let (from, to) = (self.phones[index].address, self.phones[index].remote);
                for bytes in packets {
                    if let Some(to) = to {
                        self.network.send(now, Datagram { from, to, bytes });
                    }
                }
            }
        }
        while let Some(datagram) = self.network.arrive(now) {
            self.deliver(datagram);
        }
        for index in 0..self.shards.len() {
            if self.shards[index]
                .poll_timeout()
                .is_some_and(|due| due <= now)
            {
                self.shards[index].handle_timeout(now);
            }
            self.drain_shard(index);
        }
        if self
            .switchboard
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            self.switchboard.handle_timeout(now);
            self.drain_switchboard();
        }
        self.after_step();
    }

    fn deliver(&mut self, mut datagram: Datagram) {
        if let Some((shard, _, slot)) = self.ports.get(&datagram.to).copied() {
            let index = usize::from(shard.0);
            self.shards[index].handle_datagram(
                self.now,
                slot,
                Channel::Rtp,
                datagram.from,
                &mut datagram.bytes,
            );
            self.drain_shard(index);
            return;
        }
        let phones = self.phones.len();
        let now = self.now;
        if let Some(phone) = self
            .phones
            .iter_mut()
            .find(|phone| phone.address == datagram.to)
        {
            phone.hear(now, &datagram.bytes, phones);
        }
    }

    fn drain_shard(&mut self, index: usize) {
        let shard_id = ShardId(index as u16);
        while let Some(transmit) = self.shards[index].poll_transmit() {
            if transmit.channel == Channel::Rtcp {
                continue;
            }
            let Some(from) = self.slots.get(&(shard_id, transmit.slot)).copied() else {
                continue;
            };
            let datagram = Datagram {
                from,
                to: transmit.to,
                bytes: transmit.bytes.to_vec(),
            };
            let listener = self
                .phones
                .iter()
                .position(|phone| phone.address == datagram.to);
            if let Some(listener) = listener {
                let speaking: Vec<bool> = self
                    .phones
                    .iter()
                    .map(|phone| phone.is_speaking() && self.holding == 0)
                    .collect();
                self.checks
                    .note(self.now, PhoneId(listener), &datagram.bytes, &speaking);
            }
            self.network.send(self.now, datagram);
        }
        while let Some(slot) = self.shards[index].poll_closed() {
            if let Some(local) = self.slots.remove(&(shard_id, slot)) {
                self.ports.remove(&local);
            }
        }
        while let Some(event) = self.shards[index].poll_event() {
            if matches!(event, Event::FenceViolated { .. }) {
                self.violations += 1;
            }
            self.input(Input::Media {
                shard: shard_id,
                event,
            });
        }
    }

    pub fn input(&mut self, input: Input) {
        self.switchboard.handle_input(self.now, input);
        self.drain_switchboard();
    }

    fn drain_switchboard(&mut self) {
        while let Some(output) = self.switchboard.poll_output() {
            self.carry_out(output);
        }
        let roles = self.roles();
        self.checks.roles_are(self.now, roles);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Media {
                shard,
                command: Command::Open { leg },
            } => {
                let local = SocketAddr::from(([10, 0, 0, 1], self.next_port));
                self.next_port += 2;
                let slot = self.shards[usize::from(shard.0)].open(self.now, leg, local);
                self.ports.insert(local, (shard, leg, slot));
                self.slots.insert((shard, slot), local);
                self.drain_shard(usize::from(shard.0));
            }
            Output::Media { shard, command } => {
                let index = usize::from(shard.0);
                self.shards[index].handle_command(self.now, command);
                self.drain_shard(index);
            }
            Output::Move { leg, from, to } => {
                let Some(participant) = self.shards[usize::from(from.0)].detach(self.now, leg)
                else {
                    panic!("{leg} is moved from a shard where it is not");
                };
                let slot = self.shards[usize::from(to.0)].attach(self.now, participant);
                let local = self
                    .ports
                    .iter()
                    .find(|(_, port)| port.1 == leg)
                    .map(|(at, _)| *at);
                if let Some(local) = local {
                    if let Some((shard, _, slot)) = self.ports.remove(&local) {
                        self.slots.remove(&(shard, slot));
                    }
                    self.ports.insert(local, (to, leg, slot));
                    self.slots.insert((to, slot), local);
                }
                self.drain_shard(usize::from(from.0));
                self.drain_shard(usize::from(to.0));
            }
            Output::Signal { leg, command } => self.signal(leg, command),
            Output::Record { id, record } => {
                if let Record::Audit(row) = record {
                    self.audit.push(row);
                }
                if self.store_answers {
                    let delay = Duration::from_micros(self.random.u64(500..5000));
                    self.after(delay, Later::Recorded(id));
                }
            }
            Output::CheckPin { request, pin, .. } => {
                self.after(
                    Duration::from_millis(30),
                    Later::Pin(request, pin.0 == "4711"),
                );
            }
            Output::Reply { request, reply } => {
                self.replies.insert(request, reply);
            }
            Output::Notify(notice) => {
                if std::env::var_os("SIM_TRACE").is_some() {
                    eprintln!("{notice:?}");
                }
                self.notices.push(notice);
            }
        }
    }

    fn after(&mut self, delay: Duration, later: Later) {
        self.order += 1;
        self.later.insert((self.now + delay, self.order), later);
    }

    fn happen(&mut self, later: Later) {
        match later {
            Later::Signal(leg, signal) => {
                match &signal {
                    Signal::Answered { .. } => {
                        let Some(side) = self.legs.get_mut(&leg) else {
                            return;
                        };
                        if side.line != Line::Ringing {
                            return;
                        }
                        side.line = Line::Up;
                    }
                    Signal::Progressed { .. } if self.line(leg) != Line::Ringing => return,
                    _ => {}
                }
                self.input(Input::Signal { leg, signal });
            }
            Later::Recorded(id) => self.input(Input::Store(StoreAnswer::Recorded(id))),
            Later::Pin(request, matches) => {
                self.input(Input::Store(StoreAnswer::PinChecked { request, matches }));
            }
            Later::Key(phone, key) => {
                let Some(leg) = self.leg_of(phone) else {
                    return;
                };
                if self.line(leg) != Line::Up {
                    return;
                }
                let digit = Digit::from_char(key).expect("a key");
                self.input(Input::Signal {
                    leg,
                    signal: Signal::KeyInfo { digit },
                });
            }
        }
    }

    /// The SIP stack and the phone behind it, for one command.
    fn signal(&mut self, leg: LegId, command: SignalCommand) {
        if std::env::var_os("SIM_TRACE").is_some() {
            eprintln!("{leg}: {command:?}");
        }
        match command {
            SignalCommand::Dial(dial) => self.ring(leg, &dial.target, dial.sdp.as_ref()),
            SignalCommand::Ring => {}
            SignalCommand::Progress { sdp, .. } => self.remember_remote(leg, &sdp),
            SignalCommand::Answer { sdp } => {
                self.remember_remote(leg, &sdp);
                if let Some(side) = self.legs.get_mut(&leg) {
                    side.line = Line::Up;
                }
                self.after(
                    Duration::from_millis(2),
                    Later::Signal(leg, Signal::Acknowledged { sdp: None }),
                );
            }
            SignalCommand::Reject { status, .. } => {
                if let Some(side) = self.legs.get_mut(&leg) {
                    side.line = Line::Refused(status);
                    let phone = side.phone;
                    self.phones[phone.0].remote = None;
                }
            }
            SignalCommand::Cancel { .. } => {
                if let Some(side) = self.legs.get_mut(&leg)
                    && side.line == Line::Ringing
                {
                    side.line = Line::Over;
                    self.after(
                        Duration::from_millis(2),
                        Later::Signal(
                            leg,
                            Signal::Failed {
                                status: 487,
                                reason: "Request Terminated".into(),
                            },
                        ),
                    );
                }
            }
            SignalCommand::HangUp { .. } => {
                let Some(side) = self.legs.get_mut(&leg) else {
                    return;
                };
                let phone = side.phone;
                let deaf = self.homes.iter().any(|(number, home)| {
                    *home == phone && self.manners.get(number.as_str()) == Some(&Manner::DeafToBye)
                });
                // A BYE without answer is given up after 64·T1.
                let answered_after = if deaf {
                    Duration::from_secs(32)
                } else {
                    Duration::from_millis(2)
                };
                if !deaf {
                    side.line = Line::Over;
                    self.phones[phone.0].remote = None;
                }
                self.after(answered_after, Later::Signal(leg, Signal::HangUpDone));
            }
            SignalCommand::Reinvite { request, sdp } => {
                let Some(side) = self.legs.get_mut(&leg) else {
                    return;
                };
                side.reinvites += 1;
                side.version += 1;
                if let Some(sdp) = &sdp {
                    let text = sdp.to_string();
                    let offered = direction_in(&text);
                    side.direction = match offered {
                        "sendonly" => "recvonly",
                        "recvonly" => "sendonly",
                        other => other,
                    };
                    let phone = side.phone;
                    self.phones[phone.0].sending =
                        !matches!(side.direction, "recvonly" | "inactive");
                    self.remember_remote(leg, sdp);
                }
                let answer = self.phone_sdp(leg);
                self.after(
                    Duration::from_millis(4),
                    Later::Signal(
                        leg,
                        Signal::ReinviteAnswered {
                            request,
                            result: Ok(Some(answer)),
                        },
                    ),
                );
            }
            SignalCommand::AcceptReinvite { request, sdp } => {
                self.remember_remote(leg, &sdp);
                self.after(
                    Duration::from_millis(2),
                    Later::Signal(leg, Signal::ReinviteAcknowledged { request, sdp: None }),
                );
            }
            SignalCommand::RefuseReinvite { .. } => {
                if let Some(side) = self.legs.get_mut(&leg) {
                    side.direction = "sendrecv";
                    let phone = side.phone;
                    self.phones[phone.0].sending = true;
                }
            }
            SignalCommand::AcceptRefer { .. } => self.transfers.push((leg, 202)),
            SignalCommand::RefuseRefer { status, .. } => self.transfers.push((leg, status)),
            SignalCommand::NotifyRefer { status, .. } => self.transfers.push((leg, status)),
        }
    }

    fn ring(&mut self, leg: LegId, target: &Target, sdp: Option<&SessionDescription>) {
        let number: String = match target {
            Target::Uri(uri) => {
                let rest = uri.trim_start_matches("sip:");
                rest.split('@').next().unwrap_or(rest).to_owned()
            }
            Target::Trunk { number, .. } => number.to_string(),
            Target::Registered(_) => String::new(),
        };
        let Some(phone) = self.homes.get(&number).copied() else {
            self.after(
                Duration::from_millis(3),
                Later::Signal(
                    leg,
                    Signal::Failed {
                        status: 480,
                        reason: "nobody".into(),
                    },
                ),
            );
            return;
        };
        let manner = self
            .manners
            .get(number.as_str())
            .copied()
            .unwrap_or(Manner::Answers);
        let busy = manner == Manner::Busy || self.leg_of(phone).is_some();
        self.legs.insert(
            leg,
            LegSide {
                phone,
                line: Line::Ringing,
                version: 1,
                direction: "sendrecv",
                reinvites: 0,
            },
        );
        if busy {
            if let Some(side) = self.legs.get_mut(&leg) {
                side.line = Line::Refused(486);
            }
            self.after(
                Duration::from_millis(3),
                Later::Signal(
                    leg,
                    Signal::Failed {
                        status: 486,
                        reason: "Busy Here".into(),
                    },
                ),
            );
            return;
        }
        if let Some(sdp) = sdp {
            self.remember_remote(leg, sdp);
        }
        self.phones[phone.0].sending = true;
        self.after(
            Duration::from_millis(3),
            Later::Signal(
                leg,
                Signal::Progressed {
                    status: 180,
                    sdp: None,
                },
            ),
        );
        if manner != Manner::Rings {
            let answer = self.phone_sdp(leg);
            self.after(
                Duration::from_millis(200),
                Later::Signal(leg, Signal::Answered { sdp: Some(answer) }),
            );
        }
    }

    fn remember_remote(&mut self, leg: LegId, sdp: &SessionDescription) {
        let Some(side) = self.legs.get(&leg) else {
            return;
        };
        let text = sdp.to_string();
        let port = text
            .lines()
            .find_map(|line| line.strip_prefix("m=audio "))
            .and_then(|rest| rest.split(' ').next())
            .and_then(|port| port.parse::<u16>().ok());
        if let Some(port) = port {
            self.phones[side.phone.0].remote = Some(SocketAddr::from(([10, 0, 0, 1], port)));
        }
    }

    fn phone_sdp(&self, leg: LegId) -> SessionDescription {
        let side = &self.legs[&leg];
        let phone = &self.phones[side.phone.0];
        let event = if phone.telephone_event {
            (
                "101",
                "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
            )
        } else {
            ("", "")
        };
        let text = format!(
            "v=0\r\no=- {} {} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP 0 {}\r\n\
             a=rtpmap:0 PCMU/8000\r\n{}a={}\r\n",
            leg.0,
            side.version,
            phone.address.port(),
            event.0,
            event.1,
            side.direction,
            ip = phone.address.ip(),
        );
        let text = text.replace("0 \r\n", "0\r\n");
        SessionDescription::parse(text.as_bytes()).expect("the phone's own SDP")
    }

    /// Which phone has which role in which call, as control has it now.
    pub fn roles(&self) -> Vec<(CallId, Vec<(PhoneId, Role)>)> {
        let snapshot = self.snapshot();
        snapshot
            .calls
            .iter()
            .map(|call| {
                let seats = self
                    .switchboard
                    .seated(call.id)
                    .into_iter()
                    .filter_map(|(leg, role)| Some((self.legs.get(&leg)?.phone, role)))
                    .collect();
                (call.id, seats)
            })
            .collect()
    }

    fn after_step(&mut self) {
        self.checks.settle(self.now);
        assert_eq!(self.violations, 0, "matrix and fence differed");
    }

    /// What every world must have come to when all have hung up.
    pub fn assert_clean(&mut self) {
        self.run_for(Duration::from_secs(70));
        let snapshot = self.snapshot();
        assert!(
            snapshot.calls.is_empty(),
            "calls left behind: {:?}",
            snapshot.calls
        );
        assert!(
            snapshot.sessions.is_empty(),
            "sessions left behind: {:?}",
            snapshot.sessions
        );
        assert!(
            self.ports.is_empty(),
            "ports left open: {:?}",
            self.ports.keys()
        );
        self.checks.assert_clean();
    }

    /// The supervision of the newest session.
    pub fn supervision(&self) -> Option<Supervision> {
        match self.snapshot().sessions.last()?.state {
            SessionState::Supervising(supervision) => Some(supervision),
            _ => None,
        }
    }
}

fn direction_in(text: &str) -> &'static str {
    for direction in ["sendonly", "recvonly", "inactive"] {
        if text
            .lines()
            .any(|line| line.trim_end() == format!("a={direction}"))
        {
            return direction;
        }
    }
    "sendrecv"
}

pub fn settings() -> Settings {
    let route = |number: &str, to: RouteTarget| Route {
        number: regex::Regex::new(number).expect("a route"),
        from: None,
        to,
    };
    Settings {
        routes: vec![
            route("^2\\d\\d$", RouteTarget::Agent),
            route("^support$", RouteTarget::Pool("support".into())),
            route(
                "^\\+?\\d{5,}$",
                RouteTarget::Trunk {
                    name: "mobile".into(),
                    external: true,
                },
            ),
        ],
        spoken: ErrorCode::ALL
            .into_iter()
            .map(|code| {
                (
                    code,
                    vec![
                        PromptId("9"),
                        PromptId("0"),
                        PromptId("1"),
                        PromptId("error"),
                    ],
                )
            })
            .collect(),
        shards: 3,
        ..Settings::default()
    }
}

/// Every prompt is 400 ms of one tone that no phone speaks.
fn prompts() -> PromptLibrary {
    let samples: Vec<i16> = (0..6400)
        .map(|n| {
            let angle = std::f32::consts::TAU * crate::phone::PROMPT_HZ * n as f32 / 16_000.0;
            (3000.0 * angle.sin()) as i16
        })
        .collect();
    let wav = Wav {
        rate_hz: 16_000,
        samples,
    };
    let mut library = PromptLibrary::empty();
    let stems = include_str!("../../prompts/en.txt")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(stem, _)| stem);
    for stem in stems.chain(["error"]) {
        library.add(Language::default(), PromptId(stem), &wav);
    }
    library
}

fn directory() -> Directory {
    let acme: Arc<str> = "acme".into();
    let everything = Permissions {
        monitor: true,
        coach: true,
        whisper_caller: true,
        barge: true,
        takeover: true,
        hang_up: true,
    };
    let agent = |extension: &str| Agent {
        organisation: acme.clone(),
        extension: extension.into(),
        name: extension.into(),
        pools: vec!["support".into()],
        contact: Some(format!("sip:{extension}@10.1.0.9").into()),
        agent_notice: None,
    };
    let supervisor = |user: &str, phone: &str| SupervisorEntry {
        organisation: acme.clone(),
        user: user.into(),
        name: user.into(),
        phone: Some(phone.into()),
        default_country: Some("FI".into()),
        devices: vec![phone.into()],
        agent_extension: None,
        has_pin: true,
        pools: vec!["support".into()],
        may: everything,
        language: Language::default(),
    };
    let mut directory = Directory::default();
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
    directory.pools.insert(
        (acme.clone(), "support".into()),
        Pool {
            organisation: acme.clone(),
            name: "support".into(),
            agent_notice: None,
        },
    );
    for extension in [AGENT, SECOND_AGENT] {
        directory
            .agents
            .insert((acme.clone(), extension.into()), agent(extension));
    }
    for (user, phone) in [("mia", MIA), ("leo", LEO)] {
        directory
            .supervisors
            .insert((acme.clone(), user.into()), supervisor(user, phone));
    }
    directory
}
