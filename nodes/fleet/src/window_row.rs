//! Windows of a job, from what travels to what people see.

use hyperscale_codec::JobId;
use hyperscale_codec::messages::{StatsEntry, StatsResponse};
use hyperscale_stats::StatsTier;
use hyperscale_view::{Times, WindowRow, Windows};

use crate::row::job_state;

/// A job's windows as tables and JSON show them.
#[must_use]
pub fn windows(told: &StatsResponse) -> Windows {
    Windows {
        schema: Windows::SCHEMA,
        job_id: JobId::from_bytes(told.job).to_string(),
        state: job_state(told.state),
        window_s: seconds(told.window_ms.into()),
        workflows: told.workflows.clone(),
        windows: told.entries.iter().map(|entry| row(entry, told)).collect(),
    }
}

fn row(entry: &StatsEntry, told: &StatsResponse) -> WindowRow {
    let at = |window: u64| window.saturating_mul(told.window_ms.into());
    let from_ms = at(entry.from.into());
    // The last window of a job ends with it.
    let to_ms = at(u64::from(entry.to).saturating_add(1));
    let to_ms = if told.end_ms > from_ms { to_ms.min(told.end_ms) } else { to_ms };
    let (from_s, to_s) = (seconds(from_ms), seconds(to_ms));
    let timed = |ns: u64| (entry.timed > 0).then(|| milliseconds(ns));
    let index = usize::try_from(entry.workflow).ok();
    let workflow = index.and_then(|index| told.workflows.get(index)).cloned();
    WindowRow {
        tier: StatsTier::from_wire(entry.tier).map_or("unknown", StatsTier::as_str),
        from: entry.from,
        to: entry.to,
        from_s,
        to_s,
        workflow: workflow.or_else(|| (entry.workflow < u32::MAX).then(|| format!("#{}", entry.workflow))),
        requests: entry.requests,
        errors: entry.errors,
        cancelled: entry.cancelled,
        late: entry.late,
        iterations: entry.iterations,
        dropped: entry.dropped,
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
        rate_per_s: if to_s > from_s { float(entry.requests) / (to_s - from_s) } else { 0.0 },
        latency_ms: Times {
            count: entry.timed,
            min: timed(entry.min_ns),
            mean: timed(entry.mean_ns),
            p50: timed(entry.p50_ns),
            p90: timed(entry.p90_ns),
            p99: timed(entry.p99_ns),
            p99_9: timed(entry.p99_9_ns),
            max: timed(entry.max_ns),
        },
        service_p99_ms: timed(entry.service_p99_ns),
        lateness_p99_ms: timed(entry.lateness_p99_ns),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn float(n: u64) -> f64 {
    n as f64
}

fn seconds(ms: u64) -> f64 {
    float(ms) / 1e3
}

fn milliseconds(ns: u64) -> f64 {
    float(ns) / 1e6
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::messages::JobState;

    use super::*;

    fn told(entries: Vec<StatsEntry>) -> StatsResponse {
        StatsResponse {
            job: [1; 16],
            state: JobState::Completed.to_wire(),
            window_ms: 1_000,
            end_ms: 2_500,
            workflows: vec!["browse".into()],
            entries,
            next: 0,
        }
    }

    #[test]
    fn a_rate_is_over_the_time_that_was_recorded() {
        let entry = |from, to, workflow| StatsEntry {
            tier: 1,
            from,
            to,
            workflow,
            requests: 100,
            timed: 100,
            max_ns: 2_000_000,
            ..StatsEntry::default()
        };
        let rows = windows(&told(vec![entry(0, 1, 0), entry(2, 2, u32::MAX), entry(3, 3, 7)])).windows;
        let rates: Vec<f64> = rows.iter().map(|row| row.rate_per_s).collect();
        assert_eq!(rates, [50.0, 200.0, 100.0]);
        let names: Vec<Option<&str>> = rows.iter().map(|row| row.workflow.as_deref()).collect();
        assert_eq!(names, [Some("browse"), None, Some("#7")]);
        assert_eq!((rows[1].to_s, rows[1].latency_ms.max), (2.5, Some(2.0)));
    }

    #[test]
    fn without_requests_there_are_no_times() {
        let row = &windows(&told(vec![StatsEntry { tier: 9, ..StatsEntry::default() }])).windows[0];
        assert_eq!((row.latency_ms.p50, row.tier), (None, "unknown"));
    }
}
