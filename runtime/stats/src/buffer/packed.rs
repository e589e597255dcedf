//! Cells at rest: the same figures as [`CellSet`] in as few bytes as they need, merged without being unpacked.
//!
//! A set of cells is a run of numbers of 7 bits a byte. Rows of a list ascend and are told as the distance from the
//! row before, so that 0 ends the list. Only this module writes what it reads; bytes that end early read as zeros.

use std::cmp::Ordering;

use hyperscale_codec::messages::ErrorKind;
use hyperscale_codec::{Hist, HistExact, VALUE_MAX, bucket_index};

use crate::{Cell, CellSet};

/// Reads numbers from bytes.
#[derive(Debug, Clone)]
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// Mostly a number is below 128.
    #[inline]
    fn next(&mut self) -> u64 {
        match self.0.split_first() {
            Some((&byte, rest)) if byte < 128 => {
                self.0 = rest;
                u64::from(byte)
            }
            Some(_) => self.next_long(),
            None => 0,
        }
    }

    fn next_long(&mut self) -> u64 {
        let (mut number, mut shift) = (0_u64, 0_u32);
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
            shift = shift.saturating_add(7);
            if byte < 128 {
                break;
            }
        }
        number
    }

    /// What [`put_wide`] wrote.
    fn next_wide(&mut self) -> u128 {
        let (low, high) = (self.next(), self.next());
        u128::from(low) | (u128::from(high) << 64)
    }
}

#[inline]
fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 127).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 128);
    }
}

/// Both halves, the lower first.
fn put_wide(out: &mut Vec<u8>, number: u128) {
    put(out, u64::try_from(number & u128::from(u64::MAX)).unwrap_or(0));
    put(out, u64::try_from(number >> 64).unwrap_or(0));
}

/// Writes a list of rows that ascend, with their counts; rows of the same key become one.
struct Rows<'a> {
    out: &'a mut Vec<u8>,
    before: u64,
    open: Option<(u64, u64)>,
}

impl<'a> Rows<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, before: 0, open: None }
    }

    /// `key` is above 0.
    #[inline]
    fn push(&mut self, key: u64, count: u64) {
        match &mut self.open {
            Some((open, sum)) if *open == key => *sum = sum.saturating_add(count),
            _ => {
                self.close();
                self.open = Some((key, count));
            }
        }
    }

    #[inline]
    fn close(&mut self) {
        if let Some((key, count)) = self.open.take() {
            put(self.out, key.saturating_sub(self.before));
            put(self.out, count);
            self.before = key;
        }
    }

    fn end(mut self) {
        self.close();
        put(self.out, 0);
    }
}

/// Reads such a list.
struct RowsOf<'a, 'b> {
    numbers: &'b mut Numbers<'a>,
    key: u64,
}

impl Iterator for RowsOf<'_, '_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let step = self.numbers.next();
        if step == 0 {
            return None;
        }
        self.key = self.key.saturating_add(step);
        Some((self.key, self.numbers.next()))
    }
}

fn rows<'a, 'b>(numbers: &'b mut Numbers<'a>) -> RowsOf<'a, 'b> {
    RowsOf { numbers, key: 0 }
}

/// Two lists as one.
fn merge_rows(a: &mut Numbers<'_>, b: &mut Numbers<'_>, out: &mut Vec<u8>, map: impl Fn(u64) -> u64) {
    let (mut a, mut b, mut merged) = (rows(a), rows(b), Rows::new(out));
    let (mut left, mut right) = (a.next(), b.next());
    while let (Some(one), Some(other)) = (left, right) {
        let count = match one.0.cmp(&other.0) {
            Ordering::Less => one.1,
            Ordering::Greater => other.1,
            Ordering::Equal => one.1.saturating_add(other.1),
        };
        merged.push(map(one.0.min(other.0)), count);
        if one.0 <= other.0 {
            left = a.next();
        }
        if other.0 <= one.0 {
            right = b.next();
        }
    }
    while let Some((key, count)) = left {
        merged.push(map(key), count);
        left = a.next();
    }
    while let Some((key, count)) = right {
        merged.push(map(key), count);
        right = b.next();
    }
    merged.end();
}

/// The bucket that stands for `2^coarser` of them: the last of the group, for a quantile is never below the truth; but
/// none beyond the largest value's.
fn coarse(bucket: u64, coarser: u32, last: u64) -> u64 {
    let group = 1_u64.checked_shl(coarser.min(7)).unwrap_or(1).saturating_sub(1);
    (bucket | group).min(last)
}

fn put_exact(out: &mut Vec<u8>, exact: HistExact) {
    put(out, exact.count);
    if exact.count > 0 {
        put(out, exact.over);
        put(out, exact.min);
        put(out, exact.max);
        put_wide(out, exact.sum);
    }
}

fn exact_of(numbers: &mut Numbers<'_>) -> HistExact {
    let count = numbers.next();
    if count == 0 {
        return HistExact { count, over: 0, sum: 0, min: u64::MAX, max: 0 };
    }
    let (over, min, max) = (numbers.next(), numbers.next(), numbers.next());
    HistExact { count, over, min, max, sum: numbers.next_wide() }
}

fn put_hist(out: &mut Vec<u8>, hist: &Hist) {
    put_exact(out, hist.exact());
    let mut rows = Rows::new(out);
    hist.for_each_filled(|bucket, count| {
        rows.push(u64::try_from(bucket).unwrap_or(0).saturating_add(1), count);
    });
    rows.end();
}

fn merge_hist(a: &mut Numbers<'_>, b: &mut Numbers<'_>, out: &mut Vec<u8>, coarser: u32) {
    let (one, other) = (exact_of(a), exact_of(b));
    let exact = HistExact {
        count: one.count.saturating_add(other.count),
        over: one.over.saturating_add(other.over),
        sum: one.sum.saturating_add(other.sum),
        min: one.min.min(other.min),
        max: one.max.max(other.max),
    };
    put_exact(out, exact);
    let last = u64::try_from(bucket_index(exact.max.min(VALUE_MAX))).unwrap_or(u64::MAX);
    merge_rows(a, b, out, |key| coarse(key.saturating_sub(1), coarser, last).saturating_add(1));
}

fn take_hist(numbers: &mut Numbers<'_>, hist: &mut Hist) {
    let exact = exact_of(numbers);
    hist.merge_filled(
        exact,
        rows(numbers).map(|(key, n)| (usize::try_from(key.saturating_sub(1)).unwrap_or(0), n)),
    );
}

/// Every count of a cell but the level of requests in flight, which says nothing of a time that is over.
macro_rules! counts {
    ($each:ident) => {
        $each!(count, errors, cancelled, dropped, due, started, late, bytes_in, bytes_out)
    };
}

const COUNTS: usize = 9;

fn put_cell(out: &mut Vec<u8>, cell: &Cell) {
    if cell.is_empty() {
        return out.push(0);
    }
    out.push(1);
    macro_rules! put_each {
        ($($field:ident),+) => { $(put(out, cell.$field);)+ };
    }
    counts!(put_each);
    for hist in [&cell.latency, &cell.service, &cell.lateness, &cell.connect] {
        put_hist(out, hist);
    }
    let mut statuses = Rows::new(out);
    cell.statuses().for_each(|(code, count)| statuses.push(code.into(), count));
    statuses.end();
    let mut kinds = Rows::new(out);
    cell.error_kinds().for_each(|(kind, count)| kinds.push(kind.to_wire().into(), count));
    kinds.end();
}

/// One cell of two; an empty one is a zero, and stands for a cell of zeros.
fn merge_cell(a: &mut Numbers<'_>, b: &mut Numbers<'_>, out: &mut Vec<u8>, coarser: u32) {
    const EMPTY: [u8; COUNTS + 4 * 2 + 2] = [0; COUNTS + 4 * 2 + 2];
    let (one, other) = (a.next(), b.next());
    let (mut none, mut none_either) = (Numbers(&EMPTY), Numbers(&EMPTY));
    let (a, b) = match (one, other) {
        (0, 0) => return out.push(0),
        (0, _) => (&mut none, b),
        (_, 0) => (a, &mut none_either),
        _ => (a, b),
    };
    out.push(1);
    for _ in 0..COUNTS {
        put(out, a.next().saturating_add(b.next()));
    }
    for _ in 0..4 {
        merge_hist(a, b, out, coarser);
    }
    merge_rows(a, b, out, |code| code);
    merge_rows(a, b, out, |kind| kind);
}

fn take_cell(numbers: &mut Numbers<'_>, cell: &mut Cell) {
    if numbers.next() == 0 {
        return;
    }
    macro_rules! take_each {
        ($($field:ident),+) => { $(cell.$field = cell.$field.saturating_add(numbers.next());)+ };
    }
    counts!(take_each);
    for hist in [&mut cell.latency, &mut cell.service, &mut cell.lateness, &mut cell.connect] {
        take_hist(numbers, hist);
    }
    rows(numbers).for_each(|(code, count)| cell.add_status(u16::try_from(code).unwrap_or(0), count));
    rows(numbers).for_each(|(kind, count)| {
        let kind = ErrorKind::from_wire(u8::try_from(kind).unwrap_or(0));
        cell.add_error_kind(kind.to_wire(), count);
    });
}

/// Passes over a cell.
fn skip_cell(numbers: &mut Numbers<'_>) {
    if numbers.next() == 0 {
        return;
    }
    for _ in 0..COUNTS {
        numbers.next();
    }
    for _ in 0..4 {
        exact_of(numbers);
        rows(numbers).for_each(drop);
    }
    rows(numbers).for_each(drop);
    rows(numbers).for_each(drop);
}

/// Replaces what is in `out` by these cells.
pub(super) fn pack(cells: &[CellSet], out: &mut Vec<u8>) {
    out.clear();
    append(cells, out);
}

/// Adds these cells to those in `out`, which are of the workflows before.
pub(super) fn append(cells: &[CellSet], out: &mut Vec<u8>) {
    cells.iter().flat_map(CellSet::cells).for_each(|(_, cell)| put_cell(out, cell));
}

/// Replaces what is in `out` by the sum of two runs of `cells` cells each, with histograms of `2^-coarser` of the
/// resolution.
pub(super) fn merge(cells: usize, (a, b): (&[u8], &[u8]), coarser: u32, out: &mut Vec<u8>) {
    out.clear();
    let (mut a, mut b) = (Numbers(a), Numbers(b));
    (0..cells).for_each(|_| merge_cell(&mut a, &mut b, out, coarser));
}

/// Adds packed cells to `cells`.
pub(super) fn unpack(packed: &[u8], cells: &mut [CellSet]) {
    let mut numbers = Numbers(packed);
    cells.iter_mut().flat_map(CellSet::cells_mut).for_each(|cell| take_cell(&mut numbers, cell));
}

/// Adds the packed cells of one workflow of several, which have so many steps, to `cells`.
pub(super) fn unpack_one(packed: &[u8], steps: &[usize], workflow: usize, cells: &mut CellSet) {
    let mut numbers = Numbers(packed);
    let before: usize = steps.iter().take(workflow).map(|steps| steps.saturating_add(1)).sum();
    (0..before).for_each(|_| skip_cell(&mut numbers));
    cells.cells_mut().for_each(|cell| take_cell(&mut numbers, cell));
}

/// Reads packed cells a workflow at a time, as sums.
#[derive(Debug)]
pub(super) struct Sums<'a>(Numbers<'a>);

impl<'a> Sums<'a> {
    pub(super) const fn of(packed: &'a [u8]) -> Self {
        Self(Numbers(packed))
    }

    /// Adds the next workflow, which has so many steps: its steps to one cell, its iterations to another.
    pub(super) fn add_next(&mut self, steps: usize, over_steps: &mut Cell, iterations: &mut Cell) {
        (0..steps).for_each(|_| take_cell(&mut self.0, over_steps));
        take_cell(&mut self.0, iterations);
    }
}
