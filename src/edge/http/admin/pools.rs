//! Pools of an organisation.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::directory::AgentNotice;
use crate::edge::http::Web;
use crate::edge::http::admin::{self, Shown, given, put_one, remove_one, text};
use crate::edge::http::asking::Segments;
use crate::edge::http::condition::{Condition, IfMatch, IfNoneMatch, etag};
use crate::edge::http::refusal::{Body, Refusal, RefusalBody};
use crate::edge::http::refusals::{OfAdministration, OfPutting, OfRemoving};
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::people::{EditError, Organisation, People, Pool};
use crate::wire::document::Table;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, put, remove))
}

/// A pool as people.toml says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolBody {
    /// `tone` or `silent`; the organisation's where nothing is said.
    pub agent_notice: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolEntry {
    pub organisation: String,
    pub name: String,
    pub agent_notice: Option<&'static str>,
    /// Extensions.
    pub agents: Vec<String>,
    /// User names.
    pub supervisors: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub struct PoolList {
    pub pools: Vec<PoolEntry>,
}

impl PoolEntry {
    fn of(id: &str, organisation: &Organisation, name: &str, pool: &Pool) -> Self {
        let has = |pools: &[String]| pools.iter().any(|pool| pool == name);
        let agents = organisation.agents.iter();
        let supervisors = organisation.supervisors.iter();
        Self {
            organisation: id.to_owned(),
            name: name.to_owned(),
            agent_notice: pool.agent_notice.map(AgentNotice::name),
            agents: agents
                .filter(|(_, agent)| has(&agent.pools))
                .map(|(extension, _)| extension.clone())
                .collect(),
            supervisors: supervisors
                .filter(|(_, supervisor)| has(&supervisor.pools))
                .map(|(user, _)| user.clone())
                .collect(),
        }
    }
}

/// All pools of an organisation.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}/pools",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id")),
    responses(
        (status = 200, description = "in the order of their names", body = PoolList),
        (status = 404, description = "no such organisation", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn list(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments(id): Segments<String>,
) -> Result<Json<PoolList>, Refusal> {
    let organisation = admin::organisation(&web, &id).await?;
    let pools = organisation.pools.iter();
    Ok(Json(PoolList {
        pools: pools
            .map(|(name, pool)| PoolEntry::of(&id, &organisation, name, pool))
            .collect(),
    }))
}

/// One pool.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}/pools/{pool}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("pool" = String, Path, description = "its name"),
    ),
    responses(
        (status = 200, description = "the pool", body = PoolEntry, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 404, description = "no such pool", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn show(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments((id, name)): Segments<(String, String)>,
) -> Result<Shown<PoolEntry>, Refusal> {
    let organisation = admin::organisation(&web, &id).await?;
    let pool = organisation.pools.get(&name);
    let pool = pool.ok_or_else(Refusal::not_found)?;
    let entry = PoolEntry::of(&id, &organisation, &name, pool);
    Ok((etag(&pool.version()), Json(entry)))
}

/// Makes a pool, or sets it anew.
#[utoipa::path(
    put,
    path = "/api/v1/admin/organisations/{organisation}/pools/{pool}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("pool" = String, Path, description = "its name"),
        IfMatch,
        IfNoneMatch,
    ),
    request_body = PoolBody,
    responses(
        (status = 200, description = "changed", body = PoolEntry),
        (status = 201, description = "made", body = PoolEntry),
        OfPutting,
        OfAdministration,
    ),
)]
pub async fn put(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, name)): Segments<(String, String)>,
    condition: Condition,
    Body(body): Body<PoolBody>,
) -> Result<(StatusCode, Json<PoolEntry>), Refusal> {
    let now = |people: &People| people.pool(&id, &name).map(Pool::version);
    put_one(&web, &administrator, &name, &condition, now, |people| {
        let fields = given([
            ("organisation", Some(text(&id))),
            ("name", Some(text(&name))),
            ("agent_notice", body.agent_notice.as_deref().map(text)),
        ]);
        people.put_pool(&id, &name, Table::of("", 0, fields))?;
        let pool = people.pool(&id, &name).ok_or(EditError::NotFound)?;
        Ok(PoolEntry::of(&id, &people.organisations[&id], &name, pool))
    })
    .await
}

/// Removes a pool that has neither agents nor supervisors.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/organisations/{organisation}/pools/{pool}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("pool" = String, Path, description = "its name"),
        IfMatch,
    ),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such pool", body = RefusalBody),
        (status = 409, description = "it still has agents or supervisors", body = RefusalBody),
        OfRemoving,
        OfAdministration,
    ),
)]
pub async fn remove(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, name)): Segments<(String, String)>,
    condition: Condition,
) -> Result<StatusCode, Refusal> {
    let now = |people: &People| people.pool(&id, &name).map(Pool::version);
    remove_one(&web, &administrator, &name, &condition, now, |people| {
        people.remove_pool(&id, &name)
    })
    .await
}
