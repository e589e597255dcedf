//! The order of a plan's workflows: which may start, which never will.

use hyperscale_codec::messages::WorkflowState;

/// States of all workflows of a job in one datacenter. `after` of the validated plan has no cycle.
#[derive(Debug, Clone)]
pub struct Dag {
    after: Vec<Vec<usize>>,
    states: Vec<WorkflowState>,
}

impl Dag {
    /// All pending. `after[i]` are the workflows that `i` waits for.
    #[must_use]
    pub fn new(after: Vec<Vec<usize>>) -> Self {
        let states = vec![WorkflowState::Pending; after.len()];
        Self { after, states }
    }

    /// The states, in plan order.
    #[must_use]
    pub fn states(&self) -> &[WorkflowState] {
        &self.states
    }

    /// One workflow's state; `Skipped` for one that the plan does not have.
    #[must_use]
    pub fn state(&self, workflow: usize) -> WorkflowState {
        self.states.get(workflow).copied().unwrap_or(WorkflowState::Skipped)
    }

    /// Moves one workflow. Ends are final: a later move changes nothing and says `false`.
    pub fn set(&mut self, workflow: usize, to: WorkflowState) -> bool {
        match self.states.get_mut(workflow) {
            Some(state) if !state.is_final() => {
                *state = to;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Pending workflows whose predecessors have all completed.
    pub fn ready(&self) -> impl Iterator<Item = usize> + '_ {
        self.pending()
            .filter(|&workflow| self.before(workflow).all(|state| state == WorkflowState::Completed))
    }

    /// Marks as skipped what waits for something that will never complete; how many were marked.
    pub fn skip_hopeless(&mut self) -> usize {
        let mut skipped = 0;
        loop {
            let next = self.pending().find(|&workflow| {
                self.before(workflow).any(|state| state.is_final() && state != WorkflowState::Completed)
            });
            let Some(next) = next else { return skipped };
            self.set(next, WorkflowState::Skipped);
            skipped += 1;
        }
    }

    /// Whether every workflow has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.states.iter().all(|state| state.is_final())
    }

    fn pending(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.states.len()).filter(|&workflow| self.state(workflow) == WorkflowState::Pending)
    }

    fn before(&self, workflow: usize) -> impl Iterator<Item = WorkflowState> + '_ {
        self.after.get(workflow).into_iter().flatten().map(|&earlier| self.state(earlier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 -> 1 -> 3, 0 -> 2 -> 3.
    fn diamond() -> Dag {
        Dag::new(vec![vec![], vec![0], vec![0], vec![1, 2]])
    }

    #[test]
    fn a_workflow_waits_for_all_it_comes_after() {
        let mut dag = diamond();
        assert_eq!(dag.ready().collect::<Vec<_>>(), [0]);
        dag.set(0, WorkflowState::Completed);
        assert_eq!(dag.ready().collect::<Vec<_>>(), [1, 2]);
        dag.set(1, WorkflowState::Completed);
        dag.set(2, WorkflowState::Running);
        assert_eq!(dag.ready().count(), 0);
        dag.set(2, WorkflowState::Completed);
        assert_eq!(dag.ready().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_waits_for_a_failure_is_skipped_to_the_last() {
        let mut dag = diamond();
        dag.set(0, WorkflowState::Failed);
        assert_eq!(dag.skip_hopeless(), 3);
        assert!(dag.is_done());
    }

    #[test]
    fn an_end_is_final() {
        let mut dag = diamond();
        assert!(dag.set(0, WorkflowState::Cancelled));
        assert!(!dag.set(0, WorkflowState::Completed));
        assert!(!dag.set(99, WorkflowState::Completed));
    }
}
