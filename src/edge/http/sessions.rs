//! Sessions: having one's phones rung, changing the role, leaving.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::input::{Ask, Identity, Reply};
use crate::control::record::Outcome;
use crate::control::role::{Ear, Supervision};
use crate::control::snapshot::{self, SessionView, Snapshot};
use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::asking::Named;
use crate::edge::http::refusal::{Body, Refusal, RefusalBody};
use crate::edge::http::time::{rfc3339, utc_ms_of};
use crate::edge::http::viewer::{SupervisorViewer, Viewer, Who};
use crate::edge::store::audit::Row;
use crate::id::{CallId, SessionId};

/// What `device` says to have every phone rung.
const ALL_DEVICES: &str = "all";

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(call_me))
        .routes(routes!(list))
        .routes(routes!(show, change, end))
}

#[derive(Serialize, ToSchema)]
pub struct Sessions {
    pub sessions: Vec<Session>,
}

/// One supervisor attached to one call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Session {
    pub id: String,
    pub call: String,
    /// The user name.
    pub supervisor: String,
    pub state: SessionState,
    pub mine: bool,
    /// Without it the session only listens.
    pub coaching_enabled: bool,
    #[schema(format = DateTime)]
    pub started_at: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// The supervisor's phones ring.
    Ringing,
    /// A phone was answered, and is asked for `1` or the PIN, or on its way into the call.
    Confirming,
    Monitor,
    Coach,
    WhisperCaller,
    Barge,
    Takeover,
    Ended,
}

/// What a supervisor is doing in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Hears both, heard by nobody.
    Monitor,
    /// Heard by the agent.
    Coach,
    /// Heard by the customer.
    WhisperCaller,
    /// Heard by both.
    Barge,
    /// The agent is released, and the customer is the supervisor's.
    Takeover,
}

impl From<Supervision> for Role {
    fn from(supervision: Supervision) -> Self {
        match supervision {
            Supervision::Monitoring => Role::Monitor,
            Supervision::Coaching(Ear::Pupil) => Role::Coach,
            Supervision::Coaching(Ear::User) => Role::WhisperCaller,
            Supervision::Barged => Role::Barge,
            Supervision::TakenOver => Role::Takeover,
        }
    }
}

impl From<Role> for Supervision {
    fn from(role: Role) -> Self {
        match role {
            Role::Monitor => Supervision::Monitoring,
            Role::Coach => Supervision::Coaching(Ear::Pupil),
            Role::WhisperCaller => Supervision::Coaching(Ear::User),
            Role::Barge => Supervision::Barged,
            Role::Takeover => Supervision::TakenOver,
        }
    }
}

impl From<snapshot::SessionState> for SessionState {
    fn from(state: snapshot::SessionState) -> Self {
        match state {
            snapshot::SessionState::Ringing => SessionState::Ringing,
            snapshot::SessionState::Confirming => SessionState::Confirming,
            snapshot::SessionState::Ended => SessionState::Ended,
            snapshot::SessionState::Supervising(supervision) => match Role::from(supervision) {
                Role::Monitor => SessionState::Monitor,
                Role::Coach => SessionState::Coach,
                Role::WhisperCaller => SessionState::WhisperCaller,
                Role::Barge => SessionState::Barge,
                Role::Takeover => SessionState::Takeover,
            },
        }
    }
}

/// The role, once the supervisor is in the call.
pub fn role_of(state: snapshot::SessionState) -> Option<Role> {
    match state {
        snapshot::SessionState::Supervising(supervision) => Some(supervision.into()),
        snapshot::SessionState::Ringing
        | snapshot::SessionState::Confirming
        | snapshot::SessionState::Ended => None,
    }
}

pub fn describe(session: &SessionView, mine: bool) -> Session {
    Session {
        id: session.id.to_string(),
        call: session.call.to_string(),
        supervisor: session.supervisor.to_string(),
        state: session.state.into(),
        mine,
        coaching_enabled: session.coaching_enabled,
        started_at: rfc3339(utc_ms_of(session.started_at)),
    }
}

impl SupervisorViewer {
    pub fn is_mine(&self, session: &SessionView) -> bool {
        session.organisation == self.organisation && session.supervisor == self.user
    }

    /// One's own sessions, and those of others in calls that one may supervise.
    pub fn sees_session(&self, snapshot: &Snapshot, session: &SessionView) -> bool {
        let call = || snapshot.calls.iter().find(|call| call.id == session.call);
        self.is_mine(session) || call().is_some_and(|call| self.sees_call(call))
    }

    pub fn describe_session(&self, session: &SessionView) -> Session {
        describe(session, self.is_mine(session))
    }

    /// Whether call-me has anything to ring: a device, a number, or a softphone that has registered.
    pub fn has_phone(&self, web: &Web) -> bool {
        let softphone = Identity::Supervisor {
            organisation: self.organisation.clone(),
            user: self.user.clone(),
        };
        !self.entry.phones().is_empty() || web.registered.borrow().contains(&softphone)
    }

    /// The session, live or lately ended, if the viewer may know of it.
    fn find_session<'a>(
        &self,
        snapshot: &'a Snapshot,
        id: SessionId,
    ) -> Result<&'a SessionView, Refusal> {
        let mut known = snapshot.sessions.iter().chain(&snapshot.over);
        known
            .find(|session| session.id == id && self.sees_session(snapshot, session))
            .ok_or_else(Refusal::not_found)
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallMe {
    /// `all`, one of the viewer's phones, or a number where unlisted ones may be called.
    #[serde(default = "all_devices")]
    pub device: String,
    /// `false`: the session only listens.
    #[serde(default = "enabled")]
    pub coaching_enabled: bool,
}

fn all_devices() -> String {
    ALL_DEVICES.to_owned()
}

fn enabled() -> bool {
    true
}

/// A session whose phones ring.
#[derive(Serialize, ToSchema)]
pub struct Called {
    pub id: String,
    pub state: SessionState,
}

/// Has the viewer's phones rung and brought into the call. The conference is reserved first: where
/// it cannot be had, nothing rings.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/sessions",
    tag = "sessions",
    params(("id" = String, Path, description = "the call")),
    request_body = CallMe,
    responses(
        (status = 202, description = "the phones ring", body = Called),
        (status = 400, description = "not JSON", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, 9003, 9006, or 9007: not permitted, or a phone that is not the viewer's", body = RefusalBody),
        (status = 404, description = "no call that the viewer may know of", body = RefusalBody),
        (status = 409, description = "9011, 9012, 9013 or 9014, or the viewer has a session already, or no phone", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn call_me(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Named(call): Named<CallId>,
    Body(body): Body<CallMe>,
) -> Result<(StatusCode, Json<Called>), Refusal> {
    let device = (body.device != ALL_DEVICES).then(|| body.device.into());
    if device.is_none() && !viewer.has_phone(&web) {
        let (user, source) = (&viewer.user, viewer.viewer.source);
        let row = Row {
            organisation: Some(viewer.organisation.to_string()),
            call: Some(call.to_string()),
            outcome: Outcome::Refused.name().to_owned(),
            ..Row::by(user, source, "call_me", clock::utc_ms())
        };
        web.store.audit(vec![row]).await?;
        let text = "None of your phones is registered, and no number of yours is known.";
        return Err(Refusal::conflict(text));
    }
    let ask = Ask::CallMe {
        call,
        device,
        coaching_enabled: body.coaching_enabled,
    };
    let conflict = "You have a session already: end it first.";
    let reply = web.ask(viewer.viewer.operator(), ask, conflict).await?;
    let Reply::Session { session } = reply else {
        return Err(Refusal::conflict(conflict));
    };
    let called = Called {
        id: session.to_string(),
        state: SessionState::Ringing,
    };
    Ok((StatusCode::ACCEPTED, Json(called)))
}

/// Live sessions: the viewer's own, and those in calls that the viewer may supervise.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    tag = "sessions",
    responses(
        (status = 200, description = "the sessions", body = Sessions),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, or 9003", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn list(
    State(web): State<Web>,
    viewer: SupervisorViewer,
) -> Result<Json<Sessions>, Refusal> {
    viewer.supervision_on(&web.catalogue)?;
    let snapshot = web.live.snapshot();
    let seen = snapshot.sessions.iter();
    let seen = seen.filter(|session| viewer.sees_session(&snapshot, session));
    let sessions = seen.map(|session| viewer.describe_session(session));
    Ok(Json(Sessions {
        sessions: sessions.collect(),
    }))
}

/// One session, live or lately ended.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "the session")),
    responses(
        (status = 200, description = "the session", body = Session),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, or 9003", body = RefusalBody),
        (status = 404, description = "no session that the viewer may know of", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn show(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Named(id): Named<SessionId>,
) -> Result<Json<Session>, Refusal> {
    viewer.supervision_on(&web.catalogue)?;
    let snapshot = web.live.snapshot();
    let session = viewer.find_session(&snapshot, id)?;
    Ok(Json(viewer.describe_session(session)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub role: Role,
}

/// Changes the role; answered once the mix is in force.
#[utoipa::path(
    patch,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "the session")),
    request_body = Change,
    responses(
        (status = 200, description = "the role is in force", body = Session),
        (status = 400, description = "not a role, or not JSON", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, 9003, 9005, or 9007: not permitted, or a colleague's session", body = RefusalBody),
        (status = 404, description = "no session that the viewer may know of", body = RefusalBody),
        (status = 409, description = "9011 to 9015, or the session is not in the call", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn change(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Named(id): Named<SessionId>,
    Body(body): Body<Change>,
) -> Result<Json<Session>, Refusal> {
    let ask = Ask::SetRole {
        session: id,
        supervision: body.role.into(),
    };
    let conflict = "The session is not in the call.";
    let reply = web.ask(viewer.viewer.operator(), ask, conflict).await?;
    let Reply::Role { supervision, .. } = reply else {
        return Err(Refusal::conflict(conflict));
    };
    // Whatever has happened since: this is the role that came into force.
    let mut session = viewer.find_session(&web.live.snapshot(), id)?.clone();
    session.state = snapshot::SessionState::Supervising(supervision);
    Ok(Json(viewer.describe_session(&session)))
}

/// Ends the session and its phone leg; the call goes on. An administrator may end anybody's.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "the session")),
    responses(
        (status = 204, description = "the session has ended"),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "an agent, or 9007: a colleague's session", body = RefusalBody),
        (status = 404, description = "no session that the viewer may know of", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn end(
    State(web): State<Web>,
    viewer: Viewer,
    Named(id): Named<SessionId>,
) -> Result<StatusCode, Refusal> {
    if let Who::Agent { .. } = viewer.who {
        let text = "This is for supervisors and administrators.";
        return Err(Refusal::forbidden(text));
    }
    let ask = Ask::EndSession { session: id };
    let conflict = "The session cannot be ended now.";
    web.ask(viewer.operator(), ask, conflict).await?;
    Ok(StatusCode::NO_CONTENT)
}
