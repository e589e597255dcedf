//! Extensions (26-1): a live but slow worker may ask its manager for more time.
//!
//! Grants halve, so five of them hide a stuck worker for 58.125 s at most.

use std::time::Duration;

/// How much time there is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionConfig {
    /// A worker with work must complete a unit of progress in this; also the first grant.
    pub base_deadline: Duration,
    /// No grant is shorter.
    pub min_grant: Duration,
    pub max_extensions: u32,
}

impl Default for ExtensionConfig {
    fn default() -> Self {
        Self { base_deadline: Duration::from_secs(30), min_grant: Duration::from_secs(1), max_extensions: 5 }
    }
}

/// Why a worker asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExtensionReason {
    LongStep = 1,
    Pause = 2,
    Resource = 3,
}

/// How far a worker is, as it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReportedProgress {
    /// 0 to 1: of what it waits for.
    pub fraction: f32,
    /// Things done so far, by workers that count within a step. Replaces the fraction where both reports have it.
    pub completed_items: Option<u64>,
}

impl ReportedProgress {
    /// Whether it is a progress at all.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (0.0..=1.0).contains(&self.fraction)
    }

    fn is_past(&self, last: &Self) -> bool {
        match (self.completed_items, last.completed_items) {
            (Some(now), Some(before)) => now > before,
            (Some(_), None) | (None, Some(_) | None) => self.fraction > last.fraction,
        }
    }
}

/// Why no time was granted. The present deadline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("unknown: this worker is not registered here, or has no work")]
    Unknown,
    #[error("invalid: progress must be a number from 0 to 1")]
    Invalid,
    #[error("suspect: the worker is taken for lost")]
    Suspect,
    #[error("too_early: ask when half of the time has passed")]
    TooEarly,
    #[error("max_extensions: all extensions are used; a completed unit of progress gives them back")]
    MaxExtensions,
    #[error("no_progress: no more than at the last grant")]
    NoProgress,
}

/// What one worker was granted since its last completed unit of progress.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ExtensionTracker {
    pub extension_count: u32,
    pub last_progress: Option<ReportedProgress>,
    pub total_extended: Duration,
}

impl ExtensionTracker {
    /// Grants `max(min_grant, base / 2^count)`: 30, 15, 7.5, 3.75, 1.875 s by default.
    ///
    /// # Errors
    /// [`Denial::MaxExtensions`], [`Denial::NoProgress`]; nothing has changed then.
    pub fn request_extension(
        &mut self,
        config: &ExtensionConfig,
        progress: ReportedProgress,
    ) -> Result<Duration, Denial> {
        if self.extension_count >= config.max_extensions {
            return Err(Denial::MaxExtensions);
        }
        if self.extension_count > 0 && self.last_progress.is_some_and(|last| !progress.is_past(&last)) {
            return Err(Denial::NoProgress);
        }
        let halves = 2_u32.saturating_pow(self.extension_count);
        let grant = config.base_deadline.checked_div(halves).unwrap_or_default().max(config.min_grant);
        self.extension_count = self.extension_count.saturating_add(1);
        self.last_progress = Some(progress);
        self.total_extended = self.total_extended.saturating_add(grant);
        debug_assert!(self.extension_count <= config.max_extensions, "granted past the maximum");
        Ok(grant)
    }

    /// How many more there may be.
    #[must_use]
    pub const fn remaining(&self, config: &ExtensionConfig) -> u32 {
        config.max_extensions.saturating_sub(self.extension_count)
    }

    /// A unit of progress was completed: all is given back.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(fraction: f32) -> ReportedProgress {
        ReportedProgress { fraction, completed_items: None }
    }

    #[test]
    fn grants_halve_and_end() {
        let config = ExtensionConfig::default();
        let mut tracker = ExtensionTracker::default();
        let table = [(30_000, 30_000), (15_000, 45_000), (7_500, 52_500), (3_750, 56_250), (1_875, 58_125)];
        for ((grant, total), step) in table.into_iter().zip(1_u8..) {
            let got = tracker.request_extension(&config, at(f32::from(step) / 10.0));
            assert_eq!(got, Ok(Duration::from_millis(grant)));
            assert_eq!(tracker.total_extended, Duration::from_millis(total));
        }
        assert_eq!(tracker.request_extension(&config, at(0.9)), Err(Denial::MaxExtensions));
        tracker.reset();
        assert_eq!(tracker.request_extension(&config, at(0.1)), Ok(Duration::from_secs(30)));
    }

    #[test]
    fn the_same_progress_is_no_progress() {
        let config = ExtensionConfig::default();
        let mut tracker = ExtensionTracker::default();
        assert!(tracker.request_extension(&config, at(0.5)).is_ok());
        assert_eq!(tracker.request_extension(&config, at(0.5)), Err(Denial::NoProgress));
        assert_eq!(tracker.extension_count, 1);
    }

    #[test]
    fn counted_items_replace_the_fraction_where_both_have_them() {
        let config = ExtensionConfig::default();
        let mut tracker = ExtensionTracker::default();
        let items = |fraction, items| ReportedProgress { fraction, completed_items: Some(items) };
        assert!(tracker.request_extension(&config, items(0.5, 10)).is_ok());
        assert_eq!(tracker.request_extension(&config, items(0.9, 10)), Err(Denial::NoProgress));
        assert!(tracker.request_extension(&config, items(0.1, 11)).is_ok());
        assert!(tracker.request_extension(&config, at(0.2)).is_ok());
    }

    proptest! {
        #[test]
        fn no_sequence_of_requests_wins_more_than_five_grants(told in vec(0.0_f32..=1.0, 0..64)) {
            let mut tracker = ExtensionTracker::default();
            let config = ExtensionConfig::default();
            let won: Duration =
                told.iter().filter_map(|&f| tracker.request_extension(&config, at(f)).ok()).sum();
            prop_assert!(won <= Duration::from_millis(58_125));
        }
    }
}
