//! Writes events down for the webhooks that want them, many at a time.

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::edge::clock;
use crate::edge::store::webhooks::Delivery;
use crate::edge::telemetry::WebhookOutcome;
use crate::edge::webhooks::{Letter, STORE_RETRY, Webhooks, wants};

/// Events in one transaction.
const BATCH: usize = 256;

/// After this many events it is looked whether too many wait for a webhook.
const LOOK_AFTER: usize = 1_000;

/// Works until it is stopped, and then off what was offered before.
pub async fn run(
    webhooks: Webhooks,
    mut offered: mpsc::Receiver<Letter>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut since_look = LOOK_AFTER;
    loop {
        tokio::select! {
            taken = offered.recv_many(&mut batch, BATCH) => if taken == 0 {
                return;
            },
            _ = &mut stop, if !offered.is_closed() => {
                offered.close();
                continue;
            }
        }
        since_look += batch.len();
        let deliveries = address(&webhooks, &batch);
        batch.clear();
        if deliveries.is_empty() {
            continue;
        }
        let mut told = false;
        while let Err(error) = webhooks.store.post(&deliveries).await {
            if !told {
                warn!(%error, "events for webhooks cannot be written down; they wait");
                told = true;
            }
            tokio::time::sleep(STORE_RETRY).await;
        }
        webhooks.posted.send_modify(|count| *count += 1);
        if since_look >= LOOK_AFTER {
            since_look = 0;
            keep_the_bound(&webhooks).await;
        }
    }
}

/// The events for the webhooks as they are now.
fn address(webhooks: &Webhooks, letters: &[Letter]) -> Vec<Delivery> {
    let list = webhooks.list();
    let created_ms = clock::utc_ms();
    let pairs = letters
        .iter()
        .flat_map(|letter| list.iter().map(move |webhook| (letter, webhook)));
    pairs
        .filter(|(letter, webhook)| wants(webhook, letter))
        .map(|(letter, webhook)| Delivery {
            webhook: webhook.id.clone(),
            seq: i64::try_from(letter.seq).unwrap_or(i64::MAX),
            event: letter.event.to_owned(),
            body: letter.body.to_string(),
            created_ms,
            attempts: 0,
            due_ms: created_ms,
            error: None,
            dead_ms: None,
        })
        .collect()
}

async fn keep_the_bound(webhooks: &Webhooks) {
    for webhook in webhooks.list().iter() {
        let given_up = webhooks
            .store
            .give_up_beyond_bound(&webhook.id, clock::utc_ms());
        match given_up.await {
            Ok(0) => {}
            Ok(count) => {
                warn!(
                    webhook = webhook.id,
                    count, "too many events wait: the oldest are given up"
                );
                for _ in 0..count {
                    webhooks.metrics.webhook(WebhookOutcome::GivenUp);
                }
            }
            Err(error) => warn!(%error, "it is not known how many events wait for webhooks"),
        }
    }
}
