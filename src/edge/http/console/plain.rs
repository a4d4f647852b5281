//! What somebody at a browser sees where there is no page to show: that, in words, and the way back.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::edge::http::console::answer;
use crate::edge::http::console::frame::{Frame, Place, Reader};
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::refusal::Refusal;

#[derive(Template)]
#[template(path = "plain.html")]
struct Plain {
    frame: Frame,
    title: &'static str,
    /// What to do about it.
    next: &'static str,
}

/// Where there is nothing: a page for those who read pages, and the one form of the API for all
/// others.
pub async fn missing(headers: HeaderMap) -> Response {
    match reads_pages(&headers) {
        true => page(&headers, StatusCode::NOT_FOUND),
        false => {
            let text = "There is no such page.";
            Refusal::new(StatusCode::NOT_FOUND, "not-found", text).into_response()
        }
    }
}

/// Whatever keeps a page from being made is told to those who read pages as one.
pub async fn in_words(request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !refused || is_page || !reads_pages(&headers) {
        return response;
    }
    let retry_after: Option<HeaderValue> = response.headers_mut().remove(header::RETRY_AFTER);
    let mut page = page(&headers, status);
    if let Some(seconds) = retry_after {
        page.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    page
}

fn page(headers: &HeaderMap, status: StatusCode) -> Response {
    let frame = Frame::bare(Tongue::of(headers), Place::Door, Reader::Nobody);
    let (title, next) = match status {
        StatusCode::NOT_FOUND => (frame.t("plain.missing"), ""),
        StatusCode::FORBIDDEN => (frame.t("plain.forbidden"), ""),
        _ if status.is_server_error() => (frame.t("plain.away"), frame.t("plain.away_next")),
        _ => (
            frame.t("plain.unreadable"),
            frame.t("plain.unreadable_next"),
        ),
    };
    answer::page_with(status, &Plain { frame, title, next })
}

fn reads_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    accepted.is_some_and(|kinds| kinds.contains("text/html"))
}
