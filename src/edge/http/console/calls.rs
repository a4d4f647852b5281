//! Active calls: the first page of a supervisor.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;

use crate::edge::http::Web;
use crate::edge::http::calls::Call;
use crate::edge::http::console::acts::Act;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::cards::{Sight, customer, state_name};
use crate::edge::http::console::desk;
use crate::edge::http::console::frame::{Frame, Place, clock_text, initials};
use crate::edge::http::console::visitor::{Kind, Supervisor, Visitor};

#[derive(Template)]
#[template(path = "calls.html")]
struct Page {
    frame: Frame,
    summary: String,
    /// Supervision is off for the organisation.
    off: bool,
    filtered: bool,
    no_agents: bool,
    /// Pools and agents to choose from, and whether they are chosen.
    pools: Vec<(String, bool)>,
    agents: Vec<(String, String, bool)>,
    rows: Vec<Row>,
}

struct Row {
    id: String,
    agent: String,
    initials: String,
    /// Extension and pool.
    line: String,
    customer: String,
    since: String,
    clock: String,
    from: String,
    to: String,
    contact: String,
    tags: Vec<Tag>,
    /// The viewer's own session, and what they do in it.
    session: Option<String>,
    role: &'static str,
    acts: Vec<Act>,
}

struct Tag {
    class: &'static str,
    icon: &'static str,
    text: String,
}

#[derive(Default, Deserialize)]
pub struct Choice {
    #[serde(default)]
    pool: String,
    #[serde(default)]
    agent: String,
}

/// `GET /`: everybody's own first page.
pub async fn home(
    State(web): State<Web>,
    visitor: Visitor,
    Query(choice): Query<Choice>,
) -> Answer {
    let (tongue, headers) = (visitor.tongue, visitor.headers);
    match visitor.who {
        Kind::Supervisor(viewer) => {
            let supervisor = Supervisor {
                viewer: *viewer,
                tongue,
                headers,
            };
            show(&web, &supervisor, &choice).await
        }
        Kind::Agent(viewer) => Ok(desk::show(&web, &viewer, tongue)),
        Kind::Administrator(_) => Err(answer::elsewhere("/people")),
    }
}

async fn show(web: &Web, supervisor: &Supervisor, choice: &Choice) -> Answer {
    let sight = Sight::at(web, supervisor).await?;
    let frame = sight.frame(Place::Calls);
    let asked = rows_asked(&supervisor.headers);
    let shown = |call: &&Call| {
        chosen(&sight, choice, call) && asked.as_ref().is_none_or(|ids| ids.contains(&&*call.id))
    };
    let rows: Vec<Row> = sight
        .calls
        .iter()
        .filter(shown)
        .map(|call| row(&sight, call))
        .collect();
    let count = sight
        .calls
        .iter()
        .filter(|call| chosen(&sight, choice, call))
        .count();
    let viewer = &supervisor.viewer;
    Ok(answer::page(&Page {
        summary: match count {
            0 => frame.t("calls.summary_none").to_owned(),
            1 => frame.t("calls.summary_one").to_owned(),
            _ => frame.fill("calls.summary", &[("count", &count.to_string())]),
        },
        off: !sight.on,
        filtered: !sight.calls.is_empty() && (!choice.pool.is_empty() || !choice.agent.is_empty()),
        no_agents: sight.agents.is_empty(),
        // Who asks for rows has the filters already.
        pools: (asked
            .is_none()
            .then_some(&viewer.entry.pools)
            .into_iter()
            .flatten())
        .map(|pool| (pool.to_string(), **pool == *choice.pool))
        .collect(),
        agents: (asked
            .is_none()
            .then_some(&sight.agents)
            .into_iter()
            .flatten())
        .map(|agent| {
            let chosen = agent.extension == choice.agent;
            (agent.extension.clone(), agent.name.clone(), chosen)
        })
        .collect(),
        rows,
        frame,
    }))
}

/// The rows that the script asks for, where it does not want them all.
fn rows_asked(headers: &HeaderMap) -> Option<Vec<&str>> {
    let asked = headers.get("x-rows")?.to_str().ok()?;
    Some(asked.split(',').collect())
}

fn chosen(sight: &Sight<'_>, choice: &Choice, call: &Call) -> bool {
    let in_pool = || match &call.pool {
        Some(pool) => *pool == choice.pool,
        None => sight.agents.iter().any(|agent| {
            agent.extension == call.agent.extension && agent.pools.contains(&choice.pool)
        }),
    };
    (choice.agent.is_empty() || call.agent.extension == choice.agent)
        && (choice.pool.is_empty() || in_pool())
}

fn row(sight: &Sight<'_>, call: &Call) -> Row {
    let session = sight.session(&call.id);
    let line = match &call.pool {
        Some(pool) => format!("{} · {pool}", call.agent.extension),
        None => call.agent.extension.clone(),
    };
    Row {
        id: call.id.clone(),
        agent: call.agent.name.clone(),
        initials: initials(&call.agent.name),
        line,
        customer: customer(call),
        since: call.answered_at.clone(),
        clock: clock_text(call.duration_s),
        from: call.from.clone(),
        to: call.to.clone(),
        contact: call.contact.clone().unwrap_or_default(),
        tags: tags(sight, call),
        session: session.map(|session| session.id.clone()),
        role: session.map_or("", |session| state_name(session.state)),
        acts: sight.acts(call),
    }
}

fn tags(sight: &Sight<'_>, call: &Call) -> Vec<Tag> {
    let mut tags = Vec::new();
    if let Some(session) = sight.session(&call.id) {
        tags.push(Tag {
            class: "mine",
            icon: "ear",
            text: sight
                .t(&format!("tag.{}", state_name(session.state)))
                .to_owned(),
        });
    }
    if call.help_wanted {
        tags.push(Tag {
            class: "warn",
            icon: "help",
            text: sight.t("tag.help").to_owned(),
        });
    }
    if call.on_hold {
        tags.push(Tag {
            class: "",
            icon: "pause",
            text: sight.t("tag.hold").to_owned(),
        });
    }
    let others = call.sessions.iter().filter(|session| !session.mine);
    let others: Vec<String> = others
        .map(|session| sight.supervisor_name(&session.supervisor))
        .collect();
    if !others.is_empty() {
        tags.push(Tag {
            class: "info",
            icon: "eye",
            text: sight
                .tongue
                .fill("tag.others", &[("names", &others.join(", "))]),
        });
    }
    tags
}
