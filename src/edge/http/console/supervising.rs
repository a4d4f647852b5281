//! Supervising: whom one watches, how one is told, and the phone one listens with.

use askama::Template;
use axum::extract::State;

use crate::edge::http::Web;
use crate::edge::http::console::agents::{AgentRow, row};
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::cards::Sight;
use crate::edge::http::console::frame::{Frame, Place};
use crate::edge::http::console::visitor::Supervisor;
use crate::edge::http::phone::phone;

#[derive(Template)]
#[template(path = "supervising.html")]
struct Page {
    frame: Frame,
    rows: Vec<AgentRow>,
    /// Agents who are not watched: extension and name.
    others: Vec<(String, String)>,
    /// A number that waits to be proven.
    pending: Option<String>,
}

/// `GET /supervising`.
pub async fn show(State(web): State<Web>, supervisor: Supervisor) -> Answer {
    let sight = Sight::at(&web, &supervisor).await?;
    let agents = || sight.agents.iter();
    let phone = phone(&web, &supervisor.viewer).await;
    let phone = phone.map_err(answer::refused)?;
    Ok(answer::page(&Page {
        frame: sight.frame(Place::Supervising),
        rows: agents()
            .filter(|agent| agent.watched)
            .map(|agent| row(&sight, agent))
            .collect(),
        others: agents()
            .filter(|agent| !agent.watched)
            .map(|agent| (agent.extension.clone(), agent.name.clone()))
            .collect(),
        pending: phone.pending.map(|pending| pending.phone),
    }))
}
