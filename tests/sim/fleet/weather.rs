//! How the network is: how long messages take, and what becomes of datagrams. Drawn from one seed, per directed pair of
//! hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A machine: all shards of a node are on one.
pub(crate) type Host = usize;

/// How long messages take on one directed way: lognormal, by its median and the deviation of its logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Delay {
    pub(crate) median: Duration,
    pub(crate) sigma: f64,
}

impl Delay {
    pub(crate) const LOOPBACK: Self = Self { median: Duration::from_micros(50), sigma: 0.3 };
    pub(crate) const LAN: Self = Self { median: Duration::from_micros(200), sigma: 0.5 };

    /// Between two sites.
    pub(crate) const fn wan(median: Duration) -> Self {
        Self { median, sigma: 0.1 }
    }

    fn draw(self, rng: &mut StdRng) -> Duration {
        // Box and Muller's way to a normal draw.
        let (a, b): (f64, f64) = (rng.random_range(f64::MIN_POSITIVE..1.0), rng.random_range(0.0..1.0));
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        self.median.mul_f64((normal.clamp(-4.0, 4.0) * self.sigma).exp())
    }
}

/// What may become of a datagram: probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Mishaps {
    pub(crate) loss: f64,
    pub(crate) twice: f64,
    /// Of being late by up to 20 ms, so that later ones overtake it.
    pub(crate) late: f64,
    /// Of one flipped bit. A stream has checksums; a datagram has what its protocol brings.
    pub(crate) flip: f64,
}

/// A lost segment of a stream is sent again after this.
const SENT_AGAIN: Duration = Duration::from_millis(200);
const LATE_MAX: Duration = Duration::from_millis(20);

/// The whole network's.
pub(crate) struct Weather {
    rng: StdRng,
    /// Of each host, its site; what is not named is at site 0.
    pub(crate) sites: BTreeMap<Host, usize>,
    /// Between two sites, one way; within one it is a LAN.
    pub(crate) ways: BTreeMap<(usize, usize), Delay>,
    pub(crate) mishaps: Mishaps,
    /// Directed pairs that are slow now: so many times as slow.
    pub(crate) slow: BTreeMap<(Host, Host), f64>,
}

impl Weather {
    /// Everybody is on one LAN, where nothing is lost.
    pub(crate) fn new(seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let (sites, ways, slow) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { rng, sites, ways, mishaps: Mishaps::default(), slow }
    }

    fn way(&self, from: Host, to: Host) -> Delay {
        if from == to {
            return Delay::LOOPBACK;
        }
        let site = |host| self.sites.get(host).copied().unwrap_or(0);
        self.ways.get(&(site(&from), site(&to))).copied().unwrap_or(Delay::LAN)
    }

    /// How long what is sent now takes.
    pub(crate) fn delay(&mut self, from: Host, to: Host) -> Duration {
        let factor = self.slow.get(&(from, to)).copied().unwrap_or(1.0);
        self.way(from, to).draw(&mut self.rng).mul_f64(factor)
    }

    /// The same on a stream: what is lost comes later.
    pub(crate) fn stream_delay(&mut self, from: Host, to: Host) -> Duration {
        let lost = from != to && self.mishaps.loss > 0.0 && self.rng.random_bool(self.mishaps.loss);
        self.delay(from, to) + if lost { SENT_AGAIN } else { Duration::ZERO }
    }

    /// A stream that was held up for so long goes on after this: its sender waits longer each time.
    pub(crate) fn backoff(&mut self, held: Duration) -> Duration {
        held.min(Duration::from_secs(4)).mul_f64(self.rng.random_range(0.0..0.5))
    }

    /// When a datagram arrives, each time it does; what became of it has marks.
    pub(crate) fn datagram(
        &mut self,
        (from, to): (Host, Host),
        bytes: &mut [u8],
        mark: &mut impl FnMut(&'static str),
    ) -> Vec<Duration> {
        let Mishaps { loss, twice, late, flip } = self.mishaps;
        let mut happens = |p: f64| p > 0.0 && self.rng.random_bool(p);
        if happens(loss) {
            mark("datagram lost");
            return Vec::new();
        }
        let copies = if happens(twice) { 2 } else { 1 };
        let (flips, lates) = (happens(flip), [happens(late), happens(late)]);
        if copies == 2 {
            mark("datagram duplicated");
        }
        if flips && !bytes.is_empty() {
            let bit = self.rng.random_range(0..bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            mark("datagram bit flipped");
        }
        let mut arrivals = Vec::new();
        for late in &lates[..copies] {
            let mut delay = self.delay(from, to);
            if *late {
                delay += LATE_MAX.mul_f64(self.rng.random_range(0.0..1.0));
                mark("datagram late");
            }
            arrivals.push(delay);
        }
        arrivals
    }
}
