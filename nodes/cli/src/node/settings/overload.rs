//! The table `[overload]` of a node file.

use hyperscale_reliability::OverloadConfig;
use serde::Deserialize;

/// What of the detector a node file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverloadTable {
    enabled: Option<bool>,
    delta_thresholds: Option<[f64; 3]>,
    absolute_bounds_ms: Option<[f64; 3]>,
    cpu_thresholds: Option<[f64; 3]>,
    memory_thresholds: Option<[f64; 3]>,
    pressure_thresholds: Option<[f64; 3]>,
    delta_floors_ms: Option<[f64; 3]>,
    hold_ticks: Option<u32>,
}

impl OverloadTable {
    /// The detector's configuration, checked; none if it is off. Else the key that is wrong, and why.
    pub(super) fn config(self) -> Result<Option<OverloadConfig>, (String, &'static str)> {
        let usual = OverloadConfig::default();
        let config = OverloadConfig {
            delta_thresholds: self.delta_thresholds.unwrap_or(usual.delta_thresholds),
            absolute_bounds_ms: self.absolute_bounds_ms.unwrap_or(usual.absolute_bounds_ms),
            cpu_thresholds: self.cpu_thresholds.unwrap_or(usual.cpu_thresholds),
            memory_thresholds: self.memory_thresholds.unwrap_or(usual.memory_thresholds),
            pressure_thresholds: self.pressure_thresholds.unwrap_or(usual.pressure_thresholds),
            delta_floors_ms: self.delta_floors_ms.unwrap_or(usual.delta_floors_ms),
            hold_ticks: self.hold_ticks.unwrap_or(usual.hold_ticks),
            ..usual
        };
        config.check().map_err(|wrong| (format!("overload.{}", wrong.field), wrong.rule))?;
        Ok(self.enabled.unwrap_or(true).then_some(config))
    }
}
