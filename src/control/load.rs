//! How many legs each shard has, so that a new call can go to the quietest.

use std::collections::BTreeMap;

use crate::id::ShardId;

/// One entry for each shard that ever had a leg.
#[derive(Debug, Default)]
pub struct ShardLoad {
    legs: BTreeMap<ShardId, usize>,
}

impl ShardLoad {
    pub fn add(&mut self, shard: ShardId) {
        *self.legs.entry(shard).or_default() += 1;
    }

    pub fn remove(&mut self, shard: ShardId) {
        if let Some(legs) = self.legs.get_mut(&shard) {
            *legs = legs.saturating_sub(1);
        }
    }

    /// The shard with the fewest legs among the first `shards`; of several the first.
    pub fn quietest(&self, shards: u16) -> ShardId {
        let legs = |shard: &ShardId| self.legs.get(shard).copied().unwrap_or_default();
        (0..shards.max(1))
            .map(ShardId)
            .min_by_key(legs)
            .unwrap_or(ShardId(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_legs_go_where_the_fewest_are() {
        let mut load = ShardLoad::default();

        for expected in [0, 1, 2, 0, 1, 2] {
            assert_eq!(load.quietest(3), ShardId(expected));
            load.add(ShardId(expected));
        }
        load.remove(ShardId(1));

        assert_eq!(load.quietest(3), ShardId(1));
        assert_eq!(load.quietest(1), ShardId(0));
    }

    #[test]
    fn what_was_never_there_cannot_be_taken_away() {
        let mut load = ShardLoad::default();
        load.remove(ShardId(0));
        load.add(ShardId(0));

        assert_eq!(load.quietest(2), ShardId(1));
    }
}
