//! What every state answers, and how it says why.

use hyperscale_core::Instant;

use crate::{ProgressState, RoutingDecision};

/// One line of why a node is judged as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalRow {
    /// `liveness`, `has_quorum`.
    pub name: &'static str,
    /// What it is, in words.
    pub value: String,
    /// Whether it speaks for the node.
    pub ok: bool,
}

impl SignalRow {
    pub(crate) fn new(name: &'static str, value: impl Into<String>, ok: bool) -> Self {
        Self { name, value: value.into(), ok }
    }

    pub(crate) fn flag(name: &'static str, value: bool) -> Self {
        Self::new(name, if value { "yes" } else { "no" }, value)
    }
}

/// Three independent answers about a node.
pub trait HealthSignals {
    /// Does it live?
    fn liveness(&self, now: Instant) -> bool;

    /// Does it take work?
    fn readiness(&self, now: Instant) -> bool;

    /// Does it get on?
    fn progress_state(&self, now: Instant) -> ProgressState;

    /// When it was last heard: who was silent longest is forgotten first.
    fn last_heard(&self) -> Instant;

    /// Its signals, one a row.
    fn signals(&self, now: Instant) -> Vec<SignalRow>;

    /// A probe round about it ended.
    fn on_probe_round(&mut self, now: Instant, answered: bool);

    /// What follows.
    fn decision(&self, now: Instant) -> RoutingDecision {
        RoutingDecision::of(self.liveness(now), self.progress_state(now), self.readiness(now))
    }
}

/// `8 units of 10 that were due in 10 s`.
pub(crate) fn progress_row(state: ProgressState, actual: f64, expected: f64, what: &str) -> SignalRow {
    let ok = state < ProgressState::Slow;
    let value = format!("{}: {actual:.1} of {expected:.1} {what} in the last 10 s", state.word());
    SignalRow::new("progress", value, ok)
}
