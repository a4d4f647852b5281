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

fn described<const N: usize>(
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
