//! Agents: who does what, by pool or all, and listening to one of them.

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::edge::http::Web;
use crate::edge::http::agents::{Agent, Presence};
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::cards::{Sight, customer, since};
use crate::edge::http::console::frame::{Frame, Place, initials};
use crate::edge::http::console::visitor::Supervisor;

#[derive(Template)]
#[template(path = "agents.html")]
struct Page {
    frame: Frame,
    summary: String,
    pool_names: Vec<(String, bool)>,
    pools: Vec<PoolCard>,
    rows: Vec<AgentRow>,
}

struct PoolCard {
    name: String,
    href: String,
    chosen: bool,
    /// How many of its agents do what.
    tags: Vec<Count>,
}

struct Count {
    class: &'static str,
    text: String,
}

pub struct AgentRow {
    pub extension: String,
    pub name: String,
    pub initials: String,
    pub pools: String,
    pub presence: &'static str,
    pub presence_text: &'static str,
    pub since: Option<String>,
    pub clock: String,
    pub call: Option<String>,
    pub customer: String,
    /// The viewer's own session in that call.
    pub session: Option<String>,
    pub watched: bool,
}

#[derive(Default, Deserialize)]
pub struct Choice {
    #[serde(default)]
    pool: String,
}

/// `GET /agents`.
pub async fn show(
    State(web): State<Web>,
    supervisor: Supervisor,
    Query(choice): Query<Choice>,
) -> Answer {
    let sight = Sight::at(&web, &supervisor).await?;
    let frame = sight.frame(Place::Agents);
    let shown = |agent: &&Agent| choice.pool.is_empty() || agent.pools.contains(&choice.pool);
    let rows: Vec<AgentRow> = sight
        .agents
        .iter()
        .filter(shown)
        .map(|agent| row(&sight, agent))
        .collect();
    let busy = rows.iter().filter(|row| row.presence == "on_call").count();
    let names = supervisor.viewer.entry.pools.iter();
    Ok(answer::page(&Page {
        summary: frame.fill(
            "agents.summary",
            &[
                ("busy", &busy.to_string()),
                ("count", &rows.len().to_string()),
            ],
        ),
        pool_names: names
            .clone()
            .map(|pool| (pool.to_string(), **pool == *choice.pool))
            .collect(),
        pools: names.map(|pool| pool_card(&sight, pool, &choice)).collect(),
        rows,
        frame,
    }))
}

pub fn row(sight: &Sight<'_>, agent: &Agent) -> AgentRow {
    let call = agent.call.as_ref().and_then(|call| sight.call(call));
    let session = call.and_then(|call| sight.session(&call.id));
    let presence = presence_name(agent.presence);
    AgentRow {
        extension: agent.extension.clone(),
        name: agent.name.clone(),
        initials: initials(&agent.name),
        pools: agent.pools.join(", "),
        presence,
        presence_text: sight.t(&format!("presence.{presence}")),
        clock: agent.since.as_deref().map(since).unwrap_or_default(),
        since: agent.since.clone(),
        call: call.map(|call| call.id.clone()),
        customer: call.map(customer).unwrap_or_default(),
        session: session.map(|session| session.id.clone()),
        watched: agent.watched,
    }
}

fn pool_card(sight: &Sight<'_>, pool: &str, choice: &Choice) -> PoolCard {
    let kinds = [
        Presence::OnCall,
        Presence::Ringing,
        Presence::Idle,
        Presence::Unregistered,
    ];
    let count = |kind| {
        let agents = sight.agents.iter();
        agents
            .filter(|agent| agent.presence == kind && agent.pools.iter().any(|name| name == pool))
            .count()
    };
    let chosen = choice.pool == pool;
    PoolCard {
        name: pool.to_owned(),
        // The chosen pool's card leads back to all of them.
        href: match chosen {
            true => "/agents".to_owned(),
            false => format!("/agents?pool={}", in_query(pool)),
        },
        chosen,
        tags: kinds
            .into_iter()
            .map(|kind| (kind, count(kind)))
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| {
                let name = presence_name(kind);
                Count {
                    class: name,
                    text: format!("{count} {}", sight.t(&format!("presence.{name}"))),
                }
            })
            .collect(),
    }
}

fn presence_name(presence: Presence) -> &'static str {
    match presence {
        Presence::Idle => "idle",
        Presence::Ringing => "ringing",
        Presence::OnCall => "on_call",
        Presence::Unregistered => "unregistered",
    }
}

/// Percent-encoded for a query (RFC 3986 §2).
pub fn in_query(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
