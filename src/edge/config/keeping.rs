//! `[webhooks]` and `[audit]`: how long is tried to tell others, and how long is remembered.

use std::time::Duration;

use crate::edge::config::WebhookSettings;
use crate::edge::config::supervising::duration;
use crate::wire::document::{Complaint, Table};

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn webhooks(root: &mut Table) -> Result<WebhookSettings, Complaint> {
    let mut table = root.table("webhooks")?;
    let mut settings = WebhookSettings {
        first_retry: Duration::from_secs(5),
        attempts: 12,
        timeout: Duration::from_secs(10),
    };
    if let Some(item) = table.take("first_retry") {
        settings.first_retry = duration(&item, Duration::from_millis(10), HOUR)?;
    }
    if let Some(item) = table.take("attempts") {
        settings.attempts = item.integer(1..=100)? as u32;
    }
    if let Some(item) = table.take("timeout") {
        settings.timeout = duration(&item, Duration::from_millis(100), HOUR)?;
    }
    table.finish()?;
    Ok(settings)
}

/// 0 and nothing: for ever.
pub(super) fn audit_days(root: &mut Table) -> Result<Option<u16>, Complaint> {
    let mut table = root.table("audit")?;
    let days = match table.take("keep_days") {
        Some(item) => item.integer(0..=i64::from(u16::MAX))? as u16,
        None => 0,
    };
    table.finish()?;
    Ok((days > 0).then_some(days))
}
