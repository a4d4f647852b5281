//! Requests and responses as this node writes them, and what it reads from others'.

use rsipstack::sip::{
    self, HasHeaders, Header, Headers, Method, Request, Response, SipMessage, StatusCode,
};
use rsipstack::transaction::endpoint::MessageInspector;
use rsipstack::transaction::random_text;
use rsipstack::transport::SipAddr;

use crate::control::output::Reason;
use crate::edge::sip::body;
use crate::edge::sip::guard::{ALLOW, SUPPORTED};
use crate::edge::sip::uri::NameAddr;
use crate::wire::sdp::SessionDescription;

/// What stands in Server and User-Agent.
pub const PRODUCT: &str = "sottovoce";

/// What INVITE, OPTIONS and their answers carry.
pub const ACCEPT: &str = "application/sdp, application/dtmf-relay, application/dtmf";

/// A tag, branch or Call-ID part that nobody guesses.
pub fn token() -> String {
    random_text(20)
}

pub fn branch() -> String {
    format!("z9hG4bK{}", random_text(24))
}

/// The first header of that name, whatever its case.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|header| header.name().eq_ignore_ascii_case(name))
        .map(Header::value)
}

pub fn headers_of<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name().eq_ignore_ascii_case(name))
        .map(Header::value)
}

pub fn call_id(headers: &Headers) -> &str {
    header(headers, "Call-ID").unwrap_or("")
}

pub fn from_tag(headers: &Headers) -> Option<String> {
    tag_of(header(headers, "From")?)
}

pub fn to_tag(headers: &Headers) -> Option<String> {
    tag_of(header(headers, "To")?)
}

fn tag_of(value: &str) -> Option<String> {
    NameAddr::parse(value)?
        .param("tag")
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned)
}

pub fn cseq(headers: &Headers) -> u32 {
    header(headers, "CSeq")
        .and_then(|value| value.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// A header by name and value.
pub fn named(name: &str, value: impl Into<String>) -> Header {
    sip::headers::make_header(name, value.into())
}

pub fn status_of(response: &Response) -> u16 {
    response.status_code.code()
}

/// The session description of a message.
pub fn description(
    headers: &Headers,
    bytes: &[u8],
) -> Result<Option<SessionDescription>, body::BodyError> {
    body::description(
        header(headers, "Content-Type"),
        header(headers, "Content-Encoding"),
        bytes,
    )
}

/// The text of a Reason header (RFC 3326).
pub fn reason_value(reason: &Reason) -> String {
    format!(
        "{};cause={};text=\"{}\"",
        reason.protocol,
        reason.cause,
        reason.text.replace(['"', '\\', '\r', '\n'], " ")
    )
}

/// A response under construction.
pub struct Answer<'a> {
    request: &'a Request,
    status: u16,
    to_tag: Option<&'a str>,
    extra: Vec<Header>,
    body: Option<Vec<u8>>,
}

impl<'a> Answer<'a> {
    pub fn new(request: &'a Request, status: u16) -> Self {
        Self {
            request,
            status,
            to_tag: None,
            extra: Vec::new(),
            body: None,
        }
    }

    /// The tag of a To that has none yet.
    pub fn tagged(mut self, tag: &'a str) -> Self {
        self.to_tag = Some(tag);
        self
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.extra.push(named(name, value));
        self
    }

    pub fn with_all(mut self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.extra
            .extend(values.into_iter().map(|value| named(name, value)));
        self
    }

    pub fn with_capabilities(self) -> Self {
        self.with("Allow", ALLOW)
            .with("Accept", ACCEPT)
            .with("Supported", SUPPORTED)
    }

    pub fn with_description(mut self, description: &SessionDescription) -> Self {
        self.body = Some(body::print(description));
        self.with("Content-Type", "application/sdp")
    }

    /// The route back, for a response that makes a dialog (RFC 3261 §12.1.1).
    pub fn with_record_route(mut self) -> Self {
        self.extra.extend(
            self.request
                .headers
                .iter()
                .filter(|header| matches!(header, Header::RecordRoute(_)))
                .cloned(),
        );
        self
    }

    pub fn build(self) -> Response {
        let mut headers = Headers::default();
        for header in self.request.headers.iter() {
            match header {
                Header::To(to) if self.status != 100 => {
                    let value = to.value();
                    let tagged = match self.to_tag {
                        Some(tag) if tag_of(value).is_none() => format!("{value};tag={tag}"),
                        _ => value.to_owned(),
                    };
                    headers.push(named("To", tagged));
                }
                // The stack puts an IPv6 address into brackets twice.
                Header::Via(via) if via.value().contains("[[") => headers.push(named(
                    "Via",
                    via.value().replace("[[", "").replace("]]", ""),
                )),
                Header::Via(_)
                | Header::From(_)
                | Header::To(_)
                | Header::CallId(_)
                | Header::CSeq(_) => headers.push(header.clone()),
                // RFC 3261 §8.2.6.1 for the 100; harmless in the others.
                Header::Timestamp(_) if self.status == 100 => headers.push(header.clone()),
                _ => {}
            }
        }
        headers.extend(self.extra);
        headers.push(named("Server", PRODUCT));
        let body = self.body.unwrap_or_default();
        headers.push(named("Content-Length", body.len().to_string()));
        Response {
            status_code: StatusCode::from(self.status),
            wire_reason: None,
            version: sip::Version::V2,
            headers,
            body,
        }
    }
}

/// A request with the headers that every request has. Give the rest with `push`.
pub struct NewRequest<'a> {
    pub method: Method,
    pub uri: &'a str,
    pub via: String,
    pub from: &'a str,
    pub to: &'a str,
    pub call_id: &'a str,
    pub cseq: u32,
    pub max_forwards: u8,
    pub routes: &'a [String],
}

impl NewRequest<'_> {
    /// `None` where the URI is none.
    pub fn build(self) -> Option<Request> {
        let mut headers = Headers::default();
        headers.push(named("Via", self.via));
        for route in self.routes {
            headers.push(named("Route", route.as_str()));
        }
        headers.push(named("Max-Forwards", self.max_forwards.to_string()));
        headers.push(named("From", self.from));
        headers.push(named("To", self.to));
        headers.push(named("Call-ID", self.call_id));
        headers.push(named("CSeq", format!("{} {}", self.cseq, self.method)));
        headers.push(named("User-Agent", PRODUCT));
        Some(Request {
            method: self.method,
            uri: sip::Uri::try_from(self.uri).ok()?,
            version: sip::Version::V2,
            headers,
            body: Vec::new(),
        })
    }
}

/// Puts a session description into a request.
pub fn set_description(request: &mut Request, description: &SessionDescription) {
    request
        .headers
        .push(named("Content-Type", "application/sdp"));
    request.body = body::print(description);
}

/// Gives a request its Content-Length, which the stack sets for what it sends itself only.
pub fn finish(mut request: Request) -> SipMessage {
    let length = request.body.len().to_string();
    request
        .headers_mut()
        .unique_push(named("Content-Length", length));
    SipMessage::Request(request)
}

/// Tags the answers that the stack gives to a CANCEL by itself: outside a dialog it leaves their To
/// as it was (RFC 3261 §8.2.6.2 wants a tag).
pub struct TagAnswers;

impl MessageInspector for TagAnswers {
    fn before_send(&self, mut message: SipMessage, _to: Option<&SipAddr>) -> SipMessage {
        if let SipMessage::Response(response) = &mut message
            && header(&response.headers, "CSeq").is_some_and(|cseq| cseq.ends_with("CANCEL"))
            && to_tag(&response.headers).is_none()
            && let Some(to) = header(&response.headers, "To").map(str::to_owned)
        {
            response
                .headers
                .unique_push(named("To", format!("{to};tag={}", token())));
        }
        message
    }

    fn after_received(&self, message: SipMessage, _from: Option<&SipAddr>) -> SipMessage {
        message
    }
}
