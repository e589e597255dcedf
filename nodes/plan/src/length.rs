//! How long a plan can take: what a deadline and a progress bar are made of.

use std::time::Duration;

use crate::model::{Load, Plan, Workflow};

impl Workflow {
    /// The longest that iterations may start: the stages, or `max_duration` where it ends sooner or alone.
    #[must_use]
    pub fn active_max(&self) -> Duration {
        let stages: Duration = match &self.load {
            Load::Closed(closed) => sum(closed.stages.iter().map(|stage| stage.duration)),
            Load::Open(open) => sum(open.stages.iter().map(|stage| stage.duration)),
        };
        match self.max_duration {
            Some(max) if stages.is_zero() => max,
            Some(max) => stages.min(max),
            None => stages,
        }
    }

    /// [`Workflow::active_max`] and the grace after it.
    #[must_use]
    pub fn length_max(&self) -> Duration {
        self.active_max().saturating_add(self.graceful_stop)
    }
}

impl Plan {
    /// The longest path through `after`, with the grace of each workflow on it.
    #[must_use]
    pub fn length_max(&self) -> Duration {
        self.paths_max(Workflow::length_max)
    }

    /// The longest path through `after`, when no grace is used: what a progress bar shows.
    #[must_use]
    pub fn active_max(&self) -> Duration {
        self.paths_max(Workflow::active_max)
    }

    fn paths_max(&self, length: impl Fn(&Workflow) -> Duration) -> Duration {
        let mut ends = vec![Duration::ZERO; self.workflows.len()];
        // `after` has no cycle, so the ends are right after as many rounds as a path is long.
        for _ in 0..self.workflows.len() {
            let mut changed = false;
            for (i, workflow) in self.workflows.iter().enumerate() {
                let start = workflow.after.iter().filter_map(|before| ends.get(*before)).max();
                let end = start.copied().unwrap_or_default().saturating_add(length(workflow));
                if let Some(known) = ends.get_mut(i).filter(|known| **known != end) {
                    *known = end;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        ends.into_iter().max().unwrap_or_default()
    }
}

fn sum(durations: impl Iterator<Item = Duration>) -> Duration {
    durations.fold(Duration::ZERO, Duration::saturating_add)
}
