//! The OpenAPI document, as far as it is not made from the rows themselves.

use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::path::{Operation, PathItem};

use crate::edge::http::refusals::described;

/// Names each operation after its method and path, such as `post_calls_id_ticket`: two of one name
/// would be a fault of the document.
pub fn name_operations(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(method, path));
        }
    }
}

/// Says of each row that it refuses a key behind the `?` that it does not have, where nothing else
/// is wrong enough for a 400 already.
pub fn describe_unknown_keys(document: &mut Document) {
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            let responses = &mut operation.responses.responses;
            for (status, response) in described([(400, "a key of the query that is not known")]) {
                responses.entry(status).or_insert(response);
            }
        }
    }
}

/// The operations of a path, by method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    let all = all.into_iter();
    all.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn name(method: &str, path: &str) -> String {
    let path = path.strip_prefix("/api/v1/").unwrap_or(path);
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    std::iter::once(method)
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_after_method_and_path() {
        assert_eq!(
            name("post", "/api/v1/calls/{id}/ticket"),
            "post_calls_id_ticket"
        );
        assert_eq!(name("get", "/api/v1/help-requests"), "get_help_requests");
    }
}
