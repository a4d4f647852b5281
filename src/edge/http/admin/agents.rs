//! Agents of an organisation, one by one and as a list.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::directory::AgentNotice;
use crate::edge::http::Web;
use crate::edge::http::admin::{
    self, ImportResult, MAX_LIST, SecretField, Shown, edit, given, put_one, remove_one, text,
};
use crate::edge::http::asking::Segments;
use crate::edge::http::condition::{Condition, IfMatch, IfNoneMatch, etag};
use crate::edge::http::refusal::{Body, Refusal, RefusalBody, Whole};
use crate::edge::http::refusals::{OfAdministration, OfPutting, OfRemoving};
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::people::import::{self, Taken};
use crate::edge::people::{Agent, EditError, People};
use crate::edge::store::people::Change;
use crate::wire::document::{Given, Table};

pub fn routes() -> OpenApiRouter<Web> {
    let lists = OpenApiRouter::new()
        .routes(routes!(take_list))
        .layer(DefaultBodyLimit::max(MAX_LIST));
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, put, remove))
        .merge(lists)
}

/// An agent as people.toml says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentBody {
    pub name: String,
    #[serde(default)]
    pub pools: Vec<String>,
    /// A fixed SIP URI; an agent without one registers.
    pub contact: Option<String>,
    /// `tone` or `silent`; the pool's where nothing is said.
    pub agent_notice: Option<String>,
    /// Of the registration, and for signing in. What is not named stays; `null` takes it away.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub password: SecretField,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgentEntry {
    pub organisation: String,
    pub extension: String,
    pub name: String,
    pub pools: Vec<String>,
    pub contact: Option<String>,
    pub agent_notice: Option<&'static str>,
    /// Whether there is one; it is never told.
    pub has_password: bool,
}

#[derive(Serialize, ToSchema)]
pub struct AgentList {
    pub agents: Vec<AgentEntry>,
}

impl AgentEntry {
    fn of(organisation: &str, extension: &str, agent: &Agent) -> Self {
        Self {
            organisation: organisation.to_owned(),
            extension: extension.to_owned(),
            name: agent.name.clone(),
            pools: agent.pools.clone(),
            contact: agent.contact.clone(),
            agent_notice: agent.agent_notice.map(AgentNotice::name),
            has_password: agent.password.is_some(),
        }
    }
}

/// All agents of an organisation.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}/agents",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id")),
    responses(
        (status = 200, description = "in the order of their extensions", body = AgentList),
        (status = 404, description = "no such organisation", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn list(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments(id): Segments<String>,
) -> Result<Json<AgentList>, Refusal> {
    let organisation = admin::organisation(&web, &id).await?;
    let agents = organisation.agents.iter();
    Ok(Json(AgentList {
        agents: agents
            .map(|(extension, agent)| AgentEntry::of(&id, extension, agent))
            .collect(),
    }))
}

/// One agent.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}/agents/{extension}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("extension" = String, Path, description = "the agent's"),
    ),
    responses(
        (status = 200, description = "the agent", body = AgentEntry, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 404, description = "no such agent", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn show(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments((id, extension)): Segments<(String, String)>,
) -> Result<Shown<AgentEntry>, Refusal> {
    let people = web.store.people().await?;
    let agent = people.agent(&id, &extension);
    let agent = agent.ok_or_else(Refusal::not_found)?;
    let entry = AgentEntry::of(&id, &extension, agent);
    Ok((etag(&agent.version()), Json(entry)))
}

/// Makes an agent, or sets one anew. A password that is not named stays.
#[utoipa::path(
    put,
    path = "/api/v1/admin/organisations/{organisation}/agents/{extension}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("extension" = String, Path, description = "the agent's"),
        IfMatch,
        IfNoneMatch,
    ),
    request_body = AgentBody,
    responses(
        (status = 200, description = "changed", body = AgentEntry),
        (status = 201, description = "made", body = AgentEntry),
        OfPutting,
        OfAdministration,
    ),
)]
pub async fn put(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, extension)): Segments<(String, String)>,
    condition: Condition,
    Body(body): Body<AgentBody>,
) -> Result<(StatusCode, Json<AgentEntry>), Refusal> {
    let now = |people: &People| people.agent(&id, &extension).map(Agent::version);
    put_one(
        &web,
        &administrator,
        &extension,
        &condition,
        now,
        |people| {
            let fields = given([
                ("organisation", Some(text(&id))),
                ("extension", Some(text(&extension))),
                ("name", Some(text(&body.name))),
                ("pools", Some(Given::List(body.pools.clone()))),
                ("contact", body.contact.as_deref().map(text)),
                ("agent_notice", body.agent_notice.as_deref().map(text)),
                ("password", body.password.given()),
            ]);
            let table = Table::of("", 0, fields);
            people.put_agent(&id, &extension, table, body.password.wish())?;
            let agent = people.agent(&id, &extension).ok_or(EditError::NotFound)?;
            Ok(AgentEntry::of(&id, &extension, agent))
        },
    )
    .await
}

/// Removes an agent. A call that is going on goes on.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/organisations/{organisation}/agents/{extension}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("extension" = String, Path, description = "the agent's"),
        IfMatch,
    ),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such agent", body = RefusalBody),
        (status = 409, description = "a supervisor is the same person", body = RefusalBody),
        OfRemoving,
        OfAdministration,
    ),
)]
pub async fn remove(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, extension)): Segments<(String, String)>,
    condition: Condition,
) -> Result<StatusCode, Refusal> {
    let now = |people: &People| people.agent(&id, &extension).map(Agent::version);
    remove_one(
        &web,
        &administrator,
        &extension,
        &condition,
        now,
        |people| people.remove_agent(&id, &extension),
    )
    .await
}

/// Takes in a list of agents: the columns `extension` and `name`, and where they are there `pools`
/// (with spaces between), `contact`, `agent_notice` and `password`. Agents that the list does not
/// name stay, and so do the columns that it does not have. A line that is wrong is told, and costs
/// no other.
#[utoipa::path(
    post,
    path = "/api/v1/admin/organisations/{organisation}/import/agents",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id")),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, description = "what it came to", body = ImportResult),
        (status = 400, description = "not a list; the line and the column say where", body = RefusalBody),
        (status = 404, description = "no such organisation", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn take_list(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments(id): Segments<String>,
    Whole(list): Whole<Bytes>,
) -> Result<Json<ImportResult>, Refusal> {
    let (read, changes) = edit(&web, &administrator, |people| {
        // A list that cannot be read is no edit that failed: it is told below.
        match import::agents(people, &id, &list) {
            Ok(taken) => Ok(Ok(taken)),
            Err(Some(error)) => Ok(Err(error)),
            Err(None) => Err(EditError::NotFound),
        }
    })
    .await?;
    let Taken { taken, errors } = read.map_err(|error| error.refusal())?;
    let created = changes.iter().filter(|c| matches!(c, Change::Created(_)));
    let changed = changes.iter().filter(|c| matches!(c, Change::Changed(..)));
    let (created, changed) = (created.count(), changed.count());
    Ok(Json(ImportResult {
        created,
        changed,
        unchanged: taken.len().saturating_sub(created + changed),
        errors,
    }))
}
