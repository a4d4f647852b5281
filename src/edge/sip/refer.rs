//! REFER of a peer (RFC 3515): what it asks for, and the notices about how it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rsipstack::sip::{Request, Response};
use rsipstack::transaction::transaction::Transaction;

use crate::control::input::Consulted;
use crate::edge::sip::Shared;
use crate::edge::sip::identify::user_of;
use crate::edge::sip::message::{header, headers_of, named};
use crate::edge::sip::requests::send;
use crate::edge::sip::uri::{NameAddr, SipUri, unescape};
use crate::id::{LegId, RequestId};

/// Transfers of one dialog at once.
const MAX_REFERS: usize = 4;

/// REFERs of a dialog, waiting for control's decision or accepted.
#[derive(Default)]
pub struct Refers {
    waiting: BTreeMap<RequestId, Refer>,
    accepted: BTreeMap<RequestId, Refer>,
}

impl Refers {
    pub fn is_full(&self) -> bool {
        self.waiting.len() + self.accepted.len() >= MAX_REFERS
    }

    pub fn asked(&mut self, request: RequestId, refer: Refer) {
        self.waiting.insert(request, refer);
    }

    pub fn decide(&mut self, request: RequestId) -> Option<Refer> {
        self.waiting.remove(&request)
    }

    pub fn accepted(&mut self, request: RequestId, refer: Refer) {
        self.accepted.insert(request, refer);
    }

    /// An accepted one, to send a notice for. Put back with `accepted` unless it was the last.
    pub fn tell(&mut self, request: RequestId) -> Option<Refer> {
        self.accepted.remove(&request)
    }
}

/// One REFER. Its transaction is there until it is answered.
pub struct Refer {
    transaction: Option<Box<Transaction>>,
    request: Request,
}

impl Refer {
    pub fn new(transaction: Transaction) -> Self {
        Self {
            request: transaction.original.clone(),
            transaction: Some(Box::new(transaction)),
        }
    }

    pub fn request(&self) -> &Request {
        &self.request
    }

    pub async fn answer(&mut self, answer: Response) {
        if let Some(mut transaction) = self.transaction.take() {
            send(&mut transaction, answer).await;
        }
    }

    /// The target, and the dialog that an attended transfer names; or the status of the refusal.
    ///
    /// A URI on this node, and a tel URI, become the number that was dialled; others stay whole.
    pub fn read(request: &Request, shared: &Shared) -> Result<(Arc<str>, Option<Consulted>), u16> {
        let mut targets = headers_of(&request.headers, "Refer-To");
        let target = targets
            .next()
            .and_then(NameAddr::parse)
            .filter(|_| targets.next().is_none())
            .ok_or(400_u16)?;
        if let Ok(uri) = SipUri::parse(&target.uri) {
            if uri
                .param("method")
                .is_some_and(|method| !method.eq_ignore_ascii_case("INVITE"))
            {
                return Err(501);
            }
            let consulted = uri
                .headers
                .as_deref()
                .and_then(|headers| consulted(headers, shared));
            let ours = shared.transports.is_own_host(&uri.host)
                || uri.host.eq_ignore_ascii_case(&shared.settings.domain);
            let text = match &uri.user {
                Some(user) if ours => user.clone(),
                _ => SipUri {
                    headers: None,
                    ..uri
                }
                .to_string(),
            };
            return Ok((text.into(), consulted));
        }
        match user_of(&target.uri) {
            Some(number) => Ok((number.into(), None)),
            None => Err(416),
        }
    }

    /// A peer may ask to hear nothing more (RFC 4488).
    pub fn wants_notices(&self) -> bool {
        !header(&self.request.headers, "Refer-Sub")
            .is_some_and(|value| value.trim().to_ascii_lowercase().starts_with("false"))
    }

    /// Makes a NOTIFY of a request of the dialog (RFC 3515 §2.4.4, RFC 3420).
    pub fn fill(&self, notify: &mut Request, status: u16, last: bool) {
        let event = match header(&self.request.headers, "CSeq")
            .and_then(|value| value.split_whitespace().next())
        {
            // The number of the REFER tells the notices of several apart (RFC 3515 §2.4.6).
            Some(number) => format!("refer;id={number}"),
            None => "refer".to_owned(),
        };
        notify.headers.push(named("Event", event));
        notify.headers.push(named(
            "Subscription-State",
            if last {
                "terminated;reason=noresource"
            } else {
                "active;expires=120"
            },
        ));
        notify
            .headers
            .push(named("Content-Type", "message/sipfrag;version=2.0"));
        let phrase = rsipstack::sip::StatusCode::from(status);
        notify.body = format!("SIP/2.0 {status} {}\r\n", phrase.text()).into_bytes();
    }
}

/// What Replaces among the headers of a Refer-To names.
fn consulted(headers: &str, shared: &Shared) -> Option<Consulted> {
    let (_, value) = headers
        .split('&')
        .filter_map(|header| header.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("Replaces"))?;
    let leg = replaced_leg(&unescape(value), shared);
    Some(leg.map_or(Consulted::Elsewhere, Consulted::Leg))
}

/// The leg of ours whose dialog a Replaces header names (RFC 3891 §3): its to-tag is our tag. Some
/// phones write the two tags the other way round.
pub fn replaced_leg(value: &str, shared: &Shared) -> Option<LegId> {
    let mut parts = value.split(';').map(str::trim);
    let call_id = parts.next()?;
    let parts: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    ["to-tag", "from-tag"].into_iter().find_map(|wanted| {
        let (_, tag) = parts
            .iter()
            .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
        shared.legs.leg_of_dialog(call_id, tag.trim())
    })
}
