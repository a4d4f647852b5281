//! What consoles may see of calls, and of agents.

mod supervision;

use std::collections::BTreeMap;

use crate::control::call::{Call, CallState, Side, on_net};
use crate::control::policy;
use crate::control::route::AgentKey;
use crate::control::snapshot::{AgentView, CallView, Presence, Snapshot};
use crate::control::switchboard::Switchboard;

impl Switchboard {
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            calls: self.calls.values().map(|call| self.view(call)).collect(),
            agents: self
                .engaged_agents()
                .into_iter()
                .map(|(agent, presence)| AgentView {
                    organisation: agent.organisation,
                    extension: agent.extension,
                    presence,
                })
                .collect(),
            locks: self.desk.locks().collect(),
            draining: self.service.draining,
            store_down: self.service.store_down,
            ..Snapshot::default()
        };
        self.view_supervision(&mut snapshot);
        snapshot
    }

    pub(in crate::control) fn view(&self, call: &Call) -> CallView {
        let user = call.user.leg.and_then(|leg| self.legs.get(&leg));
        CallView {
            id: call.id,
            organisation: call.organisation.clone(),
            agent: call.pupil.agent.clone(),
            pool: call.pool.clone(),
            direction: call.direction,
            from: call.from.clone(),
            to: call.to.clone(),
            customer: call.user.number.clone(),
            user_extension: call.user.agent.clone(),
            answered_at: call.answered_at,
            on_hold: [Side::User, Side::Pupil]
                .into_iter()
                .any(|side| self.holds(call, side)),
            help_wanted: call.help_wanted,
            caller_on_net: on_net(user),
            supervisable: self.is_supervisable(call),
            agent_ringing: matches!(call.state, CallState::Dialling(_))
                && call.caller == Side::User,
            agent_on_call: call.pupil.leg.is_some(),
        }
    }

    /// Whether supervisors may be offered this call at all: its kind, its organisation, its agent.
    pub(in crate::control) fn is_supervisable(&self, call: &Call) -> bool {
        let (Some(kind), Some(organisation)) = (call.kind, &call.organisation) else {
            return false;
        };
        call.is_talking()
            && call.pupil.agent.is_some()
            && policy::supervisable(self.settings.supervisable, kind)
            && policy::organisation_supervises(&self.directory, organisation).is_ok()
    }

    /// Agents who ring or talk. A conversation counts for more than a phone that rings beside it.
    pub(in crate::control) fn engaged_agents(&self) -> BTreeMap<AgentKey, Presence> {
        let mut engaged: BTreeMap<AgentKey, Presence> = BTreeMap::new();
        for call in self.calls.values() {
            self.engage(call, &mut engaged);
        }
        engaged
    }

    fn engage(&self, call: &Call, engaged: &mut BTreeMap<AgentKey, Presence>) {
        let since = call.answered_at.unwrap_or(call.started_at);
        let mut note = |agent: AgentKey, presence: Presence| {
            let known = engaged.entry(agent).or_insert(presence);
            if matches!(
                (&known, &presence),
                (Presence::Ringing, Presence::OnCall { .. })
            ) {
                *known = presence;
            }
        };
        for side in [Side::User, Side::Pupil] {
            let party = call.party(side);
            let present = party.leg.is_some_and(|leg| self.legs.contains_key(&leg));
            if present
                && let (Some(extension), Some(organisation)) = (&party.agent, &call.organisation)
            {
                let agent = AgentKey {
                    organisation: organisation.clone(),
                    extension: extension.clone(),
                };
                note(agent, Presence::OnCall { since });
            }
        }
        let attempts = match &call.state {
            CallState::Dialling(dialling) => dialling.attempts.as_slice(),
            CallState::Talking {
                transfer: Some(transfer),
            } => transfer.attempts.as_slice(),
            CallState::Offered { .. }
            | CallState::Talking { transfer: None }
            | CallState::Clearing { .. } => &[],
        };
        for agent in attempts.iter().filter_map(|a| a.callee.agent.clone()) {
            note(agent, Presence::Ringing);
        }
    }
}
