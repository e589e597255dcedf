//! The statistics plane as metrics: how fast a node wants figures, what it keeps of them, how it sends its own.

use hyperscale_reliability::{Backpressure, BackpressureLevel, StatsFill, StatsSent};
use hyperscale_stats::{StatsBuffer, StatsTier};
use hyperscale_view::Gauge;

/// What a receiver asks for, and what it keeps of its jobs' windows.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
pub fn receiver_gauges<'a>(
    asked: &Backpressure,
    fill: StatsFill,
    buffers: impl Iterator<Item = &'a StatsBuffer> + Clone,
) -> Vec<Gauge> {
    let bytes: usize = buffers.clone().map(StatsBuffer::bytes).sum();
    let mut gauges = vec![
        Gauge::level(
            "hyperscale_backpressure_level",
            "What receipts ask senders of statistics for: 0 none, 1 throttle, 2 batch, 3 reject.",
            f64::from(asked.level().to_wire()),
        ),
        Gauge::level(
            "hyperscale_stats_fill",
            "How full the fullest part of the statistics plane is, of its bound.",
            f64::from(fill.permille()) / 1e3,
        ),
        Gauge::level("hyperscale_stats_buffer_bytes", "Bytes of the windows that are kept.", bytes as f64),
    ];
    for tier in StatsTier::ALL {
        let entries: usize = buffers.clone().map(|buffer| buffer.entries(tier)).sum();
        let help = "Windows and aggregates that are kept, by tier.";
        let gauge = Gauge::level("hyperscale_stats_buffer_entries", help, entries as f64);
        gauges.push(gauge.label("tier", tier.as_str()));
    }
    gauges
}

/// What a sender sent, by the level it obeyed.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
pub fn sender_gauges(sent: &StatsSent) -> Vec<Gauge> {
    let rows = BackpressureLevel::ALL.map(|level| (level.as_str(), sent.messages(level)));
    let help = "Messages of statistics sent, by the level that was obeyed.";
    let mut gauges = Gauge::counters_by("hyperscale_stats_sent_total", help, "level", rows);
    gauges.push(Gauge::counter(
        "hyperscale_stats_merged_windows_total",
        "Windows that did not get a message of their own, because they were merged into another's.",
        sent.merged_windows() as f64,
    ));
    gauges
}
