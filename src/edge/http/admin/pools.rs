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
use crate::edge::http::admin::{self, edit, given, put_status, text};
use crate::edge::http::asking::{IfNoneMatch, OnlyNew, Segments};
use crate::edge::http::refusal::{Body, Refusal, RefusalBody};
use crate::edge::http::refusals::OfAdministration;
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::people::Organisation;
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
    fn of(id: &str, organisation: &Organisation, name: &str) -> Option<Self> {
        let pool = organisation.pools.get(name)?;
        let has = |pools: &[String]| pools.iter().any(|pool| pool == name);
        let agents = organisation.agents.iter();
        let supervisors = organisation.supervisors.iter();
        Some(Self {
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
        })
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
    let pools = organisation.pools.keys();
    Ok(Json(PoolList {
        pools: pools
            .filter_map(|name| PoolEntry::of(&id, &organisation, name))
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
        (status = 200, description = "the pool", body = PoolEntry),
        (status = 404, description = "no such pool", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn show(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments((id, name)): Segments<(String, String)>,
) -> Result<Json<PoolEntry>, Refusal> {
    let organisation = admin::organisation(&web, &id).await?;
    PoolEntry::of(&id, &organisation, &name)
        .map(Json)
        .ok_or_else(Refusal::not_found)
}

/// Makes a pool, or sets it anew.
#[utoipa::path(
    put,
    path = "/api/v1/admin/organisations/{organisation}/pools/{pool}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("pool" = String, Path, description = "its name"),
        IfNoneMatch,
    ),
    request_body = PoolBody,
    responses(
        (status = 200, description = "changed", body = PoolEntry),
        (status = 201, description = "made", body = PoolEntry),
        (status = 400, description = "a field that is wrong, by its name", body = RefusalBody),
        (status = 404, description = "no such organisation", body = RefusalBody),
        (status = 412, description = "it is there already, and only a new one was wanted", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn put(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, name)): Segments<(String, String)>,
    only_new: OnlyNew,
    Body(body): Body<PoolBody>,
) -> Result<(StatusCode, Json<PoolEntry>), Refusal> {
    let ((was_there, entry), _) = edit(&web, &administrator, |people| {
        let organisation = people.organisations.get(&id);
        let was_there = organisation.is_some_and(|o| o.pools.contains_key(&name));
        only_new.allows(was_there, &name)?;
        let fields = given([
            ("organisation", Some(text(&id))),
            ("name", Some(text(&name))),
            ("agent_notice", body.agent_notice.as_deref().map(text)),
        ]);
        people.put_pool(&id, &name, Table::of("", 0, fields))?;
        Ok((
            was_there,
            PoolEntry::of(&id, &people.organisations[&id], &name),
        ))
    })
    .await?;
    let entry = entry.ok_or_else(Refusal::not_found)?;
    Ok((put_status(was_there), Json(entry)))
}

/// Removes a pool that has neither agents nor supervisors.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/organisations/{organisation}/pools/{pool}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("pool" = String, Path, description = "its name"),
    ),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such pool", body = RefusalBody),
        (status = 409, description = "it still has agents or supervisors", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn remove(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, name)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    edit(&web, &administrator, |people| {
        people.remove_pool(&id, &name)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
