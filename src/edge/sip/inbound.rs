//! The server side of an INVITE, from its arrival to its final answer.

use std::sync::Arc;

use rsipstack::sip::{Method, Request};
use rsipstack::transaction::transaction::Transaction;

use crate::control::input::{Invitation, Signal};
use crate::control::output::{Reason, SignalCommand};
use crate::edge::clock;
use crate::edge::sip::challenge::challenges;
use crate::edge::sip::dialog::Dialog;
use crate::edge::sip::identify::{self, Refused};
use crate::edge::sip::leg::{Leg, LegTable, Mail, News, ServerInvite};
use crate::edge::sip::message::{
    ACCEPT, Answer, call_id, description, header, reason_value, token,
};
use crate::edge::sip::refer::replaced_leg;
use crate::edge::sip::requests::{answer_simple, is_reserved_for_dialogs};
use crate::edge::sip::session::{Session, Unacknowledged};
use crate::edge::sip::session_timer::{SessionTimer, too_short};
use crate::edge::sip::transport::Flow;
use crate::edge::sip::uri::SipUri;
use crate::edge::sip::{Shared, requests};
use crate::wire::sdp::SessionDescription;

/// Seconds after which a refused caller may try again.
const RETRY_AFTER: &str = "5";

/// Takes a new INVITE to its end.
pub async fn invited(shared: Arc<Shared>, mut transaction: Transaction, flow: Flow) {
    let own_tag = token();
    let Some(begun) = LegTable::begin(&shared, &transaction.original) else {
        let answer = Answer::new(&transaction.original, 482)
            .tagged(&own_tag)
            .build();
        refuse(shared, transaction, answer);
        return;
    };
    let invitation = match admit(&shared, &transaction.original, &flow, &own_tag).await {
        Ok(admitted) => admitted,
        Err(answer) => {
            drop(begun);
            refuse(shared, transaction, *answer);
            return;
        }
    };
    let Admitted {
        invitation,
        follow_source,
    } = invitation;
    let Ok(dialog) = Dialog::accepting(&transaction.original, &own_tag, flow, follow_source) else {
        let answer = Answer::new(&transaction.original, 400)
            .tagged(&own_tag)
            .build();
        refuse(shared, transaction, answer);
        return;
    };
    // The stack repeats the last answer to a repeated INVITE: from here on there is one.
    let _ = transaction.send_trying().await;
    let id = shared.next_leg();
    let mut leg = Leg::new(shared, id).begun_by(begun);
    leg.claim(call_id(&transaction.original.headers), &own_tag);
    let invite = leg.serve(transaction, dialog.flow.closed.clone());
    let offerless = invitation.sdp.is_none();
    leg.tell(Signal::Invited(Box::new(invitation))).await;
    if dialog.is_focus {
        leg.tell(Signal::Focus(true)).await;
    }
    Ringing {
        leg,
        invite,
        dialog,
        own_tag,
        offerless,
        timer: None,
    }
    .run()
    .await;
}

struct Admitted {
    invitation: Invitation,
    follow_source: bool,
}

/// Everything that is asked of an INVITE before control hears of it.
async fn admit(
    shared: &Shared,
    invite: &Request,
    flow: &Flow,
    own_tag: &str,
) -> Result<Admitted, Box<rsipstack::sip::Response>> {
    let refuse = |status: u16| Answer::new(invite, status).tagged(own_tag);
    let headers = &invite.headers;
    // Half of the inbox is kept for the calls that are.
    if shared.inbox.capacity() * 2 < shared.inbox.max_capacity() {
        return Err(Box::new(
            refuse(503).with("Retry-After", RETRY_AFTER).build(),
        ));
    }
    let hops: u8 = header(headers, "Max-Forwards")
        .and_then(|hops| hops.trim().parse().ok())
        .unwrap_or(70);
    let Some(max_forwards) = hops.checked_sub(1) else {
        return Err(Box::new(refuse(483).build()));
    };
    if header(headers, "Contact").is_none() {
        return Err(Box::new(refuse(400).build()));
    }
    if let Some(replaces) = header(headers, "Replaces") {
        // Nothing here is replaced from outside, and RFC 3891 §3 wants a definite answer.
        let status = match replaced_leg(replaces, shared) {
            Some(_) => 603,
            None => 481,
        };
        return Err(Box::new(refuse(status).build()));
    }
    let source = flow.peer.ip();
    let caller = match identify::caller(shared, invite, source).await {
        Ok(caller) => caller,
        Err(Refused::ShutOut) => return Err(Box::new(refuse(403).build())),
        Err(Refused::TooOften) => {
            return Err(Box::new(
                refuse(503).with("Retry-After", RETRY_AFTER).build(),
            ));
        }
        Err(Refused::Challenge { stale }) => {
            return Err(Box::new(
                refuse(401)
                    .with_all(
                        "WWW-Authenticate",
                        challenges(shared, invite, source, stale),
                    )
                    .build(),
            ));
        }
    };
    if header(headers, "Accept").is_some_and(|accept| !accepts_sdp(accept)) {
        return Err(Box::new(refuse(406).build()));
    }
    if let Some(refusal) = too_short(invite, shared.settings.shortest_session) {
        return Err(Box::new(refusal.tagged(own_tag).build()));
    }
    let sdp = description(headers, &invite.body)
        .map_err(|error| Box::new(refuse(error.status()).with("Accept", ACCEPT).build()))?;
    let dialled = SipUri::parse(&invite.uri.to_string())
        .ok()
        .and_then(|uri| uri.user)
        .unwrap_or_default();
    Ok(Admitted {
        invitation: Invitation {
            dialled: dialled.into(),
            caller: caller.number,
            display_name: caller.display_name,
            origin: caller.origin,
            sdp,
            source: source.to_canonical(),
            max_forwards,
        },
        follow_source: caller.follow_source,
    })
}

fn accepts_sdp(accept: &str) -> bool {
    accept.trim().is_empty()
        || accept.split(',').any(|range| {
            let range = range.split(';').next().unwrap_or("").trim();
            ["application/sdp", "application/*", "*/*"]
                .iter()
                .any(|good| range.eq_ignore_ascii_case(good))
        })
}

/// A final answer without a leg; the stack waits for its ACK.
fn refuse(shared: Arc<Shared>, mut transaction: Transaction, answer: rsipstack::sip::Response) {
    tokio::spawn(async move {
        let _shared = shared;
        if transaction.respond(answer).await.is_ok() {
            while transaction.receive().await.is_some() {}
        }
    });
}

/// An INVITE that control knows of and has not decided.
struct Ringing {
    leg: Leg,
    invite: ServerInvite,
    dialog: Dialog,
    own_tag: String,
    offerless: bool,
    /// Runs from our 200 on.
    timer: Option<SessionTimer>,
}

enum Next {
    Stay,
    Over,
    /// The 200 is on its way.
    Answered,
}

impl Ringing {
    async fn run(mut self) {
        loop {
            let next = match self.leg.next().await {
                Mail::Command(command) => self.obey(*command).await,
                Mail::News { transaction, news } if transaction == self.invite.id => match news {
                    News::Cancelled => {
                        self.reject(487, None);
                        self.leg.tell(Signal::Cancelled).await;
                        Next::Over
                    }
                    News::Ended => {
                        self.leg.tell(Signal::Cancelled).await;
                        Next::Over
                    }
                    News::Response(_) | News::Acknowledged(_) => Next::Stay,
                },
                Mail::News { .. } => Next::Stay,
                Mail::Request(transaction) => self.request(*transaction).await,
            };
            match next {
                Next::Stay => {}
                Next::Over => return,
                Next::Answered => break,
            }
        }
        let unacknowledged = Unacknowledged {
            transaction: self.invite.id,
            wants_answer: self.offerless,
            reinvite: None,
        };
        Session::new(self.leg, self.dialog, None)
            .waiting_for_ack(unacknowledged)
            .timed_by(self.timer)
            .start();
    }

    async fn obey(&mut self, command: SignalCommand) -> Next {
        match command {
            SignalCommand::Ring => self.progress(180, None),
            SignalCommand::Progress { status, sdp } => {
                let status = if (101..200).contains(&status) {
                    status
                } else {
                    183
                };
                self.progress(status, Some(&sdp));
            }
            SignalCommand::Answer { sdp } => {
                let answer = Answer::new(&self.invite.request, 200)
                    .tagged(&self.own_tag)
                    .with_record_route()
                    .with("Contact", self.dialog.flow.contact())
                    .with_capabilities();
                self.timer = SessionTimer::asked(clock::now(), &self.invite.request, None);
                let answer =
                    SessionTimer::promise(self.timer.as_ref(), &self.invite.request, answer)
                        .with_description(&sdp)
                        .build();
                self.timer = self.timer.take().map(|it| it.describing(&answer.body));
                self.invite.answer(answer);
                return Next::Answered;
            }
            SignalCommand::Reject { status, reason } => {
                self.reject(status.clamp(300, 699), reason.as_ref());
                return Next::Over;
            }
            // There is no dialog to hang up yet; the caller learns that nobody is there.
            SignalCommand::HangUp { reason } => {
                self.reject(480, reason.as_ref());
                self.leg.tell(Signal::HangUpDone).await;
                return Next::Over;
            }
            SignalCommand::Reinvite { request, .. } => {
                self.leg
                    .tell(Signal::ReinviteAnswered {
                        request,
                        result: Err(491),
                    })
                    .await;
            }
            SignalCommand::Dial(_)
            | SignalCommand::Cancel { .. }
            | SignalCommand::AcceptReinvite { .. }
            | SignalCommand::RefuseReinvite { .. }
            | SignalCommand::AcceptRefer { .. }
            | SignalCommand::RefuseRefer { .. }
            | SignalCommand::NotifyRefer { .. } => {
                tracing::warn!(leg = %self.leg.id, "a command that does not fit a ringing leg");
            }
        }
        Next::Stay
    }

    fn progress(&mut self, status: u16, sdp: Option<&SessionDescription>) {
        let mut answer = Answer::new(&self.invite.request, status)
            .tagged(&self.own_tag)
            .with_record_route()
            .with("Contact", self.dialog.flow.contact());
        if let Some(sdp) = sdp {
            answer = answer.with_description(sdp);
        }
        self.invite.answer(answer.build());
    }

    fn reject(&mut self, status: u16, reason: Option<&Reason>) {
        let mut answer = Answer::new(&self.invite.request, status).tagged(&self.own_tag);
        if let Some(reason) = reason {
            answer = answer.with("Reason", reason_value(reason));
        }
        if status == 503 {
            answer = answer.with("Retry-After", RETRY_AFTER);
        }
        if status == 405 {
            answer = answer.with("Allow", crate::edge::sip::guard::ALLOW);
        }
        self.invite.answer(answer.build());
    }

    /// A request of the caller inside the early dialog.
    async fn request(&mut self, mut transaction: Transaction) -> Next {
        if !self.dialog.is_from_peer(&transaction.original) {
            self.leg.refuse(transaction, 481).await;
            return Next::Stay;
        }
        if !self.dialog.takes(&transaction.original) {
            self.leg.refuse(transaction, 500).await;
            return Next::Stay;
        }
        match transaction.original.method {
            // A caller may end an early dialog with BYE (RFC 3261 §15).
            Method::Bye => {
                answer_simple(&mut transaction, 200).await;
                self.reject(487, None);
                self.leg.tell(Signal::Cancelled).await;
                return Next::Over;
            }
            // A second INVITE before the first is answered (RFC 3261 §14.2).
            Method::Invite => {
                let answer = Answer::new(&transaction.original, 500)
                    .with("Retry-After", requests::retry_after())
                    .build();
                refuse(self.leg.shared.clone(), transaction, answer);
            }
            _ => {
                debug_assert!(is_reserved_for_dialogs(transaction.original.method));
                requests::serve(&self.leg, &mut transaction).await;
            }
        }
        Next::Stay
    }
}
