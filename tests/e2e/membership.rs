//! Who is there, as a fleet of processes finds it out: killed, stopped and let go on, starved; and what `nodes`,
//! `nodes --why`, `/readyz` and `/metrics` say.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::nodes::{Cluster, Node, json, signal, submit, wait_for};
use crate::target::{Target, get};
use crate::{number, run, summary, text};

fn node<'a>(cluster: &'a Cluster, name: &str) -> &'a Value {
    cluster.nodes().iter().find(|node| node["name"] == name).unwrap()
}

fn pid(cluster: &Cluster, name: &str) -> u32 {
    u32::try_from(number(&node(cluster, name)["pid"])).unwrap()
}

fn state(cluster: &Cluster, name: &str) -> String {
    let nodes = json(&["nodes", "--gate", cluster.gates()[0], "--json"]);
    let found = nodes["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name);
    found.map_or_else(|| "unknown".to_owned(), |node| node["state"].as_str().unwrap().to_owned())
}

/// Members of a group in a state, as one node counts them.
fn members(admin: &Value, group: &str, state: &str) -> u64 {
    let metrics = get(admin.as_str().unwrap(), "/metrics");
    let start = format!("hyperscale_membership_members{{state=\"{state}\",group=\"{group}\"");
    let line = metrics.lines().find(|line| line.starts_with(&start));
    line.and_then(|line| line.rsplit_once(' ')).map_or(0, |(_, count)| count.parse::<f64>().unwrap() as u64)
}

/// Waits until each of these nodes counts so many members in a state; how long it took.
fn all_count(cluster: &Cluster, names: &[&str], group: &str, state: &str, count: u64) -> Duration {
    let began = Instant::now();
    wait_for(&format!("{count} {state} at {names:?}"), || {
        let counts = |name: &&str| members(&node(cluster, name)["admin"], group, state) == count;
        names.iter().all(counts).then_some(())
    });
    began.elapsed()
}

const DC_1: [&str; 5] =
    ["dc-1-manager-1", "dc-1-manager-2", "dc-1-worker-1", "dc-1-worker-2", "dc-1-worker-3"];

fn fleet() -> Cluster {
    let cluster =
        Cluster::start(&["--gates", "2", "--datacenters", "2", "--managers", "2", "--workers", "3"]);
    all_count(&cluster, &DC_1, "datacenter", "alive", 4);
    all_count(&cluster, &["gate-1", "gate-2", "dc-1-manager-1", "dc-2-manager-2"], "fleet", "alive", 5);
    cluster
}

#[test]
fn killed_nodes_are_known_dead_to_all_their_group_and_a_gate_says_why() {
    let cluster = fleet();
    signal("-KILL", pid(&cluster, "dc-1-worker-3"));
    let took = all_count(&cluster, &DC_1[..4], "datacenter", "dead", 1);
    println!("a killed worker is known dead to all after {took:?}");
    assert_eq!(state(&cluster, "dc-1-worker-3"), "dead");
    signal("-KILL", pid(&cluster, "dc-2-manager-1"));
    let fleet = ["gate-1", "gate-2", "dc-1-manager-1", "dc-1-manager-2", "dc-2-manager-2"];
    let took = all_count(&cluster, &fleet, "fleet", "dead", 1);
    println!("a killed manager is known dead to all after {took:?}");
    assert_eq!(state(&cluster, "dc-2-manager-1"), "dead");
    for (name, judge) in [("dc-1-worker-3", "dc-1-manager-1"), ("dc-2-manager-1", "gate-1")] {
        let why = json(&["nodes", "--gate", cluster.gates()[0], "--why", name, "--json"]);
        let verdicts = why["verdicts"].as_array().unwrap();
        let verdict = verdicts.iter().find(|verdict| verdict["observer"] == judge).unwrap();
        let signals = verdict["signals"].as_array().unwrap();
        let membership = signals.iter().find(|signal| signal["name"] == "membership").unwrap();
        assert!(membership["value"].as_str().unwrap().starts_with("dead"), "{verdict}");
        assert_eq!(membership["ok"], false, "{verdict}");
    }
    let why = run(&["nodes", "--gate", cluster.gates()[0], "--why", "dc-1-worker-1"]);
    let shown = text(&why.stdout);
    assert!(shown.contains("dc-1-manager-1 says: route") && shown.contains("liveness"), "{shown}");
    let unknown = run(&["nodes", "--gate", cluster.gates()[0], "--why", "dc-1-worker-9"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("did you mean"), "{}", text(&unknown.stderr));
}

#[test]
fn a_node_that_is_stopped_is_suspected_and_comes_back_with_its_registration() {
    let cluster = fleet();
    let stopped = pid(&cluster, "dc-1-worker-2");
    let others = ["dc-1-manager-1", "dc-1-manager-2", "dc-1-worker-1", "dc-1-worker-3"];
    signal("-STOP", stopped);
    wait_for("a suspicion", || {
        let suspects = |name: &str| members(&node(&cluster, name)["admin"], "datacenter", "suspect");
        others.iter().any(|name| suspects(name) == 1).then_some(())
    });
    signal("-CONT", stopped);
    all_count(&cluster, &others, "datacenter", "alive", 4);
    assert_eq!(state(&cluster, "dc-1-worker-2"), "alive");
    let log = std::fs::read_to_string(cluster.log("dc-1-manager-1")).unwrap();
    assert_eq!(log.matches("a worker joined worker=\"dc-1-worker-2\"").count(), 1, "registered anew: {log}");
    // Long enough to be buried; it comes back all the same, as who it was.
    signal("-STOP", stopped);
    all_count(&cluster, &others, "datacenter", "dead", 1);
    assert_eq!(state(&cluster, "dc-1-worker-2"), "dead");
    signal("-CONT", stopped);
    all_count(&cluster, &others, "datacenter", "alive", 4);
    wait_for("its registration", || (state(&cluster, "dc-1-worker-2") == "alive").then_some(()));
}

#[test]
fn a_worker_that_is_told_to_end_leaves_and_is_not_suspected() {
    let cluster = fleet();
    signal("-TERM", pid(&cluster, "dc-1-worker-1"));
    let others = ["dc-1-manager-1", "dc-1-manager-2", "dc-1-worker-2", "dc-1-worker-3"];
    all_count(&cluster, &others, "datacenter", "left", 1);
    wait_for("its state", || (state(&cluster, "dc-1-worker-1") == "left").then_some(()));
    let deaths = get(node(&cluster, "dc-1-manager-1")["admin"].as_str().unwrap(), "/metrics");
    let of = deaths
        .lines()
        .find(|line| line.starts_with("hyperscale_membership_deaths_total{group=\"datacenter\""));
    assert!(of.is_some_and(|line| line.ends_with(" 0")), "{of:?}");
}

#[test]
fn a_worker_that_is_silent_under_load_loses_its_share_fast_and_is_told_when_it_is_back() {
    let target = Target::start(&[]);
    let cluster = Cluster::start(&["--workers", "2"]);
    let plan = cluster.plan(
        "rate.toml",
        &format!(
            "target = \"{}\"\n[workflows.a]\nrate = \"100/s\"\nmax_vus = 40\nduration = \"12s\"\n\
             steps = [{{ get = \"/\" }}]\n",
            target.url()
        ),
    );
    let gate = cluster.gates()[0];
    let job = submit(&plan, gate);
    wait_for("load", || (target.count("served") > 100).then_some(()));
    let stopped = pid(&cluster, "dc-1-worker-2");
    signal("-STOP", stopped);
    let manager = cluster.log("dc-1-manager-1");
    let began = Instant::now();
    wait_for("its share to move", || {
        let log = std::fs::read_to_string(&manager).unwrap();
        log.contains("a worker is silent and does not answer").then_some(())
    });
    println!("the load of a silent worker moved after {:?}", began.elapsed());
    signal("-CONT", stopped);
    let output = run(&["watch", &job, "--gate", gate, "--json", "-"]);
    let summary = summary(&output);
    let kinds: Vec<&str> =
        summary["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"worker_lost"), "{summary}");
    assert_eq!(summary["status"], "completed", "{summary}");
    // What was in flight when it ended its old share is cut, and told as such.
    let (reported, cut) = (number(&summary["totals"]["requests"]), number(&summary["totals"]["cancelled"]));
    let served = target.count("served");
    assert!(reported <= served && served <= reported + cut, "{summary} against {served}");
}

#[test]
fn a_node_that_saturates_its_core_stays_alive() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let manager = Node::anywhere("manager", "m", &["--join", &gate.listen]);
    let workers: Vec<Node> =
        (1..=2).map(|n| Node::anywhere("worker", &format!("w-{n}"), &["--join", &manager.listen])).collect();
    let target = Target::start(&[]);
    wait_for("the workers", || (crate::nodes::alive(&gate.listen).len() == 4).then_some(()));
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    let body = format!(
        "target = \"{}\"\n[workflows.a]\nvus = 64\nduration = \"6s\"\nsteps = [{{ get = \"/\" }}]\n",
        target.url()
    );
    std::fs::write(&plan, body).unwrap();
    let output = run(&["submit", plan.to_str().unwrap(), "--gate", &gate.listen, "--follow", "--json", "-"]);
    let summary = summary(&output);
    assert_eq!(summary["status"], "completed", "{summary}");
    assert_eq!(number(&summary["totals"]["requests"]), target.count("served"), "{summary}");
    let metrics = get(&manager.admin, "/metrics");
    let dead = metrics.lines().filter(|line| line.starts_with("hyperscale_membership_deaths_total"));
    assert!(dead.clone().count() == 2 && dead.clone().all(|line| line.ends_with(" 0")), "{metrics}");
    assert!(workers.iter().all(|worker| get(&worker.admin, "/readyz") == "ok\n"));
}
