//! Does it live: when it was last heard, and how many probe rounds failed since.

use std::time::Duration;

use hyperscale_core::Instant;

/// A node not heard so long is taken for dead.
pub const LIVE_FOR: Duration = Duration::from_secs(30);
/// So is one after so many failed probe rounds in a row.
pub const FAILURES_MAX: u32 = 3;

/// What is known of a node's life. Any authenticated message of it is a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    pub last_liveness_response: Instant,
    pub consecutive_liveness_failures: u32,
}

impl Liveness {
    /// Heard just now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { last_liveness_response: now, consecutive_liveness_failures: 0 }
    }

    /// A message of it came.
    pub fn on_response(&mut self, now: Instant) {
        self.last_liveness_response = self.last_liveness_response.max(now);
        self.consecutive_liveness_failures = 0;
    }

    /// A probe round ended: with an answer, direct or indirect, or without any.
    pub fn on_probe_round(&mut self, now: Instant, answered: bool) {
        if answered {
            self.on_response(now);
        } else {
            self.consecutive_liveness_failures = self.consecutive_liveness_failures.saturating_add(1);
        }
    }

    /// Whether it lives.
    #[must_use]
    pub fn is_live(&self, now: Instant) -> bool {
        now.since(self.last_liveness_response) < LIVE_FOR && self.consecutive_liveness_failures < FAILURES_MAX
    }

    /// When it stops to live if nothing more is heard.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.last_liveness_response + LIVE_FOR
    }

    /// `heard 1.2 s ago, 0 failed probes`.
    #[must_use]
    pub fn words(&self, now: Instant) -> String {
        let failed = match self.consecutive_liveness_failures {
            1 => "1 failed probe".to_owned(),
            failed => format!("{failed} failed probes"),
        };
        format!("heard {:.1} s ago, {failed}", now.since(self.last_liveness_response).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(elapsed: Duration, failures: u32) -> bool {
        let mut liveness = Liveness::new(Instant(7));
        (0..failures).for_each(|_| liveness.on_probe_round(Instant(8), false));
        liveness.is_live(Instant(7) + elapsed)
    }

    #[test]
    fn silence_of_thirty_seconds_or_three_failed_probes_end_a_life() {
        assert!(after(Duration::from_millis(29_999), 2));
        assert!(!after(Duration::from_millis(30_000), 0));
        assert!(!after(Duration::from_secs(1), 3));
    }

    #[test]
    fn any_response_forgets_failures() {
        let mut liveness = Liveness::new(Instant::ZERO);
        (0..5).for_each(|_| liveness.on_probe_round(Instant(1), false));
        assert!(!liveness.is_live(Instant(1)));
        liveness.on_response(Instant(2));
        assert!(liveness.is_live(Instant(2)));
        assert_eq!(liveness.words(Instant(1_200_000_002)), "heard 1.2 s ago, 0 failed probes");
    }
}
