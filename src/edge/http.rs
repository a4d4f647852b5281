//! The HTTP side: whether the service lives, whether it takes calls, and what it counts.

use std::future::Future;
use std::io;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::edge::live::Live;
use crate::edge::telemetry::Metrics;

/// What every page may use. Cloned for each request.
#[derive(Clone, Debug)]
pub struct Web {
    pub live: Live,
    pub metrics: Metrics,
}

/// Answers until `stop`, and then what was asked before it.
pub async fn serve(
    listener: TcpListener,
    web: Web,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(web))
        .with_graceful_shutdown(stop)
        .await
}

pub fn router(web: Web) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .with_state(web)
}

/// The process lives.
async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// The service takes calls.
async fn ready(State(web): State<Web>) -> Response {
    let snapshot = web.live.snapshot();
    if snapshot.draining {
        let text = "The service is draining.";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "draining", text);
    }
    if snapshot.store_down {
        let text = "The database does not answer.";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "store-down", text);
    }
    Json(json!({ "status": "ready" })).into_response()
}

async fn metrics(State(web): State<Web>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], web.metrics.encode()).into_response()
}

async fn not_found() -> Response {
    refusal(StatusCode::NOT_FOUND, "not-found", "There is no such page.")
}

fn refusal(status: StatusCode, error: &str, text: &str) -> Response {
    (status, Json(json!({ "error": error, "text": text }))).into_response()
}
