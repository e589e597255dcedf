//! Who is linked to this manager: gates, the datacenter's other managers, workers. Registrations and heartbeats.

use std::collections::BTreeSet;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedGateHeartbeat, ArchivedManagerHeartbeat, ArchivedManagerPeerRegistration,
    ArchivedManagerPeerRegistrationResponse, ArchivedNodesRequest, ArchivedWorkerHeartbeat,
    ArchivedWorkerRegistration, HealthPiggyback, ManagerHeartbeat, ManagerPeerRegistrationResponse,
    NodesResponse, RegistrationResponse, StatsFinalAck,
};
use hyperscale_codec::{Head, JobId, RawFrame, Role};
use hyperscale_core::{DialId, LinkId, Peer};
use hyperscale_fleet::{Card, Dialled, PeerLink, beat_ms, page};
use hyperscale_health::RoutingDecision;
use hyperscale_ledger::ManagerEntry;

use crate::calls::Call;
use crate::core::{Command, ManagerCore, ManagerEffects, Worker};
use crate::job::DcJob;

/// Workers of one manager at most; one more is refused.
const WORKERS_MAX: usize = 16_384;
/// Other managers of one datacenter at most.
const PEERS_MAX: usize = 64;
/// 3 of `overload_state`.
const OVERLOADED: u8 = 3;

impl ManagerCore {
    pub(crate) fn on_link_up(
        &mut self,
        link: LinkId,
        peer: &Peer,
        dial: Option<DialId>,
        effects: &mut ManagerEffects,
    ) {
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
        let entry = PeerLink::new(&self.config.identity, peer);
        let owner = (entry.node, entry.shard, peer.hello.boot);
        // Managers dial gates; a gate that comes by itself only looks whether somebody is here.
        let is_gate = entry.role == Role::Gate && dial.is_some();
        self.links.insert(link, entry);
        if dial.is_some() {
            self.register(link, effects);
        }
        if is_gate {
            self.gates.insert(link, owner);
            self.part_with_unfenced(effects);
            self.resend_finals(link, owner, effects);
        }
    }

    pub(crate) fn on_link_down(&mut self, link: LinkId, effects: &mut ManagerEffects) {
        let now = self.now;
        self.calls.on_link_down(now, link);
        self.dialer.on_down(now, link);
        let gone = self.links.remove(&link);
        self.membership.on_link_down(now, (link, gone.as_ref()), &self.links, effects);
        let Some(gone) = gone else { return };
        if self.gates.remove(&link).is_some() {
            for job in self.jobs.values_mut().filter(|job| job.gate_link == link) {
                job.orphaned_since.get_or_insert(now);
            }
        }
        if let Some(peer) = self.managers.get_mut(&gone.node) {
            peer.links.remove(&link);
            if peer.links.is_empty() {
                let name = &peer.card.name;
                match gone.left {
                    true => tracing::info!(manager = name, "a manager of this datacenter has left"),
                    false => tracing::warn!(manager = name, "a manager of this datacenter is gone"),
                }
                self.departed.keep(now, peer.card.clone(), gone.left);
                self.managers.remove(&gone.node);
            }
        }
        if let Some(worker) = self.workers.remove(&link) {
            match gone.left {
                true => tracing::info!(worker = worker.name, "a worker has left"),
                false => tracing::warn!(worker = worker.name, "a worker is gone"),
            }
            self.departed.keep(now, worker.card.clone(), gone.left);
            self.silent.remove(&worker.node);
            self.unwatch_worker(worker.node, gone.left);
            self.announce(effects);
            self.on_worker_lost(&worker, "is gone", effects);
        }
    }

    /// A job whose gate stays away has nobody to run for: without a replicated ledger nobody takes it over.
    pub(crate) fn stop_orphans(&mut self, effects: &mut ManagerEffects) {
        let (now, wait) = (self.now, self.config.gate_wait);
        let away = |job: &DcJob| job.orphaned().is_some_and(|since| now.since(since) >= wait);
        let mut given_up = Vec::new();
        for job in self.jobs.values_mut().filter(|job| away(job)) {
            job.given_up = true;
            given_up.push(job.id);
            if job.outcome.is_none() && !job.cancelled {
                let text = format!("the gate that owns the job was away for {} s", wait.as_secs());
                tracing::warn!(job = %job.id, "{text}; its load stops");
                job.event(now, "gate_lost", text);
                effects.command(Command::Propose(ManagerEntry::DcCancelRequested { job: job.id }));
            }
        }
        given_up.into_iter().for_each(|job| self.let_go_if_abandoned(job, effects));
    }

    /// Of a job that ended for nobody the workers need not keep their figures: this manager has them.
    pub(crate) fn let_go_if_abandoned(&mut self, id: JobId, effects: &mut ManagerEffects) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.is_abandoned()) else { return };
        for (link, worker) in &self.workers {
            let own = || job.totals.rows().map(|held| held.source).filter(|at| at.worker == worker.node);
            let kept = StatsFinalAck {
                job: id.to_bytes(),
                source_worker: own().map(|source| source.worker.to_bytes()).collect(),
                source_shard: own().map(|source| source.shard.0).collect(),
                source_epoch: own().map(|source| source.epoch.0).collect(),
            };
            if !kept.source_epoch.is_empty() {
                effects.send(*link, Head::default().job(id), &kept);
            }
        }
        self.tell_if_drained(effects);
    }

    pub(crate) fn registration(&self) -> hyperscale_codec::messages::ManagerPeerRegistration {
        self.config.identity.manager_registration(self.worker_shards())
    }

    /// Shards of workers that take work.
    pub(crate) fn worker_shards(&self) -> u32 {
        let able = self.workers.values().filter(|worker| self.fitness(worker) < RoutingDecision::Drain);
        able.fold(0, |sum, worker| sum.saturating_add(worker.shards))
    }

    /// Tells the gates how many worker shards there are now.
    pub(crate) fn announce(&mut self, effects: &mut ManagerEffects) {
        let links: Vec<LinkId> = self.gates.keys().copied().collect();
        links.into_iter().for_each(|link| self.register(link, effects));
    }

    /// A gate's or manager's answer to our registration; a gate tells anew when others join it.
    pub(crate) fn on_registered(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        answer: &ArchivedManagerPeerRegistrationResponse,
        effects: &mut ManagerEffects,
    ) {
        let attempts = self.calls.attempt(&Call::Register(link));
        let is_answer = self.calls.on_answer(self.now, link, frame.header.correlation).is_some();
        if answer.accepted {
            self.joined = true;
            self.dialer.settled(link);
            // Before it was taken on, its figures were nobody's there.
            if let Some(owner) = self.gates.get(&link).copied().filter(|_| is_answer && attempts > 1) {
                self.resend_finals(link, owner, effects);
            }
            answer.peers.iter().for_each(|addr| self.dialer.learn(self.now, addr.as_str()));
            self.dialer.go(self.now, effects);
            return;
        }
        let error = answer.error.as_str().to_owned();
        if self.joined {
            tracing::error!(error, "this manager is not taken on; trying again");
            effects.close(link);
        } else {
            effects.command(Command::Refused(error));
        }
    }

    /// Another manager of this datacenter.
    pub(crate) fn on_manager(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedManagerPeerRegistration,
        effects: &mut ManagerEffects,
    ) {
        let card = Card::of_manager(told, self.now);
        let error = self.manager_objection(&card);
        let answer = ManagerPeerRegistrationResponse {
            accepted: error.is_none(),
            error: error.clone().unwrap_or_default(),
            protocol_version: self.config.identity.version.to_wire(),
            features: self.config.identity.features.0,
            peers: self.manager_addrs(),
        };
        effects.send(link, Head::reply(frame.header.correlation), &answer);
        if let Some(error) = error {
            tracing::warn!(error, "a manager was not taken on");
            return;
        }
        self.dialer.learn(self.now, &card.addr);
        self.departed.take(card.node);
        self.departed.succeed(&card);
        self.membership.meet(self.now, link, &self.links, effects);
        let links = self.links.iter().filter(|(_, other)| other.node == card.node);
        let links: BTreeSet<LinkId> = links.map(|(link, _)| *link).collect();
        let is_new = !self.managers.contains_key(&card.node);
        self.managers.insert(card.node, crate::core::ManagerPeer { card, links });
        self.part_with_unfenced(effects);
        if is_new {
            // Workers dial it as soon as they know where it is.
            let answer = self.worker_answer(None);
            self.workers.keys().for_each(|link| effects.send(*link, Head::default(), &answer));
        }
        self.dialer.go(self.now, effects);
    }

    fn manager_objection(&self, card: &Card) -> Option<String> {
        let own = Card::own(&self.config.identity, self.now, 0, true);
        let mut others = std::iter::once(&own).chain(self.managers.values().map(|peer| &peer.card));
        if let Some(conflict) = others.find_map(|other| card.name_conflict(other)) {
            return Some(conflict);
        }
        let own = &self.config.identity.datacenter;
        if card.datacenter != *own {
            return Some(format!(
                "manager {} is of datacenter {:?}, this one of {own:?}; join gates, or managers of one's own datacenter",
                card.name, card.datacenter
            ));
        }
        if !card.fences() {
            return Some(card.fence_required());
        }
        (self.managers.len() >= PEERS_MAX && !self.managers.contains_key(&card.node))
            .then(|| format!("this manager knows {PEERS_MAX} others, as many as it can"))
    }

    /// Frame addresses of the datacenter's managers, this one's first.
    fn manager_addrs(&self) -> Vec<String> {
        let own = self.config.identity.addr_text();
        let others = self.managers.values().map(|peer| peer.card.addr.clone());
        std::iter::once(own).chain(others).filter(|addr| !addr.is_empty()).collect()
    }

    pub(crate) fn on_worker(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedWorkerRegistration,
        effects: &mut ManagerEffects,
    ) {
        let card = Card::of_worker(told, &self.config.identity.datacenter, self.now);
        let before = self.workers.values().find(|other| other.node == card.node).map(|before| &before.card);
        let (is_new, card) = (before.is_none(), card.after(before));
        let error = self.worker_objection(&card);
        effects.send(link, Head::reply(frame.header.correlation), &self.worker_answer(error.clone()));
        if let Some(error) = error {
            tracing::warn!(error, "a worker was not taken on");
            return;
        }
        if is_new {
            let Card { name, addr, version, .. } = &card;
            tracing::info!(worker = name, addr, %version, shards = card.shards, "a worker joined");
        }
        self.departed.take(card.node);
        if let Some(before) = self.departed.succeed(&card) {
            self.health.remove(before);
        }
        if is_new {
            self.membership.meet(self.now, link, &self.links, effects);
        }
        let (node, name, shards) = (card.node, card.name.clone(), card.shards);
        self.silent.remove(&node);
        let before = self.workers.iter().find(|(at, other)| other.node == node && **at != link);
        let before = before.map(|(at, _)| *at).and_then(|at| self.workers.remove(&at));
        self.workers.insert(link, Worker { node, name, shards, card });
        // It has given a connection up that seemed to be up: what was on its way there is lost, and so was the worker.
        if let Some(before) = before {
            self.on_worker_lost(&before, "came back on another connection", effects);
        }
        self.on_worker_back(link, node, effects);
        self.watch_worker(node, told.capacity_vus.to_native());
        self.announce(effects);
    }

    fn worker_answer(&self, error: Option<String>) -> RegistrationResponse {
        RegistrationResponse {
            accepted: error.is_none(),
            error: error.unwrap_or_default(),
            protocol_version: self.config.identity.version.to_wire(),
            features: self.config.identity.features.0,
            heartbeat_ms: beat_ms(),
            managers: self.manager_addrs(),
        }
    }

    fn worker_objection(&self, card: &Card) -> Option<String> {
        let mut others = self.workers.values().map(|worker| &worker.card);
        if let Some(conflict) = others.find_map(|other| card.name_conflict(other)) {
            return Some(conflict);
        }
        if card.shards == 0 {
            return Some(format!("worker {} has no shard", card.name));
        }
        if !card.fences() && !self.is_alone() {
            return Some(card.fence_required());
        }
        let known = self.workers.values().any(|worker| worker.node == card.node);
        (self.workers.len() >= WORKERS_MAX && !known)
            .then(|| format!("{WORKERS_MAX} workers are registered, as many as one manager takes"))
    }

    /// Whether this is a fleet of one gate and one manager, as far as is known.
    fn is_alone(&self) -> bool {
        let gates: BTreeSet<_> = self.gates.values().map(|(node, _, _)| *node).collect();
        gates.len() <= 1 && self.managers.is_empty()
    }

    /// A second gate or manager is there: orders of two have to be told apart, which an old worker cannot.
    fn part_with_unfenced(&self, effects: &mut ManagerEffects) {
        if self.is_alone() {
            return;
        }
        for (link, worker) in self.workers.iter().filter(|(_, worker)| !worker.card.fences()) {
            let error = worker.card.fence_required();
            tracing::warn!(error, "a worker is not kept");
            effects.send(*link, Head::default(), &self.worker_answer(Some(error)));
            effects.close(*link);
        }
    }

    pub(crate) fn on_worker_beat(
        &mut self,
        link: LinkId,
        beat: &ArchivedWorkerHeartbeat,
        effects: &mut ManagerEffects,
    ) {
        let (now, wall) = (self.now, self.config.wall);
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.hear(now, wall, &beat.health, &beat.clock);
        let Some(worker) = self.workers.get_mut(&link) else { return };
        let shares = beat.shares.to_native();
        worker.card.jobs = shares;
        let accepting = beat.health.accepting_work;
        if worker.card.accepting != accepting {
            worker.card.accepting = accepting;
            tracing::info!(worker = worker.name, accepting, "a worker changed whether it takes work");
            let node = worker.node;
            self.announce(effects);
            // One that is only overloaded keeps what it has.
            if !accepting && beat.health.overload_state < OVERLOADED {
                self.move_shares_of(node, effects);
            }
        }
        self.on_worker_health(link, &beat.health, shares, effects);
    }

    pub(crate) fn on_gate_beat(&mut self, link: LinkId, beat: &ArchivedGateHeartbeat) {
        let (now, wall) = (self.now, self.config.wall);
        if let Some(entry) = self.links.get_mut(&link) {
            entry.hear(now, wall, &beat.health, &beat.clock);
            // Whoever hears a gate is not cut off: what fails here does so there.
            self.health.on_watcher_connected(now);
        }
    }

    pub(crate) fn on_manager_beat(&mut self, link: LinkId, beat: &ArchivedManagerHeartbeat) {
        let (now, wall) = (self.now, self.config.wall);
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.hear(now, wall, &beat.health, &beat.clock);
        if let Some(peer) = self.managers.get_mut(&entry.node) {
            (peer.card.jobs, peer.card.accepting) = (beat.jobs.to_native(), beat.accepting_jobs);
        }
    }

    /// Says on every link that this node lives.
    pub(crate) fn beat(&mut self, effects: &mut ManagerEffects) {
        let (now, wall) = (self.now, self.config.wall);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (live, known) = self.workers_live_and_known();
        let (jobs, free) = (count(self.live_jobs()), self.worker_shards());
        let (throughput, expected_throughput) = self.dispatch_rates();
        let (identity, accepting, overload_state) = (&self.config.identity, !self.draining, self.overload);
        for (id, link) in &mut self.links {
            let (health, clock) = link.beat(identity, now, wall, accepting, free);
            let health = self.membership.stamp(health);
            let health = HealthPiggyback { throughput, expected_throughput, overload_state, ..health };
            let beat = ManagerHeartbeat {
                health,
                clock,
                has_quorum: true,
                accepting_jobs: accepting,
                is_leader: false,
                workers_live: count(live),
                workers_known: count(known),
                jobs,
                ..ManagerHeartbeat::default()
            };
            effects.send(*id, Head::default(), &beat);
        }
        let health = self.config.identity.health(0, accepting, free);
        let health = HealthPiggyback { overload_state, ..health };
        self.membership.tell(now, health, &self.links, effects);
    }

    /// This manager's workers.
    pub(crate) fn on_nodes(
        &self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedNodesRequest,
        effects: &mut ManagerEffects,
    ) {
        let now = self.now;
        let rows = self.workers.iter().map(|(link, worker)| {
            let pulse = self.links.get(link).map(|link| &link.pulse);
            worker.card.row(now, pulse, self.membership.member(worker.node))
        });
        let rows = rows.chain(self.departed.rows(now, &self.membership));
        let (nodes, next) = page(rows.collect(), request.cursor.as_str(), request.limit.to_native());
        let answer = NodesResponse { nodes, next, missing: Vec::new() };
        effects.send(link, Head::reply(frame.header.correlation), &answer);
    }

    /// Half of the least round trip to a worker: an order is that old when it arrives.
    pub(crate) fn one_way(&self, link: LinkId) -> Duration {
        let clock = self.links.get(&link).and_then(|link| link.pulse.clock());
        clock.map_or(Duration::ZERO, |clock| clock.round_trip / 2)
    }
}
