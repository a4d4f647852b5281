//! How rows of a kind refuse, for the OpenAPI document: said once for all of them.

use std::collections::BTreeMap;

use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::edge::http::refusal::RefusalBody;

/// Of every row for administrators.
pub struct OfAdministration;

impl IntoResponses for OfAdministration {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described([
            (401, "not signed in"),
            (403, "not an administrator"),
            (503, "the database does not answer"),
        ])
    }
}

/// Of every row that puts one thing in.
pub struct OfPutting;

impl IntoResponses for OfPutting {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described([
            (400, "a field that is wrong, by its name"),
            (404, "no such organisation"),
            (412, NOT_AS_SEEN),
            (413, "too large"),
        ])
    }
}

/// Of every row that takes one thing out.
pub struct OfRemoving;

impl IntoResponses for OfRemoving {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described([(412, NOT_AS_SEEN)])
    }
}

const NOT_AS_SEEN: &str = "If-None-Match and it is there already, or If-Match and it is no longer \
                           in that state";

/// Refusals by status, each with what it says.
pub fn described<const N: usize>(
    refusals: [(u16, &'static str); N],
) -> BTreeMap<String, RefOr<Response>> {
    let body = || Content::new(Some(Ref::from_schema_name(RefusalBody::name())));
    let described = |(status, description): (u16, &str)| {
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", body())
            .build();
        (status.to_string(), RefOr::T(response))
    };
    refusals.into_iter().map(described).collect()
}
