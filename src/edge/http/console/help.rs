//! Help requests, as supervisors see them.

use askama::Template;
use axum::extract::State;

use crate::edge::http::Web;
use crate::edge::http::console::acts::Act;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::cards::{Sight, customer, since};
use crate::edge::http::console::frame::{Frame, Place, initials};
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::console::visitor::Supervisor;
use crate::edge::http::help_requests::{HelpRequest, HelpState};

#[derive(Template)]
#[template(path = "help.html")]
struct Page {
    frame: Frame,
    open: Vec<HelpRow>,
    settled: Vec<HelpRow>,
    /// Agents on a call for whom no request is open.
    callable: Vec<(String, String)>,
}

pub struct HelpRow {
    pub id: String,
    pub call: String,
    pub agent: String,
    pub initials: String,
    pub customer: String,
    pub reason: String,
    pub comment: String,
    pub state: String,
    pub class: &'static str,
    pub provided_by: Option<String>,
    pub since: String,
    pub clock: String,
    pub at: String,
    pub waiting: bool,
    /// It waits, and the viewer may confirm it.
    pub acceptable: bool,
    /// Accepted by the viewer: what can be done is offered.
    pub actions_on: bool,
    pub closable: bool,
    pub acts: Vec<Act>,
    pub session: Option<String>,
}

/// `GET /help`.
pub async fn show(State(web): State<Web>, supervisor: Supervisor) -> Answer {
    let sight = Sight::at(&web, &supervisor).await?;
    let is_open = |request: &&HelpRequest| {
        matches!(request.state, HelpState::Requested | HelpState::InProgress)
    };
    let open: Vec<&HelpRequest> = sight.help.iter().filter(is_open).collect();
    let settled = sight.help.iter().rev().filter(|request| !is_open(request));
    let callable = sight.calls.iter();
    let callable = callable.filter(|call| open.iter().all(|request| request.call != call.id));
    Ok(answer::page(&Page {
        frame: sight.frame(Place::Help),
        callable: callable
            .map(|call| (call.agent.extension.clone(), call.agent.name.clone()))
            .collect(),
        settled: settled
            .take(50)
            .map(|request| row(&sight, request))
            .collect(),
        open: open
            .into_iter()
            .map(|request| row(&sight, request))
            .collect(),
    }))
}

fn row(sight: &Sight<'_>, request: &HelpRequest) -> HelpRow {
    let call = sight.call(&request.call);
    let mine = request.help_provided_by.as_deref() == Some(&*sight.viewer.user);
    let provided_by = request.help_provided_by.as_deref();
    let provided_by = provided_by.map(|user| sight.supervisor_name(user));
    let mut row = describe(sight.tongue, request, provided_by);
    if let (HelpState::InProgress, false, Some(name)) = (request.state, mine, &row.provided_by) {
        let taken = sight.tongue.fill("help.taken_by", &[("name", name)]);
        row.state = format!("{} · {taken}", row.state);
    }
    row.customer = call.map(customer).unwrap_or_default();
    row.acts = call.map(|call| sight.acts(call)).unwrap_or_default();
    // Hanging up is for the list of calls, where the row says what it ends.
    row.acts.retain(|act| act.name != "hangup");
    row.session = sight
        .session(&request.call)
        .map(|session| session.id.clone());
    row.acceptable = row.waiting && !sight.is_own(request);
    row.actions_on = mine && request.state == HelpState::InProgress;
    row.closable = row.actions_on;
    row
}

/// What the agent and the supervisor see alike.
pub fn describe(tongue: Tongue, request: &HelpRequest, provided_by: Option<String>) -> HelpRow {
    let (key, class) = match request.state {
        HelpState::Requested => ("help.requested", "warn"),
        HelpState::InProgress => ("help.in_progress", "good"),
        HelpState::Closed => ("help.closed", ""),
        HelpState::Cancelled => ("help.cancelled", ""),
        HelpState::Expired => ("help.expired", ""),
    };
    HelpRow {
        id: request.id.clone(),
        call: request.call.clone(),
        agent: request.agent_name.clone(),
        initials: initials(&request.agent_name),
        customer: String::new(),
        reason: request.reason.clone(),
        comment: request.comment.clone(),
        state: tongue.text(key).to_owned(),
        class,
        provided_by,
        since: request.requested_at.clone(),
        clock: since(&request.requested_at),
        at: short_time(&request.requested_at),
        waiting: request.state == HelpState::Requested,
        acceptable: false,
        actions_on: false,
        closable: false,
        acts: Vec::new(),
        session: None,
    }
}

/// `2026-11-21 10:20:30` of an RFC 3339 time, in UTC.
pub fn short_time(at: &str) -> String {
    at.get(..19).unwrap_or(at).replace('T', " ")
}
