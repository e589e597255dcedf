//! The histogram on the wire, and its way back into a flat one.
//!
//! Merging runs in two passes over the columns, which may lie in a receive buffer: check everything, then add. A
//! refused histogram changes nothing; an accepted one cannot overflow anything.

use rkyv::rend::unaligned::{u16_ule, u32_ule};
use rkyv::{Archive, Deserialize, Serialize};

use super::{BUCKETS, Hist, HistExact, VALUE_MAX, bucket_index};
use crate::HistError;

/// The form that travels.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct SparseHist {
    /// Values recorded.
    pub count: u64,
    /// Values above [`VALUE_MAX`]; part of `count`, and in the last bucket.
    pub over: u64,
    /// Smallest value; `u64::MAX` when empty.
    pub min: u64,
    /// Largest value; 0 when empty.
    pub max: u64,
    /// Sum of all values.
    pub sum: u128,
    /// Buckets that are not empty, ascending.
    pub index: Vec<u16>,
    /// Low words of their counts.
    pub lo: Vec<u32>,
    /// High words; empty unless a count reaches 2^32.
    pub hi: Vec<u32>,
}

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "counts of events in one process do not reach 2^64; bucket_index is below BUCKETS; what a peer sends is \
              checked before it is added"
)]
impl Hist {
    /// The form that travels.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "words of a count; an index is below 2^13")]
    pub fn to_sparse(&self) -> SparseHist {
        let full = || self.span().filter(|&i| self.counts[i] > 0);
        let buckets = full().count();
        let wide = full().any(|i| self.counts[i] > u64::from(u32::MAX));
        let mut sparse = SparseHist {
            count: self.count,
            over: self.over,
            min: self.min,
            max: self.max,
            sum: self.sum,
            index: Vec::with_capacity(buckets),
            lo: Vec::with_capacity(buckets),
            hi: Vec::with_capacity(if wide { buckets } else { 0 }),
        };
        for i in full() {
            sparse.index.push(i as u16);
            sparse.lo.push(self.counts[i] as u32);
            if wide {
                sparse.hi.push((self.counts[i] >> 32) as u32);
            }
        }
        sparse
    }

    /// Bytes of the sparse form's columns: 6 a bucket, or 10 where a count needs a high word.
    #[must_use]
    pub fn sparse_bytes(&self) -> usize {
        let (mut buckets, mut wide) = (0, false);
        for i in self.span() {
            buckets += usize::from(self.counts[i] > 0);
            wide |= self.counts[i] > u64::from(u32::MAX);
        }
        buckets * if wide { 10 } else { 6 }
    }

    /// Adds a histogram straight from a receive buffer, after checking all of it.
    ///
    /// # Errors
    /// [`HistError`]; then nothing was added.
    pub fn merge_archived(&mut self, sparse: &ArchivedSparseHist) -> Result<(), HistError> {
        self.merge_checked(sparse.checked()?)
    }

    /// Adds a histogram that was checked before.
    ///
    /// # Errors
    /// [`HistError::Overflow`]; then nothing was added.
    pub fn merge_checked(&mut self, sparse: CheckedHist<'_>) -> Result<(), HistError> {
        self.add_columns(sparse.0)
    }

    /// Adds a histogram that was received and kept.
    ///
    /// # Errors
    /// [`HistError`]; then nothing was added.
    pub fn merge_sparse(&mut self, sparse: &SparseHist) -> Result<(), HistError> {
        let columns = Columns {
            exact: HistExact {
                count: sparse.count,
                over: sparse.over,
                sum: sparse.sum,
                min: sparse.min,
                max: sparse.max,
            },
            index: &sparse.index,
            lo: &sparse.lo,
            hi: &sparse.hi,
        };
        self.add_columns(columns.checked()?)
    }

    /// Adds columns that were checked.
    #[inline]
    fn add_columns<I: Copy + Into<u16>, W: Copy + Into<u32>>(
        &mut self,
        columns: Columns<'_, I, W>,
    ) -> Result<(), HistError> {
        let HistExact { count, over, sum, min, max } = columns.exact;
        if count == 0 {
            return Ok(());
        }
        let (Some(count), Some(sum)) = (self.count.checked_add(count), self.sum.checked_add(sum)) else {
            return Err(HistError::Overflow);
        };
        // No bucket holds more than the count, so none overflows; `min` is for the compiler, which drops the bounds.
        if columns.hi.is_empty() {
            for (index, lo) in columns.index.iter().zip(columns.lo) {
                let index: u16 = (*index).into();
                self.counts[usize::from(index).min(BUCKETS - 1)] += u64::from((*lo).into());
            }
        } else {
            columns.filled().for_each(|(index, count)| self.counts[index.min(BUCKETS - 1)] += count);
        }
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        (self.count, self.sum, self.over) = (count, sum, self.over + over);
        Ok(())
    }
}

/// A histogram from a peer of which all holds that must, still where it was received.
#[derive(Debug, Clone, Copy)]
pub struct CheckedHist<'a>(Columns<'a, u16_ule, u32_ule>);

impl<'a> CheckedHist<'a> {
    /// The exact figures beside the buckets.
    #[must_use]
    pub const fn exact(&self) -> HistExact {
        self.0.exact
    }

    /// Buckets that are not empty.
    #[must_use]
    pub const fn buckets(&self) -> usize {
        self.0.index.len()
    }

    /// Which buckets are not empty, ascending and below [`BUCKETS`].
    pub fn index(&self) -> impl ExactSizeIterator<Item = u16> + use<'a> {
        self.0.index.iter().map(|index| index.to_native())
    }

    /// Low words of their counts.
    pub fn low(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.0.lo.iter().map(|low| low.to_native())
    }

    /// High words, or none if all are 0.
    pub fn high(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.0.hi.iter().map(|high| high.to_native())
    }

    /// Buckets that are not empty, ascending and below [`BUCKETS`], with their counts.
    pub fn filled(&self) -> impl Iterator<Item = (usize, u64)> + use<'a> {
        self.0.filled()
    }
}

impl ArchivedSparseHist {
    /// Checks all of it, without a place to add it to.
    ///
    /// # Errors
    /// [`HistError`].
    pub fn checked(&self) -> Result<CheckedHist<'_>, HistError> {
        Columns::of_archived(self).checked().map(CheckedHist)
    }
}

/// A sparse histogram's columns, wherever they lie.
#[derive(Debug, Clone, Copy)]
struct Columns<'a, I, W> {
    exact: HistExact,
    index: &'a [I],
    lo: &'a [W],
    hi: &'a [W],
}

impl<'a> Columns<'a, u16_ule, u32_ule> {
    #[inline]
    fn of_archived(sparse: &'a ArchivedSparseHist) -> Self {
        Self {
            exact: HistExact {
                count: sparse.count.to_native(),
                over: sparse.over.to_native(),
                sum: sparse.sum.to_native(),
                min: sparse.min.to_native(),
                max: sparse.max.to_native(),
            },
            index: sparse.index.as_slice(),
            lo: sparse.lo.as_slice(),
            hi: sparse.hi.as_slice(),
        }
    }
}

impl<'a, I: Copy + Into<u16>, W: Copy + Into<u32>> Columns<'a, I, W> {
    #[inline]
    fn filled(&self) -> impl Iterator<Item = (usize, u64)> + use<'a, I, W> {
        let whole = *self;
        self.index
            .iter()
            .enumerate()
            .map(move |(entry, index)| (usize::from((*index).into()), whole.bucket(entry)))
    }

    /// The count of an entry.
    #[inline]
    fn bucket(&self, entry: usize) -> u64 {
        let word = |words: &[W]| words.get(entry).map_or(0, |word| u64::from((*word).into()));
        word(self.lo) | (word(self.hi) << 32)
    }

    /// Everything that must hold before a single count is added. The passes over the columns have no branches, so
    /// that they run many entries at once; which entry is wrong is looked for only when one is.
    #[inline]
    #[allow(clippy::arithmetic_side_effects, reason = "a product of two factors below 2^64 is below 2^128")]
    fn checked(self) -> Result<Self, HistError> {
        let (index, lo, hi) = (self.index.len(), self.lo.len(), self.hi.len());
        if lo != index || (hi != 0 && hi != index) {
            return Err(HistError::Columns { index, lo, hi });
        }
        let HistExact { count, over, sum, min, max } = self.exact;
        let (Some(first), Some(last)) = (self.index.first(), self.index.last()) else {
            return match (count, sum, over) {
                // Its extremes are whatever the sender wrote.
                (0, 0, 0) => Ok(Self { exact: HistExact { min: u64::MAX, max: 0, ..self.exact }, ..self }),
                (0, _, _) => Err(HistError::Extremes),
                _ => Err(HistError::Count { buckets: 0, count }),
            };
        };
        let (first, last) = (usize::from((*first).into()), usize::from((*last).into()));
        let (any_empty, buckets) = if hi == 0 { narrow(self.lo) } else { wide(self.lo, self.hi) };
        if !ascend(self.index) || last >= BUCKETS || any_empty {
            return Err(self.wrong_entry());
        }
        let buckets = u64::try_from(buckets).map_err(|_too_large| HistError::Overflow)?;
        if buckets != count {
            return Err(HistError::Count { buckets, count });
        }
        let most = self.bucket(index.saturating_sub(1));
        let ends_fit = last == bucket_index(max.min(VALUE_MAX))
            && first == bucket_index(min.min(VALUE_MAX))
            && min <= max;
        let wide = u128::from(count);
        let sum_fits = wide * u128::from(min) <= sum && sum <= wide * u128::from(max);
        let over_fits = over <= most && (over > 0) == (max > VALUE_MAX);
        if ends_fit && sum_fits && over_fits { Ok(self) } else { Err(HistError::Extremes) }
    }

    /// What is wrong with the first entry that is.
    #[cold]
    fn wrong_entry(&self) -> HistError {
        let mut least = 0;
        for (entry, (index, count)) in self.filled().enumerate() {
            if index < least || index >= BUCKETS {
                return HistError::Index(entry);
            }
            if count == 0 {
                return HistError::Empty(entry);
            }
            least = index.saturating_add(1);
        }
        HistError::Overflow
    }
}

/// Whether each is above the one before.
#[inline]
fn ascend<I: Copy + Into<u16>>(index: &[I]) -> bool {
    let after = index.get(1..).unwrap_or_default();
    !index.iter().zip(after).fold(false, |bad, (one, next)| bad | ((*one).into() >= (*next).into()))
}

/// Whether any is zero, and their sum. More than 2^16 entries do not ascend: those have a sum of no meaning.
#[inline]
fn narrow<W: Copy + Into<u32>>(lo: &[W]) -> (bool, u128) {
    let (empty, sum) = lo.iter().fold((false, 0_u64), |(empty, sum), lo| {
        let lo: u32 = (*lo).into();
        (empty | (lo == 0), sum.wrapping_add(lo.into()))
    });
    (empty, sum.into())
}

/// The same of counts of two words.
#[inline]
fn wide<W: Copy + Into<u32>>(lo: &[W], hi: &[W]) -> (bool, u128) {
    let (empty, low, high) = lo.iter().zip(hi).fold((false, 0_u64, 0_u64), |(empty, low, high), (lo, hi)| {
        let (lo, hi): (u32, u32) = ((*lo).into(), (*hi).into());
        (empty | (lo | hi == 0), low.wrapping_add(lo.into()), high.wrapping_add(hi.into()))
    });
    (empty, u128::from(low).wrapping_add(u128::from(high) << 32))
}
