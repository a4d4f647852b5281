//! Whom each leg's RTP socket is connected to, and since when it has been silent.
//!
//! A socket is connected once its phone is heard from where it is announced to be, because the kernel
//! then sends for less. It has to be open again by the time that another source may take the phone's
//! place: half a second after the phone fell silent, and at once when a new SDP was agreed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::media::prefetch::prefetch;
use crate::media::shard::PortSlot;

/// Less than the silence after which another source is listened to, by more than the time between
/// two looks.
const SILENCE: Duration = Duration::from_millis(350);

#[derive(Debug, Default)]
pub struct Peers {
    by_slot: Vec<Option<Peer>>,
    connected: usize,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    heard: Instant,
}

impl Peers {
    /// A packet came from there; whether it is from the peer that the socket is connected to.
    pub fn hear(&mut self, now: Instant, slot: PortSlot, source: SocketAddr) -> bool {
        match self.by_slot.get_mut(slot.index()) {
            Some(Some(peer)) if peer.address == source => {
                peer.heard = now;
                true
            }
            _ => false,
        }
    }

    pub fn connected(&mut self, now: Instant, slot: PortSlot, address: SocketAddr) {
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, None);
        }
        let heard = now;
        let before = self.by_slot[slot.index()].replace(Peer { address, heard });
        self.connected += usize::from(before.is_none());
    }

    /// A packet of this leg comes soon.
    pub fn prefetch(&self, slot: PortSlot) {
        if let Some(peer) = self.by_slot.get(slot.index()) {
            prefetch(peer);
        }
    }

    /// Forgets the peer; whether there was one.
    pub fn forget(&mut self, slot: PortSlot) -> bool {
        let before = self.by_slot.get_mut(slot.index()).and_then(Option::take);
        self.connected -= usize::from(before.is_some());
        before.is_some()
    }

    pub fn are_none(&self) -> bool {
        self.connected == 0
    }

    /// Forgets the peers that have fallen silent, and names their slots.
    pub fn silent(&mut self, now: Instant, mut each: impl FnMut(PortSlot)) {
        for (slot, peer) in (0..).zip(&mut self.by_slot) {
            let silence = peer.map(|peer| now.saturating_duration_since(peer.heard));
            if silence.is_some_and(|silence| silence >= SILENCE) {
                *peer = None;
                self.connected -= 1;
                each(PortSlot(slot));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_falls_silent_is_forgotten_and_named_once() {
        let start = Instant::now();
        let mut peers = Peers::default();
        let (first, second) = (address(1), address(2));
        peers.connected(start, PortSlot(4), first);
        peers.connected(start, PortSlot(1), second);

        assert!(peers.hear(start + SILENCE / 2, PortSlot(4), first));
        assert!(!peers.hear(start + SILENCE / 2, PortSlot(1), first));
        assert!(!peers.hear(start, PortSlot(9), first));
        let mut silent = Vec::new();
        peers.silent(start + SILENCE, |slot| silent.push(slot));
        peers.silent(start + SILENCE, |slot| silent.push(slot));

        assert_eq!(silent, [PortSlot(1)]);
        assert!(!peers.are_none());
        assert!(peers.forget(PortSlot(4)));
        assert!(!peers.forget(PortSlot(4)));
        assert!(peers.are_none());
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}
