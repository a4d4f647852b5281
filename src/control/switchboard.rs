//! Owns every call, leg and supervisor of the node, and is the one writer of their state.
//!
//! One input at a time goes in by [`Switchboard::handle_input`]; what follows from it comes out of
//! [`Switchboard::poll_output`] in one order. Calls are handled in `inbound`, `dialling`, `talking`,
//! `hold`, `transfer` and `clearing`, supervision in `supervisor` and its neighbours: each is an
//! `impl Switchboard` over the data below.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::call::{Call, Side, on_call};
use crate::control::desk::Desk;
use crate::control::directory::Directory;
use crate::control::input::{Input, Reply, Signal, StoreAnswer};
use crate::control::leg::{Departure, Followed, Leg, LegOwner, LegState};
use crate::control::load::ShardLoad;
use crate::control::output::{Notice, Output, Reason, SignalCommand};
use crate::control::policy::ServiceState;
use crate::control::record::Record;
use crate::control::role::Role;
use crate::control::routing;
use crate::control::settings::Settings;
use crate::control::supervisor::Supervisor;
use crate::control::timers::{Owner, Timer, Timers};
use crate::id::{BridgeId, CallId, Generation, Ids, LegId, PlayId, RecordId, RequestId, ShardId};
use crate::media::command::{Command, Event};

pub struct Switchboard {
    pub(in crate::control) settings: Settings,
    pub(in crate::control) directory: Arc<Directory>,
    pub(in crate::control) ids: Ids,
    pub(in crate::control) calls: BTreeMap<CallId, Call>,
    pub(in crate::control) legs: BTreeMap<LegId, Leg>,
    pub(in crate::control) load: ShardLoad,
    pub(in crate::control) bridges: BTreeMap<BridgeId, CallId>,
    pub(in crate::control) supervisors: BTreeMap<LegId, Supervisor>,
    pub(in crate::control) desk: Desk,
    pub(in crate::control) timers: Timers,
    pub(in crate::control) service: ServiceState,
    /// Drained after every input; one input adds a handful for each leg that it touches.
    outputs: VecDeque<Output>,
}

impl Switchboard {
    pub fn new(settings: Settings, directory: Arc<Directory>, ids: Ids) -> Self {
        Self {
            settings,
            directory,
            ids,
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            load: ShardLoad::default(),
            bridges: BTreeMap::new(),
            supervisors: BTreeMap::new(),
            desk: Desk::default(),
            timers: Timers::default(),
            service: ServiceState::default(),
            outputs: VecDeque::new(),
        }
    }

    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Signal { leg, signal } => self.handle_signal(now, leg, signal),
            Input::Media { shard, event } => self.handle_media(now, shard, event),
            Input::Operator { request, who, ask } => self.operator(now, request, who, ask),
            Input::Store(StoreAnswer::Recorded(record)) => self.recorded(now, record),
            Input::Store(StoreAnswer::PinChecked { request, matches }) => {
                self.pin_checked(now, request, matches);
            }
            Input::Store(StoreAnswer::Down) => self.service.store_down = true,
            Input::Store(StoreAnswer::Up) => self.service.store_down = false,
            Input::Directory(directory) => self.people_changed(now, directory),
            Input::Drain => self.service.draining = true,
            Input::EndCalls => self.end_calls(now),
        }
    }

    /// The owners of the legs hear of each end, and end what hangs on it.
    fn end_calls(&mut self, now: Instant) {
        self.service.draining = true;
        let legs: Vec<LegId> = self.legs.keys().copied().collect();
        for leg in legs {
            self.end_leg(now, leg, 503, Some(reason(503, "Service ends")));
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((owner, timer)) = self.timers.pop_due(now) {
            match owner {
                Owner::Call(call) => self.call_timeout(now, call, timer),
                Owner::Leg(leg) => self.leg_timeout(now, leg, timer),
                Owner::Supervisor(_) | Owner::Desk => self.supervisor_timeout(now, owner, timer),
            }
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.poll_timeout()
    }

    /// Who sits in a call, in which role: what the mix is made from. For the simulation's checks.
    pub fn seated(&self, call: CallId) -> Vec<(LegId, Role)> {
        let seats = self.calls.get(&call).map(|call| call.seats.values());
        seats
            .into_iter()
            .flatten()
            .map(|occupant| (occupant.leg, occupant.role))
            .collect()
    }

    fn handle_signal(&mut self, now: Instant, id: LegId, signal: Signal) {
        if let Signal::Invited(invitation) = signal {
            return self.invited(now, id, *invitation);
        }
        let Some(leg) = self.legs.get_mut(&id) else {
            return self.refuse_stray(id, signal);
        };
        if let Signal::Focus(is_focus) = signal {
            leg.is_focus = is_focus;
            return;
        }
        let owner = leg.owner;
        match leg.follow(signal) {
            Followed::Live(signal) => match owner {
                LegOwner::Call(call) => self.call_signal(now, call, id, signal),
                LegOwner::Supervisor => self.supervisor_signal(now, id, signal),
            },
            Followed::Gone(departure) => self.leg_gone(now, id, departure),
            Followed::AnsweredTooLate => {
                self.signal(id, SignalCommand::HangUp { reason: None });
                self.timers
                    .set(Owner::Leg(id), Timer::Release, now + RELEASE_BACKSTOP);
            }
            Followed::Settled(signal) => self.refuse_stray(id, signal),
        }
    }

    fn handle_media(&mut self, now: Instant, shard: ShardId, event: Event) {
        match event {
            Event::Opened { leg, local } => {
                // A leg that ended meanwhile has been closed already, behind the opening.
                if let Some(opened) = self.legs.get_mut(&leg)
                    && opened.local.is_none()
                {
                    opened.local = Some(local);
                    self.timers.clear(Owner::Leg(leg), Timer::Setup);
                    self.leg_media(now, leg, Event::Opened { leg, local });
                }
            }
            Event::Attached { leg } => match self.legs.contains_key(&leg) {
                true => self.leg_media(now, leg, Event::Attached { leg }),
                // Its leg ended while it was between two shards.
                false => self.media(shard, Command::Close { leg }),
            },
            Event::OpenFailed { leg } => {
                if self.legs.get(&leg).is_some_and(|leg| leg.local.is_none()) {
                    self.leg_media(now, leg, event);
                }
            }
            Event::DigitPressed { leg, .. }
            | Event::VoiceOpened { leg }
            | Event::PlayEnded { leg, .. }
            | Event::MediaSilent { leg, .. }
            | Event::MediaHeard { leg }
            | Event::Detached { leg }
            | Event::Closed { leg, .. }
            | Event::Seated { leg, .. }
            | Event::SeatRefused { leg, .. } => self.leg_media(now, leg, event),
            Event::MatrixInForce { bridge, generation } => {
                if let Some(call) = self.bridges.get(&bridge).copied() {
                    if let Some(call) = self.calls.get_mut(&call) {
                        call.in_force = Some(generation);
                    }
                    self.bridge_event(now, call, event);
                }
            }
            Event::Convened { bridge }
            | Event::ConveneRefused { bridge, .. }
            | Event::FenceViolated { bridge, .. } => {
                if let Some(call) = self.bridges.get(&bridge).copied() {
                    self.bridge_event(now, call, event);
                }
            }
        }
    }

    /// Events that name a leg go to its owner; of legs that are gone nothing more is of interest.
    pub(in crate::control) fn leg_media(&mut self, now: Instant, leg: LegId, event: Event) {
        match self.legs.get(&leg).map(|leg| leg.owner) {
            Some(LegOwner::Call(call)) => self.call_media(now, call, leg, event),
            Some(LegOwner::Supervisor) => self.supervisor_media(now, leg, event),
            None => {}
        }
    }

    /// A leg is released: its owner hears of it while the leg is still there to look at.
    pub(in crate::control) fn leg_gone(&mut self, now: Instant, id: LegId, how: Departure) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        leg.state = LegState::Released;
        match leg.owner {
            LegOwner::Call(call) => self.call_leg_gone(now, call, id, how),
            LegOwner::Supervisor => self.supervisor_gone(now, id, how),
        }
        self.timers.forget(Owner::Leg(id));
        if let Some(leg) = self.legs.remove(&id) {
            self.load.remove(leg.shard);
            self.media(leg.shard, Command::Close { leg: id });
        }
    }

    /// What still wants an answer on a dialog that is ending, or that we do not know.
    pub(in crate::control) fn refuse_stray(&mut self, leg: LegId, signal: Signal) {
        match signal {
            Signal::Reinvited { request, .. } => self.signal(
                leg,
                SignalCommand::RefuseReinvite {
                    request,
                    status: 481,
                },
            ),
            Signal::Referred { request, .. } => self.signal(
                leg,
                SignalCommand::RefuseRefer {
                    request,
                    status: 481,
                },
            ),
            Signal::Invited(_)
            | Signal::Cancelled
            | Signal::Acknowledged { .. }
            | Signal::NeverAcknowledged
            | Signal::Progressed { .. }
            | Signal::Answered { .. }
            | Signal::Failed { .. }
            | Signal::ReinviteAcknowledged { .. }
            | Signal::ReinviteAnswered { .. }
            | Signal::HungUp { .. }
            | Signal::HangUpDone
            | Signal::KeyInfo { .. }
            | Signal::Focus(_)
            | Signal::Lost => {}
        }
    }

    // What the rest of control sends out.

    pub(in crate::control) fn signal(&mut self, leg: LegId, command: SignalCommand) {
        self.outputs.push_back(Output::Signal { leg, command });
    }

    pub(in crate::control) fn media(&mut self, shard: ShardId, command: Command) {
        self.outputs.push_back(Output::Media { shard, command });
    }

    /// To the shard where the leg's media is. Says nothing of a leg that is gone.
    pub(in crate::control) fn leg_command(&mut self, leg: LegId, command: Command) {
        if let Some(shard) = self.legs.get(&leg).map(|leg| leg.shard) {
            self.media(shard, command);
        }
    }

    pub(in crate::control) fn record(&mut self, record: Record) -> RecordId {
        let id = RecordId(self.ids.next_id());
        self.outputs.push_back(Output::Record { id, record });
        id
    }

    pub(in crate::control) fn notify(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notify(notice));
    }

    pub(in crate::control) fn reply(&mut self, request: RequestId, reply: Reply) {
        self.outputs.push_back(Output::Reply { request, reply });
    }

    /// Anything that has no shorter way: `Move`, `CheckPin`.
    pub(in crate::control) fn put(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(in crate::control) fn next_play(&mut self) -> PlayId {
        PlayId(self.ids.next_id())
    }

    /// The shard with the fewest legs.
    pub(in crate::control) fn quietest_shard(&self) -> ShardId {
        self.load.quietest(self.settings.shards)
    }

    // What is asked of calls.

    /// Whether the Pupil's leg on this call is answered and not terminated.
    pub(in crate::control) fn pupil_on_call(&self, call: &Call) -> bool {
        self.party_on_call(call, Side::Pupil)
    }

    /// Whether the User's leg is answered and not terminated.
    pub(in crate::control) fn user_on_call(&self, call: &Call) -> bool {
        self.party_on_call(call, Side::User)
    }

    fn party_on_call(&self, call: &Call, side: Side) -> bool {
        on_call(call.party(side).leg.and_then(|leg| self.legs.get(&leg)))
    }

    /// Whether this party has put the other one on hold.
    pub(in crate::control) fn holds(&self, call: &Call, side: Side) -> bool {
        call.party(side)
            .leg
            .and_then(|leg| self.legs.get(&leg))
            .is_some_and(|leg| leg.is_confirmed() && leg.negotiation.holds)
    }

    /// Sends the mix that follows from who sits where: a new generation, whole.
    pub(in crate::control) fn mix(&mut self, call: CallId) -> Option<Generation> {
        let held = match self.settings.hear_held_customer {
            true => Vec::new(),
            false => self
                .calls
                .get(&call)
                .filter(|call| self.holds(call, Side::Pupil))
                .map(|_| vec![Side::User])
                .unwrap_or_default(),
        };
        let call = self.calls.get_mut(&call)?;
        call.generation = Generation(call.generation.0 + 1);
        let seats = call.seat_states(&held);
        let command = Command::SetMatrix {
            bridge: call.bridge,
            matrix: routing::matrix_for(call.generation, &seats),
            fence: routing::fence_for(&seats),
        };
        let (shard, generation) = (call.shard, call.generation);
        self.media(shard, command);
        Some(generation)
    }
}

/// After this long a BYE or CANCEL of ours counts as answered: the edge's own limit is 64·T1, 32 s.
pub(in crate::control) const RELEASE_BACKSTOP: Duration = Duration::from_secs(40);

/// RFC 3326, for the other end's log.
pub(in crate::control) fn reason(cause: u16, text: &str) -> Reason {
    Reason {
        protocol: "SIP",
        cause,
        text: text.into(),
    }
}
