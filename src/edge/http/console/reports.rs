//! Reports: sessions, time in each role, and how soon help came; as charts and as a table.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::accept::headers_of;
use crate::edge::http::audit::{sight, time};
use crate::edge::http::console::agents::in_query;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::audit::{named, whole_day};
use crate::edge::http::console::chart::{Chart, Entry};
use crate::edge::http::console::frame::{Frame, Place, clock_text};
use crate::edge::http::console::reader::{Names, Reader};
use crate::edge::http::refusal::Refusal;
use crate::edge::http::reports::REPORT;
use crate::edge::store::audit::export::Form;
use crate::edge::store::reports::{By, Line, Period, ReportEntry};

const ROLES: [(&str, &str); 5] = [
    ("monitor", "s-monitor"),
    ("coach", "s-coach"),
    ("whisper_caller", "s-whisper_caller"),
    ("barge", "s-barge"),
    ("takeover", "s-takeover"),
];

#[derive(Template)]
#[template(path = "reports.html")]
struct Page {
    frame: Frame,
    choice: Choice,
    kinds: Vec<(&'static str, String, bool)>,
    csv: String,
    wrong: Option<String>,
    figures: Vec<(&'static str, String)>,
    charts: Vec<Chart>,
    /// Roles: their colour and their name.
    key: Vec<(&'static str, String)>,
    by_role: bool,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    sessions: i64,
    duration: String,
    longest: String,
    roles: Vec<(String, String)>,
    help: String,
    response: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Choice {
    pub from: String,
    pub to: String,
    pub by: String,
}

impl Choice {
    fn by(&self) -> Result<By, Refusal> {
        Ok(match self.by.as_str() {
            "" | "supervisor" => By::Supervisor,
            "agent" => By::Agent,
            "pool" => By::Pool,
            "role" => By::Role,
            other => {
                let expected = "expected supervisor, agent, pool or role";
                let text = format!("by: {expected}, found {other:?}");
                return Err(Refusal::bad_request(text));
            }
        })
    }

    fn period(&self) -> Result<Period, Refusal> {
        Ok(Period {
            from_ms: time(Some(self.from.trim()), "from")?,
            to_ms: time(Some(&whole_day(self.to.trim())), "to")?,
        })
    }
}

/// `GET /reports`.
pub async fn show(State(web): State<Web>, reader: Reader, Query(choice): Query<Choice>) -> Answer {
    let frame = reader.frame(&web, Place::Reports).await?;
    let asked = choice.by().and_then(|by| Ok((by, choice.period()?)));
    let by = asked.as_ref().map_or(By::Supervisor, |(by, _)| *by);
    let (lines, wrong) = match asked {
        Ok((by, period)) => (report(&web, &reader, by, period).await?, None),
        Err(refusal) => (Vec::new(), Some(refusal.body.text)),
    };
    let status = match wrong {
        None => StatusCode::OK,
        Some(_) => StatusCode::BAD_REQUEST,
    };
    let names = reader.names(&web);
    let called = |line: &Line| called(&frame, &names, by, line);
    let kinds = [By::Supervisor, By::Agent, By::Pool, By::Role].map(|kind| {
        let name = kind.name();
        (name, named(&frame, "reports.by", name), kind == by)
    });
    let query = [
        ("from", &choice.from),
        ("to", &choice.to),
        ("by", &choice.by),
    ];
    let query = query.map(|(name, text)| format!("{name}={}", in_query(text)));
    let page = Page {
        csv: format!("/reports.csv?{}", query.join("&")),
        kinds: kinds.to_vec(),
        wrong,
        figures: figures(&frame, by, &lines),
        charts: charts(&frame, by, &lines, &called),
        key: ROLES
            .map(|(role, class)| (class, named(&frame, "reports.role", role)))
            .to_vec(),
        by_role: by == By::Role,
        rows: lines
            .iter()
            .map(|line| row(&frame, line, called(line)))
            .collect(),
        choice,
        frame,
    };
    Ok(answer::page_with(status, &page))
}

/// `GET /reports.csv`.
pub async fn csv(
    State(web): State<Web>,
    reader: Reader,
    Query(choice): Query<Choice>,
) -> Result<Response, Response> {
    let period = choice.period().map_err(answer::refused)?;
    let by = choice.by().map_err(answer::refused)?;
    let lines = report(&web, &reader, by, period).await?;
    let entries: Vec<ReportEntry> = lines.into_iter().map(ReportEntry::from).collect();
    let text = ReportEntry::csv(&entries).map_err(|error| answer::refused(error.into()))?;
    Ok((headers_of(Form::Csv, REPORT), text).into_response())
}

async fn report(web: &Web, reader: &Reader, by: By, period: Period) -> Result<Vec<Line>, Response> {
    let sight = sight(&reader.viewer).map_err(answer::refused)?;
    let lines = web
        .store
        .supervision_report(by, period, &sight, clock::utc_ms())
        .await;
    lines.map_err(|error| answer::refused(error.into()))
}

fn called(frame: &Frame, names: &Names, by: By, line: &Line) -> String {
    let Some(key) = line.key.as_deref() else {
        return frame.t("reports.no_pool").to_owned();
    };
    match by {
        By::Supervisor => names.supervisor(&line.organisation, key),
        By::Agent => names.agent(&line.organisation, key),
        By::Pool => key.to_owned(),
        By::Role => named(frame, "reports.role", key),
    }
}

fn figures(frame: &Frame, by: By, lines: &[Line]) -> Vec<(&'static str, String)> {
    let sum = |of: fn(&Line) -> i64| lines.iter().map(of).sum::<i64>();
    let mut figures = Vec::new();
    // A session counts once in every role that it was in.
    if by != By::Role {
        figures.push((
            frame.t("reports.sessions"),
            sum(|line| line.sessions).to_string(),
        ));
    }
    figures.push((
        frame.t("reports.duration"),
        lasting(sum(|line| line.duration_ms)),
    ));
    if by != By::Role {
        let accepted = sum(|line| line.help.accepted);
        let waited = sum(|line| line.help.response_mean_ms.unwrap_or(0) * line.help.accepted);
        figures.push((
            frame.t("reports.help"),
            sum(|line| line.help.requests).to_string(),
        ));
        let mean = waited.checked_div(accepted);
        figures.push((
            frame.t("reports.response"),
            mean.map_or("–".to_owned(), lasting),
        ));
    }
    figures
}

fn charts(frame: &Frame, by: By, lines: &[Line], called: &dyn Fn(&Line) -> String) -> Vec<Chart> {
    let bar = |label: String, value: String, size: i64| Entry {
        label,
        pieces: vec![("bar", size as f64, value.clone())],
        value,
    };
    let sessions = lines.iter();
    let sessions = sessions.map(|line| bar(called(line), line.sessions.to_string(), line.sessions));
    let mut charts = vec![Chart::new(
        "sessions",
        frame.t("reports.chart_sessions"),
        sessions.collect(),
    )];
    if by == By::Role {
        let time = lines.iter();
        let time = time.map(|line| bar(called(line), lasting(line.duration_ms), line.duration_ms));
        charts.push(Chart::new(
            "time",
            frame.t("reports.chart_roles"),
            time.collect(),
        ));
        return charts;
    }
    let roles = lines.iter().map(|line| {
        let pieces = ROLES.iter().zip(in_roles(line)).map(|((role, class), ms)| {
            let title = format!("{}: {}", named(frame, "reports.role", role), lasting(ms));
            (*class, ms as f64, title)
        });
        Entry {
            label: called(line),
            value: lasting(in_roles(line).iter().sum()),
            pieces: pieces.collect(),
        }
    });
    charts.push(Chart::new(
        "roles",
        frame.t("reports.chart_roles"),
        roles.collect(),
    ));
    let helped = lines.iter().filter_map(|line| {
        let mean = line.help.response_mean_ms?;
        Some(bar(called(line), lasting(mean), mean))
    });
    let helped: Vec<Entry> = helped.collect();
    if !helped.is_empty() {
        charts.push(Chart::new(
            "response",
            frame.t("reports.chart_response"),
            helped,
        ));
    }
    charts
}

fn row(frame: &Frame, line: &Line, name: String) -> Row {
    let roles = ROLES.iter().zip(in_roles(line));
    let roles = roles.map(|((role, _), ms)| (named(frame, "reports.role", role), lasting(ms)));
    Row {
        name,
        sessions: line.sessions,
        duration: lasting(line.duration_ms),
        longest: lasting(line.longest_ms),
        roles: roles.collect(),
        help: format!("{} / {}", line.help.accepted, line.help.requests),
        response: line.help.response_mean_ms.map_or("–".to_owned(), lasting),
    }
}

fn in_roles(line: &Line) -> [i64; 5] {
    let roles = line.roles;
    [
        roles.monitor_ms,
        roles.coach_ms,
        roles.whisper_caller_ms,
        roles.barge_ms,
        roles.takeover_ms,
    ]
}

fn lasting(ms: i64) -> String {
    clock_text(u64::try_from(ms / 1000).unwrap_or(0))
}
