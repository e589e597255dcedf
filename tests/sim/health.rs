//! Workers whose load does not get on, those that take no more, managers that are not ready: who gets work, and whose
//! load moves.

use hyperscale_codec::Kind;
use hyperscale_core::Instant;
use hyperscale_fleet::GroupKind;
use hyperscale_report::Summary;

use crate::fleet::{Fleet, Local, Shape};
use crate::summary;

/// One workflow of so many seconds, whose step may take `timeout`.
fn plan(seconds: u64, timeout: &str) -> String {
    format!(
        "target = \"http://127.0.0.1:1\"\n[workflows.home]\nvus = 8\nduration = \"{seconds}s\"\n\
         timeout = \"{timeout}\"\nsteps = [{{ get = \"/\" }}]\n"
    )
}

fn asked(fleet: &Fleet, worker: &str) -> usize {
    fleet.sent_by(worker).filter(|kind| *kind == Kind::HealthcheckExtensionRequest).count()
}

fn answered(fleet: &Fleet) -> usize {
    fleet.sent_by("manager-0").filter(|kind| *kind == Kind::HealthcheckExtensionResponse).count()
}

fn events<'a>(summary: &'a Summary, kind: &str) -> Vec<&'a str> {
    summary.events.iter().filter(|event| event.kind == kind).map(|event| event.detail.as_str()).collect()
}

fn why(fleet: &mut Fleet, node: &str) -> String {
    let (id, now) = (fleet.node_id(node), fleet.network.now);
    let rows = fleet.manager_core("manager-0").explain(id, now);
    rows.iter().map(|row| format!("{}: {}\n", row.name, row.value)).collect()
}

#[test]
fn a_stuck_worker_has_five_extensions_and_then_its_load_moves_though_its_link_lives() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(&plan(140, "10m"));
    fleet.run_for_ms(5_000);
    fleet.freeze_load_of(0, true);
    // Silence is noticed after some 4 s; then there are 30 + 58.125 s.
    fleet.run_for_ms(89_000);
    assert_eq!((asked(&fleet, "worker-0"), answered(&fleet)), (5, 5));
    assert!(
        why(&mut fleet, "worker-0").contains("5 of 5 extensions used"),
        "{}",
        why(&mut fleet, "worker-0")
    );
    let before = fleet.recorded_by(1);
    fleet.run_for_ms(1_000);
    // A stuck one gets nothing new all the while, but keeps what it has.
    assert!(why(&mut fleet, "worker-0").contains("progress: stuck"), "{}", why(&mut fleet, "worker-0"));
    let own = fleet.recorded_by(1) - before;
    fleet.run_for_ms(7_000);
    let before = fleet.recorded_by(1);
    fleet.run_for_ms(1_000);
    assert!(fleet.recorded_by(1) - before > own, "the share moved");
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", true));
    let lost = events(&summary, "worker_lost");
    assert_eq!(
        lost,
        ["worker worker-0 completes nothing (all its extensions are used up); others take its share"]
    );
    assert_eq!(events(&summary, "share_moved").len(), 1);
    assert_eq!(summary.totals.requests, fleet.recorded());
}

#[test]
fn a_worker_whose_longest_step_should_have_ended_asks_for_no_more_and_is_given_up_sooner() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(&plan(100, "20s"));
    fleet.run_for_ms(5_000);
    fleet.freeze_load_of(0, true);
    fleet.run_until_finished();
    // 25 s with the connect: asked after 15 s and after 38, when all had been told.
    assert_eq!(asked(&fleet, "worker-0"), 2);
    let summary = summary(&fleet);
    let lost = events(&summary, "worker_lost");
    assert_eq!(
        lost,
        [
            "worker worker-0 completes nothing (its time is over, and it asked for no more); others take its share"
        ]
    );
}

#[test]
fn a_worker_of_a_minor_that_cannot_ask_is_never_given_up_for_want_of_progress() {
    let versions = vec![("worker-0", 3, 0)];
    let datacenters = vec![("local", 1, 2)];
    let mut fleet = Fleet::start(Shape { datacenters, versions, ..Shape::default() });
    fleet.submit(&plan(100, "10m"));
    fleet.run_for_ms(5_000);
    fleet.freeze_load_of(0, true);
    fleet.run_for_ms(94_000);
    assert_eq!((asked(&fleet, "worker-0"), answered(&fleet)), (0, 0));
    assert!(!why(&mut fleet, "worker-0").contains("deadline"), "{}", why(&mut fleet, "worker-0"));
    assert_eq!(fleet.live_shares("worker-0"), 1);
}

#[test]
fn a_worker_that_wakes_up_in_time_keeps_its_load_and_has_all_its_time_again() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(&plan(100, "10m"));
    fleet.run_for_ms(5_000);
    fleet.freeze_load_of(0, true);
    fleet.run_for_ms(50_000);
    assert!(asked(&fleet, "worker-0") >= 2);
    fleet.freeze_load_of(0, false);
    fleet.run_for_ms(2_000);
    assert!(
        why(&mut fleet, "worker-0").contains("0 of 5 extensions used"),
        "{}",
        why(&mut fleet, "worker-0")
    );
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", false));
    assert_eq!(events(&summary, "worker_lost"), Vec::<&str>::new());
    assert_eq!(summary.totals.requests, fleet.recorded());
}

#[test]
fn load_on_schedule_is_progress_though_no_step_ends() {
    let mut fleet = Fleet::new(1, 2);
    fleet.submit(&plan(60, "10m"));
    fleet.run_for_ms(55_000);
    assert_eq!(asked(&fleet, "worker-0"), 0);
    let told = why(&mut fleet, "worker-0");
    assert!(told.contains("progress: normal") && told.contains("decision: route"), "{told}");
}

#[test]
fn a_stuck_worker_gets_no_new_work() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(&plan(90, "10m"));
    fleet.run_for_ms(5_000);
    fleet.freeze_load_of(0, true);
    fleet.run_for_ms(30_000);
    assert!(why(&mut fleet, "worker-0").contains("decision: evict"), "{}", why(&mut fleet, "worker-0"));
    let shares = fleet.live_shares("worker-0");
    fleet.freeze_load_of(0, false);
    let job = fleet.job_owned(&[(1, 0)]);
    fleet.submit_by("client-0", job, &plan(5, "10m"));
    fleet.run_for_ms(1_000);
    assert_eq!(fleet.live_shares("worker-0"), shares);
    assert_eq!(fleet.live_shares("worker-1"), 2);
}

#[test]
fn a_draining_worker_gets_no_new_work() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(&plan(20, "30s"));
    fleet.run_for_ms(3_000);
    fleet.freeze_load_of(0, true);
    // It cannot end what it has, so it stays; and it says that it takes no more.
    fleet.drain_worker(0);
    fleet.run_for_ms(1_000);
    assert!(fleet.runs("worker-0"));
    assert!(why(&mut fleet, "worker-0").contains("decision: drain"), "{}", why(&mut fleet, "worker-0"));
    let job = fleet.job_owned(&[(1, 0)]);
    fleet.submit_by("client-0", job, &plan(5, "30s"));
    fleet.run_for_ms(2_000);
    assert_eq!((fleet.live_shares("worker-0"), fleet.live_shares("worker-1")), (1, 2));
}

#[test]
fn an_overloaded_worker_keeps_its_load_and_gets_no_new_work_until_it_is_well() {
    let mut fleet = Fleet::new(2, 2);
    fleet.submit(&plan(20, "30s"));
    fleet.run_for_ms(3_000);
    let worker = fleet.place("worker-0");
    fleet.tell(worker, Local::Worker(hyperscale_worker::Local::Overload(3)));
    fleet.run_for_ms(500);
    assert!(why(&mut fleet, "worker-0").contains("decision: drain"), "{}", why(&mut fleet, "worker-0"));
    let job = fleet.job_owned(&[(1, 0)]);
    fleet.submit_by("client-0", job, &plan(5, "30s"));
    fleet.run_for_ms(2_000);
    assert_eq!((fleet.live_shares("worker-0"), fleet.live_shares("worker-1")), (1, 2));
    // Everybody of its group has its own word for it.
    let manager = fleet.manager_core("manager-0").membership();
    let node = manager.members(GroupKind::Datacenter).next().unwrap().card.node;
    let says = manager.signals(node, Instant(0)).into_iter().map(|signal| signal.value).collect::<Vec<_>>();
    assert!(says.iter().any(|word| word.starts_with("overloaded")), "{says:?}");
    fleet.tell(worker, Local::Worker(hyperscale_worker::Local::Overload(0)));
    fleet.run_for_ms(500);
    assert!(why(&mut fleet, "worker-0").contains("decision: route"), "{}", why(&mut fleet, "worker-0"));
}

/// Two managers of one datacenter, each with both workers.
fn two_managers() -> Fleet {
    let datacenters = vec![("local", 2, 2)];
    Fleet::start(Shape { datacenters, clients: 2, ..Shape::default() })
}

/// The manager that is given the part of a job.
fn given_to(fleet: &mut Fleet, client: &str, job: hyperscale_codec::JobId) -> Vec<String> {
    fleet.submit_by(client, job, &plan(3, "30s"));
    fleet.run_for_ms(1_500);
    let managers = ["manager-0", "manager-1"];
    let has = |fleet: &mut Fleet, name: &&str| fleet.manager_core(name).live_jobs() > 0;
    managers.into_iter().filter(|name| has(fleet, name)).map(str::to_owned).collect()
}

#[test]
fn a_manager_that_fails_its_probes_is_skipped_until_it_is_heard_again() {
    let mut fleet = two_managers();
    let first = fleet.job_owned(&[(1, 0)]);
    let given = given_to(&mut fleet, "client-0", first);
    assert_eq!(given.len(), 1);
    fleet.run_until_finished_for("client-0");
    // The same job would go there again.
    let (id, now) = (fleet.node_id(&given[0]), fleet.network.now);
    let gate = fleet.gate("gate-0");
    (0..3).for_each(|_| gate.on_probe_round(id, false));
    let rows = gate.explain(id, now);
    let told = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.value.clone());
    assert_eq!(told("decision").as_deref(), Some("evict"), "{rows:?}");
    assert_eq!(told("managers_live").as_deref(), Some("1 of 2"), "{rows:?}");
    fleet.run_for_ms(1_000);
    let (gate, now) = (fleet.gate("gate-0"), now + std::time::Duration::from_secs(1));
    assert!(gate.explain(id, now).iter().any(|row| row.name == "decision" && row.value == "route"));
}

#[test]
fn a_manager_that_takes_no_jobs_is_skipped() {
    let mut fleet = two_managers();
    // It has something to end, so it stays.
    let first = fleet.job_owned(&[(1, 0)]);
    fleet.submit_by("client-0", first, &plan(20, "30s"));
    fleet.run_for_ms(1_500);
    let busy = if fleet.manager_core("manager-0").live_jobs() > 0 { "manager-0" } else { "manager-1" };
    fleet.drain(busy);
    fleet.run_for_ms(1_000);
    let (id, now) = (fleet.node_id(busy), fleet.network.now);
    let rows = fleet.gate("gate-0").explain(id, now);
    assert!(rows.iter().any(|row| row.name == "decision" && row.value == "drain"), "{rows:?}");
    let jobs = fleet.manager_core(busy).live_jobs();
    let second = hyperscale_codec::JobId(first.0 + 1);
    fleet.submit_by("client-1", second, &plan(3, "30s"));
    fleet.run_for_ms(1_500);
    let other = if busy == "manager-0" { "manager-1" } else { "manager-0" };
    assert_eq!((fleet.manager_core(busy).live_jobs(), fleet.manager_core(other).live_jobs()), (jobs, 1));
}

#[test]
fn a_datacenter_is_unhealthy_without_a_worker_and_healthy_with_them() {
    let mut fleet = two_managers();
    fleet.run_for_ms(1_000);
    let class = |fleet: &mut Fleet| {
        let now = fleet.network.now;
        fleet.gate("gate-0").datacenter("local", now).class().word()
    };
    assert_eq!(class(&mut fleet), "healthy");
    fleet.crash("worker-0");
    fleet.run_for_ms(1_000);
    assert_eq!(class(&mut fleet), "degraded", "one of two");
    fleet.run_for_ms(40_000);
    assert_eq!(class(&mut fleet), "healthy", "the other was evicted, and is not missed");
    fleet.crash("worker-1");
    fleet.run_for_ms(40_000);
    assert_eq!(class(&mut fleet), "unhealthy");
}
