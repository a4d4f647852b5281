//! The delay that is aimed at. It rises at once, and comes down in one of two ways.
//!
//! When the network has become calm, that is when the latest of the last 32 packets came eight times
//! earlier than what is aimed at, it comes down to what those need. Where that was regretted, because
//! about as much was needed again within ten seconds, as beside a radio that scans for its
//! stations every few seconds, the network is not taken at its word for the next half minute: then it
//! must have been calm for ten seconds. A voice that waits a little is harmed less than one that is
//! stretched and cut at every burst.
//!
//! When the network is merely less uneven than it was, the aim comes down after ten seconds, to the
//! most that was needed in them.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Aim {
    us: i64,
    /// Since when less would have done, and the most that was needed since.
    less_since: Option<Instant>,
    most_us: i64,
    calm_since: Option<Instant>,
    /// When a calm brought it down, and from where.
    lowered: Option<(Instant, i64)>,
    regretted: Option<Instant>,
}

/// What the last packets say.
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    /// How late the latest of them was.
    pub latest_us: i64,
    /// The delay at which almost all of them would have been in time.
    pub needed_us: i64,
    /// They are as many as are ever asked.
    pub is_whole: bool,
}

/// The aim goes by steps of this, upwards from what is needed.
const STEP_US: i64 = 5_000;
/// No more is ever aimed at.
const MOST_US: i64 = 240_000;
const CALM: i64 = 8;
const HOLD: Duration = Duration::from_secs(10);
const REGRET: Duration = Duration::from_secs(30);
/// How long the frames may take that are given up after a calm.
const COMING_DOWN: Duration = Duration::from_secs(2);

impl Default for Aim {
    fn default() -> Self {
        Self {
            us: STEP_US,
            less_since: None,
            most_us: STEP_US,
            calm_since: None,
            lowered: None,
            regretted: None,
        }
    }
}

impl Aim {
    pub fn us(&self) -> i64 {
        self.us
    }

    pub fn follow(&mut self, now: Instant, recent: Recent) {
        let needed = (recent.needed_us.max(0) / STEP_US + 1) * STEP_US;
        let is_calm = recent.is_whole && recent.latest_us * CALM <= self.us;
        let has_regrets = is_within(REGRET, self.regretted, now);
        if !is_calm && self.calm_since.take().is_some() && has_regrets {
            // What was kept was needed.
            self.regretted = Some(now);
        }
        if needed >= self.us {
            self.raise(now, needed);
            return;
        }
        self.most_us = self.most_us.max(needed);
        let less_since = *self.less_since.get_or_insert(now);
        if is_calm {
            let calm_since = *self.calm_since.get_or_insert(now);
            if !has_regrets || !is_within(HOLD, Some(calm_since), now) {
                self.lowered = Some((now, self.us));
                self.lower(needed);
            }
        } else if !is_within(HOLD, Some(less_since), now) {
            self.lower(self.most_us);
        }
    }

    /// A packet was awaited in vain, and is played at this delay: less would not have done.
    pub fn was_too_short(&mut self, now: Instant, delay_us: i64) {
        if delay_us > self.us {
            self.raise(now, delay_us);
        }
    }

    /// All delays have become shorter by this, because the fastest packet is later than it was.
    pub fn shift(&mut self, us: i64) {
        self.us = (self.us - us).max(STEP_US);
        self.most_us = (self.most_us - us).max(STEP_US);
    }

    /// Whether a calm has just brought it down.
    pub fn is_coming_down(&self, now: Instant) -> bool {
        is_within(COMING_DOWN, self.lowered.map(|(at, _)| at), now)
    }

    fn raise(&mut self, now: Instant, us: i64) {
        if us > self.us
            && let Some((at, from)) = self.lowered
            && (from / 2..=from * 2).contains(&us)
        {
            self.lowered = None;
            if is_within(HOLD, Some(at), now) {
                self.regretted = Some(now);
            }
        }
        self.lower(us.min(MOST_US).max(self.us));
    }

    fn lower(&mut self, us: i64) {
        self.us = us;
        self.less_since = None;
        self.calm_since = None;
        self.most_us = STEP_US;
    }
}

fn is_within(time: Duration, since: Option<Instant>, now: Instant) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) < time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_comes_down_at_once_in_a_calm() {
        let (mut aim, now) = (Aim::default(), Instant::now());

        aim.follow(now, late(61_000));
        let risen = aim.us();
        aim.follow(now + SECOND, late(1_000));

        assert_eq!((risen, aim.us()), (65_000, 5_000));
        assert!(aim.is_coming_down(now + SECOND));
        assert!(!aim.is_coming_down(now + 4 * SECOND));
    }

    #[test]
    fn what_had_to_be_taken_back_is_kept_for_ten_seconds_of_calm() {
        let (mut aim, mut now) = (Aim::default(), Instant::now());
        aim.follow(now, late(61_000));
        aim.follow(now, late(0));

        // A burst every four seconds, for two minutes: only the first is met unprepared.
        for _ in 0..30 {
            now += 4 * SECOND;
            aim.follow(now, late(61_000));
            aim.follow(now, late(0));
            assert_eq!(aim.us(), 65_000);
        }
        aim.follow(now + 9 * SECOND, late(0));
        let kept = aim.us();
        aim.follow(now + 10 * SECOND, late(0));

        assert_eq!((kept, aim.us()), (65_000, 5_000));
    }

    #[test]
    fn what_is_less_uneven_lowers_it_after_ten_seconds_to_the_most_of_them() {
        let (mut aim, now) = (Aim::default(), Instant::now());
        aim.follow(now, late(101_000));
        for second in 1..11 {
            aim.follow(
                now + second * SECOND,
                late(40_000 + i64::from(second % 3) * 5_000),
            );
            assert_eq!(aim.us(), 105_000);
        }

        aim.follow(now + 11 * SECOND, late(40_000));

        assert_eq!(aim.us(), 55_000);
        assert!(!aim.is_coming_down(now + 11 * SECOND));
    }

    #[test]
    fn few_packets_make_no_calm() {
        let (mut aim, now) = (Aim::default(), Instant::now());
        aim.follow(now, late(61_000));
        let few = Recent {
            is_whole: false,
            ..late(0)
        };

        aim.follow(now + SECOND, few);

        assert_eq!(aim.us(), 65_000);
    }

    #[test]
    fn it_is_never_above_what_the_buffer_holds_nor_below_its_step() {
        let (mut aim, now) = (Aim::default(), Instant::now());

        aim.was_too_short(now, 2_000_000);
        let most = aim.us();
        aim.shift(1_000_000);

        assert_eq!((most, aim.us()), (MOST_US, STEP_US));
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn late(us: i64) -> Recent {
        Recent {
            latest_us: us,
            needed_us: us,
            is_whole: true,
        }
    }
}
