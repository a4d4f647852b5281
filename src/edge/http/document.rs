//! The OpenAPI document, as far as it is not made from the rows themselves.

use utoipa::openapi::OpenApi as Document;

/// Names each operation after its method and path, such as `post_calls_id_ticket`: two of one name
/// would be a fault of the document.
pub fn name_operations(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(name(method, path));
            }
        }
    }
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
