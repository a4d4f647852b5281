//! The events of this node, numbered in the order in which they happened, and kept for those who
//! were away for a moment.
//!
//! There is one buffer for all readers. A reader knows only how far it has read, so that one who is
//! slow costs the others nothing: when what it has not read has gone from the buffer, it is told to
//! start over.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::edge::http::events::event::{Draft, Event};

/// Events that are kept. At some kilobytes each, tens of megabytes; beyond it the oldest go.
pub const MAX_KEPT: usize = 16_384;

/// Events that a reader is handed at once.
const BATCH: usize = 64;

/// Numbers of a start lie this far above those of a start a millisecond earlier, so that no number
/// comes twice; below 2^53, so that scripts can hold them.
const PER_MILLISECOND: u64 = 1 << 12;

/// 2025-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_735_689_600_000;

/// The events. Cloned freely.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: RwLock<Kept>,
    state: watch::Sender<State>,
}

/// How far the feed has come, and whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub newest: u64,
    pub open: bool,
}

#[derive(Debug)]
struct Kept {
    /// The number that the next event gets.
    next: u64,
    /// Without a gap, and ending before `next`.
    events: VecDeque<Arc<Event>>,
}

/// What a reader asked for is not there: it has gone from the buffer, or never was of this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Feed {
    /// Numbers begin behind `last`, and behind those of every earlier start.
    pub fn new(now_ms: i64, last: u64) -> Self {
        let since = u64::try_from(now_ms - EPOCH_MS).unwrap_or_default();
        let next = (since * PER_MILLISECOND).max(last) + 1;
        let (state, _) = watch::channel(State {
            newest: next - 1,
            open: true,
        });
        Self(Arc::new(Shared {
            kept: RwLock::new(Kept {
                next,
                events: VecDeque::new(),
            }),
            state,
        }))
    }

    /// Numbers the events and hands them to all readers.
    pub fn publish(&self, drafts: Vec<Draft>) -> Vec<Arc<Event>> {
        if drafts.is_empty() {
            return Vec::new();
        }
        let first = self.kept().next;
        // The texts are made outside the lock; nobody else publishes.
        let events: Vec<Arc<Event>> = (first..)
            .zip(drafts)
            .map(|(seq, draft)| Arc::new(Event::new(seq, draft)))
            .collect();
        let mut kept = self.0.kept.write().unwrap_or_else(PoisonError::into_inner);
        for event in &events {
            if kept.events.len() == MAX_KEPT {
                kept.events.pop_front();
            }
            kept.events.push_back(event.clone());
        }
        kept.next = first + events.len() as u64;
        let newest = kept.next - 1;
        drop(kept);
        self.0.state.send_modify(|state| state.newest = newest);
        events
    }

    /// Some events were missed: every reader has to start over.
    pub fn forget(&self) {
        let mut kept = self.0.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.events.clear();
        kept.next += 1;
        let newest = kept.next - 1;
        drop(kept);
        self.0.state.send_modify(|state| state.newest = newest);
    }

    /// There will be no more events: readers come to their end.
    pub fn close(&self) {
        self.0.state.send_modify(|state| state.open = false);
    }

    /// The number of the newest event.
    pub fn newest(&self) -> u64 {
        self.kept().next - 1
    }

    /// The next events after this number, oldest first; none when there are no more yet.
    pub fn after(&self, seq: u64) -> Result<Vec<Arc<Event>>, Gone> {
        let kept = self.kept();
        let oldest = kept.next - kept.events.len() as u64;
        if seq >= kept.next || seq + 1 < oldest {
            return Err(Gone);
        }
        let skip = (seq + 1 - oldest) as usize;
        Ok(kept.events.iter().skip(skip).take(BATCH).cloned().collect())
    }

    /// Tells when there is more.
    pub fn state(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.0.kept.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::agents::Presence;
    use crate::edge::http::events::event::{AgentPresence, Concern, Data, Name};

    #[test]
    fn events_are_read_in_order_from_where_a_reader_left_off() {
        let feed = Feed::new(EPOCH_MS, 0);
        let start = feed.newest();
        feed.publish((0..BATCH + 2).map(|_| draft()).collect());

        let first = feed.after(start).unwrap();
        let rest = feed.after(first.last().unwrap().seq).unwrap();

        let read: Vec<u64> = first.iter().chain(&rest).map(|event| event.seq).collect();
        let expected: Vec<u64> = (1..=BATCH as u64 + 2).map(|n| start + n).collect();
        assert_eq!(read, expected);
        assert!(feed.after(feed.newest()).unwrap().is_empty());
    }

    #[test]
    fn what_has_gone_and_what_never_was_is_told() {
        let feed = Feed::new(EPOCH_MS, 0);
        let start = feed.newest();
        for _ in 0..=MAX_KEPT {
            feed.publish(vec![draft()]);
        }

        assert_eq!(feed.after(start).err(), Some(Gone), "the first one is gone");
        assert_eq!(feed.after(start + 1).unwrap()[0].seq, start + 2);
        assert_eq!(feed.after(feed.newest() + 1).err(), Some(Gone));
        assert_eq!(feed.after(0).err(), Some(Gone), "of no start");
        let newest = feed.newest();
        feed.forget();
        assert_eq!(feed.after(newest).err(), Some(Gone), "something was missed");
        assert!(feed.after(feed.newest()).unwrap().is_empty());
    }

    #[test]
    fn numbers_of_a_later_start_are_higher() {
        let earlier = Feed::new(EPOCH_MS + 1_000, 0);
        earlier.publish((0..1_000).map(|_| draft()).collect());

        let later = Feed::new(EPOCH_MS + 1_001, 0);
        let set_back = Feed::new(EPOCH_MS, earlier.newest());

        assert!(later.newest() > earlier.newest());
        assert!(set_back.newest() >= earlier.newest());
        let in_68_years = Feed::new(EPOCH_MS + 68 * 366 * 86_400_000, 0);
        assert!(in_68_years.newest() < 1 << 53, "scripts can hold it");
    }

    fn draft() -> Draft {
        Draft {
            name: Name::AgentPresence,
            organisation: "acme".into(),
            at_ms: 0,
            concern: Concern::Agent("204".into()),
            data: Data::Agent(AgentPresence {
                extension: "204".into(),
                name: "Aino".into(),
                presence: Presence::Idle,
                since: None,
            }),
        }
    }
}
