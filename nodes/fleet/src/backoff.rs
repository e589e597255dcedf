//! Waits that grow while something fails, for what is no call: connections, and what is elsewhere.

use std::time::Duration;

use hyperscale_reliability::JitterStrategy;
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// The waits of one thing that fails and is tried again.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    rng: SmallRng,
}

impl Backoff {
    /// From half of `base` up; never over `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, failures: 0, rng: SmallRng::seed_from_u64(seed) }
    }

    /// It failed: the wait before it is tried again. Half of it is sure, so that nobody comes back at once.
    pub fn wait(&mut self) -> Duration {
        let n = self.failures;
        self.failures = n.saturating_add(1);
        JitterStrategy::Equal.delay((self.base, self.cap), n, self.base, &mut self.rng)
    }

    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_cap_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), 3);
        for most_ms in [200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let wait = u64::try_from(backoff.wait().as_millis()).unwrap();
            assert!((most_ms / 2..most_ms).contains(&wait), "{wait} of {most_ms}");
        }
        backoff.reset();
        assert!(backoff.wait() < Duration::from_millis(200));
    }
}
