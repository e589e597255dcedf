//! The summary's model. Adding a field keeps the schema's number; changing one raises it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The schema this build writes.
pub(crate) const SCHEMA: &str = "hyperscale.summary/1";

/// One job's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub schema: String,
    pub job_id: String,
    pub name: String,
    /// `completed`, `failed` or `cancelled`.
    pub status: String,
    /// Whether some of the data is missing.
    pub partial: bool,
    /// `ok` or `saturated`.
    pub generator: String,
    /// Why the job failed; empty otherwise.
    #[serde(default)]
    pub error: String,
    /// Where the first workflow's requests went.
    #[serde(default)]
    pub target: String,
    /// RFC 3339.
    pub started_at: String,
    pub duration_s: f64,
    /// Requests (or iterations) per second that were asked for, where a rate was.
    #[serde(default)]
    pub asked_rate_per_s: Option<f64>,
    pub totals: Totals,
    pub iterations: Iterations,
    pub latency_ms: Times,
    pub service_ms: Times,
    pub lateness_ms: Times,
    #[serde(default)]
    pub connect_ms: Times,
    pub late_over_1ms_share: f64,
    /// Latency by powers of two, to be drawn.
    #[serde(default)]
    pub distribution: Vec<DistributionBar>,
    pub status_codes: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
    pub workflows: Vec<WorkflowSummary>,
    pub thresholds: Vec<ThresholdSummary>,
    pub datacenters: Vec<DatacenterSummary>,
    pub workers: Vec<WorkerSummary>,
    pub events: Vec<EventSummary>,
}

impl Summary {
    /// The JSON that `--json` writes and a gate sends.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string and every number finite, so this does not fail; an empty object says so if it did.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Reads a summary, also of a newer writer.
    ///
    /// # Errors
    /// When the text is no summary.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Counts of requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Responses and errors alike.
    pub requests: u64,
    pub errors: u64,
    /// Iterations due and never started.
    pub dropped: u64,
    /// Cut off in flight at the end; not in `requests`.
    pub cancelled: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub rate_per_s: f64,
    pub good_rate_per_s: f64,
}

/// Counts of iterations; `due = started + dropped`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Iterations {
    pub due: u64,
    pub started: u64,
    pub completed: u64,
    pub interrupted: u64,
    pub dropped: u64,
}

/// Times in ms; `null` without samples.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Times {
    pub count: u64,
    pub min: Option<f64>,
    pub mean: Option<f64>,
    pub stdev: Option<f64>,
    pub p50: Option<f64>,
    pub p75: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p99_9: Option<f64>,
    pub p99_99: Option<f64>,
    pub max: Option<f64>,
}

/// Values above the bar before and at most `le_ms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistributionBar {
    pub le_ms: f64,
    pub count: u64,
}

/// One workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowSummary {
    pub name: String,
    pub status: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub duration_s: f64,
    pub totals: Totals,
    #[serde(default)]
    pub iterations: Iterations,
    pub latency_ms: Times,
    pub steps: Vec<StepSummary>,
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSummary {
    pub name: String,
    pub totals: Totals,
    pub latency_ms: Times,
    #[serde(default)]
    pub service_ms: Times,
    #[serde(default)]
    pub status_codes: BTreeMap<String, u64>,
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
}

/// One threshold, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdSummary {
    pub expression: String,
    pub passed: bool,
    pub observed: String,
}

/// One datacenter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatacenterSummary {
    pub name: String,
    pub totals: Totals,
    pub latency_ms: Times,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerSummary {
    pub name: String,
    pub datacenter: String,
    pub shards: u32,
    pub requests: u64,
    /// `ok`, `partial` or `lost`.
    pub state: String,
    pub gap_ms: u64,
}

/// Something worth a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSummary {
    pub at_s: f64,
    pub kind: String,
    pub detail: String,
}
