//! Nodes that come and go: names in use, draining, restarts, long lists.

use hyperscale_client::{Local as Wanted, Notice, Question};
use hyperscale_codec::Role;

use crate::fleet::{Fleet, Shape};
use crate::{ONE_STEP, summary};

fn open(rate: u32, seconds: u32) -> String {
    format!(
        "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{{ get = \"/\" }}]\n\
         rate = {rate}\nduration = \"{seconds}s\"\nmax_vus = 90\n"
    )
}

#[test]
fn of_two_nodes_with_one_name_the_second_is_refused_with_the_address_of_the_first() {
    let datacenters = vec![("eu", 1, 1), ("us", 1, 1)];
    let mut fleet = Fleet::start(Shape { gates: 2, datacenters, ..Shape::default() });
    let second = [
        (Role::Gate, "", "gate-1"),
        (Role::Gate, "", "gate-0"),
        (Role::Manager, "eu", "manager-0"),
        (Role::Manager, "eu", "manager-1"),
        (Role::Worker, "eu", "worker-0"),
    ];
    for (role, datacenter, name) in second {
        let at = fleet.add_named(role, datacenter, name);
        fleet.run_for_ms(1_000);
        let refusal = fleet.refusal_at(at).unwrap_or_else(|| panic!("a second {name} was taken on"));
        assert!(refusal.contains(name) && refusal.contains(&fleet.address(name)), "{refusal}");
        assert!(fleet.runs(name), "the first {name} goes on");
    }
    // The same name in another datacenter is another worker.
    let at = fleet.add_named(Role::Worker, "us", "worker-0");
    fleet.run_for_ms(1_000);
    assert_eq!(fleet.refusal_at(at), None);
}

#[test]
fn a_draining_node_ends_when_what_it_has_is_done() {
    let datacenters = vec![("eu", 2, 2), ("us", 1, 1)];
    let shape = Shape { gates: 2, gate_shards: 2, datacenters, engines: true, ..Shape::default() };
    let mut fleet = Fleet::start(shape);
    let job = fleet.job_owned(&[(2, 1)]);
    fleet.submit_by("client-0", job, &open(200, 6));
    fleet.run_for_ms(1_500);
    let idle = if fleet.manager_core("manager-0").live_jobs() == 0 { "manager-0" } else { "manager-1" };
    let busy = if idle == "manager-0" { "manager-1" } else { "manager-0" };
    // Who has nothing ends at once, who has a job stays until its end, a worker until its load has moved.
    for name in ["gate-0", "gate-1", "manager-0", "manager-1", "worker-0"] {
        fleet.drain(name);
    }
    // And says goodbye to the members for two intervals.
    fleet.run_for_ms(1_100);
    assert_eq!((fleet.drained("gate-0"), fleet.drained(idle)), (true, true));
    assert_eq!((fleet.drained("gate-1"), fleet.drained(busy)), (false, false));
    fleet.run_for_ms(1_500);
    assert!(fleet.drained("worker-0"), "its load has moved");
    assert!(fleet.runs("gate-1") && fleet.runs(busy));
    fleet.run_until_finished();
    fleet.run_for_ms(1_100);
    assert!(fleet.drained("gate-1") && fleet.drained(busy));
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", false));
    assert_eq!((summary.totals.requests, fleet.recorded()), (1_200, 1_200));
}

#[test]
fn a_draining_gate_takes_no_new_job_and_the_others_do() {
    let mut fleet = Fleet::start(Shape { gates: 3, gate_shards: 2, clients: 3, ..Shape::default() });
    let jobs = [fleet.job_owned(&[(3, 1)]), fleet.job_owned(&[(3, 0)])];
    fleet.submit_by("client-1", jobs[0], ONE_STEP);
    fleet.run_for_ms(200);
    fleet.drain("gate-1");
    fleet.run_for_ms(100);
    for (client, job) in [("client-0", jobs[0].0 ^ 1), ("client-2", jobs[1].0)] {
        fleet.submit_by(client, hyperscale_codec::JobId(job), ONE_STEP);
    }
    for client in ["client-0", "client-1", "client-2"] {
        fleet.run_until_finished_for(client);
        assert_eq!(fleet.summary_for(client).status, "completed");
    }
    assert!(fleet.drained("gate-1"));
}

#[test]
fn every_node_without_a_running_job_restarts_one_after_the_other_under_a_job() {
    for (as_new, delay_ms) in [(false, 0), (true, 0), (false, 5), (true, 5)] {
        let datacenters = vec![("eu", 2, 3)];
        let shape =
            Shape { gates: 3, gate_shards: 2, datacenters, shards: 2, engines: true, ..Shape::default() };
        let mut fleet = Fleet::start(shape);
        if delay_ms > 0 {
            fleet.network.delay_up_to(std::time::Duration::from_millis(delay_ms), 11);
        }
        let job = fleet.job_owned(&[(3, 2)]);
        fleet.submit_by("client-0", job, &open(300, 30));
        fleet.run_for_ms(1_500);
        let mut names: Vec<String> = (0..3).map(|n| format!("worker-{n}")).collect();
        names.extend((0..2).map(|n| format!("manager-{n}")));
        names.extend((0..3).map(|n| format!("gate-{n}")));
        for name in names {
            let busy_manager = name.starts_with("manager") && fleet.manager_core(&name).live_jobs() > 0;
            if busy_manager || name == "gate-2" {
                continue;
            }
            fleet.drain(&name);
            fleet.run_until(&format!("{name} has drained"), |fleet| fleet.drained(&name));
            fleet.run_for_ms(200);
            if as_new {
                fleet.restart_as_new(&name)
            } else {
                fleet.restart(&name)
            }
            fleet.run_for_ms(1_000);
            assert_eq!(fleet.refused(&name), None);
        }
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!((summary.status.as_str(), summary.partial), ("completed", false), "{:?}", summary.events);
        assert_eq!((summary.totals.requests, fleet.recorded()), (9_000, 9_000), "new ids: {as_new}");
    }
}

#[test]
fn a_list_of_2_500_workers_comes_in_pages_and_is_whole() {
    let datacenters = vec![("eu", 1, 1_250), ("us", 1, 1_250)];
    let mut fleet = Fleet::start(Shape { gates: 1, datacenters, ..Shape::default() });
    fleet.run_until("all workers are there", |fleet| {
        fleet.manager_core("manager-0").view(hyperscale_core::Instant(0)).nodes.len() >= 1_251
            && fleet.manager_core("manager-1").view(hyperscale_core::Instant(0)).nodes.len() >= 1_251
    });
    fleet.want("client-0", Wanted::Ask(Question::Nodes { so_far: Vec::new() }));
    fleet.run_for_ms(3_000);
    let Some(Notice::Nodes { nodes, missing }) = fleet.notices().last() else {
        panic!("{:?}", fleet.notices())
    };
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((nodes.len(), names.len(), missing.len()), (2_503, 2_503, 0));
}

#[test]
fn a_worker_that_crashes_and_starts_again_takes_part_in_what_comes_next() {
    for (as_new, away_ms) in [(false, 0), (true, 0), (false, 2_000), (true, 2_000)] {
        let datacenters = vec![("eu", 1, 3)];
        let shape = Shape { datacenters, clients: 2, shards: 2, engines: true, ..Shape::default() };
        let mut fleet = Fleet::start(shape);
        let plan = "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{ get = \"/\" }]\n\
                    vus = 12\ntotal_iterations = 9000\n";
        fleet.submit(plan);
        fleet.run_for_ms(1_600);
        fleet.crash("worker-0");
        fleet.run_for_ms(away_ms);
        if as_new {
            fleet.restart_as_new("worker-0")
        } else {
            fleet.restart("worker-0")
        }
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!((summary.status.as_str(), summary.totals.requests), ("completed", 9_000));
        let job = fleet.job_owned(&[(1, 0)]);
        fleet.submit_by("client-1", job, plan);
        fleet.run_until_finished_for("client-1");
        let next = fleet.summary_for("client-1");
        assert_eq!((next.workers.len(), next.partial, next.totals.requests), (3, false, 9_000));
    }
}
