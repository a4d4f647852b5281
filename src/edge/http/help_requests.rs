//! Help requests: raised by an agent or for one, accepted by the first supervisor, closed or
//! cancelled by either.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::directory::Directory;
use crate::control::input::{Ask, Operator, OperatorIdentity, Reply};
use crate::control::policy;
use crate::control::record;
use crate::control::snapshot::HelpView;
use crate::edge::http::Web;
use crate::edge::http::asking::Named;
use crate::edge::http::refusal::{Body, Refusal, RefusalBody};
use crate::edge::http::time::{rfc3339, utc_ms_of};
use crate::edge::http::viewer::{Viewer, Who};
use crate::id::{CallId, HelpId};

/// Longer reasons and comments are refused, in characters.
const MAX_TEXT: usize = 2000;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(list, raise))
        .routes(routes!(accept))
        .routes(routes!(close))
        .routes(routes!(cancel))
}

#[derive(Serialize, ToSchema)]
pub struct HelpRequests {
    pub help_requests: Vec<HelpRequest>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HelpRequest {
    pub id: String,
    pub call: String,
    /// The extension of the agent who needs help.
    pub agent: String,
    pub agent_name: String,
    pub reason: String,
    pub comment: String,
    pub state: HelpState,
    /// The user name of the supervisor who accepted it.
    pub help_provided_by: Option<String>,
    #[schema(format = DateTime)]
    pub requested_at: String,
    #[schema(format = DateTime)]
    pub accepted_at: Option<String>,
    /// When it was closed or cancelled, or expired.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HelpState {
    Requested,
    InProgress,
    Closed,
    Cancelled,
    Expired,
}

impl From<record::HelpState> for HelpState {
    fn from(state: record::HelpState) -> Self {
        match state {
            record::HelpState::Requested => HelpState::Requested,
            record::HelpState::InProgress => HelpState::InProgress,
            record::HelpState::Closed => HelpState::Closed,
            record::HelpState::Cancelled => HelpState::Cancelled,
            record::HelpState::Expired => HelpState::Expired,
        }
    }
}

/// One whom help requests concern: an agent, or a supervisor.
pub struct Concerned {
    operator: Operator,
    directory: Arc<Directory>,
    /// The agent's own extension.
    extension: Option<Arc<str>>,
}

impl FromRequestParts<Web> for Concerned {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Refusal> {
        let viewer = <Viewer as FromRequestParts<Web>>::from_request_parts(parts, web).await?;
        let (organisation, extension) = match &viewer.who {
            Who::Agent {
                organisation,
                extension,
            } => (organisation, Some(extension.clone())),
            Who::Supervisor { organisation, .. } => (organisation, None),
            Who::Administrator { .. } => {
                return Err(Refusal::forbidden("This is for agents and supervisors."));
            }
        };
        let directory = web.people.directory();
        policy::organisation_supervises(&directory, organisation)
            .map_err(|code| Refusal::of(&web.catalogue, code))?;
        Ok(Self {
            operator: viewer.operator(),
            directory,
            extension,
        })
    }
}

impl Concerned {
    /// The agent who asked, and the supervisors of that agent.
    fn sees(&self, request: &HelpView) -> bool {
        if request.organisation != self.operator.organisation {
            return false;
        }
        match &self.operator.identity {
            OperatorIdentity::Agent(extension) => request.agent == *extension,
            OperatorIdentity::Supervisor(user) => {
                let organisation = &request.organisation;
                let supervisor = (organisation.clone(), user.clone());
                let agent = (organisation.clone(), request.agent.clone());
                let supervisor = self.directory.supervisors.get(&supervisor);
                let agent = self.directory.agents.get(&agent);
                supervisor
                    .zip(agent)
                    .is_some_and(|(supervisor, agent)| policy::in_scope(supervisor, agent))
            }
            OperatorIdentity::Administrator(_) => false,
        }
    }

    /// Requests that wait or are being helped with, and the last that are settled, oldest first.
    fn requests(&self, web: &Web) -> Vec<HelpRequest> {
        let snapshot = web.live.snapshot();
        let seen = snapshot.help.iter().filter(|request| self.sees(request));
        seen.map(|request| describe(&self.directory, request))
            .collect()
    }

    async fn ask(&self, web: &Web, ask: Ask, conflict: &str) -> Result<HelpRequest, Refusal> {
        let Reply::Help { help, .. } = web.ask(self.operator.clone(), ask, conflict).await? else {
            return Err(Refusal::conflict(conflict));
        };
        let snapshot = web.live.snapshot();
        let request = snapshot.help.iter().find(|request| request.id == help);
        let request = request.ok_or_else(|| Refusal::conflict(conflict))?;
        Ok(describe(&self.directory, request))
    }
}

/// As the viewer sees a help request. Shared by the API and the page.
pub fn describe(directory: &Directory, request: &HelpView) -> HelpRequest {
    let key = (request.organisation.clone(), request.agent.clone());
    let agent = directory.agents.get(&key);
    let time = |instant| rfc3339(utc_ms_of(instant));
    HelpRequest {
        id: request.id.to_string(),
        call: request.call.to_string(),
        agent: request.agent.to_string(),
        agent_name: agent
            .map_or(&request.agent, |agent| &agent.name)
            .to_string(),
        reason: request.reason.to_string(),
        comment: request.comment.to_string(),
        state: request.state.into(),
        help_provided_by: request.provided_by.as_deref().map(str::to_owned),
        requested_at: time(request.raised_at),
        accepted_at: request.accepted_at.map(time),
        ended_at: request.ended_at.map(time),
    }
}

/// An agent's own help requests; a supervisor's: those of the agents in scope.
#[utoipa::path(
    get,
    path = "/api/v1/help-requests",
    tag = "help requests",
    responses(
        (status = 200, description = "open requests, and the last that are settled", body = HelpRequests),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "an administrator, or 9003", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn list(State(web): State<Web>, viewer: Concerned) -> Json<HelpRequests> {
    Json(HelpRequests {
        help_requests: viewer.requests(&web),
    })
}

/// `call` or `agent` names the call that needs help; an agent's own is meant without either.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Raise {
    pub call: Option<String>,
    /// The extension of an agent who is on a call.
    pub agent: Option<String>,
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub reason: String,
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub comment: String,
}

/// Asks for help: by the agent of the call, or by a supervisor for an agent in scope.
#[utoipa::path(
    post,
    path = "/api/v1/help-requests",
    tag = "help requests",
    request_body = Raise,
    responses(
        (status = 201, description = "supervisors are told", body = HelpRequest),
        (status = 400, description = "not a request, or neither call nor agent", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "an administrator, or 9003", body = RefusalBody),
        (status = 404, description = "no call that the viewer may ask for", body = RefusalBody),
        (status = 409, description = "the call has an open request", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn raise(
    State(web): State<Web>,
    viewer: Concerned,
    Body(body): Body<Raise>,
) -> Result<(StatusCode, Json<HelpRequest>), Refusal> {
    if [&body.reason, &body.comment]
        .iter()
        .any(|text| text.chars().count() > MAX_TEXT)
    {
        let text = format!("reason and comment hold at most {MAX_TEXT} characters each.");
        return Err(Refusal::bad_request(text));
    }
    let agent = body.agent.map(Arc::from);
    let (call, agent) = match (body.call, agent) {
        (Some(_), Some(_)) => {
            let text = "Name the call or the agent, not both.";
            return Err(Refusal::bad_request(text));
        }
        (Some(call), None) => {
            let call = call.parse::<CallId>().map_err(|_| Refusal::not_found())?;
            (Some(call), None)
        }
        (None, Some(agent)) => (None, Some(agent)),
        (None, None) => match viewer.extension.clone() {
            Some(own) => (None, Some(own)),
            None => {
                let text = "Expected \"call\" or \"agent\": whose call needs help.";
                return Err(Refusal::bad_request(text));
            }
        },
    };
    let ask = Ask::RaiseHelp {
        call,
        agent,
        reason: body.reason.into(),
        comment: body.comment.into(),
    };
    let conflict = "The call is over, or help with it has been asked for already.";
    let request = viewer.ask(&web, ask, conflict).await?;
    Ok((StatusCode::CREATED, Json(request)))
}

/// Takes a waiting request; the first to accept has it.
#[utoipa::path(
    post,
    path = "/api/v1/help-requests/{id}/accept",
    tag = "help requests",
    params(("id" = String, Path, description = "the request")),
    responses(
        (status = 200, description = "it is the viewer's", body = HelpRequest),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, or 9003", body = RefusalBody),
        (status = 404, description = "no request that the viewer may know of", body = RefusalBody),
        (status = 409, description = "9009: a colleague has it; or it is settled", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn accept(
    State(web): State<Web>,
    viewer: Concerned,
    Named(help): Named<HelpId>,
) -> Result<Json<HelpRequest>, Refusal> {
    if viewer.extension.is_some() {
        return Err(Refusal::forbidden("This is for supervisors."));
    }
    let conflict = "The request is settled.";
    let ask = Ask::AcceptHelp { help };
    Ok(Json(viewer.ask(&web, ask, conflict).await?))
}

/// Closes a request that is in progress.
#[utoipa::path(
    post,
    path = "/api/v1/help-requests/{id}/close",
    tag = "help requests",
    params(("id" = String, Path, description = "the request")),
    responses(
        (status = 200, description = "it is closed", body = HelpRequest),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "an administrator, or 9003", body = RefusalBody),
        (status = 404, description = "no request that the viewer may know of", body = RefusalBody),
        (status = 409, description = "it is not in progress", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn close(
    State(web): State<Web>,
    viewer: Concerned,
    Named(help): Named<HelpId>,
) -> Result<Json<HelpRequest>, Refusal> {
    let conflict = "Only a request in progress is closed.";
    let ask = Ask::CloseHelp { help };
    Ok(Json(viewer.ask(&web, ask, conflict).await?))
}

/// Cancels a request that nobody has accepted yet.
#[utoipa::path(
    post,
    path = "/api/v1/help-requests/{id}/cancel",
    tag = "help requests",
    params(("id" = String, Path, description = "the request")),
    responses(
        (status = 200, description = "it is cancelled", body = HelpRequest),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "an administrator, or 9003", body = RefusalBody),
        (status = 404, description = "no request that the viewer may know of", body = RefusalBody),
        (status = 409, description = "it has been accepted, or is settled", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn cancel(
    State(web): State<Web>,
    viewer: Concerned,
    Named(help): Named<HelpId>,
) -> Result<Json<HelpRequest>, Refusal> {
    let conflict = "Only a request that nobody has accepted is cancelled.";
    let ask = Ask::CancelHelp { help };
    Ok(Json(viewer.ask(&web, ask, conflict).await?))
}
