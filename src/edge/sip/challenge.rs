//! Which challenge a client is given.
//!
//! RFC 8760 has a client ignore an algorithm that it does not know; phones older than that give up
//! on the whole answer instead. Those that are known, and those that came back without credentials
//! after they were offered both, are offered MD5 alone.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use rsipstack::sip::Request;

use crate::edge::sip::Shared;
use crate::edge::sip::digest::{Algorithm, BOTH};
use crate::edge::sip::message::{call_id, header};

/// Clients remembered, by hash; a newer one takes the place of an older.
const SLOTS: usize = 4096;

/// Clients that were offered both algorithms and have not used the better one.
pub struct Offered {
    hasher: RandomState,
    slots: Vec<AtomicU64>,
}

impl Default for Offered {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Offered {
    fn place(&self, request: &Request, source: IpAddr) -> (&AtomicU64, u64) {
        let mark = self
            .hasher
            .hash_one((source, call_id(&request.headers)))
            .max(1);
        let slot = usize::try_from(mark).unwrap_or(0) % SLOTS;
        (&self.slots[slot], mark)
    }

    /// The client proved something, and thereby which algorithm it knows.
    pub fn proven(&self, request: &Request, source: IpAddr, algorithm: Option<Algorithm>) {
        let (slot, mark) = self.place(request, source);
        match algorithm {
            Some(Algorithm::Sha256) => {
                let _ = slot.compare_exchange(mark, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
            Some(Algorithm::Md5) | None => slot.store(mark, Ordering::Relaxed),
        }
    }
}

/// The values of the WWW-Authenticate headers for this client.
pub fn challenges(shared: &Shared, request: &Request, source: IpAddr, stale: bool) -> Vec<String> {
    let (slot, mark) = shared.offered.place(request, source);
    let old = header(&request.headers, "User-Agent").is_none_or(knows_md5_only);
    // One that answers a stale nonce has understood the offer.
    if old || (!stale && slot.swap(mark, Ordering::Relaxed) == mark) {
        return shared.digest.challenges(&[Algorithm::Md5], source, stale);
    }
    shared.digest.challenges(&BOTH, source, stale)
}

fn knows_md5_only(user_agent: &str) -> bool {
    ["baresip v0.", "baresip v1."]
        .iter()
        .any(|old| user_agent.starts_with(old))
}
