//! No transfer is an open relay: whoever called by an external trunk is sent on to an external trunk
//! only where a route names the one that they came by, as if they had called there themselves.

use std::sync::Arc;

use crate::control::call::{Call, Party, Side};
use crate::control::input::Network;
use crate::control::leg::{Leg, Way};
use crate::control::route::{AgentKey, Caller, NoRoute};
use crate::control::switchboard::Switchboard;

impl Switchboard {
    /// As whom the other party calls when the agent on this side sends it on; `None` where there is
    /// no agent.
    pub(in crate::control) fn sent_on(&self, call: &Call, side: Side) -> Option<Caller> {
        let agent = AgentKey {
            organisation: call.organisation.clone()?,
            extension: call.party(side).agent.clone()?,
        };
        let given = self.leg_of(call.party(side.other()));
        Some(Caller::sent_on(agent, given.and_then(outer_trunk)))
    }

    /// Whether the one who waits on this side's call may talk to somebody whom the agent has
    /// called, or been called by, on another; or the status of the refusal.
    pub(in crate::control) fn may_meet(
        &self,
        call: &Call,
        side: Side,
        other: &Call,
        consulted: Side,
    ) -> Result<(), u16> {
        let pairs = [
            (
                self.sent_on(call, side),
                call.party(side.other()),
                other.party(consulted),
            ),
            (
                self.sent_on(other, consulted.other()),
                other.party(consulted),
                call.party(side.other()),
            ),
        ];
        for (caller, came, left) in pairs {
            let relayed = self.leg_of(came).and_then(outer_trunk).is_some()
                && self.leg_of(left).is_some_and(|leg| {
                    leg.way == Way::Outbound && leg.network == Network::External
                });
            if relayed {
                let caller = caller.ok_or(603_u16)?;
                let number = left.number.as_deref().unwrap_or_default();
                self.resolve(&caller, number).map_err(NoRoute::status)?;
            }
        }
        Ok(())
    }

    fn leg_of(&self, party: &Party) -> Option<&Leg> {
        party.leg.and_then(|leg| self.legs.get(&leg))
    }
}

/// The external trunk by which the other end called us.
fn outer_trunk(leg: &Leg) -> Option<Arc<str>> {
    leg.trunk
        .clone()
        .filter(|_| leg.network == Network::External)
}
