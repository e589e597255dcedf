//! `saturate` against a gate and a manager of real processes.

use serde_json::Value;

use crate::nodes::{Cluster, Node, Process, alive, free_port, signal, wait_for};
use crate::{hyperscale, number, run, text};

fn report(args: &[&str]) -> Value {
    let output = run(&[&["saturate", "--json", "-", "--quiet"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn count(report: &Value, key: &str) -> u64 {
    report["kinds"].as_array().unwrap().iter().map(|kind| number(&kind[key])).sum()
}

fn kinds(report: &Value) -> impl Iterator<Item = &Value> {
    report["kinds"].as_array().unwrap().iter()
}

/// A machine that does much else may make a node shed, or the driver wait: each request is told once all the same.
fn each_is_told_once(kind: &Value) {
    let refused = kind["refused"].as_object().unwrap().values().map(number).sum::<u64>();
    let told = ["answered", "merged", "unsent", "unanswered"].map(|key| number(&kind[key]));
    assert_eq!(number(&kind["due"]), told.iter().sum::<u64>() + refused, "{kind}");
}

#[test]
fn a_gate_reports_exactly_what_it_was_sent_and_is_left_as_it_was() {
    let cluster =
        Cluster::start(&["--gates", "1", "--datacenters", "1", "--managers", "1", "--workers", "1"]);
    let gate = cluster.gates()[0];
    let mixed =
        report(&["--gate", gate, "-d", "3s", "--mix", "mixed", "--rate", "100/s", "--subscribers", "1"]);
    assert_eq!(
        (&mixed["schema"], &mixed["exactness"]["exact"]),
        (&"hyperscale.saturate/1".into(), &true.into())
    );
    let exact = &mixed["exactness"];
    assert!(number(&exact["requests_sent"]) > 0, "{exact}");
    assert_eq!(exact["requests_sent"], exact["requests_reported"], "{exact}");
    assert!((295..=305).contains(&count(&mixed, "due")), "{}", count(&mixed, "due"));
    let closed = report(&["--gate", gate, "-d", "1s", "--open-requests", "2"]);
    for kind in kinds(&closed).chain(kinds(&mixed)) {
        each_is_told_once(kind);
    }

    // Killed in the middle: its managers are missed and go, and the fleet goes on.
    let args = ["saturate", "--gate", gate, "-d", "60s", "--rate", "100/s"];
    let mut driver = Process::start(&mut hyperscale(&args));
    while !driver.next_note().contains("/s p50") {}
    signal("-KILL", driver.pid());
    driver.ended();
    wait_for("a healthy fleet", || {
        let names = alive(gate);
        let own = names.iter().filter(|name| !name.starts_with("saturate")).count();
        (own == 3 && names.len() == own).then_some(())
    });
    let after = report(&["--gate", gate, "-d", "500ms", "--rate", "50/s"]);
    assert_eq!(after["exactness"]["exact"], true, "{after}");

    // Ctrl-C: in order, with what there is.
    let mut driver = Process::start(&mut hyperscale(&args));
    while !driver.next_note().contains("/s p50") {}
    signal("-INT", driver.pid());
    let output = driver.output();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("interrupted") && told.contains("exact: 16 of 16 jobs"), "{told}");
}

/// A manager whose gates are not there.
fn lonely_manager() -> Node {
    let nobody = format!("127.0.0.1:{}", free_port());
    Node::anywhere("manager", "m1", &["--datacenter", "east", "--join", &nobody])
}

#[test]
fn a_manager_reports_exactly_what_its_workers_told_it() {
    let mut manager = lonely_manager();
    let listen = manager.listen.clone();
    let to = ["--manager", &listen];
    let closed = report(&[&to[..], &["-d", "1s", "--open-requests", "2", "--job-steps", "2"]].concat());
    let mixed = report(&[&to[..], &["-d", "3s", "--mix", "mixed", "--rate", "100/s"]].concat());
    for report in [&closed, &mixed] {
        let exact = &report["exactness"];
        assert_eq!((&report["target"], &exact["exact"]), (&"manager".into(), &true.into()), "{exact}");
        assert!(number(&exact["jobs"]) >= 4 && number(&exact["requests_sent"]) > 0, "{exact}");
        assert_eq!(exact["requests_sent"], exact["requests_reported"], "{exact}");
        kinds(report).for_each(each_is_told_once);
    }
    assert!((295..=305).contains(&count(&mixed, "due")), "{}", count(&mixed, "due"));

    // Killed in the middle, it is what failed.
    let args = [&["saturate"], &to[..], &["-d", "60s", "--rate", "100/s", "--json", "-"]].concat();
    let mut driver = Process::start(&mut hyperscale(&args));
    while !driver.next_note().contains("/s p50") {}
    signal("-KILL", manager.pid());
    manager.ended();
    let output = driver.output();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("is lost"), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["exactness"]["exact"]), (&"failed".into(), &false.into()));
}

#[test]
fn only_a_manager_without_workers_is_loaded() {
    let manager = lonely_manager();
    let worker = Node::anywhere("worker", "w1", &["--join", &manager.listen]);
    let args = ["saturate", "--manager", &manager.listen, "-d", "100ms", "--quiet"];
    let line = wait_for("a worker that registered", || {
        let output = run(&args);
        (output.status.code() == Some(1)).then(|| text(&output.stderr))
    });
    assert!(line.contains("has workers (w1)") && line.lines().count() == 1, "{line}");
    drop(worker);
    let output = run(&["saturate", "--gate", &manager.listen]);
    assert!(text(&output.stderr).contains("may not connect to this manager"), "{}", text(&output.stderr));
}

#[test]
fn what_cannot_be_is_one_line() {
    let gate = "127.0.0.1:1";
    let cases: &[(&[&str], &str)] = &[
        (&["--mix", "stat=1"], "did you mean stats?"),
        (&["--mix", "mixd"], "did you mean mixed?"),
        (&["--mix", "stats"], "connecting to"),
        (&["--mix", "status"], "has no share"),
        (&["--mix", "stats=0"], "every share is 0"),
        (&["--mix", "heartbeat=1"], "give it a --rate"),
        (&["--rate", "0"], "at least 1/s"),
        (&["--rate", "-5"], "--rate"),
        (&["--rate", "5", "--open-requests", "3"], "exclude each other"),
        (&["--open-requests", "0"], "1 to 1000"),
        (&["--duration", "0s"], "out of range"),
        (&["--p99", "0ms"], "out of range"),
        (&["--goodput", "120%"], "100%"),
        (&["--managers", "0"], "--managers"),
        (&["--max-rate", "5"], "--ramp"),
        (&["--rmap"], "did you mean --ramp?"),
    ];
    for (args, words) in cases {
        let output = run(&[&["saturate", "--gate", gate], *args].concat());
        let line = text(&output.stderr);
        let code = if *words == "connecting to" { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{args:?}: {line}");
        assert!(line.contains(words) && line.lines().count() == 1, "{args:?}: {line}");
    }
    let cases: &[(&[&str], &str)] = &[
        (&["--gate", "10.1.2.3:1"], "--load-remote"),
        (&["--manager", "10.1.2.3:1"], "--load-remote"),
        (&["--manager", "10.1.2.3:1", "--load-remote-gate"], "add --listen IP:PORT"),
        (&["--manager", "127.0.0.1:1", "--listen", "0.0.0.0:0"], "name one address"),
        (&["--manager", "127.0.0.1:1", "--gate", gate], "exclude each other"),
        (&["--manager", "127.0.0.1:1", "--clients", "3"], "exclude each other"),
        (&["--gate", gate, "--listen", "127.0.0.1:0"], "exclude each other"),
        (&["--managr", "127.0.0.1:1"], "did you mean --manager?"),
        (&["--manager", "127.0.0.1:1", "--mix", "submit=1"], "a manager is never asked for submit"),
        (&["--manager", "127.0.0.1:1", "--mix", "dispach=1"], "did you mean dispatch?"),
        (&["--gate", gate, "--mix", "dispatch=1"], "a gate is never asked for dispatch"),
        (&["--manager", "127.0.0.1:1", "--workers", "0"], "--workers"),
        (&[], "--manager HOST:PORT"),
    ];
    for (args, words) in cases {
        let output = run(&[&["saturate"], *args].concat());
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(line.contains(words) && line.lines().count() == 1, "{args:?}: {line}");
    }
}
