//! Times as people and programs read them: RFC 3339 in UTC with milliseconds.

pub use crate::edge::clock::rfc3339;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::edge::clock;

/// The instant from which calendar times are counted.
static ORIGIN: LazyLock<Instant> = LazyLock::new(clock::now);

/// Its calendar time; none before it is first asked for.
static ORIGIN_MS: AtomicI64 = AtomicI64::new(UNKNOWN);
const UNKNOWN: i64 = i64::MIN;

/// Both clocks are slewed alike; when they differ by this much, the calendar was set anew.
const SET_ANEW_MS: i64 = 500;

/// The calendar time of an instant of the recent past: the same whenever it is asked for, as long
/// as nobody sets the calendar.
pub fn utc_ms_of(instant: Instant) -> i64 {
    let origin = *ORIGIN;
    let known_ms = ORIGIN_MS.load(Ordering::Relaxed);
    let before = clock::now();
    let origin_ms = clock::utc_ms() - ms_since(origin, before);
    // Who was held up between the two looks cannot compare the clocks.
    let held_up = known_ms != UNKNOWN && ms_since(before, clock::now()) > SET_ANEW_MS / 10;
    let differs = origin_ms.saturating_sub(known_ms).saturating_abs() >= SET_ANEW_MS;
    if held_up || !differs {
        return known_ms + ms_since(origin, instant);
    }
    // Of several that find it so at once the first one is believed.
    let set = ORIGIN_MS.compare_exchange(known_ms, origin_ms, Ordering::Relaxed, Ordering::Relaxed);
    set.map_or_else(|by_another| by_another, |_| origin_ms) + ms_since(origin, instant)
}

/// Milliseconds from one instant to another; negative where the other is the earlier one.
fn ms_since(from: Instant, to: Instant) -> i64 {
    let whole = |later: Instant, earlier| {
        let ms = later.saturating_duration_since(earlier).as_millis();
        i64::try_from(ms).unwrap_or(i64::MAX)
    };
    whole(to, from) - whole(from, to)
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
    fn an_instant_has_one_calendar_time_whenever_it_is_asked_for() {
        let began = clock::now();
        let first = utc_ms_of(began);

        // Long enough to meet every fraction of a millisecond.
        while clock::now().duration_since(began) < Duration::from_millis(20) {
            assert_eq!(utc_ms_of(began), first);
        }
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
