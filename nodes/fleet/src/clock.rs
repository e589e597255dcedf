//! How far a peer's clock is off, from the times that heartbeats carry (`spec.md` 14; RFC 5905's on-wire protocol).
//!
//! Of the last eight answers the one with the least round trip is believed: what delays a message also skews it.
//! For display and for starting together only; it orders nothing. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use hyperscale_codec::messages::ClockReading;

/// Answers remembered.
const SAMPLES: usize = 8;

/// A peer's clock against ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// By how much the peer's clock is ahead, in ns.
    pub offset_ns: i64,
    /// The round trip it was taken at; the offset is off by half of it at most.
    pub round_trip: Duration,
}

impl ClockOffset {
    /// How far the offset may be off.
    #[must_use]
    pub fn error(&self) -> Duration {
        self.round_trip / 2
    }
}

/// The last answers of one peer.
#[derive(Debug, Clone, Default)]
pub struct OffsetFilter {
    samples: VecDeque<ClockOffset>,
}

impl OffsetFilter {
    /// Takes a reading that arrived at `now_ns` of our wall clock. One that echoes nothing, or times that cannot be,
    /// changes nothing.
    pub fn take(&mut self, reading: ClockReading, now_ns: u64) {
        let ClockReading { sent_ns, echo_ns, held_ns } = reading;
        if echo_ns == 0 {
            return;
        }
        // t1 = echo, t2 = sent - held, t3 = sent, t4 = now.
        let (t1, t3, t4) = (i128::from(echo_ns), i128::from(sent_ns), i128::from(now_ns));
        let t2 = t3 - i128::from(held_ns);
        let round_trip = t4 - t1 - i128::from(held_ns);
        let offset = ((t2 - t1) + (t3 - t4)) / 2;
        let (Ok(round_trip), Ok(offset_ns)) = (u64::try_from(round_trip), i64::try_from(offset)) else {
            return;
        };
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(ClockOffset { offset_ns, round_trip: Duration::from_nanos(round_trip) });
    }

    /// The best of the last answers.
    #[must_use]
    pub fn best(&self) -> Option<ClockOffset> {
        self.samples.iter().min_by_key(|sample| sample.round_trip).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One exchange: the peer is ahead by `ahead`; the way there takes `there`, the way back `back`.
    fn exchange(filter: &mut OffsetFilter, at: u64, ahead: i64, there: u64, held: u64, back: u64) {
        let arrived = at + there;
        let sent = (arrived + held).checked_add_signed(ahead).unwrap();
        let reading = ClockReading { sent_ns: sent, echo_ns: at, held_ns: held };
        filter.take(reading, arrived + held + back);
    }

    #[test]
    fn equal_ways_give_the_offset_exactly() {
        for ahead in [-5_000_000, 0, 1, 7_000_000_000] {
            let mut filter = OffsetFilter::default();
            exchange(&mut filter, 10_000_000_000_000, ahead, 200, 1_000_000, 200);
            let best = filter.best().unwrap();
            assert_eq!((best.offset_ns, best.round_trip.as_nanos()), (ahead, 400));
        }
    }

    #[test]
    fn the_error_covers_unequal_ways_and_the_fastest_answer_is_believed() {
        let mut filter = OffsetFilter::default();
        exchange(&mut filter, 1_000_000, 40_000, 90_000, 5, 10);
        let slow = filter.best().unwrap();
        assert!((slow.offset_ns - 40_000).unsigned_abs() <= slow.error().as_nanos() as u64 + 1);
        exchange(&mut filter, 2_000_000, 40_000, 20, 5, 10);
        exchange(&mut filter, 3_000_000, 40_000, 10_000, 5, 90_000);
        assert_eq!(filter.best().unwrap().round_trip.as_nanos(), 30);
    }

    #[test]
    fn nonsense_changes_nothing() {
        let mut filter = OffsetFilter::default();
        filter.take(ClockReading { sent_ns: 5, echo_ns: 0, held_ns: 0 }, 9);
        filter.take(ClockReading { sent_ns: 5, echo_ns: 9, held_ns: u64::MAX }, 9);
        filter.take(ClockReading { sent_ns: u64::MAX, echo_ns: u64::MAX, held_ns: 1 }, 1);
        assert_eq!(filter.best(), None);
    }
}
