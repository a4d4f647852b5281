//! Sign-ins that are locked after wrong passwords, and supervisors after wrong PINs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::input::Ask;
use crate::control::snapshot::LockView;
use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::refusal::{Parameters, Refusal, RefusalBody};
use crate::edge::http::refusals::OfAdministration;
use crate::edge::http::sign_ins::Suspect;
use crate::edge::http::time::{rfc3339, utc_ms_of};
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::store::audit::Row;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(list, lift))
}

/// A name that may not be tried, an address that may not try, or a name from an address; or a
/// supervisor whose PIN is not looked at in calls from a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ban {
    pub kind: BanKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Of the supervisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// None for phones that are behind no trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// When it ends by itself.
    pub until: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BanKind {
    SignIn,
    Pin,
}

#[derive(Serialize, ToSchema)]
pub struct BanList {
    pub bans: Vec<Ban>,
}

/// Which ones: as the list tells them.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    pub user: Option<String>,
    pub address: Option<String>,
    /// With a user: the lock of a PIN, on this trunk.
    pub organisation: Option<String>,
    pub trunk: Option<String>,
}

/// Sign-ins and PINs that are locked now.
#[utoipa::path(
    get,
    path = "/api/v1/admin/bans",
    tag = "administration",
    responses(
        (status = 200, description = "the locks", body = BanList),
        OfAdministration,
    ),
)]
pub async fn list(State(web): State<Web>, _: AdministratorViewer) -> Json<BanList> {
    Json(BanList { bans: listed(&web) })
}

/// The locks that hold now. Shared by the API and the page.
pub fn listed(web: &Web) -> Vec<Ban> {
    let now = clock::now();
    let sign_ins = web.sign_ins.locked(now).into_iter();
    let sign_ins = sign_ins.map(|(suspect, rest)| Ban::of(suspect, rest));
    let snapshot = web.live.snapshot();
    let pins = snapshot.locks.iter().filter(|lock| now < lock.until);
    sign_ins.chain(pins.map(Ban::of_pin)).collect()
}

/// Lifts locks: with a user or an address alone, all of it that the list tells.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/bans",
    tag = "administration",
    params(Asked),
    responses(
        (status = 204, description = "lifted"),
        (status = 400, description = "neither a user nor an address", body = RefusalBody),
        (status = 404, description = "there is no such lock", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn lift(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Parameters(asked): Parameters<Asked>,
) -> Result<StatusCode, Refusal> {
    if let Some(lock) = asked.pin()? {
        let row = lift_pin(&web, &administrator, lock).await?;
        web.store.audit(vec![row]).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let wanted = asked.wanted()?;
    let locked = web.sign_ins.locked(clock::now()).into_iter();
    let lifted = locked
        .map(|(suspect, _)| suspect)
        .filter(|suspect| wanted.means(suspect) && web.sign_ins.lift(suspect));
    let rows = lifted.map(|suspect| Row {
        detail: Some(Ban::named(&suspect)),
        ..administrator.row("admin_lift_ban")
    });
    let mut rows: Vec<Row> = rows.collect();
    for lock in &web.live.snapshot().locks {
        if wanted.means_pin_of(&lock.supervisor) {
            rows.extend(lift_pin(&web, &administrator, Pin::of(lock)).await.ok());
        }
    }
    if rows.is_empty() {
        return Err(Refusal::not_found());
    }
    web.store.audit(rows).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lifts the lock of a PIN; the row that tells it.
async fn lift_pin(
    web: &Web,
    administrator: &AdministratorViewer,
    lock: Pin,
) -> Result<Row, Refusal> {
    let row = Row {
        organisation: Some(lock.organisation.to_string()),
        detail: Some(format!("PIN of {}/{}", lock.organisation, lock.supervisor)),
        ..administrator.row("admin_lift_ban")
    };
    let ask = Ask::LiftLock {
        organisation: lock.organisation,
        supervisor: lock.supervisor,
        trunk: lock.trunk,
    };
    let conflict = "The lock cannot be lifted now.";
    web.ask(administrator.viewer.operator(), ask, conflict)
        .await?;
    Ok(row)
}

/// The lock of a PIN that is asked for.
struct Pin {
    organisation: Arc<str>,
    supervisor: Arc<str>,
    trunk: Option<Arc<str>>,
}

impl Pin {
    fn of(lock: &LockView) -> Self {
        Self {
            organisation: lock.organisation.clone(),
            supervisor: lock.supervisor.clone(),
            trunk: lock.trunk.clone(),
        }
    }
}

impl Asked {
    fn pin(&self) -> Result<Option<Pin>, Refusal> {
        let named = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(Arc::from)
        };
        let Some(organisation) = named(&self.organisation) else {
            return Ok(None);
        };
        let Some(supervisor) = named(&self.user) else {
            return Err(Refusal::bad_request("expected a user of the organisation"));
        };
        Ok(Some(Pin {
            organisation,
            supervisor,
            trunk: named(&self.trunk),
        }))
    }

    fn wanted(self) -> Result<Wanted, Refusal> {
        let user = self.user.filter(|user| !user.is_empty()).map(Arc::from);
        let address = self.address.filter(|address| !address.is_empty());
        let address = address
            .map(|text| {
                text.parse::<IpAddr>().map_err(|_| {
                    let text = format!("address: expected an IP address, found {text:?}");
                    Refusal::bad_request(text)
                })
            })
            .transpose()?;
        if user.is_none() && address.is_none() {
            return Err(Refusal::bad_request("expected a user, an address, or both"));
        }
        Ok(Wanted { user, address })
    }
}

/// Locks of sign-ins: those of a name, wherever it was tried from, of an address, whatever it
/// tried, or of the one from the other.
struct Wanted {
    user: Option<Arc<str>>,
    address: Option<IpAddr>,
}

impl Wanted {
    fn means_pin_of(&self, supervisor: &Arc<str>) -> bool {
        self.address.is_none() && self.user.as_ref() == Some(supervisor)
    }

    fn means(&self, suspect: &Suspect) -> bool {
        let (user, address) = match suspect {
            Suspect::Both { user, address } => (Some(user), Some(address)),
            Suspect::User(user) => (Some(user), None),
            Suspect::Address(address) => (None, Some(address)),
        };
        (self.user.is_none() || self.user.as_ref() == user)
            && (self.address.is_none() || self.address.as_ref() == address)
    }
}

impl Ban {
    fn of(suspect: Suspect, rest: Duration) -> Self {
        let (user, address) = match suspect {
            Suspect::Both { user, address } => (Some(user), Some(address)),
            Suspect::User(user) => (Some(user), None),
            Suspect::Address(address) => (None, Some(address)),
        };
        let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
        Self {
            kind: BanKind::SignIn,
            user: user.map(|user| user.to_string()),
            address: address.map(|address| address.to_string()),
            organisation: None,
            trunk: None,
            until: rfc3339(clock::utc_ms().saturating_add(rest)),
        }
    }

    fn of_pin(lock: &LockView) -> Self {
        Self {
            kind: BanKind::Pin,
            user: Some(lock.supervisor.to_string()),
            address: None,
            organisation: Some(lock.organisation.to_string()),
            trunk: lock.trunk.as_deref().map(str::to_owned),
            until: rfc3339(utc_ms_of(lock.until)),
        }
    }

    /// For the audit.
    fn named(suspect: &Suspect) -> String {
        match suspect {
            Suspect::Both { user, address } => format!("{user} from {address}"),
            Suspect::User(user) => user.to_string(),
            Suspect::Address(address) => address.to_string(),
        }
    }
}
