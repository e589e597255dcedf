//! The end of a job: the last datacenter's result, the summary, the one terminal state.

use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedDcFinalResult, DcFinalResult, DcFinalResultAck, JobFinalResult, JobState, ROWS_MAX,
    StatsFinalAck, WorkerState,
};
use hyperscale_codec::{ErrorCode, Head, Hist, JobId, NodeId, RawFrame, WorkflowId, to_owned};
use hyperscale_core::{Instant, LinkId};
use hyperscale_ledger::GateEntry;
use hyperscale_report::{ClockInput, DatacenterInput, SummaryInput, WorkerInput, WorkflowInput, summarize};
use hyperscale_stats::{CellSet, Source};

use crate::core::{Command, GateCore, GateEffects, refuse};
use crate::job::{DcOutcome, GateJob, Running};
use crate::subscribers::push_view;

impl GateCore {
    pub(crate) fn on_dc_final(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        archived: &ArchivedDcFinalResult,
        effects: &mut GateEffects,
    ) {
        let Ok(told) = to_owned::<DcFinalResult>(archived) else {
            refuse(effects, link, frame, ErrorCode::Malformed, "the result could not be read".to_owned());
            return;
        };
        let id = JobId::from_bytes(told.job);
        let ack = DcFinalResultAck { job: told.job, attempt: told.attempt };
        let Some(job) = self.jobs.get_mut(&id) else {
            refuse(effects, link, frame, ErrorCode::UnknownJob, format!("no job {id} is known here"));
            return;
        };
        let token = job.token;
        let Some(part) = job.datacenters.get_mut(&told.datacenter) else {
            let text = format!("job {id} has no part in datacenter {:?}", told.datacenter);
            refuse(effects, link, frame, ErrorCode::Invalid, text);
            return;
        };
        if part.finished {
            effects.send(link, Head::reply(frame.header.correlation).job(id), &ack);
            return;
        }
        // Its registration may have been shed: with the end taken before the figures are, those would be missing.
        let comes_back = self.links.get(&link).is_some_and(|link| link.node == part.manager);
        if part.outcome.is_none() && part.link != link && comes_back {
            let text = format!("the manager of job {id} has not registered on this connection yet");
            refuse(effects, link, frame, ErrorCode::Unavailable, text);
            return;
        }
        if part.outcome.is_none() {
            part.outcome = Some(DcOutcome {
                state: JobState::from_wire(told.outcome),
                unheard: false,
                error: told.error,
                workflows: told.workflows,
                workers: told.workers,
                duration: Duration::from_micros(told.duration_us),
                started_unix_ms: told.started_unix_ms,
            });
            let attempt = part.attempt;
            job.events.extend(told.events.into_iter().take(64));
            job.view.forget(link);
            let datacenter = told.datacenter;
            self.forget_part(id, &datacenter);
            effects.command(Command::Propose(GateEntry::DcFinished { job: id, token, datacenter, attempt }));
        }
        effects.send(link, Head::reply(frame.header.correlation).job(id), &ack);
    }

    pub(crate) fn on_dc_finished(&mut self, id: JobId, datacenter: &str, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Some(part) = job.datacenters.get_mut(datacenter) {
            part.finished = true;
        }
        if !job.all_finished() || job.state().is_final() {
            return;
        }
        let outcomes = || job.datacenters.values().filter_map(|part| part.outcome.as_ref());
        let failed = outcomes().find(|outcome| outcome.state == JobState::Failed);
        let (state, error) = if job.cancel_since.is_some() {
            (JobState::Cancelled, String::new())
        } else if let Some(failed) = failed {
            (JobState::Failed, failed.error.clone())
        } else if outcomes().any(|outcome| outcome.state == JobState::Cancelled) {
            (JobState::Cancelled, String::new())
        } else {
            (JobState::Completed, String::new())
        };
        self.finish(id, state, error, effects);
    }

    /// Settles the outcome and proposes the end.
    pub(crate) fn finish(&mut self, id: JobId, state: JobState, error: String, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.result.is_some() {
            return;
        }
        push_view(job, self.now, effects);
        if job.state() == JobState::Dispatching {
            job.go(JobState::Running);
        }
        if job.state() == JobState::Running {
            job.go(JobState::Completing);
        }
        job.error = error;
        tell_missing(job, self.now);
        let input = summary_input(job, state, self.config.wall.unix_ms(job.accepted_at));
        let mut summary = summarize(&input);
        summary.partial |=
            job.datacenters.values().any(|part| part.outcome.as_ref().is_some_and(|it| it.unheard));
        let (requests, errors, dropped) =
            (summary.totals.requests, summary.totals.errors, summary.totals.dropped);
        let result = JobFinalResult {
            job: id.to_bytes(),
            fence_token: job.token,
            seq: job.seq + 1,
            outcome: state.to_wire(),
            partial: summary.partial,
            summary: summary.to_json(),
            latency: all_latency(&input).to_sparse(),
        };
        let cells: Vec<CellSet> = input.workflows.into_iter().map(|workflow| workflow.cells).collect();
        // A window that was lost is told of as late as this.
        let shown = job.running;
        if (shown.requests, shown.errors, shown.dropped) != (requests, errors, dropped) {
            job.windows.meet(&cells);
        }
        job.running = Running { requests, errors, dropped };
        job.result = Some(Arc::new(result));
        job.done_at = Some(self.now);
        let token = job.token;
        // Where it is kept, its end is told when it is: who was told it finds it after a restart.
        if !self.keep(id, &cells, effects) {
            effects.command(Command::Propose(GateEntry::JobFinished { job: id, token }));
        }
    }

    pub(crate) fn on_finished(&mut self, id: JobId, effects: &mut GateEffects) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(result) = job.result.clone() else { return };
        let state = JobState::from_wire(result.outcome);
        if state == JobState::Cancelled && job.state() != JobState::Cancelling {
            job.go(JobState::Cancelling);
        }
        job.go(state);
        // That is when its result was made, whatever it took to keep it.
        job.ended_at = job.done_at.or(Some(now));
        job.let_go();
        self.live.remove(&id);
        job.seq = result.seq;
        self.answer_cancellers(id, effects);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        for subscriber in &job.subscribers {
            effects.send(subscriber.link, Head::default().job(id), result.as_ref());
        }
        for part in job.datacenters.values() {
            acknowledge_finals(id, part.link, part.finals.iter().copied(), effects);
        }
        self.tell_if_drained(effects);
    }

    pub(crate) fn on_result_acked(&mut self, link: LinkId, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.subscribers.retain(|subscriber| subscriber.link != link);
        }
    }
}

/// The job has ended: workers need not keep a datacenter's finals any longer. Said again to a manager that comes back, for
/// it may not have heard of it.
pub(crate) fn acknowledge_finals(
    id: JobId,
    link: LinkId,
    finals: impl Iterator<Item = Source>,
    effects: &mut GateEffects,
) {
    let finals: Vec<Source> = finals.collect();
    for some in finals.chunks(ROWS_MAX) {
        let ack = StatsFinalAck {
            job: id.to_bytes(),
            source_worker: some.iter().map(|source| source.worker.to_bytes()).collect(),
            source_shard: some.iter().map(|source| source.shard.0).collect(),
            source_epoch: some.iter().map(|source| source.epoch.0).collect(),
        };
        effects.send(link, Head::default().job(id), &ack);
    }
}

/// Figures that a datacenter sent and this gate does not hold: the result is partial and says so.
fn tell_missing(job: &mut GateJob, now: Instant) {
    let workers =
        job.datacenters.values().filter_map(|part| part.outcome.as_ref()).flat_map(|told| &told.workers);
    let missing: Vec<String> = workers
        .filter(|told| WorkerState::from_wire(told.state) == WorkerState::Ok)
        .filter(|told| job.worker_state(told) != WorkerState::Ok)
        .map(|told| told.name.clone())
        .collect();
    for name in missing {
        tracing::error!(job = %job.id, worker = name, "last figures of a worker are missing; the result is partial");
        job.event(now, "statistics_missing", format!("last figures of worker {name} did not arrive"));
    }
}

fn all_latency(input: &SummaryInput<'_>) -> Hist {
    let mut all = Hist::new();
    input
        .workflows
        .iter()
        .flat_map(|workflow| workflow.cells.steps())
        .for_each(|cell| all.merge(&cell.latency));
    all
}

/// Everything the report needs, from what this gate holds.
fn summary_input(job: &GateJob, state: JobState, accepted_unix_ms: u64) -> SummaryInput<'_> {
    let outcomes = || job.datacenters.iter().filter_map(|(name, part)| Some((name, part.outcome.as_ref()?)));
    let ids = || (0_u32..).map(WorkflowId).zip(&job.plan.workflows);
    let workflows = ids().map(|(id, workflow)| WorkflowInput {
        workflow,
        state: workflow_state(job, id),
        error: outcomes()
            .flat_map(|(_, outcome)| &outcome.workflows)
            .find(|told| told.workflow == id.0 && !told.error.is_empty())
            .map_or_else(String::new, |told| told.error.clone()),
        duration: outcomes()
            .flat_map(|(_, outcome)| &outcome.workflows)
            .filter(|told| told.workflow == id.0)
            .map(|told| Duration::from_micros(told.duration_us))
            .max()
            .unwrap_or_default(),
        cells: job.totals.sum(id),
    });
    let datacenters = outcomes().map(|(name, outcome)| DatacenterInput {
        name: name.clone(),
        cells: ids().map(|(id, _)| sum_of_workers(job, id, outcome)).collect(),
    });
    let workers = outcomes().flat_map(|(name, outcome)| {
        outcome.workers.iter().map(|worker| WorkerInput {
            name: worker.name.clone(),
            datacenter: name.clone(),
            shards: worker.shards,
            requests: job.totals.requests_of(NodeId::from_bytes(worker.worker)),
            state: job.worker_state(worker),
            gap_ms: worker.gap_ms,
            generator_ok: worker.generator_ok,
            clock: (worker.clock_error_us < u64::MAX)
                .then_some(ClockInput { offset_us: worker.clock_offset_us, error_us: worker.clock_error_us }),
        })
    });
    let started = outcomes().map(|(_, outcome)| outcome.started_unix_ms).filter(|&ms| ms > 0).min();
    SummaryInput {
        job: job.id,
        plan: &job.plan,
        state,
        error: job.error.clone(),
        started_unix_ms: started.unwrap_or(accepted_unix_ms),
        duration: outcomes().map(|(_, outcome)| outcome.duration).max().unwrap_or_default(),
        workflows: workflows.collect(),
        datacenters: datacenters.collect(),
        workers: workers.collect(),
        events: job.events.clone(),
    }
}

fn sum_of_workers(job: &GateJob, id: WorkflowId, outcome: &DcOutcome) -> CellSet {
    let nodes: Vec<NodeId> = outcome.workers.iter().map(|worker| NodeId::from_bytes(worker.worker)).collect();
    job.totals.sum_where(id, |source| nodes.contains(&source.worker))
}

/// A workflow's state over all datacenters: the worst that any told.
fn workflow_state(job: &GateJob, id: WorkflowId) -> hyperscale_codec::messages::WorkflowState {
    use hyperscale_codec::messages::WorkflowState;
    let told = job.datacenters.values().filter_map(|part| part.outcome.as_ref());
    let states: Vec<WorkflowState> = told
        .flat_map(|outcome| &outcome.workflows)
        .filter(|told| told.workflow == id.0)
        .map(|told| WorkflowState::from_wire(told.state))
        .collect();
    let worst =
        [WorkflowState::Failed, WorkflowState::Cancelled, WorkflowState::Skipped, WorkflowState::Running];
    let found = worst.into_iter().find(|state| states.contains(state));
    found.or(states.first().copied()).unwrap_or(WorkflowState::Pending)
}
