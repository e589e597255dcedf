//! The admin port, and what a frame port tells those who want something else of it.

use serde_json::Value;

use crate::nodes::{Node, exchange, wait_for};

/// Status and body of an answer.
fn get(addr: &str, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    let answer = exchange(addr, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn parsed(addr: &str, path: &str) -> Value {
    let (status, body) = get(addr, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// How often something was turned away for this cause.
fn refused(admin: &str, cause: &str) -> u64 {
    let line = format!("hyperscale_refused_total{{cause=\"{cause}\"}} ");
    let (_, metrics) = get(admin, "/metrics");
    let value = metrics.lines().find_map(|found| found.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("no {line} in {metrics}")).parse().unwrap()
}

#[test]
fn a_node_answers_probes_and_scrapes_and_lists_what_it_knows() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let manager = Node::anywhere("manager", "manager-1", &["--join", &gate.listen]);
    let worker = Node::anywhere("worker", "worker-1", &["--join", &manager.listen]);
    let admin = gate.admin.as_str();
    assert_eq!(get(admin, "/livez"), (200, "ok\n".to_owned()));
    wait_for("a worker behind the gate", || {
        let (status, body) = get(admin, "/readyz?verbose");
        let reasons: Value = serde_json::from_str(&body).unwrap();
        (status == 200 && reasons["ok"] == true && body.contains("1 worker shards")).then_some(())
    });
    let known = parsed(admin, "/nodes");
    let names: Vec<_> = known["nodes"].as_array().unwrap().iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["gate-1", "manager-1"]);
    assert_eq!(parsed(admin, "/jobs")["jobs"], Value::Array(Vec::new()));
    for (node, role) in [(&gate, "gate"), (&manager, "manager"), (&worker, "worker")] {
        let (status, metrics) = get(&node.admin, "/metrics");
        assert_eq!(status, 200);
        assert!(metrics.contains(&format!("role=\"{role}\",name=\"{role}-1\"")), "{metrics}");
        let typed =
            |line: &str| line.starts_with('#') || line.rsplit(' ').next().unwrap().parse::<f64>().is_ok();
        assert!(metrics.lines().all(typed), "{metrics}");
        assert_eq!(get(&node.admin, "/readyz").0, 200, "{role}");
    }
    let (status, body) = get(admin, "/nothing");
    assert!(status == 404 && body.contains("/metrics"), "{body}");
}

#[test]
fn http_at_the_frame_port_is_told_in_one_line_where_the_admin_port_is() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let (status, body) = get(&gate.listen, "/metrics");
    assert_eq!((status, body.lines().count()), (400, 1), "{body}");
    assert!(body.contains("gate gate-1") && body.contains(&gate.admin), "{body}");
}

#[test]
fn whoever_is_turned_away_is_counted_by_cause() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let callers: [(&str, &[u8]); 3] = [
        ("http_on_frame_port", b"GET / HTTP/1.1\r\n\r\n"),
        ("tls_on_plain_port", &tls),
        ("hello_magic", &[b'z'; 512]),
    ];
    for (cause, bytes) in callers {
        assert_eq!(refused(&gate.admin, cause), 0, "{cause}");
        for _ in 0..3 {
            let _answer = exchange(&gate.listen, bytes);
        }
        wait_for(cause, || (refused(&gate.admin, cause) == 3).then_some(()));
    }
    let manager = Node::anywhere("manager", "m", &["--join", &gate.listen, "--fleet", "another"]);
    wait_for("a node of another fleet", || (refused(&gate.admin, "other_fleet") > 0).then_some(()));
    drop(manager);
}
