//! Webhooks: an organisation's events, sent to where it wants them.
//!
//! An event is written down before it is sent, and stays so until the webhook has answered with a
//! status from 200 to 299, so that a restart loses none. Each webhook is served by a task of its
//! own, one event after another in their order; one that fails is tried again after a while that
//! doubles, and after the last try kept as a dead letter while the next ones go on. Nothing waits
//! for any of this: a webhook that hangs holds up itself alone.

mod clerk;
mod courier;
pub mod signature;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::edge::config::WebhookSettings;
use crate::edge::store::webhooks::Webhook;
use crate::edge::store::{Store, StoreError};
use crate::edge::telemetry::{Metrics, WebhookOutcome};
use crate::edge::webhooks::courier::{Attempt, Client};

/// Webhooks of a node. Beyond it a new one is refused.
pub const MAX_WEBHOOKS: usize = 64;

/// Events that wait to be written down. Beyond it the newest are lost, and counted.
const MAX_OFFERED: usize = 8_192;

/// Between two attempts while the database does not answer.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// An event, ready to be sent.
#[derive(Clone, Debug)]
pub struct Letter {
    pub seq: u64,
    pub organisation: Arc<str>,
    pub event: &'static str,
    pub body: Arc<str>,
}

/// The webhooks of this node. Cloned freely.
#[derive(Clone, Debug)]
pub struct Webhooks {
    store: Store,
    client: Client,
    metrics: Metrics,
    list: watch::Sender<Arc<Vec<Webhook>>>,
    /// Something was posted, or a dead letter is to be sent again.
    posted: watch::Sender<u64>,
    revived: watch::Sender<u64>,
    letters: mpsc::Sender<Letter>,
}

/// The tasks behind the webhooks.
#[derive(Debug)]
pub struct Running {
    clerk: JoinHandle<()>,
    stop_clerk: oneshot::Sender<()>,
    couriers: JoinHandle<()>,
}

/// Why webhooks cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl Webhooks {
    pub async fn start(
        store: Store,
        settings: &WebhookSettings,
        metrics: Metrics,
    ) -> Result<(Self, Running), StartError> {
        let client = Client::new(settings)?;
        let known = store.webhooks().await?;
        let (list, _) = watch::channel(Arc::new(known));
        let (posted, _) = watch::channel(0);
        let (revived, _) = watch::channel(0);
        let (letters, offered) = mpsc::channel(MAX_OFFERED);
        let (stop_clerk, stops) = oneshot::channel();
        let webhooks = Self {
            store,
            client,
            metrics,
            list,
            posted,
            revived,
            letters,
        };
        let running = Running {
            clerk: tokio::spawn(clerk::run(webhooks.clone(), offered, stops)),
            stop_clerk,
            couriers: tokio::spawn(courier::run(webhooks.clone(), settings.clone())),
        };
        Ok((webhooks, running))
    }

    /// Takes an event that some webhook wants. Never waits.
    pub fn offer(&self, letter: Letter) {
        if !self.is_wanted(&letter) {
            return;
        }
        if self.letters.try_send(letter).is_err() {
            warn!("an event is lost to webhooks: too many wait to be written down");
            self.metrics.webhook(WebhookOutcome::Lost);
        }
    }

    /// All webhooks, as they are in force.
    pub fn list(&self) -> Arc<Vec<Webhook>> {
        self.list.borrow().clone()
    }

    /// Takes up what was written of webhooks in the database.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let read = self.store.webhooks().await?;
        self.list.send_if_modified(|known| {
            let changed = **known != read;
            if changed {
                *known = Arc::new(read);
            }
            changed
        });
        Ok(())
    }

    /// A dead letter waits again: whoever is to send it is told.
    pub fn revive(&self) {
        self.revived.send_modify(|count| *count += 1);
    }

    /// Sends a word at once, outside the order of events, and tells what came of it.
    pub async fn ping(&self, webhook: &Webhook, seq: u64, body: &str) -> Attempt {
        self.client.send(webhook, seq, "ping", body).await
    }

    fn is_wanted(&self, letter: &Letter) -> bool {
        let list = self.list.borrow();
        list.iter().any(|webhook| wants(webhook, letter))
    }
}

impl Running {
    /// Stops sending, and lets what was offered be written down, for as long as the caller has
    /// patience.
    pub async fn close(self, patience: Duration) {
        let Self {
            clerk,
            stop_clerk,
            couriers,
        } = self;
        couriers.abort();
        // It may have ended by itself.
        let _ = stop_clerk.send(());
        let abort = clerk.abort_handle();
        if tokio::time::timeout(patience, clerk).await.is_err() {
            warn!("the last events for webhooks were not written down in time");
            abort.abort();
        }
    }
}

fn wants(webhook: &Webhook, letter: &Letter) -> bool {
    *webhook.organisation == *letter.organisation && webhook.wants(letter.event)
}
