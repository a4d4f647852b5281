//! Administrators' rows for webhooks: where events are sent, a word to try them, and the dead
//! letters.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::asking::Named;
use crate::edge::http::events::event::Name;
use crate::edge::http::refusal::{Body, Parameters, Refusal, RefusalBody};
use crate::edge::http::refusals::OfAdministration;
use crate::edge::http::time::rfc3339;
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::store::webhooks as stored;
use crate::edge::webhooks::MAX_WEBHOOKS;

/// Longer addresses are refused.
const MAX_URL: usize = 2_048;
/// A secret that is given has from so many characters to so many.
const SECRET: std::ops::RangeInclusive<usize> = 16..=256;
/// Bytes of a secret that is made here.
const MADE_SECRET: usize = 32;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
        .routes(routes!(ping))
        .routes(routes!(dead_letters))
        .routes(routes!(resend))
}

#[derive(Serialize, ToSchema)]
pub struct Webhooks {
    pub webhooks: Vec<Webhook>,
}

/// Where an organisation's events are sent.
#[derive(Serialize, ToSchema)]
pub struct Webhook {
    pub id: String,
    pub organisation: String,
    pub url: String,
    /// Names of events; none: all of them.
    pub events: Vec<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Events that are yet to be delivered.
    pub waiting: i64,
    /// Events that were given up.
    pub dead_letters: i64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    pub organisation: String,
    /// `http` or `https`.
    #[schema(max_length = 2048)]
    pub url: String,
    /// Signs what is sent; made here where none is given.
    #[schema(min_length = 16, max_length = 256)]
    pub secret: Option<String>,
    /// Names of events; none: all of them.
    #[serde(default)]
    pub events: Vec<String>,
}

/// A webhook that was added. The secret is told this once.
#[derive(Serialize, ToSchema)]
pub struct AddedWebhook {
    #[serde(flatten)]
    pub webhook: Webhook,
    pub secret: String,
}

/// What came of trying a webhook.
#[derive(Serialize, ToSchema)]
pub struct Pinged {
    pub delivered: bool,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// Why it does not count as delivered.
    pub error: Option<String>,
    pub took_ms: u64,
}

#[derive(Serialize, ToSchema)]
pub struct DeadLetters {
    /// Oldest first, at most 200.
    pub dead_letters: Vec<DeadLetter>,
}

/// An event that was tried too often.
#[derive(Serialize, ToSchema)]
pub struct DeadLetter {
    /// The event's id.
    pub id: i64,
    pub event: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub given_up_at: Option<String>,
    pub attempts: i64,
    /// What the last attempt came to.
    pub error: Option<String>,
    /// What is sent.
    pub body: Value,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// Those behind the event with this id: the last one of the page before.
    pub after: Option<i64>,
}

/// All webhooks.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webhooks",
    tag = "webhooks",
    responses(
        (status = 200, description = "the webhooks, oldest first", body = Webhooks),
        OfAdministration,
    ),
)]
pub async fn list(
    State(web): State<Web>,
    _administrator: AdministratorViewer,
) -> Result<Json<Webhooks>, Refusal> {
    Ok(Json(Webhooks {
        webhooks: listed(&web).await?,
    }))
}

/// The webhooks as they are described, with what waits for them. Shared by the API and the page.
pub async fn listed(web: &Web) -> Result<Vec<Webhook>, Refusal> {
    let counts = web.store.delivery_counts().await?;
    let describe = |webhook: &stored::Webhook| {
        let counted = counts.iter().find(|(id, ..)| *id == webhook.id);
        let (waiting, dead) = counted.map_or((0, 0), |(_, waiting, dead)| (*waiting, *dead));
        describe(webhook, waiting, dead)
    };
    Ok(web.webhooks.list().iter().map(describe).collect())
}

/// Adds a webhook. From then on the organisation's events are sent to it.
///
/// Each is a POST of `{"id", "event", "at", "organisation", "data"}` with the headers
/// `X-Sottovoce-Event`, `X-Sottovoce-Delivery` (the id), `X-Sottovoce-Timestamp` (seconds since
/// 1970) and `X-Sottovoce-Signature`: `v1=` and, in hexadecimal, HMAC-SHA256 with the secret over
/// the timestamp, a dot, and the body. It is delivered with a status from 200 to 299, at least
/// once, in the order of the events.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhooks",
    tag = "webhooks",
    request_body = NewWebhook,
    responses(
        (status = 201, description = "added", body = AddedWebhook),
        (status = 400, description = "not JSON, or an address, a secret, an event or an organisation that is none", body = RefusalBody),
        (status = 409, description = "there are too many", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn add(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Body(new): Body<NewWebhook>,
) -> Result<Response, Refusal> {
    let directory = web.people.directory();
    if !directory.organisations.contains_key(&*new.organisation) {
        return Err(Refusal::bad_request(
            "organisation: there is none of this id.",
        ));
    }
    check_url(&new.url)?;
    let unknown = |event: &&String| !Name::ALL.iter().any(|name| name.text() == **event);
    if let Some(event) = new.events.iter().find(unknown) {
        let text = format!("events: \"{event}\" is none of the stream's.");
        return Err(Refusal::bad_request(text));
    }
    let secret = match new.secret {
        Some(secret) if SECRET.contains(&secret.chars().count()) => secret,
        Some(_) => {
            let text = format!(
                "secret: expected {} to {} characters.",
                SECRET.start(),
                SECRET.end()
            );
            return Err(Refusal::bad_request(text));
        }
        None => make_secret()?,
    };
    if web.webhooks.list().len() >= MAX_WEBHOOKS {
        let text = format!("There are {MAX_WEBHOOKS} webhooks already.");
        return Err(Refusal::conflict(text));
    }
    let webhook = stored::Webhook {
        id: uuid::Uuid::now_v7().simple().to_string(),
        organisation: new.organisation,
        url: new.url,
        secret,
        events: match new.events.is_empty() {
            true => "*".to_owned(),
            false => new.events.join(" "),
        },
        created_ms: clock::utc_ms(),
    };
    web.store.add_webhook(&webhook).await?;
    web.webhooks.reload().await?;
    note(&web, &administrator, "admin_webhook_add", &webhook).await?;
    let added = AddedWebhook {
        webhook: describe(&webhook, 0, 0),
        secret: webhook.secret,
    };
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

/// Removes a webhook, with what waits for it and its dead letters.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/webhooks/{id}",
    tag = "webhooks",
    params(("id" = String, Path, description = "the webhook")),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such webhook", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn remove(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Named(id): Named<String>,
) -> Result<StatusCode, Refusal> {
    let webhook = find(&web, &id)?;
    if !web.store.remove_webhook(&id).await? {
        return Err(Refusal::not_found());
    }
    web.webhooks.reload().await?;
    note(&web, &administrator, "admin_webhook_remove", &webhook).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends the event `ping` to a webhook at once, and tells what came of it.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhooks/{id}/ping",
    tag = "webhooks",
    params(("id" = String, Path, description = "the webhook")),
    responses(
        (status = 200, description = "it was tried", body = Pinged),
        (status = 404, description = "no such webhook", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn ping(
    State(web): State<Web>,
    _administrator: AdministratorViewer,
    Named(id): Named<String>,
) -> Result<Json<Pinged>, Refusal> {
    let webhook = find(&web, &id)?;
    let seq = web.events.newest();
    let body = serde_json::json!({
        "id": seq,
        "event": "ping",
        "at": rfc3339(clock::utc_ms()),
        "organisation": webhook.organisation,
        "data": {},
    });
    let began = clock::now();
    let attempt = web.webhooks.ping(&webhook, seq, &body.to_string()).await;
    let took = clock::now().saturating_duration_since(began);
    Ok(Json(Pinged {
        delivered: attempt.error.is_none(),
        status: attempt.status,
        error: attempt.error,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Events that were tried too often.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webhooks/{id}/dead-letters",
    tag = "webhooks",
    params(("id" = String, Path, description = "the webhook"), After),
    responses(
        (status = 200, description = "the dead letters", body = DeadLetters),
        (status = 400, description = "an id that is none", body = RefusalBody),
        (status = 404, description = "no such webhook", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn dead_letters(
    State(web): State<Web>,
    _administrator: AdministratorViewer,
    Named(id): Named<String>,
    Parameters(after): Parameters<After>,
) -> Result<Json<DeadLetters>, Refusal> {
    find(&web, &id)?;
    let letters = web
        .store
        .dead_letters(&id, after.after.unwrap_or_default())
        .await?;
    let letters = letters.into_iter().map(|letter| DeadLetter {
        id: letter.seq,
        event: letter.event,
        created_at: rfc3339(letter.created_ms),
        given_up_at: letter.dead_ms.map(rfc3339),
        attempts: letter.attempts,
        error: letter.error,
        body: serde_json::from_str(&letter.body).unwrap_or_default(),
    });
    Ok(Json(DeadLetters {
        dead_letters: letters.collect(),
    }))
}

/// Has a dead letter tried again from the start, before the events that wait.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhooks/{id}/dead-letters/{letter}/resend",
    tag = "webhooks",
    params(
        ("id" = String, Path, description = "the webhook"),
        ("letter" = i64, Path, description = "the event's id"),
    ),
    responses(
        (status = 202, description = "it waits to be delivered"),
        (status = 404, description = "no such webhook or dead letter", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn resend(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    path: Result<Path<(String, i64)>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path((id, letter)) = path.map_err(|_| Refusal::not_found())?;
    let webhook = find(&web, &id)?;
    if !web.store.send_again(&id, letter, clock::utc_ms()).await? {
        return Err(Refusal::not_found());
    }
    web.webhooks.revive();
    note(&web, &administrator, "admin_webhook_resend", &webhook).await?;
    Ok(StatusCode::ACCEPTED)
}

fn find(web: &Web, id: &str) -> Result<stored::Webhook, Refusal> {
    let list = web.webhooks.list();
    let found = list.iter().find(|webhook| webhook.id == id);
    found.cloned().ok_or_else(Refusal::not_found)
}

fn describe(webhook: &stored::Webhook, waiting: i64, dead_letters: i64) -> Webhook {
    let events = webhook.events.split(' ').filter(|event| *event != "*");
    Webhook {
        id: webhook.id.clone(),
        organisation: webhook.organisation.clone(),
        url: webhook.url.clone(),
        events: events.map(str::to_owned).collect(),
        created_at: rfc3339(webhook.created_ms),
        waiting,
        dead_letters,
    }
}

/// What an administrator did to a webhook, for the audit.
async fn note(
    web: &Web,
    administrator: &AdministratorViewer,
    action: &str,
    webhook: &stored::Webhook,
) -> Result<(), Refusal> {
    let mut row = administrator.row(action);
    row.organisation = Some(webhook.organisation.clone());
    row.detail = Some(webhook.id.clone());
    Ok(web.store.audit(vec![row]).await?)
}

fn check_url(text: &str) -> Result<(), Refusal> {
    let expected = "url: expected an http or https address of at most 2048 characters.";
    let refused = || Refusal::bad_request(expected);
    if text.len() > MAX_URL {
        return Err(refused());
    }
    let url = reqwest::Url::parse(text).map_err(|_| refused())?;
    match matches!(url.scheme(), "http" | "https") && url.has_host() {
        true => Ok(()),
        false => Err(refused()),
    }
}

fn make_secret() -> Result<String, Refusal> {
    let mut bytes = [0; MADE_SECRET];
    getrandom::fill(&mut bytes)
        .map_err(|_| Refusal::unavailable("no-randomness", "There is no randomness."))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sent_to_web_addresses_alone() {
        for good in ["https://hooks.example.org/a?b=c", "http://127.0.0.1:8080/"] {
            assert!(check_url(good).is_ok(), "{good}");
        }
        let long = format!("https://example.org/{}", "a".repeat(MAX_URL));
        for bad in [
            "",
            "example.org",
            "ftp://example.org/",
            "file:///etc/passwd",
            &long,
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
