//! A gate with a fraction of a CPU, offered five times what it takes by `saturate`, while a job runs through it and the
//! connection that the job's figures come on is broken again and again: the job is exact against the server's own count.
//!
//! What is broken: the connection of the manager that runs the job; a manager without load, killed and started anew; the
//! driver, killed in the middle. The gate itself goes on: what it owns of a job does not outlive it yet.

use std::time::Instant;

use serde_json::Value;

use crate::cut::Cut;
use crate::held::Held;
use crate::nginx::Nginx;
use crate::nodes::{Node, Process, alive, signal, submit, wait_for};
use crate::overload::sum;
use crate::target::Target;
use crate::{assert_adds_up, hyperscale, number, run, summary, text};

/// Kinds of every class; questions and statistics that may be refused are most of it.
const MIX: &str = "status=60,stats=20,snapshot=4,heartbeat=4,cancel=1,submit=1,list=10";
const CUTS: u32 = 4;

/// Nginx, or our own target where there is none.
enum Server {
    Nginx(Nginx),
    Own(Target),
}

impl Server {
    fn start() -> Self {
        Nginx::start().map_or_else(|| Self::Own(Target::start(&[])), Self::Nginx)
    }

    fn url(&self) -> String {
        match self {
            Self::Nginx(nginx) => nginx.url(),
            Self::Own(target) => format!("{}/", target.url()),
        }
    }

    fn served(&self, asked: &mut u64) -> u64 {
        match self {
            Self::Nginx(nginx) => {
                *asked += 1;
                nginx.requests() - *asked
            }
            Self::Own(target) => target.count("served"),
        }
    }
}

/// Answers a second of the best second of a load that waits for its answers.
fn most(gate: &str) -> f64 {
    let args = [
        "saturate",
        "--gate",
        gate,
        "-d",
        "3s",
        "--mix",
        MIX,
        "--open-requests",
        "4",
        "--quiet",
        "--json",
        "-",
    ];
    let output = run(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let seconds = report["seconds"].as_array().unwrap().iter();
    seconds.map(|second| second["answered"].as_f64().unwrap()).fold(1.0, f64::max)
}

#[test]
fn beyond_five_times_its_capacity_a_gate_loses_no_count_whatever_breaks() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = file("gate.toml", "[limits]\nexempt = [\"127.0.0.0/8\"]\n");
    let gate = Node::anywhere("gate", "gate-1", &["--config", &config]);
    let way = Cut::to(&gate.listen);
    let manager = Node::anywhere("manager", "manager-1", &["--datacenter", "dc-1", "--join", &way.addr]);
    let _worker = Node::anywhere("worker", "worker-1", &["--join", &manager.listen]);
    let idle = || Node::anywhere("manager", "manager-2", &["--datacenter", "dc-2", "--join", &gate.listen]);
    let mut second = idle();
    wait_for("a fleet", || (alive(&gate.listen).len() == 4).then_some(()));
    let Some(held) = Held::to_percent(gate.pid(), 10) else { return };
    let rate = format!("{:.0}/s", 5.0 * most(&gate.listen));
    wait_for("a gate at rest", || (sum(&gate, "hyperscale_overload_state", &[]) == 0.0).then_some(()));

    let plan = format!(
        "target = \"{}\"\n[placement]\ndatacenters = [\"dc-1\"]\n[workflows.a]\nrate = \"200/s\"\nmax_vus = 40\n\
         duration = \"30s\"\nsteps = [{{ get = \"/\" }}]\n",
        server.url()
    );
    let (job, mut asked) = (submit(&file("plan.toml", &plan), &gate.listen), 0);
    wait_for("load", || (server.served(&mut asked) > 100).then_some(()));

    let args =
        ["saturate", "--gate", &gate.listen, "--rate", &rate, "-d", "600s", "--mix", MIX, "--ignore-levels"];
    let mut driver = Process::start(hyperscale(&args).args(["--quiet"]));
    let shed = || sum(&gate, "hyperscale_shed_total", &[]);
    wait_for("a gate that sheds", || {
        assert!(!driver.has_ended(), "the driver ended");
        (shed() > 500.0 && sum(&gate, "hyperscale_overload_state", &[]) >= 2.0).then_some(())
    });
    let taken_on = || {
        let of = |metric| sum(&gate, metric, &["kind=\"ManagerPeerRegistration\""]);
        of("hyperscale_requests_total") - of("hyperscale_shed_total")
    };
    for _ in 0..CUTS {
        let (through, shed_before) = (way.accepted(), shed());
        way.cut();
        wait_for("the manager's new connection", || (way.accepted() > through).then_some(()));
        wait_for("the flood to go on", || (shed() > shed_before + 200.0).then_some(()));
    }
    assert!(way.accepted() > CUTS, "the manager went another way: {} connections", way.accepted());
    // A loaded gate may refuse registrations for as long as that lasts; its parts of jobs wait for a manager that is linked.
    let registered = taken_on();
    signal("-KILL", second.pid());
    second.ended();
    second = idle();

    signal("-KILL", driver.pid());
    driver.ended();
    let over = Instant::now();
    wait_for("the gate to be well", || (sum(&gate, "hyperscale_overload_state", &[]) == 0.0).then_some(()));
    println!("offered {rate}: healthy {:?} after the driver was killed", over.elapsed());
    wait_for("a level of none", || (sum(&gate, "hyperscale_backpressure_level", &[]) == 0.0).then_some(()));
    println!("at level none {:?} after it", over.elapsed());
    wait_for("managers to be taken on", || (taken_on() > registered).then_some(()));
    wait_for("all who live", || {
        let names = alive(&gate.listen);
        let ours = ["gate-1", "manager-1", "manager-2", "worker-1"];
        ours.iter().all(|name| names.iter().any(|alive| alive == name)).then_some(())
    });

    let output = run(&["watch", &job, "--gate", &gate.listen, "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = summary(&output);
    drop(held);
    assert_adds_up(&summary);
    assert_eq!((&summary["status"], &summary["partial"]), (&"completed".into(), &false.into()), "{summary}");
    assert_eq!(number(&summary["totals"]["requests"]), server.served(&mut asked), "{summary}");
    assert_eq!(sum(&gate, "hyperscale_shed_total", &["priority=\"critical\""]), 0.0);
    drop(second);
}
