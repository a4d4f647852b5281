//! Supervisors of an organisation.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::http::Web;
use crate::edge::http::admin::{self, SecretField, Shown, given, put_one, remove_one, text};
use crate::edge::http::asking::Segments;
use crate::edge::http::condition::{Condition, IfMatch, IfNoneMatch, etag};
use crate::edge::http::refusal::{Body, Refusal, RefusalBody};
use crate::edge::http::refusals::{OfAdministration, OfPutting, OfRemoving};
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::people::{EditError, People, Supervisor, SupervisorWishes};
use crate::wire::document::{Given, Table};

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, put, remove))
}

/// A supervisor as people.toml says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupervisorBody {
    pub name: String,
    /// The one registered phone. One that an administrator sets is registered at once.
    pub phone: String,
    /// For numbers in national form: `FI`.
    pub default_country: Option<String>,
    /// SIP URIs and numbers that call-me rings, all at once.
    #[serde(default)]
    pub devices: Vec<String>,
    /// The extension of the same person as an agent.
    pub agent: Option<String>,
    #[serde(default)]
    pub pools: Vec<String>,
    /// `monitor`, `coach`, `whisper_caller`, `barge`, `takeover`, `hang_up`.
    #[serde(default)]
    pub may: Vec<String>,
    pub language: Option<String>,
    /// Lets a softphone register. Secrets that are not named stay; `null` takes one away.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub sip_password: SecretField,
    /// Four to twelve digits.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub pin: SecretField,
    /// For console and API.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub password: SecretField,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SupervisorEntry {
    pub organisation: String,
    pub user: String,
    pub name: String,
    /// E.164; none until its owner has proven one.
    pub phone: Option<String>,
    pub default_country: Option<String>,
    pub devices: Vec<String>,
    pub agent: Option<String>,
    pub pools: Vec<String>,
    pub may: Vec<&'static str>,
    pub language: Option<String>,
    /// Whether there are any; they are never told.
    pub has_sip_password: bool,
    pub has_pin: bool,
    pub has_password: bool,
}

#[derive(Serialize, ToSchema)]
pub struct SupervisorList {
    pub supervisors: Vec<SupervisorEntry>,
}

impl SupervisorEntry {
    fn of(organisation: &str, user: &str, supervisor: &Supervisor) -> Self {
        Self {
            organisation: organisation.to_owned(),
            user: user.to_owned(),
            name: supervisor.name.clone(),
            phone: Some(supervisor.phone.clone()).filter(|phone| !phone.is_empty()),
            default_country: supervisor.default_country.clone(),
            devices: supervisor.devices.clone(),
            agent: supervisor.agent.clone(),
            pools: supervisor.pools.clone(),
            may: supervisor.may.names(),
            language: supervisor.language.clone(),
            has_sip_password: supervisor.sip_password.is_some(),
            has_pin: supervisor.pin.is_some(),
            has_password: supervisor.password.is_some(),
        }
    }
}

/// All supervisors of an organisation.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}/supervisors",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id")),
    responses(
        (status = 200, description = "in the order of their user names", body = SupervisorList),
        (status = 404, description = "no such organisation", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn list(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments(id): Segments<String>,
) -> Result<Json<SupervisorList>, Refusal> {
    let organisation = admin::organisation(&web, &id).await?;
    let supervisors = organisation.supervisors.iter();
    Ok(Json(SupervisorList {
        supervisors: supervisors
            .map(|(user, supervisor)| SupervisorEntry::of(&id, user, supervisor))
            .collect(),
    }))
}

/// One supervisor.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}/supervisors/{user}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("user" = String, Path, description = "the supervisor's user name"),
    ),
    responses(
        (status = 200, description = "the supervisor", body = SupervisorEntry, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 404, description = "no such supervisor", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn show(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments((id, user)): Segments<(String, String)>,
) -> Result<Shown<SupervisorEntry>, Refusal> {
    let people = web.store.people().await?;
    let supervisor = people.supervisor(&id, &user);
    let supervisor = supervisor.ok_or_else(Refusal::not_found)?;
    let entry = SupervisorEntry::of(&id, &user, supervisor);
    Ok((etag(&supervisor.version()), Json(entry)))
}

/// Makes a supervisor, or sets one anew. Secrets that are not named stay.
#[utoipa::path(
    put,
    path = "/api/v1/admin/organisations/{organisation}/supervisors/{user}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("user" = String, Path, description = "the supervisor's user name"),
        IfMatch,
        IfNoneMatch,
    ),
    request_body = SupervisorBody,
    responses(
        (status = 200, description = "changed", body = SupervisorEntry),
        (status = 201, description = "made", body = SupervisorEntry),
        OfPutting,
        OfAdministration,
    ),
)]
pub async fn put(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, user)): Segments<(String, String)>,
    condition: Condition,
    Body(body): Body<SupervisorBody>,
) -> Result<(StatusCode, Json<SupervisorEntry>), Refusal> {
    let wishes = SupervisorWishes {
        sip_password: body.sip_password.wish(),
        pin: body.pin.wish(),
        password: body.password.wish(),
    };
    let now = |people: &People| people.supervisor(&id, &user).map(Supervisor::version);
    put_one(&web, &administrator, &user, &condition, now, |people| {
        people.put_supervisor(&id, &user, body.table(&id, &user), wishes)?;
        let supervisor = people.supervisor(&id, &user).ok_or(EditError::NotFound)?;
        Ok(SupervisorEntry::of(&id, &user, supervisor))
    })
    .await
}

/// Removes a supervisor, and ends a session that is going on; the call goes on. After a takeover
/// the phone stays with the customer, as a plain call.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/organisations/{organisation}/supervisors/{user}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("user" = String, Path, description = "the supervisor's user name"),
        IfMatch,
    ),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such supervisor", body = RefusalBody),
        OfRemoving,
        OfAdministration,
    ),
)]
pub async fn remove(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, user)): Segments<(String, String)>,
    condition: Condition,
) -> Result<StatusCode, Refusal> {
    let now = |people: &People| people.supervisor(&id, &user).map(Supervisor::version);
    remove_one(&web, &administrator, &user, &condition, now, |people| {
        people.remove_supervisor(&id, &user)
    })
    .await
}

impl SupervisorBody {
    fn table(&self, organisation: &str, user: &str) -> Table {
        let list = |list: &[String]| Some(Given::List(list.to_vec()));
        let fields = given([
            ("organisation", Some(text(organisation))),
            ("user", Some(text(user))),
            ("name", Some(text(&self.name))),
            ("phone", Some(text(&self.phone))),
            ("default_country", self.default_country.as_deref().map(text)),
            ("devices", list(&self.devices)),
            ("agent", self.agent.as_deref().map(text)),
            ("pools", list(&self.pools)),
            ("may", list(&self.may)),
            ("language", self.language.as_deref().map(text)),
            ("sip_password", self.sip_password.given()),
            ("pin", self.pin.given()),
            ("password", self.password.given()),
        ]);
        Table::of("", 0, fields)
    }
}
