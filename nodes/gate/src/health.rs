//! How the managers and the other gates are, as this shard hears it (`spec.md` 3): who is asked to take a job, and what
//! class each datacenter is of.

use hyperscale_codec::messages::{
    ArchivedGateHeartbeat, ArchivedHealthPiggyback, ArchivedManagerHeartbeat, HealthPiggyback,
};
use hyperscale_codec::{NodeId, Role};
use hyperscale_core::{Instant, LinkId};
use hyperscale_health::{
    DatacenterSummary, GateHealthState, ManagerHealthState, ManagerWord, RoutingDecision, SignalRow,
};

use crate::core::{GateCore, GateEffects};

impl GateCore {
    /// A message of a node came: it lives.
    pub(crate) fn hear(&mut self, link: LinkId) {
        let now = self.now;
        let Some((role, node)) = self.links.get(&link).map(|link| (link.role, link.node)) else { return };
        match role {
            Role::Manager => {
                self.health.managers_mut().update(now, node, |state| state.liveness.on_response(now));
            }
            Role::Gate => {
                self.gates_health.update(now, node, |state| state.liveness.on_response(now));
            }
            Role::Client | Role::Worker => {}
        }
    }

    /// A manager registered, perhaps again, with so many worker shards that take work: it is taken at its word until
    /// its next heartbeat.
    pub(crate) fn watch_manager(&mut self, datacenter: &str, node: NodeId, worker_shards: u32) {
        let now = self.now;
        let fresh = ManagerHealthState::new(now, worker_shards);
        let before = self.health.managers().state(node).filter(|state| state.is_fresh(now));
        let state = before.copied().map_or(fresh, |mut before| {
            before.liveness.on_response(now);
            before.told = now;
            before.free_capacity = worker_shards;
            before.active_worker_count = before.active_worker_count.max(fresh.active_worker_count);
            before.known_worker_count = before.known_worker_count.max(before.active_worker_count);
            before
        });
        if let Err(error) = self.health.update(now, datacenter, node, state) {
            tracing::warn!(%error, "a manager is not watched");
        }
    }

    /// A manager's link is gone: it has left for good, or is missed.
    pub(crate) fn unwatch_manager(&mut self, node: NodeId, left: bool) {
        if left {
            self.health.remove(node);
        }
    }

    pub(crate) fn watch_gate(&mut self, node: NodeId) {
        if let Err(error) = self.gates_health.update_state(self.now, node, GateHealthState::new(self.now)) {
            tracing::warn!(%error, "a gate is not watched");
        }
    }

    /// What a manager's heartbeat says of how it is. Who may take work now, may take what waits.
    pub(crate) fn on_manager_health(
        &mut self,
        node: NodeId,
        beat: &ArchivedManagerHeartbeat,
        effects: &mut GateEffects,
    ) {
        let now = self.now;
        let word = ManagerWord {
            has_quorum: beat.has_quorum,
            accepting_jobs: beat.accepting_jobs,
            workers_live: beat.workers_live.to_native(),
            workers_known: beat.workers_known.to_native(),
        };
        let health = piggyback(&beat.health);
        let managers = self.health.managers_mut();
        let before = managers.get_routing_decision(now, node);
        managers.update(now, node, |state| state.on_heartbeat(now, &health, word));
        // Whoever hears a manager is not cut off.
        self.gates_health.on_watcher_connected(now);
        let after = self.health.managers().get_routing_decision(now, node);
        if before != after {
            let decision = after.map_or("unknown", RoutingDecision::word);
            tracing::info!(%node, decision, "a manager is judged otherwise");
            self.dispatch_waiting(effects);
        }
    }

    /// What a gate's heartbeat says of how it is.
    pub(crate) fn on_gate_health(&mut self, node: NodeId, beat: &ArchivedGateHeartbeat) {
        let now = self.now;
        let health = piggyback(&beat.health);
        // What its datacenters have free: any is connected.
        let connected = u32::from(health.capacity > 0);
        self.gates_health.update(now, node, |state| state.on_heartbeat(now, &health, connected));
        self.health.managers_mut().on_watcher_connected(now);
    }

    /// Managers and gates that are silent for long are evicted: they count no more until they are heard again.
    pub(crate) fn judge_nodes(&mut self) {
        let now = self.now;
        let managers: Vec<NodeId> = self.health.managers().evictable(now).collect();
        for node in managers {
            let tracker = self.health.managers_mut();
            if tracker.should_evict(now, node).should_evict {
                tracker.mark_evicted(now, node);
                tracing::warn!(%node, "a manager is evicted");
            }
        }
        let gates: Vec<NodeId> = self.gates_health.evictable(now).collect();
        for node in gates {
            if self.gates_health.should_evict(now, node).should_evict {
                self.gates_health.mark_evicted(now, node);
                tracing::warn!(%node, "a gate is evicted");
            }
        }
    }

    /// A manager as the choice of managers sees it; unknown ones are taken at their word.
    pub(crate) fn fitness(&self, node: NodeId) -> RoutingDecision {
        let known = self.health.managers().get_routing_decision(self.now, node);
        known.unwrap_or(RoutingDecision::Route)
    }

    /// What is known of a datacenter.
    #[must_use]
    pub fn datacenter(&self, name: &str, now: Instant) -> DatacenterSummary {
        self.health.summary(now, name)
    }

    /// A round of probes about a manager or gate ended: with an answer, direct or indirect, or without any.
    pub fn on_probe_round(&mut self, node: NodeId, answered: bool) {
        self.health.managers_mut().on_probe_round(self.now, node, answered);
        self.gates_health.on_probe_round(self.now, node, answered);
    }

    /// Why a manager or another gate is judged as it is; of others nothing is known here.
    pub fn explain(&mut self, node: NodeId, now: Instant) -> Vec<SignalRow> {
        if self.gates_health.state(node).is_some() {
            return self.gates_health.explain(now, node);
        }
        let datacenter = self.health.datacenter_of(node).map(str::to_owned);
        let mut rows = self.health.managers_mut().explain(now, node);
        if let Some(datacenter) = datacenter {
            rows.extend(self.health.explain(now, &datacenter));
        }
        rows
    }
}

fn piggyback(told: &ArchivedHealthPiggyback) -> HealthPiggyback {
    HealthPiggyback {
        accepting_work: told.accepting_work,
        capacity: told.capacity.to_native(),
        throughput: told.throughput.to_native(),
        expected_throughput: told.expected_throughput.to_native(),
        overload_state: told.overload_state,
        lhm: told.lhm,
        ..HealthPiggyback::default()
    }
}
