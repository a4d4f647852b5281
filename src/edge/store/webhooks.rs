//! Webhooks, and the events that have not arrived at theirs yet.
//!
//! An event stays here until its webhook has taken it, so that a restart loses nothing; one that
//! was tried too often is kept aside as a dead letter. Deliveries of one webhook are read in the
//! order of their events.

use std::fmt;

use sqlx::FromRow;

use crate::edge::store::db::{all_rows, execute, one_row};
use crate::edge::store::{Store, StoreError};

/// Deliveries that may wait for one webhook. Beyond it the oldest becomes a dead letter.
pub const MAX_WAITING: i64 = 10_000;

/// Dead letters that are kept for one webhook; the oldest goes first.
pub const MAX_DEAD: i64 = 10_000;

/// Dead letters in one answer.
pub const PAGE: i64 = 200;

/// Where an organisation's events are sent.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct Webhook {
    pub id: String,
    pub organisation: String,
    pub url: String,
    /// Signs what is sent. Its value is printed nowhere.
    pub secret: String,
    /// Names of events, separated by spaces; `*` for all of them.
    pub events: String,
    pub created_ms: i64,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("organisation", &self.organisation)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    pub fn wants(&self, event: &str) -> bool {
        self.events
            .split(' ')
            .any(|wanted| wanted == "*" || wanted == event)
    }
}

/// An event for a webhook, as it waits or as it was given up.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct Delivery {
    pub webhook: String,
    /// The event's sequence.
    pub seq: i64,
    pub event: String,
    /// What is sent, byte for byte.
    pub body: String,
    pub created_ms: i64,
    pub attempts: i64,
    /// Not before.
    pub due_ms: i64,
    /// What the last attempt came to.
    pub error: Option<String>,
    /// When it was given up.
    pub dead_ms: Option<i64>,
}

/// Bodies name callers: they are not printed.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("webhook", &self.webhook)
            .field("seq", &self.seq)
            .field("event", &self.event)
            .field("attempts", &self.attempts)
            .field("dead_ms", &self.dead_ms)
            .finish_non_exhaustive()
    }
}

impl Store {
    pub async fn add_webhook(&self, new: &Webhook) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "INSERT INTO webhooks (id, organisation, url, secret, events, created_ms) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            &*new.id,
            &*new.organisation,
            &*new.url,
            &*new.secret,
            &*new.events,
            new.created_ms,
        )?;
        tx.commit().await?;
        Ok(())
    }

    /// All of them, oldest first.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        Ok(all_rows!(
            self.db(),
            Webhook,
            "SELECT id, organisation, url, secret, events, created_ms FROM webhooks \
             ORDER BY created_ms, id"
        )?)
    }

    /// Removes a webhook and whatever waits for it; whether there was one.
    pub async fn remove_webhook(&self, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "DELETE FROM webhook_deliveries WHERE webhook = $1",
            id
        )?;
        let removed = execute!(&mut tx, "DELETE FROM webhooks WHERE id = $1", id)?;
        tx.commit().await?;
        Ok(removed == 1)
    }

    /// Puts events behind those that wait; when this returns, they are on the disk. A webhook that
    /// was removed meanwhile gets none.
    pub async fn post(&self, letters: &[Delivery]) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await?;
        for letter in letters {
            execute!(
                &mut tx,
                "INSERT INTO webhook_deliveries \
                 (webhook, seq, node, event, body, created_ms, attempts, due_ms) \
                 SELECT id, $2, $3, $4, $5, $6, 0, $6 FROM webhooks WHERE id = $1 \
                 ON CONFLICT DO NOTHING",
                &*letter.webhook,
                letter.seq,
                &*self.node,
                &*letter.event,
                &*letter.body,
                letter.created_ms,
            )?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The deliveries whose turn it is: those of the oldest events, in their order.
    pub async fn next_deliveries(
        &self,
        webhook: &str,
        most: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(all_rows!(
            self.db(),
            Delivery,
            "SELECT webhook, seq, event, body, created_ms, attempts, due_ms, error, dead_ms \
             FROM webhook_deliveries WHERE webhook = $1 AND node = $2 AND dead_ms IS NULL \
             ORDER BY seq LIMIT $3",
            webhook,
            &*self.node,
            most
        )?)
    }

    /// The webhook has taken them.
    pub async fn delivered(&self, webhook: &str, taken: &[i64]) -> Result<(), StoreError> {
        if taken.is_empty() {
            return Ok(());
        }
        let mut tx = self.db().begin().await?;
        for seq in taken {
            execute!(
                &mut tx,
                "DELETE FROM webhook_deliveries WHERE webhook = $1 AND seq = $2",
                webhook,
                seq
            )?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// An attempt failed; the next one is not before `due_ms`.
    pub async fn not_delivered(
        &self,
        webhook: &str,
        seq: i64,
        error: &str,
        due_ms: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "UPDATE webhook_deliveries SET attempts = attempts + 1, error = $3, due_ms = $4 \
             WHERE webhook = $1 AND seq = $2",
            webhook,
            seq,
            error,
            due_ms
        )?;
        tx.commit().await?;
        Ok(())
    }

    /// The last attempt failed: it is tried no more, and kept.
    pub async fn give_up(
        &self,
        webhook: &str,
        seq: i64,
        error: &str,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await?;
        execute!(
            &mut tx,
            "UPDATE webhook_deliveries SET attempts = attempts + 1, error = $3, dead_ms = $4 \
             WHERE webhook = $1 AND seq = $2",
            webhook,
            seq,
            error,
            at_ms
        )?;
        execute!(
            &mut tx,
            "DELETE FROM webhook_deliveries WHERE webhook = $1 AND dead_ms IS NOT NULL AND seq < \
             (SELECT MIN(seq) FROM (SELECT seq FROM webhook_deliveries WHERE webhook = $1 \
              AND dead_ms IS NOT NULL ORDER BY seq DESC LIMIT $2) AS kept)",
            webhook,
            MAX_DEAD
        )?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives up the oldest of those that wait for this webhook beyond [`MAX_WAITING`]; how many.
    pub async fn give_up_beyond_bound(&self, webhook: &str, at_ms: i64) -> Result<u64, StoreError> {
        let mut tx = self.db().begin().await?;
        let given_up = execute!(
            &mut tx,
            "UPDATE webhook_deliveries SET dead_ms = $3, error = 'too many events wait' \
             WHERE webhook = $1 AND node = $4 AND dead_ms IS NULL AND seq < \
             (SELECT MIN(seq) FROM (SELECT seq FROM webhook_deliveries WHERE webhook = $1 \
              AND node = $4 AND dead_ms IS NULL ORDER BY seq DESC LIMIT $2) AS kept)",
            webhook,
            MAX_WAITING,
            at_ms,
            &*self.node
        )?;
        tx.commit().await?;
        Ok(given_up)
    }

    /// How many deliveries of each webhook wait, and how many are dead letters.
    pub async fn delivery_counts(&self) -> Result<Vec<(String, i64, i64)>, StoreError> {
        Ok(all_rows!(
            self.db(),
            (String, i64, i64),
            "SELECT webhook, COUNT(*) - COUNT(dead_ms), COUNT(dead_ms) \
             FROM webhook_deliveries GROUP BY webhook"
        )?)
    }

    /// Dead letters of a webhook after the event `after`, oldest first, at most [`PAGE`].
    pub async fn dead_letters(
        &self,
        webhook: &str,
        after: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(all_rows!(
            self.db(),
            Delivery,
            "SELECT webhook, seq, event, body, created_ms, attempts, due_ms, error, dead_ms \
             FROM webhook_deliveries WHERE webhook = $1 AND dead_ms IS NOT NULL AND seq > $2 \
             ORDER BY seq LIMIT $3",
            webhook,
            after,
            PAGE
        )?)
    }

    /// Has a dead letter tried again from the start by this node; whether there was one.
    pub async fn send_again(
        &self,
        webhook: &str,
        seq: i64,
        at_ms: i64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await?;
        let revived = execute!(
            &mut tx,
            "UPDATE webhook_deliveries SET attempts = 0, due_ms = $3, dead_ms = NULL, node = $4 \
             WHERE webhook = $1 AND seq = $2 AND dead_ms IS NOT NULL",
            webhook,
            seq,
            at_ms,
            &*self.node
        )?;
        tx.commit().await?;
        Ok(revived == 1)
    }

    /// The last event that any webhook was or is to be told of, as far as it is known still.
    pub async fn last_posted(&self) -> Result<i64, StoreError> {
        let found = one_row!(
            self.db(),
            (i64,),
            "SELECT COALESCE(MAX(seq), 0) FROM webhook_deliveries"
        )?;
        Ok(found.map_or(0, |(seq,)| seq))
    }
}
