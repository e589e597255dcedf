//! A plan after parsing and validation: what is to be done, with nothing left to check.
//!
//! Bounds hold: at most 256 workflows, 1,024 steps in all; every index is valid; `after` has no cycle; every
//! duration and rate is finite and in range; every request has a full URL of a scheme the engine speaks.

use std::time::Duration;

/// One run, as the user wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub name: String,
    /// In the order of the file; `after` and `WorkflowId` are indexes into it.
    pub workflows: Vec<Workflow>,
    pub thresholds: Vec<Threshold>,
    /// Length of a statistics window; default 1 s, 100 ms to 10 s.
    pub window: Duration,
    pub placement: Placement,
}

/// Where the load comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub datacenters: Datacenters,
    /// Whether others take the part of a datacenter that cannot.
    pub fallback: bool,
}

impl Default for Placement {
    fn default() -> Self {
        Self { datacenters: Datacenters::All, fallback: true }
    }
}

/// Which datacenters drive the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datacenters {
    /// All that have workers, by their worker shards.
    All,
    /// So many, the best there are, by their worker shards.
    Best(u32),
    /// These, by their weights; no name twice, none without weight, at least one.
    Named(Vec<NamedShare>),
}

/// One datacenter's part of the load: its weight of the sum of all weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedShare {
    pub name: String,
    pub weight: u32,
}

/// A named part of a plan with its own load model.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    pub name: String,
    /// Indexes of the workflows that must have completed first.
    pub after: Vec<usize>,
    pub load: Load,
    pub steps: Vec<Step>,
    /// Iterations in flight at the end get this long, then they are interrupted. Default 30 s in plans, 0 for a URL.
    pub graceful_stop: Duration,
    /// Ends the workflow whatever is left of its count. Default 10 min where a count is given, else unused.
    pub max_duration: Option<Duration>,
    pub keep_alive: KeepAlive,
}

/// Who starts iterations, and when.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// Virtual users loop over the steps.
    Closed(Closed),
    /// Iterations start on a schedule, whatever the target does.
    Open(Open),
}

/// The closed model.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// VUs at the start.
    pub start_vus: u32,
    /// Linear changes, one after the other; a stage of no length jumps. Constant VUs for 10 s are
    /// `start_vus = N, stages = [10s: N]`. Empty only where a count ends the workflow.
    pub stages: Vec<VuStage>,
    pub iterations: Iterations,
    /// A surplus VU may finish its iteration within this time of a ramp down. Default 30 s.
    pub graceful_ramp_down: Duration,
}

/// How a count ends a closed workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iterations {
    /// The stages end it.
    Unlimited,
    /// Each VU makes exactly this many.
    PerVu(u64),
    /// All VUs of the fleet together make exactly this many (`-n`).
    Total(u64),
}

/// Linear to `vus` over `duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VuStage {
    pub duration: Duration,
    pub vus: u32,
}

/// The open model.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Arrivals per second at the start.
    pub start_rate: f64,
    /// Linear changes of the rate. A constant rate is `start_rate = R, stages = [d: R]`.
    pub stages: Vec<RateStage>,
    pub arrivals: Arrivals,
    /// VUs (and so connections) at most, over the fleet.
    pub max_vus: u32,
    pub late: LatePolicy,
    /// Ends after this many arrivals, if given (`-n` with `-q`).
    pub total: Option<u64>,
}

/// Linear to `rate` arrivals per second over `duration`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateStage {
    pub duration: Duration,
    pub rate: f64,
}

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Arrival `i` is due when the integral of the rate reaches `i`.
    Constant,
    /// A Poisson process of that rate.
    Poisson,
}

/// What becomes of an arrival that finds no free VU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatePolicy {
    /// It waits and keeps its due time; what is unsent at the end is dropped (`run URL -q`, as wrk2).
    Wait,
    /// It waits at most this long, then it is dropped; zero drops at once (plans, as k6).
    DropAfter(Duration),
}

/// When a connection is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepAlive {
    /// For as long as both sides like.
    #[default]
    Always,
    /// Within one iteration.
    Iteration,
    /// Never: one request a connection.
    Never,
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Request(Request),
    Think(Think),
}

impl Step {
    /// The name reports use.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Request(request) => &request.name,
            Self::Think(_) => "think",
        }
    }
}

/// One HTTP request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Given, or `METHOD path`.
    pub name: String,
    pub method: String,
    pub url: Url,
    /// In order, as given; `host`, `content-length` and `connection` are added by the engine where absent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// From the first byte sent (or the connect, where one is needed) to the end of the answer; past it the request
    /// is a `timeout`. Waiting for a free connection is not in it, but is in latency. Default 30 s.
    pub timeout: Duration,
    /// Of one TCP connect attempt. Default 5 s.
    pub connect_timeout: Duration,
}

/// A pause between two requests, uniform between both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Think {
    pub from: Duration,
    pub to: Duration,
}

/// Where a request goes. Only `http` for now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    /// Starts with `/`; includes the query, never a fragment.
    pub path: String,
    /// The `Host` header: host, with brackets for IPv6, and port where it was written.
    pub authority: String,
}

/// What must hold at the end: `latency.p99 < 250ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As written, with single spaces.
    pub expression: String,
    pub scope: Scope,
    pub metric: Metric,
    pub comparison: Comparison,
    /// In ns for times, in 1 for shares, in 1/s for rates, else a count.
    pub limit: f64,
}

/// What part of the run a threshold looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    /// Workflow index.
    Workflow(usize),
    /// Steps of that name, in any workflow, or in one.
    Step {
        workflow: Option<usize>,
        name: String,
    },
}

/// What a threshold measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Latency(Statistic),
    Service(Statistic),
    Lateness(Statistic),
    /// `errors.rate`: errors / requests.
    ErrorRate,
    /// `errors` or `errors.count`.
    Errors,
    Requests,
    Dropped,
    RatePerS,
}

/// A statistic of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Min,
    Mean,
    Max,
    /// Parts per million: p99.9 is 999,000.
    Percentile(u32),
}

/// `< <= > >= == !=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    NotEqual,
}
