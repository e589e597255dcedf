//! Load of a worker that is gone (`spec.md` 15.5): the others begin with it at once, what it told stays counted.

use std::time::Duration;

use hyperscale_codec::messages::{WorkerState, WorkflowState};
use hyperscale_codec::{JobId, NodeId, WorkflowId};
use hyperscale_core::{Instant, LinkId};

use crate::calls::Call;
use crate::core::{ManagerCore, ManagerEffects, Worker};
use crate::job::{DcJob, Moving, ShareId, WorkerShare};
use crate::joiners::{Part, spread};
use crate::revise::{finish, is_counted, moved, name_of, propose, share_mut, shares_of, since_job_ms};
use crate::silence::Silence;
use crate::stats::send_told;
use crate::workflows::{index, micros, millis, wire};

/// Others begin so far ahead of now. Each moment is missing load.
const LEAD_LOST: Duration = Duration::from_millis(100);

impl ManagerCore {
    /// A worker is gone: what it told stays in the totals, the others take its load over.
    /// `what`: `is gone`, or what else is wrong with it where its link lives.
    pub(crate) fn on_worker_lost(&mut self, worker: &Worker, what: &str, effects: &mut ManagerEffects) {
        let now = self.now;
        let nobody = self.takers(Some(worker.node)).is_empty();
        let (mut touched, mut ended) = (Vec::new(), Vec::new());
        for job in self.jobs.values_mut().filter(|job| job.outcome.is_none()) {
            let mut held = shares_of(job, worker.node);
            // Of a worker whose link lives it may be said twice: what moves already does.
            held.retain(|(at, share_id)| {
                let share = job.workflows.get(*at).and_then(|entry| entry.shares.get(share_id));
                share.and_then(|share| share.moving).is_none_or(|moving| moving.lost.is_none())
            });
            (0..job.workflows.len()).for_each(|at| job.view.forget((worker.node, wire(at))));
            if held.is_empty() {
                continue;
            }
            if let Some(record) = job.workers.get_mut(&worker.node) {
                record.state = WorkerState::Lost;
            }
            let goes_on = if nobody { "its share ended" } else { "others take its share" };
            job.event(now, "worker_lost", format!("worker {} {what}; {goes_on}", worker.name));
            send_told(job, worker.node, effects);
            for (at, share_id) in held {
                let missing = missing_iterations(job, at, share_id);
                let handed_on = |share: &WorkerShare| share.moving.is_some_and(|moving| moving.handed_on);
                let moved = job
                    .workflows
                    .get(at)
                    .and_then(|entry| entry.shares.get(&share_id))
                    .is_some_and(handed_on);
                if nobody || job.cancelled || moved {
                    lose(job, at, share_id, now);
                    touched.push((job.id, wire(at)));
                    ended.push((job.id, at, share_id));
                } else {
                    propose(job, at, share_id, Some(missing), effects);
                }
            }
        }
        ended.into_iter().for_each(|(id, at, share_id)| self.end_where_it_lives(id, at, share_id, effects));
        for (id, workflow) in touched {
            self.start_if_ready(id, workflow, false, effects);
            self.end_if_done(id, workflow, effects);
        }
    }

    /// A worker has a new connection. Where it was taken for lost, what others took over ends there, and what nobody waits
    /// for any more; what it did counts.
    pub(crate) fn on_worker_back(&mut self, link: LinkId, node: NodeId, effects: &mut ManagerEffects) {
        let now = self.now;
        let mut orders = Vec::new();
        for job in self.jobs.values_mut() {
            let stopped =
                (0..job.workflows.len()).map(|at| stop_taken_over(job, at, (link, node), &mut orders)).sum();
            tell_back(job, node, stopped, now);
        }
        orders.into_iter().for_each(|order| self.order(order, effects));
    }

    /// Others begin where a lost worker's load is missing.
    pub(crate) fn replace_lost(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        share_id: ShareId,
        moving: Moving,
        effects: &mut ManagerEffects,
    ) {
        let (at, now) = (index(workflow), self.now);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let started_at = job.workflows.get(at).and_then(|entry| entry.started_at);
        let counted = job.plan.workflows.get(at).is_some_and(is_counted);
        let cancelled = job.cancelled;
        let Some(share) = share_mut(job, at, share_id).filter(|share| share.ended.is_none()) else { return };
        let left = moving.lost.unwrap_or(share.iterations);
        share.iterations = share.iterations.saturating_sub(left);
        let running = started_at.filter(|start| *start < now);
        let from_us = running.map_or(0, |start| micros(now.since(start) + LEAD_LOST)).max(share.from_us);
        share.moving = Some(Moving { from_us, ..moving });
        let part = Part { revision: moving.revision, units: share.units, iterations: left, from_us };
        let done = cancelled || counted && left == 0;
        let takers = if done { Vec::new() } else { self.give(id, workflow, Some(share_id.0), part, effects) };
        // It may be back already, by another connection than the one that was lost.
        let stands_still = self.silent.get(&share_id.0) == Some(&Silence::Lost)
            || self.health.state(share_id.0).is_some_and(|state| state.overdue);
        let back = self.workers.iter().find(|(_, worker)| worker.node == share_id.0 && !stands_still);
        let back = back.map(|(link, _)| *link);
        let mut orders = Vec::new();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if takers.is_empty() && !done {
            lose(job, at, share_id, now);
        } else {
            finish(job, at, share_id);
            share_mut(job, at, share_id).into_iter().for_each(|share| share.lost = true);
        }
        if let Some(link) = back {
            let stopped = stop_taken_over(job, at, (link, share_id.0), &mut orders);
            tell_back(job, share_id.0, stopped, now);
        }
        if !takers.is_empty() {
            moved(job, share_id.0, &takers, from_us, at, now);
            if running.is_some() {
                tell_gap(job, share_id.0, from_us, at, now);
            }
        }
        orders.into_iter().for_each(|order| self.order(order, effects));
        self.end_where_it_lives(id, at, share_id, effects);
        self.start_if_ready(id, workflow, false, effects);
        self.end_if_done(id, workflow, effects);
    }
}

/// A worker that is back over this link ends what others have taken over; of how many of its shares.
fn stop_taken_over(
    job: &mut DcJob,
    at: usize,
    (link, node): (LinkId, NodeId),
    orders: &mut Vec<Call>,
) -> usize {
    let id = job.id;
    let Some(entry) = job.workflows.get_mut(at) else { return 0 };
    let mut stopped = 0;
    for (share_id, share) in entry.shares.iter_mut().filter(|((owner, _), _)| *owner == node) {
        share.link = link;
        let of = (id, at, *share_id);
        if taken_over_at(share).is_some() {
            // Where others began; past that it ends at once.
            orders.push(Call::Revise(of));
            stopped += 1;
        } else if share.lost {
            orders.push(Call::End(of));
        }
    }
    stopped
}

fn tell_back(job: &mut DcJob, node: NodeId, stopped: usize, now: Instant) {
    if stopped > 0 && job.outcome.is_none() {
        let text =
            format!("{} is back; what it did since it was taken for lost counts too", name_of(job, node));
        job.event(now, "over_scheduled", text);
    }
}

/// Where others began with a share that ended because its worker was taken for lost.
pub(crate) fn taken_over_at(share: &WorkerShare) -> Option<u64> {
    let moving = share.moving.filter(|moving| moving.lost.is_some())?;
    (share.ended.is_some() && share.started).then_some(moving.from_us)
}

/// What a lost worker's share has not done of a count, as far as the totals hold it.
fn missing_iterations(job: &DcJob, at: usize, share_id: ShareId) -> u64 {
    let Some(entry) = job.workflows.get(at) else { return 0 };
    let own = || entry.shares.iter().filter(|((node, _), _)| *node == share_id.0);
    let live: Vec<(ShareId, u64)> =
        own().filter(|(_, share)| share.ended.is_none()).map(|(id, share)| (*id, share.iterations)).collect();
    let ended: u64 =
        own().filter(|(_, share)| share.ended.is_some()).map(|(_, share)| share.iterations).sum();
    let cells = job.totals.sum_where(wire(at), |source| source.worker == share_id.0);
    let row = cells.workflow();
    let done = row.count.saturating_add(row.dropped).saturating_sub(ended);
    let weights: Vec<u64> = live.iter().map(|(_, iterations)| *iterations).collect();
    let left = weights.iter().sum::<u64>().saturating_sub(done);
    let parts = live.iter().zip(spread(left, &weights));
    parts.filter(|((id, _), _)| *id == share_id).map(|(_, part)| part).sum()
}

/// The share has ended with its worker. Others' load goes on; a workflow without any worker has failed.
fn lose(job: &mut DcJob, at: usize, share_id: ShareId, now: Instant) {
    let gap = job.gap(share_id.0, at, now);
    if let Some(record) = job.workers.get_mut(&share_id.0) {
        record.gap_ms = record.gap_ms.max(millis(gap));
    }
    let Some(entry) = job.workflows.get_mut(at) else { return };
    // Those whose load went here are no others.
    let gone =
        |share: &WorkerShare| share.ended.is_some() && (share.moving.is_some() || !share.error.is_empty());
    let alone = entry.shares.iter().all(|((node, _), share)| *node == share_id.0 || gone(share));
    if let Some(share) = entry.shares.get_mut(&share_id) {
        share.ended = Some(if alone { WorkflowState::Failed } else { WorkflowState::Completed });
        share.lost = true;
        "all_workers_lost".clone_into(&mut share.error);
    }
}

/// How long nothing of a lost worker's load is counted: from what the totals hold to where others began.
fn tell_gap(job: &mut DcJob, node: NodeId, from_us: u64, at: usize, now: Instant) {
    let Some(until) = job.counted_until(node, at) else { return };
    let to_ms = since_job_ms(job, at, from_us);
    let told_ms = job.started_at.map_or(0, |start| millis(until.since(start))).min(to_ms);
    let Some(record) = job.workers.get_mut(&node) else { return };
    record.gap_ms = record.gap_ms.max(to_ms.saturating_sub(told_ms));
    let text = format!("of {}, nothing is counted from {told_ms} ms to {to_ms} ms", record.name);
    job.event(now, "load_missing", text);
}
