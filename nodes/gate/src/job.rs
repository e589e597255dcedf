//! One job as its owning gate keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{JobEvent, JobState, WorkerOutcome, WorkerState, WorkflowOutcome};
use hyperscale_codec::{Attempt, Hist, JobId, NodeId};
use hyperscale_core::{Instant, LinkId};
use hyperscale_jobs::{JobStateMachine, Units};
use hyperscale_plan::Plan;
use hyperscale_reliability::StatsFill;
use hyperscale_stats::{Source, StatsBuffer, Totals, WindowMerge};

use crate::GateConfig;
use crate::archive::KEEP_PATIENCE;
use crate::subscribers::Subscriber;

/// A view waits so long for the slower datacenters, then goes out without them.
const VIEW_PATIENCE: Duration = Duration::from_millis(500);
/// A cancel waits so long for the datacenters' answers.
pub(crate) const CANCEL_DEADLINE: Duration = Duration::from_secs(30);
/// Events kept for the report.
const EVENTS_MAX: usize = 256;

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) link: LinkId,
    pub(crate) correlation: u32,
}

/// One datacenter's part.
#[derive(Debug)]
pub(crate) struct Datacenter {
    pub(crate) manager: NodeId,
    /// Which start of the manager was given the part, once it was.
    pub(crate) given_to: Option<u64>,
    pub(crate) link: LinkId,
    pub(crate) attempt: Attempt,
    pub(crate) units: Units,
    /// How often its manager was asked to take it, and how often it refused for now.
    pub(crate) asked: u32,
    pub(crate) refused: u32,
    /// The same of all managers, of those that refused.
    pub(crate) in_vain: u32,
    /// Managers of this datacenter that refused this part.
    pub(crate) refused_by: Vec<NodeId>,
    /// Datacenters that refused it before.
    pub(crate) refused_in: Vec<String>,
    /// Its manager's connection is gone since then.
    pub(crate) lost_since: Option<Instant>,
    /// What it told at its end.
    pub(crate) outcome: Option<DcOutcome>,
    /// Whether that is committed.
    pub(crate) finished: bool,
    /// Workflows that a cancel stopped there, once told.
    pub(crate) cancelled: Option<u32>,
    /// Whole finals, to be acknowledged when the job is finished.
    pub(crate) finals: BTreeSet<Source>,
}

impl Datacenter {
    pub(crate) fn new(manager: NodeId, link: LinkId, attempt: Attempt, units: Units) -> Self {
        Self {
            manager,
            given_to: None,
            link,
            attempt,
            units,
            asked: 0,
            refused: 0,
            in_vain: 0,
            refused_by: Vec::new(),
            refused_in: Vec::new(),
            lost_since: None,
            outcome: None,
            finished: false,
            cancelled: None,
            finals: BTreeSet::new(),
        }
    }
}

/// What a datacenter told at its end.
#[derive(Debug, Clone)]
pub(crate) struct DcOutcome {
    pub(crate) state: JobState,
    /// It may have run on and not told all that it recorded.
    pub(crate) unheard: bool,
    pub(crate) error: String,
    pub(crate) workflows: Vec<WorkflowOutcome>,
    pub(crate) workers: Vec<WorkerOutcome>,
    pub(crate) duration: Duration,
    pub(crate) started_unix_ms: u64,
}

/// Running figures of the whole job, for views.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Running {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: u64,
}

/// One job.
#[derive(Debug)]
pub(crate) struct GateJob {
    pub(crate) id: JobId,
    pub(crate) plan: Arc<Plan>,
    pub(crate) text: String,
    pub(crate) sha256: [u8; 32],
    machine: JobStateMachine,
    /// 0 until the acceptance is committed.
    pub(crate) token: u64,
    pub(crate) accepted_at: Instant,
    /// Its result was made then; and it ended then, once that is committed.
    pub(crate) done_at: Option<Instant>,
    pub(crate) ended_at: Option<Instant>,
    /// Submitters that wait for the acknowledgement.
    pub(crate) submitters: Vec<Waiting>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) datacenters: BTreeMap<String, Datacenter>,
    pub(crate) totals: Totals,
    pub(crate) view: WindowMerge<LinkId>,
    pub(crate) view_since: Option<Instant>,
    /// Windows of all datacenters, as they were shown.
    pub(crate) windows: StatsBuffer,
    /// Where they end, since the job's start.
    pub(crate) end_ms: u64,
    /// Latency and lateness over all steps of the windows that go out next; kept, so that a warm view allocates nothing.
    pub(crate) view_times: Option<Box<(Hist, Hist)>>,
    pub(crate) running: Running,
    pub(crate) seq: u64,
    pub(crate) events: Vec<JobEvent>,
    /// Messages of statistics that were refused.
    pub(crate) refused: u64,
    pub(crate) cancel_since: Option<Instant>,
    pub(crate) cancellers: Vec<Waiting>,
    pub(crate) cancelled_workflows: u32,
    pub(crate) error: String,
    /// The disk was asked then to keep the result, and has not answered.
    pub(crate) keeping_since: Option<Instant>,
    /// The final result, to send again to who comes back.
    pub(crate) result: Option<Arc<hyperscale_codec::messages::JobFinalResult>>,
}

impl GateJob {
    pub(crate) fn new(id: JobId, plan: Arc<Plan>, text: String, sha256: [u8; 32], now: Instant) -> Self {
        let steps: Vec<usize> = plan.workflows.iter().map(|workflow| workflow.steps.len()).collect();
        let windows = StatsBuffer::new(&steps, plan.window);
        Self {
            id,
            plan,
            text,
            sha256,
            machine: JobStateMachine::default(),
            token: 0,
            accepted_at: now,
            done_at: None,
            ended_at: None,
            submitters: Vec::new(),
            subscribers: Vec::new(),
            datacenters: BTreeMap::new(),
            view: WindowMerge::new(&steps),
            windows,
            end_ms: 0,
            totals: Totals::new(steps),
            view_since: None,
            view_times: None,
            running: Running::default(),
            seq: 0,
            events: Vec::new(),
            refused: 0,
            cancel_since: None,
            cancellers: Vec::new(),
            cancelled_workflows: 0,
            error: String::new(),
            keeping_since: None,
            result: None,
        }
    }

    /// The job has ended: its result and its windows have all that was recorded. A job's figures take a megabyte, and one
    /// that has ended is remembered for long.
    pub(crate) fn let_go(&mut self) {
        self.totals.close();
        self.windows.close();
        (self.view, self.view_since, self.view_times) = (WindowMerge::new(&[]), None, None);
    }

    pub(crate) fn state(&self) -> JobState {
        self.machine.state()
    }

    /// Moves on; an illegal move is our bug, and the state stays.
    pub(crate) fn go(&mut self, to: JobState) {
        if let Err(illegal) = self.machine.go(to) {
            debug_assert!(false, "{illegal}");
        }
    }

    pub(crate) fn is_followed_by(&self, link: LinkId) -> bool {
        self.subscribers.iter().any(|subscriber| subscriber.link == link)
    }

    pub(crate) fn subscribe(&mut self, link: LinkId, histograms: bool) {
        if !self.is_followed_by(link) {
            self.subscribers.push(Subscriber::new(link, histograms));
        }
    }

    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.subscribers.retain(|subscriber| subscriber.link != link);
        self.submitters.retain(|waiting| waiting.link != link);
        self.cancellers.retain(|waiting| waiting.link != link);
    }

    /// Keeps an event for the report; the oldest ones are the most telling, so later ones go at the bound.
    pub(crate) fn event(&mut self, now: Instant, kind: &str, detail: String) {
        if self.events.len() < EVENTS_MAX {
            let at_ms = u64::try_from(now.since(self.accepted_at).as_millis()).unwrap_or(u64::MAX);
            self.events.push(JobEvent { at_ms, kind: kind.to_owned(), detail });
        }
    }

    /// What became of a worker: as its manager told, but not whole where finals that it sent are not held here.
    pub(crate) fn worker_state(&self, told: &WorkerOutcome) -> WorkerState {
        let state = WorkerState::from_wire(told.state);
        let held = self.totals.finals_of(NodeId::from_bytes(told.worker));
        let lacks = u32::try_from(held).is_ok_and(|held| held < told.epochs);
        if lacks && state == WorkerState::Ok { WorkerState::Partial } else { state }
    }

    /// How full this job makes what is kept of statistics.
    pub(crate) fn fill(&self) -> StatsFill {
        StatsFill::of_windows(self.view.waiting(), self.plan.window)
    }

    pub(crate) fn all_finished(&self) -> bool {
        self.datacenters.values().all(|datacenter| datacenter.finished)
    }

    pub(crate) fn view_deadline(&self) -> Option<Instant> {
        self.view_since.map(|since| since + VIEW_PATIENCE)
    }

    pub(crate) fn cancel_deadline(&self) -> Option<Instant> {
        self.cancel_since.filter(|_| !self.state().is_final()).map(|since| since + CANCEL_DEADLINE)
    }

    pub(crate) fn next_deadline(&self, config: &GateConfig) -> Option<Instant> {
        let queued = (self.state() == JobState::Queued).then(|| self.accepted_at + config.dispatch_wait);
        let lost = self.datacenters.values().filter(|part| part.outcome.is_none());
        let lost = lost.filter_map(|part| part.lost_since).min().map(|since| since + config.manager_wait);
        let kept = self.keeping_since.map(|since| since + KEEP_PATIENCE);
        let own = [queued, self.view_deadline(), self.cancel_deadline(), lost, kept];
        own.into_iter().flatten().min()
    }
}
