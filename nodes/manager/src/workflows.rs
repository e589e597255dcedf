//! Workflows in their order: assigned, dispatched to every worker, started together, ended.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedWorkflowDispatchAck, WorkerState, WorkflowDispatch, WorkflowStart, WorkflowState,
};
use hyperscale_codec::{Head, JobId, NodeId, WorkflowId};
use hyperscale_core::LinkId;
use hyperscale_jobs::split;
use hyperscale_ledger::ManagerEntry;

use crate::core::{Command, ManagerCore, ManagerEffects, Worker};
use crate::dispatch::total_iterations;
use crate::job::{DcJob, WorkerRecord, WorkerShare};
use crate::stats::send_told;

/// One worker needs no time to agree with others on a start.
const START_ALONE: Duration = Duration::from_millis(5);
const START_TOGETHER: Duration = Duration::from_millis(100);

impl ManagerCore {
    /// Assigns what may start now, skips what never will, ends the job when nothing is left.
    pub(crate) fn advance(&mut self, id: JobId, effects: &mut ManagerEffects) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.outcome.is_none()) else { return };
        job.dag.skip_hopeless();
        if job.dag.is_done() {
            self.end_job(id, effects);
            return;
        }
        if job.cancelled {
            return;
        }
        let ready: Vec<usize> = job.dag.ready().collect();
        for workflow in ready {
            job.dag.set(workflow, WorkflowState::Assigned);
            let entry =
                ManagerEntry::WorkflowAssigned { job: id, workflow: wire(workflow), attempt: job.attempt };
            effects.command(Command::Propose(entry));
        }
    }

    pub(crate) fn on_assigned(&mut self, id: JobId, workflow: WorkflowId, effects: &mut ManagerEffects) {
        let at = index(workflow);
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.dag.state(at) != WorkflowState::Assigned {
            return;
        }
        let able = self.workers.iter().filter(|(_, worker)| worker.card.accepting);
        let workers: Vec<(LinkId, Worker)> = able.map(|(link, worker)| (*link, worker.clone())).collect();
        let weights: Vec<u32> = workers.iter().map(|(_, worker)| worker.shards).collect();
        let Ok(parts) = split(job.units, &weights) else {
            self.end_workflow(id, workflow, WorkflowState::Failed, "no worker takes work", effects);
            return;
        };
        let total = total_iterations(&job.plan, at);
        let Some(entry) = job.workflows.get_mut(at) else { return };
        entry.assigned_at = Some(now);
        for ((link, worker), units) in workers.into_iter().zip(parts).filter(|(_, units)| units.count > 0) {
            let shards = worker.shards.min(units.count);
            let share = WorkerShare { link, shards, ready: false, ended: None, error: String::new() };
            entry.shares.insert(worker.node, share);
            job.workers.entry(worker.node).or_insert(WorkerRecord {
                name: worker.name,
                shards: worker.shards,
                state: WorkerState::Ok,
                gap_ms: 0,
                generator_ok: true,
                clock: None,
                epochs: 0,
            });
            let dispatch = WorkflowDispatch {
                job: id.to_bytes(),
                workflow: workflow.0,
                attempt: job.attempt.0,
                revision: 1,
                fence_token: job.fence_token,
                dc_token: job.dc_token,
                plan: job.text.clone(),
                plan_sha256: job.sha256,
                share: units.share(total),
                seed: self.config.seed ^ (u64::from(workflow.0) << 32) ^ u64::from(units.from),
            };
            effects.send(link, Head::request(1).job(id), &dispatch);
        }
    }

    pub(crate) fn on_workflow_ready(
        &mut self,
        link: LinkId,
        ack: &ArchivedWorkflowDispatchAck,
        effects: &mut ManagerEffects,
    ) {
        let (id, workflow) = (JobId::from_bytes(ack.job), WorkflowId(ack.workflow.to_native()));
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(entry) = job.workflows.get_mut(index(workflow)) else { return };
        let Some(share) = entry.shares.values_mut().find(|share| share.link == link) else { return };
        if ack.ready {
            share.ready = true;
        } else {
            share.ended = Some(WorkflowState::Failed);
            share.error = ack.error.as_str().to_owned();
        }
        self.start_if_ready(id, workflow, false, effects);
    }

    /// Starts a workflow when every share is ready or has ended; `anyway` starts it with those that are ready.
    fn start_if_ready(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        anyway: bool,
        effects: &mut ManagerEffects,
    ) {
        let at = index(workflow);
        let now = self.now;
        let unix_ms = self.config.wall.unix_ms(now);
        let one_way: BTreeMap<LinkId, Duration> =
            self.workers.keys().map(|link| (*link, self.one_way(*link))).collect();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.dag.state(at) != WorkflowState::Assigned {
            return;
        }
        let Some(entry) = job.workflows.get_mut(at) else { return };
        let live: Vec<(NodeId, LinkId, bool)> = entry
            .shares
            .iter()
            .filter(|(_, share)| share.ended.is_none())
            .map(|(node, share)| (*node, share.link, share.ready))
            .collect();
        if live.is_empty() {
            self.end_if_done(id, workflow, effects);
            return;
        }
        if !anyway && live.iter().any(|(_, _, ready)| !ready) {
            return;
        }
        let away = |link: &LinkId| one_way.get(link).copied().unwrap_or_default();
        let farthest = live.iter().map(|(_, link, _)| away(link)).max().unwrap_or_default();
        // Four of the worst round trips, so that an order that is late once is still in time.
        let least = if live.len() == 1 { START_ALONE } else { START_TOGETHER };
        let wait = least.max(START_ALONE + farthest * 8);
        let start = now + wait;
        let job_start = *job.started_at.get_or_insert(start);
        if job.started_unix_ms == 0 {
            job.started_unix_ms = unix_ms.saturating_add(millis(wait));
        }
        entry.started_at = Some(start);
        let mut order = WorkflowStart {
            job: id.to_bytes(),
            workflow: workflow.0,
            attempt: job.attempt.0,
            dc_token: job.dc_token,
            start_in_us: micros(wait),
            job_elapsed_us: micros(start.since(job_start)),
        };
        for (node, link, _) in live.iter().filter(|(_, _, ready)| *ready) {
            job.view.expect((*node, workflow));
            // What the order takes on its way is over when it arrives.
            order.start_in_us = micros(wait.saturating_sub(away(link)));
            effects.send(*link, Head::default().job(id), &order);
        }
        for (node, _, _) in live.iter().filter(|(_, _, ready)| !ready) {
            if let Some(share) = entry.shares.get_mut(node) {
                share.ended = Some(WorkflowState::Failed);
                "the worker was not ready within 10 s".clone_into(&mut share.error);
            }
        }
        job.dag.set(at, WorkflowState::Running);
    }

    pub(crate) fn start_without_late_workers(&mut self, effects: &mut ManagerEffects) {
        let now = self.now;
        let late: Vec<(JobId, usize)> = self
            .jobs
            .values()
            .filter(|job| job.ready_deadline().is_some_and(|due| due <= now))
            .flat_map(|job| (0..job.workflows.len()).map(move |workflow| (job.id, workflow)))
            .collect();
        for (id, workflow) in late {
            self.start_if_ready(id, wire(workflow), true, effects);
        }
    }

    /// Ends a workflow when all its shares have ended.
    pub(crate) fn end_if_done(&mut self, id: JobId, workflow: WorkflowId, effects: &mut ManagerEffects) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(entry) = job.workflows.get(index(workflow)) else { return };
        if entry.shares.values().any(|share| share.ended.is_none()) {
            return;
        }
        let ended: Vec<WorkflowState> = entry.shares.values().filter_map(|share| share.ended).collect();
        let failed = entry.shares.values().find(|share| share.ended == Some(WorkflowState::Failed));
        let (state, error) = if let Some(failed) = failed {
            (WorkflowState::Failed, failed.error.clone())
        } else if ended.contains(&WorkflowState::Cancelled) || job.cancelled {
            (WorkflowState::Cancelled, String::new())
        } else {
            (WorkflowState::Completed, String::new())
        };
        self.end_workflow(id, workflow, state, &error, effects);
    }

    pub(crate) fn end_workflow(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        state: WorkflowState,
        error: &str,
        effects: &mut ManagerEffects,
    ) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !job.dag.set(index(workflow), state) {
            return;
        }
        if let Some(entry) = job.workflows.get_mut(index(workflow)) {
            error.clone_into(&mut entry.error);
            entry.ended_at = Some(entry.last_end.unwrap_or(now));
        }
        effects.command(Command::Propose(ManagerEntry::WorkflowEnded { job: id, workflow }));
    }

    pub(crate) fn on_workflow_ended(
        &mut self,
        id: JobId,
        _workflow: WorkflowId,
        effects: &mut ManagerEffects,
    ) {
        self.advance(id, effects);
    }

    /// A worker is gone: its shares end, and what it told stays in the totals.
    pub(crate) fn on_worker_lost(&mut self, worker: &Worker, effects: &mut ManagerEffects) {
        let now = self.now;
        let mut touched = Vec::new();
        for job in self.jobs.values_mut().filter(|job| job.outcome.is_none()) {
            let lost = lose_worker(job, worker, now);
            if !lost.is_empty() {
                send_told(job, worker.node, effects);
            }
            touched.extend(lost.into_iter().map(|workflow| (job.id, workflow)));
        }
        for (id, workflow) in touched {
            self.start_if_ready(id, workflow, false, effects);
            self.end_if_done(id, workflow, effects);
        }
    }
}

/// Ends a worker's shares; its total is the newest snapshot and the deltas that follow it without a gap, and what is
/// missing of it is told.
fn lose_worker(job: &mut DcJob, worker: &Worker, now: hyperscale_core::Instant) -> Vec<WorkflowId> {
    let mut touched = Vec::new();
    for (at, entry) in job.workflows.iter_mut().enumerate() {
        job.view.forget((worker.node, wire(at)));
        let alone = entry.shares.len() == 1;
        if let Some(share) = entry.shares.get_mut(&worker.node).filter(|share| share.ended.is_none()) {
            // The others' load goes on; a workflow without any worker has failed.
            share.ended = Some(if alone { WorkflowState::Failed } else { WorkflowState::Completed });
            "all_workers_lost".clone_into(&mut share.error);
            touched.push(wire(at));
        }
    }
    if !touched.is_empty() {
        let gaps = touched.iter().map(|workflow| job.gap(worker.node, index(*workflow), now));
        let gap = gaps.max().unwrap_or_default();
        if let Some(record) = job.workers.get_mut(&worker.node) {
            record.state = WorkerState::Lost;
            record.gap_ms = record.gap_ms.max(millis(gap));
        }
        job.event(now, "worker_lost", format!("worker {} is gone; its share ended", worker.name));
    }
    touched
}

pub(crate) fn index(workflow: WorkflowId) -> usize {
    usize::try_from(workflow.0).unwrap_or(usize::MAX)
}

pub(crate) fn wire(workflow: usize) -> WorkflowId {
    WorkflowId(u32::try_from(workflow).unwrap_or(u32::MAX))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
