//! How fast a node wants statistics (23): what its receipts tell their senders.

use crate::OverloadState;

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

impl BackpressureLevel {
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

    /// The number that travels.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        self as u8
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_node_asks_for_less_and_later() {
        let asked = OverloadState::ALL.map(BackpressureLevel::floor);
        assert_eq!(asked.map(BackpressureLevel::to_wire), [0, 1, 2, 3]);
        assert_eq!(asked.map(BackpressureLevel::delay_ms), [0, 100, 500, 1_000]);
    }
}
