//! What a node took and refused by its frames' headers, for monitors.

use hyperscale_reliability::{IntakeCounts, NodeRateLimiter, OverloadState, RequestPriority};
use hyperscale_view::Gauge;

/// Samples of one shard; those of all shards of a node are added up.
#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
pub(super) fn gauges(counts: &IntakeCounts) -> Vec<Gauge> {
    let mut gauges = Vec::new();
    for (kind, _, count) in counts.rows() {
        let came = Gauge::counter(
            "hyperscale_requests_total",
            "Frames that came and that their sender may send, by kind.",
            count.came as f64,
        );
        gauges.push(came.label("kind", kind));
    }
    for (kind, class, count) in counts.rows() {
        for (state, shed) in OverloadState::ALL.iter().zip(count.shed).filter(|(_, shed)| *shed > 0) {
            let shed = Gauge::counter(
                "hyperscale_shed_total",
                "Frames that were refused because of this node's load, by kind, class and the node's state.",
                shed as f64,
            );
            let shed = shed.label("kind", kind).label("priority", priority(class));
            gauges.push(shed.label("state", state.as_str()));
        }
    }
    let limited = counts.limited().filter(|(_, count)| *count > 0);
    gauges.extend(Gauge::counters_by(
        "hyperscale_rate_limited_total",
        "Requests that were refused because their client asked too often, by operation.",
        "operation",
        limited,
    ));
    gauges
}

/// Of the table of clients, which all shards share.
#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
pub(super) fn client_gauges(rates: &NodeRateLimiter) -> [Gauge; 2] {
    [
        Gauge::level(
            "hyperscale_rate_limit_clients",
            "Clients whose rates are kept; those that count as none are dropped now and then.",
            rates.clients() as f64,
        ),
        Gauge::counter(
            "hyperscale_rate_limit_bound_hits_total",
            "Clients that came when there was room for no more, and share their rates with others.",
            rates.bound_hits() as f64,
        ),
    ]
}

const fn priority(class: RequestPriority) -> &'static str {
    match class {
        RequestPriority::Critical => "critical",
        RequestPriority::High => "high",
        RequestPriority::Normal => "normal",
        RequestPriority::Low => "low",
    }
}
