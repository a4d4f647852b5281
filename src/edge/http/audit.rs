//! The audit: every action and every refusal, for those who may read it.

use axum::body::Body as Page;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::accept::{form, headers_of};
use crate::edge::http::refusal::{Parameters, Refusal, RefusalBody};
use crate::edge::http::viewer::{Viewer, Who};
use crate::edge::store::Sight;
use crate::edge::store::audit::Selection;
use crate::edge::store::audit::export::{AuditEntry, Export, Form};

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Rows from this time on: `2026-11-21`, or `2026-11-21T09:00:00Z`.
    pub from: Option<String>,
    /// Rows before this time.
    pub to: Option<String>,
    /// What this user did.
    pub supervisor: Option<String>,
    /// What was done on calls of the agent with this extension.
    pub agent: Option<String>,
    /// What was done on this call.
    pub call: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct AuditList {
    pub audit: Vec<AuditEntry>,
}

/// The audit, oldest row first. A supervisor reads their own actions, and what was done on calls
/// of the agents of their pools; an administrator reads all.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    params(Asked),
    responses(
        (status = 200, description = "the rows", content(
            (AuditList = "application/json"),
            (String = "text/csv"),
        )),
        (status = 400, description = "not a time", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "agents do not read the audit", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn audit(
    State(web): State<Web>,
    viewer: Viewer,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let selection = asked.selection(sight(&viewer)?)?;
    let form = form(&headers);
    hand_out(Export::new(web.store, selection, form), form).await
}

/// The rows as they are read. Shared by the API and the page.
pub async fn hand_out(mut export: Export, form: Form) -> Result<Response, Refusal> {
    // The first page is waited for, so that a database that does not answer has a status.
    let first = export.next().await?;
    let rest = stream::unfold(Some(export), async |export| {
        let mut export = export?;
        match export.next().await {
            Ok(Some(text)) => Some((Ok(text), Some(export))),
            Ok(None) => None,
            Err(error) => {
                warn!(%error, "the audit was not handed out to its end");
                Some((Err(error), None))
            }
        }
    });
    let first = stream::iter(first.map(Ok));
    // What compresses a page asks again behind its end.
    let page = Page::from_stream(first.chain(rest).fuse());
    Ok((headers_of(form, "audit"), page).into_response())
}

impl Asked {
    pub fn selection(self, sight: Sight) -> Result<Selection, Refusal> {
        Ok(Selection {
            from_ms: time(self.from.as_deref(), "from")?,
            to_ms: time(self.to.as_deref(), "to")?,
            supervisor: filter(self.supervisor, "supervisor")?,
            agent: filter(self.agent, "agent")?,
            call: filter(self.call, "call")?,
            sight,
        })
    }
}

/// What a viewer may read of audit and reports.
pub fn sight(viewer: &Viewer) -> Result<Sight, Refusal> {
    match &viewer.who {
        Who::Administrator { .. } => Ok(Sight::Everything),
        Who::Supervisor { organisation, user } => Ok(Sight::Supervisor {
            organisation: organisation.to_string(),
            user: user.to_string(),
        }),
        Who::Agent { .. } => Err(Refusal::forbidden(
            "This is for supervisors and administrators.",
        )),
    }
}

/// A time of a query, in milliseconds. One that is left empty is none.
pub fn time(text: Option<&str>, key: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let expected = "expected a time such as 2026-11-21 or 2026-11-21T09:00:00Z";
    clock::utc_ms_of_text(text)
        .map(Some)
        .ok_or_else(|| Refusal::bad_request(format!("{key}: {expected}, found {text:?}")))
}

/// A filter that is left empty is none.
fn filter(text: Option<String>, key: &str) -> Result<Option<String>, Refusal> {
    match text.filter(|text| !text.is_empty()) {
        // No name has one, and not every database takes it.
        Some(text) if text.contains('\0') => Err(Refusal::bad_request(format!(
            "{key}: expected a name, found {text:?}"
        ))),
        text => Ok(text),
    }
}
