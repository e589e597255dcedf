//! What all calls to one peer share.

use std::collections::BTreeMap;

use hyperscale_codec::NodeId;
use hyperscale_reliability::{CircuitBreaker, RetryBudget};
use hyperscale_view::Gauge;

/// Peers whose budget is remembered; at the bound one without calls is forgotten.
const PEERS_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) budget: RetryBudget,
    pub(super) circuit: CircuitBreaker,
    calls: usize,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    all: BTreeMap<NodeId, Peer>,
}

impl Peers {
    pub(super) fn of(&mut self, node: NodeId) -> &mut Peer {
        if self.all.len() >= PEERS_MAX && !self.all.contains_key(&node) {
            let idle = self.all.iter().find(|(_, peer)| peer.calls == 0).map(|(node, _)| *node);
            idle.and_then(|node| self.all.remove(&node));
        }
        self.all.entry(node).or_default()
    }

    pub(super) fn on_begin(&mut self, node: NodeId) {
        let peer = self.of(node);
        peer.calls = peer.calls.saturating_add(1);
    }

    pub(super) fn on_end(&mut self, node: NodeId) {
        let peer = self.of(node);
        peer.calls = peer.calls.saturating_sub(1);
    }

    pub(super) fn is_open(&self, node: NodeId) -> bool {
        self.all.get(&node).is_some_and(|peer| peer.circuit.is_open())
    }

    pub(super) fn gauges(&self) -> impl Iterator<Item = Gauge> {
        let open = self.all.iter().filter(|(_, peer)| peer.circuit.is_open());
        open.map(|(node, _)| {
            let help = "1 for a peer that calls are kept from, because it did not answer.";
            Gauge::level("hyperscale_circuit_open", help, 1.0).label("peer", node.to_string())
        })
    }
}
