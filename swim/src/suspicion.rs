//! How long a suspect has to refute, and who accused it (Lifeguard, arXiv 1707.00788).
//!
//! Confirmations only ever move the end earlier; one accuser never counts twice.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use crate::SwimConfig;

/// Accusers remembered of one suspicion.
const ACCUSERS: usize = 8;

/// alpha x max(1, log10 n) x interval.
pub(crate) fn shortest(config: &SwimConfig, n: u32) -> Duration {
    let scale = f64::from(n.max(1)).log10().max(1.0) * f64::from(config.suspicion_alpha);
    config.probe_interval.mul_f64(scale)
}

/// The time-out after `confirmed` confirmations beyond the first accuser. `kn`: confirmations that make it shortest; 0
/// when there are too few members for any.
pub(crate) fn timeout(min: Duration, max: Duration, confirmed: u32, kn: u32) -> Duration {
    if kn == 0 {
        return min;
    }
    let share = f64::from(confirmed + 1).ln() / f64::from(kn + 1).ln();
    let cut = max.saturating_sub(min).mul_f64(share.min(1.0));
    max.saturating_sub(cut).max(min)
}

/// One running suspicion.
#[derive(Debug, Clone)]
pub(crate) struct Suspicion {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    min: Duration,
    max: Duration,
    kn: u32,
    accusers: [NodeId; ACCUSERS],
    count: usize,
    /// The suspect told that it is loaded: twice the time, once.
    stretched: bool,
    /// This node asked it out of band, and nothing came.
    pub(crate) unreachable: bool,
    /// This node is asking it because there is but one accuser.
    pub(crate) checking: bool,
}

impl Suspicion {
    /// `n`: live members with oneself. `own_factor`: LHM + 1 if this node is the accuser, else 1.
    pub(crate) fn new(config: &SwimConfig, n: u32, own_factor: u32, accuser: NodeId, now: Instant) -> Self {
        let min = shortest(config, n);
        let max = min * config.suspicion_beta;
        let kn = if config.lifeguard.suspicion { config.confirmations.min(n.saturating_sub(2)) } else { 0 };
        let kn = kn.min(ACCUSERS as u32 - 1);
        let mut accusers = [NodeId(0); ACCUSERS];
        accusers[0] = accuser;
        let mut suspicion = Self {
            start: now,
            end: now,
            min,
            max: max * own_factor,
            kn,
            accusers,
            count: 1,
            stretched: false,
            unreachable: false,
            checking: false,
        };
        suspicion.end = suspicion.due();
        suspicion
    }

    fn due(&self) -> Instant {
        let confirmed = (self.count - 1) as u32;
        let factor = if self.stretched { 2 } else { 1 };
        self.start + timeout(self.min, self.max, confirmed, self.kn) * factor
    }

    pub(crate) fn min(&self) -> Duration {
        self.min
    }

    /// How many accused it.
    pub(crate) const fn accusers(&self) -> usize {
        self.count
    }

    fn confirm(&mut self, accuser: NodeId) -> bool {
        let known = self.accusers.get(..self.count).unwrap_or_default();
        if known.contains(&accuser) || self.count > self.kn as usize {
            return false;
        }
        let Some(place) = self.accusers.get_mut(self.count) else { return false };
        *place = accuser;
        self.count += 1;
        self.end = self.end.min(self.due());
        true
    }
}

/// All running suspicions, and which ends first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suspicions {
    running: BTreeMap<u32, Suspicion>,
    /// Ends, also some that no longer hold; never at the top.
    ends: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl Suspicions {
    pub(crate) fn get(&self, slot: u32) -> Option<&Suspicion> {
        self.running.get(&slot)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Suspicion> {
        self.running.get_mut(&slot)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.peek().map(|Reverse((end, _))| *end)
    }

    pub(crate) fn first(&self) -> Option<u32> {
        self.ends.peek().map(|Reverse((_, slot))| *slot)
    }

    pub(crate) fn start(&mut self, slot: u32, suspicion: Suspicion) {
        self.ends.push(Reverse((suspicion.end, slot)));
        self.running.insert(slot, suspicion);
        self.settle();
    }

    pub(crate) fn stop(&mut self, slot: u32) {
        if self.running.remove(&slot).is_some() {
            self.settle();
        }
    }

    /// Whether this accuser is new and one of the first K.
    pub(crate) fn confirm(&mut self, slot: u32, accuser: NodeId) -> bool {
        let Some(suspicion) = self.running.get_mut(&slot) else { return false };
        let before = suspicion.end;
        let new = suspicion.confirm(accuser);
        debug_assert!(suspicion.end <= before, "a confirmation made a suspicion longer");
        if suspicion.end != before {
            self.ends.push(Reverse((suspicion.end, slot)));
            self.settle();
        }
        new
    }

    /// The suspect itself told that it is loaded: it gets twice the time, once a suspicion.
    pub(crate) fn stretch(&mut self, slot: u32) {
        if let Some(suspicion) = self.running.get_mut(&slot)
            && !suspicion.stretched
        {
            suspicion.stretched = true;
            let due = suspicion.due();
            self.move_end(slot, due);
        }
    }

    /// Sets an end anew: when this node stood still, or has to ask before it may decide.
    pub(crate) fn move_end(&mut self, slot: u32, end: Instant) {
        if let Some(suspicion) = self.running.get_mut(&slot)
            && suspicion.end != end
        {
            suspicion.end = end;
            self.ends.push(Reverse((end, slot)));
            self.settle();
        }
    }

    /// Nothing ends before `earliest`.
    pub(crate) fn not_before(&mut self, earliest: Instant) {
        for suspicion in self.running.values_mut() {
            suspicion.end = suspicion.end.max(earliest);
        }
        self.rebuild();
    }

    fn rebuild(&mut self) {
        self.ends.clear();
        self.ends.extend(self.running.iter().map(|(slot, suspicion)| Reverse((suspicion.end, *slot))));
    }

    fn settle(&mut self) {
        if self.ends.len() > 64 + 4 * self.running.len() {
            self.rebuild();
        }
        while let Some(Reverse((end, slot))) = self.ends.peek() {
            if self.running.get(slot).is_some_and(|suspicion| suspicion.end == *end) {
                break;
            }
            self.ends.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(duration: Duration) -> u128 {
        (duration.as_nanos() + 500_000) / 1_000_000
    }

    fn ends(n: u32) -> (u128, u128, [u128; 4]) {
        let config = SwimConfig::lan();
        let mut all = Suspicions::default();
        all.start(1, Suspicion::new(&config, n, 1, NodeId(1), Instant(0)));
        let suspicion = all.get(1).unwrap();
        let (min, max) = (ms(suspicion.min), ms(suspicion.max));
        let row = std::array::from_fn(|i| {
            if i > 0 {
                all.confirm(1, NodeId(1 + i as u128));
                assert!(!all.confirm(1, NodeId(1 + i as u128)), "one accuser never counts twice");
            }
            ms(all.get(1).unwrap().end.since(Instant(0)))
        });
        (min, max, row)
    }

    #[test]
    fn the_table_of_the_specification() {
        assert_eq!(ends(4), (2_500, 15_000, [15_000, 7_113, 2_500, 2_500]));
        assert_eq!(ends(8), (2_500, 15_000, [15_000, 8_750, 5_094, 2_500]));
        assert_eq!(ends(10), (2_500, 15_000, [15_000, 8_750, 5_094, 2_500]));
        assert_eq!(ends(100), (5_000, 30_000, [30_000, 17_500, 10_188, 5_000]));
        // The table rounds 15.2815 up.
        assert_eq!(ends(1_000).0, 7_500);
        assert_eq!(ends(1_000).2.map(|ms| ms.div_ceil(2)), [22_500, 13_125, 7_641, 3_750]);
        assert_eq!(ends(2).2[0], 2_500);
        assert_eq!(ends(1).2[0], 2_500);
    }

    #[test]
    fn without_lifeguard_it_lasts_its_minimum() {
        let config = SwimConfig { lifeguard: crate::Lifeguard::NONE, ..SwimConfig::lan() };
        let suspicion = Suspicion::new(&config, 100, 1, NodeId(1), Instant(0));
        assert_eq!(ms(suspicion.end.since(Instant(0))), 5_000);
    }

    #[test]
    fn local_health_stretches_the_maximum_alone_and_load_doubles_once() {
        let config = SwimConfig::lan();
        let mut all = Suspicions::default();
        all.start(1, Suspicion::new(&config, 8, 3, NodeId(1), Instant(0)));
        assert_eq!(ms(all.get(1).unwrap().end.since(Instant(0))), 45_000);
        for accuser in 2..=4 {
            all.confirm(1, NodeId(accuser));
        }
        assert_eq!(ms(all.get(1).unwrap().end.since(Instant(0))), 2_500);
        all.stretch(1);
        all.stretch(1);
        assert_eq!(ms(all.next_end().unwrap().since(Instant(0))), 5_000);
    }

    #[test]
    fn later_accusers_than_the_first_k_change_nothing() {
        let mut all = Suspicions::default();
        all.start(1, Suspicion::new(&SwimConfig::lan(), 100, 1, NodeId(1), Instant(0)));
        let told = (2..50_u128).filter(|&accuser| all.confirm(1, NodeId(accuser))).count();
        assert_eq!((told, all.get(1).unwrap().accusers()), (3, 4));
        all.stop(1);
        assert_eq!(all.next_end(), None);
    }
}
