//! Answers to an INVITE of ours after its first 2xx: that one is repeated until our ACK arrives, and a
//! forking proxy may send one of another phone (RFC 3261 §13.2.2.4). The stack's transaction is over
//! with the first.
//!
//! One box takes them for all legs. A box for each would be the largest thing that a call holds, for
//! half a minute, and hardly ever have anything in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::platform::mpsc::unbounded_channel;
use rsipstack::sip::SipMessage;
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::{TransactionEvent, TransactionEventSender};
use tokio_util::sync::CancellationToken;

use crate::edge::sip::leg::{Mail, Mailbox, News, TransactionId};

/// Who listens for what: as many as were answered within the last 64·T1.
type Listening = Mutex<HashMap<TransactionKey, (TransactionId, Mailbox)>>;

pub struct LateAnswers {
    endpoint: EndpointInnerRef,
    /// What comes is handed on at once.
    sender: TransactionEventSender,
    listening: Arc<Listening>,
    lasting: Duration,
}

impl LateAnswers {
    /// Begins to hand answers on, until `stop`.
    pub fn start(endpoint: EndpointInnerRef, lasting: Duration, stop: CancellationToken) -> Self {
        let (sender, mut receiver) = unbounded_channel();
        let listening = Arc::new(Listening::default());
        let listeners = listening.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            while let Some(event) = receiver.recv().await {
                hand_on(&listeners, event);
            }
        }));
        Self {
            endpoint,
            sender,
            listening,
            lasting,
        }
    }

    /// Listens for answers to this INVITE, for as long as they may come and the leg is there.
    pub async fn listen(&self, key: &TransactionKey, id: TransactionId, mailbox: &Mailbox) {
        let listener = (id, mailbox.clone());
        self.listeners().insert(key.clone(), listener);
        self.endpoint.attach_transaction(key, self.sender.clone());
        tokio::select! {
            () = mailbox.closed() => {}
            () = tokio::time::sleep(self.lasting) => {}
        }
        self.endpoint.detach_transaction(key, None);
        self.listeners().remove(key);
    }

    fn listeners(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<TransactionKey, (TransactionId, Mailbox)>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn hand_on(listening: &Listening, event: TransactionEvent) {
    let TransactionEvent::Received(SipMessage::Response(response), _) = event else {
        return;
    };
    let Ok(key) = TransactionKey::from_response(&response, TransactionRole::Client) else {
        return;
    };
    let listening = listening.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((transaction, mailbox)) = listening.get(&key) {
        // With a full box it is lost, and repeated by whoever waits for an ACK.
        let _ = mailbox.try_send(Mail::News {
            transaction: *transaction,
            news: News::Response(Box::new(response)),
        });
    }
}
