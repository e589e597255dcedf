//! Cells at rest in the form in which they came: what is filled of them, in columns.
//!
//! A flat cell has room for all buckets of four histograms, 150 KiB; what a worker shard tells of a step fills a few of
//! them. A receiver that holds thousands of sources keeps them so, copied from the receive buffer once they are checked,
//! and adds them up when somebody asks for the sum. In: rows of checked messages. Out: sums. Bounded by what one sequence
//! of a source may have, times the runs that its holder appends.

use hyperscale_codec::messages::{ArchivedStatsColumns, ErrorKind};
use hyperscale_codec::{ArchivedSparseHist, Hist, HistExact, StepId};

use crate::columns::{MergeError, RowWalk};
use crate::{Cell, CellSet};

/// One histogram: its exact figures, and how many of the next buckets are its own.
#[derive(Debug, Clone, Copy)]
struct HistRow {
    exact: HistExact,
    buckets: usize,
    /// Its counts have high words.
    wide: bool,
}

/// Every count of a cell but the level of requests in flight.
macro_rules! counts {
    ($each:ident) => {
        $each!(count, errors, cancelled, dropped, due, started, late, bytes_in, bytes_out)
    };
}

/// One cell; its buckets, statuses and error kinds are the next ones of their columns.
#[derive(Debug, Clone, Copy)]
struct CellRow {
    step: StepId,
    count: u64,
    errors: u64,
    cancelled: u64,
    dropped: u64,
    due: u64,
    started: u64,
    late: u64,
    bytes_in: u64,
    bytes_out: u64,
    in_flight: u64,
    hists: [HistRow; 4],
    statuses: usize,
    error_kinds: usize,
}

/// Cells of one source, as they came. Cells of one step add up; the level of requests in flight is the newest run's.
#[derive(Debug, Clone, Default)]
pub struct SparseCells {
    cells: Vec<CellRow>,
    index: Vec<u16>,
    low: Vec<u32>,
    high: Vec<u32>,
    statuses: Vec<(u16, u64)>,
    error_kinds: Vec<(u8, u64)>,
    /// The first cell of what came last.
    newest: usize,
}

impl SparseCells {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.index.clear();
        self.low.clear();
        self.high.clear();
        self.statuses.clear();
        self.error_kinds.clear();
        self.newest = 0;
    }

    /// Adds one row of a checked message.
    ///
    /// # Errors
    /// [`MergeError`], and then part of the row may have been added; callers clear it.
    pub(crate) fn push(
        &mut self,
        columns: &ArchivedStatsColumns,
        walk: &mut RowWalk<'_>,
        row: usize,
        step: StepId,
    ) -> Result<(), MergeError> {
        let short = || MergeError::ShortColumn(row);
        macro_rules! told {
            ($field:ident) => {
                columns.$field.get(row).ok_or_else(short)?.to_native()
            };
        }
        macro_rules! hist {
            ($field:ident) => {
                self.push_hist(columns.$field.get(row).ok_or_else(short)?).map_err(|source| {
                    MergeError::Histogram {
                        workflow: columns.cell_workflow.get(row).map_or(0, |w| w.to_native()),
                        step: step.0,
                        column: stringify!($field),
                        source,
                    }
                })?
            };
        }
        let hists = [hist!(latency), hist!(service), hist!(lateness), hist!(connect)];
        let (statuses, error_kinds) = (self.statuses.len(), self.error_kinds.len());
        for at in walk.statuses_of(row) {
            let code = columns.status_code.get(at).ok_or_else(short)?;
            let count = columns.status_count.get(at).ok_or_else(short)?;
            self.statuses.push((code.to_native(), count.to_native()));
        }
        for at in walk.errors_of(row) {
            let kind = columns.error_kind.get(at).ok_or_else(short)?;
            let count = columns.error_count.get(at).ok_or_else(short)?;
            self.error_kinds.push((*kind, count.to_native()));
        }
        self.cells.push(CellRow {
            step,
            count: told!(count),
            errors: told!(errors),
            cancelled: told!(cancelled),
            dropped: told!(dropped),
            due: told!(due),
            started: told!(started),
            late: told!(late),
            bytes_in: told!(bytes_in),
            bytes_out: told!(bytes_out),
            in_flight: told!(in_flight),
            hists,
            statuses: self.statuses.len().saturating_sub(statuses),
            error_kinds: self.error_kinds.len().saturating_sub(error_kinds),
        });
        Ok(())
    }

    fn push_hist(&mut self, told: &ArchivedSparseHist) -> Result<HistRow, hyperscale_codec::HistError> {
        let checked = told.checked()?;
        self.index.extend(checked.index());
        self.low.extend(checked.low());
        self.high.extend(checked.high());
        Ok(HistRow { exact: checked.exact(), buckets: checked.buckets(), wide: checked.high().len() > 0 })
    }

    /// Replaces what is here by cells in memory.
    pub(crate) fn assign(&mut self, cells: &CellSet) {
        self.clear();
        for (step, cell) in cells.cells().filter(|(_, cell)| !cell.is_empty()) {
            let hists = [&cell.latency, &cell.service, &cell.lateness, &cell.connect]
                .map(|hist| self.assign_hist(hist));
            let (statuses, error_kinds) = (self.statuses.len(), self.error_kinds.len());
            self.statuses.extend(cell.statuses());
            self.error_kinds.extend(cell.error_kinds().map(|(kind, count)| (kind.to_wire(), count)));
            let Cell { count, errors, cancelled, dropped, due, started, late, .. } = *cell;
            let Cell { bytes_in, bytes_out, in_flight, .. } = *cell;
            self.cells.push(CellRow {
                step,
                count,
                errors,
                cancelled,
                dropped,
                due,
                started,
                late,
                bytes_in,
                bytes_out,
                in_flight,
                hists,
                statuses: self.statuses.len().saturating_sub(statuses),
                error_kinds: self.error_kinds.len().saturating_sub(error_kinds),
            });
        }
    }

    fn assign_hist(&mut self, hist: &Hist) -> HistRow {
        let before = self.index.len();
        let wide = hist.filled().any(|(_, count)| count > u64::from(u32::MAX));
        for (bucket, count) in hist.filled() {
            self.index.push(u16::try_from(bucket).unwrap_or(u16::MAX));
            self.low.push(u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0));
            if wide {
                self.high.push(u32::try_from(count >> 32).unwrap_or(u32::MAX));
            }
        }
        HistRow { exact: hist.exact(), buckets: self.index.len().saturating_sub(before), wide }
    }

    /// Appends a later run of the same source.
    pub(crate) fn append(&mut self, later: &Self) {
        self.newest = self.cells.len();
        self.cells.extend_from_slice(&later.cells);
        self.index.extend_from_slice(&later.index);
        self.low.extend_from_slice(&later.low);
        self.high.extend_from_slice(&later.high);
        self.statuses.extend_from_slice(&later.statuses);
        self.error_kinds.extend_from_slice(&later.error_kinds);
    }

    /// Adds everything to `sum`; rows that it does not have are left out.
    pub fn add_to(&self, sum: &mut CellSet) {
        let (mut index, mut low, mut high) =
            (self.index.as_slice(), self.low.as_slice(), self.high.as_slice());
        let (mut statuses, mut error_kinds) = (self.statuses.as_slice(), self.error_kinds.as_slice());
        for (nth, row) in self.cells.iter().enumerate() {
            let hists = row.hists.map(|hist| {
                let high = if hist.wide { cut(&mut high, hist.buckets) } else { &[] };
                (hist.exact, cut(&mut index, hist.buckets), cut(&mut low, hist.buckets), high)
            });
            let statuses = cut(&mut statuses, row.statuses);
            let error_kinds = cut(&mut error_kinds, row.error_kinds);
            let Some(cell) = sum.cell_mut(row.step) else { continue };
            macro_rules! add {
                ($($field:ident),+) => { $(cell.$field = cell.$field.saturating_add(row.$field);)+ };
            }
            counts!(add);
            if nth >= self.newest {
                cell.in_flight = cell.in_flight.saturating_add(row.in_flight);
            }
            let into = [&mut cell.latency, &mut cell.service, &mut cell.lateness, &mut cell.connect];
            for (hist, (exact, index, low, high)) in into.into_iter().zip(hists) {
                let high = high.iter().copied().chain(std::iter::repeat(0));
                let counts =
                    low.iter().zip(high).map(|(low, high)| u64::from(*low) | (u64::from(high) << 32));
                hist.merge_filled(exact, index.iter().map(|at| usize::from(*at)).zip(counts));
            }
            statuses.iter().for_each(|(code, count)| cell.add_status(*code, *count));
            for (kind, count) in error_kinds {
                cell.add_error_kind(ErrorKind::from_wire(*kind).to_wire(), *count);
            }
        }
    }

    /// Requests of all steps.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let steps = self.cells.iter().filter(|row| row.step != StepId::WORKFLOW);
        steps.map(|row| row.count).fold(0, u64::saturating_add)
    }

    /// Steps that a set must have to take all of this.
    #[must_use]
    pub fn steps(&self) -> usize {
        let steps = self.cells.iter().filter(|row| row.step != StepId::WORKFLOW);
        steps.map(|row| usize::try_from(row.step.0).unwrap_or(0).saturating_add(1)).max().unwrap_or(0)
    }

    /// Bytes of memory it has taken.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let columns = [
            self.cells.capacity().saturating_mul(size_of::<CellRow>()),
            self.index.capacity().saturating_mul(size_of::<u16>()),
            self.low.capacity().saturating_mul(size_of::<u32>()),
            self.high.capacity().saturating_mul(size_of::<u32>()),
            self.statuses.capacity().saturating_mul(size_of::<(u16, u64)>()),
            self.error_kinds.capacity().saturating_mul(size_of::<(u8, u64)>()),
        ];
        columns.into_iter().fold(0, usize::saturating_add)
    }
}

/// The next `len` of a column.
fn cut<'a, T>(column: &mut &'a [T], len: usize) -> &'a [T] {
    let (head, rest) = column.split_at_checked(len).unwrap_or((column, &[]));
    *column = rest;
    head
}
