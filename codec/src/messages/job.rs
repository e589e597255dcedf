//! The conversation about jobs: submit, dispatch, start, report, cancel (`spec.md` 4, 11, 14, 15.1).
//!
//! A plan travels as its TOML text after substitution, with its SHA-256. Times are remaining durations in ms;
//! an absolute wall-clock time is information only.

use rkyv::{Archive, Deserialize, Serialize};

use crate::hist::SparseHist;

/// Client to gate: run this plan. Answered by [`JobAck`] once the job is committed.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobSubmit {
    /// The plan's TOML text after substitution; at most 1 MiB.
    pub plan: String,
    /// SHA-256 of `plan`.
    pub plan_sha256: [u8; 32],
    /// Chosen by the client; a repeat of the same key and plan gets the same answer.
    pub idempotency: [u8; 16],
    /// Whether status pushes and the final result shall follow on this connection.
    pub follow: bool,
    /// Whether pushes shall carry each window's latency histogram.
    pub histograms: bool,
}

/// Gate to client: the job is accepted and durable.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobAck {
    pub job: [u8; 16],
    pub fence_token: u64,
    /// Node id of the owning gate.
    pub owner: [u8; 16],
    /// `host:port` of the owning shard.
    pub owner_addr: String,
    /// [`JobState`](crate::messages::JobState) as its number.
    pub state: u8,
    /// Whether pushes follow on this connection. Not so when the submission was passed on to its owner: then
    /// [`RegisterCallback`] at `owner_addr`.
    pub following: bool,
}

/// How does a job stand? Client or manager to gate. Passed on to the owner.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobStatusRequest {
    pub job: [u8; 16],
}

/// The owner's answer to [`JobStatusRequest`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobStatusResponse {
    pub job: [u8; 16],
    /// The plan's name.
    pub name: String,
    /// [`JobState`](crate::messages::JobState) as its number.
    pub state: u8,
    /// Why it failed; else empty.
    pub error: String,
    pub owner: [u8; 16],
    pub owner_name: String,
    pub owner_addr: String,
    pub fence_token: u64,
    /// By the owner's wall clock.
    pub accepted_unix_ms: u64,
    /// Since it was accepted, or how long it took.
    pub elapsed_ms: u64,
    pub requests: u64,
    pub errors: u64,
    pub dropped: u64,
    /// Datacenters that have a part of it.
    pub datacenters: Vec<String>,
}

/// B-2. Client to gate: tell me of this job on this connection. Passed on until the owner answers where it is.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct RegisterCallback {
    pub job: [u8; 16],
    /// The newest push the client has seen, 0 for none.
    pub last_seq: u64,
    pub follow: bool,
    /// Whether pushes shall carry each window's latency histogram.
    pub histograms: bool,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub view_ms: Option<u64>,
}

/// The answer to [`RegisterCallback`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct RegisterCallbackResponse {
    pub job: [u8; 16],
    /// Pushes follow on this connection. Else ask at `owner_addr`, or see `error`.
    pub success: bool,
    pub owner_addr: String,
    /// [`JobState`](crate::messages::JobState) as its number.
    pub state: u8,
    pub requests: u64,
    pub errors: u64,
    pub elapsed_ms: u64,
    /// Number of the newest push.
    pub seq: u64,
    pub error: String,
}

/// One part of a whole load: units `[unit_from, unit_from + unit_count)` of `units` equal ones.
///
/// Virtual user `v` belongs to unit `v mod units`, and so does arrival `i` of an open schedule; so shares add up
/// exactly for any split. A request budget is told as a number, because it moves while the job runs.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    pub unit_from: u32,
    pub unit_count: u32,
    pub units: u32,
    /// Iterations of this share where the workflow has a total (`-n`), else 0.
    pub iterations: u64,
}

/// Gate to manager: run this job's part in your datacenter.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct JobDispatch {
    pub job: [u8; 16],
    pub fence_token: u64,
    pub attempt: u32,
    pub datacenter: String,
    pub plan: String,
    pub plan_sha256: [u8; 32],
    /// The datacenter's part, in units.
    pub unit_from: u32,
    pub unit_count: u32,
    pub units: u32,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub weight: Option<u32>,
}

/// Manager to gate: taken on, or why not.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobDispatchAck {
    pub job: [u8; 16],
    pub attempt: u32,
    pub accepted: bool,
    pub dc_token: u64,
    pub error: String,
}

/// Manager to worker: prepare this share of a workflow.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowDispatch {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    /// 1 for the first shares of a workflow; load that moves gets the next number.
    pub revision: u32,
    pub fence_token: u64,
    pub dc_token: u64,
    pub plan: String,
    pub plan_sha256: [u8; 32],
    pub share: Share,
    /// Microseconds since the workflow's start at which this share begins; 0 but for load that another share had
    /// until then. `share.iterations` is what is left of a count.
    pub from_us: u64,
    /// Seeds the share's random draws (think times, Poisson arrivals).
    pub seed: u64,
}

/// Worker to manager: ready to start, or why not.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowDispatchAck {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    pub revision: u32,
    pub ready: bool,
    pub error: String,
}

/// Manager to worker: start, all together.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowStart {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    pub revision: u32,
    pub dc_token: u64,
    /// Microseconds from arrival to the workflow's start; 0 where it has started.
    pub start_in_us: u64,
    /// Microseconds since the workflow's start, for a share that joins it; else 0.
    pub elapsed_us: u64,
    /// Microseconds from the job's start to the workflow's start; aligns windows.
    pub job_elapsed_us: u64,
}

/// Manager to worker: this share ends early, others take the rest of its load. Idempotent.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ShareRevision {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    /// Of the share that is meant.
    pub revision: u32,
    pub dc_token: u64,
    /// Microseconds since the workflow's start. What is due at it or later is not this share's; in the past: now.
    pub until_us: u64,
}

/// Worker to manager: from when on the load is free for others.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ShareRevisionAck {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    pub revision: u32,
    pub in_force: bool,
    /// What is in force: not before `until_us` as asked, nor before anything that was sent already.
    pub until_us: u64,
    /// Why it is not in force; else empty.
    pub error: String,
}

/// Worker to manager: what became of a start.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowStatus {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    pub revision: u32,
    pub dc_token: u64,
    /// [`WorkflowState`](crate::messages::WorkflowState) as its number.
    pub state: u8,
    pub reason: String,
}

/// Worker to manager: its share of a workflow ended. Repeated until acknowledged.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct WorkflowFinalResult {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    pub revision: u32,
    pub dc_token: u64,
    /// [`WorkflowState`](crate::messages::WorkflowState) as its number: completed, failed or cancelled.
    pub outcome: u8,
    pub error: String,
    /// Shards of this worker that took part.
    pub shards: u32,
    /// One per shard: the epochs whose finals belong to this result.
    pub epochs: Vec<u64>,
    /// Whether the worker could keep its schedule; `false` is `generator: saturated`.
    pub generator_ok: bool,
    /// When its first request was due, in ms of the worker's wall clock; information only.
    pub started_unix_ms: u64,
    pub duration_us: u64,
    /// Of a count: iterations that were withdrawn before they started, and belong to other shares now.
    pub iterations_left: u64,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub restarts: u64,
}

/// Manager to worker.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowFinalResultAck {
    pub job: [u8; 16],
    pub workflow: u32,
    pub attempt: u32,
    pub revision: u32,
}

/// Manager to gate: how the workflows of its datacenter stand.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobProgress {
    pub job: [u8; 16],
    pub fence_token: u64,
    pub datacenter: String,
    /// Parallel columns: workflow index and [`WorkflowState`](crate::messages::WorkflowState).
    pub workflows: Vec<u32>,
    pub states: Vec<u8>,
    pub units_live: u32,
    pub units_planned: u32,
}

/// Gate to manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobProgressAck {
    pub job: [u8; 16],
    pub level: u8,
    pub delay_ms: u32,
}

/// What one worker did for a job; part of [`DcFinalResult`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkerOutcome {
    pub worker: [u8; 16],
    pub name: String,
    pub shards: u32,
    /// [`WorkerState`](crate::messages::WorkerState) as its number.
    pub state: u8,
    pub gap_ms: u64,
    pub generator_ok: bool,
    /// By how much the worker's wall clock is ahead of its manager's, and how far that may be off;
    /// `u64::MAX`: they were never compared.
    pub clock_offset_us: i64,
    pub clock_error_us: u64,
    /// Epochs of its shards. Their finals were sent before; a gate that does not hold so many lacks some.
    pub epochs: u32,
}

/// What became of one workflow in one datacenter; part of [`DcFinalResult`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowOutcome {
    pub workflow: u32,
    /// [`WorkflowState`](crate::messages::WorkflowState) as its number.
    pub state: u8,
    /// From its start to the end of its last share.
    pub duration_us: u64,
    pub error: String,
}

/// Something worth a line in the report; part of [`DcFinalResult`] and [`JobStatusPush`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// Milliseconds since the job's start.
    pub at_ms: u64,
    pub kind: String,
    pub detail: String,
}

/// Manager to gate: the job's part in this datacenter ended. Repeated until acknowledged.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct DcFinalResult {
    pub job: [u8; 16],
    pub fence_token: u64,
    pub datacenter: String,
    pub attempt: u32,
    /// [`JobState`](crate::messages::JobState) as its number: completed, failed or cancelled.
    pub outcome: u8,
    pub error: String,
    pub workflows: Vec<WorkflowOutcome>,
    pub workers: Vec<WorkerOutcome>,
    pub events: Vec<JobEvent>,
    /// From the job's start in this datacenter to the end of its last share.
    pub duration_us: u64,
    pub started_unix_ms: u64,
}

/// Gate to manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct DcFinalResultAck {
    pub job: [u8; 16],
    pub attempt: u32,
}

/// Gate to subscriber: one window of a running job. Exact totals, percentiles of the window.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobStatusPush {
    pub job: [u8; 16],
    pub fence_token: u64,
    /// Grows by one with each push of a job.
    pub seq: u64,
    /// [`JobState`](crate::messages::JobState) as its number.
    pub state: u8,
    /// The window this push tells of: milliseconds since the job's start.
    pub from_ms: u64,
    pub to_ms: u64,
    /// Of the window.
    pub requests: u64,
    pub errors: u64,
    pub dropped: u64,
    pub bytes_in: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
    pub lateness_p99_ns: u64,
    /// Since the job's start.
    pub total_requests: u64,
    pub total_errors: u64,
    /// Requests sent and not yet answered, at the window's end.
    pub in_flight: u64,
    pub events: Vec<JobEvent>,
    /// The window's latency, where the subscriber asked for histograms.
    pub latency: Option<SparseHist>,
}

/// Gate to subscriber: the job's one end.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobFinalResult {
    pub job: [u8; 16],
    pub fence_token: u64,
    pub seq: u64,
    /// [`JobState`](crate::messages::JobState) as its number.
    pub outcome: u8,
    pub partial: bool,
    /// The summary, JSON of schema `hyperscale.summary/1`.
    pub summary: String,
    /// Latency of all requests, for exports.
    pub latency: SparseHist,
}

/// Subscriber to gate.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobFinalResultAck {
    pub job: [u8; 16],
}

/// 20-1. Stop a job everywhere. Critical.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct JobCancelRequest {
    pub job_id: [u8; 16],
    pub requester_id: [u8; 16],
    /// Unix ms; information only.
    pub timestamp: u64,
    /// 0 from a client; else checked.
    pub fence_token: u64,
    pub reason: String,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub origin: Option<String>,
}

/// One datacenter's part of a [`JobCancelResponse`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct DcCancel {
    pub datacenter: String,
    pub success: bool,
    pub count: u32,
    pub error: String,
}

/// 20-1. The answer; a repeat gets the same one.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobCancelResponse {
    pub job_id: [u8; 16],
    pub success: bool,
    /// Workflows that were pending or running when the cancel was applied.
    pub cancelled_workflow_count: u32,
    pub error: String,
    /// [`JobState`](crate::messages::JobState) as its number.
    pub state: u8,
    pub per_dc: Vec<DcCancel>,
}

/// 20-1. Manager to worker.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowCancelRequest {
    pub job_id: [u8; 16],
    pub workflow_id: u32,
    pub attempt: u32,
    pub revision: u32,
    pub dc_token: u64,
    /// In-flight requests are cut this long after arrival.
    pub cut_after_ms: u32,
}

/// 20-1. Worker to manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct WorkflowCancelResponse {
    pub job_id: [u8; 16],
    pub workflow_id: u32,
    pub attempt: u32,
    pub revision: u32,
    /// [`CancelOutcome`](crate::messages::CancelOutcome) as its number.
    pub outcome: u8,
    pub in_flight_ended: u64,
    pub in_flight_cut: u64,
    pub never_started: u64,
}

/// Client to gate, and gate to gate: which jobs are there? Low.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobListRequest {
    /// Jobs with a greater id than this, as [`JobListResponse::next`] told it; zero: from the first.
    pub after: [u8; 16],
    /// Rows at most; 0 and more than 1,000 are 1,000.
    pub limit: u32,
}

/// One job as its owner sees it; part of [`JobListResponse`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobEntry {
    pub job: [u8; 16],
    pub name: String,
    /// [`JobState`](crate::messages::JobState) as its number.
    pub state: u8,
    /// Name of the gate that owns it.
    pub owner: String,
    pub fence_token: u64,
    pub accepted_unix_ms: u64,
    pub requests: u64,
    pub errors: u64,
}

/// The answer, in the order of the ids. Low.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct JobListResponse {
    pub jobs: Vec<JobEntry>,
    /// Ask again from here; zero: that was all.
    pub next: [u8; 16],
    /// Gates that did not answer in time; their jobs are missing.
    pub missing: Vec<String>,
}
