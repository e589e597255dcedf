//! How long a call may take in all. It travels as the time that is left, for two hosts' clocks differ.

use std::time::Duration;

use hyperscale_codec::Extensions;
use hyperscale_core::Instant;

/// When nobody waits for an answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(now: Instant, left: Duration) -> Self {
        Self(now + left)
    }

    /// Of a request that comes now; `None`: its caller waits for ever.
    #[must_use]
    pub fn of(now: Instant, extensions: &Extensions) -> Option<Self> {
        extensions.deadline_ms.map(|ms| Self::after(now, Duration::from_millis(ms.into())))
    }

    /// What is left, as it travels: whole milliseconds, and never more than there are.
    #[must_use]
    pub fn left_ms(self, now: Instant) -> u32 {
        u32::try_from(self.0.since(now).as_millis()).unwrap_or(u32::MAX)
    }

    /// Whether a receiver that is asked now would refuse: less than a millisecond is left.
    #[must_use]
    pub fn is_over(self, now: Instant) -> bool {
        self.left_ms(now) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_to_the_millisecond_and_never_too_much() {
        let now = Instant(5_000_000_000);
        let deadline = Deadline::after(now, Duration::from_millis(250));
        let after = |nanos: u64| Instant(now.0 + nanos);
        assert_eq!(deadline.left_ms(now), 250);
        assert_eq!(deadline.left_ms(after(1)), 249);
        assert_eq!(deadline.left_ms(after(249_000_000)), 1);
        assert!(!deadline.is_over(after(249_000_000)) && deadline.is_over(after(249_000_001)));
        assert_eq!(deadline.left_ms(after(9_000_000_000)), 0);
        let told = |deadline_ms| Extensions { deadline_ms, ..Extensions::default() };
        assert_eq!(Deadline::of(now, &told(None)), None);
        assert_eq!(Deadline::of(now, &told(Some(250))), Some(deadline));
        assert!(Deadline::of(now, &told(Some(0))).is_some_and(|deadline| deadline.is_over(now)));
        assert_eq!(Deadline::after(now, Duration::MAX).left_ms(now), u32::MAX);
    }
}
