//! What a session says waits for its rows in the audit, and a role lasts only with them.
//!
//! A change is in force before its row is durable. When the store does not take the row within
//! [`RECORD_LIMIT`], nobody is to speak unrecorded: the mix goes back to the role before, and the
//! supervisor hears 9010, as with every request while the store is known to be down. Two changes
//! are not undone: one after which the Pupil has left, since the User would be alone, and one to
//! Monitor, which takes a voice away.

use std::time::{Duration, Instant};

use crate::control::order::Order;
use crate::control::output::Notice;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::speech::Sentence;
use crate::control::supervisor::SupervisorTimer;
use crate::control::switchboard::Switchboard;
use crate::id::{LegId, RecordId};
use crate::media::matrix::Seat;

/// How long a role may be in force without its row.
pub const RECORD_LIMIT: Duration = Duration::from_secs(2);

/// Whether the roles of a session are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    #[default]
    UpToDate,
    /// Rows are under way; this role was the last that is written down.
    Behind { before: Supervision },
    /// They did not come in time.
    Overdue,
}

impl Switchboard {
    /// A row that the next confirmation waits for.
    pub(in crate::control) fn note_record(&mut self, leg: LegId, record: RecordId) {
        self.await_record(leg, record);
        if let Some(session) = self.session_mut(leg) {
            session.unrecorded.push(record);
        }
    }

    /// A row of a change is under way.
    pub(in crate::control) fn expect_record(
        &mut self,
        now: Instant,
        leg: LegId,
        before: Supervision,
        wanted: Supervision,
    ) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        if wanted.speaks() && session.recording == Recording::UpToDate {
            session.recording = Recording::Behind { before };
            self.wake(leg, SupervisorTimer::Record, now + RECORD_LIMIT);
        }
    }

    /// 9010 for a voice while the rows of an earlier change are overdue.
    pub(in crate::control) fn keeps_up(
        &self,
        leg: LegId,
        wanted: Supervision,
    ) -> Result<(), ErrorCode> {
        let overdue = self
            .session(leg)
            .is_some_and(|session| session.recording == Recording::Overdue);
        match overdue && wanted.speaks() {
            true => Err(ErrorCode::Busy),
            false => Ok(()),
        }
    }

    /// A record is durable.
    pub(in crate::control) fn recorded(&mut self, _now: Instant, record: RecordId) {
        let Some(leg) = self.desk.recording.remove(&record) else {
            return;
        };
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        session.unrecorded.retain(|waiting| *waiting != record);
        if session.unrecorded.is_empty() {
            session.recording = Recording::UpToDate;
            self.let_sleep(leg, SupervisorTimer::Record);
        }
        self.confirm(leg);
    }

    /// Says what has come true, once it is written down.
    pub(in crate::control) fn confirm(&mut self, leg: LegId) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        if session.unrecorded.is_empty() && !session.confirming.is_empty() {
            let sentences = std::mem::take(&mut session.confirming);
            self.say(leg, &sentences);
        }
    }

    /// The store did not take a role change in time.
    pub(in crate::control) fn not_recorded_in_time(&mut self, now: Instant, leg: LegId) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        let Recording::Behind { before } = session.recording else {
            return;
        };
        if session.unrecorded.is_empty() {
            session.recording = Recording::UpToDate;
            return;
        }
        session.recording = Recording::Overdue;
        let (id, call, present) = (session.id, session.call, session.supervision);
        let pupil_there = self
            .calls
            .get(&call)
            .is_some_and(|call| call.seats.contains_key(&Seat::PUPIL));
        if !pupil_there || present == Supervision::TakenOver {
            return;
        }
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        let pending = session.change.as_ref().map(|change| change.wanted);
        let reached = pending.unwrap_or(present);
        // What they have asked for since may be as silent, or be the role before.
        if !reached.speaks() || (pending.is_none() && present == before) {
            return;
        }
        let withdrawn = session.change.take();
        // Who may not supervise the customer's new agent has no role to go back to.
        let foreign = self.pupil_is_foreign(leg);
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        session.supervision = before;
        session.confirming.clear();
        self.let_sleep(leg, SupervisorTimer::Change);
        self.let_sleep(leg, SupervisorTimer::Overlap);
        if !foreign {
            self.mix_with(leg, before);
        }
        self.audit_of(leg, Source::System, Order::Role(before).action())
            .call(Some(call))
            .session(Some(id))
            .detail(Some("not_recorded".into()))
            .roles(Some(reached), Some(before))
            .outcome(Outcome::Failed)
            .code(ErrorCode::Busy)
            .record(self);
        self.notify_refused(ErrorCode::Busy);
        if present != before {
            self.notify_session(leg, Notice::SessionMoved);
        }
        if let Some(request) = withdrawn.and_then(|change| change.via.request) {
            self.reply(
                request,
                crate::control::input::Reply::Refused(ErrorCode::Busy),
            );
        }
        if foreign {
            let sentences = [Sentence::Refused(ErrorCode::Busy)];
            return self.end_session(now, leg, "out_of_scope", &sentences);
        }
        self.say(leg, &[Sentence::Refused(ErrorCode::Busy)]);
        self.process_requests(now, leg);
    }
}

#[cfg(test)]
mod tests;
