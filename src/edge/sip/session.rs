//! A confirmed dialog, from its 200 to its BYE.
//!
//! ```text
//!            200 sent                  ACK                     BYE either way
//! Ringing ────────────▶ unacknowledged ───▶ standing ────────────────────────▶ over
//!                            │  64·T1: NeverAcknowledged      ▲
//! Dialling ── 200 came, ACK sent ─────────────────────────────┘
//! ```
//!
//! Beside these run at most one re-INVITE of either side, any number of REFERs, and a session timer
//! where the peer wants one. A BYE of ours
//! waits for the ACK of our 200 (RFC 3261 §15): before it the peer may not know the dialog.

mod news;
mod refresh;

use rsipstack::sip::{Method, Request};
use rsipstack::transaction::transaction::Transaction;

use crate::control::input::Signal;
use crate::control::output::{Reason, SignalCommand};
use crate::edge::clock;
use crate::edge::sip::branch::Branch;
use crate::edge::sip::dialog::Dialog;
use crate::edge::sip::leg::{Leg, Mail, ServerInvite, TransactionId};
use crate::edge::sip::message::{
    ACCEPT, Answer, description, header, named, reason_value, set_description,
};
use crate::edge::sip::refer::{Refer, Refers};
use crate::edge::sip::requests::{answer_simple, retry_after, send, serve};
use crate::edge::sip::session_timer::{SessionTimer, too_short};
use crate::edge::sip::settings::Account;
use crate::id::RequestId;
use crate::wire::sdp::SessionDescription;

pub struct Session {
    leg: Leg,
    dialog: Dialog,
    /// For trunks that challenge requests inside a dialog too.
    account: Option<Account>,
    /// INVITEs of ours that made, or could have made, this dialog: their 2xx may come again.
    branches: Vec<Branch>,
    winner: Option<usize>,
    /// The last re-INVITE of ours that was accepted, and its number.
    reinvited: Option<(TransactionId, u32)>,
    unacknowledged: Option<Unacknowledged>,
    incoming: Option<Incoming>,
    outgoing: Option<Outgoing>,
    refers: Refers,
    timer: Option<Box<SessionTimer>>,
    ending: Ending,
}

/// A 200 of ours whose ACK has not come.
pub struct Unacknowledged {
    pub transaction: TransactionId,
    /// Our 200 carried the offer: the ACK brings the answer.
    pub wants_answer: bool,
    pub reinvite: Option<RequestId>,
}

/// A re-INVITE of the peer that control is thinking about.
struct Incoming {
    request: RequestId,
    invite: ServerInvite,
    offerless: bool,
}

/// A re-INVITE of ours, or an UPDATE that refreshes the session.
struct Outgoing {
    /// Control's; a refresh is nobody's but ours.
    request: Option<RequestId>,
    transaction: TransactionId,
    sent: Request,
    tried_with_account: bool,
}

enum Ending {
    No,
    /// Control wants to hang up as soon as the ACK is there.
    AfterAck(Option<Reason>),
    Sent {
        transaction: TransactionId,
        sent: Box<Request>,
        tried_with_account: bool,
    },
}

/// Whether the leg goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Stay,
    Over,
}

impl Session {
    pub fn new(leg: Leg, dialog: Dialog, account: Option<Account>) -> Self {
        Self {
            leg,
            dialog,
            account,
            branches: Vec::new(),
            winner: None,
            reinvited: None,
            unacknowledged: None,
            incoming: None,
            outgoing: None,
            refers: Refers::default(),
            timer: None,
            ending: Ending::No,
        }
    }

    /// Begins with a 200 of ours on its way.
    pub fn waiting_for_ack(mut self, unacknowledged: Unacknowledged) -> Self {
        self.unacknowledged = Some(unacknowledged);
        self
    }

    /// Begins with a 2xx to an INVITE of ours, acknowledged already.
    pub fn made_by(mut self, branches: Vec<Branch>, winner: usize) -> Self {
        self.branches = branches;
        self.winner = Some(winner);
        self
    }

    /// Begins with a timer that the 2xx set.
    pub fn timed_by(mut self, timer: Option<SessionTimer>) -> Self {
        self.timer = timer.map(Box::new);
        self
    }

    /// What a Contact of the peer says of it: where it is reached, and whether it hosts a
    /// conference of its own.
    async fn note_target(&mut self, headers: &rsipstack::sip::Headers) {
        let was_focus = self.dialog.is_focus;
        self.dialog.refresh_target(headers);
        if self.dialog.is_focus != was_focus {
            self.leg.tell(Signal::Focus(self.dialog.is_focus)).await;
        }
    }

    /// Runs by itself from here on: what the set-up of the leg held is free.
    pub fn start(self) {
        tokio::spawn(self.run());
    }

    async fn run(mut self) {
        loop {
            // A leg waits nearly all its life, and what it does with a letter is not kept meanwhile.
            let mail = match self.due() {
                Some(due) => {
                    let left = due.saturating_duration_since(clock::now());
                    Box::pin(self.leg.next_within(left)).await
                }
                None => Some(self.leg.next().await),
            };
            let next = match mail {
                Some(Mail::Command(command)) => Box::pin(self.obey(*command)).await,
                Some(Mail::Request(transaction)) => Box::pin(self.request(*transaction)).await,
                Some(Mail::News { transaction, news }) => {
                    Box::pin(self.hear(transaction, news)).await
                }
                None => Box::pin(self.time_is_up()).await,
            };
            if next == Next::Over {
                return;
            }
        }
    }

    // Commands of control.

    async fn obey(&mut self, command: SignalCommand) -> Next {
        match command {
            SignalCommand::HangUp { reason } => return self.hang_up(reason).await,
            SignalCommand::Reinvite { request, sdp } => self.reinvite(request, sdp).await,
            SignalCommand::AcceptReinvite { request, sdp } => self.accept_reinvite(request, &sdp),
            SignalCommand::RefuseReinvite { request, status } => {
                if let Some(mut incoming) = self.take_incoming(request) {
                    let status = status.clamp(300, 699);
                    let mut answer = Answer::new(&incoming.invite.request, status);
                    if status == 500 {
                        answer = answer.with("Retry-After", retry_after());
                    }
                    let answer = answer.build();
                    incoming.invite.answer(answer);
                }
            }
            SignalCommand::AcceptRefer { request } => {
                if let Some(mut refer) = self.refers.decide(request) {
                    let answer = Answer::new(refer.request(), 202)
                        .with("Contact", self.dialog.flow.contact())
                        .build();
                    refer.answer(answer).await;
                    self.refers.accepted(request, refer);
                }
            }
            SignalCommand::RefuseRefer { request, status } => {
                if let Some(mut refer) = self.refers.decide(request) {
                    let status = status.clamp(300, 699);
                    let answer = Answer::new(refer.request(), status).build();
                    refer.answer(answer).await;
                }
            }
            SignalCommand::NotifyRefer {
                request,
                status,
                last,
            } => {
                if let Some(refer) = self.refers.tell(request) {
                    self.notify(&refer, status, last).await;
                    if !last {
                        self.refers.accepted(request, refer);
                    }
                }
            }
            // A CANCEL that crossed with the answer: the leg stands and control will hang up.
            SignalCommand::Cancel { reason } => return self.hang_up(reason).await,
            SignalCommand::Ring
            | SignalCommand::Progress { .. }
            | SignalCommand::Answer { .. }
            | SignalCommand::Reject { .. }
            | SignalCommand::Dial(_) => {
                tracing::warn!(leg = %self.leg.id, "a command that does not fit a standing leg");
            }
        }
        Next::Stay
    }

    async fn hang_up(&mut self, reason: Option<Reason>) -> Next {
        if !matches!(self.ending, Ending::No) {
            return Next::Stay;
        }
        if let Some(mut incoming) = self.incoming.take() {
            let answer = Answer::new(&incoming.invite.request, 487).build();
            incoming.invite.answer(answer);
        }
        if self.unacknowledged.is_some() {
            self.ending = Ending::AfterAck(reason);
            return Next::Stay;
        }
        self.send_bye(reason).await
    }

    async fn send_bye(&mut self, reason: Option<Reason>) -> Next {
        let Ok(flow) = self.dialog.way(&self.leg.shared).await else {
            self.leg.tell(Signal::HangUpDone).await;
            return Next::Over;
        };
        let Some(mut bye) = self.dialog.request(Method::Bye, &flow) else {
            self.leg.tell(Signal::HangUpDone).await;
            return Next::Over;
        };
        if let Some(reason) = &reason {
            bye.headers.push(named("Reason", reason_value(reason)));
        }
        self.ending = Ending::Sent {
            transaction: self.leg.request(bye.clone(), &flow),
            sent: Box::new(bye),
            tried_with_account: false,
        };
        Next::Stay
    }

    async fn reinvite(&mut self, request: RequestId, sdp: Option<SessionDescription>) {
        let busy = self.incoming.is_some()
            || self.outgoing.is_some()
            || self.unacknowledged.is_some()
            || !matches!(self.ending, Ending::No);
        let status = match sdp {
            // Glare: control tries again after the time that RFC 3261 §14.1 gives.
            _ if busy => 491,
            // A re-INVITE of ours always brings its offer: nobody could answer the peer's in time.
            None => 488,
            Some(sdp) => {
                if self.send_reinvite(request, sdp).await {
                    return;
                }
                503
            }
        };
        self.leg
            .tell(Signal::ReinviteAnswered {
                request,
                result: Err(status),
            })
            .await;
    }

    async fn send_reinvite(&mut self, request: RequestId, sdp: SessionDescription) -> bool {
        let Ok(flow) = self.dialog.way(&self.leg.shared).await else {
            return false;
        };
        let Some(mut invite) = self.dialog.request(Method::Invite, &flow) else {
            return false;
        };
        invite.headers.push(named("Contact", flow.contact()));
        invite
            .headers
            .push(named("Allow", crate::edge::sip::guard::ALLOW));
        if let Some(timer) = &self.timer {
            timer.ask(&mut invite);
        }
        set_description(&mut invite, &sdp);
        self.outgoing = Some(Outgoing {
            request: Some(request),
            transaction: self.leg.request(invite.clone(), &flow),
            sent: invite,
            tried_with_account: false,
        });
        true
    }

    fn accept_reinvite(&mut self, request: RequestId, sdp: &SessionDescription) {
        let Some(mut incoming) = self.take_incoming(request) else {
            return;
        };
        let invite = &incoming.invite.request;
        let answer = Answer::new(invite, 200)
            .with_record_route()
            .with("Contact", self.dialog.flow.contact())
            .with_capabilities();
        let timer = SessionTimer::asked(clock::now(), invite, self.timer.as_deref());
        let answer = SessionTimer::promise(timer.as_ref(), invite, answer)
            .with_description(sdp)
            .build();
        self.timer = timer.map(|timer| Box::new(timer.describing(&answer.body)));
        incoming.invite.answer(answer);
        self.unacknowledged = Some(Unacknowledged {
            transaction: incoming.invite.id,
            wants_answer: incoming.offerless,
            reinvite: Some(request),
        });
    }

    fn take_incoming(&mut self, request: RequestId) -> Option<Incoming> {
        self.incoming
            .take_if(|incoming| incoming.request == request)
    }

    async fn notify(&mut self, refer: &Refer, status: u16, last: bool) {
        if !refer.wants_notices() {
            return;
        }
        let Ok(flow) = self.dialog.way(&self.leg.shared).await else {
            return;
        };
        if let Some(mut notify) = self.dialog.request(Method::Notify, &flow) {
            refer.fill(&mut notify, status, last);
            notify.headers.push(named("Contact", flow.contact()));
            self.leg.request(notify, &flow);
        }
    }

    // Requests of the peer.

    async fn request(&mut self, mut transaction: Transaction) -> Next {
        if !self.dialog.is_from_peer(&transaction.original) {
            self.leg.refuse(transaction, 481).await;
            return Next::Stay;
        }
        if !self.dialog.takes(&transaction.original) {
            self.leg.refuse(transaction, 500).await;
            return Next::Stay;
        }
        if transaction.original.method == Method::Invite
            && self.has_our_answer().await == Next::Over
        {
            return Next::Over;
        }
        match transaction.original.method {
            Method::Bye => return self.bye(transaction).await,
            Method::Invite => self.reinvited(transaction).await,
            Method::Refer => self.referred(transaction).await,
            Method::Update => self.updated(transaction).await,
            _ => serve(&self.leg, &mut transaction).await,
        }
        Next::Stay
    }

    async fn bye(&mut self, mut transaction: Transaction) -> Next {
        let reason = header(&transaction.original.headers, "Reason").map(Into::into);
        answer_simple(&mut transaction, 200).await;
        if let Some(mut incoming) = self.incoming.take() {
            let answer = Answer::new(&incoming.invite.request, 487).build();
            incoming.invite.answer(answer);
        }
        match self.ending {
            // Both hang up: our own BYE is answered too, or times out.
            Ending::Sent { .. } => Next::Stay,
            Ending::AfterAck(_) => {
                self.leg.tell(Signal::HangUpDone).await;
                Next::Over
            }
            Ending::No => {
                self.leg.tell(Signal::HungUp { reason }).await;
                Next::Over
            }
        }
    }

    /// A peer has one INVITE at a time under way (RFC 3261 §14.1): that it begins the next shows
    /// that our 200 reached it, though its ACK was overtaken or lost. Only an ACK that brings the
    /// answer to our offer is still waited for.
    async fn has_our_answer(&mut self) -> Next {
        match self.unacknowledged.take_if(|waiting| !waiting.wants_answer) {
            Some(waiting) => self.acknowledged(waiting, None).await,
            None => Next::Stay,
        }
    }

    async fn reinvited(&mut self, transaction: Transaction) {
        let request = &transaction.original;
        let refusal = if !matches!(self.ending, Ending::No) {
            Some(Answer::new(request, 481))
        } else if self.has_invite_out() {
            // Glare (RFC 3261 §14.2).
            Some(Answer::new(request, 491))
        } else if self.incoming.is_some() || self.unacknowledged.is_some() {
            Some(Answer::new(request, 500).with("Retry-After", retry_after()))
        } else {
            too_short(request, self.leg.shared.settings.shortest_session)
        };
        if let Some(refusal) = refusal {
            let refusal = refusal.build();
            self.leg.serve(transaction, None).answer(refusal);
            return;
        }
        let sdp = description(&request.headers, &request.body);
        let request_id = self.leg.shared.next_request();
        let mut invite = self.leg.serve(transaction, self.dialog.flow.closed.clone());
        match sdp {
            Ok(sdp) => {
                self.note_target(&invite.request.headers).await;
                let trying = Answer::new(&invite.request, 100).build();
                invite.answer(trying);
                self.incoming = Some(Incoming {
                    request: request_id,
                    offerless: sdp.is_none(),
                    invite,
                });
                self.leg
                    .tell(Signal::Reinvited {
                        request: request_id,
                        sdp,
                    })
                    .await;
            }
            Err(error) => {
                let answer = Answer::new(&invite.request, error.status())
                    .with("Accept", ACCEPT)
                    .build();
                invite.answer(answer);
            }
        }
    }

    fn has_invite_out(&self) -> bool {
        self.outgoing
            .as_ref()
            .is_some_and(|outgoing| outgoing.sent.method == Method::Invite)
    }

    async fn referred(&mut self, mut transaction: Transaction) {
        let shared = self.leg.shared.clone();
        let refusal = match Refer::read(&transaction.original, &shared) {
            Err(status) => Answer::new(&transaction.original, status),
            Ok(_) if self.refers.is_full() || !matches!(self.ending, Ending::No) => {
                Answer::new(&transaction.original, 480)
            }
            Ok((target, consulted)) => {
                let request = shared.next_request();
                self.refers.asked(request, Refer::new(transaction));
                self.leg
                    .tell(Signal::Referred {
                        request,
                        target,
                        consulted,
                    })
                    .await;
                return;
            }
        };
        let refusal = refusal.build();
        send(&mut transaction, refusal).await;
    }
}
