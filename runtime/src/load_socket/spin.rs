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
}

impl Spin {
    /// After so many spins in vain only one in [`Spin::RETRY`] is tried.
    const MISSES_MAX: u32 = 8;
    const RETRY: u32 = 64;

    pub(crate) fn new(length: Duration) -> Self {
        Self { length, misses: 0 }
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
        let end = clock::now() + self.length;
        loop {
            match look() {
                Look::Work => {
                    self.misses = 0;
                    return true;
                }
                Look::Nothing(now) if now >= end => {
                    self.misses = self.misses.wrapping_add(1).max(1);
                    return false;
                }
                Look::Nothing(_) => std::hint::spin_loop(),
            }
        }
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
        let mut found = false;
        for _ in 0..100 {
            found |= spin.until_work(|| Look::Work);
        }
        assert!(found);
    }
}
