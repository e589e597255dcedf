//! Waits between attempts, spread so that those who failed together do not come back together.

use std::time::Duration;

use rand::Rng;

/// Doublings beyond which a wait is its cap anyway.
const DOUBLINGS_MAX: u32 = 62;

/// How the wait before a retry is drawn. With `t = min(cap, base * 2^n)`, n = 0 for the first retry:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JitterStrategy {
    /// Anything below `t`: spreads the most, and may come back at once.
    #[default]
    Full,
    /// At least half of `t`, for what must not come back at once.
    Equal,
    /// Between the base and three times the wait before: depends on chance more than on the count.
    Decorrelated,
}

impl JitterStrategy {
    /// The wait before retry `n`; `previous`: the one before it, or the base at first. Never over `cap`.
    #[must_use]
    pub fn delay(
        self,
        (base, cap): (Duration, Duration),
        n: u32,
        previous: Duration,
        rng: &mut impl Rng,
    ) -> Duration {
        let (base, cap) = (nanos(base), nanos(cap));
        let doubled = base.saturating_mul(1_u64.checked_shl(n.min(DOUBLINGS_MAX)).unwrap_or(u64::MAX));
        let t = doubled.min(cap);
        let half = t / 2;
        let drawn = match self {
            Self::Full => below(t, rng),
            Self::Equal => half.saturating_add(below(t.saturating_sub(half), rng)),
            Self::Decorrelated => {
                let span = nanos(previous).saturating_mul(3).saturating_sub(base);
                base.saturating_add(below(span, rng)).min(cap)
            }
        };
        Duration::from_nanos(drawn)
    }
}

/// Any number below, or 0 where there is none.
fn below(end: u64, rng: &mut impl Rng) -> u64 {
    if end == 0 { 0 } else { rng.random_range(0..end) }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const BASE: Duration = Duration::from_millis(500);
    const CAP: Duration = Duration::from_secs(30);
    /// A million draws over the eight retries whose ends are told.
    const DRAWS: u32 = 125_000;
    const ENDS_S: [f64; 8] = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0];

    /// Least, most and mean of the waits before retry `n`, in seconds.
    fn drawn(strategy: JitterStrategy, n: u32) -> (f64, f64, f64) {
        let mut rng = SmallRng::seed_from_u64(u64::from(n));
        let (mut least, mut most, mut sum) = (f64::MAX, 0.0_f64, 0.0);
        for _ in 0..DRAWS {
            let wait = strategy.delay((BASE, CAP), n, BASE, &mut rng).as_secs_f64();
            (least, most, sum) = (least.min(wait), most.max(wait), sum + wait);
        }
        (least, most, sum / f64::from(DRAWS))
    }

    #[test]
    fn full_is_below_the_doubled_base_and_half_of_it_on_average() {
        for (n, end) in (0..).zip(ENDS_S) {
            let (least, most, mean) = drawn(JitterStrategy::Full, n);
            assert!(least >= 0.0 && least < end * 0.001, "{n}: {least}");
            assert!(most < end && most > end * 0.999, "{n}: {most}");
            assert!((mean / (end / 2.0) - 1.0).abs() < 0.01, "{n}: {mean}");
        }
    }

    #[test]
    fn equal_waits_half_for_sure_and_three_quarters_on_average() {
        for (n, end) in (0..).zip(ENDS_S) {
            let (least, most, mean) = drawn(JitterStrategy::Equal, n);
            assert!(least >= end / 2.0 && least < end * 0.501, "{n}: {least}");
            assert!(most < end && most > end * 0.999, "{n}: {most}");
            assert!((mean / (end * 0.75) - 1.0).abs() < 0.01, "{n}: {mean}");
        }
    }

    #[test]
    fn decorrelated_begins_below_three_bases_and_stays_between_base_and_cap() {
        let (least, most, mean) = drawn(JitterStrategy::Decorrelated, 0);
        assert!((0.5..0.501).contains(&least) && (1.499..1.5).contains(&most), "{least} {most}");
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let (mut rng, mut previous) = (SmallRng::seed_from_u64(9), BASE);
        let mut at_cap = 0;
        for n in 0..1_000_000 {
            previous = JitterStrategy::Decorrelated.delay((BASE, CAP), n, previous, &mut rng);
            assert!((BASE..=CAP).contains(&previous), "{previous:?}");
            at_cap += u32::from(previous == CAP);
        }
        assert!(at_cap > 1_000, "{at_cap}");
    }

    #[test]
    fn odd_configurations_do_no_harm() {
        let mut rng = SmallRng::seed_from_u64(1);
        for strategy in [JitterStrategy::Full, JitterStrategy::Equal, JitterStrategy::Decorrelated] {
            let zero = strategy.delay((Duration::ZERO, CAP), u32::MAX, Duration::ZERO, &mut rng);
            assert_eq!(zero, Duration::ZERO);
            for cap in [Duration::ZERO, Duration::MAX] {
                assert!(strategy.delay((Duration::MAX, cap), 3, Duration::MAX, &mut rng) <= cap);
            }
        }
    }

    /// Twenty of a thousand are expected in each hundredth of a second; more than 45 happen once in a million times.
    #[test]
    fn a_thousand_callers_that_fail_at_once_do_not_come_back_at_once() {
        for seed in 0..20 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut buckets = [0_u32; 50];
            for _ in 0..1_000 {
                let wait = JitterStrategy::Full.delay((BASE, CAP), 0, BASE, &mut rng);
                buckets[usize::try_from(wait.as_millis() / 10).unwrap()] += 1;
            }
            assert!(buckets.iter().all(|count| *count <= 45), "seed {seed}: {buckets:?}");
        }
    }
}
