//! The real binary, as a stranger runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests: plain blocking servers and processes are what is wanted here"
)]

mod admin;
mod archive;
mod awkward;
mod bad_input;
mod beyond;
mod connections;
mod counts;
mod cut;
mod endings;
mod fleet;
mod flood;
mod held;
mod limits;
mod load;
mod membership;
mod nginx;
mod node;
mod nodes;
mod overload;
mod owning_shard;
mod plans;
mod raw_client;
mod rolling;
mod saturate;
mod server;
mod stalls;
mod target;
mod windows;

use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// No run in these tests takes longer, on a machine that does much else.
const HANGS: Duration = Duration::from_secs(120);

fn hyperscale(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperscale"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR").env("LANG", "C.UTF-8");
    command
}

/// Runs to the end, and fails where that does not come.
fn run(args: &[&str]) -> Output {
    let child = hyperscale(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (id, (ended, hear)) = (child.id().to_string(), mpsc::channel());
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    hear.recv_timeout(HANGS).map(Result::unwrap).unwrap_or_else(|_| {
        let _gone = Command::new("kill").args(["-KILL", &id]).status();
        panic!("{args:?} hangs");
    })
}

/// Runs with success, and gives the summary, which adds up.
fn measured(args: &[&str]) -> Value {
    let output = run(&[args, &["--json", "-", "--quiet"]].concat());
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    let summary = summary(&output);
    assert_adds_up(&summary);
    summary
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn summary(output: &Output) -> Value {
    let parsed = serde_json::from_slice(&output.stdout);
    parsed.unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

/// What must hold of every summary.
fn assert_adds_up(summary: &Value) {
    let requests = number(&summary["totals"]["requests"]);
    let sum = |list: &Value, of: &str| {
        list.as_array().unwrap().iter().map(|item| number(&item["totals"][of])).sum::<u64>()
    };
    assert_eq!(sum(&summary["workflows"], "requests"), requests, "{summary}");
    let steps =
        summary["workflows"].as_array().unwrap().iter().map(|workflow| sum(&workflow["steps"], "requests"));
    assert_eq!(steps.sum::<u64>(), requests, "{summary}");
    let errors: u64 = summary["errors"].as_object().unwrap().values().map(number).sum();
    assert_eq!(errors, number(&summary["totals"]["errors"]), "{summary}");
    let iterations = &summary["iterations"];
    let begun = number(&iterations["started"]) + number(&iterations["dropped"]);
    assert_eq!(number(&iterations["due"]), begun, "{summary}");
    let answered: u64 = summary["status_codes"].as_object().unwrap().values().map(number).sum();
    assert!(answered <= requests, "{summary}");
}

/// Ctrl-C, from outside.
fn interrupt(child: &std::process::Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}
