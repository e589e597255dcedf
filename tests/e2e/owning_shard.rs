//! Statistics of a job come in on the shard of its gate that owns it, and cross to no other.

use std::path::Path;

use crate::nodes::{Node, alive, status, submit, wait_for};
use crate::target::{Target, get};

/// What each shard counted under a name.
fn counted(admin: &str, name: &str) -> Vec<u64> {
    let metrics = get(admin, "/metrics");
    let start = format!("{name}{{shard=\"");
    let values = metrics.lines().filter(|line| line.starts_with(&start));
    values.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn statistics_of_running_jobs_come_in_on_the_shard_that_owns_them() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        eprintln!("skipped: this host gives one core, and shards need one each");
        return;
    }
    let (target, folder) = (Target::start(&[]), tempfile::tempdir().unwrap());
    let plan = folder.path().join("plan.toml");
    let body = format!(
        "target = \"{}\"\n[workflows.w]\nvus = 1\nduration = \"3s\"\n\
         steps = [{{ get = \"/\" }}, {{ think = \"20ms\" }}]\n",
        target.url()
    );
    std::fs::write(&plan, body).unwrap();
    let gate = ["gate", "--name", "gate-1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let gate = Node::start(Path::new(env!("CARGO_BIN_EXE_hyperscale")), &gate, Path::new("/dev/null"));
    let managers: Vec<Node> = ["a", "b"]
        .iter()
        .map(|dc| {
            Node::anywhere("manager", &format!("manager-{dc}"), &["--datacenter", dc, "--join", &gate.listen])
        })
        .collect();
    let _workers: Vec<Node> = managers
        .iter()
        .enumerate()
        .map(|(at, manager)| Node::anywhere("worker", &format!("worker-{at}"), &["--join", &manager.listen]))
        .collect();
    wait_for("a fleet of five", || (alive(&gate.listen).len() == 5).then_some(()));
    let came = |name| counted(&gate.admin, name);
    // Who owns a job is a matter of its id: jobs, until two shards have had some.
    wait_for("jobs of two shards", || {
        let plan = plan.to_str().unwrap();
        let jobs: Vec<String> = (0..4).map(|_| submit(plan, &gate.listen)).collect();
        for job in jobs {
            let state = wait_for("the end of a job", || {
                let state = status(&job, &gate.listen)["state"].as_str().unwrap().to_owned();
                ["completed", "partial", "failed", "cancelled"].contains(&state.as_str()).then_some(state)
            });
            assert_eq!(state, "completed");
        }
        let shards_with_some =
            came("hyperscale_stats_frames_total").iter().filter(|came| **came >= 10).count();
        (shards_with_some >= 2).then_some(())
    });
    let (frames, crossed) = (came("hyperscale_stats_frames_total"), came("hyperscale_frames_crossed_total"));
    eprintln!("frames of statistics by shard: {frames:?}, crossed: {crossed:?}");
    let (frames, crossed) = (frames.iter().sum::<u64>(), crossed.iter().sum::<u64>());
    assert!(crossed * 100 <= frames, "{crossed} of {frames} crossed");
}
