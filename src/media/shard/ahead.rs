//! Memory asked for before packets and turns of the wheel want it, a step at each of those before:
//! what one step asks for, the next reads to know what to ask for.

use crate::media::bridge::Bridge;
use crate::media::matrix::Seat;
use crate::media::outbox::PortSlot;
use crate::media::shard::Shard;
use crate::media::wheel::Turned;

impl Shard {
    /// A packet of this leg comes soon.
    pub fn prefetch(&self, slot: PortSlot) {
        self.legs.prefetch(slot);
    }

    /// It comes sooner.
    pub fn prefetch_bridge(&self, slot: PortSlot) {
        if let Some((bridge, seat)) = self.bridge_of(slot) {
            bridge.prefetch(seat);
        }
        self.legs.prefetch_chain(slot);
    }

    /// It comes next: which leg hears it.
    pub fn prefetch_ear(&self, slot: PortSlot) -> Option<PortSlot> {
        self.legs.at(slot)?.prefetch_packets();
        let (bridge, seat) = self.bridge_of(slot)?;
        let (_, ear) = bridge.counterpart(seat)?;
        self.legs.prefetch_ear(ear);
        Some(ear)
    }

    fn bridge_of(&self, slot: PortSlot) -> Option<(&Bridge, Seat)> {
        let (place, seat) = self.legs.at(slot)?.place?;
        Some((self.bridges.get(place)?.as_deref()?, seat))
    }

    /// Has memory come that the next turns in this slot want.
    pub(super) fn prefetch_turn(&self, slot: usize, place: usize) {
        let [bridge, seated, chains] =
            [3, 2, 1].map(
                |after| match self.wheel.at(slot, place.checked_sub(after)?)? {
                    Turned::Bridge(bridge) => self.bridges.get(bridge)?.as_deref(),
                    Turned::Leg(_) => None,
                },
            );
        if let Some(bridge) = bridge {
            bridge.prefetch_turn();
        }
        if let Some(bridge) = seated {
            bridge.prefetch_seated(&self.legs);
        }
        if let Some(bridge) = chains {
            bridge.prefetch_chains(&self.legs);
        }
    }
}
