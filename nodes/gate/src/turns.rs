//! Which job wants its turn next, kept from event to event: most events are about one job, and a gate has thousands.

use std::cell::Cell;

use hyperscale_codec::JobId;
use hyperscale_core::Instant;

/// When a job wants its turn, and which.
type Turn = (Instant, JobId);

/// The first of all jobs' turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// `None`: not known; it is looked for when somebody asks.
    first: Cell<Option<Option<Turn>>>,
    /// The only job that the event at hand is about.
    only: Option<JobId>,
}

impl Turns {
    /// An event begins, which may be about any job.
    pub(crate) fn begin(&mut self) {
        self.only = None;
    }

    /// It is about this one alone.
    pub(crate) fn is_about(&mut self, id: JobId) {
        self.only = Some(id);
    }

    /// It is over. `turn_of` tells when a job wants its turn now.
    pub(crate) fn end(&mut self, turn_of: impl FnOnce(JobId) -> Option<Instant>) {
        let (Some(id), Some(known)) = (self.only, self.first.get()) else { return self.first.set(None) };
        let own = turn_of(id).map(|at| (at, id));
        self.first.set(match known {
            // It was first, and is not so early any more: another one may be.
            Some(first) if first.1 == id => own.filter(|own| own.0 <= first.0).map(Some),
            Some(first) => Some(own.filter(|own| *own < first).or(known)),
            None => Some(own),
        });
    }

    /// When the first one is; `look` looks through all.
    pub(crate) fn first(&self, look: impl FnOnce() -> Option<Turn>) -> Option<Instant> {
        let first = self.first.get().unwrap_or_else(look);
        self.first.set(Some(first));
        first.map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Any events of one job or of all: what is kept is what a look through all gives.
    #[test]
    fn what_is_kept_is_what_a_look_through_all_gives() {
        let (mut turns, mut jobs, mut state) = (Turns::default(), BTreeMap::new(), 7_u64);
        let mut looks = 0;
        for event in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let id = JobId(u128::from(state >> 60));
            let at = Some(Instant(state >> 40 & 1023)).filter(|at| at.0 > 200);
            jobs.insert(id, at);
            turns.begin();
            if event % 50 > 0 {
                turns.is_about(id);
            }
            turns.end(|id| jobs.get(&id).copied().flatten());
            let all = || jobs.iter().filter_map(|(id, at)| at.map(|at| (at, *id))).min();
            let first = turns.first(|| {
                looks += 1;
                all()
            });
            assert_eq!(first, all().map(|(at, _)| at), "{event}");
        }
        assert!(looks < 4_000, "{looks}");
    }
}
