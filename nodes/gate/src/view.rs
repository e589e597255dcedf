//! What this shard tells of itself to the admin port.

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::NodeEntry;
use hyperscale_core::Instant;
use hyperscale_fleet::{job_row, load_reason, node_row, progress, receiver_gauges};
use hyperscale_health::HealthSignals as _;
use hyperscale_view::{Gauge, NodeRow, Reason, ShardView};

use crate::core::GateCore;

impl GateCore {
    /// What holds at `now`.
    #[must_use]
    pub fn view(&self, now: Instant) -> ShardView {
        let workers: u32 = self.managers.values().map(|manager| manager.worker_shards).sum();
        let managers = self.managers.len();
        ShardView {
            shard: self.config.shard.0,
            startup: vec![Reason::new("listening", true, self.config.addr.clone())],
            ready: vec![
                load_reason(self.overload),
                Reason::new(
                    "accepting",
                    !self.draining,
                    if self.draining { "draining" } else { "takes jobs" },
                ),
                Reason::new(
                    "datacenters",
                    workers > 0,
                    format!("{managers} managers with {workers} worker shards have registered"),
                ),
            ],
            nodes: self.own_rows(now).iter().map(|entry| self.judged_row(entry, now)).collect(),
            jobs: self.jobs.values().map(|job| job_row(self.job_entry(job))).collect(),
            gauges: [
                self.membership.gauges(),
                self.calls.gauges(),
                receiver_gauges(&self.pressure, self.fill(), self.jobs.values().map(|job| &job.windows)),
                self.bounds.gauges(),
                self.archive_gauges(),
                vec![
                    level("hyperscale_jobs_live", "Jobs that have not ended.", self.live_jobs()),
                    level("hyperscale_gate_peers", "Other gates that registered here.", self.gates.len()),
                    level("hyperscale_gate_managers", "Managers that registered here.", managers),
                    level(
                        "hyperscale_gate_forwards_open",
                        "Requests that other gates have yet to answer.",
                        self.forwards.len(),
                    ),
                    Gauge::counter(
                        "hyperscale_gate_forwards_total",
                        "Requests passed on to the gate that has, or should have, their job.",
                        float(self.forwards.passed_on()),
                    ),
                ],
            ]
            .concat(),
        }
    }

    /// A row with how its work gets on, as far as this gate watches it.
    fn judged_row(&self, entry: &NodeEntry, now: Instant) -> NodeRow {
        let node = NodeId::from_bytes(entry.node);
        let manager = self.health.managers().state(node).map(|state| state.progress_state(now));
        let gate = || self.gates_health.state(node).map(|state| state.progress_state(now));
        let row = node_row(entry);
        let progress = manager.or_else(gate).map_or(row.progress, |state| progress(state.word()));
        NodeRow { progress, ..row }
    }
}

pub(crate) fn level(name: &'static str, help: &'static str, count: usize) -> Gauge {
    Gauge::level(name, help, float(u64::try_from(count).unwrap_or(u64::MAX)))
}

#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
fn float(count: u64) -> f64 {
    count as f64
}
