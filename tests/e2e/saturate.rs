//! `saturate` against a gate of real processes.

use serde_json::Value;

use crate::nodes::{Cluster, Process, alive, signal, wait_for};
use crate::{hyperscale, number, run, text};

fn report(args: &[&str]) -> Value {
    let output = run(&[&["saturate", "--json", "-", "--quiet"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn count(report: &Value, key: &str) -> u64 {
    report["kinds"].as_array().unwrap().iter().map(|kind| number(&kind[key])).sum()
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
    // A machine that does much else may make the gate shed, or the driver wait: each request is told once all the same.
    let refused = |kind: &Value| kind["refused"].as_object().unwrap().values().map(number).sum::<u64>();
    for kind in closed["kinds"].as_array().unwrap().iter().chain(mixed["kinds"].as_array().unwrap()) {
        let told = ["answered", "merged", "unsent", "unanswered"].map(|key| number(&kind[key]));
        assert_eq!(number(&kind["due"]), told.iter().sum::<u64>() + refused(kind), "{kind}");
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
    let output = run(&["saturate", "--gate", "10.1.2.3:1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--load-remote-gate"), "{}", text(&output.stderr));
    assert_eq!(run(&["saturate"]).status.code(), Some(2));
}
