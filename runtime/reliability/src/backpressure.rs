//! How fast a node wants statistics (23): what its receipts tell their senders, and how a sender obeys.
//!
//! [`get_backpressure_level`] is the pure table from fill to level. [`Backpressure`] adds what a node does with it:
//! the floor of its overload state, a rise at once, a fall of one step a second. [`StatsPace`] is the sender's side.
//! Asking for less costs views some resolution and no total a count: what a sender holds back it merges.

mod pace;

pub use pace::{StatsPace, StatsSent, Wanted};

use std::time::Duration;

use hyperscale_core::Instant;

use crate::OverloadState;

/// Fill, in parts per thousand, at which each level begins: of None, Throttle, Batch; Reject begins above the last.
const THROTTLE_FROM: u32 = 700;
const BATCH_FROM: u32 = 850;
const REJECT_ABOVE: u32 = 950;
/// A level is left when the fill is so far under its lower bound.
const HYSTERESIS: u32 = 50;
/// A level falls by one step in this time.
const STEP: Duration = Duration::from_secs(1);

/// What a sender of statistics is asked to do; worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum BackpressureLevel {
    /// A message for each window.
    #[default]
    None = 0,
    /// Two windows in one.
    Throttle = 1,
    /// Five windows in one, all steps and shards together.
    Batch = 2,
    /// No windows, only what there is in all.
    Reject = 3,
}

/// The level of a buffer that is so full, in parts per thousand of its bound. Monotone.
#[must_use]
pub const fn get_backpressure_level(fill_permille: u32) -> BackpressureLevel {
    match fill_permille {
        0..THROTTLE_FROM => BackpressureLevel::None,
        THROTTLE_FROM..BATCH_FROM => BackpressureLevel::Throttle,
        BATCH_FROM..=REJECT_ABOVE => BackpressureLevel::Batch,
        _ => BackpressureLevel::Reject,
    }
}

impl BackpressureLevel {
    /// Every level, from the best.
    pub const ALL: [Self; 4] = [Self::None, Self::Throttle, Self::Batch, Self::Reject];

    /// The least that a node in this state asks for, however empty its buffers are.
    #[must_use]
    pub const fn floor(state: OverloadState) -> Self {
        match state {
            OverloadState::Healthy => Self::None,
            OverloadState::Busy => Self::Throttle,
            OverloadState::Stressed => Self::Batch,
            OverloadState::Overloaded => Self::Reject,
        }
    }

    /// Reads the number that travels; an unknown one is of a newer peer, and read as batch: less, and not nothing.
    #[must_use]
    pub const fn from_wire(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Throttle,
            3 => Self::Reject,
            _ => Self::Batch,
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
            Self::None => "none",
            Self::Throttle => "throttle",
            Self::Batch => "batch",
            Self::Reject => "reject",
        }
    }

    /// What a sender waits beyond its interval.
    #[must_use]
    pub const fn delay_ms(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Throttle => 100,
            Self::Batch => 500,
            Self::Reject => 1_000,
        }
    }

    /// Windows that a sender merges into one message.
    #[must_use]
    pub const fn windows(self) -> u32 {
        match self {
            Self::None => 1,
            Self::Throttle => 2,
            Self::Batch => 5,
            Self::Reject => 10,
        }
    }

    /// One step worse, if there is one.
    #[must_use]
    pub const fn worse(self) -> Self {
        match self {
            Self::None => Self::Throttle,
            Self::Throttle => Self::Batch,
            Self::Batch | Self::Reject => Self::Reject,
        }
    }

    const fn better(self) -> Self {
        match self {
            Self::Reject => Self::Batch,
            Self::Batch => Self::Throttle,
            Self::Throttle | Self::None => Self::None,
        }
    }

    /// The least fill that has this level.
    const fn lower_bound(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Throttle => THROTTLE_FROM,
            Self::Batch => BATCH_FROM,
            Self::Reject => REJECT_ABOVE + 1,
        }
    }
}

/// How full what a node holds of statistics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatsFill {
    /// Windows of the fullest job that wait for a sender, and how many may.
    pub windows: (u32, u32),
    /// Bytes that came in and wait for the shard.
    pub bytes: u64,
}

impl StatsFill {
    /// Bytes that may wait for a shard. A frame is handled where it was read, so there is no queue of them to count.
    pub const BYTES_MAX: u64 = 32 << 20;

    /// Windows of this length that wait for a sender. Those older than a minute have moved on and wait no more.
    #[must_use]
    pub fn of_windows(waiting: u32, window: Duration) -> Self {
        let minute = 60_000_u128.checked_div(window.as_millis()).unwrap_or(u128::MAX);
        let waiting = waiting.min(u32::try_from(minute).unwrap_or(u32::MAX));
        Self { windows: (waiting, Self::windows_max(window)), ..Self::default() }
    }

    /// Of two jobs, the fuller.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let of = |(held, most): (u32, u32)| u64::from(held).saturating_mul(1_000).checked_div(most.into());
        let windows = if of(other.windows) > of(self.windows) { other.windows } else { self.windows };
        Self { windows, bytes: self.bytes.max(other.bytes) }
    }

    /// Windows of a length that may wait: a minute of them and a quarter, 1,000 at most.
    #[must_use]
    pub fn windows_max(window: Duration) -> u32 {
        let most = 75_000_u128.checked_div(window.as_millis()).unwrap_or(u128::MAX);
        u32::try_from(most).unwrap_or(u32::MAX).clamp(1, 1_000)
    }

    /// The fullest part, in parts per thousand of its bound.
    #[must_use]
    pub fn permille(self) -> u32 {
        let of = |held: u64, most: u64| held.saturating_mul(1_000).checked_div(most).unwrap_or(0);
        let fills = [of(self.windows.0.into(), self.windows.1.into()), of(self.bytes, Self::BYTES_MAX)];
        u32::try_from(fills.into_iter().fold(0, u64::max)).unwrap_or(u32::MAX)
    }
}

/// What a node asks for, over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backpressure {
    level: BackpressureLevel,
    floor: BackpressureLevel,
    /// When the level last changed.
    changed: Instant,
}

impl Default for Backpressure {
    fn default() -> Self {
        let none = BackpressureLevel::None;
        Self { level: none, floor: none, changed: Instant::ZERO }
    }
}

impl Backpressure {
    /// The level told to senders: the worse of what the node's buffers and its state ask for.
    #[must_use]
    pub fn level(&self) -> BackpressureLevel {
        self.level.max(self.floor)
    }

    /// This node's state changed.
    pub fn set_state(&mut self, now: Instant, state: OverloadState) {
        let floor = BackpressureLevel::floor(state);
        if floor < self.floor {
            // What the floor held up falls step by step as the rest does.
            (self.level, self.changed) = (self.level.max(self.floor), now);
        }
        self.floor = floor;
    }

    /// Takes a fill in: the level rises at once.
    pub fn rise(&mut self, now: Instant, fill: StatsFill) {
        let asked = get_backpressure_level(fill.permille());
        if asked > self.level {
            (self.level, self.changed) = (asked, now);
        }
    }

    /// Takes the worst fill of the last while in, about once a second: the level rises at once, and falls one step a
    /// second where the fill is well under its lower bound.
    pub fn tick(&mut self, now: Instant, fill: StatsFill) {
        self.rise(now, fill);
        let well_under = fill.permille().saturating_add(HYSTERESIS) <= self.level.lower_bound();
        if self.level > BackpressureLevel::None && well_under && now.since(self.changed) >= STEP {
            (self.level, self.changed) = (self.level.better(), now);
        }
    }
}

#[cfg(test)]
mod tests;
