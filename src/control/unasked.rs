//! Roles that change, or do not, without anybody asking: a phone that is on hold or fell silent, a
//! permission that is gone, a customer who was given to somebody else.

use std::time::Instant;

use crate::control::order::Order;
use crate::control::output::Notice;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::speech::Sentence;
use crate::control::supervisor::{Change, JOIN_LIMIT, Request, SupervisorTimer, Via};
use crate::control::switchboard::Switchboard;
use crate::id::LegId;

impl Switchboard {
    /// Back to Monitor without being asked: a phone that fell silent, a Pupil who was moved away.
    pub(in crate::control) fn fall_silent(&mut self, now: Instant, leg: LegId) {
        let order = Order::Role(Supervision::Monitoring);
        let via = Via::system(now);
        let Some(session) = self.session(leg) else {
            return;
        };
        if session.change.is_some() {
            self.queue_request(now, leg, Request::Order { order, via });
            return;
        }
        let before = session.supervision;
        if !before.speaks() {
            return;
        }
        // Nobody listens to those whom they may not supervise.
        if self.pupil_is_foreign(leg) {
            let sentences = [Sentence::CallTransferred];
            return self.end_session(now, leg, "out_of_scope", &sentences);
        }
        let wanted = Supervision::Monitoring;
        let record = self.audit_role(
            leg,
            order.action(),
            &via,
            before,
            wanted,
            Outcome::Requested,
        );
        self.note_record(leg, record);
        if let Some(generation) = self.mix_with(leg, wanted) {
            if let Some(session) = self.session_mut(leg) {
                session.change = Some(Change {
                    wanted,
                    generation,
                    via,
                });
            }
            self.wake(leg, SupervisorTimer::Change, now + JOIN_LIMIT);
        }
    }

    /// As [`Self::fall_silent`] for a phone that nothing can be told now: it is on hold, or gone.
    pub(in crate::control) fn fall_silent_untold(&mut self, now: Instant, leg: LegId) {
        if let Some(session) = self.session_mut(leg) {
            let coming = session.change.as_ref().map(|change| change.wanted);
            let speaks = session.supervision.speaks() || coming.is_some_and(Supervision::speaks);
            session.untold |= speaks;
        }
        self.fall_silent(now, leg);
    }

    /// The phone is back: whoever was heard before is told that they only listen now.
    pub(in crate::control) fn tell_role(&mut self, leg: LegId) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        if std::mem::take(&mut session.untold) {
            let coming = session.change.as_ref().map(|change| change.wanted);
            session.confirming = vec![Sentence::Now(coming.unwrap_or(session.supervision))];
            self.confirm(leg);
        }
    }

    /// Who speaks to a customer goes on doing so. Where the new Pupil is none of theirs, that is all
    /// that they go on doing: a change on its way is refused (9013), and a takeover that has not
    /// released the former Pupil yet has nobody to release.
    pub(in crate::control) fn stay_in_barge(&mut self, now: Instant, leg: LegId) {
        if !self.pupil_is_foreign(leg) {
            return;
        }
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        let before = session.supervision;
        if let Some(change) = session.change.take() {
            // Their phone is on hold, or sends nothing.
            if change.via.source == Source::System {
                return self.fall_silent(now, leg);
            }
            self.let_sleep(leg, SupervisorTimer::Change);
            self.mix_with(leg, before);
            let (action, wanted) = (Order::Role(change.wanted).action(), change.wanted);
            let code = ErrorCode::PupilGone;
            self.refuse_order(leg, action, Some(wanted), &change.via, code);
        }
        if before == Supervision::TakenOver {
            self.let_sleep(leg, SupervisorTimer::Overlap);
            self.back_to_barge(now, leg);
        }
        self.process_requests(now, leg);
    }

    /// A takeover whose agent is not released after all: everybody goes on hearing the supervisor.
    fn back_to_barge(&mut self, now: Instant, leg: LegId) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        let before = std::mem::replace(&mut session.supervision, Supervision::Barged);
        session.unheard = false;
        session.confirming = vec![Sentence::Now(Supervision::Barged)];
        self.mix_with(leg, Supervision::Barged);
        let via = Via::system(now);
        let action = Order::Role(Supervision::Barged).action();
        let after = Supervision::Barged;
        let row = self.audit_role(leg, action, &via, before, after, Outcome::Done);
        self.note_record(leg, row);
        self.notify_session(leg, Notice::SessionMoved);
        self.confirm(leg);
    }
}

#[cfg(test)]
mod tests;
