//! How fast the lab itself is: node-seconds of a quiet fleet per millisecond on one core.

use hyperscale_lab::SECOND;

use crate::options::Options;
use crate::rows::{Build, Experiment, Start};
use crate::table;

struct Quiet {
    nodes: usize,
}

impl Experiment for Quiet {
    /// Node-seconds a millisecond, inputs a node-second, nanoseconds an input.
    type Result = [f64; 3];

    fn run<B: Build>(&self, build: &B, seed: u64) -> [f64; 3] {
        let mut world = build.world(self.nodes, seed, Start::Converged);
        world.run_until(5 * SECOND);
        let before = world.traffic().events;
        let seconds = (2_000_000 / self.nodes as u64).clamp(20, 20_000);
        let started = cpu_seconds();
        world.run_for(seconds * SECOND);
        let spent = cpu_seconds() - started;
        let node_seconds = (self.nodes as u64 * seconds) as f64;
        let events = (world.traffic().events - before) as f64;
        [node_seconds / (spent * 1_000.0), events / node_seconds, spent * 1e9 / events]
    }
}

/// Time this thread was on a core, which other processes of the machine do not change much.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

pub(crate) fn run(options: &Options) -> bool {
    let sizes = options.nodes.clone().unwrap_or_else(|| vec![128, 2_048]);
    let mut cells = Vec::new();
    for row in &options.rows {
        for &nodes in &sizes {
            for seed in options.seeds_or(1) {
                let [rate, events, each] = row.run(&Quiet { nodes }, nodes, seed);
                cells.push(vec![
                    format!("{}, {nodes}", row.name()),
                    format!("{rate:.1}"),
                    format!("{events:.2}"),
                    format!("{each:.0}"),
                ]);
            }
        }
    }
    let head = ["row, N", "node-s/ms", "inputs/node-s", "ns/input"];
    table::print("A quiet fleet; milliseconds on a core.", &head, &cells);
    true
}
