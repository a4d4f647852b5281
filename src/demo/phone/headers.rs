//! What the phone reads from messages, and how a header goes into a URI.

use rsip::prelude::UntypedHeader as _;
use rsip::{Header, Request};

pub fn call_id_of(message: &impl rsip::message::HasHeaders) -> Option<String> {
    message.headers().iter().find_map(|header| match header {
        Header::CallId(value) => Some(value.value().to_owned()),
        _ => None,
    })
}

pub fn cseq_of(message: &impl rsip::message::HasHeaders) -> Option<(u32, String)> {
    message.headers().iter().find_map(|header| match header {
        Header::CSeq(value) => {
            let (number, method) = value.value().trim().split_once(' ')?;
            Some((number.parse().ok()?, method.trim().to_owned()))
        }
        _ => None,
    })
}

pub fn contact_of(message: &impl rsip::message::HasHeaders) -> Option<String> {
    message.headers().iter().find_map(|header| match header {
        Header::Contact(value) => {
            let value = value.value();
            let inner = match (value.find('<'), value.find('>')) {
                (Some(open), Some(close)) if open < close => &value[open + 1..close],
                _ => value.split(';').next().unwrap_or(value),
            };
            Some(inner.trim().to_owned())
        }
        _ => None,
    })
}

/// What proxies recorded, from the one nearest to whoever was called (RFC 3261 §12.1).
pub fn recorded_routes(message: &impl rsip::message::HasHeaders) -> Vec<String> {
    let values = message.headers().iter().filter_map(|header| match header {
        Header::RecordRoute(value) => Some(value.value()),
        _ => None,
    });
    let routes = values.flat_map(|value| value.split(','));
    routes.map(|route| route.trim().to_owned()).collect()
}

/// The tag of a From or To.
pub fn tag_of(value: &str) -> &str {
    let tag = value.split(";tag=").nth(1).unwrap_or_default();
    tag.split(';').next().unwrap_or_default()
}

/// As a header's value stands inside a URI (RFC 3261 §25.1, `hvalue`).
pub fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

pub fn reason_of(request: &Request) -> Option<String> {
    request.headers.iter().find_map(|header| match header {
        Header::Other(name, value) if name.eq_ignore_ascii_case("reason") => Some(value.clone()),
        _ => None,
    })
}
