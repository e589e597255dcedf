//! Runs as users see them, from cells to summary: what the golden files and `examples/draw.rs` draw.

use std::time::Duration;

use hyperscale_codec::JobId;
use hyperscale_codec::messages::{ErrorKind, JobEvent, JobState, WorkerState, WorkflowState};
use hyperscale_plan::{
    Arrivals, Closed, Comparison, Iterations, KeepAlive, LatePolicy, Load, Metric, Open, Placement, Plan,
    RateStage, Request, Scope, Statistic, Step, Think, Threshold, Url, VuStage, Workflow,
};
use hyperscale_report::{DatacenterInput, Summary, SummaryInput, WorkerInput, WorkflowInput, summarize};
use hyperscale_stats::{Cell, CellSet};

/// Names and summaries of all cases.
pub(crate) fn all() -> Vec<(&'static str, Summary)> {
    vec![
        ("closed_url", closed_url()),
        ("thresholds_failed", thresholds_failed()),
        ("rate_not_reached", rate_not_reached()),
        ("saturated_and_partial", saturated_and_partial()),
        ("refused", refused()),
        ("cancelled", cancelled()),
        ("not_resolved", not_resolved()),
        ("nothing_answered_in_time", nothing_answered_in_time()),
    ]
}

/// Numbers without an end, the same on every machine.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    /// `base`, and on top most often little, seldom up to `tail`.
    fn ns(&mut self, base: u64, tail: u64) -> u64 {
        let part = |u: u64| ((u128::from(u) * u128::from(u)) >> 32) as u64;
        let (once, again) = (part(self.next()), part(part(self.next())));
        base + ((u128::from(base) * u128::from(once)) >> 33) as u64 + part_of(tail, part(part(again)))
    }
}

fn part_of(tail: u64, part: u64) -> u64 {
    ((u128::from(tail) * u128::from(part)) >> 32) as u64
}

/// `n` answers of status 200, after `wait` times their rank in the run.
fn answered(cell: &mut Cell, seed: u64, n: u64, base: u64, tail: u64, wait_ns: u64) {
    let mut draw = Draw(seed);
    for rank in 0..n {
        let service = draw.ns(base, tail);
        let lateness = 900 + draw.ns(2_000, 40_000) + wait_ns * rank;
        cell.count += 1;
        cell.latency.record(service + lateness);
        cell.service.record(service);
        cell.lateness.record(lateness);
        cell.late += u64::from(lateness > 1_000_000);
        cell.record_status(200);
    }
    cell.bytes_in += n * 412;
    cell.bytes_out += n * 86;
}

fn connected(cell: &mut Cell, n: u64) {
    let mut draw = Draw(9);
    (0..n).for_each(|_| cell.connect.record(draw.ns(90_000, 2_000_000)));
}

/// Answers and time-outs that count as errors.
fn failed(cell: &mut Cell, kind: ErrorKind, status: Option<u16>, n: u64, ns: u64) {
    for _ in 0..n {
        cell.count += 1;
        cell.record_error(kind);
        if let Some(status) = status {
            cell.record_status(status);
        }
        if ns > 0 {
            cell.latency.record(ns);
            cell.service.record(ns);
            cell.lateness.record(1_500);
        }
    }
}

fn request(name: &str, path: &str) -> Step {
    let url = Url {
        host: "127.0.0.1".to_owned(),
        port: 8080,
        path: path.to_owned(),
        authority: "127.0.0.1:8080".to_owned(),
    };
    Step::Request(Request {
        name: name.to_owned(),
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(5),
    })
}

fn closed(vus: u32, seconds: u64) -> Load {
    Load::Closed(Closed {
        start_vus: vus,
        stages: vec![VuStage { duration: Duration::from_secs(seconds), vus }],
        iterations: Iterations::Unlimited,
        graceful_ramp_down: Duration::ZERO,
    })
}

fn open(rate: f64, max_vus: u32, late: LatePolicy, seconds: u64) -> Load {
    Load::Open(Open {
        start_rate: rate,
        stages: vec![RateStage { duration: Duration::from_secs(seconds), rate }],
        arrivals: Arrivals::Constant,
        max_vus,
        late,
        total: None,
    })
}

fn workflow(name: &str, load: Load, steps: Vec<Step>) -> Workflow {
    let (graceful_stop, max_duration) = (Duration::ZERO, None);
    let (name, keep_alive) = (name.to_owned(), KeepAlive::Always);
    Workflow { name, after: Vec::new(), load, steps, graceful_stop, max_duration, keep_alive }
}

fn plan(name: &str, workflows: Vec<Workflow>) -> Plan {
    let (thresholds, window) = (Vec::new(), Duration::from_secs(1));
    Plan { name: name.to_owned(), workflows, thresholds, window, placement: Placement::default() }
}

fn url_plan(load: Load) -> Plan {
    plan("127.0.0.1:8080", vec![workflow("main", load, vec![request("GET /", "/")])])
}

fn worker(name: &str, datacenter: &str, requests: u64) -> WorkerInput {
    WorkerInput {
        name: name.to_owned(),
        datacenter: datacenter.to_owned(),
        shards: 2,
        requests,
        state: WorkerState::Ok,
        gap_ms: 0,
        generator_ok: true,
        clock: None,
    }
}

fn input(plan: &Plan, cells: Vec<CellSet>, seconds: f64) -> SummaryInput<'_> {
    let duration = Duration::from_secs_f64(seconds);
    let requests = cells.iter().map(|cells| cells.sum_of_steps().count).sum();
    let workflows = plan.workflows.iter().zip(&cells).map(|(workflow, cells)| WorkflowInput {
        workflow,
        state: WorkflowState::Completed,
        error: String::new(),
        duration,
        cells: cells.clone(),
    });
    SummaryInput {
        job: JobId::from_bytes([7; 16]),
        plan,
        state: JobState::Completed,
        error: String::new(),
        started_unix_ms: 1_764_000_000_250,
        duration,
        workflows: workflows.collect(),
        workers: vec![worker("worker-1", "local", requests)],
        datacenters: vec![DatacenterInput { name: "local".to_owned(), cells }],
        events: Vec::new(),
    }
}

fn iterations(cells: &mut CellSet, due: u64, dropped: u64, interrupted: u64) {
    let rounds = cells.workflow_mut();
    (rounds.due, rounds.dropped, rounds.started, rounds.cancelled) =
        (due, dropped, due - dropped, interrupted);
    rounds.count = due - dropped - interrupted;
}

fn closed_url() -> Summary {
    let plan = url_plan(closed(64, 10));
    let mut cells = CellSet::new(1);
    let cell = cells.step_mut(0);
    answered(cell, 1, 241_234, 180_000, 8_000_000, 0);
    connected(cell, 64);
    cell.cancelled = 64;
    iterations(&mut cells, 241_298, 0, 64);
    summarize(&input(&plan, vec![cells], 10.0))
}

fn thresholds_failed() -> Summary {
    let steps = vec![
        request("login", "/login"),
        Step::Think(Think { from: Duration::from_secs(1), to: Duration::from_secs(3) }),
        request("GET /basket/items?sort=price&order=descending", "/basket"),
        request("pay", "/pay"),
    ];
    let mut plan = plan(
        "checkout",
        vec![
            workflow("warm", closed(10, 20), vec![request("GET /health", "/health")]),
            workflow("buy", open(400.0, 500, LatePolicy::DropAfter(Duration::ZERO), 120), steps),
        ],
    );
    let p99 = |ms: f64| Threshold {
        expression: format!("latency.p99 < {ms}ms"),
        scope: Scope::All,
        metric: Metric::Latency(Statistic::Percentile(990_000)),
        comparison: Comparison::Less,
        limit: ms * 1e6,
    };
    let pay = Threshold {
        expression: "workflows.buy.steps.pay.errors.rate < 0.1%".to_owned(),
        scope: Scope::Step { workflow: Some(1), name: "pay".to_owned() },
        metric: Metric::ErrorRate,
        comparison: Comparison::Less,
        limit: 0.001,
    };
    plan.thresholds = vec![p99(250.0), pay];
    let mut warm = CellSet::new(1);
    answered(warm.step_mut(0), 2, 20_000, 900_000, 9_000_000, 0);
    iterations(&mut warm, 20_000, 0, 0);
    let mut buy = CellSet::new(4);
    for (step, base) in [(0, 11_000_000), (2, 3_000_000), (3, 18_000_000)] {
        answered(buy.step_mut(step), 3 + step as u64, 40_102, base, 800_000_000, 0);
    }
    failed(buy.step_mut(3), ErrorKind::Http5xx, Some(503), 95, 21_000_000);
    failed(buy.step_mut(3), ErrorKind::Timeout, None, 2, 30_000_000_000);
    connected(buy.step_mut(0), 212);
    iterations(&mut buy, 40_372, 158, 14);
    let mut input = input(&plan, vec![warm, buy], 140.2);
    input.workflows[0].duration = Duration::from_secs(20);
    summarize(&input)
}

fn rate_not_reached() -> Summary {
    let plan = url_plan(open(10_000.0, 64, LatePolicy::Wait, 10));
    let mut cells = CellSet::new(1);
    // Each later request waits a little longer: 1.9 s at the end.
    answered(cells.step_mut(0), 5, 81_200, 7_000_000, 30_000_000, 23_000);
    connected(cells.step_mut(0), 64);
    cells.step_mut(0).cancelled = 64;
    iterations(&mut cells, 100_000, 18_736, 64);
    summarize(&input(&plan, vec![cells], 10.0))
}

fn saturated_and_partial() -> Summary {
    let load = open(4_400.0, 4_000, LatePolicy::DropAfter(Duration::ZERO), 30);
    let plan =
        plan("search", vec![workflow("search", load, vec![request("search", "/s"), request("hit", "/h")])]);
    let part = |seed, n| {
        let mut cells = CellSet::new(2);
        answered(cells.step_mut(0), seed, n, 400_000, 5_000_000, 40);
        answered(cells.step_mut(1), seed + 1, n, 700_000, 9_000_000, 40);
        iterations(&mut cells, n, 0, 0);
        cells
    };
    let (first, second) = (part(10, 80_000), part(20, 50_000));
    let mut all = first.clone();
    all.merge(&second);
    let mut input = input(&plan, vec![all], 30.0);
    input.datacenters = vec![
        DatacenterInput { name: "fra".to_owned(), cells: vec![first] },
        DatacenterInput { name: "iad".to_owned(), cells: vec![second] },
    ];
    input.workers =
        vec![worker("fra-1", "fra", 160_000), worker("iad-1", "iad", 70_000), worker("iad-2", "iad", 30_000)];
    input.workers[1].generator_ok = false;
    (input.workers[2].state, input.workers[2].gap_ms) = (WorkerState::Lost, 1_200);
    let event = |at_ms, kind: &str, detail: &str| JobEvent {
        at_ms,
        kind: kind.to_owned(),
        detail: detail.to_owned(),
    };
    input.events = vec![
        event(
            12_300,
            "worker_lost",
            "iad-2: no word for 3.0 s; its share of 1,100/s was missing until 15.4 s",
        ),
        event(15_400, "share_moved", "1,100/s from iad-2 to iad-1"),
    ];
    summarize(&input)
}

fn refused() -> Summary {
    let plan = url_plan(closed(10, 1));
    let mut cells = CellSet::new(1);
    failed(cells.step_mut(0), ErrorKind::ConnectRefused, None, 1_250, 0);
    iterations(&mut cells, 1_250, 0, 0);
    summarize(&input(&plan, vec![cells], 1.0))
}

fn cancelled() -> Summary {
    let plan = url_plan(closed(8, 60));
    let mut cells = CellSet::new(1);
    answered(cells.step_mut(0), 6, 3_000, 9_000_000, 20_000_000, 0);
    connected(cells.step_mut(0), 8);
    cells.step_mut(0).cancelled = 8;
    iterations(&mut cells, 3_008, 0, 8);
    let mut input = input(&plan, vec![cells], 4.21);
    input.state = JobState::Cancelled;
    input.workflows[0].state = WorkflowState::Cancelled;
    summarize(&input)
}

fn not_resolved() -> Summary {
    let plan = url_plan(closed(8, 60));
    let mut input = input(&plan, vec![CellSet::new(1)], 0.0);
    input.state = JobState::Failed;
    input.workflows[0].state = WorkflowState::Failed;
    input.error =
        "workflow url: dns: resolving \"shop.invalid\": failed to lookup address information: Name or service not known"
            .to_owned();
    summarize(&input)
}

fn nothing_answered_in_time() -> Summary {
    let plan = url_plan(closed(8, 1));
    let mut cells = CellSet::new(1);
    connected(cells.step_mut(0), 8);
    cells.step_mut(0).cancelled = 8;
    cells.step_mut(0).bytes_out = 8 * 86;
    iterations(&mut cells, 8, 0, 8);
    summarize(&input(&plan, vec![cells], 1.0))
}
