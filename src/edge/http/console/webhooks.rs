//! The administrator's page of webhooks: where events are sent, and what did not arrive there.

use askama::Template;
use axum::extract::State;

use crate::edge::http::Web;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::frame::{Frame, Place};
use crate::edge::http::console::reader::{administrator, organisations};
use crate::edge::http::console::visitor::Administrator;
use crate::edge::http::events::event::Name;
use crate::edge::http::time::rfc3339;
use crate::edge::http::webhooks::{self, Webhook};
use crate::edge::store::webhooks::Delivery;

/// Dead letters that are shown of a webhook, oldest first; the API has all of them.
const LETTERS: usize = 20;

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Page {
    frame: Frame,
    organisations: Vec<(String, String)>,
    /// Names of events to choose from.
    events: [&'static str; Name::ALL.len()],
    rows: Vec<Row>,
}

struct Row {
    id: String,
    url: String,
    organisation: String,
    /// None: all of them.
    events: Vec<String>,
    waiting: i64,
    dead: i64,
    letters: Vec<Letter>,
}

struct Letter {
    id: i64,
    event: String,
    at: String,
    attempts: String,
}

/// `GET /webhooks`.
pub async fn show(
    State(web): State<Web>,
    Administrator { viewer, tongue }: Administrator,
) -> Answer {
    let frame = administrator(&viewer, tongue, Place::Webhooks);
    let directory = web.people.directory();
    let listed = webhooks::listed(&web).await.map_err(answer::refused)?;
    let mut rows = Vec::new();
    for webhook in listed {
        let letters = match webhook.dead_letters {
            0 => Vec::new(),
            _ => {
                let letters = web.store.dead_letters(&webhook.id, 0).await;
                letters.map_err(|error| answer::refused(error.into()))?
            }
        };
        let known = directory.organisations.get(&*webhook.organisation);
        let organisation = known.map_or(&*webhook.organisation, |entry| &entry.name);
        rows.push(row(&frame, organisation.to_owned(), webhook, letters));
    }
    Ok(answer::page(&Page {
        organisations: organisations(&directory),
        events: Name::ALL.map(Name::text),
        rows,
        frame,
    }))
}

fn row(frame: &Frame, organisation: String, webhook: Webhook, letters: Vec<Delivery>) -> Row {
    let letter = |letter: Delivery| Letter {
        id: letter.seq,
        event: letter.event,
        at: letter.dead_ms.map(rfc3339).unwrap_or_default(),
        attempts: frame.fill(
            "webhooks.attempts",
            &[
                ("count", &letter.attempts.to_string()),
                ("error", letter.error.as_deref().unwrap_or_default()),
            ],
        ),
    };
    Row {
        id: webhook.id,
        url: webhook.url,
        organisation,
        events: webhook.events,
        waiting: webhook.waiting,
        dead: webhook.dead_letters,
        letters: letters.into_iter().take(LETTERS).map(letter).collect(),
    }
}
