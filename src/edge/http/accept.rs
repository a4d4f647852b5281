//! Lists that are handed out as JSON or as CSV, by the `Accept` of who asks (RFC 9110 §12.5.1).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::edge::store::audit::export::Form;

/// What is liked best. JSON where both are liked alike, or neither is named.
pub fn form(headers: &HeaderMap) -> Form {
    let mut json = Liking::default();
    let mut csv = Liking::default();
    let lines = headers.get_all(header::ACCEPT).iter();
    for range in lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
    {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts
            .find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")))
            .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        json.consider(&kind, ["application/json", "application/*"], weight);
        csv.consider(&kind, ["text/csv", "text/*"], weight);
    }
    match csv.weight() > json.weight() {
        true => Form::Csv,
        false => Form::Json,
    }
}

/// The content type of a form, and that it depends on `Accept`. A CSV is a file of this name
/// (RFC 6266), a list in JSON is read where it is.
pub fn headers_of(form: Form, name: &'static str) -> HeaderMap {
    let kind = match form {
        Form::Csv => "text/csv; charset=utf-8",
        Form::Json => "application/json",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if form == Form::Csv
        && let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{name}.csv\""))
    {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    headers
}

/// The weight of the closest range that names a kind: exact, then by its half, then `*/*`.
#[derive(Clone, Copy, Debug, Default)]
struct Liking([Option<f32>; 3]);

impl Liking {
    fn consider(&mut self, range: &str, kinds: [&str; 2], weight: f32) {
        let ranges = [kinds[0], kinds[1], "*/*"];
        for (slot, known) in self.0.iter_mut().zip(ranges) {
            if range == known {
                *slot = Some(weight);
            }
        }
    }

    fn weight(self) -> f32 {
        self.0.into_iter().flatten().next().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_handed_out_where_it_is_liked_better() {
        for (accept, expected) in [
            ("text/csv", Form::Csv),
            ("text/csv, application/json;q=0.5", Form::Csv),
            ("Text/CSV;q=0.9, */*;q=0.1", Form::Csv),
            ("text/*", Form::Csv),
            ("*/*", Form::Json),
            ("application/json", Form::Json),
            ("text/csv;q=0, application/json", Form::Json),
            ("text/csv;q=0.5, application/json", Form::Json),
            ("text/html,*/*;q=0.8", Form::Json),
            ("text/csv;q=nonsense", Form::Json),
            ("", Form::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());

            assert_eq!(form(&headers), expected, "{accept}");
        }
        assert_eq!(form(&HeaderMap::new()), Form::Json);
    }
}
