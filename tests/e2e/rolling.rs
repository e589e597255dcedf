//! Nodes that are told to end and started again while a job runs: nothing is lost and nothing counted twice.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::nodes::{Node, Process, alive, free_port, json, status, submit, wait_for};
use crate::target::Target;
use crate::{assert_adds_up, hyperscale, number, run, summary, text};

/// Nodes with ports and folders that they keep.
struct Fleet {
    folder: tempfile::TempDir,
    nodes: Vec<Kept>,
}

/// A node and how it is started.
struct Kept {
    role: &'static str,
    name: String,
    flags: Vec<String>,
    node: Node,
}

/// Binaries, turn by turn: one for each start of a node.
type Binaries<'a> = &'a mut dyn FnMut() -> PathBuf;

impl Fleet {
    fn start(gates: usize, managers: usize, workers: usize, binaries: Binaries<'_>) -> Self {
        let mut fleet = Self { folder: tempfile::tempdir().unwrap(), nodes: Vec::new() };
        for (role, count) in [("gate", gates), ("manager", managers), ("worker", workers)] {
            // Each knows all gates and managers before it, and so where they are after a restart.
            let joins = if role == "worker" { "manager" } else { "gate" };
            for at in 1..=count {
                let known = fleet.nodes.iter().filter(|kept| kept.role == joins || kept.role == role);
                let known = known.filter(|kept| role != "worker" || kept.role == "manager");
                let join: Vec<&str> = known.map(|kept| kept.node.listen.as_str()).collect();
                let flags = fleet.flags(role, &format!("{role}-{at}"), &join.join(","));
                fleet.add(role, flags, binaries);
            }
        }
        let all: Vec<String> = fleet.nodes.iter().map(|kept| kept.name.clone()).collect();
        fleet.wait_for_all(&all);
        fleet
    }

    fn flags(&self, role: &str, name: &str, join: &str) -> Vec<String> {
        let place = || format!("127.0.0.1:{}", free_port());
        let data = self.folder.path().join(name).to_str().unwrap().to_owned();
        let mut flags = vec![role.to_owned()];
        for (flag, value) in
            [("--name", name), ("--data-dir", &data), ("--listen", &place()), ("--admin", &place())]
        {
            flags.extend([flag.to_owned(), value.to_owned()]);
        }
        flags.extend(["--cores", "unpinned"].map(str::to_owned));
        if !join.is_empty() {
            flags.extend(["--join".to_owned(), join.to_owned()]);
        }
        flags
    }

    fn add(&mut self, role: &'static str, flags: Vec<String>, binaries: Binaries<'_>) {
        let node = self.launch(&flags, binaries);
        self.nodes.push(Kept { role, name: flags[2].clone(), flags, node });
    }

    fn launch(&self, flags: &[String], binaries: Binaries<'_>) -> Node {
        let args: Vec<&str> = flags.iter().map(String::as_str).collect();
        Node::start(&binaries(), &args, &self.folder.path().join(format!("{}.log", flags[2])))
    }

    fn at(&self, name: &str) -> usize {
        self.nodes.iter().position(|kept| kept.name == name).unwrap()
    }

    fn of(&self, role: &str) -> Vec<String> {
        self.nodes.iter().filter(|kept| kept.role == role).map(|kept| kept.name.clone()).collect()
    }

    /// Where a gate is.
    fn gate(&self, name: &str) -> String {
        self.nodes[self.at(name)].node.listen.clone()
    }

    /// Waits until each gate knows them all.
    fn wait_for_all(&self, names: &[String]) {
        for gate in self.of("gate") {
            wait_for(&format!("{names:?} at {gate}"), || {
                let alive = alive(&self.gate(&gate));
                names.iter().all(|name| alive.contains(name)).then_some(())
            });
        }
    }

    /// Tells a node to end, waits for that, starts it again, and waits until the fleet has it back.
    fn restart(&mut self, name: &str, binaries: Binaries<'_>) {
        let at = self.at(name);
        self.nodes[at].node.terminate();
        let ended = self.nodes[at].node.ended();
        assert_eq!(ended.code(), Some(0), "{name}: {}", self.log(name));
        let node = self.launch(&self.nodes[at].flags.clone(), binaries);
        self.nodes[at].node = node;
        self.wait_for_all(&[name.to_owned()]);
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    fn plan(&self, target: &Target, seconds: u32) -> String {
        let path = self.folder.path().join("plan.toml");
        let body = format!(
            "target = \"{}\"\n[workflows.a]\nrate = \"200/s\"\nmax_vus = 100\nduration = \"{seconds}s\"\n\
             graceful_stop = \"30s\"\nsteps = [{{ get = \"/\" }}]\n",
            target.url()
        );
        std::fs::write(&path, body).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn this_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_hyperscale"))
}

/// Restarts every worker, a gate and a manager that have no job, while one runs; its counts are the target's.
fn roll(fleet: &mut Fleet, binaries: Binaries<'_>) {
    let target = Target::start(&[]);
    let plan = fleet.plan(&target, 20);
    let job = submit(&plan, &fleet.gate("gate-1"));
    let seen = wait_for("load", || {
        let seen = status(&job, &fleet.gate("gate-1"));
        (number(&seen["totals"]["requests"]) > 100).then_some(seen)
    });
    let owner = seen["owner"].as_str().unwrap().to_owned();
    let owner_gate = fleet.gate(&owner);
    let listed = json(&["nodes", "--gate", &owner_gate, "--json"]);
    let jobs = |name: &str| {
        let node = listed["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name);
        number(&node.unwrap_or_else(|| panic!("{name} is not in {listed}"))["jobs"])
    };
    let idle = |role: &str, busy: &dyn Fn(&str) -> bool| {
        fleet
            .of(role)
            .into_iter()
            .find(|name| !busy(name))
            .unwrap_or_else(|| panic!("no idle {role}: {listed}"))
    };
    let (gate, manager) = (idle("gate", &|name| name == owner), idle("manager", &|name| jobs(name) > 0));
    let restarts = [fleet.of("worker"), vec![manager, gate]].concat();
    for name in &restarts {
        fleet.restart(name, binaries);
    }

    let output = run(&["watch", &job, "--gate", &owner_gate, "--json", "-"]);
    let summary = summary(&output);
    let events = &summary["events"];
    assert!(output.status.success(), "{}: {summary}", text(&output.stderr));
    assert_adds_up(&summary);
    assert_eq!(summary["status"], "completed", "{events}");
    assert_eq!(number(&summary["totals"]["requests"]), target.count("served"), "{events}");
    assert_eq!(summary["iterations"]["due"], 4000, "{events}");
    let by_worker: u64 =
        summary["workers"].as_array().unwrap().iter().map(|worker| number(&worker["requests"])).sum();
    assert_eq!(by_worker, number(&summary["totals"]["requests"]), "{summary}");
    let after = fleet.gate(restarts.last().unwrap());
    assert_eq!(status(&job, &after)["state"], "completed", "as the restarted gate hears it");
}

#[test]
fn workers_an_idle_gate_and_an_idle_manager_restart_during_a_job_that_stays_exact() {
    let mut binaries = this_binary;
    let mut fleet = Fleet::start(2, 2, 3, &mut binaries);
    roll(&mut fleet, &mut binaries);
}

#[test]
fn a_gate_that_is_told_to_end_waits_for_its_job() {
    let target = Target::start(&[]);
    let mut fleet = Fleet::start(1, 1, 1, &mut this_binary);
    let (plan, gate) = (fleet.plan(&target, 4), fleet.gate("gate-1"));
    let follow = ["submit", &plan, "--gate", &gate, "--follow", "--quiet", "--json", "-"];
    let following = Process::start(&mut hyperscale(&follow));
    wait_for("load", || (target.count("served") > 20).then_some(()));
    let at = fleet.at("gate-1");
    fleet.nodes[at].node.terminate();
    let output = following.output();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = summary(&output);
    assert_eq!((&summary["status"], number(&summary["totals"]["requests"])), (&"completed".into(), 800));
    assert_eq!(target.count("served"), 800);
    assert_eq!(fleet.nodes[at].node.ended().code(), Some(0), "{}", fleet.log("gate-1"));
}

/// For the build of a second binary, where nothing of it is there yet.
const BUILD: Duration = Duration::from_secs(15 * 60);

/// The binary that speaks the next minor version, built beside this one; none if this one has no such feature.
fn next_minor() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let features = std::fs::read_to_string(manifest).unwrap();
    if !features.lines().any(|line| line.starts_with("next-minor ") || line.starts_with("next-minor=")) {
        return None;
    }
    let beside = this_binary().ancestors().nth(2).unwrap().join("next-minor");
    let mut build = Command::new("nice");
    build.args(["-n", "10", env!("CARGO"), "build", "-p", "hyperscale-cli", "--features", "next-minor"]);
    // Most of a first build's time goes into what nobody debugs here.
    build.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    build.arg("--target-dir").arg(&beside).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut build = build.stdin(Stdio::null()).spawn().unwrap();
    let deadline = std::time::Instant::now() + BUILD;
    let status = loop {
        if let Some(status) = build.try_wait().unwrap() {
            break status;
        }
        if std::time::Instant::now() > deadline {
            let _gone = build.kill();
            panic!("the next minor was not built within {BUILD:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(status.success(), "the next minor cannot be built");
    Some(beside.join("debug/hyperscale"))
}

#[test]
fn nodes_of_two_minors_are_one_fleet_while_each_becomes_the_next() {
    let Some(next) = next_minor() else {
        // Not by a macro, whose words the test runner would keep to itself.
        let said = b"skipped: this binary has no feature `next-minor` to build a second version with\n";
        std::io::stderr().write_all(said).unwrap();
        return;
    };
    let mut turn = 0;
    let mut old_and_new = || {
        turn += 1;
        if turn % 2 == 0 { next.clone() } else { this_binary() }
    };
    let mut fleet = Fleet::start(2, 2, 3, &mut old_and_new);
    let listed = json(&["nodes", "--gate", &fleet.gate("gate-1"), "--json"]);
    let versions: std::collections::BTreeSet<&str> =
        listed["nodes"].as_array().unwrap().iter().map(|node| node["version"].as_str().unwrap()).collect();
    assert_eq!(versions.len(), 2, "{listed}");
    roll(&mut fleet, &mut || next.clone());
}
