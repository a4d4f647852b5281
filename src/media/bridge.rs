//! One call's audio: who sits where, what the rules are, and what kind of row each listener has.
//!
//! Everything that changes who hears whom ends in [`Bridge::plan`], which derives the rows and what
//! each participant needs for them. Rows are carried out in `row`.

#[cfg(test)]
mod lengths;
mod press;
mod row;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use crate::id::{BridgeId, Generation};
use crate::media::codec::Codec;
use crate::media::command::{ConveneRefusal, Event};
use crate::media::direct::Direct;
use crate::media::fence::Fence;
use crate::media::frame::Rate;
use crate::media::legs::Legs;
use crate::media::matrix::{Gain, MAX_SEATS, MixMatrix, Seat};
use crate::media::mixer::{Row, RowKind, Rules};
use crate::media::outbox::{Outbox, PortSlot};
use crate::media::participant::{Needs, Participant};
use crate::media::prefetch::prefetch;
use crate::media::shard::ShardStats;
use crate::media::voice::Payload;

#[derive(Debug)]
pub struct Bridge {
    pub id: BridgeId,
    pub convened: bool,
    /// It counts among the conferences that may come to cost more.
    pub listens: bool,
    /// The next seat beside the parties is refused.
    pub fault_armed: bool,
    /// The slot of the wheel that turns it, if any row needs turning.
    pub wheel_slot: Option<u8>,
    seats: [Option<PortSlot>; MAX_SEATS],
    rows: [Row; MAX_SEATS],
    rules: Rules,
    rate: Rate,
    /// Changes that are not in force yet: some voice still fades.
    pending: Vec<Generation>,
    /// Violations that were told since the last change: bit `speaker` of `[listener]`.
    told: [u8; MAX_SEATS],
    /// Telephone-events on their way to a party: bit by bit the same press, renamed.
    presses: [Option<Press>; 2],
    /// Something ended that decides over the kind of a row.
    stale: bool,
}

/// A press as its sender names it, and as its receiver is told.
#[derive(Clone, Copy, Debug)]
struct Press {
    ssrc: u32,
    source: u32,
    ours: u32,
}

/// What a bridge works with while it carries something out.
pub struct Context<'a> {
    pub now: Instant,
    pub outbox: &'a mut Outbox,
    pub events: &'a mut VecDeque<Event>,
    pub stats: &'a mut ShardStats,
    /// Where payloads are made: as many as there can be listeners.
    pub payloads: &'a mut [Payload; MAX_SEATS],
}

/// Nobody asks for more changes of a bridge within one frame; what comes beyond is told early.
const MAX_PENDING: usize = 16;

impl Bridge {
    pub fn new(id: BridgeId) -> Self {
        Self {
            id,
            convened: false,
            listens: false,
            fault_armed: false,
            wheel_slot: None,
            seats: [None; MAX_SEATS],
            rows: [Row::default(); MAX_SEATS],
            rules: Rules {
                matrix: MixMatrix::silent(Generation(0)),
                fence: Fence::closed(),
                before: Fence::closed(),
            },
            rate: Rate::Narrow,
            pending: Vec::new(),
            told: [0; MAX_SEATS],
            presses: [None; 2],
            stale: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.seats.iter().all(Option::is_none)
    }

    pub fn at(&self, seat: Seat) -> Option<PortSlot> {
        self.seats[seat.index()]
    }

    pub fn seated(&self) -> impl Iterator<Item = (Seat, PortSlot)> + use<> {
        let seats = self.seats;
        Seat::all().filter_map(move |seat| Some((seat, seats[seat.index()]?)))
    }

    pub fn kind(&self, seat: Seat) -> RowKind {
        self.rows[seat.index()].kind
    }

    pub fn take_stale(&mut self) -> bool {
        std::mem::take(&mut self.stale)
    }

    /// Whether the wheel has anything to turn here.
    pub fn turns(&self, legs: &Legs) -> bool {
        self.seated().any(|(seat, slot)| {
            let row = self.rows[seat.index()].kind;
            let heard = legs.at(slot).is_some_and(|it| it.hearing.is_some());
            heard || matches!(row, RowKind::Over | RowKind::Mix)
        })
    }

    pub fn sit(&mut self, seat: Seat, slot: PortSlot) {
        self.seats[seat.index()] = Some(slot);
        self.rows[seat.index()] = Row::default();
    }

    /// The seat is free; whoever sat there is heard no more.
    pub fn rise(&mut self, seat: Seat) {
        self.seats[seat.index()] = None;
        self.rows[seat.index()] = Row::default();
        for row in &mut self.rows {
            row.gains[seat.index()] = 0;
            row.passage = None;
        }
        if let Some(press) = self.presses.get_mut(seat.index()) {
            *press = None;
        }
    }

    /// Whether the parties' codecs allow a conference.
    pub fn admits_conference(&self, legs: &Legs) -> Result<(), ConveneRefusal> {
        let opaque = self
            .parties()
            .filter_map(|(_, slot)| legs.at(slot)?.codec())
            .any(|codec| codec == Codec::Opaque);
        match opaque {
            true => Err(ConveneRefusal::Codec),
            false => Ok(()),
        }
    }

    fn parties(&self) -> impl Iterator<Item = (Seat, PortSlot)> + use<> {
        self.seated().filter(|(seat, _)| seat.index() < 2)
    }

    /// The other party, if it is seated. Who sits beside the parties has no counterpart.
    pub fn counterpart(&self, seat: Seat) -> Option<(Seat, PortSlot)> {
        let other = match seat {
            Seat::USER => Seat::PUPIL,
            Seat::PUPIL => Seat::USER,
            _ => return None,
        };
        Some((other, self.at(other)?))
    }

    /// A packet of this seat comes soon.
    pub fn prefetch(&self, seat: Seat) {
        if let Some(row) = self.rows.get(seat.index() ^ 1) {
            prefetch(&self.seats);
            prefetch(&row.kind);
            prefetch(&row.passage);
            prefetch(&self.rules);
        }
    }

    /// It is turned soon: asks for it whole.
    pub fn prefetch_turn(&self) {
        prefetch(self);
    }

    /// It is turned next but one: asks for who sits here.
    pub fn prefetch_seated(&self, legs: &Legs) {
        for (_, slot) in self.seated() {
            legs.prefetch(slot);
        }
    }

    /// It is turned next: asks for how they are heard.
    pub fn prefetch_chains(&self, legs: &Legs) {
        for (_, slot) in self.seated() {
            legs.prefetch_chain(slot);
        }
    }

    /// Whether a supervisor is heard by a party, or something else lies over what one hears.
    pub fn lays_over(&self) -> bool {
        self.parties()
            .any(|(seat, _)| self.rows[seat.index()].kind == RowKind::Over)
    }

    /// What its sound costs beside G.711.
    pub fn dearness(&self, legs: &Legs) -> f32 {
        let codecs = self
            .parties()
            .filter_map(|(_, slot)| legs.at(slot)?.codec());
        codecs.map(Codec::dearness).fold(1.0, f32::max)
    }

    /// Swaps matrix and fence whole. It is in force at once where nobody is taken away; a voice
    /// that is taken away fades within one frame first, so that there is no click.
    /// The rows follow with the next [`Self::plan`].
    pub fn set_rules(&mut self, matrix: MixMatrix, fence: Fence) {
        self.rules = Rules {
            matrix,
            fence,
            before: self.rules.fence,
        };
        self.told = [0; MAX_SEATS];
        self.pending.push(matrix.generation);
    }

    /// Tells which changes are in force, once no voice fades that was taken away.
    pub fn settle(&mut self, events: &mut VecDeque<Event>) {
        if self.pending.is_empty() {
            return;
        }
        let fading = self.seated().any(|(listener, _)| {
            let row = &self.rows[listener.index()];
            Seat::all().any(|speaker| {
                row.gains[speaker.index()] > 0
                    && self.rules.matrix.gain(listener, speaker) == Gain::SILENT
            })
        });
        let kept = if fading { MAX_PENDING } else { 0 };
        let told = self.pending.len().saturating_sub(kept);
        for generation in self.pending.drain(..told) {
            events.push_back(Event::MatrixInForce {
                bridge: self.id,
                generation,
            });
        }
    }

    /// Derives what kind each row is, and what every participant needs for it.
    pub fn plan(&mut self, legs: &mut Legs) {
        self.stale = false;
        self.rate = self.common_rate(legs);
        let mut passed = [None; MAX_SEATS];
        for (listener, _) in self.seated() {
            let mut kind = self.kind_for(listener, legs);
            let row = &self.rows[listener.index()];
            let before = row.kind;
            if (before, kind) == (RowKind::Through, RowKind::Over) {
                passed[listener.index()] = row.passage.map(|passage| passage.passed());
            }
            let drains = (before, kind) == (RowKind::Over, RowKind::Through)
                && self.holds_a_frame_of_its_counterpart(listener, legs);
            if drains {
                kind = RowKind::Over;
            }
            self.rows[listener.index()].drains = drains;
            if kind != before
                && let Some(ear) = self.at(listener).and_then(|slot| legs.at_mut(slot))
            {
                ear.identity.run_anew();
                if let Some(voice) = ear.voice.as_mut().filter(|_| kind == RowKind::Through) {
                    voice.begin_anew();
                }
            }
            self.change(listener, kind);
        }
        for (seat, slot) in self.seated() {
            let needs = self.needs(seat, slot, legs);
            let passed = self
                .counterpart(seat)
                .and_then(|(listener, _)| passed[listener.index()]);
            let Some(participant) = legs.at_mut(slot) else {
                continue;
            };
            if !participant.equip(self.rate, needs) && needs.voice {
                self.change(seat, RowKind::Idle);
            }
            if let Some((direct, passed)) = participant.direct.as_mut().zip(passed) {
                direct.goes_on_from(passed);
            }
        }
    }

    /// Whether something of the counterpart's last packet waits for its turn.
    fn holds_a_frame_of_its_counterpart(&self, listener: Seat, legs: &Legs) -> bool {
        self.counterpart(listener)
            .and_then(|(_, slot)| legs.at(slot)?.direct.as_deref())
            .is_some_and(Direct::has_frame)
    }

    /// 8 kHz where both parties speak G.711, else 16 kHz.
    fn common_rate(&self, legs: &Legs) -> Rate {
        let wide = self
            .parties()
            .filter_map(|(_, slot)| legs.at(slot))
            .any(|party| party.own_rate() == Rate::Wide);
        if wide { Rate::Wide } else { Rate::Narrow }
    }

    fn kind_for(&self, listener: Seat, legs: &Legs) -> RowKind {
        let Some(ear) = self.at(listener).and_then(|slot| legs.at(slot)) else {
            return RowKind::Idle;
        };
        if ear.media.is_none() {
            return RowKind::Idle;
        }
        if self.may_pass_through(listener, ear, legs) {
            return RowKind::Through;
        }
        if !ear.is_decodable() || !(ear.we_send() || ear.player.is_some()) {
            return RowKind::Idle;
        }
        let over = self.counterpart(listener).is_some_and(|(speaker, slot)| {
            self.is_audible(listener, speaker)
                && legs.at(slot).is_some_and(Participant::is_decodable)
        });
        if over { RowKind::Over } else { RowKind::Mix }
    }

    /// One speaker at unity, the counterpart, in the same codec and packet length, and nothing laid
    /// over or still fading.
    fn may_pass_through(&self, listener: Seat, ear: &Participant, legs: &Legs) -> bool {
        let Some((speaker, mouth)) = self.counterpart(listener) else {
            return false;
        };
        let Some((ours, theirs)) = ear
            .media
            .as_ref()
            .zip(legs.at(mouth).and_then(|mouth| mouth.media.as_ref()))
        else {
            return false;
        };
        let row = &self.rows[listener.index()];
        let others_silent = self.seated().all(|(other, _)| {
            other == speaker || other == listener || !self.is_audible(listener, other)
        });
        let unity = Gain::UNITY.0;
        ours.codec == theirs.codec
            && (ours.ptime_ms == theirs.ptime_ms || ours.codec == Codec::Opaque)
            && ours.flow.we_send()
            && self.rules.matrix.gain(listener, speaker) == Gain::UNITY
            && matches!(row.gains[speaker.index()], 0 | 256)
            && (row.gains[speaker.index()] == unity || row.kind != RowKind::Over)
            && others_silent
            && (!ear.has_overlay() || ours.codec == Codec::Opaque)
    }

    /// Heard, or heard until a moment ago.
    fn is_audible(&self, listener: Seat, speaker: Seat) -> bool {
        listener != speaker
            && (self.rules.matrix.gain(listener, speaker) != Gain::SILENT
                || self.rows[listener.index()].gains[speaker.index()] > 0)
    }

    fn change(&mut self, listener: Seat, kind: RowKind) {
        let counterpart = self.counterpart(listener);
        let row = &mut self.rows[listener.index()];
        if row.kind == kind {
            return;
        }
        match kind {
            RowKind::Idle => row.gains = [0; MAX_SEATS],
            RowKind::Through => {
                row.gains = [0; MAX_SEATS];
                if let Some((speaker, _)) = counterpart {
                    row.gains[speaker.index()] = Gain::UNITY.0;
                }
            }
            RowKind::Over | RowKind::Mix => row.lags = Default::default(),
        }
        row.passage = None;
        row.kind = kind;
    }

    fn needs(&self, seat: Seat, slot: PortSlot, legs: &Legs) -> Needs {
        let counterpart = self.counterpart(seat).map(|(seat, _)| seat);
        let direct =
            counterpart.is_some_and(|listener| self.rows[listener.index()].kind == RowKind::Over);
        let mixed = self.seated().any(|(listener, _)| {
            let on_the_wheel = match self.rows[listener.index()].kind {
                RowKind::Mix => true,
                RowKind::Over => counterpart != Some(listener),
                RowKind::Idle | RowKind::Through => false,
            };
            on_the_wheel && self.is_audible(listener, seat)
        });
        let kind = self.rows[seat.index()].kind;
        let made_here = matches!(kind, RowKind::Over | RowKind::Mix);
        let kept = self.convened && kind == RowKind::Through;
        let has_voice = legs.at(slot).is_some_and(|it| it.voice.is_some());
        Needs {
            hearing: legs
                .at(slot)
                .is_some_and(|it| it.is_decodable() && (mixed || it.keys.need_the_voice())),
            direct,
            // In a conference an encoder stays for the next time: prompts and whispers come and go.
            voice: made_here || kept && has_voice,
        }
    }
}
