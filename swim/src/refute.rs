//! Refuting what is claimed of oneself: at most five times in ten seconds, the rest merged into one.

use std::time::Duration;

use hyperscale_core::Instant;

use crate::claim::INCARNATION_LEAP_MAX;

const PER_WINDOW: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// What became of a claim against this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Of an incarnation that is past.
    Past,
    /// No honest node could have made it.
    Absurd,
    /// Too many: it waits.
    Merged,
    /// Refuted: the incarnation is higher now.
    Refuted,
}

/// This node's incarnation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refutations {
    incarnation: u64,
    /// When the last five happened; the oldest is overwritten.
    at: [Option<Instant>; PER_WINDOW],
    next: usize,
    waiting: Option<u64>,
}

impl Refutations {
    pub(crate) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// When what waits may be refuted.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.map(|_| self.free_at())
    }

    fn free_at(&self) -> Instant {
        self.at.get(self.next).copied().flatten().map_or(Instant::ZERO, |at| at + WINDOW)
    }

    /// This node is claimed suspect, dead or left at `claimed`.
    pub(crate) fn accused(&mut self, claimed: u64, now: Instant) -> Verdict {
        if claimed < self.incarnation {
            return Verdict::Past;
        }
        if claimed > self.incarnation.saturating_add(INCARNATION_LEAP_MAX) {
            return Verdict::Absurd;
        }
        if self.incarnation == u64::MAX {
            // No higher one exists; only a restart helps.
            return Verdict::Absurd;
        }
        if now < self.free_at() {
            self.waiting = Some(self.waiting.map_or(claimed, |waiting| waiting.max(claimed)));
            return Verdict::Merged;
        }
        self.waiting = None;
        self.incarnation = claimed.saturating_add(1);
        if let Some(place) = self.at.get_mut(self.next) {
            *place = Some(now);
        }
        self.next = (self.next + 1) % PER_WINDOW;
        Verdict::Refuted
    }

    /// Refutes what waited, if it is still said of the present incarnation.
    pub(crate) fn catch_up(&mut self, now: Instant) -> Option<Verdict> {
        let claimed = self.waiting.filter(|_| now >= self.free_at())?;
        self.waiting = None;
        Some(self.accused(claimed, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_in_ten_seconds_and_the_rest_in_one() {
        let mut own = Refutations::default();
        let at = |ms: u64| Instant(ms * 1_000_000);
        for round in 0..5 {
            assert_eq!(own.accused(round, at(round)), Verdict::Refuted);
            assert_eq!(own.accused(round, at(round)), Verdict::Past);
        }
        for claimed in 5..100 {
            assert_eq!(own.accused(claimed, at(100)), Verdict::Merged);
        }
        assert_eq!((own.incarnation(), own.next_due()), (5, Some(at(10_000))));
        assert_eq!(own.catch_up(at(9_999)), None);
        assert_eq!(own.catch_up(at(10_000)), Some(Verdict::Refuted));
        assert_eq!((own.incarnation(), own.next_due()), (100, None));
    }

    #[test]
    fn leaps_are_refused_and_the_end_of_numbers_is_met_calmly() {
        let mut own = Refutations::default();
        assert_eq!(own.accused((1 << 20) + 1, Instant(1)), Verdict::Absurd);
        assert_eq!(own.accused(1 << 20, Instant(1)), Verdict::Refuted);
        own.incarnation = u64::MAX - 1;
        assert_eq!(own.accused(u64::MAX, Instant(2)), Verdict::Refuted);
        assert_eq!(own.incarnation(), u64::MAX);
        assert_eq!(own.accused(u64::MAX, Instant(3)), Verdict::Absurd);
    }
}
