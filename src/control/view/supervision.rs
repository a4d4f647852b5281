//! What consoles may see of sessions and help requests.

use crate::control::callback::Callback;
use crate::control::help::HelpRequest;
use crate::control::output::Notice;
use crate::control::policy::Coaching;
use crate::control::record::Source;
use crate::control::ringing::RingStep;
use crate::control::snapshot::{CallView, HelpView, SessionState, SessionView, Snapshot};
use crate::control::supervisor::{State, Supervisor};
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, HelpId, LegId, SessionId};

impl Switchboard {
    /// Adds sessions and help requests to what consoles may see.
    pub(in crate::control) fn view_supervision(&self, snapshot: &mut Snapshot) {
        let callbacks = self.desk.callbacks.values();
        snapshot.sessions = self
            .supervisors
            .values()
            .filter_map(session_view)
            .chain(callbacks.map(|callback| self.callback_view(callback)))
            .collect();
        snapshot.over = self.desk.over.iter().cloned().collect();
        snapshot.help = self.desk.help.values().map(help_view).collect();
    }

    pub(in crate::control) fn notify_call(
        &mut self,
        call: CallId,
        notice: impl FnOnce(CallView) -> Notice,
    ) {
        if let Some(call) = self.calls.get(&call) {
            let view = self.view(call);
            self.notify(notice(view));
        }
    }

    /// Tells of the session that this phone is in.
    pub(in crate::control) fn notify_session(
        &mut self,
        leg: LegId,
        notice: impl FnOnce(SessionView) -> Notice,
    ) {
        if let Some(view) = self.supervisors.get(&leg).and_then(session_view) {
            self.notify(notice(view));
        }
    }

    /// Tells of a session whose phones ring.
    pub(in crate::control) fn notify_callback(
        &mut self,
        session: SessionId,
        notice: impl FnOnce(SessionView) -> Notice,
    ) {
        if let Some(callback) = self.desk.callbacks.get(&session) {
            let view = self.callback_view(callback);
            self.notify(notice(view));
        }
    }

    pub(in crate::control) fn notify_help(&mut self, help: HelpId) {
        if let Some(view) = self.desk.help.get(&help).map(help_view) {
            self.notify(Notice::HelpChanged(view));
        }
    }

    /// Remembers and tells that a session ends; to be called while it is still there to be seen.
    pub(in crate::control) fn session_ends(&mut self, session: SessionId) {
        if let Some(view) = self.live_session_view(session) {
            self.desk.session_over(view);
            self.notify(Notice::SessionEnded(session));
        }
    }

    /// As [`Self::session_ends`], for phones that are no longer rung.
    pub(in crate::control) fn callback_ends(&mut self, callback: &Callback) {
        let view = self.callback_view(callback);
        self.desk.session_over(view);
        self.notify(Notice::SessionEnded(callback.session));
    }

    /// A session, live or lately ended.
    pub(in crate::control) fn session_view(&self, session: SessionId) -> Option<SessionView> {
        self.live_session_view(session).or_else(|| {
            let mut over = self.desk.over.iter();
            over.find(|view| view.id == session).cloned()
        })
    }

    fn live_session_view(&self, session: SessionId) -> Option<SessionView> {
        let mut seated = self.supervisors.values().filter_map(session_view);
        seated.find(|view| view.id == session).or_else(|| {
            let callback = self.desk.callbacks.get(&session)?;
            Some(self.callback_view(callback))
        })
    }

    fn callback_view(&self, callback: &Callback) -> SessionView {
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
    }
}

/// A phone that was rung for a session is seen on its way into the call; one that dialled in begins
/// its session there.
/// Who was removed meanwhile has none.
fn session_view(supervisor: &Supervisor) -> Option<SessionView> {
    supervisor.who.user.as_ref()?;
    let (id, call, state, coaching, started_at) = match &supervisor.state {
        State::Supervising(session) => (
            session.id,
            session.call,
            SessionState::Supervising(session.supervision),
            session.coaching,
            session.started_at,
        ),
        State::Joining(joining) if joining.via != Source::Phone => (
            joining.session,
            joining.call,
            SessionState::Confirming,
            joining.coaching,
            joining.asked_at,
        ),
        State::Joining(_)
        | State::Greeting { .. }
        | State::EnteringPin { .. }
        | State::ChoosingCall(_)
        | State::Leaving
        | State::Ringing(_) => return None,
    };
    Some(SessionView {
        id,
        call,
        organisation: supervisor.who.organisation.clone(),
        supervisor: supervisor.who.actor(),
        state,
        coaching_enabled: coaching == Coaching::On,
        started_at,
    })
}

fn help_view(request: &HelpRequest) -> HelpView {
    HelpView {
        id: request.id,
        organisation: request.organisation.clone(),
        call: request.call,
        agent: request.agent.clone(),
        reason: request.reason.clone(),
        comment: request.comment.clone(),
        state: request.state,
        provided_by: request.provided_by.clone(),
        raised_at: request.raised_at,
        accepted_at: request.accepted_at,
        ended_at: request.ended_at,
    }
}
