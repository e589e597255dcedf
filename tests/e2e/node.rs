//! Nodes and their clients that are told what cannot be: one line that says where, why and what would be right.

use crate::nodes::{Node, anywhere, wait_for};
use crate::server::closed_port;
use crate::{run, text};

const JOB: &str = "00000000000000000000000000000001";

/// The one line that it ends with, and nothing on stdout but where a node said it listens.
fn refused(args: &[&str], code: i32) -> String {
    let output = run(args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}{}", text(&output.stdout));
    let line = stderr.lines().last().unwrap_or_default().to_owned();
    assert!(line.starts_with("hyperscale: "), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked") && !line.contains("os error"), "{args:?}: {stderr}");
    line
}

#[test]
fn a_node_file_that_cannot_be_is_exit_2_with_its_place_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    let shown = path.to_str().unwrap();
    let cases: &[(&str, &str, &[&str])] = &[
        ("gate", "fleet = \"f\"\nnmae = \"g\"", &["node.toml:2", "nmae", "name"]),
        ("gate", "name = [", &["node.toml:1"]),
        ("gate", "name = 7", &["node.toml:1", "string"]),
        ("gate", "listen = \"7001\"", &["listen", "write 127.0.0.1:7001"]),
        ("gate", "listen = \"0.0.0.0:7001\"", &["listen", "insecure = true"]),
        ("worker", "admin = \"10.0.0.1:9003\"", &["admin", "insecure = true"]),
        ("gate", "datacenter = \"x\"", &["datacenter", "manager"]),
        ("worker", "", &["join", "name managers"]),
        ("manager", "datacenter = \"x\"", &["join", "name gates"]),
        ("gate", "capacity_vus = 5", &["capacity_vus", "only a worker"]),
        ("manager", "join = [\"h:1\"]\ncores = \"0,1\"", &["cores", "name one"]),
        ("gate", "drain_timeout = \"5\"", &["drain_timeout", "write \"5s\""]),
    ];
    for (role, body, words) in cases {
        std::fs::write(&path, body).unwrap();
        let line = refused(&[role, "--config", shown], 2);
        assert!(line.contains(shown), "{body}: {line}");
        assert!(words.iter().all(|word| line.contains(word)), "{body}: {line}");
    }
    let line = refused(&["gate", "--config", "/nowhere/node.toml"], 2);
    assert!(line.contains("there is no such file"), "{line}");
}

#[test]
fn flags_of_a_node_that_cannot_be_are_exit_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["gate", "--listen", "0.0.0.0:0"], "--insecure"),
        (&["worker", "--join", "127.0.0.1:1", "--admin", "[::]:0"], "--insecure"),
        (&["gate", "--listen", "7001"], "write 127.0.0.1:7001"),
        (&["manager"], "name gates"),
        (&["worker"], "name managers"),
        (&["worker", "--join", "nowhere"], "HOST:PORT"),
        (&["worker", "--join", "127.0.0.1:1", "--datacenter", "x"], "manager"),
        (&["gate", "--cores", "x"], "write 0-3"),
        (&["gate", "--drain-timeout", "5"], "write \"5s\""),
        (&["gate", "--nmae", "x"], "did you mean --name?"),
        (&["cluster", "--gates", "0"], "--gates"),
        (&["nodes"], "name its gates"),
        (&["nodes", "--gate", "x"], "HOST:PORT"),
        (&["status", "deadbeef", "--gate", "127.0.0.1:1"], "32 hex digits"),
        (&["stats", "x", "--gate", "127.0.0.1:1"], "32 hex digits"),
        (&["stats", JOB, "--gate", "127.0.0.1:1", "--from", "2", "--to", "1"], "--from 2 is after --to 1"),
        (&["stats", JOB, "--gate", "127.0.0.1:1", "--tier", "x"], "--tier"),
        (&["watch", "x", "--gate", "127.0.0.1:1"], "32 hex digits"),
        (&["cancel", "", "--gate", "127.0.0.1:1"], "32 hex digits"),
        (&["submit", "/nowhere.toml", "--gate", "127.0.0.1:1"], "no such file"),
        (&["nonsense"], "is no command; --help lists"),
    ];
    for (args, words) in cases {
        let line = refused(args, 2);
        assert!(line.contains(words), "{args:?}: {line}");
    }
}

#[test]
fn a_port_in_use_is_exit_1_with_the_address() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let line =
        refused(&["gate", "--listen", &gate.listen, "--admin", "127.0.0.1:0", "--cores", "unpinned"], 1);
    assert!(line.contains(&gate.listen) && line.contains("in use"), "{line}");
    let line =
        refused(&["gate", "--listen", "127.0.0.1:0", "--admin", &gate.admin, "--cores", "unpinned"], 1);
    assert!(line.contains(&gate.admin) && line.contains("in use"), "{line}");
}

#[test]
fn the_second_node_of_a_name_is_refused_with_the_address_of_the_first() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let manager = Node::anywhere("manager", "m", &["--join", &gate.listen]);
    let worker = Node::anywhere("worker", "w", &["--join", &manager.listen]);
    for (role, name, join, first) in [
        ("gate", "gate-1", &gate.listen, &gate.listen),
        ("manager", "m", &gate.listen, &manager.listen),
        ("worker", "w", &manager.listen, &worker.listen),
    ] {
        // Those before it have registered once it is refused: until then the second is the first.
        wait_for("the first of the name", || {
            let known =
                crate::target::get(if role == "worker" { &manager.admin } else { &gate.admin }, "/nodes");
            known.contains(&format!("\"name\":\"{name}\"")).then_some(())
        });
        let line = refused(&anywhere(role, name, &["--join", join]), 1);
        assert!(line.contains(first.as_str()) && line.contains(name), "{role}: {line}");
    }
}

#[test]
fn a_data_folder_takes_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let gate = Node::anywhere("gate", "gate-1", &["--data-dir", data]);
    let line = refused(&anywhere("gate", "gate-2", &["--data-dir", data]), 1);
    assert!(line.contains(data) && line.contains("--data-dir of its own"), "{line}");
    drop(gate);
}

#[test]
fn a_gate_that_is_not_there_is_exit_1_and_named() {
    let nobody = format!("127.0.0.1:{}", closed_port());
    let line = refused(&["nodes", "--gate", &nobody, "--patience", "1s"], 1);
    assert!(line.contains(&nobody) && line.contains("refused"), "{line}");
    let line = refused(&["nodes", "--gate", "no.invalid:7001"], 1);
    assert!(line.contains("no.invalid") && line.contains("check the name"), "{line}");
}

#[test]
fn a_job_that_nobody_knows_is_exit_1_and_named() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let job = "0123456789abcdef0123456789abcdef";
    for command in ["status", "watch", "cancel"] {
        let line = refused(&[command, job, "--gate", &gate.listen], 1);
        assert!(line.contains(&format!("no job {job}")), "{command}: {line}");
    }
}
