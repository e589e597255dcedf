//! Load that moves while it runs (`ShareRevision`): from a worker that takes no more to the others.
//!
//! A fact first: the next revision is committed. Then the old share is told when it ends, and answers when it really does;
//! the others begin with its units exactly there. Of a count, they get what the old share's result says is left.

use std::time::Duration;

use hyperscale_codec::messages::{ArchivedShareRevisionAck, WorkflowState};
use hyperscale_codec::{JobId, NodeId, WorkflowId};
use hyperscale_core::{Instant, LinkId};
use hyperscale_ledger::ManagerEntry;
use hyperscale_plan::{Arrivals, Iterations, Load, Workflow};

use crate::calls::Call;
use crate::core::{Command, ManagerCore, ManagerEffects};
use crate::job::{DcJob, DcWorkflow, Moving, ShareId, WorkerShare};
use crate::joiners::Part;
use crate::workflows::{index, micros, wire};

/// Load moves so far ahead of now that those that take it are ready by then.
pub(crate) const LEAD: Duration = Duration::from_millis(250);

impl ManagerCore {
    /// Moves all that runs on a worker to the others, and gives it no more until it registers anew. What nobody can
    /// take stays.
    pub fn move_shares_of(&mut self, node: NodeId, effects: &mut ManagerEffects) {
        self.workers
            .values_mut()
            .filter(|worker| worker.node == node)
            .for_each(|worker| worker.card.accepting = false);
        let nobody = self.takers(Some(node)).is_empty();
        let now = self.now;
        for job in self.jobs.values_mut().filter(|job| job.outcome.is_none() && !job.cancelled) {
            for (at, share_id) in shares_of(job, node) {
                let Some(share) = share_mut(job, at, share_id) else { continue };
                if share.moving.is_some() {
                    continue;
                }
                if !nobody {
                    propose(job, at, share_id, None, effects);
                } else if !std::mem::replace(&mut share.stays, true) {
                    let text = format!("no other worker can take the share of {}", name_of(job, node));
                    job.event(now, "share_stays", text);
                }
            }
        }
    }

    pub(crate) fn on_move_committed(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        revision: u32,
        share_id: ShareId,
        effects: &mut ManagerEffects,
    ) {
        let (at, now) = (index(workflow), self.now);
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.outcome.is_none()) else { return };
        let (cancelled, of) = (job.cancelled, (id, at, share_id));
        let started_at = job.workflows.get(at).and_then(|entry| entry.started_at);
        let Some(share) = share_mut(job, at, share_id) else { return };
        let Some(moving) = share.moving.filter(|moving| moving.revision == revision) else { return };
        if moving.lost.is_some() {
            self.replace_lost(id, workflow, share_id, moving, effects);
        } else if cancelled {
            share.moving = None;
        } else if started_at.is_some() && share.started {
            self.order(Call::Revise(of), effects);
        } else {
            let part =
                Part { revision, units: share.units, iterations: share.iterations, from_us: share.from_us };
            let takers = self.give(id, workflow, Some(share_id.0), part, effects);
            let Some(job) = self.jobs.get_mut(&id) else { return };
            if takers.is_empty() {
                stays(job, at, share_id, now, "no other worker can take it");
                return;
            }
            finish(job, at, share_id);
            moved(job, share_id.0, &takers, part.from_us, at, now);
            self.forget_orders(of);
            self.order(Call::End(of), effects);
        }
    }

    /// The worker told from when on the load is free.
    pub(crate) fn on_revision_ack(
        &mut self,
        link: LinkId,
        ack: &ArchivedShareRevisionAck,
        effects: &mut ManagerEffects,
    ) {
        let (id, workflow) = (JobId::from_bytes(ack.job), WorkflowId(ack.workflow.to_native()));
        let (at, now) = (index(workflow), self.now);
        let Some(node) = self.workers.get(&link).map(|worker| worker.node) else { return };
        let share_id = (node, ack.revision.to_native());
        self.calls.answered(now, &Call::Revise((id, at, share_id)));
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.outcome.is_none() && !job.cancelled) else {
            return;
        };
        let counted = job.plan.workflows.get(at).is_some_and(is_counted);
        let Some(share) = share_mut(job, at, share_id).filter(|share| share.ended.is_none()) else { return };
        let Some(moving) = share.moving.filter(|moving| !moving.handed_on) else { return };
        if !ack.in_force {
            stays(job, at, share_id, now, ack.error.as_str());
            return;
        }
        if counted {
            // What is left is known when what is under way has ended.
            return;
        }
        self.hand_on(id, workflow, share_id, moving, ack.until_us.to_native(), effects);
    }

    /// A share that was to move has ended, and its worker's word on when is lost: the others begin where it ended.
    pub(crate) fn hand_on_ended(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        share_id: ShareId,
        from_us: u64,
        effects: &mut ManagerEffects,
    ) {
        let at = index(workflow);
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.cancelled) else { return };
        let counted = job.plan.workflows.get(at).is_some_and(is_counted);
        let moving = share_mut(job, at, share_id).and_then(|share| share.moving);
        let moving = moving.filter(|moving| !moving.handed_on && moving.lost.is_none() && !counted);
        if let Some(moving) = moving {
            self.hand_on(id, workflow, share_id, moving, from_us, effects);
        }
    }

    fn hand_on(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        share_id: ShareId,
        moving: Moving,
        from_us: u64,
        effects: &mut ManagerEffects,
    ) {
        let (at, now) = (index(workflow), self.now);
        let share = self.jobs.get_mut(&id).and_then(|job| share_mut(job, at, share_id));
        let Some(share) = share else { return };
        let part =
            Part { revision: moving.revision, units: share.units, iterations: share.iterations, from_us };
        share.moving = Some(Moving { handed_on: true, ..moving });
        let takers = self.give(id, workflow, Some(share_id.0), part, effects);
        if let Some(job) = self.jobs.get_mut(&id) {
            moved(job, share_id.0, &takers, from_us, at, now);
        }
    }

    /// A withdrawn share of a count has ended: the others get what it has not started.
    pub(crate) fn hand_on_rest(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        share_id: ShareId,
        left: u64,
        effects: &mut ManagerEffects,
    ) {
        let (at, now) = (index(workflow), self.now);
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.cancelled) else { return };
        let since = job.workflows.get(at).and_then(|entry| entry.started_at).map(|start| now.since(start));
        let Some(share) = share_mut(job, at, share_id).filter(|_| left > 0) else { return };
        let Some(moving) = share.moving.filter(|moving| !moving.handed_on) else { return };
        let from_us = micros(since.unwrap_or_default()).max(1);
        let part = Part { revision: moving.revision, units: share.units, iterations: left, from_us };
        share.iterations = share.iterations.saturating_sub(left);
        share.moving = Some(Moving { handed_on: true, ..moving });
        let takers = self.give(id, workflow, Some(share_id.0), part, effects);
        if let Some(job) = self.jobs.get_mut(&id) {
            moved(job, share_id.0, &takers, from_us, at, now);
        }
    }
}

/// The shares of a worker that have not ended, with their workflow.
pub(crate) fn shares_of(job: &DcJob, node: NodeId) -> Vec<(usize, ShareId)> {
    let live = |entry: &DcWorkflow| {
        let shares =
            entry.shares.iter().filter(|((owner, _), share)| *owner == node && share.ended.is_none());
        shares.map(|(share_id, _)| *share_id).collect::<Vec<_>>()
    };
    job.workflows
        .iter()
        .enumerate()
        .flat_map(|(at, entry)| live(entry).into_iter().map(move |id| (at, id)))
        .collect()
}

pub(crate) fn share_mut(job: &mut DcJob, at: usize, share_id: ShareId) -> Option<&mut WorkerShare> {
    job.workflows.get_mut(at)?.shares.get_mut(&share_id)
}

/// Proposes that a share moves; `lost` iterations of a count are missing where its worker is gone.
pub(crate) fn propose(
    job: &mut DcJob,
    at: usize,
    share_id: ShareId,
    lost: Option<u64>,
    effects: &mut ManagerEffects,
) {
    let (id, attempt) = (job.id, job.attempt);
    let Some(entry) = job.workflows.get_mut(at) else { return };
    entry.revision = entry.revision.saturating_add(1);
    let revision = entry.revision;
    if let Some(share) = entry.shares.get_mut(&share_id) {
        share.moving = Some(Moving { revision, lost, from_us: 0, handed_on: false });
    }
    let (workflow, moves) = (wire(at), Some(share_id));
    let entry = ManagerEntry::WorkflowAssigned { job: id, workflow, attempt, revision, moves };
    effects.command(Command::Propose(entry));
}

/// Whether shares are told how many iterations they have, so that what is left of them moves as a number.
pub(crate) fn is_counted(workflow: &Workflow) -> bool {
    match &workflow.load {
        Load::Closed(closed) => closed.iterations != Iterations::Unlimited,
        Load::Open(open) => open.total.is_some() && open.arrivals == Arrivals::Poisson,
    }
}

/// The share has ended here; others have its load.
pub(crate) fn finish(job: &mut DcJob, at: usize, share_id: ShareId) {
    if let Some(share) = share_mut(job, at, share_id) {
        share.ended = Some(WorkflowState::Completed);
        if let Some(moving) = &mut share.moving {
            moving.handed_on = true;
        }
    }
}

fn stays(job: &mut DcJob, at: usize, share_id: ShareId, now: Instant, why: &str) {
    if let Some(share) = share_mut(job, at, share_id) {
        (share.moving, share.stays) = (None, true);
    }
    let text = format!("the share of {} stays: {why}", name_of(job, share_id.0));
    job.event(now, "share_stays", text);
}

pub(crate) fn name_of(job: &DcJob, node: NodeId) -> String {
    job.workers.get(&node).map_or_else(|| node.to_string(), |record| record.name.clone())
}

/// Milliseconds since the job's start of a time since a workflow's start.
pub(crate) fn since_job_ms(job: &DcJob, at: usize, us: u64) -> u64 {
    let start = job.workflows.get(at).and_then(|entry| entry.started_at);
    let before =
        start.zip(job.started_at).map_or(Duration::ZERO, |(start, job_start)| start.since(job_start));
    u64::try_from((before + Duration::from_micros(us)).as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn moved(job: &mut DcJob, from: NodeId, to: &[String], from_us: u64, at: usize, now: Instant) {
    let (name, at_ms) = (name_of(job, from), since_job_ms(job, at, from_us));
    if to.is_empty() {
        job.event(
            now,
            "share_missing",
            format!("nobody can take the share of {name}; it ends at {at_ms} ms"),
        );
    } else {
        job.event(now, "share_moved", format!("from {name} to {} at {at_ms} ms", to.join(", ")));
    }
}
