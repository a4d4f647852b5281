//! The ingress guard: looks at every SIP message before the stack does.
//!
//! The stack drops some valid messages without a word (header bytes that are not UTF-8, methods it
//! does not know) and takes some broken ones for good (wrong version, Content-Length beyond the
//! end, CSeq of another method, headers twice). The guard repairs what can be repaired, answers
//! what RFC 3261 wants answered, and lets the rest fall; only what is sound goes on. Its answers
//! are stateless: a repeat of a broken request gets the same answer again.

mod head;

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use crate::edge::sip::guard::head::{Head, StartLine};
use crate::edge::sip::uri::{NameAddr, SipUri, UriError, find_unquoted};

pub use crate::edge::sip::guard::head::{content_length, end_of_head};

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on, as these bytes.
    Pass(Vec<u8>),
    /// Is answered with these bytes and goes no further.
    Answer(Vec<u8>),
    /// Is neither.
    Drop(Flaw),
}

/// Why a message was dropped; for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("not a SIP message")]
    NotSip,
    #[error("a broken response")]
    Response,
    #[error("a request that cannot be answered")]
    Unanswerable,
}

/// How the message was delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The datagram is the message (RFC 3261 §18.3).
    Datagram,
    /// Content-Length was the frame, and has been checked.
    Stream,
}

/// After which a caller may try again who found too many others.
const RETRY_AFTER_S: u32 = 5;

/// Methods that this product serves; the text of `Allow`.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, REFER, NOTIFY, REGISTER";

/// Extensions that a peer may require (RFC 4028); the text of `Supported`.
pub const SUPPORTED: &str = "timer";

/// Methods that exist, but not here: 405 where an unknown word gets 501.
const KNOWN_ELSEWHERE: [&str; 4] = ["PRACK", "SUBSCRIBE", "PUBLISH", "MESSAGE"];
/// UPDATE is served, but not advertised: a refresh without offer is accepted, no more.
const SERVED: [&str; 10] = [
    "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "REFER", "NOTIFY", "REGISTER", "UPDATE",
];

/// Headers that may stand once (RFC 3261 §7.3.1, table 2).
const SINGLETONS: [&str; 8] = [
    "from",
    "to",
    "call-id",
    "cseq",
    "max-forwards",
    "content-length",
    "content-type",
    "expires",
];

/// Looks at messages of one node. Holds what makes its answers' tags its own.
#[derive(Debug, Default)]
pub struct Guard {
    tags: RandomState,
}

impl Guard {
    /// Judges one message. `room` is what the stack can take in one piece.
    pub fn judge(
        &self,
        message: &[u8],
        source: SocketAddr,
        framing: Framing,
        room: usize,
    ) -> Verdict {
        let Some(head) = Head::read(message, framing) else {
            return Verdict::Drop(Flaw::NotSip);
        };
        match &head.start {
            StartLine::Response { status } => self.judge_response(&head, *status, message, framing),
            StartLine::Request { .. } => match check_request(&head, message, framing) {
                Ok(body) => {
                    let passed = head.print(body);
                    if passed.len() > room {
                        return self.answer(&head, source, &Refusal::new(513, "Message Too Large"));
                    }
                    Verdict::Pass(passed)
                }
                Err(refusal) => self.answer(&head, source, &refusal),
            },
        }
    }

    /// 503 to an INVITE that would begin a call; `None` to anything else.
    pub fn refuse_call(&self, message: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
        let head = Head::read(message, Framing::Datagram)?;
        let is_new = matches!(
            &head.start,
            StartLine::Request {
                method: "INVITE",
                ..
            }
        ) && head.get("to").is_some_and(|to| !has_tag(to));
        if !is_new {
            return None;
        }
        let refusal =
            Refusal::new(503, "Service Unavailable").with("Retry-After", RETRY_AFTER_S.to_string());
        match self.answer(&head, source, &refusal) {
            Verdict::Answer(answer) => Some(answer),
            Verdict::Pass(_) | Verdict::Drop(_) => None,
        }
    }

    /// A response is never answered; a broken one, or one with a second Via (RFC 3261 §8.1.3.3),
    /// is nothing of ours.
    fn judge_response(
        &self,
        head: &Head<'_>,
        status: Option<u16>,
        message: &[u8],
        framing: Framing,
    ) -> Verdict {
        let sound = status.is_some_and(|status| (100..700).contains(&status))
            && head.malformed == 0
            && SINGLETONS.iter().all(|name| head.count(name) <= 1)
            && ["from", "to", "call-id", "cseq", "via"]
                .iter()
                .all(|name| head.count(name) >= 1)
            && head.vias() == 1
            && head.get("cseq").and_then(cseq).is_some()
            && head.get("from").and_then(NameAddr::parse).is_some()
            && head.get("to").and_then(NameAddr::parse).is_some();
        match body_of(head, message, framing) {
            Ok(body) if sound => Verdict::Pass(head.print(body)),
            _ => Verdict::Drop(Flaw::Response),
        }
    }

    fn answer(&self, head: &Head<'_>, source: SocketAddr, refusal: &Refusal) -> Verdict {
        let StartLine::Request { method, .. } = &head.start else {
            return Verdict::Drop(Flaw::Response);
        };
        // An ACK is never answered, and without a Via nobody waits for an answer.
        if *method == "ACK" || head.count("via") == 0 {
            return Verdict::Drop(Flaw::Unanswerable);
        }
        let mut out = format!("SIP/2.0 {} {}\r\n", refusal.status, refusal.phrase);
        let mut first = true;
        for (_, value) in head.all("via") {
            let value = if first {
                with_received(value, source)
            } else {
                Cow::Borrowed(value)
            };
            first = false;
            out.push_str(&format!("Via: {value}\r\n"));
        }
        for (name, printed) in [
            ("from", "From"),
            ("to", "To"),
            ("call-id", "Call-ID"),
            ("cseq", "CSeq"),
        ] {
            let Some(value) = head.get(name) else {
                continue;
            };
            out.push_str(&format!("{printed}: {value}"));
            if name == "to" && !has_tag(value) {
                // The same request must get the same tag when it is repeated (§8.2.6.2).
                let tag = self.tags.hash_one((head.get("call-id"), head.get("cseq")));
                out.push_str(&format!(";tag={tag:016x}"));
            }
            out.push_str("\r\n");
        }
        for (name, value) in &refusal.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("Content-Length: 0\r\n\r\n");
        Verdict::Answer(out.into_bytes())
    }
}

/// A final answer that the guard gives by itself.
#[derive(Debug)]
struct Refusal {
    status: u16,
    phrase: Cow<'static, str>,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    fn new(status: u16, phrase: &'static str) -> Self {
        Self {
            status,
            phrase: Cow::Borrowed(phrase),
            headers: Vec::new(),
        }
    }

    /// 400 whose phrase says what is wrong (RFC 3261 §21.4.1).
    fn bad(what: &'static str) -> Self {
        Self {
            status: 400,
            phrase: Cow::Owned(format!("Bad Request - {what}")),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// The checks of a request, in the order in which RFC 3261 §8.2 inspects one. Gives the body.
fn check_request<'a>(
    head: &Head<'_>,
    message: &'a [u8],
    framing: Framing,
) -> Result<&'a [u8], Refusal> {
    let StartLine::Request {
        method,
        uri,
        version,
    } = &head.start
    else {
        return Err(Refusal::bad("not a request"));
    };
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        if is_version(version) {
            return Err(Refusal::new(505, "Version Not Supported"));
        }
        return Err(Refusal::bad("request line"));
    }
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Refusal::bad("method"));
    }
    if head.malformed > 0 {
        return Err(Refusal::bad("header line"));
    }
    for name in SINGLETONS {
        if head.count(name) > 1 {
            return Err(Refusal::bad("header given twice"));
        }
    }
    let required = |name: &'static str, what: &'static str| {
        head.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Refusal::bad(what))
    };
    let (number, cseq_method) =
        cseq(required("cseq", "CSeq missing")?).ok_or_else(|| Refusal::bad("CSeq unreadable"))?;
    let call_id = required("call-id", "Call-ID missing")?;
    if call_id.split_whitespace().count() != 1 {
        return Err(Refusal::bad("Call-ID unreadable"));
    }
    let from = required("from", "From missing")?;
    if address(from).is_none_or(|from| from.param("tag").is_none_or(str::is_empty)) {
        return Err(Refusal::bad("From unreadable or without tag"));
    }
    if address(required("to", "To missing")?).is_none() {
        return Err(Refusal::bad("To unreadable"));
    }
    if !head.vias_are_sound() {
        return Err(Refusal::bad("Via unreadable"));
    }
    if cseq_method != *method || number > u32::MAX >> 1 {
        return Err(Refusal::bad("CSeq does not match"));
    }
    if let Some(hops) = head.get("max-forwards")
        && hops.parse::<u8>().is_err()
    {
        return Err(Refusal::bad("Max-Forwards unreadable"));
    }
    if let Some(expires) = head.get("expires")
        && expires.parse::<u32>().is_err()
    {
        return Err(Refusal::bad("Expires unreadable"));
    }
    for (_, contact) in head.all("contact") {
        let sound = contact.trim() == "*"
            || NameAddr::parse_list(contact).is_some_and(|list| {
                list.iter().all(|contact| {
                    !contact.uri.chars().any(char::is_whitespace)
                        && (!contact.uri.contains('?') || is_bracketed(contact, head))
                        && contact
                            .param("expires")
                            .is_none_or(|e| e.parse::<u32>().is_ok())
                })
            });
        if !sound {
            return Err(Refusal::bad("Contact unreadable"));
        }
    }
    let body = body_of(head, message, framing)?;
    if !SERVED.contains(method) {
        return Err(if KNOWN_ELSEWHERE.contains(method) {
            Refusal::new(405, "Method Not Allowed")
        } else {
            Refusal::new(501, "Not Implemented")
        }
        .with("Allow", ALLOW.to_owned()));
    }
    match SipUri::parse(uri) {
        Ok(parsed) if parsed.headers.is_none() => {}
        Err(UriError::Scheme) if has_scheme(uri) => {
            return Err(Refusal::new(416, "Unsupported URI Scheme"));
        }
        _ => return Err(Refusal::bad("Request-URI unreadable")),
    }
    // ACK and CANCEL cannot be refused for what they require (RFC 3261 §8.2.2.3).
    let wanted: Vec<&str> = head
        .all("require")
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
        .filter(|tag| !tag.is_empty() && !tag.eq_ignore_ascii_case(SUPPORTED))
        .collect();
    if !wanted.is_empty() && *method != "ACK" && *method != "CANCEL" {
        return Err(Refusal::new(420, "Bad Extension").with("Unsupported", wanted.join(", ")));
    }
    Ok(body)
}

/// The body as Content-Length delimits it; without one, to the end of the datagram.
fn body_of<'a>(head: &Head<'_>, message: &'a [u8], framing: Framing) -> Result<&'a [u8], Refusal> {
    let there = &message[head.body_at..];
    match head.get("content-length") {
        Some(text) => {
            let length =
                content_length(text).ok_or_else(|| Refusal::bad("Content-Length unreadable"))?;
            there
                .get(..length)
                .ok_or_else(|| Refusal::bad("Content-Length beyond the end"))
        }
        None => Ok(match framing {
            Framing::Datagram => there,
            Framing::Stream => &there[..0],
        }),
    }
}

/// A From or To that means one address: a comma outside quotes would begin a second.
fn address(value: &str) -> Option<NameAddr> {
    if !is_balanced(value) || find_unquoted(value, b',').is_some() {
        return None;
    }
    let addr = NameAddr::parse(value)?;
    (!addr.uri.contains(char::is_whitespace)
        && !addr.uri.contains(['<', '>'])
        && has_scheme(&addr.uri))
    .then_some(addr)
}

/// Whether every quote and angle bracket that opens also closes.
fn is_balanced(value: &str) -> bool {
    let mut quoted = false;
    let mut open = false;
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quoted => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' if open => return false,
            b'<' => open = true,
            b'>' if !open => return false,
            b'>' => open = false,
            _ => {}
        }
    }
    !quoted && !open
}

/// A `?` in a Contact needs angle brackets (RFC 3261 §20.10).
fn is_bracketed(contact: &NameAddr, head: &Head<'_>) -> bool {
    let bracketed = format!("<{}>", contact.uri);
    head.all("contact")
        .any(|(_, value)| value.contains(&bracketed))
}

fn has_scheme(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !uri.contains(char::is_whitespace)
    })
}

fn has_tag(value: &str) -> bool {
    NameAddr::parse(value).is_some_and(|addr| addr.param("tag").is_some())
}

fn cseq(value: &str) -> Option<(u32, &str)> {
    let mut parts = value.split_whitespace();
    let number = parts.next()?;
    let method = parts.next()?;
    if parts.next().is_some() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, method))
}

fn is_version(text: &str) -> bool {
    text.get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("SIP/"))
        && !text.contains(char::is_whitespace)
}

pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Notes where the request came from (RFC 3261 §18.2.1, RFC 3581 §4).
fn with_received(via: &str, source: SocketAddr) -> Cow<'_, str> {
    let (first, rest) = match find_unquoted(via, b',') {
        Some(comma) => via.split_at(comma),
        None => (via, ""),
    };
    let kept: Vec<&str> = first
        .split(';')
        .filter(|param| {
            let name = param.split('=').next().unwrap_or("").trim();
            !name.eq_ignore_ascii_case("rport") && !name.eq_ignore_ascii_case("received")
        })
        .collect();
    Cow::Owned(format!(
        "{};received={};rport={}{rest}",
        kept.join(";"),
        source.ip(),
        source.port()
    ))
}
