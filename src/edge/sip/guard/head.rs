//! The head of a SIP message, read so that the guard can judge it and print it again in a form
//! that the stack reads fully: one line to a header, UTF-8, long names, a Content-Length.

use std::borrow::Cow;

use crate::edge::sip::guard::{Framing, is_token};
use crate::edge::sip::uri::{bracketed, find_unquoted, split_unquoted};

/// Headers beyond this many are an attack, not a message.
const MAX_HEADERS: usize = 256;

#[derive(Debug)]
pub struct Head<'a> {
    pub start: StartLine<'a>,
    start_text: Cow<'a, str>,
    /// Long name in lower case, name as it stood (or long form), value unfolded and trimmed.
    headers: Vec<(String, Cow<'a, str>, String)>,
    /// Lines that are no header.
    pub malformed: usize,
    /// Where the body begins in the message.
    pub body_at: usize,
}

#[derive(Debug)]
pub enum StartLine<'a> {
    Request {
        method: &'a str,
        uri: &'a str,
        /// Everything after the URI.
        version: &'a str,
    },
    Response {
        status: Option<u16>,
    },
}

/// Where the head ends, its empty line included.
pub fn end_of_head(message: &[u8]) -> Option<usize> {
    message
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// Reads a Content-Length value.
pub fn content_length(text: &str) -> Option<usize> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

impl<'a> Head<'a> {
    /// `None` where the bytes do not even look like SIP.
    pub fn read(message: &'a [u8], framing: Framing) -> Option<Self> {
        let (head, body_at) = match end_of_head(message) {
            Some(body_at) => (&message[..body_at - 4], body_at),
            // A datagram that ends with its last header lacks the empty line, and nothing else.
            None if framing == Framing::Datagram => (message.strip_suffix(b"\r\n")?, message.len()),
            None => return None,
        };
        let (start_bytes, rest) = match head.windows(2).position(|pair| pair == b"\r\n") {
            Some(at) => (&head[..at], &head[at + 2..]),
            None => (head, &head[head.len()..]),
        };
        let start_text = std::str::from_utf8(start_bytes).ok()?;
        let start = read_start(start_text)?;
        let mut headers: Vec<(String, Cow<'a, str>, String)> = Vec::new();
        let mut malformed = 0;
        for line in lines(rest) {
            let text = to_text(line);
            if text.starts_with([' ', '\t']) {
                // A folded line continues the one before (RFC 3261 §7.3.1).
                match headers.last_mut() {
                    Some((_, _, value)) => {
                        value.push(' ');
                        value.push_str(text.trim());
                    }
                    None => malformed += 1,
                }
                continue;
            }
            let Some((name, value)) = text.split_once(':') else {
                malformed += 1;
                continue;
            };
            let name = name.trim_end();
            if name.is_empty() || !name.bytes().all(is_token) {
                malformed += 1;
                continue;
            }
            if headers.len() == MAX_HEADERS {
                return None;
            }
            let (key, printed) = match long_name(name) {
                Some(long) => (long.to_ascii_lowercase(), Cow::Borrowed(long)),
                None => (name.to_ascii_lowercase(), Cow::Owned(name.to_owned())),
            };
            headers.push((key, printed, value.trim().to_owned()));
        }
        Some(Self {
            start,
            start_text: Cow::Borrowed(start_text),
            headers,
            malformed,
            body_at,
        })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _, _)| key == name)
            .map(|(_, _, value)| value.as_str())
    }

    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, &'s str)> {
        self.headers
            .iter()
            .filter(move |(key, _, _)| key == name)
            .map(|(_, printed, value)| (&**printed, value.as_str()))
    }

    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// Hops, which may share a line.
    pub fn vias(&self) -> usize {
        self.all("via")
            .map(|(_, value)| split_unquoted(value, b',').len())
            .sum()
    }

    pub fn vias_are_sound(&self) -> bool {
        self.count("via") > 0
            && self.all("via").all(|(_, value)| {
                split_unquoted(value, b',')
                    .into_iter()
                    .all(|hop| normal_via(hop).is_some())
            })
    }

    /// The message again, with `body` and its length.
    pub fn print(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body_at + body.len() + 64);
        let mut line = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        };
        for (key, printed, value) in &self.headers {
            match key.as_str() {
                "content-length" => {}
                "via" => {
                    let hops: Vec<String> = split_unquoted(value, b',')
                        .into_iter()
                        .map(|hop| normal_via(hop).unwrap_or_else(|| hop.trim().to_owned()))
                        .collect();
                    line(printed, &hops.join(","));
                }
                "from" | "to" => line(printed, &normal_params(value)),
                _ => line(printed, value),
            }
        }
        line("Content-Length", &body.len().to_string());
        let mut message = Vec::with_capacity(out.len() + body.len() + self.start_text.len() + 4);
        message.extend_from_slice(self.start_text.as_bytes());
        message.extend_from_slice(b"\r\n");
        message.append(&mut out);
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body);
        message
    }
}

fn read_start(line: &str) -> Option<StartLine<'_>> {
    if line
        .get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("SIP/"))
    {
        let mut parts = line.splitn(3, ' ');
        let version = parts.next()?;
        let status = parts
            .next()
            .filter(|code| code.len() == 3 && version.eq_ignore_ascii_case("SIP/2.0"))
            .and_then(|code| code.parse().ok());
        return Some(StartLine::Response { status });
    }
    // `METHOD SP Request-URI SP SIP-Version`, single spaces, nothing at the end (§7.1). What is
    // close to it is a request with a broken line; anything else is not SIP.
    let (method, rest) = line.split_once(' ')?;
    let (uri, version) = rest.split_once(' ').unwrap_or((rest, ""));
    if !line.to_ascii_uppercase().contains("SIP/") {
        return None;
    }
    Some(StartLine::Request {
        method,
        uri,
        version,
    })
}

/// Lines end with CRLF; a lone LF is tolerated.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// Old phones write names in Latin-1 and other eight-bit sets; as Latin-1 they at least stay
/// readable and keep the header whole.
fn to_text(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(line.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// One Via hop without the whitespace that RFC 3261 allows around its slashes and colon, or `None`
/// where it is none.
fn normal_via(hop: &str) -> Option<String> {
    let (sent, params) = match hop.find(';') {
        Some(at) => hop.split_at(at),
        None => (hop, ""),
    };
    let mut parts = sent.splitn(3, '/');
    let protocol = parts.next()?.trim();
    let version = parts.next()?.trim();
    let mut rest = parts.next()?.trim().splitn(2, char::is_whitespace);
    let transport = rest.next()?.trim();
    let sent_by: String = rest.next()?.split_whitespace().collect();
    if !protocol.eq_ignore_ascii_case("SIP")
        || version != "2.0"
        || transport.is_empty()
        || !transport.bytes().all(is_token)
        || sent_by.is_empty()
        || sent_by.contains([',', '<', '>', '"', '@'])
    {
        return None;
    }
    let (host, port) = if sent_by.starts_with('[') {
        let (host, after) = sent_by.split_once(']')?;
        (format!("{host}]"), after.strip_prefix(':'))
    } else {
        match sent_by.split_once(':') {
            // An IPv6 address that forgot its brackets.
            Some((_, rest)) if rest.contains(':') => (bracketed(&sent_by), None),
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (sent_by.clone(), None),
        }
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return None;
    }
    let mut out = format!("SIP/2.0/{transport} {host}");
    if let Some(port) = port {
        out.push(':');
        out.push_str(port);
    }
    for param in params.split(';').skip(1) {
        let (name, value) = match param.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (param.trim(), None),
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        out.push(';');
        out.push_str(name);
        if let Some(value) = value {
            out.push('=');
            out.push_str(value);
        }
    }
    Some(out)
}

/// A From or To without whitespace around the signs of its parameters: the stack finds a tag only
/// where it is written `;tag=x`.
fn normal_params(value: &str) -> Cow<'_, str> {
    let end = match find_unquoted(value, b'<') {
        Some(open) => value[open..].find('>').map(|close| open + close + 1),
        None => value.find(';'),
    };
    let Some(end) = end else {
        return Cow::Borrowed(value);
    };
    let (address, params) = value.split_at(end);
    if !params.contains([' ', '\t']) && !address.ends_with([' ', '\t']) {
        return Cow::Borrowed(value);
    }
    let mut out = address.trim_end().to_owned();
    for param in split_unquoted(params, b';') {
        let param = param.trim();
        if param.is_empty() {
            continue;
        }
        out.push(';');
        match param.split_once('=') {
            Some((name, value)) => {
                out.push_str(name.trim_end());
                out.push('=');
                out.push_str(value.trim_start());
            }
            None => out.push_str(param),
        }
    }
    Cow::Owned(out)
}

/// Compact forms (RFC 3261 §7.3.3, and those of the extensions in use).
fn long_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "a" | "A" => "Accept-Contact",
        "b" | "B" => "Referred-By",
        "c" | "C" => "Content-Type",
        "e" | "E" => "Content-Encoding",
        "f" | "F" => "From",
        "i" | "I" => "Call-ID",
        "k" | "K" => "Supported",
        "l" | "L" => "Content-Length",
        "m" | "M" => "Contact",
        "o" | "O" => "Event",
        "r" | "R" => "Refer-To",
        "s" | "S" => "Subject",
        "t" | "T" => "To",
        "u" | "U" => "Allow-Events",
        "v" | "V" => "Via",
        "x" | "X" => "Session-Expires",
        "y" | "Y" => "Identity",
        _ => return None,
    })
}
