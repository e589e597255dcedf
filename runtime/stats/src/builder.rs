//! From cells in memory to messages: parallel columns, cut where one message is full.
//!
//! A message ends before a source that does not fit into what is left of it; only a source that is too long for a
//! message of its own is cut, between two cells. Each source tells how many cells it has over all its messages, so a
//! receiver knows when it has all. In: sources with their cells. Out: one or more columns. Bounded by what a kind may
//! carry, in bytes and in rows.

use hyperscale_codec::messages::{ArchivedStatsColumns, ROWS_MAX, StatsColumns};
use hyperscale_codec::{ArchivedSparseHist, Hist, JobId, Kind, Sequence, StepId, WorkflowId};

use crate::{Cell, CellSet, Source, SparseCells};

/// Bytes of one message: of the shortest of the three kinds that carry columns.
const BYTES_MAX: usize = {
    let (update, snapshot) = (Kind::StatsUpdate.core_max(), Kind::StatsSnapshot.core_max());
    assert!(update == snapshot && snapshot == Kind::StatsFinal.core_max());
    update as usize
};
const ROOT_BYTES: usize = size_of::<ArchivedStatsColumns>();
/// Worker, shard, epoch, sequence, cells.
const SOURCE_BYTES: usize = 16 + 2 + 8 + 8 + 2;
/// Source, workflow, step, ten counts, four histograms without their buckets.
const CELL_BYTES: usize = 2 + 4 + 4 + 10 * 8 + 4 * size_of::<ArchivedSparseHist>();
const STATUS_BYTES: usize = 2 + 2 + 8;
const ERROR_BYTES: usize = 2 + 1 + 8;

/// Builds the columns of one or more messages.
#[derive(Debug)]
pub struct ColumnsBuilder {
    full: Vec<StatsColumns>,
    columns: StatsColumns,
    bytes: usize,
    /// To spread sparse cells out in.
    spread: Option<CellSet>,
}

impl ColumnsBuilder {
    /// Begins a message about windows `k_from..=k_to` of `job`.
    #[must_use]
    pub fn new(job: JobId, token: u64, k_from: u32, k_to: u32, window_ms: u32) -> Self {
        let windows = u64::from(k_to).saturating_add(1);
        let columns = StatsColumns {
            job: job.to_bytes(),
            token,
            k_from,
            k_to,
            window_ms,
            end_us: windows.saturating_mul(u64::from(window_ms)).saturating_mul(1000),
            ..StatsColumns::default()
        };
        Self { full: Vec::new(), columns, bytes: ROOT_BYTES, spread: None }
    }

    /// The figures end here, within the last window: nothing is recorded any more.
    #[must_use]
    pub fn ending_at_us(mut self, end_us: u64) -> Self {
        self.columns.end_us = end_us;
        self
    }

    /// Adds a source with the cells of one workflow. Rows in which nothing was recorded are left out, but one: a
    /// receiver knows the workflow of a source by its rows, so a source that recorded nothing has an empty one.
    pub fn push(&mut self, source: Source, sequence: Sequence, workflow: WorkflowId, cells: &CellSet) {
        let nothing = cells.is_empty();
        let wanted = |step, cell: &Cell| !cell.is_empty() || nothing && step == StepId::WORKFLOW;
        let filled = || cells.cells().filter(|&(step, cell)| wanted(step, cell));
        let count = filled().count();
        let bytes = filled().map(|(_, cell)| bytes_of(cell)).sum::<usize>();
        let full = self.columns.source_worker.len() >= ROWS_MAX;
        if (full || !self.has_room(count, SOURCE_BYTES + bytes)) && !self.is_fresh() {
            self.next_message();
        }
        let told = u16::try_from(count).unwrap_or(u16::MAX);
        self.push_source(source, sequence, told);
        for (step, cell) in filled() {
            let bytes = bytes_of(cell);
            if !self.has_room(1, bytes) {
                self.next_message();
                self.push_source(source, sequence, told);
            }
            self.push_cell(workflow, step, cell);
            self.bytes += bytes;
        }
    }

    /// The same of cells that are kept as they came.
    pub fn push_sparse(
        &mut self,
        source: Source,
        sequence: Sequence,
        workflow: WorkflowId,
        cells: &SparseCells,
    ) {
        let fits = self.spread.take().filter(|spread| spread.steps().len() >= cells.steps());
        let mut spread = fits.unwrap_or_else(|| CellSet::new(cells.steps()));
        spread.clear();
        cells.add_to(&mut spread);
        self.push(source, sequence, workflow, &spread);
        self.spread = Some(spread);
    }

    /// Whether the open message takes so many cells and so many bytes.
    fn has_room(&self, cells: usize, bytes: usize) -> bool {
        self.columns.cell_source.len() + cells <= ROWS_MAX && self.bytes + bytes <= BYTES_MAX
    }

    fn is_fresh(&self) -> bool {
        self.columns.source_worker.is_empty()
    }

    /// Closes the open message and begins the next, under the same envelope.
    fn next_message(&mut self) {
        let StatsColumns { job, token, k_from, k_to, window_ms, end_us, .. } = self.columns;
        let next = StatsColumns { job, token, k_from, k_to, window_ms, end_us, ..StatsColumns::default() };
        let mut done = std::mem::replace(&mut self.columns, next);
        done.more = true;
        self.full.push(done);
        self.bytes = ROOT_BYTES;
    }

    fn push_source(&mut self, source: Source, sequence: Sequence, cells: u16) {
        self.columns.source_worker.push(source.worker.to_bytes());
        self.columns.source_shard.push(source.shard.0);
        self.columns.source_epoch.push(source.epoch.0);
        self.columns.source_sequence.push(sequence.0);
        self.columns.source_cells.push(cells);
        self.bytes += SOURCE_BYTES;
    }

    /// Adds a cell to the source pushed last.
    fn push_cell(&mut self, workflow: WorkflowId, step: StepId, cell: &Cell) {
        let columns = &mut self.columns;
        let source = u16::try_from(columns.source_worker.len().saturating_sub(1)).unwrap_or(u16::MAX);
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

    /// Bytes of all messages so far, without their buckets' padding.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.full.len().saturating_mul(BYTES_MAX).saturating_add(if self.is_fresh() { 0 } else { self.bytes })
    }

    /// Whether no source was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.is_fresh()
    }

    /// The messages' bodies, in the order in which they go out. None, if no source was added.
    #[must_use]
    pub fn build(mut self) -> Vec<StatsColumns> {
        if !self.is_fresh() {
            self.full.push(self.columns);
        }
        self.full
    }
}

/// The messages of several builders as one send: a view waits for the last of them.
#[must_use]
pub fn build_all(builders: impl IntoIterator<Item = ColumnsBuilder>) -> Vec<StatsColumns> {
    let mut all: Vec<StatsColumns> = builders.into_iter().flat_map(ColumnsBuilder::build).collect();
    let before_last = all.len().saturating_sub(1);
    all.iter_mut().take(before_last).for_each(|columns| columns.more = true);
    all
}

/// What a cell adds to a message.
fn bytes_of(cell: &Cell) -> usize {
    let hists = [&cell.latency, &cell.service, &cell.lateness, &cell.connect];
    CELL_BYTES
        + hists.into_iter().map(Hist::sparse_bytes).sum::<usize>()
        + cell.statuses().count() * STATUS_BYTES
        + cell.error_kinds().count() * ERROR_BYTES
}

#[cfg(test)]
mod tests;
