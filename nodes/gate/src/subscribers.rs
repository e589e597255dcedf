//! Who is told of a job, and what of: a line for each window, merged into one where a client does not read.
//!
//! A slow client costs the gate 64 KiB and nobody else anything: windows that it has not taken are not queued for it
//! but read from what the gate keeps of the job, all in one, when it reads again. One that does not for half a minute
//! is let go.

use std::time::Duration;

use hyperscale_codec::messages::{Goodbye, JobStatusPush};
use hyperscale_codec::{ErrorCode, Head, Hist};
use hyperscale_core::{Instant, LinkId};
use hyperscale_stats::{Cell, CellSet, Span};

use crate::core::{GateCore, GateEffects};
use crate::job::{GateJob, Running};

/// Subscribers of a job.
pub(crate) const OF_A_JOB: usize = 1_000;
/// Subscribers over all jobs and shards of a gate.
pub(crate) const OF_A_GATE: usize = 10_000;
/// A client with so much unsent gets no more lines until it has read.
const UNSENT_MAX: usize = 64 << 10;
/// It may take so long to do so.
const SLOW_MAX: Duration = Duration::from_secs(30);

/// Who wants to be told of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) link: LinkId,
    pub(crate) histograms: bool,
    /// The first window that it was not told of, and since when it does not read.
    slow: Option<(u32, Instant)>,
}

impl Subscriber {
    pub(crate) const fn new(link: LinkId, histograms: bool) -> Self {
        Self { link, histograms, slow: None }
    }
}

impl GateCore {
    /// Whether one more client may follow a job here.
    pub(crate) fn has_room_to_follow(&self, job: &GateJob) -> bool {
        let shards = usize::from(self.config.identity.shards).max(1);
        let all: usize = self.live().map(|job| job.subscribers.len()).sum();
        job.subscribers.len() < OF_A_JOB && all < OF_A_GATE / shards
    }

    /// Lets clients go that do not read.
    pub(crate) fn part_from_slow(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        for job in self.jobs.values_mut() {
            job.subscribers.retain(|subscriber| {
                let since = subscriber.slow.map(|(_, since)| since);
                let gone = since.is_some_and(|since| now.since(since) >= SLOW_MAX)
                    && effects.unsent(subscriber.link) > UNSENT_MAX;
                if gone {
                    tracing::warn!(job = %job.id, link = subscriber.link.0, "a client that follows a job does not read");
                    let text = "slow_subscriber: 64 KiB were not read for 30 s".to_owned();
                    let goodbye = Goodbye { code: ErrorCode::Capacity.to_wire(), text, retry_after_ms: 0 };
                    effects.send(subscriber.link, Head::default(), &goodbye);
                    effects.close(subscriber.link);
                }
                !gone
            });
        }
    }
}

/// Tells every subscriber of the windows that were merged, and keeps them.
pub(crate) fn push_view(job: &mut GateJob, now: Instant, effects: &mut GateEffects) {
    job.view_since = None;
    let window_ms = u64::try_from(job.plan.window.as_millis()).unwrap_or(u64::MAX);
    let in_flight = job.view.in_flight();
    let seq = job.seq.saturating_add(1);
    let blank = blank(job, seq, in_flight);
    let ((latency, lateness), kept) = (&mut **job.view_times.get_or_insert_default(), &mut job.windows);
    let running = &mut job.running;
    let pushed = job.view.flush(|windows| {
        kept.insert(now, windows.span(), windows.workflows);
        let push = figures(blank, windows.workflows, (latency, lateness));
        running.requests = running.requests.saturating_add(push.requests);
        running.errors = running.errors.saturating_add(push.errors);
        running.dropped = running.dropped.saturating_add(push.dropped);
        let from_ms = u64::from(windows.from).saturating_mul(window_ms);
        let last_ms = u64::from(windows.to).saturating_add(1).saturating_mul(window_ms);
        // The last window of a job ends with it, not with the second.
        let to_ms = windows.end_us.div_ceil(1000).clamp(from_ms, last_ms.max(from_ms));
        let (total_requests, total_errors) = (running.requests, running.errors);
        (windows.span(), JobStatusPush { from_ms, to_ms, total_requests, total_errors, ..push })
    });
    let Some((span, mut push)) = pushed else { return };
    job.seq = seq;
    job.end_ms = job.end_ms.max(push.to_ms);
    let mut behind = false;
    for subscriber in &mut job.subscribers {
        if effects.unsent(subscriber.link) > UNSENT_MAX {
            subscriber.slow.get_or_insert((span.from, now));
        } else if subscriber.slow.is_some() {
            behind = true;
        } else {
            push.latency = subscriber.histograms.then(|| latency.to_sparse());
            effects.send(subscriber.link, Head::default().job(job.id), &push);
        }
    }
    if behind {
        catch_up(job, (span.to, push), window_ms, effects);
    }
}

/// Tells those that read again of all windows that they missed, in one.
fn catch_up(job: &mut GateJob, (to, push): (u32, JobStatusPush), window_ms: u64, effects: &mut GateEffects) {
    let steps = job.plan.workflows.iter().map(|workflow| workflow.steps.len());
    let mut cells: Vec<CellSet> = steps.map(CellSet::new).collect();
    for at in 0..job.subscribers.len() {
        let Some(subscriber) = job.subscribers.get_mut(at) else { return };
        let reads = effects.unsent(subscriber.link) <= UNSENT_MAX;
        let Some((from, _)) = subscriber.slow.filter(|_| reads) else { continue };
        subscriber.slow = None;
        let (link, histograms) = (subscriber.link, subscriber.histograms);
        cells.iter_mut().for_each(CellSet::clear);
        let span = job.windows.read(Span { from, to }, &mut cells).unwrap_or(Span { from, to });
        let (latency, lateness) = &mut **job.view_times.get_or_insert_default();
        let figures = figures(push.clone(), &cells, (latency, lateness));
        let from_ms = u64::from(span.from).saturating_mul(window_ms).min(push.to_ms);
        let latency = histograms.then(|| latency.to_sparse());
        effects.send(link, Head::default().job(job.id), &JobStatusPush { from_ms, latency, ..figures });
    }
}

/// A line without figures.
fn blank(job: &GateJob, seq: u64, in_flight: u64) -> JobStatusPush {
    let Running { requests, errors, .. } = job.running;
    JobStatusPush {
        job: job.id.to_bytes(),
        fence_token: job.token,
        seq,
        state: job.state().to_wire(),
        from_ms: 0,
        to_ms: 0,
        requests: 0,
        errors: 0,
        dropped: 0,
        bytes_in: 0,
        p50_ns: 0,
        p99_ns: 0,
        max_ns: 0,
        lateness_p99_ns: 0,
        total_requests: requests,
        total_errors: errors,
        in_flight,
        events: Vec::new(),
        latency: None,
    }
}

/// The same line with the figures of these cells, whose times are in `latency` and `lateness` then.
fn figures(
    line: JobStatusPush,
    workflows: &[CellSet],
    (latency, lateness): (&mut Hist, &mut Hist),
) -> JobStatusPush {
    let steps = || workflows.iter().flat_map(|cells| cells.steps());
    latency.clear();
    lateness.clear();
    for cell in steps() {
        latency.merge(&cell.latency);
        lateness.merge(&cell.lateness);
    }
    let sum = |of: fn(&Cell) -> u64| steps().map(of).fold(0, u64::saturating_add);
    let dropped = workflows.iter().map(|cells| cells.workflow().dropped);
    JobStatusPush {
        requests: sum(|cell| cell.count),
        errors: sum(|cell| cell.errors),
        dropped: dropped.fold(0, u64::saturating_add),
        bytes_in: sum(|cell| cell.bytes_in),
        p50_ns: latency.quantile_ppm(500_000).unwrap_or(0),
        p99_ns: latency.quantile_ppm(990_000).unwrap_or(0),
        max_ns: latency.max().unwrap_or(0),
        lateness_p99_ns: lateness.quantile_ppm(990_000).unwrap_or(0),
        ..line
    }
}
