//! One INVITE of ours among those of a dial: what it takes to cancel, acknowledge or end it.

use rsipstack::sip::{Header, Headers, Method, Request, Response};

use crate::control::output::{Dial, Reason};
use crate::edge::sip::dialog::{Dialog, is_by};
use crate::edge::sip::guard::ALLOW;
use crate::edge::sip::leg::{Leg, TransactionId};
use crate::edge::sip::message::{
    NewRequest, branch, call_id, cseq, named, reason_value, set_description, status_of, to_tag,
    token,
};
use crate::edge::sip::resolve::{Way, from_value, own_uri};
use crate::edge::sip::settings::Account;
use crate::edge::sip::transport::Flow;
use crate::edge::sip::trunk::authorise;
use crate::wire::sdp::SessionDescription;

pub struct Branch {
    pub transaction: TransactionId,
    invite: Request,
    flow: Flow,
    follow_source: bool,
    pub account: Option<Account>,
    tried_with_account: bool,
    pub progress: Progress,
    /// Tags of the phones that said that they ring: each has an early dialog with us.
    ringing: Vec<String>,
    /// CANCEL goes out with the first provisional answer, not before it (RFC 3261 §9.1).
    cancel: Option<Option<Reason>>,
}

/// Phones of one INVITE that a proxy may ring at once; those beyond have no early dialog.
const MAX_RINGING: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No answer yet.
    Calling,
    Proceeding,
    Done(u16),
}

impl Branch {
    /// Sends the INVITE. `None` where its URI cannot stand in a request.
    pub fn start(leg: &mut Leg, way: Way, dial: &Dial, sdp: &SessionDescription) -> Option<Self> {
        let tag = token();
        let call_id = token();
        let to = match way.uri.split_once(';') {
            Some((plain, _)) if plain.contains('@') => format!("<{plain}>"),
            _ => format!("<{}>", way.uri),
        };
        let mut invite = NewRequest {
            method: Method::Invite,
            uri: &way.uri,
            via: way.flow.via(&branch()),
            from: &from_value(dial, &way.flow, &tag),
            to: &to,
            call_id: &call_id,
            cseq: 1,
            max_forwards: dial.max_forwards,
            routes: &[],
        }
        .build()?;
        let headers = &mut invite.headers;
        headers.push(named("Contact", way.flow.contact()));
        match &dial.caller {
            Some(caller) => headers.push(named(
                "P-Asserted-Identity",
                format!("<{}>", own_uri(caller, &way.flow)),
            )),
            None => headers.push(named("Privacy", "id")),
        }
        headers.push(named("Allow", ALLOW));
        set_description(&mut invite, sdp);
        leg.claim(&call_id, &tag);
        Some(Self {
            transaction: leg.request(invite.clone(), &way.flow),
            invite,
            flow: way.flow,
            follow_source: way.follow_source,
            account: way.account,
            tried_with_account: false,
            progress: Progress::Calling,
            ringing: Vec::new(),
            cancel: None,
        })
    }

    pub fn seq(&self) -> u32 {
        cseq(&self.invite.headers)
    }

    /// The description that the INVITE offers.
    pub fn offer(&self) -> &[u8] {
        &self.invite.body
    }

    /// Notes the early dialog that a provisional answer makes (RFC 3261 §12.1.2).
    pub fn rings(&mut self, response: &Response) {
        if status_of(response) == 100 || self.ringing.len() >= MAX_RINGING {
            return;
        }
        let tag = to_tag(&response.headers).unwrap_or_default();
        if !self.ringing.contains(&tag) {
            self.ringing.push(tag);
        }
    }

    /// Whether a request comes out of an early dialog of this INVITE.
    pub fn is_early(&self, request: &Request) -> bool {
        call_id(&self.invite.headers) == call_id(&request.headers)
            && self.ringing.iter().any(|tag| is_by(tag, request))
    }

    /// A provisional answer: a CANCEL that waited for it goes out.
    pub fn proceeds(&mut self, leg: &mut Leg) {
        if self.progress == Progress::Calling {
            self.progress = Progress::Proceeding;
            if let Some(reason) = self.cancel.clone() {
                self.send_cancel(leg, reason.as_ref());
            }
        }
    }

    /// Withdraws the INVITE, now or as soon as it may be.
    pub fn cancel(&mut self, leg: &mut Leg, reason: Option<Reason>) {
        if self.cancel.is_some() {
            return;
        }
        if self.progress == Progress::Proceeding {
            self.send_cancel(leg, reason.as_ref());
        }
        self.cancel = Some(reason);
    }

    /// RFC 3261 §9.1: the same request line, Via and number as the INVITE.
    fn send_cancel(&self, leg: &mut Leg, reason: Option<&Reason>) {
        let mut headers = Headers::default();
        for header in self.invite.headers.iter() {
            match header {
                Header::Via(_)
                | Header::From(_)
                | Header::To(_)
                | Header::CallId(_)
                | Header::Route(_)
                | Header::MaxForwards(_)
                | Header::UserAgent(_) => headers.push(header.clone()),
                _ => {}
            }
        }
        headers.push(named("CSeq", format!("{} CANCEL", self.seq())));
        if let Some(reason) = reason {
            headers.push(named("Reason", reason_value(reason)));
        }
        let cancel = Request {
            method: Method::Cancel,
            uri: self.invite.uri.clone(),
            version: self.invite.version,
            headers,
            body: Vec::new(),
        };
        leg.request(cancel, &self.flow);
    }

    /// Sends the INVITE again with credentials, once. Whether it did.
    pub fn retry(&mut self, leg: &mut Leg, response: &Response) -> bool {
        let Some(account) = &self.account else {
            return false;
        };
        if self.tried_with_account || self.cancel.is_some() {
            return false;
        }
        let Some(mut retry) = authorise(&self.invite, response, account, &self.flow) else {
            return false;
        };
        retry
            .headers
            .unique_push(named("CSeq", format!("{} INVITE", self.seq() + 1)));
        self.transaction = leg.request(retry.clone(), &self.flow);
        self.invite = retry;
        self.tried_with_account = true;
        self.progress = Progress::Calling;
        true
    }

    /// The dialog that a 2xx makes, acknowledged.
    pub async fn accept(&self, leg: &Leg, response: &Response) -> Dialog {
        let mut dialog = Dialog::accepted(
            &self.invite,
            response,
            self.flow.clone(),
            self.follow_source,
        );
        dialog.acknowledge(&leg.shared, self.seq()).await;
        dialog
    }

    /// A 2xx that nobody wants any more is acknowledged and ended (RFC 3261 §13.2.2.4).
    pub async fn dismiss(&self, leg: &mut Leg, response: &Response) {
        let mut dialog = self.accept(leg, response).await;
        let shared = leg.shared.clone();
        if let Ok(flow) = dialog.way(&shared).await
            && let Some(bye) = dialog.request(Method::Bye, &flow)
        {
            leg.request(bye, &flow);
        }
    }
}
