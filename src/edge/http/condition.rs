//! Writes that hold only for the state that the writer has seen (RFC 9110 §13.1): `If-Match` with
//! its entity tag, or `If-None-Match: *` where there is to be none yet.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use utoipa::IntoParams;

use crate::edge::people::{EditError, Version};

/// What has to be so for a write to be made. Without any, the last one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// `If-None-Match: *`. Other values say what a reader has already and bind no write.
    only_new: bool,
    /// `If-Match`: one of these entity tags, each without its quotes, or `*` for whichever.
    seen: Option<Vec<String>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let seen = named(&parts.headers, IF_MATCH);
        Ok(Self {
            only_new: named(&parts.headers, IF_NONE_MATCH)
                .iter()
                .any(|tag| tag == ANY),
            seen: parts.headers.contains_key(IF_MATCH).then_some(seen),
        })
    }
}

impl Condition {
    /// Refuses a write whose condition does not hold. Asked within the edit, so that of two who
    /// write the same thing at once the second one is told.
    pub fn allows(&self, now: Option<Version>, name: &str) -> Result<(), EditError> {
        if self.only_new && now.is_some() {
            return Err(EditError::Exists(name.to_owned()));
        }
        let Some(seen) = &self.seen else {
            return Ok(());
        };
        let is_seen = |now: &Version| seen.iter().any(|tag| tag == ANY || tag == now.as_str());
        match now.as_ref().is_some_and(is_seen) {
            true => Ok(()),
            false => Err(EditError::Changed {
                name: name.to_owned(),
                now,
            }),
        }
    }
}

/// The entity tags of a header. A weak one names no state that a write could be bound to, so that it
/// stays as it is and matches none.
fn named(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let tags = values.flat_map(|value| value.split(','));
    tags.map(|tag| {
        let tag = tag.trim();
        let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        quoted.unwrap_or(tag).to_owned()
    })
    .collect()
}

const ANY: &str = "*";

/// A state, as headers write it.
pub fn tag(version: &Version) -> String {
    format!("\"{}\"", version.as_str())
}

/// The header that tells a state.
pub fn etag(version: &Version) -> [(HeaderName, HeaderValue); 1] {
    // Hexadecimal digits are a value.
    let value = HeaderValue::try_from(tag(version)).unwrap_or(HeaderValue::from_static("\"\""));
    [(ETAG, value)]
}

/// The headers of [`Condition`], for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// `*`: only where there is none of this name yet; 412 otherwise.
    #[param(rename = "If-None-Match")]
    pub if_none_match: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatch {
    /// The `ETag` that was read: only where nobody has changed it since; 412 otherwise, with the
    /// `ETag` of now.
    #[param(rename = "If-Match")]
    pub if_match: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::people::Pool;
    use axum::http::Request;

    async fn condition(headers: &[(&str, &str)]) -> Condition {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let Ok(condition) = Condition::from_request_parts(&mut parts, &()).await;
        condition
    }

    #[tokio::test]
    async fn a_write_holds_for_the_state_that_was_seen() {
        let now = Pool { agent_notice: None }.version();
        let tag = format!("\"{}\"", now.as_str());
        let both = format!("\"0\", {tag}");
        let weak = format!("W/{tag}");
        for (headers, there, not_there) in [
            (vec![], true, true),
            (vec![("if-match", "*")], true, false),
            (vec![("if-match", tag.as_str())], true, false),
            (vec![("if-match", both.as_str())], true, false),
            (
                vec![("if-match", "\"0\""), ("if-match", tag.as_str())],
                true,
                false,
            ),
            (vec![("if-match", weak.as_str())], false, false),
            (vec![("if-match", "\"0\"")], false, false),
            (vec![("if-match", "")], false, false),
            (vec![("if-none-match", "*")], false, true),
            (vec![("if-none-match", tag.as_str())], true, true),
        ] {
            let condition = condition(&headers).await;
            assert_eq!(
                condition.allows(Some(now.clone()), "x").is_ok(),
                there,
                "{headers:?}"
            );
            assert_eq!(
                condition.allows(None, "x").is_ok(),
                not_there,
                "{headers:?}"
            );
        }
    }
}
