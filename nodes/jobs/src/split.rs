//! Splitting a load exactly.
//!
//! A load is `units` equal parts; virtual user `v`, arrival `i` and iteration `j` belong to unit `v`, `i`, `j` modulo
//! `units`. Whoever holds a range of units therefore knows its part without asking, and the parts of any split add
//! up to the whole. With one unit a shard this is the largest remainder method, ties to the lower position.

use hyperscale_codec::messages::Share;

/// A range of units: `[from, from + count)` of `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    pub from: u32,
    pub count: u32,
    pub of: u32,
}

/// Why a range cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Nobody to take a part.
    #[error("a load cannot be split over nobody")]
    Nobody,
    /// The units do not fit their whole.
    #[error("units {from} to {from}+{count} of {of}: the range must be within the whole, and not empty")]
    Range { from: u32, count: u32, of: u32 },
}

impl Units {
    /// Everything, in so many parts.
    #[must_use]
    pub const fn whole(of: u32) -> Self {
        Self { from: 0, count: of, of }
    }

    /// As it travels; `iterations` where the workflow has a total.
    #[must_use]
    pub fn share(self, total_iterations: u64) -> Share {
        let iterations = iterations_of(self, total_iterations);
        Share { unit_from: self.from, unit_count: self.count, units: self.of, iterations }
    }
}

/// Splits a range by weights (shards of a worker), in their order: largest remainder, ties to the earlier part.
/// Ranges of the parts lie one after the other; a part may get no unit, where there are fewer units than parts.
///
/// # Errors
/// [`SplitError`].
pub fn split(units: Units, weights: &[u32]) -> Result<Vec<Units>, SplitError> {
    let Units { from, count, of } = units;
    if count == 0 || from.checked_add(count).is_none_or(|end| end > of) {
        return Err(SplitError::Range { from, count, of });
    }
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total == 0 {
        return Err(SplitError::Nobody);
    }
    let exact = |weight: u32| u64::from(count).saturating_mul(u64::from(weight));
    let mut counts: Vec<u64> = weights.iter().map(|&weight| exact(weight) / total).collect();
    let given: u64 = counts.iter().sum();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder
        .sort_by_key(|&at| std::cmp::Reverse(weights.get(at).map_or(0, |&weight| exact(weight) % total)));
    let missing = usize::try_from(u64::from(count).saturating_sub(given)).unwrap_or(usize::MAX);
    for at in by_remainder.into_iter().take(missing) {
        if let Some(count) = counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }
    let mut next = from;
    let parts = counts.into_iter().map(|count| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let part = Units { from: next, count, of };
        next = next.saturating_add(count);
        part
    });
    Ok(parts.collect())
}

/// How many of `total` things, numbered from 0, fall to a range of units.
#[must_use]
pub fn iterations_of(units: Units, total: u64) -> u64 {
    let of = u64::from(units.of.max(1));
    let (whole, rest) = (total / of, total % of);
    let extra = rest.saturating_sub(u64::from(units.from)).min(u64::from(units.count));
    whole.saturating_mul(u64::from(units.count)).saturating_add(extra)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(total: u64, weights: &[u32]) -> Vec<u64> {
        let whole = Units::whole(weights.iter().sum());
        split(whole, weights).unwrap().into_iter().map(|part| iterations_of(part, total)).collect()
    }

    #[test]
    fn shares_equal_their_published_vectors() {
        assert_eq!(counts(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(counts(100, &[5, 3, 1]), [56, 33, 11]);
        assert_eq!(counts(2, &[1, 1, 1]), [1, 1, 0]);
    }

    #[test]
    fn nothing_is_split_over_nobody() {
        assert_eq!(split(Units::whole(4), &[]), Err(SplitError::Nobody));
        assert_eq!(split(Units::whole(4), &[0, 0]), Err(SplitError::Nobody));
        let bad = Units { from: 3, count: 2, of: 4 };
        assert_eq!(split(bad, &[1]), Err(SplitError::Range { from: 3, count: 2, of: 4 }));
    }

    proptest! {
        #[test]
        fn parts_of_parts_add_up_to_the_whole(
            total in 0..1_000_000_u64,
            datacenters in prop::collection::vec(1..5_u32, 1..4),
            workers in prop::collection::vec(1..5_u32, 1..5),
        ) {
            let whole = Units::whole(datacenters.iter().sum());
            let mut sum = 0;
            for datacenter in split(whole, &datacenters).unwrap().into_iter().filter(|part| part.count > 0) {
                for worker in split(datacenter, &workers).unwrap() {
                    sum += iterations_of(worker, total);
                }
            }
            prop_assert_eq!(sum, total);
        }

        #[test]
        fn a_part_s_count_is_the_number_of_its_own(total in 0..500_u64, weights in prop::collection::vec(0..4_u32, 1..6)) {
            prop_assume!(weights.iter().sum::<u32>() > 0);
            for part in split(Units::whole(7), &weights).unwrap() {
                let own = (0..total).filter(|i| {
                    let unit = i % u64::from(part.of);
                    unit >= u64::from(part.from) && unit < u64::from(part.from + part.count)
                });
                prop_assert_eq!(iterations_of(part, total), own.count() as u64);
            }
        }
    }
}
