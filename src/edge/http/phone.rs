//! The viewer's registered phone, and the proof of a new one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::input::{Ask, Reply};
use crate::control::proof::ProofCode;
use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::refusal::{Body, Refusal, RefusalBody, Whole};
use crate::edge::http::time::rfc3339;
use crate::edge::http::viewer::SupervisorViewer;
use crate::edge::people::{self, NUMBER};
use crate::edge::store::audit::Row;
use crate::edge::store::phones::{
    CALLS_PER_MS, MAX_CALLS, MAX_TRIES, Pending, Proof, ProofCall, Setting,
};

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(show, put))
        .routes(routes!(prove))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Phone {
    /// The registered one, E.164: dial-in is accepted from it.
    pub phone: Option<String>,
    /// One that waits for its proof.
    pub pending: Option<PendingPhone>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PendingPhone {
    /// E.164.
    pub phone: String,
    /// Until when the code of the last call holds; none where there is no such code.
    pub code_expires_at: Option<String>,
    /// Codes that may still be entered.
    pub tries_left: i64,
    /// Calls that may still be asked for within the hour.
    pub calls_left: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhoneBody {
    /// In any form; a national one is of the viewer's default country.
    pub phone: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofBody {
    /// The six digits that the call spoke.
    pub code: Option<String>,
}

/// The registered phone, and the one that waits for its proof.
#[utoipa::path(
    get,
    path = "/api/v1/me/phone",
    tag = "me",
    responses(
        (status = 200, description = "the viewer's phones", body = Phone),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn show(
    State(web): State<Web>,
    supervisor: SupervisorViewer,
) -> Result<Json<Phone>, Refusal> {
    Ok(Json(phone(&web, &supervisor).await?))
}

/// Sets a number. It becomes the registered one when it is proven; until then the old one is. To
/// set the registered one takes back the wish for another.
#[utoipa::path(
    put,
    path = "/api/v1/me/phone",
    tag = "me",
    request_body = PhoneBody,
    responses(
        (status = 200, description = "the viewer's phones", body = Phone),
        (status = 400, description = "not a telephone number", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor", body = RefusalBody),
        (status = 409, description = "another supervisor has it", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn put(
    State(web): State<Web>,
    supervisor: SupervisorViewer,
    Body(body): Body<PhoneBody>,
) -> Result<Json<Phone>, Refusal> {
    set(&web, &supervisor, &body.phone).await.map(Json)
}

/// Without a code: calls the number that waits, and speaks a code to it. With the code: the number
/// is the registered one.
#[utoipa::path(
    post,
    path = "/api/v1/me/phone/prove",
    tag = "me",
    request_body = Option<ProofBody>,
    responses(
        (status = 200, description = "proven: the viewer's phones", body = Phone),
        (status = 202, description = "the number is called", body = Phone),
        (status = 400, description = "not a code", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor", body = RefusalBody),
        (status = 409, description = "no number waits or no code holds, the code is wrong, the \
            number is called already or cannot be reached, or another supervisor has it", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        (status = 429, description = "called too often; later again", body = RefusalBody),
        (status = 503, description = "the service is busy, or the database does not answer", body = RefusalBody),
    ),
)]
pub async fn prove(
    State(web): State<Web>,
    supervisor: SupervisorViewer,
    Whole(body): Whole<Bytes>,
) -> Result<Response, Refusal> {
    let asked = match body.trim_ascii() {
        b"" => ProofBody::default(),
        body => serde_json::from_slice::<Option<ProofBody>>(body)
            .map_err(|error| Refusal::bad_request(error.to_string()))?
            .unwrap_or_default(),
    };
    match asked.code {
        None => {
            let phone = call(&web, &supervisor).await?;
            Ok((StatusCode::ACCEPTED, Json(phone)).into_response())
        }
        Some(code) => Ok(Json(enter(&web, &supervisor, &code).await?).into_response()),
    }
}

/// What the API and the page show of the viewer's phones.
pub async fn phone(web: &Web, viewer: &SupervisorViewer) -> Result<Phone, Refusal> {
    let (organisation, user) = (&viewer.organisation, &viewer.user);
    let pending = web.store.pending_phone(organisation, user).await?;
    let pending = pending.filter(|pending| !pending.number.is_empty());
    let directory = web.people.directory();
    let key = (organisation.clone(), user.clone());
    let entry = directory.supervisors.get(&key);
    Ok(Phone {
        phone: entry.and_then(|entry| entry.phone.as_deref().map(str::to_owned)),
        pending: pending.map(|pending| PendingPhone::of(pending, clock::utc_ms())),
    })
}

/// Has a number wait for its proof.
pub async fn set(web: &Web, viewer: &SupervisorViewer, text: &str) -> Result<Phone, Refusal> {
    let country = viewer.entry.default_country.as_deref();
    let number = people::number(text, country)
        .ok_or_else(|| Refusal::bad_request(format!("phone: expected {NUMBER}, found {text:?}")))?;
    let row = Row {
        detail: Some(number.clone()),
        ..row(viewer, "set_phone")
    };
    let (organisation, user) = (&viewer.organisation, &viewer.user);
    match web
        .store
        .set_phone(organisation, user, &number, row)
        .await?
    {
        Setting::Set => phone(web, viewer).await,
        Setting::Taken => Err(taken()),
    }
}

/// Calls the number that waits.
pub async fn call(web: &Web, viewer: &SupervisorViewer) -> Result<Phone, Refusal> {
    let (organisation, user) = (&viewer.organisation, &viewer.user);
    let at_ms = clock::utc_ms();
    let number = match web.store.proof_call(organisation, user, at_ms).await? {
        ProofCall::May { number } => number,
        ProofCall::NothingPending => {
            return Err(Refusal::conflict(
                "No number waits for its proof: set one first.",
            ));
        }
        ProofCall::TooMany { again_ms } => {
            let row = Row {
                outcome: "refused".to_owned(),
                detail: Some("called too often".to_owned()),
                ..row(viewer, "prove_phone_call")
            };
            web.store.audit(vec![row]).await?;
            let seconds = u64::try_from((again_ms - at_ms) / 1000).unwrap_or(0);
            let text = "This number was called too often. Try again later.";
            return Err(Refusal::too_many(text, seconds.max(1)));
        }
    };
    let code = new_code()?;
    let ask = Ask::ProveNumber {
        number: number.as_str().into(),
        code,
    };
    match web.live.ask(viewer.viewer.operator(), ask).await? {
        Reply::Done => {}
        Reply::Refused(code) => return Err(Refusal::of(&web.catalogue, code)),
        Reply::NotFound => return Err(Refusal::unauthorised()),
        _ => {
            let text = "The number is being called already, or no route leads to it.";
            return Err(Refusal::conflict(text));
        }
    }
    // Kept while the phone rings: before somebody can hear it, let alone enter it.
    web.store
        .keep_code(organisation, user, &number, code.digits(), at_ms)
        .await?;
    phone(web, viewer).await
}

/// Enters the code that a call spoke.
pub async fn enter(web: &Web, viewer: &SupervisorViewer, code: &str) -> Result<Phone, Refusal> {
    let code = code.trim();
    if ProofCode::of(code).is_none() {
        // What was typed is not repeated.
        return Err(Refusal::bad_request("code: expected six digits"));
    }
    let (organisation, user) = (&viewer.organisation, &viewer.user);
    let row = row(viewer, "prove_phone");
    match web.store.prove_phone(organisation, user, code, row).await? {
        Proof::Proven { .. } => {
            web.people.reload().await?;
            phone(web, viewer).await
        }
        Proof::Wrong { tries_left } => {
            let text = format!("That is not the code. Tries left: {tries_left}.");
            Err(Refusal::new(StatusCode::CONFLICT, "wrong-code", text))
        }
        Proof::NoCode => {
            let text = "No code holds any more: have the number called again.";
            Err(Refusal::new(StatusCode::CONFLICT, "no-code", text))
        }
        Proof::Taken => Err(taken()),
    }
}

fn taken() -> Refusal {
    Refusal::conflict("This is the registered phone of another supervisor.")
}

fn row(viewer: &SupervisorViewer, action: &str) -> Row {
    Row {
        organisation: Some(viewer.organisation.to_string()),
        ..Row::by(&viewer.user, viewer.viewer.source, action, clock::utc_ms())
    }
}

/// Six digits, each code as likely as any other.
fn new_code() -> Result<ProofCode, Refusal> {
    let mut bytes = [0; 8];
    let drawn = getrandom::fill(&mut bytes)
        .ok()
        .and_then(|()| ProofCode::of(&format!("{:06}", u64::from_ne_bytes(bytes) % 1_000_000)));
    drawn.ok_or_else(|| {
        warn!("no randomness");
        Refusal::unavailable("no-randomness", "The machine has no randomness.")
    })
}

impl PendingPhone {
    fn of(pending: Pending, now_ms: i64) -> Self {
        let holds = pending.expires_ms > now_ms && pending.tries < MAX_TRIES;
        let calls = match pending.calls_since_ms + CALLS_PER_MS <= now_ms {
            true => 0,
            false => pending.calls,
        };
        Self {
            phone: pending.number,
            code_expires_at: holds.then(|| rfc3339(pending.expires_ms)),
            tries_left: if holds { MAX_TRIES - pending.tries } else { 0 },
            calls_left: MAX_CALLS - calls,
        }
    }
}
