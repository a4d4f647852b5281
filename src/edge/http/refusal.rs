//! What is declined, in the one form of the API: `{"error", "code", "text"}` with its status.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;
use utoipa::ToSchema;

use crate::control::refusal::ErrorCode;
use crate::edge::catalogue::Catalogue;
use crate::edge::http::condition::etag;
use crate::edge::live::Busy;
use crate::edge::people::Version;
use crate::edge::store::StoreError;

/// When it may go better, after too much was asked at once.
const RETRY_AFTER_S: u64 = 2;

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub body: RefusalBody,
    /// Seconds after which it may go better.
    pub retry_after: Option<u64>,
    /// The state that a thing is in, where another one was expected.
    pub now: Option<Version>,
}

/// The body of every answer that is not 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Refusal)]
pub struct RefusalBody {
    /// A word for programs, such as `pupil-gone` or `not-found`.
    pub error: String,
    /// The number that would be spoken on the phone, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// A sentence for people.
    pub text: String,
}

impl Refusal {
    pub fn new(status: StatusCode, error: &str, text: impl Into<String>) -> Self {
        Self {
            status,
            body: RefusalBody {
                error: error.to_owned(),
                code: None,
                text: text.into(),
            },
            retry_after: None,
            now: None,
        }
    }

    /// A numbered refusal, with the words and the status of the catalogue.
    pub fn of(catalogue: &Catalogue, code: ErrorCode) -> Self {
        let entry = catalogue.entry(code);
        let status = StatusCode::from_u16(entry.http).unwrap_or(StatusCode::CONFLICT);
        let mut refusal = Self::new(status, &entry.name, entry.text.clone());
        refusal.body.code = Some(code.number());
        refusal
    }

    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", text)
    }

    pub fn unauthorised() -> Self {
        let text = "Sign in first: POST /api/v1/login.";
        Self::new(StatusCode::UNAUTHORIZED, "not-signed-in", text)
    }

    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", text)
    }

    pub fn not_found() -> Self {
        let text = "There is no such thing, or none that you may see.";
        Self::new(StatusCode::NOT_FOUND, "not-found", text)
    }

    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", text)
    }

    pub fn too_many(text: impl Into<String>, retry_after: u64) -> Self {
        let mut refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", text);
        refusal.retry_after = Some(retry_after);
        refusal
    }

    pub fn unavailable(error: &str, text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self.body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §11.6.1: how one signs in.
            let value = HeaderValue::from_static("Bearer realm=\"sottovoce\"");
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, value);
        }
        if let Some(seconds) = self.retry_after {
            let value = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        if let Some(now) = self.now {
            response.headers_mut().extend(etag(&now));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        warn!(%error, "a page was not answered");
        let wait = |text: &str| {
            let mut refusal = Self::unavailable("too-busy", text);
            refusal.retry_after = Some(RETRY_AFTER_S);
            refusal
        };
        match error {
            StoreError::Busy => wait("Too many passwords and PINs are being checked."),
            StoreError::Editing => wait("Too many changes of people are being made."),
            StoreError::File { .. }
            | StoreError::Unopened { .. }
            | StoreError::Database(_)
            | StoreError::Migration(_)
            | StoreError::Hash(_)
            | StoreError::Corrupt(_) => {
                Self::unavailable("store-down", "The database does not answer.")
            }
        }
    }
}

impl From<Busy> for Refusal {
    fn from(_: Busy) -> Self {
        Self::unavailable("busy", "The service is busy.")
    }
}

/// A body of JSON. What it cannot be read as is refused in the one form.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(unreadable(&rejection)),
        }
    }
}

fn unreadable(rejection: &JsonRejection) -> Refusal {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            rejection.body_text(),
        ),
        _ => Refusal::bad_request(rejection.body_text()),
    }
}

/// A body as it came. One that is too large, or never came to its end, is refused in the one form.
#[derive(Clone, Copy, Debug)]
pub struct Whole<T>(pub T);

impl<S: Send + Sync> FromRequest<S> for Whole<Bytes> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = Bytes::from_request(request, state).await;
        read.map(Self)
            .map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too-large",
                    rejection.body_text(),
                ),
                _ => Refusal::bad_request(rejection.body_text()),
            })
    }
}

/// What stands behind the `?`. What it cannot be read as is refused in the one form.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let asked: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        match asked {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Refusal::bad_request(rejection.body_text())),
        }
    }
}
