//! The audit, newest row first, by filter.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::edge::http::Web;
use crate::edge::http::audit::{self, Asked};
use crate::edge::http::console::agents::in_query;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::frame::{Frame, Place};
use crate::edge::http::console::help::short_time;
use crate::edge::http::console::reader::Reader;
use crate::edge::http::refusal::Refusal;
use crate::edge::http::time::rfc3339;
use crate::edge::store::audit::Row;
use crate::edge::store::audit::export::{Export, Form};

/// Rows on a page.
const PAGE: u16 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    choice: Choice,
    supervisors: Vec<(String, String)>,
    agents: Vec<(String, String)>,
    csv: String,
    rows: Vec<Entry>,
    older: Option<String>,
    wrong: Option<String>,
}

struct Entry {
    at: String,
    actor: String,
    action: String,
    detail: String,
    role: String,
    agent: String,
    customer: String,
    source: String,
    outcome: String,
    class: &'static str,
    call: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Choice {
    pub from: String,
    pub to: String,
    pub supervisor: String,
    pub agent: String,
    pub call: String,
    /// The row before which the page begins.
    pub before: Option<i64>,
}

impl Choice {
    fn asked(&self) -> Asked {
        let some = |text: &String| Some(text.trim().to_owned());
        Asked {
            from: some(&self.from),
            to: some(&self.to).map(|to| whole_day(&to)),
            supervisor: some(&self.supervisor),
            agent: some(&self.agent),
            call: some(&self.call),
        }
    }

    fn query(&self) -> String {
        let fields = [
            ("from", &self.from),
            ("to", &self.to),
            ("supervisor", &self.supervisor),
            ("agent", &self.agent),
            ("call", &self.call),
        ];
        let filled = fields.into_iter().filter(|(_, text)| !text.is_empty());
        let pairs = filled.map(|(name, text)| format!("{name}={}", in_query(text)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Who chooses a last day wants that day whole.
pub fn whole_day(day: &str) -> String {
    let next = day
        .parse::<jiff::civil::Date>()
        .and_then(|day| day.tomorrow());
    next.map_or_else(|_| day.to_owned(), |next| next.to_string())
}

/// `GET /audit`.
pub async fn show(State(web): State<Web>, reader: Reader, Query(choice): Query<Choice>) -> Answer {
    let frame = reader.frame(&web, Place::Audit).await?;
    let sight = audit::sight(&reader.viewer).map_err(answer::refused)?;
    let (mut rows, mut wrong, mut status) = (Vec::new(), None, StatusCode::OK);
    match choice.asked().selection(sight) {
        Ok(selection) => {
            let found = web
                .store
                .audit_before(&selection, choice.before, PAGE)
                .await;
            rows = found.map_err(|error| answer::refused(Refusal::from(error)))?;
        }
        Err(refusal) => (wrong, status) = (Some(refusal.body.text), refusal.status),
    }
    let older = rows.last().filter(|_| rows.len() == usize::from(PAGE));
    let older = older.map(|row| format!("/audit?{}&before={}", choice.query(), row.seq));
    let names = reader.names(&web);
    let page = Page {
        csv: format!("/audit.csv?{}", choice.query()),
        rows: rows.iter().map(|row| entry(&frame, &names, row)).collect(),
        supervisors: names.supervisors(),
        agents: names.agents(),
        older,
        wrong,
        choice,
        frame,
    };
    Ok(answer::page_with(status, &page))
}

/// `GET /audit.csv`: what the page shows, all of it, as a file.
pub async fn csv(
    State(web): State<Web>,
    reader: Reader,
    Query(choice): Query<Choice>,
) -> Result<Response, Response> {
    let sight = audit::sight(&reader.viewer).map_err(answer::refused)?;
    let selection = choice.asked().selection(sight).map_err(answer::refused)?;
    let export = Export::new(web.store.clone(), selection, Form::Csv);
    let page = audit::hand_out(export, Form::Csv)
        .await
        .map_err(answer::refused)?;
    Ok(page.into_response())
}

fn entry(frame: &Frame, names: &crate::edge::http::console::reader::Names, row: &Row) -> Entry {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let role = |role: &Option<String>| match role.as_deref() {
        Some(role) => named(frame, "reports.role", role),
        None => String::new(),
    };
    let (before, after) = (role(&row.role_before), role(&row.role_after));
    let outcome = named(frame, "audit.outcome", &row.outcome);
    let organisation = row.organisation.as_deref().unwrap_or_default();
    Entry {
        at: short_time(&rfc3339(row.at_ms)),
        actor: names.supervisor(organisation, &row.actor),
        action: named(frame, "audit.action", &row.action),
        detail: text(&row.detail),
        role: match (before.is_empty(), after.is_empty()) {
            (true, true) => String::new(),
            (true, false) => after,
            (false, true) => before,
            (false, false) if before == after => before,
            (false, false) => format!("{before} → {after}"),
        },
        agent: names.agent(organisation, &text(&row.agent)),
        customer: text(&row.customer),
        source: named(frame, "audit.source", &row.source),
        outcome: match row.code {
            Some(code) => format!("{outcome} · {code}"),
            None => outcome,
        },
        class: match row.outcome.as_str() {
            "done" => "good",
            "refused" => "warn",
            "failed" => "bad",
            _ => "",
        },
        call: text(&row.call),
    }
}

/// The words for a name of the audit; the name itself where there are none.
pub fn named(frame: &Frame, family: &str, name: &str) -> String {
    match frame.t(&format!("{family}_{name}")) {
        "" => name.replace('_', " "),
        words => words.to_owned(),
    }
}
