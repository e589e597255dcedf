//! `PeerHealthAwareness`: the newest own word of peers, and what their load means for probes, proxies and gossip.

use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;

use crate::peers::Peers;

/// A word older than this says nothing; nothing said counts as healthy.
pub(crate) const STALE: Duration = Duration::from_secs(30);
/// A node that is not healthy is told of anew so often.
pub(crate) const REFRESH: Duration = Duration::from_secs(10);

/// Percent of a probe timeout that a peer of this overload state gets.
pub(crate) const fn timeout_percent(overload_state: u8) -> u32 {
    match overload_state {
        0 => 100,
        1 => 125,
        2 => 175,
        _ => 250,
    }
}

/// Percent of the bytes of membership gossip that it gets.
pub(crate) const fn gossip_percent(overload_state: u8) -> usize {
    match overload_state {
        0 => 100,
        1 => 75,
        2 => 50,
        _ => 25,
    }
}

/// Newer means: higher (boot, incarnation, seq).
pub(crate) const fn age(word: &HealthPiggyback) -> (u64, u64, u32) {
    (word.boot, word.incarnation, word.seq)
}

/// What of a word, if it changes, is news for everybody: overload state, whether it takes work, whether it has room.
pub(crate) const fn class(word: &HealthPiggyback) -> (u8, bool, bool) {
    (word.overload_state, word.accepting_work, word.capacity > 0)
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    word: HealthPiggyback,
    at: Instant,
    /// When it last went on to others.
    told: Instant,
}

/// What a word meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Known already, or older.
    Old,
    /// Newer, of interest to this node alone.
    Newer,
    /// Newer, and others want to hear it. With the overload state known before.
    Tell(u8),
}

/// Newest words of up to 1,000 peers.
#[derive(Debug, Clone)]
pub(crate) struct PeerHealthAwareness {
    peers: Peers<Heard>,
}

impl PeerHealthAwareness {
    pub(crate) fn new(key: u64) -> Self {
        Self { peers: Peers::new(key) }
    }

    /// Takes a peer's word on itself.
    pub(crate) fn take(&mut self, word: HealthPiggyback, now: Instant) -> News {
        let node = NodeId::from_bytes(word.node_id);
        let Some(heard) = self.peers.get_mut(node, now) else {
            // Unknown counts as healthy: only the contrary is news.
            let tell = word.overload_state > 0;
            self.peers.insert(
                node,
                Heard { word, at: now, told: if tell { now } else { Instant::ZERO } },
                now,
            );
            return if tell { News::Tell(0) } else { News::Newer };
        };
        if age(&word) <= age(&heard.word) {
            return News::Old;
        }
        let before = heard.word;
        let changed = class(&before) != class(&word);
        // Words of one refresh reach a node by several ways within some hundred ms.
        let due = word.overload_state > 0 && now.since(heard.told) >= REFRESH.mul_f32(0.8);
        (heard.word, heard.at) = (word, now);
        if changed || due {
            heard.told = now;
            return News::Tell(before.overload_state);
        }
        News::Newer
    }

    /// The newest word, if it is fresh.
    pub(crate) fn get(&self, node: NodeId, now: Instant) -> Option<&HealthPiggyback> {
        self.peers.get(node).filter(|heard| now.since(heard.at) < STALE).map(|heard| &heard.word)
    }

    /// Its overload state; 0 if it is not known.
    pub(crate) fn overload(&self, node: NodeId, now: Instant) -> u8 {
        self.get(node, now).map_or(0, |word| word.overload_state)
    }

    /// All fresh words.
    pub(crate) fn fresh(&self, now: Instant) -> impl Iterator<Item = &HealthPiggyback> {
        self.peers.values().filter(move |heard| now.since(heard.at) < STALE).map(|heard| &heard.word)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(seq: u32, overload_state: u8) -> HealthPiggyback {
        HealthPiggyback { node_id: [1; 16], seq, overload_state, ..HealthPiggyback::default() }
    }

    #[test]
    fn the_newest_word_counts_for_thirty_seconds() {
        let mut peers = PeerHealthAwareness::new(1);
        let node = NodeId::from_bytes([1; 16]);
        assert_eq!(peers.take(word(5, 2), Instant(0)), News::Tell(0));
        assert_eq!(peers.take(word(4, 0), Instant(1)), News::Old);
        assert_eq!(peers.take(word(5, 0), Instant(1)), News::Old);
        assert_eq!(peers.overload(node, Instant(29_999_999_999)), 2);
        assert_eq!(peers.overload(node, Instant(30_000_000_000)), 0);
    }

    #[test]
    fn a_change_is_news_and_illness_is_told_anew_every_ten_seconds() {
        let mut peers = PeerHealthAwareness::new(1);
        let at = |s: u64| Instant(s * 1_000_000_000);
        assert_eq!(peers.take(word(1, 0), at(0)), News::Newer);
        assert_eq!(peers.take(word(2, 3), at(1)), News::Tell(0));
        assert_eq!(peers.take(word(3, 3), at(2)), News::Newer);
        assert_eq!(peers.take(word(4, 3), at(11)), News::Tell(3));
        assert_eq!(peers.take(word(5, 0), at(12)), News::Tell(3));
        assert_eq!(peers.take(word(6, 0), at(60)), News::Newer);
    }

    #[test]
    fn a_million_strangers_words_stay_within_the_bound() {
        let mut peers = PeerHealthAwareness::new(1);
        for node in 0..100_000_u128 {
            peers.take(HealthPiggyback { node_id: node.to_be_bytes(), ..word(1, 3) }, Instant(1));
        }
        assert!(peers.len() <= crate::peers::PEERS_MAX);
    }
}
