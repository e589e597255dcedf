//! Why a node is judged as it is: what this gate says of itself, and of those that it watches.

use hyperscale_codec::messages::NodeVerdict;
use hyperscale_core::Instant;
use hyperscale_fleet::{Card, own_verdict, verdict};

use crate::core::GateCore;

impl GateCore {
    /// All that this gate can say of nodes of this name.
    pub(crate) fn verdicts(&mut self, name: &str, now: Instant) -> Vec<NodeVerdict> {
        let gates = self.gates.values().map(|gate| &gate.card);
        let managers = self.managers.values().map(|manager| &manager.card);
        let known = gates.chain(managers).chain(self.departed.cards(now));
        let cards: Vec<Card> = known.filter(|card| card.name == name).cloned().collect();
        let mut verdicts = Vec::new();
        if self.config.identity.name == name {
            verdicts.push(own_verdict(&self.config.identity, &self.view(now)));
        }
        for card in cards {
            let rows = self.explain(card.node, now).into_iter().map(|row| (row.name, row.value, row.ok));
            let membership = self.membership.signals(card.node, now);
            verdicts.push(verdict(&self.config.identity, &card, rows, membership));
        }
        verdicts
    }
}
