//! The fleet in virtual time: the production cores of gate, manager, worker and client in one thread, joined by a
//! network of queues. Load shards are replaced by ones that record a known number of requests a window.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod answers;
mod archive;
mod checkers;
mod engines;
mod every_kind;
mod fleet;
mod hash;
mod health;
mod joining;
mod marks;
mod moving;
mod newer;
mod overload;
#[path = "../../codec/tests/wire/samples.rs"]
mod samples;
mod saturating;
mod seeds;
mod shards;
mod skew;
mod stories;
mod troubles;
mod windows;

use fleet::Fleet;
use hyperscale_client::Notice;
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
    fleet.summary_for("client-0")
}

/// What must hold of every report.
fn assert_adds_up(summary: &Summary) {
    let of_workflows: u64 = summary.workflows.iter().map(|workflow| workflow.totals.requests).sum();
    let of_steps: u64 =
        summary.workflows.iter().flat_map(|w| &w.steps).map(|step| step.totals.requests).sum();
    let of_workers: u64 = summary.workers.iter().map(|worker| worker.requests).sum();
    let of_errors: u64 = summary.errors.values().sum();
    let requests = summary.totals.requests;
    assert_eq!((of_workflows, of_steps), (requests, requests));
    // A datacenter whose manager did not come back has told no workers; what it told of their load is in the total.
    let lost = summary.events.iter().any(|event| event.kind == "manager_lost");
    let unheard = lost || summary.partial && summary.status == "cancelled";
    assert!(
        of_workers == requests || unheard && of_workers < requests,
        "{of_workers} of {requests}: {summary:?}"
    );
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
    let windows = fleet.notices().iter().filter(|notice| matches!(notice, Notice::Window(_))).count();
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
fn workflows_whose_first_windows_are_empty_are_counted_to_the_last_request() {
    let mut fleet = Fleet::new(2, 2);
    fleet.come_late();
    fleet.submit(DIAMOND);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", false));
    assert_eq!(summary.totals.requests, fleet.recorded());
    let longest = summary.workflows.iter().find(|workflow| workflow.name == "left").unwrap();
    assert!(longest.totals.requests > 0, "it ran for more than its first window");
}

#[test]
fn a_result_whose_finals_did_not_reach_the_gate_is_partial_and_says_so() {
    let mut fleet = Fleet::new(1, 2);
    fleet.submit(ONE_STEP);
    fleet.finals_lost = true;
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", true));
    assert_eq!(summary.workers[0].state, "partial");
    let missing = summary.events.iter().find(|event| event.kind == "statistics_missing");
    assert!(missing.unwrap().detail.contains("worker worker-0"), "{:?}", summary.events);
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
fn a_lost_worker_costs_exactly_what_it_had_not_told() {
    let mut fleet = Fleet::new(2, 1);
    fleet.submit(ONE_STEP);
    fleet.run_for_ms(1_600);
    fleet.crash_worker(0);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert!(summary.partial);
    // The simulated shards record a window at its end, so all that was recorded had been told.
    assert_eq!(summary.totals.requests, fleet.recorded());
    let lost = summary.workers.iter().find(|worker| worker.state == "lost").unwrap();
    assert_eq!(lost.requests, fleet.recorded_by(0));
    // The first window ended 1 s after the start, within the first tenth of a second or so.
    assert!((400..600).contains(&lost.gap_ms), "{}", lost.gap_ms);
}

/// Two workers, of which the first one's windows are lost for a second; what it had told before.
fn windows_lost() -> (Fleet, u64) {
    let mut fleet = Fleet::new(2, 1);
    fleet.submit(&ONE_STEP.replace("3s", "8s"));
    fleet.run_for_ms(1_600);
    let told = fleet.recorded_by(0);
    fleet.windows_lost_of = Some(0);
    fleet.run_for_ms(1_000);
    (fleet, told)
}

#[test]
fn the_gap_of_a_lost_worker_reaches_back_to_the_last_window_that_counts() {
    let (mut fleet, told) = windows_lost();
    fleet.crash_worker(0);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    let lost = summary.workers.iter().find(|worker| worker.state == "lost").unwrap();
    assert_eq!(lost.requests, told);
    assert_eq!(summary.totals.requests, told + fleet.recorded_by(1));
    assert!((1_400..1_600).contains(&lost.gap_ms), "{}", lost.gap_ms);
}

#[test]
fn a_window_that_was_lost_is_made_good_by_a_total_that_the_manager_asks_for() {
    let (mut fleet, told) = windows_lost();
    fleet.windows_lost_of = None;
    fleet.run_for_ms(2_000);
    fleet.crash_worker(0);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    let lost = summary.workers.iter().find(|worker| worker.state == "lost").unwrap();
    assert!(lost.requests > told, "{} after {told}", lost.requests);
    assert_eq!(summary.totals.requests, lost.requests + fleet.recorded_by(1));
    assert!(lost.gap_ms < 1_700, "{}", lost.gap_ms);
}

#[test]
fn a_worker_lost_before_its_first_window_has_a_gap_from_the_start() {
    let mut fleet = Fleet::new(2, 1);
    fleet.submit(ONE_STEP);
    fleet.run_for_ms(800);
    fleet.crash_worker(0);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    let lost = summary.workers.iter().find(|worker| worker.state == "lost").unwrap();
    assert_eq!((lost.requests, summary.totals.requests), (0, fleet.recorded_by(1)));
    assert!((600..800).contains(&lost.gap_ms), "{}", lost.gap_ms);
}

/// 64 steps whose histograms are full are 4.6 MB a shard: more than a message may have.
#[test]
fn statistics_longer_than_a_message_arrive_whole() {
    let mut fleet = Fleet::new(1, 1);
    fleet.spread_times();
    let steps: Vec<String> = (0..64).map(|step| format!("{{ get = \"/{step}\" }}")).collect();
    let one = "steps = [{ get = \"/\" }]";
    fleet.submit(&ONE_STEP.replace(one, &format!("steps = [{}]", steps.join(", "))).replace("3s", "2s"));
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", false));
    assert_eq!(summary.totals.requests, fleet.recorded());
    let long = fleet.trace.iter().filter(|(_, _, bytes)| *bytes > 3 << 20);
    assert!(long.clone().all(|(_, _, bytes)| *bytes <= (4 << 20) + 48));
    // Two windows and the finals, on both hops.
    assert_eq!(long.count(), 6, "each has one full message and one with the rest");
    // A window that came in several messages is one line of the view.
    let windows = fleet.notices().iter().filter(|notice| matches!(notice, Notice::Window(_))).count();
    assert_eq!(windows, 2);
}

#[test]
fn the_last_line_of_a_view_ends_with_the_job_and_not_with_the_second() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(&ONE_STEP.replace("3s", "2500ms"));
    fleet.run_until_finished();
    let ends = fleet.notices().iter().filter_map(|notice| match notice {
        Notice::Window(push) => Some((push.from_ms, push.to_ms)),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [(0, 1_000), (1_000, 2_000), (2_000, 2_500)]);
}

/// Two run beside each other, one follows the one that ends within a window.
const BESIDE: &str = r#"
name = "beside"
target = "http://127.0.0.1:1"
[workflows.short]
vus = 8
duration = "1300ms"
steps = [{ get = "/" }]
[workflows.long]
vus = 8
duration = "3200ms"
steps = [{ get = "/" }]
[workflows.next]
after = ["short"]
vus = 8
duration = "1s"
steps = [{ get = "/" }]
"#;

#[test]
fn workflows_that_run_beside_each_other_share_one_line_a_window() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(BESIDE);
    fleet.run_until_finished();
    let lines = fleet.notices().iter().filter_map(|notice| match notice {
        Notice::Window(push) => Some((push.from_ms, push.to_ms, push.requests)),
        _ => None,
    });
    let lines: Vec<(u64, u64, u64)> = lines.collect();
    let spans: Vec<(u64, u64)> = lines.iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(spans, [(0, 1_000), (1_000, 2_000), (2_000, 3_000), (3_000, 3_200)]);
    // Five shards record seven requests each a window or a last piece of one: of two workflows, then of three.
    let requests: Vec<u64> = lines.iter().map(|(_, _, requests)| *requests).collect();
    assert_eq!(requests, [70, 105, 70, 35]);
    assert_eq!(requests.iter().sum::<u64>(), summary(&fleet).totals.requests);
}

#[test]
fn a_plan_that_no_worker_can_parse_is_refused_with_its_place() {
    let mut fleet = Fleet::new(1, 1);
    fleet.submit("[workflows.home]\nvus = 0\n");
    fleet.run_for_ms(1_000);
    let refused = fleet.notices().iter().any(|notice| match notice {
        Notice::Failed { error } => error.contains("vus must be 1 to"),
        _ => false,
    });
    assert!(refused, "{:?}", fleet.notices());
}

#[test]
fn the_same_fleet_runs_the_same_way_twice() {
    let run = || {
        let mut fleet = Fleet::new(2, 2);
        fleet.submit(DIAMOND);
        fleet.run_until_finished();
        fleet.trace.clone()
    };
    assert_eq!(run(), run());
}
