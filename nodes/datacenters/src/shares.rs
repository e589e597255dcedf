//! Shares of named weights, in units.
//!
//! Who holds units `[from, from + count)` of `of` has the virtual users, arrivals and iterations whose number modulo
//! `of` lies there. Any number of units adds up; how many there are decides how closely the parts follow the weights:
//! too many, and a small load never comes round to the last datacenter; too few, and worker shards are left idle. So
//! the number is chosen by what the plan asks for: of those whose parts of every workflow's load deviate least from
//! the weights, the one that loads worker shards most evenly, with short rounds where arrivals are dealt out: who
//! holds many units in a row gets as many arrivals in a row.

use hyperscale_jobs::{Units, iterations_of, split};
use hyperscale_plan::{Iterations, Load, Open, Plan};

/// Numbers of units that are tried, and different counts of a plan that are looked at.
const TRIED_MAX: u32 = 256;
const COUNTS_MAX: usize = 32;
/// More units than this are not made: no load has more virtual users.
const UNITS_MAX: u32 = 1_000_000;
/// Rounds that fit weights without a small common measure, roughly.
const ROUND: [u32; 4] = [10, 100, 1_000, 10_000];
/// Deviations are counted in millionths.
const MILLION: u128 = 1_000_000;
/// A thousandth of the arrivals is not worth a longer round.
const ARRIVALS_STEP: u128 = 1_000;
/// What one more unit for each shard costs where arrivals are dealt out: as much as one shard in twenty idle.
const LONGER_ROUND: u128 = MILLION / 20;

/// Something of a plan that is dealt out by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    /// Virtual users, or iterations in all: as close to the weights as can be.
    Exact(u64),
    /// Arrivals over the whole run.
    Arrivals(u64),
    /// Virtual users that serve arrivals: everybody needs some.
    Servers(u64),
}

/// Splits a plan's load by (weight, worker shards), in their order. The units of one part follow those of the part before, and all together are the whole. A part without units has nothing to do.
#[must_use]
pub fn shares(plan: &Plan, parts: &[(u32, u32)]) -> Vec<Units> {
    let weights: Vec<u32> = parts.iter().map(|(weight, _)| *weight).collect();
    let counts = counts_of(plan);
    let best = numbers(&counts, parts)
        .into_iter()
        .filter_map(|of| split(Units::whole(of), &weights).ok().map(|units| (of, units)))
        .min_by_key(|(of, units)| (cost(&counts, parts, units), *of));
    best.map_or_else(Vec::new, |(_, units)| units)
}

/// What the plan's workflows deal out, each different count once, the smallest first: they suffer the most.
fn counts_of(plan: &Plan) -> Vec<Count> {
    let mut counts = Vec::new();
    for workflow in &plan.workflows {
        match &workflow.load {
            Load::Closed(closed) => {
                let vus = closed.stages.iter().map(|stage| stage.vus).chain([closed.start_vus]).max();
                counts.push(Count::Exact(u64::from(vus.unwrap_or(0))));
                if let Iterations::Total(total) = closed.iterations {
                    counts.push(Count::Exact(total));
                }
            }
            Load::Open(open) => {
                counts.extend([Count::Arrivals(arrivals(open)), Count::Servers(u64::from(open.max_vus))]);
            }
        }
    }
    counts.retain(|count| number(*count) > 0);
    counts.sort_by_key(|count| (number(*count), *count));
    counts.dedup();
    counts.truncate(COUNTS_MAX);
    counts
}

fn number(count: Count) -> u64 {
    match count {
        Count::Exact(n) | Count::Arrivals(n) | Count::Servers(n) => n,
    }
}

/// The area under the rate, or the total where that comes first.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of f64 saturates, and the number only ranks choices"
)]
fn arrivals(open: &Open) -> u64 {
    let mut rate = open.start_rate;
    let mut area = 0.0;
    for stage in &open.stages {
        area += (rate + stage.rate) / 2.0 * stage.duration.as_secs_f64();
        rate = stage.rate;
    }
    open.total.map_or(area as u64, |total| total.min(area as u64))
}

/// Numbers of units worth a try: multiples of the sum of weights, the one that has a unit for each worker shard among
/// them; the plan's own counts, which no rest can distort; and a few round ones.
fn numbers(counts: &[Count], parts: &[(u32, u32)]) -> Vec<u32> {
    let shards = parts.iter().fold(0, |sum: u32, (_, shards)| sum.saturating_add(*shards));
    let measure = parts.iter().fold(0, |so_far, (weight, _)| common_measure(so_far, *weight)).max(1);
    let sum = parts.iter().fold(0, |sum: u32, (weight, _)| sum.saturating_add(*weight / measure));
    let needed = parts.iter().map(|(weight, shards)| shards.div_ceil((*weight / measure).max(1))).max();
    let multiples = (1..=TRIED_MAX).chain(needed).map(|times| sum.saturating_mul(times));
    let own = counts.iter().filter_map(|count| match count {
        Count::Exact(n) => u32::try_from(*n).ok(),
        Count::Arrivals(_) | Count::Servers(_) => None,
    });
    let mut numbers: Vec<u32> =
        multiples.chain([shards]).chain(own).chain(ROUND).filter(|of| (1..=UNITS_MAX).contains(of)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The greatest common divisor: 60 and 40 are three and two times 20.
fn common_measure(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// How far these units are from what was asked for, over all counts: first by how much they deviate from the weights,
/// then how unevenly they load the shards of a datacenter and how long their rounds are.
fn cost(counts: &[Count], parts: &[(u32, u32)], units: &[Units]) -> (u128, u128) {
    let sum: u128 = parts.iter().map(|(weight, _)| u128::from(*weight)).sum();
    let shards: u128 = parts.iter().map(|(_, shards)| u128::from(*shards)).sum();
    let of = units.first().map_or(0, |units| u128::from(units.of));
    let (mut off, mut uneven) = (0, 0);
    for count in counts {
        let total = u128::from(number(*count));
        let got = || units.iter().map(|units| u128::from(iterations_of(*units, number(*count))));
        let due = || parts.iter().map(|(weight, _)| total * u128::from(*weight));
        let deviation: u128 = got().zip(due()).map(|(got, due)| (got * sum).abs_diff(due)).sum();
        let deviation = deviation * MILLION / (total * sum).max(1);
        let without = got().zip(due()).any(|(got, due)| got == 0 && due >= sum);
        let excess: u128 =
            got().zip(units).zip(parts).map(|((got, units), part)| excess(got, *units, part.1)).sum();
        let excess = excess * MILLION / total.max(1);
        match count {
            Count::Exact(_) => (off, uneven) = (off + deviation, uneven + excess),
            Count::Arrivals(_) => {
                off += deviation / ARRIVALS_STEP * ARRIVALS_STEP;
                uneven += excess + of * LONGER_ROUND / shards.max(1);
            }
            Count::Servers(_) => off += u128::from(without) * MILLION,
        }
    }
    (off, uneven)
}

/// What a datacenter's shards would have to carry more, if each had as much as the one with the most units, than if
/// `got` things were dealt out to them one by one.
fn excess(got: u128, units: Units, shards: u32) -> u128 {
    let (count, shards) = (u128::from(units.count), u128::from(shards.max(1)));
    let most = (got * count.div_ceil(shards)).div_ceil(count.max(1));
    most.saturating_sub(got.div_ceil(shards)) * shards
}

#[cfg(test)]
mod tests;
