//! Statistics on their way through the manager: deltas are merged over the workers and sent up as its own, for
//! views; snapshots of each source go up as they are, so that the gate's total needs no trust in this memory.

use hyperscale_codec::messages::{
    ArchivedStatsColumns, ArchivedStatsFinalAck, StatsAck, StatsFinal, StatsFinalAck, StatsUpdate,
};
use hyperscale_codec::{Epoch, ErrorCode, Flags, Head, JobId, NodeId, RawFrame, Sequence, ShardId};
use hyperscale_core::LinkId;
use hyperscale_stats::{ColumnsBuilder, Source};

use crate::core::{ManagerCore, ManagerEffects, refuse};
use crate::job::DcJob;
use crate::workflows::{millis, wire};

impl ManagerCore {
    fn sender(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        effects: &mut ManagerEffects,
    ) -> Option<(NodeId, JobId)> {
        let id = JobId::from_bytes(columns.job);
        if let Err(error) = columns.check() {
            refuse(effects, link, frame, ErrorCode::Invalid, error.to_string());
            return None;
        }
        let node = self.workers.get(&link).map(|worker| worker.node);
        if node.is_none() || !self.jobs.contains_key(&id) {
            refuse(
                effects,
                link,
                frame,
                ErrorCode::UnknownJob,
                format!("no job {id} runs on this connection"),
            );
            return None;
        }
        Some((node?, id))
    }

    pub(crate) fn on_update(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        effects: &mut ManagerEffects,
    ) {
        let Some((node, id)) = self.sender(link, frame, columns, effects) else { return };
        let now = self.now;
        let manager = self.config.node;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let taken = job.totals.take_delta(columns, |_, _, _| {}).and_then(|()| job.view.take(node, columns));
        if let Err(error) = taken {
            refuse(effects, link, frame, ErrorCode::Invalid, error.to_string());
            return;
        }
        job.heard(node, columns.k_to.to_native());
        job.view_since.get_or_insert(now);
        if job.view.is_complete() {
            pass_up(job, manager, effects);
        }
        acknowledge(link, frame, columns, effects);
    }

    pub(crate) fn on_snapshot(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        is_final: bool,
        effects: &mut ManagerEffects,
    ) {
        let Some((node, id)) = self.sender(link, frame, columns, effects) else { return };
        let manager = self.config.node;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Err(error) = job.totals.take_snapshot(columns, is_final, |_, _, _| {}) {
            refuse(effects, link, frame, ErrorCode::Invalid, error.to_string());
            return;
        }
        if is_final {
            job.view.forget(node);
            pass_up(job, manager, effects);
        }
        // The body goes up byte for byte; only its envelope is this node's.
        effects.forward(job.gate_link, frame.bytes);
        acknowledge(link, frame, columns, effects);
    }

    /// The gate holds these finals for good: so may the workers forget them.
    pub(crate) fn on_finals_kept(&mut self, ack: &ArchivedStatsFinalAck, effects: &mut ManagerEffects) {
        let id = JobId::from_bytes(ack.job);
        let kept = StatsFinalAck {
            job: ack.job,
            source_worker: ack.source_worker.to_vec(),
            source_shard: ack.source_shard.iter().map(|shard| shard.to_native()).collect(),
            source_epoch: ack.source_epoch.iter().map(|epoch| epoch.to_native()).collect(),
        };
        for (link, worker) in &self.workers {
            if kept.source_worker.contains(&worker.node.to_bytes()) {
                effects.send(*link, Head::default().job(id), &kept);
            }
        }
    }

    pub(crate) fn flush_late_views(&mut self, effects: &mut ManagerEffects) {
        let now = self.now;
        let manager = self.config.node;
        for job in self.jobs.values_mut() {
            if job.view_deadline().is_some_and(|due| due <= now) {
                pass_up(job, manager, effects);
            }
        }
    }

    /// After a gate came back: everything it may have missed. Finals of lost workers are made of what they told.
    pub(crate) fn resend_finals(&mut self, link: LinkId, gate: NodeId, effects: &mut ManagerEffects) {
        for job in self.jobs.values_mut().filter(|job| job.gate == gate && !job.acknowledged) {
            job.gate_link = link;
            if job.outcome.is_some() {
                send_totals(job, effects);
            }
        }
        let ended: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.gate == gate && job.outcome.is_some() && !job.acknowledged)
            .map(|job| job.id)
            .collect();
        ended.into_iter().for_each(|id| self.send_result(id, effects));
    }
}

/// Every source's newest figures as finals; the gate ignores what it has.
pub(crate) fn send_totals(job: &DcJob, effects: &mut ManagerEffects) {
    let window_ms = u32::try_from(millis(job.plan.window)).unwrap_or(1000);
    for (source, workflow, sequence, _, cells) in job.totals.rows() {
        let mut builder = ColumnsBuilder::new(job.id, job.fence_token, 0, 0, window_ms);
        builder.push(source, sequence, workflow, cells);
        effects.send(job.gate_link, Head::default().job(job.id), &StatsFinal(builder.build()));
    }
}

/// Sends the merged windows up under the manager's own name.
fn pass_up(job: &mut DcJob, manager: NodeId, effects: &mut ManagerEffects) {
    job.view_since = None;
    let in_flight = job.view.in_flight();
    let window_ms = u32::try_from(millis(job.plan.window)).unwrap_or(1000);
    let sequence = Sequence(job.sequence.0.saturating_add(1));
    let (id, token) = (job.id, job.fence_token);
    let columns = job.view.flush(|from, to, workflows| {
        let mut builder = ColumnsBuilder::new(id, token, from, to, window_ms);
        for (at, cells) in workflows.iter().enumerate() {
            let source = Source { worker: manager, shard: ShardId::ANY, epoch: Epoch(u64::from(wire(at).0)) };
            builder.push(source, sequence, wire(at), cells);
        }
        builder.build()
    });
    let Some(mut columns) = columns else { return };
    // One row carries what is in flight over all; the sum is what a view shows.
    if let Some(first) = columns.in_flight.first_mut() {
        *first = in_flight;
    }
    job.sequence = sequence;
    effects.send(job.gate_link, Head::default().job(id), &StatsUpdate(columns));
}

fn acknowledge(
    link: LinkId,
    frame: &RawFrame<'_>,
    columns: &ArchivedStatsColumns,
    effects: &mut ManagerEffects,
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
