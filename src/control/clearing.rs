//! The end of a call: everybody is told, and once nobody is left it is over.

use std::time::Instant;

use crate::control::call::CallState;
use crate::control::output::{Notice, Reason};
use crate::control::record::Record;
use crate::control::switchboard::Switchboard;
use crate::control::timers::Owner;
use crate::id::{CallId, LegId};
use crate::media::command::Command;

impl Switchboard {
    /// Ends a call for both parties and every phone that rings for it. Supervisors are told by
    /// `call_over`, when the last party is gone.
    pub(in crate::control) fn end_call(
        &mut self,
        now: Instant,
        id: CallId,
        cause: &str,
        reason: Option<Reason>,
    ) {
        self.clear(now, id, cause, 480, reason);
    }

    /// Sends everybody away: a caller who was not answered gets `status`.
    pub(in crate::control) fn clear(
        &mut self,
        now: Instant,
        id: CallId,
        cause: &str,
        status: u16,
        reason: Option<Reason>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if matches!(call.state, CallState::Clearing { .. }) {
            return;
        }
        self.drop_transfer(id);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.state = CallState::Clearing {
            cause: cause.into(),
        };
        let legs: Vec<LegId> = call.legs.iter().copied().collect();
        self.timers.forget(Owner::Call(id));
        for leg in legs {
            self.end_leg(now, leg, status, reason.clone());
        }
        self.finish(now, id);
    }

    /// The call is over once it is being cleared and its last leg is gone.
    pub(in crate::control) fn finish(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let CallState::Clearing { cause } = &call.state else {
            return;
        };
        if !call.legs.is_empty() {
            return;
        }
        let cause = cause.clone();
        self.call_over(now, id);
        self.timers.forget(Owner::Call(id));
        if let Some(call) = self.calls.remove(&id) {
            self.bridges.remove(&call.bridge);
            self.media(
                call.shard,
                Command::CloseBridge {
                    bridge: call.bridge,
                },
            );
            self.record(Record::CallEnded { call: id, cause });
            self.notify(Notice::CallEnded(id));
        }
    }
}
