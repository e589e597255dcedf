//! What this manager does when a member's state changes.

use hyperscale_codec::NodeId;
use hyperscale_fleet::{Change, MemberState, follow_member};
use hyperscale_health::FAILURES_MAX;

use crate::core::{ManagerCore, ManagerEffects};

impl ManagerCore {
    /// Acts on what changed among the members.
    pub(crate) fn follow_members(&mut self, effects: &mut ManagerEffects) {
        self.membership.take_changes(&mut self.changes);
        if self.changes.is_empty() {
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        for change in &changes {
            match *change {
                Change::State { node, from, to } => {
                    let name = self.name_of(node);
                    follow_member(self.now, (node, &name), (from, to), &self.links, effects);
                    if to == MemberState::Dead {
                        // Nobody probes the dead: what the group found counts as all rounds that would fail.
                        (0..FAILURES_MAX).for_each(|_| self.on_probe_round(node, false));
                    }
                }
                Change::ProbeRound { node, answered } => self.on_probe_round(node, answered),
                Change::OutOfBand { node, answer } => {
                    let now = self.now;
                    if answer.is_some() {
                        self.health.update(now, node, |state| state.liveness.on_response(now));
                    }
                    self.on_out_of_band(node, answer.is_some(), effects);
                }
            }
        }
        self.changes = changes;
        self.changes.clear();
    }

    /// What people call a node; its id, where nobody told.
    fn name_of(&self, node: NodeId) -> String {
        let manager = self.managers.get(&node).map(|manager| &manager.card);
        let worker = || self.workers.values().map(|worker| &worker.card).find(|card| card.node == node);
        let departed = || self.departed.cards(self.now).find(|card| card.node == node);
        let card = manager.or_else(worker).or_else(departed);
        card.map_or_else(|| node.to_string(), |card| card.name.clone())
    }
}
