//! What a worker may not say in its statistics, however well the columns hold together.

use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::ArchivedStatsColumns;
use hyperscale_core::Instant;

use crate::job::DcJob;

/// Windows are counted by the workers' clocks, which may be ahead by so much: of a host that slept, or leapt.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// A worker speaks for itself alone: another's figures would be taken for that one's newest.
pub(crate) fn to_sources(columns: &ArchivedStatsColumns, worker: NodeId) -> Option<String> {
    let stranger = columns.source_worker.iter().find(|source| **source != worker.to_bytes())?;
    let stranger = NodeId::from_bytes(*stranger);
    Some(format!("figures of node {stranger}; a worker tells of its own shards alone"))
}

/// One window of the far future would be waited for by the view of all workers, and make all others old.
pub(crate) fn to_windows(columns: &ArchivedStatsColumns, job: &DcJob, now: Instant) -> Option<String> {
    let passed = now.since(job.started_at.unwrap_or(job.accepted_at));
    let begins = job.plan.window.saturating_mul(columns.k_to.to_native());
    let ahead = begins.saturating_sub(passed);
    (ahead > AHEAD_MAX).then(|| {
        let (to, ahead, most) = (columns.k_to.to_native(), ahead.as_secs(), AHEAD_MAX.as_secs());
        format!("window {to} begins in {ahead} s; a worker's clock may be {most} s ahead; set it right")
    })
}
