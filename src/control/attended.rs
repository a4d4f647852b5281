//! Attended transfer (REFER with Replaces, RFC 5589 §7) between two calls of ours: whom the agent
//! has asked first takes the agent's place with the one who waits.
//!
//! ```text
//! before:  customer ── A1   A2 ── colleague       A1 and A2: two calls of the agent's phone
//! after:   customer ───────────── colleague       both of its legs are ended
//! ```
//!
//! Nobody is rung and nothing can fail half way: the colleague's leg, with its dialog, its port and
//! its RTP identity, takes the agent's seat. Where the two calls live on different shards it moves
//! there by value, as a supervisor's leg does.

use std::time::Instant;

use crate::control::call::{CallState, Party, Side};
use crate::control::input::Consulted;
use crate::control::leg::{Leg, LegOwner};
use crate::control::output::{Output, SignalCommand};
use crate::control::policy::CallKind;
use crate::control::switchboard::{Switchboard, reason};
use crate::id::{CallId, LegId, RequestId};
use crate::media::command::Command;

impl Switchboard {
    pub(in crate::control) fn referred_to_consulted(
        &mut self,
        now: Instant,
        id: CallId,
        side: Side,
        request: RequestId,
        consulted: Consulted,
    ) {
        let Some(by) = self.calls.get(&id).and_then(|call| call.party(side).leg) else {
            return;
        };
        let found = match consulted {
            Consulted::Leg(leg) => self.consulted_party(id, side, leg),
            // It would take an INVITE of ours with the phone's own Replaces, and the conversation
            // would go on where nobody can supervise it.
            Consulted::Elsewhere => Err(501),
        };
        match found {
            Ok((other, leg)) => {
                self.signal(by, SignalCommand::AcceptRefer { request });
                self.signal(
                    by,
                    SignalCommand::NotifyRefer {
                        request,
                        status: 200,
                        last: true,
                    },
                );
                self.bring_together(now, id, side, other, leg);
            }
            Err(status) => self.signal(by, SignalCommand::RefuseRefer { request, status }),
        }
    }

    /// The other call of this agent, and the leg of whoever is spoken to there.
    fn consulted_party(
        &self,
        id: CallId,
        side: Side,
        consulted: LegId,
    ) -> Result<(CallId, LegId), u16> {
        let call = self.calls.get(&id).ok_or(481_u16)?;
        match &call.state {
            CallState::Talking { transfer: None } => {}
            CallState::Talking { transfer: Some(_) } => return Err(491),
            CallState::Offered { .. } | CallState::Dialling(_) | CallState::Clearing { .. } => {
                return Err(481);
            }
        }
        // Customers do not send our agents away.
        let agent = call.party(side).agent.as_ref().ok_or(603_u16)?;
        let (other_id, own_side) = self.place_of(consulted).ok_or(501_u16)?;
        let other = self.calls.get(&other_id).ok_or(501_u16)?;
        // Nobody ends the call of somebody else.
        let own = other_id != id
            && other.organisation == call.organisation
            && other.party(own_side).agent.as_ref() == Some(agent);
        if !own {
            return Err(603);
        }
        self.may_meet(call, side, other, own_side.other())?;
        let leg = other.party(own_side.other()).leg;
        let settled = |leg: &Leg| leg.is_confirmed() && leg.negotiation.is_idle();
        let ready = matches!(other.state, CallState::Talking { transfer: None });
        leg.filter(|_| ready)
            .filter(|leg| self.legs.get(leg).is_some_and(settled))
            .map(|leg| (other_id, leg))
            .ok_or(491)
    }

    /// `leg` leaves the call `from` for the place of the party on this side.
    fn bring_together(&mut self, now: Instant, id: CallId, side: Side, from: CallId, leg: LegId) {
        let gone = || Some(reason(200, "Transferred"));
        self.unseat(from, leg);
        let mut party = Party::default();
        if let Some(other) = self.calls.get_mut(&from)
            && let Some(side) = other.side_of(leg)
        {
            other.legs.remove(&leg);
            party = other.party(side).clone();
            other.party_mut(side).leg = None;
        }
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.owner = LegOwner::Call(id);
            if leg.waiting.take().is_some() {
                let leg = leg.id;
                self.leg_command(leg, Command::StopPlay { leg });
            }
        }
        let former = self.calls.get_mut(&id).and_then(|call| {
            let former = call.party(side).leg;
            party.leg = Some(leg);
            *call.party_mut(side) = party;
            call.legs.insert(leg);
            call.kind = call.pupil.agent.as_ref().map(|_| CallKind::Direct);
            former
        });
        if let Some(former) = former {
            self.unseat(id, former);
            self.end_leg(now, former, 480, gone());
        }
        self.end_call(now, from, "transferred", gone());

        let here = self.legs.get(&leg).map(|leg| leg.shard);
        let there = self.calls.get(&id).map(|call| call.shard);
        match (here, there) {
            (Some(from), Some(to)) if from != to => self.put(Output::Move { leg, from, to }),
            _ => self.brought_together(now, id, side),
        }
    }

    /// The party's leg is on the shard of its call.
    pub(in crate::control) fn party_attached(&mut self, now: Instant, id: CallId, leg: LegId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (shard, side) = (call.shard, call.side_of(leg));
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.shard = shard;
        }
        if let Some(side) = side.filter(|_| call.is_talking()) {
            self.brought_together(now, id, side);
        }
    }

    fn brought_together(&mut self, now: Instant, id: CallId, side: Side) {
        self.seat(id, side);
        self.transferred(now, id, side);
    }
}

#[cfg(test)]
mod tests;
