//! Where a new request goes: to the leg whose dialog it names, to a new leg, to the registrar, or
//! to an answer at once.

use std::sync::Arc;

use rsipstack::sip::Method;
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::transaction::Transaction;

use crate::edge::sip::guard::ALLOW;
use crate::edge::sip::inbound::invited;
use crate::edge::sip::leg::Mail;
use crate::edge::sip::message::{Answer, call_id, to_tag, token};
use crate::edge::sip::registrar::register;
use crate::edge::sip::{Shared, requests};

/// Takes what the stack brings until the edge is shut down.
pub async fn route(shared: Arc<Shared>, mut incoming: TransactionReceiver) {
    // The stack, which we hold, holds the other end: it is the shutdown that ends this.
    while let Some(Some(transaction)) = shared.stop.run_until_cancelled(incoming.recv()).await {
        take(&shared, transaction);
    }
}

fn take(shared: &Arc<Shared>, mut transaction: Transaction) {
    let Some(flow) = transaction
        .connection
        .as_ref()
        .and_then(|connection| shared.transports.flow_of(connection))
    else {
        return;
    };
    // Answers go where the request came from (RFC 3581), IPv6 included.
    transaction.destination = Some(flow.destination());
    let request = &transaction.original;
    if let Some(tag) = to_tag(&request.headers) {
        match shared.legs.dialog(call_id(&request.headers), &tag) {
            // A leg that is behind with its mail gets the request again when the peer repeats it.
            Some(mailbox) => {
                let _ = mailbox.try_send(Mail::Request(Box::new(transaction)));
            }
            None => answer(transaction, 481),
        }
        return;
    }
    match request.method {
        Method::Invite => {
            tokio::spawn(invited(shared.clone(), transaction, flow));
        }
        Method::Register => {
            tokio::spawn(register(shared.clone(), transaction, flow));
        }
        Method::Options => answer(transaction, 200),
        // Of no dialog, though they belong into one.
        Method::Bye | Method::Info | Method::Update | Method::Notify | Method::PRack => {
            answer(transaction, 481);
        }
        Method::Refer => answer(transaction, 403),
        _ => answer(transaction, 405),
    }
}

fn answer(mut transaction: Transaction, status: u16) {
    tokio::spawn(async move {
        let tag = token();
        let mut answer = Answer::new(&transaction.original, status).tagged(&tag);
        match status {
            200 => answer = answer.with_capabilities(),
            405 => answer = answer.with("Allow", ALLOW),
            _ => {}
        }
        let answer = answer.build();
        requests::send(&mut transaction, answer).await;
        // An INVITE waits for its ACK.
        if transaction.original.method == Method::Invite {
            while transaction.receive().await.is_some() {}
        }
    });
}
