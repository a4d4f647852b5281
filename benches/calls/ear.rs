//! What the phones heard: each ear by itself, and those of one kind together.

use crate::stream::Count;

/// What one phone was to hear, and heard.
pub struct Ear {
    /// Whether the packets pass through untouched, each to be found again.
    pub through: bool,
    pub expected: u64,
    pub lost: u64,
    pub count: Count,
    pub latencies_us: Vec<u32>,
}

/// The ears of one kind together.
#[derive(Clone, Debug, Default)]
pub struct Side {
    pub ears: u64,
    pub expected: u64,
    pub received: u64,
    pub lost: u64,
    /// Twice, or behind their turn.
    pub disordered: u64,
}

impl Side {
    pub fn of<'a>(ears: impl Iterator<Item = &'a Ear>) -> Self {
        let mut side = Self::default();
        for ear in ears {
            side.ears += 1;
            side.expected += ear.expected;
            side.received += ear.count.received;
            side.lost += ear.lost;
            side.disordered += ear.count.disordered;
        }
        side
    }
}

/// Added delay in every ear that hears packets as they came: sorted.
pub fn latencies_us(ears: &[Ear]) -> Vec<u32> {
    let each = ears.iter().flat_map(|ear| ear.latencies_us.iter().copied());
    let mut latencies: Vec<u32> = each.collect();
    latencies.sort_unstable();
    latencies
}
