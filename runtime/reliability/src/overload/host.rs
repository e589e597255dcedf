//! What the host's figures say about a node's load (18-3): which of them count, and how far.
//!
//! Reading them is somebody else's; this decides. Pure.

use super::config::{over, over_percent};
use super::{OverloadConfig, OverloadState};

/// How far a node's own use of its CPUs says that it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CpuRule {
    /// As any other signal: gates and managers.
    #[default]
    Full,
    /// Only at its worst. Driving load is a worker's work, so that busy CPUs are no reason to do less; full ones are: it
    /// takes no more work and says that its generator is saturated.
    WorstOnly,
    /// Not at all: who shares a process, and so its CPUs, with a worker.
    Off,
}

/// A signal of the host, to say which is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostSignal {
    /// Time of the node's shards, and time that its control group was held back.
    Cpu,
    /// Memory of the control group or the host.
    Memory,
    /// Time in which tasks waited for CPU, memory or disk.
    Pressure,
}

impl HostSignal {
    /// Every signal.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Pressure];

    /// The word metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pressure => "pressure",
        }
    }
}

/// Memory in use, and how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// What cannot be had back by dropping caches.
    pub used_bytes: u64,
    /// The least of the control group's limit and the host's total.
    pub total_bytes: u64,
}

impl MemoryUse {
    /// In percent of what there is; 0 of nothing.
    #[must_use]
    pub fn percent(self) -> f64 {
        if self.total_bytes == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a percentage of bytes needs no last digits")]
        let part = self.used_bytes as f64 / self.total_bytes as f64;
        (part * 100.0).min(100.0)
    }
}

/// The host's figures at one tick. `None`: could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostSignals {
    /// Part of the node's CPUs that its shards worked, or were held back by their control group's quota, in percent.
    pub cpu_percent: Option<f64>,
    /// The same of this tick alone; `cpu_percent` is a mean.
    pub cpu_tick_percent: Option<f64>,
    /// Of the control group, or of the host.
    pub memory: Option<MemoryUse>,
    /// The worst `some avg10` of CPU, memory and disk, in percent.
    pub pressure_percent: Option<f64>,
    /// Others use that control group too, or there is none but the host's: what it has too little of may not be this
    /// node's fault, and shedding may not help.
    pub shared: bool,
}

/// What each signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostStates {
    /// By CPU.
    pub cpu: OverloadState,
    /// By memory.
    pub memory: OverloadState,
    /// By tasks that wait.
    pub pressure: OverloadState,
}

impl HostStates {
    /// The worst of them.
    #[must_use]
    pub fn worst(self) -> OverloadState {
        self.cpu.max(self.memory).max(self.pressure)
    }
}

impl HostSignals {
    /// What they say; a signal that is missing says healthy.
    #[must_use]
    pub fn states(&self, config: &OverloadConfig, cpu: CpuRule) -> HostStates {
        let cpu_state = over_percent(self.cpu_percent.unwrap_or(0.0), config.cpu_thresholds);
        let memory = over_percent(self.memory.map_or(0.0, MemoryUse::percent), config.memory_thresholds);
        let pressure = at_least(self.pressure_percent.unwrap_or(0.0), config.pressure_thresholds);
        HostStates {
            cpu: match (cpu, cpu_state) {
                (CpuRule::Full, state) => state,
                (CpuRule::WorstOnly, OverloadState::Overloaded) => OverloadState::Overloaded,
                (CpuRule::WorstOnly | CpuRule::Off, _) => OverloadState::Healthy,
            },
            memory: match memory {
                // Whoever used it, the next to be killed may be this process.
                OverloadState::Overloaded => OverloadState::Overloaded,
                state @ (OverloadState::Healthy | OverloadState::Busy | OverloadState::Stressed) => {
                    self.of_shared(state)
                }
            },
            pressure: self.of_shared(pressure),
        }
    }

    /// The signals that could not be read.
    pub fn missing(&self) -> impl Iterator<Item = HostSignal> {
        let read = [self.cpu_percent.is_some(), self.memory.is_some(), self.pressure_percent.is_some()];
        HostSignal::ALL.into_iter().zip(read).filter(|(_, read)| !read).map(|(signal, _)| signal)
    }

    fn of_shared(&self, state: OverloadState) -> OverloadState {
        if self.shared { state.min(OverloadState::Busy) } else { state }
    }
}

/// Unlike the other thresholds, those of pressure count from their own value on.
fn at_least(value: f64, [busy, stressed, overloaded]: [f64; 3]) -> OverloadState {
    // The next number below.
    over(value, [busy.next_down(), stressed.next_down(), overloaded.next_down()])
}

#[cfg(test)]
mod tests {
    use OverloadState::{Busy, Healthy, Overloaded, Stressed};

    use super::*;

    const NONE: HostSignals = HostSignals {
        cpu_percent: None,
        cpu_tick_percent: None,
        memory: None,
        pressure_percent: None,
        shared: false,
    };

    fn states(signals: HostSignals, rule: CpuRule) -> HostStates {
        signals.states(&OverloadConfig::default(), rule)
    }

    fn cpu(percent: f64, rule: CpuRule) -> OverloadState {
        states(HostSignals { cpu_percent: Some(percent), ..NONE }, rule).worst()
    }

    fn memory(percent: u64, shared: bool) -> OverloadState {
        let memory = Some(MemoryUse { used_bytes: percent << 30, total_bytes: 100 << 30 });
        states(HostSignals { memory, shared, ..NONE }, CpuRule::Full).worst()
    }

    fn pressure(percent: f64, shared: bool) -> OverloadState {
        states(HostSignals { pressure_percent: Some(percent), shared, ..NONE }, CpuRule::Full).worst()
    }

    #[test]
    fn the_cpus_of_a_node_say_as_much_as_its_role_lets_them() {
        for (percent, full, worst) in [
            (70.0, Healthy, Healthy),
            (70.1, Busy, Healthy),
            (85.1, Stressed, Healthy),
            (95.0, Stressed, Healthy),
            (95.1, Overloaded, Overloaded),
            (f64::NAN, Healthy, Healthy),
            (-5.0, Healthy, Healthy),
            (f64::INFINITY, Overloaded, Overloaded),
        ] {
            assert_eq!(cpu(percent, CpuRule::Full), full, "{percent}");
            assert_eq!(cpu(percent, CpuRule::WorstOnly), worst, "{percent}");
            assert_eq!(cpu(percent, CpuRule::Off), Healthy, "{percent}");
        }
    }

    #[test]
    fn memory_that_others_use_too_is_busy_at_most_until_it_is_full() {
        assert_eq!([70, 71, 86, 96].map(|part| memory(part, false)), [Healthy, Busy, Stressed, Overloaded]);
        assert_eq!([70, 94, 96].map(|part| memory(part, true)), [Healthy, Busy, Overloaded]);
        assert_eq!(MemoryUse::default().percent(), 0.0);
        assert_eq!(MemoryUse { used_bytes: u64::MAX, total_bytes: 1 }.percent(), 100.0);
    }

    #[test]
    fn pressure_counts_from_its_threshold_on() {
        let own = [19.99, 20.0, 40.0, 60.0].map(|percent| pressure(percent, false));
        assert_eq!(own, [Healthy, Busy, Stressed, Overloaded]);
        assert_eq!([19.99, 20.0, 99.0].map(|percent| pressure(percent, true)), [Healthy, Busy, Busy]);
        assert_eq!(pressure(f64::NAN, false), Healthy);
    }

    #[test]
    fn what_cannot_be_read_is_healthy_and_said() {
        assert_eq!(states(NONE, CpuRule::Full), HostStates::default());
        assert_eq!(NONE.missing().collect::<Vec<_>>(), HostSignal::ALL);
        let read = HostSignals { memory: Some(MemoryUse::default()), ..NONE };
        assert_eq!(read.missing().collect::<Vec<_>>(), [HostSignal::Cpu, HostSignal::Pressure]);
    }
}
