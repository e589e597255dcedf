//! Layers and bans, read from the dependency graph: cores stay pure, glommio stays in the runtime, tokio on the admin
//! port's thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a pure crate may not reach, even through others.
const IMPURE: [&str; 9] = [
    "glommio-ng",
    "glommio",
    "tokio",
    "mio",
    "socket2",
    "io-uring",
    "redb",
    "hyperscale-runtime",
    "hyperscale-admin",
];

struct Graph {
    names: BTreeMap<String, String>,
    /// Layer and purity of our own crates, by package id.
    ours: BTreeMap<String, (u64, bool)>,
    /// Normal dependencies.
    edges: BTreeMap<String, Vec<String>>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn graph() -> Graph {
    // Only this platform: what other platforms need was not downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (mut names, mut ours) = (BTreeMap::new(), BTreeMap::new());
    for package in metadata["packages"].as_array().unwrap() {
        names.insert(text(&package["id"]), text(&package["name"]));
        let about = &package["metadata"]["hyperscale"];
        if let (Some(layer), Some(pure)) = (about["layer"].as_u64(), about["pure"].as_bool()) {
            ours.insert(text(&package["id"]), (layer, pure));
        }
    }
    let mut edges = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let normal = node["deps"].as_array().unwrap().iter().filter(|dependency| {
            dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
        });
        edges.insert(text(&node["id"]), normal.map(|dependency| text(&dependency["pkg"])).collect());
    }
    Graph { names, ours, edges }
}

impl Graph {
    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(id) = next.pop() {
            for dependency in &self.edges[id] {
                if seen.insert(dependency.as_str()) {
                    next.push(dependency);
                }
            }
        }
        seen
    }
}

#[test]
fn every_crate_of_the_workspace_says_its_layer() {
    let graph = graph();
    let silent = graph
        .names
        .iter()
        .filter(|(id, name)| name.starts_with("hyperscale-") && !graph.ours.contains_key(*id));
    assert_eq!(silent.map(|(_, name)| name).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(graph.ours.len() > 15, "the graph was not read: {}", graph.ours.len());
}

#[test]
fn dependencies_point_down() {
    let graph = graph();
    for (id, (layer, _)) in &graph.ours {
        for dependency in &graph.edges[id] {
            if let Some((below, _)) = graph.ours.get(dependency) {
                assert!(
                    below < layer,
                    "{} (layer {layer}) needs {} (layer {below})",
                    graph.names[id],
                    graph.names[dependency]
                );
            }
        }
    }
}

#[test]
fn a_pure_crate_cannot_reach_the_runtime() {
    let graph = graph();
    let pure = graph.ours.iter().filter(|(_, (_, pure))| *pure);
    for (id, _) in pure {
        for reached in graph.reached(id) {
            let name = graph.names[reached].as_str();
            assert!(!IMPURE.contains(&name), "{} is pure and reaches {name}", graph.names[id]);
        }
    }
}

/// What runs on tokio, and the one crate that may name it.
const ON_TOKIO: [&str; 5] = ["tokio", "axum", "hyper", "hyper-util", "mio"];
const ADMIN: &str = "hyperscale-admin";
/// Whoever starts a node and so its admin port; a driver or the runtime must not, as they run on shards.
const STARTS_ADMIN: [&str; 1] = ["hyperscale-cli"];

#[test]
fn tokio_is_reached_only_through_the_admin_port() {
    let graph = graph();
    for id in graph.ours.keys() {
        let name = graph.names[id].as_str();
        let direct: Vec<&str> = graph.edges[id].iter().map(|below| graph.names[below].as_str()).collect();
        if name == ADMIN {
            assert!(direct.contains(&"tokio"), "the graph was not read: {direct:?}");
            assert!(direct.iter().all(|below| !below.starts_with("glommio")), "{direct:?}");
            continue;
        }
        let reached = graph.reached(id);
        let reaches = |what: &str| reached.iter().any(|below| graph.names[*below] == what);
        if STARTS_ADMIN.contains(&name) {
            assert!(direct.iter().all(|below| !ON_TOKIO.contains(below)), "{name} names {direct:?}");
        } else {
            let found: Vec<&str> = ON_TOKIO.into_iter().filter(|what| reaches(what)).collect();
            assert_eq!(found, Vec::<&str>::new(), "reached by {name}");
            assert!(!reaches(ADMIN), "{name} reaches {ADMIN}");
        }
    }
}

#[test]
fn only_the_runtime_names_glommio() {
    let graph = graph();
    for id in graph.ours.keys() {
        let direct = graph.edges[id].iter().any(|dependency| graph.names[dependency].starts_with("glommio"));
        assert_eq!(direct, graph.names[id] == "hyperscale-runtime", "{}", graph.names[id]);
    }
}
