//! The only reader of time. Everything below the edge is told the time; everything on the edge
//! asks here, so that a lint can refuse the clock anywhere else.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The present, for intervals and timers. Never goes back.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970 in UTC, for the store and for people.
#[allow(clippy::disallowed_methods)]
pub fn utc_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        // A clock set before 1970 tells a time before 1970, rather than none at all.
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}
