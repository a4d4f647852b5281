//! One table of who waits for what until when.
//!
//! A pair of owner and timer has one deadline at most: setting it again moves it. Bounded by what
//! owns it: a call, leg or supervisor that goes away takes its timers along ([`Timers::forget`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::control::supervisor::SupervisorTimer;
use crate::id::{CallId, LegId};

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Call(CallId),
    Leg(LegId),
    /// A supervisor, or the desk as a whole: see `SupervisorTimer`.
    Supervisor(LegId),
    Desk,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Nobody has answered yet.
    Ring,
    /// A BYE or CANCEL of ours is not answered; the edge should have said so long ago.
    Release,
    /// A port that was asked for, an answer or an ACK that does not come.
    Setup,
    /// A re-INVITE of ours met one of theirs and is tried again.
    Retry,
    /// No answer to our re-INVITE; the edge should have said so long ago.
    Renegotiate,
    /// An agent began to type what may be a request for help.
    HeldKeys,
    /// A party's key waits until the one before it is over.
    NextKey,
    Supervisor(SupervisorTimer),
}

#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeSet<(Instant, Owner, Timer)>,
    set: BTreeMap<(Owner, Timer), Instant>,
}

impl Timers {
    pub fn set(&mut self, owner: Owner, timer: Timer, at: Instant) {
        self.clear(owner, timer);
        self.set.insert((owner, timer), at);
        self.due.insert((at, owner, timer));
    }

    pub fn clear(&mut self, owner: Owner, timer: Timer) {
        if let Some(at) = self.set.remove(&(owner, timer)) {
            self.due.remove(&(at, owner, timer));
        }
    }

    /// Drops every deadline of an owner that is gone.
    pub fn forget(&mut self, owner: Owner) {
        let timers: Vec<Timer> = self
            .set
            .range((owner, Timer::Ring)..)
            .take_while(|((whose, _), _)| *whose == owner)
            .map(|((_, timer), _)| *timer)
            .collect();
        for timer in timers {
            self.clear(owner, timer);
        }
    }

    /// The earliest deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// The earliest deadline that has passed, taken off the table.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Owner, Timer)> {
        let (at, owner, timer) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.clear(owner, timer);
        Some((owner, timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_the_order_of_their_deadlines() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(CALL, Timer::Ring, start + Duration::from_secs(2));
        timers.set(LEG, Timer::Release, start + Duration::from_secs(1));

        let late = start + Duration::from_secs(3);

        assert_eq!(timers.poll_timeout(), Some(start + Duration::from_secs(1)));
        assert_eq!(timers.pop_due(start), None);
        assert_eq!(timers.pop_due(late), Some((LEG, Timer::Release)));
        assert_eq!(timers.pop_due(late), Some((CALL, Timer::Ring)));
        assert_eq!(timers.pop_due(late), None);
    }

    #[test]
    fn setting_a_timer_again_moves_it() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(CALL, Timer::Ring, start);
        timers.set(CALL, Timer::Ring, start + Duration::from_secs(5));

        assert_eq!(timers.pop_due(start + Duration::from_secs(1)), None);
        assert_eq!(timers.poll_timeout(), Some(start + Duration::from_secs(5)));
    }

    #[test]
    fn an_owner_that_goes_away_leaves_no_timer_behind() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(CALL, Timer::Ring, start);
        timers.set(CALL, Timer::Setup, start);
        timers.set(LEG, Timer::Release, start);

        timers.forget(CALL);

        assert_eq!(timers.pop_due(start), Some((LEG, Timer::Release)));
        assert_eq!(timers.poll_timeout(), None);
    }

    const CALL: Owner = Owner::Call(CallId(1));
    const LEG: Owner = Owner::Leg(LegId(2));
}
