//! Between cells in memory and the parallel columns that travel.
//!
//! Writing builds owned columns (once a window); reading merges straight from the archive into flat cells, without
//! a copy into owned types (C-2). A message is checked as a whole before any of it is merged.

use hyperscale_codec::messages::{ArchivedStatsColumns, StatsColumns};
use hyperscale_codec::{Epoch, HistError, JobId, NodeId, Sequence, ShardId, StepId, WorkflowId};

use crate::{Cell, CellSet};

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
    #[error("workflow {workflow}, step {step}, {column}")]
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
    /// Fewer entries than another column of its group.
    #[error("cell {0}: a column is short; all columns of a group have equal length")]
    ShortColumn(usize),
}

/// Builds the columns of one message.
#[derive(Debug)]
pub struct ColumnsBuilder {
    columns: StatsColumns,
}

impl ColumnsBuilder {
    /// Begins a message about windows `k_from..=k_to` of `job`.
    #[must_use]
    pub fn new(job: JobId, token: u64, k_from: u32, k_to: u32, window_ms: u32) -> Self {
        let columns =
            StatsColumns { job: job.to_bytes(), token, k_from, k_to, window_ms, ..StatsColumns::default() };
        Self { columns }
    }

    /// Adds a source with the cells of one workflow; rows in which nothing was recorded are left out.
    pub fn push(&mut self, source: Source, sequence: Sequence, workflow: WorkflowId, cells: &CellSet) {
        let index = u16::try_from(self.columns.source_worker.len()).unwrap_or(u16::MAX);
        self.columns.source_worker.push(source.worker.to_bytes());
        self.columns.source_shard.push(source.shard.0);
        self.columns.source_epoch.push(source.epoch.0);
        self.columns.source_sequence.push(sequence.0);
        for (step, cell) in cells.cells().filter(|(_, cell)| !cell.is_empty()) {
            self.push_cell(index, workflow, step, cell);
        }
    }

    fn push_cell(&mut self, source: u16, workflow: WorkflowId, step: StepId, cell: &Cell) {
        let columns = &mut self.columns;
        let row = u16::try_from(columns.cell_source.len()).unwrap_or(u16::MAX);
        columns.cell_source.push(source);
        columns.cell_workflow.push(workflow.0);
        columns.cell_step.push(step.0);
        columns.count.push(cell.count);
        columns.errors.push(cell.errors);
        columns.cancelled.push(cell.cancelled);
        columns.dropped.push(cell.dropped);
        columns.due.push(cell.due);
        columns.started.push(cell.started);
        columns.late.push(cell.late);
        columns.bytes_in.push(cell.bytes_in);
        columns.bytes_out.push(cell.bytes_out);
        columns.in_flight.push(cell.in_flight);
        columns.latency.push(cell.latency.to_sparse());
        columns.service.push(cell.service.to_sparse());
        columns.lateness.push(cell.lateness.to_sparse());
        columns.connect.push(cell.connect.to_sparse());
        for (code, count) in cell.statuses() {
            columns.status_cell.push(row);
            columns.status_code.push(code);
            columns.status_count.push(count);
        }
        for (kind, count) in cell.error_kinds() {
            columns.error_cell.push(row);
            columns.error_kind.push(kind.to_wire());
            columns.error_count.push(count);
        }
    }

    /// Whether no source was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.source_worker.is_empty()
    }

    /// The message's body.
    #[must_use]
    pub fn build(self) -> StatsColumns {
        self.columns
    }
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
    let rows = columns.cell_source.iter().zip(columns.cell_workflow.iter().zip(columns.cell_step.iter()));
    rows.enumerate()
        .filter(move |(_, (told, _))| usize::from(told.to_native()) == source)
        .map(|(row, (_, (workflow, step)))| (row, WorkflowId(workflow.to_native()), StepId(step.to_native())))
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
    let statuses =
        columns.status_cell.iter().zip(columns.status_code.iter().zip(columns.status_count.iter()));
    for (_, (code, count)) in statuses.filter(|(told, _)| usize::from(told.to_native()) == row) {
        cell.add_status(code.to_native(), count.to_native());
    }
    let kinds = columns.error_cell.iter().zip(columns.error_kind.iter().zip(columns.error_count.iter()));
    for (_, (kind, count)) in kinds.filter(|(told, _)| usize::from(told.to_native()) == row) {
        cell.add_error_kind(*kind, count.to_native());
    }
    Ok(())
}
