//! Who may try to sign in: after some wrong passwords nobody may for a while.
//!
//! Counted for one name from one address, so that a stranger does not lock the owner out; for one
//! address, so that it does not go through the names; and for one name, more patiently, so that
//! many addresses do not go through the passwords.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords for one name from one address.
const MAX_FOR_BOTH: u32 = 5;
/// Wrong passwords from one address, and for one name.
const MAX_FOR_ONE: u32 = 30;
/// How long wrong passwords count, and how long a lock lasts.
const LOCK: Duration = Duration::from_secs(15 * 60);
/// Beyond this many that are counted the oldest is forgotten.
const MAX_COUNTED: usize = 10_000;

/// Shared by all pages.
#[derive(Clone, Debug, Default)]
pub struct SignIns(Arc<Mutex<BTreeMap<Suspect, Failures>>>);

/// What wrong passwords are counted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspect {
    Both { user: Arc<str>, address: IpAddr },
    Address(IpAddr),
    User(Arc<str>),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl SignIns {
    /// Whether the name may be tried from there; otherwise how long it is locked.
    pub fn may_try(&self, now: Instant, user: &str, address: IpAddr) -> Result<(), Duration> {
        let counted = self.counted();
        let locked = suspects(user, address).into_iter().filter_map(|suspect| {
            let failures = counted.get(&suspect)?;
            failures.lock(now, &suspect)
        });
        match locked.max() {
            None => Ok(()),
            Some(lock) => Err(lock),
        }
    }

    pub fn failed(&self, now: Instant, user: &str, address: IpAddr) {
        let mut counted = self.counted();
        for suspect in suspects(user, address) {
            let failures = counted.entry(suspect).or_insert(Failures {
                count: 0,
                last: now,
            });
            if now.saturating_duration_since(failures.last) >= LOCK {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
        while counted.len() > MAX_COUNTED {
            let oldest = counted.iter().min_by_key(|(_, failures)| failures.last);
            let Some(oldest) = oldest.map(|(suspect, _)| suspect.clone()) else {
                return;
            };
            counted.remove(&oldest);
        }
    }

    /// The right password: what was wrong before it from there is forgotten.
    pub fn succeeded(&self, user: &str, address: IpAddr) {
        let user = user.into();
        self.counted().remove(&Suspect::Both { user, address });
    }

    /// Those that are locked now, and for how long.
    pub fn locked(&self, now: Instant) -> Vec<(Suspect, Duration)> {
        let counted = self.counted();
        let locked = counted.iter().filter_map(|(suspect, failures)| {
            let lock = failures.lock(now, suspect)?;
            Some((suspect.clone(), lock))
        });
        locked.collect()
    }

    /// Lifts a lock; whether there was one.
    pub fn lift(&self, suspect: &Suspect) -> bool {
        self.counted().remove(suspect).is_some()
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<Suspect, Failures>> {
        // Counts are whole after every line; one who panicked between two leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn lock(&self, now: Instant, suspect: &Suspect) -> Option<Duration> {
        let max = match suspect {
            Suspect::Both { .. } => MAX_FOR_BOTH,
            Suspect::Address(_) | Suspect::User(_) => MAX_FOR_ONE,
        };
        let rest = LOCK.checked_sub(now.saturating_duration_since(self.last))?;
        (self.count >= max && !rest.is_zero()).then_some(rest)
    }
}

fn suspects(user: &str, address: IpAddr) -> [Suspect; 3] {
    let user: Arc<str> = user.into();
    [
        Suspect::Both {
            user: user.clone(),
            address,
        },
        Suspect::Address(address),
        Suspect::User(user),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::clock;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    #[test]
    fn five_wrong_passwords_lock_the_name_from_there_for_a_quarter_of_an_hour() {
        let (sign_ins, now) = (SignIns::default(), clock::now());
        for _ in 0..MAX_FOR_BOTH {
            assert_eq!(sign_ins.may_try(now, "mia", HERE), Ok(()));
            sign_ins.failed(now, "mia", HERE);
        }

        assert_eq!(sign_ins.may_try(now, "mia", HERE), Err(LOCK));
        assert_eq!(sign_ins.may_try(now, "mia", THERE), Ok(()));
        assert_eq!(sign_ins.may_try(now, "kai", HERE), Ok(()));
        assert_eq!(sign_ins.may_try(now + LOCK, "mia", HERE), Ok(()));
    }

    #[test]
    fn an_address_that_goes_through_the_names_is_locked() {
        let (sign_ins, now) = (SignIns::default(), clock::now());
        for n in 0..MAX_FOR_ONE {
            sign_ins.failed(now, &format!("user{n}"), HERE);
        }

        assert_eq!(sign_ins.may_try(now, "mia", HERE), Err(LOCK));
        assert_eq!(sign_ins.may_try(now, "mia", THERE), Ok(()));
    }

    #[test]
    fn addresses_that_go_through_the_passwords_lock_the_name() {
        let (sign_ins, now) = (SignIns::default(), clock::now());
        for n in 0..MAX_FOR_ONE {
            let address = Ipv4Addr::from(0x7f00_0100 + n).into();
            sign_ins.failed(now, "mia", address);
        }

        assert_eq!(sign_ins.may_try(now, "mia", HERE), Err(LOCK));
        assert_eq!(sign_ins.may_try(now, "kai", HERE), Ok(()));
    }

    #[test]
    fn the_right_password_wipes_the_slate_and_a_lock_can_be_lifted() {
        let (sign_ins, now) = (SignIns::default(), clock::now());
        for _ in 1..MAX_FOR_BOTH {
            sign_ins.failed(now, "mia", HERE);
        }
        sign_ins.succeeded("mia", HERE);
        sign_ins.failed(now, "mia", HERE);
        assert_eq!(sign_ins.may_try(now, "mia", HERE), Ok(()));

        for _ in 1..MAX_FOR_BOTH {
            sign_ins.failed(now, "mia", HERE);
        }
        let locked = sign_ins.locked(now);

        assert_eq!(locked.len(), 1);
        assert!(sign_ins.lift(&locked[0].0));
        assert_eq!(sign_ins.may_try(now, "mia", HERE), Ok(()));
    }

    #[test]
    fn what_is_counted_has_a_bound() {
        let (sign_ins, now) = (SignIns::default(), clock::now());
        for n in 0..MAX_COUNTED as u32 {
            let address = Ipv4Addr::from(0x7f10_0000 + n).into();
            sign_ins.failed(now, "mia", address);
        }

        assert!(sign_ins.counted().len() <= MAX_COUNTED);
    }
}
