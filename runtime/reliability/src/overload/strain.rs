//! How near a node is to where it must refuse requests, as a number that can be aimed at.
//!
//! A state says on which side of a threshold the last second was. Whoever gives out so much that a node is just under
//! the threshold needs to know how far from it the last tenth of a second was.

use super::{CpuRule, HostSignals, HybridOverloadDetector};

/// 1 is where the node becomes stressed. Of several signals the worst.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Strain(f64);

impl Strain {
    /// What no number says more than.
    const MOST: f64 = 1_000.0;

    /// Of a value, and the value at which a node becomes stressed. What is no number says nothing.
    #[must_use]
    pub fn of(value: f64, stressed: f64) -> Self {
        let strain = value / stressed.max(f64::MIN_POSITIVE);
        Self(if strain.is_nan() { 0.0 } else { strain.clamp(0.0, Self::MOST) })
    }

    /// The worse of two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if other > self { other } else { self }
    }

    /// From 0, which is no strain at all.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// In thousandths, as other threads read it.
    #[must_use]
    pub fn permille(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
        let permille = (self.0 * 1_000.0).round() as u32;
        permille
    }

    /// From thousandths.
    #[must_use]
    pub fn from_permille(permille: u32) -> Self {
        Self((f64::from(permille) / 1_000.0).min(Self::MOST))
    }
}

impl HybridOverloadDetector {
    /// The strain of one tick, of which this was the mean latency, if there was one, and these the host's figures.
    #[must_use]
    pub fn strain(&self, latency_ms: Option<f64>, signals: &HostSignals, cpu: CpuRule) -> Strain {
        let config = self.config();
        let mut strain = Strain::default();
        if let Some(latency_ms) = latency_ms {
            // What a person notices is too much already: nobody has to wait so long for what could be refused.
            let [busy, ..] = config.absolute_bounds_ms;
            strain = strain.or(Strain::of(latency_ms, busy));
            let ([_, floor, _], [_, delta, _]) = (config.delta_floors_ms, config.delta_thresholds);
            let usual = self.reading().baseline_ms;
            if usual > 0.0 && latency_ms > floor {
                strain = strain.or(Strain::of((latency_ms - usual) / usual.max(1.0), delta));
            }
        }
        if cpu == CpuRule::Full
            && let Some(percent) = signals.cpu_tick_percent
        {
            strain = strain.or(Strain::of(percent / 100.0, config.cpu_thresholds[1]));
        }
        if !signals.shared {
            let memory = signals.memory.map_or(0.0, |memory| memory.percent());
            let pressure = signals.pressure_percent.unwrap_or(0.0);
            strain = strain.or(Strain::of(memory / 100.0, config.memory_thresholds[1]));
            strain = strain.or(Strain::of(pressure, config.pressure_thresholds[1]));
        }
        strain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryUse, OverloadConfig};
    use hyperscale_core::Instant;

    fn signals(cpu_tick_percent: Option<f64>) -> HostSignals {
        HostSignals { cpu_tick_percent, ..HostSignals::default() }
    }

    fn usual(ms: f64) -> HybridOverloadDetector {
        let mut detector = HybridOverloadDetector::new(OverloadConfig::default()).unwrap();
        for tick in 0..20 {
            detector.record_latency(Instant(tick * 100_000_000), ms);
        }
        detector
    }

    fn close(strain: Strain, to: f64) -> bool {
        (strain.get() - to).abs() < 1e-9
    }

    #[test]
    fn it_is_one_where_the_node_becomes_stressed() {
        let detector = usual(50.0);
        let of = |latency, cpu| detector.strain(latency, &signals(cpu), CpuRule::Full);
        assert!(close(of(None, Some(85.0)), 1.0) && close(of(None, Some(42.5)), 0.5));
        // Half as much again as usual.
        assert!(close(of(Some(75.0), None), 1.0) && close(of(Some(100.0), None), 2.0));
        // Not more than usual, but a quarter of what is too much for anybody.
        assert!(close(of(Some(50.0), None), 0.25));
        assert!(close(of(Some(100.0), Some(85.0)), 2.0), "the worst counts");
        // What is far from the usual and still nothing.
        assert!(close(usual(1.0).strain(Some(19.0), &signals(None), CpuRule::Full), 19.0 / 200.0));
    }

    #[test]
    fn signals_that_do_not_count_do_not_strain() {
        let detector = usual(1.0);
        assert_eq!(detector.strain(None, &signals(Some(100.0)), CpuRule::Off), Strain::default());
        let memory = Some(MemoryUse { used_bytes: 85, total_bytes: 100 });
        let full = HostSignals { memory, pressure_percent: Some(80.0), ..signals(None) };
        assert!(close(detector.strain(None, &full, CpuRule::Full), 2.0));
        let shared = HostSignals { shared: true, ..full };
        assert_eq!(detector.strain(None, &shared, CpuRule::Full), Strain::default());
        assert_eq!(
            detector.strain(Some(f64::NAN), &signals(Some(f64::NAN)), CpuRule::Full),
            Strain::default()
        );
    }

    #[test]
    fn it_travels_in_thousandths_and_is_bounded() {
        assert_eq!(Strain::from_permille(Strain::of(0.8, 1.0).permille()), Strain::of(0.8, 1.0));
        assert_eq!(Strain::of(1.0, 0.0).permille(), 1_000_000);
        assert_eq!(Strain::of(f64::NAN, 1.0).permille(), 0);
        assert_eq!(Strain::from_permille(u32::MAX).permille(), 1_000_000);
        assert_eq!(Strain::of(-1.0, 1.0), Strain::default());
    }
}
