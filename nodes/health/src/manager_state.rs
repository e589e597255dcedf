//! A manager, as a gate sees it.

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;

use crate::liveness::{LIVE_FOR, Liveness};
use crate::signals::progress_row;
use crate::worker_state::heard_row;
use crate::{ELECTION_LHM_MAX, HealthSignals, ProgressMeter, ProgressState, SignalRow};

/// How a manager is (19-2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManagerHealthState {
    pub liveness: Liveness,
    pub has_quorum: bool,
    pub accepting_jobs: bool,
    /// Workers that live, and that are registered.
    pub active_worker_count: u32,
    pub known_worker_count: u32,
    /// Free worker shards.
    pub free_capacity: u32,
    pub workflows_dispatched_last_interval: f64,
    /// Dispatches that were due: the workflow ready, capacity free, for more than 1 s.
    pub expected_throughput: f64,
    /// 0 to 3, as it says itself.
    pub overload_state: u8,
    /// Lifeguard's score, as it says itself.
    pub lhm: u8,
    /// When its last heartbeat came.
    pub told: Instant,
    pub(crate) meter: ProgressMeter,
}

/// What a manager's heartbeat says beside the piggyback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagerWord {
    pub has_quorum: bool,
    pub accepting_jobs: bool,
    pub workers_live: u32,
    pub workers_known: u32,
}

impl ManagerHealthState {
    /// A manager that just registered with so many worker shards: alive, and taken at its registration's word.
    #[must_use]
    pub fn new(now: Instant, worker_shards: u32) -> Self {
        Self {
            liveness: Liveness::new(now),
            has_quorum: true,
            accepting_jobs: true,
            active_worker_count: worker_shards.min(1),
            known_worker_count: worker_shards.min(1),
            free_capacity: worker_shards,
            workflows_dispatched_last_interval: 0.0,
            expected_throughput: 0.0,
            overload_state: 0,
            lhm: 0,
            told: now,
            meter: ProgressMeter::default(),
        }
    }

    /// Its heartbeat.
    pub fn on_heartbeat(&mut self, now: Instant, health: &HealthPiggyback, word: ManagerWord) {
        self.liveness.on_response(now);
        self.told = now;
        self.has_quorum = word.has_quorum;
        self.accepting_jobs = word.accepting_jobs;
        self.active_worker_count = word.workers_live;
        self.known_worker_count = word.workers_known;
        self.free_capacity = health.capacity;
        self.overload_state = health.overload_state;
        self.lhm = health.lhm;
        self.meter.rates(now, health.throughput, health.expected_throughput);
        if let Some((done, due)) = self.meter.last_interval() {
            (self.workflows_dispatched_last_interval, self.expected_throughput) = (done, due);
        }
    }

    /// Whether its own word is fresh.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        now.since(self.told) < LIVE_FOR
    }

    /// Whether it may campaign at once. What needs a leader first (`has_quorum`, connected workers) does not count.
    #[must_use]
    pub fn should_participate_in_election(&self, now: Instant) -> bool {
        self.liveness(now)
            && self.accepting_jobs
            && self.progress_state(now) < ProgressState::Slow
            && self.lhm <= ELECTION_LHM_MAX
    }
}

impl HealthSignals for ManagerHealthState {
    fn liveness(&self, now: Instant) -> bool {
        self.liveness.is_live(now)
    }

    fn readiness(&self, now: Instant) -> bool {
        self.has_quorum && self.accepting_jobs && self.active_worker_count > 0 && self.is_fresh(now)
    }

    fn progress_state(&self, _now: Instant) -> ProgressState {
        ProgressState::of(self.workflows_dispatched_last_interval, self.expected_throughput)
    }

    fn last_heard(&self) -> Instant {
        self.liveness.last_liveness_response
    }

    fn on_probe_round(&mut self, now: Instant, answered: bool) {
        self.liveness.on_probe_round(now, answered);
    }

    fn signals(&self, now: Instant) -> Vec<SignalRow> {
        let workers = format!("{} of {}", self.active_worker_count, self.known_worker_count);
        let (done, due) = (self.workflows_dispatched_last_interval, self.expected_throughput);
        vec![
            SignalRow::new("liveness", self.liveness.words(now), self.liveness(now)),
            SignalRow::flag("has_quorum", self.has_quorum),
            SignalRow::flag("accepting_jobs", self.accepting_jobs),
            SignalRow::new("live_workers", workers, self.active_worker_count > 0),
            heard_row(now, self.told),
            progress_row(self.progress_state(now), done, due, "dispatches"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RoutingDecision;

    #[test]
    fn a_manager_is_ready_with_a_quorum_workers_and_open_doors() {
        let ready = ManagerHealthState::new(Instant::ZERO, 4);
        assert_eq!(ready.decision(Instant::ZERO), RoutingDecision::Route);
        let lacks = [
            ("has_quorum", ManagerHealthState { has_quorum: false, ..ready }),
            ("accepting_jobs", ManagerHealthState { accepting_jobs: false, ..ready }),
            ("live_workers", ManagerHealthState { active_worker_count: 0, ..ready }),
        ];
        for (why, state) in lacks {
            assert_eq!(state.decision(Instant::ZERO), RoutingDecision::Drain);
            let not_ok: Vec<_> = state.signals(Instant::ZERO).into_iter().filter(|row| !row.ok).collect();
            assert_eq!(not_ok.iter().map(|row| row.name).collect::<Vec<_>>(), [why]);
        }
    }

    #[test]
    fn dispatches_due_and_not_made_are_stuck_and_none_due_is_idle() {
        let state = ManagerHealthState::new(Instant::ZERO, 4);
        let stuck = ManagerHealthState { expected_throughput: 2.0, ..state };
        assert_eq!(stuck.decision(Instant::ZERO), RoutingDecision::Evict);
        assert_eq!(state.progress_state(Instant::ZERO), ProgressState::Idle);
    }

    #[test]
    fn managers_without_a_leader_yet_may_campaign() {
        let unfit = ManagerHealthState {
            has_quorum: false,
            active_worker_count: 0,
            ..ManagerHealthState::new(Instant::ZERO, 0)
        };
        assert!(!unfit.readiness(Instant::ZERO));
        assert!(unfit.should_participate_in_election(Instant::ZERO));
        let draining = ManagerHealthState { accepting_jobs: false, ..unfit };
        let ill = ManagerHealthState { lhm: 5, ..unfit };
        assert!(!draining.should_participate_in_election(Instant::ZERO));
        assert!(!ill.should_participate_in_election(Instant::ZERO));
    }
}
