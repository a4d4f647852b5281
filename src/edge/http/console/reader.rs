//! One who reads audit and reports: a supervisor, or an administrator.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;

use crate::control::directory::Directory;
use crate::edge::http::Web;
use crate::edge::http::console::answer;
use crate::edge::http::console::cards::Sight;
use crate::edge::http::console::frame::{self, Frame, Place};
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::console::visitor::{Kind, Supervisor, Visitor};
use crate::edge::http::viewer::{AdministratorViewer, Viewer};

pub struct Reader {
    pub viewer: Viewer,
    who: Who,
}

enum Who {
    Supervisor(Box<Supervisor>),
    Administrator(AdministratorViewer, Tongue),
}

impl FromRequestParts<Web> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, web).await?;
        let tongue = visitor.tongue;
        match visitor.who {
            Kind::Supervisor(viewer) => Ok(Self {
                viewer: viewer.viewer.clone(),
                who: Who::Supervisor(Box::new(Supervisor {
                    viewer: *viewer,
                    tongue,
                    headers: visitor.headers,
                })),
            }),
            Kind::Administrator(viewer) => Ok(Self {
                viewer: viewer.viewer.clone(),
                who: Who::Administrator(viewer, tongue),
            }),
            Kind::Agent(_) => Err(answer::elsewhere("/")),
        }
    }
}

impl Reader {
    pub async fn frame(&self, web: &Web, place: Place) -> Result<Frame, Response> {
        match &self.who {
            Who::Supervisor(supervisor) => Ok(Sight::at(web, supervisor).await?.frame(place)),
            Who::Administrator(viewer, tongue) => Ok(administrator(viewer, *tongue, place)),
        }
    }

    /// Names of the people that the reader may know.
    pub fn names(&self, web: &Web) -> Names {
        let organisation = match &self.who {
            Who::Supervisor(supervisor) => Some(supervisor.viewer.organisation.clone()),
            Who::Administrator(..) => None,
        };
        Names {
            directory: web.people.directory(),
            organisation,
        }
    }
}

/// The frame of an administrator's pages.
pub fn administrator(viewer: &AdministratorViewer, tongue: Tongue, place: Place) -> Frame {
    let mut frame = Frame::bare(tongue, place, frame::Reader::Administrator);
    frame.name = viewer.user.to_string();
    frame.organisation = tongue.text("frame.administrator").to_owned();
    frame.csrf = viewer.viewer.csrf.clone();
    frame
}

/// All organisations, to choose from: id and name.
pub fn organisations(directory: &Directory) -> Vec<(String, String)> {
    let entries = directory.organisations.values();
    entries
        .map(|entry| (entry.id.to_string(), entry.name.to_string()))
        .collect()
}

/// What people are called.
pub struct Names {
    directory: Arc<Directory>,
    /// The one whose people the reader may know; `None`: all.
    organisation: Option<Arc<str>>,
}

impl Names {
    pub fn supervisor(&self, organisation: &str, user: &str) -> String {
        let key = (Arc::from(organisation), Arc::from(user));
        let entry = self.directory.supervisors.get(&key);
        entry.map_or(user, |entry| &entry.name).to_owned()
    }

    pub fn agent(&self, organisation: &str, extension: &str) -> String {
        let key = (Arc::from(organisation), Arc::from(extension));
        match self.directory.agents.get(&key) {
            Some(entry) => format!("{} · {extension}", entry.name),
            None => extension.to_owned(),
        }
    }

    pub fn supervisors(&self) -> Vec<(String, String)> {
        let entries = self.directory.supervisors.values();
        entries
            .filter(|entry| self.knows(&entry.organisation))
            .map(|entry| (entry.user.to_string(), entry.name.to_string()))
            .collect()
    }

    pub fn agents(&self) -> Vec<(String, String)> {
        let entries = self.directory.agents.values();
        entries
            .filter(|entry| self.knows(&entry.organisation))
            .map(|entry| (entry.extension.to_string(), entry.name.to_string()))
            .collect()
    }

    fn knows(&self, organisation: &Arc<str>) -> bool {
        self.organisation
            .as_ref()
            .is_none_or(|own| own == organisation)
    }
}
