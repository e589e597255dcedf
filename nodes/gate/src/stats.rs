//! Statistics on their way through the gate: deltas into the view, snapshots into the total, straight from the
//! receive buffer (C-2). A delta may be lost and costs a view some resolution; a snapshot is the truth.

use hyperscale_codec::messages::{ArchivedJobProgress, ArchivedStatsColumns, JobProgressAck, JobState};
use hyperscale_codec::{ErrorCode, Flags, Head, JobId, RawFrame};
use hyperscale_core::{Instant, LinkId};
use hyperscale_reliability::StatsFill;
use hyperscale_stats::{Taken, relieve, sources_of};

use crate::core::{GateCore, GateEffects, refuse};
use crate::finish::acknowledge_finals;
use crate::job::GateJob;
use crate::subscribers::push_view;

/// Bytes of the windows of all jobs, over all shards of a node.
const WINDOWS_MAX: usize = 1 << 30;

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
        self.turns.is_about(id);
        let job = self.jobs.get(&id).filter(|job| job.datacenters.values().any(|part| part.link == link));
        if job.is_none() {
            let error = format!("no job {id} runs on this connection");
            tracing::warn!(link = link.0, error, "statistics are refused");
            refuse(effects, link, frame, ErrorCode::UnknownJob, error);
            return None;
        }
        if let Err(error) = columns.check() {
            self.refuse_statistics(link, frame, id, error.to_string(), effects);
            return None;
        }
        self.jobs.get_mut(&id)
    }

    /// Tells the sender, the log, and with the first of a job its report. A total that lacks them says so at the end.
    fn refuse_statistics(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        id: JobId,
        error: String,
        effects: &mut GateEffects,
    ) {
        tracing::error!(job = %id, link = link.0, error, "statistics are refused");
        if let Some(job) = self.jobs.get_mut(&id) {
            job.refused = job.refused.saturating_add(1);
            if job.refused == 1 {
                job.event(self.now, "statistics_refused", format!("statistics are refused: {error}"));
            }
        }
        refuse(effects, link, frame, ErrorCode::Invalid, error);
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
        // Its rows and its result are the same, and stay so.
        if job.result.is_some() {
            self.receipt(link, frame, columns, effects);
            return;
        }
        if let Err(error) = job.view.take(link, columns) {
            let id = job.id;
            self.refuse_statistics(link, frame, id, error.to_string(), effects);
            return;
        }
        job.view_since.get_or_insert(now);
        if job.view.is_complete() {
            push_view(job, now, effects);
        }
        let fill = StatsFill { bytes: effects.unread(), ..job.fill() };
        self.pressure.rise(now, fill);
        self.receipt(link, frame, columns, effects);
    }

    pub(crate) fn on_snapshot(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        is_final: bool,
        effects: &mut GateEffects,
    ) {
        let now = self.now;
        let Some(job) = self.job_of(link, frame, columns, effects) else { return };
        let id = job.id;
        if job.ended_at.is_some() {
            // The end was told before this came: its worker did not hear of it, or was away.
            let finals = sources_of(columns).map(|(source, _)| source).filter(|_| is_final);
            acknowledge_finals(id, link, finals, effects);
            self.receipt(link, frame, columns, effects);
            return;
        }
        let mut part = job.datacenters.values_mut().find(|part| part.link == link);
        let (view, end_us) = (&mut job.view, columns.end_us.to_native());
        let unsent = columns.unsent_windows();
        let mut drawn = false;
        let taken = job.totals.take_snapshot_and_see(
            columns,
            is_final,
            |source, _, taken| {
                // Half a final is not held for good, and not acknowledged as such.
                if is_final
                    && taken != Taken::Part
                    && let Some(part) = &mut part
                {
                    part.finals.insert(source);
                }
            },
            &mut |replaced| {
                // Where no windows are sent, it is drawn what the total gained, if the one before holds what was shown.
                if unsent.is_some_and(|after| replaced.before >= Some(after)) {
                    view.take_difference(link, replaced, end_us);
                    drawn = true;
                }
            },
        );
        if drawn {
            job.view_since.get_or_insert(now);
        }
        if let Err(error) = taken {
            self.refuse_statistics(link, frame, id, error.to_string(), effects);
            return;
        }
        self.receipt(link, frame, columns, effects);
    }

    fn receipt(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        effects: &mut GateEffects,
    ) {
        if frame.header.flags.contains(Flags::WANTS_REPLY) {
            let level = self.pressure.level();
            self.ack.acknowledge(columns);
            (self.ack.level, self.ack.delay_ms) = (level.to_wire(), level.delay_ms());
            effects.send(link, Head::reply(frame.header.correlation), &self.ack);
        }
    }

    /// How full the statistics plane is.
    pub(crate) fn fill(&self) -> StatsFill {
        self.live().map(GateJob::fill).fold(StatsFill::default(), StatsFill::or)
    }

    /// From time to time: what is kept grows old, and the level falls where there is room again.
    pub(crate) fn tend_statistics(&mut self, effects: &GateEffects) {
        let now = self.now;
        self.jobs.values_mut().for_each(|job| job.windows.promote(now));
        let fill = StatsFill { bytes: effects.unread(), ..self.fill() };
        self.pressure.tick(now, fill);
        self.weigh_snapshots();
        let shards = usize::from(self.config.identity.shards).max(1);
        relieve(WINDOWS_MAX / shards, self.jobs.values_mut().map(|job| &mut job.windows));
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
        let level = self.pressure.level();
        let ack = JobProgressAck { job: id.to_bytes(), level: level.to_wire(), delay_ms: level.delay_ms() };
        effects.send(link, Head::reply(frame.header.correlation).job(id), &ack);
    }

    /// Views whose patience is over go out with what has come.
    pub(crate) fn flush_views(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        for id in &self.live {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            if job.view_deadline().is_some_and(|due: Instant| due <= now) {
                push_view(job, now, effects);
            }
        }
    }
}
