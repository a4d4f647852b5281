//! A call that a phone places, until it has its answer.

use std::sync::Arc;
use std::time::Duration;

use rsip::message::HeadersExt as _;
use rsip::prelude::UntypedHeader as _;
use rsip::{Header, Method, Request, SipMessage};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::demo::media::Media;
use crate::demo::phone::PhoneError;
use crate::demo::phone::headers::{contact_of, cseq_of, recorded_routes};
use crate::demo::phone::line::Line;
use crate::demo::phone::user_agent::{Dialog, T1, UserAgent};
use crate::edge::clock;

/// A call that we placed and that has no answer yet.
pub struct Dialling {
    task: JoinHandle<Result<Line, PhoneError>>,
    /// The newest provisional status.
    pub status: watch::Receiver<u16>,
    /// Hears what comes before the answer.
    pub media: Arc<Media>,
    cancel: Option<oneshot::Sender<()>>,
}

impl Dialling {
    pub(super) fn start(
        ua: Arc<UserAgent>,
        dialog: Dialog,
        media: Media,
        messages: mpsc::Receiver<SipMessage>,
    ) -> Self {
        let media = Arc::new(media);
        let (progress, status) = watch::channel(100);
        let (cancel, cancelled) = oneshot::channel();
        let task = tokio::spawn(dial(
            ua,
            dialog,
            media.clone(),
            messages,
            progress,
            cancelled,
        ));
        Self {
            task,
            status,
            media,
            cancel: Some(cancel),
        }
    }

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

async fn dial(
    ua: Arc<UserAgent>,
    mut dialog: Dialog,
    media: Arc<Media>,
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
        let mut headers = ua.headers(
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
        let body = ua.sdp(&media, 1, "sendrecv", None).into_bytes();
        let invite = ua.request(Method::Invite, &uri, headers, body);
        let mut wait = T1;
        let mut sends = 0;
        let mut provisional = false;
        let response = loop {
            if !provisional && sends < 8 {
                ua.send(&SipMessage::Request(invite.clone())).await?;
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
                            if let Ok(peer) = ua.read_sdp(&text) {
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
                    ua.send(&SipMessage::Request(request)).await?;
                }
            }
        };

        let answered_at = clock::now();
        let status = response.status_code.code();
        dialog.remote = response
            .to_header()
            .map_err(|_| PhoneError::Sdp)?
            .value()
            .to_owned();
        if (200..300).contains(&status) {
            dialog.target = contact_of(&response).unwrap_or(uri);
            dialog.routes = recorded_routes(&response);
            dialog.routes.reverse();
            let ack = ua.ack(&dialog, cseq);
            ua.send(&SipMessage::Request(ack)).await?;
            let answer = String::from_utf8_lossy(&response.body).into_owned();
            match ua.read_sdp(&answer) {
                Ok(peer) => media.set_peer(peer),
                Err(error) if answer.is_empty() => return Err(error),
                Err(error) => return Err(error),
            }
            return Ok(Line::start(ua, dialog, media, messages, answered_at));
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
        ua.send(&SipMessage::Request(ack)).await?;
        if matches!(status, 401 | 407)
            && cseq == 1
            && let Some(value) = ua.authorize(&response, "INVITE", &uri)
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
