//! Crashes in a fleet that is well: how soon they are known, and what a quiet fleet costs.

use hyperscale_lab::{Nanos, SECOND, Traffic};

use crate::jobs;
use crate::lifeguard::{report_violations, since};
use crate::options::Options;
use crate::rows::{Build, Experiment, Start};
use crate::table::{self, quantile, seconds};

const WARM_UP: Nanos = 20 * SECOND;
/// Between two crashes of one run.
const GAP: Nanos = 40 * SECOND;

#[derive(Debug, Clone, Copy)]
struct Crashes {
    nodes: usize,
    count: u32,
    check: bool,
}

#[derive(Debug, Default)]
struct Found {
    first: Vec<Nanos>,
    all: Vec<Nanos>,
    missed: u64,
    quiet: Traffic,
    quiet_seconds: u64,
    /// In the last quarter of the gap after a crash.
    settled_datagrams: u64,
    settled_seconds: u64,
    violations: Vec<String>,
}

impl Experiment for Crashes {
    type Result = Found;

    fn run<B: Build>(&self, build: &B, seed: u64) -> Found {
        let mut world = build.world(self.nodes, seed, Start::Converged);
        if self.check {
            world.watch.check_incarnations();
        }
        world.run_until(WARM_UP / 2);
        let before = world.traffic();
        world.run_until(WARM_UP);
        let mut found = Found {
            quiet: since(world.traffic(), before),
            quiet_seconds: self.nodes as u64 * (WARM_UP / 2 / SECOND),
            ..Found::default()
        };
        for crash in 0..self.count {
            let node = (seed as u32 * 37 + crash * 11) % self.nodes as u32;
            let at = world.now();
            world.stop(node);
            world.run_for(GAP * 3 / 4);
            let before = world.traffic().datagrams;
            world.run_for(GAP / 4);
            let others = world.running();
            found.settled_datagrams += world.traffic().datagrams - before;
            found.settled_seconds += others.len() as u64 * (GAP / 4 / SECOND);
            match world.watch.detection(node, at, &others) {
                (Some(first), Some(all)) => {
                    found.first.push(first);
                    found.all.push(all);
                }
                _ => found.missed += 1,
            }
            // A round later, so crashes fall on all parts of a round.
            world.run_for(SECOND * 37 / 100);
        }
        found.violations = world.watch.violations().to_vec();
        found
    }
}

pub(crate) fn run(options: &Options) -> bool {
    let nodes = options.nodes.as_ref().and_then(|sizes| sizes.first().copied()).unwrap_or(128);
    let seeds = options.seeds_or(if options.full { 100 } else { 20 });
    let crashes = Crashes { nodes, count: 5, check: options.check };
    let tasks: Vec<_> =
        (0..options.rows.len()).flat_map(|row| seeds.clone().map(move |seed| (row, seed))).collect();
    let done =
        jobs::run(options.threads, &tasks, |(row, seed)| options.rows[*row].run(&crashes, nodes, *seed));
    let (mut cells, mut violations) = (Vec::new(), Vec::new());
    for (index, row) in options.rows.iter().enumerate() {
        let mut sum = Found::default();
        for (_, found) in tasks.iter().zip(&done).filter(|((row, _), _)| *row == index) {
            sum.first.extend_from_slice(&found.first);
            sum.all.extend_from_slice(&found.all);
            sum.missed += found.missed;
            sum.quiet.datagrams += found.quiet.datagrams;
            sum.quiet.datagram_bytes += found.quiet.datagram_bytes;
            sum.quiet.stream_bytes += found.quiet.stream_bytes;
            sum.quiet_seconds += found.quiet_seconds;
            sum.settled_datagrams += found.settled_datagrams;
            sum.settled_seconds += found.settled_seconds;
            violations.extend_from_slice(&found.violations);
        }
        sum.first.sort_unstable();
        sum.all.sort_unstable();
        let mut line = vec![row.name().to_owned()];
        for list in [&sum.first, &sum.all] {
            line.extend([0.5, 0.99, 0.999].map(|part| seconds(quantile(list, part))));
        }
        line.push(sum.missed.to_string());
        let quiet = sum.quiet_seconds.max(1) as f64;
        line.push(format!("{:.2}", sum.quiet.datagrams as f64 / quiet));
        line.push(format!("{:.0}", sum.quiet.datagram_bytes as f64 / quiet));
        line.push(format!("{:.0}", sum.quiet.stream_bytes as f64 / quiet));
        line.push(format!("{:.2}", sum.settled_datagrams as f64 / sum.settled_seconds.max(1) as f64));
        cells.push(line);
    }
    let title = format!(
        "N = {nodes}; {} crashes a row, one at a time. Seconds until one knows and until all do; what a quiet node sends \
         each second, and 30 s after a crash.",
        5 * seeds.count()
    );
    let head = [
        "row",
        "first p50",
        "p99",
        "p99.9",
        "all p50",
        "p99",
        "p99.9",
        "missed",
        "datagrams/s",
        "bytes/s",
        "TCP bytes/s",
        "datagrams/s after",
    ];
    table::print(&title, &head, &cells);
    report_violations(violations.iter())
}
