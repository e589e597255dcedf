//! A node that measures its own load, and what follows from it: its probes, its metrics, what others know of it.

use serde_json::Value;

use crate::nodes::{Node, exchange, json, wait_for};

fn body(addr: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    exchange(addr, request.as_bytes()).split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A sample of the metrics, if it is there.
fn sample(node: &Node, name: &str) -> Option<f64> {
    let metrics = body(&node.admin, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.trim().parse().unwrap())
}

/// Two gates, whose heartbeats are what the first is measured by.
fn gates(overload: &str) -> (Node, Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, overload).unwrap();
    let first = Node::anywhere("gate", "gate-1", &["--config", path.to_str().unwrap()]);
    let second = Node::anywhere("gate", "gate-2", &["--join", &first.listen]);
    (first, second, folder)
}

#[test]
fn a_node_over_its_bounds_is_overloaded_for_its_probes_its_monitors_and_its_peers() {
    // Whatever takes any time is too much.
    let (first, second, _folder) = gates("[overload]\nabsolute_bounds_ms = [0, 0, 0]\nhold_ticks = 100\n");
    wait_for("an overloaded gate", || {
        sample(&first, "hyperscale_overload_state").filter(|state| *state == 3.0)
    });
    assert_eq!(sample(&first, "hyperscale_overload_signal{signal=\"absolute\"}"), Some(3.0));
    assert_eq!(sample(&first, "hyperscale_overload_signal{signal=\"cpu\"}"), Some(0.0));
    assert!(sample(&first, "hyperscale_overload_changes_total").unwrap() >= 1.0);
    assert!(sample(&first, "hyperscale_samples_total").unwrap() >= 1.0);
    assert_eq!(sample(&first, "hyperscale_samples_skipped_total"), Some(0.0));
    wait_for("a probe that names the load", || {
        let said: Value = serde_json::from_str(&body(&first.admin, "/readyz?verbose")).unwrap();
        let mut reasons = said["reasons"].as_array().unwrap().iter();
        reasons.find(|reason| {
            reason["name"] == "load" && reason["ok"] == false && reason["detail"] == "overloaded"
        })?;
        Some(())
    });
    wait_for("a peer that knows", || {
        let known = json(&["nodes", "--gate", &second.listen, "--json"]);
        let mut rows = known["nodes"].as_array().unwrap().iter();
        rows.find(|row| row["name"] == "gate-1" && row["overload"] == "overloaded").map(|_| ())
    });
    assert_eq!(sample(&second, "hyperscale_overload_state"), Some(0.0));
}

#[test]
fn a_node_whose_file_says_so_measures_nothing() {
    let (first, second, _folder) = gates("[overload]\nenabled = false\n");
    wait_for("a second gate that measures", || {
        sample(&second, "hyperscale_samples_total").filter(|n| *n > 0.0)
    });
    assert_eq!(sample(&first, "hyperscale_overload_state"), None);
    assert_eq!(sample(&first, "hyperscale_samples_total"), None);
}
