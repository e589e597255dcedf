//! A worker, as its manager sees it.

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;

use crate::liveness::{LIVE_FOR, Liveness};
use crate::signals::progress_row;
use crate::{HealthSignals, ProgressMeter, ProgressState, SignalRow};

/// How a worker is (19-1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkerHealthState {
    pub liveness: Liveness,
    /// As it says itself.
    pub accepting_work: bool,
    /// Free virtual users, in thousands.
    pub available_capacity: u32,
    /// Shares that it drives.
    pub workflows_assigned: u32,
    /// Units of progress of the last whole interval, over all shares.
    pub completions_last_interval: f64,
    /// Units of progress that were due in it, of one share.
    pub expected_completion_rate: f64,
    /// 0 to 3, as it says itself.
    pub overload_state: u8,
    /// Its time is over, and it gets no more ([`crate::WorkerHealthManager`]).
    pub overdue: bool,
    /// When its last heartbeat came.
    pub told: Instant,
    pub(crate) meter: ProgressMeter,
}

impl WorkerHealthState {
    /// A worker that just registered: alive, and taken at its registration's word.
    #[must_use]
    pub fn new(now: Instant, available_capacity: u32) -> Self {
        Self {
            liveness: Liveness::new(now),
            accepting_work: true,
            available_capacity,
            workflows_assigned: 0,
            completions_last_interval: 0.0,
            expected_completion_rate: 0.0,
            overload_state: 0,
            overdue: false,
            told: now,
            meter: ProgressMeter::default(),
        }
    }

    /// Its heartbeat. `shares`: how many have not ended.
    pub fn on_heartbeat(&mut self, now: Instant, health: &HealthPiggyback, shares: u32) {
        self.liveness.on_response(now);
        self.told = now;
        self.accepting_work = health.accepting_work;
        self.available_capacity = health.capacity;
        self.overload_state = health.overload_state;
        if (self.workflows_assigned == 0) != (shares == 0) {
            self.meter.restart(now);
            (self.completions_last_interval, self.expected_completion_rate) = (0.0, 0.0);
        }
        self.workflows_assigned = shares;
        self.meter.rates(now, health.throughput, health.expected_throughput);
        if let Some((done, due)) = self.meter.last_interval() {
            self.completions_last_interval = done;
            self.expected_completion_rate = due / f64::from(shares.max(1));
        }
    }
}

impl HealthSignals for WorkerHealthState {
    fn liveness(&self, now: Instant) -> bool {
        self.liveness.is_live(now)
    }

    fn readiness(&self, now: Instant) -> bool {
        self.accepting_work && self.available_capacity > 0 && now.since(self.told) < LIVE_FOR
    }

    fn progress_state(&self, _now: Instant) -> ProgressState {
        if self.overdue {
            return ProgressState::Stuck;
        }
        if self.workflows_assigned == 0 {
            return ProgressState::Idle;
        }
        let each = self.completions_last_interval / f64::from(self.workflows_assigned);
        ProgressState::of(each, self.expected_completion_rate)
    }

    fn last_heard(&self) -> Instant {
        self.liveness.last_liveness_response
    }

    fn on_probe_round(&mut self, now: Instant, answered: bool) {
        self.liveness.on_probe_round(now, answered);
    }

    fn signals(&self, now: Instant) -> Vec<SignalRow> {
        let due = self.expected_completion_rate * f64::from(self.workflows_assigned);
        let progress =
            progress_row(self.progress_state(now), self.completions_last_interval, due, "units of progress");
        let mut rows = vec![
            SignalRow::new("liveness", self.liveness.words(now), self.liveness(now)),
            SignalRow::flag("accepting_work", self.accepting_work),
            SignalRow::new(
                "available_capacity",
                format!("{},000 virtual users", self.available_capacity),
                self.available_capacity > 0,
            ),
            heard_row(now, self.told),
            progress,
        ];
        if self.overdue {
            rows.push(SignalRow::new("extensions", "its time is over", false));
        }
        rows
    }
}

/// How old the node's own word is.
pub(crate) fn heard_row(now: Instant, told: Instant) -> SignalRow {
    let age = now.since(told);
    SignalRow::new("heartbeat", format!("{:.1} s ago", age.as_secs_f64()), age < LIVE_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RoutingDecision;

    fn worker(assigned: u32, completions: f64) -> WorkerHealthState {
        WorkerHealthState {
            workflows_assigned: assigned,
            completions_last_interval: completions,
            expected_completion_rate: 1.0,
            ..WorkerHealthState::new(Instant::ZERO, 10)
        }
    }

    #[test]
    fn units_of_progress_against_what_was_due() {
        let states = [(10, 8.0), (10, 7.0), (10, 3.0), (10, 2.0), (10, 0.0), (0, 0.0)]
            .map(|(assigned, done)| worker(assigned, done).progress_state(Instant::ZERO).word());
        assert_eq!(states, ["normal", "slow", "slow", "degraded", "stuck", "idle"]);
    }

    #[test]
    fn a_worker_that_closes_or_is_full_drains_and_says_why() {
        let full = WorkerHealthState { available_capacity: 0, ..worker(0, 0.0) };
        let closed = WorkerHealthState { accepting_work: false, ..worker(0, 0.0) };
        for (state, why) in [(full, "available_capacity"), (closed, "accepting_work")] {
            assert_eq!(state.decision(Instant::ZERO), RoutingDecision::Drain);
            let not_ok: Vec<_> = state.signals(Instant::ZERO).into_iter().filter(|row| !row.ok).collect();
            assert_eq!(not_ok.iter().map(|row| row.name).collect::<Vec<_>>(), [why]);
        }
    }

    #[test]
    fn heartbeats_make_the_interval() {
        let mut worker = WorkerHealthState::new(Instant::ZERO, 10);
        let health = HealthPiggyback {
            accepting_work: true,
            capacity: 9,
            throughput: 2.0,
            expected_throughput: 10.0,
            ..HealthPiggyback::default()
        };
        for beat in 0..=21_u64 {
            worker.on_heartbeat(Instant(beat * 500_000_000), &health, 2);
        }
        let now = Instant(10_500_000_000);
        assert_eq!(worker.progress_state(now), ProgressState::Degraded);
        assert_eq!(worker.decision(now), RoutingDecision::Investigate);
        // Its last share ended: what was is no measure any more.
        worker.on_heartbeat(now, &health, 0);
        assert_eq!(worker.decision(now), RoutingDecision::Route);
    }

    #[test]
    fn a_worker_whose_own_word_is_stale_gets_nothing_new() {
        let mut worker = worker(0, 0.0);
        let now = Instant::ZERO + LIVE_FOR;
        worker.liveness.on_response(now);
        assert_eq!(worker.decision(now), RoutingDecision::Drain);
    }
}
