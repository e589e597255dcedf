//! How runs end: by a signal, and where no request can be answered.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{Server, closed_port};
use crate::{assert_adds_up, hyperscale, interrupt, number, run, text};

#[test]
fn an_interrupted_run_reports_what_there_is_and_exits_130() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("out.json");
    let child = hyperscale(&["run", &server.url(), "-d", "60s", "-c", "2", "--json", json.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server.wait_for(10);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("cancelled"), "{}", text(&output.stdout));
    let summary: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_adds_up(&summary);
    assert_eq!(summary["status"], "cancelled");
    let (reported, cancelled) =
        (number(&summary["totals"]["requests"]), number(&summary["totals"]["cancelled"]));
    assert!(reported <= server.served() && server.served() <= reported + cancelled, "{summary}");
}

#[test]
fn a_second_interrupt_ends_at_once() {
    // Nobody answers, and the plan would give the users in flight ten minutes to finish.
    let server = Server::scripted(|_| true);
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("slow.toml");
    let body = format!(
        "target = \"{}\"\n[defaults]\ntimeout = \"10m\"\n\
         [workflows.a]\nvus = 2\nduration = \"10m\"\ngraceful_stop = \"10m\"\nsteps = [{{ get = \"/\" }}]\n",
        server.url()
    );
    std::fs::write(&plan, body).unwrap();
    let mut child = hyperscale(&["run", plan.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    server.wait_for(2);
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        // Two signals that arrive together are one, so more are sent until one was the second.
        interrupt(&child);
        std::thread::sleep(Duration::from_millis(20));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_host_that_refuses_is_exit_1_and_both_reports_are_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("out.json");
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let output = run(&["run", &url, "-n", "20", "-c", "2", "--quiet", "--json", json.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(summary["errors"]["connect_refused"], 20);
    assert_eq!(summary["latency_ms"]["count"], 0);
    let screen = text(&output.stdout);
    assert!(screen.starts_with("FAILED") && screen.contains("connect_refused 20"), "{screen}");
}

#[test]
fn a_host_that_refuses_only_some_requests_is_errors_in_the_report() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("half.toml");
    let body = format!(
        "target = \"{}\"\n[workflows.a]\nvus = 2\ntotal_iterations = 10\n\
         steps = [{{ get = \"/\" }}, {{ get = \"http://127.0.0.1:{}/\" }}]\n",
        server.url(),
        closed_port()
    );
    std::fs::write(&plan, body).unwrap();
    let output = run(&["run", plan.to_str().unwrap(), "--quiet"]);
    let screen = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{screen}");
    assert!(screen.contains("errors 10 (50.0%)") && screen.contains("connect_refused 10"), "{screen}");
}

#[test]
fn a_name_that_does_not_resolve_is_exit_1_and_both_reports_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("out.json");
    let output = run(&["run", "http://no.invalid/", "-n", "2", "--quiet", "--json", json.to_str().unwrap()]);
    let screen = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{screen}");
    assert!(screen.contains("no.invalid") && screen.contains("check the"), "{screen}");
    let summary: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(summary["status"], "failed");
    assert_eq!(summary["totals"]["requests"], 0);
    assert!(summary["error"].as_str().unwrap().contains("no.invalid"), "{summary}");
}
