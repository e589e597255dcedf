//! Workflows in their order: assigned, dispatched to every worker, started together, ended.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::messages::{ArchivedWorkflowDispatchAck, ArchivedWorkflowStatus, WorkflowState};
use hyperscale_codec::{JobId, WorkflowId};
use hyperscale_core::LinkId;
use hyperscale_ledger::ManagerEntry;

use crate::calls::{Call, ShareOf};
use crate::core::{Command, ManagerCore, ManagerEffects};
use crate::job::ShareId;
use crate::joiners::{Part, count_of};
use crate::revise::share_mut;

/// One worker needs no time to agree with others on a start.
const START_ALONE: Duration = Duration::from_millis(5);
const START_TOGETHER: Duration = Duration::from_millis(100);

impl ManagerCore {
    /// Assigns what may start now, skips what never will, ends the job when nothing is left.
    pub(crate) fn advance(&mut self, id: JobId, effects: &mut ManagerEffects) {
        let now = self.now;
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
            if let Some(entry) = job.workflows.get_mut(workflow) {
                entry.due_since = Some(now);
            }
            let entry = ManagerEntry::WorkflowAssigned {
                job: id,
                workflow: wire(workflow),
                attempt: job.attempt,
                revision: 1,
                moves: None,
            };
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
        let Some(plan) = job.plan.workflows.get(at) else { return };
        let part = Part { revision: 1, units: job.units, iterations: count_of(plan, job.units), from_us: 0 };
        if let Some(entry) = job.workflows.get_mut(at) {
            (entry.assigned_at, entry.revision, entry.due_since) = (Some(now), 1, None);
        }
        self.dispatches.made = self.dispatches.made.saturating_add(1);
        if self.give(id, workflow, None, part, effects).is_empty() {
            self.end_workflow(id, workflow, WorkflowState::Failed, "no worker takes work", effects);
        }
    }

    pub(crate) fn on_workflow_ready(
        &mut self,
        link: LinkId,
        ack: &ArchivedWorkflowDispatchAck,
        effects: &mut ManagerEffects,
    ) {
        let (id, workflow) = (JobId::from_bytes(ack.job), WorkflowId(ack.workflow.to_native()));
        let Some(node) = self.workers.get(&link).map(|worker| worker.node) else { return };
        let share_id = (node, ack.revision.to_native());
        self.calls.answered(self.now, &Call::Give((id, index(workflow), share_id)));
        if !ack.ready {
            return self.on_share_refused(id, workflow, share_id, ack.error.as_str(), effects);
        }
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(entry) = job.workflows.get_mut(index(workflow)) else { return };
        let Some(share) = entry.shares.get_mut(&share_id).filter(|share| share.ended.is_none()) else {
            return;
        };
        share.ready = true;
        match entry.started_at.is_some() {
            true => self.join(id, workflow, share_id, None, effects),
            false => self.start_if_ready(id, workflow, false, effects),
        }
    }

    /// A worker cannot prepare its share, or did not within its time.
    pub(crate) fn on_share_refused(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        share_id: ShareId,
        error: &str,
        effects: &mut ManagerEffects,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(entry) = job.workflows.get_mut(index(workflow)) else { return };
        let Some(share) = entry.shares.get_mut(&share_id) else { return };
        if share.ended.is_some() || share.ready {
            return;
        }
        if entry.started_at.is_some() {
            return self.join(id, workflow, share_id, Some(error.to_owned()), effects);
        }
        share.ended = Some(WorkflowState::Failed);
        error.clone_into(&mut share.error);
        self.start_if_ready(id, workflow, false, effects);
    }

    /// A worker answers an order to begin.
    pub(crate) fn on_started(
        &mut self,
        link: LinkId,
        told: &ArchivedWorkflowStatus,
        effects: &mut ManagerEffects,
    ) {
        let Some(node) = self.workers.get(&link).map(|worker| worker.node) else { return };
        let (id, at) = (JobId::from_bytes(told.job), index(WorkflowId(told.workflow.to_native())));
        let of = (id, at, (node, told.revision.to_native()));
        self.calls.answered(self.now, &Call::Start(of));
        if WorkflowState::from_wire(told.state) == WorkflowState::Failed {
            self.on_start_refused(of, told.reason.as_str(), effects);
        }
    }

    /// A share that its worker cannot begin with has failed.
    pub(crate) fn on_start_refused(
        &mut self,
        (id, at, share_id): ShareOf,
        error: &str,
        effects: &mut ManagerEffects,
    ) {
        let share = self.jobs.get_mut(&id).and_then(|job| share_mut(job, at, share_id));
        if let Some(share) = share.filter(|share| share.ended.is_none()) {
            share.ended = Some(WorkflowState::Failed);
            error.clone_into(&mut share.error);
            self.end_if_done(id, wire(at), effects);
        }
    }

    /// Starts a workflow when every share is ready or has ended; `anyway` starts it with those that are ready.
    pub(crate) fn start_if_ready(
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
        let live: Vec<(ShareId, LinkId, bool)> = entry
            .shares
            .iter()
            .filter(|(_, share)| share.ended.is_none())
            .map(|(share_id, share)| (*share_id, share.link, share.ready))
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
        job.started_at.get_or_insert(start);
        if job.started_unix_ms == 0 {
            job.started_unix_ms = unix_ms.saturating_add(millis(wait));
        }
        entry.started_at = Some(start);
        let mut orders = Vec::new();
        for (share_id, _, ready) in live {
            let Some(share) = entry.shares.get_mut(&share_id) else { continue };
            share.started = ready;
            if !ready {
                share.ended = Some(WorkflowState::Failed);
                "the worker was not ready within 10 s".clone_into(&mut share.error);
                continue;
            }
            job.view.expect((share_id.0, workflow));
            orders.push(Call::Start((id, at, share_id)));
        }
        job.dag.set(at, WorkflowState::Running);
        orders.into_iter().for_each(|start| self.order(start, effects));
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
