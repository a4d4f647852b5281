//! Clicks and API calls: the same orders as by key, and what only a screen can ask for.

use std::sync::Arc;
use std::time::Instant;

use crate::control::audit::audit;
use crate::control::desk::Ticket;
use crate::control::directory::SupervisorEntry;
use crate::control::help::TakeRefusal;
use crate::control::input::{Ask, Operator, OperatorIdentity, Reply};
use crate::control::order::Order;
use crate::control::policy::{self, Coaching};
use crate::control::record::{HelpState, Outcome};
use crate::control::refusal::ErrorCode;
use crate::control::ringing::RingStep;
use crate::control::role::Supervision;
use crate::control::snapshot::{HelpView, SessionState, SessionView, Snapshot};
use crate::control::supervisor::{Request, State, Supervisor, Via};
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, HelpId, LegId, RequestId, SessionId};

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
                if !self.may_know_of(&entry, call) {
                    return self.reply(request, Reply::NotFound);
                }
                if self.has_session(&(entry.organisation.clone(), entry.user.clone())) {
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
            Ask::AcceptHelp { help } => self.accept_help_by_click(request, &who, help),
            Ask::CloseHelp { help } => self.settle_help_by_click(
                request,
                &who,
                help,
                HelpState::InProgress,
                HelpState::Closed,
            ),
            Ask::CancelHelp { help } => self.settle_help_by_click(
                request,
                &who,
                help,
                HelpState::Requested,
                HelpState::Cancelled,
            ),
        }
    }

    fn entry_of(&self, who: &Operator) -> Option<SupervisorEntry> {
        let OperatorIdentity::Supervisor(user) = &who.identity else {
            return None;
        };
        self.directory
            .supervisors
            .get(&(who.organisation.clone(), user.clone()))
            .cloned()
    }

    /// Whether the call is one that the supervisor may know of; what is not is not found.
    fn may_know_of(&self, entry: &SupervisorEntry, call: CallId) -> bool {
        self.calls
            .get(&call)
            .is_some_and(|call| self.is_in_scope(entry, call))
    }

    fn issue_ticket(&mut self, now: Instant, request: RequestId, who: &Operator, call: CallId) {
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        if !self.may_know_of(&entry, call) {
            return self.reply(request, Reply::NotFound);
        }
        let dial = self
            .directory
            .organisations
            .get(&entry.organisation)
            .and_then(|organisation| organisation.supervising_numbers.first().cloned());
        let Some(dial) = dial else {
            return self.reply(request, Reply::Conflict);
        };
        let draft = audit(
            Some(entry.organisation.clone()),
            entry.user.clone(),
            who.source,
            "ticket",
        )
        .call(Some(call));
        if let Err(code) = self.may_supervise(&entry, call, None) {
            draft.outcome(Outcome::Refused).code(code).record(self);
            self.notify_refused(code);
            return self.reply(request, Reply::Refused(code));
        }
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
        let (Some(entry), Some(leg)) = (self.entry_of(who), self.leg_of_session(session)) else {
            return self.reply(request, Reply::NotFound);
        };
        if !self.is_of(leg, &entry) {
            return self.reply(request, Reply::NotFound);
        }
        let via = Via {
            source: who.source,
            detail: None,
            request: Some(request),
            at: now,
        };
        let order = Order::Role(supervision);
        self.queue_request(now, leg, Request::Order { order, via });
    }

    fn is_of(&self, leg: LegId, entry: &SupervisorEntry) -> bool {
        self.supervisors.get(&leg).is_some_and(|supervisor| {
            supervisor.who.organisation == entry.organisation
                && supervisor.who.user.as_ref() == Some(&entry.user)
        })
    }

    /// Ends one's own session; an administrator may end anybody's of the organisation.
    fn end_session_of(
        &mut self,
        now: Instant,
        request: RequestId,
        who: &Operator,
        session: SessionId,
    ) {
        let mine = |organisation: &Arc<str>, user: Option<&Arc<str>>| {
            *organisation == who.organisation
                && match &who.identity {
                    OperatorIdentity::Supervisor(name) => user == Some(name),
                    OperatorIdentity::Administrator(_) => true,
                    OperatorIdentity::Agent(_) => false,
                }
        };
        let ringing = self
            .desk
            .callbacks
            .get(&session)
            .is_some_and(|callback| mine(&callback.owner.0, Some(&callback.owner.1)));
        if ringing {
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
                self.hang_up_supervisor(now, leg, "ended_by_operator");
                self.reply(request, Reply::Done);
            }
            None => self.reply(request, Reply::NotFound),
        }
    }

    fn hang_up_by_click(&mut self, now: Instant, request: RequestId, who: &Operator, call: CallId) {
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        if !self.may_know_of(&entry, call) {
            return self.reply(request, Reply::NotFound);
        }
        let allowed = policy::goes_on(self.service, Order::HangUp)
            .and_then(|()| policy::organisation_supervises(&self.directory, &entry.organisation))
            .and_then(|()| {
                let own = self
                    .calls
                    .get(&call)
                    .and_then(|call| self.facts(call, None))
                    .is_some_and(|facts| policy::is_own_call(&entry, &facts));
                match own {
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

    #[allow(clippy::too_many_arguments)]
    fn raise_help_by_click(
        &mut self,
        now: Instant,
        request: RequestId,
        who: &Operator,
        call: Option<CallId>,
        agent: Option<Arc<str>>,
        reason: Arc<str>,
        comment: Arc<str>,
    ) {
        let call = call.or_else(|| {
            self.calls
                .values()
                .find(|known| {
                    known.is_talking()
                        && known.organisation.as_ref() == Some(&who.organisation)
                        && known.pupil.agent == agent
                        && agent.is_some()
                })
                .map(|known| known.id)
        });
        let Some(call) = call.filter(|call| self.may_ask_for(who, *call)) else {
            return self.reply(request, Reply::NotFound);
        };
        let actor = actor(who);
        match self.raise_help(now, call, actor, who.source, reason, comment) {
            Some(help) => self.reply(
                request,
                Reply::Help {
                    help,
                    state: HelpState::Requested,
                },
            ),
            None => self.reply(request, Reply::Conflict),
        }
    }

    /// Help is asked for by the agent of the call, or by a supervisor of that agent.
    fn may_ask_for(&self, who: &Operator, call: CallId) -> bool {
        let Some(known) = self.calls.get(&call) else {
            return false;
        };
        match &who.identity {
            OperatorIdentity::Agent(extension) => {
                known.organisation.as_ref() == Some(&who.organisation)
                    && known.pupil.agent.as_ref() == Some(extension)
            }
            OperatorIdentity::Supervisor(_) => self
                .entry_of(who)
                .is_some_and(|entry| self.is_in_scope(&entry, known)),
            OperatorIdentity::Administrator(_) => false,
        }
    }

    fn accept_help_by_click(&mut self, request: RequestId, who: &Operator, help: HelpId) {
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        if !self.may_see_help(who, help) {
            return self.reply(request, Reply::NotFound);
        }
        if let Err(code) = policy::begins(self.service) {
            return self.reply(request, Reply::Refused(code));
        }
        match self.take_help(help, &entry.user, who.source) {
            Ok(()) => self.reply(
                request,
                Reply::Help {
                    help,
                    state: HelpState::InProgress,
                },
            ),
            Err(TakeRefusal::Taken) => {
                self.notify_refused(ErrorCode::HelpTaken);
                self.reply(request, Reply::Refused(ErrorCode::HelpTaken));
            }
            Err(TakeRefusal::Settled) => self.reply(request, Reply::Conflict),
        }
    }

    fn settle_help_by_click(
        &mut self,
        request: RequestId,
        who: &Operator,
        help: HelpId,
        from: HelpState,
        to: HelpState,
    ) {
        if !self.may_see_help(who, help) {
            return self.reply(request, Reply::NotFound);
        }
        let reply = match self.settle_help(help, from, to, actor(who), who.source) {
            true => Reply::Help { help, state: to },
            false => Reply::Conflict,
        };
        self.reply(request, reply);
    }

    /// The agent who asked, and the supervisors of that agent.
    fn may_see_help(&self, who: &Operator, help: HelpId) -> bool {
        let Some(request) = self.desk.help.get(&help) else {
            return false;
        };
        if request.organisation != who.organisation {
            return false;
        }
        match &who.identity {
            OperatorIdentity::Agent(extension) => request.agent == *extension,
            OperatorIdentity::Supervisor(_) => {
                let agent = self
                    .directory
                    .agents
                    .get(&(request.organisation.clone(), request.agent.clone()));
                match (self.entry_of(who), agent) {
                    (Some(entry), Some(agent)) => policy::in_scope(&entry, agent),
                    _ => false,
                }
            }
            OperatorIdentity::Administrator(_) => false,
        }
    }

    /// Adds sessions and help requests to what consoles may see.
    pub(in crate::control) fn view_supervision(&self, snapshot: &mut Snapshot) {
        snapshot
            .sessions
            .extend(self.supervisors.values().filter_map(session_view));
        snapshot
            .sessions
            .extend(self.desk.callbacks.values().map(|callback| {
                let confirming = callback.legs.iter().any(|leg| {
                    self.supervisors
                        .get(leg)
                        .is_some_and(|supervisor| match &supervisor.state {
                            State::Ringing(ringing) => ringing.step == RingStep::PressOne,
                            State::EnteringPin { .. } => true,
                            State::Greeting { .. }
                            | State::ChoosingCall(_)
                            | State::Joining(_)
                            | State::Supervising(_)
                            | State::Leaving => false,
                        })
                });
                SessionView {
                    id: callback.session,
                    call: callback.call,
                    organisation: callback.owner.0.clone(),
                    supervisor: callback.owner.1.clone(),
                    state: match confirming {
                        true => SessionState::Confirming,
                        false => SessionState::Ringing,
                    },
                    coaching_enabled: callback.coaching == Coaching::On,
                    started_at: callback.started_at,
                }
            }));
        snapshot
            .help
            .extend(self.desk.help.values().map(|request| HelpView {
                id: request.id,
                organisation: request.organisation.clone(),
                call: request.call,
                agent: request.agent.clone(),
                reason: request.reason.clone(),
                comment: request.comment.clone(),
                state: request.state,
                provided_by: request.provided_by.clone(),
                raised_at: request.raised_at,
            }));
    }
}

fn session_view(supervisor: &Supervisor) -> Option<SessionView> {
    let session = supervisor.session()?;
    Some(SessionView {
        id: session.id,
        call: session.call,
        organisation: supervisor.who.organisation.clone(),
        supervisor: supervisor.who.actor(),
        state: SessionState::Supervising(session.supervision),
        coaching_enabled: session.coaching == Coaching::On,
        started_at: session.started_at,
    })
}

fn actor(who: &Operator) -> Arc<str> {
    match &who.identity {
        OperatorIdentity::Supervisor(name)
        | OperatorIdentity::Agent(name)
        | OperatorIdentity::Administrator(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests;
