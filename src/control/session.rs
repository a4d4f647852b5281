//! Commands in a session: one at a time, in order, each refused by one code or carried out.
//!
//! A role change is asked of the store and of the shard at the same time. The mix does not wait for
//! the disk; the confirmation waits for both, and what the disk does not take is undone: see
//! `recording`.

use std::sync::Arc;
use std::time::Instant;

use crate::control::call::Side;
use crate::control::choosing::pressed;
use crate::control::collector::Entry;
use crate::control::input::Reply;
use crate::control::menu::{self, Command as Typed};
use crate::control::order::Order;
use crate::control::output::Notice;
use crate::control::policy;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::control::speech::Sentence;
use crate::control::supervisor::{
    CONFIRM_WITHIN, Change, JOIN_LIMIT, Request, State, SupervisorTimer, Via,
};
use crate::control::switchboard::Switchboard;
use crate::id::{Generation, LegId, RecordId};
use crate::media::matrix::Seat;

impl Switchboard {
    /// Takes the commands that wait, until one of them waits for its matrix.
    pub(in crate::control) fn process_requests(&mut self, now: Instant, leg: LegId) {
        loop {
            let Some(supervisor) = self.supervisors.get_mut(&leg) else {
                return;
            };
            let State::Supervising(session) = &supervisor.state else {
                return;
            };
            if session.change.is_some() {
                return;
            }
            match supervisor.requests.pop_front() {
                Some(Request::Keys { entry, at }) => self.command_typed(now, leg, &entry, at),
                Some(Request::Order { order, via }) => self.give_order(now, leg, order, via),
                None => return,
            }
        }
    }

    /// Commands that will not be processed: the session that they were for is gone.
    pub(in crate::control) fn drop_requests(&mut self, leg: LegId) {
        let waiting = self
            .supervisors
            .get_mut(&leg)
            .map(|supervisor| std::mem::take(&mut supervisor.requests))
            .unwrap_or_default();
        for request in waiting {
            if let Request::Order { order, via } = request {
                self.audit_of(leg, via.source, order.action())
                    .detail(via.detail)
                    .outcome(Outcome::Refused)
                    .record(self);
                if let Some(request) = via.request {
                    self.reply(request, Reply::Conflict);
                }
            }
        }
    }

    /// One command too many waits already.
    pub(in crate::control) fn turn_away(&mut self, leg: LegId, request: Request) {
        let via = match request {
            Request::Keys { entry, at } => typed(&entry, at),
            Request::Order { via, .. } => via,
        };
        self.refuse_order(leg, "role", None, &via, ErrorCode::Busy);
    }

    fn command_typed(&mut self, now: Instant, leg: LegId, entry: &Entry, at: Instant) {
        match menu::command(&self.settings.codes, entry) {
            Typed::Nothing => {}
            Typed::Order(order) => self.give_order(now, leg, order, typed(entry, at)),
            Typed::Unknown => {
                self.withdraw_question(leg);
                self.refuse_order(
                    leg,
                    "role",
                    None,
                    &typed(entry, at),
                    ErrorCode::UnknownCommand,
                );
            }
        }
    }

    /// What a person asked for, by key or click.
    pub(in crate::control) fn give_order(
        &mut self,
        now: Instant,
        leg: LegId,
        order: Order,
        via: Via,
    ) {
        if via.source == Source::System {
            // It waited for a change that is over now, and perhaps for the agent to leave.
            if !self.is_only_company(leg) {
                self.fall_silent(now, leg);
            }
            return;
        }
        let confirmed = self.withdraw_question(leg) == Some(order);
        let Some(entry) = self.entry(leg) else {
            return self.refuse_order(leg, order.action(), None, &via, ErrorCode::Unregistered);
        };
        let allowed = policy::goes_on(self.service, order)
            .and_then(|()| policy::organisation_supervises(&self.directory, &entry.organisation));
        if let Err(code) = allowed {
            return self.refuse_order(leg, order.action(), None, &via, code);
        }
        match order {
            Order::Role(wanted) => self.change_role(now, leg, wanted, via, confirmed),
            Order::HangUp => self.ask_or_hang_up(now, leg, via, confirmed),
            Order::Next => self.next_call(now, leg, &via),
            Order::AcceptHelp => self.accept_help_in_session(now, leg, &via),
            Order::Status => self.say_status(leg),
        }
    }

    /// The question that waited for a second press, which is now answered one way or another.
    fn withdraw_question(&mut self, leg: LegId) -> Option<Order> {
        self.let_sleep(leg, SupervisorTimer::Confirm);
        self.session_mut(leg)?.asked.take()
    }

    /// Waits for the same command once more.
    pub(in crate::control) fn ask_again(
        &mut self,
        now: Instant,
        leg: LegId,
        order: Order,
        question: Sentence,
    ) {
        if let Some(session) = self.session_mut(leg) {
            session.asked = Some(order);
            session.confirming.clear();
        }
        self.wake(leg, SupervisorTimer::Confirm, now + CONFIRM_WITHIN);
        self.say(leg, &[question]);
    }

    pub(in crate::control) fn not_confirmed(&mut self, _now: Instant, leg: LegId) {
        if self.withdraw_question(leg).is_some() {
            self.say(leg, &[Sentence::Cancelled]);
        }
    }

    /// `*`
    pub(in crate::control) fn star_pressed(&mut self, now: Instant, leg: LegId) {
        self.not_confirmed(now, leg);
    }

    fn change_role(
        &mut self,
        now: Instant,
        leg: LegId,
        wanted: Supervision,
        via: Via,
        confirmed: bool,
    ) {
        let action = Order::Role(wanted).action();
        let allowed = self
            .keeps_up(leg, wanted)
            .and_then(|()| self.may_change(leg, wanted));
        if let Err(code) = allowed {
            self.refuse_order(leg, action, Some(wanted), &via, code);
            return self.after_refusal(now, leg, code);
        }
        let Some(session) = self.session(leg) else {
            return;
        };
        let before = session.supervision;
        let asks = wanted == Supervision::TakenOver
            && before != Supervision::TakenOver
            && self.settings.takeover_confirm
            && via.source == Source::Phone
            && !confirmed;
        if asks {
            let order = Order::Role(wanted);
            return self.ask_again(now, leg, order, Sentence::TakeoverConfirm);
        }
        // After a takeover "everyone hears you" is true already.
        let target = match before {
            Supervision::TakenOver => Supervision::TakenOver,
            Supervision::Monitoring | Supervision::Coaching(_) | Supervision::Barged => wanted,
        };
        let requested = self.audit_role(leg, action, &via, before, target, Outcome::Requested);
        self.note_record(leg, requested);
        if before == target {
            return self.role_in_force(now, leg, target, via);
        }
        match self.mix_with(leg, target) {
            Some(generation) => {
                if let Some(session) = self.session_mut(leg) {
                    session.confirming.clear();
                    session.change = Some(Change {
                        wanted: target,
                        generation,
                        via,
                    });
                }
                self.wake(leg, SupervisorTimer::Change, now + JOIN_LIMIT);
                self.expect_record(now, leg, before, target);
            }
            None => self.refuse_order(leg, action, Some(wanted), &via, ErrorCode::PupilGone),
        }
    }

    /// 9006, 9007, 9005, 9013, 9014, 9012, 9015.
    fn may_change(&self, leg: LegId, wanted: Supervision) -> Result<(), ErrorCode> {
        let entry = self.entry(leg).ok_or(ErrorCode::Unregistered)?;
        let session = self.session(leg).ok_or(ErrorCode::PupilGone)?;
        let call = self.calls.get(&session.call).ok_or(ErrorCode::PupilGone)?;
        let mut facts = self.facts(call, Some(leg)).ok_or(ErrorCode::PupilGone)?;
        // Their Pupil was transferred out, and who came instead is nobody's Pupil to them.
        facts.pupil_on_call &= self.is_in_scope(&entry, call);
        if policy::is_own_call(&entry, &facts) {
            return Err(ErrorCode::OwnCall);
        }
        policy::may_change(
            &self.settings,
            &entry,
            session.coaching,
            &facts,
            session.supervision,
            wanted,
        )?;
        // The Pupil is on the call, but was taken out of this conference.
        let pupil_seated = call.seats.contains_key(&Seat::PUPIL);
        match pupil_seated || session.supervision == Supervision::TakenOver {
            true => self.is_off_hold(leg, wanted),
            false => Err(ErrorCode::CoachNotJoined),
        }
    }

    /// 9012 for a voice from a phone on hold: what it sends is music.
    fn is_off_hold(&self, leg: LegId, wanted: Supervision) -> Result<(), ErrorCode> {
        let holds = self.legs.get(&leg).is_some_and(|leg| leg.negotiation.holds);
        let before = self.session(leg).map(|session| session.supervision);
        match holds && wanted.speaks() && before == Some(Supervision::Monitoring) {
            true => Err(ErrorCode::CoachNotAdded),
            false => Ok(()),
        }
    }

    /// What a refusal means for the session: with nobody left it is over, and outside the Pupil's
    /// conference it falls back to listening.
    fn after_refusal(&mut self, now: Instant, leg: LegId, code: ErrorCode) {
        let Some(session) = self.session(leg) else {
            return;
        };
        let user_there = self
            .calls
            .get(&session.call)
            .is_some_and(|call| self.user_on_call(call));
        match code {
            ErrorCode::PupilGone | ErrorCode::UserGone if !user_there => {
                self.end_session(now, leg, "parties_gone", &[]);
            }
            ErrorCode::CoachNotJoined => {
                self.fall_silent(now, leg);
            }
            _ => {}
        }
    }

    /// The session's seat takes on a role in the next mix.
    pub(in crate::control) fn mix_with(
        &mut self,
        leg: LegId,
        supervision: Supervision,
    ) -> Option<Generation> {
        let session = self.session(leg)?;
        let (call, seat) = (session.call, session.seat);
        let known = self.calls.get_mut(&call)?;
        known.seats.get_mut(&seat)?.role = supervision.role();
        if let Some(member) = known
            .conference
            .as_mut()
            .and_then(|conference| conference.members.get_mut(&seat))
        {
            member.supervision = supervision;
        }
        let generation = self.mix(call);
        // Who is on hold hears music, or a supervisor who speaks to all.
        self.entertain(call);
        generation
    }

    /// The matrix that a role change waited for is in force.
    pub(in crate::control) fn change_in_force(
        &mut self,
        now: Instant,
        leg: LegId,
        generation: Generation,
    ) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        if !matches!(&session.change, Some(change) if change.generation <= generation) {
            return;
        }
        let Some(change) = session.change.take() else {
            return;
        };
        self.let_sleep(leg, SupervisorTimer::Change);
        self.role_in_force(now, leg, change.wanted, change.via);
        self.process_requests(now, leg);
    }

    fn role_in_force(&mut self, now: Instant, leg: LegId, supervision: Supervision, via: Via) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        let before = std::mem::replace(&mut session.supervision, supervision);
        let (id, call) = (session.id, session.call);
        let action = Order::Role(supervision).action();
        let done = self.audit_role(leg, action, &via, before, supervision, Outcome::Done);
        self.note_record(leg, done);
        self.expect_record(now, leg, before, supervision);
        if before != supervision {
            let took = now.saturating_duration_since(via.at);
            self.notify_session(leg, |session| Notice::RoleChanged { session, took });
            if supervision == Supervision::TakenOver {
                self.begin_overlap(now, leg);
            }
        }
        if let Some(request) = via.request {
            self.reply(
                request,
                Reply::Role {
                    session: id,
                    supervision,
                },
            );
        }
        if via.source == Source::System {
            return;
        }
        let mut sentences = vec![Sentence::Now(supervision)];
        let held = self
            .calls
            .get(&call)
            .is_some_and(|call| self.holds(call, Side::Pupil));
        if held && supervision == Supervision::Coaching(Ear::Pupil) {
            sentences.push(Sentence::AgentOnHold);
        }
        if let Some(session) = self.session_mut(leg) {
            session.untold = false;
            session.confirming = sentences;
        }
        self.confirm(leg);
    }

    /// The shard never said that the mix is in force: the role is as it was.
    pub(in crate::control) fn change_timed_out(&mut self, now: Instant, leg: LegId) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        let Some(change) = session.change.take() else {
            return;
        };
        let (before, call) = (session.supervision, session.call);
        self.mix_with(leg, before);
        let action = Order::Role(change.wanted).action();
        self.refuse_order(
            leg,
            action,
            Some(change.wanted),
            &change.via,
            ErrorCode::CoachNotAdded,
        );
        // The agent may have left meanwhile, trusting that there would be company.
        self.end_if_deserted(now, call);
        self.process_requests(now, leg);
    }

    fn say_status(&mut self, leg: LegId) {
        let Some(session) = self.session(leg) else {
            return;
        };
        // Who barged has the call when the agent has left, as they were told then.
        let supervision = match self.is_only_company(leg) {
            true => Supervision::TakenOver,
            false => session.supervision,
        };
        let on_hold = self
            .calls
            .get(&session.call)
            .is_some_and(|call| self.holds(call, Side::Pupil));
        self.say(
            leg,
            &[Sentence::Status {
                supervision,
                on_hold,
            }],
        );
    }

    /// A request that is not carried out: one row, one code, heard by the one who asked.
    pub(in crate::control) fn refuse_order(
        &mut self,
        leg: LegId,
        action: &'static str,
        wanted: Option<Supervision>,
        via: &Via,
        code: ErrorCode,
    ) {
        let Some(session) = self.session(leg) else {
            // On the way into the call: whoever waits is answered all the same.
            self.audit_of(leg, via.source, action)
                .detail(wanted.map(|wanted| wanted.name().into()))
                .outcome(Outcome::Refused)
                .code(code)
                .record(self);
            if let Some(request) = via.request {
                self.reply(request, Reply::Refused(code));
            }
            return;
        };
        let present = session.supervision;
        self.audit_of(leg, via.source, action)
            .call(Some(session.call))
            .session(Some(session.id))
            .detail(
                via.detail
                    .clone()
                    .or_else(|| wanted.map(|wanted| wanted.name().into())),
            )
            .roles(Some(present), Some(present))
            .outcome(Outcome::Refused)
            .code(code)
            .record(self);
        self.notify_refused(code);
        if let Some(session) = self.session_mut(leg) {
            session.confirming.clear();
        }
        if let Some(request) = via.request {
            self.reply(request, Reply::Refused(code));
        }
        if via.source != Source::System {
            self.say(leg, &[Sentence::Refused(code)]);
        }
    }

    pub(in crate::control) fn audit_role(
        &mut self,
        leg: LegId,
        action: &'static str,
        via: &Via,
        before: Supervision,
        after: Supervision,
        outcome: Outcome,
    ) -> RecordId {
        let session = self.session(leg);
        let (call, id) = (
            session.map(|session| session.call),
            session.map(|session| session.id),
        );
        self.audit_of(leg, via.source, action)
            .call(call)
            .session(id)
            .detail(via.detail.clone())
            .roles(Some(before), Some(after))
            .outcome(outcome)
            .record(self)
    }
}

fn typed(entry: &Entry, at: Instant) -> Via {
    let detail: Option<Arc<str>> = pressed(entry);
    Via {
        source: Source::Phone,
        detail,
        request: None,
        at,
    }
}

#[cfg(test)]
mod tests;
