//! What a gate has room for; beyond it, what a client asks is refused `capacity`, in words, and counted.

use hyperscale_view::Gauge;

use crate::core::GateCore;
use crate::subscribers::{OF_A_GATE, OF_A_JOB};
use crate::view::level;

/// Live jobs of a shard.
const JOBS_MAX: usize = 10_000;
/// Bytes of the newest snapshots of all live jobs, over all shards of a gate.
pub const SNAPSHOTS_MAX: usize = 512 << 20;

/// A bound that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Of live jobs.
    Jobs,
    /// Of the bytes of their newest snapshots.
    Snapshots,
    /// Of clients that follow jobs.
    Followers,
}

/// How often each bound was reached, and how near the one is that is not counted one by one.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    jobs: u64,
    snapshots: u64,
    followers: u64,
    /// As of the last look; a new job has none.
    snapshot_bytes: usize,
}

impl Bounds {
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let rows = [("jobs", self.jobs), ("snapshots", self.snapshots), ("followers", self.followers)];
        let help = "Requests refused because a bound of this node was reached.";
        let mut gauges = Gauge::counters_by("hyperscale_bound_hits_total", help, "what", rows);
        gauges.push(level(
            "hyperscale_stats_snapshot_bytes",
            "Bytes of the newest snapshots of all live jobs.",
            self.snapshot_bytes,
        ));
        gauges
    }
}

impl GateCore {
    /// Why there is no room for one more job, if there is none.
    pub(crate) fn full(&self) -> Option<Bound> {
        if self.live_jobs() >= JOBS_MAX {
            return Some(Bound::Jobs);
        }
        (self.bounds.snapshot_bytes > self.config.snapshots_max).then_some(Bound::Snapshots)
    }

    /// Counts that a bound was reached, and says so.
    pub(crate) fn reach(&mut self, bound: Bound) -> String {
        let bounds = &mut self.bounds;
        let (count, words) = match bound {
            Bound::Jobs => (
                &mut bounds.jobs,
                format!("this gate has {JOBS_MAX} live jobs; try again when some have ended"),
            ),
            Bound::Snapshots => (
                &mut bounds.snapshots,
                format!(
                    "the figures of this gate's live jobs take {} MiB, and it keeps {} MiB at most; try again when \
                     some have ended",
                    bounds.snapshot_bytes >> 20,
                    self.config.snapshots_max >> 20
                ),
            ),
            Bound::Followers => (
                &mut bounds.followers,
                format!("{OF_A_JOB} clients follow this job, or {OF_A_GATE} this gate; poll its status"),
            ),
        };
        *count = count.saturating_add(1);
        words
    }

    /// From time to time: what the snapshots take.
    pub(crate) fn weigh_snapshots(&mut self) {
        let bytes = self.jobs.values().map(|job| job.totals.bytes());
        self.bounds.snapshot_bytes = bytes.fold(0, usize::saturating_add);
    }
}
