//! Brings events to the webhooks: a task for each, in order, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::edge::clock;
use crate::edge::config::WebhookSettings;
use crate::edge::store::StoreError;
use crate::edge::store::webhooks::{Delivery, Webhook};
use crate::edge::telemetry::WebhookOutcome;
use crate::edge::webhooks::{STORE_RETRY, Webhooks, signature};

/// The longest while between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A connection may take this long to stand; settings bound the whole.
const CONNECT: Duration = Duration::from_secs(5);

/// Events that are brought before it is written down that they were.
const BATCH: i64 = 32;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub status: Option<u16>,
    /// Why it does not count as delivered.
    pub error: Option<String>,
}

/// Sends. Follows no redirection: what is signed for one host goes to no other.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

impl Client {
    pub fn new(settings: &WebhookSettings) -> Result<Self, reqwest::Error> {
        // Another part of the process may have chosen it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("sottovoce/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(settings.timeout)
            .pool_max_idle_per_host(1)
            .build()?;
        Ok(Self(client))
    }

    pub async fn send(&self, webhook: &Webhook, seq: u64, event: &str, body: &str) -> Attempt {
        let timestamp = clock::utc_ms().div_euclid(1_000).to_string();
        let signature = signature::sign(&webhook.secret, &timestamp, body);
        let sent = self
            .0
            .post(&webhook.url)
            .header(CONTENT_TYPE, "application/json")
            .header(signature::TIMESTAMP, timestamp)
            .header(signature::SIGNATURE, signature)
            .header(signature::EVENT, event)
            .header(signature::DELIVERY, seq.to_string())
            .body(body.to_owned())
            .send();
        match sent.await {
            Ok(response) if response.status().is_success() => Attempt {
                status: Some(response.status().as_u16()),
                error: None,
            },
            Ok(response) => Attempt {
                status: Some(response.status().as_u16()),
                error: Some(format!("status {}", response.status().as_u16())),
            },
            Err(error) => Attempt {
                status: None,
                error: Some(why(&error)),
            },
        }
    }
}

/// The reason without the address, which may hold a secret of the receiver's.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let kind = if error.is_connect() {
        "no connection"
    } else {
        "no answer"
    };
    match deepest.source().is_none() && !std::ptr::addr_eq(deepest, error) {
        true => format!("{kind}: {deepest}"),
        false => kind.to_owned(),
    }
}

/// Keeps a courier for each webhook of the list.
pub async fn run(webhooks: Webhooks, settings: WebhookSettings) {
    let mut list = webhooks.list.subscribe();
    let mut couriers = JoinSet::new();
    let mut serving: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        let wanted = list.borrow_and_update().clone();
        serving.retain(|id, courier| {
            let stays = wanted.iter().any(|webhook| webhook.id == *id);
            if !stays {
                courier.abort();
            }
            stays
        });
        for webhook in wanted.iter() {
            if !serving.contains_key(&webhook.id) {
                let courier = Courier {
                    webhooks: webhooks.clone(),
                    webhook: webhook.clone(),
                    settings: settings.clone(),
                };
                let handle = couriers.spawn(courier.work());
                serving.insert(webhook.id.clone(), handle);
            }
        }
        while couriers.try_join_next().is_some() {}
        if list.changed().await.is_err() {
            return;
        }
    }
}

struct Courier {
    webhooks: Webhooks,
    webhook: Webhook,
    settings: WebhookSettings,
}

impl Courier {
    async fn work(self) {
        let mut posted = self.webhooks.posted.subscribe();
        let mut revived = self.webhooks.revived.subscribe();
        loop {
            posted.borrow_and_update();
            revived.borrow_and_update();
            let turn = self.webhooks.store.next_deliveries(&self.webhook.id, BATCH);
            let turn = match turn.await {
                Ok(turn) => turn,
                Err(error) => {
                    warn!(webhook = self.webhook.id, %error, "events for a webhook cannot be read");
                    tokio::time::sleep(STORE_RETRY).await;
                    continue;
                }
            };
            let Some(first) = turn.first() else {
                wait_for_either(&mut posted, &mut revived).await;
                continue;
            };
            let early_ms = first.due_ms - clock::utc_ms();
            if let Ok(early_ms @ 1..) = u64::try_from(early_ms) {
                // What is posted meanwhile waits behind it.
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(early_ms)) => {}
                    _ = revived.changed() => {}
                }
                continue;
            }
            self.bring(&turn).await;
        }
    }

    /// Brings them one after another, up to the first that fails.
    async fn bring(&self, turn: &[Delivery]) {
        let mut brought = Vec::with_capacity(turn.len());
        for delivery in turn {
            let seq = u64::try_from(delivery.seq).unwrap_or_default();
            let client = &self.webhooks.client;
            let attempt = client.send(&self.webhook, seq, &delivery.event, &delivery.body);
            match attempt.await.error {
                None => {
                    self.webhooks.metrics.webhook(WebhookOutcome::Delivered);
                    brought.push(delivery.seq);
                }
                Some(error) => {
                    self.write_down(|| self.webhooks.store.delivered(&self.webhook.id, &brought))
                        .await;
                    return self.failed(delivery, &error).await;
                }
            }
        }
        self.write_down(|| self.webhooks.store.delivered(&self.webhook.id, &brought))
            .await;
    }

    async fn failed(&self, delivery: &Delivery, error: &str) {
        let (store, id, seq) = (&self.webhooks.store, &*self.webhook.id, delivery.seq);
        let attempts = delivery.attempts + 1;
        if attempts >= i64::from(self.settings.attempts) {
            warn!(
                webhook = id,
                seq, error, "an event is given up: it is a dead letter"
            );
            self.webhooks.metrics.webhook(WebhookOutcome::GivenUp);
            let at_ms = clock::utc_ms();
            return self
                .write_down(|| store.give_up(id, seq, error, at_ms))
                .await;
        }
        info!(
            webhook = id,
            seq, attempts, error, "an event was not delivered; it is tried again"
        );
        self.webhooks.metrics.webhook(WebhookOutcome::Failed);
        let pause = pause(self.settings.first_retry, attempts);
        let due_ms = clock::utc_ms() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.write_down(|| store.not_delivered(id, seq, error, due_ms))
            .await;
    }

    /// Until the database has taken it: what was brought is not to be brought again.
    async fn write_down<F>(&self, write: impl Fn() -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        while let Err(error) = write().await {
            warn!(webhook = self.webhook.id, %error, "what became of an event cannot be written down");
            tokio::time::sleep(STORE_RETRY).await;
        }
    }
}

async fn wait_for_either(one: &mut watch::Receiver<u64>, other: &mut watch::Receiver<u64>) {
    tokio::select! {
        _ = one.changed() => {}
        _ = other.changed() => {}
    }
}

/// How long to wait after so many attempts: the first while, doubled for each.
fn pause(first: Duration, attempts: i64) -> Duration {
    let doubled = u32::try_from(attempts - 1).unwrap_or(u32::MAX).min(31);
    first.saturating_mul(1 << doubled).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let first = Duration::from_secs(5);
        let pauses: Vec<u64> = [1, 2, 3, 10, 11, 12, 1_000]
            .map(|attempts| pause(first, attempts).as_secs())
            .into();

        assert_eq!(pauses, [5, 10, 20, 2560, 3600, 3600, 3600]);
    }
}
