//! A simulated telephone: SIP over UDP on `rsip`, a second implementation beside the service's own
//! stack, so that the stack is never tested against itself. It registers with digest, dials,
//! answers, holds, sends INFO and hangs up; [`crate::demo::media`] is its sound.
//!
//! It is a phone for demonstration and tests: it retransmits requests (RFC 3261 §17.1) and its
//! 2xx until the ACK (§13.3.1.4), and leaves forking and reliable provisionals alone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use md5::Digest as _;
use rsip::headers::ToTypedHeader as _;
use rsip::message::HeadersExt as _;
use rsip::prelude::UntypedHeader as _;
use rsip::{Header, Headers, Method, Request, Response, SipMessage, StatusCode};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::demo::media::{KeySending, Law, Media, Peer};

const T1: Duration = Duration::from_millis(500);
/// Calls that wait to be taken by `Phone::incoming`.
const MAX_WAITING: usize = 64;
/// Messages of one dialog that wait for its task.
const MAX_QUEUED: usize = 64;

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
    pub laws: Vec<Law>,
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
            laws: vec![Law::Pcmu, Law::Pcma],
            telephone_event: Some(101),
        }
    }
}

struct Shared {
    config: PhoneConfig,
    socket: UdpSocket,
    local: SocketAddr,
    dialogs: Mutex<BTreeMap<String, mpsc::Sender<SipMessage>>>,
    counter: Mutex<u64>,
    answers_bye: AtomicBool,
}

/// A telephone with one address and any number of lines.
pub struct Phone {
    shared: Arc<Shared>,
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
        let shared = Arc::new(Shared {
            config,
            socket,
            local,
            dialogs: Mutex::new(BTreeMap::new()),
            counter: Mutex::new(u64::from_be_bytes(seed)),
            answers_bye: AtomicBool::new(true),
        });
        let (sender, incoming) = mpsc::channel(MAX_WAITING);
        let task = tokio::spawn(receive(shared.clone(), sender));
        Ok(Self {
            shared,
            incoming,
            task,
        })
    }

    pub fn local(&self) -> SocketAddr {
        self.shared.local
    }

    /// Registers for ten minutes.
    pub async fn register(&self) -> Result<(), PhoneError> {
        let shared = &self.shared;
        let call_id = shared.unique("reg");
        let tag = shared.unique("t");
        let mut messages = shared.dialog(&call_id);
        let uri = format!("sip:{}", shared.config.domain);
        let mut authorization = None;
        for cseq in 1..=3 {
            let mut headers = shared.headers(
                &call_id,
                &shared.own_uri(&tag),
                &format!("<sip:{}@{}>", shared.config.user, shared.config.domain),
                cseq,
                Method::Register,
            );
            headers.push(Header::Expires(rsip::headers::Expires::new("600")));
            if let Some(value) = authorization.take() {
                headers.push(Header::Authorization(rsip::headers::Authorization::new(
                    value,
                )));
            }
            let request = shared.request(Method::Register, &uri, headers, Vec::new());
            let response = shared.transact(&request, &mut messages, "REGISTER").await?;
            let status = response.status_code.code();
            match status {
                200 => return Ok(()),
                401 if cseq < 3 => {
                    authorization = shared.authorize(&response, "REGISTER", &uri);
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
        let shared = self.shared.clone();
        let media = Media::open(shared.config.ip).await?;
        let call_id = shared.unique("call");
        let messages = shared.dialog(&call_id);
        let dialog = Dialog {
            local: shared.own_uri(&shared.unique("t")),
            remote: format!("<sip:{number}@{}>", shared.config.domain),
            target: format!("sip:{number}@{}", shared.config.server),
            call_id,
            cseq: 1,
        };
        let (progress, status) = watch::channel(100);
        let (cancel, cancelled) = oneshot::channel();
        let task = tokio::spawn(dial(shared, dialog, media, messages, progress, cancelled));
        Ok(Dialling {
            task,
            status,
            cancel: Some(cancel),
        })
    }

    /// A phone that has lost its network does not answer a BYE; this one pretends.
    pub fn answer_byes(&self, answers: bool) {
        self.shared.answers_bye.store(answers, Ordering::Relaxed);
    }

    /// The next call that rings here.
    pub async fn incoming(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

/// A call that we placed and that has no answer yet.
pub struct Dialling {
    task: JoinHandle<Result<Line, PhoneError>>,
    /// The newest provisional status.
    pub status: watch::Receiver<u16>,
    cancel: Option<oneshot::Sender<()>>,
}

impl Dialling {
    pub async fn answered(self) -> Result<Line, PhoneError> {
        self.task.await.unwrap_or(Err(PhoneError::Over))
    }

    /// Sends CANCEL and waits for the end; the status the INVITE ended with.
    pub async fn cancel(mut self) -> Result<Line, PhoneError> {
        if let Some(cancel) = self.cancel.take() {
            // The task may just have ended.
            let _ = cancel.send(());
        }
        self.answered().await
    }
}

/// A call that rings here.
pub struct Incoming {
    shared: Arc<Shared>,
    invite: Request,
    messages: mpsc::Receiver<SipMessage>,
    tag: String,
}

impl Incoming {
    /// User part of From.
    pub fn caller(&self) -> String {
        let from = self
            .invite
            .from_header()
            .ok()
            .and_then(|from| from.typed().ok());
        from.and_then(|from| from.uri.auth)
            .map(|auth| auth.user)
            .unwrap_or_default()
    }

    /// A header's value by name, if the INVITE has it.
    pub fn header(&self, name: &str) -> Option<String> {
        self.invite.headers.iter().find_map(|header| {
            let line = header.to_string();
            let (key, value) = line.split_once(':')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    /// The offered SDP.
    pub fn offer(&self) -> String {
        String::from_utf8_lossy(&self.invite.body).into_owned()
    }

    pub async fn ring(&self) -> Result<(), PhoneError> {
        self.shared
            .respond(&self.invite, StatusCode::Ringing, &self.tag, None)
            .await
    }

    pub async fn reject(self, status: u16) -> Result<(), PhoneError> {
        self.shared
            .respond(&self.invite, StatusCode::from(status), &self.tag, None)
            .await
    }

    /// Waits for the caller's CANCEL; true when it came, with its Reason header answered 487.
    pub async fn cancelled(&mut self) -> Option<Option<String>> {
        while let Some(message) = self.messages.recv().await {
            let SipMessage::Request(request) = message else {
                continue;
            };
            if request.method == Method::Cancel {
                let reason = request.headers.iter().find_map(|header| match header {
                    Header::Other(name, value) if name.eq_ignore_ascii_case("reason") => {
                        Some(value.clone())
                    }
                    _ => None,
                });
                self.shared
                    .respond(&request, StatusCode::OK, &self.tag, None)
                    .await
                    .ok()?;
                self.shared
                    .respond(&self.invite, StatusCode::RequestTerminated, &self.tag, None)
                    .await
                    .ok()?;
                return Some(reason);
            }
        }
        None
    }

    /// Answers with 200 and waits for the ACK.
    pub async fn answer(mut self) -> Result<Line, PhoneError> {
        let media = Media::open(self.shared.config.ip).await?;
        let offer = String::from_utf8_lossy(&self.invite.body).into_owned();
        let peer = if offer.is_empty() {
            None
        } else {
            Some(self.shared.read_sdp(&offer)?)
        };
        let body = self.shared.sdp(&media, 1, "sendrecv", peer.as_ref());
        if let Some(peer) = peer {
            media.set_peer(peer);
        }
        let from = self
            .invite
            .from_header()
            .map_err(|_| PhoneError::Sdp)?
            .value()
            .to_owned();
        let to = self
            .invite
            .to_header()
            .map_err(|_| PhoneError::Sdp)?
            .value()
            .to_owned();
        let target = contact_of(&self.invite).unwrap_or_else(|| from.clone());
        let dialog = Dialog {
            local: format!("{to};tag={}", self.tag),
            remote: from,
            target,
            call_id: call_id_of(&self.invite).unwrap_or_default(),
            cseq: 1,
        };

        let mut wait = T1;
        for _ in 0..8 {
            self.shared
                .respond(&self.invite, StatusCode::OK, &self.tag, Some(body.clone()))
                .await?;
            match tokio::time::timeout(wait, self.next_ack()).await {
                Ok(Some(ack)) => {
                    if !ack.body.is_empty() {
                        let answer = String::from_utf8_lossy(&ack.body).into_owned();
                        media.set_peer(self.shared.read_sdp(&answer)?);
                    }
                    return Ok(Line::start(self.shared, dialog, media, self.messages));
                }
                Ok(None) => return Err(PhoneError::Over),
                Err(_) => wait = (wait * 2).min(T1 * 8),
            }
        }
        Err(PhoneError::Timeout("200"))
    }

    async fn next_ack(&mut self) -> Option<Request> {
        loop {
            match self.messages.recv().await? {
                SipMessage::Request(request) if request.method == Method::Ack => {
                    return Some(request);
                }
                SipMessage::Request(request) if request.method == Method::Bye => return None,
                _ => {}
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Dialog {
    local: String,
    remote: String,
    target: String,
    call_id: String,
    cseq: u32,
}

enum Wish {
    HangUp(oneshot::Sender<Result<(), PhoneError>>),
    Info(char, oneshot::Sender<Result<(), PhoneError>>),
    /// A re-INVITE with this direction attribute; the answer's SDP.
    Reinvite(&'static str, oneshot::Sender<Result<String, PhoneError>>),
    Refer(String, oneshot::Sender<Result<(), PhoneError>>),
}

/// What a line has seen of its dialog.
#[derive(Clone, Debug, Default)]
pub struct LineState {
    /// The far end hung up, with its Reason header.
    pub ended: Option<Option<String>>,
    /// re-INVITEs that came in.
    pub reinvites: usize,
    /// The direction attribute of the newest re-INVITE.
    pub direction: Option<String>,
    /// Statuses from NOTIFY sipfrag bodies of a REFER.
    pub transfer: Vec<u16>,
}

/// A call in progress.
pub struct Line {
    pub media: Arc<Media>,
    wishes: mpsc::Sender<Wish>,
    state: watch::Receiver<LineState>,
    telephone_event: bool,
    task: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    fn start(
        shared: Arc<Shared>,
        dialog: Dialog,
        media: Media,
        messages: mpsc::Receiver<SipMessage>,
    ) -> Self {
        let media = Arc::new(media);
        let (wishes, asked) = mpsc::channel(MAX_QUEUED);
        let (report, state) = watch::channel(LineState::default());
        let telephone_event = shared.config.telephone_event.is_some();
        let task = tokio::spawn(keep(Keeper {
            shared,
            dialog,
            media: media.clone(),
            messages,
            asked,
            report,
            version: 1,
            responses: BTreeMap::new(),
        }));
        Self {
            media,
            wishes,
            state,
            telephone_event,
            task,
        }
    }

    /// Presses keys and returns when the last one has ended.
    pub async fn press(
        &self,
        keys: &str,
        how: KeySending,
    ) -> Result<std::time::Instant, PhoneError> {
        if how == KeySending::Info {
            for key in keys.chars() {
                self.wish(|answer| Wish::Info(key, answer)).await?;
            }
            return Ok(crate::edge::clock::now());
        }
        Ok(self.media.press(keys, how).await)
    }

    /// The kind of keys this phone sends by itself.
    pub fn usual_keys(&self) -> KeySending {
        if self.telephone_event {
            KeySending::Event
        } else {
            KeySending::InBand
        }
    }

    pub async fn hang_up(&self) -> Result<(), PhoneError> {
        self.wish(Wish::HangUp).await
    }

    /// Puts the far end on hold (`sendonly`), takes it back (`sendrecv`), …
    pub async fn reinvite(&self, direction: &'static str) -> Result<String, PhoneError> {
        self.wish(|answer| Wish::Reinvite(direction, answer)).await
    }

    /// Blind transfer.
    pub async fn refer(&self, target: &str) -> Result<(), PhoneError> {
        let target = target.to_owned();
        self.wish(|answer| Wish::Refer(target, answer)).await
    }

    async fn wish<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, PhoneError>>) -> Wish,
    ) -> Result<T, PhoneError> {
        let (answer, result) = oneshot::channel();
        self.wishes
            .send(make(answer))
            .await
            .map_err(|_| PhoneError::Over)?;
        result.await.unwrap_or(Err(PhoneError::Over))
    }

    pub fn state(&self) -> LineState {
        self.state.borrow().clone()
    }

    /// Waits until the dialog is as wanted.
    pub async fn wait_for(&self, wanted: impl FnMut(&LineState) -> bool) -> Option<LineState> {
        let mut state = self.state.clone();
        let seen = state.wait_for(wanted).await.ok()?;
        Some(seen.clone())
    }

    /// Waits until the far end hangs up.
    pub async fn ended(&self) {
        self.wait_for(|state| state.ended.is_some()).await;
    }
}

impl Shared {
    fn unique(&self, prefix: &str) -> String {
        let mut counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner);
        *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        format!("{prefix}{:016x}", *counter)
    }

    fn dialog(&self, call_id: &str) -> mpsc::Receiver<SipMessage> {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        let mut dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        dialogs.insert(call_id.to_owned(), sender);
        receiver
    }

    fn own_uri(&self, tag: &str) -> String {
        format!(
            "<sip:{}@{}>;tag={tag}",
            self.config.user, self.config.domain
        )
    }

    fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.config.user, self.local)
    }

    fn headers(
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

    fn request(&self, method: Method, uri: &str, headers: Vec<Header>, body: Vec<u8>) -> Request {
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

    async fn send(&self, message: &SipMessage) -> Result<(), PhoneError> {
        let bytes: Vec<u8> = match message {
            SipMessage::Request(request) => request.clone().into(),
            SipMessage::Response(response) => response.clone().into(),
        };
        self.socket.send_to(&bytes, self.config.server).await?;
        Ok(())
    }

    /// Sends a request until it is answered; provisional answers are passed over.
    async fn transact(
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

    async fn respond(
        &self,
        request: &Request,
        status: StatusCode,
        tag: &str,
        body: Option<String>,
    ) -> Result<(), PhoneError> {
        let response = self.response(request, status, tag, body);
        self.send(&SipMessage::Response(response)).await
    }

    fn response(
        &self,
        request: &Request,
        status: StatusCode,
        tag: &str,
        body: Option<String>,
    ) -> Response {
        let mut headers = Headers::default();
        for header in request.headers.iter() {
            match header {
                Header::Via(_) | Header::From(_) | Header::CallId(_) | Header::CSeq(_) => {
                    headers.push(header.clone());
                }
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

    /// The answer to a digest challenge (RFC 7616 with MD5, `qop=auth` where offered).
    fn authorize(&self, response: &Response, method: &str, uri: &str) -> Option<String> {
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

    fn sdp(
        &self,
        media: &Media,
        version: u32,
        direction: &str,
        answer_to: Option<&Peer>,
    ) -> String {
        let ip = self.config.ip;
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let laws: Vec<Law> = match answer_to {
            Some(peer) => vec![peer.law],
            None => self.config.laws.clone(),
        };
        let event = match answer_to {
            Some(peer) => peer.telephone_event,
            None => self.config.telephone_event,
        };
        let mut formats: Vec<String> = laws
            .iter()
            .map(|law| law.payload_type().to_string())
            .collect();
        formats.extend(event.map(|payload_type| payload_type.to_string()));
        let mut text = format!(
            "v=0\r\no=- 1 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP {}\r\n",
            media.local.port(),
            formats.join(" ")
        );
        for law in laws {
            let name = match law {
                Law::Pcmu => "PCMU",
                Law::Pcma => "PCMA",
            };
            text += &format!("a=rtpmap:{} {name}/8000\r\n", law.payload_type());
        }
        if let Some(payload_type) = event {
            text += &format!(
                "a=rtpmap:{payload_type} telephone-event/8000\r\na=fmtp:{payload_type} 0-15\r\n"
            );
        }
        text + &format!("a=ptime:20\r\na={direction}\r\n")
    }

    fn read_sdp(&self, text: &str) -> Result<Peer, PhoneError> {
        let mut ip: Option<IpAddr> = None;
        let mut port = None;
        let mut formats: Vec<u8> = Vec::new();
        let mut telephone_event = None;
        let mut we_may_send = true;
        for line in text.lines() {
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("c=IN ") {
                ip = rest
                    .split(' ')
                    .nth(1)
                    .and_then(|address| address.parse().ok());
            } else if let Some(rest) = line.strip_prefix("m=audio ") {
                let mut words = rest.split(' ');
                port = words.next().and_then(|port| port.parse::<u16>().ok());
                formats = words.skip(1).filter_map(|word| word.parse().ok()).collect();
            } else if let Some(rest) = line.strip_prefix("a=rtpmap:") {
                if let Some((number, name)) = rest.split_once(' ')
                    && name
                        .to_ascii_lowercase()
                        .starts_with("telephone-event/8000")
                {
                    telephone_event = number.parse().ok();
                }
            } else if line == "a=recvonly" || line == "a=sendrecv" {
                we_may_send = true;
            } else if line == "a=sendonly" || line == "a=inactive" {
                we_may_send = false;
            }
        }
        let law = formats.iter().find_map(|format| {
            self.config
                .laws
                .iter()
                .copied()
                .find(|law| law.payload_type() == *format)
        });
        match (ip, port, law) {
            (Some(ip), Some(port), Some(law)) if port != 0 => Ok(Peer {
                remote: SocketAddr::new(ip, port),
                law,
                telephone_event: self.config.telephone_event.and(telephone_event),
                we_may_send: we_may_send && !ip.is_unspecified(),
            }),
            _ => Err(PhoneError::Sdp),
        }
    }
}

async fn receive(shared: Arc<Shared>, incoming: mpsc::Sender<Incoming>) {
    let mut buffer = vec![0u8; 65_536];
    loop {
        let Ok((length, _)) = shared.socket.recv_from(&mut buffer).await else {
            return;
        };
        let Ok(message) = SipMessage::try_from(&buffer[..length]) else {
            continue;
        };
        let Some(call_id) = call_id_of(&message) else {
            continue;
        };
        let known = {
            let dialogs = shared
                .dialogs
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            dialogs.get(&call_id).cloned()
        };
        if let Some(dialog) = known {
            // A dialog whose task has ended, or is flooded, loses the message; its peer repeats it.
            if dialog.try_send(message.clone()).is_ok() {
                continue;
            }
            let mut dialogs = shared
                .dialogs
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if dialog.is_closed() {
                dialogs.remove(&call_id);
            }
        }
        let SipMessage::Request(request) = message else {
            continue;
        };
        let tag = shared.unique("t");
        let status = match request.method {
            Method::Invite => {
                let messages = shared.dialog(&call_id);
                let call = Incoming {
                    shared: shared.clone(),
                    invite: request,
                    messages,
                    tag,
                };
                // Beyond the bound, the caller repeats its INVITE and times out.
                let _ = incoming.try_send(call);
                continue;
            }
            Method::Ack => continue,
            Method::Options => StatusCode::OK,
            _ => StatusCode::CallTransactionDoesNotExist,
        };
        // A lost answer is asked for again.
        let _ = shared.respond(&request, status, &tag, None).await;
    }
}

async fn dial(
    shared: Arc<Shared>,
    mut dialog: Dialog,
    media: Media,
    mut messages: mpsc::Receiver<SipMessage>,
    progress: watch::Sender<u16>,
    mut cancelled: oneshot::Receiver<()>,
) -> Result<Line, PhoneError> {
    let uri = dialog.target.clone();
    let remote = dialog.remote.clone();
    let mut authorization = None;
    let mut cancel_asked = false;
    loop {
        let cseq = dialog.cseq;
        let mut headers = shared.headers(
            &dialog.call_id,
            &dialog.local,
            &remote,
            cseq,
            Method::Invite,
        );
        headers.push(Header::ContentType(rsip::headers::ContentType::new(
            "application/sdp",
        )));
        if let Some(value) = authorization.take() {
            headers.push(Header::Authorization(rsip::headers::Authorization::new(
                value,
            )));
        }
        let body = shared.sdp(&media, 1, "sendrecv", None).into_bytes();
        let invite = shared.request(Method::Invite, &uri, headers, body);
        let mut wait = T1;
        let mut sends = 0;
        let mut provisional = false;
        let response = loop {
            if !provisional && sends < 8 {
                shared.send(&SipMessage::Request(invite.clone())).await?;
                sends += 1;
            }
            let deadline = if provisional {
                Duration::from_secs(180)
            } else {
                wait
            };
            tokio::select! {
                message = tokio::time::timeout(deadline, messages.recv()) => match message {
                    Ok(Some(SipMessage::Response(response))) => {
                        if cseq_of(&response) != cseq_of(&invite) {
                            continue;
                        }
                        let status = response.status_code.code();
                        if status >= 200 {
                            break response;
                        }
                        provisional = true;
                        if !response.body.is_empty() {
                            let text = String::from_utf8_lossy(&response.body).into_owned();
                            if let Ok(peer) = shared.read_sdp(&text) {
                                media.set_peer(peer);
                            }
                        }
                        progress.send_replace(status);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(PhoneError::Over),
                    Err(_) if provisional || sends >= 8 => {
                        return Err(PhoneError::Timeout("INVITE"));
                    }
                    Err(_) => wait = (wait * 2).min(T1 * 8),
                },
                _ = &mut cancelled, if !cancel_asked => {
                    cancel_asked = true;
                    let request = cancel_for(&invite);
                    shared.send(&SipMessage::Request(request)).await?;
                }
            }
        };

        let status = response.status_code.code();
        dialog.remote = response
            .to_header()
            .map_err(|_| PhoneError::Sdp)?
            .value()
            .to_owned();
        if (200..300).contains(&status) {
            dialog.target = contact_of(&response).unwrap_or(uri);
            let ack = shared.ack(&dialog, cseq);
            shared.send(&SipMessage::Request(ack)).await?;
            let answer = String::from_utf8_lossy(&response.body).into_owned();
            match shared.read_sdp(&answer) {
                Ok(peer) => media.set_peer(peer),
                Err(error) if answer.is_empty() => return Err(error),
                Err(error) => return Err(error),
            }
            return Ok(Line::start(shared, dialog, media, messages));
        }

        // The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
        let mut ack = invite.clone();
        ack.method = Method::Ack;
        ack.body = Vec::new();
        ack.headers = invite
            .headers
            .iter()
            .filter_map(|header| match header {
                Header::To(_) => Some(Header::To(rsip::headers::To::new(dialog.remote.clone()))),
                Header::CSeq(_) => Some(Header::CSeq(rsip::headers::CSeq::new(format!(
                    "{cseq} ACK"
                )))),
                Header::ContentLength(_) => Some(Header::ContentLength(
                    rsip::headers::ContentLength::new("0"),
                )),
                Header::ContentType(_) | Header::Contact(_) | Header::Authorization(_) => None,
                other => Some(other.clone()),
            })
            .collect::<Vec<_>>()
            .into();
        shared.send(&SipMessage::Request(ack)).await?;
        if matches!(status, 401 | 407)
            && cseq == 1
            && let Some(value) = shared.authorize(&response, "INVITE", &uri)
        {
            authorization = Some(value);
            dialog.cseq += 1;
            dialog.remote = remote.clone();
            continue;
        }
        return Err(PhoneError::Refused(status));
    }
}

/// CANCEL copies the INVITE's Via, so that it finds its transaction (RFC 3261 §9.1).
fn cancel_for(invite: &Request) -> Request {
    let mut cancel = invite.clone();
    cancel.method = Method::Cancel;
    cancel.body = Vec::new();
    let number = cseq_of(invite).map(|(number, _)| number).unwrap_or(1);
    cancel.headers = invite
        .headers
        .iter()
        .filter_map(|header| match header {
            Header::CSeq(_) => Some(Header::CSeq(rsip::headers::CSeq::new(format!(
                "{number} CANCEL"
            )))),
            Header::ContentLength(_) => Some(Header::ContentLength(
                rsip::headers::ContentLength::new("0"),
            )),
            Header::ContentType(_) | Header::Contact(_) => None,
            other => Some(other.clone()),
        })
        .collect::<Vec<_>>()
        .into();
    cancel
}

impl Shared {
    fn ack(&self, dialog: &Dialog, cseq: u32) -> Request {
        let headers = self.headers(
            &dialog.call_id,
            &dialog.local,
            &dialog.remote,
            cseq,
            Method::Ack,
        );
        self.request(Method::Ack, &dialog.target, headers, Vec::new())
    }
}

/// A line's task: answers its peer and carries out what its owner wishes.
struct Keeper {
    shared: Arc<Shared>,
    dialog: Dialog,
    media: Arc<Media>,
    messages: mpsc::Receiver<SipMessage>,
    asked: mpsc::Receiver<Wish>,
    report: watch::Sender<LineState>,
    version: u32,
    /// Final responses by CSeq, for repeats of their requests.
    responses: BTreeMap<(u32, String), Response>,
}

async fn keep(mut keeper: Keeper) {
    loop {
        tokio::select! {
            message = keeper.messages.recv() => match message {
                Some(SipMessage::Request(request)) => {
                    if keeper.handle(request).await.is_err() {
                        return;
                    }
                }
                // A repeated 200 to our INVITE wants its ACK again.
                Some(SipMessage::Response(response)) => {
                    if let Some((cseq, method)) = cseq_of(&response)
                        && method == "INVITE"
                        && response.status_code.code() < 300
                    {
                        let ack = keeper.shared.ack(&keeper.dialog, cseq);
                        // Lost again, it is asked for again.
                        let _ = keeper.shared.send(&SipMessage::Request(ack)).await;
                    }
                }
                None => return,
            },
            wish = keeper.asked.recv() => match wish {
                Some(wish) => keeper.carry_out(wish).await,
                None => return,
            },
        }
    }
}

impl Keeper {
    async fn handle(&mut self, request: Request) -> Result<(), PhoneError> {
        let key = cseq_of(&request).unwrap_or_default();
        if let Some(response) = self.responses.get(&key) {
            return self
                .shared
                .send(&SipMessage::Response(response.clone()))
                .await;
        }
        let mut body = None;
        let status = match request.method {
            Method::Ack => return Ok(()),
            Method::Bye if !self.shared.answers_bye.load(Ordering::Relaxed) => return Ok(()),
            Method::Bye => {
                let reason = reason_of(&request);
                self.report.send_modify(|state| {
                    state.ended.get_or_insert(reason);
                });
                StatusCode::OK
            }
            Method::Invite => {
                let offer = String::from_utf8_lossy(&request.body).into_owned();
                let direction = offer
                    .lines()
                    .filter_map(|line| line.trim_end().strip_prefix("a="))
                    .find(|value| {
                        matches!(*value, "sendonly" | "recvonly" | "inactive" | "sendrecv")
                    })
                    .unwrap_or("sendrecv")
                    .to_owned();
                let peer = self.shared.read_sdp(&offer).ok();
                if let Some(peer) = peer.clone() {
                    self.media.set_peer(peer);
                }
                let answer = match direction.as_str() {
                    "sendonly" => "recvonly",
                    "recvonly" => "sendonly",
                    "inactive" => "inactive",
                    _ => "sendrecv",
                };
                self.version += 1;
                body = Some(
                    self.shared
                        .sdp(&self.media, self.version, answer, peer.as_ref()),
                );
                self.report.send_modify(|state| {
                    state.reinvites += 1;
                    state.direction = Some(direction);
                });
                StatusCode::OK
            }
            Method::Notify => {
                let text = String::from_utf8_lossy(&request.body).into_owned();
                if let Some(status) = text
                    .strip_prefix("SIP/2.0 ")
                    .and_then(|rest| rest.get(..3))
                    .and_then(|digits| digits.parse().ok())
                {
                    self.report.send_modify(|state| state.transfer.push(status));
                }
                StatusCode::OK
            }
            Method::Info | Method::Options | Method::Update => StatusCode::OK,
            _ => StatusCode::MethodNotAllowed,
        };
        let response = self.shared.response(&request, status, "", body);
        self.responses.insert(key, response.clone());
        self.shared.send(&SipMessage::Response(response)).await
    }

    async fn carry_out(&mut self, wish: Wish) {
        // Whoever asked may have gone; then nobody needs the answer.
        match wish {
            Wish::HangUp(answer) => {
                let result = self.transact(Method::Bye, Vec::new(), Vec::new()).await;
                self.report.send_modify(|state| {
                    state.ended.get_or_insert(None);
                });
                let _ = answer.send(result.map(|_| ()));
            }
            Wish::Info(key, answer) => {
                let body = format!("Signal={key}\r\nDuration=100\r\n").into_bytes();
                let header =
                    Header::ContentType(rsip::headers::ContentType::new("application/dtmf-relay"));
                let result = self.transact(Method::Info, vec![header], body).await;
                let _ = answer.send(result.map(|_| ()));
            }
            Wish::Refer(target, answer) => {
                let header = Header::Other("Refer-To".to_owned(), format!("<{target}>"));
                let result = self.transact(Method::Refer, vec![header], Vec::new()).await;
                let _ = answer.send(result.map(|_| ()));
            }
            Wish::Reinvite(direction, answer) => {
                let _ = answer.send(self.reinvite(direction).await);
            }
        }
    }

    async fn reinvite(&mut self, direction: &str) -> Result<String, PhoneError> {
        self.version += 1;
        let body = self
            .shared
            .sdp(&self.media, self.version, direction, None)
            .into_bytes();
        let header = Header::ContentType(rsip::headers::ContentType::new("application/sdp"));
        let response = self.transact(Method::Invite, vec![header], body).await?;
        let answer = String::from_utf8_lossy(&response.body).into_owned();
        if let Ok(peer) = self.shared.read_sdp(&answer) {
            self.media.set_peer(peer);
        }
        Ok(answer)
    }

    async fn transact(
        &mut self,
        method: Method,
        extra: Vec<Header>,
        body: Vec<u8>,
    ) -> Result<Response, PhoneError> {
        self.dialog.cseq += 1;
        let dialog = &self.dialog;
        let mut headers = self.shared.headers(
            &dialog.call_id,
            &dialog.local,
            &dialog.remote,
            dialog.cseq,
            method,
        );
        headers.extend(extra);
        let request = self.shared.request(method, &dialog.target, headers, body);
        let response = self
            .shared
            .transact(&request, &mut self.messages, "request")
            .await?;
        if method == Method::Invite {
            let ack = self.shared.ack(&self.dialog, self.dialog.cseq);
            self.shared.send(&SipMessage::Request(ack)).await?;
        }
        match response.status_code.code() {
            200..300 => Ok(response),
            status => Err(PhoneError::Refused(status)),
        }
    }
}

fn call_id_of(message: &impl rsip::message::HasHeaders) -> Option<String> {
    message.headers().iter().find_map(|header| match header {
        Header::CallId(value) => Some(value.value().to_owned()),
        _ => None,
    })
}

fn cseq_of(message: &impl rsip::message::HasHeaders) -> Option<(u32, String)> {
    message.headers().iter().find_map(|header| match header {
        Header::CSeq(value) => {
            let (number, method) = value.value().trim().split_once(' ')?;
            Some((number.parse().ok()?, method.trim().to_owned()))
        }
        _ => None,
    })
}

fn contact_of(message: &impl rsip::message::HasHeaders) -> Option<String> {
    message.headers().iter().find_map(|header| match header {
        Header::Contact(value) => {
            let value = value.value();
            let inner = match (value.find('<'), value.find('>')) {
                (Some(open), Some(close)) if open < close => &value[open + 1..close],
                _ => value.split(';').next().unwrap_or(value),
            };
            Some(inner.trim().to_owned())
        }
        _ => None,
    })
}

fn reason_of(request: &Request) -> Option<String> {
    request.headers.iter().find_map(|header| match header {
        Header::Other(name, value) if name.eq_ignore_ascii_case("reason") => Some(value.clone()),
        _ => None,
    })
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
