//! Help requests by click and API call.

use std::sync::Arc;
use std::time::Instant;

use crate::control::audit::audit;
use crate::control::directory::SupervisorEntry;
use crate::control::help::TakeRefusal;
use crate::control::input::{Operator, OperatorIdentity, Reply};
use crate::control::order::Order;
use crate::control::policy;
use crate::control::record::HelpState;
use crate::control::refusal::ErrorCode;
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, HelpId, RequestId};

impl Switchboard {
    #[allow(clippy::too_many_arguments)]
    pub(in crate::control) fn raise_help_by_click(
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
        if let Err(code) = policy::goes_on(self.service, Order::AcceptHelp) {
            self.refuse_help(who, "help_raise", Some(call), None, Some(code));
            return self.reply(request, Reply::Refused(code));
        }
        let actor = actor(who);
        match self.raise_help(now, call, actor, who.source, reason, comment) {
            Some(help) => self.reply(
                request,
                Reply::Help {
                    help,
                    state: HelpState::Requested,
                },
            ),
            None => {
                let open = self.desk.open_help(call);
                self.refuse_help(who, "help_raise", Some(call), open, None);
                self.reply(request, Reply::Conflict);
            }
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

    pub(in crate::control) fn accept_help_by_click(
        &mut self,
        now: Instant,
        request: RequestId,
        who: &Operator,
        help: HelpId,
    ) {
        let action = "help_accept";
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        if !self.may_see_help(who, help) {
            return self.reply(request, Reply::NotFound);
        }
        let call = self.desk.help.get(&help).map(|help| help.call);
        let allowed = policy::begins(self.service)
            .and_then(|()| policy::organisation_supervises(&self.directory, &entry.organisation))
            .and_then(|()| self.not_about_own_call(&entry, call));
        if let Err(code) = allowed {
            self.refuse_help(who, action, call, Some(help), Some(code));
            return self.reply(request, Reply::Refused(code));
        }
        match self.take_help(now, help, &entry.user, who.source) {
            Ok(()) => self.reply(
                request,
                Reply::Help {
                    help,
                    state: HelpState::InProgress,
                },
            ),
            Err(TakeRefusal::Taken) => {
                let code = ErrorCode::HelpTaken;
                self.refuse_help(who, action, call, Some(help), Some(code));
                self.reply(request, Reply::Refused(code));
            }
            Err(TakeRefusal::Settled) => {
                self.refuse_help(who, action, call, Some(help), None);
                self.reply(request, Reply::Conflict);
            }
        }
    }

    fn not_about_own_call(
        &self,
        entry: &SupervisorEntry,
        call: Option<CallId>,
    ) -> Result<(), ErrorCode> {
        let known = call.and_then(|call| self.calls.get(&call));
        match known.is_some_and(|call| self.is_own(entry, call)) {
            true => Err(ErrorCode::OwnCall),
            false => Ok(()),
        }
    }

    /// Writes down that a wish about a request for help was refused.
    fn refuse_help(
        &mut self,
        who: &Operator,
        action: &'static str,
        call: Option<CallId>,
        help: Option<HelpId>,
        code: Option<ErrorCode>,
    ) {
        audit(
            Some(who.organisation.clone()),
            actor(who),
            who.source,
            action,
        )
        .call(call)
        .help(help)
        .refuse(self, code);
    }

    #[allow(clippy::too_many_arguments)]
    pub(in crate::control) fn settle_help_by_click(
        &mut self,
        now: Instant,
        request: RequestId,
        who: &Operator,
        help: HelpId,
        from: HelpState,
        to: HelpState,
    ) {
        if !self.may_see_help(who, help) {
            return self.reply(request, Reply::NotFound);
        }
        let call = self.desk.help.get(&help).map(|help| help.call);
        let action = match to {
            HelpState::Closed => "help_close",
            _ => "help_cancel",
        };
        if let Err(code) = policy::goes_on(self.service, Order::AcceptHelp) {
            self.refuse_help(who, action, call, Some(help), Some(code));
            return self.reply(request, Reply::Refused(code));
        }
        let reply = match self.settle_help(now, help, from, to, actor(who), who.source) {
            true => Reply::Help { help, state: to },
            false => {
                self.refuse_help(who, action, call, Some(help), None);
                Reply::Conflict
            }
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
}

fn actor(who: &Operator) -> Arc<str> {
    match &who.identity {
        OperatorIdentity::Supervisor(name)
        | OperatorIdentity::Agent(name)
        | OperatorIdentity::Administrator(name) => name.clone(),
    }
}
