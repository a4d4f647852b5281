//! How a page is sent: rendered, with the headers that keep everything out that is not ours.

use askama::Template;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use tracing::error;

use crate::edge::http::refusal::Refusal;

/// Nothing but our own sheet, script and answers; no script or style within a page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page, or why there is none.
pub type Answer = Result<Response, Response>;

pub fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

pub fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, headers(), Html(text)).into_response(),
        Err(error) => {
            error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn headers() -> [(HeaderName, &'static str); 5] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Cookie, Accept-Language, X-Rows"),
    ]
}

/// Where somebody goes who is not signed in, or not to this page.
pub fn elsewhere(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// A refusal met while a page was made.
pub fn refused(refusal: Refusal) -> Response {
    if refusal == Refusal::unauthorised() {
        return elsewhere("/sign-in");
    }
    refusal.into_response()
}
