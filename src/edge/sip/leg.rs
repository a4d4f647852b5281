//! A leg is one task with a mailbox. Commands of call control, requests of the peer and news of
//! transactions all come in through it, one after another, so the state of a dialog has one owner
//! and no lock. A leg that panics takes nobody with it: control hears that it is lost.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rsipstack::sip::{Method, Request, Response, SipMessage, StatusCode, StatusCodeKind};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::{Transaction, TransactionEvent, TransactionEventSender};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::control::input::Signal;
use crate::control::output::SignalCommand;
use crate::edge::sip::Shared;
use crate::edge::sip::late::LateAnswers;
use crate::edge::sip::message::{Answer, call_id, cseq, from_tag};
use crate::edge::sip::requests::answer_simple;
use crate::edge::sip::transport::Flow;
use crate::id::LegId;

/// Letters waiting for one leg. A leg answers within microseconds, so a full box is a stuck one:
/// requests of the peer are then left to be repeated, commands are logged as lost.
pub const MAILBOX: usize = 128;

pub type Mailbox = mpsc::Sender<Mail>;

/// Small, for a box holds room for 32 of them while its leg lives.
pub enum Mail {
    Command(Box<SignalCommand>),
    /// A request inside the dialog; to be answered through its transaction.
    Request(Box<Transaction>),
    News {
        transaction: TransactionId,
        news: News,
    },
}

/// One transaction among those of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(u32);

pub enum News {
    /// To a request of ours.
    Response(Box<Response>),
    /// CANCEL of an INVITE that came to us; the stack has answered it.
    Cancelled,
    /// ACK of our 2xx.
    Acknowledged(Box<Request>),
    Ended,
}

/// Which mailbox belongs to a leg, and to a dialog.
#[derive(Default)]
pub struct LegTable {
    legs: Mutex<HashMap<LegId, Mailbox>>,
    /// By Call-ID and the tag that is ours.
    dialogs: Mutex<HashMap<(String, String), (LegId, Mailbox)>>,
    /// INVITEs that legs began with: one word each, of what a merged one has in common with it.
    invites: Mutex<HashSet<u64>>,
    hashing: RandomState,
}

impl LegTable {
    pub fn leg(&self, leg: LegId) -> Option<Mailbox> {
        let legs = self.legs.lock().unwrap_or_else(PoisonError::into_inner);
        legs.get(&leg).cloned()
    }

    pub fn dialog(&self, call_id: &str, own_tag: &str) -> Option<Mailbox> {
        let dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        dialogs
            .get(&(call_id.to_owned(), own_tag.to_owned()))
            .map(|(_, mailbox)| mailbox.clone())
    }

    /// Whose dialog that is.
    pub fn leg_of_dialog(&self, call_id: &str, own_tag: &str) -> Option<LegId> {
        let dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        dialogs
            .get(&(call_id.to_owned(), own_tag.to_owned()))
            .map(|(leg, _)| *leg)
    }

    /// Notes an INVITE that begins a leg, until what it gives is dropped. `None` where another that
    /// came along another way has begun one (RFC 3261 §8.2.2.2); repeats do not get here.
    pub fn begin(shared: &Arc<Shared>, invite: &Request) -> Option<Begun> {
        let headers = &invite.headers;
        let (call_id, tag) = (call_id(headers), from_tag(headers));
        let word = shared.legs.hashing.hash_one((call_id, tag, cseq(headers)));
        let is_new = shared.legs.invites().insert(word);
        is_new.then(|| Begun {
            shared: shared.clone(),
            word,
        })
    }

    fn invites(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.invites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> usize {
        self.legs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// An INVITE that began a leg. Stays with the leg.
pub struct Begun {
    shared: Arc<Shared>,
    word: u64,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.shared.legs.invites().remove(&self.word);
    }
}

/// What the task of a leg owns.
pub struct Leg {
    pub shared: Arc<Shared>,
    pub id: LegId,
    mail: mpsc::Receiver<Mail>,
    mailbox: Mailbox,
    dialogs: Vec<(String, String)>,
    transactions: u32,
    /// Of a leg that the peer began.
    begun: Option<Begun>,
}

impl Leg {
    pub fn new(shared: Arc<Shared>, id: LegId) -> Self {
        let (mailbox, mail) = mpsc::channel(MAILBOX);
        shared
            .legs
            .legs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, mailbox.clone());
        Self {
            shared,
            id,
            mail,
            mailbox,
            dialogs: Vec::new(),
            transactions: 0,
            begun: None,
        }
    }

    /// Says which INVITE of the peer this leg is of.
    pub fn begun_by(mut self, begun: Begun) -> Self {
        self.begun = Some(begun);
        self
    }

    /// From now on requests of this dialog come to this leg.
    pub fn claim(&mut self, call_id: &str, own_tag: &str) {
        let key = (call_id.to_owned(), own_tag.to_owned());
        self.shared
            .legs
            .dialogs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), (self.id, self.mailbox.clone()));
        self.dialogs.push(key);
    }

    pub async fn next(&mut self) -> Mail {
        loop {
            match self.mail.recv().await {
                Some(mail) => return mail,
                // The leg holds a sender itself.
                None => std::future::pending().await,
            }
        }
    }

    /// The next letter, or `None` when the time is up.
    pub async fn next_within(&mut self, time: Duration) -> Option<Mail> {
        tokio::time::timeout(time, self.next()).await.ok()
    }

    /// Tells call control. Waits while its inbox is full: the peer repeats itself meanwhile.
    pub async fn tell(&self, signal: Signal) {
        let _ = self.shared.inbox.send((self.id, signal)).await;
    }

    fn next_transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        TransactionId(self.transactions)
    }

    /// Takes an INVITE of the peer: its transaction runs by itself from here on. A connection
    /// that ends is as good as a CANCEL: nobody could be told of an answer.
    pub fn serve(
        &mut self,
        transaction: Transaction,
        closed: Option<CancellationToken>,
    ) -> ServerInvite {
        let id = self.next_transaction();
        if let Some(closed) = closed {
            let mailbox = self.mailbox.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = closed.cancelled() => post(&mailbox, id, News::Cancelled).await,
                    () = mailbox.closed() => {}
                }
            });
        }
        let invite = ServerInvite {
            id,
            request: transaction.original.clone(),
            respond: transaction.tu_sender.clone(),
            decided: false,
        };
        let transaction = Box::new(transaction);
        tokio::spawn(run_server(transaction, id, self.mailbox.clone()));
        invite
    }

    /// Refuses a request of the peer that is not looked at any further.
    pub async fn refuse(&mut self, mut transaction: Transaction, status: u16) {
        if transaction.original.method == Method::Invite {
            // Its transaction waits for the ACK.
            let answer = Answer::new(&transaction.original, status).build();
            self.serve(transaction, None).answer(answer);
        } else {
            answer_simple(&mut transaction, status).await;
        }
    }

    /// Sends a request of ours. Its answers come as news.
    pub fn request(&mut self, request: Request, flow: &Flow) -> TransactionId {
        let id = self.next_transaction();
        tokio::spawn(run_client(
            self.shared.endpoint.clone(),
            request,
            flow.clone(),
            id,
            self.mailbox.clone(),
            self.shared.late.clone(),
        ));
        id
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.begun = None;
        self.shared
            .legs
            .legs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
        let mut dialogs = self
            .shared
            .legs
            .dialogs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for key in &self.dialogs {
            dialogs.remove(key);
        }
        drop(dialogs);
        if std::thread::panicking() {
            tracing::error!(leg = %self.id, "the task of a leg panicked");
            let (inbox, id) = (self.shared.inbox.clone(), self.id);
            tokio::spawn(async move {
                let _ = inbox.send((id, Signal::Lost)).await;
            });
        }
    }
}

/// An INVITE that waits for our answer. Dropped without a final one, it is answered 500: no caller
/// is left ringing by a fault of ours.
pub struct ServerInvite {
    pub id: TransactionId,
    pub request: Request,
    respond: TransactionEventSender,
    decided: bool,
}

impl ServerInvite {
    pub fn answer(&mut self, response: Response) {
        if self.decided {
            return;
        }
        self.decided = response.status_code.kind() != StatusCodeKind::Provisional;
        let _ = self.respond.send(TransactionEvent::Respond(response));
    }
}

impl Drop for ServerInvite {
    fn drop(&mut self) {
        if !self.decided {
            let tag = crate::edge::sip::message::token();
            let response = Answer::new(&self.request, 500).tagged(&tag).build();
            let _ = self.respond.send(TransactionEvent::Respond(response));
        }
    }
}

/// Boxed, for a task holds what it was begun with beside what it works with, 64·T1 long.
async fn run_server(mut transaction: Box<Transaction>, id: TransactionId, mailbox: Mailbox) {
    while let Some(message) = transaction.receive().await {
        let SipMessage::Request(request) = message else {
            continue;
        };
        let news = match request.method {
            Method::Cancel => News::Cancelled,
            Method::Ack => News::Acknowledged(Box::new(request)),
            _ => continue,
        };
        post(&mailbox, id, news).await;
    }
    post(&mailbox, id, News::Ended).await;
}

async fn run_client(
    endpoint: EndpointInnerRef,
    request: Request,
    flow: Flow,
    id: TransactionId,
    mailbox: Mailbox,
    late: Arc<LateAnswers>,
) {
    let is_invite = request.method == Method::Invite;
    let Ok(key) = TransactionKey::from_request(&request, TransactionRole::Client) else {
        post(&mailbox, id, News::Ended).await;
        return;
    };
    let mut transaction = Transaction::new_client(
        key.clone(),
        request,
        endpoint.clone(),
        Some(flow.connection.clone()),
    );
    transaction.destination = Some(flow.destination());
    if transaction.send().await.is_err() {
        post(&mailbox, id, News::Ended).await;
        return;
    }
    // Nothing will come over a connection that ended before the first answer.
    let mut watch = flow.closed.map(|closed| {
        let lost =
            endpoint.make_response(&transaction.original, StatusCode::ServiceUnavailable, None);
        let sender = transaction.tu_sender.clone();
        AbortOnDrop(tokio::spawn(async move {
            closed.cancelled().await;
            let _ = sender.send(TransactionEvent::Received(lost.into(), None));
        }))
    });
    let mut accepted = false;
    while let Some(message) = transaction.receive().await {
        let SipMessage::Response(response) = message else {
            continue;
        };
        watch.take();
        accepted |= response.status_code.kind() == StatusCodeKind::Successful;
        post(&mailbox, id, News::Response(Box::new(response))).await;
    }
    if is_invite && accepted {
        // In a task of its own, for this one holds all that was said.
        tokio::spawn(async move {
            late.listen(&key, id, &mailbox).await;
            post(&mailbox, id, News::Ended).await;
        });
    } else {
        post(&mailbox, id, News::Ended).await;
    }
}

/// Ends a task together with what waits for it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn post(mailbox: &Mailbox, transaction: TransactionId, news: News) {
    let _ = mailbox.send(Mail::News { transaction, news }).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::control::directory::Directory;
    use crate::edge::sip::{CredentialLookup, Credentials, Listener, Sip, SipSettings, Transport};

    struct Nobody;

    #[async_trait::async_trait]
    impl CredentialLookup for Nobody {
        async fn credentials(&self, _username: &str) -> Option<Credentials> {
            None
        }
    }

    #[tokio::test]
    async fn a_leg_that_panics_is_told_lost_and_takes_nobody_with_it() {
        let (sender, mut inbox) = mpsc::channel(8);
        let settings = SipSettings {
            listen: vec![Listener {
                transport: Transport::Udp,
                addr: "127.0.0.1:0".parse().unwrap(),
            }],
            ..SipSettings::default()
        };
        let sip = Sip::start(
            settings,
            Nobody,
            Arc::new(Directory::default()),
            sender,
            Arc::new(AtomicU64::new(100)),
        )
        .await
        .unwrap();
        let mut broken = Leg::new(sip.shared.clone(), LegId(1));
        broken.claim("call", "tag");
        let mut sound = Leg::new(sip.shared.clone(), LegId(2));

        let task = tokio::spawn(async move {
            let _broken = broken;
            panic!("a fault of this leg");
        });

        assert!(task.await.is_err());
        assert!(matches!(inbox.recv().await, Some((LegId(1), Signal::Lost))));
        assert!(sip.shared.legs.leg(LegId(1)).is_none());
        assert!(sip.shared.legs.dialog("call", "tag").is_none());
        sip.send(LegId(2), SignalCommand::Ring);
        let next = sound.next().await;
        assert!(matches!(next, Mail::Command(it) if matches!(*it, SignalCommand::Ring)));
    }
}
