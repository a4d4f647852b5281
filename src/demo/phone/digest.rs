//! The answer to a digest challenge (RFC 7616): MD5, with `qop=auth` where it is offered.

use md5::Digest as _;
use rsip::prelude::UntypedHeader as _;
use rsip::{Header, Response};

use crate::demo::phone::user_agent::UserAgent;

impl UserAgent {
    /// The answer to a digest challenge (RFC 7616 with MD5, `qop=auth` where offered).
    pub fn authorize(&self, response: &Response, method: &str, uri: &str) -> Option<String> {
        let password = self.config.password.as_deref()?;
        // A server may offer several algorithms, strongest first; this phone knows MD5 alone.
        let challenge = response.headers.iter().find_map(|header| {
            let value = match header {
                Header::WwwAuthenticate(value) => value.value().to_owned(),
                Header::ProxyAuthenticate(value) => value.value().to_owned(),
                _ => return None,
            };
            let algorithm = parameter(&value, "algorithm");
            algorithm
                .is_none_or(|name| name.eq_ignore_ascii_case("MD5"))
                .then_some(value)
        })?;
        let realm = parameter(&challenge, "realm")?;
        let nonce = parameter(&challenge, "nonce")?;
        let user = &self.config.user;
        let ha1 = md5_hex(&format!("{user}:{realm}:{password}"));
        let ha2 = md5_hex(&format!("{method}:{uri}"));
        let mut value = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=MD5"
        );
        if parameter(&challenge, "qop").is_some() {
            let cnonce = self.unique("c");
            let digest = md5_hex(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
            value +=
                &format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\", response=\"{digest}\"");
        } else {
            value += &format!(
                ", response=\"{}\"",
                md5_hex(&format!("{ha1}:{nonce}:{ha2}"))
            );
        }
        if let Some(opaque) = parameter(&challenge, "opaque") {
            value += &format!(", opaque=\"{opaque}\"");
        }
        Some(value)
    }
}

/// A parameter of a digest challenge, with or without quotes.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let body = challenge.trim().strip_prefix("Digest").unwrap_or(challenge);
    body.split(',').find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn md5_hex(text: &str) -> String {
    hex::encode(md5::Md5::digest(text.as_bytes()))
}
