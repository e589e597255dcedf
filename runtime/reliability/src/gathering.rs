//! For how long what comes on a link may gather before it is read, on a node that has much to do.
//!
//! A frame that comes alone costs a wake-up, a read and a write, several times what it costs to be handled or refused;
//! of frames that are read together each costs a part of that. So a node near its limits reads a link less often, and
//! then all its links at once. What is critical waits no longer than [`MOST`] for it.

use std::time::Duration;

use hyperscale_core::Instant;

use crate::Strain;

/// Between two looks at the strain, which is measured as often.
const PERIOD: Duration = Duration::from_millis(100);
/// The shortest pause that is worth its timer, and the longest.
const LEAST: Duration = Duration::from_micros(250);
const MOST: Duration = Duration::from_millis(1);
/// Above the one strain pauses grow, below the other they shrink; it is steady between, which is wider than what one step
/// changes.
const TIGHT: f64 = 0.8;
const EASY: f64 = 0.4;

/// The pause of one shard's links.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gathering {
    pause: Duration,
    next_look: Instant,
}

impl Gathering {
    /// The pause now; none of a node at ease.
    pub(crate) fn pause(&mut self, now: Instant, strain: Strain) -> Duration {
        if now >= self.next_look {
            self.next_look = now + PERIOD;
            let strain = strain.get();
            if strain > TIGHT {
                self.pause = self.pause.saturating_mul(2).clamp(LEAST, MOST);
            } else if strain < EASY {
                let half = self.pause.checked_div(2).filter(|pause| *pause >= LEAST);
                self.pause = half.unwrap_or_default();
            }
        }
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(period: u64) -> Instant {
        Instant(1 + period * 100_000_000)
    }

    #[test]
    fn pauses_grow_while_it_is_tight_stay_and_go() {
        let mut gathering = Gathering::default();
        let mut us = |period, strain| gathering.pause(at(period), Strain::of(strain, 1.0)).as_micros();
        assert_eq!([us(0, 0.0), us(1, 0.79)], [0, 0]);
        assert_eq!([2, 3, 4, 5, 6].map(|period| us(period, 0.9)), [250, 500, 1_000, 1_000, 1_000]);
        assert_eq!([us(7, 0.79), us(8, 0.41)], [1_000, 1_000]);
        assert_eq!([9, 10, 11, 12].map(|period| us(period, 0.1)), [500, 250, 0, 0]);
        // One look a period.
        assert_eq!([us(14, 5.0), us(14, 5.0), us(14, 5.0)], [250, 250, 250]);
    }
}
