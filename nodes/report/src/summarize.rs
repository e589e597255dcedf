//! From what a gate holds at a job's end to the summary.

use std::time::Duration;

use hyperscale_codec::JobId;
use hyperscale_codec::messages::{JobEvent, JobState, WorkerState, WorkflowState};
use hyperscale_plan::{Load, Plan, Step, Workflow};
use hyperscale_stats::{Cell, CellSet};
use jiff::Timestamp;

use crate::figures::{distribution, errors, iterations, status_codes, sum_of, times, totals};
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
        generator: if sound { "ok" } else { "saturated" }.to_owned(),
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
                let dropped = datacenter.cells.iter().map(|cells| cells.workflow().dropped).sum();
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

fn worker_summary(worker: &WorkerInput) -> WorkerSummary {
    WorkerSummary {
        name: worker.name.clone(),
        datacenter: worker.datacenter.clone(),
        shards: worker.shards,
        requests: worker.requests,
        state: worker.state.as_str().to_owned(),
        gap_ms: worker.gap_ms,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a job lasts less than 2^53 ms")]
fn event_summary(event: &JobEvent) -> EventSummary {
    EventSummary { at_s: event.at_ms as f64 / 1e3, kind: event.kind.clone(), detail: event.detail.clone() }
}

fn target(plan: &Plan) -> String {
    let mut requests = plan.workflows.iter().flat_map(|workflow| &workflow.steps).filter_map(|step| match step {
        Step::Request(request) => Some(&request.url),
        Step::Think(_) => None,
    });
    requests.next().map_or_else(String::new, |url| format!("http://{}{}", url.authority, url.path))
}

/// The rate of a plan with one open workflow of a constant rate; others have no single number to compare with.
fn asked_rate(plan: &Plan) -> Option<f64> {
    let [workflow] = plan.workflows.as_slice() else { return None };
    let Load::Open(open) = &workflow.load else { return None };
    open.stages.iter().all(|stage| stage.rate.to_bits() == open.start_rate.to_bits()).then_some(open.start_rate)
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

#[allow(clippy::cast_precision_loss, reason = "a share is shown with fewer digits than f64 has")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e6).round() / 1e6 }
}

fn rfc3339(unix_ms: u64) -> String {
    let stamp = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.unwrap_or_default().to_string()
}
