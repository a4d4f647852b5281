//! Who looks at a page. One who is not signed in is shown the door, and not an API's refusal.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;

use crate::edge::http::Web;
use crate::edge::http::console::answer;
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::viewer::{AdministratorViewer, AgentViewer, SupervisorViewer, Viewer, Who};

/// Somebody who is signed in, and their language.
pub struct Visitor {
    pub who: Kind,
    pub tongue: Tongue,
    pub headers: HeaderMap,
}

pub enum Kind {
    Supervisor(Box<SupervisorViewer>),
    Agent(Box<AgentViewer>),
    Administrator(AdministratorViewer),
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let viewer = <Viewer as FromRequestParts<Web>>::from_request_parts(parts, web).await;
        let who = match viewer.map_err(answer::refused)?.who {
            Who::Supervisor { .. } => {
                let viewer = SupervisorViewer::from_request_parts(parts, web).await;
                Kind::Supervisor(Box::new(viewer.map_err(answer::refused)?))
            }
            Who::Agent { .. } => {
                let viewer = AgentViewer::from_request_parts(parts, web).await;
                Kind::Agent(Box::new(viewer.map_err(answer::refused)?))
            }
            Who::Administrator { .. } => {
                let viewer = AdministratorViewer::from_request_parts(parts, web).await;
                Kind::Administrator(viewer.map_err(answer::refused)?)
            }
        };
        Ok(Self {
            who,
            tongue: Tongue::of(&parts.headers),
            headers: parts.headers.clone(),
        })
    }
}

/// A supervisor at a page for supervisors; anybody else is led to their own first page.
pub struct Supervisor {
    pub viewer: SupervisorViewer,
    pub tongue: Tongue,
    pub headers: HeaderMap,
}

impl FromRequestParts<Web> for Supervisor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, web).await?;
        match visitor.who {
            Kind::Supervisor(viewer) => Ok(Self {
                viewer: *viewer,
                tongue: visitor.tongue,
                headers: visitor.headers,
            }),
            Kind::Agent(_) | Kind::Administrator(_) => Err(answer::elsewhere("/")),
        }
    }
}

/// An administrator at a page for administrators.
pub struct Administrator {
    pub viewer: AdministratorViewer,
    pub tongue: Tongue,
}

impl FromRequestParts<Web> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, web).await?;
        match visitor.who {
            Kind::Administrator(viewer) => Ok(Self {
                viewer,
                tongue: visitor.tongue,
            }),
            Kind::Agent(_) | Kind::Supervisor(_) => Err(answer::elsewhere("/")),
        }
    }
}
