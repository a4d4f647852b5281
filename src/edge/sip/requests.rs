//! Requests inside a dialog that need no decision: answered here, whatever state the call is in.

use rsipstack::sip::Method;
use rsipstack::transaction::transaction::Transaction;

use crate::control::input::Signal;
use crate::edge::sip::body;
use crate::edge::sip::guard::ALLOW;
use crate::edge::sip::leg::Leg;
use crate::edge::sip::message::{ACCEPT, Answer, header};

/// Answers without more ado. The dialog's tag is in the request already.
pub async fn answer_simple(transaction: &mut Transaction, status: u16) {
    let answer = Answer::new(&transaction.original, status).build();
    send(transaction, answer).await;
}

pub async fn send(transaction: &mut Transaction, answer: rsipstack::sip::Response) {
    if let Err(error) = transaction.respond(answer).await {
        tracing::debug!(%error, "an answer could not be sent");
    }
}

/// Seconds after which a peer may try a re-INVITE again that met another (RFC 3261 §14.2).
pub fn retry_after() -> String {
    (getrandom::u32().unwrap_or(2) % 11).to_string()
}

/// Whether [`serve`] is meant for this method.
pub fn is_reserved_for_dialogs(method: Method) -> bool {
    !matches!(
        method,
        Method::Invite | Method::Ack | Method::Bye | Method::Cancel
    )
}

/// INFO, OPTIONS, UPDATE of an early dialog, and what is refused.
pub async fn serve(leg: &Leg, transaction: &mut Transaction) {
    let request = &transaction.original;
    let answer = match request.method {
        Method::Info => {
            let kind = header(&request.headers, "Content-Type").unwrap_or("");
            match body::key_in_info(kind, &request.body) {
                Some(digit) => {
                    let answer = Answer::new(request, 200).build();
                    send(transaction, answer).await;
                    leg.tell(Signal::KeyInfo { digit }).await;
                    return;
                }
                // An INFO without body asks whether we are there (RFC 2976 §2.2).
                None if request.body.is_empty() => Answer::new(request, 200).build(),
                None => Answer::new(request, 415).with("Accept", ACCEPT).build(),
            }
        }
        Method::Options => Answer::new(request, 200).with_capabilities().build(),
        // Before there is a session there is nothing to refresh.
        Method::Update if request.body.is_empty() => Answer::new(request, 200).build(),
        Method::Update => Answer::new(request, 488).build(),
        // Nothing was subscribed to: our only subscriptions are those of a REFER of the peer.
        Method::Notify => Answer::new(request, 481).build(),
        _ => Answer::new(request, 405).with("Allow", ALLOW).build(),
    };
    send(transaction, answer).await;
}
