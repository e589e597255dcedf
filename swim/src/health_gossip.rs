//! `HealthGossipBuffer`: words on to others, at most 600 bytes a datagram, ending when all are healthy and nothing
//! changes.
//!
//! Order: severity (the worse of old and new state, so that recovery does not wait behind illness), then fewest sends,
//! then id; every fourth place goes to the fewest-sent whatever its state.

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;

use crate::awareness::STALE;
use crate::queue::sends;

/// Words waiting at most; the healthiest and oldest goes first.
pub(crate) const ENTRIES_MAX: usize = 500;
/// Words that fit in the section, at most.
const CHOSEN_MAX: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Entry {
    word: HealthPiggyback,
    severity: u8,
    sent: u32,
    at: Instant,
}

/// Words that wait to be gossiped.
#[derive(Debug, Clone, Default)]
pub struct HealthGossipBuffer {
    entries: Vec<Entry>,
}

/// Sends of a word in a group of `n`: max(floor, 2 x ceil(log10(n + 1))), floor 3 for healthy to 8 for overloaded.
fn sends_max(overload_state: u8, n: u32) -> u32 {
    let floor = match overload_state {
        0 => 3,
        1 => 5,
        2 => 6,
        _ => 8,
    };
    sends(2, n).max(floor)
}

impl HealthGossipBuffer {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Words that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// A word to be told, and the overload state known before.
    pub fn offer(&mut self, word: HealthPiggyback, before: u8, now: Instant) {
        let entry = Entry { word, severity: word.overload_state.max(before), sent: 0, at: now };
        if let Some(held) = self.entries.iter_mut().find(|held| held.word.node_id == word.node_id) {
            // A word that was not yet told keeps the worse of both.
            let severity = if held.sent == 0 { held.severity.max(entry.severity) } else { entry.severity };
            *held = Entry { severity, ..entry };
            return;
        }
        if self.entries.len() >= ENTRIES_MAX
            && let Some(at) = (0..self.entries.len()).min_by_key(|&at| {
                self.entries.get(at).map(|entry| (entry.severity, entry.at, entry.word.node_id))
            })
        {
            self.entries.swap_remove(at);
        }
        self.entries.push(entry);
    }

    /// Tells up to `room` words, each sent once more by that.
    pub fn each(&mut self, room: usize, n: u32, now: Instant, mut tell: impl FnMut(&HealthPiggyback)) {
        if self.entries.is_empty() {
            return;
        }
        self.entries.retain(|entry| now.since(entry.at) < STALE);
        let mut chosen = [usize::MAX; CHOSEN_MAX];
        for place in 0..room.min(CHOSEN_MAX).min(self.entries.len()) {
            let taken = chosen;
            let free = || self.entries.iter().enumerate().filter(|(at, _)| !taken.contains(at));
            let next = if place % 4 == 3 {
                free().min_by_key(|(_, entry)| (entry.sent, entry.word.node_id))
            } else {
                free().min_by_key(|(_, entry)| (u8::MAX - entry.severity, entry.sent, entry.word.node_id))
            };
            if let (Some((at, _)), Some(place)) = (next, chosen.get_mut(place)) {
                *place = at;
            }
        }
        for at in chosen {
            let Some(entry) = self.entries.get_mut(at) else { break };
            tell(&entry.word);
            entry.sent += 1;
        }
        self.entries.retain(|entry| entry.sent < sends_max(entry.word.overload_state, n));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(node: u8, overload_state: u8) -> HealthPiggyback {
        HealthPiggyback { node_id: [node; 16], overload_state, ..HealthPiggyback::default() }
    }

    fn told(buffer: &mut HealthGossipBuffer, room: usize) -> Vec<u8> {
        let mut told = Vec::new();
        buffer.each(room, 100, Instant(1), |word| told.push(word.node_id[0]));
        told
    }

    #[test]
    fn the_worst_go_first_and_every_fourth_place_is_the_fewest_sents() {
        let mut buffer = HealthGossipBuffer::default();
        for node in 1..=6 {
            buffer.offer(word(node, 3), 3, Instant(1));
        }
        assert_eq!(told(&mut buffer, 6), [1, 2, 3, 4, 5, 6]);
        buffer.offer(word(9, 0), 0, Instant(1));
        assert_eq!(told(&mut buffer, 5), [1, 2, 3, 9, 4], "a healthy newcomer gets the reserved place");
        // News of recovery ranks as the illness it ends.
        buffer.offer(word(8, 0), 3, Instant(1));
        assert_eq!(told(&mut buffer, 1), [8]);
    }

    #[test]
    fn it_empties_by_sends_and_forgets_the_stale() {
        let mut buffer = HealthGossipBuffer::default();
        buffer.offer(word(1, 0), 1, Instant(1));
        buffer.offer(word(2, 3), 0, Instant(1));
        let mut sent = [0; 3];
        for _ in 0..20 {
            for node in told(&mut buffer, 11) {
                sent[usize::from(node)] += 1;
            }
        }
        assert_eq!(sent, [0, 6, 8], "n = 100: 2 x 3 digits, and the floor of 8");
        assert!(buffer.is_empty());
        buffer.offer(word(1, 3), 3, Instant(1));
        buffer.each(11, 8, Instant(30_000_000_001), |_| panic!("a stale word was told"));
        assert!(buffer.is_empty());
    }

    proptest! {
        #[test]
        fn it_never_holds_over_500_nor_tells_over_its_room(nodes in proptest::collection::vec((any::<u16>(), 0..4_u8), 0..900), room in 0..12_usize) {
            let mut buffer = HealthGossipBuffer::default();
            for (node, state) in nodes {
                let mut id = [0; 16];
                id[..2].copy_from_slice(&node.to_be_bytes());
                buffer.offer(HealthPiggyback { node_id: id, ..word(0, state) }, 0, Instant(1));
                prop_assert!(buffer.len() <= ENTRIES_MAX);
            }
            let mut told = 0;
            buffer.each(room, 1_000, Instant(1), |_| told += 1);
            prop_assert!(told <= room);
        }
    }
}
