//! What this manager tells of itself to the admin port.

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;
use hyperscale_fleet::{Card, load_reason, node_row, progress, receiver_gauges, sender_gauges};
use hyperscale_health::HealthSignals as _;
use hyperscale_view::{Gauge, NodeRow, Reason, ShardView};

use crate::core::ManagerCore;

impl ManagerCore {
    /// What holds at `now`.
    #[must_use]
    pub fn view(&self, now: Instant) -> ShardView {
        let (gates, workers) = (self.gates.len(), self.workers.len());
        let pulse = |link| self.links.get(link).map(|link| &link.pulse);
        let own = Card::own(&self.config.identity, self.config.wall.at, self.live_jobs(), !self.draining);
        let row = |card: &Card, pulse| card.row(now, pulse, self.membership.member(card.node));
        let peers = self.managers.values().map(|peer| row(&peer.card, peer.links.iter().find_map(pulse)));
        let known = self.workers.iter().map(|(link, worker)| row(&worker.card, pulse(link)));
        let departed = self.departed.rows(now, &self.membership);
        let nodes = std::iter::once(own.row(now, None, None)).chain(peers).chain(known).chain(departed);
        ShardView {
            shard: 0,
            startup: vec![Reason::new("registered", self.joined, "with a gate or another manager, once")],
            ready: vec![
                load_reason(self.overload),
                Reason::new(
                    "accepting",
                    !self.draining,
                    if self.draining { "draining" } else { "takes jobs" },
                ),
                Reason::new("gates", gates > 0, format!("{gates} links to gates")),
                Reason::new("workers", workers > 0, format!("{workers} workers have registered")),
            ],
            nodes: nodes
                .map(|entry| {
                    let state = self.health.state(NodeId::from_bytes(entry.node));
                    let row = node_row(&entry);
                    let judged = state.map(|state| progress(state.progress_state(now).word()));
                    NodeRow { progress: judged.unwrap_or(row.progress), ..row }
                })
                .collect(),
            jobs: Vec::new(),
            gauges: [
                self.membership.gauges(),
                self.calls.gauges(),
                sender_gauges(&self.sent),
                receiver_gauges(&self.pressure, self.fill(), self.jobs.values().map(|job| &job.windows)),
                vec![
                    level("hyperscale_jobs_live", "Jobs that have not ended.", self.live_jobs()),
                    level("hyperscale_manager_gate_links", "Links to shards of gates.", gates),
                    level("hyperscale_manager_workers", "Workers that registered here.", workers),
                    level(
                        "hyperscale_manager_worker_shards",
                        "Shards of workers that take work.",
                        usize::try_from(self.worker_shards()).unwrap_or(usize::MAX),
                    ),
                ],
            ]
            .concat(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
fn level(name: &'static str, help: &'static str, count: usize) -> Gauge {
    Gauge::level(name, help, count as f64)
}
