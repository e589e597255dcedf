//! The deadlines of all virtual users of a shard, one each.
//!
//! A binary heap that knows where each VU stands in it. Deadlines that almost never come (time-outs) are moved lazily:
//! a VU that is armed for an earlier time stays there, and is armed anew when that time comes. So a request costs one
//! comparison, cancelling nothing at all, and memory is bounded by the number of VUs.

use hyperscale_core::Instant;

const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(Instant, u32)>,
    place: Vec<u32>,
}

impl Timers {
    /// Makes room for VUs below `vus`.
    pub(crate) fn reserve(&mut self, vus: usize) {
        if self.place.len() < vus {
            self.place.resize(vus, NONE);
        }
        self.heap.reserve(vus.saturating_sub(self.heap.len()));
    }

    /// Wakes `vu` at `at` or before.
    #[inline]
    pub(crate) fn arm(&mut self, vu: u32, at: Instant) {
        let place = self.place[vu as usize];
        if place == NONE {
            let end = self.heap.len();
            self.heap.push((at, vu));
            self.place[vu as usize] = u32::try_from(end).unwrap_or(NONE);
            self.sift_up(end);
        } else if at < self.heap[place as usize].0 {
            self.heap[place as usize].0 = at;
            self.sift_up(place as usize);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&(at, _)| at)
    }

    /// Takes out the first VU whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<u32> {
        let &(at, vu) = self.heap.first()?;
        (at <= now).then(|| {
            self.remove(vu);
            vu
        })
    }

    pub(crate) fn remove(&mut self, vu: u32) {
        let place = std::mem::replace(&mut self.place[vu as usize], NONE);
        if place == NONE {
            return;
        }
        let place = place as usize;
        self.heap.swap_remove(place);
        if let Some(&(_, moved)) = self.heap.get(place) {
            self.place[moved as usize] = u32::try_from(place).unwrap_or(NONE);
            self.sift_down(place);
            self.sift_up(place);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for at in [a, b] {
            self.place[self.heap[at].1 as usize] = u32::try_from(at).unwrap_or(NONE);
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent].0 <= self.heap[at].0 {
                break;
            }
            self.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut least = at;
            for child in [left, right] {
                if child < self.heap.len() && self.heap[child].0 < self.heap[least].0 {
                    least = child;
                }
            }
            if least == at {
                break;
            }
            self.swap(at, least);
            at = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_vu_is_woken_no_later_than_its_earliest_wish(
            wishes in prop::collection::vec((0..20_u32, 0..1000_u64, any::<bool>()), 0..200),
        ) {
            let mut timers = Timers::default();
            timers.reserve(20);
            let mut model = std::collections::BTreeMap::new();
            for (vu, at, remove) in wishes {
                if remove {
                    timers.remove(vu);
                    model.remove(&vu);
                } else {
                    timers.arm(vu, Instant(at));
                    let least = model.entry(vu).or_insert(at);
                    *least = at.min(*least);
                }
                prop_assert_eq!(timers.next().map(|at| at.0), model.values().min().copied());
            }
            let mut last = 0;
            while let Some(vu) = timers.pop(Instant::MAX) {
                let at = model.remove(&vu).unwrap();
                prop_assert!(at >= last);
                last = at;
            }
            prop_assert!(model.is_empty());
        }
    }
}
