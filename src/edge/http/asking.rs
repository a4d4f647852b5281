//! What rows ask of call control, and how its answers become theirs.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::control::input::{Ask, Operator, Reply};
use crate::edge::http::Web;
use crate::edge::http::refusal::Refusal;

impl Web {
    /// Asks call control, and waits for what came of it. `conflict` is said where the state of
    /// things does not allow it.
    pub async fn ask(&self, who: Operator, ask: Ask, conflict: &str) -> Result<Reply, Refusal> {
        match self.live.ask(who, ask).await? {
            Reply::Refused(code) => Err(Refusal::of(&self.catalogue, code)),
            Reply::NotFound => Err(Refusal::not_found()),
            Reply::Conflict => Err(Refusal::conflict(conflict)),
            reply => Ok(reply),
        }
    }
}

/// The name of a thing in the path. What cannot be one names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Ok(Path(name)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(Refusal::not_found());
        };
        name.parse().map(Self).map_err(|_| Refusal::not_found())
    }
}

/// All names of the path, as text. What is no text names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct Segments<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => Err(Refusal::not_found()),
        }
    }
}
