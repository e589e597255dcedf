//! Nodes that registered once and are no longer linked: people still see how they stand, and they come back as who
//! they were.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::{NodeEntry, NodeState};
use hyperscale_core::Instant;

use crate::{Card, Membership};

/// Nodes at most; the one that has been gone longest is forgotten.
const DEPARTED_MAX: usize = 1_024;
/// Remembered so long; as long as the membership remembers the dead.
const REMEMBERED: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
struct Gone {
    card: Card,
    since: Instant,
    /// It said goodbye.
    left: bool,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Departed(BTreeMap<NodeId, Gone>);

impl Departed {
    /// Its last link is gone.
    pub fn keep(&mut self, now: Instant, card: Card, left: bool) {
        self.0.retain(|_, gone| now.since(gone.since) < REMEMBERED);
        if self.0.len() >= DEPARTED_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, gone)| gone.since).map(|(node, _)| *node)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(card.node, Gone { card, since: now, left });
    }

    /// It is back: its card as it was.
    pub fn take(&mut self, node: NodeId) -> Option<Card> {
        self.0.remove(&node).map(|gone| gone.card)
    }

    /// A node of this name is here: who had it before is no more.
    pub fn succeed(&mut self, card: &Card) -> Option<NodeId> {
        let same = |gone: &Gone| {
            gone.card.role == card.role && gone.card.name == card.name && gone.card.node != card.node
        };
        let before = self.0.iter().find(|(_, gone)| same(gone)).map(|(node, _)| *node)?;
        self.0.remove(&before).map(|_| before)
    }

    /// Cards of those that are remembered.
    pub fn cards(&self, now: Instant) -> impl Iterator<Item = &Card> {
        self.0.values().filter(move |gone| now.since(gone.since) < REMEMBERED).map(|gone| &gone.card)
    }

    /// As people see them: by what the membership says, or else by how their link ended.
    pub fn rows(&self, now: Instant, membership: &Membership) -> Vec<NodeEntry> {
        let fresh = self.0.values().filter(|gone| now.since(gone.since) < REMEMBERED);
        let row = |gone: &Gone| {
            let mut row = gone.card.row(now, None, membership.member(gone.card.node));
            if membership.member(gone.card.node).is_none() {
                row.state = if gone.left { NodeState::Left } else { NodeState::Dead }.to_wire();
                row.since_ms = u64::try_from(now.since(gone.since).as_millis()).unwrap_or(u64::MAX);
            }
            (row.accepting, row.jobs) = (false, 0);
            row
        };
        fresh.map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::Role;

    use super::*;
    use crate::{Identity, MembershipConfig};

    #[test]
    fn who_is_gone_is_shown_for_two_minutes_and_comes_back_as_it_was() {
        let own = Identity::new(Role::Manager, NodeId(1), "m");
        let membership = Membership::new(&own, MembershipConfig::new("f", 1), Instant::ZERO);
        let card = |node: u128, at| {
            let identity = Identity::new(Role::Worker, NodeId(node), format!("w-{node}"));
            Card::own(&identity, Instant(at), 3, true)
        };
        let mut departed = Departed::default();
        departed.keep(Instant(5), card(2, 0), false);
        departed.keep(Instant(6), card(3, 1), true);
        let states = |rows: Vec<NodeEntry>| rows.iter().map(|row| row.state).collect::<Vec<_>>();
        let rows = departed.rows(Instant(7), &membership);
        assert!(rows.iter().all(|row| !row.accepting && row.jobs == 0));
        assert_eq!(states(rows), [NodeState::Dead, NodeState::Left].map(NodeState::to_wire));
        assert_eq!(departed.take(NodeId(3)).map(|card| card.since), Some(Instant(1)));
        assert!(departed.rows(Instant(5) + REMEMBERED, &membership).is_empty());
    }

    #[test]
    fn many_that_are_gone_push_the_oldest_out() {
        let mut departed = Departed::default();
        for node in 0..2_000_u128 {
            let identity = Identity::new(Role::Worker, NodeId(node), "w");
            let at = u64::try_from(node).unwrap();
            departed.keep(Instant(at), Card::own(&identity, Instant(at), 0, true), false);
        }
        assert_eq!(departed.0.len(), DEPARTED_MAX);
        assert!(departed.take(NodeId(975)).is_none() && departed.take(NodeId(976)).is_some());
    }
}
