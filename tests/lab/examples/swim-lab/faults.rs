//! Networks that lose, links of one direction, many deaths at once, a fleet that stands still, halves that merge.

use hyperscale_lab::{Faults, Nanos, Protocol, SECOND, World};

use crate::jobs;
use crate::lifeguard::{is_whole, report_violations};
use crate::options::Options;
use crate::rows::{Build, Experiment, Start};
use crate::table::{self, quantile, seconds};

const NODES: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// 20 % of datagrams lost, 5 % doubled, 5 % held back; then a crash.
    Loss,
    /// One node reaches nobody for a minute, but hears all.
    Mute,
    /// One node hears nobody for a minute, but reaches all.
    Deaf,
    /// Between two tenths of the fleet one direction is cut; all can reach all through others.
    OneWay,
    /// 38 of 128 stop at once.
    Thirty,
    /// Everybody stands still for 10 s.
    Still,
    /// Two halves for 60 s, then one again.
    Halves,
}

const FAULTS: [(Fault, &str); 7] = [
    (Fault::Loss, "20 % loss, a crash"),
    (Fault::Mute, "one mute for 60 s"),
    (Fault::Deaf, "one deaf for 60 s"),
    (Fault::OneWay, "one-way between tenths"),
    (Fault::Thirty, "30 % stop at once"),
    (Fault::Still, "all stand still 10 s"),
    (Fault::Halves, "halves for 60 s"),
];

#[derive(Debug, Default, Clone)]
struct Outcome {
    /// Declarations about nodes that ran and were linked with most in both directions.
    false_deaths: u64,
    majority_deaths: u64,
    /// Of the crash or the mute one, at all.
    known: Option<Nanos>,
    /// Until all that run hold each other for alive, after healing.
    whole: Option<Nanos>,
    violations: Vec<String>,
}

struct Case {
    fault: Fault,
    check: bool,
}

fn until_whole<P: Protocol>(world: &mut World<P>, limit: Nanos) -> Option<Nanos> {
    let start = world.now();
    while world.now() < start + limit {
        world.run_for(SECOND / 4);
        if is_whole(world) {
            return Some(world.now() - start);
        }
    }
    None
}

impl Experiment for Case {
    type Result = Outcome;

    fn run<B: Build>(&self, build: &B, seed: u64) -> Outcome {
        let mut world = build.world(NODES, seed, Start::Converged);
        if self.check {
            world.watch.check_incarnations();
        }
        let odd = (seed as u32 * 31) % NODES as u32;
        let mut outcome = Outcome::default();
        world.run_until(10 * SECOND);
        let start = world.now();
        let mut faulty = [false; NODES];
        let others: Vec<u32> = (0..NODES as u32).filter(|&node| node != odd).collect();
        match self.fault {
            Fault::Loss => {
                world.network.set_faults(Faults { loss: 0.2, duplicates: 0.05, reordered: 0.05 });
                world.run_for(120 * SECOND);
                let at = world.now();
                world.stop(odd);
                faulty[odd as usize] = true;
                world.run_for(60 * SECOND);
                outcome.known = world.watch.detection(odd, at, &others).1;
                world.network.set_faults(Faults::default());
                outcome.whole = until_whole(&mut world, 120 * SECOND);
            }
            Fault::Mute | Fault::Deaf => {
                world.network.set_group(odd, 1);
                if self.fault == Fault::Mute {
                    world.network.cut(1, 0);
                    faulty[odd as usize] = true;
                } else {
                    world.network.cut(0, 1);
                    faulty[odd as usize] = true;
                }
                world.run_for(60 * SECOND);
                outcome.known = world.watch.detection(odd, start, &others).1;
                world.network.heal();
                outcome.whole = until_whole(&mut world, 240 * SECOND);
            }
            Fault::OneWay => {
                for node in 0..NODES as u32 / 10 {
                    world.network.set_group(node, 1);
                    world.network.set_group(node + NODES as u32 / 2, 2);
                }
                world.network.cut(1, 2);
                world.run_for(120 * SECOND);
                world.network.heal();
                outcome.whole = until_whole(&mut world, 120 * SECOND);
            }
            Fault::Thirty => {
                let dead: Vec<u32> = (0..38).map(|step| (odd + step * 3) % NODES as u32).collect();
                for &node in &dead {
                    world.stop(node);
                    faulty[node as usize] = true;
                }
                world.run_for(120 * SECOND);
                let alive = world.running();
                let known: Option<Vec<Nanos>> =
                    dead.iter().map(|&node| world.watch.detection(node, start, &alive).1).collect();
                outcome.known = known.and_then(|known| known.into_iter().max());
                outcome.whole = until_whole(&mut world, 120 * SECOND);
            }
            Fault::Still => {
                for node in 0..NODES as u32 {
                    world.block(node, start + 10 * SECOND);
                }
                world.run_for(10 * SECOND);
                outcome.whole = until_whole(&mut world, 120 * SECOND);
                world.run_for(30 * SECOND);
            }
            Fault::Halves => {
                for node in 0..NODES as u32 / 2 {
                    world.network.set_group(node, 1);
                }
                world.network.cut(0, 1);
                world.network.cut(1, 0);
                world.run_for(60 * SECOND);
                faulty.fill(true);
                world.network.heal();
                outcome.whole = until_whole(&mut world, 240 * SECOND);
            }
        }
        outcome.majority_deaths = world.watch.majority_deaths();
        let said = world.watch.declarations().iter();
        // What the odd one says of others counts: others may hear it.
        outcome.false_deaths = said.filter(|said| !faulty[said.subject as usize]).count() as u64;
        outcome.violations = world.watch.violations().to_vec();
        outcome
    }
}

pub(crate) fn run(options: &Options) -> bool {
    let seeds = options.seeds_or(if options.full { 10 } else { 3 });
    let mut tasks = Vec::new();
    for (fault, name) in FAULTS {
        for row in 0..options.rows.len() {
            tasks.extend(seeds.clone().map(|seed| (fault, name, row, seed)));
        }
    }
    let done = jobs::run(options.threads, &tasks, |(fault, _, row, seed)| {
        options.rows[*row].run(&Case { fault: *fault, check: options.check }, NODES, *seed)
    });
    let (mut cells, mut violations) = (Vec::new(), Vec::new());
    for (fault, name) in FAULTS {
        for (index, row) in options.rows.iter().enumerate() {
            let outcomes: Vec<&Outcome> = tasks
                .iter()
                .zip(&done)
                .filter(|((of, _, row, _), _)| *of == fault && *row == index)
                .map(|(_, outcome)| outcome)
                .collect();
            let times = |get: fn(&Outcome) -> Option<Nanos>| {
                let mut times: Vec<Nanos> = outcomes.iter().filter_map(|outcome| get(outcome)).collect();
                times.sort_unstable();
                let never = outcomes.len() - times.len();
                [seconds(quantile(&times, 0.5)), seconds(quantile(&times, 1.0)), never.to_string()]
            };
            let mut line = vec![format!("{name}: {}", row.name())];
            line.push(outcomes.iter().map(|outcome| outcome.false_deaths).sum::<u64>().to_string());
            line.push(outcomes.iter().map(|outcome| outcome.majority_deaths).sum::<u64>().to_string());
            line.extend(times(|outcome| outcome.known));
            line.extend(times(|outcome| outcome.whole));
            cells.push(line);
            violations.extend(outcomes.iter().flat_map(|outcome| &outcome.violations));
        }
    }
    let title = format!(
        "N = {NODES}, {} seeds. False deaths: declarations about members that ran and were reachable. Seconds until all \
         know of the crash (or of the one that cannot be reached); seconds after healing until all hold all for alive.",
        seeds.count()
    );
    let head = [
        "fault",
        "false deaths",
        "by majority",
        "known p50",
        "worst",
        "never",
        "whole p50",
        "worst",
        "never",
    ];
    table::print(&title, &head, &cells);
    report_violations(violations.into_iter())
}
