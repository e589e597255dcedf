//! What this worker tells of itself to the admin port.

use hyperscale_core::Instant;
use hyperscale_fleet::{Card, load_reason, node_row, sender_gauges};
use hyperscale_view::{Gauge, Reason, ShardView};

use crate::core::WorkerCore;

impl WorkerCore {
    /// What holds at `now`.
    #[must_use]
    pub fn view(&self, now: Instant) -> ShardView {
        let managers = self.links.len();
        let own = Card::own(&self.config.identity, self.config.wall.at, self.live_shares(), !self.draining);
        ShardView {
            shard: 0,
            startup: vec![Reason::new("registered", self.joined, "with a manager, once")],
            ready: vec![
                load_reason(self.overload),
                Reason::new(
                    "accepting",
                    !self.draining,
                    if self.draining { "draining" } else { "takes load" },
                ),
                Reason::new("managers", managers > 0, format!("{managers} managers are linked")),
            ],
            nodes: vec![node_row(&own.row(now, None, None))],
            jobs: Vec::new(),
            gauges: [
                self.membership.gauges(),
                self.calls.gauges(),
                sender_gauges(&self.sent),
                vec![
                    level(
                        "hyperscale_worker_shares",
                        "Shares of load whose results are not safe elsewhere.",
                        self.live_shares(),
                    ),
                    level("hyperscale_worker_managers", "Managers that are linked.", managers),
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
