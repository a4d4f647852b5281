//! A switchboard with a talking call, a world that does at once what it is asked, and a supervisor
//! who presses keys. What each of them was told is kept for the tests to look at.

mod seen;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::control::call::{Call, CallState, Occupant, Party, Side};
use crate::control::directory::{Directory, Permissions, SupervisorEntry};
use crate::control::harness::acme::{acme, agent, carrier};
use crate::control::harness::descriptions::pcmu;
use crate::control::harness::stage::world::Manners;
use crate::control::input::{
    Ask, CallerIdTrust, Identity, Input, Invitation, Network, Operator, OperatorIdentity, Origin,
    Reply, Signal,
};
use crate::control::leg::{Handshake, Leg, LegOwner, LegState, Silence, Way};
use crate::control::output::{Output, SignalCommand};
use crate::control::party_keys::PartyKeys;
use crate::control::policy::CallKind;
use crate::control::record::{Direction, Source};
use crate::control::role::{Role, Supervision};
use crate::control::settings::{Route, RouteTarget, Settings};
use crate::control::switchboard::Switchboard;
use crate::id::{BridgeId, CallId, Generation, Ids, Language, LegId, RequestId, ShardId};
use crate::media::command::Event;
use crate::media::dtmf::{Digit, DigitSource};
use crate::media::matrix::Seat;

pub const MIA: &str = "+358401234567";
pub const ONA: &str = "+358407654321";
pub const PIN: &str = "4711";

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
            manners: Manners::default(),
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
                    trunk: None,
                    local: Some("127.0.0.1:20000".parse().unwrap()),
                    negotiation: Box::default(),
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
        let customer = self.invite_to("204", Some("+358501112222"), carrier());
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
                sdp: Some(pcmu(direction)),
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
                sdp: Some(pcmu("sendrecv")),
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
                    self.media(Event::DigitPressed { leg, digit, source });
                    if self.manners.releases {
                        self.media(Event::VoiceOpened { leg });
                    }
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
        self.supervisor_offers(leg, "sendonly");
    }

    pub fn supervisor_resumes(&mut self, leg: LegId) {
        self.supervisor_offers(leg, "sendrecv");
    }

    fn supervisor_offers(&mut self, leg: LegId, direction: &str) {
        let request = RequestId(self.next_id());
        self.signal(
            leg,
            Signal::Reinvited {
                request,
                sdp: Some(pcmu(direction)),
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

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Acme with agents 204 and 205 in support, 301 in sales, and Mia and Ona who supervise support.
fn directory() -> Directory {
    let mut directory = Directory::default();
    let acme_id: Arc<str> = "acme".into();
    directory.organisations.insert(acme_id.clone(), acme(true));
    for (extension, pool) in [("204", "support"), ("205", "support"), ("301", "sales")] {
        directory.agents.extend([agent(extension, pool, None)]);
    }
    for (user, phone) in [("mia", MIA), ("ona", ONA)] {
        directory.supervisors.insert(
            (acme_id.clone(), user.into()),
            SupervisorEntry {
                organisation: acme_id.clone(),
                user: user.into(),
                name: user.into(),
                phone: Some(phone.into()),
                default_country: Some("FI".into()),
                devices: Vec::new(),
                agent_extension: None,
                has_pin: true,
                pools: vec!["support".into()],
                may: Permissions::ALL,
                language: Language::default(),
            },
        );
    }
    directory
}
