//! What a node's monitor found, for whoever shows it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use hyperscale_reliability::{HostSignal, HostStates, OverloadReading, OverloadState};

/// Written by the monitor at each tick, read by anybody. Two figures of one look may be of two ticks.
#[derive(Debug, Default)]
pub struct LoadBoard {
    state: AtomicU8,
    signals: [AtomicU8; 5],
    mean_ms: AtomicU64,
    baseline_ms: AtomicU64,
    changes: AtomicU64,
    samples: AtomicU64,
    skipped: AtomicU64,
    missing: AtomicU8,
}

/// What a signal is called, and what it said last.
pub type SignalState = (&'static str, OverloadState);

const SIGNALS: [&str; 5] = ["delta", "absolute", "cpu", "memory", "pressure"];

impl LoadBoard {
    pub(super) fn show(
        &self,
        state: OverloadState,
        reading: &OverloadReading,
        host: HostStates,
        missing: u8,
    ) {
        self.state.store(state.to_wire(), Ordering::Relaxed);
        let states = [reading.delta, reading.absolute, host.cpu, host.memory, host.pressure];
        for (place, state) in self.signals.iter().zip(states) {
            place.store(state.to_wire(), Ordering::Relaxed);
        }
        self.mean_ms.store(reading.mean_ms.to_bits(), Ordering::Relaxed);
        self.baseline_ms.store(reading.baseline_ms.to_bits(), Ordering::Relaxed);
        self.missing.store(missing, Ordering::Relaxed);
    }

    pub(super) fn add(&self, samples: u64, skipped: u64) {
        self.samples.fetch_add(samples, Ordering::Relaxed);
        self.skipped.fetch_add(skipped, Ordering::Relaxed);
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The node's state.
    #[must_use]
    pub fn state(&self) -> OverloadState {
        OverloadState::from_wire(self.state.load(Ordering::Relaxed))
    }

    /// What each signal says by itself, without the hold.
    pub fn signals(&self) -> impl Iterator<Item = SignalState> + '_ {
        let states = self.signals.iter().map(|state| OverloadState::from_wire(state.load(Ordering::Relaxed)));
        SIGNALS.into_iter().zip(states)
    }

    /// Mean of what requests took in the last ticks.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        f64::from_bits(self.mean_ms.load(Ordering::Relaxed))
    }

    /// What is usual; 0 until it is known.
    #[must_use]
    pub fn baseline_ms(&self) -> f64 {
        f64::from_bits(self.baseline_ms.load(Ordering::Relaxed))
    }

    /// How often the state changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Samples of requests that were read.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Samples that were written over before they were read.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Each signal of the host, and whether it cannot be read here.
    pub fn missing(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let missing = self.missing.load(Ordering::Relaxed);
        HostSignal::ALL.into_iter().map(move |signal| (signal.as_str(), missing & bit(signal) != 0))
    }
}

/// A signal's place in the set of those that are missing.
pub(super) const fn bit(signal: HostSignal) -> u8 {
    match signal {
        HostSignal::Cpu => 1,
        HostSignal::Memory => 2,
        HostSignal::Pressure => 4,
    }
}
