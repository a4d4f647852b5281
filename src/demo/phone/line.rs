//! A call in progress: what its owner wishes, and what its peer asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rsip::prelude::UntypedHeader as _;
use rsip::{Header, Method, Request, Response, SipMessage, StatusCode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::demo::media::{KeySending, Media};
use crate::demo::phone::PhoneError;
use crate::demo::phone::headers::{cseq_of, escaped, reason_of, tag_of};
use crate::demo::phone::user_agent::{Dialog, MAX_QUEUED, UserAgent};
use crate::edge::clock;

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
    /// When it was answered: our 200 acknowledged, or theirs here.
    pub answered_at: Instant,
    wishes: mpsc::Sender<Wish>,
    state: watch::Receiver<LineState>,
    telephone_event: bool,
    /// How a Replaces names this dialog to whoever is at its other end (RFC 3891 §3).
    replaces: String,
    domain: String,
    task: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    pub(super) fn start(
        ua: Arc<UserAgent>,
        dialog: Dialog,
        media: Arc<Media>,
        messages: mpsc::Receiver<SipMessage>,
        answered_at: Instant,
    ) -> Self {
        let (wishes, asked) = mpsc::channel(MAX_QUEUED);
        let (report, state) = watch::channel(LineState::default());
        let telephone_event = ua.config.telephone_event.is_some();
        let replaces = format!(
            "{};to-tag={};from-tag={}",
            dialog.call_id,
            tag_of(&dialog.remote),
            tag_of(&dialog.local)
        );
        let domain = ua.config.domain.clone();
        let task = tokio::spawn(keep(Keeper {
            ua,
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
            answered_at,
            wishes,
            state,
            telephone_event,
            replaces,
            domain,
            task,
        }
    }

    /// Presses keys and returns when the last one has ended; one that goes by INFO ends as it is sent.
    pub async fn press(&self, keys: &str, how: KeySending) -> Result<Instant, PhoneError> {
        if how == KeySending::Info {
            let mut sent = clock::now();
            for key in keys.chars() {
                sent = clock::now();
                self.wish(|answer| Wish::Info(key, answer)).await?;
            }
            return Ok(sent);
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

    /// Attended transfer (RFC 5589 §7): the far end is given to `number`, whom another line of this
    /// phone talks to.
    pub async fn refer_to_consulted(
        &self,
        number: &str,
        consulted: &Self,
    ) -> Result<(), PhoneError> {
        let replaces = escaped(&consulted.replaces);
        self.refer(&format!("sip:{number}@{}?Replaces={replaces}", self.domain))
            .await
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

/// A line's task: answers its peer and carries out what its owner wishes.
struct Keeper {
    ua: Arc<UserAgent>,
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
                        let ack = keeper.ua.ack(&keeper.dialog, cseq);
                        // Lost again, it is asked for again.
                        let _ = keeper.ua.send(&SipMessage::Request(ack)).await;
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
            return self.ua.send(&SipMessage::Response(response.clone())).await;
        }
        let mut body = None;
        let status = match request.method {
            Method::Ack => return Ok(()),
            Method::Bye if !self.ua.answers_bye.load(Ordering::Relaxed) => return Ok(()),
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
                let peer = self.ua.read_sdp(&offer).ok();
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
                    self.ua
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
        let response = self.ua.response(&request, status, "", body);
        self.responses.insert(key, response.clone());
        self.ua.send(&SipMessage::Response(response)).await
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
            .ua
            .sdp(&self.media, self.version, direction, None)
            .into_bytes();
        let header = Header::ContentType(rsip::headers::ContentType::new("application/sdp"));
        let response = self.transact(Method::Invite, vec![header], body).await?;
        let answer = String::from_utf8_lossy(&response.body).into_owned();
        if let Ok(peer) = self.ua.read_sdp(&answer) {
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
        let mut headers = self.ua.headers(
            &dialog.call_id,
            &dialog.local,
            &dialog.remote,
            dialog.cseq,
            method,
        );
        headers.extend(dialog.route_headers());
        headers.extend(extra);
        let request = self.ua.request(method, &dialog.target, headers, body);
        let response = self
            .ua
            .transact(&request, &mut self.messages, "request")
            .await?;
        if method == Method::Invite {
            let ack = self.ua.ack(&self.dialog, self.dialog.cseq);
            self.ua.send(&SipMessage::Request(ack)).await?;
        }
        match response.status_code.code() {
            200..300 => Ok(response),
            status => Err(PhoneError::Refused(status)),
        }
    }
}
