//! What this gate does when a member's state changes. One shard of a gate has the datagram ports; the others hear of
//! members from it.

use hyperscale_codec::messages::ArchivedPushPull;
use hyperscale_codec::{NodeId, RawFrame};
use hyperscale_core::LinkId;
use hyperscale_fleet::{Change, Identity, MemberState, follow_member};
use hyperscale_health::FAILURES_MAX;

use crate::core::{Command, GateConfig, GateCore, GateEffects};

/// Who this shard is as a member: nobody, but for the one that has the ports.
pub(crate) fn member(config: &GateConfig) -> Identity {
    let mut identity = config.identity.clone();
    if config.shard.0 != 0 {
        (identity.swim_port, identity.oob_port) = (0, 0);
    }
    identity
}

impl GateCore {
    pub(crate) fn on_push_pull(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedPushPull,
        effects: &mut GateEffects,
    ) {
        self.membership.on_push_pull(self.now, (link, frame), told, &self.links, effects);
    }

    /// Acts on what changed among the members.
    pub(crate) fn follow_members(&mut self, effects: &mut GateEffects) {
        self.membership.take_changes(&mut self.changes);
        if self.changes.is_empty() {
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        let mut told = Vec::new();
        for change in &changes {
            match *change {
                Change::State { node, from, to } => {
                    told.extend(self.membership.member(node));
                    let name = self.name_of(node);
                    follow_member(self.now, (node, &name), (from, to), &self.links, effects);
                    if to == MemberState::Dead {
                        // Nobody probes the dead: what the group found counts as all rounds that would fail.
                        (0..FAILURES_MAX).for_each(|_| self.on_probe_round(node, false));
                    }
                }
                Change::ProbeRound { node, answered } => self.on_probe_round(node, answered),
                Change::OutOfBand { .. } => {}
            }
        }
        if !told.is_empty() && self.config.identity.shards > 1 {
            effects.command(Command::Members(told));
        }
        self.changes = changes;
        self.changes.clear();
    }

    /// What people call a node; its id, where nobody told.
    fn name_of(&self, node: NodeId) -> String {
        let gate = self.gates.get(&node).map(|gate| &gate.card);
        let manager = || self.managers.values().map(|manager| &manager.card).find(|card| card.node == node);
        let departed = || self.departed.cards(self.now).find(|card| card.node == node);
        let card = gate.or_else(manager).or_else(departed);
        card.map_or_else(|| node.to_string(), |card| card.name.clone())
    }
}
