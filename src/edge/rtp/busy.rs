//! How busy a media thread is, as it measures itself and as others read it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The share of its time that a thread used when it last looked, 0 to 1.
#[derive(Debug, Default)]
pub struct Busy(AtomicU32);

impl Busy {
    pub fn set(&self, share: f32) {
        self.0.store(share.to_bits(), Ordering::Relaxed);
    }

    pub fn share(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// What the kernel says of the thread that asks.
#[derive(Debug)]
pub struct Clock {
    /// `None` where the kernel does not count (CONFIG_SCHED_INFO).
    schedstat: Option<File>,
}

/// Since the thread began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub worked: Duration,
    /// It could have worked, and another thread had the core.
    pub waited: Duration,
}

impl Clock {
    pub fn of_this_thread() -> Self {
        Self {
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
        }
    }

    pub fn used(&self) -> Used {
        let worked = clock_gettime(ClockId::ThreadCPUTime);
        Used {
            worked: Duration::try_from(worked).unwrap_or_default(),
            waited: self.waited().unwrap_or_default(),
        }
    }

    fn waited(&self) -> Option<Duration> {
        let mut bytes = [0; 96];
        let length = self.schedstat.as_ref()?.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        let ns = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(Duration::from_nanos(ns))
    }
}

impl Used {
    /// The share that was used, from `before` to now, of the time that the core was there for it. On
    /// a core that others keep busy that is less than the time that passed, though no less than half:
    /// a thread with little to do is not taken for full because the machine is.
    pub fn share_since(self, before: Used, passed: Duration) -> f32 {
        let worked = self.worked.saturating_sub(before.worked);
        let waited = self.waited.saturating_sub(before.waited);
        let there = passed.saturating_sub(waited).max(passed / 2);
        worked.as_secs_f32() / there.as_secs_f32().max(f32::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_others_keep_from_working_is_as_full_as_its_core() {
        let ms = Duration::from_millis;
        let share = |worked, waited| {
            let (worked, waited) = (ms(worked), ms(waited));
            Used { worked, waited }.share_since(Used::default(), ms(100))
        };

        let cases = [(40, 0, 0.4), (70, 30, 1.0), (40, 20, 0.5), (5, 95, 0.1)];
        for (worked, waited, wanted) in cases {
            assert!(
                (share(worked, waited) - wanted).abs() < 1e-6,
                "{worked} {waited}"
            );
        }
    }

    #[test]
    fn the_kernel_tells_what_this_thread_has_worked() {
        let clock = Clock::of_this_thread();
        let before = clock.used();

        let mut after = clock.used();
        while after.worked <= before.worked {
            after = clock.used();
        }

        assert!(after.waited >= before.waited);
    }
}
