//! Statistics on their way through the gate: deltas into the view, snapshots into the total, straight from the
//! receive buffer (C-2). A delta may be lost and costs a view some resolution; a snapshot is the truth.

use hyperscale_codec::messages::{
    ArchivedJobProgress, ArchivedStatsColumns, JobProgressAck, JobState, JobStatusPush, StatsAck,
};
use hyperscale_codec::{ErrorCode, Flags, Head, Hist, JobId, RawFrame};
use hyperscale_core::{Instant, LinkId};

use crate::core::{GateCore, GateEffects, refuse};
use crate::job::GateJob;

impl GateCore {
    /// The job a message of statistics is about, if this gate has it and the sender runs a part of it.
    fn job_of(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        effects: &mut GateEffects,
    ) -> Option<&mut GateJob> {
        let id = JobId::from_bytes(columns.job);
        if let Err(error) = columns.check() {
            refuse(effects, link, frame, ErrorCode::Invalid, error.to_string());
            return None;
        }
        let job = self.jobs.get_mut(&id).filter(|job| job.datacenters.values().any(|part| part.link == link));
        if job.is_none() {
            refuse(
                effects,
                link,
                frame,
                ErrorCode::UnknownJob,
                format!("no job {id} runs on this connection"),
            );
        }
        job
    }

    pub(crate) fn on_update(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        effects: &mut GateEffects,
    ) {
        let now = self.now;
        let Some(job) = self.job_of(link, frame, columns, effects) else { return };
        if let Err(error) = job.view.take(link, columns) {
            refuse(effects, link, frame, ErrorCode::Invalid, error.to_string());
            return;
        }
        job.view_since.get_or_insert(now);
        if job.view.is_complete() {
            push_view(job, effects);
        }
        acknowledge(link, frame, columns, effects);
    }

    pub(crate) fn on_snapshot(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        is_final: bool,
        effects: &mut GateEffects,
    ) {
        let Some(job) = self.job_of(link, frame, columns, effects) else { return };
        let part = job.datacenters.values_mut().find(|part| part.link == link);
        let mut finals = Vec::new();
        let taken = job.totals.take_snapshot(columns, is_final, |source, _, _| {
            if is_final {
                finals.push((source.worker.to_bytes(), source.shard.0, source.epoch.0));
            }
        });
        if let Some(part) = part {
            part.finals.append(&mut finals);
        }
        if let Err(error) = taken {
            refuse(effects, link, frame, ErrorCode::Invalid, error.to_string());
            return;
        }
        acknowledge(link, frame, columns, effects);
    }

    pub(crate) fn on_progress(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        progress: &ArchivedJobProgress,
        effects: &mut GateEffects,
    ) {
        let id = JobId::from_bytes(progress.job);
        let Some(job) = self.jobs.get_mut(&id) else {
            refuse(effects, link, frame, ErrorCode::UnknownJob, format!("no job {id} is known here"));
            return;
        };
        if job.state() == JobState::Dispatching {
            job.go(JobState::Running);
        }
        let ack = JobProgressAck { job: id.to_bytes(), level: 0, delay_ms: 0 };
        effects.send(link, Head::reply(frame.header.correlation).job(id), &ack);
    }

    /// Views whose patience is over go out with what has come.
    pub(crate) fn flush_views(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        for job in self.jobs.values_mut() {
            if job.view_deadline().is_some_and(|due: Instant| due <= now) {
                push_view(job, effects);
            }
        }
    }
}

fn acknowledge(
    link: LinkId,
    frame: &RawFrame<'_>,
    columns: &ArchivedStatsColumns,
    effects: &mut GateEffects,
) {
    if !frame.header.flags.contains(Flags::WANTS_REPLY) {
        return;
    }
    let ack = StatsAck {
        job: columns.job,
        token: columns.token.to_native(),
        source_worker: columns.source_worker.to_vec(),
        source_shard: columns.source_shard.iter().map(|shard| shard.to_native()).collect(),
        source_epoch: columns.source_epoch.iter().map(|epoch| epoch.to_native()).collect(),
        source_sequence: columns.source_sequence.iter().map(|sequence| sequence.to_native()).collect(),
        level: 0,
        delay_ms: 0,
        want_snapshot: false,
    };
    effects.send(link, Head::reply(frame.header.correlation), &ack);
}

/// Tells every subscriber of the windows that were merged.
pub(crate) fn push_view(job: &mut GateJob, effects: &mut GateEffects) {
    job.view_since = None;
    let window_ms = u64::try_from(job.plan.window.as_millis()).unwrap_or(u64::MAX);
    let in_flight = job.view.in_flight();
    let mut running = job.running;
    let (id, token, seq, state) = (job.id, job.token, job.seq + 1, job.state());
    let (mut latency, mut lateness) = (Hist::new(), Hist::new());
    let push = job.view.flush(|from, to, workflows| {
        let steps = || workflows.iter().flat_map(|cells| cells.steps());
        for cell in steps() {
            latency.merge(&cell.latency);
            lateness.merge(&cell.lateness);
        }
        let requests = steps().map(|cell| cell.count).sum();
        let errors = steps().map(|cell| cell.errors).sum();
        running.requests += requests;
        running.errors += errors;
        running.dropped += workflows.iter().map(|cells| cells.workflow().dropped).sum::<u64>();
        JobStatusPush {
            job: id.to_bytes(),
            fence_token: token,
            seq,
            state: state.to_wire(),
            from_ms: u64::from(from) * window_ms,
            to_ms: (u64::from(to) + 1) * window_ms,
            requests,
            errors,
            dropped: workflows.iter().map(|cells| cells.workflow().dropped).sum(),
            bytes_in: steps().map(|cell| cell.bytes_in).sum(),
            p50_ns: latency.quantile_ppm(500_000).unwrap_or(0),
            p99_ns: latency.quantile_ppm(990_000).unwrap_or(0),
            max_ns: latency.max().unwrap_or(0),
            lateness_p99_ns: lateness.quantile_ppm(990_000).unwrap_or(0),
            total_requests: running.requests,
            total_errors: running.errors,
            in_flight,
            events: Vec::new(),
            latency: None,
        }
    });
    let Some(mut push) = push else { return };
    job.seq = seq;
    job.running = running;
    for subscriber in &job.subscribers {
        push.latency = subscriber.histograms.then(|| latency.to_sparse());
        effects.send(subscriber.link, Head::default().job(job.id), &push);
    }
}
