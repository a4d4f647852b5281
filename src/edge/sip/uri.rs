//! SIP URIs as this edge reads them (RFC 3261 §19.1). The stack's own type takes the first `;` for
//! the end of the host, wherever it stands; carriers put parameters into the user part
//! (`sip:+358401234567;npdi@host`), so the parts are found here.

use std::fmt;
use std::net::IpAddr;

use crate::edge::sip::settings::Transport;

/// The parts of a SIP or SIPS URI that routing looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri {
    pub secure: bool,
    /// Unescaped, without user parameters and password.
    pub user: Option<String>,
    /// IPv6 without brackets.
    pub host: String,
    pub port: Option<u16>,
    pub params: Vec<(String, Option<String>)>,
    /// What follows `?`, undecoded.
    pub headers: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    #[error("not a SIP URI")]
    Scheme,
    #[error("no usable host")]
    Host,
    #[error("no usable port")]
    Port,
}

impl SipUri {
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "sip" => false,
            "sips" => true,
            _ => return Err(UriError::Scheme),
        };
        let (main, headers) = match rest.split_once('?') {
            // A `?` is allowed in the user part.
            Some((before, after)) if !after.contains('@') => (before, Some(after.to_owned())),
            _ => (rest, None),
        };
        let (userinfo, hostpart) = match main.rfind('@') {
            Some(at) => (Some(&main[..at]), &main[at + 1..]),
            None => (None, main),
        };
        let user = userinfo
            .map(|info| info.split([';', ':']).next().unwrap_or(""))
            .filter(|user| !user.is_empty())
            .map(unescape);
        let mut pieces = hostpart.split(';');
        let (host, port) = host_and_port(pieces.next().unwrap_or(""))?;
        let params = pieces
            .filter(|piece| !piece.trim().is_empty())
            .map(|piece| match piece.split_once('=') {
                Some((name, value)) => (
                    name.trim().to_ascii_lowercase(),
                    Some(value.trim().to_owned()),
                ),
                None => (piece.trim().to_ascii_lowercase(), None),
            })
            .collect();
        Ok(Self {
            secure,
            user,
            host,
            port,
            params,
            headers,
        })
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_deref().unwrap_or(""))
    }

    /// UDP unless the URI says otherwise.
    pub fn transport(&self) -> Option<Transport> {
        if self.secure {
            return Some(Transport::Tls);
        }
        match self.param("transport") {
            None => Some(Transport::Udp),
            Some(name) if name.eq_ignore_ascii_case("udp") => Some(Transport::Udp),
            Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
            Some(name) if name.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
            Some(_) => None,
        }
    }

    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            write!(f, "{}@", escape_user(user))?;
        }
        f.write_str(&bracketed(&self.host))?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        for (name, value) in &self.params {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

/// Puts an IPv6 address into brackets.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Escapes what may not stand in a user part (RFC 3261 §25.1).
pub fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Undoes `%xx`. What is not valid after unescaping is replaced, never refused.
pub fn unescape(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The parts of a `From`, `To`, `Contact`, `P-Asserted-Identity` or `Refer-To` value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    pub display_name: Option<String>,
    pub uri: String,
    /// Parameters of the header, names in lower case.
    pub params: Vec<(String, Option<String>)>,
}

impl NameAddr {
    /// Reads the first of possibly several.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let (display_name, uri, rest) = match find_unquoted(value, b'<') {
            Some(open) => {
                let close = value[open..].find('>')? + open;
                let name = value[..open].trim();
                let name = match name.strip_prefix('"') {
                    Some(inner) => inner
                        .strip_suffix('"')?
                        .replace("\\\"", "\"")
                        .replace("\\\\", "\\"),
                    None => name.to_owned(),
                };
                (
                    (!name.trim().is_empty()).then(|| name.trim().to_owned()),
                    &value[open + 1..close],
                    &value[close + 1..],
                )
            }
            // Without brackets, parameters belong to the header (RFC 3261 §20).
            None => {
                let end = value.find([';', ',']).unwrap_or(value.len());
                (None, &value[..end], &value[end..])
            }
        };
        let rest = match find_unquoted(rest, b',') {
            Some(comma) => &rest[..comma],
            None => rest,
        };
        let uri = uri.trim();
        if uri.is_empty() {
            return None;
        }
        let params = split_unquoted(rest, b';')
            .into_iter()
            .filter(|piece| !piece.trim().is_empty())
            .map(|piece| match piece.split_once('=') {
                Some((name, value)) => (
                    name.trim().to_ascii_lowercase(),
                    Some(value.trim().trim_matches('"').to_owned()),
                ),
                None => (piece.trim().to_ascii_lowercase(), None),
            })
            .collect();
        Some(Self {
            display_name,
            uri: uri.to_owned(),
            params,
        })
    }

    /// Reads a comma-separated list.
    pub fn parse_list(value: &str) -> Option<Vec<Self>> {
        split_unquoted(value, b',')
            .into_iter()
            .filter(|piece| !piece.trim().is_empty())
            .map(Self::parse)
            .collect()
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_deref().unwrap_or(""))
    }
}

/// The first `wanted` that stands in neither quotes nor angle brackets.
pub fn find_unquoted(text: &str, wanted: u8) -> Option<usize> {
    let mut quoted = false;
    let mut depth = 0_u32;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if quoted => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            _ if quoted => {}
            _ if byte == wanted && depth == 0 => return Some(at),
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

pub fn split_unquoted(text: &str, separator: u8) -> Vec<&str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while let Some(at) = find_unquoted(rest, separator) {
        pieces.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    pieces.push(rest);
    pieces
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), UriError> {
    let text = text.trim();
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(UriError::Host)?;
        inside
            .parse::<std::net::Ipv6Addr>()
            .map_err(|_| UriError::Host)?;
        (inside, after.strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty()
        || !host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:%".contains(&b))
    {
        return Err(UriError::Host);
    }
    let port = match port {
        Some(digits) => Some(digits.parse().map_err(|_| UriError::Port)?),
        None => None,
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_taken_apart_and_printed_back() {
        for text in [
            "sip:204@127.0.0.3:5060",
            "sips:mia@example.com;transport=tcp;lr",
            "sip:[::1]:5070",
            "sip:example.com",
            "sip:a@b?Replaces=x%40y",
        ] {
            assert_eq!(SipUri::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn parameters_in_the_user_part_are_not_taken_for_the_host() {
        let uri = SipUri::parse("sip:+358401234567;npdi=yes@10.0.0.1;user=phone").unwrap();

        assert_eq!(uri.user.as_deref(), Some("+358401234567"));
        assert_eq!(uri.host, "10.0.0.1");
        assert_eq!(uri.param("user"), Some("phone"));
    }

    #[test]
    fn escapes_are_undone_in_the_user_part_and_made_again() {
        let uri = SipUri::parse("sip:sip%3Auser%40x@h").unwrap();

        assert_eq!(uri.user.as_deref(), Some("sip:user@x"));
        assert_eq!(uri.to_string(), "sip:sip%3Auser%40x@h");
    }

    #[test]
    fn what_is_no_sip_uri_is_refused() {
        assert_eq!(SipUri::parse("tel:+123"), Err(UriError::Scheme));
        assert_eq!(SipUri::parse("sip:"), Err(UriError::Host));
        assert_eq!(SipUri::parse("sip:a@h:99999"), Err(UriError::Port));
        assert_eq!(SipUri::parse("sip:a@ho st"), Err(UriError::Host));
    }

    #[test]
    fn a_name_addr_keeps_quotes_and_commas_in_the_name() {
        let addr =
            NameAddr::parse(r#""Watson, \"T\" <x>" <sip:t@example.org;lr>;tag=5;x"#).unwrap();

        assert_eq!(addr.display_name.as_deref(), Some(r#"Watson, "T" <x>"#));
        assert_eq!(addr.uri, "sip:t@example.org;lr");
        assert_eq!(addr.param("tag"), Some("5"));
        assert_eq!(addr.param("x"), Some(""));
    }

    #[test]
    fn without_brackets_parameters_belong_to_the_header() {
        let addr = NameAddr::parse("sip:a@b;tag=1").unwrap();

        assert_eq!(addr.uri, "sip:a@b");
        assert_eq!(addr.param("tag"), Some("1"));
    }

    #[test]
    fn a_list_is_split_where_commas_separate() {
        let list = NameAddr::parse_list(r#""a, b" <sip:1@h>, <sip:2@h;x=",">;q=1"#).unwrap();

        assert_eq!(list.len(), 2);
        assert_eq!(list[1].param("q"), Some("1"));
    }
}
