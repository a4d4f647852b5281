//! Who asks: a cookie or a bearer token, and whom it belongs to.
//!
//! A browser sends its cookie by itself, whoever wrote the page, so that a write with a cookie has
//! to carry `X-CSRF-Token` as well; a bearer token is proof enough.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::control::directory::{Agent, Directory, SupervisorEntry};
use crate::control::input::{Operator, OperatorIdentity};
use crate::control::record::Source;
use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::refusal::Refusal;
use crate::edge::store::sign_ins::{Account, TokenHash};

/// The name of the session cookie.
pub const COOKIE: &str = "sottovoce_session";
/// The header that a write with a cookie carries.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// One who is signed in.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub who: Who,
    /// `Console` for a cookie, `Api` for a bearer token.
    pub source: Source,
    pub token: TokenHash,
    /// What writes of this sign-in carry when they come with a cookie.
    pub csrf: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Administrator {
        user: Arc<str>,
    },
    Supervisor {
        organisation: Arc<str>,
        user: Arc<str>,
    },
    Agent {
        organisation: Arc<str>,
        extension: Arc<str>,
    },
}

/// A supervisor, with the people as they are now.
#[derive(Clone, Debug)]
pub struct SupervisorViewer {
    pub viewer: Viewer,
    pub organisation: Arc<str>,
    pub user: Arc<str>,
    pub entry: SupervisorEntry,
    pub directory: Arc<Directory>,
}

/// An agent, with the people as they are now.
#[derive(Clone, Debug)]
pub struct AgentViewer {
    pub viewer: Viewer,
    pub organisation: Arc<str>,
    pub extension: Arc<str>,
    pub entry: Agent,
    pub directory: Arc<Directory>,
}

/// An administrator of the node, who sees to people and reads the audit, and does not supervise.
#[derive(Clone, Debug)]
pub struct AdministratorViewer {
    pub viewer: Viewer,
    pub user: Arc<str>,
}

impl Viewer {
    /// As call control knows them. An administrator belongs to no organisation.
    pub fn operator(&self) -> Operator {
        let (organisation, identity) = match &self.who {
            Who::Administrator { user } => {
                (Arc::from(""), OperatorIdentity::Administrator(user.clone()))
            }
            Who::Supervisor { organisation, user } => (
                organisation.clone(),
                OperatorIdentity::Supervisor(user.clone()),
            ),
            Who::Agent {
                organisation,
                extension,
            } => (
                organisation.clone(),
                OperatorIdentity::Agent(extension.clone()),
            ),
        };
        Operator {
            organisation,
            identity,
            source: self.source,
        }
    }
}

/// What writes of a sign-in carry: nobody can tell it who does not know the token.
pub fn csrf(token: &str) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(token.as_bytes()) {
        Ok(mac) => mac,
        // HMAC takes a key of any length (RFC 2104 §2).
        Err(_) => unreachable!("a key of a wrong length"),
    };
    mac.update(b"sottovoce csrf");
    hex::encode(mac.finalize().into_bytes())
}

impl FromRequestParts<Web> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Refusal> {
        let (token, source) = credentials(&parts.headers).ok_or_else(Refusal::unauthorised)?;
        let hash = TokenHash::of(token);
        let csrf = csrf(token);
        if source == Source::Console && !is_read(&parts.method) {
            let given = parts.headers.get(CSRF_HEADER);
            let given = given.map(|value| value.as_bytes()).unwrap_or_default();
            if !bool::from(given.ct_eq(csrf.as_bytes())) {
                let text = "A write with the session cookie carries X-CSRF-Token.";
                return Err(Refusal::forbidden(text));
            }
        }
        let account = web.store.signed_in(&hash, clock::utc_ms()).await?;
        let account = account.ok_or_else(Refusal::unauthorised)?;
        let directory = web.people.directory();
        let who = who(account, &directory).ok_or_else(Refusal::unauthorised)?;
        Ok(Self {
            who,
            source,
            token: hash,
            csrf,
        })
    }
}

impl OptionalFromRequestParts<Web> for Viewer {
    type Rejection = Refusal;

    /// `None` for one who is not signed in, or no longer.
    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Option<Self>, Refusal> {
        match <Self as FromRequestParts<Web>>::from_request_parts(parts, web).await {
            Ok(viewer) => Ok(Some(viewer)),
            Err(refusal) if refusal == Refusal::unauthorised() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}

impl FromRequestParts<Web> for SupervisorViewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Refusal> {
        let viewer = <Viewer as FromRequestParts<Web>>::from_request_parts(parts, web).await?;
        let Who::Supervisor { organisation, user } = viewer.who.clone() else {
            return Err(Refusal::forbidden("This is for supervisors."));
        };
        let directory = web.people.directory();
        let key = (organisation.clone(), user.clone());
        let entry = directory.supervisors.get(&key).cloned();
        Ok(Self {
            entry: entry.ok_or_else(Refusal::unauthorised)?,
            viewer,
            organisation,
            user,
            directory,
        })
    }
}

impl FromRequestParts<Web> for AgentViewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Refusal> {
        let viewer = <Viewer as FromRequestParts<Web>>::from_request_parts(parts, web).await?;
        let Who::Agent {
            organisation,
            extension,
        } = viewer.who.clone()
        else {
            return Err(Refusal::forbidden("This is for agents."));
        };
        let directory = web.people.directory();
        let key = (organisation.clone(), extension.clone());
        let entry = directory.agents.get(&key).cloned();
        Ok(Self {
            entry: entry.ok_or_else(Refusal::unauthorised)?,
            viewer,
            organisation,
            extension,
            directory,
        })
    }
}

impl FromRequestParts<Web> for AdministratorViewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Refusal> {
        let viewer = <Viewer as FromRequestParts<Web>>::from_request_parts(parts, web).await?;
        let Who::Administrator { user } = viewer.who.clone() else {
            return Err(Refusal::forbidden("This is for administrators."));
        };
        Ok(Self { viewer, user })
    }
}

/// The token that a request brings, and by which road. A bearer token goes before a cookie.
fn credentials(headers: &HeaderMap) -> Option<(&str, Source)> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let token = scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())?;
        return Some((token, Source::Api));
    }
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, token) = pairs.find(|(name, _)| *name == COOKIE)?;
    Some((token, Source::Console))
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The person of an account; `None` when they are no longer among the people.
fn who(account: Account, directory: &Directory) -> Option<Who> {
    match account {
        Account::Administrator { user } => Some(Who::Administrator { user: user.into() }),
        Account::Supervisor { organisation, user } => {
            let key = (Arc::from(organisation), Arc::from(user));
            let (key, _) = directory.supervisors.get_key_value(&key)?;
            let (organisation, user) = key.clone();
            Some(Who::Supervisor { organisation, user })
        }
        Account::Agent {
            organisation,
            extension,
        } => {
            let key = (Arc::from(organisation), Arc::from(extension));
            let (key, _) = directory.agents.get_key_value(&key)?;
            let (organisation, extension) = key.clone();
            Some(Who::Agent {
                organisation,
                extension,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_token_comes_as_bearer_or_in_our_cookie() {
        let bearer = headers(&[(header::AUTHORIZATION, "Bearer abc")]);
        let cookie = headers(&[(header::COOKIE, "a=b; sottovoce_session=abc; c=d")]);
        let both = headers(&[
            (header::AUTHORIZATION, "bearer abc"),
            (header::COOKIE, "sottovoce_session=def"),
        ]);
        let other = headers(&[(header::AUTHORIZATION, "Basic abc")]);

        assert_eq!(credentials(&bearer), Some(("abc", Source::Api)));
        assert_eq!(credentials(&cookie), Some(("abc", Source::Console)));
        assert_eq!(credentials(&both), Some(("abc", Source::Api)));
        assert_eq!(credentials(&other), None);
        assert_eq!(credentials(&HeaderMap::new()), None);
    }

    #[test]
    fn the_csrf_token_is_another_for_another_sign_in() {
        assert_eq!(csrf("a"), csrf("a"));
        assert_ne!(csrf("a"), csrf("b"));
        assert_ne!(csrf("a"), "a");
    }
}
