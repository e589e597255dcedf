//! A fleet of processes, as `cluster` starts it and `submit`, `watch`, `status`, `cancel` and `nodes` see it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::nodes::{Cluster, Process, alive, json, lives, signal, status, submit, wait_for};
use crate::target::Target;
use crate::{assert_adds_up, hyperscale, number, run, summary, text};

/// Load that lasts, and is easy on a machine.
fn long(target: &Target) -> String {
    format!(
        "target = \"{}\"\n[workflows.a]\nrate = \"50/s\"\nmax_vus = 8\nduration = \"10m\"\nsteps = [{{ get = \"/\" }}]\n",
        target.url()
    )
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn sum(list: &Value, of: impl Fn(&Value) -> u64) -> u64 {
    list.as_array().unwrap().iter().map(of).sum()
}

#[test]
fn a_plan_submitted_at_any_gate_is_exact_over_all_datacenters_and_workers() {
    let target = Target::start(&[]);
    let cluster =
        Cluster::start(&["--gates", "2", "--datacenters", "2", "--managers", "1", "--workers", "2"]);
    let gate = cluster.gates()[1];
    let listed = json(&["nodes", "--gate", gate, "--json"]);
    let listed = listed["nodes"].as_array().unwrap();
    assert_eq!(listed.len(), 8, "{listed:?}");
    let documented = [
        "name",
        "role",
        "datacenter",
        "state",
        "version",
        "shards",
        "accepting",
        "overload",
        "progress",
        "since_s",
    ];
    for node in listed {
        assert!(documented.iter().all(|key| keys(node).contains(key)), "{node}");
        assert_eq!((&node["state"], &node["accepting"]), (&"alive".into(), &true.into()), "{node}");
        let started = cluster.nodes().iter().find(|started| started["name"] == node["name"]).unwrap();
        assert_eq!((&started["role"], &started["listen"]), (&node["role"], &node["addr"]), "{node}");
        assert_eq!(started["datacenter"], node["datacenter"], "{node}");
    }

    let plan = cluster.plan("plan.toml", &format!(
        "target = \"{}\"\n[workflows.a]\nvus = 8\ntotal_iterations = 5003\nsteps = [{{ get = \"/\" }}]\n\
         [workflows.b]\nafter = [\"a\"]\nrate = \"200/s\"\nmax_vus = 50\nduration = \"2s\"\nsteps = [{{ get = \"/\" }}, {{ get = \"/x\" }}]\n",
        target.url()
    ));
    let output = run(&["submit", &plan, "--gate", gate, "--follow", "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = summary(&output);
    assert_adds_up(&summary);
    assert_eq!(number(&summary["workflows"][0]["totals"]["requests"]), 5003, "{summary}");
    assert_eq!(number(&summary["totals"]["requests"]), target.count("served"), "{summary}");
    assert_eq!(number(&summary["totals"]["errors"]), 0, "{summary}");
    let names = |list: &Value| -> Vec<String> {
        let mut names: Vec<String> =
            list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&summary["datacenters"]), ["dc-1", "dc-2"]);
    assert_eq!(
        names(&summary["workers"]),
        ["dc-1-worker-1", "dc-1-worker-2", "dc-2-worker-1", "dc-2-worker-2"]
    );
    let requests = target.count("served");
    assert_eq!(sum(&summary["datacenters"], |dc| number(&dc["totals"]["requests"])), requests, "{summary}");
    assert_eq!(sum(&summary["workers"], |worker| number(&worker["requests"])), requests, "{summary}");
}

#[test]
fn any_gate_tells_of_a_job_ends_it_and_gives_its_summary_later() {
    let target = Target::start(&[]);
    let cluster = Cluster::start(&["--gates", "2", "--workers", "1"]);
    let plan = cluster.plan("long.toml", &long(&target));
    let gates = cluster.gates();
    let accepted = json(&["submit", &plan, "--gate", gates[1], "--json", "-"]);
    assert_eq!(keys(&accepted), ["job_id"].into());
    let job = accepted["job_id"].as_str().unwrap();

    let seen = wait_for("the first counts", || {
        let seen = status(job, gates[0]);
        (number(&seen["totals"]["requests"]) > 0).then_some(seen)
    });
    assert_eq!((&seen["job_id"], &seen["state"]), (&job.into(), &"running".into()), "{seen}");
    assert!(number(&seen["fence_token"]) > 0, "{seen}");
    assert_eq!(keys(&seen["totals"]), ["requests", "errors", "dropped"].into());
    let owner = cluster.nodes().iter().find(|node| node["name"] == seen["owner"]).unwrap();
    assert_eq!(owner["listen"], seen["owner_addr"], "{seen}");
    let lines = text(&run(&["status", job, "--gate", gates[0]]).stdout);
    assert!(lines.contains(job) && lines.contains("running for "), "{lines}");

    let other = gates.iter().find(|gate| owner["listen"] != **gate).unwrap();
    let cancelled = run(&["cancel", job, "--gate", other]);
    assert!(cancelled.status.success(), "{}", text(&cancelled.stderr));
    assert!(text(&cancelled.stdout).contains(job), "{}", text(&cancelled.stdout));
    wait_for("the end of the job", || (status(job, other)["state"] == "cancelled").then_some(()));
    assert!(text(&run(&["status", job, "--gate", other]).stdout).contains("cancelled after "));

    let watched = run(&["watch", job, "--gate", other, "--json", "-"]);
    let summary = summary(&watched);
    assert_adds_up(&summary);
    assert_eq!((&summary["job_id"], &summary["status"]), (&job.into(), &"cancelled".into()));
    let (reported, cut) = (number(&summary["totals"]["requests"]), number(&summary["totals"]["cancelled"]));
    let served = target.count("served");
    assert!(reported <= served && served <= reported + cut, "{summary} against {served}");
    let drawn = run(&["watch", job, "--gate", gates[1], "--quiet"]);
    assert!(text(&drawn.stdout).starts_with("cancelled"), "{}", text(&drawn.stdout));
    assert_eq!(drawn.status.code(), watched.status.code());
    let again = json(&["cancel", job, "--gate", gates[1], "--json"]);
    assert_eq!(again, serde_json::json!({ "job_id": job, "cancelled": true }));
}

#[test]
fn any_gate_lists_the_jobs_of_all_and_what_became_of_them() {
    let target = Target::start(&[]);
    let cluster = Cluster::start(&["--gates", "2", "--workers", "1"]);
    let gates = cluster.gates();
    assert!(text(&run(&["jobs", "--gate", gates[0]]).stdout).starts_with("no jobs"));
    let plan = cluster.plan("long.toml", &long(&target));
    // Two gates share them out; of so many, each has some.
    let jobs: BTreeSet<String> = (0..12).map(|_| submit(&plan, gates[0])).collect();
    let listed = json(&["jobs", "--gate", gates[1], "--json"]);
    let rows = listed["jobs"].as_array().unwrap();
    let ids = |rows: &[Value]| -> BTreeSet<String> {
        rows.iter().map(|row| row["job_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((rows.len(), ids(rows)), (12, jobs.clone()));
    let owners: BTreeSet<&str> = rows.iter().map(|row| row["owner"].as_str().unwrap()).collect();
    assert_eq!(owners, ["gate-1", "gate-2"].into());
    for job in &jobs {
        assert!(run(&["cancel", job, "--gate", gates[0]]).status.success());
    }
    wait_for("their ends", || {
        let listed = json(&["jobs", "--gate", gates[0], "--json"]);
        let rows = listed["jobs"].as_array().unwrap();
        (ids(rows) == jobs && rows.iter().all(|row| row["state"] == "cancelled")).then_some(())
    });
    let shown = text(&run(&["jobs", "--gate", gates[1]]).stdout);
    assert!(shown.starts_with("JOB ") && jobs.iter().all(|job| shown.contains(job)), "{shown}");
}

#[test]
fn ctrl_c_on_a_followed_job_detaches_and_says_how_to_go_on() {
    let target = Target::start(&[]);
    let cluster = Cluster::start(&["--workers", "1"]);
    let plan = cluster.plan("long.toml", &long(&target));
    let gate = cluster.gates()[0];
    let mut following = Process::start(&mut hyperscale(&["submit", &plan, "--gate", gate, "--follow"]));
    let accepted = following.next_note();
    let job = accepted.split(' ').nth(1).unwrap().to_owned();
    wait_for("the first counts", || (number(&status(&job, gate)["totals"]["requests"]) > 0).then_some(()));
    signal("-INT", following.pid());
    let output = following.output();
    let notes = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{notes}");
    for command in ["watch", "cancel"] {
        assert!(notes.contains(&format!("hyperscale {command} {job} --gate {gate}")), "{notes}");
    }
    assert_eq!(status(&job, gate)["state"], "running");
    assert!(run(&["cancel", &job, "--gate", gate]).status.success());
}

#[test]
fn one_ctrl_c_ends_a_cluster_with_all_its_nodes() {
    let mut cluster = Cluster::start(&["--gates", "2", "--workers", "2"]);
    let pids = cluster.pids();
    assert!(pids.iter().all(|pid| lives(*pid)));
    signal("-INT", cluster.process.pid());
    assert_eq!(cluster.process.ended().code(), Some(0));
    let left: Vec<u32> = pids.into_iter().filter(|pid| lives(*pid)).collect();
    assert!(left.is_empty(), "{left:?} still run");
}

#[test]
fn a_killed_cluster_leaves_no_node_behind_even_with_a_job() {
    let target = Target::start(&[]);
    let mut cluster = Cluster::start(&["--workers", "1"]);
    let plan = cluster.plan("long.toml", &long(&target));
    let _job = submit(&plan, cluster.gates()[0]);
    let pids = cluster.pids();
    signal("-KILL", cluster.process.pid());
    assert_eq!(cluster.process.ended().code(), None);
    wait_for("the end of its nodes", || pids.iter().all(|pid| !lives(*pid)).then_some(()));
}

#[test]
fn a_node_that_dies_is_told_and_no_longer_listed() {
    let mut cluster = Cluster::start(&["--workers", "2"]);
    let worker = cluster.nodes().iter().find(|node| node["name"] == "dc-1-worker-1").unwrap();
    signal("-KILL", u32::try_from(number(&worker["pid"])).unwrap());
    wait_for("its absence", || {
        (!alive(cluster.gates()[0]).contains(&"dc-1-worker-1".to_owned())).then_some(())
    });
    let note =
        wait_for("a note", || Some(cluster.process.next_note()).filter(|note| note.contains("has ended")));
    assert!(note.starts_with("dc-1-worker-1 (pid "), "{note}");
}

#[test]
fn the_load_of_a_job_whose_gate_is_killed_ends() {
    let target = Target::start(&[]);
    let cluster = Cluster::start(&["--gates", "2", "--workers", "1"]);
    let plan = cluster.plan("long.toml", &long(&target));
    let job = submit(&plan, cluster.gates()[0]);
    let seen = wait_for("the first counts", || {
        let seen = status(&job, cluster.gates()[0]);
        (number(&seen["totals"]["requests"]) > 0).then_some(seen)
    });
    let (owner, other): (Vec<&Value>, Vec<&Value>) = cluster
        .nodes()
        .iter()
        .filter(|node| node["role"] == "gate")
        .partition(|node| node["name"] == seen["owner"]);
    signal("-KILL", u32::try_from(number(&owner[0]["pid"])).unwrap());
    wait_for("the end of the load", || {
        let before = target.count("served");
        std::thread::sleep(std::time::Duration::from_secs(1));
        (target.count("served") == before).then_some(())
    });
    let asked = run(&["status", &job, "--gate", other[0]["listen"].as_str().unwrap()]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("when the gate that owns it dies"), "{}", text(&asked.stderr));
}

#[test]
fn the_share_of_a_worker_that_is_killed_is_made_by_the_others_and_the_summary_names_it() {
    let target = Target::start(&[]);
    let cluster = Cluster::start(&["--workers", "2"]);
    let plan = cluster.plan(
        "rate.toml",
        &long(&target).replace("\"10m\"", "\"12s\"").replace("max_vus = 8", "max_vus = 40"),
    );
    let gate = cluster.gates()[0];
    let job = submit(&plan, gate);
    wait_for("load", || (target.count("served") > 50).then_some(()));
    let victim = cluster.nodes().iter().find(|node| node["name"] == "dc-1-worker-1").unwrap();
    signal("-KILL", u32::try_from(number(&victim["pid"])).unwrap());
    let output = run(&["watch", &job, "--gate", gate, "--json", "-"]);
    let summary = summary(&output);
    assert_adds_up(&summary);
    assert!(text(&output.stdout).contains("dc-1-worker-1"), "{summary}");
    let (reported, served) = (number(&summary["totals"]["requests"]), target.count("served"));
    // What the lost worker made since its last report is not in the report.
    assert!(reported <= served && served - reported <= 100, "{reported} of {served}: {summary}");
    assert!(reported >= 400, "the others did not make it up: {summary}");
}
