//! Jobs that ended before their gate was killed: a gate with a data folder still answers for them.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::nodes::{Node, alive, free_port, json, signal, status, submit, wait_for};
use crate::target::Target;
use crate::{number, run, summary, text};

/// A gate with a data folder and ports that it keeps, and who makes load for it.
struct Fleet {
    folder: tempfile::TempDir,
    flags: Vec<String>,
    gate: Node,
    _manager: Node,
    _worker: Node,
}

impl Fleet {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("gate");
        let place = || format!("127.0.0.1:{}", free_port());
        let (listen, admin) = (place(), place());
        let flags =
            ["gate", "--name", "gate-1", "--cores", "unpinned", "--listen", &listen, "--admin", &admin];
        let mut flags = flags.map(str::to_owned).to_vec();
        flags.extend(["--data-dir".to_owned(), data.to_str().unwrap().to_owned()]);
        let gate = Self::launch(folder.path(), &flags);
        let manager = Node::anywhere("manager", "manager-1", &["--join", &gate.listen]);
        let worker = Node::anywhere("worker", "worker-1", &["--join", &manager.listen]);
        wait_for("a worker", || alive(&gate.listen).contains(&"worker-1".to_owned()).then_some(()));
        Self { folder, flags, gate, _manager: manager, _worker: worker }
    }

    fn launch(folder: &Path, flags: &[String]) -> Node {
        let args: Vec<&str> = flags.iter().map(String::as_str).collect();
        Node::start(Path::new(env!("CARGO_BIN_EXE_hyperscale")), &args, &folder.join("gate.log"))
    }

    /// Kills the gate, and starts it again on what its disk has.
    fn kill_and_restart(&mut self) {
        signal("-KILL", self.gate.pid());
        self.gate.ended();
        // The kernel takes its rings apart after its end, and its sockets with them.
        for port in [&self.gate.listen, &self.gate.admin] {
            wait_for("a free port", || {
                (TcpListener::bind(port).is_ok() && UdpSocket::bind(port).is_ok()).then_some(())
            });
        }
        self.gate = Self::launch(self.folder.path(), &self.flags);
    }

    fn record(&self, job: &str) -> PathBuf {
        self.folder.path().join("gate/archive").join(format!("{job}.job"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("gate.log")).unwrap_or_default()
    }

    fn gate(&self) -> &str {
        &self.gate.listen
    }

    /// Runs a job to its end; its id and its summary.
    fn run(&self, target: &Target) -> (String, Value) {
        let plan = self.folder.path().join("plan.toml");
        let body = format!(
            "name = \"kept\"\ntarget = \"{}\"\n[workflows.a]\nvus = 4\ntotal_iterations = 400\nsteps = [{{ get = \"/\" }}]\n",
            target.url()
        );
        std::fs::write(&plan, body).unwrap();
        let job = submit(plan.to_str().unwrap(), self.gate());
        let output = run(&["watch", &job, "--gate", self.gate(), "--json", "-"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (job, summary(&output))
    }
}

fn listed(gate: &str) -> Vec<String> {
    let jobs = json(&["jobs", "--gate", gate, "--json"]);
    let ids = jobs["jobs"].as_array().unwrap().iter().map(|row| row["job_id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[test]
fn a_killed_gate_that_starts_again_tells_of_the_jobs_that_ended_before() {
    let target = Target::start(&[]);
    let mut fleet = Fleet::start();
    let (job, result) = fleet.run(&target);
    assert_eq!((&result["status"], number(&result["totals"]["requests"])), (&"completed".into(), 400));
    let before = status(&job, fleet.gate());
    fleet.kill_and_restart();

    // Its record was there before its end was told.
    assert_eq!(status(&job, fleet.gate()), before);
    assert_eq!(listed(fleet.gate()), [job.as_str()]);
    let again = run(&["watch", &job, "--gate", fleet.gate(), "--json", "-"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(summary(&again), result);
    let stats = json(&["stats", &job, "--gate", fleet.gate(), "--json", "-"]);
    let rows = stats["windows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["tier"], number(&rows[0]["requests"])), (1, &"archive".into(), 400));
    assert_eq!(rows[0]["latency_ms"]["p99"], result["latency_ms"]["p99"], "{stats}");
    let split = json(&["stats", &job, "--gate", fleet.gate(), "--json", "-", "--workflows"]);
    assert_eq!(split["windows"][0]["workflow"], "a", "{split}");
    let cancelled = json(&["cancel", &job, "--gate", fleet.gate(), "--json"]);
    assert_eq!(cancelled["cancelled"], true);

    // And it takes more, beside a file that a disk has spoilt.
    wait_for("a worker", || alive(fleet.gate()).contains(&"worker-1".to_owned()).then_some(()));
    let (second, _) = fleet.run(&target);
    let mut bytes = std::fs::read(fleet.record(&job)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(fleet.record(&job), bytes).unwrap();
    fleet.kill_and_restart();
    assert_eq!(listed(fleet.gate()), [second.as_str()]);
    let unknown = run(&["status", &job, "--gate", fleet.gate()]);
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stdout));
    assert_eq!(status(&second, fleet.gate())["state"], "completed");
    let log = fleet.log();
    let told = log.lines().find(|line| line.contains(&job) && line.contains("checksum"));
    assert!(told.is_some_and(|line| line.contains("cannot be read")), "{log}");
    assert!(fleet.record(&job).exists(), "what cannot be read is left for its owner");
}
