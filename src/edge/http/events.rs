//! `GET /api/v1/events`: what happens, as Server-Sent Events (the HTML standard, 9.2).
//!
//! Each event has the number of its place in the order of all events as `id:`. A reader who comes
//! back with `Last-Event-ID` is sent what happened meanwhile; where that is no longer known, the
//! event `reset` says so, and the reader takes fresh lists.

pub mod event;
pub mod feed;
pub mod hub;
mod model;
mod presence;
pub mod reader;

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::http::Web;
use crate::edge::http::events::reader::Reader;
use crate::edge::http::refusal::{Refusal, RefusalBody};
use crate::edge::http::viewer::Viewer;

const LAST_EVENT_ID: &str = "last-event-id";

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(events))
}

/// What happens, as it happens, as far as the viewer may know of it.
///
/// `call.started` (both parties are connected; again when the call goes to another agent),
/// `call.changed` (it is on hold, or no longer, or its agent has left it), `call.ended`; `session.started`, `session.role`, `session.ended`; `help.requested`,
/// `help.accepted`, `help.closed`, `help.cancelled` (by somebody, by the end of the call, or
/// expired); `agent.on_call` (an agent on the viewer's watch list is on a call, once for each call;
/// `call.ended` withdraws it), `agent.presence`. The data are the objects of the rows of the same
/// things. An agent is told of their own calls and requests for help, and of no session.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(
        ("Last-Event-ID" = Option<String>, Header,
            description = "the id of the last event that was read: what happened since is sent \
                first, or the event `reset` where that is no longer known"),
    ),
    responses(
        (status = 200, description = "events until the reader leaves or is signed out",
            body = String, content_type = "text/event-stream"),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "an administrator", body = RefusalBody),
        (status = 429, description = "the viewer has too many streams open", body = RefusalBody),
        (status = 503, description = "too many streams are open, or the database does not answer",
            body = RefusalBody),
    ),
)]
pub async fn events(
    State(web): State<Web>,
    viewer: Viewer,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let last = headers.get(LAST_EVENT_ID);
    let last = last.map(|value| value.to_str().unwrap_or_default());
    let reader = Reader::new(web, viewer, last)?;
    let blocks = stream::unfold(reader, async |mut reader| {
        let block: Bytes = reader.next().await?;
        Some((Ok::<_, Infallible>(block), reader))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that collect what they pass on are asked not to.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(blocks)).into_response())
}
