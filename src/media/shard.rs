//! The bridges and legs of one thread: commands and datagrams in, datagrams and events out.
//!
//! After each `handle_*` the owner drains `poll_transmit`, then `poll_event`, then `poll_closed`.

mod ahead;
mod commands;
#[cfg(test)]
pub mod harness;
mod load;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod withheld;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::id::{BridgeId, LegId};
use crate::media::bridge::{Bridge, Context};
use crate::media::command::Event;
use crate::media::dtmf::DigitSource;
use crate::media::identity::Identity;
use crate::media::legs::Legs;
use crate::media::matrix::MAX_SEATS;
use crate::media::participant::Participant;
use crate::media::prompt::PromptLibrary;
use crate::media::reports::WallClock;
use crate::media::resample::Resampler;
use crate::media::shard::load::Load;
use crate::media::voice::Payload;
use crate::media::wheel::{Turned, Wheel};
use crate::wire::rtcp::{self, Said, Staying};
use crate::wire::rtp::{self, Header, Packet};

pub use crate::media::outbox::{Channel, Outbox, PortSlot, Transmit};

/// What a shard is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct ShardConfig {
    /// Where SSRCs and the first sequence numbers and timestamps come from.
    pub seed: u64,
    /// What the wall clock said at some instant, as 32.32 seconds of NTP; for sender reports.
    /// Without it they count from the first leg on, as RFC 3550 §4 allows.
    pub wall_clock: Option<(Instant, u64)>,
}

/// Counters since they were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    pub rtp_in: u64,
    pub rtp_out: u64,
    /// Packets that the sequence numbers say were sent and that did not come.
    pub rtp_lost: u64,
    pub parse_errors: u64,
    /// Well formed, and not wanted: from a stranger, of an unknown payload type, on hold.
    pub dropped: u64,
    /// Packets that an encoder made; what several hear is made once.
    pub encoded: u64,
    /// Frames that were made up because their packets were lost, or came too late.
    pub concealed_frames: u64,
    /// Frames silenced because the matrix said more than the fence. Must stay zero.
    pub fence_violations: u64,
}

pub struct Shard {
    prompts: Arc<PromptLibrary>,
    wall_clock: Option<WallClock>,
    random: Random,
    load: Load,
    legs: Legs,
    bridges: Vec<Option<Box<Bridge>>>,
    bridge_index: BTreeMap<BridgeId, usize>,
    wheel: Wheel,
    /// When a leg's timer is to be looked at. An entry that its leg no longer stands for is stale.
    timers: BinaryHeap<Reverse<(Instant, PortSlot)>>,
    out: Out,
    closed: VecDeque<PortSlot>,
}

/// What comes of the work.
struct Out {
    outbox: Outbox,
    events: VecDeque<Event>,
    stats: ShardStats,
    payloads: Box<[Payload; MAX_SEATS]>,
}

impl Out {
    fn context(&mut self, now: Instant) -> Context<'_> {
        Context {
            now,
            outbox: &mut self.outbox,
            events: &mut self.events,
            stats: &mut self.stats,
            payloads: &mut self.payloads,
        }
    }
}

impl Shard {
    pub fn new(config: ShardConfig, prompts: Arc<PromptLibrary>) -> Self {
        Resampler::prepare();
        Self {
            prompts,
            wall_clock: config.wall_clock.map(|(at, ntp)| WallClock { at, ntp }),
            random: Random(config.seed),
            load: Load::default(),
            legs: Legs::default(),
            bridges: Vec::new(),
            bridge_index: BTreeMap::new(),
            wheel: Wheel::default(),
            timers: BinaryHeap::new(),
            out: Out {
                outbox: Outbox::default(),
                events: VecDeque::new(),
                stats: ShardStats::default(),
                payloads: Box::new([Payload::empty(); MAX_SEATS]),
            },
            closed: VecDeque::new(),
        }
    }

    /// Takes in a leg whose port the edge has bound. The slot is its own until `poll_closed` names
    /// it, or until the leg is detached.
    pub fn open(&mut self, now: Instant, leg: LegId, local: SocketAddr) -> PortSlot {
        self.wall_clock.get_or_insert(WallClock { at: now, ntp: 0 });
        let chance = self.random.next();
        let identity = Identity::new(
            (chance >> 32) as u32,
            // The first half of the numbers, so that no early packet is taken for one from before
            // the wrap (RFC 3550 appendix A.1).
            (chance & 0x7fff) as u16,
            self.random.next() as u32,
        );
        let slot = self
            .legs
            .insert(Box::new(Participant::new(leg, local, identity)));
        self.out.events.push_back(Event::Opened { leg, local });
        slot
    }

    pub fn handle_datagram(
        &mut self,
        now: Instant,
        slot: PortSlot,
        channel: Channel,
        source: SocketAddr,
        bytes: &mut [u8],
    ) {
        if channel == Channel::Rtcp || rtp::is_rtcp(bytes) {
            self.handle_rtcp(now, slot, channel, source, bytes);
        } else {
            self.handle_rtp(now, slot, source, bytes);
        }
    }

    fn handle_rtp(&mut self, now: Instant, slot: PortSlot, source: SocketAddr, bytes: &[u8]) {
        self.out.stats.rtp_in += 1;
        let Ok(packet) = Packet::parse(bytes) else {
            self.out.stats.parse_errors += 1;
            return;
        };
        let Some(leg) = self.legs.at_mut(slot) else {
            self.out.stats.dropped += 1;
            return;
        };
        let wanted = leg.media.as_ref().map(|media| {
            let payload_type = packet.header.payload_type;
            let audio = payload_type == media.payload_type;
            let event = media
                .telephone_event
                .filter(|format| format.payload_type == payload_type);
            (
                audio,
                event,
                media.codec.clock_hz(),
                media.flow.we_receive(),
            )
        });
        let Some((audio, event, clock_hz, we_receive)) =
            wanted.filter(|_| leg.path.admits(now, source, packet.header.ssrc))
        else {
            leg.dropped += 1;
            self.out.stats.dropped += 1;
            return;
        };
        if !audio && event.is_none() {
            // Not agreed on, comfort noise perhaps; but it took a number.
            leg.dropped += 1;
            self.out.stats.dropped += 1;
            leg.reception.note_other(now, packet.header, clock_hz);
            self.skip(slot, packet.header);
            return;
        }
        leg.path.latch(now, source, packet.header.ssrc);
        if leg.watch.hear(now) {
            self.out
                .events
                .push_back(Event::MediaHeard { leg: leg.leg });
        }
        let gap = match event {
            None => leg.reception.note(now, packet.header, clock_hz),
            Some(_) => leg.reception.note_other(now, packet.header, clock_hz),
        };
        self.out.stats.rtp_lost = self.out.stats.rtp_lost.saturating_add_signed(gap);
        if !we_receive {
            leg.dropped += 1;
            self.out.stats.dropped += 1;
            return;
        }
        if audio && let Some(hearing) = &mut leg.hearing {
            hearing.insert(now, packet.header, packet.payload);
        }
        let mut changed = false;
        if event.is_some() {
            if let Some(hearing) = &mut leg.hearing {
                hearing.skip(packet.header);
            }
            let listened = leg.keys.need_the_voice();
            if let Some(digit) = leg.keys.event(now, &packet.header, packet.payload) {
                self.out.events.push_back(Event::DigitPressed {
                    leg: leg.leg,
                    digit,
                    source: DigitSource::Event,
                });
            }
            changed = listened != leg.keys.need_the_voice();
        }
        let passes = leg.keys.pass_events();
        let Some((place, seat)) = leg.place else {
            if changed {
                self.refresh_leg(now, slot);
            }
            return;
        };
        let Some(bridge) = self.bridges.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let mut cx = self.out.context(now);
        match event {
            Some(format) => bridge.key(&mut self.legs, &mut cx, seat, format, packet, passes),
            None => bridge.audio(&mut self.legs, &mut cx, seat, packet),
        }
        if bridge.take_stale() || changed {
            self.refresh_bridge(now, place);
        }
    }

    /// A packet that goes nowhere took a number of its stream: it is not missing.
    fn skip(&mut self, slot: PortSlot, header: Header) {
        let Some(leg) = self.legs.at_mut(slot) else {
            return;
        };
        if let Some(hearing) = &mut leg.hearing {
            hearing.skip(header);
        }
        if let Some((place, seat)) = leg.place
            && let Some(bridge) = &mut self.bridges[place]
        {
            bridge.skip(&mut self.legs, seat, header);
        }
    }

    fn handle_rtcp(
        &mut self,
        now: Instant,
        slot: PortSlot,
        channel: Channel,
        source: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(leg) = self.legs.at_mut(slot) else {
            self.out.stats.dropped += 1;
            return;
        };
        if !leg.path.admits_rtcp(source) {
            leg.dropped += 1;
            self.out.stats.dropped += 1;
            return;
        }
        let reception = &mut leg.reception;
        let read = rtcp::read(bytes, |said| {
            if let Said::Sent { ssrc, sent } = said {
                reception.note_sender_report(now, ssrc, sent.ntp);
            }
        });
        if read.is_err() {
            self.out.stats.parse_errors += 1;
            return;
        }
        leg.path.note_rtcp(source, channel);
        if leg.watch.hear(now) {
            self.out
                .events
                .push_back(Event::MediaHeard { leg: leg.leg });
        }
    }

    /// The one source from which the leg at this slot hears RTP as long as it sends.
    pub fn only_source(&self, slot: PortSlot) -> Option<SocketAddr> {
        self.legs.at(slot)?.path.only_source()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.wheel.take(now) {
            // Turning may take things out of the slot, or in: from the last to the first, nothing
            // that stays is missed.
            for place in (0..self.wheel.len(slot)).rev() {
                self.prefetch_turn(slot, place);
                match self.wheel.at(slot, place) {
                    Some(Turned::Bridge(bridge)) => self.turn_bridge(now, bridge),
                    Some(Turned::Leg(leg)) => self.turn_leg(now, leg),
                    None => {}
                }
            }
        }
        while let Some(Reverse((due, slot))) = self.timers.peek().copied()
            && due <= now
        {
            self.timers.pop();
            self.look_at(now, due, slot);
        }
    }

    fn turn_bridge(&mut self, now: Instant, place: usize) {
        let Some(bridge) = self.bridges.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let mut cx = self.out.context(now);
        bridge.turn(&mut self.legs, &mut cx);
        if bridge.take_stale() {
            self.refresh_bridge(now, place);
        }
    }

    fn turn_leg(&mut self, now: Instant, slot: PortSlot) {
        let Some(leg) = self.legs.at_mut(slot) else {
            return;
        };
        let events = &mut self.out.events;
        let changed = leg.turn_alone(
            now,
            slot,
            &mut self.out.payloads[0],
            &mut self.out.outbox,
            |event| {
                events.push_back(event);
            },
        );
        if changed {
            self.refresh_leg(now, slot);
        }
    }

    /// A leg's timer: silence to tell, a report to send.
    fn look_at(&mut self, now: Instant, due: Instant, slot: PortSlot) {
        let Some(leg) = self.legs.at_mut(slot).filter(|leg| leg.armed == Some(due)) else {
            return;
        };
        leg.armed = None;
        while let Some(lasting) = leg.watch.silence(now) {
            self.out.events.push_back(Event::MediaSilent {
                leg: leg.leg,
                lasting,
            });
        }
        if leg.reports.due().is_some_and(|due| due <= now) {
            if let Some(wall_clock) = &self.wall_clock {
                leg.report(now, slot, wall_clock, Staying::Stays, &mut self.out.outbox);
            }
            leg.reports.plan(now, self.random.share());
        }
        self.arm(slot);
    }

    /// Sees to it that a leg's timer is looked at in time. It may be looked at too early.
    fn arm(&mut self, slot: PortSlot) {
        let Some(leg) = self.legs.at_mut(slot) else {
            return;
        };
        let due = [leg.watch.due(), leg.reports.due()]
            .into_iter()
            .flatten()
            .min();
        if let Some(due) = due
            && leg.armed.is_none_or(|armed| due < armed)
        {
            leg.armed = Some(due);
            self.timers.push(Reverse((due, slot)));
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        [self.wheel.due(), timer].into_iter().flatten().min()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.out.outbox.take()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// A slot whose leg has closed: its socket can go.
    pub fn poll_closed(&mut self) -> Option<PortSlot> {
        let slot = self.closed.pop_front()?;
        self.legs.release(slot);
        Some(slot)
    }

    /// Gives up a leg by value; its slot is free at once and its socket goes along.
    pub fn detach(&mut self, now: Instant, leg: LegId) -> Option<Box<Participant>> {
        let slot = self.legs.find(leg)?;
        self.unseat(now, slot);
        self.leave_wheel(slot);
        let (slot, mut participant) = self.legs.remove(leg)?;
        self.legs.release(slot);
        participant.armed = None;
        self.out.events.push_back(Event::Detached { leg });
        Some(participant)
    }

    /// Takes in a leg that another shard gave up.
    pub fn attach(&mut self, now: Instant, participant: Box<Participant>) -> PortSlot {
        self.wall_clock.get_or_insert(WallClock { at: now, ntp: 0 });
        let leg = participant.leg;
        let slot = self.legs.insert(participant);
        self.refresh_leg(now, slot);
        self.arm(slot);
        self.out.events.push_back(Event::Attached { leg });
        slot
    }

    /// How busy the thread is, 0 to 1, and how many packets it moves in a second, in and out: from
    /// that it follows whether there is room for another conference.
    pub fn note_load(&mut self, busy: f32, packets_per_s: f32) {
        self.load.note(busy, packets_per_s);
    }

    /// The share of its time that the thread uses, 0 to 1, as it has been for some time.
    pub fn busy(&self) -> f32 {
        self.load.busy()
    }

    /// What was counted since the last call.
    pub fn stats(&mut self) -> ShardStats {
        self.out.stats.rtp_out = std::mem::take(&mut self.out.outbox.rtp_sent);
        let payloads = self.out.payloads.iter_mut();
        self.out.stats.encoded = payloads.map(|it| std::mem::take(&mut it.encoded)).sum();
        std::mem::take(&mut self.out.stats)
    }

    /// Derives the rows anew and puts the bridge on the wheel or takes it off.
    fn refresh_bridge(&mut self, now: Instant, place: usize) {
        let Some(bridge) = self.bridges.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        bridge.plan(&mut self.legs);
        let listens = bridge.convened && !bridge.lays_over();
        self.load.listens(bridge.listens, listens);
        bridge.listens = listens;
        let what = Turned::Bridge(place);
        match (bridge.wheel_slot, bridge.turns(&self.legs)) {
            (None, true) => bridge.wheel_slot = Some(self.wheel.join(now, what)),
            (Some(slot), false) => {
                self.wheel.leave(slot, what);
                bridge.wheel_slot = None;
            }
            (None, false) | (Some(_), true) => {}
        }
        bridge.settle(&mut self.out.events);
    }

    /// A leg without a seat is turned by the wheel itself; with one, by its bridge.
    fn refresh_leg(&mut self, now: Instant, slot: PortSlot) {
        let Some(leg) = self.legs.at_mut(slot) else {
            return;
        };
        if let Some((place, _)) = leg.place {
            self.leave_wheel(slot);
            self.refresh_bridge(now, place);
            return;
        }
        leg.equip(leg.own_rate(), leg.needs_alone());
        let what = Turned::Leg(slot);
        match (leg.wheel_slot, leg.turns_alone()) {
            (None, true) => leg.wheel_slot = Some(self.wheel.join(now, what)),
            (Some(_), false) => self.leave_wheel(slot),
            (None, false) | (Some(_), true) => {}
        }
    }

    fn leave_wheel(&mut self, slot: PortSlot) {
        if let Some(leg) = self.legs.at_mut(slot)
            && let Some(wheel_slot) = leg.wheel_slot.take()
        {
            self.wheel.leave(wheel_slot, Turned::Leg(slot));
        }
    }
}

/// SplitMix64: all that is asked of it is that SSRCs differ and reports spread.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}
