//! One sequence of one source on its way in: its cells may come in several messages, in any order, more than once.

use std::ops::Range;

use hyperscale_codec::messages::ArchivedStatsColumns;
use hyperscale_codec::{Sequence, StepId, WorkflowId};

use crate::SparseCells;
use crate::columns::{MergeError, RowWalk, cells_in};

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
    pub(crate) cells: SparseCells,
    /// Which steps have come; last, whether the workflow's row has.
    came: Vec<bool>,
    missing: usize,
}

impl Part {
    /// An empty one for a workflow of `steps` steps.
    pub(crate) fn new(workflow: WorkflowId, steps: usize) -> Self {
        let key = Key { what: What::Delta, sequence: Sequence(0), workflow, cells: 0 };
        let came = vec![false; steps.saturating_add(1)];
        Self { key, cells: SparseCells::default(), came, missing: 0 }
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

    /// Takes these rows of a message; cells that came before change nothing.
    pub(crate) fn take(
        &mut self,
        columns: &ArchivedStatsColumns,
        walk: &mut RowWalk<'_>,
        rows: Range<usize>,
    ) -> Result<(), MergeError> {
        for (row, told, step) in cells_in(columns, rows) {
            let at = if step == StepId::WORKFLOW {
                Some(self.came.len().saturating_sub(1))
            } else {
                // The last place is the workflow's own.
                usize::try_from(step.0).ok().filter(|at| at.saturating_add(1) < self.came.len())
            };
            let came = at.and_then(|at| self.came.get_mut(at)).filter(|_| told == self.key.workflow);
            let Some(came) = came else {
                return Err(MergeError::NoSuchRow { workflow: told.0, step: step.0 });
            };
            if !std::mem::replace(came, true) {
                self.cells.push(columns, walk, row, step)?;
                self.missing = self.missing.saturating_sub(1);
            }
        }
        Ok(())
    }
}
