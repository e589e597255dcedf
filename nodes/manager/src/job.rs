//! One job as a datacenter's manager keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{JobEvent, JobState, WorkerState, WorkflowState};
use hyperscale_codec::{Attempt, JobId, NodeId, Sequence};
use hyperscale_core::{Instant, LinkId};
use hyperscale_jobs::{Dag, Units};
use hyperscale_plan::Plan;
use hyperscale_stats::{Totals, WindowMerge};

use crate::core::REMEMBER;

/// Merged windows wait so long for the slower workers, then go up without them.
const VIEW_PATIENCE: Duration = Duration::from_millis(300);
/// A workflow waits so long for its workers to be ready, then starts with those that are.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// One worker's share of a workflow, by its revision: load that moves becomes shares of the next one.
pub(crate) type ShareId = (NodeId, u32);

/// One worker's share of a workflow.
#[derive(Debug)]
pub(crate) struct WorkerShare {
    pub(crate) link: LinkId,
    pub(crate) units: Units,
    /// Of a count, else 0.
    pub(crate) iterations: u64,
    /// Since the workflow's start.
    pub(crate) from_us: u64,
    pub(crate) ready: bool,
    pub(crate) started: bool,
    pub(crate) moving: Option<Moving>,
    /// It could not move, which was told.
    pub(crate) stays: bool,
    /// How it ended, once told or lost.
    pub(crate) ended: Option<WorkflowState>,
    pub(crate) error: String,
}

/// How far a share's move is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moving {
    /// Of the shares that will take it over.
    pub(crate) revision: u32,
    /// Its worker is gone: so many iterations of a count are missing.
    pub(crate) lost: Option<u64>,
    /// Others have the load.
    pub(crate) handed_on: bool,
}

/// One workflow here.
#[derive(Debug, Default)]
pub(crate) struct DcWorkflow {
    pub(crate) shares: BTreeMap<ShareId, WorkerShare>,
    /// The last one that load moved to.
    pub(crate) revision: u32,
    pub(crate) assigned_at: Option<Instant>,
    pub(crate) started_at: Option<Instant>,
    /// End of the last request of any share, by the workers' own clocks.
    pub(crate) last_end: Option<Instant>,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) error: String,
}

/// What a worker did for the job.
#[derive(Debug, Clone)]
pub(crate) struct WorkerRecord {
    pub(crate) name: String,
    pub(crate) shards: u32,
    pub(crate) state: WorkerState,
    pub(crate) gap_ms: u64,
    pub(crate) generator_ok: bool,
    /// Milliseconds since the job's start up to which its windows have come.
    pub(crate) told_ms: u64,
}

/// One job's part in this datacenter.
#[derive(Debug)]
pub(crate) struct DcJob {
    pub(crate) id: JobId,
    pub(crate) gate: NodeId,
    pub(crate) gate_link: LinkId,
    pub(crate) correlation: u32,
    pub(crate) fence_token: u64,
    pub(crate) dc_token: u64,
    pub(crate) attempt: Attempt,
    pub(crate) units: Units,
    pub(crate) plan: Arc<Plan>,
    pub(crate) text: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) dag: Dag,
    pub(crate) workflows: Vec<DcWorkflow>,
    pub(crate) workers: BTreeMap<NodeId, WorkerRecord>,
    pub(crate) totals: Totals,
    pub(crate) view: WindowMerge<NodeId>,
    pub(crate) view_since: Option<Instant>,
    pub(crate) sequence: Sequence,
    pub(crate) accepted_at: Instant,
    /// Start of the first workflow: windows are counted from here.
    pub(crate) started_at: Option<Instant>,
    pub(crate) started_unix_ms: u64,
    pub(crate) last_end: Option<Instant>,
    pub(crate) cancelled: bool,
    pub(crate) events: Vec<JobEvent>,
    /// The result, until the gate acknowledges it.
    pub(crate) outcome: Option<JobState>,
    pub(crate) acknowledged: bool,
    pub(crate) ended_at: Option<Instant>,
}

impl DcJob {
    pub(crate) fn steps(plan: &Plan) -> Vec<usize> {
        plan.workflows.iter().map(|workflow| workflow.steps.len()).collect()
    }

    pub(crate) fn event(&mut self, now: Instant, kind: &str, detail: String) {
        if self.events.len() < 64 {
            let since = now.since(self.started_at.unwrap_or(self.accepted_at));
            let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            self.events.push(JobEvent { at_ms, kind: kind.to_owned(), detail });
        }
    }

    /// The worker has told of windows up to `window`.
    pub(crate) fn heard(&mut self, worker: NodeId, window: u32) {
        let window_ms = u64::try_from(self.plan.window.as_millis()).unwrap_or(u64::MAX);
        if let Some(record) = self.workers.get_mut(&worker) {
            let told_ms = u64::from(window).saturating_add(1).saturating_mul(window_ms);
            record.told_ms = record.told_ms.max(told_ms);
        }
    }

    pub(crate) fn ready_deadline(&self) -> Option<Instant> {
        let waiting = self.workflows.iter().zip(self.dag.states());
        let waiting = waiting.filter(|(_, state)| **state == WorkflowState::Assigned);
        waiting.filter_map(|(workflow, _)| workflow.assigned_at).map(|at| at + READY_PATIENCE).min()
    }

    pub(crate) fn view_deadline(&self) -> Option<Instant> {
        self.view_since.map(|since| since + VIEW_PATIENCE)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let forgotten = self.ended_at.map(|ended| ended + REMEMBER);
        [self.ready_deadline(), self.view_deadline(), forgotten].into_iter().flatten().min()
    }
}
