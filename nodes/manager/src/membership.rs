//! What this manager does when a member's state changes.

use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_fleet::{Change, MemberState};

use crate::core::{ManagerCore, ManagerEffects};

/// A dead member's link that said nothing for so long is closed; one that speaks is better evidence than gossip.
const SILENT: Duration = Duration::from_secs(2);

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
                    match to {
                        MemberState::Suspect => tracing::warn!(node = name, "a member is suspected"),
                        MemberState::Dead => tracing::warn!(node = name, "a member is dead"),
                        MemberState::Left => tracing::info!(node = name, "a member has left"),
                        MemberState::Alive if from.is_some_and(|from| from != MemberState::Left) => {
                            tracing::info!(node = name, "a member is alive again");
                        }
                        MemberState::Alive => {}
                    }
                    if to == MemberState::Dead {
                        self.close_silent(node, effects);
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

    fn close_silent(&self, node: NodeId, effects: &mut ManagerEffects) {
        let of_node = self.links.iter().filter(|(_, link)| link.node == node);
        for (link, _) in of_node.filter(|(_, link)| link.pulse.silent_for(self.now) >= SILENT) {
            effects.close(*link);
        }
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
