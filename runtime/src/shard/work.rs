//! How much of its CPU a shard has worked.

use std::sync::Arc;

use crate::clock::ThreadClock;
use crate::counters::Counters;

/// Reads one shard's work from another thread.
#[derive(Debug, Clone)]
pub struct ShardWork {
    clock: Option<ThreadClock>,
    counters: Arc<Counters>,
    /// CPU time and time spun at the last look, and the work up to it.
    last: (u64, u64),
    worked_ns: u64,
}

impl ShardWork {
    pub(super) fn new(clock: Option<ThreadClock>, counters: Arc<Counters>) -> Self {
        Self { clock, counters, last: (0, 0), worked_ns: 0 }
    }

    #[cfg(test)]
    pub(crate) fn of_this_thread(counters: Arc<Counters>) -> Self {
        Self::new(ThreadClock::of_this_thread(), counters)
    }

    /// CPU time of the shard's thread since its start, less the time in which it only looked for work. `None` where the
    /// system does not tell, and once the thread has ended.
    ///
    /// Time spun is by the wall clock: of a thread that was taken off its CPU meanwhile it is more than it ran. What is
    /// too much between two looks is not taken from what it works later.
    pub fn worked_ns(&mut self) -> Option<u64> {
        let (ran, spun) = (self.clock?.read_ns()?, self.counters.spun_ns.get());
        let before = std::mem::replace(&mut self.last, (ran, spun));
        let worked = ran.saturating_sub(before.0).saturating_sub(spun.saturating_sub(before.1));
        self.worked_ns = self.worked_ns.saturating_add(worked);
        Some(self.worked_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spun_is_no_work_and_costs_no_later_work() {
        let counters = Arc::<Counters>::default();
        let mut work = ShardWork::of_this_thread(Arc::clone(&counters));
        let before = work.worked_ns().unwrap();
        counters.spun_ns.add(3_600_000_000_000);
        assert_eq!(work.worked_ns(), Some(before));
        let mut all = 0_u64;
        while work.worked_ns() == Some(before) {
            all = all.wrapping_add(1);
        }
        assert!(work.worked_ns().unwrap() > before);
    }
}
