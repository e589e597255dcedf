//! Does it get on: what was done in an interval, against what should have been.

use std::time::Duration;

use hyperscale_core::Instant;

/// An interval that is judged; closed by the watcher's clock.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// Whether work goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ProgressState {
    /// There is none to do.
    #[default]
    Idle,
    /// At least 0.8 of what was due.
    Normal,
    /// At least 0.3.
    Slow,
    /// Some.
    Degraded,
    /// None.
    Stuck,
}

impl ProgressState {
    /// Every state, the best first.
    pub const ALL: [Self; 5] = [Self::Idle, Self::Normal, Self::Slow, Self::Degraded, Self::Stuck];

    /// The state that `actual` units are, where `expected` were due. Nothing due: normal with any done, else idle.
    #[must_use]
    pub fn of(actual: f64, expected: f64) -> Self {
        let actual = if actual > 0.0 { actual } else { 0.0 };
        if expected.is_nan() || expected <= 0.0 {
            return if actual > 0.0 { Self::Normal } else { Self::Idle };
        }
        match actual / expected {
            ratio if ratio >= 0.8 => Self::Normal,
            ratio if ratio >= 0.3 => Self::Slow,
            ratio if ratio > 0.0 => Self::Degraded,
            _ => Self::Stuck,
        }
    }

    /// The word that tables use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Normal => "normal",
            Self::Slow => "slow",
            Self::Degraded => "degraded",
            Self::Stuck => "stuck",
        }
    }
}

/// Adds up what a node tells of its progress, and closes an interval each 10 s.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProgressMeter {
    since: Option<Instant>,
    heard: Option<Instant>,
    actual: f64,
    expected: f64,
    closed: Option<(f64, f64)>,
}

impl ProgressMeter {
    /// Takes in rates (units per second) that hold since the last call.
    pub fn rates(&mut self, now: Instant, throughput: f32, expected: f32) {
        let told = |rate: f32| if rate.is_finite() && rate > 0.0 { f64::from(rate) } else { 0.0 };
        let seconds = self.heard.map_or(0.0, |heard| now.since(heard).min(INTERVAL).as_secs_f64());
        self.heard = Some(now);
        self.counts(now, told(throughput) * seconds, told(expected) * seconds);
    }

    /// Takes in units: done, and due.
    pub fn counts(&mut self, now: Instant, actual: f64, expected: f64) {
        let since = *self.since.get_or_insert(now);
        self.actual += actual;
        self.expected += expected;
        if now.since(since) >= INTERVAL {
            self.closed = Some((self.actual, self.expected));
            (self.since, self.actual, self.expected) = (Some(now), 0.0, 0.0);
        }
    }

    /// Begins anew: other work was given.
    pub fn restart(&mut self, now: Instant) {
        *self = Self { since: Some(now), heard: self.heard, ..Self::default() };
    }

    /// Units done and due in the last whole interval.
    #[must_use]
    pub const fn last_interval(&self) -> Option<(f64, f64)> {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_names_the_state_and_nothing_due_is_never_stuck() {
        let cases = [
            (8.0, 10.0, ProgressState::Normal),
            (7.9, 10.0, ProgressState::Slow),
            (3.0, 10.0, ProgressState::Slow),
            (2.9, 10.0, ProgressState::Degraded),
            (0.001, 10.0, ProgressState::Degraded),
            (0.0, 10.0, ProgressState::Stuck),
            (0.0, 0.0, ProgressState::Idle),
            (1.0, 0.0, ProgressState::Normal),
            (1.0, f64::NAN, ProgressState::Normal),
            (0.0, f64::NAN, ProgressState::Idle),
            (0.0, -3.0, ProgressState::Idle),
            (f64::NAN, 10.0, ProgressState::Stuck),
        ];
        for (actual, expected, state) in cases {
            assert_eq!(ProgressState::of(actual, expected), state, "{actual} of {expected}");
        }
    }

    #[test]
    fn an_interval_closes_by_the_watchers_clock() {
        let at = |ms: u64| Instant(ms * 1_000_000);
        let mut meter = ProgressMeter::default();
        for beat in 0..20 {
            meter.rates(at(beat * 500), 7.0, 10.0);
            assert_eq!(meter.last_interval(), None);
        }
        meter.rates(at(10_000), f32::NAN, -1.0);
        assert_eq!(meter.last_interval(), Some((66.5, 95.0)));
    }
}
