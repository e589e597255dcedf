//! Overloaded, not dead: members that are slow and say so are never called dead, and one of them that really crashes is
//! known a little later than another.

use std::time::Instant;

use hyperscale_lab::{Input, MS, Nanos, Protocol, SECOND, World};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::jobs;
use crate::options::Options;
use crate::rows::{Build, Experiment, Start};
use crate::table::{self, quantile, seconds};

const NODES: usize = 128;
/// Every eighth.
const SLOW: u32 = 16;
/// A hundred times the 10 us of a healthy node.
const COST: Nanos = MS;
const PAUSE_MAX: Nanos = 3 * SECOND;

#[derive(Debug, Clone, Copy)]
struct Overloaded {
    time: Nanos,
}

#[derive(Debug, Default, Clone)]
struct Outcome {
    deaths: u64,
    deaths_of_slow: u64,
    suspicions: u64,
    node_seconds: f64,
    slow_first: Vec<Nanos>,
    slow_all: Vec<Nanos>,
    quick_all: Vec<Nanos>,
    missed: u64,
}

/// Pauses that slow members make by themselves: each pauses for up to 3 s, ten seconds apart in the mean.
struct Pauses {
    rng: SmallRng,
    /// When it pauses next, by slow member.
    next: Vec<(Nanos, u32)>,
}

impl Pauses {
    fn run_until<P: Protocol>(&mut self, world: &mut World<P>, at: Nanos) {
        while let Some(next) = self.next.iter_mut().min() {
            if next.0 > at {
                break;
            }
            world.run_until(next.0);
            let until = next.0 + self.rng.random_range(0..=PAUSE_MAX);
            if world.is_up(next.1) {
                world.block(next.1, until);
            }
            let gap = -(1.0 - self.rng.random::<f64>()).ln() * 10.0 * SECOND as f64;
            next.0 = until + gap as Nanos;
        }
        world.run_until(at);
    }
}

impl Experiment for Overloaded {
    type Result = Outcome;

    fn run<B: Build>(&self, build: &B, seed: u64) -> Outcome {
        let mut world = build.world(NODES, seed, Start::Converged);
        let slow: Vec<u32> = (0..SLOW).map(|index| index * NODES as u32 / SLOW).collect();
        world.run_until(5 * SECOND);
        for &node in &slow {
            world.tell(node, Input::Load { level: 3 });
        }
        world.run_until(10 * SECOND);
        for &node in &slow {
            world.set_cost(node, COST);
        }
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x0_4e41);
        let next = slow.iter().map(|&node| (world.now() + rng.random_range(0..10 * SECOND), node)).collect();
        let mut pauses = Pauses { rng, next };
        let end = world.now() + self.time;
        pauses.run_until(&mut world, end);
        let mut outcome =
            Outcome { node_seconds: (NODES as u64 * self.time / SECOND) as f64, ..Outcome::default() };
        for said in world.watch.declarations() {
            outcome.deaths += 1;
            outcome.deaths_of_slow += u64::from(slow.contains(&said.subject));
        }
        outcome.suspicions = world.watch.suspicions();
        for (node, is_slow) in [(slow[seed as usize % slow.len()], true), (5 + seed as u32 % 3, false)] {
            let at = world.now();
            world.stop(node);
            pauses.run_until(&mut world, at + 60 * SECOND);
            let observers: Vec<u32> =
                world.running().into_iter().filter(|node| !slow.contains(node)).collect();
            match (world.watch.detection(node, at, &observers), is_slow) {
                ((Some(first), Some(all)), true) => {
                    outcome.slow_first.push(first);
                    outcome.slow_all.push(all);
                }
                ((Some(_), Some(all)), false) => outcome.quick_all.push(all),
                _ => outcome.missed += 1,
            }
        }
        outcome
    }
}

pub(crate) fn run(options: &Options) -> bool {
    let started = Instant::now();
    // Hours are spent in runs of a quarter of an hour or less.
    let each = (options.node_hours * 3_600.0 / NODES as f64).min(900.0);
    let runs = (options.node_hours * 3_600.0 / NODES as f64 / each).ceil() as u64;
    let experiment = Overloaded { time: (each * SECOND as f64) as Nanos };
    let seeds = options.first_seed..options.first_seed + options.seeds.unwrap_or(runs).max(runs);
    let tasks: Vec<_> =
        (0..options.rows.len()).flat_map(|row| seeds.clone().map(move |seed| (row, seed))).collect();
    let done =
        jobs::run(options.threads, &tasks, |(row, seed)| options.rows[*row].run(&experiment, NODES, *seed));
    let mut cells = Vec::new();
    for (index, row) in options.rows.iter().enumerate() {
        let mut sum = Outcome::default();
        for (_, outcome) in tasks.iter().zip(&done).filter(|((row, _), _)| *row == index) {
            sum.deaths += outcome.deaths;
            sum.deaths_of_slow += outcome.deaths_of_slow;
            sum.suspicions += outcome.suspicions;
            sum.node_seconds += outcome.node_seconds;
            sum.slow_first.extend_from_slice(&outcome.slow_first);
            sum.slow_all.extend_from_slice(&outcome.slow_all);
            sum.quick_all.extend_from_slice(&outcome.quick_all);
            sum.missed += outcome.missed;
        }
        for list in [&mut sum.slow_first, &mut sum.slow_all, &mut sum.quick_all] {
            list.sort_unstable();
        }
        cells.push(vec![
            row.name().to_owned(),
            format!("{:.0}", sum.node_seconds / 3_600.0),
            sum.deaths.to_string(),
            sum.deaths_of_slow.to_string(),
            format!("{:.1}", sum.suspicions as f64 / (sum.node_seconds / 3_600.0)),
            seconds(quantile(&sum.slow_all, 0.5)),
            seconds(quantile(&sum.slow_all, 0.99)),
            seconds(quantile(&sum.quick_all, 0.5)),
            seconds(quantile(&sum.quick_all, 0.99)),
            sum.missed.to_string(),
        ]);
    }
    let title = format!(
        "N = {NODES}; {SLOW} say `overloaded`, take 1 ms for each input and pause for up to 3 s every 10 s. Then one of \
         them crashes, then a healthy one: seconds until all healthy members know."
    );
    let head = [
        "row",
        "node-hours",
        "deaths",
        "of slow ones",
        "suspicions/node-h",
        "slow p50",
        "slow p99",
        "quick p50",
        "quick p99",
        "missed",
    ];
    table::print(&title, &head, &cells);
    eprintln!("{:.1} s", started.elapsed().as_secs_f64());
    true
}
