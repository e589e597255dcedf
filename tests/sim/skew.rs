//! Fleets of several versions: every node of a job in turn speaks 1.0, or a minor that nobody else knows yet.

use std::time::Duration;

use hyperscale_client::{Local as Wanted, Notice};
use hyperscale_codec::messages::JobState;
use hyperscale_codec::{Kind, ProtocolVersion, Role};

use crate::fleet::{Fleet, Shape};
use crate::{DIAMOND, ONE_STEP, summary};

const NEWER: (u16, u64) = (ProtocolVersion::CURRENT.minor + 1, 1 << 40 | 1 << 63);
const OLD: (u16, u64) = (0, 0);

fn speaking(nodes: &[&'static str], (minor, unknown): (u16, u64)) -> Shape {
    Shape {
        datacenters: vec![("local", 1, 2)],
        shards: 2,
        uneven: true,
        versions: nodes.iter().map(|node| (*node, minor, unknown)).collect(),
        ..Shape::default()
    }
}

/// Who of a fleet of one gate and one manager speaks another version: each alone, each pair, all.
const WHO: [&[&str]; 10] = [
    &["gate-0"],
    &["manager-0"],
    &["worker-0"],
    &["worker-1"],
    &["client-0"],
    &["gate-0", "worker-1"],
    &["manager-0", "client-0"],
    &["gate-0", "manager-0"],
    &["worker-0", "worker-1"],
    &["gate-0", "manager-0", "worker-0", "worker-1", "client-0"],
];

/// Lines of the view that the client was shown.
fn windows(fleet: &Fleet) -> usize {
    fleet.notices().iter().filter(|notice| matches!(notice, Notice::Window(_))).count()
}

#[test]
fn a_job_is_whole_whoever_speaks_another_minor() {
    let lines = {
        let mut fleet = Fleet::start(speaking(&[], OLD));
        fleet.submit(DIAMOND);
        fleet.run_until_finished();
        windows(&fleet)
    };
    for version in [OLD, NEWER] {
        for who in WHO {
            let mut fleet = Fleet::start(speaking(who, version));
            fleet.submit(DIAMOND);
            fleet.run_until_finished();
            let summary = summary(&fleet);
            let context = format!("{who:?} at 1.{}", version.0);
            assert_eq!((summary.status.as_str(), summary.partial), ("completed", false), "{context}");
            assert_eq!(summary.totals.requests, fleet.recorded(), "{context}");
            let windows = windows(&fleet);
            assert_eq!(windows, lines, "{context}: the same lines, from whatever messages");
        }
    }
}

#[test]
fn a_cancel_ends_every_share_whoever_speaks_another_minor() {
    for version in [OLD, NEWER] {
        for who in WHO {
            let mut fleet = Fleet::start(speaking(who, version));
            fleet.submit(DIAMOND);
            fleet.run_for_ms(2_500);
            fleet.cancel();
            fleet.run_until_finished();
            let summary = summary(&fleet);
            assert_eq!(summary.status, "cancelled", "{who:?} at 1.{}", version.0);
            assert_eq!(summary.totals.requests, fleet.recorded(), "{who:?} at 1.{}", version.0);
            assert_eq!(fleet.live_shares("worker-0") + fleet.live_shares("worker-1"), 0);
        }
    }
}

#[test]
fn load_moves_between_workers_of_two_minors() {
    for version in [OLD, NEWER] {
        for leaves in ["worker-0", "worker-1"] {
            let mut fleet = Fleet::start(Shape { engines: true, ..speaking(&["worker-0"], version) });
            let load = "rate = 300\nduration = \"4s\"\nmax_vus = 60";
            fleet.submit(&format!(
                "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{{ get = \"/\" }}]\n{load}\n"
            ));
            fleet.run_for_ms(1_300);
            fleet.drain(leaves);
            fleet.run_until_finished();
            let summary = summary(&fleet);
            assert_eq!((summary.totals.requests, fleet.recorded()), (1_200, 1_200), "{leaves} leaves");
        }
    }
}

#[test]
fn newer_nodes_join_a_fleet_of_several_gates_in_any_order() {
    let who = ["gate-1", "manager-1", "worker-1", "client-1"];
    let versions = who.iter().map(|node| (*node, NEWER.0, NEWER.1)).collect();
    let datacenters = vec![("eu", 1, 1), ("us", 1, 2)];
    let shape =
        Shape { gates: 3, gate_shards: 2, datacenters, clients: 3, shards: 2, versions, ..Shape::default() };
    for owner in 0..3 {
        let mut fleet = Fleet::start(shape.clone());
        let job = fleet.job_owned(&[(3, owner)]);
        fleet.submit_by("client-1", job, DIAMOND);
        fleet.run_for_ms(1_500);
        for (client, gate) in [("client-0", "gate-0"), ("client-2", "gate-2")] {
            let status = fleet.status(client, job).unwrap();
            assert_eq!(status.owner_name, format!("gate-{owner}"), "asked {gate}");
        }
        fleet.run_until_finished_for("client-1");
        let summary = fleet.summary_for("client-1");
        assert_eq!((summary.status.as_str(), summary.totals.requests), ("completed", fleet.recorded()));
    }
}

#[test]
fn who_does_not_take_batches_gets_a_message_for_each_source() {
    let mut fleet = Fleet::start(speaking(&["manager-0"], OLD));
    fleet.submit(DIAMOND);
    fleet.run_until_finished();
    let sources = |fleet: &Fleet, from: &str| -> Vec<usize> {
        let at = fleet.place(from);
        fleet.updates.iter().filter(|(place, _)| *place == at).map(|(_, sources)| *sources).collect()
    };
    for from in ["worker-0", "worker-1", "manager-0"] {
        let told = sources(&fleet, from);
        assert!(told.len() >= 6 && told.iter().all(|sources| *sources == 1), "{from}: {told:?}");
    }
    let mut fleet = Fleet::start(speaking(&[], OLD));
    fleet.submit(DIAMOND);
    fleet.run_until_finished();
    assert!(sources(&fleet, "worker-1").contains(&3), "three shards in one message");
    assert!(sources(&fleet, "manager-0").contains(&2), "two workflows in one message");
}

#[test]
fn a_client_that_cannot_be_called_back_asks_every_two_seconds() {
    let versions = vec![("client-0", 0, 0)];
    let mut fleet = Fleet::start(Shape { gates: 2, gate_shards: 2, versions, ..Shape::default() });
    let job = fleet.job_owned(&[(2, 1)]);
    fleet.submit_by("client-0", job, &ONE_STEP.replace("3s", "9s"));
    fleet.run_for_ms(15_000);
    let asked = fleet.sent_by("client-0").filter(|kind| *kind == Kind::JobStatusRequest).count();
    // At 0, 2, ... 10 s.
    assert_eq!(asked, 6);
    assert!(fleet.sent_by("client-0").all(|kind| kind != Kind::RegisterCallback));
    let Some(Notice::Status(last)) = fleet.notices().last() else { panic!("{:?}", fleet.notices().last()) };
    assert_eq!((last.state, last.requests), (JobState::Completed.to_wire(), fleet.recorded()));
}

#[test]
fn who_cannot_fence_stands_only_in_a_fleet_of_one_gate_and_one_manager() {
    let two_gates = |old| Shape { gates: 2, versions: vec![(old, 1, 0)], ..Shape::default() };
    for old in ["gate-1", "manager-0", "worker-0"] {
        let mut fleet = Fleet::start(two_gates(old));
        fleet.run_for_ms(2_000);
        let refusals: Vec<&str> = ["gate-0", "gate-1", "manager-0", "worker-0"]
            .iter()
            .filter_map(|name| fleet.refused(name))
            .collect();
        assert!(
            !refusals.is_empty() && refusals.iter().all(|text| text.contains("fence_tokens required")),
            "{old}: {refusals:?}"
        );
    }
    let datacenters = vec![("eu", 2, 1)];
    let mut fleet =
        Fleet::start(Shape { datacenters, versions: vec![("worker-0", 1, 0)], ..Shape::default() });
    fleet.run_for_ms(2_000);
    assert!(fleet.refused("worker-0").unwrap().contains("fence_tokens required"));
}

#[test]
fn an_old_worker_goes_when_a_second_gate_comes() {
    let versions = vec![("worker-0", 1, 0)];
    let datacenters = vec![("local", 1, 2)];
    let shape = Shape { datacenters, versions, engines: true, ..Shape::default() };
    let mut fleet = Fleet::start(shape);
    let load = "vus = 4\ntotal_iterations = 3000";
    fleet.submit(&format!(
        "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{{ get = \"/\" }}]\n{load}\n"
    ));
    fleet.run_for_ms(1_300);
    assert!(fleet.dispatched(0));
    fleet.add(Role::Gate, "");
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.totals.requests >= 3_000), ("completed", true));
    let view = fleet.manager_core("manager-0").view(hyperscale_core::Instant(0));
    assert_eq!(view.nodes.iter().filter(|node| node.role == "worker" && node.accepting).count(), 1);
    fleet.cut("worker-1", "manager-0", Duration::ZERO);
    let client = fleet.add(Role::Client, "");
    fleet.want(&client, Wanted::Ask(hyperscale_client::Question::Nodes { so_far: Vec::new() }));
    fleet.run_for_ms(1_000);
    assert!(matches!(fleet.told_to(&client), [Notice::Nodes { .. }]));
}
