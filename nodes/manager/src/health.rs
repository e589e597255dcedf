//! How this manager's workers are, and what follows: who gets work, whose load moves though its link may live, who is
//! evicted (`spec.md` 3, 10).

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedHealthPiggyback, ArchivedHealthcheckExtensionRequest, HealthPiggyback,
    HealthcheckExtensionResponse,
};
use hyperscale_codec::{Features, Head, JobId, NodeId, RawFrame};
use hyperscale_core::{Instant, LinkId};
use hyperscale_health::{
    EvictionReason, HealthSignals, INTERVAL, ReportedProgress, RoutingDecision, SignalRow, WorkerHealthState,
};

use crate::calls::Call;
use crate::core::{ManagerCore, ManagerEffects, Worker};
use crate::job::ShareId;
use crate::revise::shares_of;
use crate::silence::Silence;
use crate::takeover::taken_over_at;

/// A dispatch that waits for longer is due, and late.
const DUE: Duration = Duration::from_secs(1);

/// Workflows given to workers since the last heartbeat.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dispatches {
    pub(crate) made: u32,
    since: Instant,
}

/// A worker that is investigated answers out of band within so long.
const INVESTIGATE: Duration = Duration::from_millis(500);

impl ManagerCore {
    /// Dispatches per second since the last heartbeat: made, and due. One that waits is due once in an interval.
    pub(crate) fn dispatch_rates(&mut self) -> (f32, f32) {
        let now = self.now;
        let Dispatches { made, since } =
            std::mem::replace(&mut self.dispatches, Dispatches { made: 0, since: now });
        let late = |since: Option<Instant>| since.is_some_and(|since| now.since(since) > DUE);
        let live = self.jobs.values().filter(|job| job.outcome.is_none() && !job.cancelled);
        let waiting = live.flat_map(|job| &job.workflows).filter(|entry| late(entry.due_since)).count();
        let waiting = if self.worker_shards() > 0 { waiting } else { 0 };
        let made = f64::from(made) / now.since(since).as_secs_f64().max(0.001);
        let waiting = f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)) / INTERVAL.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, reason = "rates of which two digits count")]
        let rates = (made as f32, (made + waiting) as f32);
        rates
    }

    /// A worker registered: it is alive, and taken at its word.
    pub(crate) fn watch_worker(&mut self, node: NodeId, capacity_vus: u32) {
        let state = WorkerHealthState::new(self.now, capacity_vus.div_ceil(1_000).max(1));
        if let Err(error) = self.health.update_state(self.now, node, state) {
            tracing::warn!(%error, "a worker is not watched");
        }
        self.times.on_worker_removed(node);
    }

    /// A message of a worker came: it lives.
    pub(crate) fn hear_worker(&mut self, link: LinkId) {
        let now = self.now;
        if let Some(worker) = self.workers.get(&link) {
            self.health.update(now, worker.node, |state| state.liveness.on_response(now));
        }
    }

    /// A worker's link is gone: it has left for good, or is missed until it is back or evicted.
    pub(crate) fn unwatch_worker(&mut self, node: NodeId, left: bool) {
        self.times.on_worker_removed(node);
        if left {
            self.health.remove(node);
        }
    }

    /// What a worker's heartbeat says of how it is.
    pub(crate) fn on_worker_health(
        &mut self,
        link: LinkId,
        told: &ArchivedHealthPiggyback,
        shares: u32,
        effects: &mut ManagerEffects,
    ) {
        let now = self.now;
        let Some(node) = self.workers.get(&link).map(|worker| worker.node) else { return };
        let health = HealthPiggyback {
            accepting_work: told.accepting_work,
            capacity: told.capacity.to_native(),
            throughput: told.throughput.to_native(),
            expected_throughput: told.expected_throughput.to_native(),
            overload_state: told.overload_state,
            ..HealthPiggyback::default()
        };
        let before = self.health.get_routing_decision(now, node);
        // Whose load cannot say how it gets on is not judged by it.
        let counts = health.expected_throughput > 0.0 && self.may_ask(link);
        let gets_on = health.throughput > 0.0;
        self.health.update(now, node, |state| {
            state.on_heartbeat(now, &health, shares);
            state.overdue &= counts && !gets_on;
        });
        if !counts {
            self.times.on_worker_removed(node);
        } else if gets_on {
            self.times.on_worker_working(now, node);
            self.times.on_worker_healthy(now, node);
        } else if !self.health.state(node).is_some_and(|state| state.overdue) {
            self.times.on_worker_working(now, node);
        }
        let after = self.health.get_routing_decision(now, node);
        if before != after {
            self.on_worker_decision(link, after, effects);
        }
    }

    fn may_ask(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| link.common.contains(Features::HEALTHCHECK_EXTENSIONS))
    }

    /// A worker is judged otherwise than before.
    fn on_worker_decision(
        &mut self,
        link: LinkId,
        decision: Option<RoutingDecision>,
        effects: &mut ManagerEffects,
    ) {
        let now = self.now;
        let Some(worker) = self.workers.get(&link) else { return };
        let (node, word) = (worker.node, decision.map_or("unknown", RoutingDecision::word));
        tracing::info!(worker = worker.name, decision = word, "a worker is judged otherwise");
        if decision == Some(RoutingDecision::Investigate) {
            let rows = self.health.state(node).map(|state| state.signals(now)).unwrap_or_default();
            let why = rows.into_iter().find(|row| row.name == "progress").map(|row| row.value);
            let text =
                format!("worker {} does not get on as it should: {}", worker.name, why.unwrap_or_default());
            let has_part =
                |job: &&mut crate::job::DcJob| job.outcome.is_none() && !shares_of(job, node).is_empty();
            self.jobs
                .values_mut()
                .filter(has_part)
                .for_each(|job| job.event(now, "worker_slow", text.clone()));
            let _where_it_has_such_a_port =
                self.membership.probe_out_of_band(now, (node, INVESTIGATE), &self.links, effects);
        }
        self.announce(effects);
    }

    /// A worker asks for time.
    pub(crate) fn on_extension_request(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedHealthcheckExtensionRequest,
        effects: &mut ManagerEffects,
    ) {
        let now = self.now;
        let Some(worker) = self.workers.get(&link) else { return };
        let (node, name) = (worker.node, worker.name.as_str());
        let suspect = self.health.state(node).is_some_and(|state| state.overdue || !state.liveness(now));
        let progress = ReportedProgress {
            fraction: told.current_progress.to_native(),
            completed_items: told.completed_items.as_ref().map(|items| items.to_native()),
        };
        let answer = self.times.handle_extension_request(now, node, progress, suspect);
        match answer.granted {
            Ok(grant) => tracing::warn!(
                worker = name,
                grant_ms = millis(grant),
                remaining = answer.remaining,
                "a worker asked for time and has it"
            ),
            Err(denial) => tracing::warn!(worker = name, %denial, "a worker asked for time in vain"),
        }
        let response = HealthcheckExtensionResponse {
            granted: answer.granted.is_ok(),
            extension_ms: answer.granted.map_or(0, millis),
            new_deadline_ms: millis(answer.left),
            remaining_extensions: answer.remaining,
            denial_reason: answer.granted.err().map_or_else(String::new, |denial| denial.to_string()),
            warning: if answer.is_last_but_one() {
                "one extension is left".to_owned()
            } else {
                String::new()
            },
        };
        effects.send(link, Head::reply(frame.header.correlation), &response);
    }

    /// Load of workers whose time is over moves, as that of lost ones does; and so does that of those that are silent,
    /// though their links are up. Who may be evicted is.
    pub(crate) fn judge_workers(&mut self, effects: &mut ManagerEffects) {
        let now = self.now;
        let overdue: Vec<_> = self.times.overdue(now).collect();
        for (node, why) in overdue {
            self.times.on_worker_removed(node);
            self.health.update(now, node, |state| state.overdue = true);
            if let Some(worker) = self.worker(node) {
                tracing::error!(worker = worker.name, %why, "a worker does not get on; others take its load");
                self.on_worker_lost(&worker, &format!("completes nothing ({why})"), effects);
                self.announce(effects);
            }
        }
        let bad: Vec<NodeId> = self.health.evictable(now).collect();
        for node in bad {
            self.evict(node, effects);
        }
    }

    fn evict(&mut self, node: NodeId, effects: &mut ManagerEffects) {
        let now = self.now;
        let state = self.health.state(node);
        let (live, overdue) = state.map_or((false, false), |state| (state.liveness(now), state.overdue));
        if live && !overdue {
            // Stuck by its rate, and it may still ask for time.
            return;
        }
        let worker = self.worker(node);
        if let Some(worker) = worker.as_ref().filter(|_| !live) {
            self.on_worker_lost(worker, "is silent", effects);
        }
        let decision = self.health.should_evict(now, node);
        if !decision.should_evict {
            if decision.reason == EvictionReason::Correlated {
                tracing::debug!(%node, failed = decision.correlated_failures, "an eviction is held");
            }
            return;
        }
        self.health.mark_evicted(now, node);
        let link = self.workers.iter().find(|(_, worker)| worker.node == node).map(|(link, _)| *link);
        if let Some(link) = link.filter(|_| !live) {
            // Nothing comes over it; if the worker is there after all, it dials anew.
            effects.close(link);
        }
        let name = worker.map_or_else(|| node.to_string(), |worker| worker.name);
        tracing::warn!(worker = name, "a worker is evicted");
        self.announce(effects);
    }

    fn worker(&self, node: NodeId) -> Option<Worker> {
        self.workers.values().find(|worker| worker.node == node).cloned()
    }

    /// What a worker's share does is another's from now on: it is told to end, where it can be told.
    pub(crate) fn end_where_it_lives(
        &mut self,
        id: JobId,
        at: usize,
        share_id: ShareId,
        effects: &mut ManagerEffects,
    ) {
        let Some(job) = self.jobs.get(&id) else { return };
        let share = job.workflows.get(at).and_then(|entry| entry.shares.get(&share_id));
        let Some(share) = share.filter(|share| self.links.contains_key(&share.link)) else { return };
        let of = (id, at, share_id);
        let order = if taken_over_at(share).is_some() { Call::Revise(of) } else { Call::End(of) };
        self.order(order, effects);
    }

    /// A round of probes about a worker ended: with an answer, direct or indirect, or without any.
    pub fn on_probe_round(&mut self, node: NodeId, answered: bool) {
        self.health.on_probe_round(self.now, node, answered);
    }

    /// Why a worker of this manager is judged as it is; nothing is known of others.
    pub fn explain(&mut self, node: NodeId, now: Instant) -> Vec<SignalRow> {
        let mut rows = self.health.explain(now, node);
        rows.extend(self.times.explain(now, node));
        rows
    }

    /// Whether a worker may get new work, and how gladly: a smaller number first.
    pub(crate) fn fitness(&self, worker: &Worker) -> RoutingDecision {
        let known = self.health.get_routing_decision(self.now, worker.node);
        let decision = known.unwrap_or(RoutingDecision::Route);
        if self.silent.get(&worker.node) == Some(&Silence::Lost) {
            return RoutingDecision::Evict;
        }
        if worker.card.accepting { decision } else { decision.max(RoutingDecision::Drain) }
    }

    /// Workers that live, and all that are registered or missed.
    pub(crate) fn workers_live_and_known(&self) -> (usize, usize) {
        let lives =
            |worker: &&Worker| self.health.state(worker.node).is_none_or(|state| state.liveness(self.now));
        let live = self.workers.values().filter(lives).count();
        (live, self.health.states().count().max(self.workers.len()))
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
