//! From what a gate holds at a job's end to the summary.
//!
//! In: merged cells per workflow and per datacenter, what became of each worker. Sums add up by construction: a
//! job's totals are the sum over its workflows' steps, and so are a workflow's. Pure.

use std::time::Duration;

use hyperscale_codec::JobId;
use hyperscale_codec::messages::{JobEvent, JobState, WorkerState, WorkflowState};
use hyperscale_plan::{LatePolicy, Load, Plan, Step, Workflow};
use hyperscale_stats::{Cell, CellSet};
use jiff::Timestamp;

use crate::figures::{distribution, errors, iterations, status_codes, sum_of, times, totals};
use crate::numbers::seconds;
use crate::summary::{
    DatacenterSummary, EventSummary, SCHEMA, StepSummary, Summary, WorkerSummary, WorkflowSummary,
};
use crate::thresholds::judge;

/// Everything a summary is made of.
#[derive(Debug)]
pub struct SummaryInput<'a> {
    pub job: JobId,
    pub plan: &'a Plan,
    pub state: JobState,
    /// Why the job failed.
    pub error: String,
    pub started_unix_ms: u64,
    pub duration: Duration,
    /// In plan order.
    pub workflows: Vec<WorkflowInput<'a>>,
    pub datacenters: Vec<DatacenterInput>,
    pub workers: Vec<WorkerInput>,
    pub events: Vec<JobEvent>,
}

/// One workflow's part.
#[derive(Debug)]
pub struct WorkflowInput<'a> {
    pub workflow: &'a Workflow,
    pub state: WorkflowState,
    pub error: String,
    pub duration: Duration,
    pub cells: CellSet,
}

/// One datacenter's part.
#[derive(Debug)]
pub struct DatacenterInput {
    pub name: String,
    /// In plan order.
    pub cells: Vec<CellSet>,
}

/// One worker's part.
#[derive(Debug)]
pub struct WorkerInput {
    pub name: String,
    pub datacenter: String,
    pub shards: u32,
    pub requests: u64,
    pub state: WorkerState,
    pub gap_ms: u64,
    pub generator_ok: bool,
    /// Its clock against its manager's, if they were compared.
    pub clock: Option<ClockInput>,
}

/// By how much a clock is ahead of another, and how far that may be off, in us.
#[derive(Debug, Clone, Copy)]
pub struct ClockInput {
    pub offset_us: i64,
    pub error_us: u64,
}

/// Makes the summary.
#[must_use]
pub fn summarize(input: &SummaryInput<'_>) -> Summary {
    let whole = sum_of(input.workflows.iter().map(|workflow| &workflow.cells));
    let mut rounds = Cell::default();
    input.workflows.iter().for_each(|workflow| rounds.merge(workflow.cells.workflow()));
    let sound = input.workers.iter().all(|worker| worker.generator_ok);
    let partial = input.workers.iter().any(|worker| worker.state != WorkerState::Ok);
    Summary {
        schema: SCHEMA.to_owned(),
        job_id: input.job.to_string(),
        name: input.plan.name.clone(),
        status: input.state.as_str().to_owned(),
        partial,
        generator: generator(sound),
        error: input.error.clone(),
        target: target(input.plan),
        started_at: rfc3339(input.started_unix_ms),
        duration_s: seconds(input.duration),
        asked_rate_per_s: asked_rate(input.plan),
        totals: totals(&whole, rounds.dropped, input.duration),
        iterations: iterations(&rounds),
        latency_ms: times(&whole.latency),
        service_ms: times(&whole.service),
        lateness_ms: times(&whole.lateness),
        connect_ms: times(&whole.connect),
        late_over_1ms_share: share(whole.late, whole.lateness.count()),
        distribution: distribution(&whole.latency),
        status_codes: status_codes(&whole),
        errors: errors(&whole),
        workflows: input.workflows.iter().map(workflow_summary).collect(),
        thresholds: input.plan.thresholds.iter().map(|threshold| judge(threshold, input)).collect(),
        datacenters: input
            .datacenters
            .iter()
            .map(|datacenter| {
                let sum = sum_of(&datacenter.cells);
                let dropped = datacenter.cells.iter().map(|cells| cells.workflow().dropped);
                let dropped = dropped.fold(0, u64::saturating_add);
                DatacenterSummary {
                    name: datacenter.name.clone(),
                    totals: totals(&sum, dropped, input.duration),
                    latency_ms: times(&sum.latency),
                }
            })
            .collect(),
        workers: input.workers.iter().map(worker_summary).collect(),
        events: input.events.iter().map(event_summary).collect(),
    }
}

fn workflow_summary(input: &WorkflowInput<'_>) -> WorkflowSummary {
    let sum = input.cells.sum_of_steps();
    let requests = input.workflow.steps.iter().zip(input.cells.steps());
    WorkflowSummary {
        name: input.workflow.name.clone(),
        status: input.state.as_str().to_owned(),
        error: input.error.clone(),
        duration_s: seconds(input.duration),
        vus_max: vus_max(input.workflow),
        asked_rate_per_s: constant_rate(input.workflow),
        dropped_reason: dropped_reason(input).map(str::to_owned),
        totals: totals(&sum, input.cells.workflow().dropped, input.duration),
        iterations: iterations(input.cells.workflow()),
        latency_ms: times(&sum.latency),
        steps: requests
            .filter(|(step, _)| matches!(step, Step::Request(_)))
            .map(|(step, cell)| StepSummary {
                name: step.name().to_owned(),
                totals: totals(cell, 0, input.duration),
                latency_ms: times(&cell.latency),
                service_ms: times(&cell.service),
                status_codes: status_codes(cell),
                errors: errors(cell),
            })
            .collect(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "clocks differ by less than 2^53 us")]
fn worker_summary(worker: &WorkerInput) -> WorkerSummary {
    WorkerSummary {
        name: worker.name.clone(),
        datacenter: worker.datacenter.clone(),
        shards: worker.shards,
        requests: worker.requests,
        state: worker.state.as_str().to_owned(),
        gap_ms: worker.gap_ms,
        generator: generator(worker.generator_ok),
        clock_offset_ms: worker.clock.map(|clock| clock.offset_us as f64 / 1e3),
        clock_error_ms: worker.clock.map(|clock| clock.error_us as f64 / 1e3),
    }
}

fn generator(ok: bool) -> String {
    if ok { "ok" } else { "saturated" }.to_owned()
}

#[allow(clippy::cast_precision_loss, reason = "a job lasts less than 2^53 ms")]
fn event_summary(event: &JobEvent) -> EventSummary {
    EventSummary { at_s: event.at_ms as f64 / 1e3, kind: event.kind.clone(), detail: event.detail.clone() }
}

fn target(plan: &Plan) -> String {
    let mut requests =
        plan.workflows.iter().flat_map(|workflow| &workflow.steps).filter_map(|step| match step {
            Step::Request(request) => Some(&request.url),
            Step::Think(_) => None,
        });
    requests.next().map_or_else(String::new, |url| format!("http://{}{}", url.authority, url.path))
}

/// The rate of a plan with one workflow; several have no single number to compare with.
fn asked_rate(plan: &Plan) -> Option<f64> {
    match plan.workflows.as_slice() {
        [workflow] => constant_rate(workflow),
        _ => None,
    }
}

fn constant_rate(workflow: &Workflow) -> Option<f64> {
    let Load::Open(open) = &workflow.load else { return None };
    let constant = open.stages.iter().all(|stage| stage.rate.to_bits() == open.start_rate.to_bits());
    constant.then_some(open.start_rate)
}

fn vus_max(workflow: &Workflow) -> u32 {
    match &workflow.load {
        Load::Open(open) => open.max_vus,
        Load::Closed(closed) => {
            closed.stages.iter().map(|stage| stage.vus).chain([closed.start_vus]).max().unwrap_or_default()
        }
    }
}

/// Why iterations were dropped. The load model leaves one reason each, but for a cancel, which ends any.
fn dropped_reason(input: &WorkflowInput<'_>) -> Option<&'static str> {
    if input.cells.workflow().dropped == 0 {
        return None;
    }
    Some(match &input.workflow.load {
        Load::Open(open) => match open.late {
            LatePolicy::DropAfter(Duration::ZERO) => "max_vus",
            LatePolicy::DropAfter(_) => "max_wait",
            LatePolicy::Wait => "unsent_at_end",
        },
        Load::Closed(_) if input.state == WorkflowState::Cancelled => "cancelled",
        Load::Closed(_) => "max_duration",
    })
}

#[allow(clippy::cast_precision_loss, reason = "a share is shown with fewer digits than f64 has")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e6).round() / 1e6 }
}

fn rfc3339(unix_ms: u64) -> String {
    let stamp = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.unwrap_or_default().to_string()
}

#[cfg(test)]
pub(crate) mod tests;
