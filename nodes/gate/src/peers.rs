//! Who is linked to this shard: the node's other shards, gates, managers, clients. Registrations and heartbeats.
//!
//! Every gate that registered here is on the ring, with all its shards. A gate dials each shard of each other gate, and
//! a manager each shard of each gate, so a question crosses one link.

use std::collections::BTreeMap;

use hyperscale_codec::messages::{
    ArchivedGateHeartbeat, ArchivedGatePeerRegistration, ArchivedGatePeerRegistrationResponse,
    ArchivedManagerHeartbeat, ArchivedManagerPeerRegistration, GateHeartbeat, GatePeerRegistrationResponse,
    HealthPiggyback, ManagerPeerRegistrationResponse,
};
use hyperscale_codec::{Features, Head, NodeId, RawFrame, Role, ShardId};
use hyperscale_core::{DialId, LinkId, Peer};
use hyperscale_fleet::{Card, Dialled, PeerLink};
use hyperscale_health::RoutingDecision;
use hyperscale_jobs::Member;

use crate::core::{Command, GateCore, GateEffects};

/// Gates of one fleet, and managers of one gate, at most; one more is refused.
const PEERS_MAX: usize = 1_024;
/// Shards of one gate at most.
const SHARDS_MAX: u16 = 1_024;

/// Another gate.
#[derive(Debug, Clone)]
pub(crate) struct GatePeer {
    pub(crate) card: Card,
    pub(crate) links: BTreeMap<LinkId, ShardId>,
}

/// A manager that registered on this link.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) card: Card,
    /// Worker shards that take work.
    pub(crate) worker_shards: u32,
}

impl GateCore {
    pub(crate) fn on_link_up(
        &mut self,
        link: LinkId,
        peer: &Peer,
        dial: Option<DialId>,
        effects: &mut GateEffects,
    ) {
        let hello = &peer.hello;
        if self.membership.on_link_up(self.now, (link, dial, peer), &self.links, effects) {
            return;
        }
        if let Some(dial) = dial
            && self.dialer.on_up(self.now, dial, link, peer) == Dialled::Close
        {
            effects.close(link);
            self.dialer.go(self.now, effects);
            return;
        }
        self.links.insert(link, PeerLink::new(&self.config.identity, peer));
        if let Some(gate) = self.gates.get_mut(&hello.node) {
            gate.links.insert(link, hello.shard);
        }
        if dial.is_some() {
            self.register(link, effects);
        }
    }

    pub(crate) fn on_link_down(&mut self, link: LinkId, effects: &mut GateEffects) {
        self.dialer.on_down(self.now, link);
        self.jobs.values_mut().for_each(|job| job.forget_link(link));
        self.calls.on_link_down(self.now, link);
        self.fail_forwards(link, effects);
        self.forget_roster_link(link, effects);
        self.forget_job_list_link(link, effects);
        self.archive.forget_link(link);
        let gone = self.links.remove(&link);
        self.membership.on_link_down(self.now, (link, gone.as_ref()), &self.links, effects);
        let Some(gone) = gone else { return };
        if let Some(gate) = self.gates.get_mut(&gone.node) {
            gate.links.remove(&link);
            if gate.links.is_empty() {
                let name = &gate.card.name;
                match gone.left {
                    true => tracing::info!(gate = name, "a gate has left"),
                    false => tracing::warn!(gate = name, "a gate is gone; its jobs end with it"),
                }
                self.departed.keep(self.now, gate.card.clone(), gone.left);
                self.gates.remove(&gone.node);
                if gone.left {
                    self.gates_health.remove(gone.node);
                }
                self.ring.remove_node(gone.node);
            }
        }
        if let Some(manager) = self.managers.remove(&link) {
            let Card { name, datacenter, .. } = &manager.card;
            match gone.left {
                true => tracing::info!(manager = name, datacenter, "a manager has left"),
                false => tracing::warn!(manager = name, datacenter, "a manager is gone"),
            }
            let node = manager.card.node;
            self.unwatch_manager(node, gone.left);
            self.departed.keep(self.now, manager.card, gone.left);
            self.on_manager_lost(node);
        }
    }

    /// What this link's both ends have.
    pub(crate) fn common(&self, link: LinkId) -> Features {
        self.links.get(&link).map_or(Features::default(), |link| link.common)
    }

    /// A link to this shard of this gate, the node's own other shards included.
    pub(crate) fn link_to(&self, member: Member) -> Option<LinkId> {
        let is = |link: &PeerLink| {
            link.role == Role::Gate && link.node == member.node && link.shard == member.shard
        };
        self.links.iter().find(|(_, link)| is(link)).map(|(id, _)| *id)
    }

    /// Whether a gate takes new jobs, as far as it told.
    pub(crate) fn takes_jobs(&self, node: NodeId) -> bool {
        if node == self.config.identity.node {
            return !self.draining;
        }
        let evictable =
            self.gates_health.get_routing_decision(self.now, node) == Some(RoutingDecision::Evict);
        !evictable && self.gates.get(&node).is_some_and(|gate| gate.card.accepting)
    }

    /// Another gate registers: it is on the ring from now on.
    pub(crate) fn on_gate(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedGatePeerRegistration,
        effects: &mut GateEffects,
    ) {
        let card = Card::of_gate(told, self.now);
        let error = self.gate_objection(&card);
        let answer = GatePeerRegistrationResponse {
            accepted: error.is_none(),
            error: error.clone().unwrap_or_default(),
            protocol_version: self.config.identity.version.to_wire(),
            features: self.config.identity.features.0,
            peers: self.gate_addrs(),
        };
        effects.send(link, Head::reply(frame.header.correlation), &answer);
        if let Some(error) = error {
            tracing::warn!(error, "a gate was not taken on");
            return;
        }
        self.dialer.learn(self.now, &card.addr);
        self.departed.take(card.node);
        if let Some(before) = self.departed.succeed(&card) {
            self.gates_health.remove(before);
        }
        self.membership.meet(self.now, link, &self.links, effects);
        let links =
            self.links.iter().filter(|(_, other)| other.node == card.node && other.role == Role::Gate);
        let links: BTreeMap<LinkId, ShardId> = links.map(|(id, other)| (*id, other.shard)).collect();
        if let Some(known) = self.gates.get_mut(&card.node) {
            known.links = links;
        } else {
            let Card { name, addr, version, .. } = &card;
            tracing::info!(gate = name, addr, %version, "a gate joined");
            let shards = u16::try_from(card.shards).unwrap_or(u16::MAX).clamp(1, SHARDS_MAX);
            self.ring.add_node(card.node, shards);
            self.watch_gate(card.node);
            self.gates.insert(card.node, GatePeer { card, links });
            // Managers dial it as soon as they know where it is.
            let answer = self.manager_answer(None);
            self.managers.keys().for_each(|link| effects.send(*link, Head::default(), &answer));
        }
        self.dialer.go(self.now, effects);
    }

    /// Frame addresses of all gates, this one's first.
    fn gate_addrs(&self) -> Vec<String> {
        let own = self.config.identity.addr_text();
        let others = self.gates.values().map(|gate| gate.card.addr.clone());
        std::iter::once(own).chain(others).filter(|addr| !addr.is_empty()).collect()
    }

    /// Why a gate cannot be taken on.
    fn gate_objection(&self, card: &Card) -> Option<String> {
        let own = Card::own(&self.config.identity, self.now, 0, true);
        let mut others = std::iter::once(&own).chain(self.gates.values().map(|gate| &gate.card));
        if let Some(conflict) = others.find_map(|other| card.name_conflict(other)) {
            return Some(conflict);
        }
        if let Some(unfenced) = std::iter::once(card).chain(self.unfenced()).find(|card| !card.fences()) {
            return Some(unfenced.fence_required());
        }
        (self.gates.len() >= PEERS_MAX && !self.gates.contains_key(&card.node))
            .then(|| format!("this gate knows {PEERS_MAX} gates, as many as it can"))
    }

    /// A registered node that cannot fence: it stands only alone (25-2).
    fn unfenced(&self) -> Option<&Card> {
        let managers = self.managers.values().map(|manager| &manager.card);
        managers.chain(self.gates.values().map(|gate| &gate.card)).find(|card| !card.fences())
    }

    /// The answer of a gate that we registered with.
    pub(crate) fn on_registered(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        answer: &ArchivedGatePeerRegistrationResponse,
        effects: &mut GateEffects,
    ) {
        self.calls.on_answer(self.now, link, frame.header.correlation);
        if answer.accepted {
            self.joined = true;
            self.dialer.settled(link);
            answer.peers.iter().for_each(|addr| self.dialer.learn(self.now, addr.as_str()));
            self.dialer.go(self.now, effects);
            return;
        }
        let error = answer.error.as_str().to_owned();
        if self.joined {
            tracing::error!(error, "a gate does not take this one on; trying again");
            effects.close(link);
        } else {
            effects.command(Command::Refused(error));
        }
    }

    pub(crate) fn on_manager(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedManagerPeerRegistration,
        effects: &mut GateEffects,
    ) {
        let card = Card::of_manager(told, self.now);
        let before = self.managers.values().find(|other| other.card.node == card.node);
        let (is_new, card) = (before.is_none(), card.after(before.map(|before| &before.card)));
        let error = self.manager_objection(&card);
        let answer = self.manager_answer(error.clone());
        effects.send(link, Head::reply(frame.header.correlation), &answer);
        if let Some(error) = error {
            tracing::warn!(error, "a manager was not taken on");
            return;
        }
        let node = card.node;
        // Held up on a connection that the manager has given up for a later one: it is reached over that.
        if self.managers.iter().any(|(later, other)| other.card.node == node && *later > link) {
            return;
        }
        if is_new {
            let Card { name, datacenter, addr, version, .. } = &card;
            tracing::info!(manager = name, datacenter, addr, %version, "a manager joined");
        }
        self.departed.take(node);
        if let Some(before) = self.departed.succeed(&card) {
            self.health.remove(before);
        }
        if is_new {
            self.membership.meet(self.now, link, &self.links, effects);
        }
        let worker_shards = told.worker_shards.to_native();
        self.watch_manager(&card.datacenter, node, worker_shards);
        self.managers.retain(|_, other| other.card.node != node);
        self.managers.insert(link, Manager { card, worker_shards });
        self.on_manager_back(node, link, effects);
        self.dispatch_waiting(effects);
    }

    fn manager_answer(&self, error: Option<String>) -> ManagerPeerRegistrationResponse {
        ManagerPeerRegistrationResponse {
            accepted: error.is_none(),
            error: error.unwrap_or_default(),
            protocol_version: self.config.identity.version.to_wire(),
            features: self.config.identity.features.0,
            peers: self.gate_addrs(),
        }
    }

    fn manager_objection(&self, card: &Card) -> Option<String> {
        let others =
            || self.managers.values().map(|other| &other.card).filter(|other| other.node != card.node);
        if let Some(conflict) = others().find_map(|other| card.name_conflict(other)) {
            return Some(conflict);
        }
        let alone = self.gates.is_empty() && others().next().is_none();
        if !alone
            && let Some(unfenced) = std::iter::once(card).chain(self.unfenced()).find(|card| !card.fences())
        {
            return Some(unfenced.fence_required());
        }
        (others().count() >= PEERS_MAX)
            .then(|| format!("this gate knows {PEERS_MAX} managers, as many as it can"))
    }

    pub(crate) fn on_gate_beat(&mut self, link: LinkId, beat: &ArchivedGateHeartbeat) {
        let (now, wall) = (self.now, self.config.wall);
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.hear(now, wall, &beat.health, &beat.clock);
        if let Some(gate) = self.gates.get_mut(&entry.node) {
            gate.card.jobs = beat.jobs.to_native();
            gate.card.accepting = beat.health.accepting_work;
        }
        let node = entry.node;
        self.on_gate_health(node, beat);
    }

    pub(crate) fn on_manager_beat(
        &mut self,
        link: LinkId,
        beat: &ArchivedManagerHeartbeat,
        effects: &mut GateEffects,
    ) {
        let (now, wall) = (self.now, self.config.wall);
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.hear(now, wall, &beat.health, &beat.clock);
        let Some(manager) = self.managers.get_mut(&link) else { return };
        let node = manager.card.node;
        manager.card.jobs = beat.jobs.to_native();
        if manager.card.accepting != beat.accepting_jobs {
            manager.card.accepting = beat.accepting_jobs;
            self.dispatch_waiting(effects);
        }
        self.on_manager_health(node, beat, effects);
    }

    /// Says on every link to a gate or manager that this node lives.
    pub(crate) fn beat(&mut self, effects: &mut GateEffects) {
        let (now, wall) = (self.now, self.config.wall);
        let jobs = u32::try_from(self.live_jobs()).unwrap_or(u32::MAX);
        let free = self.managers.values().map(|manager| manager.worker_shards).fold(0, u32::saturating_add);
        let (identity, accepting, overload_state) = (&self.config.identity, !self.draining, self.overload);
        for (id, link) in &mut self.links {
            if !matches!(link.role, Role::Gate | Role::Manager) || link.node == identity.node {
                continue;
            }
            let (health, clock) = link.beat(identity, now, wall, accepting, free);
            let health = HealthPiggyback { overload_state, ..self.membership.stamp(health) };
            let beat = GateHeartbeat { health, clock, is_leader: false, jobs, ..GateHeartbeat::default() };
            effects.send(*id, Head::default(), &beat);
        }
        let health = self.config.identity.health(0, accepting, free);
        let health = HealthPiggyback { overload_state, ..health };
        self.membership.tell(now, health, &self.links, effects);
    }
}
