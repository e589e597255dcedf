//! What was recorded for one step, or for a workflow's iterations.
//!
//! Counts are exact; times go into log-linear histograms of at most 0.78 % relative width. Merging adds counts and
//! takes minima and maxima, so it is associative and commutative: any order and grouping gives the same figures.

use hyperscale_codec::messages::ErrorKind;
use hyperscale_codec::{Hist, StepId};

/// Status codes 100 to 999, one count each.
const STATUS_CODES: usize = 900;
const STATUS_FIRST: u16 = 100;
/// Error kinds by number; 0 is unused.
const ERROR_KINDS: usize = 32;

/// Counts and times of one step since it was last cleared.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Responses and errors alike; in a workflow's row iterations completed.
    pub count: u64,
    /// Part of `count` that failed.
    pub errors: u64,
    /// Cut off in flight at the end, not in `count`; in a workflow's row iterations interrupted.
    pub cancelled: u64,
    /// Iterations due and never started; only in a workflow's row.
    pub dropped: u64,
    /// Iterations due; only in a workflow's row.
    pub due: u64,
    /// Iterations started; only in a workflow's row.
    pub started: u64,
    /// Requests sent more than 1 ms after they were due.
    pub late: u64,
    /// Bytes received, heads included.
    pub bytes_in: u64,
    /// Bytes sent, heads included.
    pub bytes_out: u64,
    /// Requests sent and not yet answered at the end of the window. A level, not a count: cells of different shards
    /// add up, a newer value of the same shard replaces the older.
    pub in_flight: u64,
    /// From due to the end of the answer; in a workflow's row the duration of whole iterations.
    pub latency: Hist,
    /// From the first byte sent to the end of the answer.
    pub service: Hist,
    /// From due to the first byte sent.
    pub lateness: Hist,
    /// Each TCP connect that succeeded.
    pub connect: Hist,
    statuses: Box<[u64]>,
    /// Which of them are not 0, a bit each: there are few, and many who look for them.
    seen: [u64; STATUS_CODES.div_ceil(64)],
    error_kinds: [u64; ERROR_KINDS],
}

/// The bits of a word that are 1, from the lowest.
struct Bits(u64);

impl Iterator for Bits {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let lowest = u16::try_from(self.0.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
        self.0 &= self.0 - 1;
        Some(lowest)
    }
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            count: 0,
            errors: 0,
            cancelled: 0,
            dropped: 0,
            due: 0,
            started: 0,
            late: 0,
            bytes_in: 0,
            bytes_out: 0,
            in_flight: 0,
            latency: Hist::new(),
            service: Hist::new(),
            lateness: Hist::new(),
            connect: Hist::new(),
            statuses: vec![0; STATUS_CODES].into_boxed_slice(),
            seen: [0; STATUS_CODES.div_ceil(64)],
            error_kinds: [0; ERROR_KINDS],
        }
    }
}

impl Cell {
    /// Counts an answer by its status code, 100 to 999; others are no status and are not counted.
    pub fn record_status(&mut self, code: u16) {
        self.add_status(code, 1);
    }

    /// Counts an error by its kind, and in `errors`.
    pub fn record_error(&mut self, kind: ErrorKind) {
        self.errors += 1;
        self.add_error_kind(kind.to_wire(), 1);
    }

    #[inline]
    pub(crate) fn add_status(&mut self, code: u16, n: u64) {
        if n > 0
            && let Some(place) = code.checked_sub(STATUS_FIRST).map(usize::from)
            && let (Some(count), Some(seen)) = (self.statuses.get_mut(place), self.seen.get_mut(place / 64))
        {
            *count = count.saturating_add(n);
            *seen |= 1 << (place % 64);
        }
    }

    pub(crate) fn add_error_kind(&mut self, number: u8, n: u64) {
        // A kind of a newer minor counts as the careful one, so that the sum over kinds stays `errors`.
        let known = ErrorKind::from_wire(number).to_wire();
        if let Some(count) = self.error_kinds.get_mut(usize::from(known)) {
            *count = count.saturating_add(n);
        }
    }

    /// Status codes that were seen, ascending, with their counts.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let words = (STATUS_FIRST..).step_by(64).zip(self.seen);
        let codes = words.flat_map(|(first, bits)| Bits(bits).map(move |bit| first.saturating_add(bit)));
        codes.map(|code| (code, self.status(code)))
    }

    fn status(&self, code: u16) -> u64 {
        self.statuses.get(usize::from(code.saturating_sub(STATUS_FIRST))).copied().unwrap_or(0)
    }

    /// Error kinds that were seen, in the order of their numbers, with their counts.
    pub fn error_kinds(&self) -> impl Iterator<Item = (ErrorKind, u64)> + '_ {
        ErrorKind::ALL
            .iter()
            .filter_map(|&kind| self.error_kinds.get(usize::from(kind.to_wire())).map(|&count| (kind, count)))
            .filter(|&(_, count)| count > 0)
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
            && self.cancelled == 0
            && self.dropped == 0
            && self.due == 0
            && self.started == 0
            && self.in_flight == 0
            && self.bytes_in == 0
            && self.bytes_out == 0
            && self.connect.is_empty()
    }

    /// Adds what another cell recorded. A count stays at its largest where a peer's figures would go beyond.
    pub fn merge(&mut self, other: &Self) {
        macro_rules! add {
            ($($field:ident),+) => { $(self.$field = self.$field.saturating_add(other.$field);)+ };
        }
        add!(count, errors, cancelled, dropped, due, started, late, bytes_in, bytes_out, in_flight);
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.lateness.merge(&other.lateness);
        self.connect.merge(&other.connect);
        other.statuses().for_each(|(code, count)| self.add_status(code, count));
        for (mine, theirs) in self.error_kinds.iter_mut().zip(&other.error_kinds) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Adds what `newer` has beyond `older`, an earlier state of the same cell. The level of requests in flight is not
    /// a count, and not added.
    pub fn merge_difference(&mut self, newer: &Self, older: &Self) {
        macro_rules! add {
            ($($field:ident),+) => {
                $(self.$field = self.$field.saturating_add(newer.$field.saturating_sub(older.$field));)+
            };
        }
        add!(count, errors, cancelled, dropped, due, started, late, bytes_in, bytes_out);
        self.latency.merge_difference(&newer.latency, &older.latency);
        self.service.merge_difference(&newer.service, &older.service);
        self.lateness.merge_difference(&newer.lateness, &older.lateness);
        self.connect.merge_difference(&newer.connect, &older.connect);
        let counts = |sum: &mut [u64], newer: &[u64], older: &[u64]| {
            for ((sum, newer), older) in sum.iter_mut().zip(newer).zip(older) {
                *sum = sum.saturating_add(newer.saturating_sub(*older));
            }
        };
        for (code, count) in newer.statuses() {
            self.add_status(code, count.saturating_sub(older.status(code)));
        }
        counts(&mut self.error_kinds, &newer.error_kinds, &older.error_kinds);
    }

    /// Takes a later window of the same shard: adds it, and replaces the level of requests in flight.
    pub fn advance(&mut self, delta: &Self) {
        self.in_flight = 0;
        self.merge(delta);
    }

    /// Empties the cell, keeping its memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.errors = 0;
        self.cancelled = 0;
        self.dropped = 0;
        self.due = 0;
        self.started = 0;
        self.late = 0;
        self.bytes_in = 0;
        self.bytes_out = 0;
        self.in_flight = 0;
        self.latency.clear();
        self.service.clear();
        self.lateness.clear();
        self.connect.clear();
        for (first, seen) in (0..).step_by(64).zip(&mut self.seen) {
            for bit in Bits(std::mem::take(seen)) {
                if let Some(count) = self.statuses.get_mut(first + usize::from(bit)) {
                    *count = 0;
                }
            }
        }
        self.error_kinds.fill(0);
    }
}

/// The cells of one workflow: one a step, one for its iterations.
#[derive(Debug, Clone, PartialEq)]
pub struct CellSet {
    steps: Vec<Cell>,
    workflow: Cell,
}

impl CellSet {
    /// Empty cells for a workflow of `steps` steps. About 160 KiB a cell.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        Self { steps: vec![Cell::default(); steps], workflow: Cell::default() }
    }

    /// The steps' cells in order.
    #[must_use]
    pub fn steps(&self) -> &[Cell] {
        &self.steps
    }

    /// One step's cell.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<&Cell> {
        self.steps.get(index)
    }

    /// One step's cell. `index` is below the number of steps given to [`CellSet::new`].
    ///
    /// # Panics
    /// When it is not: our own plan has no such step.
    #[allow(
        clippy::indexing_slicing,
        reason = "a step beyond the plan is our bug, and recording elsewhere would lie"
    )]
    pub fn step_mut(&mut self, index: usize) -> &mut Cell {
        &mut self.steps[index]
    }

    /// The workflow's iterations.
    #[must_use]
    pub fn workflow(&self) -> &Cell {
        &self.workflow
    }

    /// The workflow's iterations.
    pub fn workflow_mut(&mut self) -> &mut Cell {
        &mut self.workflow
    }

    /// The cell of a step as the wire names it.
    pub fn cell_mut(&mut self, step: StepId) -> Option<&mut Cell> {
        if step == StepId::WORKFLOW {
            return Some(&mut self.workflow);
        }
        usize::try_from(step.0).ok().and_then(|index| self.steps.get_mut(index))
    }

    /// All cells as the wire names them.
    pub fn cells(&self) -> impl Iterator<Item = (StepId, &Cell)> {
        (0..).map(StepId).zip(&self.steps).chain(std::iter::once((StepId::WORKFLOW, &self.workflow)))
    }

    /// The same in the same order, to be filled.
    pub(crate) fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.steps.iter_mut().chain(std::iter::once(&mut self.workflow))
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells().all(|(_, cell)| cell.is_empty())
    }

    /// Adds another set of the same workflow, cell by cell.
    pub fn merge(&mut self, other: &Self) {
        self.zip(other, Cell::merge);
    }

    /// Takes a later window of the same shard ([`Cell::advance`]).
    pub fn advance(&mut self, delta: &Self) {
        self.zip(delta, Cell::advance);
    }

    /// Adds what `newer` has beyond `older`, cell by cell.
    pub fn merge_difference(&mut self, newer: &Self, older: &Self) {
        for ((mine, newer), older) in self.cells_mut().zip(newer.cells()).zip(older.cells()) {
            mine.merge_difference(newer.1, older.1);
        }
    }

    fn zip(&mut self, other: &Self, each: impl Fn(&mut Cell, &Cell)) {
        debug_assert_eq!(self.steps.len(), other.steps.len(), "cell sets of different workflows were merged");
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            each(mine, theirs);
        }
        each(&mut self.workflow, &other.workflow);
    }

    /// Empties all cells, keeping their memory.
    pub fn clear(&mut self) {
        self.steps.iter_mut().for_each(Cell::clear);
        self.workflow.clear();
    }

    /// Sum over the steps (not the workflow's row).
    #[must_use]
    pub fn sum_of_steps(&self) -> Cell {
        let mut sum = Cell::default();
        self.steps.iter().for_each(|cell| sum.merge(cell));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_outside_100_to_999_is_not_counted() {
        let mut cell = Cell::default();
        for code in [0, 99, 100, 200, 999, 1000, u16::MAX] {
            cell.record_status(code);
        }
        assert_eq!(cell.statuses().collect::<Vec<_>>(), [(100, 1), (200, 1), (999, 1)]);
    }

    #[test]
    fn the_sum_over_kinds_stays_the_count_of_errors() {
        let mut cell = Cell::default();
        cell.record_error(ErrorKind::Timeout);
        cell.record_error(ErrorKind::Http5xx);
        cell.record_error(ErrorKind::Timeout);
        assert_eq!(cell.errors, cell.error_kinds().map(|(_, n)| n).sum::<u64>());
        assert_eq!(cell.error_kinds().next(), Some((ErrorKind::Timeout, 2)));
    }

    #[test]
    fn a_count_stays_at_its_largest_where_a_sum_would_go_beyond() {
        let mut most =
            Cell { count: u64::MAX, bytes_in: u64::MAX - 1, in_flight: u64::MAX, ..Cell::default() };
        most.add_status(200, u64::MAX);
        most.add_error_kind(ErrorKind::Timeout.to_wire(), u64::MAX);
        most.connect = largest();
        let mut sum = most.clone();
        sum.merge(&most);
        sum.record_status(200);
        assert_eq!((sum.count, sum.bytes_in, sum.in_flight), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!(sum.statuses().collect::<Vec<_>>(), [(200, u64::MAX)]);
        assert_eq!(sum.error_kinds().collect::<Vec<_>>(), [(ErrorKind::Timeout, u64::MAX)]);
        assert_eq!(sum.connect.count(), u64::MAX);
    }

    /// As full as the wire allows.
    fn largest() -> Hist {
        let mut sparse = Hist::new().to_sparse();
        (sparse.count, sparse.min, sparse.max, sparse.sum) = (u64::MAX, 1, 1, u128::from(u64::MAX));
        (sparse.index, sparse.lo, sparse.hi) = (vec![1], vec![u32::MAX], vec![u32::MAX]);
        let mut hist = Hist::new();
        hist.merge_sparse(&sparse).unwrap();
        hist
    }

    #[test]
    fn a_later_window_replaces_what_is_in_flight_and_adds_the_rest() {
        let mut whole = Cell::default();
        let mut window = Cell { count: 3, in_flight: 5, ..Cell::default() };
        whole.advance(&window);
        window.in_flight = 2;
        whole.advance(&window);
        assert_eq!((whole.count, whole.in_flight), (6, 2));
    }
}
