//! The viewer's watch list: the agents about whose calls they want to be told.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::http::Web;
use crate::edge::http::agents::{Agent, Look};
use crate::edge::http::asking::Named;
use crate::edge::http::refusal::{Refusal, RefusalBody};
use crate::edge::http::viewer::SupervisorViewer;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(watch, unwatch))
}

#[derive(Serialize, ToSchema)]
pub struct Watchlist {
    pub watchlist: Vec<Agent>,
}

/// The agents whom the viewer watches.
#[utoipa::path(
    get,
    path = "/api/v1/watchlist",
    tag = "agents",
    responses(
        (status = 200, description = "the agents", body = Watchlist),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, or 9003", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn list(
    State(web): State<Web>,
    viewer: SupervisorViewer,
) -> Result<Json<Watchlist>, Refusal> {
    viewer.supervision_on(&web.catalogue)?;
    let look = Look::at(&web, &viewer).await?;
    Ok(Json(Watchlist {
        watchlist: look.watched(),
    }))
}

/// Puts an agent on the watch list.
#[utoipa::path(
    put,
    path = "/api/v1/watchlist/{extension}",
    tag = "agents",
    params(("extension" = String, Path, description = "the agent")),
    responses(
        (status = 204, description = "the agent is watched"),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, or 9003", body = RefusalBody),
        (status = 404, description = "no agent that the viewer may know of", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn watch(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Named(extension): Named<String>,
) -> Result<StatusCode, Refusal> {
    viewer.supervision_on(&web.catalogue)?;
    if !viewer.sees_agent(&extension) {
        return Err(Refusal::not_found());
    }
    web.store
        .watch(&viewer.organisation, &viewer.user, &extension)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an agent off the watch list.
#[utoipa::path(
    delete,
    path = "/api/v1/watchlist/{extension}",
    tag = "agents",
    params(("extension" = String, Path, description = "the agent")),
    responses(
        (status = 204, description = "the agent is watched no longer"),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor, or 9003", body = RefusalBody),
        (status = 404, description = "not on the list", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn unwatch(
    State(web): State<Web>,
    viewer: SupervisorViewer,
    Named(extension): Named<String>,
) -> Result<StatusCode, Refusal> {
    viewer.supervision_on(&web.catalogue)?;
    let watched = web
        .store
        .unwatch(&viewer.organisation, &viewer.user, &extension)
        .await?;
    match watched {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found()),
    }
}
