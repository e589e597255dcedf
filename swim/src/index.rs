//! Open addressing from a hash to a slot; whoever asks compares the slot's own id.

use crate::hash::mix_id;

/// A slot by its id's hash. Grows with what it holds, never shrinks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// (hash, slot + 1); slot 0 here means empty. Length: a power of two, or none.
    entries: Vec<(u32, u32)>,
    held: usize,
    key: u64,
}

impl Index {
    pub(crate) fn new(key: u64) -> Self {
        Self { entries: Vec::new(), held: 0, key }
    }

    fn hash(&self, id: u128) -> u32 {
        (mix_id(id, self.key) >> 32) as u32
    }

    fn mask(&self) -> usize {
        self.entries.len().wrapping_sub(1)
    }

    fn entry(&self, at: usize) -> (u32, u32) {
        self.entries.get(at).copied().unwrap_or((0, 0))
    }

    fn set(&mut self, at: usize, entry: (u32, u32)) {
        if let Some(place) = self.entries.get_mut(at) {
            *place = entry;
        }
    }

    /// The slot with this id, if `is_it` agrees.
    pub(crate) fn find(&self, id: u128, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        let hash = self.hash(id);
        let mask = self.mask();
        let mut at = hash as usize & mask;
        loop {
            let (held, slot) = self.entry(at);
            if slot == 0 {
                return None;
            }
            if held == hash && is_it(slot - 1) {
                return Some(slot - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a slot; the id must not be held yet.
    pub(crate) fn insert(&mut self, id: u128, slot: u32) {
        if (self.held + 1) * 3 > self.entries.len() * 2 {
            let grown = (self.entries.len() * 2).max(8);
            let old = std::mem::replace(&mut self.entries, vec![(0, 0); grown]);
            for (hash, slot) in old.into_iter().filter(|(_, slot)| *slot != 0) {
                self.place(hash, slot);
            }
        }
        self.place(self.hash(id), slot + 1);
        self.held += 1;
    }

    fn place(&mut self, hash: u32, slot: u32) {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        while self.entry(at).1 != 0 {
            at = (at + 1) & mask;
        }
        self.set(at, (hash, slot));
    }

    /// Takes a slot out, moving later ones up so that no grave stays behind.
    pub(crate) fn remove(&mut self, id: u128, slot: u32) {
        if self.entries.is_empty() {
            return;
        }
        let mask = self.mask();
        let mut at = self.hash(id) as usize & mask;
        loop {
            let held = self.entry(at).1;
            if held == 0 {
                return;
            }
            if held == slot + 1 {
                break;
            }
            at = (at + 1) & mask;
        }
        self.held -= 1;
        let mut next = (at + 1) & mask;
        loop {
            let (hash, held) = self.entry(next);
            if held == 0 {
                break;
            }
            let home = hash as usize & mask;
            // It may move up if its home does not lie between the hole and itself.
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(at) & mask) {
                self.set(at, (hash, held));
                at = next;
            }
            next = (next + 1) & mask;
        }
        self.set(at, (0, 0));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_was_put_in_and_not_taken_out(moves in proptest::collection::vec((0..40_u128, any::<bool>()), 0..200)) {
            let (mut index, mut truth) = (Index::new(7), BTreeMap::new());
            let mut ids: Vec<u128> = Vec::new();
            for (id, put) in moves {
                if put && !truth.contains_key(&id) {
                    let slot = ids.len() as u32;
                    ids.push(id);
                    index.insert(id, slot);
                    truth.insert(id, slot);
                } else if !put && let Some(slot) = truth.remove(&id) {
                    index.remove(id, slot);
                }
                for id in 0..40 {
                    let found = index.find(id, |slot| ids[slot as usize] == id);
                    prop_assert_eq!(found, truth.get(&id).copied());
                }
            }
        }
    }
}
