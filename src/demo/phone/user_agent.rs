//! The user agent that all calls of a phone share: its socket, its dialogs, and the form of its
//! messages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsip::prelude::UntypedHeader as _;
use rsip::{Header, Headers, Method, Request, Response, SipMessage, StatusCode};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::demo::phone::headers::{call_id_of, cseq_of};
use crate::demo::phone::incoming::Incoming;
use crate::demo::phone::{PhoneConfig, PhoneError};

/// RFC 3261 §17.1.1.1.
pub const T1: Duration = Duration::from_millis(500);
/// Messages of one dialog that wait for its task.
pub const MAX_QUEUED: usize = 64;

pub struct UserAgent {
    pub config: PhoneConfig,
    pub socket: UdpSocket,
    pub local: SocketAddr,
    pub dialogs: Mutex<BTreeMap<String, mpsc::Sender<SipMessage>>>,
    pub counter: Mutex<u64>,
    pub answers_bye: AtomicBool,
}

#[derive(Clone, Debug)]
pub struct Dialog {
    pub local: String,
    pub remote: String,
    pub target: String,
    pub call_id: String,
    pub cseq: u32,
    /// Proxies that requests pass, from here on.
    pub routes: Vec<String>,
}

impl Dialog {
    pub fn route_headers(&self) -> impl Iterator<Item = Header> {
        let routes = self.routes.iter();
        routes.map(|route| Header::Route(rsip::headers::Route::new(route.as_str())))
    }
}

impl UserAgent {
    pub fn unique(&self, prefix: &str) -> String {
        let mut counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner);
        *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        format!("{prefix}{:016x}", *counter)
    }

    pub fn dialog(&self, call_id: &str) -> mpsc::Receiver<SipMessage> {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        let mut dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        dialogs.insert(call_id.to_owned(), sender);
        receiver
    }

    pub fn own_uri(&self, tag: &str) -> String {
        format!(
            "<sip:{}@{}>;tag={tag}",
            self.config.user, self.config.domain
        )
    }

    pub fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.config.user, self.local)
    }

    pub fn headers(
        &self,
        call_id: &str,
        from: &str,
        to: &str,
        cseq: u32,
        method: Method,
    ) -> Vec<Header> {
        vec![
            Header::Via(rsip::headers::Via::new(format!(
                "SIP/2.0/UDP {};rport;branch=z9hG4bK{}",
                self.local,
                self.unique("")
            ))),
            Header::MaxForwards(rsip::headers::MaxForwards::new("70")),
            Header::From(rsip::headers::From::new(from)),
            Header::To(rsip::headers::To::new(to)),
            Header::CallId(rsip::headers::CallId::new(call_id)),
            Header::CSeq(rsip::headers::CSeq::new(format!("{cseq} {method}"))),
            Header::Contact(rsip::headers::Contact::new(self.contact())),
        ]
    }

    pub fn request(
        &self,
        method: Method,
        uri: &str,
        headers: Vec<Header>,
        body: Vec<u8>,
    ) -> Request {
        let mut headers = Headers::from(headers);
        headers.push(Header::ContentLength(rsip::headers::ContentLength::new(
            body.len().to_string(),
        )));
        Request {
            method,
            uri: rsip::Uri::try_from(uri).unwrap_or_default(),
            version: rsip::Version::V2,
            headers,
            body,
        }
    }

    pub async fn send(&self, message: &SipMessage) -> Result<(), PhoneError> {
        let bytes: Vec<u8> = match message {
            SipMessage::Request(request) => request.clone().into(),
            SipMessage::Response(response) => response.clone().into(),
        };
        self.socket.send_to(&bytes, self.config.server).await?;
        Ok(())
    }

    /// Sends a request until it is answered; provisional answers are passed over.
    pub async fn transact(
        &self,
        request: &Request,
        messages: &mut mpsc::Receiver<SipMessage>,
        what: &'static str,
    ) -> Result<Response, PhoneError> {
        let message = SipMessage::Request(request.clone());
        let mut wait = T1;
        for _ in 0..8 {
            self.send(&message).await?;
            let answered = tokio::time::timeout(wait, async {
                loop {
                    match messages.recv().await {
                        Some(SipMessage::Response(response))
                            if cseq_of(&response) == cseq_of(request) =>
                        {
                            if response.status_code.code() >= 200 {
                                return Some(response);
                            }
                        }
                        Some(_) => {}
                        None => return None,
                    }
                }
            })
            .await;
            match answered {
                Ok(Some(response)) => return Ok(response),
                Ok(None) => return Err(PhoneError::Over),
                Err(_) => wait = (wait * 2).min(T1 * 8),
            }
        }
        Err(PhoneError::Timeout(what))
    }

    pub async fn respond(
        &self,
        request: &Request,
        status: StatusCode,
        tag: &str,
        body: Option<String>,
    ) -> Result<(), PhoneError> {
        let response = self.response(request, status, tag, body);
        self.send(&SipMessage::Response(response)).await
    }

    pub fn response(
        &self,
        request: &Request,
        status: StatusCode,
        tag: &str,
        body: Option<String>,
    ) -> Response {
        let mut headers = Headers::default();
        for header in request.headers.iter() {
            match header {
                Header::Via(_)
                | Header::RecordRoute(_)
                | Header::From(_)
                | Header::CallId(_)
                | Header::CSeq(_) => headers.push(header.clone()),
                Header::To(to) if !to.value().contains("tag=") => {
                    headers.push(Header::To(rsip::headers::To::new(format!(
                        "{};tag={tag}",
                        to.value()
                    ))));
                }
                Header::To(_) => headers.push(header.clone()),
                _ => {}
            }
        }
        headers.push(Header::Contact(rsip::headers::Contact::new(self.contact())));
        let body = body.unwrap_or_default().into_bytes();
        if !body.is_empty() {
            headers.push(Header::ContentType(rsip::headers::ContentType::new(
                "application/sdp",
            )));
        }
        headers.push(Header::ContentLength(rsip::headers::ContentLength::new(
            body.len().to_string(),
        )));
        Response {
            status_code: status,
            version: rsip::Version::V2,
            headers,
            body,
        }
    }

    pub fn ack(&self, dialog: &Dialog, cseq: u32) -> Request {
        let mut headers = self.headers(
            &dialog.call_id,
            &dialog.local,
            &dialog.remote,
            cseq,
            Method::Ack,
        );
        headers.extend(dialog.route_headers());
        self.request(Method::Ack, &dialog.target, headers, Vec::new())
    }
}

pub async fn receive(ua: Arc<UserAgent>, incoming: mpsc::Sender<Incoming>) {
    let mut buffer = vec![0u8; 65_536];
    loop {
        let Ok((length, _)) = ua.socket.recv_from(&mut buffer).await else {
            return;
        };
        let Ok(message) = SipMessage::try_from(&buffer[..length]) else {
            continue;
        };
        let Some(call_id) = call_id_of(&message) else {
            continue;
        };
        let known = {
            let dialogs = ua.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
            dialogs.get(&call_id).cloned()
        };
        if let Some(dialog) = known {
            // A dialog whose task has ended, or is flooded, loses the message; its peer repeats it.
            if dialog.try_send(message.clone()).is_ok() {
                continue;
            }
            let mut dialogs = ua.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
            if dialog.is_closed() {
                dialogs.remove(&call_id);
            }
        }
        let SipMessage::Request(request) = message else {
            continue;
        };
        let tag = ua.unique("t");
        let status = match request.method {
            Method::Invite => {
                let messages = ua.dialog(&call_id);
                let call = Incoming::new(ua.clone(), request, messages, tag);
                // Beyond the bound, the caller repeats its INVITE and times out.
                let _ = incoming.try_send(call);
                continue;
            }
            Method::Ack => continue,
            Method::Options => StatusCode::OK,
            _ => StatusCode::CallTransactionDoesNotExist,
        };
        // A lost answer is asked for again.
        let _ = ua.respond(&request, status, &tag, None).await;
    }
}
