//! A gate, as other gates see it.

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;

use crate::liveness::{LIVE_FOR, Liveness};
use crate::signals::progress_row;
use crate::worker_state::heard_row;
use crate::{ELECTION_LHM_MAX, HealthSignals, ProgressMeter, ProgressState, STRESSED, SignalRow};

/// How a gate is (19-3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateHealthState {
    pub liveness: Liveness,
    pub has_dc_connectivity: bool,
    pub connected_dc_count: u32,
    /// 0 to 3, as it says itself.
    pub overload_state: u8,
    /// Whether it takes jobs; a draining one does not.
    pub accepting_jobs: bool,
    pub jobs_forwarded_last_interval: f64,
    /// Forwards that were due.
    pub expected_forward_rate: f64,
    /// Lifeguard's score, as it says itself.
    pub lhm: u8,
    /// When its last heartbeat came.
    pub told: Instant,
    pub(crate) meter: ProgressMeter,
}

impl GateHealthState {
    /// A gate that just registered: alive, and taken for connected until it says otherwise.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            liveness: Liveness::new(now),
            has_dc_connectivity: true,
            connected_dc_count: 1,
            overload_state: 0,
            accepting_jobs: true,
            jobs_forwarded_last_interval: 0.0,
            expected_forward_rate: 0.0,
            lhm: 0,
            told: now,
            meter: ProgressMeter::default(),
        }
    }

    /// Its heartbeat. Its capacity is what its datacenters have free, so `connected`: how many of them it reaches.
    pub fn on_heartbeat(&mut self, now: Instant, health: &HealthPiggyback, connected: u32) {
        self.liveness.on_response(now);
        self.told = now;
        self.accepting_jobs = health.accepting_work;
        self.connected_dc_count = connected;
        self.has_dc_connectivity = connected > 0;
        self.overload_state = health.overload_state;
        self.lhm = health.lhm;
        self.meter.rates(now, health.throughput, health.expected_throughput);
        if let Some((done, due)) = self.meter.last_interval() {
            (self.jobs_forwarded_last_interval, self.expected_forward_rate) = (done, due);
        }
    }

    /// Whether it may campaign at once. Its datacenters do not count: they come after a leader. An overloaded gate
    /// campaigns last.
    #[must_use]
    pub fn should_participate_in_election(&self, now: Instant) -> bool {
        self.liveness(now)
            && self.accepting_jobs
            && self.overload_state < STRESSED
            && self.progress_state(now) < ProgressState::Slow
            && self.lhm <= ELECTION_LHM_MAX
    }
}

impl HealthSignals for GateHealthState {
    fn liveness(&self, now: Instant) -> bool {
        self.liveness.is_live(now)
    }

    fn readiness(&self, now: Instant) -> bool {
        let connected = self.has_dc_connectivity && self.connected_dc_count > 0;
        let fresh = now.since(self.told) < LIVE_FOR;
        connected && self.accepting_jobs && self.overload_state < STRESSED && fresh
    }

    fn progress_state(&self, _now: Instant) -> ProgressState {
        ProgressState::of(self.jobs_forwarded_last_interval, self.expected_forward_rate)
    }

    fn last_heard(&self) -> Instant {
        self.liveness.last_liveness_response
    }

    fn on_probe_round(&mut self, now: Instant, answered: bool) {
        self.liveness.on_probe_round(now, answered);
    }

    fn signals(&self, now: Instant) -> Vec<SignalRow> {
        let overload = match self.overload_state {
            0 => "healthy",
            1 => "busy",
            2 => "stressed",
            _ => "overloaded",
        };
        let connected = self.has_dc_connectivity && self.connected_dc_count > 0;
        let (done, due) = (self.jobs_forwarded_last_interval, self.expected_forward_rate);
        vec![
            SignalRow::new("liveness", self.liveness.words(now), self.liveness(now)),
            SignalRow::new("datacenters", format!("{} connected", self.connected_dc_count), connected),
            SignalRow::flag("accepting_jobs", self.accepting_jobs),
            SignalRow::new("overload", overload, self.overload_state < STRESSED),
            heard_row(now, self.told),
            progress_row(self.progress_state(now), done, due, "forwards"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RoutingDecision;

    #[test]
    fn a_gate_without_datacenters_or_under_stress_drains() {
        let gate = GateHealthState::new(Instant::ZERO);
        assert_eq!(gate.decision(Instant::ZERO), RoutingDecision::Route);
        let alone = GateHealthState { has_dc_connectivity: false, connected_dc_count: 0, ..gate };
        let stressed = GateHealthState { overload_state: STRESSED, ..gate };
        let busy = GateHealthState { overload_state: 1, ..gate };
        assert_eq!(alone.decision(Instant::ZERO), RoutingDecision::Drain);
        assert_eq!(stressed.decision(Instant::ZERO), RoutingDecision::Drain);
        assert_eq!(busy.decision(Instant::ZERO), RoutingDecision::Route);
    }

    #[test]
    fn forwards_that_waited_make_a_gate_stuck_and_none_make_it_idle() {
        let gate = GateHealthState::new(Instant::ZERO);
        assert_eq!(gate.progress_state(Instant::ZERO), ProgressState::Idle);
        let stuck = GateHealthState { expected_forward_rate: 3.0, ..gate };
        assert_eq!(stuck.progress_state(Instant::ZERO), ProgressState::Stuck);
    }

    #[test]
    fn a_loaded_gate_campaigns_last_and_an_unconnected_one_does_campaign() {
        let gate = GateHealthState::new(Instant::ZERO);
        let cases = [
            (gate, true),
            (GateHealthState { has_dc_connectivity: false, connected_dc_count: 0, ..gate }, true),
            (GateHealthState { overload_state: STRESSED, ..gate }, false),
            (GateHealthState { lhm: 4, ..gate }, true),
            (GateHealthState { lhm: 5, ..gate }, false),
            (GateHealthState { accepting_jobs: false, ..gate }, false),
            (
                GateHealthState { jobs_forwarded_last_interval: 5.0, expected_forward_rate: 10.0, ..gate },
                false,
            ),
        ];
        for (state, may) in cases {
            assert_eq!(state.should_participate_in_election(Instant::ZERO), may, "{state:?}");
        }
    }
}
