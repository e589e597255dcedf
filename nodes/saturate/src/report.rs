//! The result's model (`docs/reference/saturate.md`), in the order in which it is written.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::Hist;
use serde::Serialize;

use crate::knee::Knee;
use crate::tally::{OpTally, Tally, float, quantile};
use crate::{Op, Target};

/// The schema this build writes.
pub(crate) const SCHEMA: &str = "hyperscale.saturate/1";

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub schema: &'static str,
    /// What was loaded: `gate` or `manager`.
    pub target: &'static str,
    /// Its address.
    pub gate: String,
    /// Its build.
    pub gate_version: String,
    pub gate_shards: u16,
    /// `held`, `not_held`, `knee`, `no_knee`, `driver_limited`, `interrupted` or `failed`.
    pub verdict: &'static str,
    /// How often a manager lost the gate that is played to it, and came back.
    pub relinks: u32,
    /// Why it failed; else empty.
    pub error: String,
    pub setup: Setup,
    pub bound: BoundRow,
    pub knee: Option<KneeRow>,
    pub exactness: Exactness,
    pub kinds: Vec<KindRow>,
    pub steps: Vec<StepRow>,
    pub seconds: Vec<SecondRow>,
}

/// Who was played.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setup {
    pub load: &'static str,
    pub mix: String,
    pub managers: u16,
    pub clients: u16,
    /// Played to a manager; 0 for a gate, whose workers are only told of.
    pub workers: u16,
    pub jobs: u32,
    pub sources_per_job: usize,
    pub steps_per_job: u16,
    pub buckets: u16,
    pub subscribers: u16,
    pub obeys_levels: bool,
}

/// When a step holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoundRow {
    pub p99_ms: f64,
    pub goodput: f64,
}

/// The highest rate that held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KneeRow {
    pub rate_per_s: f64,
    /// The lowest rate that did not hold.
    pub above_per_s: Option<f64>,
    /// Repetitions at this rate that held, of so many.
    pub held: u32,
    pub of: u32,
    /// At least this share of such steps holds, with 95 % confidence.
    pub holds_at_least: f64,
}

impl From<Knee> for KneeRow {
    fn from(knee: Knee) -> Self {
        Self {
            rate_per_s: knee.rate,
            above_per_s: knee.above,
            held: knee.held,
            of: knee.of,
            holds_at_least: knee.confidence(),
        }
    }
}

/// Whether the node holds what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Exactness {
    /// Every result came, and each is equal in all counts and in every bucket of its histogram.
    pub exact: bool,
    pub jobs: u64,
    pub equal: u64,
    pub different: u64,
    /// Jobs whose result did not come.
    pub missing: u64,
    /// Requests told to the node, and those in its results.
    pub requests_sent: u64,
    pub requests_reported: u64,
    /// Requests in the windows that the node showed of the long jobs before their end, and those in the windows told.
    pub requests_viewed: u64,
    pub requests_in_windows: u64,
    /// The first differences, in words.
    pub differences: Vec<String>,
}

/// Times in ms.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Times {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Times {
    /// Of a histogram.
    #[must_use]
    pub fn of(hist: &Hist) -> Self {
        let at = |ppm| millis(quantile(hist, ppm));
        Self {
            p50: at(500_000),
            p90: at(900_000),
            p99: at(990_000),
            p999: at(999_000),
            max: millis(Duration::from_nanos(hist.max().unwrap_or(0))),
        }
    }
}

/// One kind of load over all steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindRow {
    pub kind: &'static str,
    pub message: &'static str,
    /// `critical`, `high`, `normal` or `low`: a node sheds the last first.
    pub class: &'static str,
    pub due: u64,
    pub sent: u64,
    pub answered: u64,
    /// Sources of statistics in what was answered: worker shards of a snapshot, one of a manager's sum.
    pub updates: u64,
    /// What of what was due these answers did; more than `answered` where windows were merged.
    pub told: u64,
    pub merged: u64,
    pub unsent: u64,
    pub unanswered: u64,
    pub refused: BTreeMap<&'static str, u64>,
    pub latency_ms: Times,
}

impl KindRow {
    pub(crate) fn of(op: Op, target: Target, tally: &OpTally) -> Self {
        use hyperscale_codec::Priority;
        Self {
            kind: op.name(),
            message: op.kind(target).name(),
            class: match op.kind(target).priority() {
                Priority::Critical => "critical",
                Priority::High => "high",
                Priority::Normal => "normal",
                Priority::Low => "low",
            },
            due: tally.due,
            sent: tally.sent,
            answered: tally.answered,
            updates: tally.updates,
            told: tally.told,
            merged: tally.merged,
            unsent: tally.unsent,
            unanswered: tally.unanswered,
            refused: tally.refused.clone(),
            latency_ms: Times::of(&tally.latency),
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRow {
    pub step: u32,
    /// What it was for: `measure`, or of a ramp `range`, `bisect` or `repeat`.
    pub phase: &'static str,
    /// Rate that was asked for; of a closed load none.
    pub rate_per_s: Option<f64>,
    /// Answered a second.
    pub answered_per_s: f64,
    /// Sources of statistics in what was answered, a second.
    pub updates_per_s: f64,
    /// The same, with each window of a merged message: what the gate was told a second.
    pub told_per_s: f64,
    pub goodput: f64,
    pub refused: u64,
    pub unsent: u64,
    pub unanswered: u64,
    /// From due to the answer, all kinds.
    pub latency_ms: Times,
    /// From sent to the answer.
    pub service_p99_ms: f64,
    /// From due to sent: what the driver itself adds.
    pub lateness_p99_ms: f64,
    /// Of all cores' time that one core has; the command line fills it in.
    pub driver_cpu: Option<f64>,
    /// Acknowledgements by level, none to reject.
    pub levels: [u64; 4],
    pub pushes: u64,
    pub holds: bool,
    /// What broke the bound.
    pub why: &'static str,
}

impl StepRow {
    pub(crate) fn of(tally: &Tally, length: Duration, p99: Duration, goodput: f64) -> Self {
        let latency = tally.latency();
        let (mut unsent, mut unanswered) = (0, 0);
        for (_, op) in tally.ops() {
            unsent += op.unsent;
            unanswered += op.unanswered;
        }
        let done = tally.goodput();
        let late = quantile(&tally.lateness, 990_000);
        let service = quantile(&tally.service, 990_000);
        let slow = quantile(&latency, 990_000) > p99;
        // The gate answered in time what it was asked late.
        let driver = slow && service <= p99 && late > p99 / 4;
        let why = match (slow, done < goodput) {
            (false, false) => "",
            (true, _) if driver => "driver",
            (true, true) => "latency and goodput",
            (true, false) => "latency",
            // Answers that were throttled are the gate's wish, and a limit all the same.
            (false, true) if tally.merged() * 2 > tally.due() - tally.answered() => "backpressure",
            (false, true) => "goodput",
        };
        let per_s = |count| float(count) / length.as_secs_f64().max(1e-9);
        Self {
            step: 0,
            phase: "measure",
            rate_per_s: None,
            answered_per_s: per_s(tally.answered()),
            updates_per_s: per_s(tally.updates()),
            told_per_s: per_s(tally.told()),
            goodput: done,
            refused: tally.refused(),
            unsent,
            unanswered,
            latency_ms: Times::of(&latency),
            service_p99_ms: millis(service),
            lateness_p99_ms: millis(late),
            driver_cpu: None,
            levels: tally.levels,
            pushes: tally.pushes,
            holds: why.is_empty(),
            why,
        }
    }
}

/// One second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SecondRow {
    /// Since the first step began.
    pub second: u32,
    pub step: u32,
    pub rate_per_s: Option<f64>,
    pub sent: u64,
    pub answered: u64,
    pub refused: u64,
    /// Open at the end of the second.
    pub open: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub lateness_p99_ms: f64,
    /// Acknowledgements by level, none to reject.
    pub levels: [u64; 4],
    /// How loaded the node told that it is: 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    pub gate_overload: u8,
}

impl Report {
    /// The JSON that `--json` writes.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string and every number finite, so this does not fail; an empty object says so if it did.
        serde_json::to_string_pretty(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
