//! A small table of what this node measured or heard of peers, beside the list of members. At the bound the one of the
//! next sixteen places that was touched longest ago makes room.

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use crate::index::Index;

/// Peers remembered.
pub(crate) const PEERS_MAX: usize = 1_000;
const LOOKED_AT: usize = 16;

#[derive(Debug, Clone)]
struct Row<V> {
    node: NodeId,
    touched: Instant,
    value: V,
}

/// Values by node.
#[derive(Debug, Clone)]
pub(crate) struct Peers<V> {
    index: Index,
    rows: Vec<Row<V>>,
    hand: usize,
}

impl<V> Peers<V> {
    pub(crate) fn new(key: u64) -> Self {
        Self { index: Index::new(key), rows: Vec::new(), hand: 0 }
    }

    fn place(&self, node: NodeId) -> Option<usize> {
        let is_it = |at: u32| self.rows.get(at as usize).is_some_and(|row| row.node == node);
        self.index.find(node.0, is_it).map(|at| at as usize)
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&V> {
        if self.rows.is_empty() {
            return None;
        }
        self.rows.get(self.place(node)?).map(|row| &row.value)
    }

    pub(crate) fn get_mut(&mut self, node: NodeId, now: Instant) -> Option<&mut V> {
        let at = self.place(node)?;
        self.rows.get_mut(at).map(|row| {
            row.touched = now;
            &mut row.value
        })
    }

    /// Adds one that is not held.
    pub(crate) fn insert(&mut self, node: NodeId, value: V, now: Instant) {
        let row = Row { node, touched: now, value };
        if self.rows.len() < PEERS_MAX {
            self.index.insert(node.0, self.rows.len() as u32);
            self.rows.push(row);
            return;
        }
        let len = self.rows.len();
        let candidates = (self.hand..self.hand + LOOKED_AT).map(|at| at % len);
        let oldest = candidates.min_by_key(|&at| self.rows.get(at).map(|row| row.touched)).unwrap_or(0);
        self.hand = (self.hand + LOOKED_AT) % len;
        if let Some(place) = self.rows.get_mut(oldest) {
            self.index.remove(place.node.0, oldest as u32);
            self.index.insert(node.0, oldest as u32);
            *place = row;
        }
    }

    pub(crate) fn remove(&mut self, node: NodeId) {
        let Some(at) = self.place(node) else { return };
        self.index.remove(node.0, at as u32);
        let last = self.rows.len() - 1;
        self.rows.swap_remove(at);
        if let Some(moved) = self.rows.get(at) {
            self.index.remove(moved.node.0, last as u32);
            self.index.insert(moved.node.0, at as u32);
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.iter().map(|row| &row.value)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_grows_over_its_bound_and_finds_what_it_holds() {
        let mut peers = Peers::new(3);
        for node in 0..5_000_u64 {
            peers.insert(NodeId(u128::from(node)), node, Instant(node));
            assert!(peers.len() <= PEERS_MAX);
            assert_eq!(peers.get(NodeId(u128::from(node))), Some(&node));
        }
        let held: Vec<u64> =
            (0..5_000).filter(|&node| peers.get(NodeId(u128::from(node))).is_some()).collect();
        assert_eq!(held.len(), PEERS_MAX);
        for node in held.iter().step_by(3) {
            peers.remove(NodeId(u128::from(*node)));
        }
        for (at, node) in held.iter().enumerate() {
            let found = peers.get(NodeId(u128::from(*node)));
            assert_eq!(found, (at % 3 != 0).then_some(node));
        }
    }
}
