//! One bucket of one owner.

use std::time::Duration;

use hyperscale_core::Instant;

use super::rate::{Rate, Short, rounded_up};

/// What comes of asking a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquire {
    /// The tokens are taken.
    Ok,
    /// None is taken; as many will be there after this, in whole milliseconds.
    Wait(Duration),
    /// None is taken, and as many will never be there.
    Never,
}

/// Tokens that are taken at once and come back with time: in any time T never more than `bucket_size + refill_rate * T`
/// are given, in whatever order clock readings come.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: Rate,
    refill_rate: f64,
    full_at: u64,
    /// The latest reading; a clock that goes back stands still.
    seen: u64,
}

impl TokenBucket {
    /// A full one of `bucket_size` tokens, of which `refill_rate` come back a second.
    #[must_use]
    pub fn new(bucket_size: u32, refill_rate: f64) -> Self {
        Self { rate: Rate::new(bucket_size, refill_rate), refill_rate, full_at: 0, seen: 0 }
    }

    /// Takes `n` tokens, or none.
    pub fn acquire(&mut self, n: u32, now: Instant) -> Acquire {
        self.seen = self.seen.max(now.0);
        if n == 0 {
            return Acquire::Ok;
        }
        match self.rate.take(self.full_at, n, self.seen) {
            Ok(full_at) => {
                self.full_at = full_at;
                Acquire::Ok
            }
            Err(Short::Wait(wait_ns)) => Acquire::Wait(rounded_up(wait_ns)),
            Err(Short::Never) => Acquire::Never,
        }
    }

    /// Most tokens at once.
    #[must_use]
    pub const fn bucket_size(&self) -> u32 {
        self.rate.size()
    }

    /// Tokens that come back a second.
    #[must_use]
    pub const fn refill_rate(&self) -> f64 {
        self.refill_rate
    }

    /// Whole tokens in it now.
    #[must_use]
    pub fn tokens(&self, now: Instant) -> u32 {
        self.rate.tokens(self.full_at, self.seen.max(now.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    const fn wait(ms: u64) -> Acquire {
        Acquire::Wait(Duration::from_millis(ms))
    }

    #[test]
    fn the_vectors_of_the_specification() {
        let mut bucket = TokenBucket::new(10, 2.0);
        assert_eq!(bucket.acquire(10, at(0)), Acquire::Ok);
        assert_eq!(bucket.acquire(1, at(0)), wait(500));
        assert_eq!(bucket.acquire(1, at(500)), Acquire::Ok);
        assert_eq!(bucket.acquire(4, at(1_500)), wait(1_000));
        assert_eq!(bucket.tokens(at(3_600_000)), 10);
        assert_eq!(bucket.acquire(10, at(3_600_000)), Acquire::Ok);
        assert_eq!(bucket.acquire(1, at(3_600_000)), wait(500));
    }

    #[test]
    fn the_edges() {
        let mut bucket = TokenBucket::new(10, 2.0);
        assert_eq!(bucket.acquire(11, at(0)), Acquire::Never);
        assert_eq!(bucket.acquire(0, at(0)), Acquire::Ok);
        assert_eq!(bucket.tokens(at(0)), 10, "what was not given is not taken");
        assert_eq!(bucket.acquire(10, at(10_000)), Acquire::Ok);
        assert_eq!(bucket.acquire(1, at(1_000)), wait(500), "a clock that goes back stands still");
        assert_eq!(bucket.acquire(0, at(1_000)), Acquire::Ok);
        for none in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, 1e-300] {
            let mut bucket = TokenBucket::new(2, none);
            assert_eq!([bucket.acquire(1, at(0)), bucket.acquire(1, at(1))], [Acquire::Ok; 2]);
            assert_eq!(bucket.acquire(1, at(u64::MAX / 1_000_000)), Acquire::Never, "{none} a second");
        }
        let mut nothing = TokenBucket::new(0, 5.0);
        assert_eq!((nothing.acquire(0, at(0)), nothing.acquire(1, at(9))), (Acquire::Ok, Acquire::Never));
        let mut bucket = TokenBucket::new(3, f64::INFINITY);
        assert_eq!(bucket.acquire(3, Instant::MAX), Acquire::Ok);
        assert_eq!(bucket.acquire(3, Instant::MAX), wait(1), "the end of time is no way round");
    }

    #[test]
    fn a_wait_is_rounded_up_and_is_long_enough() {
        let mut bucket = TokenBucket::new(1, 3.0);
        assert_eq!(bucket.acquire(1, at(0)), Acquire::Ok);
        assert_eq!(bucket.acquire(1, at(0)), wait(334));
        assert_eq!(bucket.acquire(1, at(333)), wait(1));
        assert_eq!(bucket.acquire(1, at(334)), Acquire::Ok);
    }

    proptest! {
        /// Also when shards tell it clocks that are not in order.
        #[test]
        fn never_more_is_given_than_a_bucket_and_what_came_back(
            size in 0_u32..200,
            rate in prop_oneof![Just(0.0), 0.01_f64..5_000.0],
            asked in vec((0_u32..60, prop_oneof![0_u64..10_000_000_000, any::<u64>()]), 1..200),
        ) {
            let mut bucket = TokenBucket::new(size, rate);
            let (mut given, mut first, mut last) = (0.0, u64::MAX, 0);
            for (n, now) in asked {
                (first, last) = (now.min(first), now.max(last));
                if bucket.acquire(n, Instant(now)) == Acquire::Ok {
                    given += f64::from(n);
                }
                let seconds = Duration::from_nanos(last - first).as_secs_f64();
                prop_assert!(given <= f64::from(size) + rate * seconds + 1e-6, "{given} in {seconds} s");
            }
        }

        #[test]
        fn whoever_waits_as_told_is_served(
            size in 1_u32..100,
            rate in 0.1_f64..2_000.0,
            asked in vec((1_u32..100, 0_u64..2_000_000_000), 1..50),
        ) {
            let (mut bucket, mut now) = (TokenBucket::new(size, rate), Instant::ZERO);
            for (n, pause) in asked {
                now = now + Duration::from_nanos(pause);
                match bucket.acquire(n, now) {
                    Acquire::Ok => {}
                    Acquire::Never => prop_assert!(n > size),
                    Acquire::Wait(wait) => {
                        now = now + wait;
                        prop_assert_eq!(bucket.acquire(n, now), Acquire::Ok);
                    }
                }
            }
        }
    }
}
