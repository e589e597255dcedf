//! Updates waiting to be gossiped: one a member, fewest sends first, gone after lambda x log n sends.
//!
//! An update holds no claim, only whose: what is sent is what is thought of the member by then. At most one update a
//! row of the table, so it is bounded by it; when nothing changes it is empty.

use std::collections::{BTreeMap, VecDeque};

use hyperscale_codec::NodeId;

/// Sends of one update at most, whatever the size of the group.
const SENDS_MAX: usize = 32;

/// This node itself, beside the slots of others.
pub(crate) const OWN: u32 = u32::MAX;

/// Sends per update for `n` members: factor x ceil(log10(n + 1)), but in a small group as many as it has others, up to
/// 2 x factor: with four sends of eight members each, one in some eighty pieces of news misses somebody.
pub(crate) fn sends(factor: u32, n: u32) -> u32 {
    let mut digits = 0;
    let mut power = 1_u64;
    while power < u64::from(n) + 1 {
        power *= 10;
        digits += 1;
    }
    let others = n.saturating_sub(1).min(factor * 2);
    (factor * digits).max(others).clamp(1, SENDS_MAX as u32)
}

#[derive(Debug, Clone, Copy)]
struct Update {
    version: u32,
    accuser: NodeId,
}

/// The queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Updates {
    waiting: BTreeMap<u32, Update>,
    /// By sends so far; entries whose version is not the waiting one's are skipped.
    by_sends: Vec<VecDeque<(u32, u32)>>,
    version: u32,
}

impl Updates {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// News of `slot`; replaces older news of it.
    pub(crate) fn push(&mut self, slot: u32, accuser: NodeId) {
        self.version = self.version.wrapping_add(1);
        let version = self.version;
        self.waiting.insert(slot, Update { version, accuser });
        if self.by_sends.is_empty() {
            self.by_sends.push(VecDeque::new());
        }
        if let Some(fresh) = self.by_sends.first_mut() {
            fresh.push_back((slot, version));
        }
        let entries: usize = self.by_sends.iter().map(VecDeque::len).sum();
        if entries > 64 + 4 * self.waiting.len() {
            let Self { waiting, by_sends, .. } = self;
            for bucket in by_sends {
                bucket
                    .retain(|(slot, version)| waiting.get(slot).is_some_and(|held| held.version == *version));
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self.waiting.remove(&slot);
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.by_sends.iter_mut().for_each(VecDeque::clear);
    }

    /// Offers updates, fewest sends first and each once, until `take` says no; those taken were sent once more.
    pub(crate) fn each(&mut self, sends_max: u32, mut take: impl FnMut(u32, NodeId) -> bool) {
        if self.waiting.is_empty() {
            return;
        }
        let mut lens = [0; SENDS_MAX];
        for (len, bucket) in lens.iter_mut().zip(&self.by_sends) {
            *len = bucket.len();
        }
        for (sent, len) in lens.into_iter().enumerate() {
            for _ in 0..len {
                let Some((slot, version)) = self.by_sends.get_mut(sent).and_then(VecDeque::pop_front) else {
                    break;
                };
                let Some(update) = self.waiting.get(&slot).copied().filter(|held| held.version == version)
                else {
                    continue;
                };
                if !take(slot, update.accuser) {
                    if let Some(bucket) = self.by_sends.get_mut(sent) {
                        bucket.push_front((slot, version));
                    }
                    return;
                }
                let next = sent + 1;
                if next >= (sends_max as usize).min(SENDS_MAX) {
                    self.waiting.remove(&slot);
                    continue;
                }
                if self.by_sends.len() <= next {
                    self.by_sends.resize(next + 1, VecDeque::new());
                }
                if let Some(bucket) = self.by_sends.get_mut(next) {
                    bucket.push_back((slot, version));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_grow_with_the_digits_of_the_group() {
        assert_eq!([10, 16, 100, 1_000].map(|n| sends(4, n)), [8, 8, 12, 16]);
        assert_eq!([2, 5, 8, 9].map(|n| sends(4, n)), [4, 4, 7, 8], "small groups reach everybody");
        assert_eq!(sends(4, 0), 1);
    }

    #[test]
    fn each_update_is_sent_so_often_and_once_a_datagram() {
        let mut updates = Updates::default();
        for slot in 0..10 {
            updates.push(slot, NodeId(0));
        }
        let mut sent = [0; 10];
        let mut rounds = 0;
        while !updates.is_empty() {
            let mut room = 3;
            updates.each(4, |slot, _| {
                if room == 0 {
                    return false;
                }
                room -= 1;
                sent[slot as usize] += 1;
                true
            });
            rounds += 1;
            assert!(rounds < 100);
        }
        assert_eq!(sent, [4; 10]);
        assert_eq!(rounds, 14);
    }

    #[test]
    fn newer_news_of_a_member_starts_anew() {
        let mut updates = Updates::default();
        updates.push(1, NodeId(0));
        updates.each(3, |_, _| true);
        updates.push(1, NodeId(9));
        let mut seen = Vec::new();
        for _ in 0..5 {
            updates.each(3, |_, accuser| {
                seen.push(accuser);
                true
            });
        }
        assert_eq!(seen, [NodeId(9); 3]);
        for _ in 0..10_000 {
            updates.push(1, NodeId(9));
        }
        assert!(updates.by_sends.iter().map(VecDeque::len).sum::<usize>() < 100);
    }
}
