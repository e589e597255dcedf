//! Splitting a load exactly.
//!
//! A load is `units` equal parts; virtual user `v`, arrival `i` and iteration `j` belong to unit `v`, `i`, `j` modulo
//! `units`. Whoever holds a range of units therefore knows its part without asking, and the parts of any split add
//! up to the whole. Equal to the largest remainder method with ties to the lower position.

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
    /// More parts than a number holds.
    #[error("too many parts to split a load exactly")]
    TooFine,
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

/// Splits a range by weights (shards of a worker), in their order. Ranges of the parts lie one after the other; a
/// part of weight 0 gets no unit.
///
/// # Errors
/// [`SplitError`].
pub fn split(units: Units, weights: &[u32]) -> Result<Vec<Units>, SplitError> {
    let Units { from, count, of } = units;
    if count == 0 || from.checked_add(count).is_none_or(|end| end > of) {
        return Err(SplitError::Range { from, count, of });
    }
    let total = weights.iter().try_fold(0_u32, |sum, &w| sum.checked_add(w)).ok_or(SplitError::TooFine)?;
    if total == 0 {
        return Err(SplitError::Nobody);
    }
    // Finer units where the range does not divide by the weights.
    let (scale, each) = if count % total == 0 { (1, count / total) } else { (total, count) };
    let scaled = |n: u32| n.checked_mul(scale).ok_or(SplitError::TooFine);
    let (mut next, of) = (scaled(from)?, scaled(of)?);
    let mut parts = Vec::with_capacity(weights.len());
    for &weight in weights {
        let count = weight.checked_mul(each).ok_or(SplitError::TooFine)?;
        parts.push(Units { from: next, count, of });
        next = next.checked_add(count).ok_or(SplitError::TooFine)?;
    }
    Ok(parts)
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
            for datacenter in split(whole, &datacenters).unwrap() {
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
