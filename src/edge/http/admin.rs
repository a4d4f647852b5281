//! Rows for administrators: the people of people.toml one by one, lists as CSV, contacts, locks of
//! sign-ins, and reading the people again.
//!
//! What is written is checked by the rules of people.toml, told to the audit, and in force when the
//! answer comes. A session that runs goes on whatever becomes of its supervisor.

pub mod agents;
pub mod contacts;
pub mod locks;
pub mod organisations;
pub mod pools;
pub mod supervisors;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use tracing::warn;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::condition::Condition;
use crate::edge::http::refusal::Refusal;
use crate::edge::http::refusals::OfAdministration;
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::people::import::LineError;
use crate::edge::people::{EditError, Organisation, People, Version, Wish};
use crate::edge::store::audit::Row;
use crate::edge::store::people::{Change, EditFailed};
use crate::wire::document::Given;

/// The largest list that is taken in, in bytes.
const MAX_LIST: usize = 16 << 20;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(reload))
        .merge(organisations::routes())
        .merge(pools::routes())
        .merge(agents::routes())
        .merge(supervisors::routes())
        .merge(contacts::routes())
        .merge(locks::routes())
}

/// Reads the people again, as the service does by itself every few seconds; what the database says
/// is in force when the answer comes.
#[utoipa::path(
    post,
    path = "/api/v1/admin/reload",
    tag = "administration",
    responses(
        (status = 204, description = "in force"),
        OfAdministration,
    ),
)]
pub async fn reload(
    State(web): State<Web>,
    administrator: AdministratorViewer,
) -> Result<StatusCode, Refusal> {
    web.people.reload().await?;
    web.store
        .audit(vec![administrator.row("admin_reload")])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a list came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImportResult {
    pub created: usize,
    pub changed: usize,
    pub unchanged: usize,
    /// Lines that were not taken; all others were.
    pub errors: Vec<LineError>,
}

impl AdministratorViewer {
    /// A row of the audit about what the administrator does.
    pub fn row(&self, action: &str) -> Row {
        Row::by(&self.user, self.viewer.source, action, clock::utc_ms())
    }
}

/// Changes people by a rule. What changed is in force when this returns.
async fn edit<T>(
    web: &Web,
    administrator: &AdministratorViewer,
    mut rule: impl FnMut(&mut People) -> Result<T, EditError>,
) -> Result<(T, Vec<Change>), Refusal> {
    let row = || administrator.row("admin_people");
    let rule = |people: &mut People| {
        people.languages = web.languages.to_vec();
        rule(people)
    };
    let (told, changes) = web.store.edit_people(&web.realm, row, rule).await?;
    if !changes.is_empty()
        && let Err(error) = web.people.reload().await
    {
        // It is written; the service looks at the people by itself, too.
        warn!(%error, "what an administrator changed is not in force yet");
    }
    Ok((told, changes))
}

/// Everybody as the database has them, and one organisation of them.
async fn organisation(web: &Web, id: &str) -> Result<Organisation, Refusal> {
    let mut people = web.store.people().await?;
    people
        .organisations
        .remove(id)
        .ok_or_else(Refusal::not_found)
}

impl LineError {
    /// Of a list that cannot be read at all.
    fn refusal(&self) -> Refusal {
        let Self {
            line,
            column,
            field,
            text,
        } = self;
        Refusal::bad_request(format!("line {line}, column {column} ({field}): {text}"))
    }
}

impl From<EditFailed> for Refusal {
    fn from(failed: EditFailed) -> Self {
        match failed {
            EditFailed::Store(error) => error.into(),
            EditFailed::Refused(EditError::NotFound) => Self::not_found(),
            EditFailed::Refused(error @ EditError::Wrong(_)) => {
                Self::bad_request(error.to_string())
            }
            EditFailed::Refused(EditError::InUse(text)) => Self::conflict(text),
            EditFailed::Refused(error @ EditError::Exists(_)) => {
                let status = StatusCode::PRECONDITION_FAILED;
                Self::new(status, "exists", format!("{error}."))
            }
            EditFailed::Refused(EditError::Changed { name, now }) => {
                let text = match now {
                    Some(_) => format!("{name} was changed meanwhile: read it again."),
                    None => format!("{name} is not there any more."),
                };
                let mut refusal = Self::new(StatusCode::PRECONDITION_FAILED, "changed", text);
                refusal.now = now;
                refusal
            }
        }
    }
}

/// 201 for one that was not there before.
fn put_status(was_there: bool) -> StatusCode {
    match was_there {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    }
}

/// One thing with the `ETag` of its state.
type Shown<T> = ([(HeaderName, HeaderValue); 1], Json<T>);

/// Puts one thing in where the condition holds for the state that it is in now: 201 for one that
/// was not there before.
async fn put_one<T>(
    web: &Web,
    administrator: &AdministratorViewer,
    name: &str,
    condition: &Condition,
    now: impl Fn(&People) -> Option<Version>,
    mut put: impl FnMut(&mut People) -> Result<T, EditError>,
) -> Result<(StatusCode, Json<T>), Refusal> {
    let ((status, entry), _) = edit(web, administrator, |people| {
        let now = now(people);
        let status = put_status(now.is_some());
        condition.allows(now, name)?;
        Ok((status, put(people)?))
    })
    .await?;
    Ok((status, Json(entry)))
}

/// Takes one thing out, where the condition holds.
async fn remove_one(
    web: &Web,
    administrator: &AdministratorViewer,
    name: &str,
    condition: &Condition,
    now: impl Fn(&People) -> Option<Version>,
    mut remove: impl FnMut(&mut People) -> Result<(), EditError>,
) -> Result<StatusCode, Refusal> {
    edit(web, administrator, |people| {
        condition.allows(now(people), name)?;
        remove(people)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A secret that was not named stays, `null` takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretField {
    #[default]
    Unnamed,
    Null,
    Text(String),
}

impl<'de> Deserialize<'de> for SecretField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.map_or(Self::Null, Self::Text))
    }
}

impl SecretField {
    fn wish(&self) -> Wish {
        match self {
            Self::Unnamed | Self::Text(_) => Wish::Keep,
            Self::Null => Wish::Remove,
        }
    }

    fn given(&self) -> Option<Given> {
        match self {
            Self::Unnamed | Self::Null => None,
            Self::Text(text) => Some(Given::Text(text.clone())),
        }
    }
}

fn text(text: &str) -> Given {
    Given::Text(text.to_owned())
}

/// The fields of a body that are there.
fn given<const N: usize>(
    fields: [(&'static str, Option<Given>); N],
) -> impl Iterator<Item = (&'static str, Given)> {
    let fields = fields.into_iter();
    fields.filter_map(|(key, given)| Some((key, given?)))
}
