//! Times as people and programs read them: RFC 3339 in UTC with milliseconds.

pub use crate::edge::clock::rfc3339;

use std::time::Instant;

use crate::edge::clock;

/// The calendar time of an instant of the recent past.
pub fn utc_ms_of(instant: Instant) -> i64 {
    let ago = clock::now().saturating_duration_since(instant);
    clock::utc_ms() - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)
}

/// Whole seconds since an instant.
pub fn seconds_since(instant: Instant) -> u64 {
    clock::now().saturating_duration_since(instant).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(rfc3339(i64::MAX), "");
    }

    #[test]
    fn an_instant_of_the_past_has_its_calendar_time() {
        let (instant, at_ms) = (clock::now(), clock::utc_ms());

        let minute_ago = instant.checked_sub(Duration::from_secs(60));

        if let Some(minute_ago) = minute_ago {
            assert!(seconds_since(minute_ago) >= 60);
            assert!((utc_ms_of(minute_ago) - (at_ms - 60_000)).abs() < 5_000);
        }
    }
}
