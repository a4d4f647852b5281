//! What supervision keeps beside the supervisors themselves: locks, tickets, help requests, and
//! whose row the store is writing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::callback::Callback;
use crate::control::help::HelpRequest;
use crate::control::snapshot::{LockView, SessionState, SessionView};
use crate::id::{CallId, HelpId, LegId, RecordId, SessionId};

/// Wrong PINs in a row that lock a supervisor out on a trunk.
pub const PIN_TRIES: u8 = 3;
/// For how long.
pub const PIN_LOCK: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Default)]
pub struct Desk {
    /// By supervisor and trunk, so that a spoofer on one trunk cannot lock the owner out on
    /// another. Bounded by supervisors × trunks.
    tries: BTreeMap<Line, Tries>,
    /// One for each supervisor; a new one replaces it.
    tickets: BTreeMap<Owner, Ticket>,
    /// Open requests and the last closed ones: see `help`.
    pub help: BTreeMap<HelpId, HelpRequest>,
    /// Phones of supervisors that are being rung: see `callback`.
    pub callbacks: BTreeMap<SessionId, Callback>,
    /// Whose session waits for which row. An entry lives from the record to its durability.
    pub recording: BTreeMap<RecordId, LegId>,
    /// Sessions that are over, the latest last, for those who ask what became of theirs.
    pub over: VecDeque<SessionView>,
}

/// Sessions that are remembered when they are over; the oldest goes first.
const MAX_OVER: usize = 64;

/// Organisation and user.
pub type Owner = (Arc<str>, Arc<str>);

/// A supervisor on a trunk; `None` for a phone that is behind no trunk.
type Line = (Owner, Option<Arc<str>>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    wrong: u8,
    last: Instant,
}

/// Joins one call at the next dial-in from the owner's phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub call: CallId,
    pub expires_at: Instant,
}

/// How a wrong PIN counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    TryAgain,
    LockedOut,
}

impl Desk {
    /// Remembers a session that is over.
    pub fn session_over(&mut self, mut session: SessionView) {
        session.state = SessionState::Ended;
        if self.over.len() == MAX_OVER {
            self.over.pop_front();
        }
        self.over.push_back(session);
    }

    pub fn is_locked(&self, now: Instant, owner: &Owner, trunk: Option<&Arc<str>>) -> bool {
        self.tries
            .get(&(owner.clone(), trunk.cloned()))
            .is_some_and(|tries| tries.wrong >= PIN_TRIES && now < tries.last + PIN_LOCK)
    }

    /// Counts a wrong PIN. Tries add up over calls, and are forgotten after the time of a lock.
    pub fn wrong_pin(&mut self, now: Instant, owner: &Owner, trunk: Option<&Arc<str>>) -> Verdict {
        let tries = self
            .tries
            .entry((owner.clone(), trunk.cloned()))
            .or_insert(Tries {
                wrong: 0,
                last: now,
            });
        if now >= tries.last + PIN_LOCK {
            tries.wrong = 0;
        }
        tries.wrong = tries.wrong.saturating_add(1);
        tries.last = now;
        match tries.wrong >= PIN_TRIES {
            true => Verdict::LockedOut,
            false => Verdict::TryAgain,
        }
    }

    pub fn right_pin(&mut self, owner: &Owner, trunk: Option<&Arc<str>>) {
        self.tries.remove(&(owner.clone(), trunk.cloned()));
    }

    /// Supervisors whose PIN is not looked at any more, and until when. A lock that is over stays
    /// until the next try.
    pub fn locks(&self) -> impl Iterator<Item = LockView> {
        let locked = |(_, tries): &(&Line, &Tries)| tries.wrong >= PIN_TRIES;
        let locked = self.tries.iter().filter(locked);
        locked.map(|((owner, trunk), tries)| LockView {
            organisation: owner.0.clone(),
            supervisor: owner.1.clone(),
            trunk: trunk.clone(),
            until: tries.last + PIN_LOCK,
        })
    }

    /// Forgets the wrong PINs of one who is locked out; whether they were.
    pub fn lift_lock(&mut self, now: Instant, owner: &Owner, trunk: Option<&Arc<str>>) -> bool {
        let locked = self.is_locked(now, owner, trunk);
        if locked {
            self.right_pin(owner, trunk);
        }
        locked
    }

    /// Forgets tickets, wrong PINs and sessions of those who are not to be kept.
    pub fn keep_only(&mut self, keep: impl Fn(&Owner) -> bool) {
        self.tries.retain(|(owner, _), _| keep(owner));
        self.tickets.retain(|owner, _| keep(owner));
        self.over
            .retain(|view| keep(&(view.organisation.clone(), view.supervisor.clone())));
    }

    pub fn issue_ticket(&mut self, owner: Owner, ticket: Ticket) {
        self.tickets.insert(owner, ticket);
    }

    /// The owner's ticket, if it still counts.
    pub fn live_ticket(&self, now: Instant, owner: &Owner) -> Option<Ticket> {
        self.tickets
            .get(owner)
            .copied()
            .filter(|ticket| now < ticket.expires_at)
    }

    pub fn spend_ticket(&mut self, owner: &Owner) {
        self.tickets.remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_wrong_pin_locks_for_fifteen_minutes_on_that_trunk_alone() {
        let start = Instant::now();
        let mut desk = Desk::default();
        let (mia, carrier, pbx) = (mia(), Some("carrier".into()), Some("pbx".into()));

        assert_eq!(
            desk.wrong_pin(start, &mia, carrier.as_ref()),
            Verdict::TryAgain
        );
        assert_eq!(
            desk.wrong_pin(start, &mia, carrier.as_ref()),
            Verdict::TryAgain
        );
        assert!(!desk.is_locked(start, &mia, carrier.as_ref()));
        assert_eq!(
            desk.wrong_pin(start, &mia, carrier.as_ref()),
            Verdict::LockedOut
        );

        let almost = start + PIN_LOCK - Duration::from_millis(1);
        assert!(desk.is_locked(almost, &mia, carrier.as_ref()));
        assert!(!desk.is_locked(almost, &mia, pbx.as_ref()));
        assert!(!desk.is_locked(start + PIN_LOCK, &mia, carrier.as_ref()));
        assert_eq!(
            desk.wrong_pin(start + PIN_LOCK, &mia, carrier.as_ref()),
            Verdict::TryAgain
        );
    }

    #[test]
    fn a_lock_is_seen_and_lifted_on_its_trunk() {
        let now = Instant::now();
        let mut desk = Desk::default();
        let (mia, carrier) = (mia(), Some("carrier".into()));
        desk.wrong_pin(now, &mia, None);
        for _ in 0..PIN_TRIES {
            desk.wrong_pin(now, &mia, carrier.as_ref());
        }

        let locks: Vec<LockView> = desk.locks().collect();
        assert_eq!(locks.len(), 1);
        assert_eq!((&locks[0].supervisor, &locks[0].trunk), (&mia.1, &carrier));
        assert_eq!(locks[0].until, now + PIN_LOCK);
        assert!(!desk.lift_lock(now, &mia, None), "tries are no lock");
        assert!(!desk.lift_lock(now + PIN_LOCK, &mia, carrier.as_ref()));
        assert!(desk.lift_lock(now, &mia, carrier.as_ref()));
        assert!(!desk.is_locked(now, &mia, carrier.as_ref()));
        assert_eq!(desk.locks().count(), 0);
    }

    #[test]
    fn the_right_pin_forgets_the_wrong_ones() {
        let now = Instant::now();
        let mut desk = Desk::default();
        desk.wrong_pin(now, &mia(), None);
        desk.wrong_pin(now, &mia(), None);

        desk.right_pin(&mia(), None);

        assert_eq!(desk.wrong_pin(now, &mia(), None), Verdict::TryAgain);
        assert_eq!(desk.wrong_pin(now, &mia(), None), Verdict::TryAgain);
    }

    #[test]
    fn a_ticket_counts_until_it_expires_is_spent_or_replaced() {
        let now = Instant::now();
        let mut desk = Desk::default();
        let ticket = |call| Ticket {
            call: CallId(call),
            expires_at: now + Duration::from_secs(120),
        };
        desk.issue_ticket(mia(), ticket(1));
        desk.issue_ticket(mia(), ticket(2));

        assert_eq!(desk.live_ticket(now, &mia()), Some(ticket(2)));
        assert_eq!(
            desk.live_ticket(now + Duration::from_secs(120), &mia()),
            None
        );
        desk.spend_ticket(&mia());
        assert_eq!(desk.live_ticket(now, &mia()), None);
    }

    fn mia() -> Owner {
        ("acme".into(), "mia".into())
    }
}
