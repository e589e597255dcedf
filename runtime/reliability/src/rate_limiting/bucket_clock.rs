//! The clock that buckets fill by: the node's own, slower while the node has much to do.
//!
//! All buckets of a node fill at the same pace, so a loaded node slows their clock instead of touching any of them. One
//! word holds pace and offset; whichever shard first meets a new state swaps it, so that the clock has no leap.

use std::sync::atomic::{AtomicU64, Ordering};

use hyperscale_core::Instant;

use super::rate::TIME_MAX_NS;
use crate::{LoadGauge, OverloadState};

/// Bits of the word that hold the state.
const STATE_BITS: u32 = 2;
const STATE_MASK: u64 = 0b11;

/// Stressed, half as fast; overloaded, a tenth.
pub(super) const fn slowness(state: OverloadState) -> u64 {
    match state {
        OverloadState::Healthy | OverloadState::Busy => 1,
        OverloadState::Stressed => 2,
        OverloadState::Overloaded => 10,
    }
}

/// The constants are spelt out: a division by a number only known at run time costs as much as the rest of a check.
const fn slowed(ns: u64, state: OverloadState) -> u64 {
    match state {
        OverloadState::Healthy | OverloadState::Busy => ns,
        OverloadState::Stressed => ns / 2,
        OverloadState::Overloaded => ns / 10,
    }
}

/// Shared by a node's shards.
#[derive(Debug)]
pub(super) struct BucketClock {
    gauge: LoadGauge,
    /// Signed offset above the state: bucket time = slowed(now) + offset.
    word: AtomicU64,
}

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BucketTime {
    pub(super) ns: u64,
    /// Nanoseconds of the node's clock that one of these takes.
    pub(super) slowness: u64,
}

impl BucketClock {
    pub(super) fn new(gauge: LoadGauge) -> Self {
        Self { gauge, word: AtomicU64::new(0) }
    }

    /// What it shows when the node's clock shows `now`.
    pub(super) fn at(&self, now: Instant) -> BucketTime {
        let now = now.0.min(TIME_MAX_NS);
        let state = self.gauge.state();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (was, offset) = unpack(word);
            let ns = slowed(now, was).saturating_add_signed(offset);
            if was == state {
                return BucketTime { ns, slowness: slowness(state) };
            }
            // Goes on from here at the new pace.
            let next = pack(state, ns.wrapping_sub(slowed(now, state)).cast_signed());
            match self.word.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return BucketTime { ns, slowness: slowness(state) },
                Err(other) => word = other,
            }
        }
    }
}

/// Readings end at 2^61 ns, so an offset has 62 bits with its sign.
const fn pack(state: OverloadState, offset: i64) -> u64 {
    (offset.cast_unsigned() << STATE_BITS) | state.to_wire() as u64
}

const fn unpack(word: u64) -> (OverloadState, i64) {
    (OverloadState::from_wire((word & STATE_MASK) as u8), word.cast_signed() >> STATE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000_000)
    }

    #[test]
    fn it_slows_with_the_load_and_never_leaps() {
        let gauge = LoadGauge::default();
        let clock = BucketClock::new(gauge.clone());
        let shows = |now| clock.at(now).ns / 1_000_000_000;
        assert_eq!(shows(s(100)), 100);
        gauge.set(OverloadState::Stressed);
        assert_eq!([shows(s(100)), shows(s(110)), shows(s(120))], [100, 105, 110]);
        gauge.set(OverloadState::Overloaded);
        assert_eq!([shows(s(120)), shows(s(220))], [110, 120]);
        gauge.set(OverloadState::Busy);
        assert_eq!([shows(s(220)), shows(s(320))], [120, 220]);
        gauge.set(OverloadState::Stressed);
        assert_eq!([shows(s(320)), shows(s(322))], [220, 221]);
        assert_eq!(clock.at(s(322)).slowness, 2);
    }

    #[test]
    fn words_come_back_at_both_ends() {
        for state in OverloadState::ALL {
            for offset in [0, 1, -1, TIME_MAX_NS.cast_signed(), -TIME_MAX_NS.cast_signed()] {
                let (back, read) = unpack(pack(state, offset));
                assert_eq!(back, state);
                // 2^61 itself needs a bit more; no offset gets there, as bucket time is never ahead of the clock.
                if offset < TIME_MAX_NS.cast_signed() {
                    assert_eq!(read, offset);
                }
            }
        }
    }
}
