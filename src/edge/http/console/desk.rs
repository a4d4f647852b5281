//! An agent's own page: the call they are on, and asking for help.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;

use crate::control::directory::AgentNotice;
use crate::control::policy;
use crate::control::role::{Ear, Supervision};
use crate::control::snapshot::{CallView, SessionState, Snapshot};
use crate::edge::http::Web;
use crate::edge::http::console::answer;
use crate::edge::http::console::frame::{Frame, Place, Reader, clock_text};
use crate::edge::http::console::help::{HelpRow, describe};
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::help_requests::{self, HelpState};
use crate::edge::http::time::{rfc3339, seconds_since, utc_ms_of};
use crate::edge::http::viewer::AgentViewer;

#[derive(Template)]
#[template(path = "desk.html")]
struct Page {
    frame: Frame,
    call: Option<OwnCall>,
    open: Option<HelpRow>,
    /// How the last request on this call ended.
    last: Option<&'static str>,
}

struct OwnCall {
    id: String,
    customer: String,
    contact: String,
    since: String,
    clock: String,
    /// Supervisors who speak with the agent, where the agent may know.
    supervisors: Vec<String>,
}

pub fn show(web: &Web, viewer: &AgentViewer, tongue: Tongue) -> Response {
    let snapshot = web.live.snapshot();
    let organisation = viewer.directory.organisations.get(&viewer.organisation);
    let mut frame = Frame::bare(tongue, Place::Desk, Reader::Agent);
    frame.name = viewer.entry.name.to_string();
    frame.organisation = organisation.map_or_else(String::new, |entry| entry.name.to_string());
    frame.csrf = viewer.viewer.csrf.clone();
    frame.draining = snapshot.draining;

    let call = snapshot.calls.iter().find(|call| {
        call.organisation.as_ref() == Some(&viewer.organisation)
            && call.agent.as_ref() == Some(&viewer.extension)
            && call.answered_at.is_some()
    });
    let mine = snapshot.help.iter().filter(|request| {
        request.organisation == viewer.organisation && request.agent == viewer.extension
    });
    let mine = mine.map(|request| help_requests::describe(&viewer.directory, request));
    let mine: Vec<_> = mine.collect();
    let is_open = |state| matches!(state, HelpState::Requested | HelpState::InProgress);
    let open = mine.iter().rev().find(|request| is_open(request.state));
    let call_id = call.map(|call| call.id.to_string());
    let last = mine
        .iter()
        .rev()
        .find(|request| Some(&request.call) == call_id.as_ref());
    answer::page(&Page {
        call: call.map(|call| own_call(web, viewer, tongue, &snapshot, call)),
        open: open.map(|request| {
            let by = request.help_provided_by.as_deref();
            describe(
                tongue,
                request,
                by.map(|user| supervisor_name(viewer, user)),
            )
        }),
        last: last.and_then(|request| match request.state {
            HelpState::Closed => Some(tongue.text("desk.last_closed")),
            HelpState::Cancelled => Some(tongue.text("desk.last_cancelled")),
            HelpState::Expired => Some(tongue.text("desk.last_expired")),
            HelpState::Requested | HelpState::InProgress => None,
        }),
        frame,
    })
}

fn own_call(
    web: &Web,
    viewer: &AgentViewer,
    tongue: Tongue,
    snapshot: &Snapshot,
    call: &CallView,
) -> OwnCall {
    let answered = call.answered_at.map(|at| rfc3339(utc_ms_of(at)));
    let sessions = snapshot.sessions.iter();
    let sessions = sessions.filter(|session| session.call == call.id && may_know(web, viewer));
    OwnCall {
        id: call.id.to_string(),
        customer: call.customer.as_deref().unwrap_or(&call.from).to_owned(),
        contact: call.pool.as_deref().unwrap_or_default().to_owned(),
        clock: clock_text(call.answered_at.map_or(0, seconds_since)),
        since: answered.unwrap_or_default(),
        supervisors: sessions
            .filter_map(|session| {
                // Who only listens is not shown; who speaks is heard anyway.
                let key = match session.state {
                    SessionState::Supervising(Supervision::Coaching(Ear::Pupil)) => "desk.coach",
                    SessionState::Supervising(Supervision::Barged) => "desk.barge",
                    _ => return None,
                };
                let name = supervisor_name(viewer, &session.supervisor);
                Some(tongue.fill(key, &[("name", &name)]))
            })
            .collect(),
    }
}

/// Where supervising is silent, the agent's page says nothing of it either.
fn may_know(web: &Web, viewer: &AgentViewer) -> bool {
    let notice = policy::agent_notice(&web.settings, &viewer.directory, &viewer.entry);
    notice == AgentNotice::Tone
}

fn supervisor_name(viewer: &AgentViewer, user: &str) -> String {
    let key = (viewer.organisation.clone(), Arc::from(user));
    let entry = viewer.directory.supervisors.get(&key);
    entry.map_or(user, |entry| &entry.name).to_owned()
}
