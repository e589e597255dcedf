//! How loaded a node is: one word, shared by all that follows from it (18-1, 18-2).
//!
//! [`HybridOverloadDetector`] finds it, from how long requests take and from what the host tells ([`HostSignals`]).
//! Whoever feeds it writes the node's [`LoadGauge`].

mod config;
mod cpu_meter;
mod detector;
mod host;
mod strain;
mod window;

pub use config::{InvalidOverloadConfig, OverloadConfig, WINDOW_MAX};
pub use cpu_meter::{CpuMeter, CpuRoom, CpuUse};
pub use detector::{HybridOverloadDetector, OverloadReading};
pub use host::{CpuRule, HostSignal, HostSignals, HostStates, MemoryUse};
pub use strain::Strain;

use hyperscale_codec::Priority;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// How loaded a node is; worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum OverloadState {
    /// All is taken.
    #[default]
    Healthy = 0,
    /// What can wait longest is refused.
    Busy = 1,
    /// Nothing but orders, and what must never be refused, is taken.
    Stressed = 2,
    /// Only what must never be refused is taken.
    Overloaded = 3,
}

impl OverloadState {
    /// Every state, from the best.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Busy, Self::Stressed, Self::Overloaded];

    /// Reads the number that travels; an unknown one is read as stressed, the careful value.
    #[must_use]
    pub const fn from_wire(number: u8) -> Self {
        match number {
            0 => Self::Healthy,
            1 => Self::Busy,
            3 => Self::Overloaded,
            _ => Self::Stressed,
        }
    }

    /// The number that travels.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        self as u8
    }

    /// The word people and metrics read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Busy => "busy",
            Self::Stressed => "stressed",
            Self::Overloaded => "overloaded",
        }
    }
}

/// A node's state, written by its detector and read on each of its shards. Cloned, it is the same one.
#[derive(Debug, Clone, Default)]
pub struct LoadGauge(Arc<Gauge>);

#[derive(Debug, Default)]
struct Gauge {
    state: AtomicU8,
    /// In thousandths.
    strain: AtomicU32,
    /// A bit for each class that was refused since the detector looked.
    refused: AtomicU8,
}

impl LoadGauge {
    /// The state now.
    #[must_use]
    pub fn state(&self) -> OverloadState {
        OverloadState::from_wire(self.0.state.load(Ordering::Relaxed))
    }

    /// How near the last tick was to where the node becomes stressed.
    #[must_use]
    pub fn strain(&self) -> Strain {
        Strain::from_permille(self.0.strain.load(Ordering::Relaxed))
    }

    /// From now on it is this.
    pub fn set(&self, state: OverloadState) {
        self.0.state.store(state.to_wire(), Ordering::Relaxed);
    }

    /// What the last tick showed.
    pub fn set_strain(&self, strain: Strain) {
        self.0.strain.store(strain.permille(), Ordering::Relaxed);
    }

    /// A frame of this class was refused because of the state.
    pub(crate) fn refused(&self, class: Priority) {
        let bit = 1 << class as u8;
        // Mostly it is set already; then no other shard's cache has to give the line away.
        if self.0.refused.load(Ordering::Relaxed) & bit == 0 {
            self.0.refused.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// The state that refuses the most important class that was refused since the last call.
    pub fn take_refused(&self) -> OverloadState {
        let refused = self.0.refused.swap(0, Ordering::Relaxed);
        let was = |class: Priority| refused & (1 << class as u8) != 0;
        match () {
            () if was(Priority::High) => OverloadState::Overloaded,
            () if was(Priority::Normal) => OverloadState::Stressed,
            () if was(Priority::Low) => OverloadState::Busy,
            () => OverloadState::Healthy,
        }
    }
}
