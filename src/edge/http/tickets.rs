//! Tickets: the next dial-in from the viewer's own phone joins a named call.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::input::{Ask, Reply};
use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::asking::Named;
use crate::edge::http::refusal::{Refusal, RefusalBody};
use crate::edge::http::time::rfc3339;
use crate::edge::http::viewer::SupervisorViewer;
use crate::id::CallId;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(issue))
}

#[derive(Serialize, ToSchema)]
pub struct Ticket {
    /// The number to dial from the registered phone.
    pub dial: String,
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Makes a ticket: the next dial-in from the viewer's registered phone joins this call, and none
/// else. A new ticket replaces the one before.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/ticket",
    tag = "sessions",
    params(("id" = String, Path, description = "the call")),
    responses(
        (status = 201, description = "dial before it expires", body = Ticket),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, 9003, 9006 or 9007", body = RefusalBody),
        (status = 404, description = "no call that the viewer may know of", body = RefusalBody),
        (status = 409, description = "9012, 9013 or 9014, or there is no number to dial", body = RefusalBody),
        (status = 503, description = "9010, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn issue(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Named(call): Named<CallId>,
) -> Result<(StatusCode, Json<Ticket>), Refusal> {
    let conflict = "The organisation has no supervising number to dial.";
    let ask = Ask::Ticket { call };
    let reply = web.ask(viewer.viewer.operator(), ask, conflict).await?;
    let Reply::Ticket { dial, lasting } = reply else {
        return Err(Refusal::conflict(conflict));
    };
    let lasting_ms = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX);
    let ticket = Ticket {
        dial: dial.to_string(),
        expires_at: rfc3339(clock::utc_ms().saturating_add(lasting_ms)),
    };
    Ok((StatusCode::CREATED, Json(ticket)))
}
