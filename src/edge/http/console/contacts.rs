//! The administrator's page of contacts: the names in the Contact column.

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::edge::http::Web;
use crate::edge::http::console::agents::in_query;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::frame::{Frame, Place};
use crate::edge::http::console::reader::{administrator, organisations};
use crate::edge::http::console::visitor::Administrator;

/// Contacts on a page.
const PAGE: u16 = 100;

#[derive(Template)]
#[template(path = "contacts.html")]
struct Page {
    frame: Frame,
    organisations: Vec<(String, String)>,
    organisation: String,
    path: String,
    rows: Vec<Row>,
    more: Option<String>,
}

struct Row {
    number: String,
    path: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Choice {
    organisation: String,
    after: String,
}

/// `GET /contacts`.
pub async fn show(
    State(web): State<Web>,
    Administrator { viewer, tongue }: Administrator,
    Query(choice): Query<Choice>,
) -> Answer {
    let directory = web.people.directory();
    let known = directory.organisations.get(&*choice.organisation);
    let chosen = known.or_else(|| directory.organisations.values().next());
    let organisation = chosen.map_or_else(String::new, |chosen| chosen.id.to_string());
    let found = web.store.contacts(&organisation, &choice.after, PAGE).await;
    let found = found.map_err(|error| answer::refused(error.into()))?;
    let path = in_query(&organisation);
    let last = found.last().filter(|_| found.len() == usize::from(PAGE));
    Ok(answer::page(&Page {
        frame: administrator(&viewer, tongue, Place::Contacts),
        organisations: organisations(&directory),
        more: last.map(|last| {
            format!(
                "/contacts?organisation={path}&after={}",
                in_query(&last.number)
            )
        }),
        rows: found
            .into_iter()
            .map(|contact| Row {
                path: in_query(&contact.number),
                number: contact.number,
                name: contact.name,
            })
            .collect(),
        organisation,
        path,
    }))
}
