//! Sums that add up, and JSON that reads back.

use hyperscale_codec::messages::ErrorKind;
use hyperscale_plan::{
    Arrivals, Closed, Iterations, KeepAlive, Open, Placement, RateStage, Request, Url, VuStage,
};
use proptest::prelude::*;

use super::*;
use crate::summary::Totals;

pub(crate) fn request(name: &str) -> Step {
    let url = Url {
        host: "127.0.0.1".to_owned(),
        port: 8080,
        path: "/".to_owned(),
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

pub(crate) fn closed(vus: u32) -> Load {
    Load::Closed(Closed {
        start_vus: vus,
        stages: vec![VuStage { duration: Duration::from_secs(10), vus }],
        iterations: Iterations::Unlimited,
        graceful_ramp_down: Duration::ZERO,
    })
}

fn open(rate: f64, until: f64, late: LatePolicy) -> Load {
    Load::Open(Open {
        start_rate: rate,
        stages: vec![RateStage { duration: Duration::from_secs(10), rate: until }],
        arrivals: Arrivals::Constant,
        max_vus: 500,
        late,
        total: None,
    })
}

pub(crate) fn workflow(name: &str, load: Load, steps: Vec<Step>) -> Workflow {
    Workflow {
        name: name.to_owned(),
        after: Vec::new(),
        load,
        steps,
        graceful_stop: Duration::ZERO,
        max_duration: None,
        keep_alive: KeepAlive::Always,
    }
}

pub(crate) fn plan(workflows: Vec<Workflow>) -> Plan {
    let (thresholds, window) = (Vec::new(), Duration::from_secs(1));
    Plan { name: "checkout".to_owned(), workflows, thresholds, window, placement: Placement::default() }
}

/// Completed after 10 s with these cells, in one datacenter.
pub(crate) fn input(plan: &Plan, cells: Vec<CellSet>) -> SummaryInput<'_> {
    let workflows = plan.workflows.iter().zip(&cells).map(|(workflow, cells)| WorkflowInput {
        workflow,
        state: WorkflowState::Completed,
        error: String::new(),
        duration: Duration::from_secs(10),
        cells: cells.clone(),
    });
    SummaryInput {
        job: JobId::from_bytes([7; 16]),
        plan,
        state: JobState::Completed,
        error: String::new(),
        started_unix_ms: 1_764_000_000_250,
        duration: Duration::from_secs(10),
        workflows: workflows.collect(),
        datacenters: vec![DatacenterInput { name: "local".to_owned(), cells }],
        workers: Vec::new(),
        events: Vec::new(),
    }
}

pub(crate) fn empty_summary() -> Summary {
    summarize(&input(&plan(Vec::new()), Vec::new()))
}

fn two_workflows() -> Plan {
    let think = Step::Think(hyperscale_plan::Think { from: Duration::ZERO, to: Duration::ZERO });
    plan(vec![
        workflow("browse", closed(10), vec![request("home"), think, request("item")]),
        workflow("buy", open(100.0, 100.0, LatePolicy::Wait), vec![request("pay")]),
    ])
}

/// (workflow and step, latency, status, whether it failed).
fn filled(plan: &Plan, answers: &[(usize, u64, u16, bool)]) -> Vec<CellSet> {
    let mut sets: Vec<CellSet> = plan.workflows.iter().map(|w| CellSet::new(w.steps.len())).collect();
    for &(place, ns, status, failed) in answers {
        let (set, step) = [(0, 0), (0, 2), (1, 0)][place % 3];
        let cell = sets[set].step_mut(step);
        cell.count += 1;
        cell.bytes_in += ns % 1_000;
        cell.late += u64::from(ns > 1_000_000);
        cell.latency.record(ns);
        cell.lateness.record(ns / 2);
        cell.record_status(status);
        if failed {
            cell.record_error(ErrorKind::from_wire(u8::try_from(ns % 16).unwrap() + 1));
        }
        sets[set].workflow_mut().due += 3;
        sets[set].workflow_mut().started += 2;
        sets[set].workflow_mut().dropped += 1;
    }
    sets
}

fn counts(totals: &Totals) -> [u64; 6] {
    [totals.requests, totals.errors, totals.dropped, totals.bytes_in, totals.cancelled, totals.late]
}

fn add<'a>(all: impl Iterator<Item = &'a Totals>) -> [u64; 6] {
    all.map(counts).fold([0; 6], |sum, one| std::array::from_fn(|at| sum[at] + one[at]))
}

#[test]
fn a_worker_s_clock_is_told_where_it_was_compared() {
    let plan = two_workflows();
    let mut input = input(&plan, filled(&plan, &[]));
    let worker = |clock| WorkerInput {
        name: "w".to_owned(),
        datacenter: "local".to_owned(),
        shards: 1,
        requests: 1,
        state: WorkerState::Ok,
        gap_ms: 0,
        generator_ok: true,
        clock,
    };
    input.workers = vec![worker(Some(ClockInput { offset_us: -1_250, error_us: 80 })), worker(None)];
    let json = summarize(&input).to_json();
    assert!(json.contains(r#""clock_offset_ms":-1.25,"clock_error_ms":0.08}"#), "{json}");
    assert!(json.contains(r#""clock_offset_ms":null,"clock_error_ms":null}"#), "{json}");
}

/// Every bucket of the whole is the sum of the same bucket of all datacenters, so percentiles of the whole are those of
/// all samples together, and no mean of percentiles.
#[test]
fn the_whole_is_the_bucket_wise_sum_of_its_datacenters() {
    let plan = two_workflows();
    let near: Vec<_> = (1..60).map(|i| (i % 3, 40_000 * i as u64, 200, false)).collect();
    let far: Vec<_> = (1..40).map(|i| (i % 3, 9_000_000 + 70_000 * i as u64, 503, true)).collect();
    let parts = [filled(&plan, &near), filled(&plan, &far)];
    let all = filled(&plan, &[near, far].concat());
    let mut input = input(&plan, all.clone());
    let named = |(name, cells): (&str, &Vec<CellSet>)| DatacenterInput {
        name: name.to_owned(),
        cells: cells.clone(),
    };
    input.datacenters = ["near", "far"].into_iter().zip(&parts).map(named).collect();
    let summary = summarize(&input);
    assert_eq!(counts(&summary.totals), add(summary.datacenters.iter().map(|datacenter| &datacenter.totals)));
    let (mut sum, whole) = (sum_of(&parts[0]), sum_of(&all));
    sum.latency.merge(&sum_of(&parts[1]).latency);
    assert_eq!(sum.latency.counts(), whole.latency.counts());
    assert_eq!(summary.latency_ms, times(&sum.latency));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn totals_are_the_sum_of_workflows_and_of_steps_and_of_kinds(
        answers in proptest::collection::vec((0..3_usize, 1..5_000_000_u64, 100..600_u16, any::<bool>()), 0..40),
    ) {
        let plan = two_workflows();
        let summary = summarize(&input(&plan, filled(&plan, &answers)));
        let total = counts(&summary.totals);
        prop_assert_eq!(total, add(summary.workflows.iter().map(|workflow| &workflow.totals)));
        prop_assert_eq!(total, add(summary.datacenters.iter().map(|datacenter| &datacenter.totals)));
        let mut steps = add(summary.workflows.iter().flat_map(|w| &w.steps).map(|step| &step.totals));
        steps[2] = summary.iterations.dropped; // Iterations are dropped before any step.
        prop_assert_eq!(total, steps);
        prop_assert_eq!(summary.totals.errors, summary.errors.values().sum::<u64>());
        prop_assert_eq!(summary.totals.requests, summary.status_codes.values().sum::<u64>());
        prop_assert_eq!(summary.latency_ms.count, summary.distribution.iter().map(|bar| bar.count).sum::<u64>());
        prop_assert_eq!(summary.iterations.due, summary.iterations.started + summary.iterations.dropped);
    }

    #[test]
    fn a_summary_reads_back_as_it_was_written(
        answers in proptest::collection::vec((0..3_usize, 1..5_000_000_u64, 100..600_u16, any::<bool>()), 0..40),
    ) {
        let plan = two_workflows();
        let summary = summarize(&input(&plan, filled(&plan, &answers)));
        prop_assert_eq!(Summary::from_json(&summary.to_json()).unwrap(), summary);
    }
}

#[test]
fn think_times_are_no_steps_of_the_report() {
    let plan = two_workflows();
    let summary = summarize(&input(&plan, filled(&plan, &[(1, 5, 200, false)])));
    let names: Vec<&str> = summary.workflows[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["home", "item"]);
    assert_eq!(summary.workflows[0].steps[1].totals.requests, 1);
}

#[test]
fn without_samples_times_are_null_and_no_number_is_lost() {
    let json = empty_summary().to_json();
    assert!(
        json.contains(r#""latency_ms":{"count":0,"min":null,"mean":null,"stdev":null,"p50":null"#),
        "{json}"
    );
    assert!(json.contains(r#""started_at":"2025-11-24T16:00:00.25Z""#), "{json}");
    assert_eq!(empty_summary().started_unix_ms(), 1_764_000_000_250);
    assert!(json.starts_with(r#"{"schema":"hyperscale.summary/1","job_id":"#), "{json}");
}

#[test]
fn times_in_ms_show_no_noise() {
    let plan = two_workflows();
    let json =
        summarize(&input(&plan, filled(&plan, &[(0, 1_234_567, 200, false), (0, 3, 200, false)]))).to_json();
    assert!(json.contains(r#""min":3e-6,"mean":0.617285,"#), "{json}");
    assert!(json.contains(r#""max":1.234567}"#), "{json}");
}

#[test]
fn a_newer_writers_fields_are_ignored_and_an_older_ones_default() {
    let summary = empty_summary();
    let mut value = serde_json::to_value(&summary).unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.insert("invented_later".to_owned(), serde_json::json!({"a": [1, 2]}));
    for additive in ["error", "target", "asked_rate_per_s", "connect_ms", "distribution"] {
        assert!(fields.remove(additive).is_some(), "{additive} is not written");
    }
    fields.get_mut("totals").unwrap().as_object_mut().unwrap().remove("late").unwrap();
    let read = Summary::from_json(&value.to_string()).unwrap();
    assert_eq!(read, Summary { target: String::new(), ..summary });
}

#[test]
fn a_rate_that_ramps_is_no_asked_rate_and_each_load_has_its_reason_to_drop() {
    let zero = LatePolicy::DropAfter(Duration::ZERO);
    let cases = [
        (open(100.0, 100.0, LatePolicy::Wait), Some(100.0), "unsent_at_end"),
        (open(100.0, 200.0, zero), None, "max_vus"),
        (open(100.0, 100.0, LatePolicy::DropAfter(Duration::from_secs(1))), Some(100.0), "max_wait"),
        (closed(64), None, "max_duration"),
    ];
    for (load, asked, reason) in cases {
        let plan = plan(vec![workflow("one", load, vec![request("home")])]);
        let mut cells = CellSet::new(1);
        cells.workflow_mut().dropped = 1;
        let summary = summarize(&input(&plan, vec![cells]));
        assert_eq!(summary.asked_rate_per_s, asked);
        assert_eq!(summary.workflows[0].dropped_reason.as_deref(), Some(reason));
    }
}

#[test]
fn one_lost_worker_makes_the_result_partial_and_one_late_one_the_generator_saturated() {
    let plan = two_workflows();
    let worker = |name: &str, state, generator_ok| WorkerInput {
        name: name.to_owned(),
        datacenter: "local".to_owned(),
        shards: 2,
        requests: 1,
        state,
        gap_ms: 0,
        generator_ok,
        clock: None,
    };
    let mut input = input(&plan, filled(&plan, &[]));
    input.workers = vec![worker("w1", WorkerState::Ok, true), worker("w2", WorkerState::Lost, false)];
    let summary = summarize(&input);
    assert!(summary.partial);
    assert_eq!(summary.generator, "saturated");
    let told: Vec<&str> = summary.workers.iter().map(|worker| worker.generator.as_str()).collect();
    assert_eq!(told, ["ok", "saturated"]);
}
