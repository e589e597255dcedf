//! A gate with a fraction of a CPU under a flood of questions, while a job runs through it: what it refuses, what it
//! never does, and that it is well again by itself.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::Value;

use crate::flood::Flood;
use crate::held::Held;
use crate::nodes::{Node, json, status, submit, wait_for};
use crate::target::{Target, get};
use crate::{assert_adds_up, number, run, summary, text};

/// Two gates that do not limit their clients' rates, so that a flood reaches what stands behind the limits; a
/// manager and a worker.
struct Fleet {
    gates: Vec<Node>,
    manager: Node,
    worker: Node,
    _folder: tempfile::TempDir,
}

impl Fleet {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("gate.toml");
        std::fs::write(&config, "[limits]\nexempt = [\"127.0.0.0/8\"]\n").unwrap();
        let config = config.to_str().unwrap();
        let first = Node::anywhere("gate", "gate-1", &["--config", config]);
        let second = Node::anywhere("gate", "gate-2", &["--config", config, "--join", &first.listen]);
        let join = format!("{},{}", first.listen, second.listen);
        let manager = Node::anywhere("manager", "manager-1", &["--datacenter", "dc-1", "--join", &join]);
        let worker = Node::anywhere("worker", "worker-1", &["--join", &manager.listen]);
        let fleet = Self { gates: vec![first, second], manager, worker, _folder: folder };
        for gate in &fleet.gates {
            wait_for("a fleet", || (fleet.listed(&gate.listen).len() == 4).then_some(()));
        }
        fleet
    }

    fn listed(&self, gate: &str) -> Vec<Value> {
        json(&["nodes", "--gate", gate, "--json"])["nodes"].as_array().unwrap().clone()
    }

    /// The gate of this name, and the other one.
    fn owner(&self, name: &str) -> (&Node, &Node) {
        let (first, second) = (&self.gates[0], &self.gates[1]);
        if name == "gate-1" { (first, second) } else { (second, first) }
    }
}

/// The sum of a metric's samples whose labels hold all of these.
pub(crate) fn sum(node: &Node, metric: &str, labels: &[&str]) -> f64 {
    let metrics = get(&node.admin, "/metrics");
    let lines = metrics.lines().filter(|line| line.starts_with(metric));
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[test]
fn a_gate_flooded_with_questions_sheds_them_keeps_its_job_exact_and_is_well_again() {
    let target = Target::start(&[]);
    let fleet = Fleet::start();
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    let text_of_plan = format!(
        "target = \"{}\"\n[workflows.a]\nrate = \"200/s\"\nmax_vus = 40\nduration = \"20s\"\nsteps = [{{ get = \"/\" }}]\n",
        target.url()
    );
    std::fs::write(&plan, text_of_plan).unwrap();
    let job = submit(plan.to_str().unwrap(), &fleet.gates[0].listen);
    wait_for("load", || (target.count("served") > 100).then_some(()));
    let owner = status(&job, &fleet.gates[0].listen)["owner"].as_str().unwrap().to_owned();
    let (gate, other) = fleet.owner(&owner);

    let Some(held) = Held::to_percent(gate.pid(), 10) else { return };
    let began = Instant::now();
    let flood = Flood::start(&gate.listen, 64, 64);
    let mut seen = BTreeSet::new();
    wait_for("the gate to say that it is loaded", || {
        let listed = fleet.listed(&other.listen);
        let row = listed.iter().find(|node| node["name"] == owner.as_str()).unwrap();
        // With a tenth of a CPU it may be slow to answer probes; it is never taken for dead.
        assert_ne!(row["state"], "dead", "{row}");
        seen.insert(row["overload"].as_str().unwrap().to_owned());
        let shed = sum(gate, "hyperscale_shed_total", &["kind=\"JobStatusRequest\""]);
        (shed > 1_000.0 && (seen.contains("stressed") || seen.contains("overloaded"))).then_some(())
    });
    println!("{owner} was {seen:?} after {:?}", began.elapsed());
    wait_for("a flood that lasts", || (flood.answers.all() > 60_000).then_some(()));
    let answers = flood.stop();
    let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
    println!(
        "of {} questions in {:?} {} were answered, {} refused",
        answers.all(),
        began.elapsed(),
        count(&answers.answered),
        count(&answers.overloaded)
    );
    let over = Instant::now();
    wait_for("the gate to be well", || {
        let listed = fleet.listed(&other.listen);
        let row = listed.iter().find(|node| node["name"] == owner.as_str()).unwrap();
        (row["overload"] == "healthy").then_some(())
    });
    println!("{owner} is healthy {:?} after the flood", over.elapsed());
    drop(held);

    let output = run(&["watch", &job, "--gate", &other.listen, "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = summary(&output);
    assert_adds_up(&summary);
    assert_eq!((&summary["status"], &summary["partial"]), (&"completed".into(), &false.into()), "{summary}");
    assert_eq!(number(&summary["totals"]["requests"]), target.count("served"), "{summary}");

    let critical = sum(gate, "hyperscale_shed_total", &["priority=\"critical\""]);
    let beats = sum(gate, "hyperscale_requests_total", &["kind=\"ManagerHeartbeat\""]);
    assert!((critical, beats > 20.0) == (0.0, true), "critical {critical}, heartbeats {beats}");
    for node in [&fleet.gates[0], &fleet.gates[1], &fleet.manager, &fleet.worker] {
        assert_eq!(sum(node, "hyperscale_membership_deaths_total", &[]), 0.0, "{}", node.listen);
    }
}
