//! The exact sum over all sources.
//!
//! One row a (worker, shard, epoch): the newest snapshot, and the deltas that follow it without a gap. A snapshot of
//! a lower sequence, and a delta that does not come next, change nothing; so no loss, repeat or reorder of messages
//! can lose or double a count for longer than until the next snapshot. In: checked messages. Out: sums. Bounded by
//! the sources a job has; the caller bounds those.

use std::collections::BTreeMap;

use hyperscale_codec::messages::ArchivedStatsColumns;
use hyperscale_codec::{NodeId, Sequence, StepId, WorkflowId};

use crate::columns::{MergeError, Source, cells_of, merge_cell, sources_of};
use crate::{Cell, CellSet};

/// What became of a message's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is part of the total now.
    Fresh,
    /// The total holds it already, or something newer.
    Known,
    /// A delta before it is missing; the next snapshot heals that.
    Gap,
}

#[derive(Debug)]
struct Row {
    workflow: WorkflowId,
    sequence: Sequence,
    is_final: bool,
    cells: CellSet,
}

/// Newest snapshots of all sources of one job.
#[derive(Debug)]
pub struct Totals {
    /// Steps of each workflow of the plan.
    steps: Vec<usize>,
    rows: BTreeMap<Source, Row>,
    /// One empty set a workflow, so that a warm total allocates nothing.
    spare: Vec<CellSet>,
}

impl Totals {
    /// For a plan whose workflows have so many steps each.
    #[must_use]
    pub fn new(steps: Vec<usize>) -> Self {
        let spare = steps.iter().map(|&n| CellSet::new(n)).collect();
        Self { steps, rows: BTreeMap::new(), spare }
    }

    /// Takes a snapshot or a final: everything each source recorded since its epoch began. `each` is told what
    /// became of each source.
    ///
    /// # Errors
    /// [`MergeError`]; sources before the refused one are taken, the refused one and later ones are not.
    pub fn take_snapshot(
        &mut self,
        columns: &ArchivedStatsColumns,
        is_final: bool,
        mut each: impl FnMut(Source, Sequence, Taken),
    ) -> Result<(), MergeError> {
        for (index, (source, sequence)) in sources_of(columns).enumerate() {
            let workflow = self.workflow_of(columns, index, source)?;
            let held = self.rows.get(&source).map(|row| (row.sequence, row.is_final));
            if held.is_some_and(|(newest, done)| done || newest >= sequence && !is_final) {
                each(source, sequence, Taken::Known);
                continue;
            }
            self.replace(columns, index, source, workflow, sequence, is_final)?;
            each(source, sequence, Taken::Fresh);
        }
        Ok(())
    }

    /// Takes deltas: what each source recorded since its message before.
    ///
    /// # Errors
    /// [`MergeError`]; the refused source waits for its next snapshot.
    pub fn take_delta(
        &mut self,
        columns: &ArchivedStatsColumns,
        mut each: impl FnMut(Source, Sequence, Taken),
    ) -> Result<(), MergeError> {
        for (index, (source, sequence)) in sources_of(columns).enumerate() {
            let workflow = self.workflow_of(columns, index, source)?;
            let newest = self.rows.get(&source).map_or(Sequence(0), |row| row.sequence);
            let is_final = self.rows.get(&source).is_some_and(|row| row.is_final);
            let taken = if is_final || sequence <= newest {
                Taken::Known
            } else if sequence.0 > newest.0.saturating_add(1) {
                Taken::Gap
            } else {
                self.add(columns, index, source, workflow, sequence)?;
                Taken::Fresh
            };
            each(source, sequence, taken);
        }
        Ok(())
    }

    /// The workflow of a source: of its cells, or of its row where a message has no cells for it.
    fn workflow_of(
        &self,
        columns: &ArchivedStatsColumns,
        index: usize,
        source: Source,
    ) -> Result<WorkflowId, MergeError> {
        let told = cells_of(columns, index).next().map(|(_, workflow, _)| workflow);
        let known = self.rows.get(&source).map(|row| row.workflow);
        let workflow = known.or(told).unwrap_or_default();
        let fits = told.is_none_or(|told| told == workflow) && self.steps_of(workflow).is_some();
        if fits {
            Ok(workflow)
        } else {
            Err(MergeError::NoSuchRow { workflow: told.unwrap_or(workflow).0, step: StepId::WORKFLOW.0 })
        }
    }

    fn steps_of(&self, workflow: WorkflowId) -> Option<usize> {
        usize::try_from(workflow.0).ok().and_then(|index| self.steps.get(index)).copied()
    }

    fn spare_of(&mut self, workflow: WorkflowId) -> CellSet {
        let steps = self.steps_of(workflow).unwrap_or_default();
        let spare = usize::try_from(workflow.0).ok().and_then(|index| self.spare.get_mut(index));
        // The empty set left behind has no steps; whoever takes next puts a full one back first.
        let taken = spare.map(|spare| std::mem::replace(spare, CellSet::new(0)));
        taken.filter(|cells| cells.steps().len() == steps).unwrap_or_else(|| CellSet::new(steps))
    }

    fn keep_spare(&mut self, workflow: WorkflowId, mut cells: CellSet) {
        cells.clear();
        if let Some(spare) = usize::try_from(workflow.0).ok().and_then(|index| self.spare.get_mut(index)) {
            *spare = cells;
        }
    }

    fn replace(
        &mut self,
        columns: &ArchivedStatsColumns,
        index: usize,
        source: Source,
        workflow: WorkflowId,
        sequence: Sequence,
        is_final: bool,
    ) -> Result<(), MergeError> {
        let mut cells = self.spare_of(workflow);
        if let Err(refused) = merge_source(columns, index, &mut cells) {
            self.keep_spare(workflow, cells);
            return Err(refused);
        }
        let row = Row { workflow, sequence, is_final, cells };
        let old = match self.rows.get_mut(&source) {
            Some(held) => std::mem::replace(held, row).cells,
            None => {
                self.rows.insert(source, row);
                CellSet::new(self.steps_of(workflow).unwrap_or_default())
            }
        };
        self.keep_spare(workflow, old);
        Ok(())
    }

    fn add(
        &mut self,
        columns: &ArchivedStatsColumns,
        index: usize,
        source: Source,
        workflow: WorkflowId,
        sequence: Sequence,
    ) -> Result<(), MergeError> {
        let mut delta = self.spare_of(workflow);
        let merged = merge_source(columns, index, &mut delta);
        if merged.is_ok() {
            let steps = delta.steps().len();
            let row = self.rows.entry(source).or_insert_with(|| Row {
                workflow,
                sequence: Sequence(0),
                is_final: false,
                cells: CellSet::new(steps),
            });
            row.cells.advance(&delta);
            row.sequence = sequence;
        }
        self.keep_spare(workflow, delta);
        merged
    }

    /// Sum of one workflow over all sources for which `wanted` holds.
    #[must_use]
    pub fn sum_where(&self, workflow: WorkflowId, wanted: impl Fn(Source) -> bool) -> CellSet {
        let mut sum = CellSet::new(self.steps_of(workflow).unwrap_or_default());
        let rows = self.rows.iter().filter(|(source, row)| row.workflow == workflow && wanted(**source));
        rows.for_each(|(_, row)| sum.merge(&row.cells));
        sum
    }

    /// Sum of one workflow.
    #[must_use]
    pub fn sum(&self, workflow: WorkflowId) -> CellSet {
        self.sum_where(workflow, |_| true)
    }

    /// The rows: who recorded what, and whether it is final.
    pub fn rows(&self) -> impl Iterator<Item = (Source, WorkflowId, Sequence, bool, &CellSet)> {
        self.rows.iter().map(|(source, row)| (*source, row.workflow, row.sequence, row.is_final, &row.cells))
    }

    /// Whether this source's final has been taken.
    #[must_use]
    pub fn has_final(&self, source: Source) -> bool {
        self.rows.get(&source).is_some_and(|row| row.is_final)
    }

    /// Requests that all sources of a worker recorded.
    #[must_use]
    pub fn requests_of(&self, worker: NodeId) -> u64 {
        let rows = self.rows.iter().filter(|(source, _)| source.worker == worker);
        rows.flat_map(|(_, row)| row.cells.steps()).map(|cell| cell.count).fold(0, u64::saturating_add)
    }
}

/// Adds all rows of one source to its cells.
fn merge_source(columns: &ArchivedStatsColumns, index: usize, cells: &mut CellSet) -> Result<(), MergeError> {
    for (row, workflow, step) in cells_of(columns, index) {
        let cell: &mut Cell =
            cells.cell_mut(step).ok_or(MergeError::NoSuchRow { workflow: workflow.0, step: step.0 })?;
        merge_cell(columns, row, cell)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
