//! How long what takes, and what never arrives.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::{MS, Nanos};

/// Faults of all links; each a probability from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub loss: f64,
    pub duplicates: f64,
    /// Held back by up to 20 ms.
    pub reordered: f64,
}

/// The network between nodes. Each directed link has a median delay of its own, around the network's; each parcel's
/// delay lies around that; both lognormal.
#[derive(Debug)]
pub struct Network {
    median_ns: f64,
    seed: u64,
    rng: SmallRng,
    faults: Faults,
    /// Quantiles of exp(0.5 z): a parcel's delay over its link's median.
    parcel_factors: Vec<f32>,
    /// Quantiles of exp(0.25 z): a link's median over the network's.
    link_factors: Vec<f32>,
    /// Group of each node, and which groups reach which.
    groups: Vec<u8>,
    cut: [u64; 64],
    any_cut: bool,
}

const FACTORS: usize = 1 << 12;

impl Network {
    /// A network without faults.
    #[must_use]
    pub fn new(nodes: usize, median: Nanos, seed: u64) -> Self {
        Self {
            median_ns: median as f64,
            seed,
            rng: SmallRng::seed_from_u64(seed),
            faults: Faults::default(),
            parcel_factors: lognormal_quantiles(0.5),
            link_factors: lognormal_quantiles(0.25),
            groups: vec![0; nodes],
            cut: [0; 64],
            any_cut: false,
        }
    }

    /// Sets the faults from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Puts a node into a group (0 to 63); links are cut by group.
    pub fn set_group(&mut self, node: u32, group: u8) {
        self.groups[node as usize] = group;
    }

    /// Cuts the way from one group to another, one direction only.
    pub fn cut(&mut self, from: u8, to: u8) {
        self.cut[usize::from(from)] |= 1 << to;
        self.any_cut = true;
    }

    /// Heals all cuts.
    pub fn heal(&mut self) {
        self.cut = [0; 64];
        self.any_cut = false;
    }

    /// Whether the way from one node to another is open.
    #[must_use]
    pub fn is_open(&self, from: u32, to: u32) -> bool {
        !self.any_cut
            || self.cut[usize::from(self.groups[from as usize])] & (1 << self.groups[to as usize]) == 0
    }

    /// Whether any way to or from a node is cut.
    #[must_use]
    pub fn is_cut_anywhere(&self, node: u32) -> bool {
        let group = self.groups[node as usize];
        self.any_cut
            && (self.cut[usize::from(group)] != 0 || self.cut.iter().any(|to| to & (1 << group) != 0))
    }

    /// The delay of one datagram; `None` if it is lost.
    pub fn datagram_delay(&mut self, from: u32, to: u32) -> Option<Nanos> {
        if !self.is_open(from, to) || self.chance(self.faults.loss) {
            return None;
        }
        let mut delay = self.delay(from, to);
        if self.chance(self.faults.reordered) {
            delay += self.rng.random_range(0..20 * MS);
        }
        Some(delay)
    }

    /// Whether this datagram arrives twice.
    pub fn is_doubled(&mut self) -> bool {
        self.chance(self.faults.duplicates)
    }

    /// The delay of something sent over TCP: two round trips, and a wait of 200 ms, doubled each time, for each lost
    /// segment. `None` while either direction is cut.
    pub fn stream_delay(&mut self, from: u32, to: u32) -> Option<Nanos> {
        if !self.is_open(from, to) || !self.is_open(to, from) {
            return None;
        }
        let mut delay = 2 * (self.delay(from, to) + self.delay(to, from));
        let mut wait = 200 * MS;
        while self.chance(self.faults.loss) && wait < 10_000 * MS {
            delay += wait;
            wait *= 2;
        }
        Some(delay)
    }

    fn delay(&mut self, from: u32, to: u32) -> Nanos {
        let link = mix(self.seed ^ (u64::from(from) << 32 | u64::from(to))) as usize % FACTORS;
        let drawn = self.rng.next_u32_of(FACTORS);
        (self.median_ns * f64::from(self.link_factors[link]) * f64::from(self.parcel_factors[drawn])) as Nanos
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random::<f64>() < probability
    }
}

trait Index {
    fn next_u32_of(&mut self, size: usize) -> usize;
}

impl Index for SmallRng {
    fn next_u32_of(&mut self, size: usize) -> usize {
        self.random::<u32>() as usize % size
    }
}

/// Spreads a number over all 64 bits (splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The quantiles of exp(sigma z), z normal, at the middles of equal steps.
fn lognormal_quantiles(sigma: f64) -> Vec<f32> {
    (0..FACTORS)
        .map(|step| {
            let probability = (step as f64 + 0.5) / FACTORS as f64;
            (sigma * normal_quantile(probability)).exp() as f32
        })
        .collect()
}

/// The quantile of the normal distribution.
fn normal_quantile(probability: f64) -> f64 {
    // Winitzki's formula for the inverse error function; off by less than 0.005.
    let x = 2.0 * probability - 1.0;
    let log = (1.0 - x * x).ln();
    let a = 0.147;
    let first = 2.0 / (std::f64::consts::PI * a) + log / 2.0;
    let inverse = ((first * first - log / a).sqrt() - first).sqrt().copysign(x);
    inverse * std::f64::consts::SQRT_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_delays_lie_below_the_median_and_one_of_a_hundred_above_four_times_it() {
        let mut network = Network::new(100, 200_000, 7);
        let mut delays: Vec<Nanos> = (0..100_000)
            .map(|step| network.datagram_delay(step % 100, (step * 7 + 1) % 100).unwrap())
            .collect();
        delays.sort_unstable();
        assert!((190_000..210_000).contains(&delays[50_000]), "median {}", delays[50_000]);
        assert!((650_000..850_000).contains(&delays[99_000]), "p99 {}", delays[99_000]);
    }
}
