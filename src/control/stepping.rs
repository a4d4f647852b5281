//! From one call to another without hanging up: `3#`, and `2#` for somebody else's call.

use std::time::Instant;

use crate::control::call::Side;
use crate::control::order::Order;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::speech::Sentence;
use crate::control::supervisor::{Announced, ChoosingCall, Via};
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, LegId};

impl Switchboard {
    /// `3#`: the next call of the supervisor's agents, announced. With no other one, or with a
    /// customer who has nobody else, the session stays where it is.
    pub(in crate::control) fn next_call(&mut self, now: Instant, leg: LegId, via: &Via) {
        let (Some(entry), Some(session)) = (self.entry(leg), self.session(leg)) else {
            return;
        };
        if self.is_only_company(leg) {
            let action = Order::Next.action();
            return self.refuse_order(leg, action, None, via, ErrorCode::NotPermitted);
        }
        let next = self.call_after(&entry, Some(session.call));
        let draft = self
            .audit_of(leg, via.source, Order::Next.action())
            .call(Some(session.call))
            .session(Some(session.id))
            .detail(via.detail.clone());
        match next {
            Some(next) => {
                draft.outcome(Outcome::Done).record(self);
                self.step_over(now, leg, next, Announced::NextCall);
            }
            None => {
                draft.outcome(Outcome::Failed).record(self);
                self.say(leg, &[Sentence::NoOtherCall]);
            }
        }
    }

    /// Out of this call and into that one.
    pub(in crate::control) fn step_over(
        &mut self,
        now: Instant,
        leg: LegId,
        next: CallId,
        announced: Announced,
    ) {
        self.leave_call(now, leg, "next");
        self.open_menu(now, leg, ChoosingCall::default());
        self.join(now, leg, next, Source::Phone, announced);
    }

    /// Whether the customer would be alone without this supervisor.
    pub(in crate::control) fn is_only_company(&self, leg: LegId) -> bool {
        let Some(session) = self.session(leg) else {
            return false;
        };
        let pupil_there = self
            .calls
            .get(&session.call)
            .and_then(|call| call.party(Side::Pupil).leg)
            .and_then(|leg| self.legs.get(&leg))
            .is_some_and(|leg| leg.is_confirmed());
        match session.supervision {
            Supervision::TakenOver => true,
            Supervision::Barged => !pupil_there,
            Supervision::Monitoring | Supervision::Coaching(_) => false,
        }
    }
}
