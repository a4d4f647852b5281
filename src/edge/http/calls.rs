//! Calls in progress, and ending one for everyone.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::directory::{Agent, Directory};
use crate::control::input::Ask;
use crate::control::record;
use crate::control::snapshot::{CallView, SessionView};
use crate::edge::http::Web;
use crate::edge::http::asking::Named;
use crate::edge::http::refusal::{Body, Parameters, Refusal, RefusalBody};
use crate::edge::http::sessions::{Role, role_of};
use crate::edge::http::time::{rfc3339, seconds_since, utc_ms_of};
use crate::edge::http::viewer::SupervisorViewer;
use crate::edge::store::contacts::Book;
use crate::id::CallId;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(hang_up))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Calls that this pool routed, and those of its agents that no pool routed.
    pub pool: Option<String>,
    /// Calls of the agent with this extension.
    pub agent: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Calls {
    pub calls: Vec<Call>,
}

/// A conversation of one of the viewer's agents.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Call {
    pub id: String,
    pub agent: CallAgent,
    /// The pool that routed it; of a call that none routed the pool of its agent, where that is one
    /// alone.
    pub pool: Option<String>,
    pub direction: Direction,
    /// The caller's number, as signalled.
    pub from: String,
    /// The called number, as signalled.
    pub to: String,
    /// The name that the customer's number has among the contacts.
    pub contact: Option<String>,
    /// When both parties were connected.
    #[schema(format = DateTime)]
    pub answered_at: String,
    pub duration_s: u64,
    pub on_hold: bool,
    /// A help request of the agent waits to be accepted.
    pub help_wanted: bool,
    /// The customer's phone is in the internal network.
    pub caller_on_net: bool,
    /// `false`: the agent has left, and a supervisor keeps the customer company.
    pub agent_on_call: bool,
    pub sessions: Vec<CallSession>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallAgent {
    pub extension: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// A supervisor in the call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallSession {
    pub id: String,
    /// The user name.
    pub supervisor: String,
    /// `null` while the supervisor's phone rings.
    pub role: Option<Role>,
    pub mine: bool,
}

/// Calls in progress, as far as the viewer may supervise them.
#[utoipa::path(
    get,
    path = "/api/v1/calls",
    tag = "calls",
    params(Filter),
    responses(
        (status = 200, description = "the calls", body = Calls),
        (status = 400, description = "a filter that cannot be read", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, or 9003", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn list(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Calls>, Refusal> {
    viewer.supervision_on(&web.catalogue)?;
    Ok(Json(Calls {
        calls: calls(&web, &viewer, &filter).await?,
    }))
}

/// What the viewer may see of the calls in progress. Shared by the API and the page.
pub async fn calls(
    web: &Web,
    viewer: &SupervisorViewer,
    filter: &Filter,
) -> Result<Vec<Call>, Refusal> {
    let contacts = web.contacts.book(&viewer.organisation).await?;
    let snapshot = web.live.snapshot();
    let shown = snapshot
        .calls
        .iter()
        .filter(|call| viewer.sees_call(call) && passes(viewer, filter, call));
    let calls = shown
        .filter_map(|call| {
            let sessions = snapshot.sessions.iter();
            let sessions = sessions.filter(|session| session.call == call.id);
            describe(viewer, call, &contacts, sessions)
        })
        .collect();
    Ok(calls)
}

fn passes(viewer: &SupervisorViewer, filter: &Filter, call: &CallView) -> bool {
    let of_agent = |wanted: &String| call.agent.as_deref() == Some(wanted);
    let of_pool = |wanted: &String| match &call.pool {
        Some(pool) => **pool == **wanted,
        None => agent_of(viewer, call)
            .is_some_and(|agent| agent.pools.iter().any(|pool| **pool == **wanted)),
    };
    filter.agent.as_ref().is_none_or(of_agent) && filter.pool.as_ref().is_none_or(of_pool)
}

fn agent_of<'a>(viewer: &'a SupervisorViewer, call: &CallView) -> Option<&'a Agent> {
    let key = (call.organisation.clone()?, call.agent.clone()?);
    viewer.directory.agents.get(&key)
}

fn describe<'a>(
    viewer: &SupervisorViewer,
    call: &CallView,
    contacts: &Book,
    sessions: impl Iterator<Item = &'a SessionView> + Clone,
) -> Option<Call> {
    let country = viewer.entry.default_country.as_deref();
    let contact = contact(contacts, call, country);
    let mut seen = describe_to_all(&viewer.directory, call, contact, sessions.clone())?;
    for (shown, session) in seen.sessions.iter_mut().zip(sessions) {
        shown.mine = viewer.is_mine(session);
    }
    Some(seen)
}

/// The name that the customer's number has among the contacts; `country` is that of numbers in
/// national form.
pub fn contact(contacts: &Book, call: &CallView, country: Option<&str>) -> Option<String> {
    let name = contacts.name_of(call.customer.as_deref()?, country)?;
    Some(name.to_string())
}

/// A call as everybody sees it: no session is theirs. `None` for one whose parties are not
/// connected, or whose agent is not among the people.
pub fn describe_to_all<'a>(
    directory: &Directory,
    call: &CallView,
    contact: Option<String>,
    sessions: impl Iterator<Item = &'a SessionView>,
) -> Option<Call> {
    let key = (call.organisation.clone()?, call.agent.clone()?);
    let agent = directory.agents.get(&key)?;
    let answered_at = call.answered_at?;
    Some(Call {
        id: call.id.to_string(),
        agent: CallAgent {
            extension: agent.extension.to_string(),
            name: agent.name.to_string(),
        },
        pool: call
            .pool
            .as_ref()
            .or(agent.only_pool())
            .map(ToString::to_string),
        direction: match call.direction {
            record::Direction::Inbound => Direction::Inbound,
            record::Direction::Outbound => Direction::Outbound,
        },
        from: call.from.to_string(),
        to: call.to.to_string(),
        contact,
        answered_at: rfc3339(utc_ms_of(answered_at)),
        duration_s: seconds_since(answered_at),
        on_hold: call.on_hold,
        help_wanted: call.help_wanted,
        caller_on_net: call.caller_on_net,
        agent_on_call: call.agent_on_call,
        sessions: sessions
            .map(|session| CallSession {
                id: session.id.to_string(),
                supervisor: session.supervisor.to_string(),
                role: role_of(session.state),
                mine: false,
            })
            .collect(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HangUp {
    /// Has to be `true`: the call ends for customer, agent and supervisors.
    #[serde(default)]
    pub confirm: bool,
}

/// A call that was ended.
#[derive(Serialize, ToSchema)]
pub struct HungUp {
    pub id: String,
}

/// Ends the call for everyone.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/hangup",
    tag = "calls",
    params(("id" = String, Path, description = "the call")),
    request_body = HangUp,
    responses(
        (status = 200, description = "the call is being ended", body = HungUp),
        (status = 400, description = "not confirmed, or not JSON", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, 9003, 9006 or 9007", body = RefusalBody),
        (status = 404, description = "no call that the viewer may know of", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn hang_up(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Named(call): Named<CallId>,
    Body(body): Body<HangUp>,
) -> Result<Json<HungUp>, Refusal> {
    if !body.confirm {
        viewer.supervision_on(&web.catalogue)?;
        let text = "This ends the call for everyone: it takes {\"confirm\": true}.";
        return Err(Refusal::bad_request(text));
    }
    let ask = Ask::HangUp { call };
    let conflict = "The call cannot be ended now.";
    web.ask(viewer.viewer.operator(), ask, conflict).await?;
    Ok(Json(HungUp {
        id: call.to_string(),
    }))
}
