//! Reports of supervision.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::accept::{form, headers_of};
use crate::edge::http::audit::{sight, time};
use crate::edge::http::refusal::{Parameters, Refusal, RefusalBody};
use crate::edge::http::viewer::Viewer;
use crate::edge::store::audit::export::Form;
use crate::edge::store::reports::{By, Period, ReportEntry};

/// What the file is called.
pub const REPORT: &str = "supervision-report";

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(supervision))
}

/// Which report is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Sessions that began, and help that was asked for, from this time on: `2026-11-21`, or
    /// `2026-11-21T09:00:00Z`.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
    /// `supervisor` (where nothing is said), `agent`, `pool` or `role`.
    #[param(inline)]
    pub by: Option<By>,
}

#[derive(Serialize, ToSchema)]
pub struct Report {
    pub by: By,
    /// In the order of organisation and key.
    pub report: Vec<ReportEntry>,
}

/// Sessions, how long they lasted and in which roles, and how soon requests for help were taken. A
/// session counts with its whole length in the period that it began in. A supervisor reads what
/// they did and what was done about the agents of their pools; an administrator reads all.
#[utoipa::path(
    get,
    path = "/api/v1/reports/supervision",
    tag = "audit",
    params(Asked),
    responses(
        (status = 200, description = "the report", content(
            (Report = "application/json"),
            (String = "text/csv"),
        )),
        (status = 400, description = "not a time, or no such report", body = RefusalBody),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "agents do not read reports", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn supervision(
    State(web): State<Web>,
    viewer: Viewer,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let sight = sight(&viewer)?;
    let period = Period {
        from_ms: time(asked.from.as_deref(), "from")?,
        to_ms: time(asked.to.as_deref(), "to")?,
    };
    let by = asked.by.unwrap_or_default();
    let lines = web
        .store
        .supervision_report(by, period, &sight, clock::utc_ms())
        .await?;
    let report: Vec<ReportEntry> = lines.into_iter().map(ReportEntry::from).collect();
    let form = form(&headers);
    Ok(match form {
        Form::Csv => (headers_of(form, REPORT), ReportEntry::csv(&report)?).into_response(),
        Form::Json => (headers_of(form, REPORT), Json(Report { by, report })).into_response(),
    })
}
