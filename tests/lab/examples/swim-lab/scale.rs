//! Large fleets: what a node sends, how soon a crash is known, how much memory a fleet takes.

use std::time::Instant;

use hyperscale_lab::{Nanos, Protocol, SECOND, World};

use crate::lifeguard::since;
use crate::options::Options;
use crate::rows::{Build, Experiment, Start};
use crate::table::{self, seconds};

#[derive(Debug, Clone, Copy)]
struct Large {
    nodes: usize,
    start: Start,
}

#[derive(Debug)]
struct Outcome {
    joined: Option<Nanos>,
    join_bytes: f64,
    first: Option<Nanos>,
    all: Option<Nanos>,
    quiet_datagrams: f64,
    quiet_bytes: f64,
    quiet_stream_bytes: f64,
    rss_mib: f64,
    node_seconds_per_ms: f64,
}

impl Experiment for Large {
    type Result = Outcome;

    fn run<B: Build>(&self, build: &B, seed: u64) -> Outcome {
        let started = Instant::now();
        let mut world = build.world(self.nodes, seed, self.start);
        let nodes = self.nodes as u64;
        let mut joined = None;
        if self.start == Start::Cold {
            for node in 3..self.nodes as u32 {
                // Two hundred a second.
                world.run_until(u64::from(node) * SECOND / 200 + SECOND);
                world.exchange(node, node % 3);
            }
            world.exchange(0, 1);
            world.exchange(0, 2);
            let last = world.now();
            let mut whole = 0;
            while joined.is_none() && world.now() < last + 300 * SECOND {
                world.run_for(SECOND / 2);
                // Who knew all a while ago knows them still.
                while whole < self.nodes as u32 && knows_all(&world, whole) {
                    whole += 1;
                }
                if whole == self.nodes as u32 {
                    joined = Some(world.now() - last);
                }
            }
        }
        let join = world.traffic();
        let join_bytes = (join.datagram_bytes + join.stream_bytes) as f64 / nodes as f64;
        world.run_for(5 * SECOND);
        let (before, at) = (world.traffic(), world.now());
        world.run_for(15 * SECOND);
        let quiet = since(world.traffic(), before);
        let quiet_seconds = (nodes * (world.now() - at)) as f64 / SECOND as f64;
        let crash = world.now();
        let victim = (seed as u32 * 7 + 5) % self.nodes as u32;
        world.stop(victim);
        world.run_for(30 * SECOND);
        let (first, all) = world.watch.detection(victim, crash, &world.running());
        let wall = started.elapsed().as_secs_f64() * 1_000.0;
        Outcome {
            joined,
            join_bytes,
            first,
            all,
            quiet_datagrams: quiet.datagrams as f64 / quiet_seconds,
            quiet_bytes: quiet.datagram_bytes as f64 / quiet_seconds,
            quiet_stream_bytes: quiet.stream_bytes as f64 / quiet_seconds,
            rss_mib: rss_mib(),
            node_seconds_per_ms: (nodes * world.now() / SECOND) as f64 / wall,
        }
    }
}

/// Whether a node knows everybody.
fn knows_all<P: Protocol>(world: &World<P>, node: u32) -> bool {
    let mut others = (0..world.nodes()).filter(|&other| other != node);
    others.all(|other| world.protocol(node).state_of(other).is_some())
}

/// Resident memory of this process.
fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok());
    kib.unwrap_or(0.0) / 1_024.0
}

fn table_of(options: &Options, sizes: &[usize], start: Start, title: &str) {
    let (mut cells, mut last) = (Vec::new(), None);
    for row in &options.rows {
        for &nodes in sizes {
            for seed in options.seeds_or(1) {
                let outcome = row.run(&Large { nodes, start }, nodes, seed);
                let log = (nodes as f64).log2();
                let spread = match (outcome.first, outcome.all) {
                    (Some(first), Some(all)) => Some(all - first),
                    _ => None,
                };
                cells.push(vec![
                    format!("{}, {nodes}", row.name()),
                    seconds(outcome.joined),
                    if start == Start::Cold {
                        format!("{:.0}", outcome.join_bytes / 1_024.0)
                    } else {
                        "-".into()
                    },
                    seconds(outcome.first),
                    seconds(outcome.all),
                    seconds(spread),
                    spread.map_or_else(
                        || "-".into(),
                        |spread| format!("{:.0}", spread as f64 / SECOND as f64 * 1_000.0 / log),
                    ),
                    format!("{:.2}", outcome.quiet_datagrams),
                    format!("{:.0}", outcome.quiet_bytes),
                    format!("{:.0}", outcome.quiet_stream_bytes),
                    format!("{:.0}", outcome.rss_mib),
                    format!("{:.0}", outcome.node_seconds_per_ms),
                ]);
                last = Some(outcome);
            }
        }
    }
    let head = [
        "row, N",
        "all joined s",
        "join KiB/node",
        "first s",
        "all s",
        "spread s",
        "spread ms / log2 N",
        "datagrams/s",
        "bytes/s",
        "TCP bytes/s",
        "RSS MiB",
        "node-s/ms",
    ];
    if last.is_some() {
        table::print(title, &head, &cells);
    }
}

pub(crate) fn run(options: &Options) -> bool {
    let sizes = options.nodes.clone().unwrap_or_else(|| vec![128, 512, 2_048, 10_000]);
    let title =
        "From a converged start: 20 s, then one crash. Spread: from the first to the last that knows.";
    table_of(options, &sizes, Start::Converged, title);
    true
}

pub(crate) fn run_cold(options: &Options) -> bool {
    let sizes = options.nodes.clone().unwrap_or_else(|| vec![2_000]);
    let title =
        "Joining through three seeds, 200 nodes a second; then a crash. Joined: after the last one's join.";
    table_of(options, &sizes, Start::Cold, title);
    true
}
