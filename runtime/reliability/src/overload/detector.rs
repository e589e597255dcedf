//! The detector: from the latency of requests and the state of the host to one word (18-2).
//!
//! In: one latency a tick (the mean of what the tick's requests took), and once a tick the host's state. Out: the
//! state. Bounded: two fixed windows. No allocation, no clock: a tick is a call of [`HybridOverloadDetector::tick`] or
//! [`HybridOverloadDetector::get_state`], and time is the caller's.

use hyperscale_core::Instant;

use super::config::{over, over_percent};
use super::window::Window;
use super::{InvalidOverloadConfig, OverloadConfig, OverloadState};

/// A latency is taken for an hour at most.
const LATENCY_MS_MAX: f64 = 3_600_000.0;

/// Ticks for which a refusal counts.
const REFUSING_TICKS: u32 = 10;

/// Judges one node's load by the worst of three signals: how far latency is from what is usual (delta), how high it is
/// (absolute), and how full the host is (resource). Worse at once, better after a hold.
#[derive(Debug, Clone)]
pub struct HybridOverloadDetector {
    config: OverloadConfig,
    /// The last inputs.
    recent: Window,
    /// The last deltas.
    history: Window,
    usual: Option<Usual>,
    /// Inputs so far, up to where the warm-up ends.
    inputs: usize,
    delta: OverloadState,
    absolute: OverloadState,
    resource: OverloadState,
    /// What was refused lately.
    refusing: Hold,
    hold: Hold,
    clock: Option<Instant>,
    silence_ns: u64,
    /// Time since the last input.
    silent_ns: u64,
    dropped: u64,
}

/// What latency is compared with.
#[derive(Debug, Clone, Copy)]
struct Usual {
    baseline: f64,
    /// Learns far slower: a slow ramp carries the baseline with it, and shows as a drift from here.
    reference: f64,
}

/// What a detector says of itself, for metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OverloadReading {
    /// By the distance from the baseline, as it is now, without the hold.
    pub delta: OverloadState,
    /// By the height of the latency.
    pub absolute: OverloadState,
    /// By the host.
    pub resource: OverloadState,
    /// Mean of the last inputs; 0 without any.
    pub mean_ms: f64,
    /// 0 until there is one.
    pub baseline_ms: f64,
    /// Inputs that were no numbers.
    pub dropped: u64,
}

/// The worst state of the last ticks: for each level, the ticks for which it still counts.
#[derive(Debug, Clone, Copy, Default)]
struct Hold {
    left: [u32; 3],
    reported: OverloadState,
}

impl Hold {
    fn tick(&mut self, raw: OverloadState, ticks: u32) {
        self.reported = OverloadState::Healthy;
        let levels = [OverloadState::Busy, OverloadState::Stressed, OverloadState::Overloaded];
        for (left, level) in self.left.iter_mut().zip(levels) {
            if raw >= level {
                *left = ticks.max(1);
            }
            if *left > 0 {
                self.reported = level;
                *left = left.saturating_sub(1);
            }
        }
    }
}

impl HybridOverloadDetector {
    /// A detector that has seen nothing yet, and says healthy.
    ///
    /// # Errors
    /// [`InvalidOverloadConfig`] names the field that is not right.
    pub fn new(config: OverloadConfig) -> Result<Self, InvalidOverloadConfig> {
        config.check()?;
        Ok(Self {
            recent: Window::new(config.current_window),
            history: Window::new(config.trend_window),
            silence_ns: u64::try_from(config.silence.as_nanos()).unwrap_or(u64::MAX),
            config,
            usual: None,
            inputs: 0,
            delta: OverloadState::Healthy,
            absolute: OverloadState::Healthy,
            resource: OverloadState::Healthy,
            refusing: Hold::default(),
            hold: Hold::default(),
            clock: None,
            silent_ns: 0,
            dropped: 0,
        })
    }

    /// Takes the latency of one tick in: the mean over its requests, in ms. Negative is 0, over an hour an hour; what
    /// is no number is dropped and counted. A tick without requests has none.
    pub fn record_latency(&mut self, now: Instant, latency_ms: f64) {
        self.pass(now);
        if !latency_ms.is_finite() {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.silent_ns = 0;
        let latency_ms = latency_ms.clamp(0.0, LATENCY_MS_MAX);
        self.inputs = self.inputs.saturating_add(1).min(self.config.warmup);
        let left = self.recent.push(latency_ms);
        let mean = self.recent.mean();
        self.learn(latency_ms, left, mean);
        self.absolute = over(mean, self.config.absolute_bounds_ms);
        self.delta = match self.usual {
            Some(usual) => self.judge(usual, mean),
            None => OverloadState::Healthy,
        };
    }

    /// Ends a tick: the node's state, with so much of its CPUs and memory in use, 0 to 100.
    pub fn get_state(&mut self, now: Instant, cpu_percent: f64, memory_percent: f64) -> OverloadState {
        let cpu = over_percent(cpu_percent, self.config.cpu_thresholds);
        let memory = over_percent(memory_percent, self.config.memory_thresholds);
        self.tick(now, cpu.max(memory))
    }

    /// As [`Self::get_state`], where the host's state is known already.
    pub fn tick(&mut self, now: Instant, resource: OverloadState) -> OverloadState {
        self.tick_refusing(now, resource, OverloadState::Healthy)
    }

    /// As [`Self::tick`]; `refused` is the state that refuses what was refused since the last tick. A node that refuses
    /// is well because it does: it does not get better than that state before it has refused nothing for a second.
    pub fn tick_refusing(
        &mut self,
        now: Instant,
        resource: OverloadState,
        refused: OverloadState,
    ) -> OverloadState {
        self.pass(now);
        self.resource = resource;
        self.refusing.tick(refused, REFUSING_TICKS);
        self.hold.tick(self.pressing().max(self.refusing.reported), self.config.hold_ticks);
        self.hold.reported
    }

    /// The worst that a signal says, as it is now, without the hold.
    #[must_use]
    pub fn pressing(&self) -> OverloadState {
        self.delta.max(self.absolute).max(self.resource)
    }

    /// The state as the last tick left it.
    #[must_use]
    pub const fn state(&self) -> OverloadState {
        self.hold.reported
    }

    /// What it goes by.
    #[must_use]
    pub const fn config(&self) -> &OverloadConfig {
        &self.config
    }

    /// What the state was found from.
    #[must_use]
    pub fn reading(&self) -> OverloadReading {
        OverloadReading {
            delta: self.delta,
            absolute: self.absolute,
            resource: self.resource,
            mean_ms: self.recent.mean(),
            baseline_ms: self.usual.map_or(0.0, |usual| usual.baseline),
            dropped: self.dropped,
        }
    }

    /// Lets time pass. A clock that went back stood still; without a sample for long, the last ones say nothing about
    /// now. What is usual stays known.
    fn pass(&mut self, now: Instant) {
        let passed_ns = self.clock.map_or(0, |before| now.nanos_since(before));
        self.clock = Some(now);
        self.silent_ns = self.silent_ns.saturating_add(passed_ns);
        if self.silent_ns >= self.silence_ns {
            self.recent.clear();
            self.history.clear();
            (self.delta, self.absolute) = (OverloadState::Healthy, OverloadState::Healthy);
        }
    }

    /// Has the baseline and the reference follow the inputs. `left` is the input that left the window for this one.
    fn learn(&mut self, input: f64, left: Option<f64>, mean: f64) {
        let config = &self.config;
        let first = |value| Some(Usual { baseline: value, reference: value });
        let Some(usual) = &mut self.usual else {
            // The plain formula knows what is usual from its first input on.
            self.usual = if !config.lagged_baseline {
                first(input)
            } else if self.recent.is_full() {
                first(mean)
            } else {
                None
            };
            return;
        };
        let (enters, alpha) = match (config.lagged_baseline, left) {
            // It learns at one speed: slow learning belongs to the lagged baseline, or the plain vectors do not come out.
            (false, _) => (input, config.ema_alpha),
            // By the state that was reported, so also while it is held and when the host is what is full: with the raw
            // state the vectors "150 x 600" and "+1 %" do not come out.
            (true, Some(left)) if self.hold.reported >= OverloadState::Stressed => (left, config.alpha_hot),
            (true, Some(left)) => (left, config.ema_alpha),
            // After a silence the window fills again.
            (true, None) => return,
        };
        usual.baseline = alpha * enters + (1.0 - alpha) * usual.baseline;
        usual.reference = config.reference_alpha * enters + (1.0 - config.reference_alpha) * usual.reference;
    }

    /// The state by the distance of `mean` from what is usual.
    fn judge(&mut self, usual: Usual, mean: f64) -> OverloadState {
        let config = &self.config;
        let delta = (mean - usual.baseline) / usual.baseline.max(1.0);
        let _oldest = self.history.push(delta);
        if self.inputs < config.warmup {
            return OverloadState::Healthy;
        }
        let mut state = over(delta, config.delta_thresholds);
        // Looked at only where it can change something.
        let rises = matches!(state, OverloadState::Busy | OverloadState::Stressed)
            && self.history.len() >= config.warmup
            && self.history.slope() > config.trend_limit;
        if rises {
            state = match state {
                OverloadState::Busy => OverloadState::Stressed,
                OverloadState::Stressed => OverloadState::Overloaded,
                same @ (OverloadState::Healthy | OverloadState::Overloaded) => same,
            };
        }
        if let Some([busy, stressed]) = config.drift_thresholds
            && mean > usual.reference
        {
            let drift = (usual.baseline - usual.reference) / usual.reference.max(1.0);
            state = state.max(if drift > stressed {
                OverloadState::Stressed
            } else if drift > busy {
                OverloadState::Busy
            } else {
                OverloadState::Healthy
            });
        }
        let [busy, stressed, overloaded] = config.delta_floors_ms;
        if state == OverloadState::Overloaded && mean < overloaded {
            state = OverloadState::Stressed;
        }
        if state == OverloadState::Stressed && mean < stressed {
            state = OverloadState::Busy;
        }
        if state == OverloadState::Busy && mean < busy {
            state = OverloadState::Healthy;
        }
        state
    }
}

#[cfg(test)]
mod tests;
