//! The HTTP side: the API, the console, and what monitoring systems ask.
//!
//! Each file below holds one group of rows and names its own routes; the OpenAPI document is made
//! from the same lines, so that neither can forget a row of the other.

pub mod accept;
pub mod admin;
pub mod agents;
pub mod asking;
pub mod audit;
pub mod calls;
pub mod condition;
pub mod console;
pub mod document;
pub mod events;
pub mod help_requests;
pub mod login;
pub mod phone;
pub mod query;
pub mod refusal;
pub mod refusals;
pub mod reports;
pub mod scope;
pub mod sessions;
pub mod sign_ins;
pub mod tickets;
pub mod time;
pub mod viewer;
pub mod watchlist;
pub mod webhooks;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use rustix::net::sockopt::set_tcp_user_timeout;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tracing::debug;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;

use crate::control::input::Identity;
use crate::control::settings::Settings;
use crate::edge::catalogue::Catalogue;
use crate::edge::http::events::feed::Feed;
use crate::edge::http::events::reader::Readers;
use crate::edge::http::query::{KnownKeys, known_keys_only};
use crate::edge::http::refusal::Refusal;
use crate::edge::http::sign_ins::SignIns;
use crate::edge::live::{Live, PeopleView};
use crate::edge::store::Store;
use crate::edge::store::contacts::Contacts;
use crate::edge::telemetry::Metrics;
use crate::edge::webhooks::Webhooks;

/// What every page may use. Cloned for each request.
#[derive(Clone, Debug)]
pub struct Web {
    pub live: Live,
    pub metrics: Metrics,
    pub store: Store,
    pub catalogue: Arc<Catalogue>,
    pub people: PeopleView,
    pub settings: Arc<Settings>,
    pub sign_ins: SignIns,
    /// Who has a phone registered, as it changes.
    pub registered: watch::Receiver<Arc<[Identity]>>,
    pub contacts: Contacts,
    /// Of digest authentication.
    pub realm: Arc<str>,
    /// What happens, for those who read it.
    pub events: Feed,
    pub readers: Readers,
    pub webhooks: Webhooks,
    /// Those that there are prompts in, the node's first.
    pub languages: Arc<[String]>,
}

/// A reader who takes nothing of what it is sent for this long is given up (RFC 5482): a stream of
/// events that hangs does not stay for ever.
const UNREAD: Duration = Duration::from_secs(60);

/// Answers until `stop`, and then what was asked before it.
pub async fn serve(
    listener: TcpListener,
    web: Web,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router(web).into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|connection| {
        let limit = u32::try_from(UNREAD.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = set_tcp_user_timeout(&*connection, limit) {
            debug!(%error, "a reader who takes nothing is not given up");
        }
    });
    axum::serve(listener, service)
        .with_graceful_shutdown(stop)
        .await
}

pub fn router(web: Web) -> Router {
    let (api, mut document) = api().split_for_parts();
    document::name_operations(&mut document);
    document::describe_unknown_keys(&mut document);
    let known = KnownKeys::of(&document);
    let api = api.route_layer(from_fn_with_state(known, known_keys_only));
    let document = Arc::new(document);
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/openapi.json", get(async move || openapi(&document)))
        .merge(api)
        .merge(console::routes())
        .fallback(console::plain::missing)
        .method_not_allowed_fallback(not_allowed)
        .layer(compression())
        .layer(map_response(as_it_is))
        .with_state(web)
}

/// What says nothing else is taken for what it says it is, and not kept: it was for one viewer, at
/// one moment.
async fn as_it_is(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
    answer
}

/// Answers are compressed for readers who say that they can undo it (RFC 9110 §12.5.3), at the
/// level that costs least: a page of five hundred calls is 48 KB on its way instead of 870. A stream
/// of events is not: every one leaves at once. No other site can make a browser ask with its cookie
/// (SameSite=Strict), so that lengths tell nobody of tokens.
fn compression() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// Every row of the API.
fn api() -> OpenApiRouter<Web> {
    OpenApiRouter::with_openapi(Head::openapi())
        .merge(login::routes())
        .merge(calls::routes())
        .merge(tickets::routes())
        .merge(sessions::routes())
        .merge(agents::routes())
        .merge(watchlist::routes())
        .merge(help_requests::routes())
        .merge(audit::routes())
        .merge(reports::routes())
        .merge(phone::routes())
        .merge(admin::routes())
        .merge(events::routes())
        .merge(webhooks::routes())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "sottovoce",
        description = "Supervise live calls. Sign in at /api/v1/login; every answer is limited \
            to the viewer's organisation, pools and permissions."
    ),
    modifiers(&Roads),
    security(("bearer" = []), ("cookie" = [])),
)]
struct Head;

/// The two roads on which a viewer shows who they are.
struct Roads;

impl utoipa::Modify for Roads {
    fn modify(&self, document: &mut Document) {
        use utoipa::openapi::security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme,
        };
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let text = "Writes carry X-CSRF-Token as well.";
        let cookie = ApiKeyValue::with_description(viewer::COOKIE, text);
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(cookie));
        components.add_security_scheme("cookie", cookie);
    }
}

/// The document that describes the API.
fn openapi(document: &Document) -> Response {
    Json(document).into_response()
}

/// The process lives.
async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// The service takes calls.
async fn ready(State(web): State<Web>) -> Result<Response, Refusal> {
    let snapshot = web.live.snapshot();
    if snapshot.draining {
        let text = "The service is draining.";
        return Err(Refusal::unavailable("draining", text));
    }
    if snapshot.store_down {
        let text = "The database does not answer.";
        return Err(Refusal::unavailable("store-down", text));
    }
    Ok(Json(json!({ "status": "ready" })).into_response())
}

async fn metrics(State(web): State<Web>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], web.metrics.encode()).into_response()
}

async fn not_allowed() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This page does not do that.",
    )
}
