//! How much of its CPU a shard has worked.

use std::sync::Arc;

use crate::clock::ThreadClock;
use crate::counters::Counters;

/// Reads one shard's work from another thread.
#[derive(Debug, Clone)]
pub struct ShardWork {
    pub(super) clock: Option<ThreadClock>,
    pub(super) counters: Arc<Counters>,
}

impl ShardWork {
    #[cfg(test)]
    pub(crate) fn of_this_thread() -> Self {
        Self { clock: ThreadClock::of_this_thread(), counters: Arc::default() }
    }

    /// CPU time of the shard's thread since its start, less the time in which it only looked for work. `None` where the
    /// system does not tell, and once the thread has ended.
    #[must_use]
    pub fn worked_ns(&self) -> Option<u64> {
        // Time spun is wall-clock time: of a thread that was taken off its CPU meanwhile it is more than it ran.
        Some(self.clock?.read_ns()?.saturating_sub(self.counters.spun_ns.get()))
    }
}
