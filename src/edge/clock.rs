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

/// `2026-11-21T10:20:30.456Z`; empty for a time that no calendar holds.
pub fn rfc3339(utc_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(utc_ms)
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default()
}

/// A time or a day of RFC 3339, in UTC where no offset is given, as milliseconds since 1970.
pub fn utc_ms_of_text(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil = text
        .parse::<jiff::civil::DateTime>()
        .or_else(|_| text.parse::<jiff::civil::Date>().map(Into::into));
    civil
        .and_then(|civil| jiff::tz::TimeZone::UTC.to_timestamp(civil))
        .map(jiff::Timestamp::as_millisecond)
        .ok()
}
