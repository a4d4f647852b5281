//! A dialog as RFC 3261 §12 keeps it: what its requests are made of, and the way they take.

use rsipstack::sip::{Method, Request, Response};

use crate::edge::sip::Shared;
use crate::edge::sip::message::{
    NewRequest, branch, call_id, cseq, finish, from_tag, header, headers_of, named, to_tag,
};
use crate::edge::sip::transport::{Flow, Unreachable};
use crate::edge::sip::uri::{NameAddr, SipUri, split_unquoted};

pub struct Dialog {
    pub call_id: String,
    pub remote_tag: String,
    /// From of our requests, tag included.
    local: String,
    /// To of our requests, tag included.
    remote: String,
    /// Request-URI of our requests.
    target: String,
    routes: Vec<String>,
    local_seq: u32,
    remote_seq: u32,
    pub flow: Flow,
    /// The peer is reached where it speaks from, whatever its Contact says: a phone behind NAT.
    follow_source: bool,
    /// The ACK of our last INVITE that was accepted, and that INVITE's number: a 2xx that comes
    /// again is answered with the same ACK (RFC 3261 §13.2.2.4).
    ack: Option<(u32, Request)>,
    /// The peer says that it hosts a conference (RFC 4579 §4.2).
    pub is_focus: bool,
}

/// What makes a dialog impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no usable Contact")]
pub struct NoContact;

impl Dialog {
    /// The dialog that our 1xx or 2xx to `invite` makes.
    pub fn accepting(
        invite: &Request,
        own_tag: &str,
        flow: Flow,
        follow_source: bool,
    ) -> Result<Self, NoContact> {
        let headers = &invite.headers;
        let to = header(headers, "To").unwrap_or("");
        Ok(Self {
            call_id: call_id(headers).to_owned(),
            remote_tag: from_tag(headers).unwrap_or_default(),
            local: format!("{to};tag={own_tag}"),
            remote: header(headers, "From").unwrap_or("").to_owned(),
            target: contact(headers).ok_or(NoContact)?,
            routes: record_routes(headers),
            local_seq: 0,
            remote_seq: cseq(headers),
            flow,
            follow_source,
            ack: None,
            is_focus: is_focus(headers),
        })
    }

    /// The dialog that a 2xx to our `invite` makes.
    pub fn accepted(
        invite: &Request,
        response: &Response,
        flow: Flow,
        follow_source: bool,
    ) -> Self {
        let headers = &response.headers;
        let mut routes = record_routes(headers);
        routes.reverse();
        Self {
            call_id: call_id(headers).to_owned(),
            remote_tag: to_tag(headers).unwrap_or_default(),
            local: header(headers, "From").unwrap_or("").to_owned(),
            remote: header(headers, "To").unwrap_or("").to_owned(),
            // A 2xx without Contact breaks a rule; the URI that was reached still serves.
            target: contact(headers).unwrap_or_else(|| invite.uri.to_string()),
            routes,
            local_seq: cseq(&invite.headers),
            remote_seq: 0,
            flow,
            follow_source,
            ack: None,
            is_focus: is_focus(headers),
        }
    }

    /// The way to the peer as it is now: a connection may have closed meanwhile.
    pub async fn way(&mut self, shared: &Shared) -> Result<Flow, Unreachable> {
        let next_hop = self
            .routes
            .first()
            .and_then(|route| NameAddr::parse(route))
            .map_or_else(|| self.target.clone(), |route| route.uri);
        let flow = if self.follow_source && self.routes.is_empty() {
            shared
                .transports
                .flow_to_peer(self.flow.transport, self.flow.peer, "", Some(&self.flow))
                .await?
        } else {
            let uri = SipUri::parse(&next_hop).map_err(|_| Unreachable::Transport)?;
            shared.transports.flow_to(&uri, Some(&self.flow)).await?
        };
        self.flow = flow.clone();
        Ok(flow)
    }

    /// The next request of ours in this dialog.
    pub fn request(&mut self, method: Method, flow: &Flow) -> Option<Request> {
        self.local_seq += 1;
        self.build(method, self.local_seq, flow)
    }

    /// A request that is sent once more, with credentials, under the next number.
    pub fn renumber(&mut self, mut request: Request) -> Option<Request> {
        self.local_seq += 1;
        let method = request.method;
        request
            .headers
            .unique_push(named("CSeq", format!("{} {method}", self.local_seq)));
        Some(request)
    }

    /// Acknowledges a 2xx to the INVITE with that number. It is sent once and by us: the stack
    /// knows neither the way to a phone behind NAT nor what stands in the body.
    pub async fn acknowledge(&mut self, shared: &Shared, invite_seq: u32) {
        let Ok(flow) = self.way(shared).await else {
            return;
        };
        let known = self.ack.take().filter(|(seq, _)| *seq == invite_seq);
        let Some(ack) = known
            .map(|(_, ack)| ack)
            .or_else(|| self.build(Method::Ack, invite_seq, &flow))
        else {
            return;
        };
        self.ack = Some((invite_seq, ack.clone()));
        if let Err(error) = flow
            .connection
            .send(finish(ack), Some(&flow.destination()))
            .await
        {
            tracing::debug!(%error, "an ACK could not be sent");
        }
    }

    fn build(&self, method: Method, seq: u32, flow: &Flow) -> Option<Request> {
        NewRequest {
            method,
            uri: &self.target,
            via: flow.via(&branch()),
            from: &self.local,
            to: &self.remote,
            call_id: &self.call_id,
            cseq: seq,
            max_forwards: 70,
            routes: &self.routes,
        }
        .build()
    }

    /// Whether a request of the peer comes in order (RFC 3261 §12.2.2).
    pub fn takes(&mut self, request: &Request) -> bool {
        let seq = cseq(&request.headers);
        if seq < self.remote_seq {
            return false;
        }
        self.remote_seq = seq;
        true
    }

    /// INVITE and its 2xx may name a new target (RFC 3261 §12.2).
    pub fn refresh_target(&mut self, headers: &rsipstack::sip::Headers) {
        if let Some(target) = contact(headers) {
            self.target = target;
            self.is_focus = is_focus(headers);
        }
    }

    /// Whether a response belongs to this dialog rather than to another fork of its INVITE.
    pub fn is_of(&self, response: &Response) -> bool {
        to_tag(&response.headers).is_some_and(|tag| tag == self.remote_tag)
    }

    /// Whether a request comes from the peer of this dialog: the leg was found by what is ours.
    pub fn is_from_peer(&self, request: &Request) -> bool {
        is_by(&self.remote_tag, request)
    }
}

/// Whether that tag is the sender's. A peer that gave none (RFC 2543) is known by ours alone.
pub fn is_by(tag: &str, request: &Request) -> bool {
    tag.is_empty() || from_tag(&request.headers).is_some_and(|sender| sender == tag)
}

fn contact(headers: &rsipstack::sip::Headers) -> Option<String> {
    let contact = NameAddr::parse(header(headers, "Contact")?)?;
    SipUri::parse(&contact.uri).ok()?;
    // As the peer wrote it, but for headers, which have no place in a Request-URI (§19.1.1).
    let end = contact.uri.find('?').unwrap_or(contact.uri.len());
    Some(contact.uri[..end].to_owned())
}

fn is_focus(headers: &rsipstack::sip::Headers) -> bool {
    header(headers, "Contact")
        .and_then(NameAddr::parse)
        .is_some_and(|contact| contact.params.iter().any(|(name, _)| name == "isfocus"))
}

fn record_routes(headers: &rsipstack::sip::Headers) -> Vec<String> {
    headers_of(headers, "Record-Route")
        .flat_map(|value| split_unquoted(value, b','))
        .map(|route| route.trim().to_owned())
        .filter(|route| !route.is_empty())
        .collect()
}
