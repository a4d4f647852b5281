//! What a standing leg hears of its transactions: answers, acknowledgements, and their ends.

use rsipstack::sip::{Method, Response, StatusCodeKind};

use crate::control::input::Signal;
use crate::edge::sip::leg::{News, TransactionId};
use crate::edge::sip::message::{Answer, cseq, description, status_of};
use crate::edge::sip::session::{Ending, Next, Session, Unacknowledged};
use crate::edge::sip::trunk::authorise;
use crate::wire::sdp::SessionDescription;

impl Session {
    pub(super) async fn hear(&mut self, transaction: TransactionId, news: News) -> Next {
        if let Some(waiting) = self
            .unacknowledged
            .take_if(|waiting| waiting.transaction == transaction)
        {
            return self.hear_of_answer(waiting, news).await;
        }
        if self
            .incoming
            .as_ref()
            .is_some_and(|incoming| incoming.invite.id == transaction)
        {
            if matches!(news, News::Cancelled | News::Ended)
                && let Some(mut incoming) = self.incoming.take()
            {
                // The peer withdrew its re-INVITE: the session stays as it is, and a later
                // decision of control about it finds nothing to answer.
                let answer = Answer::new(&incoming.invite.request, 487).build();
                incoming.invite.answer(answer);
            }
            return Next::Stay;
        }
        if matches!(&self.ending, Ending::Sent { transaction: bye, .. } if *bye == transaction) {
            return self.hear_of_bye(news).await;
        }
        if self
            .outgoing
            .as_ref()
            .is_some_and(|outgoing| outgoing.transaction == transaction)
        {
            return self.hear_of_reinvite(news).await;
        }
        if let News::Response(response) = news {
            self.hear_again(transaction, &response).await;
        }
        Next::Stay
    }

    /// Answers to INVITEs that are decided. A 2xx that was acknowledged comes again when the ACK
    /// was lost; one of another fork is ended.
    async fn hear_again(&mut self, transaction: TransactionId, response: &Response) {
        let kind = response.status_code.kind();
        let shared = self.leg.shared.clone();
        if let Some((reinvited, seq)) = self.reinvited
            && reinvited == transaction
        {
            if kind == StatusCodeKind::Successful {
                self.dialog.acknowledge(&shared, seq).await;
            }
            return;
        }
        let Some(index) = self
            .branches
            .iter()
            .position(|branch| branch.transaction == transaction)
        else {
            return;
        };
        match kind {
            StatusCodeKind::Provisional => self.branches[index].proceeds(&mut self.leg),
            StatusCodeKind::Successful
                if self.winner == Some(index) && self.dialog.is_of(response) =>
            {
                let seq = self.branches[index].seq();
                self.dialog.acknowledge(&shared, seq).await;
            }
            StatusCodeKind::Successful => {
                self.branches[index].dismiss(&mut self.leg, response).await;
            }
            _ => {}
        }
    }

    async fn hear_of_answer(&mut self, waiting: Unacknowledged, news: News) -> Next {
        match news {
            News::Acknowledged(ack) => {
                // An answer that cannot be read is none: control decides what that means.
                let sdp = description(&ack.headers, &ack.body).ok().flatten();
                self.acknowledged(waiting, sdp).await
            }
            News::Ended => {
                self.leg.tell(Signal::NeverAcknowledged).await;
                self.end_if_wanted().await
            }
            // Too late (RFC 3261 §9.2).
            News::Cancelled | News::Response(_) => {
                self.unacknowledged = Some(waiting);
                Next::Stay
            }
        }
    }

    pub(super) async fn acknowledged(
        &mut self,
        waiting: Unacknowledged,
        sdp: Option<SessionDescription>,
    ) -> Next {
        match waiting.reinvite {
            None => {
                let sdp = sdp.filter(|_| waiting.wants_answer);
                self.leg.tell(Signal::Acknowledged { sdp }).await;
            }
            Some(request) if waiting.wants_answer => {
                self.leg
                    .tell(Signal::ReinviteAcknowledged { request, sdp })
                    .await;
            }
            Some(_) => {}
        }
        self.end_if_wanted().await
    }

    async fn end_if_wanted(&mut self) -> Next {
        match std::mem::replace(&mut self.ending, Ending::No) {
            Ending::AfterAck(reason) => self.send_bye(reason).await,
            other => {
                self.ending = other;
                Next::Stay
            }
        }
    }

    async fn hear_of_bye(&mut self, news: News) -> Next {
        match news {
            News::Response(response)
                if response.status_code.kind() == StatusCodeKind::Provisional =>
            {
                Next::Stay
            }
            News::Response(response) => {
                if let Ending::Sent {
                    sent,
                    tried_with_account: false,
                    ..
                } = &self.ending
                    && let Some(account) = &self.account
                    && let Ok(flow) = self.dialog.way(&self.leg.shared).await
                    && let Some(retry) = authorise(sent, &response, account, &flow)
                    && let Some(retry) = self.dialog.renumber(retry)
                {
                    self.ending = Ending::Sent {
                        transaction: self.leg.request(retry.clone(), &flow),
                        sent: Box::new(retry),
                        tried_with_account: true,
                    };
                    return Next::Stay;
                }
                // Any final answer ends it, a 481 included: the dialog is gone (§15.1.1).
                self.leg.tell(Signal::HangUpDone).await;
                Next::Over
            }
            News::Ended => {
                self.leg.tell(Signal::HangUpDone).await;
                Next::Over
            }
            News::Cancelled | News::Acknowledged(_) => Next::Stay,
        }
    }

    async fn hear_of_reinvite(&mut self, news: News) -> Next {
        let response = match news {
            News::Response(response) => response,
            News::Ended => {
                return self.reinvite_failed(408).await;
            }
            News::Cancelled | News::Acknowledged(_) => return Next::Stay,
        };
        let status = status_of(&response);
        match response.status_code.kind() {
            StatusCodeKind::Provisional => Next::Stay,
            StatusCodeKind::Successful => {
                let Some(outgoing) = self.outgoing.take() else {
                    return Next::Stay;
                };
                self.note_target(&response.headers).await;
                self.refreshed(&outgoing.sent, &response.headers);
                if outgoing.sent.method == Method::Invite {
                    let seq = cseq(&outgoing.sent.headers);
                    self.reinvited = Some((outgoing.transaction, seq));
                    let shared = self.leg.shared.clone();
                    self.dialog.acknowledge(&shared, seq).await;
                }
                // The answer to a refresh says what was agreed before (RFC 4028 §9).
                if let Some(request) = outgoing.request {
                    let sdp = description(&response.headers, &response.body)
                        .ok()
                        .flatten();
                    let result = Ok(sdp);
                    self.leg
                        .tell(Signal::ReinviteAnswered { request, result })
                        .await;
                }
                Next::Stay
            }
            _ => {
                if matches!(status, 401 | 407) && self.retry_reinvite(&response).await {
                    return Next::Stay;
                }
                if let (Some(timer), Some(outgoing)) = (&mut self.timer, &self.outgoing) {
                    timer.refused(outgoing.sent.method, status, &response.headers);
                }
                self.reinvite_failed(status).await
            }
        }
    }

    async fn retry_reinvite(&mut self, response: &Response) -> bool {
        let Ok(flow) = self.dialog.way(&self.leg.shared).await else {
            return false;
        };
        let (Some(outgoing), Some(account)) = (&mut self.outgoing, &self.account) else {
            return false;
        };
        if outgoing.tried_with_account {
            return false;
        }
        let Some(retry) = authorise(&outgoing.sent, response, account, &flow)
            .and_then(|retry| self.dialog.renumber(retry))
        else {
            return false;
        };
        outgoing.transaction = self.leg.request(retry.clone(), &flow);
        outgoing.sent = retry;
        outgoing.tried_with_account = true;
        true
    }

    async fn reinvite_failed(&mut self, status: u16) -> Next {
        let Some(outgoing) = self.outgoing.take() else {
            return Next::Stay;
        };
        let is_gone = matches!(status, 408 | 481) && matches!(self.ending, Ending::No);
        let Some(request) = outgoing.request else {
            // RFC 4028 §10: nobody is there, or nobody who knows of the call.
            return match is_gone {
                true => self.expire().await,
                false => Next::Stay,
            };
        };
        let result = Err(status);
        self.leg
            .tell(Signal::ReinviteAnswered { request, result })
            .await;
        // The dialog is gone at the other end (RFC 3261 §12.2.1.2).
        if is_gone {
            self.leg.tell(Signal::Lost).await;
            return Next::Over;
        }
        Next::Stay
    }
}
