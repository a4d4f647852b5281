//! A simulated telephone: SIP over UDP on `rsip`, a second implementation beside the service's own
//! stack, so that the stack is never tested against itself. It registers with digest, dials,
//! answers, holds, sends INFO and hangs up; [`crate::demo::media`] is its sound.
//!
//! It is a phone for demonstration and tests: it retransmits requests (RFC 3261 §17.1) and its
//! 2xx until the ACK (§13.3.1.4), follows what proxies recorded, and leaves forking and reliable provisionals alone.

mod description;
mod dialling;
mod digest;
mod headers;
mod incoming;
mod line;
mod user_agent;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rsip::prelude::UntypedHeader as _;
use rsip::{Header, Method};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::demo::media::{Codec, Media};
use crate::demo::phone::user_agent::{Dialog, UserAgent};

pub use crate::demo::phone::dialling::Dialling;
pub use crate::demo::phone::incoming::Incoming;
pub use crate::demo::phone::line::{Line, LineState};

/// Calls that wait to be taken by `Phone::incoming`.
const MAX_WAITING: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("refused with {0}")]
    Refused(u16),
    #[error("no answer to {0}")]
    Timeout(&'static str),
    #[error("the answer has no usable SDP")]
    Sdp,
    #[error("the call is over")]
    Over,
}

/// Who a phone is and how it talks.
#[derive(Clone, Debug)]
pub struct PhoneConfig {
    /// User part of From and of the registration.
    pub user: String,
    /// Where requests go.
    pub server: SocketAddr,
    pub domain: String,
    pub ip: IpAddr,
    /// 0: any free one.
    pub port: u16,
    /// For digest authentication; a phone behind a trunk has none.
    pub password: Option<String>,
    /// Codecs offered and accepted, best first.
    pub codecs: Vec<Codec>,
    /// Offer and accept RFC 4733 with this payload type.
    pub telephone_event: Option<u8>,
}

impl PhoneConfig {
    pub fn new(user: &str, ip: IpAddr, server: SocketAddr) -> Self {
        Self {
            user: user.to_owned(),
            server,
            domain: "sottovoce.local".to_owned(),
            ip,
            port: 0,
            password: None,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: Some(101),
        }
    }
}

/// A telephone with one address and any number of lines.
pub struct Phone {
    ua: Arc<UserAgent>,
    incoming: mpsc::Receiver<Incoming>,
    task: JoinHandle<()>,
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Phone {
    pub async fn start(config: PhoneConfig) -> Result<Self, PhoneError> {
        let socket = UdpSocket::bind((config.ip, config.port)).await?;
        let local = socket.local_addr()?;
        let mut seed = [0u8; 8];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        let ua = Arc::new(UserAgent {
            config,
            socket,
            local,
            dialogs: Mutex::new(BTreeMap::new()),
            counter: Mutex::new(u64::from_be_bytes(seed)),
            answers_bye: AtomicBool::new(true),
        });
        let (sender, incoming) = mpsc::channel(MAX_WAITING);
        let task = tokio::spawn(user_agent::receive(ua.clone(), sender));
        Ok(Self { ua, incoming, task })
    }

    pub fn local(&self) -> SocketAddr {
        self.ua.local
    }

    /// Registers for ten minutes.
    pub async fn register(&self) -> Result<(), PhoneError> {
        let ua = &self.ua;
        let call_id = ua.unique("reg");
        let tag = ua.unique("t");
        let mut messages = ua.dialog(&call_id);
        let uri = format!("sip:{}", ua.config.domain);
        let mut authorization = None;
        for cseq in 1..=3 {
            let mut headers = ua.headers(
                &call_id,
                &ua.own_uri(&tag),
                &format!("<sip:{}@{}>", ua.config.user, ua.config.domain),
                cseq,
                Method::Register,
            );
            headers.push(Header::Expires(rsip::headers::Expires::new("600")));
            if let Some(value) = authorization.take() {
                headers.push(Header::Authorization(rsip::headers::Authorization::new(
                    value,
                )));
            }
            let request = ua.request(Method::Register, &uri, headers, Vec::new());
            let response = ua.transact(&request, &mut messages, "REGISTER").await?;
            let status = response.status_code.code();
            match status {
                200 => return Ok(()),
                401 if cseq < 3 => {
                    authorization = ua.authorize(&response, "REGISTER", &uri);
                    if authorization.is_none() {
                        return Err(PhoneError::Refused(401));
                    }
                }
                status => return Err(PhoneError::Refused(status)),
            }
        }
        Err(PhoneError::Refused(401))
    }

    /// Dials, and waits for the answer.
    pub async fn dial(&self, number: &str) -> Result<Line, PhoneError> {
        self.start_dialling(number).await?.answered().await
    }

    /// Dials; the call can be cancelled while it rings.
    pub async fn start_dialling(&self, number: &str) -> Result<Dialling, PhoneError> {
        let ua = self.ua.clone();
        let media = Media::open(ua.config.ip).await?;
        let call_id = ua.unique("call");
        let messages = ua.dialog(&call_id);
        let dialog = Dialog {
            local: ua.own_uri(&ua.unique("t")),
            remote: format!("<sip:{number}@{}>", ua.config.domain),
            target: format!("sip:{number}@{}", ua.config.server),
            call_id,
            cseq: 1,
            routes: Vec::new(),
        };
        Ok(Dialling::start(ua, dialog, media, messages))
    }

    /// A phone that has lost its network does not answer a BYE; this one pretends.
    pub fn answer_byes(&self, answers: bool) {
        self.ua.answers_bye.store(answers, Ordering::Relaxed);
    }

    /// The next call that rings here.
    pub async fn incoming(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}
