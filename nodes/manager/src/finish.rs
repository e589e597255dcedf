//! Ends: of a worker's share, and of the job's part in this datacenter.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedWorkflowFinalResult, DcFinalResult, JobState, WorkerOutcome, WorkerState, WorkflowFinalResultAck,
    WorkflowOutcome, WorkflowState,
};
use hyperscale_codec::{Epoch, ErrorCode, Head, JobId, RawFrame, WorkflowId};
use hyperscale_core::LinkId;
use hyperscale_ledger::ManagerEntry;

use crate::calls::Call;
use crate::core::{Command, ManagerCore, ManagerEffects, NOT_REGISTERED, refuse};
use crate::job::DcJob;
use crate::stats::{batched, pass_up};
use crate::workflows::{index, micros, millis, wire};

impl ManagerCore {
    pub(crate) fn on_workflow_final(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedWorkflowFinalResult,
        effects: &mut ManagerEffects,
    ) {
        let (id, workflow) = (JobId::from_bytes(told.job), WorkflowId(told.workflow.to_native()));
        let revision = told.revision.to_native();
        let attempt = told.attempt.to_native();
        let Some(node) = self.workers.get(&link).map(|worker| worker.node) else {
            // An acknowledgement would lose it: whose it is, is known once the worker is registered.
            return refuse(effects, link, frame, ErrorCode::Unavailable, NOT_REGISTERED.to_owned());
        };
        let ack = WorkflowFinalResultAck { job: told.job, workflow: workflow.0, attempt, revision };
        effects.send(link, Head::reply(frame.header.correlation).job(id), &ack);
        self.forget_orders((id, index(workflow), (node, revision)));
        let now = self.now;
        let clock = self.links.get(&link).and_then(|link| link.pulse.clock());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(entry) = job.workflows.get_mut(index(workflow)) else { return };
        let end =
            entry.started_at.map_or(now, |start| start + Duration::from_micros(told.duration_us.to_native()));
        let Some(share) = entry.shares.get_mut(&(node, revision)) else { return };
        if share.ended.is_some() {
            share.lost = false;
            return;
        }
        entry.last_end = entry.last_end.max(Some(end));
        share.ended = Some(WorkflowState::from_wire(told.outcome));
        told.error.as_str().clone_into(&mut share.error);
        job.last_end = job.last_end.max(Some(end));
        // Finals come first on the same link; one that is missing or was refused leaves what was told before.
        let whole = told.epochs.iter().all(|epoch| job.totals.has_final(node, Epoch(epoch.to_native())));
        let gap = if whole { Duration::ZERO } else { job.gap(node, index(workflow), end) };
        if let Some(record) = job.workers.get_mut(&node) {
            record.generator_ok &= told.generator_ok;
            record.clock = clock.or(record.clock);
            record.epochs =
                record.epochs.saturating_add(u32::try_from(told.epochs.len()).unwrap_or(u32::MAX));
            if !whole {
                record.state = WorkerState::Partial;
                record.gap_ms = record.gap_ms.max(millis(gap));
            }
        }
        if !whole {
            let name = job.workers.get(&node).map_or("", |record| record.name.as_str());
            tracing::error!(job = %id, worker = name, workflow = workflow.0, "a share ended, and its last figures are missing");
            let detail = format!("worker {name} ended workflow {}; its last figures are missing", workflow.0);
            job.event(now, "statistics_missing", detail);
        }
        if WorkflowState::from_wire(told.outcome) == WorkflowState::Completed {
            self.hand_on_ended(id, workflow, (node, revision), told.duration_us.to_native(), effects);
        }
        self.hand_on_rest(id, workflow, (node, revision), told.iterations_left.to_native(), effects);
        self.end_if_done(id, workflow, effects);
    }

    /// Nothing is left to run here.
    pub(crate) fn end_job(&mut self, id: JobId, effects: &mut ManagerEffects) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.outcome.is_none()) else { return };
        let states = job.dag.states();
        let outcome = if job.cancelled {
            JobState::Cancelled
        } else if states.contains(&WorkflowState::Failed) {
            JobState::Failed
        } else {
            JobState::Completed
        };
        job.outcome = Some(outcome);
        effects.command(Command::Propose(ManagerEntry::DcJobEnded { job: id }));
    }

    pub(crate) fn on_job_ended(&mut self, id: JobId, effects: &mut ManagerEffects) {
        let (now, manager) = (self.now, self.config.identity.node);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.ended_at = Some(now);
        // Of a job that has ended, its last figures are told below.
        let _asked = pass_up(job, (now, manager), batched(&self.links, job), (&mut self.sent, effects));
        if job.workers.values().any(|record| record.state != WorkerState::Ok) {
            self.owe(id, DcJob::sources);
        }
        self.send_result(id, effects);
        self.let_go_if_abandoned(id, effects);
    }

    /// What became of a job's part here; `None`: nothing yet, or its gate has it.
    pub(crate) fn result_of(&self, id: JobId) -> Option<DcFinalResult> {
        let job = self.jobs.get(&id).filter(|job| !job.acknowledged)?;
        let outcome = job.outcome?;
        let failed = job.workflows.iter().zip(&job.plan.workflows).find(|(entry, _)| !entry.error.is_empty());
        let error = failed
            .map_or_else(String::new, |(entry, plan)| format!("workflow {}: {}", plan.name, entry.error));
        let start = job.started_at;
        let workflows = job.workflows.iter().enumerate().map(|(at, entry)| {
            let from = entry.started_at.or(start).unwrap_or(job.accepted_at);
            WorkflowOutcome {
                workflow: wire(at).0,
                state: job.dag.state(at).to_wire(),
                duration_us: entry.ended_at.map_or(0, |end| micros(end.since(from))),
                error: entry.error.clone(),
            }
        });
        let workers = job.workers.iter().map(|(node, record)| WorkerOutcome {
            worker: node.to_bytes(),
            name: record.name.clone(),
            shards: record.shards,
            state: record.state.to_wire(),
            gap_ms: record.gap_ms,
            generator_ok: record.generator_ok,
            clock_offset_us: record.clock.map_or(0, |clock| clock.offset_ns / 1_000),
            clock_error_us: record.clock.map_or(u64::MAX, |clock| micros(clock.error())),
            epochs: record.epochs,
        });
        let duration = match (start, job.last_end.or(job.ended_at)) {
            (Some(start), Some(end)) => end.since(start),
            (_, _) => Duration::ZERO,
        };
        Some(DcFinalResult {
            job: id.to_bytes(),
            fence_token: job.fence_token,
            datacenter: self.config.identity.datacenter.clone(),
            attempt: job.attempt.0,
            outcome: outcome.to_wire(),
            error,
            workflows: workflows.collect(),
            workers: workers.collect(),
            events: job.events.clone(),
            duration_us: micros(duration),
            started_unix_ms: job.started_unix_ms,
        })
    }

    pub(crate) fn on_result_acked(&mut self, id: JobId) {
        self.calls.answered(self.now, &Call::Result(id));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.acknowledged = true;
        }
    }
}
