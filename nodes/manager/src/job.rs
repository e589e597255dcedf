//! One job as a datacenter's manager keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{JobEvent, JobState, WorkerState, WorkflowState};
use hyperscale_codec::{Attempt, JobId, NodeId, Sequence, WorkflowId};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::ClockOffset;
use hyperscale_jobs::{Dag, Units};
use hyperscale_plan::Plan;
use hyperscale_reliability::{BackpressureLevel, StatsFill, StatsPace};
use hyperscale_stats::{Source, StatsBuffer, Totals, WindowMerge};

use crate::core::{Owner, REMEMBER};
use crate::workflows::wire;

/// Merged windows wait so long for the slower workers, then go up without them.
const VIEW_PATIENCE: Duration = Duration::from_millis(300);
/// A workflow waits so long for its workers to be ready, then starts with those that are.
pub(crate) const READY_PATIENCE: Duration = Duration::from_secs(10);

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
    /// It ended because its worker was gone, which may not know.
    pub(crate) lost: bool,
    pub(crate) error: String,
}

/// How far a share's move is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moving {
    /// Of the shares that will take it over.
    pub(crate) revision: u32,
    /// Its worker is gone: so many iterations of a count are missing.
    pub(crate) lost: Option<u64>,
    /// Since the workflow's start: where others began with a lost worker's load.
    pub(crate) from_us: u64,
    /// Others have the load.
    pub(crate) handed_on: bool,
}

/// One workflow here.
#[derive(Debug, Default)]
pub(crate) struct DcWorkflow {
    pub(crate) shares: BTreeMap<ShareId, WorkerShare>,
    /// The last one that load moved to.
    pub(crate) revision: u32,
    /// It may start since then, and was given to nobody yet.
    pub(crate) due_since: Option<Instant>,
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
    /// How far its clock was off when its last share ended.
    pub(crate) clock: Option<ClockOffset>,
    /// Epochs of its shares that have ended.
    pub(crate) epochs: u32,
}

/// One job's part in this datacenter.
#[derive(Debug)]
pub(crate) struct DcJob {
    pub(crate) id: JobId,
    pub(crate) owner: Owner,
    pub(crate) gate_link: LinkId,
    /// The owner's connection is gone since then.
    pub(crate) orphaned_since: Option<Instant>,
    /// It stayed away for too long: nobody is waited for any more.
    pub(crate) given_up: bool,
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
    /// A sender is a worker's share of a workflow: several run at once, and each tells of its windows.
    pub(crate) view: WindowMerge<(NodeId, WorkflowId)>,
    pub(crate) view_since: Option<Instant>,
    /// The last window of what was merged when its gate was last asked whether it takes it.
    pub(crate) offered_to: Option<u32>,
    /// Windows of all workers, as they went up.
    pub(crate) windows: StatsBuffer,
    /// What its gate takes of them.
    pub(crate) pace: StatsPace,
    pub(crate) sequence: Sequence,
    pub(crate) accepted_at: Instant,
    /// Start of the first workflow: windows are counted from here.
    pub(crate) started_at: Option<Instant>,
    pub(crate) started_unix_ms: u64,
    pub(crate) last_end: Option<Instant>,
    pub(crate) cancelled: bool,
    /// Messages of statistics that were refused.
    pub(crate) refused: u64,
    pub(crate) events: Vec<JobEvent>,
    /// The result, until the gate acknowledges it.
    pub(crate) outcome: Option<JobState>,
    pub(crate) acknowledged: bool,
    /// The gate holds its last figures for good: workers have been told so.
    pub(crate) finals_kept: bool,
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

    /// Up to when all that a worker did in a workflow is in the totals: the end of the last window that the total of each
    /// of its shards has, or the workflow's start. `None`: its finals are there, nothing is missing.
    pub(crate) fn counted_until(&self, worker: NodeId, workflow: usize) -> Option<Instant> {
        let entry = self.workflows.get(workflow)?;
        let start = entry.started_at?;
        let job_start = self.started_at.unwrap_or(start);
        let shards = self.workers.get(&worker).map_or(0, |record| record.shards);
        let own = entry.shares.iter().filter(|((node, _), share)| *node == worker && share.started);
        let expected: u32 = own.map(|(_, share)| share.units.count.min(shards)).sum();
        let id = wire(workflow);
        let rows = || self.totals.rows().filter(|held| held.source.worker == worker && held.workflow == id);
        let told_by = u32::try_from(rows().count()).unwrap_or(u32::MAX);
        let ends = rows()
            .filter(|held| !held.is_final)
            .map(|held| job_start + self.plan.window.saturating_mul(held.through.saturating_add(1)));
        let silent = (told_by < expected).then_some(start);
        ends.chain(silent).min()
    }

    /// How much of a worker's work in a workflow no total holds, at `now`.
    pub(crate) fn gap(&self, worker: NodeId, workflow: usize, now: Instant) -> Duration {
        self.counted_until(worker, workflow).map_or(Duration::ZERO, |until| now.since(until))
    }

    /// A lost worker came back and told all: nothing of its figures is missing, though its load ended early.
    pub(crate) fn found_again(&mut self, worker: NodeId) {
        let whole = self.totals.rows().filter(|held| held.source.worker == worker).all(|held| held.is_final);
        if let Some(record) = self.workers.get_mut(&worker).filter(|_| whole)
            && record.state == WorkerState::Lost
        {
            record.state = WorkerState::Partial;
            record.gap_ms = 0;
        }
    }

    pub(crate) fn ready_deadline(&self) -> Option<Instant> {
        let waiting = self.workflows.iter().zip(self.dag.states());
        let waiting = waiting.filter(|(_, state)| **state == WorkflowState::Assigned);
        waiting.filter_map(|(workflow, _)| workflow.assigned_at).map(|at| at + READY_PATIENCE).min()
    }

    /// When what waits for the view goes up, if the gate takes it.
    pub(crate) fn view_deadline(&self) -> Option<Instant> {
        let talks = self.orphaned_since.is_none() && self.ended_at.is_none();
        let pace = self.pace.next_deadline().filter(|_| talks);
        self.merged_at().into_iter().chain(pace).min()
    }

    /// When the windows that wait are merged: at the end of the last one, in which another workflow may begin or go on
    /// after one has ended; where somebody has not told of it by then, a little later.
    fn merged_at(&self) -> Option<Instant> {
        let to = self.view.waits_to().filter(|to| self.offered_to < Some(*to))?;
        let windows = to.saturating_add(1);
        let over = self.started_at.unwrap_or(self.accepted_at) + self.plan.window.saturating_mul(windows);
        let late = || self.view_since.map_or(over, |since| over.max(since)) + VIEW_PATIENCE;
        Some(if self.view.is_complete() { over } else { late() })
    }

    pub(crate) fn view_is_due(&self, now: Instant) -> bool {
        self.view_deadline().is_some_and(|due| due <= now)
    }

    /// How full this job makes what is kept of statistics.
    pub(crate) fn fill(&self) -> StatsFill {
        StatsFill::of_windows(self.view.waiting(), self.plan.window)
    }

    /// What its workers are asked for: the worse of what this node and the gate above want.
    pub(crate) fn level(&self, own: BackpressureLevel) -> BackpressureLevel {
        own.max(self.pace.level())
    }

    /// It has ended, and nobody will take the result.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.ended_at.is_some() && self.given_up
    }

    /// Its owner talks to this manager, perhaps again.
    pub(crate) fn owned_over(&mut self, link: LinkId) {
        (self.gate_link, self.orphaned_since, self.given_up) = (link, None, false);
        self.pace.begin_again();
    }

    /// All whose figures are here.
    pub(crate) fn sources(&self) -> Vec<Source> {
        self.totals.rows().map(|held| held.source).collect()
    }

    /// Those whose figures are their last.
    pub(crate) fn final_sources(&self) -> Vec<Source> {
        self.totals.rows().filter(|held| held.is_final).map(|held| held.source).collect()
    }

    /// How long its owner has been away without its result, or without a word that it keeps its last figures.
    pub(crate) fn orphaned(&self) -> Option<Instant> {
        self.orphaned_since.filter(|_| !(self.given_up || self.acknowledged && self.finals_kept))
    }

    pub(crate) fn next_deadline(&self, gate_wait: Duration) -> Option<Instant> {
        let forgotten = self.ended_at.map(|ended| ended + REMEMBER);
        let orphaned = self.orphaned().map(|since| since + gate_wait);
        [self.ready_deadline(), self.view_deadline(), forgotten, orphaned].into_iter().flatten().min()
    }
}
