//! Clicks and API calls: the same orders as by key, and what only a screen can ask for.

mod help;

use std::sync::Arc;
use std::time::Instant;

use crate::control::audit::audit;
use crate::control::call::Call;
use crate::control::desk::Ticket;
use crate::control::directory::SupervisorEntry;
use crate::control::input::{Ask, Operator, OperatorIdentity, Reply};
use crate::control::order::Order;
use crate::control::policy::{self, Coaching};
use crate::control::record::{HelpState, Outcome};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::snapshot::SessionState;
use crate::control::supervisor::{Request, State, Via};
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, LegId, RequestId, SessionId};

impl Switchboard {
    /// A click or an API call.
    pub(in crate::control) fn operator(
        &mut self,
        now: Instant,
        request: RequestId,
        who: Operator,
        ask: Ask,
    ) {
        match ask {
            Ask::Ticket { call } => self.issue_ticket(now, request, &who, call),
            Ask::CallMe {
                call,
                device,
                coaching_enabled,
            } => {
                let coaching = match coaching_enabled {
                    true => Coaching::On,
                    false => Coaching::Off,
                };
                let Some(entry) = self.entry_of(&who) else {
                    return self.reply(request, Reply::NotFound);
                };
                let known = self.may_know_of(&entry, call).is_ok();
                if known && self.has_session(&(entry.organisation.clone(), entry.user.clone())) {
                    let (organisation, user) = (Some(entry.organisation), entry.user);
                    audit(organisation, user, who.source, "call_me")
                        .call(Some(call))
                        .outcome(Outcome::Refused)
                        .record(self);
                    return self.reply(request, Reply::Conflict);
                }
                self.call_me(
                    now,
                    request,
                    &entry,
                    call,
                    device.as_ref(),
                    coaching,
                    who.source,
                );
            }
            Ask::ProveNumber { number, code } => {
                self.call_to_prove(now, request, &who, &number, code);
            }
            Ask::LiftLock {
                organisation,
                supervisor,
                trunk,
            } => {
                let owner = (organisation, supervisor);
                let may = matches!(who.identity, OperatorIdentity::Administrator(_));
                let lifted = may && self.desk.lift_lock(now, &owner, trunk.as_ref());
                let reply = if lifted { Reply::Done } else { Reply::NotFound };
                self.reply(request, reply);
            }
            Ask::SetRole {
                session,
                supervision,
            } => self.order_role(now, request, &who, session, supervision),
            Ask::EndSession { session } => self.end_session_of(now, request, &who, session),
            Ask::HangUp { call } => self.hang_up_by_click(now, request, &who, call),
            Ask::RaiseHelp {
                call,
                agent,
                reason,
                comment,
            } => self.raise_help_by_click(now, request, &who, call, agent, reason, comment),
            Ask::AcceptHelp { help } => self.accept_help_by_click(now, request, &who, help),
            Ask::CloseHelp { help } => self.settle_help_by_click(
                now,
                request,
                &who,
                help,
                HelpState::InProgress,
                HelpState::Closed,
            ),
            Ask::CancelHelp { help } => self.settle_help_by_click(
                now,
                request,
                &who,
                help,
                HelpState::Requested,
                HelpState::Cancelled,
            ),
        }
    }

    pub(in crate::control) fn entry_of(&self, who: &Operator) -> Option<SupervisorEntry> {
        let OperatorIdentity::Supervisor(user) = &who.identity else {
            return None;
        };
        self.directory
            .supervisors
            .get(&(who.organisation.clone(), user.clone()))
            .cloned()
    }

    /// 9003, 9004: whether the call is one that the supervisor may know of, as one knows of one's
    /// own. One out of scope and one that is not there are the same.
    pub(in crate::control) fn may_know_of(
        &self,
        entry: &SupervisorEntry,
        call: CallId,
    ) -> Result<(), ErrorCode> {
        policy::organisation_supervises(&self.directory, &entry.organisation)?;
        let call = self.calls.get(&call).ok_or(ErrorCode::NoCall)?;
        match self.is_in_scope(entry, call) || self.is_own(entry, call) {
            true => Ok(()),
            false => Err(ErrorCode::NoCall),
        }
    }

    pub(in crate::control) fn is_own(&self, entry: &SupervisorEntry, call: &Call) -> bool {
        self.facts(call, None)
            .is_some_and(|facts| policy::is_own_call(entry, &facts))
    }

    fn issue_ticket(&mut self, now: Instant, request: RequestId, who: &Operator, call: CallId) {
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        let draft = audit(
            Some(entry.organisation.clone()),
            entry.user.clone(),
            who.source,
            "ticket",
        )
        .call(Some(call));
        let allowed = policy::begins(self.service)
            .and_then(|()| self.may_know_of(&entry, call))
            .and_then(|()| self.may_supervise(&entry, call, None));
        if let Err(code) = allowed {
            draft.outcome(Outcome::Refused).code(code).record(self);
            self.notify_refused(code);
            return self.reply(request, Reply::Refused(code));
        }
        let dial = self
            .directory
            .organisations
            .get(&entry.organisation)
            .and_then(|organisation| organisation.supervising_numbers.first().cloned());
        let Some(dial) = dial else {
            draft.outcome(Outcome::Failed).record(self);
            return self.reply(request, Reply::Conflict);
        };
        draft.outcome(Outcome::Done).record(self);
        let lasting = self.settings.ticket_ttl;
        self.desk.issue_ticket(
            (entry.organisation, entry.user),
            Ticket {
                call,
                expires_at: now + lasting,
            },
        );
        self.reply(request, Reply::Ticket { dial, lasting });
    }

    fn leg_of_session(&self, session: SessionId) -> Option<LegId> {
        self.supervisors
            .values()
            .find(|supervisor| match &supervisor.state {
                State::Joining(joining) => joining.session == session,
                State::Supervising(known) => known.id == session,
                State::Greeting { .. }
                | State::EnteringPin { .. }
                | State::ChoosingCall(_)
                | State::Leaving
                | State::Ringing(_) => false,
            })
            .map(|supervisor| supervisor.leg)
    }

    fn order_role(
        &mut self,
        now: Instant,
        request: RequestId,
        who: &Operator,
        session: SessionId,
        supervision: Supervision,
    ) {
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        let leg = self.leg_of_session(session);
        let Some(leg) = leg.filter(|leg| self.is_of(*leg, &entry)) else {
            return self.refuse_role(request, who, &entry, session, supervision);
        };
        let via = Via {
            source: who.source,
            detail: None,
            request: Some(request),
            at: now,
        };
        let order = Order::Role(supervision);
        self.queue_request(now, leg, Request::Order { order, via });
    }

    /// A role for a session that is not in its call, or not this supervisor's: 9003, 9007 for a
    /// colleague's, 9013 and 9014 where the call is gone.
    fn refuse_role(
        &mut self,
        request: RequestId,
        who: &Operator,
        entry: &SupervisorEntry,
        session: SessionId,
        wanted: Supervision,
    ) {
        let supervises = policy::organisation_supervises(&self.directory, &entry.organisation);
        let view = self
            .session_view(session)
            .filter(|view| view.organisation == entry.organisation);
        let (call, refused) = match (supervises, view) {
            (Err(code), view) => (view.map(|view| view.call), Reply::Refused(code)),
            (Ok(()), None) => return self.reply(request, Reply::NotFound),
            (Ok(()), Some(view)) if view.supervisor == entry.user => {
                let over = view.state == SessionState::Ended;
                (Some(view.call), self.why_no_role(view.call, over))
            }
            (Ok(()), Some(view)) => match self.may_know_of(entry, view.call) {
                Ok(()) => (Some(view.call), Reply::Refused(ErrorCode::NotPermitted)),
                Err(_) => return self.reply(request, Reply::NotFound),
            },
        };
        let code = match refused {
            Reply::Refused(code) => Some(code),
            _ => None,
        };
        audit(
            Some(entry.organisation.clone()),
            entry.user.clone(),
            who.source,
            Order::Role(wanted).action(),
        )
        .call(call)
        .session(Some(session))
        .detail(Some(wanted.name().into()))
        .refuse(self, code);
        self.reply(request, refused);
    }

    /// What is said to the owner of a session that is not in its call.
    fn why_no_role(&self, call: CallId, over: bool) -> Reply {
        let there = match self.calls.get(&call) {
            Some(call) => self
                .facts(call, None)
                .map_or(Ok(()), |facts| policy::both_there(&facts)),
            None => Err(ErrorCode::PupilGone),
        };
        match there {
            Err(code) if over => Reply::Refused(code),
            // The phone still rings, or was hung up while the call goes on.
            _ => Reply::Conflict,
        }
    }

    fn is_of(&self, leg: LegId, entry: &SupervisorEntry) -> bool {
        self.supervisors.get(&leg).is_some_and(|supervisor| {
            supervisor.who.organisation == entry.organisation
                && supervisor.who.user.as_ref() == Some(&entry.user)
        })
    }

    /// Ends one's own session; an administrator may end anybody's. A colleague's is refused (9007).
    fn end_session_of(
        &mut self,
        now: Instant,
        request: RequestId,
        who: &Operator,
        session: SessionId,
    ) {
        let mine = |organisation: &Arc<str>, user: Option<&Arc<str>>| match &who.identity {
            OperatorIdentity::Supervisor(name) => {
                *organisation == who.organisation && user == Some(name)
            }
            // Who has no name here any more has no session either.
            OperatorIdentity::Administrator(_) => user.is_some(),
            OperatorIdentity::Agent(_) => false,
        };
        let ringing = self
            .desk
            .callbacks
            .get(&session)
            .is_some_and(|callback| mine(&callback.owner.0, Some(&callback.owner.1)));
        if ringing {
            self.note_ending(who, session, None);
            self.cancel_callback(now, session);
            return self.reply(request, Reply::Done);
        }
        let leg = self.leg_of_session(session).filter(|leg| {
            self.supervisors.get(leg).is_some_and(|supervisor| {
                mine(&supervisor.who.organisation, supervisor.who.user.as_ref())
            })
        });
        match leg {
            Some(leg) => {
                self.note_ending(who, session, None);
                self.hang_up_supervisor(now, leg, "ended_by_operator");
                self.reply(request, Reply::Done);
            }
            None => {
                let reply = self.why_not_ended(who, session);
                if let Reply::Refused(code) = reply {
                    self.note_ending(who, session, Some(code));
                }
                self.reply(request, reply);
            }
        }
    }

    /// Who asked for the end of a session, and by what, is told beside its end; or who was refused it.
    fn note_ending(&mut self, who: &Operator, session: SessionId, refused: Option<ErrorCode>) {
        let (OperatorIdentity::Administrator(name) | OperatorIdentity::Supervisor(name)) =
            &who.identity
        else {
            return;
        };
        let Some(view) = self.session_view(session) else {
            return;
        };
        let organisation = Some(view.organisation);
        let draft = audit(organisation, name.clone(), who.source, "end_session")
            .call(Some(view.call))
            .session(Some(session))
            .detail(Some(view.supervisor));
        match refused {
            None => {
                draft.outcome(Outcome::Done).record(self);
            }
            Some(code) => draft.refuse(self, Some(code)),
        }
    }

    fn why_not_ended(&self, who: &Operator, session: SessionId) -> Reply {
        let (Some(entry), Some(view)) = (self.entry_of(who), self.session_view(session)) else {
            return Reply::NotFound;
        };
        if view.organisation != entry.organisation {
            return Reply::NotFound;
        }
        match (
            view.supervisor == entry.user,
            self.may_know_of(&entry, view.call),
        ) {
            // It has ended already.
            (true, _) => Reply::Done,
            (false, Ok(())) => Reply::Refused(ErrorCode::NotPermitted),
            (false, Err(_)) => Reply::NotFound,
        }
    }

    fn hang_up_by_click(&mut self, now: Instant, request: RequestId, who: &Operator, call: CallId) {
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        let allowed = policy::goes_on(self.service, Order::HangUp)
            .and_then(|()| self.may_know_of(&entry, call))
            .and_then(|()| {
                let known = self.calls.get(&call);
                match known.is_some_and(|call| self.is_own(&entry, call)) {
                    true => Err(ErrorCode::OwnCall),
                    false => Ok(()),
                }
            })
            .and_then(|()| policy::may_hang_up(&entry));
        let draft = audit(
            Some(entry.organisation),
            entry.user,
            who.source,
            Order::HangUp.action(),
        )
        .call(Some(call));
        match allowed {
            Ok(()) => {
                draft.outcome(Outcome::Done).record(self);
                self.hang_up_everyone(now, call);
                self.reply(request, Reply::Done);
            }
            Err(code) => {
                draft.outcome(Outcome::Refused).code(code).record(self);
                self.notify_refused(code);
                self.reply(request, Reply::Refused(code));
            }
        }
    }
}

#[cfg(test)]
mod tests;
