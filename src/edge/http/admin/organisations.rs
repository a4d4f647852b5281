//! Organisations.

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
use crate::edge::people::{Organisation, People};
use crate::wire::document::{Given, Table};

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, put, remove))
}

/// An organisation as people.toml says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganisationBody {
    pub name: String,
    #[serde(default)]
    pub supervising_numbers: Vec<String>,
    /// Off: the supervising number says so, and the API answers 403.
    #[serde(default)]
    pub supervision: bool,
    /// `tone` or `silent`; the node's where nothing is said.
    pub agent_notice: Option<String>,
    /// Whether an agent's `*4#` and `*5#` ask for help and close the request.
    #[serde(default)]
    pub help_keys: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganisationEntry {
    pub id: String,
    pub name: String,
    pub supervising_numbers: Vec<String>,
    pub supervision: bool,
    pub agent_notice: Option<&'static str>,
    pub help_keys: bool,
    /// How many there are.
    pub pools: usize,
    pub agents: usize,
    pub supervisors: usize,
}

#[derive(Serialize, ToSchema)]
pub struct OrganisationList {
    pub organisations: Vec<OrganisationEntry>,
}

impl OrganisationEntry {
    fn of(id: &str, organisation: &Organisation) -> Self {
        Self {
            id: id.to_owned(),
            name: organisation.name.clone(),
            supervising_numbers: organisation.supervising_numbers.clone(),
            supervision: organisation.supervision,
            agent_notice: organisation.agent_notice.map(AgentNotice::name),
            help_keys: organisation.help_keys,
            pools: organisation.pools.len(),
            agents: organisation.agents.len(),
            supervisors: organisation.supervisors.len(),
        }
    }
}

/// All organisations.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations",
    tag = "administration",
    responses(
        (status = 200, description = "in the order of their ids", body = OrganisationList),
        OfAdministration,
    ),
)]
pub async fn list(
    State(web): State<Web>,
    _: AdministratorViewer,
) -> Result<Json<OrganisationList>, Refusal> {
    let people = web.store.people().await?;
    let organisations = people.organisations.iter();
    Ok(Json(OrganisationList {
        organisations: organisations
            .map(|(id, organisation)| OrganisationEntry::of(id, organisation))
            .collect(),
    }))
}

/// One organisation.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id")),
    responses(
        (status = 200, description = "the organisation", body = OrganisationEntry, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 404, description = "no such organisation", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn show(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments(id): Segments<String>,
) -> Result<Shown<OrganisationEntry>, Refusal> {
    let organisation = admin::organisation(&web, &id).await?;
    let entry = OrganisationEntry::of(&id, &organisation);
    Ok((etag(&organisation.version()), Json(entry)))
}

/// Makes an organisation, or sets it anew. Its people stay.
#[utoipa::path(
    put,
    path = "/api/v1/admin/organisations/{organisation}",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id"), IfMatch, IfNoneMatch),
    request_body = OrganisationBody,
    responses(
        (status = 200, description = "changed", body = OrganisationEntry),
        (status = 201, description = "made", body = OrganisationEntry),
        OfPutting,
        OfAdministration,
    ),
)]
pub async fn put(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments(id): Segments<String>,
    condition: Condition,
    Body(body): Body<OrganisationBody>,
) -> Result<(StatusCode, Json<OrganisationEntry>), Refusal> {
    let now = |people: &People| people.organisations.get(&id).map(Organisation::version);
    put_one(&web, &administrator, &id, &condition, now, |people| {
        people.put_organisation(&id, body.table(&id))?;
        Ok(OrganisationEntry::of(&id, &people.organisations[&id]))
    })
    .await
}

/// Removes an organisation that has nobody left, and its contacts and webhooks.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/organisations/{organisation}",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id"), IfMatch),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such organisation", body = RefusalBody),
        (status = 409, description = "it still has people", body = RefusalBody),
        OfRemoving,
        OfAdministration,
    ),
)]
pub async fn remove(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments(id): Segments<String>,
    condition: Condition,
) -> Result<StatusCode, Refusal> {
    let now = |people: &People| people.organisations.get(&id).map(Organisation::version);
    let removed = remove_one(&web, &administrator, &id, &condition, now, |people| {
        people.remove_organisation(&id)
    })
    .await?;
    web.contacts.forget(&id).await;
    web.webhooks.reload().await?;
    Ok(removed)
}

impl OrganisationBody {
    fn table(&self, id: &str) -> Table {
        let fields = given([
            ("id", Some(text(id))),
            ("name", Some(text(&self.name))),
            (
                "supervising_numbers",
                Some(Given::List(self.supervising_numbers.clone())),
            ),
            ("supervision", Some(Given::Flag(self.supervision))),
            ("agent_notice", self.agent_notice.as_deref().map(text)),
            ("help_keys", Some(Given::Flag(self.help_keys))),
        ]);
        Table::of("", 0, fields)
    }
}
