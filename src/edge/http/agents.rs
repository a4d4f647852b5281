//! The viewer's agents and pools, and what the agents are doing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::directory;
use crate::control::input::Identity;
use crate::control::policy;
use crate::control::snapshot::{self, Snapshot};
use crate::edge::http::Web;
use crate::edge::http::refusal::{Refusal, RefusalBody};
use crate::edge::http::time::{rfc3339, utc_ms_of};
use crate::edge::http::viewer::SupervisorViewer;

pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(agents))
        .routes(routes!(pools))
}

#[derive(Serialize, ToSchema)]
pub struct Agents {
    pub agents: Vec<Agent>,
}

#[derive(Serialize, ToSchema)]
pub struct Pools {
    pub pools: Vec<Pool>,
}

#[derive(Serialize, ToSchema)]
pub struct Pool {
    pub name: String,
    pub agents: Vec<Agent>,
}

#[derive(Clone, Serialize, ToSchema)]
pub struct Agent {
    pub extension: String,
    pub name: String,
    pub pools: Vec<String>,
    pub presence: Presence,
    /// Since when the agent is on the call.
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// The agent's call, where the viewer may supervise it.
    pub call: Option<String>,
    /// On the viewer's watch list.
    pub watched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    Idle,
    Ringing,
    OnCall,
    Unregistered,
}

/// The agents whom the viewer may supervise.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    tag = "agents",
    responses(
        (status = 200, description = "the agents", body = Agents),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn agents(
    State(web): State<Web>,
    viewer: SupervisorViewer,
) -> Result<Json<Agents>, Refusal> {
    let look = Look::at(&web, &viewer).await?;
    Ok(Json(Agents {
        agents: look.agents(|_| true),
    }))
}

/// The viewer's pools with their agents.
#[utoipa::path(
    get,
    path = "/api/v1/pools",
    tag = "agents",
    responses(
        (status = 200, description = "the pools", body = Pools),
        (status = 401, description = "not signed in", body = RefusalBody),
        (status = 403, description = "not a supervisor", body = RefusalBody),
        (status = 503, description = "the database does not answer", body = RefusalBody),
    ),
)]
pub async fn pools(
    State(web): State<Web>,
    viewer: SupervisorViewer,
) -> Result<Json<Pools>, Refusal> {
    let look = Look::at(&web, &viewer).await?;
    let of_organisation = |pool: &&Arc<str>| {
        let key = (viewer.organisation.clone(), Arc::clone(pool));
        viewer.directory.pools.contains_key(&key)
    };
    let pools = viewer.entry.pools.iter().filter(of_organisation);
    let pools = pools.map(|pool| Pool {
        name: pool.to_string(),
        agents: look.agents(|agent| agent.pools.contains(pool)),
    });
    Ok(Json(Pools {
        pools: pools.collect(),
    }))
}

/// One look at everybody: who is engaged, who is registered, who is watched.
pub struct Look<'a> {
    viewer: &'a SupervisorViewer,
    snapshot: Arc<Snapshot>,
    registered: Arc<[Identity]>,
    watched: BTreeSet<String>,
}

impl<'a> Look<'a> {
    pub async fn at(web: &Web, viewer: &'a SupervisorViewer) -> Result<Self, Refusal> {
        let watched = web.store.watchlist(&viewer.organisation, &viewer.user);
        Ok(Self {
            viewer,
            watched: watched.await?,
            snapshot: web.live.snapshot(),
            registered: web.registered.borrow().clone(),
        })
    }

    /// Agents in the viewer's scope, as far as they are wanted, by extension.
    pub fn agents(&self, wanted: impl Fn(&directory::Agent) -> bool) -> Vec<Agent> {
        let agents = self.viewer.directory.agents.values();
        agents
            .filter(|agent| policy::in_scope(&self.viewer.entry, agent) && wanted(agent))
            .map(|agent| self.describe(agent))
            .collect()
    }

    /// Those of the agents in scope who are on the viewer's watch list.
    pub fn watched(&self) -> Vec<Agent> {
        self.agents(|agent| self.watched.contains(&*agent.extension))
    }

    fn describe(&self, agent: &directory::Agent) -> Agent {
        let (presence, since) = self.presence(agent);
        let call = self.snapshot.calls.iter().find(|call| {
            call.agent.as_ref() == Some(&agent.extension) && self.viewer.sees_call(call)
        });
        Agent {
            extension: agent.extension.to_string(),
            name: agent.name.to_string(),
            pools: agent.pools.iter().map(ToString::to_string).collect(),
            presence,
            since,
            call: call.map(|call| call.id.to_string()),
            watched: self.watched.contains(&*agent.extension),
        }
    }

    fn presence(&self, agent: &directory::Agent) -> (Presence, Option<String>) {
        let engaged = self.snapshot.agents.iter().find(|engaged| {
            engaged.organisation == agent.organisation && engaged.extension == agent.extension
        });
        let engaged = engaged.map(|engaged| engaged.presence);
        let (presence, at) = presence(agent, engaged, self.is_registered(agent));
        (presence, at.map(since))
    }

    fn is_registered(&self, agent: &directory::Agent) -> bool {
        self.registered.contains(&Identity::Agent {
            organisation: agent.organisation.clone(),
            extension: agent.extension.clone(),
        })
    }
}

/// What an agent is doing, and since when they are on a call.
pub fn presence(
    agent: &directory::Agent,
    engaged: Option<snapshot::Presence>,
    registered: bool,
) -> (Presence, Option<Instant>) {
    match engaged {
        Some(snapshot::Presence::Ringing) => (Presence::Ringing, None),
        Some(snapshot::Presence::OnCall { since }) => (Presence::OnCall, Some(since)),
        // A phone with a fixed contact needs not register.
        None if agent.contact.is_some() || registered => (Presence::Idle, None),
        None => (Presence::Unregistered, None),
    }
}

/// The beginning of a call, as it is shown.
pub fn since(instant: Instant) -> String {
    rfc3339(utc_ms_of(instant))
}
