//! The fleet in virtual time: the production cores of gate, manager, worker and client in one thread, joined by a
//! network of queues. Load shards are replaced by ones that record a known number of requests a window.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod engines;
mod fleet;
mod moving;
mod shards;

use fleet::Fleet;
use hyperscale_client::Notice;
use hyperscale_codec::messages::JobState;
use hyperscale_report::Summary;

const ONE_STEP: &str = r#"
name = "one"
target = "http://127.0.0.1:1"
[workflows.home]
vus = 4
duration = "3s"
steps = [{ get = "/" }]
"#;

const DIAMOND: &str = r#"
name = "diamond"
target = "http://127.0.0.1:1"
[workflows.first]
vus = 2
duration = "2s"
steps = [{ get = "/a" }, { get = "/b" }]
[workflows.left]
after = ["first"]
vus = 2
duration = "3s"
steps = [{ get = "/l" }]
[workflows.right]
after = ["first"]
vus = 2
duration = "1s"
steps = [{ get = "/r" }]
[workflows.last]
after = ["left", "right"]
vus = 1
duration = "1s"
steps = [{ get = "/z" }]
"#;

fn summary(fleet: &Fleet) -> Summary {
    let finished = fleet.notices.iter().find_map(|notice| match notice {
        Notice::Finished(result) => Some(result),
        _ => None,
    });
    let result = finished.unwrap_or_else(|| panic!("the job did not end: {:?}", fleet.notices));
    let summary = Summary::from_json(&result.summary).unwrap();
    assert_eq!(summary.status, JobState::from_wire(result.outcome).as_str());
    assert_adds_up(&summary);
    summary
}

/// What must hold of every report.
fn assert_adds_up(summary: &Summary) {
    let of_workflows: u64 = summary.workflows.iter().map(|workflow| workflow.totals.requests).sum();
    let of_steps: u64 =
        summary.workflows.iter().flat_map(|w| &w.steps).map(|step| step.totals.requests).sum();
    let of_workers: u64 = summary.workers.iter().map(|worker| worker.requests).sum();
    let of_errors: u64 = summary.errors.values().sum();
    let requests = summary.totals.requests;
    assert_eq!((of_workflows, of_steps, of_workers), (requests, requests, requests));
    assert_eq!(of_errors, summary.totals.errors);
    assert_eq!(summary.distribution.iter().map(|bar| bar.count).sum::<u64>(), summary.latency_ms.count);
    assert_eq!(summary.iterations.due, summary.iterations.started + summary.iterations.dropped);
}

#[test]
fn a_job_runs_from_submission_to_result_and_every_request_is_counted() {
    let mut fleet = Fleet::new(1, 2);
    fleet.submit(ONE_STEP);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "completed");
    assert_eq!(summary.totals.requests, fleet.recorded());
    assert!(summary.totals.requests > 0);
    let windows = fleet.notices.iter().filter(|notice| matches!(notice, Notice::Window(_))).count();
    assert!(windows >= 3, "a window a second: {windows}");
}

#[test]
fn workers_of_different_sizes_add_up_to_the_last_request() {
    let mut fleet = Fleet::new(3, 2);
    fleet.submit(ONE_STEP);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.workers.len(), 3);
    assert_eq!(summary.totals.requests, fleet.recorded());
}

#[test]
fn workflows_run_in_their_order() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(DIAMOND);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "completed");
    assert!(summary.workflows.iter().all(|workflow| workflow.status == "completed"));
    assert_eq!(summary.totals.requests, fleet.recorded());
    // 2 s, then the longer of 3 s and 1 s, then 1 s.
    assert!((6.0..6.5).contains(&summary.duration_s), "{}", summary.duration_s);
}

#[test]
fn a_cancel_ends_the_job_and_keeps_what_was_recorded() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(DIAMOND);
    fleet.run_for_ms(2_500);
    fleet.cancel();
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "cancelled");
    assert_eq!(summary.totals.requests, fleet.recorded());
    let states: Vec<&str> = summary.workflows.iter().map(|workflow| workflow.status.as_str()).collect();
    assert_eq!(states, ["completed", "cancelled", "cancelled", "cancelled"]);
}

#[test]
fn a_lost_worker_costs_at_most_what_it_had_not_told() {
    let mut fleet = Fleet::new(2, 1);
    fleet.submit(ONE_STEP);
    fleet.run_for_ms(1_600);
    fleet.crash_worker(0);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert!(summary.partial);
    let lost: Vec<&str> = summary.workers.iter().map(|worker| worker.state.as_str()).collect();
    assert!(lost.contains(&"lost"), "{lost:?}");
    assert!(summary.totals.requests <= fleet.recorded());
    assert!(summary.totals.requests >= fleet.recorded() - fleet.recorded_untold(0));
}

#[test]
fn a_plan_that_no_worker_can_parse_is_refused_with_its_place() {
    let mut fleet = Fleet::new(1, 1);
    fleet.submit("[workflows.home]\nvus = 0\n");
    fleet.run_for_ms(1_000);
    let refused = fleet.notices.iter().any(|notice| match notice {
        Notice::Failed { error } => error.contains("vus must be 1 to"),
        _ => false,
    });
    assert!(refused, "{:?}", fleet.notices);
}

#[test]
fn the_same_fleet_runs_the_same_way_twice() {
    let run = || {
        let mut fleet = Fleet::new(2, 2);
        fleet.submit(DIAMOND);
        fleet.run_until_finished();
        fleet.trace
    };
    assert_eq!(run(), run());
}
