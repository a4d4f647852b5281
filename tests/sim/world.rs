//! The whole system without a socket: the real `Switchboard`, real `Shard`s, simulated phones and a
//! seeded network, in virtual time. The world plays the edge: it opens ports, moves legs between
//! shards, makes records durable, and speaks for the SIP stack at the level of `Signal`.

mod acts;
mod edge;
pub mod house;
mod telephony;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sottovoce::control::input::{Network as Side, Reply, Signal};
use sottovoce::control::output::Notice;
use sottovoce::control::record::AuditRow;
use sottovoce::control::refusal::ErrorCode;
use sottovoce::control::role::{Role, Supervision};
use sottovoce::control::settings::Settings;
use sottovoce::control::snapshot::{SessionState, Snapshot};
use sottovoce::control::switchboard::Switchboard;
use sottovoce::id::{CallId, Ids, LegId, RecordId, RequestId, ShardId};
use sottovoce::media::shard::{PortSlot, Shard, ShardConfig};

use crate::checks::Checks;
use crate::network::{Impairment, Network};
use crate::phone::{HeardFrame, How, MAX_PHONES, SimPhone};
use crate::world::house::{directory, prompts, settings};

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
    Recorded(RecordId),
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
    /// Records that the store has not answered for.
    unrecorded: Vec<RecordId>,
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
            unrecorded: Vec::new(),
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

    /// The hold music's mean amplitude in this ear over the last `window`.
    pub fn music_in(&self, phone: PhoneId, window: Duration) -> f32 {
        self.mean_in(phone, window, |frame| frame.music)
    }

    /// The prompt tone's mean amplitude in this ear over the last `window`.
    pub fn prompt_in(&self, phone: PhoneId, window: Duration) -> f32 {
        self.mean_in(phone, window, |frame| frame.prompt)
    }

    fn mean_in(
        &self,
        phone: PhoneId,
        window: Duration,
        measured: impl Fn(&HeardFrame) -> f32,
    ) -> f32 {
        let since = self.now - window;
        let frames: Vec<f32> = self.phones[phone.0]
            .heard
            .iter()
            .filter(|frame| frame.at >= since)
            .map(measured)
            .collect();
        frames.iter().sum::<f32>() / frames.len().max(1) as f32
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
