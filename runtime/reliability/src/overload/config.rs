//! What the detector goes by, its defaults and their limits (18-1).

use std::time::Duration;

use super::OverloadState;

/// Inputs that a window of the detector holds at most.
pub const WINDOW_MAX: usize = 64;

/// How a node judges its own load. Windows count ticks of the detector, not requests: at a million frames a second ten
/// requests would span ten microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct OverloadConfig {
    /// How fast the baseline learns, over 0 to 1; 0.1.
    pub ema_alpha: f64,
    /// Inputs whose mean is the latency now, 1 to [`WINDOW_MAX`]; 10.
    pub current_window: usize,
    /// Deltas through which the trend is drawn, 2 to [`WINDOW_MAX`]; 20.
    pub trend_window: usize,
    /// How far over the baseline, as a part of it, is busy, stressed and overloaded; 0.2, 0.5, 1.
    pub delta_thresholds: [f64; 3],
    /// Mean latency in ms over which a node is busy, stressed and overloaded, whatever is usual; 200, 500, 2000.
    pub absolute_bounds_ms: [f64; 3],
    /// Part of the node's CPUs in use over which it is busy, stressed and overloaded; 0.7, 0.85, 0.95.
    pub cpu_thresholds: [f64; 3],
    /// The same of its memory; 0.7, 0.85, 0.95.
    pub memory_thresholds: [f64; 3],
    /// Percent of time in which some task waited for CPU, memory or disk from which a node is busy, stressed and
    /// overloaded; 20, 40, 60.
    pub pressure_thresholds: [f64; 3],
    /// Inputs before a delta counts, and deltas before a trend does; 10.
    pub warmup: usize,
    /// How fast the baseline learns while the node is stressed or worse; 0.01. Else an overload is normal in two seconds.
    pub alpha_hot: f64,
    /// Mean latency in ms under which no delta makes a node busy, stressed, overloaded; 5, 20, 50. A tenth of a
    /// millisecond that becomes half of one is no overload.
    pub delta_floors_ms: [f64; 3],
    /// Growth of the delta an input over which busy becomes stressed, and stressed overloaded; 0.1.
    pub trend_limit: f64,
    /// How fast the reference learns against which a drift of the baseline shows; 0.002.
    pub reference_alpha: f64,
    /// How far the baseline is over the reference, as a part of it, to be at least busy and stressed; 0.3, 1. `None`:
    /// a drift is not looked for.
    pub drift_thresholds: Option<[f64; 2]>,
    /// Ticks that a state is kept after its reason is gone; 20.
    pub hold_ticks: u32,
    /// Time without a sample after which the windows are empty again; 5 s.
    pub silence: Duration,
    /// An input enters the baseline when it leaves the window, not at once; true. At once, mean and baseline rise
    /// together, and a step of any height gives a delta of 0.535 at most: overloaded could never come of it.
    pub lagged_baseline: bool,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self {
            ema_alpha: 0.1,
            current_window: 10,
            trend_window: 20,
            delta_thresholds: [0.2, 0.5, 1.0],
            absolute_bounds_ms: [200.0, 500.0, 2000.0],
            cpu_thresholds: [0.70, 0.85, 0.95],
            memory_thresholds: [0.70, 0.85, 0.95],
            pressure_thresholds: [20.0, 40.0, 60.0],
            warmup: 10,
            alpha_hot: 0.01,
            delta_floors_ms: [5.0, 20.0, 50.0],
            trend_limit: 0.1,
            reference_alpha: 0.002,
            drift_thresholds: Some([0.3, 1.0]),
            hold_ticks: 20,
            silence: Duration::from_secs(5),
            lagged_baseline: true,
        }
    }
}

/// A value that the detector cannot go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("overload.{field}: {rule}")]
pub struct InvalidOverloadConfig {
    /// The field's name.
    pub field: &'static str,
    /// What would be right.
    pub rule: &'static str,
}

impl OverloadConfig {
    /// The plain formula, kept to compare: a baseline that takes each input at once, no floors, no drift, no hold.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            lagged_baseline: false,
            warmup: 3,
            delta_floors_ms: [0.0; 3],
            drift_thresholds: None,
            hold_ticks: 0,
            ..Self::default()
        }
    }

    /// Whether the detector can go by it.
    ///
    /// # Errors
    /// [`InvalidOverloadConfig`] names the first field that is not right.
    pub fn check(&self) -> Result<(), InvalidOverloadConfig> {
        let refuse = |field, rule| Err(InvalidOverloadConfig { field, rule });
        for (field, alpha) in [
            ("ema_alpha", self.ema_alpha),
            ("alpha_hot", self.alpha_hot),
            ("reference_alpha", self.reference_alpha),
        ] {
            if !(alpha > 0.0 && alpha <= 1.0) {
                return refuse(field, "a number over 0, 1 at most");
            }
        }
        if !(1..=WINDOW_MAX).contains(&self.current_window) {
            return refuse("current_window", "1 to 64 inputs");
        }
        if !(2..=WINDOW_MAX).contains(&self.trend_window) {
            return refuse("trend_window", "2 to 64 inputs");
        }
        let drift = self.drift_thresholds.unwrap_or_default();
        let drift = [drift[0], drift[0], drift[1]];
        for (field, triple) in [
            ("delta_thresholds", self.delta_thresholds),
            ("absolute_bounds_ms", self.absolute_bounds_ms),
            ("cpu_thresholds", self.cpu_thresholds),
            ("memory_thresholds", self.memory_thresholds),
            ("pressure_thresholds", self.pressure_thresholds),
            ("delta_floors_ms", self.delta_floors_ms),
            ("drift_thresholds", drift),
        ] {
            // Written so that NaN is refused too.
            let [busy, stressed, overloaded] = triple;
            if !(busy >= 0.0 && stressed >= busy && overloaded >= stressed) {
                return refuse(field, "numbers from 0 that do not decrease");
            }
        }
        if self.trend_limit.is_nan() || self.trend_limit < 0.0 {
            return refuse("trend_limit", "a number from 0");
        }
        if self.silence.is_zero() {
            return refuse("silence", "a time over 0");
        }
        Ok(())
    }
}

/// The state of a value by the three thresholds it is over.
pub(super) fn over(value: f64, [busy, stressed, overloaded]: [f64; 3]) -> OverloadState {
    if value > overloaded {
        OverloadState::Overloaded
    } else if value > stressed {
        OverloadState::Stressed
    } else if value > busy {
        OverloadState::Busy
    } else {
        OverloadState::Healthy
    }
}

/// The state of percent (0 to 100) by thresholds that are parts of 1.
pub(super) fn over_percent(percent: f64, thresholds: [f64; 3]) -> OverloadState {
    // NaN goes through, and is over nothing.
    over(percent.clamp(0.0, 100.0) / 100.0, thresholds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut OverloadConfig)) -> &'static str {
        let mut config = OverloadConfig::default();
        change(&mut config);
        config.check().map_or_else(|refused| refused.field, |()| "none")
    }

    #[test]
    fn both_configurations_are_right_as_they_are() {
        assert_eq!(OverloadConfig::default().check(), Ok(()));
        assert_eq!(OverloadConfig::plain().check(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(|config| config.ema_alpha = 0.0), "ema_alpha");
        assert_eq!(refused(|config| config.ema_alpha = f64::NAN), "ema_alpha");
        assert_eq!(refused(|config| config.alpha_hot = 1.1), "alpha_hot");
        assert_eq!(refused(|config| config.reference_alpha = -0.1), "reference_alpha");
        assert_eq!(refused(|config| config.current_window = 0), "current_window");
        assert_eq!(refused(|config| config.current_window = 65), "current_window");
        assert_eq!(refused(|config| config.trend_window = 1), "trend_window");
        assert_eq!(refused(|config| config.delta_thresholds = [0.5, 0.2, 1.0]), "delta_thresholds");
        assert_eq!(
            refused(|config| config.absolute_bounds_ms = [200.0, 500.0, f64::NAN]),
            "absolute_bounds_ms"
        );
        assert_eq!(refused(|config| config.cpu_thresholds = [0.7, 0.6, 0.95]), "cpu_thresholds");
        assert_eq!(refused(|config| config.memory_thresholds = [-0.1, 0.6, 0.95]), "memory_thresholds");
        assert_eq!(refused(|config| config.pressure_thresholds = [20.0, 40.0, 30.0]), "pressure_thresholds");
        assert_eq!(refused(|config| config.delta_floors_ms = [5.0, 4.0, 50.0]), "delta_floors_ms");
        assert_eq!(refused(|config| config.drift_thresholds = Some([1.0, 0.3])), "drift_thresholds");
        assert_eq!(refused(|config| config.trend_limit = f64::NAN), "trend_limit");
        assert_eq!(refused(|config| config.silence = Duration::ZERO), "silence");
        assert_eq!(refused(|config| config.delta_thresholds = [0.5; 3]), "none");
    }
}
