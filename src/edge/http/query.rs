//! Keys behind the `?` of a row. One that the row does not have is refused: a misspelt filter that
//! is passed over would answer more than was asked for.
//!
//! The OpenAPI document says which keys there are, so that no row can be forgotten here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi as Document, RefOr};

use crate::edge::http::refusal::Refusal;

/// The keys of each row: by path, and then by method.
#[derive(Clone, Debug)]
pub struct KnownKeys(Arc<BTreeMap<String, ByMethod>>);

type ByMethod = Vec<(&'static str, Vec<String>)>;

impl KnownKeys {
    pub fn of(document: &Document) -> Self {
        let rows = document.paths.paths.iter();
        let rows = rows.map(|(path, item)| (path.clone(), keys_by_method(item)));
        Self(Arc::new(rows.collect()))
    }

    /// The first key that the row does not have, in words.
    fn complaint(&self, method: &Method, path: &str, asked: &[(String, String)]) -> Option<String> {
        let mut rows = self.0.get(path)?.iter();
        let (_, known) = rows.find(|(name, _)| method == name)?;
        let (key, _) = asked.iter().find(|(key, _)| !known.contains(key))?;
        let expected = match &known[..] {
            [] => "none here".to_owned(),
            known => known.join(", "),
        };
        Some(format!("{key}: expected a key that is known ({expected})"))
    }
}

/// In front of every row.
pub async fn known_keys_only(
    State(known): State<KnownKeys>,
    row: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    // What cannot be read at all is refused by the row itself.
    if let Ok(Query(asked)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        && let Some(complaint) = known.complaint(request.method(), row.as_str(), &asked)
    {
        return Err(Refusal::bad_request(complaint));
    }
    Ok(next.run(request).await)
}

fn keys_of(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let keys = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    keys.filter(|key| key.parameter_in == ParameterIn::Query)
        .map(|key| key.name.clone())
        .collect()
}

fn keys_by_method(item: &PathItem) -> ByMethod {
    let all = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    let all = all.into_iter();
    all.filter_map(|(method, operation)| Some((method, keys_of(operation.as_ref()?))))
        .collect()
}
