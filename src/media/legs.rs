//! The legs of one shard, each at its slot.

use std::collections::BTreeMap;

use crate::id::LegId;
use crate::media::outbox::PortSlot;
use crate::media::participant::Participant;
use crate::media::prefetch::prefetch;

#[derive(Debug, Default)]
pub struct Legs {
    slots: Vec<Option<Box<Participant>>>,
    free: Vec<PortSlot>,
    index: BTreeMap<LegId, PortSlot>,
}

impl Legs {
    pub fn insert(&mut self, participant: Box<Participant>) -> PortSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            PortSlot(self.slots.len() as u32 - 1)
        });
        self.index.insert(participant.leg, slot);
        self.slots[slot.index()] = Some(participant);
        slot
    }

    /// Takes a leg out. Its slot stays taken until it is released: a socket may still hang on it.
    pub fn remove(&mut self, leg: LegId) -> Option<(PortSlot, Box<Participant>)> {
        let slot = self.index.remove(&leg)?;
        let participant = self.slots[slot.index()].take()?;
        Some((slot, participant))
    }

    pub fn release(&mut self, slot: PortSlot) {
        self.free.push(slot);
    }

    pub fn find(&self, leg: LegId) -> Option<PortSlot> {
        self.index.get(&leg).copied()
    }

    pub fn at(&self, slot: PortSlot) -> Option<&Participant> {
        self.slots.get(slot.index())?.as_deref()
    }

    /// A packet of this leg comes soon.
    pub fn prefetch(&self, slot: PortSlot) {
        if let Some(leg) = self.at(slot) {
            prefetch(leg);
        }
    }

    /// It comes sooner.
    pub fn prefetch_chain(&self, slot: PortSlot) {
        if let Some(leg) = self.at(slot) {
            leg.prefetch_chain();
        }
    }

    /// A packet to this leg comes soon.
    pub fn prefetch_ear(&self, slot: PortSlot) {
        if let Some(leg) = self.at(slot) {
            prefetch(&leg.media);
            prefetch(&leg.path);
            prefetch(&leg.identity);
        }
    }

    pub fn at_mut(&mut self, slot: PortSlot) -> Option<&mut Participant> {
        self.slots.get_mut(slot.index())?.as_deref_mut()
    }
}
