//! One sequence of one source on its way in: its cells may come in several messages, in any order, more than once.

use hyperscale_codec::messages::ArchivedStatsColumns;
use hyperscale_codec::{Sequence, StepId, WorkflowId};

use crate::CellSet;
use crate::columns::{MergeError, cells_of, merge_cell};

/// What a message says of its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// What was recorded since the message before.
    Delta,
    /// Everything since the epoch began.
    Snapshot,
    /// The last snapshot.
    Final,
}

/// What all messages of one sequence have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) what: What,
    pub(crate) sequence: Sequence,
    pub(crate) workflow: WorkflowId,
    /// Cells over all messages.
    pub(crate) cells: u16,
}

impl Key {
    /// Whether this makes `other` worthless: a final of anything else, else a higher sequence.
    pub(crate) fn supersedes(self, other: Self) -> bool {
        (self.what == What::Final, self.sequence) > (other.what == What::Final, other.sequence)
    }
}

/// The cells that have come.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) key: Key,
    pub(crate) cells: CellSet,
    /// Which steps have come; last, whether the workflow's row has.
    came: Vec<bool>,
    missing: usize,
}

impl Part {
    /// An empty one for a workflow of `steps` steps.
    pub(crate) fn new(workflow: WorkflowId, steps: usize) -> Self {
        let key = Key { what: What::Delta, sequence: Sequence(0), workflow, cells: 0 };
        Self { key, cells: CellSet::new(steps), came: vec![false; steps.saturating_add(1)], missing: 0 }
    }

    /// Empties it for another sequence, keeping its memory.
    pub(crate) fn begin(&mut self, key: Key) {
        self.key = key;
        self.cells.clear();
        self.came.fill(false);
        self.missing = usize::from(key.cells);
    }

    /// Whether all cells have come.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// Takes the cells of a message's source number `index`; those that came before change nothing.
    pub(crate) fn take(&mut self, columns: &ArchivedStatsColumns, index: usize) -> Result<(), MergeError> {
        for (row, told, step) in cells_of(columns, index) {
            let missing = MergeError::NoSuchRow { workflow: told.0, step: step.0 };
            let at = if step == StepId::WORKFLOW {
                Some(self.came.len().saturating_sub(1))
            } else {
                usize::try_from(step.0).ok()
            };
            let cell = self.cells.cell_mut(step).filter(|_| told == self.key.workflow);
            let came = at.and_then(|at| self.came.get_mut(at));
            let (Some(cell), Some(came)) = (cell, came) else { return Err(missing) };
            if !std::mem::replace(came, true) {
                merge_cell(columns, row, cell)?;
                self.missing = self.missing.saturating_sub(1);
            }
        }
        Ok(())
    }
}
