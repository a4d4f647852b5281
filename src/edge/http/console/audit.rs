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
    /// The day and the time of it, with milliseconds, in UTC.
    day: String,
    at: String,
    /// The same as RFC 3339.
    when: String,
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
    let when = rfc3339(row.at_ms);
    let (day, at) = when.split_once('T').unwrap_or((&when, ""));
    Entry {
        day: day.to_owned(),
        at: at.trim_end_matches('Z').to_owned(),
        actor: names.supervisor(organisation, &row.actor),
        action: named(frame, "audit.action", &row.action),
        detail: detail(frame, row.detail.as_deref().unwrap_or_default()),
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
        when,
    }
}

/// What is said beside the action: in words where it is one of the service's own, as it is where
/// it is a number, a key or a name.
fn detail(frame: &Frame, text: &str) -> String {
    for family in ["audit.detail", "reports.role"] {
        match frame.t(&format!("{family}_{}", text.replace(' ', "_"))) {
            "" => {}
            words => return words.to_owned(),
        }
    }
    let Some((first, rest)) = text.split_once(' ') else {
        return text.to_owned();
    };
    match (first, rest.split_once(' ')) {
        ("created", _) => frame.fill("audit.detail_created", &[("what", &subject(frame, rest))]),
        ("changed", _) => frame.fill("audit.detail_changed", &[("what", &subject(frame, rest))]),
        ("removed", _) => frame.fill("audit.detail_removed", &[("what", &subject(frame, rest))]),
        ("from", _) => frame.fill("audit.detail_from", &[("what", rest)]),
        ("PIN", Some(("of", whose))) => frame.fill("audit.detail_pin", &[("what", whose)]),
        (created, Some(("created,", rest))) => {
            let changed = rest.trim_end_matches(" changed");
            let counts = [("created", created), ("changed", changed)];
            frame.fill("audit.detail_imported", &counts)
        }
        _ => subject(frame, text),
    }
}

/// `agent acme/204: name` with its kind in words; fields are called as people.toml calls them.
fn subject(frame: &Frame, text: &str) -> String {
    let (kind, name) = text.split_once(' ').unwrap_or(("", text));
    match frame.t(&format!("audit.kind_{kind}")) {
        "" => text.to_owned(),
        kind => format!("{kind} {name}"),
    }
}

/// The words for a name of the audit; the name itself where there are none.
pub fn named(frame: &Frame, family: &str, name: &str) -> String {
    match frame.t(&format!("{family}_{name}")) {
        "" => name.replace('_', " "),
        words => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use regex::Regex;

    use crate::control::order::Order;
    use crate::edge::http::console::frame;
    use crate::edge::http::console::texts::Tongue;

    #[test]
    fn every_action_and_reason_that_is_written_has_words_in_every_language() {
        let code = sources();
        let written = |pattern: &str| -> BTreeSet<String> {
            let pattern = Regex::new(pattern).unwrap();
            let found = code.iter().flat_map(|text| pattern.captures_iter(text));
            found.map(|found| found[1].to_owned()).collect()
        };
        let mut actions = written(
            r#"\b(?:audit_of|audit|help_changed|refuse_order|refuse_help|by_system|by_command|row|note)\((?:[^"()]|\((?:[^"()]|\([^"()]*\))*\))*"([a-z_]+)""#,
        );
        actions.extend(written(
            r#"(?:HelpState::[A-Za-z]+|_|"in_progress") => "(help_[a-z]+)","#,
        ));
        actions.extend(written(r#"const ACTION: &str = "([a-z_]+)""#));
        actions.extend(Order::ALL.map(|order| order.action().to_owned()));
        let reasons = written(
            r#"\b(?:end_session|leave_call|abandon|hang_up_supervisor|give_up_callback)\((?:[^"()]|\((?:[^"()]|\([^"()]*\))*\))*"([a-z_]+)""#,
        );

        for some in [
            "join",
            "takeover",
            "help_expire",
            "set_phone",
            "audit_prune",
        ] {
            assert!(actions.contains(some), "{some} was not found: {actions:?}");
        }
        assert!(reasons.contains("ended_by_operator"), "{reasons:?}");
        for tongue in Tongue::ALL {
            let named = |family: &str, name: &str| {
                let key = format!("audit.{family}_{name}");
                assert_ne!(tongue.text(&key), "", "{key} in {}", tongue.name());
            };
            actions.iter().for_each(|name| named("action", name));
            reasons.iter().for_each(|name| named("detail", name));
        }
    }

    #[test]
    fn what_an_administrator_changed_is_told_in_words() {
        let frame = Frame::bare(Tongue::Finnish, Place::Audit, frame::Reader::Administrator);
        let told = |text| detail(&frame, text);

        assert_eq!(
            told("changed supervisor acme/mia: phone"),
            "esihenkilö acme/mia: phone: muutettu"
        );
        assert_eq!(told("administrator root"), "ylläpitäjä root");
        assert_eq!(told("3 created, 2 changed"), "3 uutta, 2 muutettu");
        assert_eq!(told("PIN of acme/mia"), "PIN: acme/mia");
        assert_eq!(told("hung_up"), "sulki puhelimen");
        assert_eq!(told("coach"), "Kuiskaus");
        assert_eq!(told("4#"), "4#");
    }

    /// The code of the product below the console, without tests.
    fn sources() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders: Vec<PathBuf> = vec![root.join("control"), root.join("edge")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                if path.is_dir() && name != "console" {
                    folders.push(path);
                } else if path.is_file() && !["tests", "harness"].contains(&name) {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let product = text.split("#[cfg(test)]\nmod tests {").next();
                    found.push(product.unwrap_or_default().to_owned());
                }
            }
        }
        found
    }
}
