//! Stands in for the production detector: its absolute bounds, its CPU thresholds, its hold.

use std::collections::VecDeque;

use hyperscale_core::Instant;
use hyperscale_reliability::OverloadState;

#[derive(Debug, Default)]
pub(super) struct HybridOverloadDetector {
    recent: VecDeque<f64>,
    raw: VecDeque<OverloadState>,
    heard: Instant,
    cpus: VecDeque<f64>,
}

fn over(value: f64, bounds: [f64; 3]) -> OverloadState {
    OverloadState::ALL[bounds.iter().filter(|bound| value > **bound).count()]
}

impl HybridOverloadDetector {
    pub(super) fn record_latency(&mut self, now: Instant, ms: f64) {
        self.heard = now;
        self.recent.push_back(ms);
        if self.recent.len() > 10 {
            self.recent.pop_front();
        }
    }

    pub(super) fn by_latency(&self) -> OverloadState {
        let mean = self.recent.iter().sum::<f64>() / self.recent.len().max(1) as f64;
        over(mean, [200.0, 500.0, 2_000.0])
    }

    pub(super) fn get_state(&mut self, now: Instant, cpu: f64, memory: f64) -> OverloadState {
        if now.since(self.heard).as_secs() >= 5 {
            self.recent.clear();
        }
        self.cpus.push_back(cpu);
        if self.cpus.len() > 10 {
            self.cpus.pop_front();
        }
        let cpu = self.cpus.iter().sum::<f64>() / self.cpus.len() as f64;
        let resource = over(cpu.max(memory) / 100.0, [0.70, 0.85, 0.95]);
        self.raw.push_back(self.by_latency().max(resource));
        if self.raw.len() > 20 {
            self.raw.pop_front();
        }
        self.raw.iter().copied().max().unwrap_or_default()
    }
}
