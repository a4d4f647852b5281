//! Rows for the audit, filled in from what control knows of the supervisor and the call.

use std::sync::Arc;

use crate::control::record::{AuditRow, Outcome, Record, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::supervisor::Caller;
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, HelpId, LegId, RecordId, SessionId};

/// Who acts where nobody was recognised.
const UNKNOWN: &str = "unknown";

/// A row in the making. [`Draft::record`] sends it.
#[derive(Debug)]
#[must_use = "a row is written by `record`"]
pub(in crate::control) struct Draft(AuditRow);

impl Draft {
    pub(in crate::control) fn call(mut self, call: Option<CallId>) -> Self {
        self.0.call = call;
        self
    }

    /// Of a call that may be over.
    pub(in crate::control) fn parties(
        mut self,
        agent: Option<Arc<str>>,
        customer: Option<Arc<str>>,
    ) -> Self {
        (self.0.agent, self.0.customer) = (agent, customer);
        self
    }

    /// Another than the Pupil of the call as it is now.
    pub(in crate::control) fn agent(mut self, agent: Option<Arc<str>>) -> Self {
        self.0.agent = agent;
        self
    }

    pub(in crate::control) fn session(mut self, session: Option<SessionId>) -> Self {
        self.0.session = session;
        self
    }

    pub(in crate::control) fn detail(mut self, detail: Option<Arc<str>>) -> Self {
        self.0.detail = detail;
        self
    }

    pub(in crate::control) fn roles(
        mut self,
        before: Option<Supervision>,
        after: Option<Supervision>,
    ) -> Self {
        self.0.role_before = before.map(Supervision::name);
        self.0.role_after = after.map(Supervision::name);
        self
    }

    pub(in crate::control) fn outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    pub(in crate::control) fn code(mut self, code: ErrorCode) -> Self {
        self.0.code = Some(code);
        self
    }

    pub(in crate::control) fn help(mut self, help: Option<HelpId>) -> Self {
        self.0.help_request = help;
        self
    }

    /// Completes the row with those parties of its call that it does not name, and sends it to the
    /// store.
    pub(in crate::control) fn record(mut self, switchboard: &mut Switchboard) -> RecordId {
        if let Some(call) = self.0.call.and_then(|call| switchboard.calls.get(&call)) {
            let row = &mut self.0;
            row.agent = row.agent.take().or_else(|| call.pupil.agent.clone());
            row.customer = row.customer.take().or_else(|| call.user.number.clone());
        }
        if self.0.help_request.is_none()
            && let Some(call) = self.0.call
        {
            self.0.help_request = switchboard.desk.accepted_help(call, &self.0.actor);
        }
        switchboard.record(Record::Audit(self.0))
    }

    /// Records that it was refused, and tells the code; what the state of things does not allow has
    /// none.
    pub(in crate::control) fn refuse(self, switchboard: &mut Switchboard, code: Option<ErrorCode>) {
        let draft = self.outcome(Outcome::Refused);
        match code {
            Some(code) => {
                draft.code(code).record(switchboard);
                switchboard.notify_refused(code);
            }
            None => {
                draft.record(switchboard);
            }
        }
    }
}

impl Switchboard {
    /// A row about something that this supervisor asked for.
    pub(in crate::control) fn audit_of(
        &self,
        leg: LegId,
        source: Source,
        action: &'static str,
    ) -> Draft {
        let who = self.supervisors.get(&leg).map(|supervisor| &supervisor.who);
        audit(
            who.map(|who| who.organisation.clone()),
            who.map_or_else(|| UNKNOWN.into(), Caller::actor),
            source,
            action,
        )
    }

    /// A dial-in, let in or not.
    pub(in crate::control) fn audit_dial_in(
        &mut self,
        caller: &Caller,
        outcome: Outcome,
        code: Option<ErrorCode>,
    ) {
        let draft = audit(
            Some(caller.organisation.clone()),
            caller.actor(),
            Source::Phone,
            "dial_in",
        )
        .detail(caller.claim())
        .outcome(outcome);
        match code {
            Some(code) => draft.code(code).record(self),
            None => draft.record(self),
        };
    }

    pub(in crate::control) fn audit_pin(
        &mut self,
        leg: LegId,
        outcome: Outcome,
        code: Option<ErrorCode>,
    ) {
        let draft = self.audit_of(leg, Source::Phone, "pin").outcome(outcome);
        match code {
            Some(code) => draft.code(code).record(self),
            None => draft.record(self),
        };
    }
}

/// A row that says nothing yet but who, by what way, and what.
pub(in crate::control) fn audit(
    organisation: Option<Arc<str>>,
    actor: Arc<str>,
    source: Source,
    action: &'static str,
) -> Draft {
    Draft(AuditRow {
        organisation,
        actor,
        source,
        call: None,
        session: None,
        agent: None,
        customer: None,
        action,
        detail: None,
        role_before: None,
        role_after: None,
        outcome: Outcome::Done,
        code: None,
        help_request: None,
    })
}

impl Caller {
    /// The user name, or the number of a stranger. What else strangers call themselves may be
    /// somebody's user name.
    pub(in crate::control) fn actor(&self) -> Arc<str> {
        let is_number = |number: &Arc<str>| {
            let digits = number.strip_prefix('+').unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
        };
        let number = || Some(self.number.clone()).filter(is_number);
        let user = self.user.clone().or_else(number);
        user.unwrap_or_else(|| UNKNOWN.into())
    }

    /// What the caller ID of a stranger shows.
    fn claim(&self) -> Option<Arc<str>> {
        match self.user {
            Some(_) => None,
            None => Some(format!("from {}", self.number).into()),
        }
    }

    /// The key of whatever is kept for this supervisor.
    pub(in crate::control) fn owner(&self) -> Option<crate::control::desk::Owner> {
        Some((self.organisation.clone(), self.user.clone()?))
    }
}
