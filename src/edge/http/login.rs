//! Signing in and out.

use std::net::{IpAddr, SocketAddr};

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::directory::SupervisorEntry;
use crate::control::record::{Outcome, Source};
use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::refusal::{Body, Refusal, RefusalBody};
use crate::edge::http::viewer::{COOKIE, Viewer, Who, csrf};
use crate::edge::store::audit::Row;
use crate::edge::store::sign_ins::{Account, TokenHash};

/// How long a sign-in lasts: a working day.
pub const LASTS_S: i64 = 12 * 3600;
/// Longer names and passwords are nobody's.
const MAX_LENGTH: usize = 256;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(me))
}

#[derive(Deserialize, ToSchema)]
pub struct Login {
    /// A supervisor's or administrator's user name, or an agent's extension.
    pub user: String,
    pub password: String,
    /// Only where two organisations use the same name.
    pub organisation: Option<String>,
}

/// A sign-in, for twelve hours.
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    /// Usable as `Authorization: Bearer …`.
    pub token: String,
    #[serde(flatten)]
    pub me: Me,
}

/// The one who is signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// `administrator`, `supervisor` or `agent`.
    pub kind: &'static str,
    /// The user name, or an agent's extension.
    pub user: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// What a supervisor may do: `monitor`, `coach`, `whisper_caller`, `barge`, `takeover`,
    /// `hang_up`.
    pub may: Vec<&'static str>,
    /// The phones of a supervisor that call-me may ring.
    pub devices: Vec<String>,
    /// What writes with the session cookie carry as `X-CSRF-Token`.
    pub csrf_token: String,
}

/// Signs in: a session cookie, and a token for scripts.
#[utoipa::path(
    post,
    path = "/api/v1/login",
    tag = "sign-in",
    security(()),
    request_body = Login,
    responses(
        (status = 200, description = "signed in", body = SignedIn),
        (status = 400, description = "not a sign-in, or a name that two organisations use", body = RefusalBody),
        (status = 401, description = "wrong user or password", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        (status = 429, description = "too many wrong passwords", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn login(
    State(web): State<Web>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Body(login): Body<Login>,
) -> Result<Response, Refusal> {
    let organisation = login.organisation.as_deref();
    let from = Door {
        address: from.ip(),
        source: Source::Api,
    };
    let opened = sign_in(&web, from, organisation, &login.user, &login.password).await?;
    let cookie = cookie(&opened.token, LASTS_S);
    let body = SignedIn {
        token: opened.token,
        me: opened.me,
    };
    Ok(([cookie], Json(body)).into_response())
}

/// Ends the sign-in.
#[utoipa::path(
    post,
    path = "/api/v1/logout",
    tag = "sign-in",
    responses(
        (status = 204, description = "signed out"),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "X-CSRF-Token is missing", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn logout(State(web): State<Web>, viewer: Viewer) -> Result<Response, Refusal> {
    web.store.sign_out(&viewer.token).await?;
    Ok((StatusCode::NO_CONTENT, [cookie("", 0)]).into_response())
}

/// Who is signed in, and what they may do.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "sign-in",
    responses(
        (status = 200, description = "the viewer", body = Me),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn me(State(web): State<Web>, viewer: Viewer) -> Json<Me> {
    Json(describe(&web, &viewer.who, viewer.csrf))
}

/// A new sign-in.
pub struct Opened {
    pub token: String,
    pub me: Me,
}

/// Where a sign-in is tried from.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    pub address: IpAddr,
    pub source: Source,
}

/// Checks a password, and opens a sign-in. Shared by the API and the page.
pub async fn sign_in(
    web: &Web,
    from: Door,
    organisation: Option<&str>,
    user: &str,
    password: &str,
) -> Result<Opened, Refusal> {
    if [user, password].iter().any(|text| text.len() > MAX_LENGTH) {
        return Err(wrong());
    }
    let Door {
        address: from,
        source,
    } = from;
    web.sign_ins
        .may_try(clock::now(), user, from)
        .map_err(|lock| {
            let text = "Too many wrong passwords. Try again later.";
            Refusal::too_many(text, lock.as_secs().max(1))
        })?;
    let mut accounts = web.store.accounts(organisation, user, password).await?;
    if organisation.is_none()
        && let Some(administrator) = accounts
            .iter()
            .position(|account| matches!(account, Account::Administrator { .. }))
    {
        // A namesake with the same password, from before names were kept apart, is of an
        // organisation and can say of which; an administrator is of none.
        accounts = vec![accounts.swap_remove(administrator)];
    }
    let account = match (accounts.pop(), accounts.is_empty()) {
        (Some(account), true) => account,
        (Some(_), false) => {
            let text = "Two organisations use this name: name yours as \"organisation\".";
            return Err(Refusal::bad_request(text));
        }
        (None, _) => {
            web.sign_ins.failed(clock::now(), user, from);
            warn!(%from, "a sign-in was refused");
            let row = Row {
                outcome: Outcome::Refused.name().to_owned(),
                detail: Some(format!("from {from}")),
                ..Row::by(user, source, "sign_in", clock::utc_ms())
            };
            web.store.audit(vec![row]).await?;
            return Err(wrong());
        }
    };
    web.sign_ins.succeeded(user, from);

    let token = token()?;
    let at_ms = clock::utc_ms();
    web.store
        .sign_in(
            &TokenHash::of(&token),
            &account,
            at_ms,
            at_ms + LASTS_S * 1000,
        )
        .await?;
    info!(%from, "signed in");
    let who = match account {
        Account::Administrator { user } => Who::Administrator { user: user.into() },
        Account::Supervisor { organisation, user } => Who::Supervisor {
            organisation: organisation.into(),
            user: user.into(),
        },
        Account::Agent {
            organisation,
            extension,
        } => Who::Agent {
            organisation: organisation.into(),
            extension: extension.into(),
        },
    };
    let me = describe(web, &who, csrf(&token));
    Ok(Opened { token, me })
}

/// The session cookie, for so many seconds.
pub fn cookie(token: &str, max_age_s: i64) -> (HeaderName, String) {
    let value = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}");
    (header::SET_COOKIE, value)
}

fn wrong() -> Refusal {
    let text = "Wrong user or password.";
    Refusal::new(StatusCode::UNAUTHORIZED, "wrong-password", text)
}

fn token() -> Result<String, Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        warn!(%error, "no randomness");
        Refusal::unavailable("no-randomness", "The machine has no randomness.")
    })?;
    Ok(hex::encode(bytes))
}

pub fn describe(web: &Web, who: &Who, csrf_token: String) -> Me {
    let directory = web.people.directory();
    let (kind, user, name, organisation, may) = match who {
        Who::Administrator { user } => ("administrator", user, user.clone(), None, Vec::new()),
        Who::Supervisor { organisation, user } => {
            let entry = directory
                .supervisors
                .get(&(organisation.clone(), user.clone()));
            let name = entry.map_or_else(|| user.clone(), |entry| entry.name.clone());
            let may = entry.map(|entry| entry.may.names());
            (
                "supervisor",
                user,
                name,
                Some(organisation),
                may.unwrap_or_default(),
            )
        }
        Who::Agent {
            organisation,
            extension,
        } => {
            let entry = directory
                .agents
                .get(&(organisation.clone(), extension.clone()));
            let name = entry.map_or_else(|| extension.clone(), |entry| entry.name.clone());
            ("agent", extension, name, Some(organisation), Vec::new())
        }
    };
    let devices = match who {
        Who::Supervisor { organisation, user } => directory
            .supervisors
            .get(&(organisation.clone(), user.clone()))
            .map(SupervisorEntry::phones)
            .unwrap_or_default(),
        Who::Administrator { .. } | Who::Agent { .. } => Vec::new(),
    };
    Me {
        kind,
        user: user.to_string(),
        name: name.to_string(),
        organisation: organisation.map(|organisation| organisation.to_string()),
        may,
        devices: devices.iter().map(ToString::to_string).collect(),
        csrf_token,
    }
}
