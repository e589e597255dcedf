//! What this gate does when a member's state changes. One shard of a gate has the datagram ports; the others hear of
//! members from it.

use std::time::Duration;

use hyperscale_codec::RawFrame;
use hyperscale_codec::messages::ArchivedPushPull;
use hyperscale_core::LinkId;
use hyperscale_fleet::{Change, Identity, MemberState};

use crate::core::{Command, GateConfig, GateCore, GateEffects};

/// A dead member's link that said nothing for so long is closed; one that speaks is better evidence than gossip.
const SILENT: Duration = Duration::from_secs(2);

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
                Change::OutOfBand { .. } => {}
            }
        }
        if !told.is_empty() && self.config.identity.shards > 1 {
            effects.command(Command::Members(told));
        }
        self.changes = changes;
        self.changes.clear();
    }

    fn close_silent(&self, node: hyperscale_codec::NodeId, effects: &mut GateEffects) {
        let of_node = self.links.iter().filter(|(_, link)| link.node == node);
        for (link, _) in of_node.filter(|(_, link)| link.pulse.silent_for(self.now) >= SILENT) {
            effects.close(*link);
        }
    }

    /// What people call a node; its id, where nobody told.
    fn name_of(&self, node: hyperscale_codec::NodeId) -> String {
        let gate = self.gates.get(&node).map(|gate| &gate.card);
        let manager = || self.managers.values().map(|manager| &manager.card).find(|card| card.node == node);
        let departed = || self.departed.cards(self.now).find(|card| card.node == node);
        let card = gate.or_else(manager).or_else(departed);
        card.map_or_else(|| node.to_string(), |card| card.name.clone())
    }
}
