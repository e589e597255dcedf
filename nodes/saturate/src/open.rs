//! Requests that wait for their answer, by number; bounded, and a late answer never meets another request's place.

use hyperscale_codec::JobId;
use hyperscale_core::{Instant, LinkId};

use crate::Op;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Measured load.
    Load(Op),
    /// Who is in the fleet?
    Fleet,
    /// A manager's or worker's registration.
    Registration(usize),
    /// A job that all load is about.
    Job(JobId),
    /// The job's result shall come.
    Result(JobId),
    /// A part of its last figures.
    Figures(JobId),
    /// Its end.
    End(JobId),
    /// The last figures and the end of a worker's share of it, by the player.
    Share(JobId, usize),
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) what: For,
    pub(crate) link: LinkId,
    pub(crate) job: JobId,
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
    /// The step it is counted in; 0: none.
    pub(crate) step: u32,
    /// What its answer does of what was due: the windows of a merged message, else one.
    pub(crate) does: u32,
}

/// Low bits of a number: the place.
const PLACE_BITS: u32 = 18;
/// Requests at once at most.
pub(crate) const OPEN_MAX: usize = 1 << PLACE_BITS;
/// Values of the bits above: how often the place was used. Numbers stay above those that nobody waits for.
const USES: u32 = 1 << 11;

/// All that are open.
#[derive(Debug, Default)]
pub(crate) struct OpenRequests {
    places: Vec<(u32, Option<Open>)>,
    free: Vec<u32>,
}

impl OpenRequests {
    /// Keeps a request and gives its number; `None`: there are too many.
    pub(crate) fn insert(&mut self, open: Open) -> Option<u32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.places.len() < OPEN_MAX => {
                self.places.push((1, None));
                u32::try_from(self.places.len() - 1).ok()?
            }
            None => return None,
        };
        let (uses, slot) = self.places.get_mut(usize::try_from(place).ok()?)?;
        *slot = Some(open);
        Some((*uses << PLACE_BITS) | place)
    }

    /// The request of this number, which is answered now.
    pub(crate) fn take(&mut self, number: u32) -> Option<Open> {
        let place = number & ((1 << PLACE_BITS) - 1);
        let (uses, slot) = self.places.get_mut(usize::try_from(place).ok()?)?;
        if *uses != number >> PLACE_BITS {
            return None;
        }
        let open = slot.take()?;
        *uses = if *uses + 1 < USES { *uses + 1 } else { 1 };
        self.free.push(place);
        Some(open)
    }

    /// Takes out what `over` says, such as what waited too long.
    pub(crate) fn take_where(&mut self, over: impl Fn(&Open) -> bool) -> Vec<Open> {
        let mut taken = Vec::new();
        for place in 0..self.places.len() {
            let Some((uses, Some(open))) = self.places.get(place).copied() else { continue };
            if over(&open) {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                taken.extend(self.take((uses << PLACE_BITS) | place));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(nanos: u64) -> Open {
        let at = Instant(nanos);
        Open { what: For::Fleet, link: LinkId(1), job: JobId(0), due: at, sent: at, step: 0, does: 1 }
    }

    #[test]
    fn a_late_answer_meets_nobody() {
        let mut requests = OpenRequests::default();
        let first = requests.insert(open(1)).unwrap();
        assert_eq!(requests.take_where(|open| open.sent <= Instant(1)).len(), 1);
        let second = requests.insert(open(2)).unwrap();
        assert!(first != second && first > 15 && requests.take(first).is_none());
        assert_eq!(requests.take(second).map(|open| open.sent), Some(Instant(2)));
        assert!(requests.take(second).is_none() && requests.take(u32::MAX).is_none());
    }
}
