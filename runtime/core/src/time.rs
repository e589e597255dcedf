//! Time as cores see it: given, never read.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the node's monotonic clock (`CLOCK_BOOTTIME`, so that a suspended host has not kept a lease), in
/// nanoseconds. Means nothing on another host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Instant(pub u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than every other instant.
    pub const MAX: Self = Self(u64::MAX);

    /// Time since `earlier`; zero if that is in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds since `earlier`; zero if that is in the future.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Saturates: five hundred years after boot time stands still.
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The wall clock at one instant, to show and log times; it orders nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WallClock {
    /// Milliseconds since 1970 at `at`, exactly: `at` lies where a millisecond begins.
    pub unix_ms: u64,
    pub at: Instant,
}

impl WallClock {
    /// What the wall clock shows at `now`.
    #[must_use]
    pub fn unix_ms(self, now: Instant) -> u64 {
        let forward = now.since(self.at).as_millis();
        let back = self.at.since(now).as_millis();
        let forward = u64::try_from(forward).unwrap_or(u64::MAX);
        let back = u64::try_from(back).unwrap_or(u64::MAX);
        self.unix_ms.saturating_add(forward).saturating_sub(back)
    }

    /// What the wall clock shows at `now`, in ns since 1970.
    #[must_use]
    pub const fn unix_ns(self, now: Instant) -> u64 {
        let forward = now.0.saturating_sub(self.at.0);
        let back = self.at.0.saturating_sub(now.0);
        self.unix_ms.saturating_mul(1_000_000).saturating_add(forward).saturating_sub(back)
    }
}
