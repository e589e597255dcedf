//! From the parallel columns that travel to cells in memory.
//!
//! Reading merges straight from the archive into flat cells, without a copy into owned types (C-2). A message is
//! checked as a whole before any of it is merged; its rows ascend, so the rows of one source or cell are found by a
//! binary search, and no message makes a reader look at all rows for each cell.

use std::ops::Range;

use hyperscale_codec::messages::ArchivedStatsColumns;
use hyperscale_codec::{Epoch, HistError, NodeId, Sequence, ShardId, StepId, WorkflowId};

use crate::Cell;

/// Who recorded a share: one epoch on one shard of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The worker's node, or the manager's in its merged deltas.
    pub worker: NodeId,
    /// The worker's shard, or [`ShardId::ANY`] for a manager.
    pub shard: ShardId,
    /// The share on that shard.
    pub epoch: Epoch,
}

/// Why a cell could not be merged. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The plan has no such row.
    #[error("workflow {workflow}, step {step}: the plan has no such row; the sender runs another plan")]
    NoSuchRow {
        /// As told.
        workflow: u32,
        /// As told.
        step: u32,
    },
    /// A histogram does not hold together.
    #[error("workflow {workflow}, step {step}, {column}: {source}")]
    Histogram {
        /// As told.
        workflow: u32,
        /// As told.
        step: u32,
        /// Which of the cell's histograms.
        column: &'static str,
        /// What is wrong with it.
        source: HistError,
    },
    /// A sender names ever new sources.
    #[error("a job has {0} sources at most: one for each share of load on each shard of a worker")]
    TooManySources(usize),
    /// Fewer entries than another column of its group.
    #[error("cell {0}: a column is short; all columns of a group have equal length")]
    ShortColumn(usize),
}

/// The sources of a checked message, with their sequences, in order.
pub fn sources_of(columns: &ArchivedStatsColumns) -> impl Iterator<Item = (Source, Sequence)> + '_ {
    let workers = columns.source_worker.iter();
    let shards = columns.source_shard.iter();
    let epochs = columns.source_epoch.iter();
    let sequences = columns.source_sequence.iter();
    workers.zip(shards).zip(epochs).zip(sequences).map(|(((worker, shard), epoch), sequence)| {
        let source = Source {
            worker: NodeId::from_bytes(*worker),
            shard: ShardId(shard.to_native()),
            epoch: Epoch(epoch.to_native()),
        };
        (source, Sequence(sequence.to_native()))
    })
}

/// The rows of a checked message that belong to its source number `source`: row number, workflow, step.
pub fn cells_of(
    columns: &ArchivedStatsColumns,
    source: usize,
) -> impl Iterator<Item = (usize, WorkflowId, StepId)> + '_ {
    cells_in(columns, rows_of(&columns.cell_source, source, |told| told.to_native()))
}

/// All rows of a checked message, whatever their source.
pub fn all_cells(columns: &ArchivedStatsColumns) -> impl Iterator<Item = (usize, WorkflowId, StepId)> + '_ {
    cells_in(columns, 0..columns.cell_source.len())
}

pub(crate) fn cells_in(
    columns: &ArchivedStatsColumns,
    rows: Range<usize>,
) -> impl Iterator<Item = (usize, WorkflowId, StepId)> + '_ {
    rows.filter_map(|row| {
        let (workflow, step) = (columns.cell_workflow.get(row)?, columns.cell_step.get(row)?);
        Some((row, WorkflowId(workflow.to_native()), StepId(step.to_native())))
    })
}

/// The rows of a checked message, source by source and cell by cell in ascending order: each column is walked once, however
/// many sources there are.
pub(crate) struct RowWalk<'a> {
    columns: &'a ArchivedStatsColumns,
    cell: usize,
    status: usize,
    error: usize,
}

impl<'a> RowWalk<'a> {
    pub(crate) const fn new(columns: &'a ArchivedStatsColumns) -> Self {
        Self { columns, cell: 0, status: 0, error: 0 }
    }

    /// The cells of the next source.
    pub(crate) fn cells_of(&mut self, source: usize) -> Range<usize> {
        next_rows(&self.columns.cell_source, &mut self.cell, source, |told| told.to_native())
    }

    /// The statuses of the next cell.
    pub(crate) fn statuses_of(&mut self, row: usize) -> Range<usize> {
        next_rows(&self.columns.status_cell, &mut self.status, row, |told| told.to_native())
    }

    /// The error kinds of the next cell.
    pub(crate) fn errors_of(&mut self, row: usize) -> Range<usize> {
        next_rows(&self.columns.error_cell, &mut self.error, row, |told| told.to_native())
    }
}

/// Where an ascending column points to `target`, from `at` on, which moves behind it.
fn next_rows<T>(column: &[T], at: &mut usize, target: usize, read: impl Fn(&T) -> u16) -> Range<usize> {
    let rest = column.get(*at..).unwrap_or_default();
    let before = rest.iter().take_while(|told| usize::from(read(told)) < target).count();
    let own = rest.iter().skip(before).take_while(|told| usize::from(read(told)) == target).count();
    let first = at.saturating_add(before);
    *at = first.saturating_add(own);
    first..*at
}

/// Where an ascending column points to `target`. `read` is called for about 2 log2 of the rows.
fn rows_of<T>(column: &[T], target: usize, read: impl Fn(&T) -> u16) -> Range<usize> {
    let first = column.partition_point(|told| usize::from(read(told)) < target);
    let after = column.partition_point(|told| usize::from(read(told)) <= target);
    first..after
}

/// Adds one row of a checked message to `cell`, straight from the archive. `in_flight` is replaced, not added.
///
/// # Errors
/// [`MergeError`], and then `cell` may hold part of the row only if a later histogram of it was refused; callers
/// merge into a cell they discard on error.
pub fn merge_cell(columns: &ArchivedStatsColumns, row: usize, cell: &mut Cell) -> Result<(), MergeError> {
    let short = || MergeError::ShortColumn(row);
    macro_rules! add {
        ($($field:ident),+) => { $(
            let told = columns.$field.get(row).ok_or_else(short)?.to_native();
            cell.$field = cell.$field.saturating_add(told);
        )+ };
    }
    macro_rules! add_hist {
        ($($field:ident),+) => { $(
            let sparse = columns.$field.get(row).ok_or_else(short)?;
            cell.$field.merge_archived(sparse).map_err(|source| MergeError::Histogram {
                workflow: columns.cell_workflow.get(row).map_or(0, |w| w.to_native()),
                step: columns.cell_step.get(row).map_or(0, |s| s.to_native()),
                column: stringify!($field),
                source,
            })?;
        )+ };
    }
    add_hist!(latency, service, lateness, connect);
    add!(count, errors, cancelled, dropped, due, started, late, bytes_in, bytes_out);
    cell.in_flight = columns.in_flight.get(row).ok_or_else(short)?.to_native();
    for at in rows_of(&columns.status_cell, row, |told| told.to_native()) {
        let code = columns.status_code.get(at).ok_or_else(short)?;
        let count = columns.status_count.get(at).ok_or_else(short)?;
        cell.add_status(code.to_native(), count.to_native());
    }
    for at in rows_of(&columns.error_cell, row, |told| told.to_native()) {
        let kind = columns.error_kind.get(at).ok_or_else(short)?;
        let count = columns.error_count.get(at).ok_or_else(short)?;
        cell.add_error_kind(*kind, count.to_native());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell as Counter;

    use super::*;

    /// What a reader does for a message of `cells` cells whose column of `rows` rows is `column`: reads of the column.
    fn work(column: &[u16], cells: usize) -> (u64, usize) {
        let (reads, found) = (Counter::new(0), Counter::new(0));
        for cell in 0..cells {
            let rows = rows_of(column, cell, |told| {
                reads.set(reads.get() + 1);
                *told
            });
            found.set(found.get() + rows.len());
        }
        (reads.get(), found.get())
    }

    #[test]
    fn a_hostile_message_costs_a_few_reads_a_cell_however_its_rows_point() {
        // As many cells and statuses as a message of 4 MiB can have of either.
        const CELLS: u16 = 4096;
        const ROWS: usize = 349_525;
        let even: Vec<u16> = (0..ROWS).map(|row| u16::try_from(row * 4096 / ROWS).unwrap()).collect();
        for column in [even, vec![0; ROWS], vec![CELLS - 1; ROWS], vec![CELLS / 2; ROWS]] {
            let (reads, found) = work(&column, usize::from(CELLS));
            // Every row belongs to one cell, and a scan for each cell would be 1.4 thousand million reads.
            assert_eq!(found, ROWS);
            assert!(reads <= u64::from(CELLS) * 2 * 20, "{reads}");
        }
    }

    #[test]
    fn the_rows_of_each_target_are_found_at_either_end_and_between() {
        let column = [0, 0, 2, 2, 2, 5];
        let rows: Vec<Range<usize>> = (0..7).map(|target| rows_of(&column, target, |told| *told)).collect();
        assert_eq!(rows, [0..2, 2..2, 2..5, 5..5, 5..5, 5..6, 6..6]);
    }
}
