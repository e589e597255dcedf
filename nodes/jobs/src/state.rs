//! The states a job moves through; any other move is our bug and is refused.

use hyperscale_codec::messages::JobState;

/// A move that no job may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job cannot go from {from} to {to}")]
pub struct IllegalMove {
    pub from: JobState,
    pub to: JobState,
}

/// Where one job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobStateMachine(JobState);

impl Default for JobStateMachine {
    fn default() -> Self {
        Self(JobState::Accepted)
    }
}

impl JobStateMachine {
    /// The present state.
    #[must_use]
    pub const fn state(self) -> JobState {
        self.0
    }

    /// Moves on. Staying is always legal; ends are final.
    ///
    /// # Errors
    /// [`IllegalMove`]; the state stays.
    pub fn go(&mut self, to: JobState) -> Result<(), IllegalMove> {
        use JobState::{
            Accepted, Cancelled, Cancelling, Completed, Completing, Dispatching, Failed, Queued, Running,
        };
        let from = self.0;
        let legal = match from {
            Accepted => matches!(to, Queued | Cancelling | Cancelled | Failed),
            Queued => matches!(to, Dispatching | Cancelling | Cancelled | Failed),
            Dispatching => matches!(to, Running | Completing | Cancelling | Failed),
            Running => matches!(to, Completing | Cancelling | Failed),
            Completing => matches!(to, Completed | Cancelling | Failed),
            Cancelling => matches!(to, Cancelled | Failed),
            Completed | Failed | Cancelled => false,
        };
        if legal || from == to {
            self.0 = to;
            Ok(())
        } else {
            Err(IllegalMove { from, to })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_final() {
        for &end in JobState::ALL.iter().filter(|state| state.is_final()) {
            for &to in JobState::ALL {
                let mut job = JobStateMachine(end);
                assert_eq!(job.go(to).is_ok(), to == end, "{end} to {to}");
                assert_eq!(job.state(), end);
            }
        }
    }

    #[test]
    fn a_job_runs_its_course() {
        let mut job = JobStateMachine::default();
        for to in [
            JobState::Queued,
            JobState::Dispatching,
            JobState::Running,
            JobState::Completing,
            JobState::Completed,
        ] {
            job.go(to).unwrap();
        }
    }

    #[test]
    fn every_state_before_the_end_can_be_cancelled() {
        for &from in JobState::ALL.iter().filter(|state| !state.is_final()) {
            assert!(JobStateMachine(from).go(JobState::Cancelling).is_ok(), "{from}");
        }
    }
}
