//! The experiments of the Lifeguard paper (arXiv 1707.00788, section V): some members stand still, all at once, for a
//! duration D with intervals I between, and the others must not be called dead for it.

use std::time::Instant;

use hyperscale_lab::{Input, MS, Nanos, Protocol, SECOND, Traffic, Wake, World};
use rand::rngs::SmallRng;
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};

use crate::jobs;
use crate::options::Options;
use crate::rows::{Build, Experiment, Row, Start};
use crate::table::{self, percent, quantile, seconds};

/// Nobody stands still before this.
const WARM_UP: Nanos = 10 * SECOND;
/// Standing still goes on for this long.
const LENGTH: Nanos = 120 * SECOND;
/// And is watched for this long after.
const AFTER: Nanos = 10 * SECOND;

/// One cell of the grid.
#[derive(Debug, Clone, Copy)]
struct Cell {
    nodes: usize,
    members: usize,
    still: Nanos,
    between: Nanos,
    /// The members say beforehand that they are overloaded.
    declared: bool,
    check: bool,
    wake: Wake,
    /// Their messages are held back, but their deadlines go on.
    held: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    false_deaths: u64,
    /// Of those, by members that never stood still.
    at_healthy: u64,
    traffic: Traffic,
    node_seconds: u64,
    violations: Vec<String>,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.false_deaths += other.false_deaths;
        self.at_healthy += other.at_healthy;
        self.traffic.datagrams += other.traffic.datagrams;
        self.traffic.datagram_bytes += other.traffic.datagram_bytes;
        self.traffic.stream_bytes += other.traffic.stream_bytes;
        self.traffic.events += other.traffic.events;
        self.traffic.overflowed += other.traffic.overflowed;
        self.node_seconds += other.node_seconds;
        self.violations.extend_from_slice(&other.violations);
    }
}

/// The members that stand still in this run; `marked[node]` for each.
fn chosen(cell: Cell, seed: u64) -> (Vec<u32>, Vec<bool>) {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xc4_05e4);
    let members: Vec<u32> =
        sample(&mut rng, cell.nodes, cell.members).into_iter().map(|node| node as u32).collect();
    let mut marked = vec![false; cell.nodes];
    for &member in &members {
        marked[member as usize] = true;
    }
    (members, marked)
}

fn started<B: Build>(build: &B, cell: Cell, seed: u64, members: &[u32]) -> World<B::Node> {
    let mut world = build.world(cell.nodes, seed, Start::Converged);
    world.set_wake(cell.wake);
    if cell.check {
        world.watch.check_incarnations();
    }
    world.run_until(WARM_UP / 2);
    if cell.declared {
        for &member in members {
            world.tell(member, Input::Load { level: 3 });
        }
    }
    // Rounds and pauses keep no step with each other.
    let mut rng = SmallRng::seed_from_u64(seed);
    world.run_until(WARM_UP + rng.random_range(0..SECOND));
    world
}

fn disturb<P: Protocol>(world: &mut World<P>, cell: Cell, member: u32, until: Nanos) {
    if cell.held {
        world.hold(member, until);
    } else {
        world.block(member, until);
    }
}

impl Experiment for Cell {
    type Result = Counts;

    fn run<B: Build>(&self, build: &B, seed: u64) -> Counts {
        let (members, marked) = chosen(*self, seed);
        let mut world = started(build, *self, seed, &members);
        let (start, before) = (world.now(), world.traffic());
        world.watch.forget_declarations();
        while world.now() < start + LENGTH {
            let until = world.now() + self.still;
            for &member in &members {
                disturb(&mut world, *self, member, until);
            }
            world.run_until(until + self.between);
        }
        let (end, after) = (world.now(), world.traffic());
        world.run_for(AFTER);
        let (mut counts, said) = (Counts::default(), world.watch.declarations());
        for said in said.iter().filter(|said| !marked[said.subject as usize]) {
            counts.false_deaths += 1;
            counts.at_healthy += u64::from(!marked[said.observer as usize]);
        }
        counts.traffic = since(after, before);
        counts.node_seconds = self.nodes as u64 * (end - start) / SECOND;
        counts.violations = world.watch.violations().to_vec();
        counts
    }
}

pub(crate) fn since(after: Traffic, before: Traffic) -> Traffic {
    Traffic {
        datagrams: after.datagrams - before.datagrams,
        datagram_bytes: after.datagram_bytes - before.datagram_bytes,
        stream_bytes: after.stream_bytes - before.stream_bytes,
        dials: after.dials - before.dials,
        overflowed: after.overflowed - before.overflowed,
        events: after.events - before.events,
    }
}

/// C, D and I.
fn grid(options: &Options) -> (Vec<usize>, Vec<Nanos>, Vec<Nanos>) {
    if options.full {
        let still = (0..9).map(|step| (128 << step) * MS).collect();
        let between = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384].map(|ms| ms * MS).to_vec();
        (vec![1, 2, 4, 8, 16, 32], still, between)
    } else {
        (vec![4, 16, 32], [2_048, 8_192, 32_768].map(|ms| ms * MS).to_vec(), vec![MS, 64 * MS, 4_096 * MS])
    }
}

pub(crate) fn run(options: &Options) -> bool {
    let started = Instant::now();
    let nodes = options.nodes.as_ref().and_then(|sizes| sizes.first().copied()).unwrap_or(128);
    let (members, still, between) = grid(options);
    let seeds = options.seeds_or(if options.full { 10 } else { 2 });
    let mut tasks = Vec::new();
    for (index, row) in options.rows.iter().enumerate() {
        for &members in &members {
            for &still in &still {
                for &between in &between {
                    let (declared, check) = (row.is_aware(), options.check);
                    let cell = Cell {
                        nodes,
                        members,
                        still,
                        between,
                        declared,
                        check,
                        wake: options.wake,
                        held: options.held,
                    };
                    tasks.extend(seeds.clone().map(|seed| (index, cell, seed)));
                }
            }
        }
    }
    let done =
        jobs::run(options.threads, &tasks, |(row, cell, seed)| options.rows[*row].run(cell, nodes, *seed));
    let mut total = vec![Counts::default(); options.rows.len()];
    let mut by_members = vec![vec![Counts::default(); members.len()]; options.rows.len()];
    for ((row, cell, _), counts) in tasks.iter().zip(&done) {
        total[*row].add(counts);
        let at = members.iter().position(|&of| of == cell.members).unwrap_or_default();
        by_members[*row][at].add(counts);
    }
    let title = format!(
        "{} N = {nodes}, C of {members:?}, D of {:?} ms, I of {:?} ms, {} seeds: {} runs a row.",
        if options.held { "Messages are held back." } else { "Members stand still." },
        still.iter().map(|time| time / MS).collect::<Vec<_>>(),
        between.iter().map(|time| time / MS).collect::<Vec<_>>(),
        seeds.clone().count(),
        tasks.len() / options.rows.len(),
    );
    print_totals(&title, &options.rows, &total);
    let head: Vec<String> =
        members.iter().flat_map(|members| [format!("C = {members}: FP"), "FP-".to_owned()]).collect();
    let head: Vec<&str> = ["row"].into_iter().chain(head.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = options
        .rows
        .iter()
        .zip(&by_members)
        .map(|(row, counts)| {
            let cells = counts.iter().flat_map(|counts| [counts.false_deaths, counts.at_healthy]);
            [row.name().to_owned()].into_iter().chain(cells.map(|count| count.to_string())).collect()
        })
        .collect();
    table::print("By the number of members that stand still.", &head, &rows);
    let events: u64 = total.iter().map(|counts| counts.traffic.events).sum();
    let node_seconds: u64 = total.iter().map(|counts| counts.node_seconds).sum();
    let wall = started.elapsed();
    eprintln!("{:.1} s; {node_seconds} node-seconds, {events} inputs", wall.as_secs_f64());
    report_violations(total.iter().flat_map(|counts| &counts.violations))
}

pub(crate) fn report_violations<'a>(violations: impl Iterator<Item = &'a String>) -> bool {
    let violations: Vec<_> = violations.collect();
    for violation in violations.iter().take(20) {
        eprintln!("violated: {violation}");
    }
    if !violations.is_empty() {
        eprintln!("{} violations", violations.len());
    }
    violations.is_empty()
}

fn print_totals(title: &str, rows: &[Row], total: &[Counts]) {
    let base = &total[0];
    let per_second = |number: u64, counts: &Counts| number as f64 / counts.node_seconds.max(1) as f64;
    let bytes =
        |counts: &Counts| per_second(counts.traffic.datagram_bytes + counts.traffic.stream_bytes, counts);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .zip(total)
        .map(|(row, counts)| {
            vec![
                row.name().to_owned(),
                counts.false_deaths.to_string(),
                percent(counts.false_deaths as f64, base.false_deaths as f64),
                counts.at_healthy.to_string(),
                percent(counts.at_healthy as f64, base.at_healthy as f64),
                format!("{:.2}", per_second(counts.traffic.datagrams, counts)),
                format!("{:.0}", per_second(counts.traffic.datagram_bytes, counts)),
                format!("{:.0}", per_second(counts.traffic.stream_bytes, counts)),
                percent(bytes(counts), bytes(base)),
            ]
        })
        .collect();
    let head =
        ["row", "FP", "of first", "FP-", "of first", "datagrams/s", "bytes/s", "TCP bytes/s", "of first"];
    table::print(title, &head, &cells);
}

/// The threshold experiment: everybody of C stands still once, for so long that they are rightly called dead.
#[derive(Debug, Clone, Copy)]
struct Threshold(Cell);

#[derive(Debug, Clone, Default)]
struct Times {
    first: Vec<Nanos>,
    all: Vec<Nanos>,
    missed: u64,
    /// Not known to all in time.
    partly: u64,
}

impl Times {
    fn sort(&mut self) {
        self.first.sort_unstable();
        self.all.sort_unstable();
    }
}

impl Experiment for Threshold {
    type Result = Times;

    fn run<B: Build>(&self, build: &B, seed: u64) -> Times {
        let Self(cell) = *self;
        let (members, marked) = chosen(cell, seed);
        let mut world = started(build, cell, seed, &members);
        let start = world.now();
        for &member in &members {
            disturb(&mut world, cell, member, start + cell.still);
        }
        world.run_until(start + cell.still);
        let healthy: Vec<u32> = world.running().into_iter().filter(|node| !marked[*node as usize]).collect();
        let mut times = Times::default();
        for &member in &members {
            match world.watch.detection(member, start, &healthy) {
                (Some(first), Some(all)) => {
                    times.first.push(first);
                    times.all.push(all);
                }
                (Some(first), None) => {
                    times.first.push(first);
                    times.partly += 1;
                }
                (None, _) => times.missed += 1,
            }
        }
        times
    }
}

pub(crate) fn run_threshold(options: &Options) -> bool {
    let nodes = 128;
    let still = 32_768 * MS;
    let seeds = options.seeds_or(if options.full { 10 } else { 4 });
    let cases: &[usize] = if options.full { &[1, 2, 4, 8, 16, 32] } else { &[1, 4, 16, 32] };
    let mut tasks = Vec::new();
    for (index, row) in options.rows.iter().enumerate() {
        for &members in cases {
            let cell = Cell {
                nodes,
                members,
                still,
                between: 0,
                declared: row.is_aware(),
                check: options.check,
                wake: options.wake,
                held: options.held,
            };
            tasks.extend(seeds.clone().map(|seed| (index, Threshold(cell), seed)));
        }
    }
    let done =
        jobs::run(options.threads, &tasks, |(row, cell, seed)| options.rows[*row].run(cell, nodes, *seed));
    let mut total = vec![Times::default(); options.rows.len()];
    for ((row, ..), times) in tasks.iter().zip(done) {
        total[*row].first.extend(times.first);
        total[*row].all.extend(times.all);
        total[*row].missed += times.missed;
        total[*row].partly += times.partly;
    }
    let rows: Vec<Vec<String>> = options
        .rows
        .iter()
        .zip(&mut total)
        .map(|(row, times)| {
            times.sort();
            let mut cells = vec![row.name().to_owned()];
            for list in [&times.first, &times.all] {
                cells.extend([0.5, 0.99, 0.999].map(|part| seconds(quantile(list, part))));
            }
            cells.extend([times.missed.to_string(), times.partly.to_string()]);
            cells
        })
        .collect();
    let title = format!(
        "N = {nodes}; {cases:?} members stand still once, for 32.8 s; {} seeds. Seconds until a healthy member calls one \
         dead, and until all do.",
        seeds.count()
    );
    let head = ["row", "first p50", "p99", "p99.9", "all p50", "p99", "p99.9", "never", "not by all"];
    table::print(&title, &head, &rows);
    true
}

/// One run twice: equal seeds must give equal figures.
pub(crate) fn replay(options: &Options) -> bool {
    let (still, between) = (8_192 * MS, 64 * MS);
    let mut is_same = true;
    for row in &options.rows {
        let cell = Cell {
            nodes: 128,
            members: 16,
            still,
            between,
            declared: row.is_aware(),
            check: true,
            wake: options.wake,
            held: options.held,
        };
        for seed in options.seeds_or(2) {
            let (once, again) = (row.run(&cell, 128, seed), row.run(&cell, 128, seed));
            is_same &= once == again;
            println!("{}, seed {seed}: {}", row.name(), if once == again { "the same" } else { "differs" });
        }
    }
    is_same
}

/// Whether every running node holds every other running one for alive.
pub(crate) fn is_whole<P: Protocol>(world: &World<P>) -> bool {
    let running = world.running();
    running.iter().all(|&node| {
        let others = running.iter().filter(|&&other| other != node);
        others
            .clone()
            .all(|&other| world.protocol(node).state_of(other) == Some(hyperscale_lab::State::Alive))
    })
}
