//! Statistics on their way through the manager: deltas are merged over the workers and sent up as its own, for
//! views; snapshots of each source go up as they are, so that the gate's total needs no trust in this memory.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedStatsAck, ArchivedStatsColumns, ArchivedStatsFinalAck, StatsAck, StatsColumns, StatsFinalAck,
    StatsSnapshot, StatsUpdate,
};
use hyperscale_codec::{
    Epoch, ErrorCode, Features, Flags, Head, JobId, NodeId, RawFrame, Sequence, ShardId, WorkflowId,
};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::PeerLink;
use hyperscale_reliability::{BackpressureLevel, StatsFill, StatsSent, Wanted};
use hyperscale_stats::{ColumnsBuilder, Held, Source, Taken, all_cells, build_all, relieve, sources_of};

use crate::core::{ManagerCore, ManagerEffects, NOT_REGISTERED, Owner, refuse};
use crate::job::DcJob;
use crate::objections;
use crate::owed::has_room;
use crate::workflows::{millis, wire};

/// The number of messages of statistics; their receipts name what they are for.
const STATISTICS: u32 = 1;
/// Bytes of the windows of all jobs.
const WINDOWS_MAX: usize = 256 << 20;

impl ManagerCore {
    fn sender(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        effects: &mut ManagerEffects,
    ) -> Option<(NodeId, JobId)> {
        let id = JobId::from_bytes(columns.job);
        let node = self.workers.get(&link).map(|worker| worker.node);
        if node.is_none() {
            refuse(effects, link, frame, ErrorCode::Unavailable, NOT_REGISTERED.to_owned());
            return None;
        }
        if !self.jobs.contains_key(&id) {
            let error = format!("no job {id} runs on this connection");
            tracing::warn!(link = link.0, error, "statistics are refused");
            refuse(effects, link, frame, ErrorCode::UnknownJob, error);
            return None;
        }
        let node = node?;
        let objection = columns.check().map_err(|error| error.to_string()).err();
        if let Some(error) = objection.or_else(|| objections::to_sources(columns, node)) {
            self.refuse_statistics(link, frame, id, error, effects);
            return None;
        }
        Some((node, id))
    }

    /// Tells the sender, the log, and with the first of a job its report. A total that lacks them says so at the end.
    fn refuse_statistics(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        id: JobId,
        error: String,
        effects: &mut ManagerEffects,
    ) {
        let name = self.workers.get(&link).map_or("", |worker| worker.name.as_str());
        tracing::error!(job = %id, worker = name, error, "statistics are refused");
        if let Some(job) = self.jobs.get_mut(&id) {
            job.refused = job.refused.saturating_add(1);
            if job.refused == 1 {
                let detail = format!("statistics of worker {name} are refused: {error}");
                job.event(self.now, "statistics_refused", detail);
            }
        }
        refuse(effects, link, frame, ErrorCode::Invalid, error);
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
        let manager = self.config.identity.node;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Some(error) = objections::to_windows(columns, job, now) {
            self.refuse_statistics(link, frame, id, error, effects);
            return;
        }
        let mut gap = false;
        let taken = job
            .totals
            .take_delta(columns, |_, _, taken| gap |= taken == Taken::Gap)
            .and_then(|()| job.view.take((node, workflow_of(columns)), columns));
        if let Err(error) = taken {
            self.refuse_statistics(link, frame, id, error.to_string(), effects);
            return;
        }
        job.view_since.get_or_insert(now);
        let is_due = job.view_is_due(now);
        let asked =
            is_due && pass_up(job, (now, manager), batched(&self.links, job), (&mut self.sent, effects));
        self.pressure.rise(now, StatsFill { bytes: effects.unread(), ..job.fill() });
        let level = job.level(self.pressure.level());
        acknowledge(&mut self.ack, (link, frame), columns, (level, gap), effects);
        if asked {
            self.owe_newest(&[id], effects);
        }
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
        let (now, manager) = (self.now, self.config.identity.node);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Err(error) = job.totals.take_snapshot(columns, is_final, |_, _, _| {}) {
            self.refuse_statistics(link, frame, id, error.to_string(), effects);
            return;
        }
        let mut asked = Vec::new();
        // The last message of a final is the last word of its worker about the share; others may still have one.
        if is_final && !columns.more {
            job.view.forget((node, workflow_of(columns)));
            if job.view_is_due(now)
                && pass_up(job, (now, manager), batched(&self.links, job), (&mut self.sent, effects))
            {
                asked.push(id);
            }
            job.found_again(node);
            // Of one that was lost, it comes after the gate has kept all others, and perhaps after the gate itself.
            job.finals_kept = false;
        }
        if has_room(job, effects) {
            // The body goes up byte for byte; only its envelope is this node's.
            effects.forward(job.gate_link, frame.bytes);
        } else if is_final {
            let told: Vec<Source> = sources_of(columns).map(|(source, _)| source).collect();
            self.owe(id, |_| told);
            self.pay(effects);
        }
        self.owe_newest(&asked, effects);
        let Some(job) = self.jobs.get(&id) else { return };
        let level = job.level(self.pressure.level());
        acknowledge(&mut self.ack, (link, frame), columns, (level, false), effects);
        if is_final {
            // Its gate is given up: nobody else will tell this worker that it need not keep them.
            self.let_go_if_abandoned(id, effects);
        }
    }

    /// The gate holds these finals for good: so may the workers forget them.
    pub(crate) fn on_finals_kept(&mut self, ack: &ArchivedStatsFinalAck, effects: &mut ManagerEffects) {
        let id = JobId::from_bytes(ack.job);
        self.jobs.entry(id).and_modify(|job| job.finals_kept = true);
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

    /// The gate took windows in, or a total that was passed on.
    pub(crate) fn on_stats_acked(&mut self, link: LinkId, ack: &ArchivedStatsAck) {
        let (now, own) = (self.now, self.config.identity.node.to_bytes());
        let Some(job) = self.jobs.get_mut(&JobId::from_bytes(ack.job)).filter(|job| job.gate_link == link)
        else {
            return;
        };
        let sources = ack.source_worker.iter().zip(ack.source_sequence.iter());
        let newest = job.sequence.0;
        let mut windows = sources.filter(|(worker, _)| **worker == own);
        // One of nothing is for what was not read: it is not on its way any more.
        let all = ack.source_worker.is_empty() || windows.any(|(_, told)| told.to_native() >= newest);
        let delay = Duration::from_millis(ack.delay_ms.to_native().into());
        job.pace.on_ack(now, BackpressureLevel::from_wire(ack.level), delay, all);
        if ack.want_snapshot {
            job.pace.want_snapshot();
        }
    }

    /// The gate tells how much it takes, beside something else.
    pub(crate) fn on_level(&mut self, link: LinkId, id: JobId, level: u8, delay_ms: u32) {
        let delay = Duration::from_millis(delay_ms.into());
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.gate_link == link) {
            job.pace.on_ack(self.now, BackpressureLevel::from_wire(level), delay, false);
        }
    }

    /// How full the statistics plane is.
    pub(crate) fn fill(&self) -> StatsFill {
        let live = self.jobs.values().filter(|job| job.ended_at.is_none());
        live.map(DcJob::fill).fold(StatsFill::default(), StatsFill::or)
    }

    /// From time to time: what is kept grows old, and the level falls where there is room again.
    pub(crate) fn tend_statistics(&mut self, effects: &ManagerEffects) {
        let now = self.now;
        self.jobs.values_mut().for_each(|job| job.windows.promote(now));
        let fill = StatsFill { bytes: effects.unread(), ..self.fill() };
        self.pressure.tick(now, fill);
        relieve(WINDOWS_MAX, self.jobs.values_mut().map(|job| &mut job.windows));
    }

    pub(crate) fn flush_late_views(&mut self, effects: &mut ManagerEffects) {
        let now = self.now;
        let manager = self.config.identity.node;
        let mut asked = Vec::new();
        for job in self.jobs.values_mut() {
            if job.view_is_due(now)
                && pass_up(job, (now, manager), batched(&self.links, job), (&mut self.sent, effects))
            {
                asked.push(job.id);
            }
        }
        self.owe_newest(&asked, effects);
    }

    /// After a gate came back: everything it may have missed. Finals of lost workers are made of what they told.
    pub(crate) fn resend_finals(&mut self, link: LinkId, owner: Owner, effects: &mut ManagerEffects) {
        let missed = self.jobs.values().filter(|job| job.owner == owner && !job.acknowledged);
        let missed: Vec<JobId> = missed.map(|job| job.id).collect();
        for id in missed {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            job.owned_over(link);
            if job.outcome.is_some() {
                self.owe(id, DcJob::sources);
                self.send_result(id, effects);
            } else {
                // Of workflows that ended while it was away; the others' figures are on their way.
                self.owe(id, DcJob::final_sources);
            }
        }
        self.pay(effects);
    }
}

/// What a worker that is gone told, as a snapshot: if it comes back, its own figures replace these.
pub(crate) fn send_told(job: &DcJob, worker: NodeId, effects: &mut ManagerEffects) {
    for columns in columns_of(job, |held| held.source.worker == worker && !held.is_final) {
        effects.send(job.gate_link, Head::default().job(job.id), &StatsSnapshot(columns));
    }
}

fn columns_of(job: &DcJob, wanted: impl Fn(&Held<'_>) -> bool) -> Vec<StatsColumns> {
    let window_ms = u32::try_from(millis(job.plan.window)).unwrap_or(1000);
    let rows = || job.totals.rows().filter(|held| wanted(held));
    let through = rows().map(|held| held.through).max().unwrap_or_default();
    let mut builder = ColumnsBuilder::new(job.id, job.fence_token, through, through, window_ms);
    rows().for_each(|held| builder.push_sparse(held.source, held.sequence, held.workflow, held.cells));
    builder.build()
}

/// The workflow whose share a worker's message is about.
fn workflow_of(columns: &ArchivedStatsColumns) -> WorkflowId {
    all_cells(columns).next().map(|(_, workflow, _)| workflow).unwrap_or_default()
}

/// Whether the job's gate takes several sources in one message.
pub(crate) fn batched(links: &BTreeMap<LinkId, PeerLink>, job: &DcJob) -> bool {
    links.get(&job.gate_link).is_some_and(|link| link.common.contains(Features::BATCHED_STATS))
}

/// The windows that are merged: kept here, and sent up as far as the gate takes them. Whether the gate asked for the newest
/// figures of all.
pub(crate) fn pass_up(
    job: &mut DcJob,
    (now, manager): (Instant, NodeId),
    batched: bool,
    (sent, effects): (&mut StatsSent, &mut ManagerEffects),
) -> bool {
    job.view_since = None;
    job.offered_to = job.offered_to.max(job.view.waits_to());
    if job.orphaned_since.is_some() && job.ended_at.is_none() {
        return false;
    }
    let takes = job.pace.takes_windows();
    let wanted = if job.ended_at.is_some() {
        Wanted { windows: takes, ..Wanted::default() }
    } else {
        let to = job.offered_to.unwrap_or_default();
        job.pace.poll(now, to, job.view.waits_to().is_some())
    };
    if wanted.windows {
        send_windows(job, (now, manager), batched, (sent, effects));
    } else if !takes {
        // The gate draws its views from the workers' totals.
        let windows = &mut job.windows;
        job.view.flush(|merged| windows.insert(now, merged.span(), merged.workflows));
    }
    wanted.again
}

/// Sends the merged windows up under the manager's own name: of all workflows together, or a message for each.
fn send_windows(
    job: &mut DcJob,
    (now, manager): (Instant, NodeId),
    batched: bool,
    (sent, effects): (&mut StatsSent, &mut ManagerEffects),
) {
    let (in_flight, level) = (job.view.in_flight(), job.pace.level());
    let mut merged = 1;
    let window_ms = u32::try_from(millis(job.plan.window)).unwrap_or(1000);
    let sequence = Sequence(job.sequence.0.saturating_add(1));
    let (id, token, kept) = (job.id, job.fence_token, &mut job.windows);
    let messages = job.view.flush(|windows| {
        kept.insert(now, windows.span(), windows.workflows);
        merged = windows.to.saturating_sub(windows.from).saturating_add(1);
        let begin = || {
            let builder = ColumnsBuilder::new(id, token, windows.from, windows.to, window_ms);
            builder.ending_at_us(windows.end_us)
        };
        let mut builders = vec![begin()];
        // Those at rest have nothing to say; the first says at least which windows are over.
        let some = windows.workflows.iter().enumerate().filter(|(at, cells)| *at == 0 || !cells.is_empty());
        for (at, cells) in some {
            let source = Source { worker: manager, shard: ShardId::ANY, epoch: Epoch(u64::from(wire(at).0)) };
            if !batched && builders.last().is_some_and(|builder| !builder.is_empty()) {
                builders.push(begin());
            }
            if let Some(builder) = builders.last_mut() {
                builder.push(source, sequence, wire(at), cells);
            }
        }
        build_all(builders)
    });
    let Some(mut messages) = messages else { return };
    // One row carries what is in flight over all; the sum is what a view shows.
    if let Some(first) = messages.iter_mut().find_map(|columns| columns.in_flight.first_mut()) {
        *first = in_flight;
    }
    job.sequence = sequence;
    sent.count(level, messages.len(), merged);
    for columns in messages {
        effects.send(job.gate_link, Head::request(STATISTICS).job(id), &StatsUpdate(columns));
    }
}

fn acknowledge(
    ack: &mut StatsAck,
    (link, frame): (LinkId, &RawFrame<'_>),
    columns: &ArchivedStatsColumns,
    (level, want_snapshot): (BackpressureLevel, bool),
    effects: &mut ManagerEffects,
) {
    if frame.header.flags.contains(Flags::WANTS_REPLY) {
        ack.acknowledge(columns);
        (ack.level, ack.delay_ms, ack.want_snapshot) = (level.to_wire(), level.delay_ms(), want_snapshot);
        effects.send(link, Head::reply(frame.header.correlation), ack);
    }
}
