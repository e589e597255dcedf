//! Looking a little longer before sleeping.

use std::time::Duration;

use hyperscale_core::Instant;

use crate::clock;

/// What a look saw.
pub(crate) enum Look {
    Work,
    Nothing(Instant),
}

/// Spins for a bounded time where that has lately been worth it: a sleep and a wake cost tens of microseconds, more
/// than many an answer takes.
#[derive(Debug)]
pub(crate) struct Spin {
    length: Duration,
    /// Spins in a row that saw nothing.
    misses: u32,
    /// Time spun and not yet taken.
    spun: Duration,
}

impl Spin {
    /// After so many spins in vain only one in [`Spin::RETRY`] is tried.
    const MISSES_MAX: u32 = 8;
    const RETRY: u32 = 64;

    pub(crate) fn new(length: Duration) -> Self {
        Self { length, misses: 0, spun: Duration::ZERO }
    }

    /// Whether work came within the length of a spin.
    pub(crate) fn until_work(&mut self, mut look: impl FnMut() -> Look) -> bool {
        if self.length.is_zero() {
            return false;
        }
        if self.misses > Self::MISSES_MAX && !self.misses.is_multiple_of(Self::RETRY) {
            self.misses = self.misses.wrapping_add(1);
            return false;
        }
        let begin = clock::now();
        let end = begin + self.length;
        let mut seen = begin;
        loop {
            match look() {
                Look::Work => {
                    self.misses = 0;
                    self.spun = self.spun.saturating_add(seen.since(begin));
                    return true;
                }
                Look::Nothing(now) if now >= end => {
                    self.misses = self.misses.wrapping_add(1).max(1);
                    self.spun = self.spun.saturating_add(now.since(begin));
                    return false;
                }
                Look::Nothing(now) => {
                    seen = now;
                    std::hint::spin_loop();
                }
            }
        }
    }

    /// For how long it has seen nothing, since the last time that was asked.
    pub(crate) fn take_spun(&mut self) -> Duration {
        std::mem::take(&mut self.spun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_that_never_pays_is_tried_ever_less() {
        let mut spin = Spin::new(Duration::from_nanos(1));
        let mut looks = 0;
        for _ in 0..1000 {
            assert!(!spin.until_work(|| {
                looks += 1;
                Look::Nothing(Instant::MAX)
            }));
        }
        assert!((9..40).contains(&looks), "{looks}");
        assert!(!spin.take_spun().is_zero());
        assert!(spin.take_spun().is_zero());
        let mut found = false;
        for _ in 0..100 {
            found |= spin.until_work(|| Look::Work);
        }
        assert!(found);
    }
}
