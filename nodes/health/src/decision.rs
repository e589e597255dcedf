//! The one decision that follows from the three answers.

use crate::ProgressState;

/// What to do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoutingDecision {
    /// Give it work.
    Route,
    /// Ask it out of band; give it work only when no [`Self::Route`] node has room.
    Investigate,
    /// Give it no new work; what runs goes on.
    Drain,
    /// Give it none and let its work move: a candidate for eviction.
    Evict,
}

impl RoutingDecision {
    /// The first row of the table that fits.
    #[must_use]
    pub const fn of(liveness: bool, progress: ProgressState, readiness: bool) -> Self {
        match (liveness, progress, readiness) {
            (false, _, _) | (true, ProgressState::Stuck, _) => Self::Evict,
            (true, ProgressState::Slow | ProgressState::Degraded, _) => Self::Investigate,
            (true, ProgressState::Idle | ProgressState::Normal, false) => Self::Drain,
            (true, ProgressState::Idle | ProgressState::Normal, true) => Self::Route,
        }
    }

    /// The word that tables use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Investigate => "investigate",
            Self::Drain => "drain",
            Self::Evict => "evict",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Liveness, progress, readiness, decision: the whole table.
    const TABLE: &str = "
        no  idle     no  evict        no  idle     yes evict
        no  normal   no  evict        no  normal   yes evict
        no  slow     no  evict        no  slow     yes evict
        no  degraded no  evict        no  degraded yes evict
        no  stuck    no  evict        no  stuck    yes evict
        yes idle     no  drain        yes idle     yes route
        yes normal   no  drain        yes normal   yes route
        yes slow     no  investigate  yes slow     yes investigate
        yes degraded no  investigate  yes degraded yes investigate
        yes stuck    no  evict        yes stuck    yes evict";

    #[test]
    fn every_input_has_its_row() {
        let words: Vec<&str> = TABLE.split_whitespace().collect();
        let mut rows = 0;
        for row in words.chunks(4) {
            let &[liveness, progress, readiness, decision] = row else { panic!("{row:?}") };
            let progress = ProgressState::ALL.into_iter().find(|state| state.word() == progress).unwrap();
            let got = RoutingDecision::of(liveness == "yes", progress, readiness == "yes");
            assert_eq!(got.word(), decision, "{row:?}");
            rows += 1;
        }
        assert_eq!(rows, 2 * 5 * 2);
    }
}
