//! A call comes in: who calls, where it leads, and whether it may.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::control::call::{Call, CallState, Party, Side};
use crate::control::directory::Agent;
use crate::control::input::Invitation;
use crate::control::leg::{LegOwner, Way};
use crate::control::output::{Notice, SignalCommand};
use crate::control::party_keys::PartyKeys;
use crate::control::policy::CallKind;
use crate::control::record::{CallRow, Direction, Record};
use crate::control::route::{self, AgentKey, Caller, Destination, NoRoute};
use crate::control::switchboard::Switchboard;
use crate::id::{BridgeId, CallId, Generation, LegId};
use crate::media::command::Command;

impl Switchboard {
    /// A new dialog towards us.
    pub(in crate::control) fn invited(&mut self, now: Instant, leg: LegId, invitation: Invitation) {
        if self.legs.contains_key(&leg) {
            return;
        }
        if self
            .directory
            .organisation_of_number(&invitation.dialled)
            .is_some()
        {
            return self.supervisor_invited(now, leg, invitation);
        }
        match self.admission(&invitation) {
            Ok((caller, destination)) => self.offer_call(now, leg, invitation, caller, destination),
            Err(status) => self.signal(
                leg,
                SignalCommand::Reject {
                    status,
                    reason: None,
                },
            ),
        }
    }

    /// Whether the call may begin, and where it leads; or the status to refuse it with.
    fn admission(&self, invitation: &Invitation) -> Result<(Caller, Destination), u16> {
        if self.service.draining {
            return Err(503);
        }
        // Too Many Hops (RFC 3261 §16.3).
        if invitation.max_forwards == 0 {
            return Err(483);
        }
        let speaks = invitation.sdp.as_ref().is_none_or(|sdp| {
            sdp.audio()
                .is_some_and(|audio| audio.formats.iter().any(|format| format.is_codec()))
        });
        if !speaks {
            return Err(488);
        }
        let caller = Caller::of(&self.directory, invitation);
        let destination = self
            .resolve(&caller, &invitation.dialled)
            .map_err(NoRoute::status)?;
        Ok((caller, destination))
    }

    /// Where a number leads for this caller, with agents who are on a call left out of pools.
    pub(in crate::control) fn resolve(
        &self,
        caller: &Caller,
        number: &str,
    ) -> Result<Destination, NoRoute> {
        // Only a pool asks, and then once.
        let engaged = OnceCell::new();
        let is_free = |agent: &Agent| {
            let engaged = engaged.get_or_init(|| self.engaged_agents());
            !engaged.contains_key(&AgentKey::of(agent))
        };
        route::resolve(&self.settings, &self.directory, caller, number, is_free)
    }

    fn offer_call(
        &mut self,
        now: Instant,
        leg: LegId,
        invitation: Invitation,
        caller: Caller,
        destination: Destination,
    ) {
        let id = CallId(self.ids.next_id());
        let bridge = BridgeId(self.ids.next_id());
        let shard = self.quietest_shard();
        let parties = Parties::of(&invitation, &caller, &destination);
        let number = |number: &Option<Arc<str>>| number.clone().unwrap_or_else(|| "".into());
        let mut call = Call {
            id,
            bridge,
            shard,
            kind: parties.kind,
            organisation: parties.organisation,
            pool: destination.pool.as_ref().map(|(_, name)| name.clone()),
            direction: parties.direction,
            from: number(&invitation.caller),
            to: invitation.dialled.clone(),
            caller: parties.caller,
            user: parties.user,
            pupil: parties.pupil,
            legs: BTreeSet::from([leg]),
            started_at: now,
            answered_at: None,
            generation: Generation(0),
            in_force: None,
            seats: BTreeMap::new(),
            conference: None,
            help_wanted: false,
            party_keys: PartyKeys::default(),
            state: CallState::Offered {
                invitation: Box::new(invitation),
                destination,
            },
        };
        call.party_mut(parties.caller).leg = Some(leg);
        self.bridges.insert(bridge, id);
        self.calls.insert(id, call);
        self.record_call(id);
        self.notify(Notice::CallStarted(id));
        self.media(shard, Command::OpenBridge { bridge });
        let owner = LegOwner::Call(id);
        self.admit(now, leg, owner, Way::Inbound, shard, caller.network);
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.trunk = caller.trunk;
        }
    }

    /// The call as the store knows it; again whenever its agent changes.
    pub(in crate::control) fn record_call(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let row = CallRow {
            call: id,
            organisation: call.organisation.clone(),
            agent: call.pupil.agent.clone(),
            pool: call.pool.clone(),
            direction: call.direction,
            from: call.from.clone(),
            to: call.to.clone(),
        };
        self.record(Record::CallStarted(row));
    }
}

/// Who is who in a call that begins.
struct Parties {
    kind: Option<CallKind>,
    organisation: Option<Arc<str>>,
    direction: Direction,
    caller: Side,
    user: Party,
    pupil: Party,
}

impl Parties {
    /// A called agent is the Pupil, whoever calls; or else a calling agent is. Between two trunks
    /// there is neither: the seats are taken in the order of the call, and nobody supervises it.
    fn of(invitation: &Invitation, caller: &Caller, destination: &Destination) -> Self {
        let calling = Party {
            leg: None,
            agent: caller.agent.as_ref().map(|agent| agent.extension.clone()),
            number: invitation.caller.clone(),
        };
        // Which of several phones it will be shows when one of them answers.
        let called_agent = match destination.callees.as_slice() {
            [only] => only.agent.clone(),
            _ => None,
        };
        let called = Party {
            leg: None,
            agent: called_agent.map(|agent| agent.extension),
            number: Some(invitation.dialled.clone()),
        };
        let called_organisation = destination
            .callees
            .iter()
            .find_map(|callee| callee.agent.as_ref())
            .map(|agent| agent.organisation.clone());

        match (&called_organisation, &caller.agent) {
            (Some(organisation), _) => Self {
                kind: Some(match destination.pool {
                    Some(_) => CallKind::Pool,
                    None => CallKind::Direct,
                }),
                organisation: Some(organisation.clone()),
                direction: Direction::Inbound,
                caller: Side::User,
                user: calling,
                pupil: called,
            },
            (None, Some(agent)) => Self {
                kind: Some(CallKind::Outbound),
                organisation: Some(agent.organisation.clone()),
                direction: Direction::Outbound,
                caller: Side::Pupil,
                user: called,
                pupil: calling,
            },
            (None, None) => Self {
                kind: None,
                organisation: None,
                direction: Direction::Inbound,
                caller: Side::User,
                user: calling,
                pupil: called,
            },
        }
    }
}
