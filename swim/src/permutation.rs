//! The order of one round of probing: each slot once, by a keyed permutation instead of a shuffled list.
//!
//! A four-round Feistel network over the next even number of bits; values outside are walked on (cycle walking), so
//! that any number of slots is permuted exactly. A list of 10,000 would cost 40 KB a node; this costs 24 bytes.

use crate::hash::mix;

/// One round over `0..size`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    key: u64,
    size: u32,
    next: u32,
}

impl Round {
    pub(crate) const fn new(key: u64, size: u32) -> Self {
        Self { key, size, next: 0 }
    }

    /// The next slot of this round; `None` once each was told.
    pub(crate) fn next(&mut self) -> Option<u32> {
        if self.next >= self.size {
            return None;
        }
        let at = self.next;
        self.next += 1;
        Some(self.permute(at))
    }

    fn permute(&self, at: u32) -> u32 {
        let bits = (32 - self.size.saturating_sub(1).leading_zeros()).max(2);
        let half = bits.div_ceil(2);
        let mask = (1_u64 << half) - 1;
        let mut value = u64::from(at);
        loop {
            let (mut left, mut right) = (value >> half, value & mask);
            for round in 0..4_u64 {
                let turned = left ^ (mix(right | (round << 40), self.key) & mask);
                (left, right) = (right, turned);
            }
            value = (left << half) | right;
            // A permutation of a larger set, walked from inside the smaller one, comes back inside it.
            if value < u64::from(self.size) {
                return value as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(key: u64, size: u32) -> Vec<u32> {
        let mut round = Round::new(key, size);
        std::iter::from_fn(|| round.next()).collect()
    }

    proptest! {
        #[test]
        fn every_slot_is_visited_exactly_once(key in any::<u64>(), size in 0..3_000_u32) {
            let mut seen = order(key, size);
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..size).collect::<Vec<_>>());
        }
    }

    #[test]
    fn another_key_is_another_order() {
        assert_ne!(order(1, 100), order(2, 100));
        let firsts: std::collections::BTreeSet<u32> = (0..200).map(|key| order(key, 8)[0]).collect();
        assert_eq!(firsts.len(), 8);
    }
}
