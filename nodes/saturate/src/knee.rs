//! The search for the knee: the highest rate that holds.
//!
//! Pure: it says which rate to try next and is told whether that held. It doubles until a rate does not hold, bisects
//! until two rates are within a few percent, and repeats the better one to say how sure that is. One bad step may be
//! chance, so a rate is given up only after a second one, and the lowest that was given up is tried again at the end.

/// How the search goes about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KneeConfig {
    /// The first rate.
    pub from: f64,
    /// Nothing above is tried.
    pub max: f64,
    /// The search ends where the rates that hold and do not are so close: 0.05 is five percent.
    pub precision: f64,
    /// Repetitions of the last step.
    pub repeats: u32,
}

/// Below this nothing is searched.
const RATE_MIN: f64 = 1.0;
/// How often the rate is taken back because it did not hold again.
const RETREATS_MAX: u32 = 8;
/// How often a rate that was given up is taken up again.
const RETURNS_MAX: u32 = 2;
/// Share of repetitions that must hold.
const HOLDS: f64 = 0.8;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knee {
    /// The highest rate that held; 0: none did.
    pub rate: f64,
    /// The lowest rate that did not; `None`: every one did.
    pub above: Option<f64>,
    /// Repetitions at `rate` that held, of so many.
    pub held: u32,
    /// How many there were.
    pub of: u32,
}

impl Knee {
    /// With 95 % confidence, at least this share of such steps holds (Wilson's lower bound).
    #[must_use]
    pub fn confidence(&self) -> f64 {
        let n = f64::from(self.of);
        if self.of == 0 {
            return 0.0;
        }
        // One-sided 95 %.
        let z = 1.645_f64;
        let p = f64::from(self.held) / n;
        let middle = p + z * z / (2.0 * n);
        let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((middle - spread) / (1.0 + z * z / n)).clamp(0.0, 1.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Ranging {
        rate: f64,
    },
    Bisecting {
        rate: f64,
    },
    Repeating {
        held: u32,
        of: u32,
    },
    /// The better rate held as often as it had to; whether the worse one really does not.
    Doubting {
        held: u32,
        of: u32,
    },
    Done,
}

/// The search.
#[derive(Debug, Clone, PartialEq)]
pub struct KneeSearch {
    config: KneeConfig,
    phase: Phase,
    low: Option<f64>,
    high: Option<f64>,
    /// The rate that is tried did not hold once.
    doubted: bool,
    retreats: u32,
    returns: u32,
    found: Knee,
}

impl KneeSearch {
    /// A search that has tried nothing.
    #[must_use]
    pub fn new(config: KneeConfig) -> Self {
        let rate = config.from.clamp(RATE_MIN, config.max.max(RATE_MIN));
        Self {
            config,
            phase: Phase::Ranging { rate },
            low: None,
            high: None,
            doubted: false,
            retreats: 0,
            returns: 0,
            found: Knee { rate: 0.0, above: None, held: 0, of: 0 },
        }
    }

    /// The rate of the next step; `None`: the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        match self.phase {
            Phase::Ranging { rate } | Phase::Bisecting { rate } => Some(rate),
            Phase::Repeating { .. } => self.low,
            Phase::Doubting { .. } => self.high,
            Phase::Done => None,
        }
    }

    /// What the steps are for, now.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.phase {
            Phase::Ranging { .. } => "range",
            Phase::Bisecting { .. } => "bisect",
            Phase::Repeating { .. } => "repeat",
            Phase::Doubting { .. } => "doubt",
            Phase::Done => "done",
        }
    }

    /// What is known so far.
    #[must_use]
    pub fn found(&self) -> Knee {
        match self.phase {
            Phase::Repeating { held, of } | Phase::Doubting { held, of } => {
                Knee { rate: self.low.unwrap_or(0.0), above: self.high, held, of }
            }
            Phase::Ranging { .. } | Phase::Bisecting { .. } => {
                Knee { rate: self.low.unwrap_or(0.0), above: self.high, held: 0, of: 0 }
            }
            Phase::Done => self.found,
        }
    }

    /// The step at [`KneeSearch::next`] is over.
    pub fn told(&mut self, holds: bool) {
        if let Phase::Repeating { held, of } = self.phase {
            return self.repeated(held + u32::from(holds), of + 1);
        }
        if let Phase::Doubting { held, of } = self.phase {
            return self.doubted(holds, held, of);
        }
        if !holds && !std::mem::replace(&mut self.doubted, true) {
            return;
        }
        self.doubted = false;
        match self.phase {
            Phase::Ranging { rate } if holds => {
                self.low = Some(rate);
                match (self.high, rate >= self.config.max) {
                    (None, false) => self.phase = Phase::Ranging { rate: (rate * 2.0).min(self.config.max) },
                    (None, true) => self.repeat(),
                    (Some(_), _) => self.bisect(),
                }
            }
            Phase::Ranging { rate } => {
                self.high = Some(rate);
                match self.low {
                    Some(_) => self.bisect(),
                    None if rate <= RATE_MIN => self.end(0, 0),
                    None => self.phase = Phase::Ranging { rate: (rate / 2.0).max(RATE_MIN) },
                }
            }
            Phase::Bisecting { rate } => {
                *(if holds { &mut self.low } else { &mut self.high }) = Some(rate);
                self.bisect();
            }
            Phase::Repeating { .. } | Phase::Doubting { .. } | Phase::Done => {}
        }
    }

    fn bisect(&mut self) {
        match (self.low, self.high) {
            (Some(low), Some(high)) if high > low * (1.0 + self.config.precision) => {
                self.phase = Phase::Bisecting { rate: (low * high).sqrt() };
            }
            _ => self.repeat(),
        }
    }

    fn repeat(&mut self) {
        self.phase = Phase::Repeating { held: 0, of: 0 };
        if self.config.repeats == 0 {
            self.end(0, 0);
        }
    }

    fn repeated(&mut self, held: u32, of: u32) {
        self.phase = Phase::Repeating { held, of };
        let needed = f64::from(self.config.repeats) * HOLDS;
        let failed = f64::from(of - held) > f64::from(self.config.repeats) - needed;
        if failed && self.retreats < RETREATS_MAX {
            self.retreats += 1;
            self.high = self.low;
            self.low = self.low.map(|low| (low / (1.0 + self.config.precision)).max(RATE_MIN));
            self.repeat();
        } else if failed || of >= self.config.repeats && (self.high.is_none() || self.returns >= RETURNS_MAX)
        {
            self.end(held, of);
        } else if of >= self.config.repeats {
            self.phase = Phase::Doubting { held, of };
        }
    }

    /// The lowest rate that did not hold was tried once more.
    fn doubted(&mut self, holds: bool, held: u32, of: u32) {
        let Some(high) = self.high.filter(|_| holds) else { return self.end(held, of) };
        self.returns += 1;
        (self.low, self.high) = (Some(high), None);
        self.phase = match high >= self.config.max {
            true => Phase::Repeating { held: 0, of: 0 },
            false => Phase::Ranging { rate: (high * 1.2).min(self.config.max) },
        };
    }

    fn end(&mut self, held: u32, of: u32) {
        self.found = Knee { rate: self.low.unwrap_or(0.0), above: self.high, held, of };
        self.phase = Phase::Done;
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    const CONFIG: KneeConfig = KneeConfig { from: 1_000.0, max: 10_000_000.0, precision: 0.05, repeats: 5 };

    /// A gate with a queue: its p99 in ms grows without bound as the rate nears what it can do, and is measured with
    /// some noise.
    fn p99(rate: f64, capacity: f64, rng: &mut SmallRng) -> f64 {
        let noise = 1.0 + rng.random_range(-0.05..0.05);
        if rate >= capacity { 1e9 } else { 0.1 / (1.0 - rate / capacity) * noise }
    }

    fn search(config: KneeConfig, mut holds: impl FnMut(f64) -> bool) -> (Knee, u32) {
        let (mut search, mut steps) = (KneeSearch::new(config), 0);
        while let Some(rate) = search.next() {
            search.told(holds(rate));
            steps += 1;
            assert!(steps < 200, "{search:?}");
        }
        (search.found(), steps)
    }

    #[test]
    fn the_knee_of_a_noisy_gate_is_found_within_five_percent() {
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let capacity = 500.0 * 1.1_f64.powi(i32::try_from(seed % 80).unwrap());
            // p99 is 1 ms where 0.1 / (1 - x) = 1.
            let truth = capacity * 0.9;
            let (knee, steps) = search(CONFIG, |rate| p99(rate, capacity, &mut rng) <= 1.0);
            assert!((knee.rate / truth - 1.0).abs() <= 0.05, "seed {seed}: {knee:?}, truth {truth}");
            assert!(knee.held * 5 >= knee.of * 4 && knee.of == 5, "{knee:?}");
            assert!(steps < 80, "{steps}");
        }
    }

    #[test]
    fn one_bad_step_in_ten_does_not_move_it_far() {
        for seed in 0..100 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (knee, _) = search(CONFIG, |rate| rate <= 20_000.0 && !rng.random_bool(0.1));
            assert!((10_000.0..=20_000.0).contains(&knee.rate), "seed {seed}: {knee:?}");
        }
    }

    #[test]
    fn a_gate_that_holds_everything_or_nothing_is_told_so() {
        let (all, _) = search(KneeConfig { max: 50_000.0, ..CONFIG }, |_| true);
        assert_eq!((all.rate, all.above, all.held, all.of), (50_000.0, None, 5, 5));
        let (none, _) = search(CONFIG, |_| false);
        assert_eq!((none.rate, none.of), (0.0, 0));
    }

    #[test]
    fn confidence_grows_with_repetitions() {
        let of = |held, of| Knee { rate: 1.0, above: None, held, of }.confidence();
        assert!(of(5, 5) > of(4, 5) && of(10, 10) > of(5, 5) && of(0, 0) == 0.0);
        assert!((0.6..0.7).contains(&of(5, 5)), "{}", of(5, 5));
    }
}
