//! Thousands of connections at a time, both ends being the real binary.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use super::{assert_adds_up, hyperscale, interrupt, summary};

const CONNECTIONS: u64 = 2_000;
/// Descriptors that either process has beside its connections.
const OTHER_FILES: u64 = 200;
/// Memory of 10,000 connections at most.
const KIB_OF_10_000: u64 = 300 << 10;

/// `hyperscale target`, ended with the test.
struct Target {
    child: Child,
    out: BufReader<ChildStdout>,
    url: String,
}

impl Target {
    fn start() -> Self {
        let mut child =
            hyperscale(&["target", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        let url = said.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { child, out, url }
    }

    /// Its last word.
    fn end(mut self) -> String {
        interrupt(&self.child);
        let mut said = String::new();
        self.out.read_line(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

/// What a process may open at most, when it has raised its limit as the binary does.
fn files_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(4).unwrap().parse().unwrap_or(u64::MAX)
}

/// The most memory that a process has had, while it runs.
fn memory_kib(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn thousands_of_connections_are_all_made_and_served_in_little_memory() {
    if files_max() < CONNECTIONS + OTHER_FILES {
        eprintln!("skipped: {} open files are allowed, {CONNECTIONS} connections need more", files_max());
        return;
    }
    let target = Target::start();
    let connections = CONNECTIONS.to_string();
    let mut child =
        hyperscale(&["run", &target.url, "-c", &connections, "-d", "3s", "--json", "-", "--quiet"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut memory = 0;
    while child.try_wait().unwrap().is_none() {
        memory = memory_kib(&child).unwrap_or(0).max(memory);
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    let summary = summary(&output);
    assert_adds_up(&summary);
    assert_eq!(summary["totals"]["errors"], 0, "{}", summary["errors"]);
    assert_eq!(summary["connect_ms"]["count"], CONNECTIONS);
    let asked =
        summary["totals"]["requests"].as_u64().unwrap() + summary["totals"]["cancelled"].as_u64().unwrap();
    assert!(asked >= CONNECTIONS, "{asked} requests on {CONNECTIONS} connections");
    assert!(memory > 0 && memory < KIB_OF_10_000, "{memory} KiB");
    let said = target.end();
    assert!(said.ends_with(&format!("on {CONNECTIONS} connections\n")), "{said}");
}
