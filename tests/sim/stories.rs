//! A client, several gates, and what becomes of the job between them.

use std::collections::BTreeSet;
use std::time::Duration;

use hyperscale_client::{Local as Wanted, Notice, Question};
use hyperscale_codec::Role;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::fleet::{Fleet, Shape};
use crate::{ONE_STEP, summary};

/// Three gates of two shards each.
fn three_gates(clients: usize) -> Fleet {
    let datacenters = vec![("eu", 1, 2)];
    Fleet::start(Shape { gates: 3, gate_shards: 2, datacenters, clients, shards: 2, ..Shape::default() })
}

fn long(seconds: u32) -> String {
    ONE_STEP.replace("3s", &format!("{seconds}s"))
}

fn accepted(notices: &[Notice]) -> Vec<String> {
    let told = notices.iter().filter_map(|notice| match notice {
        Notice::Accepted { owner_addr, .. } => Some(owner_addr.clone()),
        _ => None,
    });
    told.collect()
}

fn windows(notices: &[Notice]) -> Vec<(u64, u64)> {
    let told = notices.iter().filter_map(|notice| match notice {
        Notice::Window(push) => Some((push.from_ms, push.to_ms)),
        _ => None,
    });
    told.collect()
}

fn failure(notices: &[Notice]) -> Option<&str> {
    notices.iter().find_map(|notice| match notice {
        Notice::Failed { error } => Some(error.as_str()),
        _ => None,
    })
}

#[test]
fn a_submission_to_any_gate_reaches_its_owner_and_is_followed_from_there() {
    let mut fleet = three_gates(3);
    // Client n submits to gate n what the next gate owns.
    for client in 0..3 {
        let owner = (client + 1) % 3;
        let job = fleet.job_owned(&[(3, owner)]);
        fleet.submit_by(&format!("client-{client}"), job, ONE_STEP);
        fleet.run_for_ms(200);
        assert_eq!(fleet.owner(job), Some(format!("gate-{owner}")));
    }
    let mut requests = 0;
    for client in ["client-0", "client-1", "client-2"] {
        fleet.run_until_finished_for(client);
        let summary = fleet.summary_for(client);
        assert_eq!(summary.status, "completed");
        requests += summary.totals.requests;
        let told = windows(fleet.told_to(client));
        assert_eq!(told, [(0, 1_000), (1_000, 2_000), (2_000, 3_000)], "{client}");
        assert_eq!(accepted(fleet.told_to(client)).len(), 1);
    }
    assert_eq!(requests, fleet.recorded());
}

#[test]
fn the_same_key_through_two_gates_is_one_job() {
    let mut fleet = three_gates(3);
    let job = fleet.job_owned(&[(3, 2)]);
    fleet.submit_by("client-0", job, ONE_STEP);
    fleet.submit_by("client-1", job, ONE_STEP);
    fleet.run_for_ms(500);
    fleet.submit_by("client-2", job, &long(4));
    fleet.run_until_finished_for("client-0");
    fleet.run_until_finished_for("client-1");
    assert_eq!(fleet.summary_for("client-0"), fleet.summary_for("client-1"));
    assert_eq!(fleet.summary_for("client-0").totals.requests, fleet.recorded());
    let conflict = failure(fleet.told_to("client-2")).unwrap();
    assert!(conflict.contains("belongs to job"), "{conflict}");
}

#[test]
fn a_job_is_found_through_any_gate_also_after_one_joined_that_would_own_it() {
    let mut fleet = three_gates(1);
    let job = fleet.job_owned(&[(3, 1), (4, 3)]);
    fleet.submit_by("client-0", job, &long(60));
    fleet.run_for_ms(1_500);
    fleet.add(Role::Gate, "");
    fleet.run_for_ms(1_500);
    for gate in 1..=4 {
        let client = fleet.add(Role::Client, "");
        let status = fleet.status(&client, job).unwrap();
        assert_eq!((status.state, status.owner_name.as_str()), (4, "gate-1"), "asked gate {}", gate % 4);
    }
    let watchers: Vec<String> = (0..4)
        .map(|_| {
            let client = fleet.add(Role::Client, "");
            fleet.want(&client, Wanted::Watch { job, histograms: false });
            fleet.run_for_ms(100);
            client
        })
        .collect();
    // The one that begins with the new gate.
    let canceller = (0..4).map(|_| fleet.add(Role::Client, "")).find(|name| name.ends_with("11")).unwrap();
    let reason = "enough".to_owned();
    fleet.want(&canceller, Wanted::Ask(Question::Cancel { job, reason }));
    fleet.run_until_finished();
    let told = fleet.told_to(&canceller);
    assert!(matches!(told, [Notice::Cancelled { success: true, .. }]), "{told:?}");
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.totals.requests), ("cancelled", fleet.recorded()));
    for watcher in watchers {
        assert_eq!(fleet.summary_for(&watcher), summary);
    }
    let none = fleet.job_owned(&[(4, 0)]);
    let client = fleet.add(Role::Client, "");
    let unknown = fleet.status(&client, none).unwrap_err();
    assert!(unknown.contains("no job"), "{unknown}");
}

#[test]
fn a_gate_that_passed_the_job_on_dies_at_any_moment_and_the_client_follows_on() {
    for after_us in (0..2_000).step_by(150).chain([1_500_000]) {
        let mut fleet = three_gates(1);
        let job = fleet.job_owned(&[(3, 1)]);
        fleet.submit_by("client-0", job, ONE_STEP);
        fleet.run_for_us(after_us);
        fleet.crash("gate-0");
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!(summary.status, "completed", "after {after_us} us");
        assert_eq!(summary.totals.requests, fleet.recorded());
        let told = windows(fleet.notices());
        assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "no window twice");
    }
}

#[test]
fn a_client_that_loses_its_owner_s_connection_for_a_while_comes_back_to_it() {
    let mut fleet = three_gates(1);
    let job = fleet.job_owned(&[(3, 1)]);
    fleet.submit_by("client-0", job, &long(8));
    fleet.run_for_ms(2_500);
    fleet.cut("client-0", "gate-1", Duration::from_secs(2));
    fleet.run_for_ms(3_000);
    fleet.cut_off("client-0", Duration::from_secs(1));
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.totals.requests), ("completed", fleet.recorded()));
    assert!(fleet.notices().iter().any(|notice| matches!(notice, Notice::Reconnecting { .. })));
}

#[test]
fn the_owner_s_death_is_a_clear_failure_and_its_load_stops() {
    owner_dies(false);
}

#[test]
fn an_owner_that_starts_again_without_its_memory_is_the_same_as_a_dead_one() {
    owner_dies(true);
}

fn owner_dies(comes_back: bool) {
    let mut fleet = three_gates(1);
    let job = fleet.job_owned(&[(3, 1)]);
    fleet.submit_by("client-0", job, &long(60));
    fleet.run_for_ms(2_500);
    fleet.crash("gate-1");
    fleet.run_for_ms(1_000);
    if comes_back {
        fleet.restart("gate-1");
    }
    fleet.run_for_ms(8_000);
    assert_eq!(failure(fleet.notices()), None, "{:?}", fleet.notices().last());
    assert!(fleet.live_shares("worker-0") > 0, "the gate may yet come back");
    fleet.run_for_ms(4_000);
    let error = failure(fleet.notices()).unwrap();
    assert!(error.contains("no job") && error.contains("the gate that owns it"), "{error}");
    let recorded = fleet.recorded();
    fleet.run_for_ms(61_000);
    assert_eq!(fleet.recorded(), recorded, "nothing runs any more");
    for worker in ["worker-0", "worker-1"] {
        assert_eq!(fleet.live_shares(worker), 0, "{worker}");
    }
    assert_eq!(fleet.manager_core("manager-0").live_jobs(), 0);
    for worker in ["worker-0", "worker-1"] {
        assert_eq!(fleet.worker_core(worker).known_shares(), 0, "{worker} has nothing to keep for anybody");
    }
    // The fleet goes on.
    let client = fleet.add(Role::Client, "");
    let next = fleet.job_owned(&[(3, 2)]);
    fleet.submit_by(&client, next, ONE_STEP);
    fleet.run_until_finished_for(&client);
    assert_eq!(fleet.summary_for(&client).totals.requests, fleet.recorded() - recorded);
}

#[test]
fn a_manager_s_death_ends_its_part_and_the_next_job_runs_when_it_is_back() {
    for as_new in [false, true] {
        let mut fleet = Fleet::start(Shape { gates: 2, gate_shards: 2, clients: 2, ..Shape::default() });
        let job = fleet.job_owned(&[(2, 1)]);
        fleet.submit_by("client-0", job, &long(60));
        fleet.run_for_ms(2_500);
        fleet.crash("manager-0");
        fleet.run_for_ms(3_000);
        if as_new {
            fleet.restart_as_new("manager-0")
        } else {
            fleet.restart("manager-0")
        }
        fleet.run_for_ms(20_000);
        let summary = summary(&fleet);
        assert_eq!(summary.status, "failed");
        let recorded = fleet.recorded();
        assert!(summary.totals.requests <= recorded);
        fleet.run_for_ms(61_000);
        assert_eq!((fleet.recorded(), fleet.live_shares("worker-0")), (recorded, 0), "as new: {as_new}");
        let next = fleet.job_owned(&[(2, 0)]);
        fleet.submit_by("client-1", next, ONE_STEP);
        fleet.run_until_finished_for("client-1");
        assert_eq!(fleet.summary_for("client-1").totals.requests, fleet.recorded() - recorded);
    }
}

#[test]
fn a_manager_that_is_away_for_three_seconds_loses_nothing() {
    for (load, count) in
        [("rate = 200\nduration = \"8s\"\nmax_vus = 90", 1_600), ("vus = 8\niterations = 500", 4_000)]
    {
        let datacenters = vec![("eu", 1, 2), ("us", 1, 1)];
        let shape = Shape { gates: 2, datacenters, shards: 2, engines: true, ..Shape::default() };
        let mut fleet = Fleet::start(shape);
        let plan = format!(
            "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{{ get = \"/\" }}]\n{load}\n"
        );
        fleet.submit(&plan);
        fleet.run_for_ms(1_300);
        fleet.cut("manager-0", "gate-0", Duration::from_secs(3));
        fleet.cut("manager-0", "gate-1", Duration::from_secs(3));
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!((summary.status.as_str(), summary.partial), ("completed", false));
        assert_eq!((summary.totals.requests, fleet.recorded()), (count, count));
    }
}

/// The first of its workflows ends meanwhile, the others go on.
#[test]
fn figures_of_a_workflow_that_ends_while_its_manager_is_away_are_told_when_it_is_back() {
    let mut fleet = Fleet::start(Shape { datacenters: vec![("eu", 1, 2)], shards: 2, ..Shape::default() });
    fleet.submit(crate::DIAMOND);
    fleet.run_for_ms(1_500);
    fleet.cut("manager-0", "gate-0", Duration::from_secs(2));
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", false), "{:?}", summary.events);
    assert_eq!(summary.totals.requests, fleet.recorded());
    assert_eq!(fleet.live("worker-0") + fleet.live("worker-1") + fleet.live("manager-0"), 0);
}

#[test]
fn two_datacenters_are_one_total() {
    let datacenters = vec![("eu", 1, 2), ("us", 1, 3)];
    let shape = Shape { gates: 2, gate_shards: 2, datacenters, shards: 1, uneven: true, ..Shape::default() };
    let mut fleet = Fleet::start(shape);
    fleet.network.delay_up_to(Duration::from_millis(40), 5);
    fleet.submit(crate::DIAMOND);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!(summary.totals.requests, fleet.recorded());
    let parts: Vec<(&str, u64)> =
        summary.datacenters.iter().map(|part| (part.name.as_str(), part.totals.requests)).collect();
    let eu = fleet.recorded_by(0) + fleet.recorded_by(1);
    assert_eq!(parts, [("eu", eu), ("us", fleet.recorded() - eu)]);
}

/// Gates, managers and clients lose each other for up to 4 s again and again; nobody dies.
#[test]
fn whatever_is_cut_between_gates_managers_and_clients_every_request_counts_once() {
    for seed in 0..24 {
        let mut rng = StdRng::seed_from_u64(seed);
        let datacenters = vec![("eu", 1, 2), ("us", 2, 2)];
        let shape = Shape {
            gates: 3,
            gate_shards: 2,
            datacenters,
            clients: 1,
            shards: 2,
            engines: true,
            ..Shape::default()
        };
        let mut fleet = Fleet::start(shape);
        fleet.network.delay_up_to(Duration::from_millis(rng.random_range(1..30)), seed);
        let job = fleet.job_owned(&[(3, usize::try_from(seed % 3).unwrap())]);
        let load = "rate = 100\nduration = \"12s\"\nmax_vus = 90";
        let plan = format!(
            "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{{ get = \"/\" }}]\n{load}\n"
        );
        fleet.submit_by("client-0", job, &plan);
        let names = ["gate-0", "gate-1", "gate-2", "manager-0", "manager-1", "manager-2", "client-0"];
        for _ in 0..8 {
            fleet.run_for_ms(rng.random_range(0..1_800));
            let (a, b) = (rng.random_range(0..names.len()), rng.random_range(0..names.len()));
            if a != b {
                fleet.cut(names[a], names[b], Duration::from_millis(rng.random_range(0..4_000)));
            }
        }
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!((summary.status.as_str(), summary.partial), ("completed", false), "seed {seed}");
        assert_eq!((summary.totals.requests, fleet.recorded()), (1_200, 1_200), "seed {seed}");
    }
}

/// The same for workers, whose load others take over meanwhile: what both did counts.
#[test]
fn whatever_is_cut_between_workers_and_managers_every_request_counts_once() {
    for seed in 0..24 {
        let mut rng = StdRng::seed_from_u64(seed);
        let shape = Shape { datacenters: vec![("eu", 1, 3)], shards: 2, engines: true, ..Shape::default() };
        let mut fleet = Fleet::start(shape);
        fleet.network.delay_up_to(Duration::from_millis(rng.random_range(1..30)), seed);
        let load = "rate = 100\nduration = \"12s\"\nmax_vus = 90";
        let plan = format!(
            "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{{ get = \"/\" }}]\n{load}\n"
        );
        fleet.submit(&plan);
        for _ in 0..4 {
            fleet.run_for_ms(rng.random_range(500..2_500));
            let worker = format!("worker-{}", rng.random_range(0..2));
            fleet.cut(&worker, "manager-0", Duration::from_millis(rng.random_range(0..2_500)));
        }
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!(summary.status, "completed", "seed {seed}");
        assert_eq!(summary.totals.requests, fleet.recorded(), "seed {seed}");
    }
}
