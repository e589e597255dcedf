//! The real binary, as a stranger runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests: a plain blocking server and process are what is wanted here"
)]

mod connections;
mod server;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use server::Server;

fn hyperscale(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperscale"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR").env("LANG", "C.UTF-8");
    command
}

fn run(args: &[&str]) -> Output {
    hyperscale(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

/// What must hold of every summary.
fn assert_adds_up(summary: &Value) {
    let number = |value: &Value| value.as_u64().unwrap();
    let requests = number(&summary["totals"]["requests"]);
    let sum = |list: &Value, of: &str| {
        list.as_array().unwrap().iter().map(|item| number(&item["totals"][of])).sum::<u64>()
    };
    assert_eq!(sum(&summary["workflows"], "requests"), requests);
    let steps =
        summary["workflows"].as_array().unwrap().iter().map(|workflow| sum(&workflow["steps"], "requests"));
    assert_eq!(steps.sum::<u64>(), requests);
    let errors: u64 = summary["errors"].as_object().unwrap().values().map(number).sum();
    assert_eq!(errors, number(&summary["totals"]["errors"]));
    let iterations = &summary["iterations"];
    assert_eq!(number(&iterations["due"]), number(&iterations["started"]) + number(&iterations["dropped"]));
}

#[test]
fn a_counted_run_sends_exactly_that_many_requests() {
    let server = Server::start();
    for (count, vus) in [("1", "1"), ("7", "3"), ("1003", "16")] {
        let before = server.served();
        let output = run(&["run", &server.url(), "-n", count, "-c", vus, "--json", "-", "--quiet"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let summary = summary(&output);
        assert_adds_up(&summary);
        assert_eq!(summary["totals"]["requests"].to_string(), count);
        assert_eq!((server.served() - before).to_string(), count);
    }
}

#[test]
fn a_timed_run_reports_what_the_server_answered_but_for_what_was_in_flight() {
    let server = Server::start();
    let output = run(&["run", &server.url(), "-d", "1s", "-c", "4", "--json", "-", "--quiet"]);
    let summary = summary(&output);
    assert_adds_up(&summary);
    let (reported, cancelled) =
        (summary["totals"]["requests"].as_u64().unwrap(), summary["totals"]["cancelled"].as_u64().unwrap());
    let served = server.served();
    assert!(
        reported <= served && served <= reported + cancelled,
        "{reported} + {cancelled} against {served}"
    );
    assert!(cancelled <= 4);
}

#[test]
fn a_rate_is_kept_and_every_arrival_accounted_for() {
    let server = Server::start();
    let output = run(&["run", &server.url(), "-d", "1s", "-c", "4", "-q", "200", "--json", "-", "--quiet"]);
    let summary = summary(&output);
    assert_adds_up(&summary);
    assert_eq!(summary["iterations"]["due"], 200);
}

#[test]
fn workflows_run_in_their_order_against_a_real_server() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("shop.toml");
    let body = format!(
        "name = \"shop\"\ntarget = \"{}\"\n\
         [workflows.warm]\nvus = 2\niterations = 5\nsteps = [{{ get = \"/a\" }}]\n\
         [workflows.buy]\nafter = [\"warm\"]\nstages = [\"200ms:3\", \"200ms:0\"]\ngraceful_stop = \"1s\"\n\
         steps = [{{ post = \"/b\", body = \"x\" }}, {{ think = \"1ms..3ms\" }}, {{ get = \"/c\" }}]\n\
         [workflows.last]\nafter = [\"buy\"]\nrate = \"100/s\"\nduration = \"300ms\"\nsteps = [{{ get = \"/d\" }}]\n",
        server.url()
    );
    std::fs::write(&plan, body).unwrap();
    let output = run(&["run", plan.to_str().unwrap(), "--json", "-", "--quiet"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = summary(&output);
    assert_adds_up(&summary);
    let workflows = summary["workflows"].as_array().unwrap();
    assert_eq!(workflows[0]["totals"]["requests"], 10);
    assert_eq!(workflows[2]["iterations"]["due"], 30);
    assert!(workflows.iter().all(|workflow| workflow["status"] == "completed"), "{summary}");
}

#[test]
fn an_interrupted_run_reports_what_there_is_and_exits_130() {
    let server = Server::start();
    let child = hyperscale(&["run", &server.url(), "-d", "60s", "-c", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server.wait_for(10);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("cancelled"), "{}", text(&output.stdout));
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_host_that_refuses_is_exit_1_and_the_summary_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("out.json");
    let json_path = json.to_str().unwrap();
    let closed = server::closed_port();
    let url = format!("http://127.0.0.1:{closed}/");
    let output = run(&["run", &url, "-n", "20", "-c", "2", "--quiet", "--json", json_path]);
    assert_eq!(output.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(summary["errors"]["connect_refused"], 20);
    assert_eq!(summary["latency_ms"]["count"], 0);
}

#[test]
fn bad_input_is_exit_2_with_one_message_that_says_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let binary = file("binary.toml", &[0, 159, 146, 150, 0]);
    let empty = file("empty.toml", b"");
    let cycle = file(
        "cycle.toml",
        b"target = \"http://127.0.0.1:1\"\n[workflows.a]\nafter = [\"b\"]\nvus = 1\nduration = \"1s\"\nsteps = [{ get = \"/\" }]\n\
          [workflows.b]\nafter = [\"a\"]\nvus = 1\nduration = \"1s\"\nsteps = [{ get = \"/\" }]\n",
    );
    let typo = file(
        "typo.toml",
        b"target = \"http://127.0.0.1:1\"\n[workflows.a]\nvus = 1\ndurration = \"1s\"\nsteps = [{ get = \"/\" }]\n",
    );
    let here = folder.path().to_str().unwrap().to_owned();
    let missing = Path::new(&here).join("none.toml").to_str().unwrap().to_owned();
    let url = "http://127.0.0.1:1/";
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec!["run", &binary], "UTF-8"),
        (vec!["run", &empty], "empty"),
        (vec!["run", &cycle], "a -> b -> a"),
        (vec!["run", &typo], "did you mean \"duration\"?"),
        (vec!["run", &here], "directory"),
        (vec!["run", &missing], "No such file"),
        (vec!["run", "ftp://x/"], "http://"),
        (vec!["run", "http://"], "host"),
        (vec!["run", "http://x:0/"], "1 to 65535"),
        (vec!["run", "http://x:99999/"], "1 to 65535"),
        (vec!["run", url, "-c", "0"], "1 to 1,000,000"),
        (vec!["run", url, "-c", "-3"], "negative"),
        (vec!["run", url, "-d", "5"], "\"5s\""),
        (vec!["run", url, "-d", "0s"], "-d"),
        (vec!["run", url, "-q", "-5"], "negative"),
        (vec!["run", url, "-n", "x"], "\"x\""),
        (vec!["run", url, "-t", "4"], "--cores"),
        (vec!["run", url, "--cores", "4096"], "CPUs"),
        (vec!["run", url, "--cores", "4095"], "may not be used"),
        (vec!["run", url, "--json", "/nowhere/x.json"], "/nowhere/x.json"),
        (vec!["run", url, "-H", "no colon"], "header"),
        (vec!["run", &typo, "-c", "3"], "-c"),
        (vec!["run"], "required"),
        (vec!["runn"], "run"),
    ];
    for (args, expected) in cases {
        let output = run(&args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?} should say {expected:?}:\n{stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    }
}
