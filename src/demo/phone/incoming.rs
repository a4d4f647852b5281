//! A call that rings at a phone, until it is answered or not.

use std::sync::Arc;

use rsip::headers::ToTypedHeader as _;
use rsip::message::HeadersExt as _;
use rsip::prelude::UntypedHeader as _;
use rsip::{Method, Request, SipMessage, StatusCode};
use tokio::sync::mpsc;

use crate::demo::media::{Media, Voice};
use crate::demo::phone::PhoneError;
use crate::demo::phone::headers::{call_id_of, contact_of, reason_of, recorded_routes};
use crate::demo::phone::line::Line;
use crate::demo::phone::user_agent::{Dialog, T1, UserAgent};
use crate::edge::clock;

/// A call that rings here.
pub struct Incoming {
    ua: Arc<UserAgent>,
    invite: Request,
    messages: mpsc::Receiver<SipMessage>,
    tag: String,
    /// Sound before the answer, and its description.
    early: Option<(Media, String)>,
}

impl Incoming {
    pub(super) fn new(
        ua: Arc<UserAgent>,
        invite: Request,
        messages: mpsc::Receiver<SipMessage>,
        tag: String,
    ) -> Self {
        Self {
            ua,
            invite,
            messages,
            tag,
            early: None,
        }
    }

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
        self.ua
            .respond(&self.invite, StatusCode::Ringing, &self.tag, None)
            .await
    }

    pub async fn reject(self, status: u16) -> Result<(), PhoneError> {
        self.ua
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
                let reason = reason_of(&request);
                self.ua
                    .respond(&request, StatusCode::OK, &self.tag, None)
                    .await
                    .ok()?;
                self.ua
                    .respond(&self.invite, StatusCode::RequestTerminated, &self.tag, None)
                    .await
                    .ok()?;
                return Some(reason);
            }
        }
        None
    }

    /// Speaks before it answers: 183 with a description, which the answer repeats.
    pub async fn progress(&mut self, voice: Voice) -> Result<(), PhoneError> {
        let (media, body) = self.open_media().await?;
        media.say(voice);
        self.early = Some((media, body.clone()));
        self.ua
            .respond(
                &self.invite,
                StatusCode::SessionProgress,
                &self.tag,
                Some(body),
            )
            .await
    }

    /// Opens the sound and describes it.
    async fn open_media(&self) -> Result<(Media, String), PhoneError> {
        let media = Media::open(self.ua.config.ip).await?;
        let offer = self.offer();
        let peer = if offer.is_empty() {
            None
        } else {
            Some(self.ua.read_sdp(&offer)?)
        };
        let body = self.ua.sdp(&media, 1, "sendrecv", peer.as_ref());
        if let Some(peer) = peer {
            media.set_peer(peer);
        }
        Ok((media, body))
    }

    /// Answers with 200 and waits for the ACK.
    pub async fn answer(mut self) -> Result<Line, PhoneError> {
        let (media, body) = match self.early.take() {
            Some(early) => early,
            None => self.open_media().await?,
        };
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
            routes: recorded_routes(&self.invite),
        };

        let mut wait = T1;
        for _ in 0..8 {
            self.ua
                .respond(&self.invite, StatusCode::OK, &self.tag, Some(body.clone()))
                .await?;
            match tokio::time::timeout(wait, self.next_ack()).await {
                Ok(Some(ack)) => {
                    if !ack.body.is_empty() {
                        let answer = String::from_utf8_lossy(&ack.body).into_owned();
                        media.set_peer(self.ua.read_sdp(&answer)?);
                    }
                    let media = Arc::new(media);
                    let now = clock::now();
                    return Ok(Line::start(self.ua, dialog, media, self.messages, now));
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
