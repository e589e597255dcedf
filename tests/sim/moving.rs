//! Load that moves while it runs: nothing is lost, nothing is done twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::Share;
use hyperscale_codec::{Attempt, Epoch, JobId, ShardId, WorkflowId};
use hyperscale_core::Instant;
use hyperscale_engine::orders::{Ended, Order, Origin, Prepare, Report, ShareKey};
use hyperscale_plan::Plan;
use hyperscale_report::Summary;
use hyperscale_stats::CellSet;
use proptest::prelude::*;

use crate::engines::Engine;
use crate::fleet::Fleet;
use crate::summary;

const START: Instant = Instant(5_000_000_000);

fn plan(load: &str) -> String {
    format!("target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{{ get = \"/\" }}]\n{load}\n")
}

fn key(revision: u32) -> ShareKey {
    ShareKey { job: JobId(1), workflow: WorkflowId(0), attempt: Attempt(1), revision }
}

/// One share on one shard.
struct Runner {
    engine: Engine,
    key: ShareKey,
    cells: CellSet,
    until: Option<Duration>,
    ended: Option<Box<Ended>>,
}

impl Runner {
    fn new(plan: &Arc<Plan>, share: Share, revision: u32, from: Duration, now: Instant) -> Self {
        let origin = Origin {
            host: "127.0.0.1".to_owned(),
            port: 1,
            addrs: vec![SocketAddr::from(([127, 0, 0, 1], 1))],
        };
        let key = key(revision);
        let prepare = Prepare {
            key,
            epoch: Epoch(u64::from(revision)),
            plan: Arc::clone(plan),
            share,
            from,
            siblings: 1,
            seed: u64::from(revision),
            origins: Arc::new(vec![origin]),
        };
        let mut runner =
            Self { engine: Engine::new(ShardId(0)), key, cells: CellSet::new(1), until: None, ended: None };
        runner.order(now, Order::Prepare(Box::new(prepare)));
        runner.order(now, Order::Start { key, at: START, job_start: START });
        runner
    }

    fn order(&mut self, now: Instant, order: Order) {
        let reports = self.engine.order(now, order);
        self.take(reports);
    }

    fn run_to(&mut self, end: Instant) {
        let reports = self.engine.run_to(end);
        self.take(reports);
    }

    fn take(&mut self, reports: Vec<Report>) {
        for report in reports {
            match report {
                Report::Window { delta, .. } => self.cells.advance(&delta),
                Report::Ended(ended) => {
                    self.cells.advance(&ended.delta);
                    self.ended = Some(ended);
                }
                Report::Withdrawn { until, .. } => self.until = Some(until),
                Report::Ready { result, .. } => result.unwrap(),
                Report::NeedIterations { .. } | Report::Donated { .. } => {}
            }
        }
    }

    /// Withdraws the share as a worker does, asked for `until` at `now`; what is in force. It is settled `wait` later,
    /// and another shard could keep only what is `behind` it.
    fn withdraw(&mut self, now: Instant, until: Duration, wait: Duration, behind: Duration) -> Duration {
        self.run_to(now);
        let key = self.key;
        self.order(now, Order::Withdraw { key, until, settled: false });
        let until = self.until.unwrap() + behind;
        self.run_to(now + wait);
        self.order(now + wait, Order::Withdraw { key, until, settled: true });
        self.until.unwrap()
    }
}

fn share(unit_from: u32, unit_count: u32, iterations: u64) -> Share {
    Share { unit_from, unit_count, units: 6, iterations }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_open_schedule_cut_anywhere_has_each_arrival_once(
        rate in 1..400_u32,
        asked_ms in 0..2_500_u64,
        told_ms in 0..2_500_u64,
        joined_ms in 0..400_u64,
        cut in 1..4_u32,
        wait_ms in 0..200_u64,
        behind_us in 0..200_000_u64,
    ) {
        let text = plan(&format!("rate = {rate}\nduration = \"2s\"\nmax_vus = 60\nmax_wait = \"10s\""));
        let plan = Arc::new(hyperscale_plan::parse("plan", &text).unwrap());
        let at = |ms: u64| START + Duration::from_millis(ms);
        let whole = {
            let mut runner = Runner::new(&plan, share(0, 6, 0), 1, Duration::ZERO, START);
            runner.run_to(at(60_000));
            runner.cells.workflow().due
        };
        let mut stays = Runner::new(&plan, share(4, 2, 0), 1, Duration::ZERO, START);
        let mut goes = Runner::new(&plan, share(0, 4, 0), 1, Duration::ZERO, START);
        let until = goes.withdraw(
            at(told_ms),
            Duration::from_millis(asked_ms),
            Duration::from_millis(wait_ms),
            Duration::from_micros(behind_us),
        );
        prop_assert!(until >= Duration::from_millis(asked_ms.max(told_ms.min(2_000))) || goes.ended.is_some());
        let joins = at(told_ms + joined_ms);
        let mut all = vec![
            Runner::new(&plan, share(0, cut, 0), 2, until, joins),
            Runner::new(&plan, share(cut, 4 - cut, 0), 2, until, joins),
        ];
        stays.run_to(at(60_000));
        goes.run_to(at(60_000));
        all.iter_mut().for_each(|runner| runner.run_to(at(60_000)));
        all.extend([stays, goes]);
        prop_assert!(all.iter().all(|runner| runner.ended.is_some()));
        let rows = || all.iter().map(|runner| runner.cells.workflow());
        prop_assert_eq!(rows().map(|row| row.due).sum::<u64>(), whole);
        prop_assert_eq!(rows().map(|row| row.started + row.dropped).sum::<u64>(), whole);
        let sent: u64 = all.iter().map(|runner| runner.engine.sent()).sum();
        prop_assert_eq!(sent, rows().map(|row| row.started).sum::<u64>());
    }

    #[test]
    fn a_count_cut_anywhere_is_done_to_the_last(
        total in 1..900_u64,
        each in any::<bool>(),
        told_ms in 0..3_000_u64,
        ahead_ms in 0..300_u64,
    ) {
        let count = if each { "iterations = 100".to_owned() } else { format!("total_iterations = {total}") };
        let plan = Arc::new(hyperscale_plan::parse("plan", &plan(&format!("vus = 6\n{count}"))).unwrap());
        let total = if each { 600 } else { total };
        let at = |ms: u64| START + Duration::from_millis(ms);
        let mut goes = Runner::new(&plan, share(0, 6, total), 1, Duration::ZERO, START);
        goes.withdraw(at(told_ms), Duration::from_millis(told_ms + ahead_ms), Duration::ZERO, Duration::ZERO);
        goes.run_to(at(60_000));
        let left = goes.ended.as_ref().unwrap().iterations_left;
        let now = at(60_000);
        let mut joins = Runner::new(&plan, share(0, 6, left), 2, now.since(START), now);
        joins.run_to(at(120_000));
        let counts = [&goes, &joins].map(|runner| runner.cells.workflow().count);
        prop_assert_eq!(counts.iter().sum::<u64>(), total);
        prop_assert_eq!(counts[1], left);
        prop_assert_eq!(goes.cells.workflow().dropped, 0);
    }

    #[test]
    fn users_that_move_go_on_along_the_ramp(told_ms in 0..3_000_u64, cut in 1..6_u32) {
        let text = plan("start_vus = 0\nstages = [\"2s:12\", \"1s:3\"]\ngraceful_ramp_down = \"0s\"");
        let plan = Arc::new(hyperscale_plan::parse("plan", &text).unwrap());
        let at = |ms: u64| START + Duration::from_millis(ms);
        let mut whole = Runner::new(&plan, share(0, 6, 0), 1, Duration::ZERO, START);
        whole.run_to(at(60_000));
        let mut goes = Runner::new(&plan, share(0, 6, 0), 1, Duration::ZERO, START);
        let until = goes.withdraw(at(told_ms), Duration::from_millis(told_ms + 10), Duration::ZERO, Duration::ZERO);
        goes.run_to(at(60_000));
        let mut sent = goes.engine.sent();
        for (from, count) in [(0, cut), (cut, 6 - cut)] {
            let mut joins = Runner::new(&plan, share(from, count, 0), 2, until, at(told_ms));
            joins.run_to(at(60_000));
            prop_assert!(joins.ended.is_some());
            sent += joins.engine.sent();
        }
        // Each of 12 users is at most one iteration off at the seam.
        prop_assert!(sent.abs_diff(whole.engine.sent()) <= 12, "{} and {}", sent, whole.engine.sent());
    }
}

fn kinds(summary: &Summary) -> Vec<&str> {
    summary.events.iter().map(|event| event.kind.as_str()).collect()
}

#[test]
fn a_worker_s_arrivals_move_to_the_others_and_every_one_is_sent() {
    let mut fleet = Fleet::with_engines(3, 2);
    fleet.submit(&plan("rate = 500\nduration = \"4s\"\nmax_vus = 90"));
    fleet.run_for_ms(1_700);
    fleet.drain_worker(1);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "completed");
    assert_eq!((summary.iterations.due, summary.iterations.dropped), (2_000, 0));
    assert_eq!(summary.totals.requests, 2_000);
    assert_eq!(fleet.recorded(), 2_000);
    assert!(!summary.partial);
    assert_eq!(kinds(&summary), ["share_moved"]);
}

#[test]
fn one_worker_after_the_other_gives_its_load_on() {
    let mut fleet = Fleet::with_engines(3, 1);
    fleet.submit(&plan("rate = 300\nduration = \"5s\"\nmax_vus = 90"));
    fleet.run_for_ms(1_100);
    fleet.drain_worker(0);
    fleet.run_for_ms(1_000);
    fleet.drain_worker(2);
    // Nobody is left to take what the last one has.
    fleet.run_for_ms(1_000);
    fleet.drain_worker(1);
    fleet.drain_worker(1);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "completed");
    assert_eq!((summary.totals.requests, fleet.recorded()), (1_500, 1_500));
    let moved = ["share_moved", "share_moved", "share_moved", "share_stays", "share_stays"];
    assert!(
        kinds(&summary).starts_with(&moved[..2]) && kinds(&summary).ends_with(&moved[3..]),
        "{:?}",
        summary.events
    );
}

#[test]
fn a_count_moves_as_what_is_left_of_it() {
    for each in [false, true] {
        let count = if each { "iterations = 300" } else { "total_iterations = 3600" };
        let mut fleet = Fleet::with_engines(3, 2);
        fleet.submit(&plan(&format!("vus = 12\n{count}")));
        fleet.run_for_ms(450);
        fleet.drain_worker(0);
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!(summary.status, "completed");
        assert_eq!((summary.totals.requests, fleet.recorded()), (3_600, 3_600));
        assert_eq!(kinds(&summary), ["share_moved"]);
    }
}

#[test]
fn a_count_at_a_rate_moves_to_the_last() {
    for arrivals in ["constant", "poisson"] {
        let mut fleet = Fleet::with_engines(3, 2);
        let load = format!("rate = 500\ntotal_iterations = 1501\nmax_vus = 90\narrivals = \"{arrivals}\"");
        fleet.submit(&plan(&load));
        fleet.run_for_ms(1_700);
        fleet.drain_worker(2);
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!(summary.status, "completed");
        assert_eq!((summary.totals.requests, fleet.recorded()), (1_501, 1_501), "{arrivals}");
        assert_eq!(kinds(&summary), ["share_moved"]);
    }
}

#[test]
fn workers_without_users_have_no_iterations_of_a_count() {
    let mut fleet = Fleet::with_engines(3, 2);
    fleet.submit(&plan("vus = 3\ntotal_iterations = 500"));
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.totals.requests, summary.iterations.dropped), (500, 0));
    assert!(summary.duration_s < 5.0, "{}", summary.duration_s);
}

#[test]
fn a_share_moves_before_its_workflow_starts() {
    let mut fleet = Fleet::with_engines(3, 2);
    fleet.submit(&plan("rate = 500\nduration = \"2s\"\nmax_vus = 90"));
    let before = (0..100).find(|_| {
        fleet.run_for_us(100);
        fleet.dispatched(1)
    });
    assert!(before.is_some());
    fleet.move_shares_of(1);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "completed");
    assert_eq!((summary.totals.requests, fleet.recorded()), (1_000, 1_000));
    let drained = summary.workers.iter().find(|worker| worker.name == "worker-1");
    assert_eq!(drained.map(|worker| worker.requests), Some(0));
}

#[test]
fn a_job_is_cancelled_in_the_middle_of_a_move() {
    for after_us in [0, 100, 300, 500, 700, 900, 100_000, 400_000] {
        let mut fleet = Fleet::with_engines(3, 2);
        fleet.submit(&plan("rate = 500\nduration = \"30s\"\nmax_vus = 90"));
        fleet.run_for_ms(1_500);
        fleet.drain_worker(2);
        fleet.run_for_us(after_us);
        fleet.cancel();
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!(summary.status, "cancelled");
        assert_eq!(summary.totals.requests + summary.totals.cancelled, fleet.recorded());
    }
}

#[test]
fn a_lost_worker_s_arrivals_are_taken_over_and_the_gap_is_told() {
    let mut fleet = Fleet::with_engines(3, 2);
    fleet.submit(&plan("rate = 500\nduration = \"6s\"\nmax_vus = 90"));
    fleet.run_for_ms(2_600);
    fleet.crash_worker(0);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "completed");
    assert!(summary.partial);
    assert_eq!(kinds(&summary), ["worker_lost", "share_moved", "load_missing"]);
    // 2 of 9 units are missing for what the lost worker had not told, and 0.1 s.
    let missing = 3_000 - summary.totals.requests;
    assert!((1..=125).contains(&missing), "{missing} of 3,000 are missing");
}

#[test]
fn a_count_survives_a_lost_worker_to_the_last() {
    for count in ["total_iterations = 6000", "iterations = 500"] {
        let mut fleet = Fleet::with_engines(3, 2);
        fleet.submit(&plan(&format!("vus = 12\n{count}")));
        fleet.run_for_ms(1_600);
        fleet.crash_worker(1);
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!(summary.status, "completed");
        assert_eq!(summary.totals.requests, 6_000, "{count}");
        assert!(fleet.recorded() > 6_000);
    }
}

#[test]
fn a_worker_that_comes_back_stops_what_others_took_over_and_what_it_did_counts() {
    let mut fleet = Fleet::with_engines(3, 2);
    fleet.submit(&plan("rate = 500\nduration = \"6s\"\nmax_vus = 90"));
    fleet.run_for_ms(2_600);
    fleet.cut_worker(0);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.status, "completed");
    assert_eq!(kinds(&summary), ["worker_lost", "share_moved", "load_missing", "over_scheduled"]);
    assert_eq!(summary.totals.requests, fleet.recorded());
    // It ends where others began: at once if it comes back later than that, so that some may be sent twice, none never.
    let requests = summary.totals.requests;
    assert!((3_000..=3_000 + 2 * 500 / 9).contains(&requests), "{requests} of 3,000");
}

#[test]
fn a_worker_is_lost_in_the_middle_of_a_move() {
    for after_us in [0, 100, 300, 500, 700, 900, 1_300, 1_700, 200_000] {
        for lost in [0, 2] {
            let mut fleet = Fleet::with_engines(3, 2);
            fleet.submit(&plan("vus = 12\ntotal_iterations = 6000"));
            fleet.run_for_ms(1_600);
            fleet.drain_worker(0);
            fleet.run_for_us(after_us);
            fleet.crash_worker(lost);
            fleet.run_until_finished();
            let summary = summary(&fleet);
            assert_eq!(summary.status, "completed");
            assert_eq!(summary.totals.requests, 6_000, "worker {lost} lost after {after_us} us");
        }
    }
}

#[test]
fn the_last_worker_s_end_fails_the_job() {
    let mut fleet = Fleet::with_engines(2, 1);
    fleet.submit(&plan("rate = 100\nduration = \"6s\"\nmax_vus = 30"));
    fleet.run_for_ms(1_600);
    fleet.crash_worker(0);
    fleet.run_for_ms(1_000);
    fleet.crash_worker(1);
    fleet.run_until_finished();
    assert_eq!(summary(&fleet).status, "failed");
}
