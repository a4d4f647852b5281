//! What somebody at a browser sees where there is nothing.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::edge::http::console::answer;
use crate::edge::http::console::frame::{Frame, Place, Reader};
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::refusal::Refusal;

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing {
    frame: Frame,
}

/// A page for those who read pages, and the one form of the API for all others.
pub async fn show(headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    if !accepted.is_some_and(|kinds| kinds.contains("text/html")) {
        let text = "There is no such page.";
        return Refusal::new(StatusCode::NOT_FOUND, "not-found", text).into_response();
    }
    let frame = Frame::bare(Tongue::of(&headers), Place::Door, Reader::Nobody);
    answer::page_with(StatusCode::NOT_FOUND, &Missing { frame })
}
