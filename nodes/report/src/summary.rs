//! The summary's model, in the order in which it is written (`docs/reference/summary.md`).
//!
//! Adding a field keeps the schema's number; changing one raises it. A reader ignores fields it does not know, so a
//! newer writer can be read; fields marked *additive* came after the first ones and default where they lack.

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
    /// Why the job failed; empty otherwise. Additive.
    #[serde(default)]
    pub error: String,
    /// URL of the first request. Additive.
    #[serde(default)]
    pub target: String,
    /// RFC 3339.
    pub started_at: String,
    pub duration_s: f64,
    /// Iterations per second that were asked for, where the plan has one workflow of one constant rate. Additive.
    #[serde(default)]
    pub asked_rate_per_s: Option<f64>,
    pub totals: Totals,
    pub iterations: Iterations,
    pub latency_ms: Times,
    pub service_ms: Times,
    pub lateness_ms: Times,
    /// Of each TCP connect that succeeded; its `count` is the number of connections opened. Additive.
    #[serde(default)]
    pub connect_ms: Times,
    pub late_over_1ms_share: f64,
    /// Latency on a log scale, ten bars a decade, to be drawn. Additive.
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

    /// `started_at` as ms since 1970, or 0 if it cannot be read.
    #[must_use]
    pub fn started_unix_ms(&self) -> u64 {
        let stamp: Option<jiff::Timestamp> = self.started_at.parse().ok();
        stamp.and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok()).unwrap_or_default()
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
    /// Sum of `errors` by kind.
    pub errors: u64,
    /// Iterations due and never started; 0 in a step, which iterations have not reached.
    pub dropped: u64,
    /// Cut off in flight at the end; not in `requests`.
    pub cancelled: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub rate_per_s: f64,
    /// Requests without an error, per second.
    pub good_rate_per_s: f64,
    /// Sent more than 1 ms after they were due. Additive.
    #[serde(default)]
    pub late: u64,
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

/// Values above the bar before and at most `le_ms`, within the histogram's 0.78 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistributionBar {
    /// 1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3 or 8 times a power of ten.
    pub le_ms: f64,
    pub count: u64,
}

/// One workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowSummary {
    pub name: String,
    /// `completed`, `failed`, `cancelled`, `skipped`, or how far it came.
    pub status: String,
    /// Why it failed; empty otherwise. Additive.
    #[serde(default)]
    pub error: String,
    /// Additive.
    #[serde(default)]
    pub duration_s: f64,
    /// Virtual users at most, and so connections. Additive.
    #[serde(default)]
    pub vus_max: u32,
    /// Iterations per second that were asked for, where the rate is constant. Additive.
    #[serde(default)]
    pub asked_rate_per_s: Option<f64>,
    /// Why iterations were dropped: `max_vus`, `max_wait`, `unsent_at_end`, `max_duration` or `cancelled`; `null`
    /// where none were. Additive.
    #[serde(default)]
    pub dropped_reason: Option<String>,
    pub totals: Totals,
    /// Additive.
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
    /// Additive.
    #[serde(default)]
    pub service_ms: Times,
    /// Additive.
    #[serde(default)]
    pub status_codes: BTreeMap<String, u64>,
    /// Additive.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
}

/// One threshold, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdSummary {
    /// As written in the plan, with single spaces.
    pub expression: String,
    pub passed: bool,
    /// With its unit, or `no samples`, which fails.
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
    /// How much of its data is missing.
    pub gap_ms: u64,
    /// `ok` or `saturated`. Additive.
    #[serde(default)]
    pub generator: String,
    /// By how much its wall clock is ahead of its manager's, and how far that may be off; `null` where they were never
    /// compared. Additive.
    #[serde(default)]
    pub clock_offset_ms: Option<f64>,
    /// Additive.
    #[serde(default)]
    pub clock_error_ms: Option<f64>,
}

/// Something worth a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSummary {
    pub at_s: f64,
    pub kind: String,
    pub detail: String,
}
