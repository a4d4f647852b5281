//! Signing in, and choosing a language.

use std::net::SocketAddr;

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::control::record::Source;
use crate::edge::http::Web;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::frame::{Frame, Place, Reader};
use crate::edge::http::console::texts::{LANGUAGE_COOKIE, Tongue};
use crate::edge::http::login;
use crate::edge::http::refusal::Refusal;
use crate::edge::http::viewer::Viewer;

/// How long a browser remembers the language: a year.
const REMEMBER_S: u32 = 365 * 24 * 3600;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Door {
    frame: Frame,
    user: String,
    wrong: Option<String>,
    ask_organisation: bool,
    first_run: bool,
}

impl Door {
    fn new(tongue: Tongue) -> Self {
        Self {
            frame: Frame::bare(tongue, Place::Door, Reader::Nobody),
            user: String::new(),
            wrong: None,
            ask_organisation: false,
            first_run: false,
        }
    }
}

/// `GET /sign-in`.
pub async fn show(State(web): State<Web>, headers: HeaderMap, viewer: Option<Viewer>) -> Answer {
    if viewer.is_some() {
        return Err(answer::elsewhere("/"));
    }
    let mut door = Door::new(Tongue::of(&headers));
    let anybody = web.store.anybody_can_sign_in().await;
    door.first_run = !anybody.map_err(|error| answer::refused(error.into()))?;
    Ok(answer::page(&door))
}

#[derive(Deserialize)]
pub struct Entry {
    user: String,
    password: String,
    organisation: Option<String>,
}

/// `POST /sign-in`.
pub async fn enter(
    State(web): State<Web>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(entry): Form<Entry>,
) -> Answer {
    if from_elsewhere(&headers) {
        return Err(StatusCode::FORBIDDEN.into_response());
    }
    let user = entry.user.trim();
    let organisation = entry.organisation.as_deref().map(str::trim);
    let organisation = organisation.filter(|organisation| !organisation.is_empty());
    let from = login::Door {
        address: from.ip(),
        source: Source::Console,
    };
    let opened = login::sign_in(&web, from, organisation, user, &entry.password).await;
    match opened {
        Ok(opened) => {
            let cookie = login::cookie(&opened.token, login::LASTS_S);
            Ok(([cookie], Redirect::to("/")).into_response())
        }
        Err(refusal) => {
            let mut door = Door::new(Tongue::of(&headers));
            door.ask_organisation = refusal.status == StatusCode::BAD_REQUEST;
            door.wrong = Some(why(&refusal, &door.frame));
            door.user = user.to_owned();
            Ok(answer::page_with(refusal.status, &door))
        }
    }
}

fn why(refusal: &Refusal, frame: &Frame) -> String {
    match refusal.status {
        StatusCode::UNAUTHORIZED => frame.t("door.wrong").to_owned(),
        StatusCode::BAD_REQUEST => frame.t("door.which").to_owned(),
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds = refusal.retry_after.unwrap_or(1).to_string();
            frame.fill("door.locked", &[("seconds", &seconds)])
        }
        _ => frame.t("door.away").to_owned(),
    }
}

#[derive(Deserialize)]
pub struct Choice {
    language: String,
}

/// `POST /language`: remembered by the browser, then back to where the switch was used.
pub async fn language(headers: HeaderMap, Form(choice): Form<Choice>) -> Response {
    let Some(tongue) = Tongue::from_code(&choice.language) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let cookie = format!(
        "{LANGUAGE_COOKIE}={}; Path=/; SameSite=Strict; Max-Age={REMEMBER_S}",
        tongue.code()
    );
    (
        [(header::SET_COOKIE, cookie)],
        Redirect::to(&came_from(&headers)),
    )
        .into_response()
}

/// The page of ours that a form was sent from; the first page where that is not told.
fn came_from(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(from), Some(host)) = (text(header::REFERER), text(header::HOST)) else {
        return "/".to_owned();
    };
    let path = from
        .split_once("://")
        .and_then(|(_, rest)| rest.strip_prefix(host))
        .filter(|path| path.starts_with('/') && !path.starts_with("//"));
    path.unwrap_or("/").to_owned()
}

/// Whether a browser says that a page of another site sent this form. One that does not say it in
/// so many words names where the page came from (RFC 6454 §7); a script names nothing.
fn from_elsewhere(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let host = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    host.map(|(_, host)| host) != text(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_from_elsewhere() {
        let table: [(&[(&'static str, &'static str)], bool); 8] = [
            (&[], false),
            (&[("origin", "http://a:8080")], false),
            (&[("origin", "https://a:8080")], false),
            (&[("origin", "http://b")], true),
            (&[("origin", "null")], true),
            (
                &[("sec-fetch-site", "same-origin"), ("origin", "http://b")],
                false,
            ),
            (&[("sec-fetch-site", "cross-site")], true),
            (
                &[("sec-fetch-site", "same-site"), ("origin", "http://a:8080")],
                true,
            ),
        ];
        for (pairs, elsewhere) in table {
            let mut headers = HeaderMap::new();
            headers.insert("host", "a:8080".parse().unwrap());
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }

            assert_eq!(from_elsewhere(&headers), elsewhere, "{pairs:?}");
        }
    }

    #[test]
    fn the_switch_leads_back_to_pages_of_ours_only() {
        let headers = |referer: &'static str| -> HeaderMap {
            let pairs = [(header::REFERER, referer), (header::HOST, "a:8080")];
            let pairs = pairs.into_iter();
            pairs
                .map(|(name, value)| (name, value.parse().unwrap()))
                .collect()
        };

        assert_eq!(
            came_from(&headers("http://a:8080/agents?pool=x")),
            "/agents?pool=x"
        );
        assert_eq!(came_from(&headers("http://b/agents")), "/");
        assert_eq!(came_from(&headers("http://a:8080//b/")), "/");
        assert_eq!(came_from(&HeaderMap::new()), "/");
    }
}
