//! A share's own virtual users and arrivals.
//!
//! Of things numbered from 0 a share owns those whose number modulo `of` lies in `[from, from + count)`; so the
//! parts of any split add up to the whole without a word between shards.

use hyperscale_codec::messages::Share;

/// What a share owns of things numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    from: u64,
    count: u64,
    of: u64,
}

impl Owned {
    /// `None` for a share without a unit, or one that does not fit its whole.
    #[must_use]
    pub fn new(share: &Share) -> Option<Self> {
        let end = share.unit_from.checked_add(share.unit_count)?;
        let sound = share.unit_count > 0 && end <= share.units;
        let [from, count, of] = [share.unit_from, share.unit_count, share.units].map(u64::from);
        sound.then_some(Self { from, count, of })
    }

    /// How many own things have a number below `end`.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        let rest = (end % self.of).saturating_sub(self.from).min(self.count);
        (end / self.of).saturating_mul(self.count).saturating_add(rest)
    }

    /// The number of the own thing at `index`.
    #[must_use]
    pub fn nth(&self, index: u64) -> u64 {
        let whole = (index / self.count).saturating_mul(self.of);
        whole.saturating_add(self.from).saturating_add(index % self.count)
    }

    /// The owned part of 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "units are below 2^32")]
    pub fn fraction(&self) -> f64 {
        self.count as f64 / self.of as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_without_units_owns_nothing() {
        for (unit_from, unit_count, units) in [(0, 0, 4), (0, 1, 0), (3, 2, 4), (u32::MAX, 1, u32::MAX)] {
            assert_eq!(Owned::new(&Share { unit_from, unit_count, units, iterations: 0 }), None);
        }
    }

    proptest! {
        #[test]
        fn shares_of_any_split_own_each_thing_once(cuts in prop::collection::btree_set(1..40_u32, 0..6), end in 0..300_u64) {
            let mut edges = vec![0];
            edges.extend(cuts);
            edges.push(40);
            let mut seen = vec![0; 300];
            for pair in edges.windows(2) {
                let (unit_from, unit_count) = (pair[0], pair[1] - pair[0]);
                let owned = Owned::new(&Share { unit_from, unit_count, units: 40, iterations: 0 }).unwrap();
                let own = owned.below(end);
                (0..own).for_each(|i| seen[usize::try_from(owned.nth(i)).unwrap()] += 1);
                prop_assert!(owned.nth(own) >= end);
            }
            let (inside, outside) = seen.split_at(usize::try_from(end).unwrap());
            prop_assert!(inside.iter().all(|&n| n == 1) && outside.iter().all(|&n| n == 0));
        }
    }
}
